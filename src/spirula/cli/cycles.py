"""When an OSD's process looks for cycles of objects that nobody uses, and gives memory back.

A write makes no cycles, and leaves some sixty objects for long (its log entry, what is cached of
the object); a connection that ends leaves a cycle. Python's own rule looks at all there is whenever
that grew by a quarter: an eighth of an OSD's CPU under writes. So only new objects are looked at
while there is work, and all of them once there is none. The C library then returns what large
reads have left free in its heaps. Used by `spirula osd`.
"""

from __future__ import annotations

import gc
import time
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable

from spirula.store.disk.idle import give_back_memory

LOOK_S = 10.0
"""Seconds from one look at the process to the next."""
IDLE_SHARE = 0.05
"""Of a core: who takes less has time."""
PATIENCE = 60
"""So many looks find it busy in a row before all is looked at all the same."""

_YOUNG_AFTER = 20_000
_NEVER = 1 << 30


class Cycles:
    """Looks for cycles in this process, from `start` to `stop`.

    `cpu_s` tells what CPU time the process has taken, `collect` looks at all objects, `give_back`
    returns free memory to the kernel.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        cpu_s: Callable[[], float] = time.process_time,
        collect: Callable[[], object] = gc.collect,
        give_back: Callable[[], object] = give_back_memory,
    ) -> None:
        self._loop = loop
        self._cpu_s = cpu_s
        self._collect = collect
        self._give_back = give_back
        self._taken_s = 0.0
        self._busy_looks = 0
        self._timer: TimerHandle | None = None

    def start(self) -> None:
        """Take Python's rule off; what is there by now is never looked at."""
        gc.freeze()
        gc.set_threshold(_YOUNG_AFTER, _NEVER, _NEVER)
        self._taken_s = self._cpu_s()
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        taken_s = self._cpu_s()
        busy = taken_s - self._taken_s > IDLE_SHARE * LOOK_S
        has_become_idle = self._busy_looks and not busy
        self._busy_looks = self._busy_looks + 1 if busy else 0
        # The second number: how often new objects were looked at since all of them were.
        if gc.get_count()[1] and (not busy or self._busy_looks >= PATIENCE):
            self._busy_looks = 0
            self._collect()
        if has_become_idle:
            self._give_back()
        self._taken_s = self._cpu_s()
        self._timer = self._loop.call_later(LOOK_S, self._look)
