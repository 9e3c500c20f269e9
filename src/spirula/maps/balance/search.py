"""The search for exceptions that even out how many PGs each OSD has.

Greedy, as upstream: take the OSD that is furthest above its target, undo an exception that brought
it a PG, or move one of its PGs to an OSD that is below; keep the change if the variance sinks.
Called by `upmaps` where there is something to gain. Upstream: `src/osd/OSDMap.cc`, calc_pg_upmaps;
without `rng` (its mode `osd_calc_pg_upmaps_aggressively=false`) it decides alike.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spirula.crush.remap import RuleTree, Wishes, try_remap_rule, verify_upmap
from spirula.errors import InvalidArgument
from spirula.maps.balance.shares import Shares
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import Placement
from spirula.types.pg import NO_OSD, PGId

Pairs = list[tuple[int, int]]
Floats = NDArray[np.float32]


@dataclass(slots=True)
class _Change:
    """Another exception for one PG (none: it is dropped), and what that moves."""

    pg: PGId
    pairs: Pairs
    moves: Pairs = field(default_factory=list)


@dataclass(slots=True)
class _Levels:
    """How far each OSD is from its target, and in which order they are looked at."""

    deviation: Floats
    variance: float
    order: list[int]

    @property
    def largest(self) -> float:
        """The distance of the OSD that is furthest from its target."""
        return float(np.abs(self.deviation).max(initial=0.0))


class Search:
    """One search: a map that changes while it goes on, and who has which PGs in it."""

    def __init__(
        self,
        osdmap: OSDMap,
        shares: Shares,
        max_deviation: int,
        pools: set[int],
        rng: random.Random | None,
        retries: int,
    ) -> None:
        self.map = copy.copy(osdmap)
        self.map.pg_upmap_items = dict(osdmap.pg_upmap_items)
        self.places = Placement(self.map)
        self.pgs = shares.pgs
        self.max_deviation = max_deviation
        self.pools = pools
        self.rng = rng
        self.retries = retries
        self.osds = sorted(self.pgs)
        self.index = {osd: at for at, osd in enumerate(self.osds)}
        self.targets = np.array([shares.target(osd) for osd in self.osds], np.float32)
        self._trees: dict[int, RuleTree] = {}
        self._raw: dict[PGId, list[int]] = {}

    # ------------------------------------------------------------------------------- the search

    def changes(self, most: int) -> Iterator[tuple[PGId, Pairs]]:
        """The changes that were kept, one by one."""
        levels = self._measure(self._counts())
        skip_overfull = False
        while most > 0 and levels.largest > self.max_deviation:
            most -= 1
            groups = self._group(levels)
            if groups is None:
                return
            in_vain: set[PGId] = set()
            while True:
                change = self._find(levels, groups, in_vain, skip_overfull=skip_overfull)
                if change is None:
                    if self.rng is None or not skip_overfull:
                        return
                    skip_overfull = False
                    break
                after = self._measure(self._counts(change))
                if after.variance < levels.variance:
                    self._apply(change)
                    levels = after
                    yield change.pg, change.pairs
                    break
                if self.rng is None:
                    return
                in_vain.add(change.pg)
                if len(in_vain) >= self.retries:
                    skip_overfull = not skip_overfull
                    break

    def _counts(self, change: _Change | None = None) -> Floats:
        """How many PGs each OSD has, after a change."""
        counts = np.array([len(self.pgs[osd]) for osd in self.osds], np.float32)
        for source, target in change.moves if change else ():
            if change and source in self.index and change.pg in self.pgs[source]:
                counts[self.index[source]] -= 1
            if change and target in self.index and change.pg not in self.pgs[target]:
                counts[self.index[target]] += 1
        return counts

    def _measure(self, counts: Floats) -> _Levels:
        deviation = counts - self.targets
        # one after the other, as C adds them up
        squares = np.add.accumulate(deviation * deviation, dtype=np.float32)
        variance = float(squares[-1]) if len(squares) else 0.0
        return _Levels(deviation, variance, np.argsort(deviation, kind="stable").tolist())

    def _group(self, levels: _Levels) -> _Groups | None:
        """Who should give and who should take; None when nobody is far enough off."""
        groups = _Groups()
        for at in reversed(levels.order):
            above = float(levels.deviation[at])
            if above <= 0:
                break
            (groups.overfull if above > self.max_deviation else groups.more_overfull).add(
                self.osds[at]
            )
        for at in levels.order:
            below = float(levels.deviation[at])
            if below >= 0:
                break
            full = below < -self.max_deviation
            (groups.underfull if full else groups.more_underfull).append(self.osds[at])
        if not groups.underfull and not groups.overfull:
            return None
        if not groups.overfull:
            groups.overfull, groups.using_more = groups.more_overfull, True
        return groups

    def _find(
        self, levels: _Levels, groups: _Groups, in_vain: set[PGId], *, skip_overfull: bool
    ) -> _Change | None:
        """A change that is worth trying: from the fullest OSDs, else to the emptiest."""
        if not (skip_overfull and groups.underfull):
            for at in reversed(levels.order):
                above = float(levels.deviation[at])
                if above < 0 or (above <= self.max_deviation and not groups.using_more):
                    break
                found = self._relieve(self.osds[at], levels, groups, in_vain)
                if found is not None:
                    return found
        for at in levels.order:
            osd = self.osds[at]
            if osd not in groups.underfull or -levels.deviation[at] < self.max_deviation:
                break
            candidates = [
                pg
                for pg in _by_id(self.map.pg_upmap_items)
                if pg not in in_vain and (not self.pools or pg.pool in self.pools)
            ]
            found = self._undo(candidates, leaving=osd)
            if found is not None:
                return found
        return None

    def _mixed(self, pgs: list[PGId]) -> list[PGId]:
        if self.rng is not None:
            self.rng.shuffle(pgs)
        return pgs

    def _relieve(
        self, osd: int, levels: _Levels, groups: _Groups, in_vain: set[PGId]
    ) -> _Change | None:
        """Something that takes a PG from an OSD that has too many."""
        pgs = self._mixed([pg for pg in _by_id(self.pgs[osd]) if pg not in in_vain])
        undone = self._undo(pgs, arriving=osd, shuffled=True)
        if undone is not None:
            return undone
        wishes = Wishes(groups.overfull, groups.underfull, groups.more_underfull)
        for pg in pgs:
            found = self._remap(pg, wishes, levels)
            if found is not None:
                return found
        return None

    def _undo(
        self, pgs: list[PGId], *, arriving: int = -1, leaving: int = -1, shuffled: bool = False
    ) -> _Change | None:
        """Drop exceptions that brought a PG to OSD `arriving`, or took one from OSD `leaving`."""
        for pg in pgs if shuffled else self._mixed(pgs):
            pairs = self.map.pg_upmap_items.get(pg)
            if pairs is None:
                continue
            kept = [(a, b) for a, b in pairs if b != arriving and a != leaving]
            if len(kept) < len(pairs):
                back = [(b, a) for a, b in pairs if b == arriving or a == leaving]
                return _Change(pg, kept, back)
        return None

    def _remap(self, pg: PGId, wishes: Wishes, levels: _Levels) -> _Change | None:
        """One more pair for a PG: from the fullest OSD that can be swapped for another."""
        pool = self.map.pools[pg.pool]
        if pg in self.map.pg_upmap:
            return None  # somebody wanted it so
        pairs = [(a, b) for a, b in self.map.pg_upmap_items.get(pg, [])]
        if len(pairs) >= pool.size:
            return None
        rule = self.places.find_rule(pool)
        original = self._raw_upmap(pg)
        if rule < 0 or not wishes.overfull.intersection(original):
            return None
        tree = self._trees.get(rule)
        if tree is None:
            tree = self._trees[rule] = RuleTree(self.map.crush, rule)
        other = try_remap_rule(tree, pool.size, wishes, original)
        if other == original or len(other) != len(original):
            return None
        existing = {osd for pair in pairs for osd in pair}
        best, place = 0.0, -1
        for at, (source, target) in enumerate(zip(original, other, strict=True)):
            if source == target or source in existing or target in existing:
                continue
            above = float(levels.deviation[self.index[source]]) if source in self.index else 0.0
            if above > best:
                best, place = above, at
        if place < 0:
            return None
        source, target = original[place], other[place]
        if not self._is_allowed(tree, pool.size, original, place, target):
            return None
        return _Change(pg, [*pairs, (source, target)], [(source, target)])

    def _is_allowed(
        self, tree: RuleTree, size: int, original: list[int], place: int, target: int
    ) -> bool:
        """Of several swaps only one is made; it must not break the rule by itself.

        Upstream does not look, and drops such exceptions when it cleans up.
        """
        made = [*original[:place], target, *original[place + 1 :]]
        try:
            verify_upmap(tree, size, [osd for osd in made if osd != NO_OSD])
        except InvalidArgument:
            return False
        return True

    def _raw_upmap(self, pg: PGId) -> list[int]:
        raw = self._raw.get(pg)
        if raw is None:
            raw = self._raw[pg] = self.places.pg_to_raw_osds(pg)
        return self.places.apply_upmap(self.map.pools[pg.pool], pg, list(raw))

    def _apply(self, change: _Change) -> None:
        for source, target in change.moves:
            self.pgs.get(source, set()).discard(change.pg)
            self.pgs.get(target, set()).add(change.pg)
        if change.pairs:
            self.map.pg_upmap_items[change.pg] = change.pairs
        else:
            del self.map.pg_upmap_items[change.pg]


@dataclass(slots=True)
class _Groups:
    """OSDs above and below their targets: by more than is allowed, and by less (`more_`)."""

    overfull: set[int] = field(default_factory=set)
    more_overfull: set[int] = field(default_factory=set)
    underfull: list[int] = field(default_factory=list)
    more_underfull: list[int] = field(default_factory=list)
    using_more: bool = False


def _by_id(pgs: Iterable[PGId]) -> list[PGId]:
    return sorted(pgs, key=lambda pg: (pg.pool, pg.seed))
