"""The monitor map: who the monitors are, how they elect, what all of them can do.

`service` keeps it, `edit` changes a map, `show` prints one, `commands` and `stretch` are what
operators do with it.
"""

from __future__ import annotations

from spirula.mon.services.monmap.service import MonMapService

__all__ = ["MonMapService"]
