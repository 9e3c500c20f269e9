"""Slots that a replica gives to the primaries of PGs that are recovered or filled here.

       REP_NOT_RECOVERING ──request_recovery─►  REP_WAIT_RECOVERY_RESERVED  ──slot─►  REP_RECOVERING
       REP_NOT_RECOVERING ──request_backfill_slot─►  REP_WAIT_BACKFILL_RESERVED  ──slot─►
                            REP_RECOVERING  ──given back─►  REP_NOT_RECOVERING

A slot may be taken back for a PG that needs it more; the primary then gives it back. Handlers are
in `table`. Upstream: `src/osd/PeeringState.cc` (RepNotRecovering and the states after it).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spirula.messages.osd_peering import (
    BackfillReserveType,
    MBackfillReserve,
    MRecoveryReserve,
    RecoveryReserveType,
)
from spirula.osd.pg import backfill_target
from spirula.osd.pg.peering import machine, priorities
from spirula.osd.pg.peering.state import State

if TYPE_CHECKING:
    from spirula.osd.pg.peering.work import Work
    from spirula.osd.pg.state import PG


def recovery_event(message: MRecoveryReserve) -> tuple[str, object]:
    """What a message about recovery slots means to its receiver."""
    kind = message.type
    if kind == RecoveryReserveType.REQUEST:
        return "request_recovery", message
    if kind == RecoveryReserveType.GRANT:
        return "remote_recovery_reserved", None
    if kind == RecoveryReserveType.RELEASE:
        return "recovery_done", None
    return "defer_recovery", 0.0


_BACKFILL_EVENTS = {
    BackfillReserveType.GRANT: "remote_backfill_reserved",
    BackfillReserveType.REJECT_TOOFULL: "backfill_rejected_too_full",
    BackfillReserveType.RELEASE: "backfill_released",
    BackfillReserveType.REVOKE_TOOFULL: "backfill_revoked_too_full",
    BackfillReserveType.REVOKE: "backfill_revoked",
}


def backfill_event(message: MBackfillReserve) -> tuple[str, object]:
    """What a message about backfill slots means to its receiver."""
    if message.type == BackfillReserveType.REQUEST:
        return "request_backfill_slot", message
    return _BACKFILL_EVENTS.get(BackfillReserveType(message.type), "unknown"), None


def _reserve(pg: PG, priority: int, granted: str, preempted: str) -> None:
    epoch = pg.osdmap.epoch
    pg.shared.reservers.remote.request(
        pg.pgid,
        priority,
        partial(machine.deliver, pg, epoch, granted),
        partial(machine.deliver, pg, epoch, preempted),
    )


def give_back(pg: PG) -> None:
    """The slot is free for others, and so is the room that was set aside."""
    backfill_target.unreserve_space(pg)
    pg.shared.reservers.remote.cancel(pg.pgid)


def request_recovery(pg: PG, work: Work, message: MRecoveryReserve) -> None:
    """The primary wants a slot, to bring this OSD up to date."""
    priority = message.requested_priority or priorities.recovery(pg)
    machine.enter(pg, work, State.REP_WAIT_RECOVERY_RESERVED)
    _reserve(pg, priority, "rep_recovery_reserved", "rep_recovery_preempted")


def request_backfill(pg: PG, work: Work, message: MBackfillReserve) -> None:
    """The primary wants a slot, to fill this OSD: it is refused where that has no room for it."""
    if not backfill_target.reserve_space(pg, message.primary_num_bytes, message.shard_num_bytes):
        _tell_backfill(pg, work, BackfillReserveType.REJECT_TOOFULL)
        return
    machine.enter(pg, work, State.REP_WAIT_BACKFILL_RESERVED)
    _reserve(pg, message.requested_priority, "rep_backfill_reserved", "rep_backfill_preempted")


def recovery_reserved(pg: PG, work: Work, _: object = None) -> None:
    """There is a slot for recovery."""
    _tell_recovery(pg, work, RecoveryReserveType.GRANT)
    machine.enter(pg, work, State.REP_RECOVERING)


def backfill_reserved(pg: PG, work: Work, _: object = None) -> None:
    """There is a slot for backfill."""
    _tell_backfill(pg, work, BackfillReserveType.GRANT)
    machine.enter(pg, work, State.REP_RECOVERING)


def recovery_preempted(pg: PG, work: Work, _: object = None) -> None:
    """Another PG needs the slot more: the primary is told, and gives it back."""
    backfill_target.unreserve_space(pg)
    _tell_recovery(pg, work, RecoveryReserveType.REVOKE)


def backfill_preempted(pg: PG, work: Work, _: object = None) -> None:
    """Another PG needs the slot more: the primary is told, and gives it back."""
    backfill_target.unreserve_space(pg)
    _tell_backfill(pg, work, BackfillReserveType.REVOKE)


def backfill_too_full(pg: PG, work: Work, _: object = None) -> None:
    """This OSD has reached its limit while it was filled."""
    backfill_target.unreserve_space(pg)
    _tell_backfill(pg, work, BackfillReserveType.REVOKE_TOOFULL)


def released(pg: PG, work: Work, _: object = None) -> None:
    """The primary wants no slot any more."""
    give_back(pg)
    machine.enter(pg, work, State.REP_NOT_RECOVERING)


def _tell_recovery(pg: PG, work: Work, kind: RecoveryReserveType) -> None:
    message = MRecoveryReserve(
        pgid=pg.pgid.pgid,
        query_epoch=pg.osdmap.epoch,
        type=kind,
        shard=pg.primary.shard,
    )
    work.send(pg.primary.osd, message)


def _tell_backfill(pg: PG, work: Work, kind: BackfillReserveType) -> None:
    message = MBackfillReserve(
        pgid=pg.pgid.pgid,
        query_epoch=pg.osdmap.epoch,
        type=kind,
        shard=pg.primary.shard,
    )
    work.send(pg.primary.osd, message)
