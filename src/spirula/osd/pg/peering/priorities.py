"""Which PG is brought up to date first: numbers that OSDs compare when slots are few.

Called when a slot is asked for, and when an operator prefers a PG. Numbers: upstream
`src/osd/osd_types.h` (OSD_RECOVERY_PRIORITY_BASE and its kin), `PeeringState.cc`
(get_recovery_priority, get_backfill_priority, set_force_recovery).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.types.pg import NO_OSD, PGState
from spirula.types.pool import PoolOpt

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG

BACKFILL = 100
BACKFILL_DEGRADED = 140
RECOVERY = 180
BACKFILL_INACTIVE = RECOVERY_INACTIVE = 220
HIGHEST = 253
BACKFILL_FORCED = 254
RECOVERY_FORCED = 255
_POOL_RANGE = 10
_HIGHEST_OF = {
    BACKFILL: BACKFILL_DEGRADED - 1,
    BACKFILL_DEGRADED: RECOVERY - 1,
    RECOVERY: BACKFILL_INACTIVE - 1,
    RECOVERY_INACTIVE: HIGHEST,
}


def recovery(pg: PG) -> int:
    """The priority of recovery by the log: more where data is at risk."""
    if pg.state & PGState.FORCED_RECOVERY:
        return RECOVERY_FORCED
    base = priority = RECOVERY
    available = len(pg.info.stats.avail_no_missing)
    if pg.state & PGState.DEGRADED and available < pg.pool.min_size:
        base = RECOVERY_INACTIVE
        priority = base + pg.pool.min_size - available
    return _of_pool(pg, priority, base)


def backfill(pg: PG) -> int:
    """The priority of backfill: more where copies are too few than where they only move."""
    if pg.state & PGState.FORCED_BACKFILL:
        return BACKFILL_FORCED
    base = priority = BACKFILL
    members = len([osd for osd in pg.acting if osd != NO_OSD])
    if len(pg.acting) < pg.pool.min_size:
        base = BACKFILL_INACTIVE
        priority = base + pg.pool.min_size - len(pg.acting)
    elif pg.state & PGState.UNDERSIZED:
        base = BACKFILL_DEGRADED
        priority = base + pg.pool.size - members
    elif pg.state & PGState.DEGRADED:
        base = priority = BACKFILL_DEGRADED
    return _of_pool(pg, priority, base)


def _of_pool(pg: PG, priority: int, base: int) -> int:
    """With the pool's recovery_priority (-10 to 10), within the range of its kind."""
    option = pg.pool.opts.opts.get(PoolOpt.RECOVERY_PRIORITY, 0)
    boost = min(max(int(option), -_POOL_RANGE), _POOL_RANGE) + _POOL_RANGE
    return max(min(priority + boost, _HIGHEST_OF[base]), 0)


def force_recovery(pg: PG, *, wanted: bool) -> None:
    """An operator wants the PG recovered before others, or no longer."""
    _force(
        pg,
        PGState.FORCED_RECOVERY,
        PGState.DEGRADED | PGState.RECOVERY_WAIT | PGState.RECOVERING,
        wanted=wanted,
    )
    pg.shared.reservers.local.update_priority(pg.pgid, _current(pg))


def force_backfill(pg: PG, *, wanted: bool) -> None:
    """An operator wants the PG backfilled before others, or no longer."""
    _force(
        pg,
        PGState.FORCED_BACKFILL,
        PGState.DEGRADED | PGState.BACKFILL_WAIT | PGState.BACKFILLING,
        wanted=wanted,
    )
    pg.shared.reservers.local.update_priority(pg.pgid, _current(pg))


def _current(pg: PG) -> int:
    """Of what the PG has a slot for, or waits with."""
    backfills = pg.state & (PGState.BACKFILL_WAIT | PGState.BACKFILLING)
    return backfill(pg) if backfills else recovery(pg)


def _force(pg: PG, bit: PGState, needs: PGState, *, wanted: bool) -> None:
    if not wanted:
        pg.set_state(off=bit)
    elif pg.state & needs:
        pg.set_state(on=bit)
    pg.shared.stats_changed(pg)
