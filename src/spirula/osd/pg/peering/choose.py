"""Whose history of a PG counts, and who should serve it, by the infos that were gathered.

Called by `machine` once all have answered. Upstream: `src/osd/PeeringState.cc` (find_best_info,
calc_replicated_acting, choose_acting).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.maps.state import is_up
from spirula.osd.pg.peering.infos import shards_of
from spirula.types.base import EVersion
from spirula.types.pg import PGShard

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG
    from spirula.types.pg_info import PGInfo


@dataclass(slots=True)
class Choice:
    """Who has the history that counts (`best`), who should serve, and who needs everything.

    `want` are OSDs in order, the primary first; `everybody` also those that are filled anew.
    """

    best: PGShard
    want: list[int]
    everybody: list[PGShard] = field(default_factory=list)
    backfill: set[PGShard] = field(default_factory=set)


def find_best(pg: PG, infos: dict[PGShard, PGInfo]) -> PGShard | None:
    """Who has all writes that may have been acknowledged; None if nobody is sure to."""
    newest_start = 0
    for info in infos.values():
        newest_start = max(newest_start, info.history.last_epoch_started)
        if not info.is_incomplete:
            newest_start = max(newest_start, info.last_epoch_started)
    of_that_start = [
        info.last_update for info in infos.values() if info.last_epoch_started >= newest_start
    ]
    if not of_that_start:
        return None
    least = min(of_that_start)
    found: PGShard | None = None
    for shard in sorted(infos, key=lambda each: (each.osd, each.shard)):
        info = infos[shard]
        if info.last_update < least or info.is_incomplete:
            continue
        if info.last_epoch_started < newest_start:
            continue
        if found is None or _rank(pg, shard, info) > _rank(pg, found, infos[found]):
            found = shard
    return found


def _rank(pg: PG, shard: PGShard, info: PGInfo) -> tuple[int, int, int, int, bool, bool]:
    """Newer first (older in erasure-coded pools: others can go back), then the longer log."""
    newest = (info.last_update.epoch, info.last_update.version)
    if pg.pool.is_erasure:
        newest = (-newest[0], -newest[1])
    tail = info.log_tail
    return (
        *newest,
        *(-tail.epoch, -tail.version),
        not info.has_missing,
        shard == pg.whoami,
    )


def choose(pg: PG) -> Choice | None:
    """Who should serve the PG; None if no complete copy is known."""
    infos = {**pg.peering.peer_info, pg.whoami: pg.info}
    infos = {shard: info for shard, info in infos.items() if _can_serve(pg, shard)}
    best = find_best(pg, infos)
    if best is None:
        return None
    log_tail = infos[best].log_tail
    up = shards_of(pg, pg.up)
    primary = best
    if up:
        first = next((each for each in up if each.osd == pg.up_primary), up[0])
        theirs = infos.get(first)
        if theirs is not None and not theirs.is_incomplete and theirs.last_update >= log_tail:
            primary = first
    made = Choice(best, [primary.osd], [primary])
    oldest: EVersion = min(infos[primary].log_tail, log_tail)
    for shard in up:
        info = infos.get(shard)
        if shard in made.everybody or info is None:
            continue
        made.everybody.append(shard)
        if info.is_incomplete or info.last_update < oldest:
            made.backfill.add(shard)
        else:
            made.want.append(shard.osd)
    others = [*shards_of(pg, pg.acting), *sorted(infos, key=lambda each: each.osd)]
    for shard in others:
        if len(made.want) >= pg.pool.size:
            break
        info = infos.get(shard)
        if shard in made.everybody or info is None:
            continue
        if not info.is_incomplete and info.last_update >= oldest:
            made.want.append(shard.osd)
            made.everybody.append(shard)
    return made


def _can_serve(pg: PG, shard: PGShard) -> bool:
    return shard == pg.whoami or is_up(pg.osdmap, shard.osd)
