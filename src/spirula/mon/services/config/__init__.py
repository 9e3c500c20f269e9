"""The config service of monitors: options for daemons and clients, kept and pushed by monitors."""

from __future__ import annotations

from spirula.mon.services.config.service import ConfigService

__all__ = ["ConfigService"]
