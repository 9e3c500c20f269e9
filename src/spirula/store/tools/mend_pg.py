"""Last resorts for PGs of a stopped OSD: declare one complete, or give it a shorter log.

What they take away or claim is up to whoever calls them. As upstream's `ceph-objectstore-tool`
does by `mark-complete`, `reset-last-complete` and `trim-pg-log`. For `spirula store`.
"""

from __future__ import annotations

from spirula.store import pg_meta
from spirula.store.objectstore import ObjectStore
from spirula.store.osd_meta import read_superblock
from spirula.store.pg_meta import MetaChanges, StoredInfo
from spirula.store.tools.queueing import Changes, Pump
from spirula.types.base import EVersion
from spirula.types.hobject import HMAX
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import Coll, SPGId
from spirula.types.pg_info import PGInfo
from spirula.types.transaction import Transaction

TRIM_AT_ONCE = 10_000
"""Entries of a log that one transaction removes (upstream osd_pg_log_trim_max)."""


def mark_complete(store: ObjectStore, pump: Pump, pgid: SPGId) -> PGInfo:
    """Say that this copy has all of the PG, so that peering goes on with it; the new info.

    For a PG that stays incomplete since no other copy is left: what this one lacks is lost.
    """
    epoch = read_superblock(store).current_epoch
    stored = pg_meta.read_info(store, pgid)
    info = stored.info
    info.last_update = EVersion(info.last_update.version + 1, epoch)
    info.last_backfill = HMAX
    info.last_epoch_started = epoch
    info.history.last_epoch_started = info.history.last_epoch_clean = epoch
    stored.past_intervals = PastIntervals()
    _write(store, pump, pgid, stored)
    return info


def reset_last_complete(store: ObjectStore, pump: Pump, pgid: SPGId) -> PGInfo:
    """Say that nothing is missing below the newest version; the new info."""
    stored = pg_meta.read_info(store, pgid)
    stored.info.last_complete = stored.info.last_update
    _write(store, pump, pgid, stored)
    return stored.info


def forget_past_intervals(store: ObjectStore, pump: Pump, pgid: SPGId) -> int:
    """Forget where writes may have been since the PG was last clean; how many intervals that were.

    For a PG that waits for OSDs which will not come back: what only those have is lost.
    """
    stored = pg_meta.read_info(store, pgid)
    count = len(stored.past_intervals)
    stored.past_intervals = PastIntervals()
    _write(store, pump, pgid, stored)
    return count


def trim_log(store: ObjectStore, pump: Pump, pgid: SPGId, keep: int) -> int:
    """Forget the oldest entries of a log, so that the newest `keep` versions are left; how many.

    For an OSD that runs out of memory over a log.
    """
    stored = pg_meta.read_info(store, pgid)
    info = stored.info
    if info.last_update.version - info.log_tail.version <= keep:
        return 0
    last = info.last_update.version - keep
    log = pg_meta.read_log(store, pgid, info).log
    gone = [entry.version for entry in log.log if entry.version.version <= last]
    changes = Changes(store, pump, Coll.of(pgid))
    for start in range(0, len(gone), TRIM_AT_ONCE):
        made = MetaChanges(remove=pg_meta.trim_keys(gone[start : start + TRIM_AT_ONCE]))
        txn = Transaction()
        made.add_to(txn, pgid)
        changes.queue(txn)
    changes.finish()
    if gone:
        info.log_tail = gone[-1]
        _write(store, pump, pgid, stored)
    return len(gone)


def trim_dups(store: ObjectStore, pump: Pump, pgid: SPGId, keep: int) -> int:
    """Forget all but the newest `keep` requests whose log entries are gone; how many.

    For an OSD that runs out of memory over them.
    """
    info = pg_meta.read_info(store, pgid).info
    dups = pg_meta.read_log(store, pgid, info).log.dups
    gone = [pg_meta.dup_key(dup.version) for dup in dups[: max(len(dups) - keep, 0)]]
    changes = Changes(store, pump, Coll.of(pgid))
    for start in range(0, len(gone), TRIM_AT_ONCE):
        txn = Transaction()
        MetaChanges(remove=set(gone[start : start + TRIM_AT_ONCE])).add_to(txn, pgid)
        changes.queue(txn)
    changes.finish()
    return len(gone)


def _write(store: ObjectStore, pump: Pump, pgid: SPGId, stored: StoredInfo) -> None:
    made, _ = pg_meta.info_changes(
        stored.epoch,
        stored.info,
        PGInfo(),
        stored.past_intervals,
        dirty_big_info=True,
        dirty_epoch=True,
        try_fast_info=False,
    )
    txn = Transaction()
    made.add_to(txn, pgid)
    changes = Changes(store, pump, Coll.of(pgid))
    changes.queue(txn)
    changes.finish()
