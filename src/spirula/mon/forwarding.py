"""Forwarding: a peon passes what only the leader can do to the leader, and the answer back.

The peon keeps what it forwarded until the answer comes (MRoute); after an election it forwards
anew, or deals with it itself if it leads now. The leader acts as if the client were its own, with
the caps that the peon tells; only monitors may do so. Messages MForward and MRoute; follows
upstream
`src/mon/Monitor.cc` (forward_request_leader, handle_forward, handle_route). Called by `monitor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spirula.denc import features as feature_bits
from spirula.messages.carried import CarriedMessage
from spirula.messages.quorum import MForward, MRoute
from spirula.mon.request import Request
from spirula.mon.session import MonSession, parse_mon_caps
from spirula.types.caps import MonCap
from spirula.types.entity import EntityName, EntityType

if TYPE_CHECKING:
    from spirula.messages.base import Message
    from spirula.mon.monitor import Monitor
    from spirula.msgr.connection import Connection


@dataclass(slots=True)
class _Routed:
    """A request that was forwarded and not answered yet."""

    request: Request


class Forwarding:
    """What one monitor has forwarded, and how it takes what others forward to it."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self._routed: dict[int, _Routed] = {}
        self._last_tid = 0

    def __len__(self) -> int:
        return len(self._routed)

    # --- at a peon

    def forward(self, request: Request) -> None:
        """Pass a request to the leader, unless it was forwarded already."""
        session = request.session
        if session.proxy is not None or (session.is_mon and session.connection is not None):
            return
        if session.closed:
            return
        self._last_tid += 1
        tid = self._last_tid
        self._routed[tid] = _Routed(request)
        session.routed.add(tid)
        request.mark("forwarded")
        if request.op is not None:
            request.op.forwarded = True
        self._send(tid, request)

    def _send(self, tid: int, request: Request) -> None:
        session, monitor = request.session, self.monitor
        features = session.features or feature_bits.PACIFIC
        forward = MForward(
            forward_tid=tid,
            client_type=session.name.type,
            client_addrs=session.addrs,
            client_socket_addr=session.socket_addr,
            client_caps=MonCap(session.caps.to_text()),
            msg=CarriedMessage.pack(request.message, session.name, features),
            con_features=features,
            entity_name=session.entity,
        )
        forward.priority = request.message.priority
        monitor.send_to_rank(monitor.member.state.leader, forward)

    def on_route(self, route: MRoute) -> None:
        """The leader has answered one of them (or says that there is no answer)."""
        routed = self._routed.pop(route.session_mon_tid, None)
        if routed is None:
            return
        session = routed.request.session
        session.routed.discard(route.session_mon_tid)
        routed.request.settle("routed")
        if route.msg is not None:
            # Read with the features that the leader encoded it for, encoded anew for the client.
            answer = route.msg.unpack(session.features or feature_bits.PACIFIC)
            self.monitor.answer(session, answer)
        if route.send_osdmap_first:
            self.monitor.send_osdmaps(session, route.send_osdmap_first)

    def drop(self, session: MonSession) -> None:
        """The client has gone: nobody waits for its answers."""
        for tid in session.routed:
            self._routed.pop(tid, None)
        session.routed.clear()

    def resend(self) -> None:
        """There is another quorum: forward what is not answered to its leader, or do it here."""
        if not self.monitor.is_leader:
            for tid, routed in self._routed.items():
                self._send(tid, routed.request)
            return
        routed_here, self._routed = self._routed, {}
        for tid, routed in routed_here.items():
            routed.request.session.routed.discard(tid)
            self.monitor.dispatch(routed.request)

    # --- at the leader

    def on_forward(self, connection: Connection, forward: MForward) -> None:
        """A peon passes a client's request to us. Raises WireError if it cannot be read."""
        monitor = self.monitor
        message: Message = forward.msg.unpack(forward.con_features)
        client = MonSession(
            name=EntityName(forward.client_type, forward.msg.src.num),
            entity=forward.entity_name,
            addrs=forward.client_addrs,
            caps=parse_mon_caps(forward.client_caps.text),
            features=forward.con_features,
            socket_addr=forward.client_socket_addr,
            proxy=(connection, forward.forward_tid),
        )
        request = Request(
            monitor, message, client, monitor.wall(), election_epoch=monitor.member.epoch
        )
        monitor.dispatch(request)

    def route(self, session: MonSession, message: Message | None) -> None:
        """Send an answer back to the peon that forwarded the request."""
        if session.proxy is None:
            return
        connection, tid = session.proxy
        carried = None
        if message is not None:
            source = EntityName(EntityType.MON, self.monitor.member.state.rank)
            carried = CarriedMessage.pack(message, source, session.features)
        connection.send_message(MRoute(session_mon_tid=tid, msg=carried, send_osdmap_first=0))

    def route_osdmaps(self, session: MonSession, first: int) -> None:
        """The answer is the OSD map: the peon sends its client the epochs from `first` on."""
        if session.proxy is not None:
            connection, tid = session.proxy
            answer = MRoute(session_mon_tid=tid, msg=None, send_osdmap_first=first)
            self.monitor.driver.after_durable(lambda: connection.send_message(answer))
