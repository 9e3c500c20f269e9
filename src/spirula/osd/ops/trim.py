"""Taking a removed snapshot off one clone of an object; the clone goes when nothing needs it.

`osd.pg.snap_trim` finds the clones, takes the locks and submits what `trim_object` puts together.
Behaviour: upstream `src/osd/PrimaryLogPG.cc` (trim_object).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spirula.errors import NotFound
from spirula.osd.ops.caps import WRITE, OpNeeds
from spirula.osd.ops.context import (
    INFO_ATTR,
    SNAPSET_ATTR,
    ObjectContext,
    OpContext,
    StatDelta,
    copy_info,
    copy_snapset,
)
from spirula.osd.ops.snaps import encoded_snaps
from spirula.types.base import EVersion, UTime
from spirula.types.object_info import ObjectFlag, ObjectInfo, OSDReqId
from spirula.types.pg_log import LogOp, PGLogEntry
from spirula.types.snap import SnapSet

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpsPG

_NEEDS: Final = OpNeeds(WRITE)
_DIRTY: Final = int(ObjectFlag.DIRTY)
_OMAP: Final = int(ObjectFlag.OMAP)
_PINNED: Final = int(ObjectFlag.CACHE_PIN)
_WHITEOUT: Final = int(ObjectFlag.WHITEOUT)


def trim_object(pg: OpsPG, obc: ObjectContext, head: ObjectContext, snap: int) -> OpContext:
    """What is to be written so that a clone (`obc`) does not serve `snap` any more.

    The contexts have their new state afterwards. Raises NotFound, with what does not fit
    together, for a clone that the object does not know.
    """
    coid, ssc = obc.soid, obc.ssc
    if ssc is None or not ssc.exists:
        raise NotFound(f"can not trim {coid}: its object has no snapset, repair needed")
    snapset = copy_snapset(ssc.snapset)
    old = snapset.clone_snaps.get(coid.snap)
    if not old or coid.snap not in snapset.clones or not snapset.seq:
        raise NotFound(f"no clone_snaps in snapset {snapset} for object {coid}")
    removed = pg.osdmap.removed_snaps_queue.get(pg.pgid.pgid.pool)
    left = [each for each in old if each != snap and (removed is None or each not in removed)]
    ctx = OpContext(pg, obc, [], _NEEDS)
    ctx.head_obc = head
    ctx.mtime = UTime.at(pg.services.wall())
    ctx.at_version = pg.next_version()
    if left:
        _keep_clone(ctx, snapset, left)
    else:
        _remove_clone(ctx, snapset)
    _write_head(ctx, head, snapset)
    return ctx


def _next_version(ctx: OpContext) -> None:
    version = ctx.at_version
    ctx.at_version = EVersion(version.version + 1, version.epoch)


def _log(ctx: OpContext, op: LogOp, info: ObjectInfo, snaps: bytes = b"") -> None:
    ctx.log.append(
        PGLogEntry(
            *(op, info.soid, ctx.at_version, info.version),
            reqid=OSDReqId(),
            mtime=ctx.mtime,
            snaps=snaps,
        )
    )


def _uncount(delta: StatDelta, info: ObjectInfo) -> None:
    """The object is gone from the statistics, but for its bytes."""
    flags = info.flags
    delta.num_objects -= 1
    delta.num_objects_dirty -= bool(flags & _DIRTY)
    delta.num_objects_omap -= bool(flags & _OMAP)
    delta.num_whiteouts -= bool(flags & _WHITEOUT)
    delta.num_objects_pinned -= bool(flags & _PINNED)
    delta.num_objects_manifest -= bool(flags & ObjectFlag.MANIFEST)


def _remove_clone(ctx: OpContext, snapset: SnapSet) -> None:
    obc, delta = ctx.obc, ctx.delta
    clone = obc.soid.snap
    delta.num_bytes -= snapset.clone_bytes(clone)
    at = snapset.clones.index(clone)
    if at:
        # what the older clone shared with this one, it shares with the next as far as this one did
        older = snapset.clones[at - 1]
        delta.num_bytes -= snapset.clone_bytes(older)
        snapset.clone_overlap[older] &= snapset.clone_overlap[clone]
        delta.num_bytes += snapset.clone_bytes(older)
    _uncount(delta, obc.info)
    if obc.info.flags & ObjectFlag.REDIRECT_HAS_REFERENCE:
        ctx.put_refs = [obc.info.manifest.redirect_target]
    delta.num_object_clones -= 1
    del snapset.clones[at]
    for table in (snapset.clone_overlap, snapset.clone_size, snapset.clone_snaps):
        del table[clone]
    _log(ctx, LogOp.DELETE, obc.info, encoded_snaps([]))
    ctx.transaction.remove(ctx.coll, ctx.gh)
    obc.info, obc.exists = ObjectInfo(obc.soid), False
    _next_version(ctx)


def _keep_clone(ctx: OpContext, snapset: SnapSet, left: list[int]) -> None:
    obc = ctx.obc
    snapset.clone_snaps[obc.soid.snap] = left
    # the entry has the index of clones by snapshot brought up to date everywhere
    _log(ctx, LogOp.MODIFY, obc.info, encoded_snaps(sorted(left)))
    info = ctx.info
    info.prior_version, info.version = info.version, ctx.at_version
    ctx.transaction.setattr(ctx.coll, ctx.gh, INFO_ATTR, info.encode())
    obc.info = info
    _next_version(ctx)


def _write_head(ctx: OpContext, head: ObjectContext, snapset: SnapSet) -> None:
    """The head gets the new snapset; a whiteout without clones goes at last."""
    ssc, pg = ctx.obc.ssc, ctx.pg
    if ssc is None:
        return
    gh = head.ghobject(pg.pgid.shard)
    flags = head.info.flags
    if not snapset.clones and flags & _WHITEOUT and not flags & _PINNED:
        _log(ctx, LogOp.DELETE, head.info)
        _uncount(ctx.delta, head.info)
        ctx.transaction.remove(ctx.coll, gh)
        head.info, head.exists = ObjectInfo(head.soid), False
        ssc.snapset, ssc.exists, ssc.encoded = SnapSet(), False, None
        return
    snapset.snaps = []
    _log(ctx, LogOp.MODIFY, head.info)
    info = copy_info(head.info)
    info.prior_version, info.version = info.version, ctx.at_version
    encoded = snapset.encode()
    attrs = {SNAPSET_ATTR: encoded, INFO_ATTR: info.encode()}
    ctx.transaction.setattrs(ctx.coll, gh, attrs)
    head.info = info
    ssc.snapset, ssc.encoded = snapset, encoded
