"""How two OSDs' logs of a PG become one: what only one of them did is undone or done again.

The log that counts is the best one's (`choose`). Entries that it has not are divergent: their
objects go back to what they were before, by being fetched from somebody who has that. Called by
`machine`. Upstream: `src/osd/PGLog.cc` (merge_log, rewind_divergent_log, proc_replica_log,
_merge_object_divergent_entries).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from spirula.osd.pg.log import Log
from spirula.osd.pg.peering import infos
from spirula.osd.pg.peering.missing import NOTHING, need, note_entry
from spirula.types.hobject import NO_GEN, GHObject, HObject
from spirula.types.pg_log import LogOp, PGLog, PGLogEntry, PGMissing

if TYPE_CHECKING:
    from spirula.messages.osd_peering import MOSDPGLog
    from spirula.osd.pg.peering.work import Work
    from spirula.osd.pg.state import PG
    from spirula.types.base import EVersion
    from spirula.types.pg import PGShard
    from spirula.types.pg_info import PGInfo


def take_master_log(pg: PG, work: Work, sender: PGShard, message: MOSDPGLog) -> None:
    """The primary makes the log that counts its own."""
    theirs = message.info
    merge_log(pg, work, sender, theirs, message.log)
    info, peering = pg.info, pg.peering
    peering.peer_info[sender] = theirs
    peering.peer_missing[sender] = message.missing
    info.last_epoch_started = max(info.last_epoch_started, theirs.last_epoch_started)
    info.last_interval_started = max(info.last_interval_started, theirs.last_interval_started)
    infos.take_history(pg, theirs.history)
    pg.meta.dirty_info = True


def merge_log(pg: PG, work: Work, sender: PGShard, theirs: PGInfo, wire: PGLog) -> None:
    """Takes over a log that counts: undoes what it has not, notes what it has more."""
    del sender
    info, log = pg.info, pg.log
    changed = False
    older = [each for each in wire.log if each.version <= log.tail]
    if wire.tail < log.tail and older:
        _write_too(pg, log.prepend(older, wire.tail))
        info.log_tail = wire.tail
        changed = True
    theirs.stats.reported_seq = max(theirs.stats.reported_seq, info.stats.reported_seq)
    theirs.stats.reported_epoch = max(theirs.stats.reported_epoch, info.stats.reported_epoch)
    if info.last_backfill.max:
        info.stats = theirs.stats  # with what tells whether its counters are estimates
    elif not info.last_backfill.is_min:
        info.stats.stats = theirs.stats.stats
    info.hit_set = theirs.hit_set
    if wire.head < log.head:
        rewind(pg, work, wire.head)
        changed = True
    elif wire.head > log.head:
        known = {entry.version for entry in log.entries}
        newest_common = log.tail
        new: list[PGLogEntry] = []
        for entry in wire.log:
            if entry.version in known:
                newest_common = max(newest_common, entry.version)
            elif entry.version > log.tail:
                new.append(entry)
        newest_common = max(newest_common, min(wire.tail, log.head))
        divergent = log.rewind(newest_common)
        pg.meta.removed(divergent)
        new = [entry for entry in new if entry.version > newest_common]
        _write_too(pg, new)
        for entry in new:
            log.add(entry)
            if entry.soid <= info.last_backfill and entry.op != LogOp.ERROR:
                _note_here(pg, work, entry)
        log.head = wire.head
        info.last_update = wire.head
        info.last_user_version = theirs.last_user_version
        info.purged_snaps = theirs.purged_snaps
        _merge_divergent(pg, work, divergent)
        changed = True
    changed |= _merge_dups(pg, wire)
    log.can_rollback_to = max(log.can_rollback_to, min(wire.can_rollback_to, log.head))
    if changed:
        pg.meta.dirty_info = pg.meta.dirty_big_info = True
        update_last_complete(pg)


def _write_too(pg: PG, entries: list[PGLogEntry]) -> None:
    """Entries of another log become part of what is stored here."""
    pg.meta.add_entries(entries, [entry.encode() for entry in entries])


def _merge_dups(pg: PG, wire: PGLog) -> bool:
    """Remembers requests that another log remembers; True if there were any."""
    log = pg.log
    known = {(dup.version, dup.reqid) for dup in log.dups}
    new = [
        dup
        for dup in wire.dups
        if (dup.version, dup.reqid) not in known and dup.version <= log.tail
    ]
    if not new:
        return False
    both = [*log.dups, *new]
    both.sort(key=lambda dup: (dup.version.epoch, dup.version.version))
    log.set_dups(both)
    pg.meta.add_dups(new)
    return True


def rewind(pg: PG, work: Work, to: EVersion) -> None:
    """Undoes all after `to`: it never counted."""
    divergent = pg.log.rewind(to)
    pg.meta.removed(divergent)
    pg.info.last_update = to
    pg.info.last_complete = min(pg.info.last_complete, to)
    _merge_divergent(pg, work, divergent)
    pg.meta.dirty_info = pg.meta.dirty_big_info = True
    update_last_complete(pg)


def start_backfill(pg: PG, work: Work, message: MOSDPGLog) -> None:
    """This copy is to be filled anew: what is here is of no use, but the log is taken over."""
    del work
    pg.info = message.info
    pg.info.pgid, pg.info.shard = pg.pgid.pgid, pg.pgid.shard
    pg.log = Log.of(message.log)
    pg.meta.missing |= set(pg.missing.missing)
    pg.missing = PGMissing(may_include_deletes=pg.missing.may_include_deletes)
    pg.meta.rewrite_log = pg.meta.dirty_info = pg.meta.dirty_big_info = True


def take_replica_log(pg: PG, sender: PGShard, message: MOSDPGLog) -> None:
    """Finds what a replica lacks once what it did alone is undone there."""
    theirs, wire, lacks = message.info, message.log, message.missing
    peering = pg.peering
    peering.peer_info[sender] = theirs
    peering.peer_missing[sender] = lacks
    infos.take_history(pg, theirs.history)
    if wire.head < pg.log.tail:
        return
    ours = {entry.version for entry in pg.log.entries}
    common = max(
        (each.version for each in wire.log if each.version in ours),
        default=min(max(pg.log.tail, wire.tail), theirs.last_update),
    )
    divergent = [each for each in wire.log if each.version > common]
    for soid, entries in _by_object(divergent):
        if soid <= theirs.last_backfill:
            _undo(pg.log, lacks, soid, entries)
    if common < theirs.last_update:
        theirs.last_update = common
        theirs.last_user_version = max(
            (e.user_version for e in pg.log.entries if e.version <= common), default=0
        )
    if lacks.missing:
        theirs.last_complete = _complete_before(pg.log, lacks, theirs.last_update)
    else:
        theirs.last_complete = theirs.last_update


def update_last_complete(pg: PG) -> None:
    """Brings `last_complete` to just before the oldest entry whose change is lacked."""
    info = pg.info
    if not pg.missing.missing:
        info.last_complete = info.last_update
        return
    info.last_complete = _complete_before(pg.log, pg.missing, info.last_update)


def _complete_before(log: Log, missing: PGMissing, last_update: EVersion) -> EVersion:
    lacked = {item.need for item in missing.missing.values()}
    oldest = min(lacked, default=None)
    if oldest is None:
        return last_update
    return min(log.before(oldest), last_update)


def _note_here(pg: PG, work: Work, entry: PGLogEntry) -> None:
    """An entry came to this OSD without its change: a deletion is made up for at once."""
    pg.meta.missing.add(entry.soid)
    pg.objects.forget(entry.soid)
    if note_entry(pg.missing, entry):
        _remove_if_there(pg, work, entry.soid)


def _remove_if_there(pg: PG, work: Work, soid: HObject) -> None:
    gh = GHObject(soid, NO_GEN, pg.pgid.shard)
    if gh not in work.removed and pg.store.exists(pg.coll, gh):
        work.removed.add(gh)
        work.transaction.remove(pg.coll, gh)


def _merge_divergent(pg: PG, work: Work, divergent: list[PGLogEntry]) -> None:
    for soid, entries in _by_object(divergent):
        pg.objects.forget(soid)
        if soid > pg.info.last_backfill:
            continue
        pg.meta.missing.add(soid)
        if _undo(pg.log, pg.missing, soid, entries):
            _remove_if_there(pg, work, soid)


def _by_object(entries: Iterable[PGLogEntry]) -> list[tuple[HObject, list[PGLogEntry]]]:
    """Entries by object, failed requests left out; both in the order in which they come."""
    found: dict[HObject, list[PGLogEntry]] = {}
    for entry in entries:
        if entry.op != LogOp.ERROR:
            found.setdefault(entry.soid, []).append(entry)
    return list(found.items())


def _undo(log: Log, missing: PGMissing, soid: HObject, entries: list[PGLogEntry]) -> bool:
    """What is lacked once the entries of one object are undone; True: what is there must go.

    `log` is the one that counts.
    """
    first, prior = entries[0].version, entries[0].prior_version
    lacked = missing.missing.get(soid)
    there = not (lacked is None and entries[-1].is_delete)
    newer = log.objects.get(soid)
    if newer is not None and newer.version >= first:
        # the log that counts did something else to it later: fetched whole, unless deleted
        if newer.is_delete and not missing.may_include_deletes:
            missing.missing.pop(soid, None)
        else:
            need(missing, soid, newer.version, NOTHING, is_delete=newer.is_delete)
        return there
    if prior == NOTHING or entries[0].op == LogOp.CLONE:  # a clone's prior version is its head's
        missing.missing.pop(soid, None)
        return there
    if lacked is not None:
        if lacked.have == prior:
            del missing.missing[soid]
        else:
            need(missing, soid, prior, lacked.have)
        return False
    need(missing, soid, prior, NOTHING)
    return there
