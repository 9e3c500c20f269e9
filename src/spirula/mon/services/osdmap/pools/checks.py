"""What commands about pools look up and check: sizes, numbers of PGs, rules, what is stored.

Called by the other modules here, tiers and snapshots. Upstream: `src/mon/OSDMonitor.cc`
(check_pg_num, get_crush_rule, prepare_pool_size ...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.reply import Retry
from spirula.crush.lookup import rule_id
from spirula.crush.map import CrushMap
from spirula.errors import InvalidArgument, NotFound, OutOfRange
from spirula.maps.placement import Placement
from spirula.maps.state import count_osds
from spirula.mon.services.osdmap import metadata
from spirula.mon.services.osdmap.crush.checks import error_text
from spirula.types.pg import PGId
from spirula.types.pg_stats import ObjectStatSum
from spirula.types.pool import PGPool, PoolFlag

if TYPE_CHECKING:
    from spirula.mon.services.osdmap.service import OSDMapService

_LEAST_OSDS = 3
"""Clusters are assumed to become at least that large."""
_SAMPLE = 8

FLAG_BY_NAME = {
    "hashpspool": PoolFlag.HASHPSPOOL,
    "nodelete": PoolFlag.NODELETE,
    "nopgchange": PoolFlag.NOPGCHANGE,
    "nosizechange": PoolFlag.NOSIZECHANGE,
    "write_fadvise_dontneed": PoolFlag.WRITE_FADVISE_DONTNEED,
    "noscrub": PoolFlag.NOSCRUB,
    "nodeep-scrub": PoolFlag.NODEEP_SCRUB,
    "bulk": PoolFlag.BULK,
}
"""The flags that operators set, by the names of the options."""


def is_tier(pool: PGPool) -> bool:
    """Whether the pool is a cache of another one."""
    return pool.tier_of >= 0


def find_committed(service: OSDMapService, name: str) -> tuple[int, PGPool]:
    """Number and settings of a committed pool.

    Raises NotFound in upstream's words; Retry while it is being removed, so that nothing is changed
    in a pool that goes.
    """
    number, pool = service.get_pool_by_name(name)
    if number in service.pending.old_pools:
        raise Retry
    return number, pool


def usage(service: OSDMapService, number: int) -> ObjectStatSum:
    """What is in a pool, as the manager knows it; nothing before it tells."""
    digest = service.digest
    stat = digest.pg_pool_sum.get(number) if digest else None
    return stat.stats.sum if stat else ObjectStatSum()


def default_min_size(service: OSDMapService, size: int) -> int:
    """How many copies must be there to serve, unless somebody said otherwise."""
    configured = service.monitor.config.get_int("osd_pool_default_min_size")
    return min(configured, size) if configured else size - size // 2


def check_max_pg_num(service: OSDMapService, pg_num: int) -> None:
    """Raise OutOfRange for more PGs than a pool may have."""
    most = service.monitor.config.get_int("mon_max_pool_pg_num")
    if not 0 < pg_num <= most:
        raise OutOfRange(
            f"'pg_num' must be greater than 0 and less than or equal to {most}"
            " (you may adjust 'mon max pool pg num' for higher values)"
        )


def check_pg_num(service: OSDMapService, number: int, pg_num: int, size: int) -> None:
    """Raise OutOfRange where the OSDs would get too many PGs; `number` is -1 for a new pool."""
    osdmap = service.osdmap
    per_osd = service.monitor.config.get_int("mon_max_pg_per_osd")
    osds = max(count_osds(osdmap).in_, _LEAST_OSDS)
    projected = pg_num * size
    projected += sum(
        pool.pg_num_target * pool.size for other, pool in osdmap.pools.items() if other != number
    )
    if projected > per_osd * osds:
        which = f"pool id {number}" if number >= 0 else ""
        raise OutOfRange(
            f"{which} pg_num {pg_num} size {size} would mean {projected} total pgs, which exceeds"
            f" max {per_osd * osds} (mon_max_pg_per_osd {per_osd} * num_in_osds {osds})"
        )


def check_rule(crush: CrushMap, rule: int, type: int, size: int) -> None:
    """Raise InvalidArgument unless a pool of that type and size may use the rule."""
    for one in crush.rules:
        if one and (one.ruleset, one.type) == (rule, type):
            if size < one.min_size:
                raise InvalidArgument("pool size is smaller than the crush rule min size")
            if size > one.max_size:
                raise InvalidArgument("pool size is bigger than the crush rule max size")
            return
    error = InvalidArgument()
    raise InvalidArgument(error_text(error.errno))


def rule_by_name(service: OSDMapService, name: str) -> int:
    """The number of a committed rule. Raises Retry while it is pending, NotFound."""
    found = rule_id(service.osdmap.crush, name)
    if found is not None:
        return found
    if rule_id(service.pending_crush(), name) is not None:
        raise Retry
    raise NotFound(f"specified rule {name} doesn't exist")


def check_all_bluestore(service: OSDMapService, number: int, pool: PGPool) -> None:
    """Raise InvalidArgument where one of the first PGs is on an OSD of another kind."""
    places = Placement(service.osdmap)
    for seed in range(min(_SAMPLE, pool.pg_num)):
        for osd in places.pg_to_up_acting_osds(PGId(number, seed)).up:
            if osd not in range(service.osdmap.max_osd):
                continue
            known = metadata.known(service.monitor.store, osd)
            kind = known.get("osd_objectstore", "bluestore")
            if kind != "bluestore":
                raise InvalidArgument(
                    "pool must only be stored on bluestore for scrubbing to work:"
                    f" osd.{osd} uses {kind}"
                )
