"""What the monitor adds to every change before it is encoded: consequences that nobody asked for.

Pools are marked full with the OSDs under them, and as created when their PGs are; snapshots reach
tiers; what a newer required release makes obsolete is converted. Called by `commit`. Upstream:
`OSDMonitor::encode_pending`, `OSDMap::Incremental::propagate_snaps_to_tiers`.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from spirula.errors import InvariantBroken
from spirula.maps.features import min_compat_client
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.query import full_pools
from spirula.maps.state import OSDState, Release, exists
from spirula.mon.services.osdmap.pgs.creating import is_creating_pool
from spirula.mon.services.osdmap.snaps import purged as purged_snaps
from spirula.mon.store import Transaction
from spirula.types.base import UTime
from spirula.types.creating_pgs import CreatingPGs
from spirula.types.entity import AddrType
from spirula.types.log import LogLevel
from spirula.types.pool import CacheMode, PGPool, PoolFlag

if TYPE_CHECKING:
    from spirula.mon.services.osdmap.service import OSDMapService

_SNAP_MODES = PoolFlag.SELFMANAGED_SNAPS | PoolFlag.POOL_SNAPS
_FULLNESS = PoolFlag.FULL | PoolFlag.BACKFILLFULL | PoolFlag.NEARFULL
_REPLACED_MODES = {
    CacheMode.FORWARD: CacheMode.PROXY,
    CacheMode.READFORWARD: CacheMode.READPROXY,
}


def _changing(inc: Incremental, after: OSDMap, number: int) -> PGPool:
    """The pool as the change will leave it, to be changed further."""
    pool: PGPool | None = inc.new_pools.get(number)
    if pool is None:
        pool = inc.new_pools[number] = copy.deepcopy(after.pools[number])
    return pool


def propagate_snaps_to_tiers(osdmap: OSDMap, inc: Incremental) -> None:
    """The tiers of a pool that changes have its snapshots."""
    for number in sorted(inc.new_pools):
        base = inc.new_pools[number]
        for tier_number in sorted(base.tiers):
            if tier_number not in inc.new_pools and tier_number not in osdmap.pools:
                raise InvariantBroken(f"pool {number} has a tier {tier_number} that is no pool")
            tier = _changing(inc, osdmap, tier_number)
            if tier.tier_of != number:
                raise InvariantBroken(f"pool {tier_number} is no tier of pool {number}")
            tier.snap_seq, tier.snap_epoch = base.snap_seq, base.snap_epoch
            tier.snaps, tier.removed_snaps = dict(base.snaps), base.removed_snaps.copy()
            tier.flags |= base.flags & _SNAP_MODES
            if number in inc.new_removed_snaps:
                inc.new_removed_snaps[tier_number] = inc.new_removed_snaps[number]


def settle_states(osdmap: OSDMap, inc: Incremental) -> None:
    """Drop changes of states that change nothing, and note when OSDs last changed."""
    for osd in [osd for osd, bits in inc.new_state.items() if not bits]:
        # Readers take 0 for "up", from the time when that was the only bit.
        del inc.new_state[osd]
    if inc.new_up_client or any(bits & OSDState.UP for bits in inc.new_state.values()):
        inc.new_last_up_change = inc.modified
    for osd, weight in inc.new_weight.items():
        before = osdmap.osd_weight[osd] if osd < osdmap.max_osd else 0
        if bool(before) != bool(weight):
            inc.new_last_in_change = inc.modified


def forget_laggy(osdmap: OSDMap, inc: Incremental, threshold_s: int) -> None:
    """An OSD that fails, and did not for so long, is no longer thought of as slow to answer."""
    for osd, bits in inc.new_state.items():
        if not bits & OSDState.UP or not exists(osdmap, osd):
            continue
        info = osdmap.osd_xinfo[osd]
        if not (info.laggy_probability or info.laggy_interval) or not info.down_stamp.sec:
            continue
        if inc.modified.sec - info.down_stamp.sec > threshold_s:
            changed = copy.copy(inc.new_xinfo.get(osd, info))
            changed.down_stamp = inc.modified
            changed.laggy_probability = changed.laggy_interval = 0
            inc.new_xinfo[osd] = changed


def mark_created_pools(inc: Incremental, after: OSDMap, creating: CreatingPGs) -> None:
    """Pools all of whose PGs exist are no longer being created."""
    for number, pool in after.pools.items():
        if pool.has_flag(PoolFlag.CREATING) and not is_creating_pool(creating, number):
            _changing(inc, after, number).flags &= ~PoolFlag.CREATING


def mark_full_pools(inc: Incremental, after: OSDMap) -> None:
    """Pools are as full as the fullest OSD that they can have data on."""
    found = full_pools(after)
    for number, pool in after.pools.items():
        wanted = PoolFlag(0)
        if number in found.full or pool.has_flag(PoolFlag.FULL_QUOTA):
            wanted = PoolFlag.FULL
        elif number in found.backfillfull:
            wanted = PoolFlag.BACKFILLFULL
        elif number in found.nearfull:
            wanted = PoolFlag.NEARFULL
        flags = pool.flags & ~_FULLNESS | wanted
        if flags != pool.flags:
            _changing(inc, after, number).flags = int(flags)


def settle_releases(
    service: OSDMapService, after: OSDMap, creating: CreatingPGs, transaction: Transaction
) -> None:
    """Convert what older releases left in the map, in the epoch that requires a newer one."""
    inc, before = service.pending, service.osdmap
    if not after.require_min_compat_client:
        found = min_compat_client(after)
        service.monitor.clog(
            LogLevel.INFO,
            f"setting require_min_compat_client to currently required {found.name.lower()}",
        )
        inc.new_require_min_compat_client = found
    if before.require_osd_release < Release.NAUTILUS <= after.require_osd_release:
        for number in after.pools:
            if is_creating_pool(creating, number):
                _changing(inc, after, number).flags |= PoolFlag.CREATING
        for addr, until in after.blocklist.items():
            if addr.type != AddrType.ANY:
                inc.new_blocklist[addr.with_type(AddrType.ANY)] = until
                inc.old_blocklist.append(addr)
    if before.require_osd_release < Release.OCTOPUS <= after.require_osd_release:
        _convert_to_octopus(service, inc, after, transaction)


def _convert_to_octopus(
    service: OSDMapService, inc: Incremental, after: OSDMap, transaction: Transaction
) -> None:
    for number, pool in after.pools.items():
        if pool.cache_mode in _REPLACED_MODES:
            mode = _REPLACED_MODES[CacheMode(pool.cache_mode)]
            _changing(inc, after, number).cache_mode = mode
        if pool.removed_snaps:
            _changing(inc, after, number).removed_snaps.clear()
    purged = purged_snaps.all_purged(service.monitor.store)
    if purged:
        key = purged_snaps.epoch_key(inc.epoch - 1)
        value = purged_snaps.PurgedSnaps(purged).encode()
        transaction.put(purged_snaps.PREFIX, key, value)
    for kind in ("removed_snap", "removed_epoch"):
        transaction.erase_range(purged_snaps.PREFIX, f"{kind}_", f"{kind}`")


def default_ratios(service: OSDMapService, ratios: dict[str, float]) -> None:
    """Ratios that a map lacks are those of the options."""
    for name, value in ratios.items():
        if getattr(service.osdmap, name) <= 0:
            setattr(service.pending, f"new_{name}", value)


def stamp(service: OSDMapService) -> UTime:
    """Now, as maps note it."""
    return UTime.at(service.monitor.wall())
