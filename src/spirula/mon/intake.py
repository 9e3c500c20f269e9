"""Who comes to a monitor and what they bring: the messenger's calls, sessions, ways of messages.

What monitors say among themselves goes to the quorum member or to `forwarding`, the rest to
`Monitor.dispatch`. Follows upstream `src/mon/Monitor.cc` (ms_handle_accept, _ms_dispatch,
remove_session). The dispatcher of a monitor's messenger.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from spirula.auth.caps.mon import ALLOW_ALL
from spirula.auth.cephx.service import CephxServiceSession
from spirula.errors import CephError, SpirulaError, WireError
from spirula.messages.base import Message
from spirula.messages.command import MMgrCommandReply
from spirula.messages.mgr import MMgrConfigure
from spirula.messages.quorum import (
    MForward,
    MMonElection,
    MMonPaxos,
    MMonPing,
    MMonProbe,
    MMonScrub,
    MMonSync,
    MRoute,
    MTimeCheck2,
)
from spirula.mon.request import Request
from spirula.mon.session import MonSession, parse_mon_caps
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityType

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.msgr.connection import Connection

_QUORUM = (MMonPaxos, MMonElection, MMonPing, MMonProbe, MMonSync, MMonScrub, MTimeCheck2)
"""What goes to the quorum member; only monitors may send it."""


class Intake:
    """The door of one monitor."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor

    def ms_handle_accept(self, connection: Connection) -> None:
        """Somebody has logged in."""
        outcome = connection.auth
        try:
            entity = PrincipalName.parse(outcome.entity)
        except ValueError:
            connection.mark_down()
            return
        is_mon = connection.peer_type == EntityType.MON
        if is_mon != (entity.type == EntityType.MON):
            # What a peer says of itself must be what it has proved to be.
            self.monitor.log(0, f"{entity} at {connection.peer_addrs} is not what it says it is")
            connection.mark_down()
            return
        allow_all = is_mon or outcome.allow_all
        caps = ALLOW_ALL if allow_all else parse_mon_caps(outcome.caps.get("mon", ""))
        session = MonSession(
            name=connection.peer_name,
            entity=entity,
            addrs=connection.peer_addrs,
            caps=caps,
            features=connection.features,
            connection=connection,
            socket_addr=connection.peer_addrs.legacy_or_front,
            global_id=outcome.global_id,
            auth=outcome.session if isinstance(outcome.session, CephxServiceSession) else None,
            opened_at=self.monitor.now(),
        )
        old = connection.priv
        if isinstance(old, MonSession):
            self.end(old)
        connection.priv = session
        self.monitor.sessions.add(session)
        self.monitor.perf.session_add.value += 1

    def ms_handle_connect(self, connection: Connection) -> None:
        """We have reached another monitor, or the manager; what was queued goes out by itself."""

    def ms_handle_reset(self, connection: Connection) -> None:
        """A client has gone."""
        session = connection.priv
        if isinstance(session, MonSession):
            self.end(session)
        self._on_reset_of_manager(connection)

    def ms_handle_remote_reset(self, connection: Connection) -> None:
        """Another monitor was restarted."""
        self._on_reset_of_manager(connection)

    def ms_handle_refused(self, connection: Connection, error: SpirulaError) -> None:
        """Another monitor, or the manager, does not listen, or not to us."""
        if connection.peer_type == EntityType.MON and self.monitor.running:
            if isinstance(error, CephError) and error.errno == errno.ECONNREFUSED:
                addrs = connection.peer_addrs
                # What is queued was for a process that is no more; what is sent next, dials anew.
                connection.mark_down()
                self.monitor.member.on_unreachable(
                    addrs, self.monitor.loop.time(), self.monitor.ports.wall()
                )
                self.monitor.driver.pump()
        else:
            self._on_reset_of_manager(connection)

    def _on_reset_of_manager(self, connection: Connection) -> None:
        self.monitor.command_dispatch.proxy.on_reset(connection)
        self.monitor.reports.on_reset(connection)

    def end(self, session: MonSession) -> None:
        """The session is over."""
        self.monitor.forwarding.drop(session)
        if not session.closed:
            self.monitor.perf.session_rm.value += 1
        self.monitor.sessions.remove(session)

    def close(self, session: MonSession, reason: str) -> None:
        """Send a client elsewhere."""
        self.monitor.log(5, f"closing the session of {session}: {reason}")
        self.end(session)
        if session.connection is not None:
            session.connection.mark_down()

    def ms_dispatch(self, connection: Connection, message: Message) -> None:
        """A message has come."""
        if not self.monitor.running:
            return
        try:
            self._dispatch_from(connection, message)
        except WireError as error:
            self.monitor.log(0, f"{type(message).__name__} from {connection.peer_addrs}: {error}")
            connection.mark_down()
            session = connection.priv
            if isinstance(session, MonSession):
                self.end(session)

    def _dispatch_from(self, connection: Connection, message: Message) -> None:
        from_mon = connection.peer_type == EntityType.MON
        if from_mon and isinstance(message, _QUORUM):
            if isinstance(message, MMonPaxos):
                self.monitor.perf.on_paxos(message)
            self.monitor.member.on_message(
                connection.peer_addrs,
                connection.features,
                message,
                self.monitor.loop.time(),
                self.monitor.ports.wall(),
            )
            self.monitor.driver.pump()
            return
        if from_mon and isinstance(message, MForward):
            self.monitor.forwarding.on_forward(connection, message)
            return
        if from_mon and isinstance(message, MRoute):
            self.monitor.forwarding.on_route(message)
            return
        if isinstance(message, MMgrCommandReply):
            self.monitor.command_dispatch.proxy.on_reply(connection, message)
            return
        if isinstance(message, MMgrConfigure):
            self.monitor.reports.on_configure(message)
            return
        session = connection.priv
        if from_mon and session is None:
            # A monitor that we connected to: it has shown that it knows the monitors' key.
            session = self._peer_session(connection)
        if isinstance(session, MonSession) and not session.closed:
            self.monitor.dispatch(Request(self.monitor, message, session, self.monitor.wall()))

    def _peer_session(self, connection: Connection) -> MonSession:
        session = MonSession(
            name=connection.peer_name,
            entity=PrincipalName(EntityType.MON, ""),
            addrs=connection.peer_addrs,
            caps=ALLOW_ALL,
            features=connection.features,
            connection=connection,
            opened_at=self.monitor.now(),
        )
        connection.priv = session
        self.monitor.sessions.add(session)
        return session

    def trim(self) -> None:
        """Send clients elsewhere who were silent for long, or all while we are in no quorum."""
        left = self.monitor.left_quorum_at
        too_long = (
            left is not None
            and self.monitor.now() > left + 2 * self.monitor.config.get_float("mon_lease")
        )
        timeout = self.monitor.config.get_float("mon_session_timeout")
        for session in self.monitor.sessions:
            if session.is_mon or session.connection is None:
                continue
            heard = session.connection.idle_since
            if too_long:
                self.monitor.perf.session_trim.value += 1
                self.close(session, "out of the quorum for too long")
            elif heard is not None and heard + timeout < self.monitor.now():
                self.monitor.perf.session_trim.value += 1
                self.close(session, "nothing heard from it")
