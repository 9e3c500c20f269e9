"""Edits of CRUSH maps against what a real monitor of 16.2.15 made of the same commands.

`crush_commands.xz` was made by `tests/interop/record_crush_commands.py`: commands, what each
returned and the map after it (empty: the same as before). What the monitor decides before it edits
(whether a name is there, whether the item is there already) is in the table here.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spirula.crush import device_classes, edit, rules, weights
from spirula.crush.bucket_items import positions_of
from spirula.crush.build import finalize, settle_choose_args
from spirula.crush.classes import class_id
from spirula.crush.lookup import find_item, item_class, parse_location, rule_id, weight_at
from spirula.crush.weights import COMPAT, fixed
from spirula.crush.wire import CrushWrapper
from spirula.errors import AlreadyDone, CephError, InvalidArgument, NotFound

FILE = Path(__file__).with_name("crush_commands.xz")
POOL = 1

Command = dict[str, Any]


def item(crush: CrushWrapper, name: str) -> int:
    found = find_item(crush, name)
    if found is None:
        raise NotFound(f"item {name} does not exist")
    return found


def add(crush: CrushWrapper, command: Command) -> None:
    osd, place = command["id"], parse_location(command["args"])
    if weight_at(crush, osd, place) is None:
        edit.insert_item(crush, osd, command["weight"], f"osd.{osd}", place)
    else:
        edit.update_item(crush, osd, command["weight"], f"osd.{osd}", place)


def set_(crush: CrushWrapper, command: Command) -> None:
    osd, place = command["id"], parse_location(command["args"])
    if osd not in crush.item_names:
        raise NotFound("does not exist")
    edit.update_item(crush, osd, command["weight"], f"osd.{osd}", place)


def create_or_move(crush: CrushWrapper, command: Command) -> None:
    osd, place = command["id"], parse_location(command["args"])
    edit.create_or_move_item(crush, osd, command["weight"], f"osd.{osd}", place)


def move(crush: CrushWrapper, command: Command) -> None:
    id, place = item(crush, command["name"]), parse_location(command["args"])
    if weight_at(crush, id, place) is not None:
        return
    if id >= 0:
        edit.create_or_move_item(crush, id, 0.0, command["name"], place)
    else:
        edit.move_bucket(crush, id, place)


def link(crush: CrushWrapper, command: Command) -> None:
    id, place = item(crush, command["name"]), parse_location(command["args"])
    if weight_at(crush, id, place) is None:
        edit.link_bucket(crush, id, place)


def add_bucket(crush: CrushWrapper, command: Command) -> None:
    if find_item(crush, command["name"]) is None:
        edit.add_bucket(crush, command["name"], command["type"])


def swap(crush: CrushWrapper, command: Command) -> None:
    edit.swap_bucket(crush, item(crush, command["source"]), item(crush, command["dest"]))


def remove(crush: CrushWrapper, command: Command) -> None:
    id = find_item(crush, command["name"])
    if id is None:
        return
    unlink_only = command["prefix"].endswith("unlink")
    try:
        if "ancestor" in command:
            above = item(crush, command["ancestor"])
            edit.remove_item_under(crush, id, above, unlink_only=unlink_only)
        else:
            edit.remove_item(crush, id, unlink_only=unlink_only)
    except NotFound:
        if "ancestor" in command and find_item(crush, command["ancestor"]) is None:
            raise


def reweight(crush: CrushWrapper, command: Command) -> None:
    weights.adjust_item_weight(crush, item(crush, command["name"]), fixed(command["weight"]))


def reweight_subtree(crush: CrushWrapper, command: Command) -> None:
    weights.adjust_subtree_weight(crush, item(crush, command["name"]), fixed(command["weight"]))


def rename(crush: CrushWrapper, command: Command) -> None:
    with contextlib.suppress(AlreadyDone):  # a command that is sent twice
        edit.rename_bucket(crush, command["srcname"], command["dstname"])


def set_class(crush: CrushWrapper, command: Command) -> None:
    for name in command["ids"]:
        osd = int(name.removeprefix("osd."))
        crush.max_devices = max(crush.max_devices, osd + 1)
        crush.item_names.setdefault(osd, name)
        device_classes.set_device_class(crush, osd, command["class"])


def remove_from_class(crush: CrushWrapper, command: Command) -> None:
    for name in command["ids"]:
        osd = int(name.removeprefix("osd."))
        if item_class(crush, osd) is not None:
            device_classes.remove_device_class(crush, osd)


def create_class(crush: CrushWrapper, command: Command) -> None:
    if class_id(crush, command["class"]) is None:
        device_classes.create_class(crush, command["class"])


def remove_class(crush: CrushWrapper, command: Command) -> None:
    if class_id(crush, command["class"]) is not None:
        device_classes.remove_class(crush, command["class"])


def rename_class(crush: CrushWrapper, command: Command) -> None:
    old, new = command["srcname"], command["dstname"]
    if class_id(crush, old) is not None or class_id(crush, new) is None:
        device_classes.rename_class(crush, old, new)


def create_weight_set(crush: CrushWrapper, command: Command) -> None:
    key, positions = (POOL, 3) if "pool" in command else (COMPAT, 1)
    if key not in crush.choose_args:
        weights.create_choose_args(crush, key, positions)


def reweight_weight_set(crush: CrushWrapper, command: Command) -> None:
    key = POOL if "pool" in command else COMPAT
    if key not in crush.choose_args:
        raise NotFound("no weight-set")
    numbers = [int(weight * 0x10000) for weight in command["weight"]]
    if key == POOL and len(numbers) != positions_of(crush.choose_args[key]):
        raise InvalidArgument("must specify exact weight values")
    weights.choose_args_adjust_item_weight(crush, key, item(crush, command["item"]), numbers)


def create_rule(crush: CrushWrapper, command: Command) -> None:
    if rule_id(crush, command["name"]) is None:
        rules.add_simple_rule(
            crush,
            command["name"],
            command["root"],
            command["type"],
            device_class=command.get("class", ""),
            mode=command.get("mode", "firstn"),
        )


def remove_rule(crush: CrushWrapper, command: Command) -> None:
    id = rule_id(crush, command["name"])
    if id is not None:
        rules.remove_rule(crush, id)


def rename_rule(crush: CrushWrapper, command: Command) -> None:
    old, new = command["srcname"], command["dstname"]
    if rule_id(crush, old) is not None or rule_id(crush, new) is None:
        rules.rename_rule(crush, old, new)


EDITS: dict[str, Callable[[CrushWrapper, Command], None]] = {
    "add": add,
    "set": set_,
    "create-or-move": create_or_move,
    "move": move,
    "link": link,
    "add-bucket": add_bucket,
    "swap-bucket": swap,
    "rm": remove,
    "unlink": remove,
    "reweight": reweight,
    "reweight-subtree": reweight_subtree,
    "reweight-all": lambda crush, _: weights.reweight(crush),
    "rename-bucket": rename,
    "set-device-class": set_class,
    "rm-device-class": remove_from_class,
    "class create": create_class,
    "class rm": remove_class,
    "class rename": rename_class,
    "weight-set create-compat": create_weight_set,
    "weight-set create": create_weight_set,
    "weight-set rm-compat": lambda crush, _: weights.rm_choose_args(crush, COMPAT),
    "weight-set reweight-compat": reweight_weight_set,
    "weight-set reweight": reweight_weight_set,
    "rule create-replicated": create_rule,
    "rule create-simple": create_rule,
    "rule rm": remove_rule,
    "rule rename": rename_rule,
}


def received(raw: bytes) -> CrushWrapper:
    """A map as the monitor has it after it has decoded it."""
    crush = CrushWrapper.decode(raw)
    settle_choose_args(crush)
    finalize(crush)
    return crush


def test_edits_leave_the_maps_that_a_real_monitor_leaves() -> None:
    recorded = json.loads(lzma.decompress(FILE.read_bytes()))
    before = base64.b64decode(recorded[0]["map"])
    seen = set()
    for number, step in enumerate(recorded[1:]):
        command, after = step["command"], base64.b64decode(step["map"]) or before
        name = command["prefix"].removeprefix("osd crush ")
        crush, code = received(before), 0
        try:
            EDITS[name](crush, command)
        except CephError as error:
            code, crush = -error.errno, received(before)
        assert (number, command, code) == (number, command, step["rc"])
        assert received(crush.encode()).encode() == received(after).encode(), (number, command)
        seen.add((name, code == 0))
        before = after
    assert len({name for name, done in seen if done}) >= len(EDITS) - 5
    assert {-errno.ENOENT, -errno.EINVAL} <= {step.get("rc") for step in recorded}
