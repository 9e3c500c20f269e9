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


def bad_caps(
    secrets: Mapping[PrincipalName, EntityAuth], *, validate_all: bool
) -> dict[str, HealthCheck]:
    """AUTH_BAD_CAPS, if any principal's caps cannot be read."""
    detail: list[str] = []
    bad: set[str] = set()
    for name, auth in sorted(secrets.items(), key=lambda item: str(item[0])):
        for service, encoded in sorted(auth.caps.items()):
            try:
                check_caps(service, decode_string(encoded), validate_all=validate_all)
            except InvalidCaps as error:
                detail.append(f"{name} {error.reply}")
            except WireError as error:
                detail.append(f"{name} {service} capability is damaged: {error}")
            else:
                continue
            bad.add(str(name))
    if not bad:
        return {}
    summary = f"{len(bad)} auth entities have invalid capabilities"
    return {"AUTH_BAD_CAPS": HealthCheck(HealthStatus.ERR, summary, detail, len(bad))}
