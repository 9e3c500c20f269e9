"""What monitors and services hold to know their clients: the accepting side of handshakes.

`MonAuthServer` logs principals in and lets other monitors connect; `ServiceAuthServer` is for OSDs,
MDSs and managers, who are shown authorizers. Both hand the messenger a new object for each
connection. Refusals are values with a reason for the log. Follows upstream `src/mon/Monitor.cc` and
`src/mon/MonClient.cc` (handle_auth_request) and `src/auth/{cephx,none}/*AuthorizeHandler.cc`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from spirula.auth.cephx.authorizer import AuthorizerCheck
from spirula.auth.cephx.key_server import KeyServer
from spirula.auth.cephx.protocol import (
    MAX_PAYLOAD,
    SECURE_SECRET_BYTES,
    AuthMode,
    KeyStore,
)
from spirula.auth.cephx.rotating import RotatingKeys
from spirula.auth.cephx.service import CephxServiceSession, GlobalIdStatus
from spirula.auth.crypto import RandomBytes
from spirula.auth.handshake import (
    AuthBadMethod,
    AuthDone,
    AuthMethod,
    AuthMore,
    AuthOutcome,
    AuthRequest,
    ConnectionMode,
    ServerHandshake,
)
from spirula.auth.registry import AuthRegistry
from spirula.errors import Busy, CephError, NotSupported, PermissionDenied, WireError
from spirula.types.auth import (
    AuthNoneAuthorizer,
    AuthRequestHead,
    CephXServiceTicketInfo,
    PrincipalName,
    decode_string,
)
from spirula.types.entity import TYPE_NAMES, EntityType

_LONGEST_REASON = 300

Verdict = AuthMore | AuthDone | AuthBadMethod


def _secret_bytes(mode: int) -> int:
    return SECURE_SECRET_BYTES if mode == ConnectionMode.SECURE else 0


class _Handshake:
    """What both kinds share: picking the mode, and refusals as values."""

    def __init__(self, registry: AuthRegistry) -> None:
        self._registry = registry
        self._peer_type = 0
        self._method = 0
        self._mode = 0
        self._over = False

    def on_request(self, peer_type: int, request: AuthRequest) -> Verdict:
        self._peer_type, self._method = peer_type, request.method
        try:
            if self._over:
                raise PermissionDenied("a second request on one connection")
            self._mode = self._registry.pick_mode(
                peer_type, request.method, request.preferred_modes
            )
            if not self._mode:
                raise NotSupported(
                    f"no common connection mode for method {request.method}: "
                    f"the client offers {request.preferred_modes}"
                )
            _check_payload(request.payload)
            return self._open(request.payload)
        except CephError as error:
            return self._refusal(error)

    def on_more(self, payload: bytes) -> Verdict:
        try:
            _check_payload(payload)
            return self._continue(payload)
        except CephError as error:
            return self._refusal(error)

    def _refusal(self, error: CephError) -> AuthBadMethod:
        methods = self._registry.methods(self._peer_type)
        modes = self._registry.modes(self._peer_type, AuthMethod.CEPHX)
        return AuthBadMethod(
            self._method, error.errno, list(methods), list(modes), reason=_for_log(error.message)
        )

    def _open(self, payload: bytes) -> Verdict:
        raise PermissionDenied("nothing is served here")

    def _continue(self, payload: bytes) -> Verdict:
        raise PermissionDenied("the handshake is over")

    def _accepted(self, info: CephXServiceTicketInfo, secret: bytes, service: str) -> AuthOutcome:
        """The outcome for the holder of a ticket."""
        ticket = info.ticket
        try:
            text = decode_string(ticket.caps.caps)
        except WireError as error:
            raise PermissionDenied(f"caps in the ticket of {ticket.name}: {error}") from None
        return AuthOutcome(
            global_id=ticket.global_id,
            mode=self._mode,
            session_key=info.session_key.secret,
            connection_secret=secret,
            entity=str(ticket.name),
            caps={service: text} if text else {},
            allow_all=ticket.caps.allow_all,
        )

    def _challenge(self, check: AuthorizerCheck, payload: bytes, now: float) -> AuthMore:
        self._over = True
        return AuthMore(check.challenge(payload, now))

    def _accept(self, check: AuthorizerCheck, payload: bytes, now: float, service: str) -> AuthDone:
        accepted = check.accept(payload, now, _secret_bytes(self._mode))
        outcome = self._accepted(accepted.info, accepted.connection_secret, service)
        return AuthDone(accepted.reply, outcome)


def _for_log(text: str) -> str:
    """A reason on one short line: names in it are whatever the peer made up."""
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST_REASON])


def _check_payload(payload: bytes) -> None:
    if not payload:
        raise PermissionDenied("an empty authentication payload")
    if len(payload) > MAX_PAYLOAD:
        raise PermissionDenied(f"an authentication payload of {len(payload)} bytes")


def _malformed(error: WireError) -> NoReturn:
    raise PermissionDenied(f"malformed authentication payload: {error}") from None


@dataclass(slots=True)
class MonAuthServer:
    """A monitor's. `peers` finds the key that monitors share (principal `mon.`).

    `assign_global_id` gives a fresh id or 0; `ready` is false until the first quorum made the
    initial keys. Both 0 and false answer EBUSY.
    """

    registry: AuthRegistry
    key_server: KeyServer
    peers: KeyStore
    assign_global_id: Callable[[], int]
    clock: Callable[[], float]
    random: RandomBytes
    ready: Callable[[], bool] = lambda: True
    allow_insecure_reclaim: bool = False

    def handshake(self) -> MonServerHandshake:
        """For a new connection."""
        return MonServerHandshake(self)


class MonServerHandshake(_Handshake, ServerHandshake):
    """A monitor's side of one connection.

    After login `session`, which is also in the outcome, answers the client's MAuth messages.
    """

    def __init__(self, server: MonAuthServer) -> None:
        super().__init__(server.registry)
        self._server = server
        self._check: AuthorizerCheck | None = None
        self.session: CephxServiceSession | None = None

    @property
    def global_id_status(self) -> GlobalIdStatus | None:
        """How the client came by its global id; None before a cephx login."""
        return self.session.status if self.session else None

    def _open(self, payload: bytes) -> Verdict:
        server = self._server
        if AuthMode.AUTHORIZER <= payload[0] <= AuthMode.AUTHORIZER_MAX:
            return self._open_authorizer(payload)
        if not AuthMode.MON <= payload[0] <= AuthMode.MON_MAX:
            raise PermissionDenied(f"authentication mode {payload[0]}")
        if not server.ready():
            raise Busy("no initial quorum yet")
        if self._method not in (AuthMethod.CEPHX, AuthMethod.NONE):
            raise NotSupported(f"authentication method {self._method}")
        try:
            head = AuthRequestHead.decode(payload)
        except WireError as error:
            _malformed(error)
        if self._method not in server.registry.methods_required(head.name.type):
            raise NotSupported(f"{head.name} may not use method {self._method}")
        self._over = True
        global_id = head.global_id or server.assign_global_id()
        if not global_id:
            raise Busy("no global id left to give")
        if self._method == AuthMethod.NONE:
            return self._done_without_proof(head.name, global_id)
        self.session = CephxServiceSession(
            server.key_server,
            head.name,
            global_id,
            is_new=not head.global_id,
            clock=server.clock,
            random=server.random,
            allow_insecure_reclaim=server.allow_insecure_reclaim,
        )
        return AuthMore(self.session.start())

    def _done_without_proof(self, name: PrincipalName, global_id: int) -> AuthDone:
        outcome = AuthOutcome(
            global_id=global_id, mode=self._mode, entity=str(name), allow_all=True
        )
        return AuthDone(b"", outcome)

    def _open_authorizer(self, payload: bytes) -> Verdict:
        """Another monitor, who shows a ticket under the key that monitors share."""
        server = self._server
        if self._method not in server.registry.authorizer_methods(self._peer_type):
            raise NotSupported(f"authorizers of method {self._method}")
        if self._method == AuthMethod.NONE:
            return _none_authorizer(self._mode, payload)
        self._check = AuthorizerCheck(server.peers, server.random, EntityType.MON)
        return self._challenge(self._check, payload, server.clock())

    def _continue(self, payload: bytes) -> Verdict:
        if self._check is not None:
            return self._accept(self._check, payload, self._server.clock(), "mon")
        session = self.session
        if session is None or session.authenticated:
            raise PermissionDenied("the handshake is over")
        answer = session.on_request(payload, _secret_bytes(self._mode))
        login = answer.login
        if login is None:
            raise PermissionDenied(f"{session.name} did not log in")
        outcome = AuthOutcome(
            global_id=session.global_id,
            mode=self._mode,
            session_key=login.session_key.secret,
            connection_secret=login.connection_secret,
            entity=str(session.name),
            caps={"mon": login.mon_caps},
            session=session,
        )
        return AuthDone(answer.payload, outcome)


@dataclass(slots=True)
class ServiceAuthServer:
    """An OSD's, MDS's or manager's, with its kind's rotating secrets."""

    registry: AuthRegistry
    rotating: RotatingKeys
    clock: Callable[[], float]
    random: RandomBytes

    def handshake(self) -> ServiceServerHandshake:
        """For a new connection."""
        return ServiceServerHandshake(self)


class ServiceServerHandshake(_Handshake, ServerHandshake):
    """A service's side of one connection."""

    def __init__(self, server: ServiceAuthServer) -> None:
        super().__init__(server.registry)
        self._server = server
        self._check: AuthorizerCheck | None = None

    def _open(self, payload: bytes) -> Verdict:
        server = self._server
        if not AuthMode.AUTHORIZER <= payload[0] <= AuthMode.AUTHORIZER_MAX:
            raise PermissionDenied(f"authentication mode {payload[0]}")
        if self._method not in server.registry.authorizer_methods(self._peer_type):
            raise NotSupported(f"authorizers of method {self._method}")
        if self._method == AuthMethod.NONE:
            return _none_authorizer(self._mode, payload)
        service_id = server.rotating.service_id
        self._check = AuthorizerCheck(server.rotating, server.random, service_id)
        return self._challenge(self._check, payload, server.clock())

    def _continue(self, payload: bytes) -> Verdict:
        if self._check is None:
            raise PermissionDenied("the handshake is over")
        service = TYPE_NAMES.get(self._server.rotating.service_id, "")
        return self._accept(self._check, payload, self._server.clock(), service)


def _none_authorizer(mode: int, payload: bytes) -> AuthDone:
    try:
        shown = AuthNoneAuthorizer.decode(payload)
    except WireError as error:
        _malformed(error)
    outcome = AuthOutcome(
        global_id=shown.global_id, mode=mode, entity=str(shown.name), allow_all=True
    )
    return AuthDone(b"", outcome)
