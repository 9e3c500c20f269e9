"""Where objects and PGs are, one at a time: object -> PG -> raw -> up -> acting.

For one map of one epoch; `mapping` keeps the places of all PGs and calls this for those that are
not plain. Which devices CRUSH picks comes from the mapper that is handed in. Upstream:
`src/osd/OSDMap.cc`, `src/osd/osd_types.cc` (pg_pool_t).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from spirula.crush.map import ChooseArg, CrushMap
from spirula.crush.mapper import Mapper
from spirula.crush.msr import MSR_FIRSTN, MSR_INDEP
from spirula.errors import NotFound
from spirula.kernels.hash32 import hash32_2
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import DEFAULT_PRIMARY_AFFINITY, OSDState, check_sizes
from spirula.maps.strhash import str_hash
from spirula.types.hobject import NO_SHARD
from spirula.types.pg import NO_OSD, PGId, PGShard, stable_mod
from spirula.types.pool import PGPool, PoolFlag, PoolType

NO_PRIMARY = -1
_COMPAT_CHOOSE_ARGS = -1
_MSR_TYPES: dict[int, int] = {PoolType.REPLICATED: MSR_FIRSTN, PoolType.ERASURE: MSR_INDEP}
_NAMESPACE_END = b"\x1f"
_UP = OSDState.EXISTS | OSDState.UP


class RuleMapper(Protocol):
    """What picks devices by a CRUSH rule: `spirula.crush.mapper.Mapper` or a faster twin."""

    def do_rule(self, number: int, x: int, count: int, weights: Sequence[int]) -> list[int]:
        """The devices for input `x`; NO_OSD marks empty places."""
        ...


MakeMapper = Callable[[CrushMap, dict[int, ChooseArg] | None], RuleMapper]


class PGMapping(NamedTuple):
    """Where a PG should be (up) and where it is served (acting).

    OSDs by place; NO_OSD is a hole, which only erasure-coded pools have. A primary of -1: nobody.
    """

    up: list[int]
    up_primary: int
    acting: list[int]
    acting_primary: int


NOWHERE = PGMapping([], NO_PRIMARY, [], NO_PRIMARY)


def hash_key(pool: PGPool, key: str, nspace: str = "") -> int:
    """The hash of an object's name or locator key, and of its namespace."""
    raw = key.encode("utf-8", "surrogateescape")
    if nspace:
        raw = nspace.encode("utf-8", "surrogateescape") + _NAMESPACE_END + raw
    return str_hash(pool.object_hash, raw)


def raw_pg_to_pg(pool: PGPool, pg: PGId) -> PGId:
    """The PG that holds what hashes to `pg.seed`, a number of full precision."""
    return PGId(pg.pool, stable_mod(pg.seed, pool.pg_num))


def raw_pg_to_pps(pool: PGPool, pg: PGId) -> int:
    """The placement seed: what CRUSH is given for this PG."""
    seed = stable_mod(pg.seed, pool.pgp_num)
    if pool.flags & PoolFlag.HASHPSPOOL:
        return hash32_2(seed, pg.pool)
    return seed + pg.pool & 0xFFFFFFFF  # pools overlap; kept for pools made long ago


def pick_primary(osds: Sequence[int]) -> int:
    """The first that is there."""
    for osd in osds:
        if osd != NO_OSD:
            return osd
    return NO_PRIMARY


def calc_pg_role(who: PGShard, acting: Sequence[int]) -> int:
    """The place of an OSD (of its shard) in the acting set, -1 if it has none."""
    if who.shard == NO_SHARD:
        return acting.index(who.osd) if who.osd in acting else -1
    held = 0 <= who.shard < len(acting) and acting[who.shard] == who.osd
    return who.shard if held else -1


class Placement:
    """The places of one map, which must not change meanwhile.

    `make_mapper` builds what picks devices. WireError for a map whose lists of OSDs are not as long
    as it says.
    """

    def __init__(self, osdmap: OSDMap, make_mapper: MakeMapper = Mapper) -> None:
        check_sizes(osdmap)
        self.osdmap = osdmap
        self._make_mapper = make_mapper
        self._mappers: dict[int | None, RuleMapper] = {}
        self._rules: dict[tuple[int, int, int], int] = {}

    # --------------------------------------------------------------------------------- object -> PG

    def object_pg(
        self, pool_id: int, name: str, *, key: str = "", nspace: str = "", hash: int = -1
    ) -> PGId:
        """The PG of an object, with the hash in full precision (see `raw_pg_to_pg`).

        A locator `key` is hashed instead of the name; a `hash` that is not negative, instead of
        both. NotFound when there is no such pool.
        """
        pool = self.osdmap.pools.get(pool_id)
        if pool is None:
            raise NotFound(f"no pool {pool_id}")
        return PGId(pool_id, hash if hash >= 0 else hash_key(pool, key or name, nspace))

    # ----------------------------------------------------------------------------------- PG -> OSDs

    def pg_to_raw_osds(self, pg: PGId) -> list[int]:
        """What CRUSH picks, without OSDs that do not exist; nothing for an unknown pool."""
        pool = self.osdmap.pools.get(pg.pool)
        return [] if pool is None else self.remove_nonexistent(pool, self.crush_osds(pool, pg))

    def pg_to_raw_upmap(self, pg: PGId) -> list[int]:
        """What CRUSH picks, as changed by upmaps."""
        pool = self.osdmap.pools.get(pg.pool)
        return [] if pool is None else self.apply_upmap(pool, pg, self.pg_to_raw_osds(pg))

    def pg_to_up_acting_osds(self, pg: PGId, *, raw: bool = True) -> PGMapping:
        """Where a PG should be and where it is served.

        NOWHERE for a pool that is not there and, unless `raw`, for a seed that is not below the
        pool's `pg_num`.
        """
        pool = self.osdmap.pools.get(pg.pool)
        if pool is None or (not raw and pg.seed >= pool.pg_num):
            return NOWHERE
        return self.settle(pool, pg, self.crush_osds(pool, pg))

    def settle(self, pool: PGPool, pg: PGId, picked: Sequence[int]) -> PGMapping:
        """The whole way from what CRUSH picked (`crush_osds`) to up and acting."""
        up, up_primary = self._up(pool, pg, picked)
        acting, acting_primary = self._temp_osds(pool, pg)
        if not acting:
            acting = up
            if acting_primary == NO_PRIMARY:
                acting_primary = up_primary
        return PGMapping(up, up_primary, acting, acting_primary)

    def pg_to_raw_up(self, pg: PGId) -> tuple[list[int], int]:
        """Where a PG should be and its primary there, whatever is decided for the time being."""
        pool = self.osdmap.pools.get(pg.pool)
        if pool is None:
            return [], NO_PRIMARY
        return self._up(pool, pg, self.crush_osds(pool, pg))

    def _up(self, pool: PGPool, pg: PGId, picked: Sequence[int]) -> tuple[list[int], int]:
        osds = self.apply_upmap(pool, pg, self.remove_nonexistent(pool, picked))
        up = self._only_up(pool, osds)
        up_primary = pick_primary(up)
        if self.osdmap.osd_primary_affinity:
            up_primary = self._apply_primary_affinity(pool, pg, up, up_primary)
        return up, up_primary

    def find_rule(self, pool: PGPool) -> int:
        """The number of the CRUSH rule that the pool uses, -1 if there is none that fits.

        Maps of releases before Luminous name rules by the `ruleset` in their mask, so the mask
        decides. Rules of the msr types (19.2) serve pools of the type that they are made for.
        """
        wanted = (pool.crush_rule, pool.type, pool.size)
        found = self._rules.get(wanted)
        if found is None:
            found = -1
            fitting = (pool.type, _MSR_TYPES.get(pool.type, pool.type))
            for number, rule in enumerate(self.osdmap.crush.rules):
                if (
                    rule is not None
                    and rule.ruleset == pool.crush_rule
                    and rule.type in fitting
                    and rule.min_size <= pool.size <= rule.max_size
                ):
                    found = number
                    break
            self._rules[wanted] = found
        return found

    def mapper_of(self, pool_id: int) -> RuleMapper:
        """The mapper with the choose_args of a pool, or those for all pools that have none."""
        sets = self.osdmap.crush.choose_args
        key = next((key for key in (pool_id, _COMPAT_CHOOSE_ARGS) if key in sets), None)
        mapper = self._mappers.get(key)
        if mapper is None:
            args = None if key is None else sets[key]
            mapper = self._mappers[key] = self._make_mapper(self.osdmap.crush, args)
        return mapper

    def crush_osds(self, pool: PGPool, pg: PGId) -> list[int]:
        """What CRUSH picks, whether it exists or not."""
        rule = self.find_rule(pool)
        if rule < 0:
            return []
        pps = raw_pg_to_pps(pool, pg)
        return self.mapper_of(pg.pool).do_rule(rule, pps, pool.size, self.osdmap.osd_weight)

    # ------------------------------------------------------------------------------------ the steps

    def _has(self, osd: int, bits: int) -> bool:
        osdmap = self.osdmap
        return 0 <= osd < osdmap.max_osd and osdmap.osd_state[osd] & bits == bits

    def _is_out(self, osd: int) -> bool:
        """Known, and weight 0."""
        return 0 <= osd < self.osdmap.max_osd and self.osdmap.osd_weight[osd] == 0

    def remove_nonexistent(self, pool: PGPool, osds: Sequence[int]) -> list[int]:
        """Others move up, or a hole stays, as the type of the pool has it."""
        return self._keep(pool, osds, OSDState.EXISTS)

    def _only_up(self, pool: PGPool, osds: Sequence[int]) -> list[int]:
        return self._keep(pool, osds, _UP)

    def _keep(self, pool: PGPool, osds: Sequence[int], bits: int) -> list[int]:
        if pool.is_erasure:
            return [osd if self._has(osd, bits) else NO_OSD for osd in osds]
        return [osd for osd in osds if self._has(osd, bits)]

    def apply_upmap(self, pool: PGPool, pg: PGId, osds: list[int]) -> list[int]:
        """Exceptions that the balancer or an operator made; none to OSDs that are out."""
        osdmap = self.osdmap
        if not (osdmap.pg_upmap or osdmap.pg_upmap_items or osdmap.pg_upmap_primaries):
            return osds
        pg = raw_pg_to_pg(pool, pg)
        whole = osdmap.pg_upmap.get(pg)
        if whole is not None:
            if any(self._is_out(osd) for osd in whole):
                return osds
            osds = list(whole)
        for source, target in osdmap.pg_upmap_items.get(pg, ()):
            if target not in osds and source in osds and not self._is_out(target):
                osds[osds.index(source)] = target
        primary = osdmap.pg_upmap_primaries.get(pg, NO_PRIMARY)
        if primary in osds[1:] and primary < osdmap.max_osd and not self._is_out(primary):
            at = osds.index(primary, 1)
            osds[0], osds[at] = primary, osds[0]
        return osds

    def _apply_primary_affinity(self, pool: PGPool, pg: PGId, osds: list[int], primary: int) -> int:
        """The primary, and in replicated pools it comes first.

        Each OSD declines by chance, with the seed of the PG and itself as the dice; where all
        decline the first has to.
        """
        affinity = self.osdmap.osd_primary_affinity
        if all(osd == NO_OSD or affinity[osd] == DEFAULT_PRIMARY_AFFINITY for osd in osds):
            return primary
        seed = raw_pg_to_pps(pool, pg)
        chosen = -1
        for place, osd in enumerate(osds):
            if osd == NO_OSD:
                continue
            willing = affinity[osd]
            if willing >= DEFAULT_PRIMARY_AFFINITY or hash32_2(seed, osd) >> 16 < willing:
                chosen = place
                break
            if chosen < 0:
                chosen = place
        if chosen < 0:
            return primary
        primary = osds[chosen]
        if not pool.is_erasure and chosen > 0:
            osds.insert(0, osds.pop(chosen))
        return primary

    def _temp_osds(self, pool: PGPool, pg: PGId) -> tuple[list[int], int]:
        """Who serves the PG meanwhile, and its primary, where monitors were asked for that."""
        osdmap = self.osdmap
        if not osdmap.pg_temp and not osdmap.primary_temp:
            return [], NO_PRIMARY
        pg = raw_pg_to_pg(pool, pg)
        acting = self._only_up(pool, osdmap.pg_temp.get(pg, ()))
        primary = osdmap.primary_temp.get(pg)
        return acting, pick_primary(acting) if primary is None else primary
