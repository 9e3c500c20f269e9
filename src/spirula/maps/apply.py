"""From one epoch's OSD map to the next: apply an incremental.

`apply_incremental` leaves the map it is given as it was and returns the next one, which shares
with it whatever did not change: whoever keeps maps of many epochs keeps little. Values in maps are
therefore replaced, never changed in place. Called by OSDs, clients and monitors for each epoch.
Upstream: `src/osd/OSDMap.cc`, OSDMap::apply_incremental.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from spirula.crush.build import finalize, settle_choose_args
from spirula.crush.wire import CrushWrapper
from spirula.errors import LimitExceeded, WireError
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.state import (
    DEFAULT_PRIMARY_AFFINITY,
    LEGACY_REQUIRE_FLAGS,
    NO_RELEASE,
    OSDMapFlag,
    OSDState,
    Release,
    check_sizes,
)
from spirula.types.entity import EntityAddrVec
from spirula.types.interval_set import IntervalSet
from spirula.types.osd_info import OsdInfo, OsdXInfo

MAX_OSDS = 1 << 20

_K = TypeVar("_K")
_V = TypeVar("_V")
_NO_UUID = bytes(16)


class EpochGap(WireError):
    """The incremental is not for this map: another cluster's, or for another epoch."""


class CrcMismatch(WireError):
    """The map after the change is not the one that the monitors have.

    Whoever sees this asks for the full map instead.
    """


def _with(value: _V, **changes: object) -> _V:
    """A copy, its containers shared, with some fields changed."""
    made = copy.copy(value)
    for name, new in changes.items():
        setattr(made, name, new)
    return made


def pending_incremental(osdmap: OSDMap) -> Incremental:
    """An incremental to the epoch after `osdmap` that changes nothing yet."""
    return Incremental(
        fsid=osdmap.fsid,
        epoch=osdmap.epoch + 1,
        new_require_osd_release=NO_RELEASE,
        new_require_min_compat_client=NO_RELEASE,
    )


def apply_incremental(osdmap: OSDMap, inc: Incremental) -> OSDMap:
    """The map of the next epoch; `osdmap` stays as it was.

    EpochGap when it is not this map that the incremental changes, WireError (of another class)
    when it speaks of OSDs or snapshots that the map does not have. The CRC is not compared here.
    """
    if inc.epoch != osdmap.epoch + 1:
        raise EpochGap(f"an incremental to epoch {inc.epoch} of a map of epoch {osdmap.epoch}")
    if inc.epoch != 1 and inc.fsid != osdmap.fsid:
        raise EpochGap("an incremental of another cluster")
    if inc.fullmap:
        return OSDMap.decode(inc.fullmap)
    check_sizes(osdmap)
    made = _with(osdmap, fsid=inc.fsid, epoch=inc.epoch, modified=inc.modified)
    if inc.new_flags >= 0:
        made.flags = inc.new_flags
        _require_by_flags(made)
    if inc.new_max_osd >= 0:
        resize(made, inc.new_max_osd)
    _check_ids(made.max_osd, inc)
    _change_pools(made, inc)
    _change_snaps(made, inc)
    if inc.new_last_up_change:
        made.last_up_change = inc.new_last_up_change
    if inc.new_last_in_change:
        made.last_in_change = inc.new_last_in_change
    _change_weights(made, inc)
    if inc.old_erasure_code_profiles or inc.new_erasure_code_profiles:
        profiles = dict(made.erasure_code_profiles)
        for name in inc.old_erasure_code_profiles:
            profiles.pop(name, None)
        made.erasure_code_profiles = profiles | inc.new_erasure_code_profiles
    _change_states(made, inc)
    _change_infos(made, inc)
    _change_pgs(made, inc)
    _change_rest(made, inc)
    return made


def apply_checked(osdmap: OSDMap, inc: Incremental) -> tuple[OSDMap, bytes]:
    """The map of the next epoch and its bytes, for the features that the monitors encoded it for.

    CrcMismatch when these are not the bytes that the monitors have; else as `apply_incremental`.
    """
    made = apply_incremental(osdmap, inc)
    if inc.fullmap:
        return made, inc.fullmap
    encoded = made.encode(inc.encode_features)
    if made.crc != inc.full_crc:
        raise CrcMismatch(
            f"epoch {made.epoch} has checksum {made.crc:#010x} here, {inc.full_crc:#010x} there"
        )
    return made, encoded


def _require_by_flags(made: OSDMap) -> None:
    """Flags of clusters that come from releases before Luminous tell the release to require."""
    if made.flags & OSDMapFlag.REQUIRE_KRAKEN:
        least = Release.KRAKEN
    elif made.flags & OSDMapFlag.REQUIRE_JEWEL:
        least = Release.JEWEL
    else:
        return
    made.require_osd_release = max(made.require_osd_release, least)


def resize(made: OSDMap, count: int) -> None:
    """Makes room in a map for `count` OSDs, or drops those beyond; its lists are replaced."""
    if count > MAX_OSDS:
        raise LimitExceeded(f"room for {count} OSDs", path="new_max_osd", limit=MAX_OSDS)

    def sized(values: list[_V], fill: Callable[[], _V]) -> list[_V]:
        return values[:count] + [fill() for _ in range(count - len(values))]

    made.max_osd = count
    made.osd_state = sized(made.osd_state, int)
    made.osd_weight = sized(made.osd_weight, int)
    made.osd_info = sized(made.osd_info, OsdInfo)
    made.osd_xinfo = sized(made.osd_xinfo, OsdXInfo)
    made.client_addrs = sized(made.client_addrs, EntityAddrVec)
    made.cluster_addrs = sized(made.cluster_addrs, EntityAddrVec)
    made.hb_back_addrs = sized(made.hb_back_addrs, EntityAddrVec)
    made.hb_front_addrs = sized(made.hb_front_addrs, EntityAddrVec)
    made.osd_uuid = sized(made.osd_uuid, lambda: _NO_UUID)
    if made.osd_primary_affinity:
        made.osd_primary_affinity = sized(
            made.osd_primary_affinity, lambda: DEFAULT_PRIMARY_AFFINITY
        )


def _check_ids(max_osd: int, inc: Incremental) -> None:
    """Refuses OSDs that the map has no room for, and OSDs that come up without all addresses."""
    by_osd: tuple[Mapping[int, object], ...] = (
        inc.new_weight,
        inc.new_primary_affinity,
        inc.new_state,
        inc.new_up_client,
        inc.new_up_cluster,
        inc.new_up_thru,
        inc.new_last_clean_interval,
        inc.new_lost,
        inc.new_xinfo,
        inc.new_uuid,
    )
    for changes in by_osd:
        for osd in changes:
            if not 0 <= osd < max_osd:
                raise WireError(f"an incremental changes osd.{osd} of {max_osd}")
    for osd in inc.new_up_client:
        if osd not in inc.new_hb_back_up or osd not in inc.new_hb_front_up:
            raise WireError(f"osd.{osd} comes up without addresses for heartbeats")


def _changed(old: dict[_K, _V], new: Mapping[_K, _V], gone: Iterable[_K] = ()) -> dict[_K, _V]:
    """`old` with `new`, less `gone`; `old` itself when that changes nothing."""
    gone = list(gone)
    if not new and not gone:
        return old
    made = {**old, **new}
    for key in gone:
        made.pop(key, None)
    return made


def _change_pools(made: OSDMap, inc: Incremental) -> None:
    if inc.new_pool_max != -1:
        made.pool_max = inc.new_pool_max
    new = {number: _with(pool, last_change=inc.epoch) for number, pool in inc.new_pools.items()}
    made.pools = _changed(made.pools, new, inc.old_pools)
    made.pool_name = _changed(made.pool_name, inc.new_pool_names, inc.old_pools)


def _change_snaps(made: OSDMap, inc: Incremental) -> None:
    """Removed snapshots wait in a queue until all OSDs have purged them."""
    made.new_removed_snaps = inc.new_removed_snaps
    made.new_purged_snaps = inc.new_purged_snaps
    if not inc.new_removed_snaps and not inc.new_purged_snaps:
        return
    queue = dict(made.removed_snaps_queue)
    for pool, snaps in inc.new_removed_snaps.items():
        queue[pool] = queue.get(pool, IntervalSet()) | snaps
    for pool, snaps in inc.new_purged_snaps.items():
        waiting = queue.get(pool)
        if waiting is None or not snaps <= waiting:
            raise WireError(f"snapshots {snaps} of pool {pool} are purged and were not removed")
        queue[pool] = waiting - snaps
        if not queue[pool]:
            del queue[pool]
    made.removed_snaps_queue = queue


def _change_weights(made: OSDMap, inc: Incremental) -> None:
    if inc.new_weight:
        made.osd_weight = list(made.osd_weight)
        made.osd_state = list(made.osd_state)
        made.osd_xinfo = list(made.osd_xinfo)
    for osd, weight in inc.new_weight.items():
        made.osd_weight[osd] = weight
        if weight:
            state = made.osd_state[osd] | OSDState.EXISTS
            made.osd_state[osd] = int(state & ~(OSDState.AUTOOUT | OSDState.NEW))
            made.osd_xinfo[osd] = _with(made.osd_xinfo[osd], old_weight=0)
    for osd, affinity in inc.new_primary_affinity.items():
        _set_affinity(made, osd, affinity)


def _set_affinity(made: OSDMap, osd: int, affinity: int) -> None:
    """The list is empty as long as no OSD ever had an affinity of its own."""
    known = made.osd_primary_affinity or [DEFAULT_PRIMARY_AFFINITY] * made.max_osd
    made.osd_primary_affinity = [*known[:osd], affinity, *known[osd + 1 :]]


def _change_states(made: OSDMap, inc: Incremental) -> None:
    """Flips bits of states, forgets what is destroyed, and notes who comes up where."""
    if not inc.new_state and not inc.new_up_client:
        made.cluster_addrs = _placed(made.cluster_addrs, inc.new_up_cluster)
        return
    made.osd_state = list(made.osd_state)
    made.osd_info = list(made.osd_info)
    made.osd_xinfo = list(made.osd_xinfo)
    removed = []
    for osd, bits in inc.new_state.items():
        flipped = bits or OSDState.UP
        before = made.osd_state[osd]
        if before & flipped & OSDState.EXISTS:
            removed.append(osd)
            made.osd_state[osd] = 0
            made.osd_info[osd] = OsdInfo()
            made.osd_xinfo[osd] = OsdXInfo()
            _set_affinity(made, osd, DEFAULT_PRIMARY_AFFINITY)
            continue
        if before & flipped & OSDState.UP:
            made.osd_info[osd] = _with(made.osd_info[osd], down_at=inc.epoch)
            made.osd_xinfo[osd] = _with(made.osd_xinfo[osd], down_stamp=inc.modified)
        made.osd_state[osd] = before ^ int(flipped)
    for osd in inc.new_up_client:
        state = made.osd_state[osd] | OSDState.EXISTS | OSDState.UP
        made.osd_state[osd] = int(state & ~OSDState.STOP)
        made.osd_info[osd] = _with(made.osd_info[osd], up_from=inc.epoch)
    forgotten = {osd: EntityAddrVec() for osd in removed}
    made.osd_uuid = _placed(made.osd_uuid, dict.fromkeys(removed, _NO_UUID))
    made.client_addrs = _placed(made.client_addrs, forgotten | inc.new_up_client)
    back = {osd: inc.new_hb_back_up[osd] for osd in inc.new_up_client}
    made.hb_back_addrs = _placed(made.hb_back_addrs, forgotten | back)
    front = {osd: inc.new_hb_front_up[osd] for osd in inc.new_up_client}
    made.hb_front_addrs = _placed(made.hb_front_addrs, forgotten | front)
    made.cluster_addrs = _placed(made.cluster_addrs, forgotten | inc.new_up_cluster)


def _placed(old: list[_V], new: Mapping[int, _V]) -> list[_V]:
    """`old` with some places filled anew; `old` itself when there are none."""
    if not new:
        return old
    made = list(old)
    for osd, value in new.items():
        made[osd] = value
    return made


def _change_infos(made: OSDMap, inc: Incremental) -> None:
    infos: dict[int, OsdInfo] = {}

    def info(osd: int) -> OsdInfo:
        return infos.setdefault(osd, _with(made.osd_info[osd]))

    for osd, epoch in inc.new_up_thru.items():
        info(osd).up_thru = epoch
    for osd, (begin, end) in inc.new_last_clean_interval.items():
        info(osd).last_clean_begin = begin
        info(osd).last_clean_end = end
    for osd, epoch in inc.new_lost.items():
        info(osd).lost_at = epoch
    made.osd_info = _placed(made.osd_info, infos)
    made.osd_xinfo = _placed(made.osd_xinfo, inc.new_xinfo)
    made.osd_uuid = _placed(made.osd_uuid, inc.new_uuid)


def _change_pgs(made: OSDMap, inc: Incremental) -> None:
    made.pg_temp = _changed(
        made.pg_temp, inc.new_pg_temp, [pg for pg, osds in inc.new_pg_temp.items() if not osds]
    )
    made.primary_temp = _changed(
        made.primary_temp,
        inc.new_primary_temp,
        [pg for pg, osd in inc.new_primary_temp.items() if osd == -1],
    )
    made.pg_upmap = _changed(made.pg_upmap, inc.new_pg_upmap, inc.old_pg_upmap)
    made.pg_upmap_primaries = _changed(
        made.pg_upmap_primaries, inc.new_pg_upmap_primary, inc.old_pg_upmap_primary
    )
    made.pg_upmap_items = _changed(
        made.pg_upmap_items, inc.new_pg_upmap_items, inc.old_pg_upmap_items
    )


def _change_rest(made: OSDMap, inc: Incremental) -> None:
    # an entry that is there keeps its time
    blocked = {a: until for a, until in inc.new_blocklist.items() if a not in made.blocklist}
    made.blocklist = _changed(made.blocklist, blocked, inc.old_blocklist)
    ranges = {a: t for a, t in inc.new_range_blocklist.items() if a not in made.range_blocklist}
    made.range_blocklist = _changed(made.range_blocklist, ranges, inc.old_range_blocklist)
    for name in ("crush_node_flags", "device_class_flags"):
        flags = getattr(inc, f"new_{name}")
        gone = [key for key, bits in flags.items() if not bits]
        setattr(made, name, _changed(getattr(made, name), flags, gone))
    made.cluster_snapshot = inc.cluster_snapshot
    made.cluster_snapshot_epoch = inc.epoch if inc.cluster_snapshot else 0
    for name in ("nearfull_ratio", "backfillfull_ratio", "full_ratio"):
        ratio = getattr(inc, f"new_{name}")
        if ratio >= 0:
            setattr(made, name, ratio)
    if 0 < inc.new_require_min_compat_client < 0x80:
        made.require_min_compat_client = inc.new_require_min_compat_client
    if inc.new_require_osd_release < 0x80:  # upstream takes the number as signed
        made.require_osd_release = inc.new_require_osd_release
        if made.require_osd_release >= Release.LUMINOUS:
            made.flags = int(made.flags & ~LEGACY_REQUIRE_FLAGS | OSDMapFlag.RECOVERY_DELETES)
        if made.require_osd_release >= Release.NAUTILUS:
            made.flags = int(made.flags | OSDMapFlag.PGLOG_HARDLIMIT)
    if inc.crush:
        _change_crush(made, inc.crush)
    if inc.change_stretch_mode:
        made.stretch_mode_enabled = inc.stretch_mode_enabled
        made.stretch_bucket_count = inc.new_stretch_bucket_count
        made.degraded_stretch_mode = inc.new_degraded_stretch_mode
        made.recovering_stretch_mode = inc.new_recovering_stretch_mode
        made.stretch_mode_bucket = inc.new_stretch_mode_bucket


def _change_crush(made: OSDMap, encoded: bytes) -> None:
    """Comes last, after the release that the map requires is known.

    What commands removed from the tree may leave `max_devices` too high and choose_args without
    their buckets. Upstream tidies whenever it reads a tree, so the next full map is tidy.
    """
    made.crush = CrushWrapper.decode(encoded)
    finalize(made.crush)
    settle_choose_args(made.crush)
    if made.require_osd_release >= Release.LUMINOUS:
        made.crush_version += 1
    named = made.crush.class_names
    gone = [number for number in made.device_class_flags if number not in named]
    made.device_class_flags = _changed(made.device_class_flags, {}, gone)
