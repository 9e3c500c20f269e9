"""Health checks about keys and caps: what is wrong with principals, and how clients keep their ids.

Codes and texts follow upstream `src/mon/AuthMonitor.cc` and `HealthMonitor.cc`. Called by `service`
and by the health service.
"""

from __future__ import annotations

from collections.abc import Mapping

from spirula.auth.caps import InvalidCaps
from spirula.auth.caps import parse as parse_caps
from spirula.errors import WireError
from spirula.types.auth import EntityAuth, PrincipalName, decode_string
from spirula.types.service import HealthCheck, HealthStatus


def check_caps(service: str, text: str, *, validate_all: bool) -> None:
    """Raises InvalidCaps for caps that grant nothing (upstream AuthMonitor::valid_caps).

    Without `validate_all` (`mon_auth_validate_all_caps`) only those for monitors are looked at.
    """
    if service == "mon" or validate_all:
        parse_caps(service, text)


class CapsVerdicts:
    """What is wrong with the caps of each principal; remembered, for most never change."""

    def __init__(self) -> None:
        self._known: dict[PrincipalName, tuple[EntityAuth, list[str]]] = {}
        self._validate_all = True

    def check(
        self, secrets: Mapping[PrincipalName, EntityAuth], *, validate_all: bool
    ) -> dict[str, HealthCheck]:
        """AUTH_BAD_CAPS, if any principal's caps cannot be read."""
        known = self._known if validate_all == self._validate_all else {}
        self._validate_all = validate_all
        self._known = {}
        for name, auth in secrets.items():
            verdict = known.get(name)
            if verdict is None or verdict[0] is not auth:
                verdict = auth, _wrong_with(name, auth, validate_all=validate_all)
            self._known[name] = verdict
        wrong = {str(name): lines for name, (_, lines) in self._known.items() if lines}
        if not wrong:
            return {}
        summary = f"{len(wrong)} auth entities have invalid capabilities"
        detail = [line for name in sorted(wrong) for line in wrong[name]]
        return {"AUTH_BAD_CAPS": HealthCheck(HealthStatus.ERR, summary, detail, len(wrong))}


def _wrong_with(name: PrincipalName, auth: EntityAuth, *, validate_all: bool) -> list[str]:
    lines = []
    for service in sorted(auth.caps):
        try:
            check_caps(service, decode_string(auth.caps[service]), validate_all=validate_all)
        except InvalidCaps as error:
            lines.append(f"{name} {error.reply}")
        except WireError as error:
            lines.append(f"{name} {service} capability is damaged: {error}")
    return lines
