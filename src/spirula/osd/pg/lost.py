"""Gives up objects that nobody has: an older version comes back, or the object is deleted.

`mark` is called by a command, once everybody who may have them was asked or given up. What it
decides becomes part of the log; recovery carries it out. Upstream: `src/osd/PrimaryLogPG.cc`
(mark_all_unfound_lost, pick_newest_available, recover_primary).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spirula.osd.ops.context import INFO_ATTR
from spirula.osd.pg import backoff, transfer, unfound
from spirula.osd.pg.peering.merge import update_last_complete
from spirula.osd.pg.peering.missing import NOTHING, note_entry
from spirula.osd.pg.repop import RepGather
from spirula.types.base import EVersion, UTime
from spirula.types.hobject import NO_GEN, GHObject
from spirula.types.log import LogLevel
from spirula.types.object_info import ObjectInfo
from spirula.types.pg_log import LogOp, PGLogEntry
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spirula.osd.pg.state import PG
    from spirula.types.hobject import HObject
    from spirula.types.recovery import ObjectRecoveryInfo


def mark(pg: PG, op: LogOp, then: Callable[[str], None]) -> None:
    """Gives up all that is unfound: LOST_REVERT (deletes what has no older version) or LOST_DELETE.

    `then` is called with what to tell the operator when that is on disk everywhere; it is not if
    the interval ends before.
    """
    entries: list[PGLogEntry] = []
    version = pg.next_version()
    for hoid in sorted(pg.recovery.unfound):
        item = pg.missing.missing[hoid]
        older = _newest_available(pg, hoid) if op == LogOp.LOST_REVERT else NOTHING
        entry = PGLogEntry(
            LogOp.LOST_REVERT if older > NOTHING else LogOp.LOST_DELETE,
            hoid,
            version,
            item.need,
            mtime=UTime.at(pg.services.wall()),
        )
        entry.reverting_to = older
        entry.mod_desc.can_local_rollback = False
        entries.append(entry)
        version = EVersion(version.version + 1, version.epoch)
    pg.info.stats.stats_invalid = True
    pg.projected_last_update = entries[-1].version
    repop = RepGather(
        pg,
        pg.shared.next_tid(),
        entries[-1].soid,
        entries[-1].version,
        partial(_on_committed, pg, entries, then),
    )
    note_here(pg, entries)
    for shard in pg.replicas:
        lacks, info = pg.peering.peer_missing[shard], pg.peering.peer_info[shard]
        for entry in entries:
            if entry.soid <= info.last_backfill:
                note_entry(lacks, entry)
        info.last_update = entries[-1].version
    pg.backend.submit_log(repop, entries)
    update_last_complete(pg)
    unfound.locate(pg)


def _newest_available(pg: PG, hoid: HObject) -> EVersion:
    """The newest version that some member has."""
    found = pg.missing.missing[hoid].have
    for shard in pg.replicas:
        item = pg.peering.peer_missing[shard].missing.get(hoid)
        if item is not None:
            found = max(found, item.have)
    return found


def note_here(pg: PG, entries: Sequence[PGLogEntry]) -> None:
    """Entries that give up objects came: what they say is lacked here from now on."""
    transaction = Transaction()
    for entry in entries:
        if entry.op == LogOp.ERROR or entry.soid > pg.info.last_backfill:
            continue
        pg.objects.forget(entry.soid)
        pg.meta.missing.add(entry.soid)
        if note_entry(pg.missing, entry):
            gh = GHObject(entry.soid, NO_GEN, pg.pgid.shard)
            if pg.store.exists(pg.coll, gh):
                transaction.remove(pg.coll, gh)
    if transaction:
        pg.queue((transaction,), pg.on_store_result)


def _on_committed(
    pg: PG, entries: list[PGLogEntry], then: Callable[[str], None], repop: RepGather
) -> None:
    """It is on disk everywhere: recovery carries it out."""
    del repop
    for entry in entries:
        backoff.release(pg, entry.soid)
    waiting, pg.waiting.for_object = pg.waiting.for_object, {}
    for requests in waiting.values():
        pg.requeue(list(requests))
    text = f"pg has {len(entries)} objects unfound and apparently lost marking"
    pg.services.clog(LogLevel.INFO, text)
    unfound.resume(pg)
    then(text)


def revert_here(pg: PG, hoid: HObject, then: Callable[[], None]) -> bool:
    """Makes the version that is here the newest, if it is the one that is wanted back."""
    older = unfound.reverting_to(pg, hoid)
    if older is None or pg.missing.missing[hoid].have != older:
        return False
    gh = GHObject(hoid, NO_GEN, pg.pgid.shard)
    info = ObjectInfo.decode(pg.store.getattr(pg.coll, gh, INFO_ATTR))
    transaction = Transaction()
    _set_version(pg, info, transaction)
    transfer.queue(pg, transaction, then)
    return True


def on_arrival(pg: PG, info: ObjectRecoveryInfo, transaction: Transaction) -> None:
    """An object is here: if it is an older version that is wanted back, it becomes the newest."""
    older = unfound.reverting_to(pg, info.soid)
    if older is not None and older == info.version:
        _set_version(pg, info.oi, transaction)


def _set_version(pg: PG, info: ObjectInfo, transaction: Transaction) -> None:
    info.prior_version, info.version = info.version, pg.log.objects[info.soid].version
    gh = GHObject(info.soid, NO_GEN, pg.pgid.shard)
    transaction.setattr(pg.coll, gh, INFO_ATTR, info.encode())
