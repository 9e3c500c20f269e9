"""When a PG begins a new interval: from one map to the next, something about who serves it changed.

The monitors follow the intervals of PGs that are being created, OSDs those of their PGs. Upstream:
`src/osd/osd_types.cc` (PastIntervals::is_new_interval, check_new_interval).
"""

from __future__ import annotations

from collections.abc import Callable

from spirula.crush.lookup import parent_of_type
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import PGMapping
from spirula.maps.state import OSDMapFlag
from spirula.types.past_intervals import PGInterval
from spirula.types.pg import NO_OSD, PGId
from spirula.types.pool import PGPool

CouldServe = Callable[[list[int]], bool]
"""Whether these OSDs, holes left out, were enough to serve the PG."""
_FLAGS = OSDMapFlag.SORTBITWISE | OSDMapFlag.RECOVERY_DELETES


def is_new_interval(
    pg: PGId, old: PGMapping, new: PGMapping, before: OSDMap, after: OSDMap
) -> bool:
    """Whether the PG begins a new interval with the map `after`.

    `old` and `new` are its places by the two maps. Also where its pool goes; never once it is gone.
    """
    was = before.pools.get(pg.pool)
    if was is None:
        return False
    pool = after.pools.get(pg.pool)
    if pool is None:
        return True
    return (
        old != new
        or (was.size, was.min_size) != (pool.size, pool.min_size)
        or bool((before.flags ^ after.flags) & _FLAGS)
        or was.stretch != pool.stretch
        or _takes_part(pg, was.pg_num, pool.pg_num)
        or _takes_part(pg, was.pg_num_pending, pool.pg_num_pending, splits=False)
        or _takes_part(pg, pool.pg_num_pending, was.pg_num_pending, splits=False)
    )


def _takes_part(pg: PGId, old_count: int, new_count: int, *, splits: bool = True) -> bool:
    """Whether the PG splits, or is merged or merged into, when the pool's number of PGs changes."""
    if splits and pg.children(old_count, new_count):
        return True
    if new_count <= pg.seed < old_count:
        return True
    return pg.seed < new_count and bool(pg.children(new_count, old_count))


def past_interval(
    pg: PGId,
    old: PGMapping,
    since: int,
    last_epoch_clean: int,
    before: OSDMap,
    after: OSDMap,
    could_serve: CouldServe,
) -> PGInterval:
    """The interval that ended before the map `after`; it began in the epoch `since`.

    `maybe_went_rw` says whether writes may have happened in it.
    """
    pool = before.pools[pg.pool]
    primary = old.acting_primary
    there = [osd for osd in old.acting if osd != NO_OSD]
    last: int = after.epoch - 1
    served = (
        bool(there)
        and primary != -1
        and len(there) >= pool.min_size
        and (pool.stretch is None or stretch_set_can_peer(before, pool, there))
        and could_serve(there)
    )
    if served:
        info = before.osd_info[primary]
        served = (info.up_thru >= since >= info.up_from) or since <= last_epoch_clean <= last
    return PGInterval(
        first=since,
        last=last,
        up=list(old.up),
        acting=list(old.acting),
        maybe_went_rw=served,
        primary=primary,
        up_primary=old.up_primary,
    )


def stretch_set_can_peer(osdmap: OSDMap, pool: PGPool, osds: list[int]) -> bool:
    """Whether these OSDs lie in as many sites, and in the one, that a stretch pool demands."""
    wanted = pool.stretch
    if wanted is None:
        return True
    sites = {
        parent_of_type(osdmap.crush, osd, wanted.bucket_barrier, pool.crush_rule) for osd in osds
    }
    if len(sites) < wanted.bucket_count:
        return False
    return wanted.mandatory_member == NO_OSD or wanted.mandatory_member in sites
