"""Numbers of the cluster, each with where it comes from: what is sent to databases.

Measurements, tags and names: upstream `src/pybind/mgr/influx` and `src/pybind/mgr/telegraf`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spirula.mgr_modules.host import Host
from spirula.mgr_modules.prometheus.cluster import PG_STATES
from spirula.mgr_modules.prometheus.counters import KINDS
from spirula.types.service import PRIO_USEFUL, PerfCounterKind

_POOL_KEYS = (
    "stored",
    "stored_raw",
    "bytes_used",
    "kb_used",
    "percent_used",
    "objects",
    "dirty",
    "rd",
    "rd_bytes",
    "wr",
    "wr_bytes",
    "max_avail",
    "quota_objects",
    "quota_bytes",
)
_USAGE_KEYS = (
    "bytes_total",
    "data_bytes",
    "bytes_used",
    "bytes_avail",
    "num_pgs",
    "num_objects",
    "num_pools",
)
_HEALTH = {"HEALTH_OK": 0, "HEALTH_WARN": 1, "HEALTH_ERR": 2}


@dataclass(frozen=True, slots=True)
class Point:
    """One number. `path` is its place in a tree, for databases that have no tags."""

    measurement: str
    tags: dict[str, str]
    path: tuple[str, ...]
    value: float


def collect(host: Host) -> Iterator[Point]:
    """All numbers, as they are now."""
    fsid = str(host.get("mon_map").get("fsid", ""))
    usage = host.get("df")
    yield from _cluster(host, fsid)
    yield from _pools(usage, fsid)
    yield from _daemons(host, fsid)
    yield from _pgs(host, {str(pool["id"]): pool["name"] for pool in usage["pools"]})


def _pools(usage: dict[str, Any], fsid: str) -> Iterator[Point]:
    for pool in usage["pools"]:
        name, stats = str(pool["name"]), pool["stats"]
        for key in _POOL_KEYS:
            if key in stats:
                tags = {"pool_name": name, "pool_id": str(pool["id"]), "type_instance": key}
                path = ("pool", name, key)
                yield Point("ceph_pool_stats", {**tags, "fsid": fsid}, path, stats[key])


def _daemons(host: Host, fsid: str) -> Iterator[Point]:
    for daemon, counters in host.latest_counters(KINDS, PRIO_USEFUL).items():
        kind, _, name = daemon.partition(".")
        about = host.metadata(kind, name) or {}
        for counter, (declared, latest) in counters.items():
            if declared.type & PerfCounterKind.HISTOGRAM:
                continue
            tags = {
                "ceph_daemon": daemon,
                "type_instance": counter,
                "host": about.get("hostname", "N/A"),
                "fsid": fsid,
            }
            value = latest[1] if len(latest) > 1 else 0
            yield Point("ceph_daemon_stats", tags, (kind, name, *counter.split(".")), value)


def _pgs(host: Host, pools: dict[str, str]) -> Iterator[Point]:
    summary = host.get("pg_summary")
    for osd, states in summary["by_osd"].items():
        about = host.metadata("osd", str(osd)) or {}
        for state, count in states.items():
            tags = {
                "ceph_daemon": f"osd.{osd}",
                "type_instance": state,
                "host": about.get("hostname", "N/A"),
            }
            yield Point("ceph_pg_summary_osd", tags, ("osd", str(osd), "pgs", state), count)
    for pool, states in summary["by_pool"].items():
        name = pools.get(str(pool))
        if name is None:
            continue  # it has just gone or come
        for state, count in states.items():
            tags = {"pool_name": name, "pool_id": str(pool), "type_instance": state}
            yield Point("ceph_pg_summary_pool", tags, ("pool", name, "pgs", state), count)


def _cluster(host: Host, fsid: str) -> Iterator[Point]:
    for key, value in cluster_numbers(host).items():
        tags = {"type_instance": key, "fsid": fsid}
        yield Point("ceph_cluster_stats", tags, ("cluster", key), value)


def cluster_numbers(host: Host) -> dict[str, float]:
    """Health, counts of daemons, PGs by state, space."""
    health = json.loads(host.get("health")["json"] or "{}")
    mons = json.loads(host.get("mon_status")["json"] or "{}")
    osdmap, mgrmap, fsmap = (host.get(name) for name in ("osd_map", "mgr_map", "fs_map"))
    up = sum(len(one["mdsmap"]["up"]) for one in fsmap["filesystems"])
    standby = len(fsmap["standbys"])
    numbers: dict[str, float] = {
        "health": _HEALTH.get(str(health.get("status")), 2),
        "num_mon": len(mons.get("monmap", {}).get("mons", ())),
        "mon_election_epoch": mons.get("election_epoch", 0),
        "mon_outside_quorum": len(mons.get("outside_quorum", ())),
        "mon_quorum": len(mons.get("quorum", ())),
        "num_osd": len(osdmap["osds"]),
        "num_osd_up": sum(osd["up"] for osd in osdmap["osds"]),
        "num_osd_in": sum(osd["in"] for osd in osdmap["osds"]),
        "num_pg_temp": len(osdmap["pg_temp"]),
        "osd_epoch": osdmap["epoch"],
        "mgr_available": int(mgrmap["available"]),
        "num_mgr_standby": len(mgrmap["standbys"]),
        "mgr_epoch": mgrmap["epoch"],
        "num_mds": up + standby,
        "num_mds_up": up,
        "num_mds_standby": standby,
        "num_fs": len(fsmap["filesystems"]),
        "mds_epoch": fsmap["epoch"],
    }
    status = host.get("pg_status")
    numbers |= {key: status[key] for key in _USAGE_KEYS}
    states: Counter[str] = Counter()
    for entry in status["pgs_by_state"]:
        for state in entry["state_name"].split("+"):
            states[state] += entry["count"]
    return numbers | {f"num_pgs_{state}": states[state] for state in PG_STATES}
