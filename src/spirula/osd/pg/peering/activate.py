"""The start of an interval: replicas are brought to the primary's log, and all begin to serve.

The primary sends each replica its info, or the part of the log that it lacks; when all have that
on disk, requests are served. Called by `machine`. Upstream: `src/osd/PeeringState.cc` (activate,
all_activated_and_committed, share_pg_info).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spirula.errors import InvariantBroken
from spirula.maps.state import is_up
from spirula.messages.osd_peering import MOSDPGInfo2, MOSDPGLog, MOSDPGRemove
from spirula.osd.ops import watch
from spirula.osd.pg import backfill, backoff, lease, premerge, recovery, snap_trim, stats, unfound
from spirula.osd.pg.frozen import frozen
from spirula.osd.pg.peering import choose, infos, machine
from spirula.osd.pg.peering.missing import note_entry
from spirula.osd.pg.peering.work import Work
from spirula.types.base import EVersion
from spirula.types.hobject import HMIN
from spirula.types.pg import NO_OSD, PGShard, PGState, SPGId
from spirula.types.pg_info import PGInfo, PGLeaseAck, PGNotify
from spirula.types.pg_log import PGLog
from spirula.types.pool import PoolFlag

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG


def activate_primary(pg: PG, work: Work) -> None:
    """The primary starts: everybody is told, and waited for."""
    info, peering = pg.info, pg.peering
    epoch = pg.osdmap.epoch
    pg.set_state(off=PGState.DOWN | PGState.PEERING, on=PGState.ACTIVATING)
    if len(_members(pg)) >= pg.pool.min_size:
        info.last_epoch_started = epoch
        info.last_interval_started = info.history.same_interval_since
    _prepare(pg, epoch)
    snap_trim.on_activate(pg, share_info)
    lease.renew(pg)
    lease.refresh_history(pg)
    peering.activated = set()
    for shard in pg.replicas:
        _start_replica(pg, work, shard)
    if recovery.is_needed(pg):
        unfound.on_activate(pg, work)
    if pg.pool.size > len(_members(pg)):
        pg.set_state(on=PGState.UNDERSIZED)
    else:
        pg.set_state(off=PGState.UNDERSIZED)
    peering.blocked_by = {shard.osd for shard in pg.replicas}
    work.committed.append(partial(machine.deliver, pg, epoch, "activate_committed"))


def activate_replica(pg: PG, work: Work, activation_epoch: int) -> None:
    """A replica starts, by the primary's word."""
    info = pg.info
    if pg.role >= 0 and info.last_epoch_started < activation_epoch:
        info.last_epoch_started = activation_epoch
        info.last_interval_started = info.history.same_interval_since
    _prepare(pg, activation_epoch)
    pg.set_state(on=PGState.ACTIVATING)
    work.committed.append(
        partial(machine.deliver, pg, pg.osdmap.epoch, "activate_committed", activation_epoch)
    )


def _members(pg: PG) -> list[int]:
    return [osd for osd in pg.acting if osd != NO_OSD]


def _prepare(pg: PG, activation_epoch: int) -> None:
    """What starts alike everywhere."""
    info = pg.info
    pg.peering.send_notify = False
    pg.peering.activation_epoch = activation_epoch
    pg.peering.need_up_thru = False
    pg.min_last_complete_ondisk = EVersion(0, 0)
    pg.last_update_ondisk = pg.last_complete_ondisk = info.last_update
    pg.projected_last_update = info.last_update
    pg.trim_to = EVersion(0, 0)
    pg.peer_last_complete_ondisk.clear()
    if pg.missing.missing:
        pg.last_complete_ondisk = info.last_complete
    else:
        info.last_complete = info.last_update
    pg.log.can_rollback_to = max(pg.log.can_rollback_to, pg.log.head)
    pg.meta.dirty_info = pg.meta.dirty_big_info = True


def _start_replica(pg: PG, work: Work, shard: PGShard) -> None:
    """Tells a replica to start: with nothing new, with what it lacks, or from nothing."""
    info, peering, epoch = pg.info, pg.peering, pg.osdmap.epoch
    theirs = peering.peer_info.get(shard)
    if theirs is None:
        raise InvariantBroken(f"{pg} starts osd.{shard} without knowing what it has")
    spgid = SPGId(pg.pgid.pgid, shard.shard)
    unknown = theirs.does_not_exist
    log: PGLog | None = None
    about = info
    target = shard in peering.backfill_targets
    if theirs.last_update == info.last_update and not (target and not theirs.is_incomplete):
        if not theirs.is_empty:
            told = MOSDPGInfo2(spgid, epoch, epoch, frozen(info), lease.current(pg), None)
            work.send(shard.osd, told)
        else:
            log = PGLog()  # there is nothing to tell, but the PG has to be made there
    elif (
        pg.log.tail > theirs.last_update
        or theirs.last_backfill.is_min
        or (target and not theirs.is_incomplete)
    ):
        about = theirs = _from_nothing(pg, theirs)
        log = pg.log.wire()
        about.log_tail = log.tail
        peering.peer_missing[shard].missing.clear()
    else:
        log = pg.log.wire(theirs.last_update)
    if log is not None:
        message = MOSDPGLog(
            epoch=epoch,
            info=frozen(about),
            log=log,
            query_epoch=pg.last_peering_reset,
            to=shard.shard,
            from_=pg.whoami.shard,
            lease=lease.current(pg),
        )
        if unknown:
            message.past_intervals = frozen(pg.past_intervals)
        work.send(shard.osd, message)
        lacks = peering.peer_missing[shard]
        for entry in log.log:
            if entry.soid <= theirs.last_backfill:
                note_entry(lacks, entry)
    if shard in peering.backfill_targets:
        peering.peer_info[shard] = theirs
    theirs.last_update = info.last_update
    if not peering.peer_missing[shard].missing:
        theirs.last_complete = theirs.last_update


def _from_nothing(pg: PG, theirs: PGInfo) -> PGInfo:
    """The info of a replica that is to be filled anew."""
    info = pg.info
    made = PGInfo.decode(theirs.encode())
    made.pgid, made.shard = theirs.pgid, theirs.shard
    made.last_update = made.last_complete = info.last_update
    made.last_backfill = HMIN
    made.last_epoch_started = info.last_epoch_started
    made.last_interval_started = info.last_interval_started
    made.history, made.hit_set = info.history, info.hit_set
    num_bytes = max(theirs.stats.stats.sum.num_bytes, 0)
    made.stats.stats = type(made.stats.stats)()
    made.stats.stats.sum.num_bytes = num_bytes
    made.purged_snaps = info.purged_snaps
    return made


# ------------------------------------------------------------------------------ all have it on disk


def on_primary_committed(pg: PG, work: Work, _: object = None) -> None:
    """This OSD has its start on disk."""
    del work
    pg.peering.activated.add(pg.whoami)
    _check_all_started(pg)


def on_replica_started(pg: PG, work: Work, message: tuple[PGShard, MOSDPGInfo2]) -> None:
    """A replica has its start on disk."""
    del work
    sender, told = message
    if told.lease_ack is not None:
        lease.on_ack(pg, sender, told.lease_ack)
    peering = pg.peering
    if sender in pg.acting_recovery_backfill and sender not in peering.activated:
        peering.activated.add(sender)
        peering.blocked_by.discard(sender.osd)
        _check_all_started(pg)


def _check_all_started(pg: PG) -> None:
    if len(pg.peering.activated) == len(pg.acting_recovery_backfill):
        lease.start_renewing(pg)
        stats.calculate(pg)
        pg.post("all_replicas_activated")


def all_replicas_activated(pg: PG, work: Work, _: object = None) -> None:
    """Everybody has the start on disk: from here on the interval counts as one with writes."""
    info = pg.info
    pg.set_state(off=PGState.ACTIVATING | PGState.CREATING | PGState.PREMERGE)
    if premerge.on_started(pg):
        pass  # nobody is served until the merge, or until it is given up
    elif len(_members(pg)) < pg.pool.min_size:
        pg.set_state(on=PGState.PEERED)
    else:
        pg.set_state(on=PGState.ACTIVE)
    lease.wait_for_prior(pg)
    if pg.pool.flags & PoolFlag.CREATING:
        pg.shared.pg_created(pg.pgid.pgid)
    info.history.last_epoch_started = info.last_epoch_started
    info.history.last_interval_started = info.last_interval_started
    pg.meta.dirty_info = True
    share_info(pg, work)
    stats.calculate(pg)
    pg.stats_changed = True
    pg.shared.stats_changed(pg)
    if recovery.is_needed(pg):
        pg.post("do_recovery")
    elif backfill.is_needed(pg):
        pg.post("request_backfill")
    else:
        pg.post("all_replicas_recovered")
    # requests go on once what all have on disk is told, and not in the middle of a step
    work.afterwards.append(partial(_serve, pg))


def become_clean(pg: PG) -> None:
    """Everybody who should has everything: earlier intervals no longer matter."""
    info, history = pg.info, pg.info.history
    if info.last_complete != info.last_update:
        raise InvariantBroken(f"{pg} is clean and lacks objects")
    if len(_members(pg)) == pg.pool.size:
        forced = PGState.FORCED_BACKFILL | PGState.FORCED_RECOVERY
        pg.set_state(on=PGState.CLEAN, off=forced)
        history.last_epoch_clean = pg.osdmap.epoch
        history.last_interval_clean = history.same_interval_since
        infos.forget_past(pg)
        pg.meta.dirty_info = True
    stats.calculate(pg)
    snap_trim.kick(pg)
    premerge.on_clean(pg)
    pg.set_state(off=PGState.REPAIR)
    purge_strays(pg)


def purge_strays(pg: PG) -> None:
    """Those who have the PG and need not have it any more are told to remove it."""
    peering, epoch = pg.peering, pg.osdmap.epoch
    if pg.state & PGState.PREMERGE:
        return
    for shard in peering.strays:
        if is_up(pg.osdmap, shard.osd):
            spgid = SPGId(pg.pgid.pgid, shard.shard)
            pg.services.send_osd(shard.osd, MOSDPGRemove(epoch, [spgid]), epoch)
            peering.purged.add(shard)
        peering.peer_info.pop(shard, None)
        peering.peer_missing.pop(shard, None)
    peering.strays.clear()


def share_info(pg: PG, work: Work) -> None:
    """Tells the replicas what counts now."""
    lease.refresh_history(pg)
    epoch, about = pg.osdmap.epoch, frozen(pg.info)
    for shard in pg.replicas:
        theirs = pg.peering.peer_info[shard]
        theirs.last_epoch_started = pg.info.last_epoch_started
        theirs.last_interval_started = pg.info.last_interval_started
        theirs.history.merge(pg.info.history)
        told = MOSDPGInfo2(
            SPGId(pg.pgid.pgid, shard.shard),
            epoch,
            epoch,
            about,
            lease.current(pg),
            None,
        )
        work.send(shard.osd, told)


def _serve(pg: PG) -> None:
    """Requests that waited go on."""
    waiting = pg.waiting
    peered, active = list(waiting.for_peered), list(waiting.for_active)
    if pg.is_peered:
        waiting.for_peered.clear()
    else:
        peered = []
    if pg.is_active():
        waiting.for_active.clear()
        for obc in pg.objects.all():
            if obc.info.watchers and not obc.watchers:
                watch.populate(pg, obc)
        backoff.release(pg)
    else:
        active = []
    pg.requeue([*active, *peered])


def on_replica_committed(pg: PG, work: Work, activation_epoch: int) -> None:
    """This OSD has its start on disk: the primary is told."""
    now = pg.osdmap.epoch
    info = PGInfo.decode(pg.info.encode())
    info.history.last_epoch_started = activation_epoch
    info.history.last_interval_started = info.history.same_interval_since
    ack: PGLeaseAck = lease.acknowledgement(pg)
    told = MOSDPGInfo2(SPGId(pg.pgid.pgid, pg.primary.shard), now, now, info, None, ack)
    work.send(pg.primary.osd, told)
    pg.set_state(off=PGState.ACTIVATING)
    if len(_members(pg)) >= pg.pool.min_size:
        pg.set_state(on=PGState.ACTIVE)
    else:
        pg.set_state(on=PGState.PEERED)
    waiting = list(pg.waiting.for_peered)
    pg.waiting.for_peered.clear()
    work.afterwards.append(partial(pg.requeue, waiting))


def take_primarys_info(pg: PG, told: MOSDPGInfo2) -> None:
    """A replica that serves learns what is on disk everywhere."""
    infos.take_history(pg, told.info.history)
    if pg.info.purged_snaps != told.info.purged_snaps:
        pg.info.purged_snaps = told.info.purged_snaps
        pg.meta.dirty_info = pg.meta.dirty_big_info = True
    if told.lease is not None:
        lease.on_lease(pg, told.lease)


def map_in_active(pg: PG, work: Work, _: object = None) -> None:
    """A newer map of the same interval."""
    if pg.meta.dirty_big_info:
        share_info(pg, work)
    for obc in pg.objects.all():
        if obc.watchers:
            watch.drop_blocklisted(pg, obc)
    if pg.peering.prior.down and infos.drop_dead(pg):
        lease.clear_prior(pg)
        lease.recheck(pg)
    recovery.on_map(pg)
    snap_trim.kick(pg)


def notify_in_active(pg: PG, work: Work, notify: tuple[PGShard, PGNotify]) -> None:
    """Somebody has something of the PG: perhaps what nobody else has, or it should serve again."""
    sender, told = notify
    peering = pg.peering
    if sender in peering.peer_info or sender in peering.purged:
        return
    if not infos.take_info(pg, sender, told.info, told.epoch_sent):
        return
    if pg.state & PGState.CLEAN:
        purge_strays(pg)
        return
    if pg.missing.missing:
        pg.recovery.might_have.add(sender)
        if pg.recovery.unfound:
            unfound.look_for_more(pg, work)
    choose.choose_acting(pg, request_pg_temp_change_only=True)
