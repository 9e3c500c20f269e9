"""How an object travels between OSDs of a replicated PG: pulls, pushes, deletions.

An object is sent in parts with its attributes and omap; what comes in several parts is put together
under another name and moved into place at the end. Messages: upstream
`src/osd/ReplicatedBackend.cc` (build_push_op, submit_push_data, handle_pull_response), and
`PGBackend.cc` (handle_recovery_delete). Called by `recovery`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from spirula.errors import CephError, NotFound, WireError
from spirula.messages.base import Message
from spirula.messages.osd_recovery import (
    MOSDPGPull,
    MOSDPGPush,
    MOSDPGPushReply,
    MOSDPGRecoveryDelete,
    MOSDPGRecoveryDeleteReply,
)
from spirula.osd.ops.context import INFO_ATTR
from spirula.osd.pg import lost, meta, recovery, subsets, unfound
from spirula.osd.pg.subsets import Receiver, Subsets
from spirula.store import snap_mapper
from spirula.store.objectstore import readv
from spirula.types.base import EVersion
from spirula.types.hobject import GHMAX, GHMIN, NO_GEN, GHObject, HObject, snap_name
from spirula.types.interval_set import IntervalSet
from spirula.types.log import LogLevel
from spirula.types.object_info import ObjectInfo
from spirula.types.pg import PGShard, PGState, SPGId
from spirula.types.recovery import (
    ObjectRecoveryInfo,
    ObjectRecoveryProgress,
    PullOp,
    PushOp,
    PushReplyOp,
)
from spirula.types.snap import MAXSNAP, SnapSet
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG
    from spirula.types.pg_log import PGMissingItem

ALL = (1 << 64) - 1
_COST = 1 << 20


@dataclass(slots=True)
class Pull:
    """An object on its way to the primary, from `source`."""

    source: PGShard
    info: ObjectRecoveryInfo
    progress: ObjectRecoveryProgress
    subsets: Subsets | None = None


@dataclass(slots=True)
class Push:
    """An object on its way to a replica, and how far it is once what was sent has arrived."""

    info: ObjectRecoveryInfo
    progress: ObjectRecoveryProgress
    subsets: Subsets | None = None


# --------------------------------------------------------------------------------- from the primary


def pull(pg: PG, hoid: HObject, item: PGMissingItem, sources: list[PGShard]) -> None:
    """The primary asks for an object that it lacks: what changed of it since the version here."""
    source = sources[int.from_bytes(pg.services.random(2), "little") % len(sources)]
    version = unfound.reverting_to(pg, hoid) or item.need
    info = ObjectRecoveryInfo(soid=hoid, version=version, size=ALL)
    found: Subsets | None = None
    if hoid.is_snap:
        info.ss = SnapSet.decode(pg.objects.snapset_context(hoid).snapset.encode())
        found = subsets.of_clone(pg, hoid, info.ss, Receiver(pg.missing, pg.info.last_backfill))
        info.copy_subset, info.clone_subset = found.data, found.clones
        info.size = info.ss.clone_size.get(hoid.snap, ALL)
    else:
        info.copy_subset = item.clean_regions.dirty_regions()
    info.object_exist = not item.clean_regions.new_object
    progress = ObjectRecoveryProgress(omap_complete=item.clean_regions.clean_omap)
    pg.recovery.pulls[hoid] = Pull(source, info, progress, found)
    _send_pull(pg, source, PullOp(hoid, info, progress))


def _send_pull(pg: PG, source: PGShard, op: PullOp) -> None:
    epoch = pg.osdmap.epoch
    message = MOSDPGPull(
        pgid=pg.pgid.pgid,
        map_epoch=epoch,
        pulls=[op],
        cost=_COST,
        shard=source.shard,
        from_=pg.whoami,
        min_epoch=pg.last_peering_reset,
    )
    pg.shared.moved.pull.value += 1
    pg.services.send_osd(source.osd, message, epoch)


def push(pg: PG, hoid: HObject, item: PGMissingItem, target: PGShard) -> bool:
    """The primary sends a replica an object that it lacks; False if it cannot be read here."""
    gh = GHObject(hoid, NO_GEN, pg.pgid.shard)
    try:
        attrs = pg.store.getattrs(pg.coll, gh)
        oi = ObjectInfo.decode(attrs[INFO_ATTR])
        info = ObjectRecoveryInfo(soid=hoid, version=oi.version, size=oi.size, oi=oi)
        info.object_exist = not item.clean_regions.new_object
        found = _subsets(pg, info, item, target)
        info.copy_subset, info.clone_subset = found.data, found.clones
        progress = ObjectRecoveryProgress(omap_complete=item.clean_regions.clean_omap)
        op = build_push(pg, info, progress)
    except (CephError, WireError, KeyError) as error:
        pg.services.clog(LogLevel.ERROR, f"{pg.pgid} cannot push {hoid}: {error}")
        recovery.on_bad(pg, hoid, pg.whoami)
        return False
    pg.recovery.pushes.setdefault(hoid, {})[target] = Push(info, op.after_progress, found)
    _send_push(pg, target, op)
    return True


def _subsets(pg: PG, info: ObjectRecoveryInfo, item: PGMissingItem, target: PGShard) -> Subsets:
    """What a replica has to be sent of an object."""
    hoid, head = info.soid, info.soid.head()
    if hoid.is_snap and head in pg.missing.missing:
        return Subsets(subsets.whole(info.size))  # its clones are known by the head
    peering = pg.peering
    receiver = Receiver(peering.peer_missing[target], peering.peer_info[target].last_backfill)
    snapset = pg.objects.snapset_context(hoid).snapset
    if hoid.is_snap:
        info.ss = SnapSet.decode(snapset.encode())  # it may change before the last part is sent
        return subsets.of_clone(pg, hoid, snapset, receiver)
    dirty = item.clean_regions.dirty_regions()
    return subsets.of_head(pg, hoid, snapset, info.size, dirty, receiver)


def _send_push(pg: PG, target: PGShard, op: PushOp) -> None:
    epoch = pg.osdmap.epoch
    message = MOSDPGPush(
        pgid=pg.pgid.pgid,
        map_epoch=epoch,
        pushes=[op],
        cost=_COST,
        shard=target.shard,
        from_=pg.whoami,
        min_epoch=pg.last_peering_reset,
        is_repair=bool(pg.state & PGState.REPAIR),
    )
    moved, size = pg.shared.moved, len(op.data)
    moved.push.value += 1
    moved.push_out_bytes.value += size
    moved.recovery_bytes.value += size + len(op.omap_entries)
    pg.services.send_osd(target.osd, message, epoch)


def build_push(pg: PG, info: ObjectRecoveryInfo, before: ObjectRecoveryProgress) -> PushOp:
    """The next part of an object. Raises CephError where it cannot be read."""
    store, cid = pg.store, pg.coll
    gh = GHObject(info.soid, NO_GEN, pg.pgid.shard)
    after = ObjectRecoveryProgress(
        before.first,
        before.data_complete,
        before.data_recovered_to,
        before.omap_recovered_to,
        before.omap_complete,
    )
    op = PushOp(soid=info.soid, recovery_info=info, before_progress=before, after_progress=after)
    if before.first:
        op.omap_header = store.omap_get_header(cid, gh)
        op.attrset = store.getattrs(cid, gh)
        if INFO_ATTR not in op.attrset:
            raise NotFound(f"what is here of {info.soid} has no info")
        have = ObjectInfo.decode(op.attrset[INFO_ATTR]).version
        if info.version == EVersion(0, 0):
            info.version = have
        elif info.version != have:
            raise NotFound(f"{info.soid} is here in version {have}, not {info.version}")
        after.first = False
    room = pg.options.osd_recovery_max_chunk
    most_entries = pg.options.osd_recovery_max_omap_entries_per_chunk
    if not before.omap_complete:
        after.omap_complete = True
        for key, value in store.omap_iterate(cid, gh, before.omap_recovered_to):
            size = len(key) + len(value)
            full = len(op.omap_entries) >= most_entries or room <= size
            if op.omap_entries and full:
                after.omap_complete, after.omap_recovered_to = False, key
                break
            op.omap_entries[key] = value
            room = max(room - size, 0)
    wanted = info.copy_subset
    if room and wanted:
        end = wanted.range_end
        here = store.fiemap(cid, gh, 0, end) & wanted
        op.data_included = _first_bytes(here, before.data_recovered_to, room)
        included = op.data_included
        at_end = not included or included.range_end == here.range_end
        after.data_recovered_to = end if at_end else included.range_end
        size = included.size
        op.data = readv(store, cid, gh, included)
        if included.size != size:
            after.data_complete = True
    done = not wanted or after.data_recovered_to >= wanted.range_end
    if done and after.omap_complete:
        after.data_complete = True
    elif before.first and before.omap_complete:
        after.omap_complete = False
    op.version = info.version
    return op


def _first_bytes(ranges: IntervalSet, start: int, count: int) -> IntervalSet:
    """The first `count` bytes of ranges from `start` on."""
    found = IntervalSet()
    for first, length in ranges:
        low = max(first, start)
        size = min(first + length - low, count)
        if size > 0:
            found.insert(low, size)
            count -= size
        if count <= 0:
            break
    return found


def delete_there(pg: PG, hoid: HObject, item: PGMissingItem, target: PGShard) -> None:
    """The primary has a replica delete what it missed the deletion of."""
    pg.recovery.pushes.setdefault(hoid, {})[target] = Push(
        ObjectRecoveryInfo(soid=hoid, version=item.need), ObjectRecoveryProgress()
    )
    epoch = pg.osdmap.epoch
    message = MOSDPGRecoveryDelete(
        from_=pg.whoami,
        pgid=SPGId(pg.pgid.pgid, target.shard),
        map_epoch=epoch,
        min_epoch=pg.last_peering_reset,
        cost=_COST,
        objects=[(hoid, item.need)],
    )
    pg.services.send_osd(target.osd, message, epoch)


def delete_here(pg: PG, hoid: HObject) -> None:
    """The primary deletes what it missed the deletion of."""
    item = pg.missing.missing[hoid]
    pg.recovery.pulls[hoid] = Pull(
        pg.whoami, ObjectRecoveryInfo(soid=hoid, version=item.need), ObjectRecoveryProgress()
    )
    transaction = Transaction()
    delete(pg, hoid, transaction)
    queue(pg, transaction, partial(recovery.on_here, pg, hoid))


def delete(pg: PG, hoid: HObject, transaction: Transaction) -> None:
    """Adds to a transaction what removes an object that does not exist any more."""
    gh = GHObject(hoid, NO_GEN, pg.pgid.shard)
    pg.objects.forget(hoid)
    if pg.store.exists(pg.coll, gh):
        transaction.remove(pg.coll, gh)
    if hoid.snap < MAXSNAP:
        snap_mapper.remove(pg.store, transaction, hoid, pg.pgid.shard)
    recovery.got(pg, hoid)


# ----------------------------------------------------------------------------------------- messages


def on_message(pg: PG, message: Message) -> bool:
    """Takes what recovery says; False for what is none of it."""
    if isinstance(message, MOSDPGPull):
        _on_pull(pg, message)
    elif isinstance(message, MOSDPGPush):
        if pg.is_primary:
            _on_pulled(pg, message)
        else:
            _on_push(pg, message)
    elif isinstance(message, MOSDPGPushReply):
        _on_push_reply(pg, message)
    elif isinstance(message, MOSDPGRecoveryDelete):
        _on_delete(pg, message)
    elif isinstance(message, MOSDPGRecoveryDeleteReply):
        for hoid, _ in message.objects:
            recovery.on_there(pg, hoid, message.from_)
    else:
        return False
    return True


def _on_pull(pg: PG, message: MOSDPGPull) -> None:
    """The primary asks for parts of objects."""
    for asked in message.pulls:
        info = asked.recovery_info
        gh = GHObject(asked.soid, NO_GEN, pg.pgid.shard)
        try:
            if asked.recovery_progress.first and info.size == ALL:
                info.size = pg.store.stat(pg.coll, gh).size
                whole = IntervalSet([(0, info.size)] if info.size else [])
                info.copy_subset = info.copy_subset & whole
            op = build_push(pg, info, asked.recovery_progress)
        except (CephError, WireError) as error:
            pg.services.clog(LogLevel.ERROR, f"{pg.pgid} cannot give {asked.soid}: {error}")
            op = PushOp(soid=asked.soid)  # of version 0: it is not to be had here
        _send_push(pg, message.from_, op)


def _on_pulled(pg: PG, message: MOSDPGPush) -> None:
    """A part of an object that the primary asked for."""
    for op in message.pushes:
        pulling = pg.recovery.pulls.get(op.soid)
        if pulling is None or pulling.source != message.from_:
            continue
        if op.version == EVersion(0, 0):
            recovery.on_bad(pg, op.soid, message.from_)
            continue
        pulling.info.size = op.recovery_info.size
        pulling.info.version = op.version
        pulling.info.copy_subset = op.recovery_info.copy_subset
        if op.before_progress.first and INFO_ATTR in op.attrset:
            pulling.info.oi = ObjectInfo.decode(op.attrset[INFO_ATTR])
        transaction = Transaction()
        if store_push(pg, op, transaction):
            lost.on_arrival(pg, pulling.info, transaction)
            pg.shared.shards_repaired += bool(pg.state & PGState.REPAIR)
            queue(pg, transaction, partial(recovery.on_here, pg, op.soid))
        else:
            pulling.progress = op.after_progress
            queue(pg, transaction, nothing_follows)
            _send_pull(pg, message.from_, PullOp(op.soid, pulling.info, op.after_progress))


def _on_push(pg: PG, message: MOSDPGPush) -> None:
    """The primary brings parts of objects."""
    transaction = Transaction()
    for op in message.pushes:
        if store_push(pg, op, transaction) and message.is_repair:
            pg.shared.shards_repaired += 1
    epoch = pg.osdmap.epoch
    reply = MOSDPGPushReply(
        pgid=pg.pgid.pgid,
        map_epoch=message.map_epoch,
        replies=[PushReplyOp(op.soid) for op in message.pushes],
        cost=message.cost,
        shard=message.from_.shard,
        from_=pg.whoami,
        min_epoch=message.min_epoch,
    )
    queue(pg, transaction, partial(pg.services.send_osd, message.from_.osd, reply, epoch))


def _on_push_reply(pg: PG, message: MOSDPGPushReply) -> None:
    """A replica has a part; it gets the next one."""
    shard = message.from_
    for reply in message.replies:
        pushing = pg.recovery.pushes.get(reply.soid, {}).get(shard)
        if pushing is None:
            continue
        if pushing.progress.data_complete and pushing.progress.omap_complete:
            recovery.on_there(pg, reply.soid, shard)
            continue
        try:
            op = build_push(pg, pushing.info, pushing.progress)
        except CephError as error:
            pg.services.clog(LogLevel.ERROR, f"{pg.pgid} cannot push {reply.soid}: {error}")
            recovery.on_bad(pg, reply.soid, pg.whoami)
            continue
        pushing.progress = op.after_progress
        _send_push(pg, shard, op)


def _on_delete(pg: PG, message: MOSDPGRecoveryDelete) -> None:
    """The primary has objects deleted whose deletion was missed."""
    transaction = Transaction()
    for hoid, version in message.objects:
        item = pg.missing.missing.get(hoid)
        if item is not None and item.need == version:
            delete(pg, hoid, transaction)
    epoch = pg.osdmap.epoch
    reply = MOSDPGRecoveryDeleteReply(
        pgid=pg.pgid.pgid,
        map_epoch=message.map_epoch,
        min_epoch=message.min_epoch,
        objects=message.objects,
        shard=message.from_.shard,
        from_=pg.whoami,
    )
    queue(pg, transaction, partial(pg.services.send_osd, message.from_.osd, reply, epoch))


def store_push(pg: PG, op: PushOp, transaction: Transaction) -> bool:
    """Adds to a transaction what stores a part; True when the object is complete with it."""
    info, before, after = op.recovery_info, op.before_progress, op.after_progress
    cid, shard = pg.coll, pg.pgid.shard
    complete = after.data_complete and after.omap_complete
    gh = GHObject(info.soid, NO_GEN, shard)
    target = gh if before.first and complete else _temporary(pg, info)
    if before.first:
        if target is not gh or not info.object_exist:
            if pg.store.exists(cid, target):
                transaction.remove(cid, target)
            transaction.touch(cid, target)
            oi = ObjectInfo.decode(op.attrset[INFO_ATTR])
            transaction.set_alloc_hint(
                cid,
                target,
                oi.expected_object_size,
                oi.expected_write_size,
                oi.alloc_hint_flags,
            )
        if target is gh:
            transaction.rmattrs(cid, target)
            if not before.omap_complete:
                transaction.omap_clear(cid, target)
        transaction.truncate(cid, target, info.size)
        if op.omap_header:
            transaction.omap_setheader(cid, target, op.omap_header)
        if target is not gh and info.object_exist:
            _keep_clean_parts(pg, info, gh, target, transaction)
    holes = IntervalSet()
    if after.data_recovered_to > before.data_recovered_to:
        start = before.data_recovered_to
        holes.insert(start, after.data_recovered_to - start)
    for start, length in (holes & info.copy_subset) - op.data_included:
        transaction.zero(cid, target, start, length)
    at = 0
    for start, length in op.data_included:
        transaction.write(cid, target, start, op.data[at : at + length])
        at += length
    if op.omap_entries:
        transaction.omap_setkeys(cid, target, op.omap_entries)
    if op.attrset:
        transaction.setattrs(cid, target, op.attrset)
    if not complete:
        pg.recovery.temporary.add(target)
        return False
    if pg.backfill.room.primary_bytes:
        pg.backfill.room.note_stored(pg, stored_size(pg, info.soid), info.size)
    if target is not gh:
        pg.recovery.temporary.discard(target)
        if pg.store.exists(cid, gh):
            transaction.remove(cid, gh)
        transaction.collection_move_rename(cid, target, cid, gh)
    for clone, ranges in info.clone_subset.items():
        for start, length in ranges:
            source = GHObject(clone, NO_GEN, shard)
            transaction.clone_range(cid, source, gh, start, length, start)
    pg.objects.forget(info.soid)
    if info.soid.snap < MAXSNAP:
        snaps = set(info.ss.clone_snaps.get(info.soid.snap, ()))
        if snaps:
            snap_mapper.set_snaps(pg.store, transaction, info.soid, snaps, shard)
    if not pg.is_primary:
        recovery.got(pg, info.soid)
    return True


def _keep_clean_parts(
    pg: PG, info: ObjectRecoveryInfo, old: GHObject, target: GHObject, transaction: Transaction
) -> None:
    """What is not sent is as it was here."""
    size = min(info.size, pg.store.stat(pg.coll, old).size)
    if size:
        kept = IntervalSet([(0, size)]) - info.copy_subset
        for start, length in kept:
            transaction.clone_range(pg.coll, old, target, start, length, start)


def _temporary(pg: PG, info: ObjectRecoveryInfo) -> GHObject:
    """Where an object is put together, as upstream names it."""
    hoid, since = info.soid, pg.info.history.same_interval_since
    name = f"temp_recovering_{pg.pgid}_{info.version}_{since}_{snap_name(hoid.snap)}"
    return GHObject(hoid.temp(name), NO_GEN, pg.pgid.shard)


def clear_temporary(pg: PG, objects: Iterable[GHObject]) -> None:
    """Removes objects that were to be put together, and will not be."""
    transaction = Transaction()
    for gh in objects:
        transaction.remove(pg.coll, gh)
    if transaction:
        pg.queue((transaction,), pg.on_store_result)


def find_temporary(pg: PG) -> list[GHObject]:
    """Such objects that the end of an earlier run of the OSD has left."""
    found: list[GHObject] = []
    start = GHMIN
    while True:
        some, start = pg.store.collection_list(pg.coll, start, limit=64)
        found += [gh for gh in some if gh.hobj.is_temp]
        if start == GHMAX or not some or not some[-1].hobj.is_temp:
            return found


def stored_size(pg: PG, hoid: HObject) -> int:
    """How large an object is here, 0 if it is not."""
    try:
        return pg.store.stat(pg.coll, GHObject(hoid, NO_GEN, pg.pgid.shard)).size
    except NotFound:
        return 0


def queue(pg: PG, transaction: Transaction, then: object) -> None:
    """Stores what a message brought, and goes on when it is on disk (in the same interval)."""
    meta.write(pg, transaction)
    since = pg.osdmap.epoch

    def on_commit(error: Exception | None) -> None:
        if error is not None:
            pg.shared.store_failed(error)
        elif not pg.has_reset_since(since) and callable(then):
            then()

    pg.queue((transaction,), on_commit)


def nothing_follows() -> None:
    """Nobody waits for it."""
