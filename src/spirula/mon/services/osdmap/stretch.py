"""Stretch mode: two sites and a tiebreaker; what the map says when one is lost or comes back.

Called by the commands here, by the monitor map's service, which enables the mode and knows which
sites have lost their monitors, and at ticks. Upstream: `src/mon/OSDMonitor.cc`
(try_enable_stretch_mode, trigger_degraded_stretch_mode and the functions around them).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from spirula.commands.arguments import flag
from spirula.commands.reply import Reply, committed, said
from spirula.commands.table import Commands
from spirula.crush.classes import is_shadow
from spirula.crush.lookup import item_id, item_weight, rule_id, type_id
from spirula.errors import InvalidArgument, NotFound, NotPermitted
from spirula.maps.query import subtree_is_down
from spirula.types.pg import PGState
from spirula.types.pool import CRUSH_ITEM_NONE, PeeringCrushData, PGPool

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_SITES = 2
_SURE_HEALTHY = (
    "This command will require peering across multiple CRUSH buckets (probably two data centers or"
    " availability zones?) and may result in PGs going inactive until backfilling is complete."
    " Pass --yes-i-really-mean-it to proceed."
)
_SURE_RECOVERY = (
    "This command will increase pool sizes to try and spread them across multiple CRUSH buckets"
    " (probably two data centers or availability zones?) and should have happened automatically"
    "Pass --yes-i-really-mean-it to proceed."
)


# --------------------------------------------------------------------------------------- enabling


def check_enable(service: OSDMapService, type_name: str, rule: str) -> None:
    """Whether stretch mode can begin between buckets of that type. InvalidArgument, NotFound."""
    osdmap, config = service.osdmap, service.monitor.config
    crush = service.pending_crush()
    number = rule_id(crush, rule)
    if number is None:
        raise NotFound(f"unrecognized crush rule {rule}")
    size = config.get_int("osd_pool_default_size")
    least = config.get_int("osd_pool_default_min_size")
    least = min(least, size) if least else size - size // 2
    for pool_id, pool in sorted(osdmap.pools.items()):
        name = osdmap.pool_name.get(pool_id, "")
        if pool.is_erasure:
            raise InvalidArgument(f"stretched pools must be replicated; '{name}' is erasure-coded")
        if (pool.size, pool.min_size) != (size, least) and pool.crush_rule != number:
            raise InvalidArgument(
                "we currently require stretch mode pools start out with the default"
                f" size/min_size, which '{name}' does not"
            )
    type = type_id(crush, type_name)
    if type is None:
        raise NotFound(f"{type_name} is not a valid crush bucket type")
    sites = [
        bucket.id
        for bucket in crush.buckets
        if bucket is not None and bucket.type == type and not is_shadow(crush, bucket.id)
    ]
    if len(sites) != _SITES:
        raise InvalidArgument(
            f"there are {len(sites)}{type_name}'s in the cluster but stretch mode currently only"
            " works with 2!"
        )
    one, other = (item_weight(crush, site) for site in sites)
    if one != other:
        raise InvalidArgument(
            f"the 2 {type_name}instances in the cluster have differing weights {one} and {other}"
            " but stretch mode currently requires they be the same!"
        )


def enable(service: OSDMapService, type_name: str, rule: str) -> None:
    """Begin stretch mode, after `check_enable`; proposes."""
    config, inc = service.monitor.config, service.pending
    crush = service.pending_crush()
    type, number = type_id(crush, type_name) or 0, rule_id(crush, rule) or 0
    for pool_id in sorted(service.osdmap.pools):
        pool = service.pending_pool(pool_id)
        pool.crush_rule = number
        _demand(pool, PeeringCrushData(_SITES, _SITES, type, CRUSH_ITEM_NONE))
        pool.size = config.get_int("mon_stretch_pool_size")
        pool.min_size = config.get_int("mon_stretch_pool_min_size")
    inc.change_stretch_mode = inc.stretch_mode_enabled = True
    inc.new_stretch_bucket_count = _SITES
    inc.new_degraded_stretch_mode = 0
    inc.new_stretch_mode_bucket = type
    service.propose()


def _demand(pool: PGPool, data: PeeringCrushData) -> None:
    pool.peering_crush_data = data
    if pool.optional_peering_crush_data is not None:
        pool.optional_peering_crush_data = data


# ----------------------------------------------------------------------------- losing and returning


def dead_sites(service: OSDMapService, without_mons: Iterable[str]) -> list[int]:
    """Of the sites that have lost all their monitors, those whose OSDs are down as well."""
    known: set[int] = set()
    ids = (item_id(service.osdmap.crush, name) for name in without_mons)
    return [id for id in ids if id < 0 and subtree_is_down(service.osdmap, id, known)]


def _keep_mode(service: OSDMapService) -> None:
    osdmap, inc = service.osdmap, service.pending
    inc.change_stretch_mode = True
    inc.stretch_mode_enabled = osdmap.stretch_mode_enabled
    inc.new_stretch_bucket_count = osdmap.stretch_bucket_count
    inc.new_stretch_mode_bucket = osdmap.stretch_mode_bucket


def go_degraded(service: OSDMapService, remaining: str) -> None:
    """One site is lost: the other goes on alone; proposes."""
    osdmap, inc = service.osdmap, service.pending
    site = item_id(osdmap.crush, remaining)
    _keep_mode(service)
    inc.new_degraded_stretch_mode = 1
    inc.new_recovering_stretch_mode = 0
    for number, pool in osdmap.pools.items():
        wanted = pool.stretch
        if wanted is not None:
            changing = service.pending_pool(number)
            _demand(
                changing, PeeringCrushData(1, wanted.bucket_target, wanted.bucket_barrier, site)
            )
            changing.min_size = pool.min_size // 2
            changing.last_force_op_resend = inc.epoch
    service.stretch_recovery_since = None
    service.propose()


def go_recovering(service: OSDMapService) -> None:
    """The lost site is back, and has to catch up; proposes."""
    osdmap, inc = service.osdmap, service.pending
    if not osdmap.degraded_stretch_mode or osdmap.recovering_stretch_mode:
        return
    _keep_mode(service)
    inc.new_degraded_stretch_mode = osdmap.degraded_stretch_mode
    inc.new_recovering_stretch_mode = 1
    for number, pool in osdmap.pools.items():
        if pool.stretch is not None:
            service.pending_pool(number).last_force_op_resend = inc.epoch
    service.stretch_recovery_since = None
    service.propose()


def go_healthy(service: OSDMapService) -> None:
    """Both sites have everything: both are asked for again; proposes."""
    osdmap, inc = service.osdmap, service.pending
    _keep_mode(service)
    inc.new_degraded_stretch_mode = inc.new_recovering_stretch_mode = 0
    for number, pool in osdmap.pools.items():
        wanted = pool.stretch
        if wanted is not None:
            changing = service.pending_pool(number)
            count = osdmap.stretch_bucket_count
            _demand(
                changing,
                PeeringCrushData(
                    count, wanted.bucket_target, wanted.bucket_barrier, CRUSH_ITEM_NONE
                ),
            )
            changing.min_size = service.monitor.config.get_int("mon_stretch_pool_min_size")
            changing.last_force_op_resend = inc.epoch
    service.stretch_recovery_since = None
    service.propose()


def tick(service: OSDMapService) -> None:
    """End the recovery when it has lasted a while and all PGs are whole."""
    osdmap, now = service.osdmap, service.monitor.now()
    if not osdmap.recovering_stretch_mode:
        service.stretch_recovery_since = None
        return
    if service.stretch_recovery_since is None:
        service.stretch_recovery_since = now
    least = service.monitor.config.get_float("mon_stretch_recovery_min_wait")
    if now - service.stretch_recovery_since > least and _all_whole(service):
        go_healthy(service)


def _all_whole(service: OSDMapService) -> bool:
    digest = service.digest
    if digest is None:
        return False
    # A digest that does not know of all PGs, or of none at all, says nothing.
    if digest.num_pg < sum(pool.pg_num for pool in service.osdmap.pools.values()):
        return False
    counts = digest.pg_sum.stats.sum
    if counts.num_objects_degraded or digest.num_pg_unknown:
        return False
    return all(state & PGState.ACTIVE for state, count in digest.num_pg_by_state.items() if count)


# ----------------------------------------------------------------------------------------- commands


@commands.add(
    "osd force_healthy_stretch_mode",
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="ask for both sites again although not all PGs are whole",
)
def force_healthy(
    service: OSDMapService, request: Request, *, yes_i_really_mean_it: bool = False
) -> Reply:
    """`ceph osd force_healthy_stretch_mode`."""
    if not yes_i_really_mean_it:
        raise NotPermitted(_SURE_HEALTHY)
    if not service.osdmap.recovering_stretch_mode:
        return said("Triggering healthy stretch mode")
    go_healthy(service)
    return committed("Triggering healthy stretch mode")


@commands.add(
    "osd force_recovery_stretch_mode",
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="let the site that was lost catch up",
)
def force_recovery(
    service: OSDMapService, request: Request, *, yes_i_really_mean_it: bool = False
) -> Reply:
    """`ceph osd force_recovery_stretch_mode`."""
    if not yes_i_really_mean_it:
        raise NotPermitted(_SURE_RECOVERY)
    go_recovering(service)
    if service.pending.change_stretch_mode:
        return committed("Triggering recovery stretch mode")
    return said("Triggering recovery stretch mode")
