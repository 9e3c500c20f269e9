"""Since when all PGs are clean, as OSDs report it: older maps nobody needs any more.

Each PG's primary tells in its beacons a lower bound of the epoch since which the PGs that it leads
are clean. Only the leader knows; a new one learns from the beacons that come. Upstream:
`src/mon/OSDMonitor.cc` (LastEpochClean).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spirula.maps.osdmap import OSDMap
from spirula.types.pg import PGId


@dataclass(slots=True)
class _Pool:
    """The epochs of a pool's PGs by seed, and how many of the first ones have one."""

    by_seed: dict[int, int] = field(default_factory=dict)
    next_missing: int = 0

    def report(self, seed: int, epoch: int) -> None:
        if self.by_seed.get(seed, 0) >= epoch:
            return
        self.by_seed[seed] = epoch
        while self.next_missing in self.by_seed:
            self.next_missing += 1

    def forget_from(self, count: int) -> None:
        """PGs from this seed on were merged into others."""
        for seed in [seed for seed in self.by_seed if seed >= count]:
            del self.by_seed[seed]
        self.next_missing = min(self.next_missing, count)

    def floor(self) -> int:
        return min(self.by_seed.values(), default=0)


@dataclass(slots=True)
class LastEpochClean:
    """By pool and PG, since when it is clean."""

    _pools: dict[int, _Pool] = field(default_factory=dict)

    def report(self, pg: PGId, epoch: int) -> None:
        """A PG is clean since `epoch`."""
        if epoch:
            self._pools.setdefault(pg.pool, _Pool()).report(pg.seed, epoch)

    def remove_pool(self, pool: int) -> None:
        """The pool is gone."""
        self._pools.pop(pool, None)

    def lower_bound(self, osdmap: OSDMap) -> int:
        """An epoch since which all PGs of the map are clean; 0 if some have not told yet."""
        floor: int = osdmap.epoch
        for number, pool in osdmap.pools.items():
            known = self._pools.get(number)
            if known is None or known.next_missing < pool.pg_num:
                return 0
            known.forget_from(pool.pg_num)
            floor = min(floor, known.floor())
        return floor

    def document(self) -> list[dict[str, int]]:
        """The oldest epoch of each pool."""
        return [{"poolid": number, "floor": p.floor()} for number, p in self._pools.items()]
