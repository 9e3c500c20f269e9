"""Authorizers: how a ticket's holder and a service prove themselves to each other.

Both ends of one connection. The client shows its ticket and a nonce, the service answers with a
challenge of its own, so that nothing recorded opens a second connection (CVE-2018-1128), and in
the end returns the nonce plus one, which only the ticket's service can read. Called by
`auth.client` and `auth.server`. Format: upstream `src/auth/cephx/CephxProtocol.{h,cc}`.
"""

from __future__ import annotations

from spirula.auth.cephx.check import BadTicket, open_ticket
from spirula.auth.cephx.protocol import KeyStore, blob_of, check_size, open_blob, read_blob
from spirula.auth.crypto import KeyUsage, RandomBytes, same_number, seal, unseal_as
from spirula.errors import PermissionDenied, WireError
from spirula.records import dataclass
from spirula.types.auth import (
    CephXAuthorize,
    CephXAuthorizeChallenge,
    CephXAuthorizeReply,
    CephXAuthorizerHead,
    CephXServiceTicketInfo,
    CephXTicketBlob,
    CryptoKey,
)

_MASK = 0xFFFFFFFFFFFFFFFF


class Authorizer:
    """The client's end (upstream CephXAuthorizer). One object serves one connection."""

    def __init__(
        self,
        service_id: int,
        global_id: int,
        ticket: CephXTicketBlob,
        session_key: CryptoKey,
        random: RandomBytes,
    ) -> None:
        self.session_key = session_key
        self._head = CephXAuthorizerHead(global_id, service_id, ticket).encode()
        self._nonce = int.from_bytes(random(8), "little")
        self._random = random

    def request(self) -> bytes:
        """The opening, which carries no challenge yet."""
        return self._sealed(CephXAuthorize(self._nonce))

    def on_challenge(self, payload: bytes) -> bytes:
        """The same again with the service's challenge. PermissionDenied if it cannot be read."""
        check_size(payload)
        challenge = unseal_as(
            CephXAuthorizeChallenge, self.session_key, KeyUsage.AUTHORIZE_CHALLENGE, payload
        )
        answer = (challenge.server_challenge + 1) & _MASK
        return self._sealed(CephXAuthorize(self._nonce, True, answer))

    def on_reply(self, payload: bytes) -> bytes:
        """Checks that the service could open our ticket; gives the connection secret (or nothing).

        PermissionDenied where it could not.
        """
        check_size(payload)
        try:
            sealed = open_blob(payload)
        except WireError as error:
            raise PermissionDenied(f"authorizer reply: {error}") from None
        reply = unseal_as(CephXAuthorizeReply, self.session_key, KeyUsage.AUTHORIZE_REPLY, sealed)
        if not same_number(reply.nonce_plus_one, (self._nonce + 1) & _MASK):
            raise PermissionDenied("the service returned another nonce")
        return reply.connection_secret

    def _sealed(self, value: CephXAuthorize) -> bytes:
        sealed = seal(self.session_key, KeyUsage.AUTHORIZE, value.encode(), self._random)
        return self._head + blob_of(sealed)


@dataclass(slots=True)
class Accepted:
    """A client whose authorizer was good: what to answer, and what its ticket says."""

    reply: bytes
    info: CephXServiceTicketInfo
    connection_secret: bytes


class AuthorizerCheck:
    """The service's end. One object serves one connection."""

    def __init__(self, store: KeyStore, random: RandomBytes, service_id: int | None) -> None:
        """With `service_id` only tickets for that service are looked at."""
        self._store = store
        self._random = random
        self._service_id = service_id
        self._challenge: int | None = None

    @property
    def challenged(self) -> bool:
        """Whether a challenge is out."""
        return self._challenge is not None

    def challenge(self, payload: bytes, now: float) -> bytes:
        """Answers an opening with a challenge. BadTicket (EACCES) for a bad ticket."""
        info, _, _ = read_authorizer(self._store, payload, now, self._service_id)
        self._challenge = int.from_bytes(self._random(8), "little")
        value = CephXAuthorizeChallenge(self._challenge).encode()
        return seal(info.session_key, KeyUsage.AUTHORIZE_CHALLENGE, value, self._random)

    def accept(self, payload: bytes, now: float, secret_bytes: int) -> Accepted:
        """Judges the answer to the challenge, which is good for one answer only. EACCES if bad."""
        challenge, self._challenge = self._challenge, None
        info, proof, _ = read_authorizer(self._store, payload, now, self._service_id)
        if challenge is None or not proof.have_challenge:
            raise BadTicket("authorizer without an answer to the challenge")
        if not same_number(proof.server_challenge_plus_one, (challenge + 1) & _MASK):
            raise BadTicket("authorizer answers another challenge")
        secret = self._random(secret_bytes) if secret_bytes else b""
        reply = authorizer_reply(info, proof, secret, self._random)
        return Accepted(reply, info, secret)


def authorizer_reply(
    info: CephXServiceTicketInfo, proof: CephXAuthorize, secret: bytes, random: RandomBytes
) -> bytes:
    """What proves to the client that its ticket was opened; carries the connection secret."""
    reply = CephXAuthorizeReply((proof.nonce + 1) & _MASK, secret).encode()
    return blob_of(seal(info.session_key, KeyUsage.AUTHORIZE_REPLY, reply, random))


def read_authorizer(
    store: KeyStore, payload: bytes, now: float, service_id: int | None
) -> tuple[CephXServiceTicketInfo, CephXAuthorize, int]:
    """The ticket and the proof of an authorizer at the start of `payload`, and where it ends.

    BadTicket (EACCES) for whatever is wrong with it.
    """
    try:
        check_size(payload)
        head, pos = CephXAuthorizerHead.decode_from(payload)
        sealed, pos = read_blob(payload, pos)
    except WireError as error:
        raise BadTicket(f"malformed authorizer: {error}") from None
    if service_id is not None and head.service_id != service_id:
        raise BadTicket(f"authorizer is for service {head.service_id}, we are {service_id}")
    info = open_ticket(store, head.service_id, head.ticket, now)
    if info.ticket.global_id != head.global_id:
        raise BadTicket(f"authorizer says global id {head.global_id}, its ticket says another")
    proof = unseal_as(CephXAuthorize, info.session_key, KeyUsage.AUTHORIZE, sealed)
    return info, proof, pos
