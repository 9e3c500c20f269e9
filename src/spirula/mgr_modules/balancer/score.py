"""How even a distribution is: a number from 0 (perfect) towards 1, and the figures behind it.

For every root, the shares of PGs, objects and bytes that its OSDs have are compared with those that
their weights ask for. Only OSDs that have too much add to the score, by how unlikely that much is
under a normal distribution. Upstream: `src/pybind/mgr/balancer`.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from spirula.crush.lookup import device_weights, takes, takes_of
from spirula.maps.dump.values import share
from spirula.maps.osdmap import OSDMap
from spirula.mgr_modules.balancer.placed import Placed
from spirula.types.pg import NO_OSD, PGId

METRICS = ("pgs", "objects", "bytes")
_NOTHING = (0, 0)

Numbers = dict[str, dict[int, float]]
"""By metric and OSD."""


@dataclass(slots=True)
class Score:
    """What `evaluate` finds, by the names that `balancer eval-verbose` prints.

    `count_*` are PGs, objects and bytes, `actual_*` the same as shares of all, `target_by_root` the
    shares that there should be.
    """

    told: str
    target_by_root: dict[str, dict[int, float]] = field(default_factory=dict)
    count_by_pool: dict[str, Numbers] = field(default_factory=dict)
    count_by_root: dict[str, Numbers] = field(default_factory=dict)
    actual_by_pool: dict[str, Numbers] = field(default_factory=dict)
    actual_by_root: dict[str, Numbers] = field(default_factory=dict)
    total_by_pool: dict[str, dict[str, int]] = field(default_factory=dict)
    total_by_root: dict[str, dict[str, int]] = field(default_factory=dict)
    stats_by_root: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    score_by_pool: dict[str, float] = field(default_factory=dict)
    score_by_root: dict[str, dict[str, float]] = field(default_factory=dict)
    root_ids: dict[str, int] = field(default_factory=dict)
    score: float = 0.0

    def show(self, *, verbose: bool) -> str:
        """As `balancer eval` and `balancer eval-verbose` print it."""
        text = f"{self.told}\n" if verbose else f"{self.told} "
        for name in _SHOWN if verbose else ():
            text += f"{name} {getattr(self, name)}\n"
        return f"{text}score {self.score:f} (lower is better)\n"


_SHOWN = (
    "target_by_root",
    "actual_by_pool",
    "actual_by_root",
    "count_by_pool",
    "count_by_root",
    "total_by_pool",
    "total_by_root",
    "stats_by_root",
    "score_by_pool",
    "score_by_root",
)


def evaluate(placed: Placed, pools: Collection[str], metrics: Collection[str] = METRICS) -> Score:
    """Judges a distribution, in these pools (in all, if there are none), by these metrics."""
    found = Score(placed.told)
    names = placed.osdmap.pool_name
    chosen = {
        number: names[number]
        for number in placed.up
        if number in names and (not pools or names[number] in pools)
    }
    if not chosen:
        return found
    roots = _targets(found, placed.osdmap, chosen)
    by_root = {root: _zeros(found.target_by_root[root]) for root in roots}
    for number, name in chosen.items():
        _count_pool(found, placed, number, name, by_root)
    for root, counted in by_root.items():
        total = found.total_by_root[root]
        found.count_by_root[root] = {
            metric: {osd: float(value) for osd, value in counted[metric].items()}
            for metric in METRICS
        }
        found.actual_by_root[root] = _shares(counted, total)
        stats = {
            metric: _stats(counted[metric], found.target_by_root[root], total[metric])
            for metric in METRICS
        }
        found.stats_by_root[root] = stats
        found.score_by_root[root] = {metric: stats[metric]["score"] for metric in METRICS}
    parts = [
        value
        for scores in found.score_by_root.values()
        for metric, value in scores.items()
        if metric in metrics
    ]
    places = len(metrics) * len(found.score_by_root)
    found.score = sum(parts) / places if places else 0.0
    return found


def _targets(found: Score, osdmap: OSDMap, chosen: Collection[int]) -> dict[str, list[int]]:
    """The roots of the pools, the pools of each, and which share each OSD should have."""
    crush, pools = osdmap.crush, osdmap.pools
    roots: dict[str, list[int]] = {}
    for take in sorted(takes(crush)):
        used = [number for number in chosen if take in takes_of(crush, pools[number].crush_rule)]
        if not used:
            continue
        name = crush.item_names.get(take, str(take))
        roots[name] = used
        found.root_ids[name] = take
        weights = device_weights(crush, take)
        wanted = {
            osd: weight * share(osdmap.osd_weight[osd])
            for osd, weight in weights.items()
            if osd < osdmap.max_osd and osdmap.osd_weight[osd] and weight
        }
        total = sum(wanted.values())
        found.target_by_root[name] = {osd: weight / total for osd, weight in wanted.items()}
        found.total_by_root[name] = dict.fromkeys(METRICS, 0)
    return roots


def _zeros(osds: Collection[int]) -> Numbers:
    return {metric: dict.fromkeys(osds, 0.0) for metric in METRICS}


def _count_pool(
    found: Score, placed: Placed, number: int, name: str, by_root: dict[str, Numbers]
) -> None:
    """Adds up what each OSD has of a pool.

    Each place of a PG counts for one root only, the first that has its OSD.
    """
    osdmap = placed.osdmap
    own = takes_of(osdmap.crush, osdmap.pools[number].crush_rule)
    roots = [root for root in by_root if found.root_ids[root] in own]
    mine: Numbers = {metric: {} for metric in METRICS}
    pool_total = dict.fromkeys(METRICS, 0)
    for seed, osds in enumerate(placed.up[number]):
        values = (1, *placed.loads.get(PGId(number, seed), _NOTHING))
        for osd in osds:
            if osd == NO_OSD:
                continue
            root = next((one for one in roots if osd in found.target_by_root[one]), None)
            for metric, value in zip(METRICS, values, strict=True):
                mine[metric][osd] = mine[metric].get(osd, 0) + value
                if root is not None:
                    by_root[root][metric][osd] += value
                    found.total_by_root[root][metric] += value
                    pool_total[metric] += value
    found.count_by_pool[name] = mine
    found.actual_by_pool[name] = _shares(mine, pool_total)
    found.total_by_pool[name] = pool_total


def _shares(counted: Numbers, total: dict[str, int]) -> Numbers:
    return {
        metric: {osd: value / max(total[metric], 1) for osd, value in counted[metric].items()}
        for metric in METRICS
    }


def _stats(count: dict[int, float], target: dict[int, float], total: int) -> dict[str, float]:
    """The figures of one metric in one root."""
    if not total or not target:
        return dict.fromkeys(("max", "min", "avg", "stddev", "sum_weight", "score"), 0)
    average = total / len(target)
    squares = above = weight_above = 0.0
    for osd, value in count.items():
        adjusted = value / target[osd] / len(target) if target[osd] else 0.0
        squares += (average - adjusted) ** 2
        if adjusted > average:
            # 2 * cdf(x) - 1 of the normal distribution: grows fast at first, and stays below 1
            above += target[osd] * math.erf((adjusted - average) / average / math.sqrt(2.0))
            weight_above += target[osd]
    return {
        "max": max(count.values()),
        "min": min(count.values()),
        "avg": average,
        "stddev": math.sqrt(squares / max(len(target) - 1, 1)),
        "sum_weight": weight_above,
        "score": above / max(weight_above, 1),
    }
