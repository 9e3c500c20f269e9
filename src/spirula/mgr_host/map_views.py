"""OSD and CRUSH maps as modules see them: to be looked at, mapped with, balanced.

Names: upstream `src/mgr/PyOSDMap.cc`. A module's `OSDMap` is a class of its own `mgr_module` with
these as its bases; `made_by` makes further ones of the same kind.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from spirula.crush.build import item_weights
from spirula.crush.classes import roots
from spirula.crush.dump import dump as dump_crush
from spirula.crush.lookup import device_weights, find_bucket, takes_of
from spirula.crush.map import CrushMap
from spirula.crush.weights import (
    COMPAT,
    choose_args_adjust_item_weight,
    create_choose_args,
    fixed,
    get_choose_args,
    to_float,
)
from spirula.crush.wire import CrushWrapper
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.balance.upmaps import calc_pg_upmaps
from spirula.maps.dump.changes import balance_document
from spirula.maps.dump.document import osdmap_document
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.placement import Placement
from spirula.maps.query import find_pool, pool_raw_used_rate
from spirula.mgr_host.views import plain
from spirula.types.pg import PGId

_FULL = 0x10000
Make = Callable[[str, Any], Any]
"""Makes an OSDMap, OSDMapIncremental or CRUSHMap of a module, by that name."""


class BasePyOSDMap:
    """An OSD map; it never changes."""

    def __init__(self, osdmap: OSDMap, make: Make) -> None:
        self.osdmap, self.make = osdmap, make
        self._placement: Placement | None = None

    def _places(self) -> Placement:
        if self._placement is None:
            self._placement = Placement(self.osdmap)
        return self._placement

    def _get_epoch(self) -> int:
        return self.osdmap.epoch

    def _get_crush_version(self) -> int:
        return self.osdmap.crush_version

    def _dump(self) -> Any:
        return plain(osdmap_document(self.osdmap))

    def _new_incremental(self) -> Any:
        return self.make("OSDMapIncremental", (pending_incremental(self.osdmap), self.osdmap))

    def _apply_incremental(self, inc: BasePyOSDMapIncremental) -> Any:
        return self.make("OSDMap", apply_incremental(self.osdmap, inc.inc))

    def _get_crush(self) -> Any:
        return self.make("CRUSHMap", self.osdmap.crush)

    def _get_pools_by_take(self, take: int) -> dict[str, list[int]]:
        crush = self.osdmap.crush
        return {
            "pools": [
                number
                for number, pool in sorted(self.osdmap.pools.items())
                if take in takes_of(crush, pool.crush_rule)
            ]
        }

    def _calc_pg_upmaps(
        self,
        inc: BasePyOSDMapIncremental,
        max_deviation: int,
        max_iterations: int,
        pools: list[str],
    ) -> int:
        numbers = set()
        for name in pools:
            number = find_pool(self.osdmap, name)
            if number is None:
                raise ValueError(f"pool '{name}' does not exist")
            numbers.add(number)
        return calc_pg_upmaps(
            self.osdmap,
            inc.inc,
            max_deviation=max_deviation,
            max_changes=max_iterations,
            pools=numbers,
            rng=random.Random(),
        )

    def _map_pool_pgs_up(self, pool: int) -> dict[str, list[int]]:
        places = self._places()
        pgs = [PGId(pool, seed) for seed in range(self.osdmap.pools[pool].pg_num)]
        return {str(pg): list(places.pg_to_up_acting_osds(pg).up) for pg in pgs}

    def _pg_to_up_acting_osds(self, pool: int, seed: int) -> dict[str, Any]:
        found = self._places().pg_to_up_acting_osds(PGId(pool, seed))
        return {
            "up_primary": found.up_primary,
            "acting_primary": found.acting_primary,
            "up": list(found.up),
            "acting": list(found.acting),
        }

    def _pool_raw_used_rate(self, pool: int) -> float:
        return pool_raw_used_rate(self.osdmap, self.osdmap.pools[pool])


class BasePyOSDMapIncremental:
    """A change of an OSD map that is being made."""

    def __init__(self, made: tuple[Incremental, OSDMap], make: Make) -> None:
        (self.inc, self.base), self.make = made, make

    def _get_epoch(self) -> int:
        return self.inc.epoch

    def _dump(self) -> Any:
        return plain(balance_document(self.inc))

    def _set_osd_reweights(self, weights: dict[int, float]) -> None:
        for osd, weight in weights.items():
            self.inc.new_weight[int(osd)] = int(weight * _FULL)

    def _set_crush_compat_weight_set_weights(self, weights: dict[str, float]) -> None:
        """Weights of devices that count in the place of the real ones, for all pools."""
        crush = CrushWrapper.decode(self.inc.crush or self.base.crush.encode())
        if get_choose_args(crush, COMPAT) is None:
            create_choose_args(crush, COMPAT, 1)
        for osd, weight in weights.items():
            choose_args_adjust_item_weight(crush, COMPAT, int(osd), [fixed(weight)])
        self.inc.crush = crush.encode()


class BasePyCRUSH:
    """A CRUSH map; it never changes."""

    def __init__(self, crush: CrushMap, make: Make) -> None:
        self.crush, self.make = crush, make

    def _dump(self) -> Any:
        return plain(dump_crush(self.crush))

    def _get_item_name(self, item: int) -> str | None:
        return self.crush.item_names.get(item)

    def _get_item_weight(self, item: int) -> float | None:
        """The weight of an item where it is placed first; None where it is not."""
        for bucket in self.crush.buckets:
            if bucket and item in bucket.items and "~" not in self.crush.item_names[bucket.id]:
                return to_float(item_weights(bucket)[bucket.items.index(item)])
        found = find_bucket(self.crush, item)
        return to_float(found.weight) if found else None

    def _find_takes(self) -> dict[str, list[int]]:
        takes: set[int] = set()
        for number, rule in enumerate(self.crush.rules):
            if rule is not None:
                takes |= set(takes_of(self.crush, number))
        return {"takes": sorted(takes)}

    def _find_roots(self) -> dict[str, list[int]]:
        return {"roots": sorted(roots(self.crush, shadow=False))}

    def _get_take_weight_osd_map(self, take: int) -> dict[str, dict[str, float]]:
        return {"weights": weights_below(self.crush, take)}


def weights_below(crush: CrushMap, take: int) -> dict[str, float]:
    """The shares of devices below an item; they add up to 1."""
    weights = device_weights(crush, take)
    total = sum(weights.values())
    return {str(osd): weight / total for osd, weight in weights.items() if total}
