"""What the cluster log is told of health: each check that fails, changes or passes, and the whole.

The leader writes it, once for every committed change. Summaries that change all the time (degraded
objects while a cluster recovers) are told of every `mon_health_log_update_period`. Called by the
service. Texts and times: upstream `src/mon/Monitor.cc` (log_health, do_health_to_clog).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.mon.services.health import show
from spirula.types.log import LogLevel
from spirula.types.service import HealthCheck, HealthStatus

if TYPE_CHECKING:
    from spirula.mon.services.health.service import HealthService

_LEVELS = {
    HealthStatus.ERR: LogLevel.ERROR,
    HealthStatus.WARN: LogLevel.WARN,
    HealthStatus.OK: LogLevel.INFO,
}
_CLEARED = {
    "DEGRADED_OBJECTS": "All degraded objects recovered",
    "OSD_FLAGS": "OSD flags cleared",
}


@dataclass(slots=True)
class Logged:
    """What was said last of a check, and when (seconds since 1970)."""

    severity: int
    summary: str
    at: float


@dataclass(slots=True)
class History:
    """What the log knows. `seen` are all services' checks as of the last look."""

    seen: dict[str, dict[str, HealthCheck]] = field(default_factory=dict)
    logged: dict[str, Logged] = field(default_factory=dict)
    overall: str = ""
    status: HealthStatus = HealthStatus.OK
    next_look: float = 0.0
    next_report: float = 0.0


def look(service: HealthService) -> None:
    """Something was committed: tell what has changed since the last look, if we lead."""
    monitor, history = service.monitor, service.history
    if not monitor.is_leader or not monitor.config.get_bool("mon_health_to_clog"):
        history.seen = {one.NAME: one.health.checks for one in monitor.services}
        return
    for one in monitor.services:
        before = history.seen.get(one.NAME)
        if before is None or before == one.health.checks:
            history.seen[one.NAME] = one.health.checks
            continue
        history.seen[one.NAME] = one.health.checks
        _changed(service, before, one.health.checks)


def _changed(
    service: HealthService,
    before: Mapping[str, HealthCheck],
    after: Mapping[str, HealthCheck],
) -> None:
    monitor, logged = service.monitor, service.history.logged
    for code, check in after.items():
        known = before.get(code)
        if known is None:
            _tell(service, "failed", code, check)
        elif (known.summary, known.severity) != (check.summary, check.severity):
            last = logged.get(code)
            period = monitor.config.get_int("mon_health_log_update_period")
            recently = last is not None and monitor.wall() - last.at < period
            if not recently or known.severity != check.severity:
                _tell(service, "update", code, check)
    for code, check in before.items():
        if code not in after:
            logged.pop(code, None)
            cleared = f"Health check cleared: {code} (was: {check.summary})"
            monitor.clog(LogLevel.INFO, _CLEARED.get(code, cleared))
    if before and not after and not any(one.health.checks for one in monitor.services):
        monitor.clog(LogLevel.INFO, "Cluster is now healthy")


def _tell(service: HealthService, what: str, code: str, check: HealthCheck) -> None:
    monitor = service.monitor
    level = _LEVELS[show.severity_of(check)]
    monitor.clog(level, f"Health check {what}: {check.summary} ({code})")
    service.history.logged[code] = Logged(check.severity, check.summary, monitor.wall())


def on_lead(service: HealthService) -> None:
    """This monitor leads a new quorum: say how things stand."""
    report(service, always=True)
    _next_times(service)


def tick(service: HealthService) -> None:
    """At the leader: tell of updates that were held back, and now and then of the whole."""
    monitor, history = service.monitor, service.history
    period = monitor.config.get_int("mon_health_log_update_period")
    for one in monitor.services:
        for code, check in one.health.checks.items():
            last = history.logged.get(code)
            if last is None or (last.summary, last.severity) == (check.summary, check.severity):
                continue
            if monitor.wall() - last.at > period:
                _tell(service, "update", code, check)
    if monitor.wall() >= history.next_report:
        report(service, always=True)
        _next_times(service)
    elif monitor.now() >= history.next_look:
        report(service, always=False)
        history.next_look = monitor.now() + _interval(service, "tick_interval")


def _interval(service: HealthService, which: str) -> float:
    return service.monitor.config.get_float(f"mon_health_to_clog_{which}")


def _next_times(service: HealthService) -> None:
    monitor, history = service.monitor, service.history
    history.next_look = monitor.now() + _interval(service, "tick_interval")
    # As upstream: at whole multiples of the interval, whoever leads.
    interval = int(service.monitor.config.get_int("mon_health_to_clog_interval")) or 1
    history.next_report = (int(monitor.wall()) // interval + 1) * interval


def report(service: HealthService, *, always: bool) -> None:
    """Tell the log how the whole cluster is, if that is news or `always`."""
    monitor, history = service.monitor, service.history
    config = monitor.config
    if (
        not config.get_bool("mon_health_to_clog")
        or config.get_int("mon_health_to_clog_interval") <= 0
        or len(monitor.monmap.ranks) < 2
    ):
        # As upstream, a single monitor only tells of changes.
        return
    checks = service.all_checks()
    status = show.status_of(checks, service.mutes)
    overall = show.plain(checks, service.mutes, monitor.wall())
    if not always and (overall, status) == (history.overall, history.status):
        return
    if (
        config.get_bool("mon_health_detail_to_clog")
        and overall != history.overall
        and status is not HealthStatus.OK
    ):
        detail = show.plain(checks, service.mutes, monitor.wall(), detail=True)
        monitor.clog(_LEVELS[status], f"Health detail: {detail}")
    else:
        monitor.clog(_LEVELS[status], f"overall {overall}")
    history.overall, history.status = overall, status
