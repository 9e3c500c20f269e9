"""The hierarchy as people see it: a walk in the order in which trees are shown, and its fields.

Called by `spirula crushtool --tree`, and by the monitor for `osd tree`, `osd df` and
`osd crush tree`, which show more of each item. Order and fields are those of upstream's
`src/crush/CrushTreeDumper.h`; who calls makes tables or JSON of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from spirula.crush.build import item_weights
from spirula.crush.classes import roots
from spirula.crush.lookup import find_bucket, item_class, subtree
from spirula.crush.map import CrushMap
from spirula.crush.weights import COMPAT, signed, to_float
from spirula.errors import InvalidArgument
from spirula.printing import Items, TextTable

MAX_TREE_NODES = 1 << 20
"""Lines of one tree: a small map can ask for very many by linking its buckets often."""

Filter = Callable[[int], bool]


@dataclass(slots=True)
class Node:
    """An item at one place of the tree, and what it contains, in the order in which that is shown.

    `parent` is 0 for a root, `weight` is in units of 1.0.
    """

    id: int
    parent: int = 0
    depth: int = 0
    weight: float = 0.0
    children: list[int] = field(default_factory=list)


def walk(
    crush: CrushMap,
    *,
    start: Iterable[int] | None = None,
    shadow: bool = False,
    leaf: Filter | None = None,
) -> Iterator[Node]:
    """All items from the roots down: devices by class and id, then buckets by name.

    `start` are other roots; without it all are shown that nothing contains, shadow trees only with
    `shadow`. `leaf` says which devices to show: buckets without any are left out then. Raises
    InvalidArgument for a bucket without a name, and beyond `MAX_TREE_NODES`.
    """
    if start is None:
        start = roots(crush, shadow=False) + (roots(crush, shadow=True) if shadow else [])
    seen = 0
    for root in sorted(start):
        if not _shown(crush, root, leaf):
            continue
        bucket = find_bucket(crush, root)
        waiting = [Node(root, weight=to_float(bucket.weight) if bucket else 0.0)]
        while waiting:
            node = waiting.pop()
            below = _below(crush, node, leaf)
            node.children = [child.id for child in below]
            seen += 1 + len(below)
            if seen > 2 * MAX_TREE_NODES:
                raise InvalidArgument(f"the tree has more than {MAX_TREE_NODES} lines")
            waiting.extend(reversed(below))
            yield node


def _shown(crush: CrushMap, id: int, leaf: Filter | None) -> bool:
    return leaf is None or any(leaf(item) for item in subtree(crush, id) if item >= 0)


def _below(crush: CrushMap, node: Node, leaf: Filter | None) -> list[Node]:
    bucket = find_bucket(crush, node.id)
    if bucket is None:
        return []
    ordered: dict[str, Node] = {}
    weights = item_weights(bucket)
    for position in range(len(bucket.items) - 1, -1, -1):
        id = bucket.items[position]
        if _shown(crush, id, leaf):
            weight = to_float(signed(weights[position]))
            ordered[_sort_key(crush, id)] = Node(id, node.id, node.depth + 1, weight)
    return [ordered[key] for key in sorted(ordered)]


def _sort_key(crush: CrushMap, id: int) -> str:
    if id >= 0:
        return f"{item_class(crush, id) or ''}_osd.{id:08d}"
    return f"_{bucket_name(crush, id)}"


def bucket_name(crush: CrushMap, id: int) -> str:
    """The name of a bucket; raises InvalidArgument where it has none."""
    if id not in crush.item_names:
        raise InvalidArgument(f"unknown item name: item#{id}")
    return crush.item_names[id]


def label(crush: CrushMap, id: int) -> str:
    """What a tree calls an item: `host a`, `osd.3`. Raises InvalidArgument."""
    if id >= 0:
        return f"osd.{id}"
    return f"{_type_of(crush, id)[1]} {bucket_name(crush, id)}"


def _type_of(crush: CrushMap, id: int) -> tuple[int, str]:
    bucket = find_bucket(crush, id)
    type = bucket.type if bucket else 0
    if bucket is None and id < 0:
        raise InvalidArgument(f"bucket {id} is not in the map")
    if type not in crush.type_names:
        raise InvalidArgument(f"unknown type name: item#{id}")
    return type, crush.type_names[type]


def fields(
    crush: CrushMap, node: Node, pool_names: Mapping[int, str] | None = None
) -> dict[str, object]:
    """The document of one item, without its children. Raises InvalidArgument as `label` does.

    `pool_names` are shown in place of the keys of choose_args.
    """
    made: dict[str, object] = {"id": node.id}
    device_class = item_class(crush, node.id)
    if device_class is not None:
        made["device_class"] = device_class
    type, type_name = _type_of(crush, node.id)
    if node.id < 0:
        made |= {"name": bucket_name(crush, node.id), "type": type_name, "type_id": type}
    else:
        made |= {"name": f"osd.{node.id}", "type": type_name, "type_id": 0}
        made |= {"crush_weight": node.weight, "depth": node.depth}
    if node.parent < 0:
        weights = set_weights(crush, node)
        made["pool_weights"] = {
            set_name(key, pool_names): Items("weight", weights[key])
            for key in sorted(weights)
            if weights[key]
        }
    return made


def set_name(key: int, pool_names: Mapping[int, str] | None = None) -> str:
    """What a set of choose_args is called: by its pool's name or id, or `(compat)`."""
    return "(compat)" if key == COMPAT else (pool_names or {}).get(key, str(key))


def set_weights(crush: CrushMap, node: Node) -> dict[int, list[float]]:
    """The weights at each position that each set of choose_args has for an item in its parent."""
    parent = find_bucket(crush, node.parent)
    made: dict[int, list[float]] = {}
    for key, args in crush.choose_args.items():
        arg = args.get(-1 - node.parent) if parent else None
        made[key] = []
        if parent and arg:
            position = parent.items.index(node.id)
            rows = (row[position] if position < len(row) else 0 for row in arg.weight_sets)
            made[key] = [to_float(weight) for weight in rows]
    return made


def tree_document(
    crush: CrushMap, pool_names: Mapping[int, str] | None = None, *, shadow: bool = False
) -> dict[str, object]:
    """What `osd crush tree --format json` says: all nodes, and devices that are in no bucket."""
    nodes, touched = Items("item"), set()
    for node in walk(crush, shadow=shadow):
        touched.add(node.id)
        document = fields(crush, node, pool_names)
        if node.id < 0:
            document["children"] = Items("child", reversed(node.children))
        nodes.append(document)
    strays = (id for id in sorted(crush.item_names) if id >= 0 and id not in touched)
    return {
        "nodes": nodes,
        "stray": Items("item", (fields(crush, Node(id), pool_names) for id in strays)),
    }


def print_tree(
    crush: CrushMap, pool_names: Mapping[int, str] | None = None, *, shadow: bool = False
) -> str:
    """What `osd crush tree` and `crushtool --tree` print."""
    keys = sorted(crush.choose_args)
    columns = ["ID", "CLASS", "WEIGHT", *(set_name(key, pool_names) for key in keys)]
    table = TextTable([*((name, ">") for name in columns), ("TYPE NAME", "<")])
    for node in walk(crush, shadow=shadow):
        weights = set_weights(crush, node)
        table.add(
            node.id,
            item_class(crush, node.id) or "",
            show_weight(node.weight),
            *(show_weight(weights[key][0]) if weights[key] else "" for key in keys),
            "    " * node.depth + label(crush, node.id),
        )
    return str(table)


def show_weight(weight: float) -> str:
    """A weight as tables show it: five digits, or a plain 0."""
    if weight < -0.01:
        return "-"
    return "0" if weight < 0.000001 else f"{weight:.5f}"
