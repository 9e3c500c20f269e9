"""Performance counters of a manager: what peers may have in memory with it, and its modules.

The sections `throttle-mgr_KIND_...` and `finisher-MODULE` of `perf dump`; names and meanings are
those of upstream `src/common/Throttle.cc`, `src/common/Finisher.cc`. Made by `daemon` and by the
host of modules.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spirula.conf.perf import U64, PerfCollection, PerfCounters, TimeAvg
from spirula.msgr.protocol.throttle import Throttle


@dataclass(slots=True)
class CountingThrottle(Throttle):
    """A throttle that counts what goes through it, in `counters`."""

    counters: PerfCounters = field(default_factory=lambda: PerfCounters(""))
    _held: U64 = field(init=False)
    _taken: tuple[U64, U64] = field(init=False)
    _put: tuple[U64, U64] = field(init=False)

    def __post_init__(self) -> None:
        add = self.counters.u64_counter
        self._held = self.counters.u64("val", "what is held now")
        self.counters.u64("max", "what may be held at most; 0 is no limit").value = self.limit
        self._taken = add("get", "how often something was taken"), add("get_sum", "what was taken")
        self._put = add("put", "how often something was given back"), add("put_sum", "what was")

    def take(self, count: int) -> None:
        """Takes `count`; ask `has_room` first."""
        Throttle.take(self, count)
        self._held.value = self.current
        for counter, amount in zip(self._taken, (1, count), strict=True):
            counter.value += amount

    def put(self, count: int) -> None:
        """Gives `count` back."""
        Throttle.put(self, count)
        self._held.value = self.current
        for counter, amount in zip(self._put, (1, count), strict=True):
            counter.value += amount


def counting_throttle(perf: PerfCollection, name: str, limit: int) -> Throttle:
    """A throttle whose section is `throttle-NAME`."""
    return CountingThrottle(limit, counters=perf.create(f"throttle-{name}"))


class CallsOfModule:
    """What the manager has asked a module for and told it: how many wait, how long each took."""

    def __init__(self, perf: PerfCollection, module: str) -> None:
        counters = perf.create(f"finisher-{module}")
        self.waiting: U64 = counters.u64("queue_len", "calls that wait or are under way")
        self.took: TimeAvg = counters.time_avg("complete_latency", "from a call to its end")
