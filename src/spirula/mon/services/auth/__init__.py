"""The auth service of monitors: principals, their keys and caps, rotating secrets, global ids."""

from __future__ import annotations

from spirula.mon.services.auth.service import AuthService

__all__ = ["AuthService"]
