"""Takes an OSD's PGs through maps, one epoch after another: intervals, splits, merges.

All PGs that are to be merged in an epoch are at the map before it then, whether they were at the
same map all the time or were just read from the store. Called by `pgs`. Upstream: `src/osd/OSD.cc`
(advance_pg, split_pgs, prime_merges).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from spirula.errors import NotFound
from spirula.osd.pg import join, split
from spirula.osd.pg.peering import intervals
from spirula.osd.pg_removal import remove_at_once
from spirula.types.pg import PGId, SPGId

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap
    from spirula.maps.placement import PGMapping
    from spirula.osd.pg.state import PG
    from spirula.osd.pgs import PlacementGroups

MappingOf = Callable[[PGId], "PGMapping"]


def catch_up(
    groups: PlacementGroups,
    family: Iterable[PG],
    last: int,
    mapping_at: Callable[[int], MappingOf],
) -> list[PG]:
    """Takes PGs from whichever maps they have to that of epoch `last`.

    `mapping_at` gives, for an epoch, where PGs are by its map. Gives the PGs that are left, with
    the children of splits and the targets of merges.
    """
    here = list(family)
    first = min((pg.epoch for pg in here), default=last) + 1
    for epoch in range(first, last + 1):
        try:
            osdmap = groups.osd.maps.get(epoch)
        except NotFound:
            continue  # this OSD was away for so long that nobody had it any more
        here = take(groups, here, osdmap, mapping_at(epoch))
    return here


def take(
    groups: PlacementGroups, family: Iterable[PG], osdmap: OSDMap, mapping_of: MappingOf
) -> list[PG]:
    """Takes those PGs of a family to the map that are not there yet; the children are there too.

    Gives the family as it is then.
    """
    left: list[PG] = []
    shrinking: list[PG] = []
    for pg in family:
        if pg.epoch >= osdmap.epoch:
            left.append(pg)
            continue
        pool = osdmap.pools.get(pg.pgid.pgid.pool)
        if pool is not None and pool.pg_num < pg.pool.pg_num and _merges(pg, pool.pg_num):
            shrinking.append(pg)
            continue
        before = pg.pool.pg_num
        intervals.advance(pg, osdmap, mapping_of(pg.pgid.pgid))
        left.append(pg)
        if pg.pool.pg_num > before:
            left += _split(groups, pg, before, mapping_of)
    if shrinking:
        left += _merge(groups, shrinking, osdmap, mapping_of)
    return left


def _split(groups: PlacementGroups, pg: PG, before: int, mapping_of: MappingOf) -> list[PG]:
    shard = pg.pgid.shard
    # A child that is here was made for a peer before the parent, which is new and has nothing.
    seeds = {
        child
        for child in pg.pgid.pgid.children(before, pg.pool.pg_num)
        if SPGId(child, shard) not in groups.by_id
    }
    if not seeds:
        return []
    for child in seeds:
        # what is left of one that was to go would be in the way
        remove_at_once(groups.osd, SPGId(child, shard))
    children = split.split(pg, seeds, mapping_of)
    for child_pg in children:
        groups.by_id[child_pg.pgid] = child_pg
    return children


def _merges(pg: PG, pg_num: int) -> bool:
    pgid, before = pg.pgid.pgid, pg.pool.pg_num
    return pgid.seed >= pg_num or bool(pgid.children(pg_num, before))


def _merge(
    groups: PlacementGroups, pgs: list[PG], osdmap: OSDMap, mapping_of: MappingOf
) -> list[PG]:
    """Merges PGs whose pool has fewer by this map; gives the targets."""
    of_target: dict[SPGId, list[PG]] = {}
    for pg in pgs:
        pgid = pg.pgid.pgid
        target = pgid.merge_target(pg.pool.pg_num, osdmap.pools[pgid.pool].pg_num)
        if target is None:
            of_target.setdefault(pg.pgid, [])
        else:
            of_target.setdefault(SPGId(target, pg.pgid.shard), []).append(pg)
    made = []
    for target_id, sources in of_target.items():
        into = groups.by_id.get(target_id)
        if into is not None and into.epoch >= osdmap.epoch:
            # It was merged without them before: they were not here then, or not in time.
            for source in sources:
                groups.remove(source)
            continue
        if into is None:
            remove_at_once(groups.osd, target_id)
            into = join.placeholder(groups.shared, target_id, sources[0])
            groups.by_id[target_id] = into
        for source in sources:
            groups.end(source)
        join.join(into, sources, osdmap, mapping_of(target_id.pgid))
        made.append(into)
    return made
