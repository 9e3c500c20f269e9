"""A PG on an OSD that does not lead it: tells what it has, takes over what the primary says.

States STRAY and REPLICA_ACTIVE; slots for recovery are in `replica_slots`. Handlers are in
`table`. Upstream: `src/osd/PeeringState.cc` (Stray, ReplicaActive).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.messages.osd_peering import MOSDPGInfo2, MOSDPGLog, MOSDPGNotify2
from spirula.osd.pg import lease
from spirula.osd.pg.frozen import frozen
from spirula.osd.pg.peering import activate, infos, merge
from spirula.osd.pg.peering.machine import enter
from spirula.osd.pg.peering.state import State
from spirula.types.pg import PGShard, SPGId
from spirula.types.pg_info import PGNotify, PGQuery, QueryType

if TYPE_CHECKING:
    from spirula.osd.pg.peering.work import Work
    from spirula.osd.pg.state import PG


def start(pg: PG, work: Work, _: object = None) -> None:
    """The newest map is in: as primary asks the others, else waits to be asked."""
    if pg.is_primary:
        enter(pg, work, State.GET_INFO)
    else:
        enter(pg, work, State.STRAY)
        send_notify(pg, work)


def send_notify(pg: PG, work: Work, _: object = None) -> None:
    """Tells the primary what this OSD has, if it does not know yet."""
    primary = pg.primary
    if not pg.peering.send_notify or primary.osd < 0:
        return
    lease.refresh_history(pg)
    epoch = pg.osdmap.epoch
    notify = PGNotify(
        epoch,
        epoch,
        frozen(pg.info),
        primary.shard,
        pg.whoami.shard,
        frozen(pg.past_intervals),
    )
    spgid = SPGId(pg.pgid.pgid, primary.shard)
    work.send(primary.osd, MOSDPGNotify2(spgid, notify))


def queried(pg: PG, work: Work, message: tuple[PGShard, PGQuery]) -> None:
    """The primary asks what this OSD has: its info, or its log."""
    sender, query = message
    infos.take_history(pg, query.history)
    epoch = pg.osdmap.epoch
    if query.type == QueryType.INFO:
        lease.refresh_history(pg)
        notify = PGNotify(
            query.epoch_sent,
            epoch,
            frozen(pg.info),
            sender.shard,
            pg.whoami.shard,
            frozen(pg.past_intervals),
        )
        work.send(sender.osd, MOSDPGNotify2(SPGId(pg.pgid.pgid, sender.shard), notify))
        return
    since = query.since if query.type == QueryType.LOG and query.since >= pg.log.tail else None
    log = MOSDPGLog(
        epoch=epoch,
        info=frozen(pg.info),
        log=pg.log.wire(since),
        missing=frozen(pg.missing),
        query_epoch=query.epoch_sent,
        to=sender.shard,
        from_=pg.whoami.shard,
    )
    work.send(sender.osd, log)


def info_in_stray(pg: PG, work: Work, message: tuple[PGShard, MOSDPGInfo2]) -> None:
    """The primary says that this OSD has all there is: it begins to serve."""
    _, told = message
    if pg.info.last_update > told.info.last_update:
        merge.rewind(pg, work, told.info.last_update)
        pg.info.stats = told.info.stats
        pg.info.hit_set = told.info.hit_set
    if told.lease is not None:
        lease.on_lease(pg, told.lease)
    _begin_as_replica(pg, work, told.info.last_epoch_started)


def log_in_stray(pg: PG, work: Work, message: tuple[PGShard, MOSDPGLog]) -> None:
    """The primary says what is new here: it is taken over, and this OSD begins to serve."""
    sender, log = message
    if log.info.last_backfill.is_min:
        merge.start_backfill(pg, work, log)
    else:
        merge.merge_log(pg, work, sender, log.info, log.log)
    if log.lease is not None:
        lease.on_lease(pg, log.lease)
    _begin_as_replica(pg, work, log.info.last_epoch_started)


def _begin_as_replica(pg: PG, work: Work, activation_epoch: int) -> None:
    enter(pg, work, State.REP_NOT_RECOVERING)
    activate.activate_replica(pg, work, activation_epoch)


def info_in_replica(pg: PG, work: Work, message: tuple[PGShard, MOSDPGInfo2]) -> None:
    """The primary tells what everybody has on disk now."""
    del work
    activate.take_primarys_info(pg, message[1])


def log_in_replica(pg: PG, work: Work, message: tuple[PGShard, MOSDPGLog]) -> None:
    """More log of the primary."""
    sender, log = message
    merge.merge_log(pg, work, sender, log.info, log.log)
    if log.lease is not None:
        lease.on_lease(pg, log.lease)
