"""How many objects all PGs of an OSD move at the same time, and which PG is next.

A PG that has something to move waits, and starts as many objects as there is room for (`start`,
which is `recovery.run`), at most `osd_recovery_max_single_start`; each gives its room back at its
end. When its turn comes beside clients is the scheduler's. Upstream: `src/osd/OSD.cc`
(_maybe_queue_recovery, do_recovery).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.osd.scheduler import Kind
from spirula.types.pg import PGState

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from spirula.osd.pg.settings import Settings
    from spirula.osd.pg.state import PG
    from spirula.osd.scheduler import Scheduler

_FORCED = int(PGState.FORCED_RECOVERY | PGState.FORCED_BACKFILL)


@dataclass(slots=True, eq=False)
class RecoveryQueue:
    """One per OSD. `rotational`: the store is on disks that turn, which take fewer objects."""

    scheduler: Scheduler
    start: Callable[[PG, int], None]
    options: Settings
    rotational: bool = False
    active: int = 0
    """Objects on their way, of all PGs."""
    _reserved: int = 0
    """Objects that PGs may start whose turn has come."""
    _waiting: deque[PG] = field(default_factory=deque)
    _serving: bool = False
    _deferred_until: float = 0.0
    _deferred: TimerHandle | None = None

    def queue(self, pg: PG) -> None:
        """A PG has something to move, or may have; an operator's favourites come first."""
        if pg.recovery.queued or not pg.is_primary or not pg.is_peered:
            return
        pg.recovery.queued = True
        if pg.state & _FORCED:
            self._waiting.appendleft(pg)
        else:
            self._waiting.append(pg)
        self._serve()

    def defer(self, seconds: float) -> None:
        """Nothing more is begun for so long (`osd_recovery_delay_start`)."""
        self.stop()
        loop = self.scheduler.loop
        self._deferred_until = loop.time() + seconds
        if seconds > 0:
            self._deferred = loop.call_at(self._deferred_until, self._serve)
        else:
            self._serve()

    def stop(self) -> None:
        """No timer is left."""
        if self._deferred is not None:
            self._deferred.cancel()
            self._deferred = None

    def forget(self, pg: PG) -> None:
        """A PG has nothing to move any more: its interval is over."""
        if pg in self._waiting:
            self._waiting.remove(pg)
        pg.recovery.queued = False
        self.finished(pg, pg.recovery.ops_active)

    def started(self, pg: PG, objects: int = 1) -> None:
        """Objects of a PG are on their way."""
        pg.recovery.ops_active += objects
        self.active += objects

    def finished(self, pg: PG, objects: int = 1) -> None:
        """Objects have arrived, or are given up."""
        objects = min(objects, pg.recovery.ops_active)
        pg.recovery.ops_active -= objects
        self.active -= objects
        self._serve()

    @property
    def most(self) -> int:
        """How many objects may be on their way."""
        options = self.options
        if options.osd_recovery_max_active:
            return options.osd_recovery_max_active
        if self.rotational:
            return options.osd_recovery_max_active_hdd
        return options.osd_recovery_max_active_ssd

    def _serve(self) -> None:
        if self._serving:
            return  # who is served now is looked after by the loop below
        if self._deferred_until and self.scheduler.loop.time() < self._deferred_until:
            return
        self._serving = True
        try:
            while self._waiting:
                room = self.most - self.active - self._reserved
                if room <= 0:
                    break
                count = min(room, self.options.osd_recovery_max_single_start)
                self._reserved += count
                self._start(self._waiting.popleft(), count)
        finally:
            self._serving = False

    def _start(self, pg: PG, count: int) -> None:
        epoch = pg.osdmap.epoch

        def run() -> None:
            self._reserved -= count
            if not pg.has_reset_since(epoch):
                pg.recovery.queued = False
                self.start(pg, count)
            self._serve()

        total = pg.info.stats.stats.sum
        size = total.num_bytes // max(total.num_objects, 1)
        backfills = pg.state & PGState.BACKFILLING
        kind = Kind.BACKFILL if backfills else Kind.RECOVERY
        self.scheduler.ask(kind, max(size, 1) * count, run)
