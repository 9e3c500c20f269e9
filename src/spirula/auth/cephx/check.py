"""Whether a ticket may be believed: who sealed it, for how long, and whether it was altered.

Called by whoever is shown a ticket: services and the monitor. Tickets under `aes` carry no MAC, so
one that decrypts may still have been altered (CVE-2025-30156); every field whose value is known
beforehand is therefore checked. Which ones, follows upstream's hardened verifier
(`src/test/test_auth.cc`).
"""

from __future__ import annotations

from spirula.auth.cephx.protocol import GENERAL_SECRET, KeyStore
from spirula.auth.crypto import KeyType, KeyUsage, check_sealing_key, unseal_as
from spirula.errors import InvalidArgument, NotSupported, PermissionDenied, WireError
from spirula.types.auth import (
    AUID_DEFAULT,
    AuthTicket,
    CephXServiceTicketInfo,
    CephXTicketBlob,
    CryptoKey,
    ExpiringCryptoKey,
    PrincipalName,
    decode_string,
)
from spirula.types.base import UTime
from spirula.types.entity import TYPE_NAMES, EntityType

CLOCK_SLOP_S = 300.0
"""How far the clocks of monitor and service may be apart."""
_MOST_NSEC = 1_000_000_000
_SPANS_OF_LIFE = 1.5


class BadTicket(PermissionDenied):
    """A ticket that is refused; the message says why, for the log only."""


def open_ticket(
    store: KeyStore,
    service_id: int,
    blob: CephXTicketBlob,
    now: float,
    *,
    may_have_expired: bool = False,
) -> CephXServiceTicketInfo:
    """What a ticket says, if it is good. BadTicket (EACCES) otherwise.

    `may_have_expired`: a ticket shown as proof of a global id serves as long as the secret that
    sealed it is kept, so that a client which slept keeps its id.
    """
    if not blob.blob:
        raise BadTicket("no ticket")
    secret = _secret_of(store, service_id, blob.secret_id)
    try:
        kind = check_sealing_key(secret.key)
        info = unseal_as(CephXServiceTicketInfo, secret.key, KeyUsage.TICKET_INFO, blob.blob)
        check_sealing_key(info.session_key)
    except (PermissionDenied, NotSupported, InvalidArgument) as error:
        raise BadTicket(f"ticket {_for(service_id)}: {error.message}") from None
    if kind is not KeyType.AES256K:
        _check_plausible(info, secret, now)
    if not may_have_expired:
        _check_alive(info.ticket, now)
    return info


def _for(service_id: int) -> str:
    return f"for {TYPE_NAMES.get(service_id, str(service_id))}"


def _secret_of(store: KeyStore, service_id: int, secret_id: int) -> ExpiringCryptoKey:
    if secret_id != GENERAL_SECRET:
        secret = store.service_secret(service_id, secret_id)
        if secret is None:
            raise BadTicket(f"secret {secret_id} {_for(service_id)} is not known (any more)")
        return secret
    # Only monitors, who have no rotating secret between them, seal tickets with a principal's key.
    key: CryptoKey | None = None
    if service_id == EntityType.MON:
        key = store.principal_key(PrincipalName(service_id, ""))
    if key is None:
        raise BadTicket(f"no general secret {_for(service_id)}")
    return ExpiringCryptoKey(key, UTime())


def _check_alive(ticket: AuthTicket, now: float) -> None:
    expires = float(ticket.expires)
    slop = min(CLOCK_SLOP_S, max(0.0, expires - float(ticket.created)) / 4)
    if now > expires + slop:
        raise BadTicket(f"ticket of {ticket.name} expired {now - expires:.0f} s ago")


def _check_plausible(info: CephXServiceTicketInfo, secret: ExpiringCryptoKey, now: float) -> None:
    """Refuses values that no monitor writes; BadTicket names the first that was found."""
    ticket = info.ticket
    created, expires = float(ticket.created), float(ticket.expires)
    session_created = float(info.session_key.created)
    secret_created = float(secret.key.created)
    span = float(secret.expiration) - secret_created if secret.expiration else None
    # A monitor may have been told to give longer tickets since it made the secret; then it caps
    # them at the end of the next one, which is half a span later.
    too_long = span is not None and expires - created > span * _SPANS_OF_LIFE
    rules = (
        (ticket.auid != AUID_DEFAULT, "its user number is set"),
        (ticket.caps.allow_all, "it allows everything"),
        (max(ticket.created.nsec, ticket.expires.nsec) > _MOST_NSEC, "nanoseconds are too many"),
        (expires < created, "it ends before it begins"),
        (created > now + CLOCK_SLOP_S, "it begins in the future"),
        (
            span is not None and created < secret_created - CLOCK_SLOP_S,
            "it is older than its secret",
        ),
        (too_long, "it lives longer than its secret"),
        (
            not created <= session_created <= min(expires, created + CLOCK_SLOP_S),
            "its session key was not made with it",
        ),
    )
    for broken, what in rules:
        if broken:
            raise BadTicket(f"ticket of {ticket.name} was altered: {what}")
    try:
        decode_string(ticket.caps.caps)
    except WireError:
        raise BadTicket(f"ticket of {ticket.name} was altered: its caps are cut") from None
