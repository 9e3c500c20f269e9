"""Items of one bucket added, removed, given another weight, and what the bucket derives of them.

The rest of the map is the business of `weights` and `edit`, which call this; here only the bucket
and its choose_args change. What becomes of every number is as in upstream's `src/crush/builder.c`,
where it is odd as well (the tree that keeps holes, the uniform bucket with one weight for all),
except that a weight that would wrap around is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from spirula.crush.build import (
    MAX_TREE_ITEMS,
    add_bucket,
    item_weights,
    make_bucket,
    straw_lengths,
    tree_depth,
    tree_parent,
)
from spirula.crush.map import Bucket, BucketAlg, ChooseArg, CrushMap
from spirula.errors import InvalidArgument, NotFound, OutOfRange

_UNSIGNED = 0xFFFFFFFF
# in the order in which they are preferred
_ALGORITHMS = (
    BucketAlg.STRAW2,
    BucketAlg.STRAW,
    BucketAlg.TREE,
    BucketAlg.LIST,
    BucketAlg.UNIFORM,
)


def default_alg(crush: CrushMap) -> int:
    """The algorithm of buckets that are made without one: the best that the tunables allow.

    Raises InvalidArgument where they allow none.
    """
    for alg in _ALGORITHMS:
        if crush.tunables.allowed_bucket_algs & 1 << alg:
            return alg
    raise InvalidArgument("the tunable allowed_bucket_algs allows no bucket algorithm")


def new_bucket(
    crush: CrushMap,
    type: int,
    items: list[int],
    weights: list[int],
    *,
    alg: int = 0,
    id: int = 0,
) -> Bucket:
    """Make a bucket, put it into the map and give it weight sets where there are any.

    Raises what `make_bucket` and `add_bucket` raise.
    """
    made = make_bucket(
        alg or default_alg(crush),
        type,
        items,
        weights,
        id=id,
        straw_calc_version=crush.tunables.straw_calc_version,
    )
    add_bucket(crush, made)
    if items:
        for args in crush.choose_args.values():
            args[-1 - made.id] = ChooseArg([list(weights) for _ in range(positions_of(args))])
    return made


def positions_of(args: dict[int, ChooseArg]) -> int:
    """How many positions the weight sets of these choose_args have: those of the first that has."""
    counts = (len(args[index].weight_sets) for index in sorted(args))
    return next((count for count in counts if count), 1)


def args_of(crush: CrushMap, bucket: Bucket) -> Iterator[ChooseArg]:
    """What each set of choose_args has for this bucket."""
    index = -1 - bucket.id
    return (args[index] for args in crush.choose_args.values() if index in args)


# ------------------------------------------------------------------------------------------- adding


def add_item(crush: CrushMap, bucket: Bucket, item: int, weight: int) -> None:
    """Put `item` behind the items of `bucket`; all its weight sets get `weight` (16.16) as well.

    Raises OutOfRange where the weights would add up to 65536.0 or more, InvalidArgument where the
    algorithm does not allow it: a uniform bucket takes only the weight that its items have.
    """
    if bucket.weight + weight > _UNSIGNED:
        raise OutOfRange(f"the weights in bucket {bucket.id} would add up to 65536 or more")
    size = len(bucket.items)
    match bucket.alg:
        case BucketAlg.UNIFORM:
            if bucket.item_weights[:1] != [weight]:
                raise InvalidArgument(
                    f"bucket {bucket.id} is uniform: an item with another weight does not fit"
                )
        case BucketAlg.LIST:
            below = bucket.derived[-1] if bucket.derived else 0
            if below + weight > _UNSIGNED:
                raise OutOfRange(f"the sums in bucket {bucket.id} would reach 65536")
            bucket.item_weights.append(weight)
            bucket.derived.append(below + weight)
        case BucketAlg.TREE:
            _add_leaf(bucket, size, weight)
        case BucketAlg.STRAW:
            bucket.item_weights.append(weight)
            _draw_straws(crush, bucket)
        case _:
            bucket.item_weights.append(weight)
    bucket.items.append(item)
    bucket.weight += weight
    for arg in args_of(crush, bucket):
        for weights in arg.weight_sets:
            weights.append(weight)
        if arg.ids:
            arg.ids.append(item)


def _add_leaf(bucket: Bucket, size: int, weight: int) -> None:
    if size >= MAX_TREE_ITEMS:
        raise InvalidArgument(f"a tree bucket has room for {MAX_TREE_ITEMS} items")
    depth = tree_depth(size + 1)
    nodes = bucket.derived
    nodes.extend([0] * ((1 << depth) - len(nodes)))
    node = 2 * size + 1
    nodes[node] = weight
    root = len(nodes) // 2
    if depth > 1 and node - 1 == root:
        nodes[root] = nodes[root // 2]
    for _ in range(depth - 1):
        node = tree_parent(node)
        nodes[node] = (nodes[node] + weight) & _UNSIGNED


# ----------------------------------------------------------------------------------------- removing


def remove_item_at(crush: CrushMap, bucket: Bucket, position: int) -> None:
    """Take the item at `position` out of `bucket` and its choose_args.

    A tree bucket keeps a hole (device 0 without weight) unless the item was among the last.
    """
    weight = item_weights(bucket)[position]
    if bucket.alg == BucketAlg.TREE:
        _remove_leaf(bucket, position)
    else:
        del bucket.items[position]
        if bucket.alg != BucketAlg.UNIFORM:
            del bucket.item_weights[position]
    match bucket.alg:
        case BucketAlg.LIST:
            sums = bucket.derived
            bucket.derived = sums[:position] + [
                (behind - weight) & _UNSIGNED for behind in sums[position + 1 :]
            ]
        case BucketAlg.STRAW:
            _draw_straws(crush, bucket)
        case _:
            pass
    bucket.weight = max(bucket.weight - weight, 0)
    for arg in args_of(crush, bucket):
        for weights in arg.weight_sets:
            del weights[position : position + 1]
        del arg.ids[position : position + 1]


def remove_item(crush: CrushMap, bucket: Bucket, item: int) -> None:
    """Take the first place of `item` out of `bucket`; raises NotFound."""
    if item not in bucket.items:
        raise NotFound(f"bucket {bucket.id} does not contain {item}")
    remove_item_at(crush, bucket, bucket.items.index(item))


def _remove_leaf(bucket: Bucket, position: int) -> None:
    nodes, size = bucket.derived, len(bucket.items)
    node = 2 * position + 1
    weight, nodes[node] = nodes[node], 0
    bucket.items[position] = 0
    for _ in range(tree_depth(size) - 1):
        node = tree_parent(node)
        nodes[node] = (nodes[node] - weight) & _UNSIGNED
    left = size
    while left and not nodes[2 * left - 1]:
        left -= 1
    if tree_depth(left) != tree_depth(size):
        del nodes[1 << tree_depth(left) :]
    del bucket.items[left:]


# ------------------------------------------------------------------------------------------ weights


def set_item_weight(
    crush: CrushMap, bucket: Bucket, position: int, weight: int, *, weight_sets: bool
) -> None:
    """Give the item at `position` another weight (16.16), in the weight sets too if they are meant.

    In a uniform bucket that is the weight of all items. Raises OutOfRange where the weights would
    add up to 65536.0 or more.
    """
    old = item_weights(bucket)[position]
    uniform = bucket.alg == BucketAlg.UNIFORM
    total = weight * len(bucket.items) if uniform else bucket.weight + weight - old
    if total > _UNSIGNED:
        raise OutOfRange(f"the weights in bucket {bucket.id} would add up to 65536 or more")
    if weight_sets:
        for arg in args_of(crush, bucket):
            for weights in arg.weight_sets:
                weights[position : position + 1] = [weight]
    bucket.weight = max(total, 0)
    match bucket.alg:
        case BucketAlg.UNIFORM:
            bucket.item_weights = [weight]
        case BucketAlg.LIST:
            bucket.item_weights[position] = weight
            for index in range(position, len(bucket.derived)):
                bucket.derived[index] = (bucket.derived[index] + weight - old) & _UNSIGNED
        case BucketAlg.TREE:
            node = 2 * position + 1
            bucket.derived[node] = weight
            for _ in range(tree_depth(len(bucket.items)) - 1):
                node = tree_parent(node)
                bucket.derived[node] = (bucket.derived[node] + weight - old) & _UNSIGNED
        case BucketAlg.STRAW:
            bucket.item_weights[position] = weight
            _draw_straws(crush, bucket)
        case _:
            bucket.item_weights[position] = weight


def sum_up(crush: CrushMap, bucket: Bucket) -> None:
    """Take over the weights of the buckets in `bucket` and weigh it anew from its items.

    Sums in list buckets and inner nodes of trees stay as they are: upstream leaves them as well. A
    uniform bucket gets the mean of what it contains, if most of that are buckets. Raises NotFound
    for an item that is not there, OutOfRange.
    """
    weights = item_weights(bucket)
    lower: dict[int, int] = {}
    for position, item in enumerate(bucket.items):
        if item < 0:
            child = crush.buckets[-1 - item] if -1 - item < len(crush.buckets) else None
            if child is None:
                raise NotFound(f"bucket {bucket.id} contains {item}, which is not there")
            lower[position] = child.weight
    if bucket.alg == BucketAlg.UNIFORM:
        if len(lower) > len(weights) - len(lower):
            bucket.item_weights = [sum(lower.values()) // len(lower)]
        total = bucket.item_weights[0] * len(bucket.items)
    else:
        for position, weight in lower.items():
            weights[position] = weight
            if bucket.alg == BucketAlg.TREE:
                bucket.derived[2 * position + 1] = weight
            else:
                bucket.item_weights[position] = weight
        total = sum(weights)
    if total > _UNSIGNED:
        raise OutOfRange(f"the weights in bucket {bucket.id} add up to 65536 or more")
    bucket.weight = total
    if bucket.alg == BucketAlg.STRAW:
        _draw_straws(crush, bucket)


def _draw_straws(crush: CrushMap, bucket: Bucket) -> None:
    bucket.derived = straw_lengths(bucket.item_weights, crush.tunables.straw_calc_version)
