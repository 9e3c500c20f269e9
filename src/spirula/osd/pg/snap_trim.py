"""Removing snapshots from a PG: its clones are trimmed one after another, while it is clean.

    idle -> waits for its turn among the OSD's PGs -> a few clones -> their writes -> a turn ...
                                                   -> waits for an object's lock ...
                                                   -> no clone left: purged, the next snapshot

The map says what is removed, the store's index (`store.snap_mapper`) which clones that concerns,
`ops.trim` what is written. When all PGs report a snapshot as purged, the monitors forget it.
Called by `peering` and `pipeline`. Upstream: `src/osd/PrimaryLogPG.cc` (SnapTrimmer), `PG.cc`
(on_active_advmap).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from spirula.errors import CephError
from spirula.maps.state import OSDMapFlag
from spirula.osd.ops.context import LockKind, ObjectContext
from spirula.osd.ops.trim import trim_object
from spirula.osd.pg import locks
from spirula.osd.pg.peering.work import Work
from spirula.osd.scheduler import Kind, Turn
from spirula.store import snap_mapper
from spirula.types.hobject import HObject, reverse_nibbles
from spirula.types.interval_set import IntervalSet
from spirula.types.log import LogLevel
from spirula.types.pg import PGState

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap
    from spirula.osd.pg.state import PG


@dataclass(slots=True, eq=False)
class TrimTurns:
    """Which PGs of an OSD are trimmed: at most `limit` (osd_max_trimming_pgs) at a time."""

    limit: int = 2
    active: list[PG] = field(default_factory=list)
    waiting: deque[PG] = field(default_factory=deque)

    def ask(self, pg: PG) -> bool:
        """Whether it is the PG's turn; else it is begun when that comes."""
        if len(self.active) < self.limit:
            self.active.append(pg)
            return True
        self.waiting.append(pg)
        return False

    def give_back(self, pg: PG) -> None:
        """The PG is done, or does not want a turn any more."""
        if pg in self.waiting:
            self.waiting.remove(pg)
        if pg in self.active:
            self.active.remove(pg)
            while self.waiting and len(self.active) < self.limit:
                self.active.append(self.waiting[0])
                _begin(self.waiting.popleft())


@dataclass(slots=True, eq=False)
class SnapTrimmer:
    """One PG's work: `queue` are snapshots to be removed, `repeat` those trimmed once more.

    `snap` is the one in hand, `in_flight` how many clones are being written.
    """

    queue: IntervalSet = field(default_factory=IntervalSet)
    repeat: set[int] = field(default_factory=set)
    snap: int | None = None
    wanted: bool = False
    """It has a turn, or waits for one."""
    in_flight: int = 0
    share: Callable[[PG, Work], None] | None = None
    """Tells the replicas what is purged (`peering.activate.share_info`)."""
    turn: Turn | None = None
    """What the next step waits for, beside clients (`scheduler`)."""


def on_activate(pg: PG, share: Callable[[PG, Work], None]) -> None:
    """The primary starts: what the map has removed and the PG has not purged is to be trimmed.

    Only what the map still has to be purged is worth remembering as purged.
    """
    pg.trimmer.share = share
    queue = pg.osdmap.removed_snaps_queue.get(pg.pgid.pgid.pool)
    removed = IntervalSet() if queue is None else queue
    purged = pg.info.purged_snaps & removed
    pg.info.purged_snaps = purged
    pg.trimmer.queue = removed - purged


def on_map(pg: PG, osdmap: OSDMap) -> None:
    """A newer map of the same interval, at the primary of an active PG."""
    pool = pg.pgid.pgid.pool
    added = osdmap.new_removed_snaps.get(pool)
    if added is not None:
        pg.trimmer.queue.update(added)
    purged = osdmap.new_purged_snaps.get(pool)
    if purged is not None:
        pg.info.purged_snaps = pg.info.purged_snaps - purged
        pg.meta.dirty_info = pg.meta.dirty_big_info = True


def trim_again(pg: PG, snap: int) -> None:
    """Trims a snapshot that is purged already, for clones that were found all the same."""
    trimmer = pg.trimmer
    if pg.is_active() and pg.is_primary and snap not in trimmer.queue:
        trimmer.queue.insert(snap)
        trimmer.repeat.add(snap)
        kick(pg)


def reset(pg: PG) -> None:
    """The interval is over; the next one begins anew."""
    trimmer = pg.trimmer
    trimmer.queue.clear()
    trimmer.repeat.clear()
    _stop(pg)


def kick(pg: PG) -> None:
    """Begins, if there is something to do and nothing speaks against it."""
    if not pg.trimmer.wanted and _can_trim(pg):
        pg.trimmer.wanted = True
        pg.set_state(on=PGState.SNAPTRIM_WAIT)
        if pg.shared.trim_turns.ask(pg):
            _begin(pg)


def _can_trim(pg: PG) -> bool:
    return bool(
        pg.trimmer.queue
        and not pg.deleted
        and pg.is_primary
        and pg.is_active()
        and pg.state & PGState.CLEAN
        and not pg.state & (PGState.SCRUBBING | PGState.PREMERGE)
        and not pg.osdmap.flags & OSDMapFlag.NOSNAPTRIM
    )


def _stop(pg: PG) -> None:
    """Back to idle."""
    trimmer = pg.trimmer
    if trimmer.turn is not None:
        trimmer.turn.cancel()
        trimmer.turn = None
    if not trimmer.wanted:
        return
    trimmer.wanted, trimmer.snap, trimmer.in_flight = False, None, 0
    pg.set_state(off=PGState.SNAPTRIM | PGState.SNAPTRIM_WAIT)
    pg.shared.trim_turns.give_back(pg)


def _begin(pg: PG) -> None:
    """The PG has its turn."""
    if not _can_trim(pg):
        _stop(pg)
        return
    pg.trimmer.snap = pg.trimmer.queue.range_start
    pg.set_state(on=PGState.SNAPTRIM, off=PGState.SNAPTRIM_WAIT | PGState.SNAPTRIM_ERROR)
    _step_later(pg)


def _step_later(pg: PG) -> None:
    """The next few clones, when it is their turn among all that the OSD does."""
    if pg.trimmer.turn is not None:
        pg.trimmer.turn.cancel()
    cost = pg.services.config.get_int("osd_snap_trim_cost")
    pg.trimmer.turn = pg.shared.scheduler.ask(Kind.SNAP_TRIM, cost, partial(_step, pg), pg)


def _step(pg: PG) -> None:
    """Trims a few clones of the snapshot in hand; without any, the snapshot is purged."""
    trimmer = pg.trimmer
    trimmer.turn = None
    snap = trimmer.snap
    if snap is None or not _can_trim(pg):
        _stop(pg)
        return
    most = pg.services.config.get_int("osd_pg_max_concurrent_snap_trims")
    clones = list(islice(_clones(pg, snap), most))
    if not clones:
        _purged(pg, snap)
        return
    for coid in clones:
        try:
            if not _trim(pg, coid, snap):
                return  # goes on when the lock is given back, or the writes are done
        except CephError as error:
            pg.services.clog(LogLevel.ERROR, f"{pg.pgid} {error.message}")
            pg.set_state(on=PGState.SNAPTRIM_ERROR)
            if not trimmer.in_flight:
                _stop(pg)
            return


def _clones(pg: PG, snap: int) -> Iterator[HObject]:
    """The PG's clones of a snapshot."""
    pgid = pg.pgid
    bits = pgid.pgid.split_bits(pg.pool.pg_num)
    for within in key_prefixes(pgid.pgid.pool, pgid.seed, bits):
        yield from snap_mapper.clones_of(pg.store, pgid.pgid.pool, snap, pgid.shard, within)


def key_prefixes(pool: int, seed: int, bits: int) -> list[str]:
    """What `HObject.key_text` begins with for objects whose hash ends in the `bits` of `seed`.

    Keys have the hash in whole hexadecimal digits, so that there may be several.
    """
    digits = -(-bits // 4)
    low = seed & ((1 << bits) - 1)
    ends = [low | high << bits for high in range(1 << (4 * digits - bits))]
    texts = [f"{reverse_nibbles(end):08X}"[:digits] for end in ends]
    return [f"{pool & 0xFFFFFFFFFFFFFFFF:016X}.{text}" for text in sorted(texts)]


def _trim(pg: PG, coid: HObject, snap: int) -> bool:
    """Writes one clone without the snapshot; False if a lock is not to be had."""
    trimmer = pg.trimmer
    obc = pg.objects.get(coid, can_create=False)
    head = pg.objects.get(coid.head(), can_create=False)
    if obc is None or head is None:
        missing = coid if obc is None else coid.head()
        raise CephError(f"can not trim {coid}: there is no {missing}, repair needed")
    if not locks.try_lock(obc.lock, LockKind.WRITE, None):
        obc.lock.snaptrimmer_write_marker = not trimmer.in_flight
        return False
    if not locks.try_lock(head.lock, LockKind.WRITE, None):
        head.lock.snaptrimmer_write_marker = not trimmer.in_flight
        pg.unlock(obc)
        return False
    try:
        ctx = trim_object(pg, obc, head, snap)
    except CephError:
        pg.unlock(obc)
        pg.unlock(head)
        raise
    trimmer.in_flight += 1
    pg.simple_submit(ctx, partial(_on_trimmed, pg, obc, head))
    return True


def _on_trimmed(pg: PG, obc: ObjectContext, head: ObjectContext) -> None:
    """A clone's write is on disk everywhere."""
    pg.unlock(obc)
    pg.unlock(head)
    trimmer = pg.trimmer
    trimmer.in_flight -= 1
    if trimmer.in_flight:
        return
    if pg.state & PGState.SNAPTRIM_ERROR or not _can_trim(pg):
        _stop(pg)
        return
    _step_later(pg)


def on_unlocked(pg: PG, obc: ObjectContext) -> None:
    """An object that trimming waited for can be locked."""
    obc.lock.snaptrimmer_write_marker = False
    if pg.trimmer.snap is not None and pg.trimmer.turn is None and not pg.trimmer.in_flight:
        _step_later(pg)


def _purged(pg: PG, snap: int) -> None:
    """No clone of the snapshot is left in the PG."""
    trimmer = pg.trimmer
    trimmer.queue.erase(snap)
    work = Work(pg)
    if snap in trimmer.repeat:
        trimmer.repeat.discard(snap)
    else:
        purged = pg.info.purged_snaps.copy()
        purged.insert(snap)
        pg.info.purged_snaps = purged
        pg.meta.dirty_info = pg.meta.dirty_big_info = True
        if trimmer.share is not None:
            trimmer.share(pg, work)
    work.finish()
    pg.stats_changed = True
    pg.shared.stats_changed(pg)
    _stop(pg)
    kick(pg)
