"""A plan: what the balancer would change, what that would do, and the commands that do it.

Made by the optimizers of the modes; shown by `balancer show`, carried out by `balancer execute` or
at once by the automatic balancer. Upstream: `src/pybind/mgr/balancer`.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from spirula.crush.weights import (
    COMPAT,
    choose_args_adjust_item_weight,
    create_choose_args,
    fixed,
    get_choose_args,
)
from spirula.crush.wire import CrushWrapper
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.balance.shares import count_shares
from spirula.maps.dump.changes import balance_document
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.mgr_modules.balancer.placed import Loads
from spirula.printing import size_text
from spirula.types.pg import PGId

_FULL = 0x10000


def imported(module: str) -> Any:
    """What works on arrays, imported when a plan needs it: arrays take much memory."""
    return importlib.import_module(f"spirula.{module}")


@dataclass(slots=True)
class Plan:
    """Changes to one map.

    `pools` are names, none for all. `inc` holds exceptions for PGs; `compat_weights` are CRUSH
    weights of OSDs for the compat weight set, `reweights` and `affinities` go from 0 to 1.
    """

    name: str
    mode: str
    osdmap: OSDMap
    loads: Loads
    pools: list[str] = field(default_factory=list)
    inc: Incremental = field(init=False)
    compat_weights: dict[int, float] = field(default_factory=dict)
    reweights: dict[int, float] = field(default_factory=dict)
    affinities: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inc = pending_incremental(self.osdmap)

    @property
    def has_compat_set(self) -> bool:
        """Whether the map has a compat weight set already."""
        return COMPAT in self.osdmap.crush.choose_args

    def result(self) -> OSDMap:
        """The map as it would be afterwards."""
        inc = pending_incremental(self.osdmap)
        inc.new_pg_upmap_items = dict(self.inc.new_pg_upmap_items)
        inc.old_pg_upmap_items = set(self.inc.old_pg_upmap_items)
        inc.new_weight = {osd: int(weight * _FULL) for osd, weight in self.reweights.items()}
        inc.new_primary_affinity = {
            osd: int(affinity * _FULL) for osd, affinity in self.affinities.items()
        }
        if self.compat_weights:
            inc.crush = with_compat_weights(self.osdmap, self.compat_weights)
        return apply_incremental(self.osdmap, inc)

    def dump(self) -> str:
        """The change as JSON."""
        shown = pending_incremental(self.osdmap)
        shown.new_pg_upmap_items = self.inc.new_pg_upmap_items
        shown.old_pg_upmap_items = self.inc.old_pg_upmap_items
        return json.dumps(balance_document(shown), indent=4, sort_keys=True)

    def show(self) -> str:
        """What it would do, in comments, and the commands that do it."""
        return "\n".join([*self.explain(), *map(command_text, self.commands())])

    def explain(self) -> list[str]:
        """What it would do: what moves, and how even things are before and after."""
        lines = [
            f"# starting osdmap epoch {self.osdmap.epoch}",
            f"# starting crush version {self.osdmap.crush_version}",
            f"# mode {self.mode}",
        ]
        after = self.result()
        comparing = imported("maps.plan")
        sizes = comparing.Sizes(pgs={pg: stored for pg, (_, stored) in self.loads.items()})
        moved = comparing.plan(self.osdmap, after, sizes)
        places = sum(pool.places for pool in moved.pools.values())
        moves = sum(pool.moved_places for pool in moved.pools.values())
        size = sum(pool.moved_bytes or 0 for pool in moved.pools.values())
        share = moves / places if places else 0.0
        lines.append(
            f"# moves {moves} of {places} places of PGs ({share:.2%}), about {size_text(size)}"
        )
        for when, osdmap in (("before", self.osdmap), ("after", after)):
            if self.affinities:
                lead = imported("mgr_modules.balancer.reads").furthest_lead(osdmap)
                lines.append(f"# furthest from what it should lead {when}: {lead}")
            elif moves:
                where = furthest(osdmap, self._pool_ids())
                lines.append(f"# furthest from its share {when}: {where}")
        return lines

    def _pool_ids(self) -> set[int]:
        return {number for number, name in self.osdmap.pool_name.items() if name in self.pools}

    def commands(self) -> Iterator[dict[str, Any]]:
        """The commands for monitors, in the order in which they have to come."""
        if self.compat_weights and not self.has_compat_set:
            yield {"prefix": "osd crush weight-set create-compat"}
        for osd, weight in self.compat_weights.items():
            yield {
                "prefix": "osd crush weight-set reweight-compat",
                "item": f"osd.{osd}",
                "weight": [weight],
            }
        if self.reweights:
            weights = {str(osd): str(int(part * _FULL)) for osd, part in self.reweights.items()}
            yield {"prefix": "osd reweightn", "weights": json.dumps(weights)}
        for osd, affinity in self.affinities.items():
            yield {"prefix": "osd primary-affinity", "id": str(osd), "weight": affinity}
        for pg in by_id(self.inc.old_pg_upmap_items):
            yield {"prefix": "osd rm-pg-upmap-items", "pgid": str(pg)}
        for pg in by_id(self.inc.new_pg_upmap_items):
            pairs = self.inc.new_pg_upmap_items[pg]
            osds = [osd for pair in pairs for osd in pair]
            yield {"prefix": "osd pg-upmap-items", "pgid": str(pg), "id": osds}


def by_id(pgs: Iterable[PGId]) -> list[PGId]:
    """PGs in the order of their pools and numbers."""
    return sorted(pgs, key=lambda pg: (pg.pool, pg.seed))


def command_text(command: dict[str, Any]) -> str:
    """A command as one would type it."""
    words = []
    for key, value in command.items():
        if key == "prefix":
            words.append(str(value))
        elif isinstance(value, list):
            words += [_word(one) for one in value]
        elif key == "weights":
            words.append(f"'{value}'")
        else:
            words.append(_word(value))
    return " ".join(["ceph", *words])


def _word(value: object) -> str:
    return f"{value:f}" if isinstance(value, float) else str(value)


def with_compat_weights(osdmap: OSDMap, weights: dict[int, float]) -> bytes:
    """The map's CRUSH hierarchy, encoded, with these weights in its compat weight set."""
    crush = CrushWrapper.decode(osdmap.crush.encode())
    if get_choose_args(crush, COMPAT) is None:
        create_choose_args(crush, COMPAT, 1)
    for osd, weight in weights.items():
        choose_args_adjust_item_weight(crush, COMPAT, osd, [fixed(weight)])
    return crush.encode()


def furthest(osdmap: OSDMap, pools: set[int]) -> str:
    """The OSD whose number of PGs is furthest from its share: `osd.3 has 12 PGs, 4.2 too many`."""
    shares = count_shares(osdmap, pools)
    gaps = {osd: len(pgs) - shares.target(osd) for osd, pgs in shares.pgs.items()}
    if not gaps:
        return "nobody"
    osd = max(gaps, key=lambda one: (abs(gaps[one]), -one))
    side = "too many" if gaps[osd] > 0 else "too few"
    return f"osd.{osd} has {len(shares.pgs[osd])} PGs, {abs(gaps[osd]):.1f} {side}"
