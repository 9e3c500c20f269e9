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
from spirula.crush.lookup import Location, find_bucket, find_item, subtree
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
    above = _Above(crush)
    places = [bucket for bucket in crush.buckets if bucket and item in bucket.items]
    for bucket in places:
        _fill_on_the_way(crush, -1 - bucket.id)
        above.adjust(bucket, item, weight, weight_sets=weight_sets)
    if not places:
        raise NotFound(f"item {item} is nowhere in the map")
    settle_weight_sets(crush)
    return len(places)


def adjust_item_weight_in_bucket(
    crush: CrushMap, item: int, weight: int, bucket: Bucket, *, weight_sets: bool = True
) -> int:
    """Like `adjust_item_weight`, for the places in one bucket only; gives their number."""
    if item not in bucket.items:
        raise NotFound(f"bucket {bucket.id} does not contain {item}")
    changed = _Above(crush).adjust(bucket, item, weight, weight_sets=weight_sets)
    settle_weight_sets(crush)
    return changed


def adjust_item_weight_in_loc(
    crush: CrushMap, item: int, weight: int, location: Location, *, weight_sets: bool = True
) -> int:
    """Like `adjust_item_weight`, for the buckets that `location` names; gives their number."""
    above, changed = _Above(crush), 0
    for _, name in sorted(location.items()):
        id = find_item(crush, name)
        bucket = None if id is None else find_bucket(crush, id)
        if bucket and item in bucket.items:
            above.adjust(bucket, item, weight, weight_sets=weight_sets)
            changed += 1
    if not changed:
        raise NotFound(f"item {item} is in none of the buckets named")
    settle_weight_sets(crush)
    return changed


def adjust_subtree_weight(
    crush: CrushMap, root: int, weight: int, *, weight_sets: bool = True
) -> int:
    """Give all devices below `root` that weight (16.16); gives their number.

    Raises NotFound, OutOfRange, and what `rebuild_roots_with_classes` raises.
    """
    get_bucket(crush, root)
    above, changed = _Above(crush), 0
    for id in subtree(crush, root):
        bucket = find_bucket(crush, id)
        for item in list(bucket.items) if bucket else ():
            if bucket and item >= 0:
                above.adjust(bucket, item, weight, weight_sets=weight_sets)
                changed += 1
    if changed:
        settle_weight_sets(crush)
    rebuild_roots_with_classes(crush)
    return changed


class _Above:
    """Which buckets contain which, while weights are carried upwards."""

    def __init__(self, crush: CrushMap) -> None:
        self.crush = crush
        self.parents: dict[int, list[Bucket]] = {}
        for bucket in crush.buckets:
            for item in set(bucket.items) if bucket else ():
                if item < 0 and bucket:
                    self.parents.setdefault(item, []).append(bucket)

    def adjust(self, bucket: Bucket, item: int, weight: int, *, weight_sets: bool) -> int:
        """The weight of `item` in `bucket`, and the bucket's in those above; gives the places."""
        places = bucket.items.count(item)
        position = bucket.items.index(item)
        set_item_weight(self.crush, bucket, position, weight, weight_sets=weight_sets)
        self._carry(bucket, {bucket.id})
        return places

    def _carry(self, bucket: Bucket, inside: set[int]) -> None:
        for parent in self.parents.get(bucket.id, []):
            if parent.id in inside:
                raise Loop(f"bucket {parent.id} contains itself")
            position = parent.items.index(bucket.id)
            set_item_weight(self.crush, parent, position, bucket.weight, weight_sets=False)
            self._carry(parent, inside | {parent.id})


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

    Raises NotFound for a set or an item that is not there, InvalidArgument where the number of
    weights is not that of the positions.
    """
    args = crush.choose_args.get(key)
    if args is None:
        raise NotFound(f"there is no weight set {key}")
    places = [bucket for bucket in crush.buckets if bucket and item in bucket.items]
    if not places:
        raise NotFound(f"item {item} not found in crush map")
    _fill(crush, args)
    for bucket in places:
        sets = args[-1 - bucket.id].weight_sets
        if len(sets) != len(weights):
            raise InvalidArgument(f"weight_set_positions != {len(weights)} for bucket {bucket.id}")
        for row, weight in zip(sets, weights, strict=True):
            for position, other in enumerate(bucket.items):
                if other == item:
                    row[position] = weight
    _carry_sets(crush, args)


def settle_weight_sets(crush: CrushMap) -> None:
    """Let each weight set say of a bucket what it says of all its items together.

    Buckets without a weight set get one in sets where others have one.
    """
    for args in crush.choose_args.values():
        if any(arg.weight_sets for arg in args.values()):
            _fill(crush, args)
            _carry_sets(crush, args)


def _fill_on_the_way(crush: CrushMap, index: int) -> None:
    """What upstream does on its way through the buckets, before it comes to the one at `index`.

    New weight sets say what the weights were until then: in a uniform bucket one item's new weight
    becomes that of all.
    """
    for args in crush.choose_args.values():
        if any(arg.weight_sets for before, arg in args.items() if before < index):
            _fill(crush, args)


def _fill(crush: CrushMap, args: dict[int, ChooseArg]) -> None:
    positions = positions_of(args)
    for bucket in crush.buckets:
        if bucket:
            arg = args.setdefault(-1 - bucket.id, ChooseArg())
            if not arg.weight_sets:
                arg.weight_sets = [item_weights(bucket) for _ in range(positions)]


def _carry_sets(crush: CrushMap, args: dict[int, ChooseArg]) -> None:
    """Sums of each position from the devices up."""
    done: set[int] = set()
    for bucket in crush.buckets:
        if bucket is None or bucket.id in done:
            continue
        for id in bottom_up(crush, bucket.id):
            if id not in done:
                done.add(id)
                _take_sums(get_bucket(crush, id), args)


def _take_sums(bucket: Bucket, args: dict[int, ChooseArg]) -> None:
    sets = args[-1 - bucket.id].weight_sets
    for position, item in enumerate(bucket.items):
        if item >= 0:
            continue
        lower = args[-1 - item].weight_sets
        if len(lower) == len(sets):
            for row, below in zip(sets, lower, strict=True):
                row[position] = sum(below) & _UNSIGNED
