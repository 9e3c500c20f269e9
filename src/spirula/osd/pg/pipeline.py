"""A client's request on its way through a PG: from its checks to its reply.

    dispatch -> do_op -> locks -> execute_ctx -> read:  reply
                                              -> write: submit ... all committed -> reply
                                              -> error of a write: log entry ... -> reply

One call carries a request to its reply or to the store; what has to wait goes to a list and comes
back through `do_op` from the beginning, so that every check is made again. Upstream:
`src/osd/PrimaryLogPG.cc` (do_op, execute_ctx, issue_repop, eval_repop).
"""

from __future__ import annotations

from collections import deque
from errno import EAGAIN, EINPROGRESS, EINVAL, EIO, ENFILE, ENOENT, ERESTART
from typing import TYPE_CHECKING

from spirula.errors import CephError, InvariantBroken, NotFound, WireError
from spirula.messages.osd_op import MOSDOpReply
from spirula.osd.ops import caps, chunks, copy, listing, prepare, watch
from spirula.osd.ops.context import LockKind, MissingObject, ObjectContext, OpContext
from spirula.osd.pg import (
    admission,
    availability,
    backoff,
    lease,
    locks,
    manifests,
    recovery,
    snap_trim,
)
from spirula.osd.pg.admission import Refused
from spirula.osd.pg.repop import RepGather
from spirula.osd.pg.waiting import WaitingDup
from spirula.osd.scrub import machine as scrubs
from spirula.osd.scrub import repair
from spirula.types.base import EVersion, UTime
from spirula.types.hobject import NOSNAP, SNAPDIR, HObject
from spirula.types.object_info import ObjectFlag
from spirula.types.osd_op import OpCode, OpFlag, RequestFlag
from spirula.types.pg import PGState
from spirula.types.pg_log import LogOp, LogOpReturn, PGLogEntry
from spirula.types.pool import PoolFlag
from spirula.types.snap import SnapContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from spirula.messages.osd_op import MOSDOp
    from spirula.osd.ops.caps import OpNeeds
    from spirula.osd.ops.context import ClientSession
    from spirula.osd.pg.log import Known
    from spirula.osd.pg.state import PG

EOLDSNAPC = ERESTART
"""What a write under snapshots older than the object's is answered (upstream's name)."""
_LIST_SNAPS = int(OpCode.LIST_SNAPS)
_DONE = int(RequestFlag.ACK | RequestFlag.ONDISK)
_ENFORCE_SNAPC = int(RequestFlag.ENFORCE_SNAPC)
_MAP_SNAP_CLONE = int(RequestFlag.MAP_SNAP_CLONE)
_ORDERSNAP = int(RequestFlag.ORDERSNAP)
_PARALLELEXEC = int(RequestFlag.PARALLELEXEC)
_SKIPRWLOCKS = int(RequestFlag.SKIPRWLOCKS)
_FAILOK = int(OpFlag.FAILOK)
_LOST = int(ObjectFlag.LOST)
_MANIFEST = int(ObjectFlag.MANIFEST)
_WHITEOUT = int(ObjectFlag.WHITEOUT)
_COPY_GET = int(OpCode.COPY_GET)
_POOL_SNAPS = int(PoolFlag.POOL_SNAPS)
_NO_VERSION = EVersion(0, 0)
_NOT_READABLE = int(PGState.WAIT | PGState.LAGGY)


def do_op(pg: PG, request: MOSDOp) -> None:
    """Carries out a request, or has it wait. The PG is active, the request not outdated."""
    session: ClientSession = request.connection.priv
    if not admission.is_of_pg(pg, request.hobj):
        return
    try:
        needs = caps.op_needs(request, pg.shared.classes.open)
        if request.flags & _PARALLELEXEC:
            raise Refused("PARALLELEXEC is not supported", errno=EINVAL)
        if not admission.may_come_here(pg, request, needs):
            return
        if not lease.check_readable(pg, request):
            return
        admission.check_caps(pg, request, needs, session)
        if needs.is_pg_op:
            _do_pg_op(pg, request)
            return
        admission.check(pg, request, needs, session)
        if needs.may_write:
            admission.check_write(pg, request)
        ready = _is_ready(pg, request, needs, session)
        if ready:
            _do_object_op(pg, request, needs, session)
    except CephError as error:
        unreadable = error.errno == EIO and repair.on_read_error(pg, request.hobj, request)
        if not unreadable:
            reply_error(pg, request, -error.errno)
    except WireError:
        if not repair.on_read_error(pg, request.hobj, request):
            reply_error(pg, request, -EINVAL)


def _is_ready(pg: PG, request: MOSDOp, needs: OpNeeds, session: ClientSession) -> bool:
    """Whether it can begin now; else it waits, or was dropped, or was done before."""
    hobj = request.hobj
    head = hobj if hobj.snap == NOSNAP else hobj.head()
    if needs.rwordered and admission.was_sent_before_full(pg, request, session):
        return False
    if pg.missing.missing and availability.is_unreadable(pg, head):
        if not pg.is_primary:
            raise Refused("the object is not here", errno=EAGAIN)
        wait_for_object(pg, head, request)
        return False
    if needs.rwordered:
        if pg.peering.peer_missing and availability.is_degraded(pg, head):
            wait_for_object(pg, head, request)
            return False
        if pg.scrubber.range is not None and scrubs.blocks_write(pg, head):
            pg.waiting.for_scrub.append(request)
            return False
        if pg.state & _NOT_READABLE:
            pg.waiting.for_readable.appendleft(request)
            return False
    if needs.may_write or needs.may_cache:
        known = pg.log.find_request(request.request_id(session.name))
        if known is not None:
            _on_known(pg, request, known)
            return False
    if hobj.snap == SNAPDIR:
        admission.check_snapdir(request)
        return True
    for op in request.ops:
        if op.op == _LIST_SNAPS:
            admission.check_snapdir(request)
            break
    return True


def _on_known(pg: PG, request: MOSDOp, known: Known) -> None:
    """The request came before: it gets the same answer, as soon as that is true everywhere."""
    if _already_complete(pg, known.version):
        reply_known(
            pg, request, known.return_code, known.version, known.user_version, known.op_returns
        )
    else:
        pg.waiting.for_ondisk.setdefault(known.version, []).append(
            WaitingDup(request, known.user_version, known.return_code, known.op_returns)
        )


def _already_complete(pg: PG, version: EVersion) -> bool:
    for repop in pg.repops:
        if repop.version > version:
            break
        if repop.version and not repop.all_committed:
            return False
    return True


def _do_object_op(pg: PG, request: MOSDOp, needs: OpNeeds, session: ClientSession) -> None:
    hobj, writes = request.hobj, needs.may_write
    wanted = hobj.head() if hobj.snap == SNAPDIR else hobj
    if not pg.is_primary and not can_serve_replica_read(pg, wanted):
        raise Refused("a write is under way: the primary knows", errno=EAGAIN)
    try:
        obc = pg.objects.find(
            wanted,
            can_create=writes,
            map_snapid_to_clone=bool(request.flags & _MAP_SNAP_CLONE),
        )
    except MissingObject as missing:
        if not pg.is_primary:
            raise
        wait_for_object(pg, missing.hoid, request)
        return
    except NotFound as error:
        if writes:
            record_write_error(pg, request, wanted, -error.errno)
            return
        raise
    if obc.soid.snap != NOSNAP and needs.rwordered and availability.is_degraded(pg, obc.soid):
        wait_for_object(pg, obc.soid, request)
        return
    if not pg.is_primary and availability.is_unreadable(pg, obc.soid):
        raise Refused("the object is not here", errno=EAGAIN)
    if obc.info.flags & _MANIFEST and manifests.take(pg, request, needs, session, obc):
        return
    ctx = OpContext(
        pg,
        obc,
        request.ops,
        needs,
        request=request,
        session=session,
        reqid=request.request_id(session.name),
    )
    if not request.flags & _SKIPRWLOCKS:
        kind = LockKind.READ
        if needs.rwordered:
            kind = LockKind.EXCLUSIVE if needs.may_read else LockKind.WRITE
        if not locks.try_lock(obc.lock, kind, request):
            return
        ctx.lock_kind = kind
    if needs.may_read and obc.info.flags & _LOST:
        _refuse(ctx, -ENFILE)
    elif not (writes or needs.may_cache) and (
        not obc.exists or (obc.info.flags & _WHITEOUT and hobj.snap != SNAPDIR)
    ):
        _refuse(ctx, -ENOENT)
    else:
        execute_ctx(ctx)


def can_serve_replica_read(pg: PG, hoid: HObject) -> bool:
    """Whether nothing about the object is newer here than what all OSDs have on disk."""
    entry = pg.log.objects.get(hoid)
    return entry is None or entry.version <= pg.min_last_complete_ondisk


def execute_ctx(ctx: OpContext) -> None:
    """Runs a request that has its locks; may be called again for one that had to wait."""
    pg: PG = ctx.pg  # type: ignore[assignment]  # the port of operations is this record
    request = ctx.request
    if request is None:
        raise InvariantBroken("only a client's request is executed")
    needs = ctx.needs
    if needs.may_write or needs.may_cache:
        ctx.snapc = _snap_context(pg, request)
        newest = 0 if ctx.snapset is None else ctx.snapset.seq
        if request.flags & _ORDERSNAP and ctx.snapc.seq < newest:
            _refuse(ctx, -EOLDSNAPC)
            return
        ctx.at_version = pg.next_version()
    if not ctx.user_at_version:
        ctx.user_at_version = ctx.obc.info.user_version
    ctx.resume = None
    try:
        result = prepare.prepare_transaction(ctx)
    except BaseException:
        _release(ctx)  # whatever it was, others may go on with the object
        raise
    if result == -EINPROGRESS:
        since = pg.last_peering_reset
        ctx.resume = lambda: _resume(ctx, since)
        if ctx.lock_kind == LockKind.WRITE:
            # later requests must not overtake it
            ctx.obc.lock.kind = LockKind.EXCLUSIVE
        pg.waiting.in_progress.append(ctx)
        return
    if result == -EAGAIN:
        _release(ctx)
        return
    result = prepare.reply_result(ctx, result)
    if result == -EIO and repair.on_read_error(pg, ctx.soid, request):
        _release(ctx)
        return
    if (not ctx.log or result < 0) and not ctx.update_log_only:
        _finish_read(ctx, result)
        return
    reply = MOSDOpReply.to(request, result, pg.osdmap.epoch, _DONE)
    if ctx.update_log_only:
        reply.set_versions(ctx.at_version, ctx.user_at_version)
        if result >= 0:
            watch.effects(ctx)
            ctx.delta.add_to(pg.unstable_stats)
        if result == -ENOENT:
            reply.set_versions_without_write(pg.info.last_update, pg.info.last_user_version)
        record_write_error(pg, request, ctx.soid, result, ctx, reply)
        _release(ctx)
        return
    reply.set_versions(ctx.at_version, ctx.user_at_version)
    _submit(pg, ctx, reply)


def _resume(ctx: OpContext, since: int) -> None:
    """What the request waited for is there; it begins anew, unless its interval is over."""
    pg: PG = ctx.pg  # type: ignore[assignment]  # the port of operations is this record
    if not pg.has_reset_since(since) and ctx in pg.waiting.in_progress:
        pg.waiting.in_progress.remove(ctx)
        if ctx.lock_kind == LockKind.WRITE:
            ctx.obc.lock.kind = LockKind.WRITE
        ctx.reset()
        execute_ctx(ctx)


def _snap_context(pg: PG, request: MOSDOp) -> SnapContext:
    """The snapshots that a write is under: its client's, or the pool's."""
    if pg.pool.flags & _POOL_SNAPS and not request.flags & _ENFORCE_SNAPC:
        return pg.pool_snapc
    snaps = request.snaps
    if snaps:
        removed = pg.osdmap.removed_snaps_queue.get(pg.pgid.pgid.pool)
        if removed is not None:
            snaps = [snap for snap in snaps if snap not in removed]
    return SnapContext(request.snap_seq, snaps)


def _without_answers(reply: MOSDOpReply) -> None:
    for op in reply.ops:
        op.outdata = b""


def _submit(pg: PG, ctx: OpContext, reply: MOSDOpReply) -> None:
    repop = RepGather(
        pg,
        pg.shared.next_tid(),
        ctx.soid,
        ctx.at_version,
        on_all_committed,
        ctx=ctx,
        request=ctx.request,
        reply=reply,
    )
    pg.repops.append(repop)
    pg.projected_last_update = ctx.at_version
    pg.backend.submit(repop, ctx.transaction, ctx.log, ctx.delta)


def simple_submit(pg: PG, ctx: OpContext, then: Callable[[], None] | None = None) -> None:
    """Writes what a context of the OSD's own holds; `then` follows when that is on disk."""
    version = ctx.log[-1].version if ctx.log else ctx.at_version
    tid = pg.shared.next_tid()
    repop = RepGather(pg, tid, ctx.soid, version, on_all_committed, ctx=ctx, then=then)
    pg.repops.append(repop)
    pg.projected_last_update = max(pg.projected_last_update, version)
    pg.backend.submit(repop, ctx.transaction, ctx.log, ctx.delta)


def on_all_committed(repop: RepGather) -> None:
    """Every OSD has a write on disk: its client, and those who sent it again, are answered."""
    pg = repop.pg
    version = repop.version
    if version:
        pg.last_update_ondisk = version
        pg.last_complete_ondisk = repop.local_last_complete
        _update_min_last_complete(pg)
    request, reply = repop.request, repop.reply
    if request is not None and reply is not None:
        request.connection.send_message(reply)
        ctx = repop.ctx
        if ctx is not None:
            pg.shared.op_finished(request, ctx.bytes_written, ctx.bytes_read)
    dups = pg.waiting.for_ondisk.pop(version, None) if pg.waiting.for_ondisk else None
    for dup in dups or ():
        code = repop.result if repop.result < 0 else dup.return_code
        reply_known(pg, dup.request, code, version, dup.user_version, dup.op_returns)
    pg.stats_changed = True
    while pg.repops and pg.repops[0].all_committed:
        done = pg.repops.popleft()
        if done.ctx is not None:
            watch.effects(done.ctx)
            if done.ctx.put_refs:
                chunks.put_refs(done.ctx)
            _release(done.ctx)
        if done.then is not None:
            done.then()


def _update_min_last_complete(pg: PG) -> None:
    least = pg.last_complete_ondisk
    for replica in pg.replicas:
        theirs = pg.peer_last_complete_ondisk.get(replica)
        if theirs is None:
            return
        least = min(least, theirs)
    pg.min_last_complete_ondisk = least


# ------------------------------------------------------------------------------------------ replies


def _refuse(ctx: OpContext, result: int) -> None:
    """Answers what was not even begun; the object's requests go on."""
    pg: PG = ctx.pg  # type: ignore[assignment]  # the port of operations is this record
    request = ctx.request
    if request is None:
        raise InvariantBroken("only a client's request is refused")
    if result == -ENOENT and request.ops[0].op == _COPY_GET:
        copy.absent(pg, ctx.soid, request.ops[0], request.features)
        reply = MOSDOpReply.to(request, result, pg.osdmap.epoch, _DONE)
        request.connection.send_message(reply)
    else:
        reply_error(pg, request, result)
    _release(ctx)


def _finish_read(ctx: OpContext, result: int) -> None:
    """Answers what changed nothing, be it an error."""
    pg: PG = ctx.pg  # type: ignore[assignment]  # the port of operations is this record
    request = ctx.request
    if request is None:
        raise InvariantBroken("only a client's request is answered")
    if result >= 0:
        if ctx.notifies or ctx.notify_acks or ctx.watch_connects or ctx.watch_disconnects:
            watch.effects(ctx)
        for op in ctx.ops:
            if op.rval < 0 and not op.flags & _FAILOK:
                result = op.rval
                break
    reply = MOSDOpReply.to(request, result, pg.osdmap.epoch, _DONE)
    if result >= 0:
        reply.set_versions(_NO_VERSION, ctx.info.user_version)
        ctx.delta.add_to(pg.unstable_stats)
        pg.stats_changed = True
    elif result == -ENOENT and not ctx.failed:
        reply.set_versions_without_write(pg.info.last_update, pg.info.last_user_version)
    request.connection.send_message(reply)
    ctx.bytes_read = sum(len(op.outdata) for op in ctx.ops)
    pg.shared.op_finished(request, ctx.bytes_written, ctx.bytes_read)
    _release(ctx)


def reply_error(pg: PG, request: MOSDOp, result: int) -> None:
    """Answers a request with an error, at once."""
    flags = request.flags & _DONE
    reply = MOSDOpReply.to(request, result, pg.osdmap.epoch, flags)
    _without_answers(reply)
    request.connection.send_message(reply)


def reply_known(
    pg: PG,
    request: MOSDOp,
    result: int,
    version: EVersion,
    user_version: int,
    op_returns: list[LogOpReturn],
) -> None:
    """Answers a request as it was, or would have been, answered the first time."""
    flags = request.flags & _DONE
    reply = MOSDOpReply.to(request, result, pg.osdmap.epoch, flags)
    _without_answers(reply)
    reply.set_versions(version, user_version)
    if op_returns and len(op_returns) == len(reply.ops):
        for op, returned in zip(reply.ops, op_returns, strict=True):
            op.rval, op.outdata = returned.rval, returned.bl
    request.connection.send_message(reply)


def record_write_error(
    pg: PG,
    request: MOSDOp,
    soid: HObject,
    result: int,
    ctx: OpContext | None = None,
    reply: MOSDOpReply | None = None,
) -> None:
    """Remembers everywhere that a write changed nothing, then answers it.

    So that it does nothing either when it comes again after the object has changed.
    """
    session: ClientSession = request.connection.priv
    entry = PGLogEntry(
        LogOp.ERROR,
        soid,
        pg.next_version(),
        reqid=request.request_id(session.name),
        mtime=UTime(),
        return_code=result,
    )
    if ctx is not None and ctx.needs.returns_vector:
        entry.op_returns = [LogOpReturn(op.rval, bytes(op.outdata)) for op in ctx.ops]
    if reply is None:
        reply = MOSDOpReply.to(request, result, pg.osdmap.epoch, _DONE)
        _without_answers(reply)
    repop = RepGather(
        pg,
        pg.shared.next_tid(),
        soid,
        entry.version,
        on_all_committed,
        request=request,
        reply=reply,
        result=result,
    )
    pg.repops.append(repop)
    pg.projected_last_update = entry.version
    pg.backend.submit_log(repop, [entry])


def _do_pg_op(pg: PG, request: MOSDOp) -> None:
    """A listing, or another operation on the PG itself; it changes nothing."""
    result = listing.do_pg_ops(pg, request)
    reply = MOSDOpReply.to(request, result, pg.osdmap.epoch, _DONE)
    reply.set_versions(pg.info.last_update, pg.info.last_user_version)
    request.connection.send_message(reply)


# ------------------------------------------------------------------------------------------ waiting


def wait_for_object(pg: PG, hoid: HObject, request: MOSDOp) -> None:
    """Has a request wait until an object is here and everywhere; recovery takes it first.

    Where that may take long, its client waits with all it has for the object.
    """
    options = pg.options
    backs_off = options.osd_backoff_on_unfound and hoid in pg.recovery.unfound
    session = request.connection.priv
    if hoid in pg.scrubber.rotten:
        backs_off = False  # nobody has it: it is told at once
    if session is not None and (backs_off or options.osd_backoff_on_degraded):
        backoff.add(pg, session, hoid, hoid)
        recovery.kick(pg, hoid)
        return
    if hoid in pg.scrubber.rotten:
        reply_error(pg, request, -EIO)
        return
    pg.waiting.for_object.setdefault(hoid, deque()).append(request)
    recovery.kick(pg, hoid)


def _release(ctx: OpContext) -> None:
    """Gives the lock back and lets those go on who waited for it."""
    if ctx.lock_kind == LockKind.NONE:
        return
    ctx.lock_kind = LockKind.NONE
    pg: PG = ctx.pg  # type: ignore[assignment]  # the port of operations is this record
    unlock(pg, ctx.obc)


def unlock(pg: PG, obc: ObjectContext) -> None:
    """Gives an object's lock back and lets those go on who waited for it."""
    lock = obc.lock
    waiters = locks.unlock(lock)
    for request in waiters:
        do_op(pg, request)
    if lock.snaptrimmer_write_marker and lock.kind == LockKind.NONE:
        snap_trim.on_unlocked(pg, obc)
    if lock.recovery_read_marker and lock.kind == LockKind.NONE:
        lock.recovery_read_marker = False
        pg.shared.recoveries.queue(pg)
