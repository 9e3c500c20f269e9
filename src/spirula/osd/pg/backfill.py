"""Fills copies of a PG that the log cannot bring up to date, object by object in order of names.

The primary compares what it has with what each target has, range by range (`backfill_scan`): it
pushes what is lacking or old there, and has removed what is not here. All objects of a target up to
its `last_backfill` are as they should be and take part in writes; behind that, and behind what is
on its way, targets only take the log. `peering.active` starts and stops it when slots are reserved;
`recovery` calls `run` when it may have more on its way. Upstream: `src/osd/PrimaryLogPG.cc`
(recover_backfill, do_backfill, do_backfill_remove, should_send_op).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.errors import CephError, WireError
from spirula.maps.state import OSDMapFlag
from spirula.messages.osd_recovery import (
    BackfillOp,
    MOSDPGBackfill,
    MOSDPGBackfillRemove,
    MOSDPGScan,
    ScanOp,
)
from spirula.osd.ops.context import LockKind
from spirula.osd.pg import (
    availability,
    backfill_scan,
    backfill_target,
    locks,
    recovery,
    transfer,
)
from spirula.osd.pg.backfill_scan import NO_VERSION, Digest, Interval
from spirula.types.hobject import HMAX, HMIN, HObject
from spirula.types.log import LogLevel
from spirula.types.object_info import ObjectFlag
from spirula.types.pg import PGShard, PGState, SPGId
from spirula.types.pg_log import ObjectCleanRegions, PGMissingItem
from spirula.types.pg_stats import ObjectStatSum

if TYPE_CHECKING:
    from spirula.messages.base import Message
    from spirula.osd.ops.context import ObjectContext, StatDelta
    from spirula.osd.pg.state import PG
    from spirula.types.base import EVersion


@dataclass(slots=True, eq=False)
class Backfill:
    """How far the backfill of a PG is, at its primary.

    Objects up to `last_started` are at all targets, or on their way (`in_flight`, with the context
    of each, which is locked for reading). `here` and `there` are what is compared; `scanning` are
    targets whose list is awaited, `finishing` those who have been told that they have everything.
    `updates` is what objects behind `last_backfill` add to a target's statistics once that is
    beyond them, `order` their names as a heap. `blocked` is an object that has to be let go by
    clients first: new requests wait. `room` is what a target has set aside.
    """

    running: bool = False
    is_new: bool = True
    last_started: HObject = HMIN
    here: Interval = field(default_factory=Interval)
    there: dict[PGShard, Interval] = field(default_factory=dict)
    scanning: set[PGShard] = field(default_factory=set)
    finishing: set[PGShard] = field(default_factory=set)
    in_flight: dict[HObject, ObjectContext | None] = field(default_factory=dict)
    updates: dict[HObject, ObjectStatSum] = field(default_factory=dict)
    order: list[HObject] = field(default_factory=list)
    blocked: HObject | None = None
    room: backfill_target.Room = field(default_factory=backfill_target.Room)


# --------------------------------------------------------------------------- what others look at


def is_needed(pg: PG) -> bool:
    """Whether somebody is still to be filled."""
    infos = pg.peering.peer_info
    return any(infos[each].is_incomplete for each in pg.peering.backfill_targets)


def is_idle(pg: PG) -> bool:
    """Whether nothing is awaited from a target."""
    backfill = pg.backfill
    return not (backfill.scanning or backfill.finishing or backfill.in_flight)


def count(pg: PG, hoid: HObject, delta: StatDelta) -> None:
    """A write changes the statistics: so it does those of who has the object already."""
    backfill, infos = pg.backfill, pg.peering.peer_info
    started = hoid <= backfill.last_started
    behind = False
    for target in pg.peering.backfill_targets:
        info = infos[target]
        if hoid <= info.last_backfill:
            delta.add_to(info.stats.stats.sum)
        else:
            behind = started
    if behind:
        delta.add_to(_pending(backfill, hoid))


def _pending(backfill: Backfill, hoid: HObject) -> ObjectStatSum:
    found = backfill.updates.get(hoid)
    if found is None:
        found = backfill.updates[hoid] = ObjectStatSum()
        heapq.heappush(backfill.order, hoid)
    return found


# ------------------------------------------------------------------------------------ the primary


def start(pg: PG) -> None:
    """All have a slot: `run` may be called."""
    pg.backfill.running = True


def stop(pg: PG) -> None:
    """No more is begun. What is on its way arrives, and later it goes on from there."""
    backfill = pg.backfill
    backfill.running = False
    if backfill.scanning:
        backfill.scanning.clear()
        pg.shared.recoveries.finished(pg)
    waited, backfill.blocked = backfill.blocked, None
    if waited is not None and not availability.is_copied(pg, waited):
        _let_go(pg, waited)


def _let_go(pg: PG, hoid: HObject) -> None:
    """Requests for an object that was waited for go on."""
    waiting = pg.waiting.for_object.pop(hoid, None)
    resumes = pg.waiting.until_writable.pop(hoid, None)
    if waiting:
        pg.requeue(list(waiting))
    for resume in resumes or ():
        resume()


def run(pg: PG, most: int) -> int:
    """Begins with at most so many objects; returns with how many (a scan counts as one)."""
    backfill = pg.backfill
    if not backfill.running or backfill.scanning or backfill.finishing or pg.missing.missing:
        return 0
    if _is_held_back(pg):
        return 0
    if backfill.is_new:
        _begin(pg)
    waited, backfill.blocked = backfill.blocked, None
    _follow_changes(pg)
    begun = _Begun()
    while begun.ops < most and _step(pg, begun):
        pass
    if waited is not None and not availability.is_copied(pg, waited):
        _let_go(pg, waited)
    for target, gone in begun.gone.items():
        _send_removals(pg, target, gone)
    _note_progress(pg)
    if is_idle(pg) and not is_needed(pg):
        backfill.running = False
        pg.post("backfilled")
    return begun.ops


def _is_held_back(pg: PG) -> bool:
    """Whether an operator has set a flag against it."""
    flags = pg.osdmap.flags
    if flags & OSDMapFlag.NOBACKFILL:
        return True
    return bool(flags & OSDMapFlag.NOREBALANCE) and not pg.state & PGState.DEGRADED


def earliest(pg: PG) -> HObject:
    """Up to where all targets are filled."""
    infos = pg.peering.peer_info
    return min((infos[each].last_backfill for each in pg.peering.backfill_targets), default=HMAX)


def _begin(pg: PG) -> None:
    """In a new interval: from where the targets were."""
    backfill, infos = pg.backfill, pg.peering.peer_info
    backfill.is_new = False
    backfill.last_started = earliest(pg)
    backfill.here.reset(backfill.last_started)
    for target in pg.peering.backfill_targets:
        backfill.there[target] = made = Interval()
        made.reset(infos[target].last_backfill)


def _follow_changes(pg: PG) -> None:
    """What was written meanwhile is taken in, and what is done left out."""
    backfill = pg.backfill
    backfill.here.begin = backfill.last_started
    backfill_scan.update(pg, backfill.here)
    for target, theirs in backfill.there.items():
        done = pg.peering.peer_info[target].last_backfill
        theirs.trim_to(max(done, backfill.last_started))
    backfill.here.trim_to(backfill.last_started)


@dataclass(slots=True)
class _Begun:
    """What one call of `run` has begun: how many objects and scans, and what targets remove."""

    ops: int = 0
    gone: dict[PGShard, list[tuple[HObject, EVersion]]] = field(default_factory=dict)


def _step(pg: PG, begun: _Begun) -> bool:
    """Deals with the next object; False if there is none, or it has to be waited."""
    backfill = pg.backfill
    here, there = backfill.here, backfill.there
    first = min(each.begin for each in there.values())
    if here.is_empty and not here.reaches_end and here.begin <= first:
        here.reset(here.end)
        backfill_scan.update(pg, here)
        here.trim()
    for target, theirs in there.items():
        if theirs.is_empty and not theirs.reaches_end and theirs.begin <= here.begin:
            _ask_digest(pg, target, theirs.end)
    if backfill.scanning:
        begun.ops += 1
        return False
    if here.is_empty and all(each.is_empty and each.reaches_end for each in there.values()):
        return False
    if first < here.begin:
        for target, theirs in there.items():
            if theirs.begin == first:
                begun.gone.setdefault(target, []).append((first, theirs.versions[first]))
                theirs.pop()
        backfill.last_started = first
        _pending(backfill, first)
        return True
    return _copy_next(pg, begun)


def _ask_digest(pg: PG, target: PGShard, start_at: HObject) -> None:
    epoch = pg.osdmap.epoch
    message = MOSDPGScan(
        op=ScanOp.GET_DIGEST,
        map_epoch=epoch,
        query_epoch=pg.last_peering_reset,
        pgid=pg.pgid.pgid,
        begin=start_at,
        end=HObject(),
        from_=pg.whoami,
        shard=target.shard,
    )
    if not pg.backfill.scanning:
        pg.shared.recoveries.started(pg)  # all that go on at the same time count as one
    pg.backfill.scanning.add(target)
    pg.services.send_osd(target.osd, message, epoch)


def _copy_next(pg: PG, begun: _Begun) -> bool:
    """Has the first object here copied to who has not got it, or has it in another version."""
    backfill, infos = pg.backfill, pg.peering.peer_info
    here, there = backfill.here, backfill.there
    hoid, version = here.begin, here.versions[here.begin]
    known = [target for target, theirs in there.items() if theirs.begin == hoid]
    lacking = []
    for target, theirs in there.items():
        if target not in known:
            if hoid > infos[target].last_backfill:
                lacking.append(target)
        elif theirs.versions[hoid] != version or version == NO_VERSION:
            lacking.append(target)
    obc = _context(pg, hoid)
    counted = _of_object(pg, obc) if obc is not None else ObjectStatSum(num_objects=1)
    if lacking:
        if obc is not None and not locks.try_lock(obc.lock, LockKind.READ, None):
            backfill.blocked = hoid
            obc.lock.recovery_read_marker = True
            return False
        _push(pg, hoid, obc, version, lacking)
        begun.ops += 1
    _pending(backfill, hoid).add(counted)
    backfill.last_started = hoid
    here.pop()
    for target in known:
        there[target].pop()
    return True


def _context(pg: PG, hoid: HObject) -> ObjectContext | None:
    try:
        obc = pg.objects.get(hoid, can_create=False)
        if obc is not None:
            return obc
        why = "it has no info"
    except (CephError, WireError) as error:
        why = str(error)
    pg.services.clog(LogLevel.ERROR, f"{pg.pgid} cannot copy {hoid}: {why}")
    return None


def _push(
    pg: PG,
    hoid: HObject,
    obc: ObjectContext | None,
    version: EVersion,
    targets: list[PGShard],
) -> None:
    """Sends an object to those; where it cannot be read, `recovery` gets it from others first."""
    pg.backfill.in_flight[hoid] = obc
    pg.recovery.moving[hoid] = None
    pg.shared.recoveries.started(pg)
    items = {}
    for target in targets:
        item = PGMissingItem(version, NO_VERSION, False, ObjectCleanRegions.all_dirty())
        items[target] = pg.peering.peer_missing[target].missing[hoid] = item
    if obc is None:
        recovery.on_bad(pg, hoid, pg.whoami)
        return
    for target, item in items.items():
        if not transfer.push(pg, hoid, item, target):
            break  # and is on its way from elsewhere


def on_everywhere(pg: PG, hoid: HObject) -> None:
    """An object has arrived at all whom it was sent to."""
    _unlock(pg, pg.backfill.in_flight.pop(hoid, None))


def on_bad(pg: PG, hoid: HObject) -> None:
    """An object cannot be read here: it stays on its way until it is had from elsewhere."""
    in_flight = pg.backfill.in_flight
    if hoid in in_flight:
        obc, in_flight[hoid] = in_flight[hoid], None
        _unlock(pg, obc)


def _unlock(pg: PG, obc: ObjectContext | None) -> None:
    if obc is not None:
        pg.unlock(obc)


def _of_object(pg: PG, obc: ObjectContext) -> ObjectStatSum:
    """What an object adds to the statistics of a copy. Upstream: add_object_context_to_pg_stat."""
    info, made = obc.info, ObjectStatSum()
    made.num_bytes, made.num_objects = info.size, 1
    made.num_objects_dirty = int(info.test(ObjectFlag.DIRTY))
    made.num_whiteouts = int(info.test(ObjectFlag.WHITEOUT))
    made.num_objects_omap = int(info.test(ObjectFlag.OMAP))
    made.num_objects_pinned = int(info.test(ObjectFlag.CACHE_PIN))
    made.num_objects_manifest = int(info.test(ObjectFlag.MANIFEST))
    if info.soid.is_snap:
        made.num_object_clones = 1
        snapset = pg.objects.snapset_context(info.soid).snapset
        shared = snapset.clone_overlap.get(info.soid.snap)
        if shared is not None:
            made.num_bytes -= shared.size
    return made


def _send_removals(pg: PG, target: PGShard, gone: list[tuple[HObject, EVersion]]) -> None:
    epoch = pg.osdmap.epoch
    message = MOSDPGBackfillRemove(SPGId(pg.pgid.pgid, target.shard), epoch, gone)
    pg.services.send_osd(target.osd, message, epoch)


def _note_progress(pg: PG) -> None:
    """Tells the targets how far they are filled: up to the first object that has not arrived."""
    backfill, infos = pg.backfill, pg.peering.peer_info
    targets = pg.peering.backfill_targets
    reached = min([backfill.here.begin, *(each.begin for each in backfill.there.values())])
    limit = min(backfill.in_flight, default=reached)
    last_backfill = earliest(pg)
    while backfill.order and backfill.order[0] < limit:
        hoid = heapq.heappop(backfill.order)
        change = backfill.updates.pop(hoid)
        for target in targets:
            if hoid > infos[target].last_backfill:
                infos[target].stats.stats.sum.add(change)
        last_backfill = max(last_backfill, hoid)
    if not backfill.updates and reached.max:
        last_backfill = backfill.last_started = HMAX
    for target in targets:
        if last_backfill > infos[target].last_backfill:
            _tell_progress(pg, target, last_backfill)


def _tell_progress(pg: PG, target: PGShard, last_backfill: HObject) -> None:
    info, epoch = pg.peering.peer_info[target], pg.osdmap.epoch
    info.last_backfill = last_backfill
    op = BackfillOp.PROGRESS
    if last_backfill.max:
        # what was counted may be wrong where the log brought in some of it
        info.stats = type(info.stats).decode(pg.info.stats.encode())
        op = BackfillOp.FINISH
        pg.backfill.finishing.add(target)
        pg.shared.recoveries.started(pg)
    message = MOSDPGBackfill(
        op=op,
        map_epoch=epoch,
        query_epoch=pg.last_peering_reset,
        pgid=pg.pgid.pgid,
        last_backfill=last_backfill,
        old_stats=info.stats.stats,
        stats=info.stats,
        shard=target.shard,
    )
    pg.services.send_osd(target.osd, message, epoch)
    pg.stats_changed = True


# --------------------------------------------------------------------------------------- messages


def on_message(pg: PG, message: Message) -> bool:
    """Takes what backfill says; False for what is none of it."""
    if isinstance(message, MOSDPGScan):
        if message.op == ScanOp.GET_DIGEST:
            backfill_target.on_get_digest(pg, message)
        elif message.op == ScanOp.DIGEST:
            _on_digest(pg, message)
    elif isinstance(message, MOSDPGBackfill):
        if message.op == BackfillOp.FINISH_ACK:
            _on_finish_ack(pg, PGShard(message.connection.peer_name.num))
        else:
            backfill_target.on_progress(pg, message)
    elif isinstance(message, MOSDPGBackfillRemove):
        backfill_target.on_remove(pg, message)
    else:
        return False
    return True


def _on_digest(pg: PG, message: MOSDPGScan) -> None:
    """A target's objects."""
    backfill = pg.backfill
    theirs = backfill.there.get(message.from_)
    if theirs is None:
        return
    theirs.fill(Digest.decode(bytes(message.data)).objects)
    theirs.begin, theirs.end = message.begin, message.end
    if message.from_ in backfill.scanning:
        backfill.scanning.discard(message.from_)
        if not backfill.scanning:
            pg.shared.recoveries.finished(pg)
            pg.shared.recoveries.queue(pg)


def _on_finish_ack(pg: PG, target: PGShard) -> None:
    """A target knows that it has everything."""
    backfill = pg.backfill
    if target in backfill.finishing:
        backfill.finishing.discard(target)
        pg.shared.recoveries.finished(pg)
        pg.shared.recoveries.queue(pg)
