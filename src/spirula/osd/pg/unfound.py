"""Who has an object that the primary lacks, and what becomes of one that nobody has.

Called by `recovery` and by commands. Upstream: `src/osd/MissingLoc.cc`, `PeeringState.cc`
(discover_all_missing, search_for_missing, build_might_have_unfound), `PrimaryLogPG.cc`
(mark_all_unfound_lost).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.maps.state import is_up
from spirula.osd.pg.peering import primary
from spirula.osd.pg.peering.work import Work
from spirula.types.pg import PGShard
from spirula.types.pg_info import QueryType

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG
    from spirula.types.hobject import HObject


def sources(pg: PG, hoid: HObject) -> list[PGShard]:
    """Who has the newest version of an object that is lacked here, members first."""
    need = pg.missing.missing[hoid].need
    peering, bad = pg.peering, pg.recovery.bad.get(hoid, ())
    found = []
    for shard, info in peering.peer_info.items():
        lacks = peering.peer_missing.get(shard)
        if lacks is None or hoid in lacks.missing or shard in bad:
            continue
        if info.last_update >= need and hoid <= info.last_backfill:
            found.append(shard)
    return sorted(found, key=lambda each: (each not in pg.replicas, each.osd))


def locate(pg: PG) -> None:
    """Finds out anew which of the objects lacked here nobody has."""
    recovery = pg.recovery
    before = len(recovery.unfound)
    recovery.unfound = {
        hoid
        for hoid, item in pg.missing.missing.items()
        if not item.is_delete and not sources(pg, hoid)
    }
    if len(recovery.unfound) != before:
        pg.stats_changed = True


def build_might_have(pg: PG) -> None:
    """Who may have what is unfound: everybody of intervals since the PG was clean, and strays."""
    found = pg.recovery.might_have
    found.update(pg.past_intervals.all_participants)
    found.update(pg.peering.peer_info)
    found.discard(pg.whoami)


def look_for_more(pg: PG) -> bool:
    """Asks those who may have what is unfound what they lack; False if there is nobody to ask."""
    peering = pg.peering
    asked = False
    work = Work(pg)
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
        asked = True
    work.finish()
    return asked or bool(peering.missing_requested)
