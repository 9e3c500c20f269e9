"""Exceptions that have become useless or wrong: which pg_temp, primary_temp and upmaps to drop.

The monitor cleans with every change that it makes; `osdmaptool` on demand. Upstream:
`src/osd/OSDMap.cc`, clean_temps, check_pg_upmaps, clean_pg_upmaps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from spirula.crush.remap import RuleTree, verify_upmap
from spirula.errors import InvalidArgument, NotFound
from spirula.maps.dump.values import share
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.placement import Placement
from spirula.maps.state import is_down
from spirula.types.pg import PGId
from spirula.types.pool import PGPool

Pairs = list[tuple[int, int]]


def clean_temps(before: OSDMap, after: OSDMap, inc: Incremental) -> None:
    """Drop by `inc` the temporary mappings of `after` (`before` with `inc` applied) that are of no
    use: of pools or PGs that are gone, to OSDs that are down, or no different from what is without
    them.
    """
    places = Placement(after)
    for pg, osds in sorted(after.pg_temp.items(), key=_order):
        pool = after.pools.get(pg.pool)
        if pool is None or all(is_down(after, osd) for osd in osds):
            inc.new_pg_temp[pg] = []
        elif len(osds) > pool.size or places.pg_to_raw_up(pg)[0] == osds:
            if pg in before.pg_temp:
                inc.new_pg_temp[pg] = []
            else:
                inc.new_pg_temp.pop(pg, None)
    for pg, osd in sorted(after.primary_temp.items(), key=_order):
        if is_down(after, osd):
            inc.new_primary_temp[pg] = -1
        elif places.pg_to_up_acting_osds(pg).acting_primary == places.pg_to_raw_up(pg)[1]:
            if pg in before.primary_temp:
                inc.new_primary_temp[pg] = -1
            else:
                inc.new_primary_temp.pop(pg, None)


def _order(entry: tuple[PGId, object]) -> tuple[int, int]:
    return entry[0].pool, entry[0].seed


@dataclass(slots=True)
class Cleanup:
    """PGs whose upmaps must go, and upmap_items that get shorter."""

    cancel: list[PGId] = field(default_factory=list)
    remap: dict[PGId, Pairs] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.cancel or self.remap)


def upmap_pgs(osdmap: OSDMap) -> list[PGId]:
    """The PGs with upmaps, those with whole ones first; one with both is in it twice."""
    return [pg for table in (osdmap.pg_upmap, osdmap.pg_upmap_items) for pg in _sorted(table)]


def _sorted(pgs: Iterable[PGId]) -> list[PGId]:
    return sorted(pgs, key=lambda pg: (pg.pool, pg.seed))


def check_pg_upmaps(osdmap: OSDMap, pgs: Iterable[PGId]) -> Cleanup:
    """Which upmaps of these PGs are wrong (see `verify_upmap`), or do nothing."""
    found = Cleanup()
    work = _Check(osdmap)
    for pg in pgs:
        if work.is_wrong(pg):
            found.cancel.append(pg)
            continue
        raw = work.places.pg_to_raw_osds(pg)
        if osdmap.pg_upmap.get(pg) == raw:
            found.cancel.append(pg)
            continue
        pairs = osdmap.pg_upmap_items.get(pg)
        if pairs is None:
            continue
        kept = [(a, b) for a, b in pairs if a in raw and not work.is_out(b)]
        if not kept:
            found.cancel.append(pg)
        elif kept != [(a, b) for a, b in pairs]:
            found.remap[pg] = kept
    return found


class _Check:
    """What is asked about many PGs of one map."""

    def __init__(self, osdmap: OSDMap) -> None:
        self.osdmap = osdmap
        self.places = Placement(osdmap)
        self._trees: dict[int, tuple[RuleTree, dict[int, float]] | None] = {}
        self._targets: dict[int, set[int]] = {}

    def is_out(self, osd: int) -> bool:
        """Known and out."""
        return 0 <= osd < self.osdmap.max_osd and self.osdmap.osd_weight[osd] == 0

    def _tree(self, rule: int) -> tuple[RuleTree, dict[int, float]] | None:
        if rule not in self._trees:
            try:
                tree = RuleTree(self.osdmap.crush, rule)
                self._trees[rule] = (tree, tree.weights())
            except NotFound:
                self._trees[rule] = None
        return self._trees[rule]

    def is_wrong(self, pg: PGId) -> bool:
        """The PG is gone or goes, or its upmap breaks the rule or names an OSD without a share."""
        pool = self.osdmap.pools.get(pg.pool)
        if pool is None or pg.seed >= pool.pg_num_pending:
            return True
        if pg.seed in self._merge_targets(pg.pool, pool):
            return True
        known = self._tree(pool.crush_rule)
        if known is None:
            return True
        tree, weights = known
        up = self.places.pg_to_raw_upmap(pg)
        try:
            verify_upmap(tree, pool.size, up)
        except InvalidArgument:
            return True
        return any(self._share(weights, osd) == 0 for osd in up)

    def _merge_targets(self, number: int, pool: PGPool) -> set[int]:
        """Seeds of the PGs that others are about to be merged into."""
        if number not in self._targets:
            going = range(max(pool.pg_num_pending, 1), pool.pg_num)
            self._targets[number] = {PGId(number, seed).parent().seed for seed in going}
        return self._targets[number]

    def _share(self, weights: dict[int, float], osd: int) -> float:
        if osd not in weights or not 0 <= osd < self.osdmap.max_osd:
            return 0.0
        return share(self.osdmap.osd_weight[osd]) * weights[osd]


def clean_pg_upmaps(osdmap: OSDMap, inc: Incremental, found: Cleanup | None = None) -> bool:
    """Drop by `inc` the upmaps of the map that are wrong or do nothing (or those `found`).

    True when there were any.
    """
    if found is None:
        found = check_pg_upmaps(osdmap, upmap_pgs(osdmap))
    for pg in found.cancel:
        inc.new_pg_upmap.pop(pg, None)
        inc.new_pg_upmap_items.pop(pg, None)
        if pg in osdmap.pg_upmap:
            inc.old_pg_upmap.add(pg)
        if pg in osdmap.pg_upmap_items:
            inc.old_pg_upmap_items.add(pg)
    inc.new_pg_upmap_items.update(found.remap)
    return bool(found)
