"""The health checks that a manager makes of what is reported to it; monitors show and mute them.

One module a topic. Codes, severities and summaries are upstream's (`src/mon/PGMap.cc`,
get_health_checks; `src/mgr/DaemonHealthMetricCollector.cc`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.mgr.health import daemons, osds, pgs, pools
from spirula.mgr.health.view import View
from spirula.types.service import HealthCheck

if TYPE_CHECKING:
    from spirula.mgr.state import Manager


def all_checks(manager: Manager) -> dict[str, HealthCheck]:
    """All checks that do not pass, by code: of modules, PGs, pools, OSDs, daemons."""
    found: dict[str, HealthCheck] = {}
    for checks in manager.checks.values():
        found |= checks
    view = View(manager.pgmap, manager.osdmap, manager.config, manager.ports.wall())
    for module in (pgs, pools, osds):
        found |= module.checks(view)
    return dict(sorted((found | daemons.checks(manager.daemons)).items()))
