"""What a standby manager answers in the place of metrics: nothing, or an error, as options say.

So a scraper may ask all managers and counts nothing twice, and a load balancer finds the active
one. Upstream: `src/pybind/mgr/prometheus` (StandbyModule).
"""

from __future__ import annotations

from typing import Any

from spirula.mgr_modules.module import Module
from spirula.mgr_modules.prometheus.options import OPTIONS, place_of
from spirula.mgr_modules.prometheus.server import HTML, TEXT, Page, PageServer, front_page

_FOREVER_S = 3600.0


class PrometheusStandby(Module):
    """The module's part in standby managers."""

    OPTIONS = OPTIONS

    def serve(self) -> None:
        """Answers until the manager becomes active or ends. OSError when the port is taken."""
        server = PageServer(*place_of(self), self.respond)
        try:
            while self.wait(_FOREVER_S):
                pass
        finally:
            server.close()

    def respond(self, path: str) -> Page:
        """A page."""
        if path.rstrip("/") == "/metrics":
            return Page("", TEXT)
        if self.option("standby_behaviour") == "default":
            return front_page(f"{self.host.active_uri()}metrics")
        status: Any = self.option("standby_error_status_code")
        return Page("Keep on looking", HTML, int(status))
