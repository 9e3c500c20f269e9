"""From a request to what is written: its vector, clones, the object's new info, the log entry.

`osd.pg.pipeline` calls `prepare_transaction` and, when that says so, hands transaction and log to
the backend; then `reply_result` gives the client's result. Behaviour: upstream
`src/osd/PrimaryLogPG.cc` (prepare_transaction, finish_ctx, execute_ctx).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from spirula.osd.ops import (
    checksum,
    classes,
    comparisons,
    copy,
    manifest,
    omap,
    reads,
    snaps,
    tmap,
    watch_ops,
    writes,
    xattrs,
)
from spirula.osd.ops.chunks import drop_changed_chunks
from spirula.osd.ops.context import INFO_ATTR, SNAPSET_ATTR, SnapSetContext
from spirula.osd.ops.execute import run
from spirula.types.base import UTime
from spirula.types.entity import EntityType
from spirula.types.hobject import NOSNAP
from spirula.types.object_info import ObjectFlag, ObjectInfo
from spirula.types.osd_op import RequestFlag
from spirula.types.pg_log import LogOp, LogOpReturn, ObjectCleanRegions, PGLogEntry
from spirula.types.pool import PoolFlag
from spirula.types.snap import SnapSet

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext

FAMILIES: Final = (
    checksum,
    classes,
    comparisons,
    copy,
    manifest,
    omap,
    reads,
    snaps,
    tmap,
    watch_ops,
    writes,
    xattrs,
)
"""Who registers handlers of operations."""

_MANIFEST: Final = int(ObjectFlag.MANIFEST)
_FULL: Final = int(PoolFlag.FULL)
_NO_CLONES: Final = SnapSet()
_NO_CLONES_RAW: Final = _NO_CLONES.encode()
_DATA_ONLY: Final = (LogOp.MODIFY, LogOp.PROMOTE, LogOp.CLEAN)


def prepare_transaction(ctx: OpContext) -> int:
    """Runs the request's vector and puts together what is to be written; the result.

    Afterwards `-EINPROGRESS` means: wait for `ctx.resume`, then `ctx.reset` and call this again;
    `-EAGAIN`: drop the request. `ctx.update_log_only` asks for a log entry with the result alone,
    so that a duplicate of the request is answered the same. Otherwise, if `ctx.log` has entries,
    `ctx.transaction` and these are to be submitted; the object's contexts have their new state.
    If not, the request only read (or failed).
    """
    snapc = ctx.snapc
    may_write = ctx.needs.may_write
    if snapc is not None and not snapc.is_valid():
        return -errno.EINVAL
    ctx.update_log_only = False
    if ctx.failed:
        return ctx.failed
    result = run(ctx, ctx.ops)
    if result < 0:
        ctx.update_log_only = may_write
        return result
    if not (ctx.transaction.ops or ctx.touched or ctx.modify):
        ctx.update_log_only = may_write
        return result
    if ctx.pg.pool.flags & _FULL and (ctx.delta.num_bytes > 0 or ctx.delta.num_objects > 0):
        refused = _full(ctx)
        if refused:
            return refused
    if ctx.needs.returns_vector and may_write and _answers_too_much(ctx):
        return -errno.EOVERFLOW
    if ctx.soid.snap == NOSNAP:
        snaps.make_writeable(ctx)
    finish(ctx, LogOp.MODIFY if ctx.exists else LogOp.DELETE, result)
    return result


def _full(ctx: OpContext) -> int:
    """What a request that adds to a full pool is answered; 0 if it may."""
    if ctx.reqid.name.type == EntityType.MDS or ctx.flags & RequestFlag.FULL_FORCE:
        return 0
    if ctx.flags & RequestFlag.FULL_TRY:
        quota = ctx.pg.pool.flags & PoolFlag.FULL_QUOTA
        return -errno.EDQUOT if quota else -errno.ENOSPC
    return -errno.EAGAIN


def finish(ctx: OpContext, log_op: int, result: int) -> None:
    """Completes info, transaction and log, and gives the object's contexts their new state."""
    obc, info, pg = ctx.obc, ctx.info, ctx.pg
    is_head = ctx.soid.snap == NOSNAP
    version = ctx.at_version
    if ctx.user_modify:
        user_version = max(pg.info.last_user_version, info.user_version) + 1
        ctx.user_at_version = info.user_version = max(user_version, version.version)
    if ctx.info.flags & _MANIFEST and log_op == LogOp.MODIFY and not ctx.cache_operation:
        drop_changed_chunks(ctx)
    ctx.bytes_written = sum(len(op.data) for op in ctx.transaction.ops)
    old_version = obc.info.version
    if ctx.exists:
        info.version, info.prior_version = version, old_version
        info.last_reqid = ctx.reqid
        if ctx.mtime:
            info.mtime = ctx.mtime
            info.local_mtime = UTime.at(pg.services.wall())
        attrs = {INFO_ATTR: info.encode()}
        if is_head:
            attrs[SNAPSET_ATTR] = _encoded_snapset(ctx)
        ctx.transaction.setattrs(ctx.coll, ctx.gh, attrs)
    else:
        info = ctx.info = ObjectInfo(ctx.soid)
    returns_vector = ctx.needs.returns_vector
    entry = PGLogEntry(
        *(log_op, ctx.soid, version, old_version),
        reqid=ctx.reqid,
        mtime=ctx.mtime,
        user_version=ctx.user_at_version,
        clean_regions=clean_regions(ctx),
        return_code=result if returns_vector else 0,
    )
    if returns_vector:
        entry.op_returns = [LogOpReturn(op.rval, bytes(op.outdata)) for op in ctx.ops]
    if ctx.soid.snap < NOSNAP and log_op in _DATA_ONLY and ctx.snapset is not None:
        entry.snaps = snaps.encoded_snaps(ctx.snapset.clone_snaps.get(ctx.soid.snap, []))
    if ctx.extra_reqids:
        entry.extra_reqids = ctx.extra_reqids
        entry.extra_reqid_return_codes = ctx.extra_reqid_codes or {}
    ctx.log.append(entry)
    _apply(ctx, info, is_head=is_head)


def _apply(ctx: OpContext, info: ObjectInfo, *, is_head: bool) -> None:
    """From now on the PG knows the object as it will be."""
    obc = ctx.obc
    obc.info, obc.exists = info, ctx.exists
    ssc = obc.ssc
    if ssc is None:
        ssc = obc.ssc = SnapSetContext(ctx.soid.head())
    if is_head and not ctx.exists:
        ssc.exists, ssc.snapset, ssc.encoded = False, SnapSet(), None
    else:
        ssc.exists = True
        if ctx.snapset_changed and ctx.snapset is not None:
            ssc.snapset = ctx.snapset


def _encoded_snapset(ctx: OpContext) -> bytes:
    """The clones as they will be stored; encoded anew only if they changed."""
    ssc = ctx.obc.ssc
    if ctx.snapset_changed or ssc is None or ssc.encoded is None:
        snapset = ctx.snapset or _NO_CLONES
        encoded = _NO_CLONES_RAW if snapset == _NO_CLONES else snapset.encode()
        if ssc is not None:
            ssc.encoded = encoded
        return encoded
    return ssc.encoded


def clean_regions(ctx: OpContext) -> ObjectCleanRegions:
    """What of the object the request left alone."""
    regions = ObjectCleanRegions()
    most = ctx.pg.settings.clean_region_max_intervals
    for offset, length in ctx.dirty:
        regions.mark_data_dirty(offset, length, max_intervals=most)
    regions.clean_omap = not ctx.omap_dirty
    return regions


def _answers_too_much(ctx: OpContext) -> bool:
    """Whether an operation of a write answers more than the log could keep of it."""
    most = ctx.pg.settings.max_write_op_reply_len
    too_much = [op for op in ctx.ops if len(op.outdata) > most]
    for op in too_much:
        op.rval = -errno.EOVERFLOW
        op.outdata = b""
    return bool(too_much)


def reply_result(ctx: OpContext, result: int) -> int:
    """The result that the client is told.

    Of a request that changed something, clients see 0 and no data, unless they ask for it
    (RETURNVEC); then no operation may answer much (osd_max_write_op_reply_len).
    """
    if result < 0 or not ctx.log or not ctx.needs.may_write or ctx.needs.returns_vector:
        return result
    for op in ctx.ops:
        op.outdata = b""
    return 0
