"""Commands that a client sends to a monitor and the manager must answer: passed on, and back.

Clients that know the manager ask it themselves; this is for the others. Follows upstream
`src/mon/Monitor.cc` (C_MgrProxyCommand) and `src/mgr/MgrClient.cc`. Called by `commands.dispatch`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spirula.errors import NotConnected
from spirula.messages.command import MMgrCommand, MMgrCommandReply
from spirula.messages.mon_client import MMonCommand, MMonCommandAck
from spirula.types.entity import EntityAddrVec, EntityType

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request
    from spirula.msgr.connection import Connection

MAX_PROXIED_BYTES = 64 << 20
"""Of commands that wait for the manager at one monitor; more are refused with EAGAIN."""


@dataclass(slots=True)
class _Proxied:
    request: Request
    size: int


class MgrProxy:
    """The commands of one monitor's clients that wait for the manager."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self._waiting: dict[int, _Proxied] = {}
        self._last_tid = 0
        self._bytes = 0
        self._connection: Connection | None = None
        self._addrs = EntityAddrVec()

    def start(self, request: Request) -> None:
        """Ask the manager; without one, as soon as there is one."""
        message = request.message
        if not isinstance(message, MMonCommand):
            return
        size = len(message.data) + sum(len(word) for word in message.cmd)
        if self._bytes + size > MAX_PROXIED_BYTES:
            refusal = MMonCommandAck(
                version=0, r=-11, rs="hit limit on proxied mgr commands", cmd=message.cmd
            )
            request.reply(refusal)
            return
        self._bytes += size
        self._last_tid += 1
        self._waiting[self._last_tid] = _Proxied(request, size)
        if not self.on_mgrmap():
            self._send(self._last_tid)

    def on_mgrmap(self) -> bool:
        """There may be another manager: ask it all that was not answered. Whether there is."""
        addrs = self.monitor.mgrmap.active_addrs
        if addrs == self._addrs:
            return False
        self._addrs = addrs
        if self._connection is not None:
            self._connection.mark_down()
            self._connection = None
        for tid in list(self._waiting):
            self._send(tid)
        return True

    def _send(self, tid: int) -> None:
        proxied = self._waiting[tid]
        if proxied.request.is_stale:
            self._forget(tid)
            return
        message = proxied.request.message
        if not self._addrs.addrs or not isinstance(message, MMonCommand):
            return
        if self._connection is None:
            try:
                self._connection = self.monitor.messenger.get_connection(
                    EntityType.MGR, self._addrs
                )
            except (NotConnected, ValueError) as error:
                self.monitor.log(1, f"cannot reach the manager at {self._addrs}: {error}")
                return
        command = MMgrCommand(fsid=self.monitor.monmap.fsid, cmd=message.cmd)
        command.tid, command.data = tid, message.data
        self._connection.send_message(command)

    def _forget(self, tid: int) -> _Proxied | None:
        proxied = self._waiting.pop(tid, None)
        if proxied is not None:
            self._bytes -= proxied.size
        return proxied

    def on_reply(self, connection: Connection, reply: MMgrCommandReply) -> None:
        """The manager has answered."""
        if connection is not self._connection:
            return
        proxied = self._forget(reply.tid)
        if proxied is None or not isinstance(proxied.request.message, MMonCommand):
            return
        ack = MMonCommandAck(version=0, r=reply.r, rs=reply.rs, cmd=proxied.request.message.cmd)
        ack.data = reply.data
        proxied.request.reply(ack)

    def on_reset(self, connection: Connection) -> None:
        """The session with the manager is over: ask again what was not answered."""
        if connection is self._connection:
            self._connection.mark_down()
            self._connection, self._addrs = None, EntityAddrVec()

    def tick(self) -> None:
        """Try again what could not be sent."""
        if self._waiting:
            self.on_mgrmap()
