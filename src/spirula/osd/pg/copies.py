"""How many copies of a PG's objects are lacking, or at OSDs where they are not to stay.

Degraded is what has fewer copies than the pool wants, misplaced what has enough of them, some at
OSDs that the map does not name. Called by `stats`. Upstream: `src/osd/PeeringState.cc`
(update_calc_stats, for replicated pools).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.types.pg import NO_OSD, PGShard, PGState

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG
    from spirula.types.hobject import HObject

_PEERED = int(PGState.ACTIVE | PGState.PEERED | PGState.ACTIVATING)
_OFTEN_LACKING = int(PGState.REMAPPED | PGState.UNDERSIZED)


def calculate(pg: PG) -> None:
    """Brings the counts in the PG's statistics up to date."""
    total = pg.info.stats.stats.sum
    up, acting = _members(pg.up), _members(pg.acting)
    wanted = max(pg.pool.size, len(up))
    total.num_object_copies = total.num_objects * max(wanted, len(acting))
    total.num_objects_degraded = total.num_objects_misplaced = 0
    total.num_objects_missing = total.num_objects_missing_on_primary = len(pg.missing.missing)
    pg.info.stats.avail_no_missing = []
    whole = pg.state & PGState.CLEAN and not pg.state & _OFTEN_LACKING
    if not whole and pg.state & _PEERED and pg.is_primary:
        lacking = _lacking(pg)
        pg.info.stats.avail_no_missing = [each for each, count in lacking.items() if not count]
        if pg.state & PGState.RECOVERING:
            degraded, misplaced = _while_recovering(pg, up)
            degraded += total.num_objects * (wanted - len(up))
        else:
            degraded, misplaced = by_copies(lacking, up, acting, wanted, total.num_objects)
        total.num_objects_degraded, total.num_objects_misplaced = degraded, misplaced


def _members(osds: list[int]) -> set[PGShard]:
    return {PGShard(osd) for osd in osds if osd != NO_OSD}


def _lacking(pg: PG) -> dict[PGShard, int]:
    """How many objects each OSD lacks, this one first."""
    peering, count = pg.peering, pg.info.stats.stats.sum.num_objects
    found = {pg.whoami: len(pg.missing.missing)}
    for shard, info in peering.peer_info.items():
        if shard == pg.whoami:
            continue
        theirs = info.stats.stats.sum
        lacks = peering.peer_missing.get(shard)
        if lacks is None or shard in peering.backfill_targets:
            missing = max(count - max(theirs.num_objects, 0), 0)
        else:
            missing = len(lacks.missing)
        found[shard] = theirs.num_objects_missing = missing
    return found


def _while_recovering(pg: PG, up: set[PGShard]) -> tuple[int, int]:
    """Degraded and misplaced copies of the objects that somebody lacks by the log."""
    peering = pg.peering
    missing = {pg.whoami: pg.missing.missing}
    for shard, lacks in peering.peer_missing.items():
        if shard not in peering.backfill_targets:
            missing[shard] = lacks.missing
    everybody = set(pg.acting_recovery_backfill)
    lacked: set[HObject] = set()
    for shard, objects in missing.items():
        if shard in everybody:
            lacked.update(objects)
    degraded = misplaced = 0
    for hoid in lacked:
        have = [each for each, objects in missing.items() if hoid not in objects]
        there = sum(each in up for each in have)
        elsewhere = min(len(up) - there, len(have) - there)
        degraded += len(up) - there - elsewhere
        misplaced += elsewhere
    return degraded, misplaced


def by_copies(
    lacking: dict[PGShard, int],
    up: set[PGShard],
    acting: set[PGShard],
    wanted: int,
    num_objects: int,
) -> tuple[int, int]:
    """Degraded and misplaced copies by how much each OSD lacks.

    What an OSD of the up set lacks is misplaced as far as one that serves in its place has it.
    """
    targets = sorted(count for shard, count in lacking.items() if shard in up)
    sources = sorted(
        count for shard, count in lacking.items() if shard in acting and shard not in up
    )
    if wanted > len(targets):
        targets.append(num_objects * (wanted - len(targets)))
        targets.sort()
    degraded = misplaced = 0
    for count in reversed(targets):
        extra = sources.pop(0) if sources else -1
        if 0 <= extra <= count:
            misplaced += count - extra
            degraded += extra
        else:
            degraded += count
    misplaced += sum(max(num_objects - count, 0) for count in sources)
    return degraded, misplaced
