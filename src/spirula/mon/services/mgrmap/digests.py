"""What the active manager is told of the monitors from time to time: their state, and the health.

It subscribes once and gets a digest at once, then every `mon_mgr_digest_period` and whenever a
health check changes. Called by the service. Follows upstream `src/mon/MgrMonitor.cc`
(send_digests).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.conf.formatter import render
from spirula.messages.mgr import MMgrDigest
from spirula.mon.commands.quorum import mon_status

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.types.service import HealthCheckMap

WHAT = "mgrdigest"


class Digests:
    """The digests that one monitor sends."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self._due = 0.0
        self._known: list[HealthCheckMap] = []

    def send(self) -> None:
        """Send one to everybody who subscribed."""
        monitor = self.monitor
        self._due = monitor.now() + monitor.config.get_int("mon_mgr_digest_period")
        subscribers = monitor.sessions.subscribers(WHAT)
        if not subscribers:
            self._known = []
            return
        self._known = [service.health for service in monitor.services]
        health = render(monitor.health_service.gather(detail=True), "json")
        status = render(mon_status(monitor), "json")
        for session, subscription in subscribers:
            monitor.send(
                session, MMgrDigest(mon_status_json=status.encode(), health_json=health.encode())
            )
            if subscription.onetime:
                monitor.sessions.unsubscribe(session, WHAT)

    def tick(self) -> None:
        """Some time has gone by, or something was committed."""
        monitor = self.monitor
        if not monitor.sessions.subscribers(WHAT):
            return
        changed = self._known != [service.health for service in monitor.services]
        if changed or monitor.now() >= self._due:
            self.send()
