"""Rotating service secrets: three generations, when the next one is due, and a service's copy.

`rotate` is the monitor's rule, `RotatingKeys` what a daemon holds to open its clients' tickets.
Follows upstream `src/auth/Auth.h` (RotatingSecrets), `cephx/CephxKeyServer.cc` (_rotate_secret),
`RotatingKeyRing.cc` and MonClient's _check_auth_rotating.
"""

from __future__ import annotations

from spirula.auth.crypto import RandomBytes, generate_key
from spirula.types.auth import CryptoKey, ExpiringCryptoKey, PrincipalName, RotatingSecrets
from spirula.types.base import UTime
from spirula.types.entity import EntityType

GENERATIONS = 3
"""Previous, current and next (upstream KEY_ROTATE_NUM)."""
ROTATING_SERVICES = (
    EntityType.AUTH,
    EntityType.MON,
    EntityType.OSD,
    EntityType.MDS,
    EntityType.MGR,
)
"""Services with rotating secrets; `auth` is the monitors' own, for the first ticket."""


def ordered(secrets: RotatingSecrets) -> list[tuple[int, ExpiringCryptoKey]]:
    """The generations with their numbers, oldest first."""
    return sorted(secrets.secrets.items())


def needs_new(secrets: RotatingSecrets, now: float) -> bool:
    """True where generations are missing or the current one has ended."""
    if len(secrets.secrets) < GENERATIONS:
        return True
    return float(ordered(secrets)[1][1].expiration) <= now


def rotate(
    secrets: RotatingSecrets, ttl_s: float, kind: int, now: float, random: RandomBytes
) -> int:
    """Adds generations until none is missing; returns how many. `ttl_s` is the tickets' life.

    The first ends after one ttl, and each further one a ttl after the one before it, or two ttl
    from now if that is later, so that the next secret is known a ttl before it is used.
    """
    added = 0
    while needs_new(secrets, now):
        expiration = now + ttl_s
        if secrets.secrets:
            newest = float(ordered(secrets)[-1][1].expiration)
            expiration = max(now + ttl_s, newest) + ttl_s
        add(secrets, ExpiringCryptoKey(generate_key(kind, now, random), UTime.at(expiration)))
        added += 1
    return added


def add(secrets: RotatingSecrets, key: ExpiringCryptoKey) -> int:
    """Takes the key as the newest generation, drops those that are too old; its number."""
    secrets.max_ver += 1
    secrets.secrets[secrets.max_ver] = key
    for number, _ in ordered(secrets)[:-GENERATIONS]:
        del secrets.secrets[number]
    return secrets.max_ver


class RotatingKeys:
    """A daemon's copy of its service's secrets, as a KeyStore (upstream RotatingKeyRing)."""

    def __init__(self, service_id: int, secrets: RotatingSecrets | None = None) -> None:
        self.service_id = service_id
        self.secrets = secrets if secrets is not None else RotatingSecrets()

    def set(self, secrets: RotatingSecrets) -> None:
        """Replaces all generations by what the monitor sent."""
        self.secrets = secrets

    def principal_key(self, name: PrincipalName) -> CryptoKey | None:
        """None: a daemon opens no tickets under principals' keys."""
        return None

    def service_secret(self, service_id: int, secret_id: int) -> ExpiringCryptoKey | None:
        """A secret of this service by number; None for others'."""
        return self.secrets.secrets.get(secret_id) if service_id == self.service_id else None

    def need_new(self, now: float, ttl_s: float) -> bool:
        """Whether to ask the monitor for newer secrets."""
        return now >= self.next_deadline(ttl_s)

    def next_deadline(self, ttl_s: float) -> float:
        """When to ask: a little after the current secret ended, for then the monitor has rotated.

        0.0 while generations are missing. `ttl_s` is `auth_service_ticket_ttl`.
        """
        if len(self.secrets.secrets) < GENERATIONS:
            return 0.0
        return float(ordered(self.secrets)[1][1].expiration) + min(30.0, ttl_s / 4)
