"""Gives every member of a PG the objects that it lacks, by the log: the primary first.

The primary pulls what it lacks from whoever has it, then pushes to each replica what that lacks; a
few objects at a time, those that requests wait for before others. How an object travels is in
`transfer`. Called by `peering.activate` and whenever an object has arrived. Upstream:
`src/osd/PrimaryLogPG.cc` (start_recovery_ops, recover_primary, recover_replicas).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.osd.pg import transfer
from spirula.osd.pg.peering.merge import update_last_complete
from spirula.types.pg import PGShard, PGState

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG
    from spirula.types.hobject import HObject


def _nothing_follows() -> None:
    """No interval has started yet."""


@dataclass(slots=True, eq=False)
class Recovery:
    """What is on its way. `pulls`: objects to this OSD, with what is known of each.

    `pushes`: objects to replicas, by object and replica. `unfound` are those that nobody has.
    """

    pulls: dict[HObject, transfer.Pull] = field(default_factory=dict)
    pushes: dict[HObject, dict[PGShard, transfer.Push]] = field(default_factory=dict)
    unfound: set[HObject] = field(default_factory=set)
    on_finished: Callable[[], None] = _nothing_follows
    """Called when everybody has everything."""

    @property
    def active(self) -> int:
        """How many objects are on their way."""
        return len(self.pulls) + len(self.pushes)

    def clear(self) -> None:
        """A new interval begins."""
        self.pulls.clear()
        self.pushes.clear()
        self.unfound.clear()


def is_needed(pg: PG) -> bool:
    """Whether any OSD of the acting set lacks objects."""
    return bool(pg.peering.backfill_targets) or _lacks_by_log(pg)


def _lacks_by_log(pg: PG) -> bool:
    if pg.missing.missing:
        return True
    peers = pg.peering.peer_missing
    return any(peers[each].missing for each in pg.replicas if each in peers)


def start(pg: PG) -> None:
    """Has as many objects on their way as may be at the same time."""
    if not pg.is_primary or not pg.is_peered or not is_needed(pg):
        return
    if not _lacks_by_log(pg):
        pg.set_state(on=PGState.BACKFILL_WAIT, off=PGState.RECOVERING)
        return
    pg.set_state(on=PGState.RECOVERING)
    recovery, most = pg.recovery, _most_at_once(pg)
    for hoid in _wanted(pg):
        if recovery.active >= most:
            break
        _recover(pg, hoid)
    if recovery.unfound and not recovery.active:
        pg.set_state(on=PGState.RECOVERY_UNFOUND, off=PGState.RECOVERING)


def _most_at_once(pg: PG) -> int:
    options = pg.options
    return options.osd_recovery_max_active or options.osd_recovery_max_active_ssd


def _wanted(pg: PG) -> Iterator[HObject]:
    """Objects that somebody lacks and that are not on their way, the urgent ones first."""
    recovery = pg.recovery
    missing = [pg.missing, *(pg.peering.peer_missing[each] for each in pg.replicas)]
    seen: set[HObject] = set()
    urgent = [*pg.waiting.for_object, *pg.waiting.until_writable]
    oldest_first = sorted(
        ((item.need, hoid) for one in missing for hoid, item in one.missing.items()),
        key=lambda each: each[0],
    )
    for hoid in [*urgent, *(hoid for _, hoid in oldest_first)]:
        if hoid in seen or hoid in recovery.pulls or hoid in recovery.pushes:
            continue
        seen.add(hoid)
        if any(hoid in one.missing for one in missing):
            yield hoid


def _recover(pg: PG, hoid: HObject) -> None:
    item = pg.missing.missing.get(hoid)
    if item is None:
        _push_everywhere(pg, hoid)
    elif item.is_delete:
        transfer.delete_here(pg, hoid)
    else:
        sources = _sources(pg, hoid)
        if sources:
            pg.recovery.unfound.discard(hoid)
            transfer.pull(pg, hoid, item, sources[0])
        else:
            pg.recovery.unfound.add(hoid)


def _sources(pg: PG, hoid: HObject) -> list[PGShard]:
    """Who has the newest version of an object that is lacked here."""
    need = pg.missing.missing[hoid].need
    found = []
    for shard, info in pg.peering.peer_info.items():
        lacks = pg.peering.peer_missing.get(shard)
        if lacks is None or hoid in lacks.missing or shard in pg.peering.backfill_targets:
            continue
        if info.last_update >= need and hoid <= info.last_backfill:
            found.append(shard)
    return sorted(found, key=lambda each: (each not in pg.replicas, each.osd))


def _push_everywhere(pg: PG, hoid: HObject) -> None:
    for shard in pg.replicas:
        item = pg.peering.peer_missing[shard].missing.get(hoid)
        if item is None:
            continue
        if item.is_delete:
            transfer.delete_there(pg, hoid, item, shard)
        else:
            transfer.push(pg, hoid, item, shard)


def on_here(pg: PG, hoid: HObject) -> None:
    """An object has arrived at the primary: now the replicas can have it."""
    pg.recovery.pulls.pop(hoid, None)
    pg.objects.forget(hoid)
    got(pg, hoid)
    if not any(hoid in pg.peering.peer_missing[each].missing for each in pg.replicas):
        _everywhere(pg, hoid)
    else:
        _push_everywhere(pg, hoid)
        readable = pg.waiting.for_object.pop(hoid, None)
        if readable:
            pg.requeue(list(readable))
    _go_on(pg)


def on_there(pg: PG, hoid: HObject, shard: PGShard) -> None:
    """An object has arrived at a replica."""
    pushes = pg.recovery.pushes.get(hoid)
    if pushes is None or pushes.pop(shard, None) is None:
        return
    lacks = pg.peering.peer_missing[shard]
    lacks.missing.pop(hoid, None)
    if not lacks.missing:
        info = pg.peering.peer_info[shard]
        info.last_complete = info.last_update
    if not pushes:
        del pg.recovery.pushes[hoid]
        _everywhere(pg, hoid)
    _go_on(pg)


def _everywhere(pg: PG, hoid: HObject) -> None:
    """All have the object: those who wait for it go on."""
    waiting = pg.waiting.for_object.pop(hoid, None)
    resumes = pg.waiting.until_writable.pop(hoid, None)
    if waiting:
        pg.requeue(list(waiting))
    for resume in resumes or ():
        resume()


def _go_on(pg: PG) -> None:
    if is_needed(pg):
        start(pg)
    else:
        pg.set_state(off=PGState.RECOVERING | PGState.RECOVERY_WAIT | PGState.RECOVERY_UNFOUND)
        pg.recovery.on_finished()


def got(pg: PG, hoid: HObject) -> None:
    """An object that this OSD lacked is here: the log counts as complete a bit further."""
    if pg.missing.missing.pop(hoid, None) is not None:
        pg.meta.missing.add(hoid)
        pg.meta.dirty_info = True
        update_last_complete(pg)
