"""Temporary mappings that a change makes needless end with the change itself.

Upstream's option `mon_osd_prime_pg_temp` was meant to make temporary mappings in advance as well;
as 16.2 has it, this is all that comes of it. Called when a change is encoded. Upstream:
`OSDMonitor::prime_pg_temp`.
"""

from __future__ import annotations

from collections.abc import Container

from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.placement import Placement
from spirula.types.pg import PGId


def prime_pg_temp(
    osdmap: OSDMap, after: OSDMap, inc: Incremental, creating: Container[PGId]
) -> int:
    """End by `inc` the mappings of PGs that are served where they should be; gives how many.

    `after` is `osdmap` with `inc` applied. A PG with too few OSDs is left alone.
    """
    ended = 0
    here, there = Placement(osdmap), Placement(after)
    for pg in {**after.pg_temp, **after.primary_temp}:
        pool = after.pools.get(pg.pool)
        if pool is None or pg in creating or pg in inc.new_pg_temp:
            continue
        now, then = here.pg_to_up_acting_osds(pg), there.pg_to_up_acting_osds(pg)
        if then.up != then.acting or (now.acting == then.acting and now.up == now.acting):
            continue
        if len(now.acting) >= max(pool.min_size, 1):
            inc.new_pg_temp[pg] = []
            ended += 1
    return ended
