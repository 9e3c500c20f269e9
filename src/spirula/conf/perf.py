"""Performance counters: counts, gauges, averages, times and two-dimensional histograms.

Pure and cheap: whoever counts keeps the counter object and adds to it (`sent.value += n` or
`sent.inc(n)`), nobody looks names up. `PerfCollection` prints them all as `perf dump`,
`perf schema` and the histogram ones do (upstream src/common/perf_counters.cc and
perf_histogram.cc).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TypeVar

from spirula.errors import InvariantBroken
from spirula.printing import Items, Unquoted

_U64 = (1 << 64) - 1


class CounterType(IntFlag):
    """The `type` in a schema, bits of the wire format of daemon reports."""

    NONE = 0
    TIME = 1
    U64 = 2
    LONGRUNAVG = 4
    COUNTER = 8
    HISTOGRAM = 16


class Priority(IntEnum):
    """How interesting a counter is; the manager asks daemons for those at or above a bound."""

    DEBUGONLY = 0
    UNINTERESTING = 2
    USEFUL = 5
    INTERESTING = 8
    CRITICAL = 10


class Unit(IntEnum):
    """What is counted."""

    BYTES = 0
    NONE = 1


@dataclass(slots=True)
class Counter:
    """What every counter has: its name and how it describes itself. `nick` has four letters at
    most.
    """

    name: str
    type: CounterType
    description: str = ""
    nick: str = ""
    priority: int = 0
    unit: Unit = Unit.NONE

    def __post_init__(self) -> None:
        if len(self.nick) > 4:
            raise InvariantBroken(f"counter {self.name}: nick {self.nick!r} is too long")

    def dump(self) -> object:
        """The value as `perf dump` shows it."""
        raise InvariantBroken(f"counter {self.name} has no value")

    def reset(self) -> None:
        """Back to zero; gauges keep their value."""

    def schema(self, adjust: int = 0) -> dict[str, object]:
        """The description as `perf schema` shows it; `adjust` is added to the priority."""
        kind = self.type
        number = "real" if kind & CounterType.TIME else "integer"
        if kind & CounterType.LONGRUNAVG:
            value_type = f"{number}-integer-pair"
        elif kind & CounterType.HISTOGRAM:
            value_type = f"{number}-2d-histogram"
        else:
            value_type = number
        return {
            "type": int(kind),
            "metric_type": "counter" if kind & CounterType.COUNTER else "gauge",
            "value_type": value_type,
            "description": self.description,
            "nick": self.nick,
            "priority": max(min(self.priority + adjust, int(Priority.CRITICAL)), 0),
            "units": "bytes" if self.unit is Unit.BYTES else "none",
        }


def _seconds(nanoseconds: int) -> Unquoted:
    return Unquoted(f"{nanoseconds // 1_000_000_000}.{nanoseconds % 1_000_000_000:09d}")


@dataclass(slots=True)
class U64(Counter):
    """A count (type U64|COUNTER) or a gauge (U64). `value` may be changed directly; 64 bits of it
    are shown.
    """

    value: int = 0

    def inc(self, amount: int = 1) -> None:
        self.value += amount

    def dec(self, amount: int = 1) -> None:
        self.value -= amount

    def dump(self) -> int:
        return self.value & _U64

    def reset(self) -> None:
        if self.type != CounterType.U64:
            self.value = 0


@dataclass(slots=True)
class U64Avg(Counter):
    """A running average: how many amounts, and their sum."""

    count: int = 0
    sum: int = 0

    def inc(self, amount: int) -> None:
        self.count += 1
        self.sum += amount

    def dump(self) -> dict[str, int]:
        return {"avgcount": self.count & _U64, "sum": self.sum & _U64}

    def reset(self) -> None:
        self.count = self.sum = 0


@dataclass(slots=True)
class Time(Counter):
    """A total of time, kept in nanoseconds."""

    nanoseconds: int = 0

    def inc(self, seconds: float) -> None:
        self.nanoseconds += int(seconds * 1e9)

    def dump(self) -> Unquoted:
        return _seconds(self.nanoseconds)

    def reset(self) -> None:
        self.nanoseconds = 0


@dataclass(slots=True)
class TimeAvg(Counter):
    """A running average of times: how many, and their sum in nanoseconds."""

    count: int = 0
    nanoseconds: int = 0

    def inc(self, seconds: float) -> None:
        self.count += 1
        self.nanoseconds += int(seconds * 1e9)

    def dump(self) -> dict[str, object]:
        average = self.nanoseconds // self.count if self.count else 0
        return {
            "avgcount": self.count & _U64,
            "sum": _seconds(self.nanoseconds),
            "avgtime": _seconds(average),
        }

    def reset(self) -> None:
        self.count = self.nanoseconds = 0


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a histogram: bucket 0 is below `minimum`, the last one has no upper end.

    `log2` doubles the width of each bucket, else all are `quant_size` wide.
    """

    name: str
    minimum: int
    quant_size: int
    buckets: int
    log2: bool = False

    def __post_init__(self) -> None:
        if self.buckets <= 0 or self.quant_size <= 0:
            raise InvariantBroken(f"axis {self.name}: needs buckets and a positive quantum")

    def bucket(self, value: int) -> int:
        """The bucket that `value` falls into."""
        if value < self.minimum:
            return 0
        quanta = (value - self.minimum) // self.quant_size
        # Bucket i of a log2 axis holds quanta below 2^(i-1): 0, 1, 2-3, 4-7 ...
        index = quanta.bit_length() + 1 if self.log2 else quanta + 1
        return min(index, self.buckets - 1)

    def ranges(self) -> list[dict[str, int]]:
        """The inclusive bounds of each bucket, without those that are infinite."""
        out: list[dict[str, int]] = []
        low = self.minimum
        for index in range(self.buckets):
            bounds: dict[str, int] = {}
            if index == 0:
                high = self.minimum
            else:
                bounds["min"] = low
                quanta = 1 << (index - 1) if self.log2 else index
                high = self.minimum + quanta * self.quant_size
            if index < self.buckets - 1:
                bounds["max"] = high - 1
                low = high
            out.append(bounds)
        return out

    def dump(self) -> dict[str, object]:
        """The axis as `perf histogram dump` shows it."""
        return {
            "name": self.name,
            "min": self.minimum,
            "quant_size": self.quant_size,
            "buckets": self.buckets,
            "scale_type": "log2" if self.log2 else "linear",
            "ranges": Items("bucket", self.ranges()),
        }


class Histogram(Counter):
    """Counts over two axes: `inc(x, y)` adds one to the bucket of both values."""

    __slots__ = ("axes", "cells")

    def __init__(
        self,
        name: str,
        x: Axis,
        y: Axis,
        description: str = "",
        nick: str = "",
        priority: int = 0,
        unit: Unit = Unit.NONE,
    ) -> None:
        kind = CounterType.HISTOGRAM | CounterType.COUNTER | CounterType.U64
        super().__init__(name, kind, description, nick, priority, unit)
        self.axes = (x, y)
        self.cells = [0] * (x.buckets * y.buckets)

    def inc(self, x: int, y: int) -> None:
        first, second = self.axes
        self.cells[first.bucket(x) * second.buckets + second.bucket(y)] += 1

    def reset(self) -> None:
        self.cells = [0] * len(self.cells)

    def dump(self) -> dict[str, object]:
        width = self.axes[1].buckets
        rows = [
            Items("value", self.cells[start : start + width])
            for start in range(0, len(self.cells), width)
        ]
        return {
            "axes": Items("axis", [axis.dump() for axis in self.axes]),
            "values": Items("values", rows),
        }


_C = TypeVar("_C", bound=Counter)


class PerfCounters:
    """The counters of one part of a daemon, in the order in which they were added."""

    def __init__(self, name: str, *, priority_adjust: int = 0) -> None:
        self.name = name
        self.priority_adjust = priority_adjust
        self.counters: dict[str, Counter] = {}

    def _add(self, counter: _C) -> _C:
        if counter.name in self.counters:
            raise InvariantBroken(f"counter {self.name}.{counter.name} exists")
        self.counters[counter.name] = counter
        return counter

    def u64_counter(
        self,
        name: str,
        description: str = "",
        nick: str = "",
        priority: int = 0,
        unit: Unit = Unit.NONE,
    ) -> U64:
        """Adds a count that only grows."""
        kind = CounterType.U64 | CounterType.COUNTER
        return self._add(U64(name, kind, description, nick, priority, unit))

    def u64(
        self,
        name: str,
        description: str = "",
        nick: str = "",
        priority: int = 0,
        unit: Unit = Unit.NONE,
    ) -> U64:
        """Adds a gauge."""
        return self._add(U64(name, CounterType.U64, description, nick, priority, unit))

    def u64_avg(
        self,
        name: str,
        description: str = "",
        nick: str = "",
        priority: int = 0,
        unit: Unit = Unit.NONE,
    ) -> U64Avg:
        """Adds an average of amounts."""
        kind = CounterType.U64 | CounterType.LONGRUNAVG
        return self._add(U64Avg(name, kind, description, nick, priority, unit))

    def time(self, name: str, description: str = "", nick: str = "", priority: int = 0) -> Time:
        """Adds a total of time."""
        return self._add(Time(name, CounterType.TIME, description, nick, priority))

    def time_avg(
        self, name: str, description: str = "", nick: str = "", priority: int = 0
    ) -> TimeAvg:
        """Adds an average of times."""
        kind = CounterType.TIME | CounterType.LONGRUNAVG
        return self._add(TimeAvg(name, kind, description, nick, priority))

    def histogram(
        self,
        name: str,
        x: Axis,
        y: Axis,
        description: str = "",
        nick: str = "",
        priority: int = 0,
        unit: Unit = Unit.NONE,
    ) -> Histogram:
        """Adds a histogram."""
        return self._add(Histogram(name, x, y, description, nick, priority, unit))

    def reset(self) -> None:
        """Everything but gauges back to zero."""
        for counter in self.counters.values():
            counter.reset()

    def dump(
        self, *, counter: str = "", schema: bool = False, histograms: bool = False
    ) -> dict[str, object]:
        """Values or schema of either the histograms or all others; of one counter if named."""
        return {
            one.name: one.schema(self.priority_adjust) if schema else one.dump()
            for one in self.counters.values()
            if isinstance(one, Histogram) == histograms and counter in ("", one.name)
        }


class PerfCollection:
    """All counters of a process."""

    def __init__(self) -> None:
        self._loggers: dict[str, PerfCounters] = {}

    def create(self, name: str, *, priority_adjust: int = 0) -> PerfCounters:
        """New counters called `name`, and already added."""
        counters = PerfCounters(name, priority_adjust=priority_adjust)
        self.add(counters)
        return counters

    def add(self, counters: PerfCounters) -> None:
        """Adds counters; a name that is taken gets a number."""
        name, number = counters.name, 1
        while counters.name in self._loggers:
            number += 1
            counters.name = f"{name}-{number}"
        self._loggers[counters.name] = counters

    def remove(self, counters: PerfCounters) -> None:
        """Takes counters out again."""
        if self._loggers.get(counters.name) is counters:
            del self._loggers[counters.name]

    def sorted(self) -> list[PerfCounters]:
        """All counters by name."""
        return [self._loggers[name] for name in sorted(self._loggers)]

    def dump(
        self,
        *,
        logger: str = "",
        counter: str = "",
        schema: bool = False,
        histograms: bool = False,
    ) -> dict[str, object]:
        """`perf dump`, `perf schema` and the histogram ones; of one logger or counter if named."""
        return {
            one.name: one.dump(counter=counter, schema=schema, histograms=histograms)
            for one in self.sorted()
            if logger in ("", one.name)
        }

    def reset(self, name: str) -> bool:
        """Resets the counters called `name`, or `all`; False if there are none."""
        if name == "all":
            for counters in self._loggers.values():
                counters.reset()
            return True
        found = self._loggers.get(name)
        if found is None:
            return False
        found.reset()
        return True
