"""Classes of devices as operators change them: given, taken, renamed, removed.

The shadow trees that rules take for a class are `classes`' work, which is called after each change.
Called by the monitor's `osd crush ... class` commands and by `spirula crushtool`. Texts are those
that upstream's `src/crush/CrushWrapper.cc` gives to clients.
"""

from __future__ import annotations

from spirula.crush.classes import class_id, get_or_create_class, rebuild_roots_with_classes
from spirula.crush.lookup import item_class, item_id, rules_using_class, subtree
from spirula.crush.map import CrushMap
from spirula.errors import Busy, Exists, InvalidArgument, NotFound


def set_device_class(crush: CrushMap, osd: int, name: str) -> bool:
    """Put device `osd` into the class `name`, which is made if need be; gives whether that is new.

    Raises Busy for a device of another class, NotFound for one that is not in the map,
    InvalidArgument for a bucket.
    """
    if osd not in crush.item_names:
        raise NotFound(f"osd.{osd} does not exist in the crush map")
    if osd < 0:
        raise InvalidArgument(f"{crush.item_names[osd]} id {osd} is negative")
    old = item_class(crush, osd)
    if old is not None and old != name:
        raise Busy(
            f"osd.{osd} has already bound to class '{old}', can not reset class to '{name}'; "
            "use 'ceph osd crush rm-device-class <id>' to remove old class first"
        )
    id = get_or_create_class(crush, name)
    if crush.device_classes.get(osd) == id:
        return False
    crush.device_classes[osd] = id
    rebuild_roots_with_classes(crush)
    return True


def remove_device_class(crush: CrushMap, osd: int) -> bool:
    """Take device `osd` out of its class; gives whether it had one. Raises NotFound."""
    if osd not in crush.item_names:
        raise NotFound(f"osd.{osd} does not have a name")
    if item_class(crush, osd) is None:
        return False
    del crush.device_classes[osd]
    rebuild_roots_with_classes(crush)
    return True


def devices_of_class(crush: CrushMap, name: str) -> list[int]:
    """Ids of the devices of that class, ascending; none for an unknown class."""
    id = class_id(crush, name)
    return sorted(osd for osd, known in crush.device_classes.items() if osd >= 0 and known == id)


def create_class(crush: CrushMap, name: str) -> int:
    """Add an empty class; gives its id. Raises Exists."""
    if class_id(crush, name) is not None:
        raise Exists(f"class '{name}' already exists")
    return get_or_create_class(crush, name)


def remove_class(crush: CrushMap, name: str) -> int:
    """Remove a class and take its devices out of it; gives the id that it had.

    Raises NotFound, Busy where rules take its shadows.
    """
    id = class_id(crush, name)
    if id is None:
        raise NotFound(f"class '{name}' does not exist")
    check_class_unused(crush, id)
    devices = devices_of_class(crush, name)
    for osd in devices:
        remove_device_class(crush, osd)
    if not devices:
        del crush.class_names[id]
    return id


def check_class_unused(crush: CrushMap, id: int) -> None:
    """Raise Busy where rules take shadows of that class."""
    rules = rules_using_class(crush, id)
    if rules:
        names = ",".join(f"'{rule}'" for rule in rules)
        raise Busy(f"class '{crush.class_names[id]}' still referenced by crush_rule(s): {names}")


def rename_class(crush: CrushMap, name: str, new_name: str) -> None:
    """Give a class and its shadow buckets another name. Raises NotFound, Exists."""
    id = class_id(crush, name)
    if id is None:
        raise NotFound(f"class '{name}' does not exist")
    if class_id(crush, new_name) is not None:
        raise Exists(f"class '{new_name}' already exists")
    for item, known in crush.device_classes.items():
        if item < 0 and known == id and item in crush.item_names:
            original = crush.item_names[item].partition("~")[0]
            crush.item_names[item] = f"{original}~{new_name}"
    crush.class_names[id] = new_name


def set_subtree_class(crush: CrushMap, root: str, name: str) -> None:
    """Put all devices below the bucket `root` into the class `name`, whatever theirs was.

    Shadow trees are left to the edit that follows. Raises NotFound.
    """
    start = item_id(crush, root)
    id = get_or_create_class(crush, name)
    if start >= 0:
        raise NotFound(f"{root} is a device, not a bucket")
    for item in subtree(crush, start):
        if item >= 0:
            crush.device_classes[item] = id
