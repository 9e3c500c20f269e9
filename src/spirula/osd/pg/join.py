"""Merges PGs when their pool gets fewer: one takes the objects of those that go.

Every OSD that has any of them does so by itself, with the map that says so. What does not have the
versions that the primary reported (see `premerge`), or is not here, makes the result incomplete:
others then fill it anew. The log begins anew at the newest version, dups are kept. Called by the
OSD for each map. Upstream: `src/osd/PG.cc`, `PeeringState.cc`, `PGLog.h` (merge_from).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.maps.placement import PGMapping
from spirula.osd.pg import create, meta
from spirula.osd.pg.log import Log
from spirula.osd.pg.peering import intervals
from spirula.osd.pg.peering.work import hold_back
from spirula.store import pg_meta
from spirula.types.hobject import HMIN
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import PGId
from spirula.types.pg_info import PGHistory, PGInfo
from spirula.types.pg_log import PGLog, PGMissing
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap
    from spirula.osd.pg.shared import Shared
    from spirula.osd.pg.state import PG
    from spirula.types.base import EVersion
    from spirula.types.pg import PGMergeMeta, SPGId
    from spirula.types.pg_log import PGLogDup
    from spirula.types.pool import PGPool

_NO_PG = PGId()


def placeholder(shared: Shared, pgid: SPGId, like: PG) -> PG:
    """An empty PG that takes what others have, at their map; it is not in the store yet."""
    info = PGInfo(pgid=pgid.pgid)
    info.shard = pgid.shard
    made = create.make_record(shared, pgid, info, like.osdmap, like.pool)
    intervals.place(made, PGMapping(like.up, like.up_primary, like.acting, like.acting_primary))
    create.begin(made)
    return made


def join(target: PG, sources: list[PG], osdmap: OSDMap, mapping: PGMapping) -> None:
    """Merges PGs of one map into `target`, and takes that to the next, `osdmap`.

    `mapping` is where `target` is by that. Nothing may go on in the sources any more; their
    records are of no use afterwards.
    """
    pool = osdmap.pools[target.pgid.pgid.pool]
    merged = pool.last_pg_merge_meta
    expected = target.pgid.pgid.children(pool.pg_num, target.pool.pg_num)
    is_new = not target.info.history.epoch_created
    complete = _is_whole(target, merged, merged.target_version)
    complete &= merged.source_pgid in (_NO_PG, *expected)
    complete &= len(sources) == len(expected)
    for source in sources:
        complete &= _is_whole(source, merged, merged.source_version)
        complete &= merged.source_pgid in (_NO_PG, source.pgid.pgid)
    _join_infos(target, sources, complete=complete)
    if is_new and sources:
        _take_history(target, sources[0], merged)
    transaction = Transaction()
    if is_new and not target.store.collection_exists(target.coll):
        pg_meta.create_collection(transaction, target.pgid, pool.pg_num)
        pg_meta.init_on_disk(transaction, target.pgid, pool)
    intervals.advance(target, osdmap, mapping)
    _write(target, sources, pool, transaction)


def _is_whole(pg: PG, merged: PGMergeMeta, version: EVersion) -> bool:
    """Whether a PG has all that it should, and is as it was when it was ready."""
    info = pg.info
    if info.does_not_exist or info.is_incomplete or info.last_complete != info.last_update:
        return False
    return merged.source_pgid == _NO_PG or info.last_update == version


def _join_infos(target: PG, sources: list[PG], *, complete: bool) -> None:
    info = target.info
    for source in sources:
        theirs = source.info
        _add_counters(info, theirs)
        info.last_update = max(info.last_update, theirs.last_update)
        if not theirs.does_not_exist:
            # what one of them still has to trim is to be trimmed after the merge
            info.purged_snaps = info.purged_snaps & theirs.purged_snaps
        if target.past_intervals.is_empty and not source.past_intervals.is_empty:
            # their places have been the same since the pool's pgp_num was lowered
            target.past_intervals = PastIntervals.decode(source.past_intervals.encode())
    info.last_complete = info.log_tail = info.last_update
    if not complete:
        info.last_backfill = HMIN
    target.meta.missing |= set(target.missing.missing)
    target.missing = PGMissing(may_include_deletes=target.missing.may_include_deletes)
    target.log = _empty_log(info.last_update, _all_dups([target, *sources]))
    target.last_update_ondisk = target.last_complete_ondisk = info.last_update
    target.projected_last_update = info.last_update


def _add_counters(info: PGInfo, theirs: PGInfo) -> None:
    mine, more = info.stats.stats.sum, theirs.stats.stats.sum
    for field in mine._denc_fields:
        setattr(mine, field.name, getattr(mine, field.name) + getattr(more, field.name))
    info.stats.stats_invalid |= theirs.stats.stats_invalid


def _all_dups(pgs: list[PG]) -> list[PGLogDup]:
    """Requests of all of them, those with entries too: clients may send them again."""
    dups: list[PGLogDup] = []
    for pg in pgs:
        pg.log.trim(pg.log.head, pg.options.osd_pg_log_dups_tracked)
        dups += pg.log.dups
    return sorted(dups, key=lambda each: each.version)


def _empty_log(version: EVersion, dups: list[PGLogDup]) -> Log:
    wire = PGLog(version, version)
    wire.can_rollback_to = wire.rollback_info_trimmed_to = version
    wire.dups = dups
    return Log.of(wire)


def _take_history(target: PG, source: PG, merged: PGMergeMeta) -> None:
    """For a target that was not here: as if it had been where the source was."""
    info = target.info
    history = info.history = PGHistory.decode(source.info.history.encode())
    history.last_epoch_clean = merged.last_epoch_clean
    history.last_epoch_started = info.last_epoch_started = merged.last_epoch_started
    if not history.epoch_created:
        history.same_interval_since = history.last_epoch_clean
    past = target.past_intervals
    if not past.is_empty and history.last_epoch_clean < past.bounds[0]:
        past.adjust_start_backwards(history.last_epoch_clean)
    if history.last_epoch_started < history.same_interval_since:
        since = history.same_interval_since = history.last_epoch_clean
        history.same_up_since = min(history.same_up_since, since)
        history.same_primary_since = min(history.same_primary_since, since)


def _write(target: PG, sources: list[PG], pool: PGPool, transaction: Transaction) -> None:
    """All in one transaction: after a crash the PGs are as before, or merged."""
    bits = target.pgid.pgid.split_bits(pool.pg_num)
    for source in sources:
        transaction.remove(source.coll, source.pgmeta)
        transaction.merge_collection(source.coll, target.coll, bits)
    transaction.collection_set_bits(target.coll, bits)
    dirty = target.meta
    dirty.dirty_info = dirty.dirty_big_info = dirty.dirty_epoch = dirty.rewrite_log = True
    meta.write(target, transaction)
    target.queue((transaction,), target.on_store_result)
    hold_back(target)  # until the merge is on disk, too
