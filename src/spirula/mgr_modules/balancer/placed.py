"""Where PGs are by a map, and what they weigh: what the balancer judges a distribution by.

Nothing is changed; plans make other maps and look at those. Upstream: `src/pybind/mgr/balancer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spirula.maps.located import locate_pgs
from spirula.maps.osdmap import OSDMap
from spirula.types.pg import PGId

Loads = Mapping[PGId, tuple[int, int]]
"""Objects and bytes of each PG."""


@dataclass(slots=True)
class Placed:
    """A map, the places of its PGs, and their loads.

    `told` is what it is called in print. Only pools of which statistics are known count: those in
    `up`, which lists by pool the OSDs of each PG.
    """

    told: str
    osdmap: OSDMap
    loads: Loads
    up: dict[int, list[list[int]]] = field(default_factory=dict)

    def misplaced_from(self, before: Placed) -> float:
        """The share of PGs that `before` has elsewhere, from 0 to 1."""
        total = sum(map(len, before.up.values()))
        moved = sum(
            here != there
            for pool, places in before.up.items()
            for here, there in zip(places, self.up.get(pool, [[]] * len(places)), strict=True)
        )
        return moved / total if total else 0.0


def place(told: str, osdmap: OSDMap, loads: Loads) -> Placed:
    """Works out where all PGs are by the map."""
    mappings = locate_pgs(osdmap)
    known = {pg.pool for pg in loads}
    up = {
        number: [mappings.get(PGId(number, seed)).up for seed in range(pool.pg_num)]
        for number, pool in sorted(osdmap.pools.items())
        if number in known
    }
    return Placed(told, osdmap, loads, up)
