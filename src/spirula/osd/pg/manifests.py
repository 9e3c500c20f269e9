"""Requests on objects whose data is elsewhere: passed on to a target, or held for chunks.

`pipeline` gives every request on an object with a manifest to `take` first. A request on an object
that stands for another one is sent on as the client's own, so that it is done once however often
it is sent. An object with bytes in chunks alone gets all of them back before the request goes on.
Upstream: `src/osd/PrimaryLogPG.cc` (maybe_handle_manifest_detail, do_proxy_read, do_proxy_write).
"""

from __future__ import annotations

from errno import EAGAIN, ELOOP, EOPNOTSUPP
from typing import TYPE_CHECKING

from spirula.errors import InvariantBroken
from spirula.messages.osd_op import MOSDOpReply
from spirula.osd.ops import chunks, prepare
from spirula.osd.ops.caps import WRITE, OpNeeds
from spirula.osd.ops.context import LockKind, OpContext, SentAs
from spirula.osd.pg import availability, locks, pipeline
from spirula.osd.pg.admission import Refused
from spirula.osd.scrub import machine as scrubs
from spirula.types.base import EVersion
from spirula.types.entity import EntityType
from spirula.types.object_info import NO_DIGEST, ManifestType, ObjectFlag
from spirula.types.osd_op import Extent, OpCode, OSDOp, RequestFlag
from spirula.types.pg_log import LogOp
from spirula.types.snap import SnapContext

if TYPE_CHECKING:
    from spirula.messages.osd_op import MOSDOp
    from spirula.osd.ops.context import ClientSession, ObjectContext
    from spirula.osd.pg.state import PG
    from spirula.types.object_info import ChunkInfo

_ON_MANIFESTS = frozenset(
    (
        OpCode.SET_REDIRECT,
        OpCode.SET_CHUNK,
        OpCode.UNSET_MANIFEST,
        OpCode.TIER_PROMOTE,
        OpCode.TIER_FLUSH,
        OpCode.TIER_EVICT,
    )
)
"""What is about the object itself, not about what it stands for."""
_WITHOUT_BYTES = frozenset((OpCode.SET_CHUNK, OpCode.TIER_FLUSH, OpCode.TIER_EVICT))
"""What needs none of the object's bytes."""
_WATCHES = frozenset((OpCode.WATCH, OpCode.NOTIFY, OpCode.NOTIFY_ACK))
_DONE = int(RequestFlag.ACK | RequestFlag.ONDISK)
_PASSED_ON = int(
    RequestFlag.RWORDERED
    | RequestFlag.ORDERSNAP
    | RequestFlag.ENFORCE_SNAPC
    | RequestFlag.MAP_SNAP_CLONE
)
_REMOTE = int(RequestFlag.IGNORE_CACHE | RequestFlag.IGNORE_OVERLAY)
_NO_VERSION = EVersion(0, 0)


def take(
    pg: PG, request: MOSDOp, needs: OpNeeds, session: ClientSession, obc: ObjectContext
) -> bool:
    """Whether the request goes another way than those on other objects. Raises Refused."""
    if not obc.exists:
        return False
    if not pg.is_primary:
        raise Refused("the primary knows where the data is", errno=EAGAIN)
    if obc.info.manifest.type == ManifestType.REDIRECT:
        if request.flags & RequestFlag.IGNORE_REDIRECT or any(
            op.op in _ON_MANIFESTS for op in request.ops
        ):
            return False
        if not needs.rwordered and obc.info.size:
            return False  # it was written to with IGNORE_REDIRECT
        _pass_on(pg, request, needs, session, obc)
        return True
    missing = chunks.missing_chunks(obc.info)
    if not missing or all(op.op in _WITHOUT_BYTES for op in request.ops):
        return False
    _bring_back(pg, request, obc, missing)
    return True


# ------------------------------------------------------------------------------ passing requests on


def _pass_on(
    pg: PG, request: MOSDOp, needs: OpNeeds, session: ClientSession, obc: ObjectContext
) -> None:
    """Sends the request to the target's OSD, and what that answers to the client."""
    if any(op.op in _WATCHES for op in request.ops):
        raise Refused("watchers of a redirected object would not be told", errno=EOPNOTSUPP)
    reqid = request.request_id(session.name)
    if session.name.type == EntityType.OSD and any(
        each.reqid == reqid and each.soid == obc.soid for each in pg.waiting.in_progress
    ):
        raise Refused(f"{obc.soid} stands for itself, by way of others", errno=ELOOP)
    ctx = OpContext(pg, obc, request.ops, needs, request=request, session=session, reqid=reqid)
    pg.waiting.in_progress.append(ctx)
    since = pg.last_peering_reset

    def done(result: int, ops: list[OSDOp], version: int) -> None:
        if pg.has_reset_since(since) or ctx not in pg.waiting.in_progress:
            return
        pg.waiting.in_progress.remove(ctx)
        _answer(pg, request, result, ops, version)

    flags = _REMOTE | request.flags & _PASSED_ON
    if needs.rwordered and not (needs.may_write or needs.may_cache):
        flags |= RequestFlag.RWORDERED
    if needs.returns_vector:
        flags |= RequestFlag.RETURNVEC
    ops = [OSDOp(op.op, op.flags, op.raw, indata=bytes(op.indata)) for op in request.ops]
    target = obc.info.manifest.redirect_target
    snapc = None
    if needs.may_write:
        snapc = SnapContext(request.snap_seq, request.snaps)
    elif request.hobj.snap != target.snap:
        target = target.at_snap(request.hobj.snap)
    pg.remote_op(target, ops, flags, done, SentAs(snapc, request.mtime, reqid))


def _answer(pg: PG, request: MOSDOp, result: int, ops: list[OSDOp], version: int) -> None:
    for mine, theirs in zip(request.ops, ops, strict=False):
        mine.rval, mine.outdata = theirs.rval, theirs.outdata
    reply = MOSDOpReply.to(request, result, pg.osdmap.epoch, _DONE)
    reply.set_versions(_NO_VERSION, version)
    request.connection.send_message(reply)
    pg.shared.op_finished(request, 0, sum(len(op.outdata) for op in request.ops))


# ------------------------------------------------------------------------------ bringing bytes back


class _Promotion:
    """Chunks on their way back into their object; whose lock keeps everybody else waiting."""

    def __init__(
        self, pg: PG, request: MOSDOp, obc: ObjectContext, missing: dict[int, ChunkInfo]
    ) -> None:
        self.pg = pg
        self.request = request
        self.ctx = OpContext(pg, obc, [], OpNeeds(WRITE))
        self.ctx.request = request  # a new interval takes it up again
        self.ctx.lock_kind = LockKind.EXCLUSIVE
        self.since = pg.last_peering_reset
        self.missing = missing
        self.data: dict[int, bytes] = {}
        self.result = 0

    def start(self) -> None:
        """Asks for all of them."""
        self.pg.waiting.in_progress.append(self.ctx)
        for at in list(self.missing):
            self._ask(at, self.missing[at])

    def _ask(self, at: int, chunk: ChunkInfo) -> None:
        def done(result: int, ops: list[OSDOp], version: int) -> None:
            del version
            self.data[at] = bytes(ops[0].outdata) if result >= 0 else b""
            self.result = min(self.result, result)
            if len(self.data) == len(self.missing):
                self._finish()

        read = OSDOp.make(OpCode.READ, Extent(chunk.offset, chunk.length, 0, 0))
        self.pg.remote_op(chunk.oid.head(), [read], chunks.REMOTE_FLAGS, done, None)

    def _finish(self) -> None:
        pg, ctx, request = self.pg, self.ctx, self.request
        if pg.has_reset_since(self.since) or ctx not in pg.waiting.in_progress:
            return
        pg.waiting.in_progress.remove(ctx)
        ctx.request = None
        if self.result < 0:
            pipeline.reply_error(pg, request, self.result)
            pipeline.unlock(pg, ctx.obc)
            return
        info = ctx.info
        for at, data in self.data.items():
            if len(data) > self.missing[at].length:
                raise InvariantBroken(f"{len(data)} bytes of a chunk of {self.missing[at].length}")
            ctx.transaction.write(ctx.coll, ctx.gh, at, data)
            ctx.dirty.append((at, self.missing[at].length))
        info.manifest = chunks.marked(info, missing=False)
        info.flags &= ~int(ObjectFlag.DATA_DIGEST)
        info.data_digest = NO_DIGEST
        ctx.at_version = pg.next_version()
        prepare.finish(ctx, LogOp.PROMOTE, 0)
        ctx.obc.lock.waiters.insert(0, request)
        pipeline.simple_submit(pg, ctx)


def _bring_back(pg: PG, request: MOSDOp, obc: ObjectContext, missing: dict[int, ChunkInfo]) -> None:
    head = obc.soid
    if availability.is_degraded(pg, head):
        pipeline.wait_for_object(pg, head, request)
    elif scrubs.blocks_write(pg, head):
        pg.waiting.for_scrub.append(request)
    elif locks.try_lock(obc.lock, LockKind.EXCLUSIVE, request):
        _Promotion(pg, request, obc, missing).start()
