"""The hierarchy with the state of each OSD: what `ceph osd tree` shows.

Called by the monitor's commands and by `osdmaptool --tree`. Upstream: `src/osd/OSDMap.cc`,
OSDTreePlainDumper and OSDTreeFormattingDumper.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from spirula.crush.lookup import find_item, item_class
from spirula.crush.tree import Node, fields, label, show_weight, walk
from spirula.maps.dump.values import share
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import exists, is_destroyed, is_down, is_in, is_out, is_up, primary_affinity
from spirula.printing import Items, TextTable

_STATES: dict[str, Callable[[OSDMap, int], bool]] = {
    "up": is_up,
    "down": is_down,
    "in": is_in,
    "out": is_out,
    "destroyed": is_destroyed,
}
TREE_STATES = tuple(_STATES)
"""What a tree can be limited to."""


def _filter(osdmap: OSDMap, states: Collection[str]) -> Callable[[int], bool] | None:
    """What keeps the OSDs that are in one of the `states`; None if there are none."""
    tests = [_STATES[state] for state in states]
    if not tests:
        return None
    return lambda osd: any(test(osdmap, osd) for test in tests)


def tree_items(
    osdmap: OSDMap, states: Collection[str] = (), bucket: str = ""
) -> tuple[list[Node], list[Node]]:
    """The items of the tree, and OSDs that are nowhere in it.

    Only OSDs in one of the `states` (of `TREE_STATES`), if any; only what is below `bucket`, if it
    is named (nothing, if it is not there).
    """
    keep = _filter(osdmap, states)
    if bucket:
        start = find_item(osdmap.crush, bucket)
        return ([] if start is None else list(walk(osdmap.crush, start=[start], leaf=keep))), []
    items = list(walk(osdmap.crush, leaf=keep))
    drawn = {item.id for item in items}
    stray = [
        Node(osd)
        for osd in range(osdmap.max_osd)
        if exists(osdmap, osd) and osd not in drawn and (keep is None or keep(osd))
    ]
    return items, stray


def _status(osdmap: OSDMap, osd: int) -> str:
    if is_up(osdmap, osd):
        return "up"
    return "destroyed" if is_destroyed(osdmap, osd) else "down"


def tree_document(
    osdmap: OSDMap, states: Collection[str] = (), bucket: str = ""
) -> dict[str, object]:
    """The tree for JSON: nodes and, unless below a named bucket, strays. See `tree_items`."""
    items, stray = tree_items(osdmap, states, bucket)
    found: dict[str, object] = {"nodes": Items("item", (_node(osdmap, item) for item in items))}
    if not bucket:
        found["stray"] = Items("item", (_node(osdmap, item) for item in stray))
    return found


def _node(osdmap: OSDMap, item: Node) -> dict[str, object]:
    found = fields(osdmap.crush, item, osdmap.pool_name)
    if item.id < 0:
        return {**found, "children": Items("child", reversed(item.children))}
    there = 0 <= item.id < osdmap.max_osd
    return {
        **found,
        "exists": int(exists(osdmap, item.id)),
        "status": _status(osdmap, item.id),
        "reweight": share(osdmap.osd_weight[item.id]) if there else 0.0,
        "primary_affinity": share(primary_affinity(osdmap, item.id)),
    }


def print_tree(osdmap: OSDMap, states: Collection[str] = (), bucket: str = "") -> str:
    """The tree as a table. See `tree_items`."""
    table = TextTable(
        (
            ("ID", ">"),
            ("CLASS", ">"),
            ("WEIGHT", ">"),
            ("TYPE NAME", "<"),
            ("STATUS", ">"),
            ("REWEIGHT", ">"),
            ("PRI-AFF", ">"),
        )
    )
    crush = osdmap.crush
    items, stray = tree_items(osdmap, states, bucket)
    for item in [*items, *stray]:
        indent = "    " * item.depth
        row = [str(item.id), item_class(crush, item.id) or "", show_weight(item.weight)]
        if item.id < 0:
            row.append(f"{indent}{label(crush, item.id)}")
        elif not exists(osdmap, item.id):
            row += [f"{indent}osd.{item.id}", "DNE", "0"]
        else:
            row += [
                f"{indent}osd.{item.id}",
                _status(osdmap, item.id),
                show_weight(share(osdmap.osd_weight[item.id])),
                show_weight(share(primary_affinity(osdmap, item.id))),
            ]
        table.add(*row)
    return str(table)
