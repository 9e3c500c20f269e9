"""Stretch mode: two sites with OSDs, and a monitor elsewhere that decides which of them goes on.

Switching it on touches the monitor map, all pools and the OSD map, in one proposal. Rules and
texts: upstream `src/mon/MonmapMonitor.cc`, `OSDMonitor.cc` (try_enable_stretch_mode).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from spirula.commands.arguments import flag, text
from spirula.commands.reply import Reply, Retry, committed, said
from spirula.commands.table import Commands
from spirula.crush.lookup import item_weight, rule_id, type_id
from spirula.denc import features as feature_bits
from spirula.errors import InvalidArgument, NotFound, NotSupported
from spirula.maps.state import is_up
from spirula.mon.services.monmap import show
from spirula.types.mon import ElectionStrategy, MonMap
from spirula.types.pool import PeeringCrushData, PGPool, PoolType

if TYPE_CHECKING:
    from spirula.crush.wire import CrushWrapper
    from spirula.mon.request import Request
    from spirula.mon.services.monmap.service import MonMapService
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("mon")

SITES = 2
_CRUSH_ITEM_NONE = 0x7FFFFFFF


@commands.add(
    "mon set_new_tiebreaker",
    name=text(),
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="make another monitor the one that decides between the sites",
)
def set_new_tiebreaker(
    service: MonMapService, request: Request, name: str, yes_i_really_mean_it: bool = False
) -> Reply:
    """Chooses another tiebreaker; it should stand at neither of the sites."""
    pending = service.pending
    if not pending.stretch_mode_enabled:
        raise InvalidArgument("Stretch mode is not enabled, so there is no tiebreaker")
    if name not in pending.mon_info:
        raise NotFound(f"mon.{name} does not exist")
    location = pending.mon_info[name].crush_loc
    if not location:
        raise InvalidArgument(f"mon.{name} does not have a location specified")
    osdmap = request.monitor.osdmap.osdmap
    divider = osdmap.crush.type_names.get(osdmap.stretch_mode_bucket, "")
    if divider not in location:
        raise InvalidArgument(
            f"mon.{name} has a specificed location, but not a {divider}, "
            "which is the stretch divider"
        )
    same = sorted(
        other
        for other, info in pending.mon_info.items()
        if other not in (name, pending.tiebreaker_mon)
        and info.crush_loc.get(divider) == location[divider]
    )
    if same and not yes_i_really_mean_it:
        raise InvalidArgument(
            f"mon.{name} has location {location[divider]}, which matches mons "
            f"{show.joined(same)} on the {divider} dividing bucket for stretch mode. "
            "Pass --yes-i-really-mean-it if you're sure you want to do this."
            "(You really don't.)"
        )
    pending.tiebreaker_mon = name
    pending.disallowed_leaders.add(name)
    service.changed()
    return committed()


@commands.add(
    "mon enable_stretch_mode",
    tiebreaker_mon=text(),
    new_crush_rule=text(),
    dividing_bucket=text(),
    perm="rw",
    help="let two sites share all data, and a monitor elsewhere decide between them",
)
def enable_stretch_mode(
    service: MonMapService,
    request: Request,
    tiebreaker_mon: str,
    new_crush_rule: str,
    dividing_bucket: str,
) -> Reply:
    """Checks monitors, pools and the CRUSH map, then changes all three."""
    if service.monmap.stretch_mode_enabled:
        raise InvalidArgument("stretch mode is already engaged")
    if service.pending.stretch_mode_enabled:
        return said("stretch mode currently committing")
    osdmap = request.monitor.osdmap
    _all_understand(service, osdmap)
    rule = rule_id(osdmap.osdmap.crush, new_crush_rule)
    if rule is None:
        raise NotFound(f"unrecognized crush rule {-errno.ENOENT}")
    _check_pools(osdmap, rule)
    _check_monitors(service.pending, service.monmap, tiebreaker_mon, dividing_bucket)
    divider = _check_crush(osdmap.pending_crush(), dividing_bucket)
    pending = service.pending
    pending.disallowed_leaders.add(tiebreaker_mon)
    pending.tiebreaker_mon = tiebreaker_mon
    pending.stretch_mode_enabled = True
    config = request.monitor.config
    for number in osdmap.osdmap.pools:
        pool = osdmap.pending_pool(number)
        pool.crush_rule = rule
        pool.size = config.get_int("mon_stretch_pool_size")
        pool.min_size = config.get_int("mon_stretch_pool_min_size")
        _stretch(pool, divider)
    change = osdmap.pending
    change.change_stretch_mode = True
    change.stretch_mode_enabled = True
    change.new_stretch_bucket_count = SITES
    change.new_degraded_stretch_mode = 0
    change.new_recovering_stretch_mode = 0
    change.new_stretch_mode_bucket = divider
    osdmap.propose()
    service.changed()
    return committed()


def _stretch(pool: PGPool, divider: int) -> None:
    pool.peering_crush_data = PeeringCrushData(SITES, SITES, divider, _CRUSH_ITEM_NONE)


def _all_understand(service: MonMapService, osdmap: OSDMapService) -> None:
    """Raises NotSupported while somebody cannot work with stretch pools; Retry if one just came."""
    joined = service.monitor.joined
    needed = feature_bits.STRETCH_MODE
    lacking = []
    if joined is None or joined.quorum_features & needed != needed:
        lacking.append("the monitor cluster")
    for osd, info in enumerate(osdmap.osdmap.osd_xinfo):
        if is_up(osdmap.osdmap, osd) and info.features & needed != needed:
            lacking.append(f"osd.{osd}")
    if lacking:
        raise NotSupported(f"features {needed} unsupported by: {', '.join(lacking)}")
    if any(info.features & needed != needed for info in osdmap.pending.new_xinfo.values()):
        raise Retry


def _check_pools(osdmap: OSDMapService, rule: int) -> None:
    config = osdmap.monitor.config
    size = config.get_int("osd_pool_default_size")
    min_size = config.get_int("osd_pool_default_min_size") or size - size // 2
    for number, pool in osdmap.osdmap.pools.items():
        name = osdmap.osdmap.pool_name[number]
        if pool.type != PoolType.REPLICATED:
            raise InvalidArgument(f"stretched pools must be replicated; '{name}' is erasure-coded")
        if (pool.size != size or pool.min_size != min_size) and pool.crush_rule != rule:
            raise InvalidArgument(
                "we currently require stretch mode pools start out with the default "
                f"size/min_size, which '{name}' does not"
            )


def _check_monitors(pending: MonMap, monmap: MonMap, tiebreaker: str, divider: str) -> None:
    if pending.strategy != ElectionStrategy.CONNECTIVITY:
        raise InvalidArgument("Monitors must use the connectivity strategy to enable stretch mode")
    if tiebreaker not in pending.mon_info:
        raise NotFound(f"mon {tiebreaker}does not seem to exist")
    places: list[str] = []
    for name, info in sorted(monmap.mon_info.items()):
        if divider not in info.crush_loc:
            raise InvalidArgument(f"Could not find location entry for {divider} on monitor {name}")
        place = info.crush_loc[divider]
        if name != tiebreaker and place not in places:
            places.append(place)
    if len(places) > SITES:
        raise InvalidArgument(
            "There are too many monitor buckets for stretch mode, found "
            + show.joined(places[: SITES + 1])
        )
    if len(places) < SITES:
        raise InvalidArgument(
            "There are not enough monitor buckets for stretch mode; must have at least 2 plus "
            "the tiebreaker but only found "
        )
    own = monmap.mon_info[tiebreaker].crush_loc.get(divider, "")
    if own in places:
        raise InvalidArgument(
            f"The named tiebreaker monitor {tiebreaker} is in the same CRUSH bucket {own} as "
            "other monitors"
        )


def _check_crush(crush: CrushWrapper, divider: str) -> int:
    """The number of the type that divides the sites."""
    kind = type_id(crush, divider)
    if kind is None:
        raise NotFound(f"{divider} is not a valid crush bucket type")
    sites = [
        bucket.id
        for bucket in crush.buckets
        if bucket is not None
        and bucket.type == kind
        and "~" not in crush.item_names.get(bucket.id, "")
    ]
    if len(sites) != SITES:
        raise InvalidArgument(
            f"there are {len(sites)}{divider}'s in the cluster but stretch mode currently only "
            "works with 2!"
        )
    first, second = (item_weight(crush, site) for site in sites)
    if first != second:
        raise InvalidArgument(
            f"the 2 {divider}instances in the cluster have differing weights {first} and "
            f"{second} but stretch mode currently requires they be the same!"
        )
    return kind
