"""What a client or daemon holds to be known: its key, its tickets, its global id.

`handshake` gives the messenger an object for each new connection, to monitors or to services. After
login the owner (the monitor client) asks `renewal` when `next_deadline` has come and carries the
bytes in MAuth messages. Follows upstream `src/mon/MonClient.cc` (MonConnection) and
`src/auth/{cephx,none}/*ClientHandler*`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from spirula.auth.cephx.authorizer import Authorizer
from spirula.auth.cephx.client import CephxConversation
from spirula.auth.cephx.protocol import SECURE_SECRET_LEAST, AuthMode
from spirula.auth.cephx.rotating import RotatingKeys
from spirula.auth.cephx.tickets import TicketStore
from spirula.auth.crypto import RandomBytes, check_sealing_key
from spirula.auth.handshake import (
    AuthBadMethod,
    AuthMethod,
    AuthOutcome,
    AuthRequest,
    ClientHandshake,
    ConnectionMode,
)
from spirula.auth.registry import AuthRegistry
from spirula.errors import CephError, PermissionDenied, ProtocolViolation
from spirula.records import dataclass
from spirula.types.auth import AuthNoneAuthorizer, AuthRequestHead, CryptoKey, PrincipalName
from spirula.types.entity import TYPE_NAMES, EntityType

NEEDS_ROTATING = EntityType.OSD | EntityType.MDS | EntityType.MGR
"""Daemons that clients show tickets to."""


class AuthClient:
    """A principal. `want` is a mask of services (entity types) for which it keeps tickets.

    `key` may be None where only method `none` is spoken; `clock` gives seconds since 1970.
    `method` is what the last login used, UNKNOWN before the first.
    """

    def __init__(
        self,
        name: PrincipalName,
        key: CryptoKey | None,
        registry: AuthRegistry,
        want: int,
        *,
        clock: Callable[[], float],
        random: RandomBytes,
        service_ticket_ttl_s: float = 3600.0,
    ) -> None:
        if key is not None:
            check_sealing_key(key)
        self.name = name
        self.key = key
        self.registry = registry
        self.want = want & ~EntityType.AUTH
        self.clock = clock
        self.random = random
        self.service_ticket_ttl_s = service_ticket_ttl_s
        self.global_id = 0
        self.method = AuthMethod.UNKNOWN
        self.rotating = RotatingKeys(name.type) if name.type & NEEDS_ROTATING else None
        self._conversation: CephxConversation | None = None

    @property
    def tickets(self) -> TicketStore:
        """The tickets that are held; empty before login and without cephx."""
        return self._conversation.tickets if self._conversation else TicketStore()

    def handshake(self, peer_type: int) -> ClientHandshake:
        """For a new connection to a peer of that kind; where we cannot, its `request` raises."""
        if peer_type == EntityType.MON:
            return MonHandshake(self)
        return ServiceHandshake(self, peer_type)

    def forget(self) -> None:
        """Gives up the global id and all tickets, so that the next login is a new principal."""
        self.global_id = 0
        self.method = AuthMethod.UNKNOWN
        self._conversation = None

    def forget_expired(self) -> bool:
        """Forgets who we were if we cannot prove it any more: the ticket for the monitors expired.

        Monitors let nobody have a global id back without one. True if there was something to
        forget; then the next login may succeed where the last was refused.
        """
        if not self.global_id or self.method != AuthMethod.CEPHX:
            return False
        if self.tickets.usable(EntityType.AUTH, self.clock()) is not None:
            return False
        self.forget()
        return True

    def drop_ticket(self, service_id: int) -> None:
        """A service refused our ticket: the next renewal asks for another."""
        self.tickets.drop(service_id)

    def renewal(self) -> bytes | None:
        """What to send in MAuth to renew what is due; None when nothing is."""
        if self._conversation is None:
            return None
        return self._conversation.request(self.clock())

    def rotating_renewal(self) -> bytes | None:
        """What to send in MAuth to learn newer service secrets; None when ours are good.

        The caller sends it once a second at most (upstream's rule).
        """
        if self._conversation is None or self.rotating is None:
            return None
        if not self.rotating.need_new(self.clock(), self.service_ticket_ttl_s):
            return None
        return self._conversation.rotating_request()

    def on_auth_reply(self, result: int, payload: bytes) -> bytes | None:
        """Takes an MAuthReply; gives the payload of a further MAuth where something is left to ask.

        Raises the monitor's refusal, or PermissionDenied and ProtocolViolation for a bad answer.
        """
        if result < 0:
            raise CephError.from_errno(result, "the monitor refused to renew tickets")
        conversation = self._conversation
        if conversation is None:
            raise ProtocolViolation("cephx", "an authentication reply that nobody asked for")
        now = self.clock()
        before = conversation.tickets.needed(conversation.want, now)
        conversation.on_reply(payload, now)
        if conversation.rotating is not None and self.rotating is not None:
            self.rotating.set(conversation.rotating)
            conversation.rotating = None
            return None
        # A monitor that leaves out a ticket is not asked for it in a circle.
        if conversation.tickets.needed(conversation.want, now) == before:
            return None
        return conversation.request(now)

    def next_deadline(self) -> float | None:
        """When `renewal` or `rotating_renewal` will have something to send; None for never."""
        conversation = self._conversation
        if conversation is None:
            return None
        want = conversation.want
        if EntityType.MGR not in conversation.tickets.tickets:
            want &= ~EntityType.MGR
        due = conversation.tickets.next_deadline(want)
        if self.rotating is not None:
            later = self.rotating.next_deadline(self.service_ticket_ttl_s)
            due = later if due is None else min(due, later)
        return due

    def open_authorizer(self, peer_type: int) -> Opening:
        """What to show to a service of that kind; see `AuthorizerSource`."""
        if self.method == AuthMethod.UNKNOWN:
            raise PermissionDenied(f"{self.name} is not logged in to the cluster")
        if self.method == AuthMethod.NONE:
            payload = AuthNoneAuthorizer(self.name, self.global_id).encode()
            return Opening(self.method, payload)
        ticket = self.tickets.tickets.get(peer_type)
        if ticket is None:
            what = TYPE_NAMES.get(peer_type, str(peer_type))
            raise PermissionDenied(f"{self.name} holds no ticket for {what}")
        # An expired ticket is shown all the same: the service's clock decides.
        authorizer = Authorizer(
            peer_type, self.global_id, ticket.blob, ticket.session_key, self.random
        )
        return Opening(self.method, authorizer.request(), authorizer)

    def _converse(self) -> CephxConversation:
        if self.key is None:
            raise PermissionDenied(f"no key for {self.name}")
        return CephxConversation(
            self.key, self.global_id, self.want, self.tickets.copy(), self.random
        )

    def _logged_in(
        self, method: AuthMethod, global_id: int, conversation: CephxConversation | None
    ) -> None:
        self.method = method
        self.global_id = global_id
        self._conversation = conversation


def _check_mode(mode: int, offered: list[int], secret: bytes) -> None:
    """Refuses a mode that we did not offer, and secure mode without its secret."""
    if mode not in offered:
        raise PermissionDenied(f"the server chose connection mode {mode}, which we did not offer")
    if mode == ConnectionMode.SECURE and len(secret) < SECURE_SECRET_LEAST:
        raise PermissionDenied("secure mode without a connection secret")


class MonHandshake:
    """Login to a monitor, as a ClientHandshake.

    Several may run at once (hunting); the one whose `on_done` succeeds last becomes the login.
    """

    def __init__(self, client: AuthClient) -> None:
        self._client = client
        self._methods = [
            method
            for method in client.registry.methods(EntityType.MON)
            if method != AuthMethod.CEPHX or client.key is not None
        ]
        self._offered: list[int] = []
        self._conversation: CephxConversation | None = None

    def request(self) -> AuthRequest:
        if not self._methods:
            raise PermissionDenied(f"no method to authenticate {self._client.name} by")
        client, method = self._client, self._methods[0]
        self._offered = client.registry.modes(EntityType.MON, method)
        if not self._offered:
            raise PermissionDenied("no connection mode to offer to a monitor")
        self._conversation = client._converse() if method == AuthMethod.CEPHX else None
        head = AuthRequestHead(AuthMode.MON, client.name, client.global_id)
        return AuthRequest(method, list(self._offered), head.encode())

    def on_bad_method(self, refusal: AuthBadMethod) -> AuthRequest:
        if not self._methods or refusal.method != self._methods[0]:
            raise ProtocolViolation("auth", f"refusal of method {refusal.method}, not of ours")
        rest = self._methods[1:]
        while rest and rest[0] not in refusal.allowed_methods:
            rest = rest[1:]
        self._methods = rest
        if not rest:
            raise CephError.from_errno(
                refusal.result or PermissionDenied.code,
                f"the monitor refused {self._client.name}; it allows methods "
                f"{refusal.allowed_methods} and modes {refusal.allowed_modes}",
            )
        return self.request()

    def on_more(self, payload: bytes) -> bytes:
        if self._conversation is None:
            raise ProtocolViolation("auth", "method none has no second step")
        return self._conversation.on_challenge(payload, self._client.clock())

    def on_done(self, global_id: int, mode: int, payload: bytes) -> AuthOutcome:
        if not global_id:
            raise PermissionDenied("the monitor assigned no global id")
        conversation = self._conversation
        if conversation is None:
            _check_mode(mode, self._offered, b"")
            self._client._logged_in(AuthMethod.NONE, global_id, None)
            return AuthOutcome(global_id=global_id, mode=mode)
        secret = conversation.on_reply(payload, self._client.clock())
        session_key = conversation.tickets.session_key(EntityType.AUTH)
        if session_key is None:
            raise ProtocolViolation("cephx", "login was confirmed without a session key")
        _check_mode(mode, self._offered, secret)
        conversation.global_id = global_id
        self._client._logged_in(AuthMethod.CEPHX, global_id, conversation)
        return AuthOutcome(
            global_id=global_id,
            mode=mode,
            session_key=session_key.secret,
            connection_secret=secret,
        )


@dataclass(slots=True)
class Opening:
    """What is shown to a service: by cephx an authorizer, by none a name. `payload` is sent."""

    method: AuthMethod
    payload: bytes
    authorizer: Authorizer | None = None


class AuthorizerSource(Protocol):
    """Who makes openings for services: `AuthClient`, and `auth.monitor.MonitorAuthClient`."""

    registry: AuthRegistry

    def open_authorizer(self, peer_type: int) -> Opening:
        """What to show to a service of that kind. PermissionDenied where there is nothing."""
        ...


class ServiceHandshake:
    """An authorizer for an OSD, MDS, manager or fellow monitor, as a ClientHandshake."""

    def __init__(self, source: AuthorizerSource, peer_type: int) -> None:
        self._source = source
        self._peer_type = peer_type
        self._offered: list[int] = []
        self._authorizer: Authorizer | None = None

    def request(self) -> AuthRequest:
        opening = self._source.open_authorizer(self._peer_type)
        self._offered = self._source.registry.modes(self._peer_type, opening.method)
        self._authorizer = opening.authorizer
        return AuthRequest(opening.method, list(self._offered), opening.payload)

    def on_bad_method(self, refusal: AuthBadMethod) -> AuthRequest:
        what = TYPE_NAMES.get(self._peer_type, str(self._peer_type))
        raise CephError.from_errno(
            refusal.result or PermissionDenied.code, f"{what} refused our authorizer"
        )

    def on_more(self, payload: bytes) -> bytes:
        if self._authorizer is None:
            raise ProtocolViolation("auth", "method none has no second step")
        return self._authorizer.on_challenge(payload)

    def on_done(self, global_id: int, mode: int, payload: bytes) -> AuthOutcome:
        if self._authorizer is None:
            _check_mode(mode, self._offered, b"")
            return AuthOutcome(global_id=global_id, mode=mode)
        secret = self._authorizer.on_reply(payload)
        _check_mode(mode, self._offered, secret)
        return AuthOutcome(
            global_id=global_id,
            mode=mode,
            session_key=self._authorizer.session_key.secret,
            connection_secret=secret,
        )
