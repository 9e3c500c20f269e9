"""Making maps: buckets with what their algorithms derive from the weights, and tunables profiles.

Not for changing a map that is in use (`edit`), nor for device classes (`classes`). Called by the
text compiler, by edits, and by whoever builds a map in Python.
Numbers are those of upstream's `src/crush/builder.c` and `CrushWrapper.h`, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from spirula.crush.map import Bucket, BucketAlg, CrushMap, Rule, Tunables
from spirula.errors import Exists, InvalidArgument, NoSpace, NotFound, OutOfRange

MAX_BUCKETS = 1 << 18
"""Slots for buckets in a map that is built here; ids of buckets are above the negative of it."""

MAX_RULE_ID = 0xFFFF
MAX_TREE_ITEMS = 64
"""Items of a tree bucket: the number of its nodes is encoded in one byte."""

FULL = 0x10000
"""The weight 1.0."""

_RULES = 256
_FIRST_SLOTS = 8
_UNSIGNED = 0xFFFFFFFF


# ------------------------------------------------------------------------------------- tunables

_LEGACY_ALGS = 1 << BucketAlg.UNIFORM | 1 << BucketAlg.LIST | 1 << BucketAlg.STRAW
_HAMMER_ALGS = _LEGACY_ALGS | 1 << BucketAlg.STRAW2

# local tries, local fallback tries, total tries, descend once, vary r, stable, algorithms
_PROFILES: dict[str, tuple[int, int, int, int, int, int, int]] = {
    "argonaut": (2, 5, 19, 0, 0, 0, _LEGACY_ALGS),
    "bobtail": (0, 0, 50, 1, 0, 0, _LEGACY_ALGS),
    "firefly": (0, 0, 50, 1, 1, 0, _LEGACY_ALGS),
    "hammer": (0, 0, 50, 1, 1, 0, _HAMMER_ALGS),
    "jewel": (0, 0, 50, 1, 1, 1, _HAMMER_ALGS),
}
# These say which straw lengths to compute as well; the named releases leave that as it is.
_ALIASES = {"legacy": ("argonaut", 0), "optimal": ("jewel", 1), "default": ("jewel", 1)}

PROFILES = (*_PROFILES, *_ALIASES)
"""Names of the tunables profiles."""


def set_tunables(tunables: Tunables, profile: str) -> None:
    """Set what `profile` (one of `PROFILES`) sets, as `ceph osd crush tunables` does.

    Raises InvalidArgument for another name.
    """
    release, straw_calc_version = _ALIASES.get(profile, (profile, tunables.straw_calc_version))
    if release not in _PROFILES:
        raise InvalidArgument(f"no tunables profile {profile!r}: there are {', '.join(PROFILES)}")
    (
        tunables.choose_local_tries,
        tunables.choose_local_fallback_tries,
        tunables.choose_total_tries,
        tunables.chooseleaf_descend_once,
        tunables.chooseleaf_vary_r,
        tunables.chooseleaf_stable,
        tunables.allowed_bucket_algs,
    ) = _PROFILES[release]
    tunables.straw_calc_version = straw_calc_version


def matching_profile(tunables: Tunables) -> str | None:
    """The release whose profile these tunables are, the newest of several, or None.

    How straws are computed does not count.
    """
    values = (
        tunables.choose_local_tries,
        tunables.choose_local_fallback_tries,
        tunables.choose_total_tries,
        tunables.chooseleaf_descend_once,
        tunables.chooseleaf_vary_r,
        tunables.chooseleaf_stable,
        tunables.allowed_bucket_algs,
    )
    return next((name for name in reversed(_PROFILES) if _PROFILES[name] == values), None)


# -------------------------------------------------------------------------------------- buckets


def make_bucket(
    alg: int,
    type: int,
    items: Sequence[int],
    weights: Sequence[int],
    *,
    id: int = 0,
    hash: int = 0,
    straw_calc_version: int = 1,
) -> Bucket:
    """A bucket of `items` with these `weights` (16.16), and all that `alg` derives from them.

    The map's `straw_calc_version` matters to straw buckets alone. Raises InvalidArgument for what
    cannot be a bucket of that algorithm, OutOfRange when the weights add up to 65536.0 or more.
    """
    if len(items) != len(weights):
        raise InvalidArgument(f"{len(items)} items, but {len(weights)} weights")
    total = sum(weights)
    if total > _UNSIGNED or min(weights, default=0) < 0:
        raise OutOfRange("the weights of a bucket must add up to less than 65536")
    made = Bucket(id, type, alg, hash & 0xFF, total, list(items), list(weights))
    if alg == BucketAlg.UNIFORM:
        made.item_weights = list(weights[:1]) or [0]
        if any(weight != weights[0] for weight in weights):
            raise InvalidArgument("the items of a uniform bucket must have one weight")
        if items and not weights[0]:
            raise InvalidArgument("the items of a uniform bucket must weigh more than zero")
    derive(made, straw_calc_version)
    return made


def derive(bucket: Bucket, straw_calc_version: int) -> None:
    """Compute anew what the algorithm of `bucket` derives from its item weights."""
    match bucket.alg:
        case BucketAlg.UNIFORM | BucketAlg.STRAW2:
            bucket.derived = []
        case BucketAlg.LIST:
            bucket.derived = _running_sums(bucket.item_weights)
        case BucketAlg.TREE:
            bucket.derived = tree_nodes(item_weights(bucket))
            bucket.item_weights = []
        case BucketAlg.STRAW:
            bucket.derived = straw_lengths(bucket.item_weights, straw_calc_version)
        case _:
            raise InvalidArgument(f"no bucket algorithm {bucket.alg}")


def item_weights(bucket: Bucket) -> list[int]:
    """The weight of each item, whatever the algorithm keeps (16.16).

    A tree bucket keeps them as the leaves among its nodes, a uniform one keeps a single number.
    """
    size = len(bucket.items)
    if bucket.alg == BucketAlg.UNIFORM:
        return bucket.item_weights[:1] * size
    if bucket.alg == BucketAlg.TREE and not bucket.item_weights:
        return [bucket.derived[leaf] for leaf in range(1, 2 * size, 2)]
    return list(bucket.item_weights)


def _running_sums(weights: Sequence[int]) -> list[int]:
    sums, total = [], 0
    for weight in weights:
        total += weight
        sums.append(total & _UNSIGNED)
    return sums


def tree_depth(size: int) -> int:
    """How many levels the binary tree over `size` items has; it has 2 ** that nodes."""
    return (size - 1).bit_length() + 1 if size else 0


def tree_parent(node: int) -> int:
    """The node above `node`: leaves are odd, a node's height is its number of trailing zeros."""
    step = node & -node
    return node - step if node & step << 1 else node + step


def tree_nodes(weights: Sequence[int]) -> list[int]:
    """Weights of all nodes of a tree bucket: item i is the leaf 2i + 1, the root is in the middle.

    Raises InvalidArgument beyond 64 items.
    """
    size = len(weights)
    if size > MAX_TREE_ITEMS:
        raise InvalidArgument(f"a tree bucket has room for {MAX_TREE_ITEMS} items, not {size}")
    if not size:
        return []
    depth = tree_depth(size)
    nodes = [0] * (1 << depth)
    for index, weight in enumerate(weights):
        node = 2 * index + 1
        nodes[node] = weight
        for _ in range(depth - 1):
            node = tree_parent(node)
            nodes[node] += weight
    return nodes


def straw_lengths(weights: Sequence[int], version: int) -> list[int]:
    """The straws of a straw bucket, by `straw_calc_version` 0 or (any other) 1.

    Items are visited from light to heavy. Both versions are known to be unfair, version 0 more so
    (equal weights and zero weights disturb it); they are kept because placements depend on them.
    """
    lengths = [0] * len(weights)
    order = sorted(range(len(weights)), key=weights.__getitem__)
    lighter = [index for index in order if weights[index]]
    zeros = len(order) - len(lighter)
    left = len(order) if version == 0 else len(order) - zeros
    straw, below, last = 1.0, 0.0, 0
    for place, index in enumerate(lighter):
        lengths[index] = int(straw * FULL) & _UNSIGNED
        if place + 1 == len(lighter):
            break
        weight, heavier = weights[index], weights[lighter[place + 1]]
        if version == 0 and heavier == weight:
            continue
        below += float(weight - last) * left
        if version == 0:
            same = place + 1
            while same < len(lighter) and weights[lighter[same]] == heavier:
                same += 1
                left -= 1
        else:
            left -= 1
        ahead = float((left * (heavier - weight)) & _UNSIGNED)
        straw *= math.pow(1.0 / (below / (below + ahead)), 1.0 / left)
        last = weight
    return lengths


# ------------------------------------------------------------------------------ the map as whole


def get_bucket(crush: CrushMap, id: int) -> Bucket:
    """The bucket with that (negative) id; raises NotFound."""
    index = -1 - id
    found = crush.buckets[index] if 0 <= index < len(crush.buckets) else None
    if found is None:
        raise NotFound(f"no bucket has the id {id}")
    return found


def add_bucket(crush: CrushMap, bucket: Bucket) -> int:
    """Put `bucket` into the map by its id, or by the first free one if that is 0; gives the id.

    Slots are doubled when they do not suffice, as upstream does (empty ones are encoded as well).
    Raises Exists, OutOfRange for an id that is not a bucket's, NoSpace beyond `MAX_BUCKETS`.
    """
    index = -1 - bucket.id if bucket.id else _free_slot(crush)
    if index < 0:
        raise OutOfRange(f"ids of buckets are negative, not {bucket.id}")
    if index >= MAX_BUCKETS:
        raise NoSpace(f"ids of buckets lie between -1 and {-MAX_BUCKETS}, not {-1 - index}")
    slots = len(crush.buckets)
    while index >= slots:
        slots = 2 * slots or _FIRST_SLOTS
    crush.buckets.extend([None] * (slots - len(crush.buckets)))
    if crush.buckets[index] is not None:
        raise Exists(f"there is a bucket with the id {-1 - index} already")
    bucket.id = -1 - index
    crush.buckets[index] = bucket
    return bucket.id


def _free_slot(crush: CrushMap) -> int:
    return next(
        (index for index, bucket in enumerate(crush.buckets) if bucket is None), len(crush.buckets)
    )


def add_rule(crush: CrushMap, rule: Rule, id: int) -> None:
    """Put `rule` into the map under `id`. Raises Exists, NoSpace, OutOfRange."""
    if not 0 <= id <= MAX_RULE_ID:
        raise OutOfRange(f"ids of rules lie between 0 and {MAX_RULE_ID}, not {id}")
    if id < len(crush.rules) and crush.rules[id] is not None:
        raise Exists(f"there is a rule with the id {id} already")
    if id >= len(crush.rules):
        if len(crush.rules) >= _RULES:
            raise NoSpace(f"a map has room for {_RULES} rules")
        crush.rules.extend([None] * (id + 1 - len(crush.rules)))
    crush.rules[id] = rule


def finalize(crush: CrushMap) -> None:
    """Set `max_devices`: one more than the largest device that is an item or has a name."""
    largest = max(crush.item_names, default=-1)
    for bucket in crush.buckets:
        if bucket is not None:
            largest = max(largest, max(bucket.items, default=-1))
    crush.max_devices = max(largest, -1) + 1


def settle_choose_args(crush: CrushMap) -> None:
    """Bring choose_args in line with the buckets, as upstream does with every map it decodes.

    Arguments of buckets that are gone or are not straw2 are dropped; lists of weights get as many
    numbers as the bucket has items. Sets with another number of positions than the first are left.
    """
    for args in crush.choose_args.values():
        counts = (len(args[index].weight_sets) for index in sorted(args))
        positions = next((count for count in counts if count), 1)
        for index in list(args):
            bucket = crush.buckets[index] if index < len(crush.buckets) else None
            if bucket is None or bucket.alg != BucketAlg.STRAW2:
                del args[index]
                continue
            arg, size = args[index], len(bucket.items)
            if len(arg.weight_sets) == positions:
                arg.weight_sets = [
                    weights[:size] + [0] * (size - len(weights)) for weights in arg.weight_sets
                ]
