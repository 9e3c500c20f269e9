"""The states of peering and what each does with each event (the picture is in the package).

An event is a function's name in `TABLE`; what a state does not list, it ignores. A handler runs to
its end, adds to `Work` what is to be written and sent, and may enter another state. `begin` and
`handle` are called by `intervals` (maps) and `dispatch` (messages). Upstream: `PeeringState.cc`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spirula.maps.state import is_up
from spirula.messages.osd_peering import MOSDPGInfo2, MOSDPGLog, MOSDPGNotify2, MOSDPGQuery2
from spirula.osd.pg import lease
from spirula.osd.pg.frozen import frozen
from spirula.osd.pg.peering import activate, choose, infos, merge
from spirula.osd.pg.peering.missing import deletes_are_recovered
from spirula.osd.pg.peering.state import State
from spirula.types.base import EVersion
from spirula.types.pg import PGShard, PGState, SPGId
from spirula.types.pg_info import PGNotify, PGQuery, QueryType
from spirula.types.pg_log import PGMissing

if TYPE_CHECKING:
    from spirula.osd.pg.peering.work import Work
    from spirula.osd.pg.state import PG

Handler = Callable[["PG", "Work", Any], None]


def handle(pg: PG, work: Work, event: str, value: object = None) -> None:
    """Has the present state deal with an event; one that it does not know is ignored."""
    handler = TABLE.get((pg.peering.state, event))
    if handler is not None:
        handler(pg, work, value)


def enter(pg: PG, work: Work, state: State) -> None:
    """Goes to a state, and does what is done first there."""
    pg.peering.state = state
    pg.peering.entered_at = pg.services.wall()
    begin = ENTER.get(state)
    if begin is not None:
        begin(pg, work)


# ---------------------------------------------------------------------------------- the beginning


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


# -------------------------------------------------------------------------------------- as primary


def get_info(pg: PG, work: Work) -> None:
    """Asks all whom writes may have reached what they have."""
    pg.set_state(on=PGState.PEERING)
    infos.build_prior(pg)
    if infos.drop_dead(pg):
        lease.clear_prior(pg)
    pg.peering.blocked_by.clear()
    pg.peering.info_requested.clear()
    _ask_infos(pg, work)
    _check_infos(pg, work)


def _ask_infos(pg: PG, work: Work) -> None:
    peering, epoch = pg.peering, pg.osdmap.epoch
    for shard in sorted(peering.prior.probe, key=lambda each: (each.osd, each.shard)):
        if shard == pg.whoami or shard in peering.peer_info or shard in peering.info_requested:
            continue
        if not is_up(pg.osdmap, shard.osd):
            continue
        _query(pg, work, shard, QueryType.INFO, epoch)
        peering.info_requested.add(shard)
        peering.blocked_by.add(shard.osd)


def _query(
    pg: PG, work: Work, shard: PGShard, kind: QueryType, epoch: int, since: EVersion | None = None
) -> None:
    query = PGQuery(
        kind,
        since or EVersion(),
        frozen(pg.info.history),
        epoch,
        shard.shard,
        pg.whoami.shard,
    )
    work.send(shard.osd, MOSDPGQuery2(SPGId(pg.pgid.pgid, shard.shard), query))


def _check_infos(pg: PG, work: Work) -> None:
    peering = pg.peering
    if peering.prior.pg_down:
        peering.blocked_by = set(peering.prior.blocked_by)
        enter(pg, work, State.DOWN)
    elif not peering.info_requested:
        if not peering.prior.down:
            lease.clear_prior(pg)  # all who might answer reads have answered in this interval
        enter(pg, work, State.GET_LOG)


def info_in_get_info(pg: PG, work: Work, notify: tuple[PGShard, PGNotify]) -> None:
    """One more has said what it has."""
    peering = pg.peering
    sender, told = notify
    peering.info_requested.discard(sender)
    peering.blocked_by.discard(sender.osd)
    before = pg.info.history.last_epoch_started
    if not infos.take_info(pg, sender, told.info, told.epoch_sent):
        return
    if before < pg.info.history.last_epoch_started:
        infos.build_prior(pg)
        peering.info_requested &= peering.prior.probe
        _ask_infos(pg, work)
    _check_infos(pg, work)


def info_later(pg: PG, work: Work, notify: tuple[PGShard, PGNotify]) -> None:
    """Somebody says what it has, when that is decided already or cannot be."""
    sender, told = notify
    if sender in pg.peering.peer_info and pg.peering.state is State.ACTIVE:
        return
    news = infos.take_info(pg, sender, told.info, told.epoch_sent)
    if pg.state & PGState.CLEAN:
        activate.purge_strays(pg)
    if news and pg.peering.state in (State.DOWN, State.INCOMPLETE):
        pg.set_state(off=PGState.DOWN | PGState.INCOMPLETE)
        enter(pg, work, State.GET_INFO)


def get_log(pg: PG, work: Work) -> None:
    """Decides whose history counts, and gets it if it is another's."""
    peering = pg.peering
    made = choose.choose(pg)
    if made is None:
        enter(pg, work, State.INCOMPLETE)
        return
    if made.want != pg.acting:
        peering.want_acting = made.want
        pg.shared.want_pg_temp(pg.pgid.pgid, [] if made.want == pg.up else made.want)
        pg.set_state(off=PGState.PEERING)
        enter(pg, work, State.WAIT_ACTING_CHANGE)
        return
    peering.want_acting = []
    pg.acting_recovery_backfill = made.everybody
    pg.replicas = [each for each in made.everybody if each != pg.whoami]
    peering.backfill_targets = made.backfill
    if made.best == pg.whoami:
        enter(pg, work, State.GET_MISSING)
        return
    theirs = peering.peer_info[made.best]
    since = min(
        [pg.info.last_update]
        + [
            peering.peer_info[each].last_update
            for each in pg.replicas
            if each in peering.peer_info
            and each not in made.backfill
            and peering.peer_info[each].last_update >= theirs.log_tail
        ]
    )
    if pg.info.last_update < theirs.log_tail:
        enter(pg, work, State.INCOMPLETE)
        return
    peering.log_requested = made.best
    peering.blocked_by = {made.best.osd}
    _query(pg, work, made.best, QueryType.LOG, pg.osdmap.epoch, since)


def log_in_get_log(pg: PG, work: Work, message: tuple[PGShard, MOSDPGLog]) -> None:
    """The history that counts is here: it becomes this OSD's own."""
    sender, log = message
    if sender != pg.peering.log_requested:
        return
    pg.peering.log_requested = None
    pg.peering.blocked_by.clear()
    merge.take_master_log(pg, work, sender, log)
    enter(pg, work, State.GET_MISSING)


def get_missing(pg: PG, work: Work) -> None:
    """Compares the replicas' logs with the one that counts, to know what they lack."""
    peering, epoch = pg.peering, pg.osdmap.epoch
    deletes = deletes_are_recovered(pg.osdmap)
    for shard in pg.replicas:
        theirs = peering.peer_info[shard]
        if (
            theirs.is_empty
            or theirs.last_update < pg.log.tail
            or theirs.last_backfill.is_min
            or shard in peering.backfill_targets
        ):
            peering.peer_missing[shard] = PGMissing(may_include_deletes=deletes)
            continue
        identical = theirs.last_update == pg.info.last_update
        if identical and theirs.last_update == theirs.last_complete:
            peering.peer_missing[shard] = PGMissing(may_include_deletes=deletes)
            continue
        if shard in peering.peer_missing:
            continue
        since = EVersion(0, theirs.last_epoch_started)
        if theirs.log_tail <= since:
            _query(pg, work, shard, QueryType.LOG, epoch, since)
        else:
            _query(pg, work, shard, QueryType.FULLLOG, epoch)
        peering.missing_requested.add(shard)
        peering.blocked_by.add(shard.osd)
    _check_missing(pg, work)


def log_in_get_missing(pg: PG, work: Work, message: tuple[PGShard, MOSDPGLog]) -> None:
    """A replica's log: what it did that does not count, and what it has not done."""
    sender, log = message
    if sender not in pg.peering.missing_requested:
        return
    pg.peering.missing_requested.discard(sender)
    pg.peering.blocked_by.discard(sender.osd)
    merge.take_replica_log(pg, sender, log)
    _check_missing(pg, work)


def _check_missing(pg: PG, work: Work) -> None:
    if pg.peering.missing_requested:
        return
    if pg.peering.need_up_thru:
        enter(pg, work, State.WAIT_UP_THRU)
    else:
        enter(pg, work, State.ACTIVE)


def wait_up_thru(pg: PG, work: Work) -> None:
    """Asks to be noted alive in this interval, so that a later primary knows of its writes."""
    del work
    pg.services.want_up_thru(pg.info.history.same_interval_since)


def map_in_wait_up_thru(pg: PG, work: Work, _: object = None) -> None:
    """A newer map of the same interval: it may be the one that was waited for."""
    me = pg.osdmap.osd_info[pg.whoami.osd]
    if me.up_thru >= pg.info.history.same_interval_since:
        pg.peering.need_up_thru = False
        enter(pg, work, State.ACTIVE)


def map_in_get_info(pg: PG, work: Work, _: object = None) -> None:
    """A newer map of the same interval: those who are asked may have died."""
    _lose_down_peers(pg)
    old = pg.peering.prior
    if infos.build_prior(pg) != old:
        pg.peering.info_requested &= pg.peering.prior.probe
        _ask_infos(pg, work)
        _check_infos(pg, work)


def map_in_down(pg: PG, work: Work, _: object = None) -> None:
    """A newer map: perhaps somebody whom it waits for is back, or was given up."""
    if not infos.prior_set(pg).pg_down or pg.peering.state is State.INCOMPLETE:
        pg.set_state(off=PGState.DOWN | PGState.INCOMPLETE)
        _lose_down_peers(pg)
        enter(pg, work, State.GET_INFO)


def _lose_down_peers(pg: PG) -> None:
    """What was told by those who are down now does not count."""
    peering = pg.peering
    for shard in [each for each in peering.peer_info if not is_up(pg.osdmap, each.osd)]:
        del peering.peer_info[shard]
        peering.peer_missing.pop(shard, None)
    for requested in (peering.info_requested, peering.missing_requested):
        requested -= {each for each in requested if not is_up(pg.osdmap, each.osd)}


def down(pg: PG, work: Work) -> None:
    """Nobody knows the newest writes until one of those comes back."""
    del work
    pg.set_state(on=PGState.DOWN, off=PGState.PEERING)


def incomplete(pg: PG, work: Work) -> None:
    """No copy is known to have everything."""
    del work
    pg.set_state(on=PGState.INCOMPLETE, off=PGState.PEERING)


# -------------------------------------------------------------------------------------- as replica


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
    pg.peering.state = State.REPLICA_ACTIVE
    pg.peering.entered_at = pg.services.wall()
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


ENTER: dict[State, Callable[[PG, Work], None]] = {
    State.GET_INFO: get_info,
    State.GET_LOG: get_log,
    State.GET_MISSING: get_missing,
    State.WAIT_UP_THRU: wait_up_thru,
    State.DOWN: down,
    State.INCOMPLETE: incomplete,
    State.ACTIVE: activate.activate_primary,
}

TABLE: dict[tuple[State, str], Handler] = {
    (State.RESET, "map"): start,
    (State.STRAY, "map"): send_notify,
    (State.STRAY, "query"): queried,
    (State.STRAY, "info"): info_in_stray,
    (State.STRAY, "log"): log_in_stray,
    (State.REPLICA_ACTIVE, "query"): queried,
    (State.REPLICA_ACTIVE, "info"): info_in_replica,
    (State.REPLICA_ACTIVE, "log"): log_in_replica,
    (State.GET_INFO, "map"): map_in_get_info,
    (State.GET_INFO, "notify"): info_in_get_info,
    (State.GET_LOG, "notify"): info_later,
    (State.GET_LOG, "log"): log_in_get_log,
    (State.GET_MISSING, "notify"): info_later,
    (State.GET_MISSING, "log"): log_in_get_missing,
    (State.WAIT_UP_THRU, "map"): map_in_wait_up_thru,
    (State.WAIT_UP_THRU, "notify"): info_later,
    (State.DOWN, "map"): map_in_down,
    (State.DOWN, "notify"): info_later,
    (State.INCOMPLETE, "map"): map_in_down,
    (State.INCOMPLETE, "notify"): info_later,
    (State.WAIT_ACTING_CHANGE, "notify"): info_later,
    (State.ACTIVE, "notify"): info_later,
    (State.ACTIVE, "info"): activate.on_replica_started,
    (State.ACTIVE, "map"): activate.map_in_active,
}
