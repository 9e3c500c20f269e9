"""What the active manager reports: sums over PGs and OSDs, services, progress, health checks.

`service` keeps it, `summary` shows PGs in a few lines, `usage` how full the cluster is, `services`
the daemons outside the maps.
"""

from __future__ import annotations

from spirula.mon.services.mgrstat.service import MgrStatService

__all__ = ["MgrStatService"]
