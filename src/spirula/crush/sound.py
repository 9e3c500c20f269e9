"""Whether mappers can walk through a map at all: made sure of once, when a mapper is made.

Maps come from peers, and a bucket that contains itself would be gone down for ever. What else tools
ask of a map, with bounds on its size, is in `check`; tools call that before they change anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from spirula.crush.map import Bucket, BucketAlg, ChooseArg, CrushMap
from spirula.errors import InvalidArgument, Loop


def check_sound(crush: CrushMap, choose_args: Mapping[int, ChooseArg]) -> None:
    """Raises Loop for a bucket that contains itself, InvalidArgument where lists that belong
    together are not as long as each other.
    """
    for index, bucket in enumerate(crush.buckets):
        if bucket is None:
            continue
        if bucket.id != -1 - index:
            raise InvalidArgument(f"bucket {bucket.id} is in the place of {-1 - index}")
        _check_lists(bucket)
        arg = choose_args.get(index)
        if arg is not None and bucket.alg == BucketAlg.STRAW2:
            for row in (*arg.weight_sets, *([arg.ids] if arg.ids else [])):
                if len(row) != len(bucket.items):
                    raise InvalidArgument(
                        f"choose_args of bucket {bucket.id} are {len(row)} numbers"
                        f" for {len(bucket.items)} items"
                    )
    _check_loops({bucket.id: bucket for bucket in crush.buckets if bucket is not None})


def _check_lists(bucket: Bucket) -> None:
    size = len(bucket.items)
    weights, derived = len(bucket.item_weights), len(bucket.derived)
    match bucket.alg:
        case BucketAlg.STRAW2:
            fits = weights == size
        case BucketAlg.LIST | BucketAlg.STRAW:
            fits = weights == size == derived
        case BucketAlg.TREE:
            # a node for each item at least, in a whole tree: a power of two
            fits = size == 0 or (derived >= 2 * size and derived & (derived - 1) == 0)
        case _:
            fits = True
    if not fits:
        raise InvalidArgument(
            f"bucket {bucket.id} has {size} items, {weights} weights and {derived} derived numbers"
        )


def _check_loops(buckets: Mapping[int, Bucket]) -> None:
    done: set[int] = set()
    for root in buckets:
        if root in done:
            continue
        way = [(root, iter(buckets[root].items))]
        upon = {root}
        while way:
            id, items = way[-1]
            for item in items:
                if item < 0 and item in buckets and item not in done:
                    if item in upon:
                        raise Loop(f"bucket {item} contains itself")
                    upon.add(item)
                    way.append((item, iter(buckets[item].items)))
                    break
            else:
                way.pop()
                upon.remove(id)
                done.add(id)
