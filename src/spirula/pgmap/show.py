"""Statistics of PGs, pools and OSDs as documents, in the shape in which upstream prints them.

For commands to monitors and managers, OSDs' `query` and `spirula store info`. Shapes: the `dump`
functions of upstream's `src/osd/osd_types.cc`.
"""

from __future__ import annotations

from typing import Any

from spirula.printing import Items
from spirula.types.base import calendar_text
from spirula.types.osd_stats import OSDStat, PingTimes
from spirula.types.pg import pg_state_text
from spirula.types.pg_stats import ObjectStatSum, PGStat, PoolStat

_SUM = [
    "num_bytes",
    "num_objects",
    "num_object_clones",
    "num_object_copies",
    "num_objects_missing_on_primary",
    "num_objects_missing",
    "num_objects_degraded",
    "num_objects_misplaced",
    "num_objects_unfound",
    "num_objects_dirty",
    "num_whiteouts",
    "num_rd",
    "num_rd_kb",
    "num_wr",
    "num_wr_kb",
    "num_scrub_errors",
    "num_shallow_scrub_errors",
    "num_deep_scrub_errors",
    "num_objects_recovered",
    "num_bytes_recovered",
    "num_keys_recovered",
    "num_objects_omap",
    "num_objects_hit_set_archive",
    "num_bytes_hit_set_archive",
    "num_flush",
    "num_flush_kb",
    "num_evict",
    "num_evict_kb",
    "num_promote",
    "num_flush_mode_high",
    "num_flush_mode_low",
    "num_evict_mode_some",
    "num_evict_mode_full",
    "num_objects_pinned",
    "num_legacy_snapsets",
    "num_large_omap_objects",
    "num_objects_manifest",
    "num_omap_bytes",
    "num_omap_keys",
    "num_objects_repaired",
]
"""Counters in upstream's order."""
_STAT_TIMES = [
    "last_fresh",
    "last_change",
    "last_active",
    "last_peered",
    "last_clean",
    "last_became_active",
    "last_became_peered",
    "last_unstale",
    "last_undegraded",
    "last_fullsized",
]
_STAT_SCRUBS = [
    "last_scrub",
    "last_scrub_stamp",
    "last_deep_scrub",
    "last_deep_scrub_stamp",
    "last_clean_scrub_stamp",
]
_STAT_DOUBTS = [
    "stats_invalid",
    "dirty_stats_invalid",
    "omap_stats_invalid",
    "hitset_stats_invalid",
    "hitset_bytes_stats_invalid",
    "pin_stats_invalid",
    "manifest_stats_invalid",
]


def pg_document(stat: PGStat) -> dict[str, Any]:
    """A PG's statistics."""
    return {
        "version": str(stat.version),
        "reported_seq": stat.reported_seq,
        "reported_epoch": stat.reported_epoch,
        "state": pg_state_text(stat.state),
        **{name: str(getattr(stat, name)) for name in _STAT_TIMES},
        "mapping_epoch": stat.mapping_epoch,
        "log_start": str(stat.log_start),
        "ondisk_log_start": str(stat.ondisk_log_start),
        "created": stat.created,
        "last_epoch_clean": stat.last_epoch_clean,
        "parent": str(stat.parent),
        "parent_split_bits": stat.parent_split_bits,
        **{name: str(getattr(stat, name)) for name in _STAT_SCRUBS},
        "log_size": stat.log_size,
        "ondisk_log_size": stat.ondisk_log_size,
        **{name: bool(getattr(stat, name)) for name in _STAT_DOUBTS},
        "snaptrimq_len": stat.snaptrimq_len,
        "stat_sum": sum_document(stat.stats.sum),
        "up": Items("osd", stat.up),
        "acting": Items("osd", stat.acting),
        "avail_no_missing": Items("shard", map(str, stat.avail_no_missing)),
        "object_location_counts": Items("entry", _locations(stat)),
        "blocked_by": Items("osd", stat.blocked_by),
        "up_primary": stat.up_primary,
        "acting_primary": stat.acting_primary,
        "purged_snaps": Items("interval", stat.purged_snaps.plain()),
    }


def sum_document(counters: ObjectStatSum) -> dict[str, int]:
    """Counters over a set of objects."""
    shown = {}
    for name in _SUM:
        label = name.replace("num_rd", "num_read").replace("num_wr", "num_write")
        shown[label] = getattr(counters, name)
    return shown


def _locations(stat: PGStat) -> list[dict[str, Any]]:
    return [
        {"shards": ",".join(map(str, shards)), "objects": count}
        for shards, count in stat.object_location_counts.items()
    ]


def pg_brief(stat: PGStat) -> dict[str, Any]:
    """A PG's state and place."""
    return {
        "state": pg_state_text(stat.state),
        "up": Items("osd", stat.up),
        "acting": Items("osd", stat.acting),
        "up_primary": stat.up_primary,
        "acting_primary": stat.acting_primary,
    }


def pool_document(stat: PoolStat) -> dict[str, Any]:
    """A pool's statistics, or those of all pools."""
    return {
        "stat_sum": sum_document(stat.stats.sum),
        "store_stats": stat.store_stats.plain(),
        "log_size": stat.log_size,
        "ondisk_log_size": stat.ondisk_log_size,
        "up": stat.up,
        "acting": stat.acting,
        "num_store_stats": stat.num_store_stats,
    }


_OSD_SPACE = ("kb", "kb_used", "kb_used_data", "kb_used_omap", "kb_used_meta", "kb_avail")


def osd_document(stat: OSDStat, *, pings: bool = True) -> dict[str, Any]:
    """What an OSD reports of itself; without `pings` its heartbeat times are left out."""
    ages = stat.op_queue_age_hist
    shown: dict[str, Any] = {
        "up_from": stat.up_from,
        "seq": stat.seq,
        "num_pgs": stat.num_pgs,
        "num_osds": stat.num_osds,
        "num_per_pool_osds": stat.num_per_pool_osds,
        "num_per_pool_omap_osds": stat.num_per_pool_omap_osds,
        **{name: getattr(stat, name) for name in _OSD_SPACE},
        "statfs": stat.statfs.plain(),
        "hb_peers": Items("osd", stat.hb_peers),
        "snap_trim_queue_len": stat.snap_trim_queue_len,
        "num_snap_trimming": stat.num_snap_trimming,
        "num_shards_repaired": stat.num_shards_repaired,
        "op_queue_age_hist": {
            "histogram": Items("count", ages.h),
            "upper_bound": ages.upper_bound,
        },
        "perf_stat": stat.os_perf_stat.plain(),
        "alerts": Items("alert", _alerts(stat)),
    }
    if pings:
        shown["network_ping_times"] = ping_documents(stat)
    return shown


def _alerts(stat: OSDStat) -> list[dict[str, Any]]:
    return [
        {"osd": osd, "name": name, "text": text}
        for osd, alerts in sorted(stat.os_alerts.items())
        for name, text in sorted(alerts.items())
    ]


def ping_documents(stat: OSDStat) -> Items:
    """An OSD's heartbeat times to each other OSD, in milliseconds."""
    return Items(
        "entry",
        [
            {
                "osd": osd,
                "last update": calendar_text(times.last_update),
                "interfaces": Items("interface", _interfaces(times)),
            }
            for osd, times in sorted(stat.hb_pingtime.items())
        ],
    )


def _interfaces(times: PingTimes) -> list[dict[str, Any]]:
    shown = [
        _interface("back", times.back_pingtime, times.back_min, times.back_max, times.back_last)
    ]
    if times.front_pingtime[0]:
        shown.append(
            _interface(
                "front", times.front_pingtime, times.front_min, times.front_max, times.front_last
            )
        )
    return shown


def _interface(
    name: str, mean: list[int], least: list[int], most: list[int], last: int
) -> dict[str, Any]:
    shown: dict[str, Any] = {"interface": name}
    for label, times in (("average", mean), ("min", least), ("max", most)):
        shown[label] = dict(zip(("1min", "5min", "15min"), map(_ms, times), strict=True))
    return {**shown, "last": _ms(last)}


def _ms(microseconds: int) -> float:
    return microseconds / 1000.0
