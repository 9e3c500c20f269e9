"""The backend of replicated pools: every OSD of the acting set carries out the same transaction.

The primary encodes a write once and sends it, with its log entries, to each replica; the write is
done when all have it on disk. Messages and their meaning: upstream `src/osd/ReplicatedBackend.cc`.
"""

from __future__ import annotations

import struct as _struct
from typing import TYPE_CHECKING

from spirula.errors import WireError
from spirula.messages.base import PRIO_HIGH
from spirula.messages.osd_replication import (
    NO_OBJECT,
    MOSDPGUpdateLogMissing,
    MOSDPGUpdateLogMissingReply,
    MOSDRepOp,
    MOSDRepOpReply,
)
from spirula.osd.pg import availability, backfill, lost, meta, snap_index, stats, transfer
from spirula.osd.pg.log import Trimmed
from spirula.osd.pg.peering.merge import update_last_complete
from spirula.osd.pg.peering.missing import note_entry
from spirula.osd.scrub import replica as scrub_replica
from spirula.types.base import EVersion
from spirula.types.hobject import HObject
from spirula.types.object_info import OSDReqId
from spirula.types.osd_op import RequestFlag
from spirula.types.pg import PGShard, SPGId
from spirula.types.pg_log import PGLogEntry
from spirula.types.pg_stats import EncodedPGStat
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spirula.messages.base import Message
    from spirula.osd.ops.context import StatDelta
    from spirula.osd.pg.repop import RepGather
    from spirula.osd.pg.state import PG

_COUNT = _struct.Struct("<I")
_ACKS = int(RequestFlag.ACK | RequestFlag.ONDISK)
_ONDISK = int(RequestFlag.ONDISK)
_NO_REQID = OSDReqId()
_NO_TRACE = bytes(24)


def decode_entries(logbl: bytes) -> tuple[list[PGLogEntry], list[bytes]]:
    """Log entries as a sub-operation carries them, and each as it is encoded. Raises WireError."""
    if len(logbl) < _COUNT.size:
        raise WireError("a list of log entries ends inside its length")
    (count,) = _COUNT.unpack_from(logbl)
    entries, raw, pos = [], [], _COUNT.size
    for _ in range(count):
        entry, end = PGLogEntry.decode_from(logbl, pos)
        entries.append(entry)
        raw.append(logbl[pos:end])
        pos = end
    return entries, raw


class ReplicatedBackend:
    """Writes under way of one PG, as its primary, and what it does as a replica."""

    def __init__(self, pg: PG) -> None:
        self.pg = pg
        self.in_progress: dict[int, RepGather] = {}
        self._from_primary = stats.FromPrimary()

    # ------------------------------------------------------------------------------ as the primary

    def submit(
        self,
        repop: RepGather,
        transaction: Transaction,
        entries: list[PGLogEntry],
        delta: StatDelta,
    ) -> None:
        """Has a write applied here and at the replicas, together with its log entries."""
        pg = self.pg
        stats.apply_delta(pg, delta)
        if pg.scrubber.run is not None:
            pg.scrubber.run.note_delta(repop.soid, delta)
        if pg.peering.backfill_targets:
            backfill.count(pg, repop.soid, delta)
        update_trim_to(pg)
        for entry in entries:
            entry.mod_desc.mark_unrollbackable()  # nothing can be undone in place
        raw = [entry.encode() for entry in entries]
        waiting = repop.waiting_for
        waiting.add(pg.whoami.osd)
        if pg.replicas:
            self.in_progress[repop.tid] = repop
            if pg.peering.async_recovery_targets:
                _note_for_later(pg, repop.soid, entries)
            self._send(repop, transaction, raw)
        log_operation(pg, entries, raw, pg.trim_to, repop.version, transaction)
        pg.queue((transaction,), repop.on_local_commit)

    def _send(self, repop: RepGather, transaction: Transaction, raw: list[bytes]) -> None:
        pg = self.pg
        ctx, epoch, data = repop.ctx, pg.osdmap.epoch, transaction.encode()
        reqid = _NO_REQID if ctx is None else ctx.reqid
        logbl = b"".join((_COUNT.pack(len(raw)), *raw))
        told = EncodedPGStat.of(pg.info.stats)
        first = self._message(repop, reqid, logbl, told, data)
        for replica in pg.replicas:
            repop.waiting_for.add(replica.osd)
            info = pg.peering.peer_info[replica]
            message = first
            if info.is_incomplete or replica in pg.peering.async_recovery_targets:
                takes_part = availability.takes_part(pg, replica, repop.soid)
                theirs = EncodedPGStat.of(info.stats) if info.is_incomplete else told
                payload = data if takes_part else Transaction().encode()
                message = self._message(repop, reqid, logbl, theirs, payload)
            pg.services.send_osd(replica.osd, message, epoch)

    def _message(
        self, repop: RepGather, reqid: OSDReqId, logbl: bytes, told: EncodedPGStat, data: bytes
    ) -> MOSDRepOp:
        pg = self.pg
        message = MOSDRepOp(
            map_epoch=pg.osdmap.epoch,
            min_epoch=pg.last_peering_reset,
            trace=_NO_TRACE,
            reqid=reqid,
            pgid=pg.pgid,
            poid=repop.soid,
            acks_wanted=_ACKS,
            version=repop.version,
            logbl=logbl,
            pg_stats=told,
            pg_trim_to=pg.trim_to,
            new_temp_oid=NO_OBJECT,
            discard_temp_oid=NO_OBJECT,
            from_=pg.whoami,
            updated_hit_set_history=None,
            min_last_complete_ondisk=pg.min_last_complete_ondisk,
        )
        message.tid = repop.tid
        message.data = data
        return message

    def submit_log(self, repop: RepGather, entries: list[PGLogEntry]) -> None:
        """Has log entries without a change remembered everywhere."""
        pg = self.pg
        update_trim_to(pg)
        waiting, epoch = repop.waiting_for, pg.osdmap.epoch
        waiting.add(pg.whoami.osd)
        transaction = Transaction()
        log_operation(
            pg, entries, [each.encode() for each in entries], pg.trim_to, repop.version, transaction
        )
        for replica in pg.replicas:
            self.in_progress[repop.tid] = repop
            waiting.add(replica.osd)
            message = MOSDPGUpdateLogMissing(
                map_epoch=epoch,
                pgid=SPGId(pg.pgid.pgid, replica.shard),
                from_=pg.whoami.shard,
                rep_tid=repop.tid,
                entries=entries,
                min_epoch=pg.last_peering_reset,
                pg_trim_to=pg.trim_to,
                pg_roll_forward_to=pg.min_last_complete_ondisk,
            )
            pg.services.send_osd(replica.osd, message, epoch)
        pg.queue((transaction,), repop.on_local_commit)

    def _on_reply(self, message: MOSDRepOpReply) -> None:
        if message.ack_type & _ONDISK:
            self._committed(message.tid, message.from_, message.last_complete_ondisk)

    def _committed(self, tid: int, sender: PGShard, last_complete: EVersion) -> None:
        repop = self.in_progress.get(tid)
        if repop is None or sender.osd not in repop.waiting_for:
            return
        self.pg.peer_last_complete_ondisk[sender] = last_complete
        if len(repop.waiting_for) - (self.pg.whoami.osd in repop.waiting_for) == 1:
            del self.in_progress[tid]  # no other answer is to come
        repop.on_commit_of(sender.osd)

    def on_change(self) -> None:
        """A new interval begins: nothing that is under way is waited for any more."""
        self.in_progress.clear()
        self._from_primary = stats.FromPrimary()

    # -------------------------------------------------------------------------------- as a replica

    def on_message(self, message: Message) -> bool:
        """Takes sub-operations and their answers."""
        if isinstance(message, MOSDRepOpReply):
            self._on_reply(message)
        elif isinstance(message, MOSDRepOp):
            self._on_repop(message)
        elif isinstance(message, MOSDPGUpdateLogMissing):
            self._on_update_log(message)
        elif isinstance(message, MOSDPGUpdateLogMissingReply):
            sender = PGShard(message.connection.peer_name.num, message.from_)
            self._committed(message.rep_tid, sender, message.last_complete_ondisk)
        else:
            return transfer.on_message(self.pg, message) or backfill.on_message(self.pg, message)
        return True

    def _on_repop(self, message: MOSDRepOp) -> None:
        pg = self.pg
        transaction = message.transaction()
        entries, raw = decode_entries(message.logbl)
        _check_next(pg, entries)
        scheduler = pg.shared.scheduler
        scheduler.replica_ops += 1
        scheduler.replica_bytes += len(message.data)
        done = _RepModify(pg, message, pg.info.last_complete)
        self._from_primary.take(pg, message.pg_stats)
        local = Transaction()
        log_operation(
            pg,
            entries,
            raw,
            message.pg_trim_to,
            message.version,
            local,
            update_snaps=bool(transaction),
        )
        pg.min_last_complete_ondisk = message.min_last_complete_ondisk
        if pg.scrubber.range is not None:
            scrub_replica.preempt(pg, message.poid)
        lacked = message.poid in pg.missing.missing
        for entry in entries:
            pg.objects.forget(entry.soid)
            if lacked:
                note_entry(pg.missing, entry)
                pg.meta.missing.add(entry.soid)
        pg.queue((local, transaction), done.on_commit)

    def _on_update_log(self, message: MOSDPGUpdateLogMissing) -> None:
        pg = self.pg
        entries = [each for each in message.entries if each.version > pg.info.last_update]
        _check_next(pg, entries)
        done = _LogUpdate(pg, message)
        transaction = Transaction()
        version = entries[-1].version if entries else pg.info.last_update
        lost.note_here(pg, entries)
        log_operation(
            pg,
            entries,
            [each.encode() for each in entries],
            message.pg_trim_to,
            version,
            transaction,
        )
        update_last_complete(pg)
        pg.queue((transaction,), done.on_commit)


def _note_for_later(pg: PG, soid: HObject, entries: Sequence[PGLogEntry]) -> None:
    """Who recovers in the background lacks the new version as well of what it lacks."""
    for target in pg.peering.async_recovery_targets:
        lacks = pg.peering.peer_missing[target]
        if soid in lacks.missing:
            for entry in entries:
                note_entry(lacks, entry)


def _check_next(pg: PG, entries: Sequence[PGLogEntry]) -> None:
    """Raises WireError unless the entries follow on the log: a hole would be a lost write."""
    expected = pg.info.last_update.version + 1
    for entry in entries:
        if entry.version.version != expected or entry.version <= pg.info.last_update:
            raise WireError(f"{entry.version} does not follow {pg.info.last_update} in {pg}")
        expected += 1


class _RepModify:
    """A replica's part of a write, until it is on disk."""

    __slots__ = ("epoch", "last_complete", "message", "pg")

    def __init__(self, pg: PG, message: MOSDRepOp, last_complete: EVersion) -> None:
        self.pg = pg
        self.message = message
        self.last_complete = last_complete
        self.epoch = pg.osdmap.epoch

    def on_commit(self, error: Exception | None) -> None:
        """It is on disk, or never will be."""
        pg, message = self.pg, self.message
        if error is not None:
            pg.shared.store_failed(error)
            return
        if pg.has_reset_since(self.epoch):
            return
        pg.last_complete_ondisk = self.last_complete
        reply = MOSDRepOpReply(
            map_epoch=pg.osdmap.epoch,
            min_epoch=message.min_epoch,
            trace=_NO_TRACE,
            reqid=message.reqid,
            pgid=SPGId(pg.pgid.pgid, message.from_.shard),
            ack_type=_ONDISK,
            result=0,
            last_complete_ondisk=self.last_complete,
            from_=pg.whoami,
        )
        reply.tid = message.tid
        reply.priority = PRIO_HIGH
        pg.services.send_osd(message.from_.osd, reply, pg.osdmap.epoch)


class _LogUpdate:
    """Log entries at a replica, until they are on disk."""

    __slots__ = ("epoch", "last_complete", "message", "pg")

    def __init__(self, pg: PG, message: MOSDPGUpdateLogMissing) -> None:
        self.pg = pg
        self.message = message
        self.last_complete = pg.info.last_complete
        self.epoch = pg.osdmap.epoch

    def on_commit(self, error: Exception | None) -> None:
        """They are on disk, or never will be."""
        pg, message = self.pg, self.message
        if error is not None:
            pg.shared.store_failed(error)
            return
        if pg.has_reset_since(self.epoch):
            return
        pg.last_complete_ondisk = self.last_complete
        epoch = pg.osdmap.epoch
        reply = MOSDPGUpdateLogMissingReply(
            map_epoch=epoch,
            pgid=SPGId(pg.pgid.pgid, message.from_),
            from_=pg.whoami.shard,
            rep_tid=message.rep_tid,
            min_epoch=message.min_epoch,
            last_complete_ondisk=self.last_complete,
        )
        reply.priority = PRIO_HIGH
        pg.services.send_osd(message.connection.peer_name.num, reply, epoch)


# ----------------------------------------------------------------------------------------- the log


def log_operation(
    pg: PG,
    entries: Sequence[PGLogEntry],
    raw: Sequence[bytes],
    trim_to: EVersion,
    roll_forward_to: EVersion,
    transaction: Transaction,
    *,
    update_snaps: bool = True,
) -> None:
    """Appends entries to the log, trims it, and adds what changed to the transaction."""
    info, log = pg.info, pg.log
    history = info.history
    if info.last_epoch_started != history.last_epoch_started:
        # what the primary tells of its start may come after its first writes
        history.last_epoch_started = info.last_epoch_started
        pg.meta.dirty_info = True
    if info.last_interval_started != history.last_interval_started:
        history.last_interval_started = info.last_interval_started
        pg.meta.dirty_info = True
    for entry in entries:
        version = entry.version
        if info.last_complete == info.last_update:
            info.last_complete = version
        info.last_update = version
        info.last_user_version = max(info.last_user_version, entry.user_version)
        log.add(entry)
    pg.meta.add_entries(entries, raw)
    log.can_rollback_to = max(log.can_rollback_to, roll_forward_to)
    if update_snaps:
        snap_index.update(pg, entries, transaction)
    if trim_to > log.tail:
        trim(pg, trim_to)
    meta.write(pg, transaction)


def trim(pg: PG, to: EVersion) -> None:
    """Takes entries up to `to` off the log."""
    gone: Trimmed = pg.log.trim(to, pg.options.osd_pg_log_dups_tracked)
    pg.info.log_tail = pg.log.tail
    pg.meta.trimmed(gone)


def update_trim_to(pg: PG) -> None:
    """Decides up to where the log is trimmed with the next write: what all have on disk."""
    target = _target_entries(pg)
    excess = len(pg.log) - target
    if excess <= 0:
        return
    options = pg.options
    count = min(excess, options.osd_pg_log_trim_max)
    if count < options.osd_pg_log_trim_min <= options.osd_pg_log_trim_max:
        return
    limit = min(pg.log.head, pg.log.can_rollback_to, pg.last_update_ondisk)
    if limit and limit != pg.trim_to:
        entries = pg.log.entries
        by_count = entries[min(count, len(entries)) - 1].version
        pg.trim_to = min(limit, by_count)


def _target_entries(pg: PG) -> int:
    options = pg.options
    count, target = pg.shared.pg_count, options.osd_target_pg_log_entries_per_osd
    if not count or not target:
        return options.osd_min_pg_log_entries
    most = min(target // count, options.osd_max_pg_log_entries)
    return max(most, options.osd_min_pg_log_entries)
