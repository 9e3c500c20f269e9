"""Commands that make a pool the cache of another one.

Upstream: `src/mon/OSDMonitor.cc` (osd tier ...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, flag, integer, pool_name
from spirula.commands.reply import Reply, Retry, said
from spirula.commands.table import CommandFlag, Commands
from spirula.denc.features import OSD_CACHEPOOL
from spirula.errors import (
    Busy,
    InvalidArgument,
    NotEmpty,
    NotPermitted,
    NotSupported,
)
from spirula.mon.services.osdmap.crush.checks import check_cluster_features, proposed
from spirula.mon.services.osdmap.pools.checks import find_committed, is_tier, usage
from spirula.mon.services.osdmap.pools.set import hit_set_params
from spirula.types.pool import CacheMode, PGPool, PoolFlag

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

_NONE = -1
_U64 = 0xFFFFFFFFFFFFFFFF
_FORCE = choices("--force-nonempty", required=False)
_MODES = {mode.name.lower(): mode for mode in CacheMode}
_SAFE = (CacheMode.WRITEBACK, CacheMode.NONE, CacheMode.PROXY, CacheMode.READPROXY)
# From a mode, those that need no clean cache; from others every mode is allowed.
_NEXT = {
    CacheMode.READFORWARD: (CacheMode.WRITEBACK, CacheMode.PROXY, CacheMode.READPROXY),
    CacheMode.READPROXY: (CacheMode.WRITEBACK, CacheMode.PROXY),
    CacheMode.PROXY: (CacheMode.WRITEBACK, CacheMode.READPROXY),
    CacheMode.FORWARD: (CacheMode.WRITEBACK, CacheMode.PROXY, CacheMode.READPROXY),
}


def _name(service: OSDMapService, number: int) -> str:
    return service.osdmap.pool_name.get(number, "")


def _resend(service: OSDMapService, pool: PGPool) -> None:
    """Clients must send what is under way again, old ones as well."""
    epoch = service.pending.epoch
    pool.last_force_op_resend = epoch
    pool.last_force_op_resend_prenautilus = epoch
    pool.last_force_op_resend_preluminous = epoch


# ----------------------------------------------------------------------------------- becoming one


@commands.add(
    "osd tier add",
    pool=pool_name(),
    tierpool=pool_name(),
    force_nonempty=_FORCE,
    perm="rw",
    help="make a pool (the second one) a tier of another (the first one)",
)
def add(
    service: OSDMapService, request: Request, pool: str, tierpool: str, force_nonempty: str = ""
) -> Reply:
    """It must be empty, replicated and without snapshots."""
    check_cluster_features(service, OSD_CACHEPOOL)
    base, base_pool = find_committed(service, pool)
    tier, tier_pool = find_committed(service, tierpool)
    done = f"pool '{tierpool}' is now (or already was) a tier of '{pool}'"
    if not _may_become_tier(service, tier, tier_pool, base, base_pool):
        return said(done)
    if usage(service, tier).num_objects and not force_nonempty:
        raise NotEmpty(f"tier pool '{tierpool}' is not empty; --force-nonempty to force")
    if tier_pool.is_erasure:
        raise NotSupported(f"tier pool '{tierpool}' is an ec pool, which cannot be a tier")
    allowed = service.monitor.config.get_bool("mon_debug_unsafe_allow_tier_with_nonempty_snaps")
    if (tier_pool.removed_snaps or tier_pool.snaps) and not (force_nonempty and allowed):
        raise NotEmpty(
            f"tier pool '{tierpool}' has snapshot state; it cannot be added as a tier without"
            " breaking the pool"
        )
    _join(service, base, tier)
    return proposed(service, done)


def _may_become_tier(
    service: OSDMapService, tier: int, tier_pool: PGPool, base: int, base_pool: PGPool
) -> bool:
    """False if it is one of that pool already. Raises InvalidArgument for chains of tiers."""
    if tier in base_pool.tiers:
        return False
    if is_tier(base_pool):
        raise InvalidArgument(
            f"pool '{_name(service, base)}' is already a tier of"
            f" '{_name(service, base_pool.tier_of)}', multiple tiers are not yet supported."
        )
    if tier_pool.tiers:
        tiers = "".join(f"'{_name(service, other)}'," for other in sorted(tier_pool.tiers))
        raise InvalidArgument(
            f"pool '{_name(service, tier)}' has following tier(s) already:{tiers}"
            " multiple tiers are not yet supported."
        )
    if is_tier(tier_pool):
        raise InvalidArgument(
            f"tier pool '{_name(service, tier)}' is already a tier of"
            f" '{_name(service, tier_pool.tier_of)}'"
        )
    return True


def _join(service: OSDMapService, base: int, tier: int) -> tuple[PGPool, PGPool]:
    """Makes the two pools base and tier in what is pending."""
    pending = service.pending.new_pools
    if base in pending and tier in pending[base].tiers:
        raise Retry
    if tier in pending and is_tier(pending[tier]):
        raise Retry
    base_pool, tier_pool = service.pending_pool(base), service.pending_pool(tier)
    base_pool.tiers.add(tier)
    base_pool.snap_epoch = service.pending.epoch
    tier_pool.tier_of = base
    return base_pool, tier_pool


@commands.add(
    "osd tier add-cache",
    pool=pool_name(),
    tierpool=pool_name(),
    size=integer(0),
    perm="rw",
    help="make a pool (the second one) a cache of some size for another (the first one)",
)
def add_cache(
    service: OSDMapService, request: Request, pool: str, tierpool: str, size: int
) -> Reply:
    """With the mode and hit sets that the configuration gives, and in use at once."""
    check_cluster_features(service, OSD_CACHEPOOL)
    config = service.monitor.config
    base, base_settings = find_committed(service, pool)
    tier, tier_settings = find_committed(service, tierpool)
    if not _may_become_tier(service, tier, tier_settings, base, base_settings):
        return said(f"pool '{tierpool}' is now (or already was) a tier of '{pool}'")
    if usage(service, tier).num_objects:
        raise NotEmpty(f"tier pool '{tierpool}' is not empty")
    mode = config.get_str("osd_tier_default_cache_mode")
    if mode not in _MODES:
        raise InvalidArgument(f"osd tier cache default mode '{mode}' is not a valid cache mode")
    kind = config.get_str("osd_tier_default_cache_hit_set_type")
    params = hit_set_params(service, kind)
    if params is None:
        raise InvalidArgument(f"osd tier cache default hit set type '{kind}' is not a known type")
    base_pool, tier_pool = _join(service, base, tier)
    base_pool.read_tier = base_pool.write_tier = tier
    _resend(service, base_pool)
    _resend(service, tier_pool)
    tier_pool.cache_mode = _MODES[mode]
    for name in (
        "hit_set_count",
        "hit_set_period",
        "min_read_recency_for_promote",
        "min_write_recency_for_promote",
        "hit_set_grade_decay_rate",
        "hit_set_search_last_n",
    ):
        setattr(tier_pool, name, config.get_int(f"osd_tier_default_cache_{name}"))
    tier_pool.hit_set_params = params
    tier_pool.target_max_bytes = size & _U64
    return proposed(service, f"pool '{tierpool}' is now (or already was) a cache tier of '{pool}'")


# ---------------------------------------------------------------------------------------- leaving


@commands.add(
    "osd tier rm", pool=pool_name(), tierpool=pool_name(), perm="rw", help="end being a tier"
)
@commands.add(
    "osd tier remove",
    pool=pool_name(),
    tierpool=pool_name(),
    perm="rw",
    flags=CommandFlag.DEPRECATED,
    help="end being a tier",
)
def remove(service: OSDMapService, request: Request, pool: str, tierpool: str) -> Reply:
    """Not while it is the overlay."""
    base, base_settings = find_committed(service, pool)
    tier, tier_settings = find_committed(service, tierpool)
    done = f"pool '{tierpool}' is now (or already was) not a tier of '{pool}'"
    if tier not in base_settings.tiers:
        return said(done)
    if tier_settings.tier_of != base:
        raise InvalidArgument(
            f"tier pool '{tierpool}' is a tier of '{_name(service, tier_settings.tier_of)}':"
            " THIS SHOULD NOT HAVE HAPPENED AT ALL"
        )
    if base_settings.read_tier == tier:
        raise Busy(
            f"tier pool '{tierpool}' is the overlay for '{pool}'; please remove-overlay first"
        )
    base_pool, tier_pool = service.pending_pool(base), service.pending_pool(tier)
    if tier not in base_pool.tiers or tier_pool.tier_of != base or base_pool.read_tier == tier:
        raise Retry
    base_pool.tiers.remove(tier)
    _clear(tier_pool)
    return proposed(service, done)


def _clear(pool: PGPool) -> None:
    """A tier becomes a pool like others; what it cached so far stays in it."""
    pool.tier_of = _NONE
    pool.read_tier = pool.write_tier = _NONE
    if pool.cache_mode != CacheMode.NONE:
        pool.flags = int(pool.flags | PoolFlag.INCOMPLETE_CLONES)
    pool.cache_mode = CacheMode.NONE
    pool.target_max_bytes = pool.target_max_objects = 0
    pool.cache_target_dirty_ratio_micro = 0
    pool.cache_target_dirty_high_ratio_micro = 0
    pool.cache_target_full_ratio_micro = 0
    pool.hit_set_params = type(pool.hit_set_params)()
    pool.hit_set_period = pool.hit_set_count = 0
    pool.hit_set_grade_decay_rate = pool.hit_set_search_last_n = 0


# ---------------------------------------------------------------------------------------- overlay


@commands.add(
    "osd tier set-overlay",
    pool=pool_name(),
    overlaypool=pool_name(),
    perm="rw",
    help="let clients of a pool (the first one) work with its tier (the second one)",
)
def set_overlay(service: OSDMapService, request: Request, pool: str, overlaypool: str) -> Reply:
    """One overlay at a time."""
    check_cluster_features(service, OSD_CACHEPOOL)
    base, base_settings = find_committed(service, pool)
    overlay, overlay_settings = find_committed(service, overlaypool)
    done = f"overlay for '{pool}' is now (or already was) '{overlaypool}'"
    if overlay not in base_settings.tiers:
        raise InvalidArgument(f"tier pool '{overlaypool}' is not a tier of '{pool}'")
    if base_settings.read_tier == overlay:
        return said(done)
    if base_settings.read_tier >= 0:
        raise InvalidArgument(
            f"pool '{pool}' has overlay '{_name(service, base_settings.read_tier)}';"
            " please remove-overlay first"
        )
    base_pool = service.pending_pool(base)
    base_pool.read_tier = base_pool.write_tier = overlay
    _resend(service, base_pool)
    _resend(service, service.pending_pool(overlay))
    if overlay_settings.cache_mode == CacheMode.NONE:
        done += " (WARNING: overlay pool cache_mode is still NONE)"
    return proposed(service, done)


@commands.add("osd tier rm-overlay", pool=pool_name(), perm="rw", help="end the use of an overlay")
@commands.add(
    "osd tier remove-overlay",
    pool=pool_name(),
    perm="rw",
    flags=CommandFlag.DEPRECATED,
    help="end the use of an overlay",
)
def remove_overlay(service: OSDMapService, request: Request, pool: str) -> Reply:
    """Clients work with the pool itself again."""
    base, base_settings = find_committed(service, pool)
    done = f"there is now (or already was) no overlay for '{pool}'"
    if base_settings.read_tier < 0:
        return said(done)
    base_pool = service.pending_pool(base)
    for tier in {base_pool.read_tier, base_pool.write_tier} - {_NONE}:
        _resend(service, service.pending_pool(tier))
    base_pool.read_tier = base_pool.write_tier = _NONE
    _resend(service, base_pool)
    return proposed(service, done)


# ------------------------------------------------------------------------------------------- mode


@commands.add(
    "osd tier cache-mode",
    pool=pool_name(),
    mode=choices("writeback", "proxy", "readproxy", "readonly", "none"),
    yes_i_really_mean_it=flag(),
    perm="rw",
    help="say what a cache does with reads and writes",
)
def cache_mode(
    service: OSDMapService,
    request: Request,
    pool: str,
    mode: str,
    yes_i_really_mean_it: bool = False,
) -> Reply:
    """From a mode that keeps written data, only to such in which that gets to the base pool."""
    check_cluster_features(service, OSD_CACHEPOOL)
    number, settings = find_committed(service, pool)
    if not is_tier(settings):
        raise InvalidArgument(f"pool '{pool}' is not a tier")
    wanted = _MODES[mode]
    if wanted not in _SAFE and not yes_i_really_mean_it:
        raise NotPermitted(
            f"'{mode}' is not a well-supported cache mode and may corrupt your data. "
            " pass --yes-i-really-mean-it to force."
        )
    done = f"set cache-mode for pool '{pool}' to {mode}"
    changing = service.pending.new_pools.get(number, settings)
    if settings.cache_mode == wanted == changing.cache_mode:
        return said(done)
    _check_transition(service, number, settings, wanted)
    tier_pool = service.pending_pool(number)
    tier_pool.cache_mode = wanted
    tier_pool.flags = int(tier_pool.flags | PoolFlag.INCOMPLETE_CLONES)
    base = service.osdmap.pools.get(tier_pool.tier_of)
    if wanted == CacheMode.NONE and base and number in (base.read_tier, base.write_tier):
        done += " (WARNING: pool is still configured as read or write tier)"
    return proposed(service, done)


def _check_transition(
    service: OSDMapService, number: int, settings: PGPool, wanted: CacheMode
) -> None:
    now = CacheMode(settings.cache_mode)
    if now == CacheMode.WRITEBACK and wanted not in (CacheMode.PROXY, CacheMode.READPROXY):
        raise InvalidArgument(
            f"unable to set cache-mode '{wanted.name.lower()}' on a 'writeback' pool; only"
            " 'proxy','readproxy' allowed."
        )
    dirty = usage(service, number).num_objects_dirty
    if now in _NEXT and wanted not in _NEXT[now] and dirty > 0:
        raise Busy(
            f"unable to set cache-mode '{wanted.name.lower()}' on pool"
            f" '{_name(service, number)}': dirty objects found"
        )
