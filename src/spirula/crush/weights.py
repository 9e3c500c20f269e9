"""Weights in a CRUSH map: of items and all that contains them, of subtrees, of the whole map.

A bucket weighs what its items weigh, and so do its weight sets (choose_args): every change here is
carried to all buckets above. Called by `edit` and by the monitor's commands. Weights are 16.16;
what people give is a float, which upstream takes to 32 bits first (`fixed`).
Upstream: adjust_item_weight and its relatives, reweight, choose_args_* of `CrushWrapper.cc`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from spirula.crush.bucket_items import positions_of, set_item_weight, sum_up
from spirula.crush.build import get_bucket, item_weights
from spirula.crush.classes import rebuild_roots_with_classes, roots
from spirula.crush.lookup import Location, find_bucket, find_item
from spirula.crush.map import Bucket, BucketAlg, ChooseArg, CrushMap
from spirula.errors import Exists, InvalidArgument, Loop, NotFound, TooLarge

FULL = 0x10000
COMPAT = -1
"""The weight set that also clients which know of none obey: they get it as the weights proper."""

_LARGEST = 0x7FFFFFFF
_UNSIGNED = 0xFFFFFFFF
_FLOAT = struct.Struct("<f")


def to_float(weight: int) -> float:
    """A 16.16 weight as upstream shows it: taken to 32 bits of floating point."""
    (single,) = _FLOAT.unpack(_FLOAT.pack(weight))
    return float(single) / FULL


def signed(number: int) -> int:
    """An unsigned 32-bit number as upstream shows many of them: from 2 ** 31 on negative."""
    return number - (1 << 32) if number > _LARGEST else number


def fixed(weight: float) -> int:
    """The 16.16 number of a weight, cut off as upstream does: by way of 32 bits of floating point.

    Raises TooLarge from 32768 on and for negative numbers, which upstream calls so as well.
    """
    try:
        (single,) = _FLOAT.unpack(_FLOAT.pack(weight))
    except OverflowError:
        single = float("inf")
    scaled = single * FULL
    if not -1 < scaled < _LARGEST + 1:
        raise TooLarge(f"a weight must lie between 0 and 32768, not {weight:g}")
    return max(int(scaled), 0)


# -------------------------------------------------------------------------------- one item's weight


def adjust_item_weight(crush: CrushMap, item: int, weight: int, *, weight_sets: bool = True) -> int:
    """Give `item` that weight (16.16) wherever it is; gives the number of buckets that had it.

    `weight_sets`: its weight in choose_args becomes the same. Raises NotFound, OutOfRange.
    """
    changed = _Adjusting(crush).everywhere(item, weight, weight_sets=weight_sets)
    if not changed:
        raise NotFound(f"item {item} is nowhere in the map")
    return changed


def adjust_item_weight_in_bucket(
    crush: CrushMap, item: int, weight: int, bucket: Bucket, *, weight_sets: bool = True
) -> None:
    """Like `adjust_item_weight`, for the places in one bucket only."""
    if item not in bucket.items:
        raise NotFound(f"bucket {bucket.id} does not contain {item}")
    _Adjusting(crush).in_bucket(bucket, item, weight, weight_sets=weight_sets)


def adjust_item_weight_in_loc(
    crush: CrushMap, item: int, weight: int, location: Location, *, weight_sets: bool = True
) -> int:
    """Like `adjust_item_weight`, for the buckets that `location` names; gives their number."""
    work, changed = _Adjusting(crush), 0
    for _, name in sorted(location.items()):
        id = find_item(crush, name)
        bucket = None if id is None else find_bucket(crush, id)
        if bucket:
            changed += work.in_bucket(bucket, item, weight, weight_sets=weight_sets)
    if not changed:
        raise NotFound(f"item {item} is in none of the buckets named")
    return changed


def adjust_subtree_weight(
    crush: CrushMap, root: int, weight: int, *, weight_sets: bool = True
) -> int:
    """Give all devices below `root` that weight (16.16); gives their number.

    Raises NotFound, OutOfRange, and what `rebuild_roots_with_classes` raises.
    """
    get_bucket(crush, root)
    work, changed, waiting = _Adjusting(crush), 0, [root]
    for id in waiting:
        bucket = find_bucket(crush, id)
        for item in list(bucket.items) if bucket else ():
            if item < 0:
                waiting.append(item)
            elif bucket:
                work.in_bucket(bucket, item, weight, weight_sets=weight_sets)
                changed += 1
    rebuild_roots_with_classes(crush)
    return changed


class _Adjusting:
    """Weights on their way up, in the order in which upstream goes through the buckets.

    The order shows where some buckets have no weight set yet: those get one on the way, with the
    weights of that moment. Which bucket contains what does not change meanwhile.
    """

    def __init__(self, crush: CrushMap, only: dict[int, ChooseArg] | None = None) -> None:
        self.crush = crush
        self.parents: dict[int, list[int]] = {}
        for index, bucket in enumerate(crush.buckets):
            for item in set(bucket.items) if bucket else ():
                self.parents.setdefault(item, []).append(index)
        self.sets = [
            args
            for args in crush.choose_args.values()
            if args is only or (only is None and any(arg.weight_sets for arg in args.values()))
        ]
        self.lacking = [
            {
                index
                for index, bucket in enumerate(crush.buckets)
                if bucket and not (index in args and args[index].weight_sets)
            }
            for args in self.sets
        ]

    def everywhere(
        self, item: int, weight: int, *, weight_sets: bool, inside: frozenset[int] = frozenset()
    ) -> int:
        """The weight of `item` in all buckets; gives the number of those that contain it."""
        here = self.parents.get(item, [])
        visited = range(len(self.crush.buckets)) if self.sets else here
        for index in visited:
            bucket = self.crush.buckets[index]
            if bucket:
                self.in_bucket(bucket, item, weight, weight_sets=weight_sets, inside=inside)
        return len(here)

    def in_bucket(
        self,
        bucket: Bucket,
        item: int,
        weight: int,
        *,
        weight_sets: bool,
        inside: frozenset[int] = frozenset(),
    ) -> bool:
        """The weight of `item` in `bucket`, and the bucket's own above; False if it is not there.

        Then the bucket's weight sets are summed up, there or not.
        """
        for _ in range(bucket.items.count(item)):
            if bucket.id in inside:
                raise Loop(f"bucket {bucket.id} contains itself")
            position = bucket.items.index(item)
            set_item_weight(self.crush, bucket, position, weight, weight_sets=weight_sets)
            self.everywhere(
                bucket.id, bucket.weight, weight_sets=False, inside=inside | {bucket.id}
            )
        for number, args in enumerate(self.sets):
            arg = args.get(-1 - bucket.id)
            if arg and arg.weight_sets:
                self.carry(number, bucket.id, [sum(row) & _UNSIGNED for row in arg.weight_sets])
        return item in bucket.items

    def carry(self, number: int, item: int, weights: list[int]) -> int:
        """The weights of `item` in one set, and the sums above; gives how many buckets changed."""
        args, changed = self.sets[number], 0
        stack = [(item, weights, iter(self._places(number, item)))]
        while stack:
            item, weights, places = stack[-1]
            index = next(places, None)
            if index is None:
                stack.pop()
                continue
            bucket = self.crush.buckets[index]
            if bucket and self._take(number, bucket, item, weights):
                changed += len(stack) == 1
                sums = [sum(row) & _UNSIGNED for row in args[index].weight_sets]
                stack.append((bucket.id, sums, iter(self._places(number, bucket.id))))
        return changed

    def _places(self, number: int, item: int) -> list[int]:
        return sorted({*self.parents.get(item, ()), *self.lacking[number]})

    def _take(self, number: int, bucket: Bucket, item: int, weights: list[int]) -> bool:
        """Give one bucket a weight set if it has none, and `item` its weights; True if either."""
        args, index = self.sets[number], -1 - bucket.id
        arg = args.setdefault(index, ChooseArg())
        created = index in self.lacking[number]
        if created:
            self.lacking[number].discard(index)
            arg.weight_sets = [item_weights(bucket) for _ in range(positions_of(args))]
        if len(arg.weight_sets) != len(weights):
            return False
        for row, weight in zip(arg.weight_sets, weights, strict=True):
            # holes of a tree bucket have lost their places here
            for position, other in enumerate(bucket.items[: len(row)]):
                if other == item:
                    row[position] = weight
        return created or item in bucket.items


# ------------------------------------------------------------------------------------ the whole map


def reweight(crush: CrushMap) -> None:
    """Weigh all buckets anew from their devices up, and make the shadow trees anew.

    Raises what `sum_up` and `rebuild_roots_with_classes` raise; Loop.
    """
    for root in roots(crush, shadow=False):
        below = bottom_up(crush, root)
        for id in below:
            sum_up(crush, get_bucket(crush, id))
        for args in crush.choose_args.values():
            _sum_up_sets(crush, below, args)
    rebuild_roots_with_classes(crush)


def reweight_bucket(crush: CrushMap, root: int) -> None:
    """Weigh `root` and the buckets below it anew. Raises NotFound, OutOfRange, Loop."""
    for id in bottom_up(crush, root):
        sum_up(crush, get_bucket(crush, id))


def bottom_up(crush: CrushMap, root: int) -> list[int]:
    """The buckets at and below `root`, each behind all that it contains.

    Raises NotFound for one that is not there, Loop for one that contains itself.
    """
    order: list[int] = []
    done: set[int] = set()
    open_ids = {root}
    stack = [(root, iter(get_bucket(crush, root).items))]
    while stack:
        id, items = stack[-1]
        item = next((item for item in items if item < 0 and item not in done), None)
        if item is None:
            stack.pop()
            open_ids.discard(id)
            done.add(id)
            order.append(id)
        elif item in open_ids:
            raise Loop(f"bucket {item} contains itself")
        else:
            open_ids.add(item)
            stack.append((item, iter(get_bucket(crush, item).items)))
    return order


def _sum_up_sets(crush: CrushMap, below: Sequence[int], args: dict[int, ChooseArg]) -> None:
    """The first weight set of each bucket gets the sums of those below; upstream forgets others."""
    totals: dict[int, int] = {}
    for id in below:
        arg = args.get(-1 - id)
        if arg is None or not arg.weight_sets:
            totals[id] = 0
            continue
        weights = arg.weight_sets[0]
        for position, item in enumerate(get_bucket(crush, id).items):
            if item < 0:
                weights[position] = totals[item]
        totals[id] = sum(weights) & _UNSIGNED


# -------------------------------------------------------------------------------------- choose_args


def get_choose_args(crush: CrushMap, key: int) -> dict[int, ChooseArg] | None:
    """The choose_args of pool `key`, or else the compat set, or None."""
    return crush.choose_args.get(key, crush.choose_args.get(COMPAT))


def create_choose_args(crush: CrushMap, key: int, positions: int) -> None:
    """Add a set for pool `key` (or `COMPAT`) that says what the weights say.

    Raises Exists, InvalidArgument for less than one position.
    """
    if key in crush.choose_args:
        raise Exists(f"there is a weight set {key} already")
    if positions < 1:
        raise InvalidArgument(f"a weight set has at least one position, not {positions}")
    crush.choose_args[key] = {
        -1 - bucket.id: ChooseArg([list(bucket.item_weights) for _ in range(positions)])
        for bucket in crush.buckets
        if bucket and bucket.alg == BucketAlg.STRAW2
    }


def rm_choose_args(crush: CrushMap, key: int) -> None:
    """Remove the set of pool `key`, if there is one."""
    crush.choose_args.pop(key, None)


def choose_args_adjust_item_weight(
    crush: CrushMap, key: int, item: int, weights: Sequence[int]
) -> None:
    """Set the weight (16.16) of `item` at each position of one set, and the sums above it.

    Buckets without a weight set get one. Raises NotFound for a set or an item that is not there, or
    where nowhere the number of weights is that of the positions.
    """
    args = crush.choose_args.get(key)
    if args is None:
        raise NotFound(f"there is no weight set {key}")
    if not _Adjusting(crush, args).carry(0, item, list(weights)):
        count = len(weights)
        told = "".join(
            f"weight_set_positions != {count} for bucket {bucket.id}"
            for bucket in crush.buckets
            if bucket and len(args[-1 - bucket.id].weight_sets) != count
        )
        raise NotFound(f"{told}item {item} not found in crush map")
