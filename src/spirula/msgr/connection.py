"""What users of the messenger hold: a connection, and what they must answer, a dispatcher.

A connection stays the same object while transports come and go under it. `tcp` makes and drives
them; daemons and clients call the methods here and implement `Dispatcher`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from spirula.msgr.protocol.session import Session, SessionState
from spirula.types.base import UTime

if TYPE_CHECKING:
    import asyncio

    from spirula.auth.handshake import AuthOutcome
    from spirula.errors import SpirulaError
    from spirula.msgr.protocol.throttle import Ticket
    from spirula.msgr.tcp import Messenger
    from spirula.msgr.wire import Wire
    from spirula.types.entity import EntityAddrVec, EntityName


class Dispatcher(Protocol):
    """Who receives. All calls come from the event loop, one at a time, and must not block.

    A call may send, connect and mark down whatever it likes.
    """

    def ms_dispatch(self, connection: Connection, message: Any) -> None:
        """A message, as the messenger's `decode` made it."""
        ...

    def ms_handle_connect(self, connection: Connection) -> None:
        """A session that we asked for is open (again)."""
        ...

    def ms_handle_accept(self, connection: Connection) -> None:
        """A peer opened a session with us, or went on with one."""
        ...

    def ms_handle_reset(self, connection: Connection) -> None:
        """The session is over, the transport broke; what was queued or unanswered is lost."""
        ...

    def ms_handle_remote_reset(self, connection: Connection) -> None:
        """The peer lost the session; what was queued is gone, a new session begins."""
        ...

    def ms_handle_refused(self, connection: Connection, error: SpirulaError) -> None:
        """An attempt to connect failed: nobody listens, authentication was refused, and so on.

        It is tried again after a while, unless the connection is marked down.
        """
        ...


class Connection:
    """A session with one peer, as its users see it. `priv` is theirs."""

    __slots__ = ("_retry", "messenger", "priv", "session", "ticket", "wire")

    def __init__(self, messenger: Messenger, session: Session) -> None:
        self.messenger = messenger
        self.session = session
        self.wire: Wire | None = None
        self.ticket: Ticket | None = None
        self.priv: Any = None
        self._retry: asyncio.TimerHandle | None = None
        session.user = self

    # -------------------------------------------------------------------------------- for users

    def send_message(self, message: Any) -> None:
        """Queues a message; it goes out after those of the same or a higher priority.

        Dropped without a word when the connection is down, as everything queued then is.
        """
        session = self.session
        if session.state is SessionState.OPEN:
            session.queue.push(message.priority, message)
            wire = self.wire
            if wire is not None and not wire.dirty:
                self.messenger.flush_soon(wire)
        else:
            messenger = self.messenger
            messenger.endpoint.send(session, message.priority, message, messenger.loop.time())
            self.arm()

    def send_keepalive(self) -> None:
        """Asks the peer for a sign of life; see `last_keepalive_ack`."""
        if self.wire is not None and self.is_connected:
            self.wire.send_keepalive()
        else:
            self.session.keepalive = True

    def mark_down(self) -> None:
        """Ends the session here. No callback follows, and nothing is sent or received any more."""
        self.messenger.mark_down(self)

    def keep_ticket(self) -> Ticket | None:
        """During `ms_dispatch`: keeps the message's share of the throttles until released.

        None where nothing is throttled. Otherwise the share is given back when the call returns.
        """
        ticket, self.ticket = self.ticket, None
        return ticket

    @property
    def is_connected(self) -> bool:
        """Whether messages flow just now."""
        return self.session.state is SessionState.OPEN

    @property
    def is_down(self) -> bool:
        """Whether the session is over for good."""
        return self.session.state is SessionState.CLOSED

    @property
    def peer_name(self) -> EntityName:
        """Type and number of the peer; the number is -1 until it has said it."""
        return self.session.peer_name

    @property
    def peer_type(self) -> int:
        """The kind of entity at the other end."""
        return self.session.peer_name.type

    @property
    def peer_addrs(self) -> EntityAddrVec:
        """All addresses of the peer."""
        return self.session.peer_addrs

    @property
    def peer_global_id(self) -> int:
        """The number under which the peer authenticated with the monitors."""
        return self.session.auth.global_id

    @property
    def auth(self) -> AuthOutcome:
        """What authentication gave: mode, keys, and for servers the peer's name and caps."""
        return self.session.auth

    @property
    def features(self) -> int:
        """Feature bits that both ends have; 0 before the first time it was open."""
        return self.session.features

    @property
    def last_keepalive_ack(self) -> UTime | None:
        """When the keepalive was sent that was answered last, by the wall clock."""
        return self.wire.link.keepalive_acked if self.wire is not None else None

    @property
    def idle_since(self) -> float | None:
        """The loop's time at which something was last received; None without a transport."""
        return self.wire.link.last_active if self.wire is not None else None

    def __repr__(self) -> str:
        return f"<Connection to {self.peer_name} {self.peer_addrs} {self.session.state.value}>"

    # ------------------------------------------------------------------------- for the messenger

    def arm(self) -> None:
        """Sets or clears the timer by which the session is dialed."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        due = self.session.retry_at
        if due is not None:
            self._retry = self.messenger.loop.call_at(due, self._dial)

    def _dial(self) -> None:
        self._retry = None
        self.messenger.dial(self)


class LocalConnection(Connection):
    """The connection of an entity with itself: messages are dispatched as they are, a bit later."""

    __slots__ = ()

    def send_message(self, message: Any) -> None:
        """Dispatches the message from the event loop."""
        if not self.is_down:
            self.messenger.loop.call_soon(self._dispatch, message)

    def send_keepalive(self) -> None:
        """Nothing to ask: we are alive."""

    def arm(self) -> None:
        """There is nobody to dial."""

    def _dispatch(self, message: Any) -> None:
        if not self.is_down:
            self.messenger.dispatcher.ms_dispatch(self, message)
