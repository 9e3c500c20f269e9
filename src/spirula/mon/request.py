"""One message that a monitor is asked to act on, and the way back to who asked.

Clients ask the monitor they are connected to; what only the leader can do, a peon forwards, and the
answer comes back through it. A handler does not see the difference: it calls `reply`, once, or
`no_reply`. Follows upstream `src/mon/MonOpRequest.h`. Made by `monitor`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.conf.formatter import FALLBACK, FORMATS, render
from spirula.mon.session import MonSession

if TYPE_CHECKING:
    from spirula.messages.base import Message
    from spirula.mon.monitor import Monitor
    from spirula.mon.op_tracker import TrackedOp


@dataclass(slots=True, eq=False, weakref_slot=True)
class Request:
    """A message and its session.

    `received` is the wall clock's time. `election_epoch` is set for forwarded ones: after another
    election the peon forwards anew, and this one is dropped. For commands, `prefix`, `given` (the
    arguments as they came), `format` ("plain" unless asked otherwise) and `data` are filled in.
    `op` is what the monitor's tracker knows of it.
    """

    monitor: Monitor
    message: Message
    session: MonSession
    received: float
    election_epoch: int | None = None
    prefix: str = ""
    given: dict[str, object] = field(default_factory=dict)
    format: str = "plain"
    answered: bool = False
    op: TrackedOp | None = None

    @property
    def data(self) -> bytes:
        """A command's input (`-i FILE`)."""
        return bytes(self.message.data)

    @property
    def is_plain(self) -> bool:
        """Whether a command's output is meant for people: no format that we know was asked for."""
        return self.format not in FORMATS

    @property
    def is_stale(self) -> bool:
        """Whether there is nobody left to answer."""
        session = self.session
        if self.election_epoch is not None:
            return self.election_epoch < self.monitor.member.epoch
        return session.closed

    def reply(self, message: Message) -> None:
        """Answers. Leaves when everything that is known here is durable."""
        if not self.answered:
            message.tid = self.message.tid
            self.monitor.answer(self.session, message)
            self.settle("send_reply")

    def no_reply(self) -> None:
        """There is no answer: a peon that forwarded this may forget it."""
        if not self.answered:
            self.monitor.answer(self.session, None)
            self.settle("no_reply")

    def hold(self) -> None:
        """It is answered when others have spoken, perhaps much later: nobody need be told that it
        takes long. Until then a peon that forwarded it passes it on to each new leader.
        """
        if self.op is not None:
            self.monitor.ops.end(self.op, self.monitor.wall())

    def mark(self, event: str) -> None:
        """Something has happened to it (for `ops`)."""
        if self.op is not None:
            self.op.events.append((event, self.monitor.wall()))

    def settle(self, event: str) -> None:
        """It is answered, here or by whom it was forwarded to; nothing else will be sent."""
        self.answered = True
        op = self.op
        if op is not None:
            now = self.monitor.wall()
            op.events.append((event, now))
            self.monitor.ops.end(op, now)

    def render(self, document: object, name: str = "", *, fallback: str = FALLBACK) -> str:
        """A document in the format that was asked for (`fallback` where it was plain)."""
        return render(document, fallback if self.is_plain else self.format, name)
