"""The checks that monitors make of themselves and of their quorum, and how checks are put together.

Pure: numbers and maps in, checks out. Called by the service at each tick. Codes, texts and bounds:
upstream `src/mon/HealthMonitor.cc`, `src/mon/health_check.h`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from spirula.mon.services.monmap import edit
from spirula.printing import general, size_text
from spirula.types.mon import MonFeature, MonMap
from spirula.types.service import HealthCheck, HealthCheckMap, HealthStatus

Checks = dict[str, HealthCheck]


def merge(into: Checks, more: Mapping[str, HealthCheck]) -> None:
    """Adds checks; of those that are there already the details and counts are added up."""
    for code, check in more.items():
        known = into.get(code)
        if known is None:
            into[code] = HealthCheck(check.severity, check.summary, list(check.detail), check.count)
        else:
            known.detail.extend(check.detail)
            known.count += check.count


def of_one(severity: HealthStatus, summary: str, detail: str) -> HealthCheck:
    """A check about one thing."""
    return HealthCheck(severity, summary, [detail], 1)


# --- what each monitor finds


def disk_checks(name: str, disk: tuple[int, int, int], *, warn: int, crit: int, big: int) -> Checks:
    """Room on a monitor's disk: `disk` is (total, available, used by the store) in bytes.

    `warn` and `crit` are percents that must be free, `big` the bytes that a store may take.
    """
    total, available, used = disk
    checks: Checks = {}
    free = available * 100 // total if total else 100
    if free <= crit:
        checks["MON_DISK_CRIT"] = of_one(
            HealthStatus.ERR,
            "mon%plurals% %names% %isorare% very low on available space",
            f"mon.{name} has {free}% avail",
        )
    elif free <= warn:
        checks["MON_DISK_LOW"] = of_one(
            HealthStatus.WARN,
            "mon%plurals% %names% %isorare% low on available space",
            f"mon.{name} has {free}% avail",
        )
    if used >= big:
        checks["MON_DISK_BIG"] = of_one(
            HealthStatus.WARN,
            "mon%plurals% %names% %isorare% using a lot of disk space",
            f"mon.{name} is {size_text(used)} >= mon_data_size_warn ({size_text(big)})",
        )
    return checks


def no_down_out_interval(name: str) -> Checks:
    """OSDs that are down are never taken out by themselves."""
    return {
        "OSD_NO_DOWN_OUT_INTERVAL": of_one(
            HealthStatus.WARN,
            "mon%plurals% %names% %hasorhave% mon_osd_down_out_interval set to 0",
            f"mon.{name} has mon_osd_down_out_interval set to 0",
        )
    }


def insecure_reclaim_allowed(name: str) -> Checks:
    """Clients older than 16.2.1 may take over ids without proof (CVE-2021-20288)."""
    return {
        "AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED": of_one(
            HealthStatus.WARN,
            "mon%plurals% %isorare% allowing insecure global_id reclaim",
            f"mon.{name} has auth_allow_insecure_global_id_reclaim set to true",
        )
    }


def insecure_reclaims(clients: list[str], most: int) -> Checks:
    """Clients (name and address) that do so; at most that many details."""
    if not clients:
        return {}
    detail = [f"{client} is using insecure global_id reclaim" for client in clients[:most]]
    if len(clients) >= most:
        detail.append("...")
    return {
        "AUTH_INSECURE_GLOBAL_ID_RECLAIM": HealthCheck(
            HealthStatus.WARN,
            "client%plurals% %isorare% using insecure global_id reclaim",
            detail,
            len(detail),
        )
    }


def slow_ops(name: str, count: int, oldest_s: float) -> Checks:
    """Requests that a monitor works on for too long; `oldest_s` is how long, at most."""
    if not count:
        return {}
    text = f"{count} slow ops, oldest one blocked for {int(oldest_s)} sec, mon.{name} has slow ops"
    return {"SLOW_OPS": HealthCheck(HealthStatus.WARN, text, [], count)}


_SLOW = re.compile(r"(\d+) slow ops, oldest one blocked for (\d+) sec, (\S+) has slow ops")


def _join_slow_ops(by_monitor: Mapping[int, HealthCheckMap]) -> str:
    """The summary of what several monitors tell in the words of `slow_ops`."""
    told = [m.checks["SLOW_OPS"].summary for m in by_monitor.values() if "SLOW_OPS" in m.checks]
    found = [match.groups() for match in map(_SLOW.fullmatch, told) if match]
    count = sum(int(n) for n, _, _ in found)
    oldest = max((int(s) for _, s, _ in found), default=0)
    who = ",".join(sorted(name for _, _, name in found))
    return f"{count} slow ops, oldest one blocked for {oldest} sec, daemons [{who}] have slow ops."


def combine(by_monitor: Mapping[int, HealthCheckMap], monmap: MonMap) -> Checks:
    """What all monitors found, with the names of those concerned in the summaries."""
    names: dict[str, set[str]] = {}
    all_of_them: Checks = {}
    for rank, found in by_monitor.items():
        if 0 <= rank < len(monmap.ranks):
            for code in found.checks:
                names.setdefault(code, set()).add(monmap.ranks[rank])
            merge(all_of_them, found.checks)
    for code, check in all_of_them.items():
        several = len(names[code]) > 1
        for word, replaced in (
            ("%hasorhave%", "have" if several else "has"),
            ("%names%", ",".join(sorted(names[code]))),
            ("%plurals%", "s" if several else ""),
            ("%isorare%", "are" if several else "is"),
        ):
            check.summary = check.summary.replace(word, replaced)
    if len(names.get("SLOW_OPS", ())) > 1:
        all_of_them["SLOW_OPS"].summary = _join_slow_ops(by_monitor)
    return all_of_them


# --- what the leader finds


def mon_down(
    monmap: MonMap, quorum: Iterable[int], reasons: Mapping[str, str] | None = None
) -> Checks:
    """Monitors of the map that are not in the quorum; `reasons` are what some have said of it."""
    members = sorted(quorum)
    missing = [rank for rank in range(len(monmap.ranks)) if rank not in members]
    if not missing:
        return {}
    names = ",".join(monmap.ranks[rank] for rank in members)
    why = {name: f": {reason}" for name, reason in (reasons or {}).items()}
    return {
        "MON_DOWN": HealthCheck(
            HealthStatus.WARN,
            f"{len(missing)}/{len(monmap.ranks)} mons down, quorum {names}",
            [
                f"mon.{monmap.ranks[rank]} (rank {rank}) addr {monmap.addrs(rank)}"
                f" is down (out of quorum){why.get(monmap.ranks[rank], '')}"
                for rank in missing
            ],
            len(missing),
        )
    }


def clock_skew(monmap: MonMap, clocks: Mapping[int, tuple[float, float]], allowed: float) -> Checks:
    """Monitors whose clocks differ by too much: `clocks` is (skew, latency) in seconds by rank."""
    names, detail = [], []
    for rank, (skew, latency) in sorted(clocks.items()):
        if abs(skew) > allowed and 0 <= rank < len(monmap.ranks):
            names.append(f"mon.{monmap.ranks[rank]}")
            detail.append(
                f"mon.{monmap.ranks[rank]} {skew_text(skew, allowed)} (latency {general(latency)}s)"
            )
    if not names:
        return {}
    return {
        "MON_CLOCK_SKEW": HealthCheck(
            HealthStatus.WARN,
            f"clock skew detected on {', '.join(names)}",
            detail,
            len(detail),
        )
    }


def skew_text(skew: float, allowed: float) -> str:
    """`clock skew 0.2s > max 0.05s`."""
    return f"clock skew {general(abs(skew))}s > max {general(allowed)}s"


def msgr2_missing(monmap: MonMap) -> Checks:
    """Monitors that only speak the old protocol."""
    if not edit.required_features(monmap) & MonFeature.NAUTILUS:
        return {}
    detail = [
        f"mon.{name} is not bound to a msgr2 port, only {info.public_addrs}"
        for name, info in sorted(monmap.mon_info.items())
        if info.public_addrs.msgr2 is None
    ]
    if not detail:
        return {}
    return {
        "MON_MSGR2_NOT_ENABLED": HealthCheck(
            HealthStatus.WARN,
            f"{len(detail)} monitors have not enabled msgr2",
            detail,
            len(detail),
        )
    }


def old_versions(daemons: Mapping[str, list[str]]) -> Checks:
    """Daemons that run an older release than others, by their version."""
    older = dict(sorted(daemons.items())[:-1])
    if not older:
        return {}
    count = sum(map(len, older.values()))
    several = len(older) > 1
    summary = (
        f"There {'is a daemon' if count == 1 else 'are daemons'} running "
        f"{'multiple old versions' if several else 'an older version'} of ceph"
    )
    detail = [
        f"{' '.join(names)} {'is' if len(names) == 1 else 'are'}"
        f" running an older version of ceph: {version}"
        for version, names in older.items()
    ]
    severity = HealthStatus.ERR if several else HealthStatus.WARN
    return {"DAEMON_OLD_VERSION": HealthCheck(severity, summary, detail, len(older))}
