"""What a PG knows of its scrubs: what is planned, what is under way, what was found.

Part of the PG's record; changed by the modules beside it. Nouns: upstream `src/osd/pg_scrubber.h`,
`scrubber_common.h`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from spirula.types.hobject import HMIN, HObject
from spirula.types.pg_stats import ObjectStatSum

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from collections.abc import Callable

    from spirula.osd.ops.context import StatDelta
    from spirula.osd.scrub.build import MapBuilder
    from spirula.osd.scrub.compare import Compared
    from spirula.osd.scrub.findings import Findings
    from spirula.types.base import UTime
    from spirula.types.pg import PGShard
    from spirula.types.scrub import ScrubMap, ScrubObject


class Phase(StrEnum):
    """Where a scrub stands, by the names of upstream's states."""

    RESERVING = "ReservingReplicas"
    PENDING = "PendingTimer"
    RANGE_BLOCKED = "RangeBlocked"
    WAIT_PUSHES = "WaitPushes"
    BUILD_MAP = "BuildMap"
    DRAIN_MAPS = "DrainReplMaps"
    WAIT_REPLICAS = "WaitReplicas"
    WAIT_DIGEST_UPDATE = "WaitDigestUpdate"


@dataclass(slots=True)
class Planned:
    """What the next scrub is to be (upstream requested_scrub_t).

    `must_*` and `req_scrub` were asked for by the administrator; `need_auto` follows on a scrub
    that found something that may be repaired; `check_repair` sees whether a repair has helped.
    """

    must_scrub: bool = False
    must_deep_scrub: bool = False
    must_repair: bool = False
    req_scrub: bool = False
    need_auto: bool = False
    time_for_deep: bool = False
    deep_scrub_on_error: bool = False
    auto_repair: bool = False
    check_repair: bool = False


@dataclass(slots=True)
class Preemption:
    """Whether writes may push a chunk aside; each time the next ones are half as large."""

    left: int
    preemptable: bool = False
    preempted: bool = False
    divisor: int = 1

    def adjust(self) -> None:
        """A chunk begins."""
        if self.preempted:
            self.preempted = False
            if self.left > 0:
                self.left -= 1
                self.divisor *= 2
        self.preemptable = self.left > 0


@dataclass(slots=True)
class OmapStats:
    """What a deep scrub counts of omaps."""

    large_objects: int = 0
    omap_bytes: int = 0
    omap_keys: int = 0


@dataclass(slots=True, eq=False)
class Run:
    """A scrub that this primary leads, from its reservations to its end.

    `start` and `end` bound the chunk in hand. `awaited` are replicas that owe their map of it,
    `maps` those that came. `leftover` are clones whose head comes with the next chunk.
    """

    deep: bool
    repair: bool
    required: bool
    auto_repair: bool
    check_repair: bool
    deep_scrub_on_error: bool
    priority: int
    preemption: Preemption
    compared: Compared
    phase: Phase = Phase.RESERVING
    epoch: int = 0
    has_slot: bool = False
    must_deep: bool = False
    job: Job | None = None
    """When it was due."""
    start: HObject = HMIN
    end: HObject = HMIN
    timer: TimerHandle | None = None
    builder: MapBuilder | None = None
    local: ScrubMap | None = None
    awaited: set[PGShard] = field(default_factory=set)
    maps: dict[PGShard, ScrubMap] = field(default_factory=dict)
    leftover: dict[HObject, ScrubObject] = field(default_factory=dict)
    digests_pending: int = 0
    fixed: int = 0
    repairing: bool = False
    """Recovery is to bring good copies."""
    rescrub: bool = False
    """A deep scrub that repairs is to follow."""
    counted: ObjectStatSum = field(default_factory=ObjectStatSum)
    omap_stats: OmapStats = field(default_factory=OmapStats)

    # reservations
    asked: set[PGShard] = field(default_factory=set)
    reserved: set[PGShard] = field(default_factory=set)

    @property
    def mode(self) -> str:
        """How the cluster log calls it."""
        if self.repair:
            return "repair"
        return "deep-scrub" if self.deep else "scrub"

    @property
    def is_active(self) -> bool:
        """Everybody has agreed to it."""
        return self.phase is not Phase.RESERVING

    def note_delta(self, soid: HObject, delta: StatDelta) -> None:
        """A write changed an object that was counted already."""
        if self.is_active and soid < self.start:
            delta.add_to(self.counted)


@dataclass(slots=True, eq=False)
class ReplicaChunk:
    """A chunk that this replica looks at for its primary."""

    builder: MapBuilder
    start: HObject
    end: HObject
    preemptable: bool
    min_epoch: int
    preempted: bool = False


@dataclass(slots=True)
class Job:
    """When a PG is to be scrubbed, and by when it must be, whatever the load (None: never)."""

    at: UTime
    deadline: UTime | None
    forced: bool = False


@dataclass(slots=True, eq=False)
class Scrubber:
    """A PG's scrubs.

    `range` is what is looked at now, so that writes there ask `machine.blocks_write` first; it is
    None nearly always. `reserved_at` is the epoch in which this OSD let a primary scrub (0: it has
    not). `owed` are maps of scrubs that were broken off: no new one begins before they came.
    """

    planned: Planned = field(default_factory=Planned)
    run: Run | None = None
    replica: ReplicaChunk | None = None
    range: tuple[HObject, HObject] | None = None
    reserved_at: int = 0
    owed: dict[PGShard, int] = field(default_factory=dict)
    job: Job | None = None
    findings: Findings | None = None
    scrub_after_recovery: bool = False
    rotten: set[HObject] = field(default_factory=set)
    """Objects that no OSD of the PG can read."""
    callbacks: list[Callable[[], None]] = field(default_factory=list)
    """What waits for the chunk's end beside requests."""


@dataclass(slots=True)
class ScrubSlots:
    """How many scrubs an OSD takes part in (upstream scrubs_local, scrubs_remote)."""

    local: int = 0
    remote: int = 0

    def is_free(self, most: int) -> bool:
        """Whether one more may begin; `most` is osd_max_scrubs."""
        return self.local + self.remote < most
