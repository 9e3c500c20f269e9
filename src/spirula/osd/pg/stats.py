"""A PG's statistics: counted with each write, told to the manager by the primary.

What writes add is part of the info and stored with it; what reads add is kept until the next
report. Called by `replicated`, `peering`, and the OSD's reports. Upstream: `PeeringState.cc`
(update_calc_stats, prepare_stats_for_publish), `PrimaryLogPG.cc` (apply_stats).
"""

from __future__ import annotations

import functools
import struct as _struct
from operator import attrgetter
from typing import TYPE_CHECKING

from spirula.errors import WireError
from spirula.osd.ops.context import StatDelta
from spirula.osd.pg import copies
from spirula.types.base import UTime
from spirula.types.pg import PGState
from spirula.types.pg_stats import EncodedPGStat, ObjectStatSum, PGStat

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG

_FAST = (
    "num_bytes",
    "num_objects",
    "num_object_copies",
    "num_rd",
    "num_rd_kb",
    "num_wr",
    "num_wr_kb",
    "num_objects_dirty",
)
"""Counters that the fast part of the info has (PGFastInfo); another one needs all of it written."""
_COUNTERS = _struct.Struct("<18q")
"""The counters up to the last one of `_FAST`, as ObjectStatSum has them."""
_SLOW = tuple(f.name for f in ObjectStatSum._denc_fields if f.name not in _FAST)
_SLOW_COUNTERS = attrgetter(*[name for name in StatDelta.__slots__ if name not in _FAST])
_ACTIVE = int(PGState.ACTIVE)
_READY = int(PGState.ACTIVE | PGState.PEERED)
_MAX_PURGED_INTERVALS = 10


def apply_delta(pg: PG, delta: StatDelta) -> None:
    """Adds what a write changes."""
    delta.add_to(pg.info.stats.stats.sum)
    if any(_SLOW_COUNTERS(delta)):
        pg.meta.dirty_info = True


class FromPrimary:
    """What a replica takes over of what the primary counts; told with every write.

    Most often only counters have changed that each write changes. What is told is compared with
    what was told before as it is encoded, and these counters alone are taken from it.
    """

    __slots__ = ("_kept", "_stats")

    def __init__(self) -> None:
        self._kept: tuple[object, ...] = ()
        self._stats: PGStat | None = None

    def take(self, pg: PG, told: EncodedPGStat) -> None:
        """Takes over the statistics. Raises WireError."""
        info, raw = pg.info, told.raw
        start, end = _counters_at()
        if len(raw) < end:
            raise WireError("statistics of a PG end before their counters")
        counters = _COUNTERS.unpack_from(raw, start)
        kept = raw[:start], raw[end:], counters[2], counters[4:7], counters[11:17]
        if kept == self._kept and info.stats is self._stats:
            total = info.stats.stats.sum
            total.num_bytes, total.num_objects, _, total.num_object_copies = counters[:4]
            total.num_rd, total.num_rd_kb, total.num_wr, total.num_wr_kb = counters[7:11]
            total.num_objects_dirty = counters[17]
            return
        old, info.stats = info.stats, told.decoded()
        if not pg.meta.dirty_info and _slow_part(old) != _slow_part(info.stats):
            pg.meta.dirty_info = True
        self._kept, self._stats = kept, info.stats


@functools.cache
def _counters_at() -> tuple[int, int]:
    """Where the first counters, up to the last of `_FAST`, are in an encoded PGStat."""
    zeros, other = PGStat(), PGStat()
    other.stats.sum.num_bytes = -1
    pairs = zip(zeros.encode(), other.encode(), strict=True)
    start = next(at for at, (one, two) in enumerate(pairs) if one != two)
    return start, start + _COUNTERS.size


def _slow_part(stats: PGStat) -> list[object]:
    """What of the statistics the fast part of the info does not have."""
    total = stats.stats.sum
    found: list[object] = [getattr(total, name) for name in _SLOW]
    found += (
        stats.state_low,
        stats.state_high,
        stats.reported_epoch,
        stats.log_start,
        stats.up,
        stats.acting,
        stats.last_change,
        stats.mapping_epoch,
        stats.last_epoch_clean,
        stats.blocked_by,
    )
    return found


def publish(pg: PG) -> PGStat | None:
    """The statistics as the manager gets them, or None when they are as they were.

    Says the same again after `osd_pg_stat_report_interval_max` seconds.
    """
    if not pg.is_primary:
        return None
    calculate(pg)
    now = UTime.at(pg.services.wall())
    stats, state = pg.info.stats, pg.state
    was = stats.state
    if was != state:
        stats.last_change = now
        if was & _ACTIVE and not state & _ACTIVE:
            stats.last_active = now
        if state & _ACTIVE and not was & _ACTIVE:
            stats.last_became_active = now
        if state & _READY and not was & _READY:
            stats.last_became_peered = now
        stats.state = state
    made = PGStat.decode(stats.encode())
    made.stats.sum.add(pg.unstable_stats)
    for start, length in list(pg.info.purged_snaps)[:_MAX_PURGED_INTERVALS]:
        made.purged_snaps.insert(start, length)
    old = pg.published
    cutoff = now.sec - pg.options.osd_pg_stat_report_interval_max
    if old is not None and made == old and stats.last_fresh.sec > cutoff:
        return None
    stats.reported_epoch = pg.osdmap.epoch
    stats.reported_seq += 1
    stats.last_fresh = stats.last_unstale = now
    if state & PGState.CLEAN:
        stats.last_clean = now
    if state & _ACTIVE:
        stats.last_active = now
    if state & _READY:
        stats.last_peered = now
    if not state & PGState.DEGRADED:
        stats.last_undegraded = now
    if not state & PGState.UNDERSIZED:
        stats.last_fullsized = now
    pg.meta.dirty_info = True
    for name in _STAMPS:
        setattr(made, name, getattr(stats, name))
    pg.published = made
    pg.stats_changed = False
    return made


_STAMPS = (
    "reported_epoch",
    "reported_seq",
    "last_fresh",
    "last_unstale",
    "last_clean",
    "last_active",
    "last_peered",
    "last_undegraded",
    "last_fullsized",
)


def calculate(pg: PG) -> None:
    """Brings up to date what follows from the log, the map and what peers miss."""
    info = pg.info
    stats, history, total = info.stats, info.history, info.stats.stats.sum
    stats.version = info.last_update
    stats.created = history.epoch_created
    stats.last_scrub, stats.last_scrub_stamp = history.last_scrub, history.last_scrub_stamp
    stats.last_deep_scrub = history.last_deep_scrub
    stats.last_deep_scrub_stamp = history.last_deep_scrub_stamp
    stats.last_clean_scrub_stamp = history.last_clean_scrub_stamp
    stats.last_epoch_clean = history.last_epoch_clean
    stats.snaptrimq_len = pg.trimmer.queue.size
    stats.log_size = len(pg.log)
    stats.ondisk_log_size = len(pg.log)
    stats.log_start = stats.ondisk_log_start = pg.log.tail
    stats.up, stats.acting = pg.up, pg.acting
    stats.up_primary, stats.acting_primary = pg.up_primary, pg.acting_primary
    stats.blocked_by = sorted(pg.peering.blocked_by)
    copies.calculate(pg)
    if total.num_objects_degraded:
        pg.set_state(on=PGState.DEGRADED)
    else:
        pg.set_state(off=PGState.DEGRADED)
    if total.num_scrub_errors:
        pg.set_state(on=PGState.INCONSISTENT)
    else:
        pg.set_state(off=PGState.INCONSISTENT | PGState.FAILED_REPAIR)
