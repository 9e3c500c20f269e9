"""What a new OSD map means for the statistics: PGs come and go, those of dead primaries are stale.

Upstream: `src/mon/PGMap.cc` (PGMapUpdater::check_osd_map, check_down_pgs).
"""

from __future__ import annotations

import copy

from spirula.maps.osdmap import OSDMap
from spirula.maps.state import exists, is_down, is_out, is_up
from spirula.pgmap.record import Changes, PGMap
from spirula.types.base import UTime
from spirula.types.osd_stats import OSDStat, Pow2Hist
from spirula.types.pg import PGId, PGState
from spirula.types.pg_stats import PGStat

_STALE = int(PGState.STALE)
_STAMPS = (
    "last_fresh",
    "last_active",
    "last_change",
    "last_peered",
    "last_clean",
    "last_unstale",
    "last_undegraded",
    "last_fullsized",
    "last_scrub_stamp",
    "last_deep_scrub_stamp",
    "last_clean_scrub_stamp",
)


def note_osd_map(pgmap: PGMap, osdmap: OSDMap, changes: Changes, now: float) -> None:
    """Adds to `changes` what follows from the newest map."""
    _check_osds(pgmap, osdmap, changes)
    _check_pools(pgmap, osdmap, changes)
    _mark_stale(pgmap, osdmap, changes, now)


def _check_osds(pgmap: PGMap, osdmap: OSDMap, changes: Changes) -> None:
    for osd, stat in pgmap.osd_stat.items():
        if not exists(osdmap, osd):
            changes.osd_gone.add(osd)
            changes.osd_stat.pop(osd, None)
        elif is_out(osdmap, osd):
            if stat.statfs.total:
                changes.osd_stat[osd] = OSDStat()
        elif not is_up(osdmap, osd) and stat.op_queue_age_hist.h:
            # It will not work off what waits in it.
            idle = copy.copy(changes.osd_stat.get(osd, stat))
            idle.op_queue_age_hist = Pow2Hist()
            changes.osd_stat[osd] = idle


def _check_pools(pgmap: PGMap, osdmap: OSDMap, changes: Changes) -> None:
    for pgid in [*changes.pg_stat]:
        pool = osdmap.pools.get(pgid.pool)
        if pool is None or pgid.seed >= pool.pg_num:
            del changes.pg_stat[pgid]
    gone = {pool for pool in pgmap.num_pg_by_pool if pool not in osdmap.pools}
    if gone:
        changes.pg_gone |= {pgid for pgid in pgmap.pg_stat if pgid.pool in gone}
    for number, pool in osdmap.pools.items():
        known = pgmap.num_pg_by_pool[number]
        for seed in range(known, pool.pg_num):
            pgid = PGId(number, seed)
            if pgid not in changes.pg_stat and pgid not in pgmap.pg_stat:
                changes.pg_stat[pgid] = _unknown_pg(osdmap.modified)
        for seed in range(pool.pg_num, known):
            changes.pg_gone.add(PGId(number, seed))


def _unknown_pg(since: UTime) -> PGStat:
    stat = PGStat()
    for stamp in _STAMPS:
        setattr(stat, stamp, since)
    return stat


def _mark_stale(pgmap: PGMap, osdmap: OSDMap, changes: Changes, now: float) -> None:
    down = {
        stat.acting_primary
        for stat in pgmap.pg_stat.values()
        if stat.acting_primary != -1 and not stat.state & _STALE
    }
    down = {osd for osd in down if is_down(osdmap, osd)}
    if not down:
        return
    for pgid, current in pgmap.pg_stat.items():
        if current.acting_primary not in down or current.state & _STALE:
            continue
        if pgid in changes.pg_gone:
            continue
        newer = changes.pg_stat.get(pgid)
        if newer is not None and not (
            newer.acting_primary == current.acting_primary
            or (newer.acting_primary != -1 and is_down(osdmap, newer.acting_primary))
        ):
            continue  # somebody who lives leads it by now
        stale = copy.copy(newer or current)
        stale.state |= _STALE
        stale.last_unstale = UTime.at(now)
        changes.pg_stat[pgid] = stale
