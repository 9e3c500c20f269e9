"""What requests a monitor works on, for how long, and which were slow: `ceph daemon mon.a ops`.

`monitor` lets each request be tracked when it comes; who works on it marks what happens to it. It
is done when it is answered, or when nobody holds it any more: some requests have no answer. Shapes
and rules: upstream `src/common/TrackedOp.cc`, `src/mon/MonOpRequest.h`.
"""

from __future__ import annotations

import json
import weakref
from bisect import insort
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.messages.mgr import MMgrBeacon
from spirula.messages.mon_client import (
    MLog,
    MMonCommand,
    MMonGetMap,
    MMonGetVersion,
    MMonSubscribe,
)
from spirula.printing import Items, Unquoted
from spirula.types.base import UTime

if TYPE_CHECKING:
    from spirula.conf.config import Config
    from spirula.messages.base import Message
    from spirula.mon.request import Request
    from spirula.mon.session import MonSession

_SECRET = {"config set": "name", "config-key set": "key"}
"""Commands whose arguments are not shown, but for the one that names what is set."""
_EXACT_DIGITS = 17


@dataclass(slots=True, eq=False)
class TrackedOp:
    """One request. Times are in seconds since 1970; `done_at` is None while it is worked on."""

    seq: int
    message: Message
    session: MonSession
    initiated: float
    events: list[tuple[str, float]]
    forwarded: bool = False
    done_at: float | None = None
    held: weakref.ref[Request] | None = None

    def duration(self, now: float) -> float:
        """How long it has taken, so far."""
        return (now if self.done_at is None else self.done_at) - self.initiated


@dataclass(slots=True)
class _History:
    """Requests that are done: by how long they took (with their number), and those that were slow
    in the order in which they came to an end.
    """

    recent: list[tuple[float, int, TrackedOp]] = field(default_factory=list)
    slow: deque[TrackedOp] = field(default_factory=deque)


class OpTracker:
    """The requests of one monitor. Options `mon_op_...` may change while it runs."""

    def __init__(self, config: Config) -> None:
        self.enabled = config.get_bool("mon_enable_op_tracker")
        self.in_flight: dict[int, TrackedOp] = {}
        self._config = config
        self._history = _History()
        self._seq = 0
        self.read_options()

    def read_options(self) -> None:
        """They may have changed."""
        number = self._config.get_int
        self.complaint_time_s = number("mon_op_complaint_time")
        self._size = number("mon_op_history_size")
        self._duration_s = number("mon_op_history_duration")
        self._slow_size = number("mon_op_history_slow_op_size")
        self._slow_threshold_s = number("mon_op_history_slow_op_threshold")

    # --- what happens to requests

    def begin(self, request: Request, now: float) -> None:
        """A request has come (or comes once more, which changes nothing)."""
        if not self.enabled or request.op is not None:
            return
        self._seq += 1
        seq = self._seq
        request.op = op = TrackedOp(
            seq,
            request.message,
            request.session,
            request.received,
            [("initiated", request.received), ("mon:_ms_dispatch", now)],
        )
        op.held = weakref.ref(request, lambda _: self._dropped(op))
        self.in_flight[seq] = op

    def end(self, op: TrackedOp, now: float) -> None:
        """It is answered, or needs no answer."""
        if self.in_flight.pop(op.seq, None) is None:
            return
        op.held = None
        op.events.append(("done", now))
        op.done_at = now
        self._keep(op, now - op.initiated)

    def _keep(self, op: TrackedOp, took: float) -> None:
        history = self._history
        recent = history.recent
        # As upstream: of too many, those that took longest stay.
        if len(recent) < self._size or (recent and took > recent[0][0]):
            insort(recent, (took, op.seq, op))
            del recent[: max(len(recent) - self._size, 0)]
        if took >= self._slow_threshold_s:
            history.slow.append(op)
            while len(history.slow) > self._slow_size:
                history.slow.popleft()

    def _dropped(self, op: TrackedOp) -> None:
        # Nobody works on it any more; that was when something happened to it last.
        self.end(op, op.events[-1][1])

    def forget(self, now: float) -> None:
        """Let go of what came too long ago."""
        history = self._history
        history.recent = [
            one for one in history.recent if now - one[2].initiated <= self._duration_s
        ]

    # --- what is told of them

    def slow(self, now: float) -> tuple[int, float, TrackedOp | None]:
        """How many are worked on for too long; since when the oldest is, in seconds, and which."""
        found = [op for op in self.in_flight.values() if now - op.initiated > self.complaint_time_s]
        if not found:
            return 0, 0.0, None
        oldest = min(found, key=lambda op: op.initiated)
        return len(found), now - oldest.initiated, oldest

    def document_in_flight(self, now: float) -> dict[str, object]:
        """`ops`."""
        listed = [_document(op, now) for op in list(self.in_flight.values())]
        return {"ops": Items("op", listed), "num_ops": len(listed)}

    def document_history(self, now: float) -> dict[str, object]:
        """`dump_historic_ops`: by the time at which they came."""
        self.forget(now)
        listed = sorted((one[2] for one in self._history.recent), key=lambda op: op.initiated)
        return {
            "size": self._size,
            "duration": self._duration_s,
            "ops": Items("op", [_document(op, now) for op in listed]),
        }

    def document_slow(self, now: float) -> dict[str, object]:
        """`dump_historic_slow_ops`."""
        listed = sorted(self._history.slow, key=lambda op: op.initiated)
        return {
            "num to keep": self._slow_size,
            "threshold to keep": self._slow_threshold_s,
            "Ops": Items("Op", [_document(op, now) for op in listed]),
        }


def _exact(value: float) -> Unquoted:
    return Unquoted(f"{value:.{_EXACT_DIGITS}g}")


def _document(op: TrackedOp, now: float) -> dict[str, object]:
    events = []
    for number, (event, at) in enumerate(op.events):
        last = number + 1 == len(op.events)
        took = at - op.initiated if last else op.events[number + 1][1] - at
        events.append({"event": event, "time": str(UTime.at(at)), "duration": _exact(took)})
    session = op.session
    return {
        "description": describe(op.message),
        "initiated_at": str(UTime.at(op.initiated)),
        "age": _exact(now - op.initiated),
        "duration": _exact(op.duration(now)),
        "type_data": {
            "events": Items("event", events),
            "info": {
                "seq": op.seq,
                "src_is_mon": session.is_mon,
                "source": f"{session.name} {session.addrs}",
                "forwarded_to_leader": op.forwarded,
            },
        },
    }


def describe(message: Message) -> str:
    """A request in one line, as upstream prints those that come most often; others by name."""
    match message:
        case MMonCommand():
            return f"mon_command({_command(message)} v {message.version})"
        case MMonSubscribe():
            wanted = ",".join(
                f"{what}={item.start}{'' if item.flags & 1 else '+'}"
                for what, item in sorted(message.what.items())
            )
            return f"mon_subscribe({{{wanted}}})"
        case MMonGetVersion():
            return f"mon_get_version(what={message.what} handle={message.handle})"
        case MMonGetMap():
            return "mon_getmap"
        case MLog():
            if not message.entries:
                return "log()"
            first = message.entries[0]
            return f"log({len(message.entries)} entries from seq {first.seq} at {first.stamp})"
        case MMgrBeacon():
            return f"mgrbeacon mgr.{message.name}({message.gid})"
    return type(message).__name__


def _command(message: MMonCommand) -> str:
    text = " ".join(message.cmd)
    if "config" not in text:
        return text
    try:
        given = json.loads("".join(message.cmd))
    except (ValueError, RecursionError):
        return text
    prefix = given.get("prefix") if isinstance(given, dict) else None
    shown = _SECRET.get(prefix) if isinstance(prefix, str) else None
    if shown is None:
        return text
    return f"[{{prefix={prefix}, {shown}={given.get(shown, '')}}}]"
