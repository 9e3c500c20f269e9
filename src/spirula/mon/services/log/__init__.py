"""The cluster log: what daemons and operators should know later, kept by all monitors.

`service` keeps it, `tail` holds the newest entries of each channel, `files` says which of them go
to a file as well, `commands` are `ceph log ...`.
"""

from __future__ import annotations

from spirula.mon.services.log.service import LogService

__all__ = ["LogService"]
