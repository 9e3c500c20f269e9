"""The monitor's side of cephx for one client: challenge, login, tickets, rotating secrets.

Begins inside the messenger's handshake (`auth.server`) and goes on with the client's MAuth messages
on the same connection. Refusals are raised as CephError with upstream's errno; whoever carries the
answer turns them into values. Follows upstream `src/auth/cephx/CephxServiceHandler.cc`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from spirula.auth.cephx.authorizer import read_authorizer
from spirula.auth.cephx.check import BadTicket, open_ticket
from spirula.auth.cephx.key_server import KeyServer
from spirula.auth.cephx.protocol import (
    RequestType,
    SessionInfo,
    blob_of,
    build_ticket_reply,
    challenge_key,
    check_size,
)
from spirula.auth.crypto import (
    KeyType,
    KeyUsage,
    RandomBytes,
    check_sealing_key,
    same_number,
    seal,
)
from spirula.errors import (
    CephError,
    InputOutput,
    InvalidArgument,
    NotPermitted,
    NotSupported,
    PermissionDenied,
    WireError,
)
from spirula.types.auth import (
    AuthTicket,
    CephXAuthenticate,
    CephXRequestHeader,
    CephXResponseHeader,
    CephXServerChallenge,
    CephXServiceTicketRequest,
    CryptoKey,
    PrincipalName,
)
from spirula.types.entity import EntityType

_AUTH = int(EntityType.AUTH)


class GlobalIdStatus(Enum):
    """How a client came by its global id (upstream global_id_status_t)."""

    NEW_PENDING = "new_pending"
    NEW_OK = "new_ok"
    NEW_NOT_EXPOSED = "new_not_exposed"
    RECLAIM_PENDING = "reclaim_pending"
    RECLAIM_OK = "reclaim_ok"
    RECLAIM_INSECURE = "reclaim_insecure"


@dataclass(slots=True)
class Answer:
    """What goes back to the client; `login` is set where the request authenticated it."""

    payload: bytes
    login: Login | None = None


@dataclass(slots=True)
class Login:
    """What a successful login yields: keys, and the monitor capabilities as text."""

    session_key: CryptoKey
    connection_secret: bytes
    mon_caps: str
    used_pending_key: bool = False


@dataclass(slots=True)
class CephxServiceSession:
    """One client's conversation with this monitor.

    `global_id` was assigned by us (`is_new`) or asked for by the client, who must then prove it.
    `allow_insecure_reclaim` is `auth_allow_insecure_global_id_reclaim`: it lets clients older than
    16.2.1, and only those, keep an id without proof.
    """

    key_server: KeyServer
    name: PrincipalName
    global_id: int
    is_new: bool
    clock: Callable[[], float]
    random: RandomBytes
    allow_insecure_reclaim: bool = False
    status: GlobalIdStatus = field(init=False)
    insecure_key: bool = field(init=False, default=False)
    authenticated: bool = field(init=False, default=False)
    _server_challenge: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        pending = GlobalIdStatus.NEW_PENDING if self.is_new else GlobalIdStatus.RECLAIM_PENDING
        self.status = pending

    def start(self) -> bytes:
        """The challenge that opens the conversation; unknown principals get one, too."""
        while not self._server_challenge:
            self._server_challenge = int.from_bytes(self.random(8), "little")
        return CephXServerChallenge(self._server_challenge).encode()

    def on_request(self, payload: bytes, secret_bytes: int | None) -> Answer:
        """Judges a request. `secret_bytes` is the length of the connection secret to make.

        None (an MAuth message) makes no secret. Raises EACCES for whoever does not prove what he
        says, EPERM for what cannot be read, EINVAL for what does not exist.
        """
        try:
            check_size(payload)
            header, pos = CephXRequestHeader.decode_from(payload)
            if header.request_type == RequestType.AUTH_SESSION_KEY:
                request = CephXAuthenticate.decode(payload[pos:])
                return self._on_authenticate(request, secret_bytes)
            if not self.authenticated:
                raise PermissionDenied(f"{self.name} asks for more before it has logged in")
            if header.request_type == RequestType.PRINCIPAL_SESSION_KEY:
                return self._on_ticket_request(payload[pos:])
        except WireError as error:
            raise NotPermitted(f"malformed request of {self.name}: {error}") from None
        if header.request_type == RequestType.ROTATING_KEY:
            sealed = self.key_server.sealed_rotating(self.name, self.random)
            return Answer(_response(RequestType.ROTATING_KEY) + sealed)
        raise InvalidArgument(f"request type {header.request_type:#x} of {self.name}")

    # Login

    def _on_authenticate(self, request: CephXAuthenticate, secret_bytes: int | None) -> Answer:
        key, used_pending = self._prove(request)
        now = self.clock()
        old_session_key = self._verify_old_ticket(request, now)
        mon_caps = self._mon_caps()
        info = self._auth_info(key, now)
        payload = _response(RequestType.AUTH_SESSION_KEY)
        payload += build_ticket_reply(key, [info], old_session_key, self.random)
        secret = b""
        if request.other_keys:
            sealed = b""
            if secret_bytes is not None:
                secret = self.random(secret_bytes) if secret_bytes else b""
                usage = KeyUsage.AUTH_CONNECTION_SECRET
                sealed = blob_of(seal(info.session_key, usage, blob_of(secret), self.random))
            extra = self._extra_tickets(request.other_keys, info, now)
            payload += blob_of(sealed) + blob_of(extra)
        self.authenticated = True
        return Answer(payload, Login(info.session_key, secret, mon_caps, used_pending))

    def _prove(self, request: CephXAuthenticate) -> tuple[CryptoKey, bool]:
        """The key that the client holds, and whether that is the one which is to follow its key."""
        auth = self.key_server.entity(self.name)
        if auth is None:
            raise PermissionDenied(f"{self.name} is not known")
        if not self._server_challenge:
            raise PermissionDenied(f"{self.name} answers no challenge")
        for key in (auth.key, auth.pending_key):
            if not key.secret:
                continue
            try:
                kind = check_sealing_key(key)
            except (InvalidArgument, NotSupported) as error:
                raise PermissionDenied(f"key of {self.name}: {error.message}") from None
            expected = challenge_key(key, self._server_challenge, request.client_challenge)
            if not same_number(expected, request.key):
                continue
            if kind not in self.key_server.policy.allowed:
                raise PermissionDenied(f"{self.name} has a key of type {kind.label}, not allowed")
            self.insecure_key = kind is not KeyType.AES256K
            return key, key is auth.pending_key
        raise PermissionDenied(f"{self.name} does not hold its key")

    def _verify_old_ticket(self, request: CephXAuthenticate, now: float) -> CryptoKey | None:
        """Makes sure that the global id is the client's; gives the old session key to seal with."""
        shown = request.old_ticket
        if self.status is GlobalIdStatus.NEW_PENDING:
            if shown.blob:
                raise InvalidArgument(f"{self.name} shows a ticket for a new global id")
            legacy = request.old_ticket_may_be_omitted
            self.status = GlobalIdStatus.NEW_NOT_EXPOSED if legacy else GlobalIdStatus.NEW_OK
            return None
        try:
            if not shown.blob:
                raise BadTicket("no ticket was shown")
            old = open_ticket(self.key_server, _AUTH, shown, now, may_have_expired=True)
            if old.ticket.global_id != self.global_id:
                raise BadTicket(f"the ticket is for global id {old.ticket.global_id}")
            if old.ticket.name != self.name:
                raise BadTicket(f"the ticket is of {old.ticket.name}")
        except BadTicket as error:
            if self.allow_insecure_reclaim and request.old_ticket_may_be_omitted:
                self.status = GlobalIdStatus.RECLAIM_INSECURE
                return None
            raise PermissionDenied(
                f"{self.name} claims global id {self.global_id}: {error.message}"
            ) from None
        self.status = GlobalIdStatus.RECLAIM_OK
        return old.session_key

    def _mon_caps(self) -> str:
        try:
            text = self.key_server.caps_by_service(self.name).get("mon", "")
        except WireError as error:
            raise PermissionDenied(f"caps of {self.name} are damaged: {error}") from None
        if not text:
            raise PermissionDenied(f"{self.name} has no caps for monitors")
        return text

    def _auth_info(self, key: CryptoKey, now: float) -> SessionInfo:
        ticket = AuthTicket(name=self.name, global_id=self.global_id)
        try:
            info = self.key_server.session_info(_AUTH, ticket, key.type, now, self.random)
        except PermissionDenied as error:
            raise InputOutput(error.message) from None
        # The first ticket is for the monitors, who look capabilities up, and so carries none.
        info.ticket.caps.caps = b""
        return info

    def _extra_tickets(self, mask: int, first: SessionInfo, now: float) -> bytes:
        infos, _ = self._session_infos(mask, first.ticket, first.session_key.type, now)
        if not infos:
            return b""
        return build_ticket_reply(first.session_key, infos, None, self.random)

    def _session_infos(
        self, mask: int, parent: AuthTicket, kind: int, now: float
    ) -> tuple[list[SessionInfo], CephError | None]:
        """Tickets for the services of a mask, and the last refusal; the first ticket is not one."""
        infos: list[SessionInfo] = []
        refusal: CephError | None = None
        for bit in range(mask.bit_length()):
            service_id = 1 << bit
            if not mask & service_id or service_id == _AUTH:
                continue
            try:
                info = self.key_server.session_info(service_id, parent, kind, now, self.random)
            except (PermissionDenied, InvalidArgument) as error:
                refusal = error
            else:
                infos.append(info)
        return infos, refusal

    # After login

    def _on_ticket_request(self, payload: bytes) -> Answer:
        now = self.clock()
        info, _, pos = read_authorizer(self.key_server, payload, now, _AUTH)
        if info.ticket.name != self.name or info.ticket.global_id != self.global_id:
            raise BadTicket(f"{self.name} shows a ticket of {info.ticket.name}")
        keys = CephXServiceTicketRequest.decode(payload[pos:]).keys
        infos, refusal = self._session_infos(keys, info.ticket, info.session_key.type, now)
        if not infos and refusal is not None:
            raise refusal
        reply = build_ticket_reply(info.session_key, infos, None, self.random)
        return Answer(_response(RequestType.PRINCIPAL_SESSION_KEY) + reply)


def _response(request_type: int) -> bytes:
    return CephXResponseHeader(request_type, 0).encode()
