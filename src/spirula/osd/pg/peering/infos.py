"""Who has to be asked for what he has of a PG: everybody whom writes may have reached.

From the intervals since the PG was last clean follows whether enough of those are there to know
the newest write that was acknowledged. Called by `machine`. Upstream: `src/osd/osd_types.h`
(PastIntervals::PriorSet), `PeeringState.cc` (build_prior, proc_replica_info).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.maps.state import exists, is_up
from spirula.osd.pg.peering.state import OUTER, PriorSet, State
from spirula.types.hobject import NO_SHARD
from spirula.types.pg import NO_OSD, PGShard, PGState

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap
    from spirula.osd.pg.state import PG
    from spirula.types.pg_info import PGHistory, PGInfo


def shards_of(pg: PG, osds: list[int]) -> list[PGShard]:
    """The members of a set of OSDs, holes left out."""
    erasure = pg.pool.is_erasure
    return [
        PGShard(osd, place if erasure else NO_SHARD)
        for place, osd in enumerate(osds)
        if osd != NO_OSD
    ]


def prior_set(pg: PG) -> PriorSet:
    """Who is to be asked, by what is known now."""
    made, osdmap = PriorSet(), pg.osdmap
    made.probe.update(shards_of(pg, pg.acting), shards_of(pg, pg.up))
    since = pg.info.history.last_epoch_started
    for interval in pg.past_intervals.may_have_writes_since(since):
        there = False
        lacking: dict[int, int] = {}
        for member in interval.acting:
            osd = member.osd
            if is_up(osdmap, osd):
                made.probe.add(member)
                there = True
                continue
            if not exists(osdmap, osd):
                continue
            lost_at = osdmap.osd_info[osd].lost_at
            if lost_at > interval.first:
                there = True  # given up by an operator: nobody waits for it
            else:
                made.down.add(osd)
                lacking[osd] = lost_at
        if not there and lacking:
            made.pg_down = True
            made.blocked_by.update(lacking)
    return made


def build_prior(pg: PG) -> PriorSet:
    """`prior_set`, with what follows from it for the PG."""
    made = pg.peering.prior = prior_set(pg)
    if made.pg_down:
        pg.set_state(on=PGState.DOWN)
    osdmap, me = pg.osdmap, pg.whoami.osd
    up_thru = osdmap.osd_info[me].up_thru if me < osdmap.max_osd else 0
    pg.peering.need_up_thru = up_thru < pg.info.history.same_interval_since
    return made


def take_history(pg: PG, theirs: PGHistory) -> None:
    """Takes over what another OSD knows better of the PG's past."""
    history = pg.info.history
    if history.merge(theirs):
        pg.meta.dirty_info = True
        if history.last_epoch_clean >= history.same_interval_since:
            forget_past(pg)
        left = float(history.prior_readable_until_ub)
        pg.prior_readable_until_ub = pg.shared.mono() + left if left else 0.0


def forget_past(pg: PG) -> None:
    """The PG is clean: nobody of an earlier interval has anything that is not here."""
    if not pg.past_intervals.is_empty:
        pg.past_intervals = type(pg.past_intervals)()
        pg.meta.dirty_info = pg.meta.dirty_big_info = True


def take_info(pg: PG, sender: PGShard, info: PGInfo, epoch: int) -> bool:
    """Notes what another OSD has; False if that is nothing new."""
    peering = pg.peering
    known = peering.peer_info.get(sender)
    if known is not None and known.last_update == info.last_update:
        return False
    if not has_been_up_since(pg.osdmap, sender.osd, epoch):
        return False
    peering.peer_info[sender] = info
    take_history(pg, info.history)
    if sender.osd not in pg.up and sender.osd not in pg.acting:
        peering.strays.add(sender)
    return True


def drop_dead(pg: PG) -> bool:
    """Leaves out of those who are down whoever is known to have ended, too.

    True when nobody is left who could still answer reads of an earlier interval.
    """
    down, osdmap = pg.peering.prior.down, pg.osdmap
    dead = {osd for osd in down if exists(osdmap, osd) and is_dead(osdmap, osd)}
    down -= dead
    return not down


def drop_down(pg: PG) -> bool:
    """Forgets what OSDs told that are down now, whether there are any: back again, they tell anew.

    Those of the acting set are up, or there were a new interval.
    """
    peering, osdmap = pg.peering, pg.osdmap
    known = {*peering.peer_info, *peering.purged}
    down = [shard for shard in known if not is_up(osdmap, shard.osd)]
    for shard in down:
        peering.peer_info.pop(shard, None)
        peering.peer_missing.pop(shard, None)
        peering.missing_requested.discard(shard)
        peering.purged.discard(shard)
    return bool(down)


def note_gone(pg: PG) -> None:
    """Of one of several maps: notes who is down of those that answers are awaited from."""
    peering, osdmap = pg.peering, pg.osdmap
    if State.PEERING not in OUTER[peering.state] and not peering.want_acting:
        return
    asked = {shard.osd for shard in peering.prior.probe}
    asked.update(osd for osd in peering.want_acting if osd != NO_OSD)
    if peering.log_requested is not None:
        asked.add(peering.log_requested.osd)
    peering.gone.update(osd for osd in asked if not is_up(osdmap, osd))


def is_dead(osdmap: OSDMap, osd: int) -> bool:
    """The map says that the process which was up last has ended."""
    return osdmap.osd_xinfo[osd].dead_epoch > osdmap.osd_info[osd].up_from


def has_been_up_since(osdmap: OSDMap, osd: int, epoch: int) -> bool:
    """Whether the OSD is up and was not down after `epoch`."""
    return is_up(osdmap, osd) and osdmap.osd_info[osd].up_from <= epoch
