"""Questions about a CRUSH map: names and ids, where items are, what is below a bucket, who uses it.

Nothing here changes a map. Called by the edits, by tools and by the monitor's commands. A name that
several items have means the one with the largest id, as upstream's reverse maps do. Maps that
contain themselves (see `check`) end every search here as well.
Upstream: the lookups of `src/crush/CrushWrapper.h` and `.cc`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from spirula.crush.build import get_bucket, item_weights
from spirula.crush.classes import class_id, is_shadow, is_valid_name
from spirula.crush.map import Bucket, CrushMap, RuleOp
from spirula.errors import InvalidArgument, NotFound

Location = Mapping[str, str]
"""Names of buckets by the name of their type: `{"root": "default", "host": "a"}`."""

FULL = 0x10000
ANY_RULE = -1


# ------------------------------------------------------------------------------------ names and ids


def named(names: Mapping[int, str], name: str) -> int | None:
    """The id that has `name`, the largest of several, or None."""
    return max((id for id, known in names.items() if known == name), default=None)


def find_item(crush: CrushMap, name: str) -> int | None:
    """The id of the device or bucket called `name`, or None."""
    return named(crush.item_names, name)


def item_id(crush: CrushMap, name: str) -> int:
    """The id of the device or bucket called `name`; raises NotFound."""
    found = find_item(crush, name)
    if found is None:
        raise NotFound(f"item {name} does not exist")
    return found


def type_id(crush: CrushMap, name: str) -> int | None:
    """The id of the type called `name`, or None."""
    return named(crush.type_names, name)


def rule_id(crush: CrushMap, name: str) -> int | None:
    """The id of the rule called `name`, or None."""
    return named(crush.rule_names, name)


def find_bucket(crush: CrushMap, id: int) -> Bucket | None:
    """The bucket with that id, or None."""
    index = -1 - id
    return crush.buckets[index] if 0 <= index < len(crush.buckets) else None


def item_class(crush: CrushMap, id: int) -> str | None:
    """The name of the device class of a device or a shadow bucket, or None."""
    known = crush.device_classes.get(id)
    return None if known is None else crush.class_names.get(known)


def split_id_class(crush: CrushMap, id: int) -> tuple[int, int | None]:
    """The bucket that `id` is or is the shadow of, and the class's id (None if it is no shadow).

    Raises InvalidArgument for an item without a name, NotFound where the name of a shadow speaks
    of a bucket or a class that is not there.
    """
    if id not in crush.item_names:
        raise InvalidArgument(f"item {id} has no name")
    name, tilde, device_class = crush.item_names[id].partition("~")
    if not tilde:
        return id, None
    original, known = find_item(crush, name), class_id(crush, device_class)
    if original is None or known is None:
        raise NotFound(f"{crush.item_names[id]} is the shadow of nothing")
    return original, known


# ---------------------------------------------------------------------------------------- locations


def parse_location(words: Sequence[str]) -> dict[str, str]:
    """`["root=default", "host=a"]` as a location; the last of several values of a type is kept.

    Raises InvalidArgument for a word without `=` or without a value.
    """
    return dict(parse_locations(words))


def parse_locations(words: Sequence[str]) -> list[tuple[str, str]]:
    """Like `parse_location`, but keeps all values of a type: clients may be near several racks."""
    pairs = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value:
            raise InvalidArgument(f"a location is given as TYPE=NAME, not {word!r}")
        pairs.append((key, value))
    return pairs


def is_valid_location(location: Location) -> bool:
    """Whether all its types and names are such as people may give."""
    return all(is_valid_name(key) and is_valid_name(name) for key, name in location.items())


def show_location(location: Location) -> str:
    """The location as messages of upstream show it: `{host=a,root=default}`."""
    return "{" + ",".join(f"{key}={location[key]}" for key in sorted(location)) + "}"


def weight_at(crush: CrushMap, item: int, location: Location) -> int | None:
    """The item's weight (16.16) in the bucket that is the innermost part of `location`, or None.

    Only that bucket counts: where it is itself is not compared with the rest of the location.
    """
    for _, type_name in sorted(crush.type_names.items()):
        if type_name not in location or type_name == crush.type_names.get(0):
            continue
        id = find_item(crush, location[type_name])
        bucket = None if id is None else find_bucket(crush, id)
        if bucket is None or item not in bucket.items:
            return None
        return item_weights(bucket)[bucket.items.index(item)]
    return None


def parents(crush: CrushMap, item: int) -> Iterator[Bucket]:
    """All buckets that contain `item`, shadows included, by falling id."""
    return (bucket for bucket in crush.buckets if bucket and item in bucket.items)


def is_contained(crush: CrushMap, item: int) -> bool:
    """Whether any bucket contains `item`."""
    return next(parents(crush, item), None) is not None


def immediate_parent(crush: CrushMap, item: int) -> Bucket | None:
    """The first bucket that contains `item` and is no shadow, or None."""
    found = (bucket for bucket in parents(crush, item) if not is_shadow(crush, bucket.id))
    return next(found, None)


def full_location(crush: CrushMap, item: int) -> list[tuple[str, str]]:
    """(type, name) of the buckets around `item`, from the inside out; empty for a root.

    Raises NotFound where the item or a bucket around it has no name, or its type has none.
    """
    if item not in crush.item_names:
        raise NotFound(f"item {item} does not exist")
    path: list[tuple[str, str]] = []
    seen = {item}
    while (parent := immediate_parent(crush, item)) is not None and parent.id not in seen:
        if parent.id not in crush.item_names or parent.type not in crush.type_names:
            raise NotFound(f"bucket {parent.id} has no name or its type {parent.type} has none")
        path.append((crush.type_names[parent.type], crush.item_names[parent.id]))
        item = parent.id
        seen.add(item)
    return path


def common_ancestor_distance(
    crush: CrushMap, item: int, locations: Sequence[tuple[str, str]]
) -> int | None:
    """The lowest type of bucket that `item` shares with one of the `locations`, or None.

    Clients read from the replica with the smallest distance. Raises NotFound for an unknown item.
    """
    around = dict(full_location(crush, item))
    wanted = set(locations)
    for id, name in sorted(crush.type_names.items()):
        if name in around and (name, around[name]) in wanted:
            return id
    return None


def parent_of_type(crush: CrushMap, item: int, type: int, rule: int = ANY_RULE) -> int | None:
    """The bucket of that type around `item`; with a rule, the one below what the rule takes."""
    if rule == ANY_RULE:
        seen = {item}
        while (parent := immediate_parent(crush, item)) is not None and parent.id not in seen:
            if parent.type == type:
                return parent.id
            item = parent.id
            seen.add(item)
        return None
    for root in sorted(takes_of(crush, rule)):
        for candidate in children_of_type(crush, root, type, shadow=True):
            if subtree_contains(crush, candidate, item):
                return candidate
    return None


# ------------------------------------------------------------------------------------ what is below


def subtree(crush: CrushMap, root: int) -> Iterator[int]:
    """`root` and everything below it, each item once, parents before what they contain."""
    waiting, seen = [root], {root}
    while waiting:
        id = waiting.pop()
        yield id
        bucket = find_bucket(crush, id)
        for item in reversed(bucket.items) if bucket else ():
            if item not in seen:
                seen.add(item)
                waiting.append(item)


def subtree_contains(crush: CrushMap, root: int, item: int) -> bool:
    """Whether `item` is `root` or below it."""
    return item in subtree(crush, root)


def leaves(crush: CrushMap, root: int) -> set[int]:
    """The devices below `root` (or `root`, if it is one). Raises NotFound for a missing bucket."""
    found = set(subtree(crush, root))
    for id in found:
        if id < 0:
            get_bucket(crush, id)
    return {id for id in found if id >= 0}


def children_of_type(crush: CrushMap, root: int, type: int, *, shadow: bool = False) -> list[int]:
    """The items of that type at or below `root`, in order; shadows only where they are wanted.

    What lies below a bucket of a lower type is not looked at.
    """
    found: list[int] = []
    waiting, seen = [root], {root}
    while waiting:
        id = waiting.pop()
        if id >= 0:
            if type == 0:
                found.append(id)
            continue
        bucket = find_bucket(crush, id)
        if bucket is None or bucket.type < type:
            continue
        if bucket.type == type:
            if shadow or not is_shadow(crush, id):
                found.append(id)
            continue
        new = [item for item in bucket.items if item >= 0 or item not in seen]
        seen.update(new)
        waiting.extend(reversed(new))
    return found


def item_weight(crush: CrushMap, item: int) -> int:
    """The weight (16.16) of a bucket, or of the first place of a device. Raises NotFound."""
    for bucket in crush.buckets:
        if bucket is None:
            continue
        if bucket.id == item:
            return bucket.weight
        if item in bucket.items:
            return item_weights(bucket)[bucket.items.index(item)]
    raise NotFound(f"item {item} is nowhere in the map")


def item_weight_in(crush: CrushMap, item: int, location: Location) -> int:
    """The weight (16.16) of `item` in the first bucket of `location` that has it.

    Raises NotFound.
    """
    for _, name in sorted(location.items()):
        id = find_item(crush, name)
        bucket = None if id is None else find_bucket(crush, id)
        if bucket and item in bucket.items:
            return item_weights(bucket)[bucket.items.index(item)]
    raise NotFound(f"item {item} is not at {show_location(location)}")


# ------------------------------------------------------------------------------ what rules refer to


def takes(crush: CrushMap) -> set[int]:
    """The items that rules start from."""
    return {id for rule in range(len(crush.rules)) for id in takes_of(crush, rule)}


def takes_of(crush: CrushMap, rule: int) -> set[int]:
    """The items that one rule starts from; none for a rule that is not there."""
    found = crush.rules[rule] if 0 <= rule < len(crush.rules) else None
    return {step.arg1 for step in found.steps if step.op == RuleOp.TAKE} if found else set()


def rules_by_class(crush: CrushMap, name: str) -> list[int]:
    """Ids of the rules that take a shadow of the device class `name`. Raises NotFound."""
    wanted = class_id(crush, name)
    if wanted is None:
        raise NotFound(f"class '{name}' does not exist")
    return [
        rule
        for rule in range(len(crush.rules))
        if any(split_id_class(crush, id)[1] == wanted for id in takes_of(crush, rule))
    ]


def rules_by_osd(crush: CrushMap, osd: int) -> list[int]:
    """Ids of the rules that may choose that device. Raises NotFound where a rule takes nothing."""
    return [
        rule
        for rule in range(len(crush.rules))
        if any(osd in leaves(crush, id) for id in takes_of(crush, rule))
    ]


def rules_using_class(crush: CrushMap, id: int) -> list[str]:
    """Names of the rules that take one of the shadows of that class, once for each such take."""
    shadows = {by_class[id] for by_class in crush.class_bucket.values() if id in by_class}
    return [
        crush.rule_names.get(number, "")
        for number, rule in enumerate(crush.rules)
        for step in (rule.steps if rule else ())
        if step.op == RuleOp.TAKE and step.arg1 in shadows
    ]


def is_in_use(crush: CrushMap, id: int) -> bool:
    """Whether a rule takes the bucket or a shadow of it, or it is a shadow itself.

    Rules behind one whose start has no name are not looked at, as upstream does not.
    """
    if any(id in by_class.values() for by_class in crush.class_bucket.values()):
        return True
    for rule in crush.rules:
        for step in rule.steps if rule else ():
            if step.op != RuleOp.TAKE:
                continue
            try:
                original, _ = split_id_class(crush, step.arg1)
            except (InvalidArgument, NotFound):
                return False
            if id in (step.arg1, original):
                return True
    return False


def rule_weights(crush: CrushMap, rule: int) -> dict[int, float]:
    """What share of the data each device should get by that rule: the shares of a take add up to 1.

    Takes that place different numbers of replicas are not told apart. Raises NotFound.
    """
    if not 0 <= rule < len(crush.rules) or crush.rules[rule] is None:
        raise NotFound(f"there is no rule with the id {rule}")
    shares: dict[int, float] = {}
    found = crush.rules[rule]
    for step in found.steps if found else ():
        if step.op != RuleOp.TAKE:
            continue
        weights = device_weights(crush, step.arg1)
        total = sum(weights.values())
        for device, weight in weights.items():
            shares[device] = shares.get(device, 0.0) + (weight / total if total else 0.0)
    return shares


def device_weights(crush: CrushMap, root: int) -> dict[int, int]:
    """The weight (16.16) of every device below `root`; a device that is taken itself weighs 1.0."""
    if root >= 0:
        return {root: FULL}
    weights: dict[int, int] = {}
    for id in subtree(crush, root):
        bucket = find_bucket(crush, id)
        if bucket:
            pairs = zip(bucket.items, item_weights(bucket), strict=True)
            weights.update((item, weight) for item, weight in pairs if item >= 0)
    return weights
