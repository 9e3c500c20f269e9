"""The config-key service of monitors: a key/value store for daemons and operators."""

from __future__ import annotations

from spirula.mon.services.kv.service import KVService

__all__ = ["KVService"]
