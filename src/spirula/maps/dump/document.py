"""A whole OSD map as a document: what `ceph osd dump -f json` shows.

Called by the monitor's commands and by `osdmaptool --dump`. Upstream: `src/osd/OSDMap.cc`,
OSDMap::dump.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spirula.maps.dump.pools import pool_document
from spirula.maps.dump.values import share, time_text, uuid_text
from spirula.maps.features import min_compat_client
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import (
    Release,
    exists,
    flag_set,
    flag_string,
    is_in,
    is_up,
    primary_affinity,
    state_names,
)
from spirula.printing import Fields, Items, as_f32
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityAddrVec
from spirula.types.interval_set import IntervalSet
from spirula.types.pg import PGId

UNKNOWN_POOL = "<unknown>"


def osdmap_document(osdmap: OSDMap) -> dict[str, object]:
    """All of a map under upstream's names, in upstream's order."""
    found: dict[str, object] = {
        "epoch": osdmap.epoch,
        "fsid": uuid_text(osdmap.fsid),
        "created": time_text(osdmap.created),
        "modified": time_text(osdmap.modified),
        "last_up_change": time_text(osdmap.last_up_change),
        "last_in_change": time_text(osdmap.last_in_change),
        "flags": flag_string(osdmap.flags),
        "flags_num": osdmap.flags,
        "flags_set": Items("flag", flag_set(osdmap.flags)),
        "crush_version": osdmap.crush_version,
        "full_ratio": as_f32(osdmap.full_ratio),
        "backfillfull_ratio": as_f32(osdmap.backfillfull_ratio),
        "nearfull_ratio": as_f32(osdmap.nearfull_ratio),
        "cluster_snapshot": cluster_snapshot(osdmap),
        "pool_max": osdmap.pool_max,
        "max_osd": osdmap.max_osd,
        "require_min_compat_client": Release.name_of(osdmap.require_min_compat_client),
        "min_compat_client": Release.name_of(min_compat_client(osdmap)),
        "require_osd_release": Release.name_of(osdmap.require_osd_release),
        "pools": Items(
            "pool",
            (
                {
                    "pool": number,
                    "pool_name": osdmap.pool_name.get(number, UNKNOWN_POOL),
                    **pool_document(pool),
                }
                for number, pool in sorted(osdmap.pools.items())
            ),
        ),
        "osds": osds_document(osdmap),
        "osd_xinfo": Items(
            "xinfo",
            (_xinfo_document(osdmap, osd) for osd in range(osdmap.max_osd) if exists(osdmap, osd)),
        ),
    }
    found.update(_exceptions(osdmap))
    found.update(_rest(osdmap))
    return found


def cluster_snapshot(osdmap: OSDMap) -> str:
    """The name of the snapshot of the whole cluster that was made with this epoch."""
    return osdmap.cluster_snapshot if osdmap.cluster_snapshot_epoch == osdmap.epoch else ""


def osds_document(osdmap: OSDMap) -> Items:
    """All OSDs that exist."""
    return Items(
        "osd_info",
        (osd_document(osdmap, osd) for osd in range(osdmap.max_osd) if exists(osdmap, osd)),
    )


def osd_document(osdmap: OSDMap, osd: int) -> dict[str, object]:
    """One OSD, which must exist."""
    info = osdmap.osd_info[osd]
    channels = {
        "public": osdmap.client_addrs[osd],
        "cluster": osdmap.cluster_addrs[osd],
        "heartbeat_back": osdmap.hb_back_addrs[osd],
        "heartbeat_front": osdmap.hb_front_addrs[osd],
    }
    return {
        "osd": osd,
        "uuid": uuid_text(osdmap.osd_uuid[osd]),
        "up": int(is_up(osdmap, osd)),
        "in": int(is_in(osdmap, osd)),
        "weight": share(osdmap.osd_weight[osd]),
        "primary_affinity": share(primary_affinity(osdmap, osd)),
        "last_clean_begin": info.last_clean_begin,
        "last_clean_end": info.last_clean_end,
        "up_from": info.up_from,
        "up_thru": info.up_thru,
        "down_at": info.down_at,
        "lost_at": info.lost_at,
        **{f"{name}_addrs": _addresses(addrs) for name, addrs in channels.items()},
        **{f"{name}_addr": legacy_text(addrs) for name, addrs in channels.items()},
        "state": Items("state", state_names(osdmap.osd_state[osd])),
    }


def _addresses(addrs: EntityAddrVec) -> dict[str, object]:
    return {"addrvec": Items("addr", (addr.plain() for addr in addrs.addrs))}


def legacy_text(addrs: EntityAddrVec) -> str:
    """The one address that old clients are shown: `127.0.0.1:6801/123`."""
    return addrs.legacy_or_front.without_type()


def _xinfo_document(osdmap: OSDMap, osd: int) -> dict[str, object]:
    info = osdmap.osd_xinfo[osd]
    features = info.features - (1 << 64) if info.features >> 63 else info.features
    return {
        "osd": osd,
        "down_stamp": time_text(info.down_stamp),
        "laggy_probability": as_f32(as_f32(info.laggy_probability) / (1 << 32)),
        "laggy_interval": info.laggy_interval,
        "features": features,
        "old_weight": info.old_weight,
        "last_purged_snaps_scrub": time_text(info.last_purged_snaps_scrub),
        "dead_epoch": info.dead_epoch,
    }


def _by_pg(table: Mapping[PGId, object]) -> list[PGId]:
    return sorted(table, key=lambda pg: (pg.pool, pg.seed))


def _exceptions(osdmap: OSDMap) -> dict[str, object]:
    """What was decided for single PGs."""
    found: dict[str, object] = {
        "pg_upmap": Items(
            "mapping",
            (
                {"pgid": str(pg), "osds": Items("osd", osdmap.pg_upmap[pg])}
                for pg in _by_pg(osdmap.pg_upmap)
            ),
        ),
        "pg_upmap_items": Items(
            "mapping",
            (
                {
                    "pgid": str(pg),
                    "mappings": Items(
                        "mapping",
                        (
                            {"from": source, "to": target}
                            for source, target in osdmap.pg_upmap_items[pg]
                        ),
                    ),
                }
                for pg in _by_pg(osdmap.pg_upmap_items)
            ),
        ),
    }
    if osdmap.pg_upmap_primaries:  # 18.2 and newer
        found["pg_upmap_primaries"] = Items(
            "primary_mapping",
            (
                {"pgid": str(pg), "primary_osd": osdmap.pg_upmap_primaries[pg]}
                for pg in _by_pg(osdmap.pg_upmap_primaries)
            ),
        )
    found["pg_temp"] = Items(
        "osds",
        (
            {"pgid": str(pg), "osds": Items("osd", osdmap.pg_temp[pg])}
            for pg in _by_pg(osdmap.pg_temp)
        ),
    )
    # one flat list, as upstream has it
    found["primary_temp"] = Fields(
        pair
        for pg in _by_pg(osdmap.primary_temp)
        for pair in (("pgid", str(pg)), ("osd", osdmap.primary_temp[pg]))
    )
    return found


def _snaps(table: Mapping[int, IntervalSet]) -> Items:
    return Items(
        "pool",
        (
            {
                "pool": number,
                "snaps": Items(
                    "interval",
                    ({"begin": start, "length": length} for start, length in table[number]),
                ),
            }
            for number in sorted(table)
        ),
    )


def profiles_document(profiles: Mapping[str, Mapping[str, str]]) -> dict[str, object]:
    """Erasure-code profiles, their names and keys in order."""
    return {name: dict(sorted(profile.items())) for name, profile in sorted(profiles.items())}


def _flags(names: Iterable[tuple[str, int]]) -> dict[str, object]:
    return {name: Items("flag", state_names(flags)) for name, flags in names}


def _blocked(entries: Mapping[EntityAddr, UTime]) -> dict[str, object]:
    return {str(addr): time_text(entries[addr]) for addr in sorted(entries)}


def _rest(osdmap: OSDMap) -> dict[str, object]:
    crush = osdmap.crush
    return {
        "blocklist": _blocked(osdmap.blocklist),
        "range_blocklist": _blocked(osdmap.range_blocklist),
        "erasure_code_profiles": profiles_document(osdmap.erasure_code_profiles),
        "removed_snaps_queue": _snaps(osdmap.removed_snaps_queue),
        "new_removed_snaps": _snaps(osdmap.new_removed_snaps),
        "new_purged_snaps": _snaps(osdmap.new_purged_snaps),
        "crush_node_flags": _flags(
            (crush.item_names.get(item, str(item)), flags)
            for item, flags in sorted(osdmap.crush_node_flags.items())
        ),
        "device_class_flags": _flags(
            (crush.class_names.get(number, str(number)), flags)
            for number, flags in sorted(osdmap.device_class_flags.items())
        ),
        "stretch_mode": {
            "stretch_mode_enabled": osdmap.stretch_mode_enabled,
            "stretch_bucket_count": osdmap.stretch_bucket_count,
            "degraded_stretch_mode": osdmap.degraded_stretch_mode,
            "recovering_stretch_mode": osdmap.recovering_stretch_mode,
            "stretch_mode_bucket": osdmap.stretch_mode_bucket,
        },
    }
