"""What all placement groups of an OSD have in common, made once and given to each.

The OSD's ports, options looked up ahead, object classes, and counters. Made by `osd.osd`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.conf.perf import PerfCollection
from spirula.osd.ops.context import OPTIONS, OpSettings
from spirula.osd.perf import Moved
from spirula.osd.pg import recovery
from spirula.osd.pg.premerge import ReadyToMerge
from spirula.osd.pg.settings import Settings
from spirula.osd.pg.snap_trim import TrimTurns
from spirula.osd.recovery_queue import RecoveryQueue
from spirula.osd.reserver import Reservers
from spirula.osd.scheduler import Scheduler
from spirula.osd.scrub.state import ScrubSlots
from spirula.osd.shares import Shares

if TYPE_CHECKING:
    from spirula.classes.registry import ClassRegistry
    from spirula.messages.base import Message
    from spirula.osd.ops.context import ReadDone, SentAs
    from spirula.osd.pg.state import PG
    from spirula.osd.services import Services
    from spirula.types.hobject import HObject
    from spirula.types.osd_op import OSDOp
    from spirula.types.pg import PGId

    RemoteOp = Callable[[HObject, "list[OSDOp]", int, ReadDone, SentAs | None], Callable[[], None]]


def _ignore(*_: object) -> None:
    """Does nothing."""


def _has_room(extra_bytes: int) -> bool:
    """Nothing is known of a store that could be full."""
    return extra_bytes < 0


def _unknown(osd: int) -> tuple[float | None, float | None]:
    """No heartbeat has told yet."""
    del osd
    return None, None


@dataclass(slots=True, eq=False)
class Shared:
    """One per OSD.

    Functions are the OSD's: `requeue` has a message dispatched anew behind what is going on,
    `stats_changed` notes that a PG is to be reported, `store_failed` ends the OSD, for nothing is
    durable any more; `remote_op` see `ops.context.OpsPG`. `pg_created` tells the monitors that
    a PG of a new pool is there; `want_pg_temp` asks them to let others serve a PG meanwhile (an
    empty list: no longer). `scheduler` gives background work its turns. `mono` is the clock by
    which heartbeats compare OSDs, in seconds, and `clock_delta` what they found: bounds of another
    OSD's clock less ours, None where unknown.
    """

    services: Services
    options: Settings
    op_settings: OpSettings
    classes: ClassRegistry
    remote_op: RemoteOp
    mono: Callable[[], float]
    scheduler: Scheduler
    clock_delta: Callable[[int], tuple[float | None, float | None]] = _unknown
    stats_changed: Callable[[PG], None] = _ignore
    store_failed: Callable[[Exception], None] = _ignore
    pg_created: Callable[[PGId], None] = _ignore
    want_pg_temp: Callable[[PGId, list[int]], None] = _ignore
    forget_pg_temp: Callable[[PGId], None] = _ignore
    """A new interval: what was wanted before is not, and may be wanted again."""
    is_backfill_full: Callable[[int], bool] = _has_room
    """Whether the OSD, with so many bytes more, is too full for copies to be filled on it."""
    op_finished: Callable[[Message, int, int], None] = _ignore
    """Called with each request that was answered, bytes written and read, for counters."""
    share_map: Callable[[Message], None] = _ignore
    """Called with each message whose turn has come again: its sender may not know today's map."""
    reservers: Reservers = field(init=False)
    """Slots for recovery and backfill."""
    recoveries: RecoveryQueue = field(init=False)
    """How many objects move at the same time."""
    moved: Moved = field(default_factory=lambda: Moved(PerfCollection().create("osd")))
    ready_to_merge: ReadyToMerge = field(init=False)
    trim_turns: TrimTurns = field(default_factory=TrimTurns)
    scrubs: ScrubSlots = field(default_factory=ScrubSlots)
    shards_repaired: int = 0
    """How many bad copies of objects were replaced by good ones."""
    pg_count: int = 0
    object_contexts: int = 0
    """How many objects' states are in memory (see `objects`)."""
    _tid: int = field(default=0)
    _notify_id: int = field(default=0)

    @classmethod
    def of(cls, services: Services, classes: ClassRegistry, remote_op: RemoteOp) -> Shared:
        """With the options of the OSD's configuration, now and whenever they change."""
        config = services.config
        made = cls(
            services,
            Settings.watch(config),
            OpSettings.from_config(config),
            classes,
            remote_op,
            services.loop.time,
            Scheduler(services.loop, Shares(config)),
        )

        made.reservers = Reservers.watch(services.loop.call_soon, config)
        made.recoveries = RecoveryQueue(made.scheduler, recovery.run, made.options)
        if made.options.osd_recovery_delay_start:
            made.recoveries.defer(made.options.osd_recovery_delay_start)
        config.observe(
            ("osd_recovery_delay_start",),
            lambda _: made.recoveries.defer(made.options.osd_recovery_delay_start),
        )

        made.ready_to_merge = ReadyToMerge(services.send_mon, lambda: services.maps.current.epoch)

        def changed(names: frozenset[str]) -> None:
            for field_name, option in OPTIONS.items():
                if option in names:
                    setattr(made.op_settings, field_name, config.get(option))

        config.observe(OPTIONS.values(), changed)
        return made

    def is_recovering(self) -> bool:
        """Whether any PG of this OSD has a slot for recovery or backfill."""
        slots = self.reservers
        return slots.local.has_granted or slots.remote.has_granted

    def next_tid(self) -> int:
        """A number for a write, unique in this run of the OSD."""
        self._tid += 1
        return self._tid

    def next_notify_id(self, epoch: int) -> int:
        """A new id of a notification: the map's epoch above, a counter below."""
        self._notify_id += 1
        return epoch << 32 | self._notify_id & 0xFFFFFFFF
