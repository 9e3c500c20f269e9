"""Where items are in a CRUSH map: put in, moved, linked, swapped, renamed and taken out.

Called by `spirula crushtool` and by the monitor's `osd crush` commands. An edit that raises may
have changed part of the map already, as upstream's: callers work on a copy of what they keep. Rules
are edited in `rules`, device classes in `device_classes`, weights in `weights`.
What each edit leaves behind is, byte for byte, what upstream's `src/crush/CrushWrapper.cc` leaves.
"""

from __future__ import annotations

import contextlib

from spirula.crush.bucket_items import add_item, new_bucket, remove_item_at
from spirula.crush.bucket_items import remove_item as remove_from_bucket
from spirula.crush.build import get_bucket, item_weights, settle_choose_args
from spirula.crush.classes import is_valid_name, rebuild_roots_with_classes
from spirula.crush.lookup import (
    Location,
    find_bucket,
    find_item,
    immediate_parent,
    is_contained,
    is_in_use,
    is_valid_location,
    item_weight,
    show_location,
    subtree_contains,
    type_id,
    weight_at,
)
from spirula.crush.map import Bucket, BucketAlg, CrushMap
from spirula.crush.weights import (
    adjust_item_weight,
    adjust_item_weight_in_bucket,
    adjust_item_weight_in_loc,
    fixed,
    to_float,
)
from spirula.errors import (
    AlreadyDone,
    Busy,
    Exists,
    InvalidArgument,
    Loop,
    NotADirectory,
    NotEmpty,
    NotFound,
)

# --------------------------------------------------------------------------------------- putting in


def insert_item(
    crush: CrushMap,
    item: int,
    weight: float,
    name: str,
    location: Location,
    *,
    init_weight_sets: bool = True,
) -> None:
    """Put `item` into the innermost bucket of `location`, and make the buckets that are missing.

    `weight` is in units of 1.0; weight sets get it too, unless `init_weight_sets` is off. Of the
    buckets that exist only the innermost takes part: the others are not compared with where it is.
    Raises InvalidArgument for names, types and places that do not fit or where the item is already,
    TooLarge for the weight, Exists for a name that another item has, Loop, OutOfRange.
    """
    _check_names(name, location)
    new_weight = fixed(weight)
    known = find_item(crush, name)
    # the item may lose a name that the location speaks of: that is still taken for it
    before = {part: find_item(crush, part) for part in location.values()}
    if known is None:
        crush.item_names[item] = name
    elif known != item:
        raise Exists(f"device name '{name}' already exists as id {known}")
    lower = item
    for type, type_name in sorted(crush.type_names.items()):
        if type == 0 or type_name not in location:
            continue
        bucket_name = location[type_name]
        id = find_item(crush, bucket_name)
        id = before[bucket_name] if id is None else id
        if id is None:
            lower = new_bucket(crush, type, [lower], [0]).id
            crush.item_names[lower] = bucket_name
            continue
        add_item(crush, _room_for(crush, lower, id, type), lower, 0)
        break
    try:
        adjust_item_weight_in_loc(
            crush, item, new_weight, location, weight_sets=item >= 0 and init_weight_sets
        )
    except NotFound:
        raise InvalidArgument(
            f"didn't find anywhere to add item {item} in {show_location(location)}"
        ) from None
    crush.max_devices = max(crush.max_devices, item + 1)
    rebuild_roots_with_classes(crush)


def _check_names(name: str, location: Location | None = None) -> None:
    if not is_valid_name(name):
        raise InvalidArgument(f"name '{name}' does not match [-_.0-9a-zA-Z]+")
    if location is not None and not is_valid_location(location):
        raise InvalidArgument(
            f"location {show_location(location)} has parts that do not match [-_.0-9a-zA-Z]+"
        )


def _room_for(crush: CrushMap, item: int, id: int, type: int) -> Bucket:
    """The bucket `id`, if `item` may become a part of it."""
    bucket = find_bucket(crush, id)
    if bucket is None:
        raise InvalidArgument(f"item {id} is not a bucket")
    if subtree_contains(crush, id, item):
        raise InvalidArgument(f"item {item} already exists beneath {id}")
    if bucket.type != type:
        raise InvalidArgument(
            f"existing bucket has type '{crush.type_names.get(bucket.type, bucket.type)}'"
            f" != '{crush.type_names[type]}'"
        )
    if subtree_contains(crush, item, id):
        raise Loop(f"{item} already contains {id}; cannot form loop")
    return bucket


def create_or_move_item(
    crush: CrushMap,
    item: int,
    weight: float,
    name: str,
    location: Location,
    *,
    init_weight_sets: bool = True,
) -> bool:
    """Make sure that `item` is at `location`; gives whether the map has changed.

    `weight` counts for an item that is nowhere yet: others keep the weight that they have. Raises
    what `insert_item` raises.
    """
    _check_names(name)
    if weight_at(crush, item, location) is not None:
        return False
    if is_contained(crush, item):
        weight = to_float(item_weight(crush, item))
        remove_item(crush, item, unlink_only=True)
    insert_item(
        crush, item, weight, name, location, init_weight_sets=item >= 0 and init_weight_sets
    )
    return True


def update_item(crush: CrushMap, item: int, weight: float, name: str, location: Location) -> bool:
    """Put `item` at `location` with that weight and name, whatever it was; gives whether the map
    has changed. Raises what `insert_item` raises.
    """
    _check_names(name, location)
    new_weight = fixed(weight)
    old_weight = weight_at(crush, item, location)
    if old_weight is None:
        if item in crush.item_names:
            # it may be in no bucket, while a rule or a shadow refers to it
            with contextlib.suppress(NotFound):
                remove_item(crush, item, unlink_only=True)
        insert_item(crush, item, weight, name, location)
        return True
    changed = False
    if old_weight != new_weight:
        adjust_item_weight_in_loc(crush, item, new_weight, location)
        # the shadows of those buckets are not among them
        rebuild_roots_with_classes(crush)
        changed = True
    if crush.item_names.get(item) != name:
        crush.item_names[item] = name
        changed = True
    return changed


def add_bucket(crush: CrushMap, name: str, type_name: str, location: Location | None = None) -> int:
    """Make an empty bucket, below `location` if there is one; gives its id.

    Raises Exists, InvalidArgument for the type or the name, and what `move_bucket` raises.
    """
    if find_item(crush, name) is not None:
        raise Exists(f"bucket '{name}' already exists")
    type = type_id(crush, type_name)
    if type is None or type <= 0:
        raise InvalidArgument(f"bad bucket type: {type_name}")
    if not is_valid_name(name):
        raise InvalidArgument(f"bad bucket name: {name}")
    id = new_bucket(crush, type, [], []).id
    crush.item_names[id] = name
    if location and weight_at(crush, id, location) is None:
        move_bucket(crush, id, location)
    return id


# ------------------------------------------------------------------------------------------- moving


def move_bucket(crush: CrushMap, id: int, location: Location) -> None:
    """Take the bucket out of the (first) bucket that has it and put it to `location`.

    Raises InvalidArgument for a device, NotFound, and what `insert_item` raises.
    """
    name = _bucket_name(crush, id)
    weight = detach_bucket(crush, id)
    insert_item(crush, id, to_float(weight), name, location, init_weight_sets=False)


def link_bucket(crush: CrushMap, id: int, location: Location) -> None:
    """Put the bucket to `location` as well as where it is. Raises what `move_bucket` raises."""
    name = _bucket_name(crush, id)
    insert_item(crush, id, to_float(get_bucket(crush, id).weight), name, location)


def _bucket_name(crush: CrushMap, id: int) -> str:
    if id >= 0:
        raise InvalidArgument(f"item {id} is a device, not a bucket")
    if id not in crush.item_names:
        raise NotFound(f"item {id} does not exist")
    return crush.item_names[id]


def detach_bucket(crush: CrushMap, id: int) -> int:
    """Take the bucket out of the first bucket that has it and is no shadow; gives its weight.

    Raises NotFound, InvalidArgument for a device.
    """
    if id >= 0:
        raise InvalidArgument(f"item {id} is a device, not a bucket")
    weight = get_bucket(crush, id).weight
    parent = immediate_parent(crush, id)
    if parent is not None:
        adjust_item_weight_in_bucket(crush, id, 0, parent)
        remove_from_bucket(crush, parent, id)
    return weight


def swap_bucket(crush: CrushMap, first: int, second: int) -> None:
    """Exchange what two buckets contain, their weights and their names; they stay where they are.

    Raises InvalidArgument where one is a device, does not exist or contains the other.
    """
    if first >= 0 or second >= 0:
        raise InvalidArgument("only buckets can be swapped")
    if first not in crush.item_names or second not in crush.item_names:
        raise InvalidArgument("both buckets must exist")
    a, b = get_bucket(crush, first), get_bucket(crush, second)
    if _is_above(crush, first, second) or _is_above(crush, second, first):
        raise InvalidArgument("one bucket contains the other")
    weights = a.weight, b.weight
    for bucket, weight in ((a, weights[1]), (b, weights[0])):
        if is_contained(crush, bucket.id):
            adjust_item_weight(crush, bucket.id, weight)
    from_a = dict(zip(a.items, item_weights(a), strict=True))
    _empty(crush, a)
    from_b = list(zip(b.items, item_weights(b), strict=True))
    _empty(crush, b)
    for item, weight in from_b:
        add_item(crush, a, item, weight)
    for item, weight in sorted(from_a.items()):
        add_item(crush, b, item, weight)
    names = crush.item_names
    names[first], names[second] = names[second], names[first]
    rebuild_roots_with_classes(crush)


def _empty(crush: CrushMap, bucket: Bucket) -> None:
    while bucket.items:
        remove_item_at(crush, bucket, 0)


def _is_above(crush: CrushMap, upper: int, lower: int) -> bool:
    """Whether `upper` is the parent of `lower`, or a parent of that ..."""
    seen = {lower}
    while (parent := immediate_parent(crush, lower)) is not None and parent.id not in seen:
        if parent.id == upper:
            return True
        lower = parent.id
        seen.add(lower)
    return False


# ----------------------------------------------------------------------------------------- removing


def remove_item(crush: CrushMap, item: int, *, unlink_only: bool = False) -> None:
    """Take `item` out of all buckets, and out of the map with its name and class.

    `unlink_only` keeps a bucket (which need not be empty then) and the class of a device. Raises
    NotFound, NotEmpty, Busy for a bucket that rules take.
    """
    if item < 0 and not unlink_only:
        _check_removable(crush, item)
        if is_in_use(crush, item):
            raise Busy(f"bucket {item} is in use by a rule or is a shadow")
    found = False
    for bucket in crush.buckets:
        if bucket:
            found |= _remove_from(crush, bucket, item)
    found |= _forget_last_place(crush, item, unlink_only=unlink_only)
    if not found:
        raise NotFound(f"item {item} is nowhere in the map")


def remove_item_under(
    crush: CrushMap, item: int, ancestor: int, *, unlink_only: bool = False
) -> None:
    """Like `remove_item`, but only below the bucket `ancestor`; what is elsewhere stays.

    Raises InvalidArgument for an ancestor that is no bucket, NotFound, NotEmpty, Busy.
    """
    if not unlink_only and is_in_use(crush, item):
        raise Busy(f"item {item} is in use by a rule or is a shadow")
    if find_bucket(crush, ancestor) is None:
        raise InvalidArgument(f"there is no bucket {ancestor} to look for {item} under")
    if not _remove_under(crush, item, ancestor, unlink_only=unlink_only):
        raise NotFound(f"item {item} is not below {ancestor}")
    if item < 0 and not unlink_only:
        _check_removable(crush, item)
    _forget_last_place(crush, item, unlink_only=unlink_only)


def _check_removable(crush: CrushMap, id: int) -> None:
    bucket = get_bucket(crush, id)
    if bucket.items:
        raise NotEmpty(f"bucket {id} has {len(bucket.items)} items, not empty")


def _remove_from(crush: CrushMap, bucket: Bucket, item: int) -> bool:
    """Remove the places of `item`. Of two that stand side by side upstream overlooks one."""
    found, position = False, 0
    while position < len(bucket.items):
        if bucket.items[position] == item:
            adjust_item_weight_in_bucket(crush, item, 0, bucket)
            remove_from_bucket(crush, bucket, item)
            found = True
        position += 1
    return found


def _remove_under(crush: CrushMap, item: int, ancestor: int, *, unlink_only: bool) -> bool:
    bucket, found, position = get_bucket(crush, ancestor), False, 0
    while position < len(bucket.items):
        id = bucket.items[position]
        if id == item:
            adjust_item_weight_in_bucket(crush, item, 0, bucket)
            remove_from_bucket(crush, bucket, item)
            found = True
        elif id < 0 and find_bucket(crush, id):
            # where it is not below this one it may be below the next
            with contextlib.suppress(NotFound, NotEmpty, Busy):
                remove_item_under(crush, item, id, unlink_only=unlink_only)
                found = True
        position += 1
    return found


def _forget_last_place(crush: CrushMap, item: int, *, unlink_only: bool) -> bool:
    """What goes with the last place of an item; False while there is another or a rule takes it."""
    if is_contained(crush, item) or (item < 0 and is_in_use(crush, item)):
        return False
    if item < 0 and not unlink_only:
        get_bucket(crush, item)
        crush.buckets[-1 - item] = None
        crush.class_bucket.pop(item, None)
        crush.device_classes.pop(item, None)
        settle_choose_args(crush)
    if (item >= 0 or not unlink_only) and item in crush.item_names:
        del crush.item_names[item]
        if item >= 0 and not unlink_only:
            crush.device_classes.pop(item, None)
    rebuild_roots_with_classes(crush)
    return True


# ----------------------------------------------------------------------------- names and algorithms


def rename_item(crush: CrushMap, name: str, new_name: str) -> None:
    """Give a device or a bucket another name; shadow trees follow at the next edit that makes them.

    Raises Exists, NotFound, InvalidArgument for a name that people may not give, AlreadyDone where
    only an item with the new name exists.
    """
    check_rename(crush, name, new_name)
    id = find_item(crush, name)
    if id is not None:
        crush.item_names[id] = new_name


def rename_bucket(crush: CrushMap, name: str, new_name: str) -> None:
    """Like `rename_item`; raises NotADirectory for a device."""
    check_rename(crush, name, new_name, bucket=True)
    rename_item(crush, name, new_name)


def check_rename(crush: CrushMap, name: str, new_name: str, *, bucket: bool = False) -> None:
    """Raise what `rename_item`, or with `bucket` `rename_bucket`, would raise."""
    id, taken = find_item(crush, name), find_item(crush, new_name) is not None
    if id is None and taken:
        raise AlreadyDone(
            f"srcname = '{name}' does not exist and dstname = '{new_name}' already exists"
        )
    if id is None:
        raise NotFound(f"srcname = '{name}' does not exist")
    if taken:
        raise Exists(f"dstname = '{new_name}' already exists")
    if not is_valid_name(new_name):
        raise InvalidArgument(f"dstname = '{new_name}' does not match [-_.0-9a-zA-Z]+")
    if bucket and id >= 0:
        raise NotADirectory(f"srcname = '{name}' is not a bucket because its id = {id} is >= 0")


def straw_to_straw2(crush: CrushMap) -> int:
    """Turn all straw buckets into straw2 buckets of the same weights; gives their number."""
    changed = 0
    for bucket in crush.buckets:
        if bucket and bucket.alg == BucketAlg.STRAW:
            bucket.alg, bucket.derived = BucketAlg.STRAW2, []
            changed += 1
    return changed
