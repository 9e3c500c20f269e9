"""A new primary finds out what the PG holds: who has what, whose history counts, who lacks what.

States from GET_INFO to WAIT_UP_THRU, and those in which it cannot go on. Handlers are in
`table`. Upstream: `src/osd/PeeringState.cc` (GetInfo and the states after it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.maps.state import is_up
from spirula.messages.osd_peering import MOSDPGLog, MOSDPGQuery2
from spirula.osd.pg import lease
from spirula.osd.pg.frozen import frozen
from spirula.osd.pg.peering import choose, infos, merge
from spirula.osd.pg.peering.machine import enter
from spirula.osd.pg.peering.missing import deletes_are_recovered
from spirula.osd.pg.peering.state import State
from spirula.types.base import EVersion
from spirula.types.pg import PGShard, PGState, SPGId
from spirula.types.pg_info import PGNotify, PGQuery, QueryType
from spirula.types.pg_log import PGMissing

if TYPE_CHECKING:
    from spirula.osd.pg.peering.work import Work
    from spirula.osd.pg.state import PG


def peering(pg: PG, work: Work) -> None:
    """It is to be found out who has what."""
    del work
    pg.set_state(on=PGState.PEERING)


def exit_peering(pg: PG) -> None:
    """It is known who has what, or nobody asks any more."""
    pg.set_state(off=PGState.PEERING)


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
        query(pg, work, shard, QueryType.INFO, epoch)
        peering.info_requested.add(shard)
        peering.blocked_by.add(shard.osd)


def query(
    pg: PG, work: Work, shard: PGShard, kind: QueryType, epoch: int, since: EVersion | None = None
) -> None:
    """Asks another OSD for its info, or for its log."""
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


def notify_later(pg: PG, work: Work, notify: tuple[PGShard, PGNotify]) -> None:
    """Somebody says what it has, when that is decided already."""
    del work
    sender, told = notify
    infos.take_info(pg, sender, told.info, told.epoch_sent)


def notify_in_down(pg: PG, work: Work, notify: tuple[PGShard, PGNotify]) -> None:
    """Somebody knows of a later start: perhaps nobody is missing any more."""
    sender, told = notify
    before = pg.info.history.last_epoch_started
    known = sender in pg.peering.peer_info
    if not known and infos.has_been_up_since(pg.osdmap, sender.osd, told.epoch_sent):
        infos.take_history(pg, told.info.history)
    if pg.info.history.last_epoch_started > before:
        ask_again(pg, work)


def notify_in_incomplete(pg: PG, work: Work, notify: tuple[PGShard, PGNotify]) -> None:
    """Somebody else has something of the PG: perhaps a complete copy."""
    sender, told = notify
    if infos.take_info(pg, sender, told.info, told.epoch_sent):
        pg.set_state(on=PGState.PEERING, off=PGState.INCOMPLETE)
        enter(pg, work, State.GET_LOG)


def get_log(pg: PG, work: Work) -> None:
    """Decides whose history counts, and gets it if it is another's."""
    peering = pg.peering
    made = choose.choose_acting(pg)
    if made is None:
        enter(pg, work, State.WAIT_ACTING_CHANGE if peering.want_acting else State.INCOMPLETE)
        return
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
    query(pg, work, made.best, QueryType.LOG, pg.osdmap.epoch, since)


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
        if theirs.is_empty or theirs.last_update < pg.log.tail or theirs.last_backfill.is_min:
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
            query(pg, work, shard, QueryType.LOG, epoch, since)
        else:
            query(pg, work, shard, QueryType.FULLLOG, epoch)
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
        enter(pg, work, State.ACTIVATING)


def wait_up_thru(pg: PG, work: Work) -> None:
    """Asks to be noted alive in this interval, so that a later primary knows of its writes."""
    del work
    pg.services.want_up_thru(pg.info.history.same_interval_since)


def map_in_peering(pg: PG, work: Work, _: object = None) -> None:
    """A newer map of the same interval: asks again if it changes whom writes may have reached."""
    prior = pg.peering.prior
    if prior.is_affected_by(pg.osdmap) or any(
        shard.osd in pg.peering.gone for shard in prior.probe
    ):
        ask_again(pg, work)
        return
    me = pg.osdmap.osd_info[pg.whoami.osd]
    if me.up_thru >= pg.info.history.same_interval_since:
        pg.peering.need_up_thru = False
    if infos.drop_dead(pg):
        lease.clear_prior(pg)
        lease.recheck(pg)


def ask_again(pg: PG, work: Work) -> None:
    """What was found out may be wrong by now: from the beginning."""
    pg.set_state(off=PGState.DOWN | PGState.INCOMPLETE)
    lose_down_peers(pg)
    pg.peering.log_requested = None
    pg.peering.missing_requested.clear()
    enter(pg, work, State.GET_INFO)


def map_in_get_log(pg: PG, work: Work, _: object = None) -> None:
    """A newer map: who has the log that counts may be down."""
    source = pg.peering.log_requested
    if source is not None and source.osd in pg.peering.gone:
        ask_again(pg, work)
    else:
        map_in_peering(pg, work)


def map_in_wait_up_thru(pg: PG, work: Work, _: object = None) -> None:
    """A newer map of the same interval: it may be the one that was waited for."""
    map_in_peering(pg, work)
    if pg.peering.state is State.WAIT_UP_THRU and not pg.peering.need_up_thru:
        enter(pg, work, State.ACTIVATING)


def map_in_incomplete(pg: PG, work: Work, _: object = None) -> None:
    """A newer map: fewer copies may be enough now."""
    if pg.pool.min_size < pg.peering.min_size:
        ask_again(pg, work)
    else:
        map_in_peering(pg, work)


def map_in_wait_acting_change(pg: PG, work: Work, _: object = None) -> None:
    """A newer map: who was to serve may be down."""
    if any(osd in pg.peering.gone for osd in pg.peering.want_acting):
        ask_again(pg, work)


def lose_down_peers(pg: PG) -> None:
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
    pg.peering.min_size = pg.pool.min_size
    pg.set_state(on=PGState.INCOMPLETE, off=PGState.PEERING)


def exit_down(pg: PG) -> None:
    """It is tried again."""
    pg.set_state(off=PGState.DOWN)


def exit_incomplete(pg: PG) -> None:
    """It is tried again."""
    pg.set_state(off=PGState.INCOMPLETE)
