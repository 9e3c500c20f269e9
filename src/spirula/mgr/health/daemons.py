"""Checks of what daemons say of themselves: slow requests, PGs that wait to be made."""

from __future__ import annotations

from spirula.mgr.daemons.index import DaemonIndex
from spirula.types.service import DaemonMetric, HealthCheck, HealthStatus

_MOST_NAMED = 10


def checks(daemons: DaemonIndex) -> dict[str, HealthCheck]:
    """The checks of daemons that do not pass."""
    slow, blocked_s, pending = 0, 0, 0
    slow_ones: list[str] = []
    pending_ones: list[str] = []
    for kind in ("osd", "mon"):
        for daemon in daemons.of_kind(kind):
            for metric in daemon.metrics:
                if metric.type == DaemonMetric.SLOW_OPS and metric.value:
                    slow += metric.low
                    blocked_s = max(blocked_s, metric.high)
                    slow_ones.append(str(daemon.key))
                elif metric.type == DaemonMetric.PENDING_CREATING_PGS and metric.value:
                    pending += metric.value
                    pending_ones.append(str(daemon.key))
    found = {}
    if slow_ones:
        found["SLOW_OPS"] = HealthCheck(
            HealthStatus.WARN,
            f"{slow} slow ops, oldest one blocked for {blocked_s} sec, {_who_is_slow(slow_ones)}",
            count=1,
        )
    if pending_ones:
        who = (
            f"{pending_ones[0]} has pending PGs"
            if len(pending_ones) == 1
            else f"osds [{','.join(pending_ones)}] have pending PGs."
        )
        found["PENDING_CREATING_PGS"] = HealthCheck(
            HealthStatus.WARN, f"{pending} PGs pending on creation", [who], 1
        )
    return found


def _who_is_slow(names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} has slow ops"
    more = "... " if len(names) > _MOST_NAMED else ""
    return f"daemons [{','.join(names[:_MOST_NAMED])}]{more} have slow ops."
