"""Which requests an OSD works on, for how long, and which were slow: `ceph daemon osd.0 ops`.

The hot path calls `begin` and `end` for each request and `mark` where it waits, so what is kept
meanwhile is a list of a few items; everything else is made when somebody asks. Shapes and rules:
upstream `src/common/TrackedOp.cc`, `src/osd/OpRequest.cc`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from typing import Any
from weakref import ref

from spirula.conf.config import Config
from spirula.messages.base import Message
from spirula.osd.describe import describe
from spirula.printing import Items
from spirula.types.base import UTime
from spirula.types.entity import EntityType
from spirula.types.log import LogLevel
from spirula.types.osd_stats import Pow2Hist

_OPTIONS = (
    "osd_enable_op_tracker",
    "osd_op_complaint_time",
    "osd_op_history_size",
    "osd_op_history_duration",
    "osd_op_history_slow_op_size",
    "osd_op_history_slow_op_threshold",
    "osd_op_log_threshold",
)

_Entry = list[Any]
"""Of a request under way: a weak reference to the message (or what it was, in words, once it is
done), the loop's time at which it came, its share of the throttles, then pairs of an event and its
time, one behind the other."""
_HEAD = 3


@dataclass(slots=True, frozen=True)
class _Told:
    """A request that is done, in words: it keeps no data."""

    text: str
    client: dict[str, object]


@dataclass(slots=True, order=True)
class _Done:
    """A request that is done: `took` seconds, of a message that came at `came`."""

    took: float
    seq: int
    came: float = field(compare=False)
    entry: _Entry = field(compare=False)


@dataclass(slots=True, eq=False)
class OpTracker:
    """The requests of one OSD. `now` is the loop's time, `wall` seconds since 1970."""

    config: Config
    now: Callable[[], float]
    wall: Callable[[], float]
    in_flight: dict[int, _Entry] = field(default_factory=dict)
    enabled: bool = True
    complaint_time_s: float = 30.0
    _size: int = 20
    _duration_s: float = 600.0
    _slow_size: int = 20
    _slow_threshold_s: float = 10.0
    _log_threshold: int = 5
    _longest: list[_Done] = field(default_factory=list)
    _slow: deque[_Done] = field(default_factory=deque)
    _seq: int = 0
    _complained: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._read_options()
        self.config.observe(_OPTIONS, lambda _: self._read_options())

    def _read_options(self) -> None:
        config = self.config
        self.enabled = config.get_bool("osd_enable_op_tracker")
        self.complaint_time_s = config.get_float("osd_op_complaint_time")
        self._size = config.get_int("osd_op_history_size")
        self._duration_s = config.get_int("osd_op_history_duration")
        self._slow_size = config.get_int("osd_op_history_slow_op_size")
        self._slow_threshold_s = config.get_float("osd_op_history_slow_op_threshold")
        self._log_threshold = config.get_int("osd_op_log_threshold")

    # ------------------------------------------------------------------------------ the hot path

    def begin(self, message: Message) -> None:
        """A request has come (or goes on, after it had to wait)."""
        key, in_flight = id(message), self.in_flight
        if self.enabled and key not in in_flight:
            # Requests that are dropped, for their clients send them again, just disappear.
            in_flight[key] = [
                ref(message, lambda _: _dropped(in_flight.pop(key, None))),
                self.now(),
                None,
            ]

    def keep(self, message: Message) -> None:
        """The request has come as far as it can for now.

        If it is not done, it keeps its share of the throttles until it is. To be called while the
        message is dispatched.
        """
        entry = self.in_flight.get(id(message))
        if entry is not None and entry[2] is None:
            entry[2] = message.connection.keep_ticket()

    def mark(self, message: Message, event: str) -> None:
        """Something happened to a request, such as that it waits."""
        entry = self.in_flight.get(id(message))
        if entry is not None:
            entry += (event, self.now())

    def end(self, message: Message) -> float:
        """A request is done (or dropped); how many seconds it took, 0.0 where that is not known."""
        entry = self.in_flight.pop(id(message), None)
        if entry is None:
            return 0.0
        if entry[2] is not None:
            entry[2].release()
        now = self.now()
        took: float = now - entry[1]
        longest = self._longest
        if len(longest) < self._size or (longest and took > longest[0].took):
            self._keep(message, entry, now, took)
        elif took >= self._slow_threshold_s:
            self._keep_slow(_Done(took, self._seq, entry[1], [_told(message), *entry[1:]]))
        return took

    def _keep(self, message: Message, entry: _Entry, now: float, took: float) -> None:
        entry += ("done", now)
        self._seq += 1
        entry[0] = _told(message)
        done = _Done(took, self._seq, entry[1], entry)
        if took >= self._slow_threshold_s:
            self._keep_slow(done)
        if len(self._longest) < self._size:
            heappush(self._longest, done)
        elif self._longest:
            heappushpop(self._longest, done)

    def _keep_slow(self, done: _Done) -> None:
        self._slow.append(done)
        while len(self._slow) > self._slow_size:
            self._slow.popleft()

    # ------------------------------------------------------------------------------ slow requests

    def slow(self, now: float) -> tuple[int, int]:
        """How many requests take longer than they should, and how old the oldest is in seconds."""
        if not self.in_flight:
            return 0, 0
        too_old = now - self.complaint_time_s
        found = [entry for entry in self.in_flight.values() if entry[1] < too_old]
        return len(found), int(now - min(entry[1] for entry in found)) if found else 0

    def complain(self, clog: Callable[[LogLevel, str], None]) -> None:
        """Warn of slow requests in the cluster log: each once, and again when it is twice as old.

        A few at a time; the rest is told of as a number.
        """
        now = self.now()
        if not self.in_flight:
            self._complained.clear()
            return
        due = []
        for key, entry in self.in_flight.items():
            age = now - entry[1]
            if age > self._complained.get(key, self.complaint_time_s):
                due.append((key, entry, age))
        for key, entry, age in due[: self._log_threshold]:
            self._complained[key] = age * 2
            text = _told_of(entry).text
            stamp = UTime.at(self._wall_at(entry[1]))
            clog(
                LogLevel.WARN,
                f"slow request {text} initiated {stamp} currently {_state(entry)}",
            )
        if len(due) > self._log_threshold:
            more = len(due) - self._log_threshold
            clog(LogLevel.WARN, f"{more} more slow requests are under way")
        self._complained = {
            key: age for key, age in self._complained.items() if key in self.in_flight
        }

    def age_histogram(self, histogram: Pow2Hist, now: float) -> None:
        """The ages of what is under way, in milliseconds."""
        histogram.h.clear()
        for entry in self.in_flight.values():
            histogram.add_value(int((now - entry[1]) * 1000))

    # ------------------------------------------------------------------------------------ showing

    def _wall_at(self, when: float) -> float:
        return self.wall() - (self.now() - when)

    def _shown(self, entry: _Entry, took: float) -> dict[str, object]:
        told, came = _told_of(entry), float(entry[1])
        events: list[dict[str, object]] = []
        times = [("initiated", came), *zip(entry[_HEAD::2], entry[_HEAD + 1 :: 2], strict=True)]
        for at, (event, when) in enumerate(times):
            following = times[at + 1][1] if at + 1 < len(times) else None
            span = times[-1][1] - came if following is None else following - when
            stamp = str(UTime.at(self._wall_at(when)))
            events.append({"event": event, "time": stamp, "duration": span})
        kind: dict[str, object] = {"flag_point": _state(entry)}
        if told.client:
            kind["client_info"] = told.client
        kind["events"] = Items("event", events)
        return {
            "description": told.text,
            "initiated_at": str(UTime.at(self._wall_at(came))),
            "age": self.now() - came,
            "duration": took,
            "type_data": kind,
        }

    def _show(self, name: str, entries: Iterable[tuple[_Entry, float]]) -> Items:
        return Items(name, [self._shown(entry, took) for entry, took in entries])

    def dump_in_flight(self, *, only_blocked: bool = False) -> dict[str, object]:
        """`ops`, `dump_ops_in_flight`, `dump_blocked_ops`."""
        now = self.now()
        found = [
            (entry, now - entry[1])
            for entry in self.in_flight.values()
            if not only_blocked or now - entry[1] > self.complaint_time_s
        ]
        document: dict[str, object] = {"ops": self._show("op", found)}
        if only_blocked:
            document["complaint_time"] = self.complaint_time_s
            document["num_blocked_ops"] = len(found)
        else:
            document["num_ops"] = len(found)
        return document

    def dump_historic(self, *, by_duration: bool = False) -> dict[str, object]:
        """`dump_historic_ops`, `dump_historic_ops_by_duration`."""
        oldest = self.now() - self._duration_s
        kept = [done for done in self._longest if done.came >= oldest]
        kept.sort(key=lambda done: -done.took if by_duration else done.came)
        return {
            "size": self._size,
            "duration": int(self._duration_s),
            "ops": self._show("op", [(done.entry, done.took) for done in kept]),
        }

    def dump_historic_slow(self) -> dict[str, object]:
        """`dump_historic_slow_ops`."""
        return {
            "num to keep": self._slow_size,
            "threshold to keep": int(self._slow_threshold_s),
            "Ops": self._show("Op", [(done.entry, done.took) for done in self._slow]),
        }


def _state(entry: _Entry) -> str:
    """What was last heard of a request."""
    return entry[-2] if len(entry) > _HEAD else "initiated"


def _dropped(entry: _Entry | None) -> None:
    if entry is not None and entry[2] is not None:
        entry[2].release()


def _told_of(entry: _Entry) -> _Told:
    held = entry[0]
    if isinstance(held, _Told):
        return held
    message = held()
    return _Told("(dropped)", {}) if message is None else _told(message)


def _told(message: Message) -> _Told:
    connection = message.connection
    if connection is None or connection.peer_type != EntityType.CLIENT:
        return _Told(describe(message), {})
    client: dict[str, object] = {
        "client": str(connection.peer_name),
        "client_addr": str(connection.peer_addrs.legacy_or_front),
        "tid": message.tid,
    }
    return _Told(describe(message), client)
