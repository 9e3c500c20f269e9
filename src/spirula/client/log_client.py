"""A daemon's lines for the cluster log, on their way to the monitors (clog).

Lines are numbered, sent, and kept until a monitor says that it has them; a new session sends again
what it has not. Whoever owns the `MonClient` calls `log`, hands in each MLogAck and calls `resend`
when a session opens. Behaviour follows upstream `src/common/LogClient.cc`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from spirula.messages.mon_client import MLog, MLogAck
from spirula.types.auth import PrincipalName
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec, EntityName
from spirula.types.log import CHANNEL_CLUSTER, LogEntry, LogLevel

MOST_KEPT = 10000
"""Lines that no monitor has taken yet; one more drops the oldest."""
_AT_ONCE = 1000


@dataclass(slots=True, eq=False)
class LogClient:
    """The lines of one daemon. `send` takes an MLog, `addrs` tells where the daemon is."""

    fsid: Callable[[], bytes]
    name: PrincipalName
    rank: EntityName
    addrs: Callable[[], EntityAddrVec]
    wall: Callable[[], float]
    send: Callable[[MLog], None]
    _queue: deque[LogEntry] = field(default_factory=deque)
    _last: int = 0
    _last_sent: int = 0

    def log(self, level: LogLevel, text: str, channel: str = CHANNEL_CLUSTER) -> None:
        """Write a line."""
        self._last += 1
        entry = LogEntry(
            name=self.name,
            rank=self.rank,
            addrs=self.addrs(),
            stamp=UTime.at(self.wall()),
            seq=self._last,
            prio=level,
            msg=text,
            channel=channel,
        )
        self._queue.append(entry)
        if len(self._queue) > MOST_KEPT:
            self._queue.popleft()
        self._send_new()

    def _send_new(self) -> None:
        new = [entry for entry in self._queue if entry.seq > self._last_sent][:_AT_ONCE]
        if new:
            self._last_sent = new[-1].seq
            self.send(MLog(fsid=self.fsid(), entries=new))

    def on_ack(self, message: MLogAck) -> None:
        """A monitor has lines up to a number: forget them, and send what waits."""
        while self._queue and self._queue[0].seq <= message.last:
            self._queue.popleft()
        self._send_new()

    def resend(self) -> None:
        """A session with a monitor has begun: it may lack what the last one was sent."""
        self._last_sent = self._queue[0].seq - 1 if self._queue else self._last
        self._send_new()
