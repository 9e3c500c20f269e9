"""What the OSDs of a PG tell one another while peering: info, history, notify, query, leases.

Formats: upstream `src/osd/osd_types.h`, `osd_types.cc`. The log is in `pg_log`, statistics in
`pg_stats`.
"""

from __future__ import annotations

from enum import IntEnum

from spirula.denc import Struct, boolean, default, removed, s8, s32, s64, since, struct, u32, u64
from spirula.types.base import EVersion, UTime
from spirula.types.hit_set import PGHitSetHistory
from spirula.types.hobject import HMAX, NO_SHARD, HObject
from spirula.types.interval_set import IntervalSet
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import PGId, SPGId
from spirula.types.pg_stats import PGStat
from spirula.types.wrappers import Timespan


@struct(name="pg_history_t", version=10, compat=4, legacy=(4, 4))
class PGHistory(Struct):
    """What the maps and earlier primaries tell of a PG; numbers are epochs.

    `last_epoch_started`, `last_epoch_clean` are lower bounds; `prior_readable_until_ub` is how
    long, from now, an OSD of an earlier interval may still answer reads.
    """

    epoch_created: u32
    last_epoch_started: u32
    last_epoch_clean: u32 = since(3)
    last_epoch_split: u32
    same_interval_since: u32
    same_up_since: u32
    same_primary_since: u32
    last_scrub: EVersion = since(2)
    last_scrub_stamp: UTime = since(2)
    last_deep_scrub: EVersion = since(5)
    last_deep_scrub_stamp: UTime = since(5)
    last_clean_scrub_stamp: UTime = since(6)
    last_epoch_marked_full: u32 = since(7)
    last_interval_started: u32 = since(8)
    last_interval_clean: u32 = since(8)
    epoch_pool_created: u32 = since(9)
    prior_readable_until_ub: Timespan = since(10)

    @classmethod
    def created(cls, epoch: int, stamp: UTime) -> PGHistory:
        """The history of a PG that came to be in `epoch`."""
        return cls(
            epoch_created=epoch,
            epoch_pool_created=epoch,
            same_up_since=epoch,
            same_interval_since=epoch,
            same_primary_since=epoch,
            last_scrub_stamp=stamp,
            last_deep_scrub_stamp=stamp,
            last_clean_scrub_stamp=stamp,
        )

    def merge(self, other: PGHistory) -> bool:
        """Takes over what `other` knows better; True when that was anything."""
        changed = False
        if self.last_interval_started < other.last_interval_started or (
            self.last_interval_started == other.last_interval_started
            and float(other.prior_readable_until_ub) < float(self.prior_readable_until_ub)
        ):
            self.prior_readable_until_ub = other.prior_readable_until_ub
            changed = True
        for name in _GROWING:
            theirs = getattr(other, name)
            if getattr(self, name) < theirs:
                setattr(self, name, theirs)
                changed = True
        return changed


_GROWING = [
    "epoch_created",
    "epoch_pool_created",
    "last_epoch_started",
    "last_interval_started",
    "last_epoch_clean",
    "last_interval_clean",
    "last_epoch_split",
    "last_epoch_marked_full",
    "last_scrub",
    "last_scrub_stamp",
    "last_deep_scrub",
    "last_deep_scrub_stamp",
    "last_clean_scrub_stamp",
]


@struct(name="pg_info_t", version=32, compat=26)
class PGInfo(Struct):
    """How far one OSD's copy of a PG is.

    `last_update` is the newest version applied; all up to `last_complete` is there; objects up to
    `last_backfill` are there (all of them when it is the end of all names).
    """

    pgid: PGId
    last_update: EVersion
    last_complete: EVersion
    log_tail: EVersion
    last_backfill_nibblewise: HObject = removed()
    stats: PGStat
    history: PGHistory
    purged_snaps: IntervalSet
    last_epoch_started: u32
    last_user_version: u64
    hit_set: PGHitSetHistory
    shard: s8 = default(NO_SHARD)
    last_backfill: HObject = default(HMAX)
    last_backfill_bitwise: boolean = removed(default=True)
    last_interval_started: u32 = since(32)

    @property
    def spgid(self) -> SPGId:
        """The PG with its shard."""
        return SPGId(self.pgid, self.shard)

    @property
    def is_empty(self) -> bool:
        """True when nothing was ever written."""
        return not self.last_update.version

    @property
    def does_not_exist(self) -> bool:
        """True when this OSD knows nothing of the PG (upstream dne)."""
        return not self.history.epoch_created

    @property
    def is_incomplete(self) -> bool:
        """True while this copy is backfilled."""
        return not self.last_backfill.max

    @property
    def has_missing(self) -> bool:
        """True when objects up to `last_update` are not all there."""
        return self.last_complete != self.last_update


@struct(name="pg_fast_info_t", version=1, compat=1)
class PGFastInfo(Struct):
    """The parts of a PGInfo that most writes change, stored apart to leave the rest alone."""

    last_update: EVersion
    last_complete: EVersion
    last_user_version: u64
    stats_version: EVersion
    reported_seq: u64
    last_fresh: UTime
    last_active: UTime
    last_peered: UTime
    last_clean: UTime
    last_unstale: UTime
    last_undegraded: UTime
    last_fullsized: UTime
    log_size: s64
    num_bytes: s64
    num_objects: s64
    num_object_copies: s64
    num_rd: s64
    num_rd_kb: s64
    num_wr: s64
    num_wr_kb: s64
    num_objects_dirty: s64

    @classmethod
    def of(cls, info: PGInfo) -> PGFastInfo:
        """Those parts of `info`."""
        made = cls(info.last_update, info.last_complete, info.last_user_version, info.stats.version)
        for name in _FAST_STATS:
            setattr(made, name, getattr(info.stats, name))
        for name in _FAST_SUMS:
            setattr(made, name, getattr(info.stats.stats.sum, name))
        return made

    def apply_to(self, info: PGInfo) -> bool:
        """Brings `info` up to date; False (and nothing done) when it is not older."""
        if self.last_update <= info.last_update:
            return False
        info.last_update = self.last_update
        info.last_complete = self.last_complete
        info.last_user_version = self.last_user_version
        info.stats.version = self.stats_version
        for name in _FAST_STATS:
            setattr(info.stats, name, getattr(self, name))
        info.stats.ondisk_log_size = self.log_size
        for name in _FAST_SUMS:
            setattr(info.stats.stats.sum, name, getattr(self, name))
        return True


_FAST_STATS = [
    "reported_seq",
    "last_fresh",
    "last_active",
    "last_peered",
    "last_clean",
    "last_unstale",
    "last_undegraded",
    "last_fullsized",
    "log_size",
]
_FAST_SUMS = [
    "num_bytes",
    "num_objects",
    "num_object_copies",
    "num_rd",
    "num_rd_kb",
    "num_wr",
    "num_wr_kb",
    "num_objects_dirty",
]


@struct(name="pg_notify_t", version=3, compat=2)
class PGNotify(Struct):
    """An OSD tells the primary what it has of a PG; `query_epoch` is that of the question."""

    query_epoch: u32
    epoch_sent: u32
    info: PGInfo
    to: s8 = default(NO_SHARD)
    from_: s8 = default(NO_SHARD)
    past_intervals: PastIntervals = since(3)


class QueryType(IntEnum):
    """What a primary asks for."""

    INFO = 0
    LOG = 1
    MISSING = 4
    FULLLOG = 5


@struct(name="pg_query_t", version=3, compat=3)
class PGQuery(Struct):
    """A primary's question about a PG; `since` is where the log that it wants begins."""

    type: s32 = default(-1)
    since: EVersion
    history: PGHistory
    epoch_sent: u32
    to: s8 = default(NO_SHARD)
    from_: s8 = default(NO_SHARD)


@struct(name="pg_lease_t", version=1, compat=1)
class PGLease(Struct):
    """Until when replicas may answer reads, by the clock of the primary since it started."""

    readable_until: Timespan
    readable_until_ub: Timespan
    interval: Timespan


@struct(name="pg_lease_ack_t", version=1, compat=1)
class PGLeaseAck(Struct):
    """The latest `readable_until_ub` that a replica has seen."""

    readable_until_ub: Timespan
