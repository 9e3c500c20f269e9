"""Evens out how many PGs each OSD is primary of, and so who is read from (pg_upmap_primary).

No data moves: another OSD of a PG's own goes first. For replicated pools only; clients must be of
18.2 or newer. Called by the manager and by `osdmaptool --read`. Upstream: `src/osd/OSDMap.cc` of
18.2, balance_primaries.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from spirula.crush.remap import RuleTree, verify_upmap
from spirula.crush.vector.mapper import VectorMapper
from spirula.errors import InvalidArgument, NotFound
from spirula.maps.mapping import PGMappings
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.placement import Placement
from spirula.maps.state import DEFAULT_PRIMARY_AFFINITY, primary_affinity
from spirula.types.pg import NO_OSD, PGId


@dataclass(slots=True)
class ReadBalance:
    """Primaries of each OSD before and after. Scores tell how uneven that is: 1.0 is even, 2.0
    means that somebody leads twice as many PGs as the average.
    """

    before: dict[int, int] = field(default_factory=dict)
    after: dict[int, int] = field(default_factory=dict)
    desired: dict[int, float] = field(default_factory=dict)
    changes: int = 0

    @property
    def score_before(self) -> float:
        """How uneven primaries were."""
        return _score(self.before, self.desired)

    @property
    def score_after(self) -> float:
        """How uneven they are with the changes."""
        return _score(self.after, self.desired)


def _score(primaries: dict[int, int], desired: dict[int, float]) -> float:
    """The most that anybody leads, in parts of the average of those that may lead."""
    able = sum(wanted > 0 for wanted in desired.values())
    most, total = max(primaries.values(), default=0), sum(primaries.values())
    return int(most * able / total * 100 + 0.5) / 100 if total else 0.0


def desired_primaries(osdmap: OSDMap, pgs: dict[int, int], pg_num: int) -> dict[int, float]:
    """How many of a pool's `pg_num` PGs each OSD should lead.

    In proportion to how many it has (`pgs`) and to its primary affinity; all together lead all.
    """
    shares = {
        osd: count * min(primary_affinity(osdmap, osd) / DEFAULT_PRIMARY_AFFINITY, 1.0)
        for osd, count in pgs.items()
    }
    total = sum(shares.values())
    return {osd: share * pg_num / total if total else 0.0 for osd, share in shares.items()}


def balance_reads(osdmap: OSDMap, number: int, inc: Incremental) -> ReadBalance:
    """Adds to `inc` the primaries that even out reads from a pool.

    NotFound when there is no such pool or no rule for it, InvalidArgument when it is
    erasure-coded.
    """
    pool = osdmap.pools.get(number)
    if pool is None:
        raise NotFound(f"there is no pool {number}")
    if pool.is_erasure:
        raise InvalidArgument("read balancing is for replicated pools only")
    work = copy.copy(osdmap)
    work.pg_upmap_primaries = dict(osdmap.pg_upmap_primaries)
    places = Placement(work)
    rule = places.find_rule(pool)
    tree = RuleTree(osdmap.crush, rule)
    found = PGMappings(osdmap, VectorMapper)
    pgs: dict[int, int] = {}
    result = ReadBalance()
    up: dict[PGId, tuple[list[int], int]] = {}
    for seed in range(pool.pg_num):
        pg = PGId(number, seed)
        mapping = found.get(pg)
        up[pg] = (list(mapping.up), mapping.up_primary)
        for osd in mapping.up:
            if osd != NO_OSD:
                pgs[osd] = pgs.get(osd, 0) + 1
        if mapping.up_primary >= 0:
            result.before[mapping.up_primary] = result.before.get(mapping.up_primary, 0) + 1
    for osd in pgs:
        result.before.setdefault(osd, 0)
    result.desired = desired_primaries(osdmap, pgs, len(up))
    result.after = dict(result.before)
    changed: set[PGId] = set()
    while True:
        moved = 0
        for pg, (osds, primary) in up.items():
            best = _better_primary(result, osds, primary)
            if best == primary or not _is_legal(tree, pool.size, best):
                continue
            before = work.pg_upmap_primaries.get(pg)
            work.pg_upmap_primaries[pg] = best
            if before is None and len(osds) == pool.size and _all_willing(osdmap, osds):
                at = osds.index(best)
                osds[0], osds[at] = osds[at], osds[0]  # what the map will do, without asking CRUSH
                new_osds, new_primary = osds, best
            else:
                new_osds, new_primary = places.pg_to_raw_up(pg)
            if new_primary != best:  # its primary affinity is in the way
                work.pg_upmap_primaries.pop(pg)
                if before is not None:
                    work.pg_upmap_primaries[pg] = before
                continue
            result.after[best] += 1
            result.after[primary] -= 1
            up[pg] = (new_osds, best)
            inc.new_pg_upmap_primary[pg] = best
            changed.add(pg)
            moved += 1
        if not moved:
            break
    result.changes = len(changed)
    return result


def _better_primary(result: ReadBalance, osds: list[int], primary: int) -> int:
    """An OSD of the PG that leads too few, where its primary leads too many; else the primary."""
    best = primary
    if primary < 0:
        return best
    above = result.after[primary] - result.desired[primary]
    for osd in osds:
        if osd in {NO_OSD, primary}:
            continue
        below = result.after[osd] - result.desired[osd]
        if above > 0 > below and above - below > 1 and result.desired[osd] > 0:
            best = osd
    return best


def _all_willing(osdmap: OSDMap, osds: list[int]) -> bool:
    """Whether no primary affinity plays a part."""
    return all(primary_affinity(osdmap, osd) == DEFAULT_PRIMARY_AFFINITY for osd in osds)


def _is_legal(tree: RuleTree, size: int, osd: int) -> bool:
    try:
        verify_upmap(tree, size, [osd])
    except InvalidArgument:
        return False
    return True
