"""The places of all PGs of an epoch, kept: looked up at once, and updated for the next epoch.

Most PGs are plain: all that CRUSH picks for them is up, and nobody made an exception. They are rows
of an array; the others are settled one by one by `placement` and kept beside it. `advance` asks
CRUSH only for the PGs that a change can move. Used by clients for each operation and by OSDs,
monitors and the manager for each epoch. Upstream: `src/osd/OSDMapMapping.h` (which rebuilds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spirula.crush.map import ChooseArg, CrushMap, RuleOp
from spirula.crush.mapper import Mapper
from spirula.crush.vector import VectorMapper
from spirula.errors import LimitExceeded, NotFound
from spirula.kernels.jenkins import Hasher
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import NOWHERE, PGMapping, Placement, RuleMapper, hash_key
from spirula.maps.state import DEFAULT_PRIMARY_AFFINITY, OSDState
from spirula.types.pg import NO_OSD, PGId
from spirula.types.pool import PGPool, PoolFlag

Numbers = NDArray[np.int64]
Rows = NDArray[np.intp]
_BLOCK = 65_536
MAX_PLACES = 1 << 27
_COMPAT_CHOOSE_ARGS = -1
_UP = int(OSDState.EXISTS | OSDState.UP)


class Picked(Protocol):
    """What CRUSH picks for many inputs: the first `length` items of each row of `values`."""

    values: Numbers
    length: Numbers


class ManyMapper(Protocol):
    """What picks devices for many inputs: `spirula.crush.vector.VectorMapper`, or `OneByOne`."""

    def map_many(self, rule: int, xs: Any, count: int, weights: Any) -> Picked:
        """The devices for each of the inputs `xs`, at most `count`."""
        ...


MakeManyMapper = Callable[[CrushMap, dict[int, ChooseArg] | None], ManyMapper]


@dataclass(slots=True)
class _Rows:
    values: Numbers
    length: Numbers


class OneByOne:
    """A `ManyMapper` of a mapper for single inputs."""

    def __init__(self, mapper: RuleMapper) -> None:
        self.mapper = mapper

    @classmethod
    def of(cls, crush: CrushMap, choose_args: dict[int, ChooseArg] | None) -> OneByOne:
        """One around the plain mapper."""
        return cls(Mapper(crush, choose_args))

    def map_many(self, rule: int, xs: Any, count: int, weights: Any) -> Picked:
        """The devices for each of the inputs `xs`, at most `count`."""
        known = np.asarray(weights).tolist()
        values = np.full((len(xs), count), NO_OSD, np.int64)
        length = np.zeros(len(xs), np.int64)
        for row, x in enumerate(np.asarray(xs).tolist()):
            osds = self.mapper.do_rule(rule, x, count, known)
            values[row, : len(osds)] = osds
            length[row] = len(osds)
        return _Rows(values, length)


@dataclass(slots=True)
class PoolPlaces:
    """The places of one pool's PGs.

    `pps` are placement seeds, `picked` and `length` what CRUSH picked for them; `special` holds the
    PGs whose mapping is not simply what was picked.
    """

    pool: PGPool
    rule: int
    pps: Numbers
    picked: NDArray[np.int32]
    length: NDArray[np.int16]
    special: dict[int, PGMapping]
    mask: int
    count: int

    def at(self, seed: int) -> PGMapping:
        """The mapping of one PG, a seed below `count`."""
        found = self.special.get(seed)
        if found is None:
            osds = self.picked[seed].tolist()
            # what the class itself does, in half the time
            found = tuple.__new__(PGMapping, (osds, osds[0], osds, osds[0]))
        return found


class PGMappings:
    """The mappings of all PGs of one map. Neither may be changed; `advance` makes the next one.

    `pools` holds the places by pool; `spirula.maps.by_osd` reads them from the OSDs' side.
    `asked` tells for how many PGs CRUSH was asked when this was made. Mappings that are handed out
    are shared: they are not to be changed. LimitExceeded for a map with absurdly many PGs.
    """

    pools: dict[int, PoolPlaces]

    def __init__(self, osdmap: OSDMap, make_mapper: MakeManyMapper = VectorMapper) -> None:
        self._build(osdmap, make_mapper, None)

    def advance(self, osdmap: OSDMap) -> PGMappings:
        """The mappings of another map, as a rule that of the next epoch; this one stays."""
        made = object.__new__(type(self))
        made._build(osdmap, self._make_mapper, self)
        return made

    # ---------------------------------------------------------------------------------- looking up

    def get(self, pg: PGId) -> PGMapping:
        """Where a PG is; a seed of full precision counts as the PG that it belongs to."""
        places = self.pools.get(pg.pool)
        if places is None:
            return NOWHERE
        seed = pg.seed & places.mask
        return places.at(seed if seed < places.count else seed & places.mask >> 1)

    def locate(
        self, pool_id: int, name: str, key: str = "", nspace: str = "", hash: int = -1
    ) -> tuple[PGId, PGMapping]:
        """The PG of an object and where it is; see `Placement.object_pg` for the arguments.

        NotFound when there is no such pool, or none of its PGs.
        """
        places = self.pools.get(pool_id)
        if places is None:
            raise NotFound(f"no pool {pool_id}")
        full = hash if hash >= 0 else hash_key(places.pool, key or name, nspace)
        seed = full & places.mask
        if seed >= places.count:
            seed &= places.mask >> 1
        return PGId(pool_id, seed), places.at(seed)

    # ------------------------------------------------------------------------------------ building

    def _build(
        self,
        osdmap: OSDMap,
        make_mapper: MakeManyMapper,
        old: PGMappings | None,
    ) -> None:
        wanted = sum(pool.pg_num * max(pool.size, 1) for pool in osdmap.pools.values())
        if wanted > MAX_PLACES:
            raise LimitExceeded(f"{wanted} places of PGs", path="OSDMap.pools", limit=MAX_PLACES)
        self.osdmap = osdmap
        self.asked = 0
        self._make_mapper = make_mapper
        self._placement = Placement(osdmap, Mapper)
        same = old is not None and old.osdmap.crush is osdmap.crush
        self._mappers: dict[int | None, ManyMapper] = old._mappers if old and same else {}
        self._weights = np.asarray(osdmap.osd_weight, np.int64)
        self._plain = _plain_osds(osdmap)
        self._excepted = _by_pool(table for _, table in self._tables())
        changes = None if old is None else _Changes(old, self)
        self.pools = {
            number: self._places(
                number, pool, None if old is None else old.pools.get(number), changes
            )
            for number, pool in osdmap.pools.items()
            if pool.pg_num
        }

    def _tables(self) -> list[tuple[str, Mapping[PGId, object]]]:
        """All exceptions that are made for single PGs."""
        osdmap = self.osdmap
        return [
            ("pg_upmap", osdmap.pg_upmap),
            ("pg_upmap_items", osdmap.pg_upmap_items),
            ("pg_upmap_primaries", osdmap.pg_upmap_primaries),
            ("pg_temp", osdmap.pg_temp),
            ("primary_temp", osdmap.primary_temp),
        ]

    def _places(
        self, number: int, pool: PGPool, old: PoolPlaces | None, changes: _Changes | None
    ) -> PoolPlaces:
        """The places of a pool, made from the old ones where those are still good."""
        rule = self._placement.find_rule(pool)
        same_rule = old is not None and (old.rule, old.pool.size) == (rule, pool.size)
        if old is None or changes is None or not same_rule or not changes.same_tree(number, rule):
            places = _empty_places(number, pool, rule)
            everything = np.arange(pool.pg_num)
            self._ask_crush(number, places, everything)
            self._settle(number, places, everything)
            return places
        if _same_seeds(old.pool, pool):
            pps = old.pps
            moved: Rows = np.empty(0, np.intp)
        else:
            pps = _placement_seeds(number, pool)
            both = min(len(pps), len(old.pps))
            moved = np.concatenate(
                [np.flatnonzero(pps[:both] != old.pps[:both]), np.arange(both, len(pps))]
            )
        resized = len(pps) != len(old.pps)
        reweighted = changes.reweighted_rows(old, rule)
        reweighted = reweighted[reweighted < len(pps)]
        moved = _union(moved, reweighted)
        if old.pool.type != pool.type:
            settle: Rows = np.arange(len(pps))
        else:
            settle = _union(moved, changes.settled_rows(number, old))
            settle = settle[settle < len(pps)]
        if not len(settle) and not resized:
            return _with_pool(old, pool)
        places = _resized(old, pool, pps)
        self._ask_crush(number, places, moved)
        self._settle(number, places, settle)
        return places

    def _ask_crush(self, number: int, places: PoolPlaces, rows: Rows) -> None:
        """Asks CRUSH for the devices of these rows."""
        if not len(rows) or places.rule < 0 or not places.pool.size:
            return
        self.asked += len(rows)
        size = places.pool.size
        mapper = self._mapper_of(number)
        found = mapper.map_many(places.rule, places.pps[rows], size, self._weights)
        places.picked[rows] = NO_OSD
        places.picked[rows, : found.values.shape[1]] = found.values
        places.length[rows] = found.length

    def _mapper_of(self, number: int) -> ManyMapper:
        crush = self.osdmap.crush
        key = _choose_args_key(crush, number)
        mapper = self._mappers.get(key)
        if mapper is None:
            args = None if key is None else crush.choose_args[key]
            mapper = self._mappers[key] = self._make_mapper(crush, args)
        return mapper

    def _settle(self, number: int, places: PoolPlaces, rows: Rows) -> None:
        """Decides for these rows whether they are plain, and finds the places of those that are
        not.
        """
        if not len(rows):
            return
        size = places.pool.size
        picked = places.picked[rows]
        special = np.zeros(len(rows), bool) if size else np.ones(len(rows), bool)
        special |= places.length[rows] < size
        special |= ~self._plain[_indices(picked, len(self._plain) - 1)].all(axis=1)
        excepted = self._excepted.get(number)
        if excepted:
            special |= np.isin(rows, list(excepted))
        if len(rows) == places.count:
            places.special.clear()
        elif places.special:
            for seed in rows.tolist():
                places.special.pop(seed, None)
        for at in np.flatnonzero(special).tolist():
            seed = int(rows[at])
            osds = picked[at, : places.length[seed]].tolist()
            places.special[seed] = self._placement.settle(places.pool, PGId(number, seed), osds)


class _Changes:
    """What differs between two maps, as far as it can move PGs."""

    def __init__(self, old: PGMappings, new: PGMappings) -> None:
        self.old, self.new = old, new
        before, after = _padded(old._weights, new._weights)
        self._before, self._after = before, after
        self._heavier = np.flatnonzero(after > before)
        self._lighter = np.flatnonzero(after < before)
        self._osds = _changed_osds(old.osdmap, new.osdmap, before, after)
        self._keys = _by_pool(_different(old._tables(), new._tables()))
        self._trees: dict[tuple[int | None, int | None, int], bool] = {}
        self._reach: dict[int, NDArray[np.bool_]] = {}

    def same_tree(self, number: int, rule: int) -> bool:
        """True when a rule means the same in both maps for this pool."""
        old, new = self.old.osdmap.crush, self.new.osdmap.crush
        if old is new:
            return True
        keys = (_choose_args_key(old, number), _choose_args_key(new, number))
        found = self._trees.get((*keys, rule))
        if found is None:
            args = [
                None if key is None else crush.choose_args[key]
                for crush, key in zip((old, new), keys, strict=True)
            ]
            found = (
                old.tunables == new.tunables
                and _rule_of(old, rule) == _rule_of(new, rule)
                and old.max_devices == new.max_devices
                and old.buckets == new.buckets
                and args[0] == args[1]
            )
            self._trees[*keys, rule] = found
        return found

    def reweighted_rows(self, places: PoolPlaces, rule: int) -> Rows:
        """Rows for which an OSD whose weight changed now refuses, or refuses no more.

        An OSD that takes less can only move PGs that it was picked for. One that takes more can
        move any PG below which the rule looks at it, since refusals leave no trace.
        """
        rows: Rows = np.empty(0, np.intp)
        if len(self._lighter) and places.picked.size:
            holding = np.flatnonzero(np.isin(places.picked, self._lighter).any(axis=1))
            rows = _union(rows, holding)
        if len(self._heavier):
            reachable = self._reachable(rule)
            for osd in self._heavier.tolist():
                if osd < len(reachable) and reachable[osd]:
                    rows = _union(rows, self._accepting(places, osd))
        return rows

    def _accepting(self, places: PoolPlaces, osd: int) -> Rows:
        """Rows that the OSD refused at its old weight and does not at its new one."""
        before, after = int(self._before[osd]), int(self._after[osd])
        if before == 0 and after >= DEFAULT_PRIMARY_AFFINITY:
            return np.arange(len(places.pps))
        drawn = _hash_many(places.pps, osd) & 0xFFFF
        return np.flatnonzero((drawn >= before) & (drawn < after))

    def _reachable(self, rule: int) -> NDArray[np.bool_]:
        """Which devices the rule can pick."""
        found = self._reach.get(rule)
        if found is None:
            crush = self.new.osdmap.crush
            found = self._reach[rule] = np.zeros(max(crush.max_devices, 0), bool)
            steps = _rule_of(crush, rule)
            left = [step.arg1 for step in steps.steps if step.op == RuleOp.TAKE] if steps else []
            seen = set(left)
            while left:
                item = left.pop()
                if 0 <= item < len(found):
                    found[item] = True
                bucket = crush.buckets[-1 - item] if -len(crush.buckets) <= item < 0 else None
                for below in bucket.items if bucket else ():
                    if below not in seen:
                        seen.add(below)
                        left.append(below)
        return found

    def settled_rows(self, number: int, places: PoolPlaces) -> Rows:
        """Rows whose way from what CRUSH picked to up and acting may have changed."""
        seeds = set(self._keys.get(number, ()))
        if len(self._osds):
            # exceptions may name an OSD that CRUSH did not pick
            seeds |= self.old._excepted.get(number, set()) | self.new._excepted.get(number, set())
        rows: Rows = np.asarray(sorted(seeds), np.intp)
        if len(self._osds) and places.picked.size:
            holding = np.flatnonzero(np.isin(places.picked, self._osds).any(axis=1))
            rows = _union(rows, holding)
        return rows


def _union(one: Rows, other: Rows) -> Rows:
    """The numbers of both, ascending, each once."""
    if not len(one) or not len(other):
        return one if len(one) else other
    both = np.sort(np.concatenate([one, other]))
    first: NDArray[np.bool_] = np.ones(len(both), bool)
    first[1:] = both[1:] != both[:-1]
    return both[first]


def _choose_args_key(crush: CrushMap, number: int) -> int | None:
    """Which choose_args a pool's mappings use."""
    return next((key for key in (number, _COMPAT_CHOOSE_ARGS) if key in crush.choose_args), None)


def _rule_of(crush: CrushMap, rule: int) -> Any:
    return crush.rules[rule] if 0 <= rule < len(crush.rules) else None


def _placement_seeds(number: int, pool: PGPool) -> Numbers:
    """`raw_pg_to_pps` of all PGs of a pool."""
    seeds = np.arange(pool.pg_num, dtype=np.int64)
    mask = (1 << pool.pgp_num.bit_length()) - 1
    folded = seeds & mask
    folded = np.where(folded < pool.pgp_num, folded, seeds & mask >> 1)
    if pool.flags & PoolFlag.HASHPSPOOL:
        return _hash_many(folded, number)
    return folded + number & 0xFFFFFFFF


def _same_seeds(old: PGPool, new: PGPool) -> bool:
    """True when all PGs of a pool have the placement seeds that they had."""
    kind = PoolFlag.HASHPSPOOL
    return (old.pg_num, old.pgp_num, old.flags & kind) == (
        new.pg_num,
        new.pgp_num,
        new.flags & kind,
    )


def _hash_many(numbers: Numbers, other: int) -> Numbers:
    """`hash32_2` of each number and another one."""
    hasher = Hasher(min(_BLOCK, max(len(numbers), 1)))
    with_other = np.asarray([other & 0xFFFFFFFF], np.uint32)
    made = np.empty(len(numbers), np.int64)
    for at in range(0, len(numbers), _BLOCK):
        block = numbers[at : at + _BLOCK].astype(np.uint32)
        made[at : at + _BLOCK] = hasher.hash2(block, with_other)
    return made


def _empty_places(number: int, pool: PGPool, rule: int) -> PoolPlaces:
    return PoolPlaces(
        pool=pool,
        rule=rule,
        pps=_placement_seeds(number, pool),
        picked=np.full((pool.pg_num, pool.size), NO_OSD, np.int32),
        length=np.zeros(pool.pg_num, np.int16),
        special={},
        mask=(1 << pool.pg_num.bit_length()) - 1,
        count=pool.pg_num,
    )


def _with_pool(old: PoolPlaces, pool: PGPool) -> PoolPlaces:
    """The same places for a pool that changed in nothing that matters here."""
    return PoolPlaces(
        pool, old.rule, old.pps, old.picked, old.length, old.special, old.mask, old.count
    )


def _resized(old: PoolPlaces, pool: PGPool, pps: Numbers) -> PoolPlaces:
    """A copy for as many PGs as the pool has now."""
    count, kept = pool.pg_num, min(pool.pg_num, old.count)
    picked = np.full((count, pool.size), NO_OSD, np.int32)
    length = np.zeros(count, np.int16)
    picked[:kept], length[:kept] = old.picked[:kept], old.length[:kept]
    special = {seed: found for seed, found in old.special.items() if seed < count}
    mask = (1 << count.bit_length()) - 1
    return PoolPlaces(pool, old.rule, pps, picked, length, special, mask, count)


def _plain_osds(osdmap: OSDMap) -> NDArray[np.bool_]:
    """For each OSD, and behind them for whatever is none, whether PGs can simply be there."""
    plain = np.zeros(osdmap.max_osd + 1, bool)
    plain[:-1] = np.asarray(osdmap.osd_state, np.int64) & _UP == _UP
    if osdmap.osd_primary_affinity:
        plain[:-1] &= np.asarray(osdmap.osd_primary_affinity) == DEFAULT_PRIMARY_AFFINITY
    return plain


def _indices(osds: NDArray[np.int32], past: int) -> NDArray[np.int32]:
    """OSDs as indices; `past` for what is none."""
    return np.where((osds >= 0) & (osds < past), osds, past)


def _padded(*arrays: Numbers) -> list[Numbers]:
    """The arrays at the length of the longest; what is missing weighs nothing."""
    size = max(len(array) for array in arrays)
    return [np.concatenate([array, np.zeros(size - len(array), np.int64)]) for array in arrays]


def _changed_osds(old: OSDMap, new: OSDMap, before: Numbers, after: Numbers) -> Numbers:
    """OSDs that went up or down, came or went, are in or out, or are primary more or less."""
    changed = (before == 0) != (after == 0)

    def differing(one: Sequence[int], other: Sequence[int], mask: int) -> NDArray[np.bool_]:
        a, b = _padded(np.asarray(one, np.int64), np.asarray(other, np.int64))
        changed: NDArray[np.bool_] = (a & mask) != (b & mask)
        return changed

    if old.osd_state is not new.osd_state:
        changed = changed | differing(old.osd_state, new.osd_state, _UP)
    if old.osd_primary_affinity is not new.osd_primary_affinity:
        usual = DEFAULT_PRIMARY_AFFINITY
        known = [m.osd_primary_affinity or [usual] * m.max_osd for m in (old, new)]
        changed = changed | differing(known[0], known[1], 0xFFFFFFFF)
    return np.flatnonzero(changed).astype(np.int64)


def _different(
    old: list[tuple[str, Mapping[PGId, object]]], new: list[tuple[str, Mapping[PGId, object]]]
) -> list[set[PGId]]:
    """For each table the PGs whose entries differ."""
    return [
        set()
        if before is after
        else {pg for pg in before.keys() | after.keys() if before.get(pg) != after.get(pg)}
        for (_, before), (_, after) in zip(old, new, strict=True)
    ]


def _by_pool(tables: Iterable[Iterable[PGId]]) -> dict[int, set[int]]:
    """The seeds of all PGs in the tables, by pool."""
    found: dict[int, set[int]] = {}
    for table in tables:
        for pg in table:
            found.setdefault(pg.pool, set()).add(pg.seed)
    return found
