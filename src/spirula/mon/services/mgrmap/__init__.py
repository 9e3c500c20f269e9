"""The manager map: which manager is active, which stand by, what modules they have.

`service` keeps it and listens to beacons, `active` decides who is active, `show` prints, `commands`
are what operators do, `digests` is what the active manager is told of the monitors.
"""

from __future__ import annotations

from spirula.mon.services.mgrmap.service import MgrMapService

__all__ = ["MgrMapService"]
