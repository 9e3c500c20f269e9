"""What a newer map means for a PG: whether a new interval begins, and who serves it then.

`advance` takes in one map after another, `activate_map` says that the newest is in. Called by the
OSD. Upstream: `src/osd/PeeringState.cc` (advance_map, start_peering_interval).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.denc.features import PACIFIC
from spirula.maps.intervals import is_new_interval, past_interval
from spirula.maps.placement import NO_PRIMARY, PGMapping
from spirula.maps.state import is_up
from spirula.osd.ops import watch
from spirula.osd.pg import backoff, lease, locks, recovery, snap_trim
from spirula.osd.pg.backfill import Backfill
from spirula.osd.pg.peering import infos, machine
from spirula.osd.pg.peering.state import State
from spirula.osd.pg.peering.work import Work, hold_back
from spirula.osd.scrub import machine as scrubs
from spirula.types.base import EVersion
from spirula.types.hobject import NO_SHARD
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import NO_OSD, PGShard, PGState
from spirula.types.pool import PGPool, PoolFlag
from spirula.types.snap import SnapContext

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap
    from spirula.messages.base import Message
    from spirula.osd.pg.state import PG

_OF_AN_INTERVAL = (
    PGState.ACTIVE
    | PGState.PEERED
    | PGState.PREMERGE
    | PGState.DOWN
    | PGState.INCOMPLETE
    | PGState.RECOVERY_WAIT
    | PGState.RECOVERY_TOOFULL
    | PGState.RECOVERING
    | PGState.BACKFILLING
    | PGState.BACKFILL_WAIT
    | PGState.ACTIVATING
    | PGState.PEERING
    | PGState.LAGGY
    | PGState.WAIT
    | PGState.UNDERSIZED
    | PGState.DEGRADED
)


def advance(pg: PG, osdmap: OSDMap, mapping: PGMapping) -> None:
    """Takes in the next map, by which the PG is at `mapping`. A new interval begins if it must."""
    before = pg.osdmap
    pool = osdmap.pools.get(pg.pgid.pgid.pool)
    was = PGMapping(pg.up, pg.up_primary, pg.acting, pg.acting_primary)
    me = pg.whoami.osd
    restarts = is_new_interval(pg.pgid.pgid, was, mapping, before, osdmap) or (
        not is_up(before, me) and is_up(osdmap, me)
    )
    pg.osdmap = osdmap
    if pool is not None:
        take_pool(pg, pool)
    if restarts and pg.peering.state is not State.INITIAL:
        start_interval(pg, before, mapping)
    elif pg.is_primary:
        infos.note_gone(pg)
        if infos.drop_down(pg) and pg.is_peered:
            recovery.drop_sources(pg)
        if pg.is_active():
            snap_trim.on_map(pg, osdmap)


def take_pool(pg: PG, pool: PGPool) -> None:
    """Notes the pool's settings of the newest map."""
    was_full = bool(pg.pool.flags & PoolFlag.FULL)
    pg.pool = pool
    pg.bits = pg.pgid.pgid.split_bits(pool.pg_num)
    if not was_full and pool.flags & PoolFlag.FULL:
        pg.info.history.last_epoch_marked_full = pg.osdmap.epoch
    if pool.flags & PoolFlag.POOL_SNAPS:
        pg.pool_snapc = SnapContext(pool.snap_seq, sorted(pool.snaps, reverse=True))


def place(pg: PG, mapping: PGMapping) -> None:
    """Notes who serves the PG."""
    pg.up, pg.up_primary = list(mapping.up), mapping.up_primary
    pg.acting, pg.acting_primary = list(mapping.acting), mapping.acting_primary
    me = pg.whoami.osd
    pg.role = -1
    for rank, osd in enumerate(pg.acting):
        right_shard = not pg.pool.is_erasure or rank == pg.pgid.shard
        if osd == me and right_shard:
            pg.role = rank
            break
    shard = NO_SHARD
    if pg.pool.is_erasure and pg.acting_primary in pg.acting:
        shard = pg.acting.index(pg.acting_primary)
    pg.primary = PGShard(pg.acting_primary, shard)
    pg.is_primary = pg.primary == pg.whoami and pg.acting_primary != NO_PRIMARY
    stats = pg.info.stats
    if (stats.up, stats.acting) != (pg.up, pg.acting):
        stats.up, stats.acting = list(pg.up), list(pg.acting)
        stats.up_primary, stats.acting_primary = pg.up_primary, pg.acting_primary
        stats.mapping_epoch = pg.osdmap.epoch
    features = PACIFIC
    for osd in {*pg.acting, *pg.up} - {NO_OSD}:
        if 0 <= osd < len(pg.osdmap.osd_xinfo):
            features &= pg.osdmap.osd_xinfo[osd].features or PACIFIC
    pg.acting_features = features


def start_interval(pg: PG, before: OSDMap, mapping: PGMapping) -> None:
    """A new interval: what is under way ends, and everything is agreed upon anew."""
    history, osdmap = pg.info.history, pg.osdmap
    pg.last_peering_reset = osdmap.epoch
    pg.shared.forget_pg_temp(pg.pgid.pgid)
    old = PGMapping(pg.up, pg.up_primary, pg.acting, pg.acting_primary)
    was_primary, old_primary = pg.is_primary, pg.primary
    if is_new_interval(pg.pgid.pgid, old, mapping, before, osdmap):
        _note_interval(pg, before, old)
    place(pg, mapping)
    if (old.up, old.up_primary) != (pg.up, pg.up_primary):
        history.same_up_since = osdmap.epoch
    if old_primary != pg.primary:
        history.same_primary_since = osdmap.epoch
    pg.meta.dirty_info = pg.meta.dirty_big_info = True
    if was_primary:
        pg.shared.ready_to_merge.clear(pg.pgid.pgid)
    lease.reset(pg)
    pg.set_state(off=_OF_AN_INTERVAL)
    if pg.up != pg.acting:
        pg.set_state(on=PGState.REMAPPED)
    else:
        pg.set_state(off=PGState.REMAPPED)
    if was_primary or pg.is_primary:
        pg.set_state(off=PGState.CLEAN)
    reset(pg)
    hold_back(pg)
    pg.peering.send_notify = not pg.is_primary


def _note_interval(pg: PG, before: OSDMap, old: PGMapping) -> None:
    """Remembers the interval that ended, for whoever has to know where writes may be."""
    history, osdmap = pg.info.history, pg.osdmap
    pool = before.pools.get(pg.pgid.pgid.pool)
    if pool is not None:
        interval = past_interval(
            pg.pgid.pgid,
            old,
            history.same_interval_since,
            history.last_epoch_clean,
            before,
            osdmap,
            _could_serve,
        )
        gap = osdmap.epoch == pg.services.maps.oldest
        if gap and history.last_epoch_clean < osdmap.epoch:
            pg.past_intervals = PastIntervals()
        else:
            pg.past_intervals.add_interval(interval, erasure=pool.is_erasure)
    history.same_interval_since = osdmap.epoch
    new_pool = osdmap.pools.get(pg.pgid.pgid.pool)
    if pool is None or new_pool is None:
        return
    if pg.pgid.pgid.children(pool.pg_num, new_pool.pg_num):
        history.last_epoch_split = osdmap.epoch


def _could_serve(osds: list[int]) -> bool:
    """Any copy of a replicated PG is enough."""
    return bool(osds)


def reset(pg: PG) -> None:
    """Ends all that was under way; requests that can be carried out here later wait."""
    machine.reset(pg)
    requests: list[Message] = []
    for repop in pg.repops:
        repop.aborted = True
        if repop.request is not None:
            requests.append(repop.request)
    pg.repops.clear()
    pg.backend.on_change()
    recovery.reset(pg)
    pg.backfill = Backfill()
    scrubs.reset(pg)
    snap_trim.reset(pg)
    for obc in pg.objects.clear():
        watch.on_new_interval(obc)
        requests += locks.take_waiters(obc.lock)
    requests += pg.waiting.for_peering()
    backoff.release(pg)
    if pg.is_primary:
        # whoever sent one by an older map sends it again; those are dropped when their turn comes
        pg.waiting.for_peered.extend(requests)
    peering = pg.peering
    peering.peer_info.clear()
    peering.peer_missing.clear()
    peering.info_requested.clear()
    peering.missing_requested.clear()
    peering.log_requested = None
    peering.activated.clear()
    peering.strays.clear()
    peering.purged.clear()
    peering.backfill_targets.clear()
    peering.async_recovery_targets.clear()
    peering.want_acting = []
    peering.blocked_by.clear()
    peering.gone.clear()
    pg.acting_recovery_backfill = []
    pg.replicas = []
    pg.projected_last_update = EVersion(0, 0)
    pg.peer_last_complete_ondisk.clear()
    pg.stats_changed = True


def activate_map(pg: PG) -> None:
    """The newest map is in: goes on by it. Requests that waited for it go on as well."""
    pg.meta.dirty_epoch = True
    work = Work(pg)
    if pg.split_in < pg.osdmap.epoch:
        # upstream's child PGs crash when one of this map comes before the next one
        machine.handle(pg, work, "map")
        pg.peering.gone.clear()
    work.finish()
    if pg.waiting.for_map:
        waiting, pg.waiting.for_map = pg.waiting.for_map, {}
        for messages in waiting.values():
            pg.requeue(messages)
