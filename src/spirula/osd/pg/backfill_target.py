"""A copy of a PG that is being filled: says what it has, keeps how far it is, sets room aside.

The primary's part is in `backfill`. Room is reserved before a backfill begins, for what the primary
has and this OSD has not; an OSD beyond the map's backfillfull ratio takes none. Upstream:
`src/osd/PrimaryLogPG.cc` (do_scan, do_backfill, do_backfill_remove), `PG.cc`
(try_reserve_recovery_space).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from spirula.messages.osd_recovery import (
    BackfillOp,
    MOSDPGBackfill,
    MOSDPGBackfillRemove,
    MOSDPGScan,
    ScanOp,
)
from spirula.osd.pg import backfill_scan, transfer
from spirula.osd.pg.backfill_scan import Digest, Interval
from spirula.osd.scheduler import Kind
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG


_LOOK_BYTES = 256
"""About what is read to find the version of one object."""


@dataclass(slots=True)
class Room:
    """How many bytes the primary has of the PG, and how many of them are here by now."""

    primary_bytes: int = 0
    local_bytes: int = 0

    @property
    def reserved_bytes(self) -> int:
        """What is still to come."""
        return max(self.primary_bytes - self.local_bytes, 0)

    def note_stored(self, pg: PG, before_bytes: int, after_bytes: int) -> None:
        """An object that was so large is so large now: while filling, what is here is counted.

        It is stored with what the primary tells of its progress.
        """
        if self.primary_bytes and before_bytes != after_bytes:
            change = after_bytes - before_bytes
            self.local_bytes = max(self.local_bytes + change, 0)
            total = pg.info.stats.stats.sum
            total.num_bytes = max(total.num_bytes + change, 0)


def reserve_space(pg: PG, primary_bytes: int, local_bytes: int) -> bool:
    """Sets room aside for what the primary has more than this OSD; False if there is none."""
    options = pg.options
    if options.osd_debug_skip_full_check_in_backfill_reservation:
        unreserve_space(pg)
        return True
    if pg.shared.is_backfill_full(max(primary_bytes - local_bytes, 0)):
        return False
    pg.backfill.room = Room(primary_bytes, local_bytes) if primary_bytes else Room()
    return True


def unreserve_space(pg: PG) -> None:
    """Nothing more is to come."""
    pg.backfill.room = Room()


def on_get_digest(pg: PG, message: MOSDPGScan) -> None:
    """The primary wants to know what is here from a name on."""
    if pg.shared.is_backfill_full(0):
        pg.services.log(1, f"{pg}: Canceling backfill: Full.")
        pg.post("backfill_too_full")
        return
    cost = pg.options.osd_backfill_scan_max * _LOOK_BYTES
    then = partial(_tell_digest, pg, message, pg.osdmap.epoch)
    pg.shared.scheduler.ask(Kind.BACKFILL, cost, then)


def _tell_digest(pg: PG, message: MOSDPGScan, since: int) -> None:
    """It is our turn beside clients: looks, and answers."""
    if pg.has_reset_since(since):
        return
    found = Interval(begin=message.begin)
    backfill_scan.scan(pg, found)
    epoch = pg.osdmap.epoch
    reply = MOSDPGScan(
        op=ScanOp.DIGEST,
        map_epoch=epoch,
        query_epoch=message.query_epoch,
        pgid=pg.pgid.pgid,
        begin=found.begin,
        end=found.end,
        from_=pg.whoami,
        shard=pg.primary.shard,
    )
    reply.data = Digest(found.versions).encode()
    pg.services.send_osd(message.from_.osd, reply, epoch)


def on_progress(pg: PG, message: MOSDPGBackfill) -> None:
    """The primary says up to where this copy is filled."""
    num_bytes = pg.info.stats.stats.sum.num_bytes
    pg.info.last_backfill = message.last_backfill
    pg.info.stats = message.stats
    then = transfer.nothing_follows
    if message.op == BackfillOp.FINISH:
        then = partial(_finished, pg, message)
    else:
        pg.info.stats.stats.sum.num_bytes = num_bytes  # what is stored here
    pg.meta.dirty_info = True
    transfer.queue(pg, Transaction(), then)


def _finished(pg: PG, message: MOSDPGBackfill) -> None:
    """It is on disk that this copy is complete."""
    epoch = pg.osdmap.epoch
    reply = MOSDPGBackfill(
        op=BackfillOp.FINISH_ACK,
        map_epoch=epoch,
        query_epoch=message.query_epoch,
        pgid=pg.pgid.pgid,
        shard=pg.primary.shard,
    )
    pg.services.send_osd(pg.primary.osd, reply, epoch)
    pg.post("recovery_done")


def on_remove(pg: PG, message: MOSDPGBackfillRemove) -> None:
    """The primary says which objects are not there any more."""
    transaction = Transaction()
    for hoid, _ in message.ls:
        pg.backfill.room.note_stored(pg, transfer.stored_size(pg, hoid), 0)
        transfer.delete(pg, hoid, transaction)
    transfer.queue(pg, transaction, transfer.nothing_follows)
