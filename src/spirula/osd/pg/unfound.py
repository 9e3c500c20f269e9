"""Who has an object that the primary lacks, and who is asked when nobody of the members has it.

Called by `recovery` and the states of peering; what an operator decides of objects that stay
unfound is in `lost`. Upstream: `src/osd/MissingLoc.cc`, `PeeringState.cc` (discover_all_missing,
search_for_missing, build_might_have_unfound, all_unfound_are_queried_or_lost).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.maps.state import exists, is_up
from spirula.messages.osd_peering import MOSDPGInfo2, MOSDPGLog
from spirula.osd.pg.frozen import frozen
from spirula.osd.pg.peering import merge, primary
from spirula.osd.pg.peering.work import Work
from spirula.types.pg import PGShard, PGState, SPGId
from spirula.types.pg_info import PGInfo, QueryType
from spirula.types.pg_log import LogOp

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG
    from spirula.types.base import EVersion
    from spirula.types.hobject import HObject
    from spirula.types.pg_log import PGMissingItem


def reverting_to(pg: PG, hoid: HObject) -> EVersion | None:
    """The older version that an operator wants back, where that is the object's newest change."""
    latest = pg.log.objects.get(hoid)
    if latest is None or latest.op != LogOp.LOST_REVERT:
        return None
    return latest.reverting_to


def sources(pg: PG, hoid: HObject) -> list[PGShard]:
    """Who has the version that is wanted of an object that is lacked here, members first."""
    need = pg.missing.missing[hoid].need
    older = reverting_to(pg, hoid)
    peering, bad = pg.peering, pg.recovery.bad.get(hoid, ())
    found = []
    for shard, info in peering.peer_info.items():
        lacks = peering.peer_missing.get(shard)
        if lacks is None or shard in bad:
            continue
        item = lacks.missing.get(hoid)
        if item is not None:
            if older is not None and item.have == older:
                found.append(shard)
        elif info.last_update >= need and hoid <= info.last_backfill:
            found.append(shard)
    return sorted(found, key=lambda each: (each not in pg.replicas, each.osd))


def locate(pg: PG) -> None:
    """Finds out anew which of the objects that are lacked here nobody has."""
    recovery = pg.recovery
    before = len(recovery.unfound)
    recovery.unfound = {
        hoid for hoid, item in pg.missing.missing.items() if _is_nowhere(pg, hoid, item)
    }
    if len(recovery.unfound) != before:
        pg.stats_changed = True


def _is_nowhere(pg: PG, hoid: HObject, item: PGMissingItem) -> bool:
    if item.is_delete or item.have == reverting_to(pg, hoid):
        return False
    return not sources(pg, hoid)


def on_activate(pg: PG, work: Work) -> None:
    """Members know what they lack: if that is nowhere, others are asked."""
    locate(pg)
    found = pg.recovery.might_have
    found.clear()
    found.update(pg.past_intervals.all_participants)
    found.update(pg.peering.peer_info)
    found.discard(pg.whoami)
    if pg.recovery.unfound:
        look_for_more(pg, work)


def look_for_more(pg: PG, work: Work) -> bool:
    """Asks those who may have what is unfound what they lack; False if no answer is to come."""
    peering = pg.peering
    for shard in sorted(pg.recovery.might_have, key=lambda each: (each.osd, each.shard)):
        if not is_up(pg.osdmap, shard.osd) or shard in peering.purged:
            continue
        info = peering.peer_info.get(shard)
        if info is not None and info.is_empty:
            continue
        if shard in peering.peer_missing or shard in peering.missing_requested:
            continue
        peering.missing_requested.add(shard)
        primary.query(pg, work, shard, QueryType.FULLLOG, pg.osdmap.epoch)
    return any(is_up(pg.osdmap, each.osd) for each in peering.missing_requested)


def look_again(pg: PG) -> bool:
    """`look_for_more`, as a step of its own."""
    work = Work(pg)
    asked = look_for_more(pg, work)
    work.finish()
    return asked


def on_log(pg: PG, work: Work, message: tuple[PGShard, MOSDPGLog]) -> None:
    """One who was asked tells what it has, and what it lacks."""
    sender, log = message
    pg.peering.missing_requested.discard(sender)
    merge.take_replica_log(pg, sender, log)
    before = len(pg.recovery.unfound)
    locate(pg)
    if len(pg.recovery.unfound) < before:
        theirs = PGInfo.decode(log.info.encode())
        theirs.shard = pg.whoami.shard
        epoch = pg.osdmap.epoch
        about = MOSDPGInfo2(
            SPGId(pg.pgid.pgid, sender.shard), epoch, epoch, frozen(theirs), None, None
        )
        work.send(sender.osd, about)  # upstream's replicas give objects away once they have begun
    resume(pg)


def resume(pg: PG) -> None:
    """Goes on with what can be recovered by what is known now."""
    if not pg.is_peered:
        return
    pg.recovery.todo.clear()
    pg.shared.recoveries.queue(pg)
    if pg.state & PGState.BACKFILL_UNFOUND:
        pg.post("request_backfill")
        return
    more = not pg.recovery.unfound or len(pg.recovery.unfound) < len(pg.missing.missing)
    if more and pg.state & PGState.RECOVERY_UNFOUND:
        pg.post("do_recovery")


def are_all_queried(pg: PG) -> bool:
    """Nobody is left who may have what is unfound, and could be asked or may come back."""
    peering, osdmap = pg.peering, pg.osdmap
    for shard in pg.recovery.might_have:
        if shard in peering.peer_missing:
            continue
        info = peering.peer_info.get(shard)
        if info is not None and (info.is_empty or info.does_not_exist):
            continue
        if not exists(osdmap, shard.osd):
            continue
        known = osdmap.osd_info[shard.osd]
        if known.lost_at <= known.up_from:
            return False
    return True


def describe(pg: PG) -> list[tuple[PGShard, str]]:
    """Who may have what is unfound, and what was tried."""
    peering = pg.peering
    found = []
    for shard in sorted(pg.recovery.might_have, key=lambda each: (each.osd, each.shard)):
        if shard in peering.peer_missing:
            status = "already probed"
        elif shard in peering.missing_requested:
            status = "querying"
        elif not is_up(pg.osdmap, shard.osd):
            status = "osd is down"
        else:
            status = "not queried"
        found.append((shard, status))
    return found
