"""The sealed pieces of cephx that a principal and the monitor exchange.

Computes the proof of a key, makes and opens tickets and replies with tickets. Not here: when which
is sent (`client`, `service`) and whether a ticket is to be believed (`check`). Formats follow
upstream `src/auth/cephx/CephxProtocol.{h,cc}`.
"""

from __future__ import annotations

import struct as _struct
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from spirula.auth.crypto import (
    KeyType,
    KeyUsage,
    RandomBytes,
    check_key,
    check_sealing_key,
    hmac_sha256,
    seal,
    unseal,
    unseal_as,
)
from spirula.errors import InvariantBroken, LimitExceeded, PermissionDenied, WireError
from spirula.records import dataclass
from spirula.types.auth import (
    AuthTicket,
    CephXChallengeBlob,
    CephXServiceTicket,
    CephXServiceTicketInfo,
    CephXTicketBlob,
    CephXTicketReply,
    CephXTicketReplyItem,
    CryptoKey,
    ExpiringCryptoKey,
    PrincipalName,
)
from spirula.types.base import UTime

MAX_PAYLOAD = 1 << 16
"""Longest authentication payload that is looked at; real ones stay below 8 KiB."""
MAX_TICKETS = 32
"""Most tickets in a reply: one for each bit of the mask that asks for them."""
SECURE_SECRET_BYTES = 64
"""Length of the connection secret in secure mode (upstream 16 * 4)."""
SECURE_SECRET_LEAST = 16 + 12 + 12
"""What secure mode cannot do without: a key and two nonces."""
GENERAL_SECRET = 0xFFFFFFFFFFFFFFFF
"""`secret_id` of a ticket under a principal's own key rather than a rotating one: mon to mon."""


class AuthMode(IntEnum):
    """The first byte of an opening: to whom it speaks. Each begins a range of versions."""

    NONE = 0
    AUTHORIZER = 1
    AUTHORIZER_MAX = 9
    MON = 10
    MON_MAX = 19


class RequestType(IntEnum):
    """What is asked of a monitor after its challenge (upstream CEPHX_GET_*)."""

    AUTH_SESSION_KEY = 0x0100
    PRINCIPAL_SESSION_KEY = 0x0200
    ROTATING_KEY = 0x0400


class KeyStore(Protocol):
    """Where a service looks up the secrets that tickets are sealed with."""

    def principal_key(self, name: PrincipalName) -> CryptoKey | None:
        """The key of a principal, or None."""
        ...

    def service_secret(self, service_id: int, secret_id: int) -> ExpiringCryptoKey | None:
        """A service's rotating secret by number, or None."""
        ...


@dataclass(slots=True)
class SessionInfo:
    """A ticket about to be issued (upstream CephXSessionAuthInfo). `validity_s` is its life."""

    service_id: int
    secret_id: int
    service_secret: CryptoKey
    ticket: AuthTicket
    session_key: CryptoKey
    validity_s: float


@dataclass(slots=True)
class IssuedTicket:
    """A ticket as its client got it."""

    service_id: int
    session_key: CryptoKey
    validity_s: float
    ticket: CephXTicketBlob


def check_size(payload: bytes) -> None:
    """LimitExceeded for a payload that no honest peer sends."""
    if len(payload) > MAX_PAYLOAD:
        raise LimitExceeded("authentication payload", limit=MAX_PAYLOAD)


def challenge_key(key: CryptoKey, server_challenge: int, client_challenge: int) -> int:
    """What only a holder of `key` can compute of the two challenges; a u64."""
    both = CephXChallengeBlob(server_challenge, client_challenge).encode()
    if check_key(key) is KeyType.AES256K:
        # Its ciphertext differs each time, so both ends compute a MAC instead.
        mixed = hmac_sha256(key, both)
    else:
        sealed = seal(key, KeyUsage.DEFAULT, both, _no_randomness)
        mixed = len(sealed).to_bytes(4, "little") + sealed
    folded = 0
    for (word,) in _struct.iter_unpack("<Q", mixed[: len(mixed) // 8 * 8]):
        folded ^= word
    return folded


def _no_randomness(size: int) -> bytes:
    raise InvariantBroken(f"an aes ciphertext took {size} random bytes")


def seal_ticket(info: SessionInfo, random: RandomBytes) -> CephXTicketBlob:
    """The service's half of a ticket."""
    inside = CephXServiceTicketInfo(info.ticket, info.session_key).encode()
    blob = seal(info.service_secret, KeyUsage.TICKET_INFO, inside, random)
    return CephXTicketBlob(info.secret_id, blob)


def build_ticket_reply(
    principal_key: CryptoKey,
    infos: list[SessionInfo],
    old_session_key: CryptoKey | None,
    random: RandomBytes,
) -> bytes:
    """Tickets for a client that holds `principal_key`.

    With `old_session_key` the tickets themselves are sealed, too, so that only he who holds the
    ticket that was shown as proof can use what he gets for it (CVE-2021-20288).
    """
    items = []
    for info in infos:
        half = CephXServiceTicket(info.session_key, UTime.at(info.validity_s)).encode()
        blob = seal_ticket(info, random).encode()
        if old_session_key is not None:
            inside = len(blob).to_bytes(4, "little") + blob
            blob = seal(old_session_key, KeyUsage.TICKET_BLOB, inside, random)
        items.append(
            CephXTicketReplyItem(
                service_id=info.service_id,
                service_ticket=seal(principal_key, KeyUsage.TICKET_SESSION_KEY, half, random),
                ticket_is_sealed=old_session_key is not None,
                ticket=blob,
            )
        )
    return CephXTicketReply(items).encode()


def open_ticket_reply(
    principal_key: CryptoKey,
    data: bytes,
    pos: int,
    old_session_key: Callable[[int], CryptoKey | None],
) -> tuple[list[IssuedTicket], int]:
    """The tickets of the reply at `pos`, and the position after it.

    `old_session_key` gives the session key of the ticket that was held before for a service.
    WireError where it is malformed; PermissionDenied where the server does not hold
    `principal_key`, which is also how a client knows that it talks to a monitor at all.
    """
    reply, pos = CephXTicketReply.decode_from(data, pos)
    if len(reply.items) > MAX_TICKETS:
        raise LimitExceeded("tickets in a reply", limit=MAX_TICKETS)
    tickets = []
    for item in reply.items:
        half = unseal_as(
            CephXServiceTicket, principal_key, KeyUsage.TICKET_SESSION_KEY, item.service_ticket
        )
        check_sealing_key(half.session_key)
        blob = item.ticket
        if item.ticket_is_sealed:
            old = old_session_key(item.service_id)
            if old is None:
                raise PermissionDenied("a ticket is sealed with a session key that we do not hold")
            blob = open_blob(unseal(old, KeyUsage.TICKET_BLOB, blob))
        tickets.append(
            IssuedTicket(
                service_id=item.service_id,
                session_key=half.session_key,
                validity_s=float(half.validity),
                ticket=CephXTicketBlob.decode(blob),
            )
        )
    return tickets, pos


def open_blob(data: bytes) -> bytes:
    """The bytes behind a u32 length at the start of `data`."""
    blob, _ = read_blob(data, 0)
    return blob


def read_blob(data: bytes, pos: int) -> tuple[bytes, int]:
    """The bytes behind a u32 length at `pos`, and the position after them."""
    size = int.from_bytes(data[pos : pos + 4], "little")
    start = pos + 4
    if start > len(data) or size > len(data) - start:
        raise WireError("length runs past the end", offset=pos, limit=len(data))
    return data[start : start + size], start + size


def blob_of(data: bytes) -> bytes:
    """`data` behind its u32 length."""
    return len(data).to_bytes(4, "little") + data
