"""The record of one placement group on one OSD, and what is asked of it everywhere.

No logic beyond looking at itself: requests are in `pipeline`, agreement with other OSDs in
`peering`, what is written in `replicated` and `meta`. Made by `create`. Nouns: upstream
`src/osd/PG.h`, `PeeringState.h`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.denc.features import PACIFIC
from spirula.errors import InvariantBroken, SpirulaError
from spirula.osd.pg import admission, availability, pipeline, recovery
from spirula.osd.pg.backfill import Backfill
from spirula.osd.pg.snap_trim import SnapTrimmer
from spirula.osd.scrub import machine as scrubs
from spirula.osd.scrub.state import Scrubber
from spirula.types.base import EVersion
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import Coll, PGShard, PGState, SPGId
from spirula.types.pg_info import PGInfo
from spirula.types.pg_log import PGMissing
from spirula.types.pg_stats import ObjectStatSum
from spirula.types.snap import SnapContext

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from spirula.classes.registry import ClassRegistry
    from spirula.maps.osdmap import OSDMap
    from spirula.messages.base import Message
    from spirula.osd.ops.context import ObjectContext, OpContext, OpSettings, ReadDone, SentAs
    from spirula.osd.pg.backend import Backend
    from spirula.osd.pg.backoff import Backoff
    from spirula.osd.pg.log import Log
    from spirula.osd.pg.meta import Meta
    from spirula.osd.pg.objects import ObjectContexts
    from spirula.osd.pg.peering.state import Peering
    from spirula.osd.pg.recovery import Recovery
    from spirula.osd.pg.repop import RepGather
    from spirula.osd.pg.settings import Settings
    from spirula.osd.pg.shared import Shared
    from spirula.osd.pg.waiting import Waiting
    from spirula.osd.scrub.findings import Findings
    from spirula.osd.services import Services
    from spirula.store.keyvalue import Done
    from spirula.store.objectstore import ObjectStore
    from spirula.types.entity import EntityAddr
    from spirula.types.hobject import GHObject, HObject
    from spirula.types.osd_op import OSDOp
    from spirula.types.pg_log import PGLogEntry
    from spirula.types.pg_stats import PGStat
    from spirula.types.pool import PGPool
    from spirula.types.transaction import Transaction


_ACTIVE = int(PGState.ACTIVE)
_READY = int(PGState.ACTIVE | PGState.PEERED)


@dataclass(slots=True, eq=False, repr=False)
class PG:
    """One placement group (a shard of it in erasure-coded pools) as this OSD has it.

    `osdmap` and `pool` are those of the newest map that the PG has taken in. `up` and `acting`
    are OSDs by place, `role` this OSD's place among the acting ones (-1: none). `state` holds bits
    of PGState. `last_peering_reset` is the epoch since which nothing but this interval counts:
    messages and callbacks of earlier ones are stale. `info` and `log` are what this OSD has;
    `missing` the objects of the log that it lacks. `shared` is what all PGs of the OSD have,
    with `options`, `settings` (those of operations) and `classes`; `services` what it lends. The
    methods at the end are for operations (`ops.context.OpsPG`).
    """

    shared: Shared
    services: Services
    options: Settings
    settings: OpSettings
    classes: ClassRegistry
    store: ObjectStore
    pgid: SPGId
    coll: Coll
    pgmeta: GHObject
    whoami: PGShard
    osdmap: OSDMap
    pool: PGPool
    info: PGInfo
    log: Log
    meta: Meta
    objects: ObjectContexts
    waiting: Waiting
    peering: Peering
    recovery: Recovery
    past_intervals: PastIntervals = field(default_factory=PastIntervals)
    missing: PGMissing = field(default_factory=PGMissing)
    backend: Backend = field(init=False)
    dispatch: Callable[[Message], None] = field(init=False)
    """Takes a message that came for this PG (`dispatch.dispatch`)."""
    post: Callable[..., None] = field(init=False)
    """Tells the states of peering what has come to pass: an event, its value (`machine.post`)."""
    pool_snapc: SnapContext = field(default_factory=SnapContext)

    up: list[int] = field(default_factory=list)
    acting: list[int] = field(default_factory=list)
    up_primary: int = -1
    acting_primary: int = -1
    primary: PGShard = field(default_factory=PGShard)
    role: int = -1
    is_primary: bool = False
    state: int = 0
    last_peering_reset: int = 0
    acting_features: int = PACIFIC
    deleted: bool = False
    bits: int = 0
    """How many low bits of a hash tell that an object is of this PG."""
    held_back: list[tuple[int, Message]] | None = None
    """Messages of peering that wait until all that was written before is on disk (see `Work`)."""
    split_in: int = 0
    """The epoch in which this PG was split off: upstream's have it speak by the next map only."""
    backoffs: list[Backoff] = field(default_factory=list)

    # --- what is under way ---
    projected_last_update: EVersion = field(default_factory=EVersion)
    """The newest version given out; `info.last_update` once submitted."""
    last_update_ondisk: EVersion = field(default_factory=EVersion)
    last_complete_ondisk: EVersion = field(default_factory=EVersion)
    min_last_complete_ondisk: EVersion = field(default_factory=EVersion)
    """What every OSD of the acting set has on disk: how far the log may be trimmed."""
    peer_last_complete_ondisk: dict[PGShard, EVersion] = field(default_factory=dict)
    trim_to: EVersion = field(default_factory=EVersion)
    repops: deque[RepGather] = field(default_factory=deque)
    """Writes that are not committed everywhere, oldest first."""
    acting_recovery_backfill: list[PGShard] = field(default_factory=list)
    """Who gets every write: the acting set, and who is brought up to date beside it."""
    replicas: list[PGShard] = field(default_factory=list)
    """`acting_recovery_backfill` without this OSD."""

    backfill: Backfill = field(default_factory=Backfill)
    trimmer: SnapTrimmer = field(default_factory=SnapTrimmer)
    scrubber: Scrubber = field(default_factory=Scrubber)

    # --- statistics ---
    unstable_stats: ObjectStatSum = field(default_factory=ObjectStatSum)
    """Reads since the statistics were reported last; they are not stored."""
    stats_changed: bool = False
    published: PGStat | None = None

    # --- leases: seconds of this OSD's monotonic clock ---
    readable_until: float = 0.0
    readable_until_ub: float = 0.0
    readable_until_ub_sent: float = 0.0
    readable_until_ub_from_primary: float = 0.0
    prior_readable_until_ub: float = 0.0
    acting_readable_until_ub: dict[int, float] = field(default_factory=dict)
    lease_timer: TimerHandle | None = None
    readable_timer: TimerHandle | None = None

    def __str__(self) -> str:
        return f"pg {self.pgid}"

    __repr__ = __str__

    @property
    def epoch(self) -> int:
        """The epoch of the newest map that the PG has taken in."""
        return self.osdmap.epoch

    def is_active(self) -> bool:
        """Requests may be carried out."""
        return bool(self.state & _ACTIVE)

    @property
    def is_peered(self) -> bool:
        """The members agree; too few of them for requests unless it is active as well."""
        return bool(self.state & _READY)

    @property
    def is_nonprimary(self) -> bool:
        """This OSD serves the PG, but not as its primary."""
        return self.role >= 0 and not self.is_primary

    def has_reset_since(self, epoch: int) -> bool:
        """True when what began in `epoch` is of an interval that is over."""
        return self.deleted or epoch < self.last_peering_reset

    def next_version(self) -> EVersion:
        """The version of the next change; the map's epoch is part of it."""
        return EVersion(self.projected_last_update.version + 1, self.osdmap.epoch)

    def set_state(self, *, on: int = 0, off: int = 0) -> None:
        """Sets and clears bits; PGs are reported when one changed."""
        state = (self.state | int(on)) & ~int(off)  # enumerations are slow to look at
        if state != self.state:
            self.state = state
            self.stats_changed = True

    def queue(self, transactions: Sequence[Transaction], on_commit: Done) -> None:
        """Has the store carry out what the PG's memory knows as done already.

        So an error ends the OSD: started again, it knows what its store knows.
        """
        try:
            self.store.queue_transactions(self.coll, transactions, on_commit=on_commit)
        except SpirulaError as error:
            self.shared.store_failed(error)
            raise InvariantBroken(f"{self} has what its store did not take: {error}") from error

    def on_store_result(self, error: Exception | None) -> None:
        """What nobody waits for is on disk, or never will be: then the OSD ends."""
        if error is not None:
            self.shared.store_failed(error)

    def requeue(self, messages: Iterable[Message]) -> None:
        """Has messages that waited go through `dispatch` again, in their order."""
        for message in messages:
            self.shared.share_map(message)
            self.dispatch(message)

    # --- for operations ---

    def find_object_context(self, hoid: HObject, *, can_create: bool) -> ObjectContext:
        """See `objects.ObjectContexts.find`."""
        return self.objects.find(hoid, can_create=can_create)

    def get_object_context(
        self, hoid: HObject, *, can_create: bool, attrs: dict[str, bytes] | None = None
    ) -> ObjectContext | None:
        """See `objects.ObjectContexts.get`."""
        return self.objects.get(hoid, can_create=can_create, attrs=attrs)

    def log_entries_of(self, hoid: HObject) -> Iterator[PGLogEntry]:
        """The log's entries about exactly this object, newest first."""
        if hoid not in self.log.objects:
            return iter(())
        return (entry for entry in reversed(self.log.entries) if entry.soid == hoid)

    def wait_writable(self, hoid: HObject, resume: Callable[[], None]) -> bool:
        """Whether the object can be written now; else `resume` is called when it can."""
        if not availability.is_anywhere_degraded(self, hoid):
            if not scrubs.blocks_write(self, hoid):
                return True
            self.scrubber.callbacks.append(resume)
            return False
        self.waiting.until_writable.setdefault(hoid, []).append(resume)
        recovery.kick(self, hoid)
        return False

    @property
    def scrub_findings(self) -> Findings | None:
        """What the last scrub of this interval found, None if there was none."""
        return self.scrubber.findings

    def simple_submit(self, ctx: OpContext, then: Callable[[], None] | None = None) -> None:
        """Writes what an OpContext of the OSD's own holds; `then` follows when that is on disk."""
        pipeline.simple_submit(self, ctx, then)

    def unlock(self, obc: ObjectContext) -> None:
        """Gives an object's lock back."""
        pipeline.unlock(self, obc)

    def is_blocklisted(self, addr: EntityAddr) -> bool:
        """Whether the map keeps clients of this address out."""
        return admission.is_blocklisted(self.osdmap, addr)

    def next_notify_id(self) -> int:
        """A new id of a notification."""
        return self.shared.next_notify_id(self.osdmap.epoch)

    def remote_op(
        self,
        target: HObject,
        ops: list[OSDOp],
        flags: int,
        done: ReadDone,
        sent_as: SentAs | None = None,
    ) -> Callable[[], None]:
        """Asks the OSD that has `target`, as a client of the cluster; returns what cancels it."""
        return self.shared.remote_op(target, ops, flags, done, sent_as)
