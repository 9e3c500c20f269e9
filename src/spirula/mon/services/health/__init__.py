"""The cluster's health: what the monitors find themselves, and what all services say of theirs.

`service` keeps it, `checks` are the monitors' own checks, `show` prints, `mutes` are what operators
silenced, `history` tells the cluster log what has changed.
"""

from __future__ import annotations

from spirula.mon.services.health.service import HealthService

__all__ = ["HealthService"]
