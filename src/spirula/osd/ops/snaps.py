"""Snapshots of single objects: keeping what a snapshot will show, going back to it, listing clones.

`make_writeable` is called by `prepare` for every write of a head, the operations by `execute`.
Removing snapshots is in `trim`. Behaviour: upstream `src/osd/PrimaryLogPG.cc` (make_writeable,
_rollback_to, do_osd_ops).
"""

from __future__ import annotations

import errno
import struct as _struct
from typing import TYPE_CHECKING, Final

from spirula.errors import NotFound
from spirula.osd.ops.context import INFO_ATTR, SNAPSET_ATTR, MissingObject
from spirula.osd.ops.execute import handles
from spirula.osd.ops.writes import create_if_missing, delete_object, drop_changes
from spirula.types.base import EVersion
from spirula.types.hobject import GHObject, HObject
from spirula.types.interval_set import IntervalSet
from spirula.types.log import LogLevel
from spirula.types.object_info import ManifestType, ObjectFlag, ObjectInfo, OSDReqId
from spirula.types.osd_op import OpCode
from spirula.types.pg_log import LogOp, PGLogEntry
from spirula.types.snap import NOSNAP, CloneInfo, ListSnapsResponse, SnapSet
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from spirula.osd.ops.context import ObjectContext, OpContext
    from spirula.types.osd_op import OSDOp

_DIRTY: Final = int(ObjectFlag.DIRTY)
_OMAP: Final = int(ObjectFlag.OMAP)
_OF_CONTENT: Final = int(ObjectFlag.DATA_DIGEST | ObjectFlag.OMAP_DIGEST | ObjectFlag.OMAP)
_PINNED: Final = int(ObjectFlag.CACHE_PIN)
_MANIFEST: Final = int(ObjectFlag.MANIFEST)
_HAS_REFERENCE: Final = int(ObjectFlag.REDIRECT_HAS_REFERENCE)
_OF_HEAD: Final = _MANIFEST | _HAS_REFERENCE
"""A clone has its bytes itself, so only heads refer to chunks; it stands for what its head stood
for, and has that one's reference if the head gave it up."""
_WHITEOUT: Final = int(ObjectFlag.WHITEOUT)
_OCTOPUS: Final = 15


def encoded_snaps(snaps: list[int]) -> bytes:
    """Snapshot ids as log entries carry them."""
    return _struct.pack(f"<I{len(snaps)}Q", len(snaps), *snaps)


# --- before a head is written ---


def make_writeable(ctx: OpContext) -> None:
    """Marks the object changed, and makes a clone of it if a snapshot came since the last write.

    The clone is made of what is stored, before the request's own changes; it gets its own log
    entry and version.
    """
    obc, info, delta = ctx.obc, ctx.info, ctx.delta
    old = obc.info
    old_flags = old.flags
    if ctx.exists:
        if ctx.undirty:
            if old_flags & _DIRTY:
                info.flags &= ~_DIRTY
                delta.num_objects_dirty -= 1
        elif not old_flags & _DIRTY:
            info.flags |= _DIRTY
            delta.num_objects_dirty += 1
    elif old_flags & _DIRTY:
        info.flags &= ~_DIRTY
        delta.num_objects_dirty -= 1
    had_omap = bool(obc.exists and old_flags & _OMAP)
    has_omap = bool(ctx.exists and info.flags & _OMAP)
    delta.num_objects_omap += has_omap - had_omap

    snapc, snapset = ctx.snapc, ctx.snapset
    if snapc is None:
        return
    seq = snapset.seq if snapset is not None else 0
    if (
        snapc.snaps
        and snapc.snaps[0] > seq
        and obc.exists
        and not old_flags & _WHITEOUT
        and not ctx.cache_operation
    ):
        _make_clone(ctx, [snap for snap in snapc.snaps if snap > seq])
    if ctx.snapset is not None and ctx.snapset.clones:
        _update_overlap(ctx)
    if snapc.seq > seq:
        mine = ctx.own_snapset()
        mine.seq = snapc.seq
        old_cluster = ctx.pg.osdmap.require_osd_release < _OCTOPUS
        mine.snaps = snapc.snaps.copy() if old_cluster else []


def _make_clone(ctx: OpContext, snaps: list[int]) -> None:
    """The stored head becomes the clone that serves `snaps` (newest first)."""
    pg, obc, snapc = ctx.pg, ctx.obc, ctx.snapc
    if snapc is None:
        return
    old = obc.info
    coid = ctx.soid.at_snap(snapc.seq)
    clone = clone_info(old, coid)
    clone.version, clone.prior_version = ctx.at_version, old.version
    if ctx.put_refs and old.flags & _HAS_REFERENCE:
        clone.flags |= _HAS_REFERENCE
        ctx.put_refs.remove(old.manifest.redirect_target)
    made = pg.get_object_context(coid, can_create=True)
    if made is not None:
        made.info, made.exists, made.ssc = clone, True, obc.ssc
        ctx.clone_obc = made
    first = Transaction()
    add_clone(ctx, first, clone)
    ctx.transaction.ops[:0] = first.ops
    delta = ctx.delta
    delta.num_objects += 1
    delta.num_object_clones += 1
    delta.num_objects_dirty += bool(clone.flags & _DIRTY)
    delta.num_objects_omap += bool(clone.flags & _OMAP)
    delta.num_objects_pinned += bool(clone.flags & _PINNED)
    delta.num_objects_manifest += bool(clone.flags & _MANIFEST)
    snapset = ctx.own_snapset()
    snapset.clones.append(coid.snap)
    snapset.clone_size[coid.snap] = old.size
    snapset.clone_snaps[coid.snap] = snaps
    snapset.clone_overlap[coid.snap] = IntervalSet([(0, old.size)])
    ctx.log.append(
        PGLogEntry(
            *(LogOp.CLONE, coid, ctx.at_version, old.version),
            reqid=OSDReqId(),
            mtime=ctx.info.mtime,
            snaps=encoded_snaps(snaps),
            user_version=old.user_version,
        )
    )
    ctx.at_version = EVersion(ctx.at_version.version + 1, ctx.at_version.epoch)


def clone_info(head: ObjectInfo, coid: HObject) -> ObjectInfo:
    """What a clone's info takes over from the head."""
    made = ObjectInfo(coid)
    made.size, made.mtime, made.local_mtime = head.size, head.mtime, head.local_mtime
    made.last_reqid, made.user_version = head.last_reqid, head.user_version
    made.truncate_seq, made.truncate_size = head.truncate_seq, head.truncate_size
    made.flags = head.flags & ~_OF_HEAD
    if head.manifest.type == ManifestType.REDIRECT:
        made.flags |= _MANIFEST
        made.manifest = head.manifest
    made.data_digest, made.omap_digest = head.data_digest, head.omap_digest
    return made


def add_clone(ctx: OpContext, transaction: Transaction, clone: ObjectInfo) -> None:
    """Has the store copy the head to the clone, with the clone's own info."""
    gh = GHObject(clone.soid, shard=ctx.gh.shard)
    transaction.clone(ctx.coll, ctx.gh, gh)
    transaction.setattr(ctx.coll, gh, INFO_ATTR, clone.encode())
    transaction.rmattr(ctx.coll, gh, SNAPSET_ATTR)


def _update_overlap(ctx: OpContext) -> None:
    """What the request changed is not shared with the newest clone any more."""
    snapset = ctx.own_snapset()
    overlap = snapset.clone_overlap[max(snapset.clone_overlap)]
    changed = IntervalSet(ctx.modified) & overlap
    # these bytes are held by the clone alone from now on
    ctx.delta.num_bytes += changed.size
    overlap.difference_update(changed)


# --- the operations ---


@handles(OpCode.ROLLBACK)
def rollback(ctx: OpContext, op: OSDOp) -> int:
    """Gives the object the state it had at a snapshot; deletes it where it was not there then."""
    ctx.num_write += 1
    snapid = op.args.snapid
    pg = ctx.pg

    def resume() -> None:
        if ctx.resume:
            ctx.resume()

    try:
        found = pg.find_object_context(ctx.soid.at_snap(snapid), can_create=False)
    except NotFound:
        found = None
    except MissingObject as missing:
        pg.wait_writable(missing.hoid, resume)
        return -errno.EINPROGRESS
    if found is None or found.info.flags & _WHITEOUT:
        if ctx.obc.info.watchers:
            return -errno.EBUSY
        delete_object(ctx, no_whiteout=False, try_no_whiteout=False)
        return 0
    if found.soid.snap == NOSNAP:
        # nothing was written since the snapshot
        ctx.modify = True
        return 0
    if not pg.wait_writable(found.soid, resume):
        return -errno.EINPROGRESS
    _roll_back_to(ctx, found, snapid)
    return 0


def _roll_back_to(ctx: OpContext, clone: ObjectContext, snapid: int) -> None:
    info, snapset, delta = ctx.info, ctx.own_snapset(), ctx.delta
    transaction = ctx.transaction
    drop_changes(ctx)
    transaction.clone(ctx.coll, clone.ghobject(ctx.pg.pgid.shard), ctx.gh)
    # what the head shares with all clones from that one on, it shares with them afterwards
    newer = sorted(each for each in snapset.clone_overlap if each >= snapid)
    shared = snapset.clone_overlap[newer[0]].copy()
    for each in newer:
        shared &= snapset.clone_overlap[each]
    if info.size > 0:
        changed = IntervalSet([(0, info.size)])
        changed.difference_update(shared)
        ctx.modified.extend(changed)
    target = clone.info
    if not ctx.exists or info.flags & _WHITEOUT:
        _exists_again(ctx)
    delta.num_bytes += target.size - info.size
    ctx.dirty.append((0, max(info.size, target.size)))
    ctx.omap_dirty = True
    info.size = target.size
    info.flags = (info.flags & ~_OF_CONTENT) | (target.flags & _OF_CONTENT)
    info.data_digest, info.omap_digest = target.data_digest, target.omap_digest


def _exists_again(ctx: OpContext) -> None:
    """As `create_if_missing`, but the store gets the object by the clone."""
    ops = ctx.transaction.ops.copy()
    create_if_missing(ctx)
    ctx.transaction.ops = ops


@handles(OpCode.LIST_SNAPS)
def list_snaps(ctx: OpContext, op: OSDOp) -> int:
    """The object's clones with the snapshots that they serve, and the head."""
    ctx.num_read += 1
    ssc = ctx.obc.ssc
    snapset = SnapSet() if ssc is None else ssc.snapset
    found = []
    for clone in snapset.clones:
        try:
            snaps = snapset.clone_snaps[clone][::-1]
            overlap, size = snapset.clone_overlap[clone], snapset.clone_size[clone]
        except KeyError:
            ctx.pg.services.clog(
                LogLevel.ERROR,
                f"osd.{ctx.pg.services.whoami}: inconsistent snapset found for oid {ctx.soid} "
                f"clone {clone:x}",
            )
            return -errno.EINVAL
        found.append(CloneInfo(clone, snaps, list(overlap), size))
    if not ctx.obc.info.flags & _WHITEOUT:
        found.append(CloneInfo(NOSNAP, [], [], ctx.info.size))
    op.outdata = ListSnapsResponse(found, snapset.seq).encode()
    ctx.delta.num_rd += 1
    return 0
