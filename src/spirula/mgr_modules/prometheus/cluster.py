"""Metrics of the cluster: health, space, pools, monitors, managers, PGs.

Each function takes documents as modules get them and gives families. Names, kinds and labels:
upstream `src/pybind/mgr/prometheus`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from spirula.mgr_modules.prometheus.families import Family
from spirula.mgr_modules.prometheus.history import Seen

Document = Mapping[str, Any]

_HEALTH = {"HEALTH_OK": 0, "HEALTH_WARN": 1, "HEALTH_ERR": 2}
_SPACE = ("total_bytes", "total_used_bytes", "total_used_raw_bytes")
_POOL_SPACE = (
    "max_avail",
    "avail_raw",
    "stored",
    "stored_raw",
    "objects",
    "dirty",
    "quota_bytes",
    "quota_objects",
    "rd",
    "rd_bytes",
    "wr",
    "wr_bytes",
    "compress_bytes_used",
    "compress_under_bytes",
    "bytes_used",
    "percent_used",
)
_POOL_COUNTERS = ("rd", "rd_bytes", "wr", "wr_bytes")
_RECOVERY = (
    "recovering_objects_per_sec",
    "recovering_bytes_per_sec",
    "recovering_keys_per_sec",
    "num_objects_recovered",
    "num_bytes_recovered",
)
_OBJECTS = ("degraded", "misplaced", "unfound")
PG_STATES = (
    "active",
    "clean",
    "down",
    "recovery_unfound",
    "backfill_unfound",
    "scrubbing",
    "degraded",
    "inconsistent",
    "peering",
    "repair",
    "recovering",
    "forced_recovery",
    "backfill_wait",
    "incomplete",
    "stale",
    "remapped",
    "deep",
    "backfilling",
    "forced_backfill",
    "backfill_toofull",
    "recovery_wait",
    "recovery_toofull",
    "undersized",
    "activating",
    "peered",
    "snaptrim",
    "snaptrim_wait",
    "snaptrim_error",
    "creating",
    "unknown",
    "premerge",
    "failed_repair",
    "laggy",
    "wait",
)
"""The states that have a metric, in upstream's order."""


def health(document: Document, seen: Mapping[str, Seen]) -> Iterator[Family]:
    """The health, the checks that have not passed of late, and slow operations."""
    status = Family("health_status", "untyped", "Cluster health status")
    status.set(_HEALTH.get(str(document.get("status")), 2))
    yield status
    slow = Family(
        "healthcheck_slow_ops",
        "gauge",
        "OSD or Monitor requests taking a long time to process",
    )
    check = document.get("checks", {}).get("SLOW_OPS")
    # `42 slow ops, oldest one blocked for 12 sec, ...`
    first = check["summary"].get("message", "").split(" ")[0] if check else "0"
    if first.isdecimal():
        slow.set(int(first))
        yield slow
    detail = Family(
        "health_detail",
        "gauge",
        "healthcheck status by type (0=inactive, 1=active)",
        ("name", "severity"),
    )
    for name, one in seen.items():
        detail.set(int(one.active), name, one.severity)
    yield detail


def space(document: Document) -> Iterator[Family]:
    """Space of the cluster and of pools (the document `df`)."""
    for key in _SPACE:
        total = Family(f"cluster_{key}", "gauge", f"DF {key}")
        total.set(document["stats"][key])
        yield total
    for key in _POOL_SPACE:
        kind = "counter" if key in _POOL_COUNTERS else "gauge"
        family = Family(f"pool_{key}", kind, f"DF pool {key}", ("pool_id",))
        for pool in document["pools"]:
            family.set(pool["stats"][key], pool["id"])
        yield family


def recovery(document: Document) -> Iterator[Family]:
    """How fast pools are made good (`osd_pool_stats`)."""
    for key in _RECOVERY:
        family = Family(f"pool_{key}", "gauge", f"OSD pool stats: {key}", ("pool_id",))
        for pool in document["pool_stats"]:
            family.set(pool["recovery_rate"].get(key, 0), pool["pool_id"])
        yield family


def repaired(document: Document) -> Iterator[Family]:
    """How many objects scrubs have repaired (`pool_stats`)."""
    family = Family(
        "pool_objects_repaired",
        "counter",
        "Number of objects repaired in a pool Count",
        ("poolid",),
    )
    for pool in document["pool_stats"]:
        family.set(pool["stat_sum"]["num_objects_repaired"], pool["poolid"])
    yield family


def pgs(document: Document) -> Iterator[Family]:
    """How many PGs of each pool are in each state (`pg_summary`); a PG is in several at a time."""
    by_pool: dict[str, Counter[str]] = {}
    for pool, states in document["by_pool"].items():
        counted = by_pool.setdefault(pool, Counter())
        for text, count in states.items():
            counted["total"] += count
            for state in text.split("+"):
                counted[state] += count
    for state in ("total", *PG_STATES):
        words = "PG Total Count per Pool" if state == "total" else f"PG {state} per pool"
        family = Family(f"pg_{state}", "gauge", words, ("pool_id",))
        for pool, counted in by_pool.items():
            family.set(counted[state], pool)
        yield family
    total = document["pg_stats_sum"]["stat_sum"]
    for key in _OBJECTS:
        family = Family(f"num_objects_{key}", "gauge", f"Number of {key} objects")
        family.set(total[f"num_objects_{key}"])
        yield family


Where = Callable[[str, str], tuple[str, str]]
"""Host and version of a daemon, by its kind and name; empty where they are not known."""


def monitors(document: Document, where: Where) -> Iterator[Family]:
    """Monitors, and whether they are in the quorum (`mon_status`)."""
    metadata = Family(
        "mon_metadata",
        "untyped",
        "MON Metadata",
        ("ceph_daemon", "hostname", "public_addr", "rank", "ceph_version"),
    )
    quorum = Family("mon_quorum_status", "gauge", "Monitors in quorum", ("ceph_daemon",))
    for mon in document.get("monmap", {}).get("mons", ()):
        name, rank = f"mon.{mon['name']}", mon["rank"]
        host, version = where("mon", mon["name"])
        metadata.set(1, name, host, mon["public_addr"].rsplit(":", 1)[0], rank, version)
        quorum.set(int(rank in document.get("quorum", ())), name)
    yield metadata
    yield quorum


def managers(document: Document, release: str, where: Where) -> Iterator[Family]:
    """Managers and their modules (`mgr_map`)."""
    metadata = Family(
        "mgr_metadata", "gauge", "MGR metadata", ("ceph_daemon", "hostname", "ceph_version")
    )
    status = Family("mgr_status", "gauge", "MGR status (0=standby, 1=active)", ("ceph_daemon",))
    active = document["active_name"]
    for name in [*(one["name"] for one in document["standbys"]), active]:
        metadata.set(1, f"mgr.{name}", *where("mgr", name))
        status.set(int(name == active), f"mgr.{name}")
    yield metadata
    yield status
    enabled = Family(
        "mgr_module_status",
        "gauge",
        "MGR module status (0=disabled, 1=enabled, 2=auto-enabled)",
        ("name",),
    )
    can_run = Family(
        "mgr_module_can_run",
        "gauge",
        "MGR module runnable state i.e. can it run (0=no, 1=yes)",
        ("name",),
    )
    always = document["always_on_modules"].get(release, ())
    for module in document["available_modules"]:
        name = module["name"]
        enabled.set(2 if name in always else int(name in document["modules"]), name)
        can_run.set(int(bool(module["can_run"])), name)
    yield enabled
    yield can_run
