"""A principal's conversation with one monitor: challenge, login, service tickets, rotating secrets.

Bytes in, bytes out. It begins inside the messenger's handshake and goes on in MAuth messages over
the same connection, since the monitor's challenge stays valid for renewals. `auth.client` keeps it.
Follows upstream `src/auth/cephx/CephxClientHandler.cc`.
"""

from __future__ import annotations

from spirula.auth.cephx.authorizer import Authorizer
from spirula.auth.cephx.protocol import (
    RequestType,
    challenge_key,
    check_size,
    open_blob,
    open_ticket_reply,
    read_blob,
)
from spirula.auth.cephx.tickets import TicketStore
from spirula.auth.crypto import KeyUsage, RandomBytes, check_sealing_key, unseal, unseal_as
from spirula.errors import CephError, PermissionDenied, ProtocolViolation, WireError
from spirula.types.auth import (
    CephXAuthenticate,
    CephXRequestHeader,
    CephXResponseHeader,
    CephXServerChallenge,
    CephXServiceTicketRequest,
    CephXTicketBlob,
    CryptoKey,
    RotatingSecrets,
)
from spirula.types.entity import EntityType

AUTH = int(EntityType.AUTH)


class CephxConversation:
    """What a principal knows while it talks to one monitor.

    `tickets` is this conversation's own store; `rotating` is set when secrets arrived. Methods
    raise PermissionDenied (EACCES) where the monitor cannot be who it should be, ProtocolViolation
    for what it must not send, and the monitor's own errno where it refuses.
    """

    def __init__(
        self, key: CryptoKey, global_id: int, want: int, tickets: TicketStore, random: RandomBytes
    ) -> None:
        check_sealing_key(key)
        self.global_id = global_id
        self.want = want | AUTH
        self.tickets = tickets
        self.rotating: RotatingSecrets | None = None
        self._key = key
        self._random = random
        self._server_challenge: int | None = None

    def on_challenge(self, payload: bytes, now: float) -> bytes:
        """The monitor's challenge; gives the request that answers it."""
        if self._server_challenge is not None:
            raise ProtocolViolation("cephx", "the monitor sent a second challenge")
        try:
            check_size(payload)
            self._server_challenge = CephXServerChallenge.decode(payload).server_challenge
        except WireError as error:
            raise ProtocolViolation("cephx", f"malformed challenge: {error}") from None
        return self._authenticate(self.want, now)

    def _authenticate(self, other_keys: int, now: float) -> bytes:
        if self._server_challenge is None:
            raise ProtocolViolation("cephx", "the monitor sent no challenge")
        mine = int.from_bytes(self._random(8), "little")
        request = CephXAuthenticate(
            client_challenge=mine,
            key=challenge_key(self._key, self._server_challenge, mine),
            old_ticket=self._proof(),
            # All that is wanted, not only what is due: tickets that a new session key gives
            # need not be asked for again.
            other_keys=other_keys,
        )
        return CephXRequestHeader(RequestType.AUTH_SESSION_KEY).encode() + request.encode()

    def _proof(self) -> CephXTicketBlob:
        """The ticket that shows that the global id is ours; a new id must not come with one."""
        held = self.tickets.tickets.get(AUTH)
        return held.blob if held and self.global_id else CephXTicketBlob()

    def request(self, now: float) -> bytes | None:
        """What to ask next to have all wanted tickets; None when nothing is due."""
        need = self.tickets.needed(self.want, now)
        if need & AUTH:
            return self._authenticate(need, now)
        # A missing manager ticket alone is no reason to ask: there may be no manager's secret.
        if not need or need == EntityType.MGR:
            return None
        ticket = self.tickets.tickets[AUTH]
        authorizer = Authorizer(AUTH, self.global_id, ticket.blob, ticket.session_key, self._random)
        return (
            CephXRequestHeader(RequestType.PRINCIPAL_SESSION_KEY).encode()
            + authorizer.request()
            + CephXServiceTicketRequest(need).encode()
        )

    def rotating_request(self) -> bytes:
        """Asks for the rotating secrets of our own kind of daemon."""
        return CephXRequestHeader(RequestType.ROTATING_KEY).encode()

    def on_reply(self, payload: bytes, now: float) -> bytes:
        """Any answer but the challenge. Gives the connection secret that came with it, if any."""
        try:
            check_size(payload)
            header, pos = CephXResponseHeader.decode_from(payload)
            if header.status < 0:
                raise CephError.from_errno(header.status, "the monitor refused")
            if header.request_type == RequestType.AUTH_SESSION_KEY:
                return self._on_session_key(payload, pos, now)
            if header.request_type == RequestType.PRINCIPAL_SESSION_KEY:
                self._on_service_tickets(payload, pos, now)
            elif header.request_type == RequestType.ROTATING_KEY:
                sealed, _ = read_blob(payload, pos)
                self.rotating = unseal_as(
                    RotatingSecrets, self._key, KeyUsage.ROTATING_SECRET, sealed
                )
            else:
                raise ProtocolViolation("cephx", f"answer of type {header.request_type:#x}")
        except WireError as error:
            raise ProtocolViolation("cephx", f"malformed answer: {error}") from None
        return b""

    def _on_session_key(self, payload: bytes, pos: int, now: float) -> bytes:
        tickets = self.tickets.copy()
        issued, pos = open_ticket_reply(self._key, payload, pos, tickets.session_key)
        for ticket in issued:
            if ticket.service_id == AUTH:
                tickets.add(ticket, now)
        session_key = tickets.session_key(AUTH)
        if session_key is None:
            raise PermissionDenied("the monitor gave no ticket")
        secret = b""
        if pos < len(payload):
            sealed, pos = read_blob(payload, pos)
            extra, pos = read_blob(payload, pos)
            if sealed:
                inside = unseal(session_key, KeyUsage.AUTH_CONNECTION_SECRET, open_blob(sealed))
                secret = open_blob(inside)
            if extra:
                self._take(tickets, session_key, extra, 0, now)
        self.tickets = tickets
        return secret

    def _on_service_tickets(self, payload: bytes, pos: int, now: float) -> None:
        session_key = self.tickets.session_key(AUTH)
        if session_key is None:
            raise ProtocolViolation("cephx", "service tickets came before the first ticket")
        tickets = self.tickets.copy()
        self._take(tickets, session_key, payload, pos, now)
        self.tickets = tickets

    def _take(
        self, tickets: TicketStore, session_key: CryptoKey, data: bytes, pos: int, now: float
    ) -> None:
        issued, _ = open_ticket_reply(session_key, data, pos, tickets.session_key)
        for ticket in issued:
            if ticket.service_id & self.want & ~AUTH:
                tickets.add(ticket, now)
