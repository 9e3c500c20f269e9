"""The messenger: binds, connects, and delivers messages, over the asyncio loop it is given.

It drives `protocol.endpoint` with transports and timers of that loop and nothing else, so that the
loop of `spirula.sim` drives the very same code. There is no task per message and none per
connection but while it connects: messages are dispatched from the transport's callback, and what
was queued during one turn of the loop goes out in one write. Used by every daemon and client.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from typing import TYPE_CHECKING, Any

from spirula.errors import (
    Busy,
    CephError,
    NotConnected,
    NotPermitted,
    NotSupported,
    PermissionDenied,
    ProtocolViolation,
    SpirulaError,
    TimedOut,
    TryAgain,
    WireError,
)
from spirula.msgr.connection import Connection, Dispatcher, LocalConnection
from spirula.msgr.policies import Policy
from spirula.msgr.protocol.endpoint import Endpoint, describe
from spirula.msgr.protocol.events import Due, Ended, Event, Opened, PeerReset
from spirula.msgr.protocol.session import Session, SessionState
from spirula.msgr.wire import Wire, failure_rule
from spirula.records import dataclass
from spirula.types.entity import AddrType, EntityAddr, EntityAddrVec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spirula.msgr.protocol.message import RawMessage

    Decode = Callable[[Connection, RawMessage], Any]
    Log = Callable[[int, str], None]

_log = logging.getLogger("spirula.ms")
_NONCE_STEP = 1_000_000
_LEVEL_ALWAYS, _LEVEL_DETAIL = 0, 5

_REPORTED = (
    WireError,
    ProtocolViolation,
    TimedOut,
    PermissionDenied,
    NotPermitted,
    NotSupported,
    Busy,
)
"""What somebody did wrong. That a peer went away is no news by itself."""


@dataclass(slots=True, frozen=True)
class MessengerLimits:
    """Bounds of the driver; those of the protocol are in `FrameLimits` and `Timings`.

    `unauthenticated`: transports that have come in and not yet a session; one more drops the
    oldest of them. `reported`: peers whose failures are remembered, so as to be logged once.
    """

    unauthenticated: int = 1024
    reported: int = 1024
    backlog: int = 512


def log_to_standard_library(level: int, message: str) -> None:
    """Where a messenger logs that is given no log: level 0 is a warning, more is for debugging."""
    _log.log(logging.WARNING if level <= 0 else logging.DEBUG, "%s", message)


class Messenger:
    """One entity's messenger. Make it inside the loop's thread; `shutdown` ends it.

    `decode` turns a `RawMessage` into what `dispatcher` expects (as it is where None); its
    WireError ends the transport that the message came from. What the dispatcher raises is a bug and
    goes to the loop's exception handler. `wall_clock` stamps keepalives. `log` takes a level and a
    line: a `spirula.conf` logger of subsystem `ms`, or the standard library's where it is None.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        dispatcher: Dispatcher,
        *,
        decode: Decode | None = None,
        wall_clock: Callable[[], float] = time.time,
        limits: MessengerLimits | None = None,
        log: Log | None = None,
    ) -> None:
        self.loop = loop
        self.log = log or log_to_standard_library
        self.endpoint = endpoint
        self.dispatcher = dispatcher
        self.decode = decode
        self.wall_clock = wall_clock
        self.limits = limits or MessengerLimits()
        self.connections: dict[Connection, None] = {}  # a dict: in the order of their making
        self.local = self._make_local()
        self._servers: list[asyncio.AbstractServer] = []
        self._early: dict[Wire, None] = {}  # accepted and without a session, oldest first
        self._dials: dict[Wire, asyncio.Task[None]] = {}
        self._dirty: list[Wire] = []
        self._reported: dict[tuple[str, str], None] = {}
        self._starving: asyncio.TimerHandle | None = None
        self._stopped = False

    # ---------------------------------------------------------------------------------- addresses

    @property
    def addrs(self) -> EntityAddrVec:
        """Our own addresses, as far as they are known."""
        return self.endpoint.addrs

    async def bind(
        self, addrs: EntityAddrVec, ports: Sequence[int] = range(6800, 7301)
    ) -> EntityAddrVec:
        """Listens at each msgr2 address; where the port is 0, at the first free one of `ports`.

        An empty `ports` leaves the choice to the system. msgr1 addresses are announced and not
        listened at. Returns the addresses with ports and our nonce. OSError where that fails.
        """
        bound: list[EntityAddr] = []
        for addr in addrs.addrs:
            if addr.type != AddrType.LEGACY:
                bound.append((await self._listen(addr, ports)).with_nonce(self.endpoint.nonce))
            else:
                bound.append(addr.with_nonce(self.endpoint.nonce))
        self.endpoint.addrs = EntityAddrVec(bound)
        self.endpoint.bound = True
        return self.endpoint.addrs

    async def rebind(
        self, avoid: frozenset[int] = frozenset(), ports: range = range(6800, 7301)
    ) -> EntityAddrVec:
        """Ends all sessions and listens elsewhere under another nonce, as a new process would.

        Neither the old ports nor those in `avoid` are taken. For an OSD that was marked down and
        lives (upstream `AsyncMessenger::rebind`). OSError where no port is left.
        """
        old = self.endpoint.addrs.addrs
        await self._stop_listening()
        self.mark_down_all()
        self.endpoint.nonce = self.endpoint.nonce + _NONCE_STEP & 0xFFFFFFFF
        taken = avoid | {addr.port for addr in old}
        free = [port for port in ports if port not in taken]
        if not free:
            raise OSError(errno.EADDRINUSE, f"no port left of {ports}")
        addrs = [addr if addr.type == AddrType.LEGACY else addr.with_port(0) for addr in old]
        return await self.bind(EntityAddrVec(addrs), free)

    async def _stop_listening(self) -> None:
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        for server in servers:
            await server.wait_closed()

    async def _listen(self, addr: EntityAddr, ports: Sequence[int]) -> EntityAddr:
        candidates = [addr.port] if addr.port or not ports else list(ports)
        for port in candidates:
            try:
                server = await self.loop.create_server(
                    self._accept, addr.host, port, backlog=self.limits.backlog
                )
            except OSError as error:
                if error.errno != errno.EADDRINUSE or port == candidates[-1]:
                    raise
                continue
            if server.sockets and server.sockets[0] is not None:
                self._servers.append(server)
                return addr.with_port(server.sockets[0].getsockname()[1])
            # Who bound the port at the same moment was the first to listen: uvloop has closed the
            # server, and tells of it by the loop's exception handler alone.
            server.close()
        raise OSError(errno.EADDRINUSE, "no free port")

    # -------------------------------------------------------------------------------- connections

    def require_features(self, peer_type: int, features: int, mask: int) -> None:
        """See `PolicySet.require`."""
        self.endpoint.policies.require(peer_type, features, mask)

    def get_connection(
        self, peer_type: int, addrs: EntityAddrVec, *, anonymous: bool = False
    ) -> Connection:
        """The connection to a peer, made and dialed where there is none.

        An anonymous one is always new and found by nobody else. ValueError where none of `addrs`
        speaks msgr2, NotConnected after `shutdown`.
        """
        if self._stopped:
            raise NotConnected("the messenger is shut down")
        if not anonymous and self._is_me(addrs):
            return self.local
        session = self.endpoint.connect(peer_type, addrs, self.loop.time(), anonymous=anonymous)
        if session.user is None:
            connection = self._adopt(session)
            connection.arm()
        found: Connection = session.user
        return found

    def find_connection(self, addrs: EntityAddrVec) -> Connection | None:
        """The connection to a peer if there is one."""
        session = self.endpoint.lookup(addrs)
        return session.user if session is not None else None

    def send_to(self, message: Any, peer_type: int, addrs: EntityAddrVec) -> None:
        """Sends over the connection to a peer, made where there is none."""
        self.get_connection(peer_type, addrs).send_message(message)

    def mark_down(self, connection: Connection) -> None:
        """See `Connection.mark_down`."""
        self.endpoint.close(connection.session)
        self._forget(connection)

    def mark_down_addrs(self, addrs: EntityAddrVec) -> None:
        """Ends the session with a peer, if there is one, and says so by `ms_handle_reset`."""
        connection = self.find_connection(addrs)
        if connection is not None:
            self.mark_down(connection)
            self.dispatcher.ms_handle_reset(connection)

    def mark_down_all(self) -> None:
        """Ends all sessions and what is on its way to become one. No callbacks."""
        for connection in list(self.connections):
            self.mark_down(connection)
        for wire in list(self._early):
            self._drop_early(wire)

    async def shutdown(self) -> None:
        """Stops listening, ends everything; on return nothing of ours is left in the loop."""
        self._stopped = True
        for server in self._servers:
            server.close()
        self.mark_down_all()
        if self._starving is not None:
            self._starving.cancel()
        self.endpoint.close(self.local.session)
        dials = list(self._dials.values())
        for task in dials:
            task.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        await self._stop_listening()

    def _make_local(self) -> LocalConnection:
        endpoint = self.endpoint
        session = Session(Policy(), endpoint.name.type, EntityAddrVec(), None, anonymous=True)
        session.peer_name = endpoint.name
        session.state = SessionState.OPEN
        session.features = session.policy.features_supported
        return LocalConnection(self, session)

    def _is_me(self, addrs: EntityAddrVec) -> bool:
        mine = self.endpoint.addrs.addrs
        return bool(mine) and (
            addrs.addrs == mine or (len(addrs.addrs) == 1 and addrs.addrs[0] in mine)
        )

    def _adopt(self, session: Session) -> Connection:
        connection = Connection(self, session)
        self.connections[connection] = None
        return connection

    def _forget(self, connection: Connection) -> None:
        """The session is closed: nothing of it stays in the loop."""
        self.connections.pop(connection, None)
        connection.arm()
        wire, connection.wire = connection.wire, None
        if wire is not None:
            wire.close()
            task = self._dials.get(wire)
            if task is not None:
                task.cancel()

    # ------------------------------------------------------------------------------------ dialing

    def dial(self, connection: Connection) -> None:
        """Connects a session that is due."""
        link = self.endpoint.dial(connection.session, self.loop.time())
        if link is None or self._stopped:
            return
        wire = Wire(self, link, connection)
        connection.wire = wire
        self._dials[wire] = self.loop.create_task(self._connect(wire, link.peer_addr))

    async def _connect(self, wire: Wire, target: EntityAddr) -> None:
        try:
            await self.loop.create_connection(lambda: wire, target.host, target.port)
        except OSError as error:
            wire.done = True
            self._dials.pop(wire, None)
            self.wire_lost(wire, CephError.from_errno(error.errno or errno.EIO, str(error)))
        finally:
            self._dials.pop(wire, None)

    def _accept(self) -> Wire:
        # asyncio wants the protocol before it tells who connected
        return Wire(self, self.endpoint.accept(EntityAddr(), self.loop.time()), None)

    def accepted(self, wire: Wire) -> None:
        """A transport came in; makes room for it."""
        self._early[wire] = None
        while len(self._early) > self.limits.unauthenticated:
            oldest = next(iter(self._early))
            self._report(oldest, Busy(f"over {self.limits.unauthenticated} without a session"))
            self._drop_early(oldest)

    def _drop_early(self, wire: Wire) -> None:
        self._early.pop(wire, None)
        wire.link.close()
        wire.abort()

    # ------------------------------------------------------------------------------------- events

    def session_event(self, wire: Wire, event: Event) -> None:
        """What a link says of a session, its own or another."""
        dispatcher = self.dispatcher
        if isinstance(event, Opened):
            connection = self._opened(wire, event)
            if event.accepted:
                dispatcher.ms_handle_accept(connection)
            else:
                dispatcher.ms_handle_connect(connection)
        elif isinstance(event, PeerReset):
            if event.session.user is not None:
                dispatcher.ms_handle_remote_reset(event.session.user)
        elif isinstance(event, Ended):
            connection = event.session.user
            self._forget(connection)
            dispatcher.ms_handle_reset(connection)
        elif isinstance(event, Due):
            event.session.user.arm()

    def _opened(self, wire: Wire, event: Opened) -> Connection:
        session = event.session
        connection: Connection = session.user or self._adopt(session)
        old = connection.wire
        if old is not None and old is not wire:
            old.close()
            task = self._dials.get(old)
            if task is not None:
                task.cancel()
        connection.wire = wire
        wire.connection = connection
        connection.arm()
        self._early.pop(wire, None)
        if session.keepalive:
            session.keepalive = False
            wire.send_keepalive()
        return connection

    def wire_lost(self, wire: Wire, error: SpirulaError) -> None:
        """A transport ended, or was dropped because of `error`."""
        wire.stop()
        self._early.pop(wire, None)
        dial = self._dials.pop(wire, None)
        if dial is not None:
            dial.cancel()
        link = wire.link
        session = link.session
        connection = wire.connection
        refusal = link.handshake.refusal if link.handshake is not None else None
        if refusal is not None:
            # That the peer hung up is no news; why we did not let it in is.
            error = PermissionDenied(refusal.reason, errno=refusal.result)
        self._report(wire, error)
        was_connecting = session is not None and session.state is SessionState.CONNECTING
        ended = self.endpoint.lost(link, self.loop.time())
        if connection is None or connection.wire is not wire:
            return
        connection.wire = None
        if ended is not None:
            self._forget(connection)
            self.dispatcher.ms_handle_reset(connection)
            return
        connection.arm()
        if was_connecting and not isinstance(error, TryAgain):
            self.dispatcher.ms_handle_refused(connection, error)

    def starves(self) -> None:
        """Somebody waits for room in a throttle; looks, after a while, who keeps it to no end."""
        if self._starving is None and not self._stopped:
            patience = self.endpoint.timings.stall_timeout_s
            self._starving = self.loop.call_later(patience, self._end_stalled)

    def _end_stalled(self) -> None:
        self._starving = None
        wires = [connection.wire for connection in self.connections]
        if not any(wire is not None and wire.waits_for_room for wire in wires):
            return
        now, patience = self.loop.time(), self.endpoint.timings.stall_timeout_s
        for wire in wires:
            if wire is not None and wire.is_stalled(now, patience):
                wire.link.fail(TimedOut("part of a message for too long, while others wait"))
                wire.process()
        self.starves()

    def flush_soon(self, wire: Wire) -> None:
        """Writes what a wire has to write, at the end of this turn of the loop."""
        if wire.dirty:
            return
        wire.dirty = True
        if not self._dirty:
            self.loop.call_soon(self._flush)
        self._dirty.append(wire)

    def _flush(self) -> None:
        wires, self._dirty = self._dirty, []
        for wire in wires:
            wire.flush()

    def _report(self, wire: Wire, error: SpirulaError) -> None:
        """Logs why a transport failed: once per peer and reason, then only for who debugs."""
        link = wire.link
        key = (link.peer_addr.host, failure_rule(error))
        if key in self._reported or not isinstance(error, _REPORTED):
            self.log(_LEVEL_DETAIL, describe(error, link))
            return
        self._reported[key] = None
        if len(self._reported) > self.limits.reported:
            del self._reported[next(iter(self._reported))]
        self.log(_LEVEL_ALWAYS, describe(error, link))
