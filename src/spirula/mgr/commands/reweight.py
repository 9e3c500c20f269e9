"""`osd reweight-by-utilization`, `osd reweight-by-pg`: less for OSDs that have too much.

Behaviour and shapes: upstream `src/mon/PGMap.cc` (reweight::by_utilization), `src/osd/OSDMap.cc`
(summarize_mapping_stats).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from errno import EDOM
from typing import TYPE_CHECKING, Any

from spirula.commands.arguments import choices, flag, integer, number, pool_name
from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.crush.classes import roots
from spirula.crush.lookup import device_weights
from spirula.crush.weights import to_float
from spirula.errors import CephError, InvalidArgument, NotFound
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import Placement
from spirula.maps.query import find_pool
from spirula.maps.state import exists, is_in, is_up
from spirula.printing import Items, as_f32, general
from spirula.types.pg import PGId

if TYPE_CHECKING:
    from spirula.mgr.commands.dispatch import Request
    from spirula.mgr.state import Manager
    from spirula.pgmap.record import PGMap

COMMANDS = Commands("osd")
_FULL = 0x10000
_OLOAD = 120
_TOO_LITTLE = (
    "You must give a percentage higher than 100. The reweighting threshold will be calculated as"
    " <average-utilization> times <input-percentage>. For example, an argument of 200 would"
    " reweight OSDs which are twice as utilized as the average OSD.\n"
)


@dataclass(slots=True)
class Wish:
    """What was asked for. `pools` empty: all; `by_pg`: by numbers of PGs, else by space."""

    oload: int
    max_change: float
    max_osds: int
    by_pg: bool
    pools: set[int]
    no_increasing: bool


@dataclass(slots=True)
class Plan:
    """What would be changed: OSDs and their weights (of 65536) before and after."""

    average: float
    overload: float
    changes: list[tuple[int, int, int]] = field(default_factory=list)


def _crush_weights(osdmap: OSDMap) -> dict[int, float]:
    found: dict[int, int] = {}
    for root in roots(osdmap.crush, shadow=False):
        found |= device_weights(osdmap.crush, root)
    return {osd: to_float(weight) for osd, weight in found.items()}


def _utilizations(
    osdmap: OSDMap, pgmap: PGMap, wish: Wish, least: dict[str, int]
) -> tuple[float, dict[int, float]]:
    """The mean and each OSD's. Raises a CephError (EDOM) where there is too little to judge by."""
    if wish.by_pg:
        weights = _crush_weights(osdmap)
        counts: Counter[int] = Counter()
        for pgid, stat in pgmap.pg_stat.items():
            if not wish.pools or pgid.pool in wish.pools:
                counts.update(
                    osd for osd in stat.acting if exists(osdmap, osd) and weights.get(osd, 0) > 0
                )
        copies = counts.total()
        if not counts or copies // len(counts) < least["pgs"]:
            text = f"Refusing to reweight: we only have {copies} PGs across {len(counts)} osds!\n"
            raise CephError.from_errno(EDOM, text + "FAILED reweight-by-pg")
        each = {osd: as_f32(count / weights[osd]) for osd, count in counts.items()}
        return copies / sum(weights[osd] for osd in counts), each
    statfs, osds = pgmap.osd_sum.statfs, max(1, len(pgmap.osd_stat))
    for size, word in ((statfs.total, ""), (statfs.used_raw, " used")):
        if size // osds < least["bytes"]:
            text = f"Refusing to reweight: we only have {size >> 10} kb{word} across all osds!\n"
            raise CephError.from_errno(EDOM, text + "FAILED reweight-by-pg")
    each = {
        osd: as_f32(stat.statfs.used_raw / stat.statfs.total)
        for osd, stat in pgmap.osd_stat.items()
        if stat.statfs.total
    }
    return statfs.used_raw / statfs.total, each


def make_plan(osdmap: OSDMap, pgmap: PGMap, wish: Wish, least: dict[str, int]) -> Plan:
    """What to change. Raises InvalidArgument, or EDOM where there is too little to judge by."""
    if wish.oload <= 100:
        raise InvalidArgument(_TOO_LITTLE + "FAILED reweight-by-pg")
    average, each = _utilizations(osdmap, pgmap, wish, least)
    plan = Plan(average, average * wish.oload / 100.0)
    most = int(wish.max_change * _FULL)
    for osd in sorted(each, key=lambda osd: -abs(each[osd] - average)):
        weight, use = osdmap.osd_weight[osd], each[osd]
        if not weight:
            continue
        if use >= plan.overload:
            less = int(as_f32(average / use * weight))
            plan.changes.append((osd, weight, max(less, weight - most) if weight > most else less))
        elif not wish.no_increasing and 0 < use <= average:
            more = min(int(as_f32(average / use * weight)), weight + most, _FULL)
            if more > weight:
                plan.changes.append((osd, weight, more))
        if len(plan.changes) >= wish.max_osds:
            break
    return plan


# ------------------------------------------------------------------------------------------- moves


@dataclass(slots=True)
class Moves:
    """How PGs lie before and after."""

    moved: int
    total: int
    before: Counter[int]
    after: Counter[int]
    osds: list[int]

    @property
    def mean(self) -> float:
        return as_f32(self.total / len(self.osds))

    def deviation(self, counts: Counter[int]) -> float:
        squares = sum((counts[osd] - self.mean) ** 2 for osd in self.osds)
        return as_f32(math.sqrt(squares / len(self.osds)))

    @property
    def expected(self) -> float:
        return as_f32(math.sqrt(self.mean * (1.0 - 1.0 / len(self.osds))))


def foresee(osdmap: OSDMap, plan: Plan, pools: set[int]) -> Moves | None:
    """What the changes would move; None without an OSD that is up and in."""
    osds = [osd for osd in range(osdmap.max_osd) if is_up(osdmap, osd) and is_in(osdmap, osd)]
    if not osds:
        return None
    change = pending_incremental(osdmap)
    change.new_weight = {osd: after for osd, _, after in plan.changes}
    old, new = Placement(osdmap), Placement(apply_incremental(osdmap, change))
    moves = Moves(0, 0, Counter(), Counter(), osds)
    for pool_id, pool in osdmap.pools.items():
        if pools and pool_id not in pools:
            continue
        moves.total += pool.size * pool.pg_num
        for seed in range(pool.pg_num):
            was = old.pg_to_up_acting_osds(PGId(pool_id, seed)).up
            will = new.pg_to_up_acting_osds(PGId(pool_id, seed)).up
            moves.before.update(was)
            moves.after.update(will)
            if pool.is_erasure:
                moves.moved += sum(a != b for a, b in zip(was, will, strict=True))
            else:
                moves.moved += sum(osd not in will for osd in was)
    return moves


def _moves_text(moves: Moves) -> str:
    share = as_f32(moves.moved * 100.0 / moves.total) if moves.total else 0.0
    spread = [moves.deviation(counts) for counts in (moves.before, moves.after)]
    deviation = " -> ".join(map(general, spread))
    lines = [
        f"moved {moves.moved} / {moves.total} ({general(share)}%)",
        f"avg {general(moves.mean)}",
        f"stddev {deviation} (expected baseline {general(moves.expected)})",
    ]
    for word, osd in (("min", _least(moves)), ("max", _most(moves))):
        was, will = moves.before[osd], moves.after[osd]
        lines.append(
            f"{word} osd.{osd} with {was} -> {will} pgs ({_share(was, moves)} ->"
            f" {_share(will, moves)} * mean)"
        )
    return "\n".join(lines) + "\n"


def _share(count: int, moves: Moves) -> str:
    return general(as_f32(count / moves.mean)) if moves.mean else "-nan"


def _least(moves: Moves) -> int:
    return min(moves.osds, key=lambda osd: moves.before[osd])


def _most(moves: Moves) -> int:
    return max(moves.osds, key=lambda osd: moves.before[osd])


def _moves_document(moves: Moves) -> dict[str, Any]:
    least, most = _least(moves), _most(moves)
    return {
        "moved_pgs": moves.moved,
        "total_pgs": moves.total,
        "avg_pgs": moves.mean,
        "std_dev": moves.deviation(moves.before),
        "expected_baseline_std_dev": moves.expected,
        "new_std_dev": moves.deviation(moves.after),
        "min_osd": least,
        "min_osd_pgs": moves.before[least],
        "new_min_osd_pgs": moves.after[least],
        "max_osd": most,
        "max_osd_pgs": moves.before[most],
        "new_max_osd_pgs": moves.after[most],
    }


# ---------------------------------------------------------------------------------------- commands


def _shown(request: Request, wish: Wish, plan: Plan, moves: Moves | None) -> bytes:
    if request.is_plain:
        lines = [
            f"oload {wish.oload}",
            f"max_change {general(wish.max_change)}",
            f"max_change_osds {wish.max_osds}",
            f"average_utilization {plan.average:.4f}",
            f"overload_utilization {plan.overload:.4f}",
        ]
        lines += [
            f"osd.{osd} weight {before / _FULL:.4f} -> {after / _FULL:.4f}"
            for osd, before, after in plan.changes
        ]
        return ((_moves_text(moves) if moves else "") + "\n" + "\n".join(lines) + "\n").encode()
    document: dict[str, Any] = {
        "overload_min": wish.oload,
        "max_change": wish.max_change,
        "max_change_osds": wish.max_osds,
        "average_utilization": plan.average,
        "overload_utilization": plan.overload,
        "reweights": Items(
            "osd",
            [
                {"osd": osd, "weight": before / _FULL, "new_weight": after / _FULL}
                for osd, before, after in plan.changes
            ],
        ),
    }
    if moves:
        document["utilization"] = _moves_document(moves)
    return request.show(document, "reweight_by_utilization")


async def _reweight(manager: Manager, request: Request, wish: Wish, *, for_real: bool) -> Reply:
    config, osdmap = manager.config, manager.osdmap
    least = {
        "pgs": config.get_int("mon_reweight_min_pgs_per_osd"),
        "bytes": config.get_int("mon_reweight_min_bytes_per_osd"),
    }
    plan = make_plan(osdmap, manager.pgmap, wish, least)
    shown = _shown(request, wish, plan, foresee(osdmap, plan, wish.pools))
    if not plan.changes or not for_real:
        return Reply("no change", shown, len(plan.changes))
    weights = {str(osd): str(after) for osd, _, after in plan.changes}
    text = json.dumps(weights).replace('"', "'")
    done = await manager.session.command({"prefix": "osd reweightn", "weights": text})
    return Reply(done.status, shown, done.result)


def _wish(
    manager: Manager,
    oload: int,
    max_change: float | None,
    max_osds: int | None,
    pools: list[str],
    *,
    by_pg: bool,
    no_increasing: bool = False,
) -> Wish:
    numbers = set()
    for name in pools:
        found = find_pool(manager.osdmap, name)
        if found is None:
            raise NotFound(f"pool '{name}' does not exist")
        numbers.add(found)
    if max_change is None:
        max_change = manager.config.get_float("mon_reweight_max_change")
    if max_change <= 0:
        raise InvalidArgument(f"max_change {general(max_change)} must be positive")
    if max_osds is None:
        max_osds = manager.config.get_int("mon_reweight_max_osds")
    if max_osds <= 0:
        raise InvalidArgument(f"max_osds {max_osds} must be positive")
    return Wish(oload, max_change, max_osds, by_pg, numbers, no_increasing)


_NUMBERS: dict[str, Any] = {
    "oload": integer(required=False),
    "max_change": number(required=False),
    "max_osds": integer(required=False),
}


def _add_by_utilization(prefix: str, perm: str, increasing: Any, help_text: str) -> None:
    @COMMANDS.add(prefix, **_NUMBERS, no_increasing=increasing, perm=perm, help=help_text)
    async def by_utilization(
        manager: Manager,
        request: Request,
        oload: int = _OLOAD,
        max_change: float | None = None,
        max_osds: int | None = None,
        no_increasing: str | bool = False,
    ) -> Reply:
        wish = _wish(
            manager,
            oload,
            max_change,
            max_osds,
            [],
            by_pg=False,
            no_increasing=bool(no_increasing),
        )
        return await _reweight(manager, request, wish, for_real=perm == "rw")


def _add_by_pg(prefix: str, perm: str, help_text: str) -> None:
    pools = pool_name(required=False, repeated=True)

    @COMMANDS.add(prefix, **_NUMBERS, pools=pools, perm=perm, help=help_text)
    async def by_pg(
        manager: Manager,
        request: Request,
        pools: list[str],
        oload: int = _OLOAD,
        max_change: float | None = None,
        max_osds: int | None = None,
    ) -> Reply:
        wish = _wish(manager, oload, max_change, max_osds, pools, by_pg=True)
        return await _reweight(manager, request, wish, for_real=perm == "rw")


_add_by_utilization(
    "osd reweight-by-utilization",
    "rw",
    choices("--no-increasing", required=False),
    "give less to OSDs that are fuller than a percentage of the mean",
)
_add_by_utilization("osd test-reweight-by-utilization", "r", flag(), "tell what that would change")
_add_by_pg(
    "osd reweight-by-pg",
    "rw",
    "give less to OSDs that hold more PGs than a percentage of the mean",
)
_add_by_pg("osd test-reweight-by-pg", "r", "tell what that would change")
