"""A whole OSD map as text: what `ceph osd dump` prints.

Called by the monitor's commands and by `osdmaptool --print`. Upstream: `src/osd/OSDMap.cc`,
OSDMap::print.
"""

from __future__ import annotations

from collections.abc import Iterator

from spirula.maps.dump.document import UNKNOWN_POOL, cluster_snapshot
from spirula.maps.dump.pools import pool_line
from spirula.maps.dump.values import osd_list, share, time_text, uuid_text
from spirula.maps.features import min_compat_client
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import (
    DEFAULT_PRIMARY_AFFINITY,
    Release,
    exists,
    flag_string,
    is_in,
    is_up,
    primary_affinity,
    state_names,
)
from spirula.printing import as_f32, general


def print_osdmap(osdmap: OSDMap) -> str:
    """The whole text; every line ends."""
    parts = (_head(osdmap), pool_lines(osdmap), [""], _osds(osdmap), [""], _exceptions(osdmap))
    return "".join(f"{line}\n" for part in parts for line in part)


def _head(osdmap: OSDMap) -> Iterator[str]:
    yield f"epoch {osdmap.epoch}"
    yield f"fsid {uuid_text(osdmap.fsid)}"
    yield f"created {time_text(osdmap.created)}"
    yield f"modified {time_text(osdmap.modified)}"
    yield f"flags {flag_string(osdmap.flags)}"
    yield f"crush_version {osdmap.crush_version}"
    yield f"full_ratio {general(as_f32(osdmap.full_ratio))}"
    yield f"backfillfull_ratio {general(as_f32(osdmap.backfillfull_ratio))}"
    yield f"nearfull_ratio {general(as_f32(osdmap.nearfull_ratio))}"
    if osdmap.require_min_compat_client:
        yield f"require_min_compat_client {Release.name_of(osdmap.require_min_compat_client)}"
    yield f"min_compat_client {Release.name_of(min_compat_client(osdmap))}"
    if osdmap.require_osd_release:
        yield f"require_osd_release {Release.name_of(osdmap.require_osd_release)}"
    yield f"stretch_mode_enabled {'true' if osdmap.stretch_mode_enabled else 'false'}"
    if osdmap.stretch_mode_enabled:
        yield f"stretch_bucket_count {osdmap.stretch_bucket_count}"
        yield f"degraded_stretch_mode {osdmap.degraded_stretch_mode}"
        yield f"recovering_stretch_mode {osdmap.recovering_stretch_mode}"
        yield f"stretch_mode_bucket {osdmap.stretch_mode_bucket}"
    if snapshot := cluster_snapshot(osdmap):
        yield f"cluster_snapshot {snapshot}"
    yield ""


def pool_lines(osdmap: OSDMap) -> Iterator[str]:
    """A line for each pool, then its snapshots."""
    for number, pool in sorted(osdmap.pools.items()):
        name = osdmap.pool_name.get(number, UNKNOWN_POOL)
        yield f"pool {number} '{name}' {pool_line(pool)}"
        for _, snap in sorted(pool.snaps.items()):
            yield f"\tsnap {snap.snapid} '{snap.name}' {time_text(snap.stamp)}"
        if pool.removed_snaps:
            yield f"\tremoved_snaps {pool.removed_snaps}"
        if number in osdmap.removed_snaps_queue:
            yield f"\tremoved_snaps_queue {osdmap.removed_snaps_queue[number]}"


def _osds(osdmap: OSDMap) -> Iterator[str]:
    yield f"max_osd {osdmap.max_osd}"
    for osd in range(osdmap.max_osd):
        if exists(osdmap, osd):
            yield osd_line(osdmap, osd)


def osd_line(osdmap: OSDMap, osd: int) -> str:
    """One OSD, which must exist."""
    info = osdmap.osd_info[osd]
    parts = [
        f"osd.{osd}",
        "up  " if is_up(osdmap, osd) else "down",
        "in " if is_in(osdmap, osd) else "out",
        f"weight {general(share(osdmap.osd_weight[osd]))}",
    ]
    affinity = primary_affinity(osdmap, osd)
    if affinity != DEFAULT_PRIMARY_AFFINITY:
        parts.append(f"primary_affinity {general(share(affinity))}")
    parts.append(
        f"up_from {info.up_from} up_thru {info.up_thru} down_at {info.down_at}"
        f" last_clean_interval [{info.last_clean_begin},{info.last_clean_end})"
    )
    if info.lost_at:
        parts.append(f"lost_at {info.lost_at}")
    parts += [str(osdmap.client_addrs[osd]), str(osdmap.cluster_addrs[osd])]
    parts.append(",".join(state_names(osdmap.osd_state[osd])))
    if any(osdmap.osd_uuid[osd]):
        parts.append(uuid_text(osdmap.osd_uuid[osd]))
    return " ".join(parts)


def _exceptions(osdmap: OSDMap) -> Iterator[str]:
    """What was decided for single PGs, and who is shut out."""
    for pg, osds in sorted(osdmap.pg_upmap.items(), key=_order):
        yield f"pg_upmap {pg} {osd_list(osds)}"
    for pg, pairs in sorted(osdmap.pg_upmap_items.items(), key=_order):
        yield f"pg_upmap_items {pg} {osd_list(osd for pair in pairs for osd in pair)}"
    for pg, primary in sorted(osdmap.pg_upmap_primaries.items(), key=_order):
        yield f"pg_upmap_primary {pg} {primary}"
    for pg, osds in sorted(osdmap.pg_temp.items(), key=_order):
        yield f"pg_temp {pg} {osd_list(osds)}"
    for pg, osd in sorted(osdmap.primary_temp.items(), key=_order):
        yield f"primary_temp {pg} {osd}"
    for addr, until in sorted(osdmap.blocklist.items()):
        yield f"blocklist {addr} expires {time_text(until)}"
    for addr, until in sorted(osdmap.range_blocklist.items()):
        yield f"range blocklist {addr} expires {time_text(until)}"


def _order(entry: tuple[object, object]) -> tuple[int, int]:
    pg = entry[0]
    return pg.pool, pg.seed  # type: ignore[attr-defined]  # the keys are PGId
