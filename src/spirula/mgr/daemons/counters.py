"""Perf counters as daemons report them: declared once in a session, then values in order of paths.

A few of the newest values of each counter are kept. Format: upstream `src/mgr/DaemonState.cc`
(DaemonPerfCounters::update).
"""

from __future__ import annotations

import struct
from bisect import insort
from collections import deque
from dataclasses import dataclass, field

from spirula.errors import Truncated
from spirula.messages.mgr import MMgrReport
from spirula.types.service import PerfCounterKind, PerfCounterType

KEPT_VALUES = 20
_HEADER_SIZE = 6
_ONE = struct.Struct("<Q")
_THREE = struct.Struct("<QQQ")


@dataclass(slots=True, eq=False)
class Counters:
    """The counters of one daemon.

    `values` holds, by path, pairs (time, value), averages as (time, sum, count), oldest first.
    """

    types: dict[str, PerfCounterType] = field(default_factory=dict)
    values: dict[str, deque[tuple[float, ...]]] = field(default_factory=dict)
    _order: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """A new session: what it has is declared anew."""
        self.types.clear()
        self.values.clear()
        self._order.clear()

    def update(self, report: MMgrReport, now: float) -> None:
        """Takes a report in; Truncated when it has fewer values than were declared."""
        for declared in report.declare_types:
            if declared.path not in self.types:
                insort(self._order, declared.path)
            self.types[declared.path] = declared
            self.values.setdefault(declared.path, deque(maxlen=KEPT_VALUES))
        for path in report.undeclare_types:
            if self.types.pop(path, None) is not None:
                self._order.remove(path)
                del self.values[path]
        packed, position = bytes(report.packed), _HEADER_SIZE
        for path in self._order:
            average = self.types[path].type & PerfCounterKind.LONGRUNAVG
            shape = _THREE if average else _ONE
            if position + shape.size > len(packed):
                raise Truncated("fewer values than counters", offset=position, limit=len(packed))
            read = shape.unpack_from(packed, position)
            position += shape.size
            self.values[path].append((now, *read[:2]) if average else (now, read[0]))

    def latest(self, path: str) -> int:
        """The newest value, of an average its sum; 0 where there is none."""
        values = self.values.get(path)
        return int(values[-1][1]) if values else 0
