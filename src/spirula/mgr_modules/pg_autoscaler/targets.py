"""How many PGs each pool should have.

Every root gives `mon_target_pg_per_osd` PGs for each of its OSDs to its pools: first, in the order
of their ids, to those without the flag `bulk` by what they store (or are said to come to store);
what is left to bulk pools, more to those that store more than an even share, the rest evenly.
Numbers: upstream `src/pybind/mgr/pg_autoscaler`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spirula.crush.lookup import subtree
from spirula.crush.map import CrushMap, RuleOp
from spirula.maps.dump.pools import autoscale_mode_name, options_document
from spirula.maps.osdmap import OSDMap
from spirula.maps.query import pool_raw_used_rate
from spirula.types.pool import PGPool, PoolFlag

LEAST_PGS = 32
"""Of a pool for which nobody set `pg_num_min`."""
THRESHOLD = 3.0
"""By what factor a pool has to be off before it is changed."""


@dataclass(slots=True, eq=False)
class Subtree:
    """Devices that pools share: a root, or several that have devices in common.

    `capacity` is in bytes, `pg_left` counts places of PGs that no pool has been given yet,
    `pools_given` pools that have been.
    """

    osds: set[int] = field(default_factory=set)
    roots: list[int] = field(default_factory=list)
    pools: list[str] = field(default_factory=list)
    capacity: int = 0
    pg_left: float = 0
    pools_given: int = 0
    total_target_ratio: float = 0.0
    total_target_bytes: float = 0.0


@dataclass(slots=True)
class Target:
    """What one pool has and should have. Fields are the keys of `osd pool autoscale-status`."""

    pool_id: int
    pool_name: str
    crush_root_id: int
    pg_autoscale_mode: str
    pg_num_target: int
    logical_used: int
    target_bytes: int
    raw_used_rate: float
    subtree_capacity: int
    actual_raw_used: float
    raw_used: float
    actual_capacity_ratio: float
    capacity_ratio: float
    target_ratio: float
    effective_target_ratio: float
    pg_num_ideal: int
    pg_num_final: int
    would_adjust: bool
    bias: float
    bulk: bool

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def explain(self) -> str:
        """A sentence that says what the pool should have, and why."""
        if self.target_ratio:
            why = f"it is said to take {self.effective_target_ratio:.1%} of its OSDs"
        elif self.target_bytes * self.raw_used_rate > self.actual_raw_used:
            why = f"it is said to come to take {self.capacity_ratio:.1%} of its OSDs"
        elif self.bulk:
            why = "it is a bulk pool and gets its part of what other pools leave"
        else:
            why = f"it takes {self.capacity_ratio:.1%} of its OSDs"
        if self.bias != 1.0:
            why += f", with a bias of {self.bias:g}"
        text = f"pool '{self.pool_name}' has {self.pg_num_target} PGs"
        if self.pg_num_final == self.pg_num_target:
            return f"{text}, as it should: {why}"
        text += f" and should have {self.pg_num_final}: {why}"
        if self.would_adjust:
            return f"{text}; it will be changed"
        if self.pg_autoscale_mode != "on":
            return f"{text}; its mode is {self.pg_autoscale_mode}, so it is left alone"
        return f"{text}; that is less than a factor of {THRESHOLD:g} off, so it is left alone"


def nearest_power_of_two(n: float) -> int:
    """The power of two that is nearest, the larger one of two; 0 for what is below 1."""
    whole = int(n)
    if whole <= 0:
        return 0
    above = 1 << (whole - 1).bit_length()
    below = above >> 1
    return below if above - n > n - below else above


def effective_target_ratio(
    ratio: float, total_ratio: float, total_bytes: float, capacity: float
) -> float:
    """A pool's `target_size_ratio` as a share of what is not promised to pools in bytes."""
    if total_ratio:
        ratio /= total_ratio
    if total_bytes and capacity:
        ratio *= 1.0 - min(1.0, total_bytes / capacity)
    return ratio


def root_of(crush: CrushMap, rule: int) -> int | None:
    """The item that the rule takes first."""
    found = crush.rules[rule] if 0 <= rule < len(crush.rules) else None
    takes = (step.arg1 for step in found.steps if step.op == RuleOp.TAKE) if found else ()
    return next(iter(takes), None)


def find_subtrees(
    osdmap: OSDMap, capacities: Mapping[int, int], pgs_per_osd: float
) -> tuple[dict[int, Subtree], set[int]]:
    """The subtree of each root that pools use, and the roots that share devices with others.

    `capacities` are bytes by OSD. Weights of `osd reweight` do not count: what counts is how many
    PGs the disks can have, not how many they should have just now.
    """
    by_root: dict[int, Subtree] = {}
    overlapping: set[int] = set()
    for number, pool in sorted(osdmap.pools.items()):
        root = root_of(osdmap.crush, pool.crush_rule)
        if root is None:
            continue
        osds = {item for item in subtree(osdmap.crush, root) if item >= 0}
        found = None
        for other, one in by_root.items():
            if osds & one.osds:
                found = one
                if other != root:
                    overlapping |= {other, root}
                break
        found = found or Subtree()
        by_root[root] = found
        found.roots.append(root)
        found.osds |= osds
        found.pools.append(osdmap.pool_name[number])
        options = options_document(pool)
        ratio = _float(options, "target_size_ratio")
        found.total_target_ratio += ratio
        if not ratio:
            size = _float(options, "target_size_bytes")
            found.total_target_bytes += size * pool_raw_used_rate(osdmap, pool)
    for one in by_root.values():
        one.capacity = sum(capacities.get(osd, 0) for osd in one.osds)
        one.pg_left = len(one.osds) * pgs_per_osd
    return by_root, overlapping


def find_targets(
    osdmap: OSDMap,
    stored: Mapping[int, int],
    subtrees: Mapping[int, Subtree],
    overlapping: set[int],
) -> list[Target]:
    """What each pool should have; pools whose roots overlap or are empty are left out.

    `stored` are bytes that clients have stored, by pool; pools without a number are left out.
    """
    found: list[Target] = []
    bulk: list[_Pool] = []
    for number, pool in sorted(osdmap.pools.items()):
        root = root_of(osdmap.crush, pool.crush_rule)
        if root is None or number not in stored or root in overlapping:
            continue
        if not subtrees[root].capacity:
            continue
        one = _measure(osdmap, number, pool, stored[number], root, subtrees[root])
        if one.bulk:
            bulk.append(one)
        else:
            found.append(one.give(one.capacity_ratio))
    even: list[_Pool] = []
    for one in bulk:
        tree = one.subtree
        share = 1 / (len(tree.pools) - tree.pools_given)
        if one.capacity_ratio > share:
            found.append(one.give(one.capacity_ratio))
        else:
            even.append(one)
    for one in even:
        tree = one.subtree
        found.append(one.decide(1 / (len(tree.pools) - tree.pools_given), tree.pg_left))
    return found


@dataclass(slots=True)
class _Pool:
    """A pool while its number is sought."""

    number: int
    name: str
    pool: PGPool
    options: dict[str, object]
    root: int
    subtree: Subtree
    stored: int
    rate: float
    target_bytes: int
    capacity_ratio: float
    effective_ratio: float
    bulk: bool

    def give(self, share: float) -> Target:
        """Takes that share of the places that are left."""
        target = self.decide(share, self.subtree.pg_left)
        self.subtree.pg_left -= int(share * self.subtree.pg_left)
        self.subtree.pools_given += 1
        return target

    def decide(self, share: float, places: float) -> Target:
        """The number of PGs for that share of so many places."""
        pool, options = self.pool, self.options
        bias = _float(options, "pg_autoscale_bias", 1.0)
        ideal = share * places / pool.size * bias
        least = int(_float(options, "pg_num_min", LEAST_PGS))
        most = int(_float(options, "pg_num_max"))
        final = max(least, nearest_power_of_two(ideal))
        if most:
            final = min(final, most)
        mode = autoscale_mode_name(pool.pg_autoscale_mode)
        now = pool.pg_num_target
        off = final > now * THRESHOLD or final < now / THRESHOLD
        capacity = self.subtree.capacity
        raw = max(self.stored, self.target_bytes) * self.rate
        return Target(
            pool_id=self.number,
            pool_name=self.name,
            crush_root_id=self.root,
            pg_autoscale_mode=mode,
            pg_num_target=now,
            logical_used=self.stored,
            target_bytes=self.target_bytes,
            raw_used_rate=self.rate,
            subtree_capacity=capacity,
            actual_raw_used=self.stored * self.rate,
            raw_used=raw,
            actual_capacity_ratio=self.stored * self.rate / capacity,
            capacity_ratio=self.capacity_ratio,
            target_ratio=_float(options, "target_size_ratio"),
            effective_target_ratio=self.effective_ratio,
            pg_num_ideal=int(ideal),
            pg_num_final=final,
            would_adjust=off and 0 <= share <= 1 and mode == "on",
            bias=bias,
            bulk=self.bulk,
        )


def _measure(
    osdmap: OSDMap, number: int, pool: PGPool, stored: int, root: int, tree: Subtree
) -> _Pool:
    options = options_document(pool)
    rate = pool_raw_used_rate(osdmap, pool)
    ratio = _float(options, "target_size_ratio")
    # where both are set the ratio counts
    size = 0 if ratio else int(_float(options, "target_size_bytes"))
    effective = effective_target_ratio(
        ratio, tree.total_target_ratio, tree.total_target_bytes, tree.capacity
    )
    used = max(stored, size) * rate / tree.capacity
    return _Pool(
        number,
        osdmap.pool_name[number],
        pool,
        options,
        root,
        tree,
        stored,
        rate,
        size,
        max(used, effective),
        effective,
        pool.has_flag(PoolFlag.BULK),
    )


def _float(options: Mapping[str, object], name: str, default: float = 0.0) -> float:
    value = options.get(name, default)
    return float(value) if isinstance(value, int | float) else default
