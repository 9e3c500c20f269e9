"""Whether a CRUSH map that came from elsewhere can be worked with, before anyone walks through it.

Bytes and text can describe maps without an end: buckets that contain themselves, or that are linked
so often that a kilobyte means a billion places. Called by whatever takes a map from outside:
`spirula crushtool`, `osd setcrushmap`. And what `crushtool --check` looks for.
"""

from __future__ import annotations

from spirula.crush.build import settle_choose_args
from spirula.crush.map import Bucket, BucketAlg, CrushMap
from spirula.crush.sound import check_tries
from spirula.crush.tree import label, walk
from spirula.errors import InvalidArgument, Loop, TooLarge

MAX_DEVICES = 1 << 20
"""One more than the largest id of a device in a map that tools take."""

MAX_DEPTH = 100
"""Buckets within buckets."""

MAX_PLACES = 1 << 20
"""Places in the hierarchy: an item counts as often as there are ways from a root down to it."""


def check_map(crush: CrushMap) -> None:
    """Refuse what cannot be worked with; choose_args are brought in line with the buckets first.

    Raises Loop for a bucket that contains itself, TooLarge beyond the limits of this module and of
    `sound`, InvalidArgument where parts of the map contradict each other.
    """
    settle_choose_args(crush)
    largest = max((max(bucket.items, default=0) for bucket in crush.buckets if bucket), default=0)
    if max(largest, max(crush.item_names, default=0), crush.max_devices - 1) >= MAX_DEVICES:
        raise TooLarge(f"ids of devices must be below {MAX_DEVICES}")
    for index, bucket in enumerate(crush.buckets):
        if bucket:
            _check_bucket(bucket, index)
    _check_choose_args(crush)
    _check_hierarchy(crush)
    check_tries(crush)


def _check_bucket(bucket: Bucket, index: int) -> None:
    if bucket.id != -1 - index:
        raise InvalidArgument(f"bucket {bucket.id} is in the place of {-1 - index}")
    if bucket.alg == BucketAlg.TREE and len(bucket.derived) < 2 * len(bucket.items):
        raise InvalidArgument(
            f"tree bucket {bucket.id} has {len(bucket.derived)} nodes for {len(bucket.items)} items"
        )


def _check_choose_args(crush: CrushMap) -> None:
    for key, args in crush.choose_args.items():
        for index, arg in args.items():
            bucket = crush.buckets[index]
            size = len(bucket.items) if bucket else 0
            rows = [*arg.weight_sets, *([arg.ids] if arg.ids else [])]
            if any(len(row) != size for row in rows):
                raise InvalidArgument(
                    f"choose_args {key} of bucket {-1 - index} do not fit its {size} items"
                )


def _check_hierarchy(crush: CrushMap) -> None:
    """Depth and places of each bucket from those of what it contains, each bucket once."""
    depths: dict[int, int] = {}
    places: dict[int, int] = {}
    contained: set[int] = set()
    for root in crush.buckets:
        if root is None or root.id in depths:
            continue
        stack, open_ids = [(root, iter(root.items))], {root.id}
        while stack:
            bucket, items = stack[-1]
            lower = next((item for item in items if _is_bucket(crush, item)), None)
            if lower is None:
                stack.pop()
                open_ids.discard(bucket.id)
                below = [item for item in bucket.items if item in depths]
                contained.update(below)
                depths[bucket.id] = 1 + max((depths[item] for item in below), default=0)
                places[bucket.id] = 1 + len(bucket.items) + sum(places[item] for item in below)
                if depths[bucket.id] > MAX_DEPTH:
                    raise TooLarge(f"more than {MAX_DEPTH} buckets within one another")
            elif lower in open_ids:
                raise Loop(f"bucket {lower} contains itself")
            elif lower not in depths:
                child = crush.buckets[-1 - lower]
                if child:
                    open_ids.add(lower)
                    stack.append((child, iter(child.items)))
    if sum(places[id] for id in places.keys() - contained) > 2 * MAX_PLACES:
        raise TooLarge(f"the hierarchy has more than {MAX_PLACES} places")


def _is_bucket(crush: CrushMap, item: int) -> bool:
    return item < 0 and -1 - item < len(crush.buckets) and crush.buckets[-1 - item] is not None


def check_named(crush: CrushMap) -> None:
    """Raise InvalidArgument for an empty name: once encoded, nobody could read such a map again.

    (A length of 0 is taken for the upper half of the number before it: `CrushWrapper`.)
    """
    named = (crush.type_names, crush.item_names, crush.rule_names, crush.class_names)
    if any(name == "" for names in named for name in names.values()):
        raise InvalidArgument("names in a CRUSH map must not be empty")


def check_names(crush: CrushMap, max_id: int = 0) -> None:
    """Raise InvalidArgument where something in the hierarchy has no name, its type has none, or a
    device's id is not below `max_id` (if that is not 0).
    """
    for node in walk(crush):
        label(crush, node.id)
        if node.id >= 0:
            if 0 < max_id <= node.id:
                raise InvalidArgument(f"item id too large: item#{node.id}")
            if 0 not in crush.type_names:
                raise InvalidArgument(f"unknown type name: item#{node.id}")
    if 0 not in crush.type_names:
        # `osd tree` shows devices that are in no bucket as well
        raise InvalidArgument("unknown type name: item#0")


def overlapping_rules(crush: CrushMap) -> list[tuple[int, list[str]]]:
    """Rules of one number and type that stand for the same sizes of pools: (number, names)."""
    families: dict[tuple[int, int], list[tuple[int, int, str]]] = {}
    for id, rule in enumerate(crush.rules):
        if rule:
            name = crush.rule_names.get(id, f"rule{id}")
            family = families.setdefault((rule.ruleset, rule.type), [])
            family.append((rule.min_size, rule.max_size, name))
    found = []
    for (number, _), rules in sorted(families.items()):
        before: list[str] = []
        for size in range(256):
            names = sorted({name for least, most, name in rules if least <= size <= most})
            if len(names) > 1 and names != before:
                found.append((number, names))
            before = names
    return found
