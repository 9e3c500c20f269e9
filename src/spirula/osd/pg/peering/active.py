"""The primary once all have begun: recovery by the log, then backfill, each with slots reserved.

       ACTIVATING ──do_recovery─►  WAIT_LOCAL_RECOVERY_RESERVED  ──slot here─►
                    WAIT_REMOTE_RECOVERY_RESERVED  ──slots at all replicas─►  RECOVERING
       ACTIVATING, RECOVERING ──request_backfill─►  WAIT_LOCAL_BACKFILL_RESERVED  ──slot here─►
                    WAIT_REMOTE_BACKFILL_RESERVED  ──slots at all targets─►  BACKFILLING
       ACTIVATING, RECOVERING ──all_replicas_recovered─►  RECOVERED  ◄─backfilled──  BACKFILLING
       RECOVERED ──go_clean─►  CLEAN
       RECOVERING ──defer_recovery, unfound_recovery─►  NOT_RECOVERING  ──do_recovery─►  (again)
       WAIT_REMOTE_BACKFILL_RESERVED, BACKFILLING ──too full, defer_backfill, unfound_backfill─►
                    NOT_BACKFILLING  ──request_backfill─►  WAIT_LOCAL_BACKFILL_RESERVED

Handlers are in `machine.TABLE`; `recovery` and `backfill` do the work, and post events at its end.
Upstream: `src/osd/PeeringState.cc` (WaitLocalRecoveryReserved and the states after it).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spirula.maps.state import OSDState
from spirula.messages.osd_peering import (
    BackfillReserveType,
    MBackfillReserve,
    MRecoveryReserve,
    RecoveryReserveType,
)
from spirula.osd.pg import backfill, recovery
from spirula.osd.pg.peering import activate, choose, machine, priorities
from spirula.osd.pg.peering.state import State
from spirula.osd.scrub import repair
from spirula.types.pg import PGShard, PGState

if TYPE_CHECKING:
    from spirula.osd.pg.peering.work import Work
    from spirula.osd.pg.state import PG


def exit_active(pg: PG) -> None:
    """The interval is over: slots are given back."""
    pg.shared.reservers.local.cancel(pg.pgid)
    pg.shared.recoveries.forget(pg)
    pg.peering.to_reserve.clear()


def replicas_of(pg: PG) -> list[PGShard]:
    """Replicas that need a slot for recovery, by OSD."""
    return sorted(pg.replicas, key=lambda each: (each.osd, each.shard))


def _reserve_here(pg: PG, priority: int, granted: str, preempted: str) -> None:
    epoch = pg.osdmap.epoch
    pg.shared.reservers.local.request(
        pg.pgid,
        priority,
        partial(machine.deliver, pg, epoch, granted),
        partial(machine.deliver, pg, epoch, preempted, 0.0),
    )


def _give_back_here(pg: PG) -> None:
    pg.shared.reservers.local.cancel(pg.pgid)


# --------------------------------------------------------------------------------- recovery by log


def wait_local_recovery(pg: PG, work: Work) -> None:
    """Asks for a slot of this OSD; nobody who takes part may be full."""
    states = pg.osdmap.osd_state
    full = any(states[each.osd] & OSDState.FULL for each in pg.acting_recovery_backfill)
    if full and not pg.options.osd_debug_skip_full_check_in_recovery:
        pg.set_state(on=PGState.RECOVERY_TOOFULL)
        machine.later(pg, pg.options.osd_recovery_retry_interval, "do_recovery")
        machine.enter(pg, work, State.NOT_RECOVERING)
        return
    pg.set_state(on=PGState.RECOVERY_WAIT, off=PGState.RECOVERY_TOOFULL)
    _reserve_here(pg, priorities.recovery(pg), "local_recovery_reserved", "defer_recovery")
    pg.shared.stats_changed(pg)


def local_recovery_reserved(pg: PG, work: Work, _: object = None) -> None:
    """There is a slot here: now one at each replica."""
    machine.enter(pg, work, State.WAIT_REMOTE_RECOVERY_RESERVED)


def wait_remote_recovery(pg: PG, work: Work) -> None:
    """Asks the replicas for a slot, one after the other."""
    pg.peering.to_reserve.clear()
    pg.peering.to_reserve.extend(replicas_of(pg))
    remote_recovery_reserved(pg, work)


def remote_recovery_reserved(pg: PG, work: Work, _: object = None) -> None:
    """One more replica has a slot."""
    waiting = pg.peering.to_reserve
    if not waiting:
        machine.enter(pg, work, State.RECOVERING)
        return
    _tell_recovery(pg, work, waiting.popleft(), RecoveryReserveType.REQUEST)


def _tell_recovery(pg: PG, work: Work, shard: PGShard, kind: RecoveryReserveType) -> None:
    asks = kind is RecoveryReserveType.REQUEST
    message = MRecoveryReserve(
        pgid=pg.pgid.pgid,
        query_epoch=pg.osdmap.epoch,
        type=kind,
        shard=shard.shard,
        requested_priority=priorities.recovery(pg) if asks else 0,
    )
    work.send(shard.osd, message)


def recovering(pg: PG, work: Work) -> None:
    """All have a slot: objects move."""
    del work
    pg.set_state(on=PGState.RECOVERING, off=PGState.RECOVERY_WAIT | PGState.RECOVERY_TOOFULL)
    pg.shared.recoveries.queue(pg)
    pg.shared.stats_changed(pg)


def exit_recovering(pg: PG) -> None:
    """Objects do not move any more, or backfill begins."""
    pg.set_state(off=PGState.RECOVERING)


def _release_recovery(pg: PG, work: Work) -> None:
    for shard in replicas_of(pg):
        _tell_recovery(pg, work, shard, RecoveryReserveType.RELEASE)
    _give_back_here(pg)


def all_replicas_recovered(pg: PG, work: Work, _: object = None) -> None:
    """Nobody lacks anything of the log."""
    pg.set_state(off=PGState.FORCED_RECOVERY)
    _release_recovery(pg, work)
    machine.enter(pg, work, State.RECOVERED)


def request_backfill_in_recovering(pg: PG, work: Work, _: object = None) -> None:
    """Nobody lacks anything of the log; others are to be filled."""
    pg.set_state(off=PGState.FORCED_RECOVERY)
    _release_recovery(pg, work)
    if pg.peering.async_recovery_targets:
        choose.choose_acting(pg, restrict_to_up_acting=True)
    machine.enter(pg, work, State.WAIT_LOCAL_BACKFILL_RESERVED)


def defer_recovery(pg: PG, work: Work, delay_s: float) -> None:
    """A slot was taken back, or an operator wants others to be first."""
    if not pg.state & PGState.RECOVERING:
        return
    pg.set_state(on=PGState.RECOVERY_WAIT)
    _release_recovery(pg, work)
    machine.later(pg, delay_s, "do_recovery")
    machine.enter(pg, work, State.NOT_RECOVERING)


def unfound_recovery(pg: PG, work: Work, _: object = None) -> None:
    """What is still lacked is nowhere."""
    pg.set_state(on=PGState.RECOVERY_UNFOUND)
    _release_recovery(pg, work)
    machine.enter(pg, work, State.NOT_RECOVERING)


def pausing(pg: PG, work: Work) -> None:
    """Waits for a slot, for room, or for who has what is unfound; it is tried again."""
    del work
    pg.set_state(off=PGState.REPAIR)
    pg.shared.stats_changed(pg)


def exit_not_recovering(pg: PG) -> None:
    """It is tried again."""
    pg.set_state(off=PGState.RECOVERY_UNFOUND)


# ---------------------------------------------------------------------------------------- backfill


def wait_local_backfill(pg: PG, work: Work) -> None:
    """Asks for a slot of this OSD."""
    del work
    pg.set_state(on=PGState.BACKFILL_WAIT)
    _reserve_here(pg, priorities.backfill(pg), "local_backfill_reserved", "defer_backfill")
    pg.shared.stats_changed(pg)


def local_backfill_reserved(pg: PG, work: Work, _: object = None) -> None:
    """There is a slot here: now one at each who is to be filled."""
    machine.enter(pg, work, State.WAIT_REMOTE_BACKFILL_RESERVED)


def targets_of(pg: PG) -> list[PGShard]:
    """Who is to be filled, by OSD."""
    return sorted(pg.peering.backfill_targets, key=lambda each: (each.osd, each.shard))


def wait_remote_backfill(pg: PG, work: Work) -> None:
    """Asks those who are to be filled for a slot, one after the other."""
    pg.set_state(on=PGState.BACKFILL_WAIT)
    pg.peering.to_reserve.clear()
    pg.peering.to_reserve.extend(targets_of(pg))
    remote_backfill_reserved(pg, work)


def remote_backfill_reserved(pg: PG, work: Work, _: object = None) -> None:
    """One more has a slot, and room."""
    waiting = pg.peering.to_reserve
    if not waiting:
        machine.enter(pg, work, State.BACKFILLING)
        return
    shard = waiting.popleft()
    message = _backfill_message(pg, shard, BackfillReserveType.REQUEST)
    message.requested_priority = priorities.backfill(pg)
    message.primary_num_bytes = pg.info.stats.stats.sum.num_bytes
    theirs = pg.peering.peer_info[shard]
    message.shard_num_bytes = max(theirs.stats.stats.sum.num_bytes, 0)
    work.send(shard.osd, message)


def _backfill_message(pg: PG, shard: PGShard, kind: BackfillReserveType) -> MBackfillReserve:
    return MBackfillReserve(
        pgid=pg.pgid.pgid,
        query_epoch=pg.osdmap.epoch,
        type=kind,
        shard=shard.shard,
    )


def _release_backfill(pg: PG, work: Work, shards: list[PGShard]) -> None:
    for shard in shards:
        work.send(shard.osd, _backfill_message(pg, shard, BackfillReserveType.RELEASE))
    _give_back_here(pg)


def _try_backfill_again(pg: PG, work: Work, delay_s: float) -> None:
    machine.later(pg, delay_s, "request_backfill")
    machine.enter(pg, work, State.NOT_BACKFILLING)


def backfill_refused(pg: PG, work: Work, *, full: bool) -> None:
    """Somebody has no room, or took the slot back, before all had one."""
    asked = [each for each in targets_of(pg) if each not in pg.peering.to_reserve]
    _release_backfill(pg, work, asked)
    pg.set_state(on=PGState.BACKFILL_TOOFULL if full else 0, off=PGState.BACKFILL_WAIT)
    pg.shared.stats_changed(pg)
    _try_backfill_again(pg, work, pg.options.osd_backfill_retry_interval)


def backfill_rejected_too_full(pg: PG, work: Work, _: object = None) -> None:
    """One of those to be filled has no room."""
    backfill_refused(pg, work, full=True)


def backfill_slot_revoked(pg: PG, work: Work, _: object = None) -> None:
    """One of those to be filled took its slot back before all had one."""
    backfill_refused(pg, work, full=False)


def backfilling(pg: PG, work: Work) -> None:
    """All have a slot: `backfill` begins, and posts `backfilled` at its end."""
    del work
    pg.set_state(on=PGState.BACKFILLING, off=PGState.BACKFILL_WAIT | PGState.BACKFILL_TOOFULL)
    backfill.start(pg)
    pg.shared.recoveries.queue(pg)
    pg.shared.stats_changed(pg)


def exit_backfilling(pg: PG) -> None:
    """Backfill is done, or stops: what it has under way does not count any more."""
    backfill.stop(pg)
    pg.set_state(off=PGState.BACKFILLING | PGState.FORCED_BACKFILL | PGState.FORCED_RECOVERY)


def backfilled(pg: PG, work: Work, _: object = None) -> None:
    """Everybody has everything."""
    _release_backfill(pg, work, targets_of(pg))
    machine.enter(pg, work, State.RECOVERED)


def defer_backfill(pg: PG, work: Work, delay_s: float) -> None:
    """The slot here was taken back, or an operator wants others to be first."""
    pg.set_state(on=PGState.BACKFILL_WAIT)
    _release_backfill(pg, work, targets_of(pg))
    _try_backfill_again(pg, work, delay_s)


def unfound_backfill(pg: PG, work: Work, _: object = None) -> None:
    """What is still to be copied is nowhere."""
    pg.set_state(on=PGState.BACKFILL_UNFOUND)
    _release_backfill(pg, work, targets_of(pg))
    machine.enter(pg, work, State.NOT_BACKFILLING)


def backfill_revoked_too_full(pg: PG, work: Work, _: object = None) -> None:
    """Somebody is filled to his limit."""
    pg.set_state(on=PGState.BACKFILL_TOOFULL)
    _release_backfill(pg, work, targets_of(pg))
    _try_backfill_again(pg, work, pg.options.osd_backfill_retry_interval)


def backfill_revoked(pg: PG, work: Work, _: object = None) -> None:
    """Somebody gave the slot to a PG that needs it more."""
    if not backfill.is_needed(pg):
        return  # it has told that it is complete meanwhile
    pg.set_state(on=PGState.BACKFILL_WAIT)
    _release_backfill(pg, work, targets_of(pg))
    machine.enter(pg, work, State.WAIT_LOCAL_BACKFILL_RESERVED)


def exit_not_backfilling(pg: PG) -> None:
    """It is tried again."""
    pg.set_state(off=PGState.BACKFILL_UNFOUND)


# ------------------------------------------------------------------------------------------ the end


def recovered(pg: PG, work: Work) -> None:
    """Everybody has everything; perhaps others should serve now."""
    del work
    if len(pg.acting_recovery_backfill) >= pg.pool.size:
        pg.set_state(off=PGState.FORCED_BACKFILL | PGState.FORCED_RECOVERY)
    if pg.acting != pg.up or pg.peering.async_recovery_targets:
        choose.choose_acting(pg, restrict_to_up_acting=True)
    if not pg.peering.async_recovery_targets:
        pg.post("go_clean")


def clean(pg: PG, work: Work) -> None:
    """Nothing is left to do; earlier intervals no longer matter."""
    activate.become_clean(pg)
    activate.share_info(pg, work)
    recovery.on_clean(pg)
    repair.on_clean(pg)
    pg.shared.stats_changed(pg)


def exit_clean(pg: PG) -> None:
    """Something is to be repaired, or the interval is over."""
    pg.set_state(off=PGState.CLEAN)


def to(state: State) -> machine.Handler:
    """A handler that does nothing but enter a state."""

    def handler(pg: PG, work: Work, _: object = None) -> None:
        machine.enter(pg, work, state)

    return handler
