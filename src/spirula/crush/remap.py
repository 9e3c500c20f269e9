"""Other devices for what a rule picked: which sets it allows, and what could be swapped for what.

The balancer asks which devices an exception (upmap) may name without breaking the rule's failure
domains; the monitor checks exceptions that people give. Upstream: `src/crush/CrushWrapper.cc`,
verify_upmap, try_remap_rule, get_rule_weight_osd_map.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from spirula.crush.build import item_weights
from spirula.crush.lookup import children_of_type, find_bucket, subtree, takes_of
from spirula.crush.map import CrushMap, Rule, RuleOp
from spirula.errors import InvalidArgument, NotFound
from spirula.printing import as_f32

_LEAF_STEPS = (RuleOp.CHOOSELEAF_FIRSTN, RuleOp.CHOOSELEAF_INDEP)
_PLAIN_STEPS = (RuleOp.CHOOSE_FIRSTN, RuleOp.CHOOSE_INDEP)


@dataclass(frozen=True, slots=True)
class Level:
    """One choice of a rule: `count` items of `type` below each item chosen before."""

    type: int
    count: int


class RuleTree:
    """What is where below the items that a rule takes. Remembers answers: the map must not change.

    NotFound when there is no such rule.
    """

    def __init__(self, crush: CrushMap, number: int) -> None:
        rule = crush.rules[number] if 0 <= number < len(crush.rules) else None
        if rule is None:
            raise NotFound(f"there is no rule with the id {number}")
        self.crush = crush
        self.rule: Rule = rule
        self._takes = sorted(takes_of(crush, number))
        self._below: dict[int, frozenset[int]] = {}
        self._parents: dict[int, dict[int, int]] = {}

    def contains(self, root: int, item: int) -> bool:
        """Whether `item` is `root` or below it."""
        found = self._below.get(root)
        if found is None:
            found = self._below[root] = frozenset(subtree(self.crush, root))
        return item in found

    def parent(self, item: int, type: int) -> int | None:
        """The bucket of that type around `item`, below what the rule takes."""
        known = self._parents.get(type)
        if known is None:
            known = self._parents[type] = {}
            for root in self._takes:
                for bucket in children_of_type(self.crush, root, type, shadow=True):
                    for below in subtree(self.crush, bucket):
                        known.setdefault(below, bucket)
        return known.get(item)

    def weights(self) -> dict[int, float]:
        """The share of each device, as upstream's 32-bit floats add up."""
        shares: dict[int, float] = {}
        for step in self.rule.steps:
            if step.op != RuleOp.TAKE:
                continue
            weights, total = _device_weights(self.crush, step.arg1)
            for device in sorted(weights):
                part = as_f32(weights[device] / total) if total else 0.0
                shares[device] = as_f32(shares[device] + part) if device in shares else part
        return shares


def _device_weights(crush: CrushMap, root: int) -> tuple[dict[int, float], float]:
    """Weights of the devices below `root`, and their sum as C adds 32-bit floats."""
    if root >= 0:
        return {root: 1.0}, 1.0
    weights: dict[int, float] = {}
    total = 0.0
    waiting, seen = deque([root]), {root}
    while waiting:
        bucket = find_bucket(crush, waiting.popleft())
        if bucket is None:
            continue
        for item, weight in zip(bucket.items, item_weights(bucket), strict=True):
            if item >= 0:
                weights[item] = as_f32(weight)
                total = as_f32(total + weights[item])
            elif item not in seen:
                seen.add(item)
                waiting.append(item)
    return weights, total


# ------------------------------------------------------------------------------- is it allowed


def verify_upmap(tree: RuleTree, size: int, up: Sequence[int]) -> None:
    """InvalidArgument when the devices `up` of a pool with `size` replicas break the rule.

    They do when two of them share a failure domain, lie in more buckets than the rule chooses, or
    are not below what it takes.
    """
    root, cursor = 0, 0
    levels: dict[int, int] = {}
    for step in tree.rule.steps:
        if step.op == RuleOp.TAKE:
            root = step.arg1
        elif step.op in _LEAF_STEPS or step.op in _PLAIN_STEPS:
            count = step.arg1 if step.arg1 > 0 else step.arg1 + size
            levels.setdefault(step.arg2, count)
            if step.arg2:
                alone = step.op in _LEAF_STEPS
                _check_domains(tree, step.arg2, up, None if alone else count)
        elif step.op == RuleOp.EMIT:
            if root < 0:
                wanted = 1
                for count in levels.values():
                    wanted *= count
                for osd in up[cursor : cursor + max(wanted, 0)]:
                    if not tree.contains(root, osd):
                        raise InvalidArgument(f"osd.{osd} is not in bucket {root}")
                cursor = min(cursor + max(wanted, 0), len(up))
            levels, root = {}, 0


def _check_domains(tree: RuleTree, type: int, up: Sequence[int], most: int | None) -> None:
    """At most one device in each bucket of that type, or at most `most` buckets."""
    domains: dict[int, set[int]] = {}
    for osd in up:
        parent = tree.parent(osd, type)
        if parent is not None:
            domains.setdefault(parent, set()).add(osd)
    if most is not None:
        if len(domains) > most:
            raise InvalidArgument(f"{len(domains)} buckets of type {type}, the rule chooses {most}")
        return
    for bucket, osds in sorted(domains.items()):
        if len(osds) > 1:
            shown = ", ".join(f"osd.{osd}" for osd in sorted(osds))
            raise InvalidArgument(f"{shown} are in one failure domain, bucket {bucket}")


# ------------------------------------------------------------------------------ what to swap


@dataclass(slots=True)
class Wishes:
    """Devices to move data away from, and devices to move it to, the best first.

    `more_underfull` are taken only where none of `underfull` fits.
    """

    overfull: set[int]
    underfull: Sequence[int]
    more_underfull: Sequence[int] = ()


def try_remap_rule(tree: RuleTree, size: int, wishes: Wishes, original: Sequence[int]) -> list[int]:
    """The devices `original` with overfull ones swapped for others that the rule could have picked.

    The result has fewer devices than `original` where the rule's shape does not fit it; without a
    swap it is equal.
    """
    work = _Swaps(tree, wishes, original)
    found: list[int] = []
    current: list[int] = []
    levels: list[Level] = []
    root = 0
    for step in tree.rule.steps:
        if step.op == RuleOp.TAKE:
            current, root = [step.arg1], step.arg1
        elif step.op in _LEAF_STEPS or step.op in _PLAIN_STEPS:
            count = step.arg1 if step.arg1 > 0 else step.arg1 + size
            levels.append(Level(step.arg2, max(count, 0)))
            if step.op in _LEAF_STEPS:
                if step.arg2 > 0:
                    levels.append(Level(0, 1))
                current = work.choose(levels, current, root)
                levels = []
        elif step.op == RuleOp.EMIT:
            if levels:
                current = work.choose(levels, current, root)
                levels = []
            found += current
            current = []
    return found


@dataclass(slots=True)
class _Swaps:
    """Goes along `original` while the levels of a rule are followed; `at` is the next place."""

    tree: RuleTree
    wishes: Wishes
    original: Sequence[int]
    at: int = 0
    used: set[int] = field(default_factory=set)

    def choose(self, levels: Sequence[Level], start: Sequence[int], root: int) -> list[int]:
        """The devices for one run of choices that begins at the items `start` below `root`."""
        good = self._underfull_buckets(levels, root)
        below = 1
        leaves_of = []  # how many devices each item of a level leads to
        for level in reversed(levels):
            leaves_of.append(below)
            below *= level.count
        leaves_of.reverse()
        items = list(start)
        for depth, level in enumerate(levels):
            if self.at >= len(self.original):
                break
            if level.type == 0:
                items = self._devices(level, items)
            else:
                last = depth + 1 == len(levels)
                items = self._buckets(
                    levels, depth, len(items), leaves_of[depth], set() if last else good[depth]
                )
        return items

    def _underfull_buckets(self, levels: Sequence[Level], root: int) -> list[set[int]]:
        """For each level but the last, buckets with something underfull in them."""
        found: list[set[int]] = [set() for _ in levels[:-1]]
        for osd in self.wishes.underfull:
            item: int | None = osd
            for depth in range(len(levels) - 2, -1, -1):
                if item is None:
                    break
                item = self.tree.parent(item, levels[depth].type)
                if item is not None and self.tree.contains(root, item):
                    found[depth].add(item)
        return found

    def _buckets(
        self,
        levels: Sequence[Level],
        depth: int,
        times: int,
        leaves: int,
        good: set[int],
    ) -> list[int]:
        """The buckets that `original` lies in, from where we are on; 0 where it ends too early.

        Where a swap is wished below a bucket but nothing there is underfull, a sibling that has
        something (of `good`) stands in. At the last level there is no choice.
        """
        level = levels[depth]
        chosen: list[int] = []
        place = self.at
        for _ in range(times):
            base = len(chosen)
            crowded = []
            for spot in range(base, base + level.count):
                mine = self.original[place : place + leaves]
                parent = self.tree.parent(mine[0], level.type) if mine else None
                chosen.append(0 if parent is None else parent)
                place += len(mine)
                if any(osd in self.wishes.overfull for osd in mine):
                    # Upstream looks here at the first bucket's choices each time; callers
                    # check what comes out.
                    crowded.append(spot - base)
            for spot in crowded:
                if good and chosen[spot] not in good:
                    above = levels[depth - 1].type if depth else None
                    chosen[spot] = self._sibling(chosen[spot], chosen, good, above)
        return chosen

    def _sibling(self, bucket: int, chosen: list[int], good: set[int], above: int | None) -> int:
        """A bucket of `good` that is not chosen yet and has the same parent; else `bucket`."""
        for other in sorted(good):
            if other in chosen:
                continue
            if above is None or self.tree.parent(bucket, above) == self.tree.parent(other, above):
                return other
        return bucket

    def _devices(self, level: Level, items: Sequence[int]) -> list[int]:
        """The devices of `original`, overfull ones swapped for fitting ones in the same bucket."""
        found: list[int] = []
        for item in items:
            for _ in range(level.count):
                if self.at >= len(self.original):
                    return found
                device = self.original[self.at]
                self.at += 1
                if device in self.wishes.overfull:
                    device = self._replacement(item, device)
                found.append(device)
        return found

    def _replacement(self, bucket: int, device: int) -> int:
        """The best device in `bucket` that is neither used nor in `original`, else `device`."""
        for wanted in (self.wishes.underfull, self.wishes.more_underfull):
            for other in wanted:
                if (
                    other not in self.used
                    and other not in self.original
                    and self.tree.contains(bucket, other)
                ):
                    self.used.add(other)
                    return other
        return device
