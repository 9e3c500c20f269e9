"""Legacy maps with a hierarchy for each kind of device turned into one hierarchy with classes.

Before there were classes, operators kept a `default-ssd` beside `default`, or named hosts
`host1-ssd`. These become shadow trees, with the ids that they had: no data moves. Called by
`spirula crushtool --reclassify`. Upstream: reclassify in `src/crush/CrushWrapper.cc`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from spirula.crush.build import get_bucket, make_bucket
from spirula.crush.classes import get_or_create_class, is_shadow, rebuild_roots_with_classes
from spirula.crush.edit import insert_item, link_bucket
from spirula.crush.lookup import (
    find_item,
    immediate_parent,
    item_weight_in,
    show_location,
    split_id_class,
    subtree_contains,
)
from spirula.crush.map import Bucket, CrushMap, RuleOp
from spirula.crush.weights import to_float
from spirula.errors import InvalidArgument

Say = Callable[[str], None]
"""Takes one line that tells what is done."""


def reclassify(
    crush: CrushMap,
    roots: Mapping[str, str],
    buckets: Mapping[str, tuple[str, str]],
    say: Say,
) -> None:
    """Turn `roots` (name: class) and `buckets` (pattern: class, default parent) into shadow trees.

    A pattern is `%suffix`, `prefix%` or a name: what stands for % is the name of the bucket that
    the items go to. Raises InvalidArgument where the map does not fit, and what `insert_item`
    raises; the map is then half changed, as upstream's.
    """
    for name in sorted(roots):
        _classify_root(crush, name, roots[name], say)
    plan = _Plan({known: id for id, known in sorted(crush.item_names.items())})
    for pattern in sorted(buckets):
        _match(crush, plan, pattern, *buckets[pattern], say)
    for source in sorted(plan.send_to):
        _move_items(crush, plan, source, say)
    for id, location in sorted(plan.new_buckets.items()):
        if immediate_parent(crush, id) is None:
            say(f"new bucket {id} missing parent, adding at {show_location(location)}")
            link_bucket(crush, id, location)
    for id, by_class in plan.class_bucket.items():
        crush.class_bucket.setdefault(id, {}).update(by_class)
    crush.item_names.update(plan.names)
    rebuild_roots_with_classes(crush)


# ---------------------------------------------------------------------------------------- roots


def _classify_root(crush: CrushMap, name: str, device_class: str, say: Say) -> None:
    """The tree below a root gets new ids, and the old ones go to its shadow."""
    root = find_item(crush, name)
    if root is None:
        say(f"root {name} does not exist")
        raise InvalidArgument(f"root {name} does not exist")
    class_id = get_or_create_class(crush, device_class)
    say(f"classify_root {name} ({root}) as {device_class}")
    _check_takes(crush, root, name, say)
    renumbered: dict[int, int] = {}
    waiting = [root]
    while waiting:
        id = waiting.pop()
        bucket = get_bucket(crush, id)
        new_id = _free_id(crush)
        say(f"  renumbering bucket {id} -> {new_id}")
        renumbered[id] = new_id
        _renumber(crush, bucket, new_id)
        crush.class_bucket.pop(id, None)
        crush.class_bucket.setdefault(new_id, {})[class_id] = id
        crush.item_names[new_id] = crush.item_names[id]
        crush.item_names[id] += f"~{device_class}"
        waiting.extend(item for item in bucket.items if item < 0)
    for known in crush.buckets:
        if known:
            known.items = [renumbered.get(item, item) for item in known.items]
    rebuild_roots_with_classes(crush)


def _check_takes(crush: CrushMap, root: int, name: str, say: Say) -> None:
    for number, rule in enumerate(crush.rules):
        for step in rule.steps if rule else ():
            if step.op == RuleOp.TAKE:
                original, known = split_id_class(crush, step.arg1)
                if known is not None and original == root:
                    text = f"rule {number} includes take on root {name} class {known}"
                    say(f"  {text}")
                    raise InvalidArgument(text)


def _free_id(crush: CrushMap) -> int:
    """The first id without a bucket; unlike elsewhere only one slot is added if all are taken."""
    for index, bucket in enumerate(crush.buckets):
        if bucket is None:
            return -1 - index
    crush.buckets.append(None)
    return -len(crush.buckets)


def _renumber(crush: CrushMap, bucket: Bucket, new_id: int) -> None:
    """Let an empty bucket of the same kind stay where the bucket was."""
    old = -1 - bucket.id
    crush.buckets[old] = _empty_like(crush, bucket, bucket.id)
    bucket.id = new_id
    crush.buckets[-1 - new_id] = bucket
    for args in crush.choose_args.values():
        args.pop(-1 - new_id, None)
        if old in args:
            args[-1 - new_id] = args.pop(old)


def _empty_like(crush: CrushMap, bucket: Bucket, id: int) -> Bucket:
    version = crush.tunables.straw_calc_version
    return make_bucket(
        bucket.alg, bucket.type, [], [], id=id, hash=bucket.hash, straw_calc_version=version
    )


# -------------------------------------------------------------------------------------- buckets


@dataclass(slots=True)
class _Plan:
    """Which bucket's items go where. `known` are the names that there were at the beginning."""

    known: dict[str, int]
    created: dict[str, int] = field(default_factory=dict)
    send_to: dict[int, int] = field(default_factory=dict)
    class_bucket: dict[int, dict[int, int]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    new_buckets: dict[int, dict[str, str]] = field(default_factory=dict)


def _match(
    crush: CrushMap, plan: _Plan, pattern: str, device_class: str, parent: str, say: Say
) -> None:
    """Find the buckets of a pattern and the buckets that their items go to; make those."""
    if parent not in plan.known:
        say(f"default parent {parent} does not exist")
        raise InvalidArgument(f"default parent {parent} does not exist")
    parent_type = crush.type_names.get(get_bucket(crush, plan.known[parent]).type, "")
    say(f"classify_bucket {pattern} as {device_class} default bucket {parent} ({parent_type})")
    class_id = get_or_create_class(crush, device_class)
    index = -1
    while (index := index + 1) < len(crush.buckets):
        bucket = crush.buckets[index]
        if bucket is None or is_shadow(crush, bucket.id):
            continue
        base = _base_name(pattern, crush.item_names.get(bucket.id, ""), parent)
        if base is None:
            continue
        say(f"match {pattern} to {crush.item_names[bucket.id]} basename {base}")
        target = _target(crush, plan, base, bucket, {parent_type: parent}, say)
        plan.send_to[bucket.id] = target
        plan.class_bucket.setdefault(target, {})[class_id] = bucket.id
        plan.names[bucket.id] = f"{base}~{crush.class_names[class_id]}"
        for item in bucket.items:
            if item >= 0:
                crush.device_classes[item] = class_id


def _base_name(pattern: str, name: str, parent: str) -> str | None:
    """What the pattern makes of a name; None where it does not match."""
    if len(name) < len(pattern):
        return None
    if pattern[:1] == "%":
        suffix = pattern[1:]
        return name.removesuffix(suffix) if name.endswith(suffix) else None
    if pattern[-1:] == "%":
        prefix = pattern[:-1]
        return name.removeprefix(prefix) if name.startswith(prefix) else None
    return parent if name == pattern else None


def _target(
    crush: CrushMap, plan: _Plan, base: str, like: Bucket, location: dict[str, str], say: Say
) -> int:
    """The bucket called `base`; a new one waits for its place at `location`."""
    if base in plan.known:
        say(f"  have base {plan.known[base]}")
        return plan.known[base]
    if base in plan.created:
        say(f"  already creating base {plan.created[base]}")
        return plan.created[base]
    id = _free_id(crush)
    crush.buckets[-1 - id] = _empty_like(crush, like, id)
    crush.item_names[id] = base
    plan.created[base] = id
    plan.new_buckets[id] = location
    say(f"  created base {id}")
    return id


def _move_items(crush: CrushMap, plan: _Plan, source: int, say: Say) -> None:
    """Put the items of one bucket to where they go, too: the shadow will have them from there."""
    origin, target = get_bucket(crush, source), get_bucket(crush, plan.send_to[source])
    names = crush.item_names
    say(
        f"moving items from {origin.id} ({names[origin.id]})"
        f" to {target.id} ({names.get(target.id, '')})"
    )
    to = {crush.type_names.get(target.type, ""): names.get(target.id, "")}
    out_of = {crush.type_names.get(origin.type, ""): names[origin.id]}
    for item in list(origin.items):
        if item < 0 and item not in plan.send_to:
            raise InvalidArgument(
                f"item {item} in bucket {origin.id} is not also a reclassified bucket"
            )
        placed = item if item >= 0 else plan.send_to[item]
        if subtree_contains(crush, target.id, placed):
            continue
        if item >= 0:
            weight = to_float(item_weight_in(crush, item, out_of))
            insert_item(crush, item, weight, names.get(item, ""), to)
        else:
            link_bucket(crush, placed, to)
