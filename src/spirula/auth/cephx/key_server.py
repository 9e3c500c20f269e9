"""The monitors' key database: principals' keys and capabilities, rotating service secrets, tickets.

State and rules only: the monitor's auth service replicates the changes and persists them. Time and
randomness are arguments. Follows upstream `src/auth/cephx/CephxKeyServer.{h,cc}`, of the key types
20.2.4: a session key is of its principal's type, so that an old client understands it, while what
seals tickets is the cluster's choice.
"""

from __future__ import annotations

from spirula.auth.cephx.protocol import GENERAL_SECRET, SessionInfo
from spirula.auth.cephx.rotating import ROTATING_SERVICES, ordered, rotate
from spirula.auth.crypto import (
    KeyType,
    KeyUsage,
    RandomBytes,
    check_sealing_key,
    generate_key,
    seal,
)
from spirula.auth.registry import KeyTypePolicy
from spirula.errors import InputOutput, InvalidArgument, NotFound, NotSupported, PermissionDenied
from spirula.types.auth import (
    AUTH_INC_ADD,
    AUTH_INC_DEL,
    AUTH_INC_SET_ROTATING,
    AuthCapsInfo,
    AuthTicket,
    CryptoKey,
    EntityAuth,
    ExpiringCryptoKey,
    KeyServerData,
    KeyServerIncremental,
    PrincipalName,
    RotatingSecrets,
    RotatingUpdate,
    decode_string,
)
from spirula.types.base import UTime
from spirula.types.entity import TYPE_NAMES, EntityType

MON_TICKET_TTL_S = 72 * 3600.0
"""Default of `auth_mon_ticket_ttl`: the life of the first ticket."""
SERVICE_TICKET_TTL_S = 3600.0
"""Default of `auth_service_ticket_ttl`."""


class KeyServer:
    """All keys of a cluster. `extra` holds principals that are not replicated (the mon keyring)."""

    def __init__(
        self,
        data: KeyServerData | None = None,
        *,
        extra: dict[PrincipalName, EntityAuth] | None = None,
        policy: KeyTypePolicy | None = None,
        mon_ticket_ttl_s: float = MON_TICKET_TTL_S,
        service_ticket_ttl_s: float = SERVICE_TICKET_TTL_S,
    ) -> None:
        self.data = data if data is not None else KeyServerData()
        self.extra = extra if extra is not None else {}
        self.policy = policy if policy is not None else KeyTypePolicy()
        self.mon_ticket_ttl_s = mon_ticket_ttl_s
        self.service_ticket_ttl_s = service_ticket_ttl_s

    # Principals

    def entity(self, name: PrincipalName) -> EntityAuth | None:
        """Key and capabilities of a principal, or None."""
        return self.data.secrets.get(name) or self.extra.get(name)

    def principal_key(self, name: PrincipalName) -> CryptoKey | None:
        """The key of a principal, or None."""
        auth = self.entity(name)
        return auth.key if auth else None

    def caps(self, name: PrincipalName, service_id: int) -> bytes:
        """A principal's encoded capabilities for a service; empty for none. NotFound if unknown."""
        auth = self.entity(name)
        if auth is None:
            raise NotFound(str(name))
        return auth.caps.get(TYPE_NAMES.get(service_id, ""), b"")

    def caps_by_service(self, name: PrincipalName) -> dict[str, str]:
        """A principal's capabilities as text, by service name. WireError if the database is bad."""
        auth = self.entity(name)
        return {} if auth is None else {k: decode_string(v) for k, v in auth.caps.items()}

    def insecure_principals(self) -> list[PrincipalName]:
        """Those whose key type does not protect what it encrypts (CVE-2025-30156), in order."""
        found = [n for n, auth in self.data.secrets.items() if auth.key.type != KeyType.AES256K]
        return sorted(found, key=lambda name: (name.type, name.id))

    def insecure_services(self) -> list[int]:
        """Services with a rotating secret of such a type: their tickets can be altered."""
        return sorted(
            service_id
            for service_id, secrets in self.data.rotating_secrets.items()
            if any(s.key.type != KeyType.AES256K for s in secrets.secrets.values())
        )

    # Changes

    def apply(self, change: KeyServerIncremental) -> None:
        """Applies a committed change. InvalidArgument for an operation that does not exist."""
        if change.op == AUTH_INC_ADD:
            self.data.secrets[change.name] = change.auth
        elif change.op == AUTH_INC_DEL:
            self.data.secrets.pop(change.name, None)
        elif change.op == AUTH_INC_SET_ROTATING:
            update = RotatingUpdate.decode(change.rotating)
            self.data.rotating_ver = update.rotating_ver
            self.data.rotating_secrets = update.rotating_secrets
        elif change.op:
            raise InvalidArgument(f"key database operation {change.op}")

    def rotate(self, now: float, random: RandomBytes) -> KeyServerIncremental | None:
        """The change that replaces secrets which ended; None when none did.

        The database itself changes when the change is applied.
        """
        fresh: dict[int, RotatingSecrets] = {}
        added = 0
        for service_id in ROTATING_SERVICES:
            held = self.data.rotating_secrets.get(service_id) or RotatingSecrets()
            copy = RotatingSecrets(dict(held.secrets), held.max_ver)
            added += rotate(copy, self._ttl(service_id), self.policy.service, now, random)
            fresh[int(service_id)] = copy
        if not added:
            return None
        update = RotatingUpdate(self.data.rotating_ver + 1, fresh)
        return KeyServerIncremental(op=AUTH_INC_SET_ROTATING, rotating=update.encode())

    def next_rotation(self) -> float:
        """When `rotate` will next have something to do; 0.0 where secrets are missing."""
        due = []
        for service_id in ROTATING_SERVICES:
            held = self.data.rotating_secrets.get(service_id)
            generations = ordered(held) if held else []
            due.append(float(generations[1][1].expiration) if len(generations) > 2 else 0.0)
        return min(due)

    # Secrets and tickets

    def _ttl(self, service_id: int) -> float:
        first = service_id == EntityType.AUTH
        return self.mon_ticket_ttl_s if first else self.service_ticket_ttl_s

    def service_secret(self, service_id: int, secret_id: int) -> ExpiringCryptoKey | None:
        """A service's rotating secret by number, or None."""
        held = self.data.rotating_secrets.get(service_id)
        return held.secrets.get(secret_id) if held else None

    def current_secret(self, service_id: int, now: float) -> tuple[int, ExpiringCryptoKey, float]:
        """The secret to seal new tickets with, its number, and for how long a ticket is good.

        That is the middle generation, or the newest where the middle one has ended. A ticket ends
        with the newest secret at the latest, and never lives longer than the secret that seals
        it, though the ttl may have been raised since. NotFound for a service without secrets.
        """
        held = self.data.rotating_secrets.get(service_id)
        generations = ordered(held) if held else []
        if not generations:
            raise NotFound(f"no rotating secrets for {TYPE_NAMES.get(service_id, service_id)}")
        at = min(1, len(generations) - 1)
        if float(generations[at][1].expiration) < now and at + 1 < len(generations):
            at += 1
        number, secret = generations[at]
        last = float(generations[-1][1].expiration)
        span = float(secret.expiration) - float(secret.key.created)
        return number, secret, max(0.0, min(self._ttl(service_id), last - now, span))

    def session_info(
        self, service_id: int, parent: AuthTicket, kind: int, now: float, random: RandomBytes
    ) -> SessionInfo:
        """A ticket for a service, for the holder of `parent`, with a session key of type `kind`.

        PermissionDenied for a service without secrets, InvalidArgument for an unknown principal.
        """
        try:
            number, secret, ttl = self.current_secret(service_id, now)
        except NotFound as error:
            raise PermissionDenied(error.message) from None
        return self._session_info(
            service_id, parent, number, secret.key, ttl, kind, now=now, random=random
        )

    def monitor_session_info(
        self, secret: CryptoKey, now: float, random: RandomBytes
    ) -> SessionInfo:
        """A ticket from a monitor for a monitor, under their shared key, not a rotating one."""
        parent = AuthTicket(name=PrincipalName(EntityType.MON, ""), global_id=0)
        return self._session_info(
            EntityType.MON,
            parent,
            GENERAL_SECRET,
            secret,
            self.service_ticket_ttl_s,
            check_sealing_key(secret),
            now=now,
            random=random,
        )

    def _session_info(
        self,
        service_id: int,
        parent: AuthTicket,
        number: int,
        secret: CryptoKey,
        ttl: float,
        kind: int,
        *,
        now: float,
        random: RandomBytes,
    ) -> SessionInfo:
        # Monitors look up capabilities themselves, so a ticket for them carries none.
        caps = b""
        if service_id != EntityType.MON:
            try:
                caps = self.caps(parent.name, service_id)
            except NotFound:
                raise InvalidArgument(f"{parent.name} is not known (any more)") from None
        ticket = AuthTicket(
            name=parent.name,
            global_id=parent.global_id,
            flags=parent.flags,
            created=UTime.at(now),
            expires=UTime.at(now + ttl),
            caps=AuthCapsInfo(allow_all=False, caps=caps),
        )
        session_key = generate_key(kind, now, random)
        return SessionInfo(service_id, number, secret, ticket, session_key, ttl)

    def sealed_rotating(self, name: PrincipalName, random: RandomBytes) -> bytes:
        """The rotating secrets of a daemon's kind, sealed with its key, behind a length.

        PermissionDenied for unknown principals and kinds without secrets; InputOutput for a key
        that cannot seal.
        """
        auth = self.data.secrets.get(name)
        held = self.data.rotating_secrets.get(name.type)
        if auth is None or held is None:
            raise PermissionDenied(f"no rotating secrets for {name}")
        try:
            check_sealing_key(auth.key)
        except (InvalidArgument, NotSupported) as error:
            raise InputOutput(f"key of {name}: {error.message}") from None
        sealed = seal(auth.key, KeyUsage.ROTATING_SECRET, held.encode(), random)
        return len(sealed).to_bytes(4, "little") + sealed
