"""Gives every member of a PG the objects that it lacks, by the log: the primary first.

The primary pulls what it lacks from whoever has it, then pushes to each replica what that lacks;
as many at a time as the OSD's `recovery_queue` allows, those that requests wait for before others
and at once. How an object travels is in `transfer`, who has what nobody else has in `unfound`.
Called by the queue, by `pipeline`, and whenever an object has arrived. Upstream:
`src/osd/PrimaryLogPG.cc` (start_recovery_ops, recover_primary, recover_replicas).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from spirula.maps.state import OSDMapFlag, is_up
from spirula.osd.ops.context import LockKind
from spirula.osd.pg import backfill, backoff, locks, lost, transfer, unfound
from spirula.osd.pg.peering.missing import NOTHING, need
from spirula.osd.scrub import repair
from spirula.types.log import LogLevel
from spirula.types.pg import PGShard, PGState

if TYPE_CHECKING:
    from collections.abc import Callable

    from spirula.osd.ops.context import ObjectContext
    from spirula.osd.pg.state import PG
    from spirula.types.base import EVersion
    from spirula.types.hobject import GHObject, HObject

_MOVES = int(PGState.RECOVERING | PGState.BACKFILLING)


@dataclass(slots=True, eq=False)
class Recovery:
    """What is on its way. `pulls`: objects to this OSD, with what is known of each.

    `pushes`: objects to replicas, by object and replica. `moving` are those of either kind, from
    the first pull to the last push; `todo` those whose turn comes, oldest change first. `unfound`
    are those that nobody has who could be asked so far, `bad` where an object could not be read.
    """

    pulls: dict[HObject, transfer.Pull] = field(default_factory=dict)
    pushes: dict[HObject, dict[PGShard, transfer.Push]] = field(default_factory=dict)
    moving: dict[HObject, Callable[[], None] | None] = field(default_factory=dict)
    """With what follows when all have the object (None: the log's recovery goes on)."""
    todo: deque[HObject] = field(default_factory=deque)
    locked: dict[HObject, ObjectContext] = field(default_factory=dict)
    """Objects on their way to replicas, which are not written meanwhile."""
    blocked: set[HObject] = field(default_factory=set)
    """Objects whose turn came while they were written: tried again when that is done."""
    unfound: set[HObject] = field(default_factory=set)
    bad: dict[HObject, set[PGShard]] = field(default_factory=dict)
    might_have: set[PGShard] = field(default_factory=set)
    """Who may have what is unfound."""
    needs: list[tuple[EVersion, HObject]] = field(default_factory=list)
    """What this OSD lacks, the newest change first; some of it may have come meanwhile."""
    temporary: set[GHObject] = field(default_factory=set)
    """Objects that are put together here under another name."""
    queued: bool = False
    ops_active: int = 0

    def clear(self) -> None:
        """A new interval begins."""
        self.pulls.clear()
        self.pushes.clear()
        self.moving.clear()
        self.todo.clear()
        self.locked.clear()
        self.blocked.clear()
        self.unfound.clear()
        self.bad.clear()
        self.might_have.clear()
        self.temporary.clear()
        self.needs.clear()


def is_needed(pg: PG) -> bool:
    """Whether any OSD lacks objects by the log."""
    if pg.missing.missing:
        return True
    peers = pg.peering.peer_missing
    return any(peers[each].missing for each in pg.replicas if each in peers)


def _lacks_by_log(pg: PG) -> bool:
    """`is_needed`, without what backfill has on its way."""
    if pg.missing.missing:
        return True
    peers, copied = pg.peering.peer_missing, pg.backfill.in_flight
    return any(
        hoid not in copied for each in pg.replicas if each in peers for hoid in peers[each].missing
    )


def run(pg: PG, most: int) -> None:
    """It is the PG's turn: starts up to `most` objects."""
    if not pg.state & _MOVES or not pg.is_primary:
        return
    if pg.osdmap.flags & OSDMapFlag.NORECOVER:
        return  # `on_map` asks again
    started = 0
    todo, blocked = pg.recovery.todo, pg.recovery.blocked
    todo.extendleft(blocked)
    blocked.clear()
    if not todo and not pg.recovery.moving:
        _plan(pg)
    while todo and started < most:
        hoid = todo.popleft()
        if _has_relative_moving(pg, hoid):
            blocked.add(hoid)
        else:
            started += _recover(pg, hoid)
    if started < most and pg.state & PGState.BACKFILLING and not _lacks_by_log(pg):
        started += backfill.run(pg, most - started)
    pg.shared.moved.recovery_ops.value += started
    if started:
        pg.shared.recoveries.queue(pg)
    elif not todo:
        _look_whether_done(pg)


def _plan(pg: PG) -> None:
    """Puts in order what is to be moved: the primary's first, then the replicas that lack least."""
    recovery, peering = pg.recovery, pg.peering
    lacking = [pg.missing]
    replicas = [each for each in pg.replicas if each in peering.peer_missing]
    replicas.sort(
        key=lambda each: (
            each in peering.async_recovery_targets,
            len(peering.peer_missing[each].missing),
        )
    )
    lacking += [peering.peer_missing[each] for each in replicas]
    seen: dict[HObject, None] = {}
    for one in lacking:
        for _, hoid in sorted(
            ((item.need, hoid) for hoid, item in one.missing.items()), key=lambda each: each[0]
        ):
            if hoid not in recovery.unfound:
                seen[hoid] = None
    recovery.todo.extend(seen)


def kick(pg: PG, hoid: HObject) -> None:
    """A request waits for an object: it is moved at once, before its turn."""
    if not pg.is_peered or not pg.is_primary:
        return
    if hoid in pg.recovery.moving or hoid in pg.recovery.unfound:
        return
    _recover(pg, hoid)


def _has_relative_moving(pg: PG, hoid: HObject) -> bool:
    """Whether a clone or the head of the object is on its way: once there, it is of use."""
    head = hoid.head()
    return any(other != hoid and other.head() == head for other in pg.recovery.moving)


def _recover(pg: PG, hoid: HObject) -> int:
    """Begins to move an object; how many were begun with."""
    recovery = pg.recovery
    if hoid in recovery.moving:
        return 0
    item = pg.missing.missing.get(hoid)
    if item is not None and not item.is_delete:
        if hoid.is_snap and hoid.head() in pg.missing.missing:
            return _recover_head(pg, hoid)
        if lost.revert_here(pg, hoid, partial(on_here, pg, hoid)):
            _begin(pg, hoid)
            return 1
        sources = unfound.sources(pg, hoid)
        if not sources:
            recovery.unfound.add(hoid)
            return 0
        _begin(pg, hoid)
        transfer.pull(pg, hoid, item, sources)
        return 1
    if item is not None:
        _begin(pg, hoid)
        transfer.delete_here(pg, hoid)
        return 1
    lacks = [pg.peering.peer_missing[each].missing.get(hoid) for each in pg.replicas]
    if not any(lacks):
        return 0
    if not all(each is None or each.is_delete for each in lacks):
        if hoid.is_snap and hoid.head() in pg.missing.missing:
            return _recover_head(pg, hoid)
        if not _lock(pg, hoid):
            recovery.blocked.add(hoid)
            return 0
    _begin(pg, hoid)
    _push_everywhere(pg, hoid)
    return 1


def _recover_head(pg: PG, clone: HObject) -> int:
    """The head of a clone comes first: what the clone is for, and what it shares, is said there."""
    recovery, head = pg.recovery, clone.head()
    begun = _recover(pg, head)
    if head not in recovery.unfound:
        recovery.blocked.add(clone)  # `run` looks at it again in its next turn
    return begun


def _lock(pg: PG, hoid: HObject) -> bool:
    """Keeps an object as it is while it is sent; False if a write is under way."""
    obc = pg.objects.get(hoid, can_create=False)
    if obc is None:
        return True  # where it should be it is not: `transfer.push` finds that out
    if not locks.try_lock(obc.lock, LockKind.READ, None):
        obc.lock.recovery_read_marker = True
        return False
    pg.recovery.locked[hoid] = obc
    return True


def _unlock(pg: PG, hoid: HObject) -> None:
    obc = pg.recovery.locked.pop(hoid, None)
    if obc is not None:
        pg.unlock(obc)


def _begin(pg: PG, hoid: HObject) -> None:
    pg.recovery.moving[hoid] = None
    pg.shared.recoveries.started(pg)


def _push_everywhere(pg: PG, hoid: HObject) -> None:
    """Has all replicas get an object that is here; those who lack it are in `pushes` then."""
    for shard in pg.replicas:
        item = pg.peering.peer_missing[shard].missing.get(hoid)
        if item is None:
            continue
        if item.is_delete:
            transfer.delete_there(pg, hoid, item, shard)
        elif not transfer.push(pg, hoid, item, shard):
            return  # it cannot be read here, which is looked after already
    if hoid not in pg.recovery.pushes and hoid in pg.recovery.moving:
        on_everywhere(pg, hoid)


def on_here(pg: PG, hoid: HObject) -> None:
    """An object has arrived at the primary: now the replicas can have it."""
    pulled = pg.recovery.pulls.pop(hoid, None)
    pg.recovery.unfound.discard(hoid)
    pg.objects.forget(hoid)
    got(pg, hoid)
    if pulled is not None and pulled.subsets is not None:
        pulled.subsets.release(pg)
    if any(hoid in pg.peering.peer_missing[each].missing for each in pg.replicas):
        _lock(pg, hoid)
    pg.stats_changed = True
    readable = pg.waiting.for_object.pop(hoid, None)
    if pg.backoffs:
        backoff.release(pg, hoid)
    _push_everywhere(pg, hoid)
    if readable:
        pg.requeue(list(readable))


def on_there(pg: PG, hoid: HObject, shard: PGShard) -> None:
    """An object has arrived at a replica."""
    pushes = pg.recovery.pushes.get(hoid)
    pushed = pushes.pop(shard, None) if pushes is not None else None
    if pushes is None or pushed is None:
        return
    if pushed.subsets is not None:
        pushed.subsets.release(pg)
    lacks = pg.peering.peer_missing.get(shard)
    if lacks is not None:
        item = lacks.missing.get(hoid)
        if item is not None and item.need <= pushed.info.version:
            del lacks.missing[hoid]  # else it was changed since, of which only the log went there
        if not lacks.missing:
            info = pg.peering.peer_info[shard]
            info.last_complete = info.last_update
    pg.stats_changed = True
    if not pushes:
        del pg.recovery.pushes[hoid]
        on_everywhere(pg, hoid)


def on_everywhere(pg: PG, hoid: HObject) -> None:
    """All have the object: those who wait for it go on."""
    then = pg.recovery.moving.pop(hoid, None)
    _unlock(pg, hoid)
    if hoid in pg.backfill.in_flight:
        backfill.on_everywhere(pg, hoid)
    pg.shared.recoveries.finished(pg)
    if pg.backoffs:
        backoff.release(pg, hoid)
    waiting = pg.waiting.for_object.pop(hoid, None)
    resumes = pg.waiting.until_writable.pop(hoid, None)
    if waiting:
        pg.requeue(list(waiting))
    for resume in resumes or ():
        resume()
    if then is not None:
        then()
    pg.shared.recoveries.queue(pg)


def drop_sources(pg: PG) -> None:
    """OSDs are down that are no members: what was pulled from them is to come from others."""
    recovery = pg.recovery
    for hoid, pulled in list(recovery.pulls.items()):
        if not is_up(pg.osdmap, pulled.source.osd):
            del recovery.pulls[hoid]
            if pulled.subsets is not None:
                pulled.subsets.release(pg)
            recovery.moving.pop(hoid, None)
            pg.shared.recoveries.finished(pg)
            recovery.todo.append(hoid)
    unfound.locate(pg)
    pg.shared.recoveries.queue(pg)


def on_bad(pg: PG, hoid: HObject, shard: PGShard) -> None:
    """An OSD cannot give an object that it should have: it counts as lacking it."""
    recovery = pg.recovery
    pulled, pushed = recovery.pulls.pop(hoid, None), recovery.pushes.pop(hoid, {})
    for each in (pulled, *pushed.values()):
        if each is not None and each.subsets is not None:
            each.subsets.release(pg)
    _unlock(pg, hoid)
    if hoid in recovery.moving:
        del recovery.moving[hoid]
        pg.shared.recoveries.finished(pg)
    backfill.on_bad(pg, hoid)
    recovery.bad.setdefault(hoid, set()).add(shard)
    repair.note_bad(pg, hoid, shard)
    if shard == pg.whoami and hoid not in pg.missing.missing:
        _lose_here(pg, hoid)
    if hoid in pg.missing.missing and not unfound.sources(pg, hoid):
        recovery.unfound.add(hoid)
        pg.stats_changed = True
        repair.on_unfound(pg, hoid)
    else:
        recovery.todo.append(hoid)
    pg.shared.recoveries.queue(pg)


def _lose_here(pg: PG, hoid: HObject) -> None:
    """What this OSD has of an object cannot be read: another one's copy has to come first."""
    peers = pg.peering.peer_missing
    lacks = [peers[each].missing.get(hoid) for each in pg.replicas if each in peers]
    version = max((item.need for item in lacks if item is not None), default=NOTHING)
    need(pg.missing, hoid, version, NOTHING)
    pg.recovery.needs.clear()
    pg.meta.missing.add(hoid)
    pg.meta.dirty_info = True
    pg.objects.forget(hoid)
    pg.info.last_complete = _complete_to(pg)


def _look_whether_done(pg: PG) -> None:
    """Nothing more can be started now: that is the end, if nothing is on its way."""
    recovery = pg.recovery
    if recovery.moving or recovery.ops_active or recovery.blocked:
        return
    if is_needed(pg):
        if recovery.unfound:
            if not unfound.look_again(pg):
                backfills = pg.state & PGState.BACKFILLING
                pg.post("unfound_backfill" if backfills else "unfound_recovery")
        else:
            _plan(pg)
            pg.shared.recoveries.queue(pg)
        return
    if pg.state & PGState.RECOVERING:
        if backfill.is_needed(pg):
            pg.post("request_backfill")
        else:
            pg.post("all_replicas_recovered")


def reset(pg: PG) -> None:
    """A new interval begins: what is on its way does not count."""
    transfer.clear_temporary(pg, pg.recovery.temporary)
    pg.recovery.clear()


def on_map(pg: PG) -> None:
    """A newer map of the same interval: who has what is unfound may be back."""
    pg.shared.recoveries.queue(pg)
    if pg.recovery.unfound:
        unfound.look_again(pg)
        if unfound.are_all_queried(pg):
            count = len(pg.recovery.unfound)
            text = f"{pg.pgid} has {count} objects unfound and apparently lost"
            pg.services.clog(LogLevel.ERROR, text)


def on_clean(pg: PG) -> None:
    """Nothing is left to do."""
    asked = set(pg.recovery.might_have)
    pg.recovery.clear()
    pg.recovery.might_have = asked  # it is told until the interval ends


def got(pg: PG, hoid: HObject) -> None:
    """An object that this OSD lacked is here: the log counts as complete a bit further."""
    if pg.missing.missing.pop(hoid, None) is not None:
        pg.meta.missing.add(hoid)
        pg.meta.dirty_info = True
        pg.info.last_complete = _complete_to(pg)


def _complete_to(pg: PG) -> EVersion:
    """Just before the oldest entry whose change is lacked.

    What comes to be lacked meanwhile is newer than all that was, so that the oldest of `needs` that
    is lacked still is the oldest of all.
    """
    missing, needs = pg.missing.missing, pg.recovery.needs
    if not missing:
        needs.clear()
        return pg.info.last_update
    while True:
        if len(needs) < len(missing):
            needs.clear()
            needs.extend((item.need, hoid) for hoid, item in missing.items())
            needs.sort(key=lambda each: each[0], reverse=True)
        need, hoid = needs[-1]
        lacked = missing.get(hoid)
        if lacked is not None and lacked.need == need:
            return min(pg.log.before(need), pg.info.last_update)
        needs.pop()
