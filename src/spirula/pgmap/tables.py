"""Statistics as tables for people: `pg dump`, `pg ls`, `osd perf` and their kin.

Columns: upstream `src/mon/PGMap.cc` (dump_pg_stats_plain and its neighbours).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from spirula.pgmap.record import PGMap
from spirula.printing import TextTable, size_text
from spirula.types.base import UTime
from spirula.types.pg import PGId, pg_state_text
from spirula.types.pg_stats import ObjectStatSum, PGStat, PoolStat, StoreStatfs

_COUNTERS = (
    ("OBJECTS", "num_objects"),
    ("MISSING_ON_PRIMARY", "num_objects_missing_on_primary"),
    ("DEGRADED", "num_objects_degraded"),
    ("MISPLACED", "num_objects_misplaced"),
    ("UNFOUND", "num_objects_unfound"),
    ("BYTES", "num_bytes"),
    ("OMAP_BYTES*", "num_omap_bytes"),
    ("OMAP_KEYS*", "num_omap_keys"),
)
_AFTER_COUNTERS = (
    "LOG",
    "DISK_LOG",
)
_OF_PG = (
    "STATE",
    "STATE_STAMP",
    "VERSION",
    "REPORTED",
    "UP",
    "UP_PRIMARY",
    "ACTING",
    "ACTING_PRIMARY",
    "LAST_SCRUB",
    "SCRUB_STAMP",
    "LAST_DEEP_SCRUB",
    "DEEP_SCRUB_STAMP",
    "SNAPTRIMQ_LEN",
)
OMAP_NOTE = (
    "\n* NOTE: Omap statistics are gathered during deep scrub and may be inaccurate soon afterwards"
    " depending on utilization. See"
    " http://docs.ceph.com/en/latest/dev/placement-group/#omap-statistics for further details.\n"
)
_Column = tuple[str, Literal["<", ">"]]


def _columns(first: str, *others: str, headings: bool = True) -> list[_Column]:
    columns: list[_Column] = [(first, "<"), *((name, ">") for name in others)]
    return columns if headings else [("", side) for _, side in columns]


def _osds(osds: Iterable[int]) -> str:
    return f"[{','.join(map(str, osds))}]"


def _counters(total: ObjectStatSum) -> list[int]:
    return [getattr(total, name) for _, name in _COUNTERS]


def pg_table(pgs: Iterable[tuple[PGId, PGStat]]) -> str:
    """PGs with all that is known of them."""
    names = [name for name, _ in _COUNTERS]
    table = TextTable(_columns("PG_STAT", *names, *_AFTER_COUNTERS, *_OF_PG))
    for pgid, stat in pgs:
        table.add(
            pgid,
            *_counters(stat.stats.sum),
            stat.log_size,
            stat.ondisk_log_size,
            pg_state_text(stat.state),
            stat.last_change,
            stat.version,
            f"{stat.reported_epoch}:{stat.reported_seq}",
            _osds(stat.up),
            stat.up_primary,
            _osds(stat.acting),
            stat.acting_primary,
            stat.last_scrub,
            stat.last_scrub_stamp,
            stat.last_deep_scrub,
            stat.last_deep_scrub_stamp,
            stat.snaptrimq_len,
        )
    return str(table)


def pg_brief_table(pgs: Iterable[tuple[PGId, PGStat]]) -> str:
    """PGs with state and place."""
    table = TextTable(_columns("PG_STAT", "STATE", "UP", "UP_PRIMARY", "ACTING", "ACTING_PRIMARY"))
    for pgid, stat in pgs:
        table.add(
            pgid,
            pg_state_text(stat.state),
            _osds(stat.up),
            stat.up_primary,
            _osds(stat.acting),
            stat.acting_primary,
        )
    return str(table)


def pg_list(pgs: Iterable[tuple[PGId, PGStat]], now: float) -> str:
    """PGs as `pg ls` lists them; `now` is the time in seconds since 1970."""
    shown = [(name, field) for name, field in _COUNTERS if name != "MISSING_ON_PRIMARY"]
    rest = ("LOG", "STATE", "SINCE", "VERSION", "REPORTED", "UP", "ACTING")
    stamps = ("SCRUB_STAMP", "DEEP_SCRUB_STAMP")
    table = TextTable(_columns("PG", *(name for name, _ in shown), *rest, *stamps))
    for pgid, stat in pgs:
        since = UTime.at(max(now - float(stat.last_change), 0.0))
        table.add(
            pgid,
            *(getattr(stat.stats.sum, field) for _, field in shown),
            stat.log_size,
            pg_state_text(stat.state),
            since.span_text(),
            stat.version,
            f"{stat.reported_epoch}:{stat.reported_seq}",
            f"{_osds(stat.up)}p{stat.up_primary}",
            f"{_osds(stat.acting)}p{stat.acting_primary}",
            stat.last_scrub_stamp,
            stat.last_deep_scrub_stamp,
        )
    return str(table)


def pool_table(pgmap: PGMap, *, headings: bool) -> str:
    """Pools and their counters."""
    names = [name for name, _ in _COUNTERS]
    table = TextTable(_columns("POOLID", *names, *_AFTER_COUNTERS, headings=headings))
    for pool, stat in sorted(pgmap.pool_sum.items()):
        table.add(pool, *_sums(stat))
    return str(table)


def sum_table(pgmap: PGMap, *, headings: bool) -> str:
    """The counters of all PGs."""
    names = [name for name, _ in _COUNTERS]
    table = TextTable(_columns("PG_STAT", *names, *_AFTER_COUNTERS, headings=headings))
    table.add("sum", *_sums(pgmap.pg_sum))
    return str(table)


def _sums(stat: PoolStat) -> list[int]:
    return [*_counters(stat.stats.sum), stat.log_size, stat.ondisk_log_size]


def _space(statfs: StoreStatfs) -> list[str]:
    return [
        size_text(size) for size in (statfs.used, statfs.available, statfs.used_raw, statfs.total)
    ]


def osd_table(pgmap: PGMap) -> str:
    """OSDs with their space and PGs."""
    rest = ["USED", "AVAIL", "USED_RAW", "TOTAL", "HB_PEERS", "PG_SUM", "PRIMARY_PG_SUM"]
    table = TextTable(_columns("OSD_STAT", *rest))
    for osd, stat in sorted(pgmap.osd_stat.items()):
        count = pgmap.num_pg_by_osd.get(osd)
        table.add(
            osd,
            *_space(stat.statfs),
            _osds(stat.hb_peers),
            count.acting if count else 0,
            count.primary if count else 0,
        )
    table.add("sum", *_space(pgmap.osd_sum.statfs))
    return str(table)


def osd_sum_table(pgmap: PGMap) -> str:
    """The space of all OSDs."""
    table = TextTable(_columns("OSD_STAT", "USED", "AVAIL", "USED_RAW", "TOTAL"))
    table.add("sum", *_space(pgmap.osd_sum.statfs))
    return str(table)


def head(pgmap: PGMap) -> str:
    """Which statistics these are."""
    return (
        f"version {pgmap.version}\nstamp {UTime.at(pgmap.stamp)}\n"
        f"last_osdmap_epoch {pgmap.last_osdmap_epoch}\nlast_pg_scan 0\n"
    )


def perf_table(pgmap: PGMap) -> str:
    """OSDs' latencies in milliseconds."""
    table = TextTable([("osd", ">"), ("commit_latency(ms)", ">"), ("apply_latency(ms)", ">")])
    for osd, stat in sorted(pgmap.osd_stat.items()):
        perf = stat.os_perf_stat
        commit, applied = perf.os_commit_latency_ns, perf.os_apply_latency_ns
        table.add(osd, commit // 1_000_000, applied // 1_000_000)
    return str(table)


def blocked_by_table(pgmap: PGMap) -> str:
    """How many PGs each OSD keeps from peering."""
    table = TextTable([("osd", ">"), ("num_blocked", ">")])
    for osd, count in sorted(pgmap.blocked_by.items()):
        table.add(osd, count)
    return str(table)
