"""How many PGs each OSD has, and how many it should have by its weights.

Called by the upmap balancer and by what shows an OSD's share. Numbers are 32-bit floats added in
upstream's order, so that close decisions fall as upstream's do. Upstream: `src/osd/OSDMap.cc`,
the first part of calc_pg_upmaps.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from spirula.crush.remap import RuleTree
from spirula.maps.dump.values import share
from spirula.maps.located import Located, locate_pgs
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import Placement
from spirula.printing import as_f32
from spirula.types.pg import NO_OSD, PGId


@dataclass(slots=True)
class Shares:
    """`weights` is what each OSD should get, in parts of `total_weight`; `pgs` what it has.

    `total_pgs` counts places of PGs: PGs times replicas.
    """

    weights: dict[int, float] = field(default_factory=dict)
    total_weight: float = 0.0
    total_pgs: int = 0
    pgs: dict[int, set[PGId]] = field(default_factory=dict)

    @property
    def pgs_per_weight(self) -> float:
        """How many places of PGs an OSD of weight 1 should have; 0 when nobody has weight."""
        return as_f32(self.total_pgs / self.total_weight) if self.total_weight else 0.0

    def target(self, osd: int) -> float:
        """How many PGs the OSD should have."""
        return as_f32(self.weights.get(osd, 0.0) * self.pgs_per_weight)


def count_shares(
    osdmap: OSDMap, pools: Collection[int] = (), mappings: Located | None = None
) -> Shares:
    """The shares of all OSDs in these pools (in all, if there are none).

    `mappings` are those of the map, for who has them; else they are computed.
    """
    found = Shares()
    mappings = mappings or locate_pgs(osdmap)
    places = Placement(osdmap)
    for number, pool in sorted(osdmap.pools.items()):
        if pools and number not in pools:
            continue
        for seed in range(pool.pg_num):
            pg = PGId(number, seed)
            for osd in mappings.get(pg).up:
                if osd != NO_OSD:
                    found.pgs.setdefault(osd, set()).add(pg)
        found.total_pgs += pool.size * pool.pg_num
        rule = places.find_rule(pool)
        if rule < 0:
            continue
        weights = RuleTree(osdmap.crush, rule).weights()
        for osd in sorted(weights):
            reweight = share(osdmap.osd_weight[osd]) if osd < osdmap.max_osd else 0.0
            part = as_f32(reweight * weights[osd])
            if part:
                found.weights[osd] = as_f32(found.weights.get(osd, 0.0) + part)
                found.total_weight = as_f32(found.total_weight + part)
    for osd in found.weights:
        found.pgs.setdefault(osd, set())
    return found
