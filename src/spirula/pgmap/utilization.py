"""How full OSDs and the buckets above them are: `osd df`.

Numbers and columns: upstream `src/osd/OSDMap.cc` (OSDUtilizationDumper).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from spirula.crush.lookup import find_bucket, item_class, item_id, subtree
from spirula.crush.map import RuleOp
from spirula.crush.tree import Node, fields, label, show_weight, walk
from spirula.errors import InvalidArgument
from spirula.maps.osdmap import OSDMap
from spirula.maps.query import find_pool
from spirula.maps.state import exists, is_destroyed, is_out, is_up
from spirula.pgmap.record import PGMap, add_osd
from spirula.pgmap.usage import rule_of
from spirula.printing import Items, TextTable, as_f32, size_text
from spirula.types.osd_stats import OSDStat

_FULL = 0x10000
_SPACE = ("kb", "kb_used", "kb_used_data", "kb_used_omap", "kb_used_meta", "kb_avail")
Space = tuple[int, ...]
"""KB as `_SPACE` names them."""
_NOTHING: Space = (0,) * len(_SPACE)


@dataclass(slots=True)
class Line:
    """An OSD or a bucket: `use` is a percentage, `variation` how it compares with the mean."""

    node: Node
    reweight: float
    space: Space
    use: float
    variation: float
    pgs: int


@dataclass(slots=True)
class Utilization:
    """What `osd df` shows."""

    osdmap: OSDMap
    tree: bool
    average: float
    lines: list[Line] = field(default_factory=list)
    strays: list[Line] = field(default_factory=list)
    total: OSDStat = field(default_factory=OSDStat)
    least: float = -1.0
    most: float = -1.0
    deviation: float = 0.0


def check_filter(osdmap: OSDMap, name: str) -> None:
    """InvalidArgument where nothing is called that."""
    crush = osdmap.crush
    known = {*crush.item_names.values(), *crush.class_names.values(), *osdmap.pool_name.values()}
    if name and name not in known:
        raise InvalidArgument(f"'{name}' not a pool, crush node or device class name")


class _Selection:
    """Which items are asked for."""

    def __init__(self, osdmap: OSDMap, only: str) -> None:
        self.crush = osdmap.crush
        self.allowed: set[int] = set()
        self.device_class = ""
        if not only:
            return
        pool = find_pool(osdmap, only)
        if only in self.crush.item_names.values():
            self._allow(item_id(self.crush, only))
        elif only in self.crush.class_names.values():
            self.device_class = only
        elif pool is not None:
            rule = self.crush.rules[rule_of(osdmap, osdmap.pools[pool])]
            for step in rule.steps if rule else ():
                if step.op == RuleOp.TAKE:
                    self._allow(step.arg1)

    def _allow(self, item: int) -> None:
        self.allowed |= {item, *subtree(self.crush, item)}

    @property
    def is_all(self) -> bool:
        return not self.allowed and not self.device_class

    def has(self, item: int) -> bool:
        if self.allowed and item not in self.allowed:
            return False
        return (
            item < 0 or not self.device_class or item_class(self.crush, item) == self.device_class
        )


def measure(osdmap: OSDMap, pgmap: PGMap, *, tree: bool = False, only: str = "") -> Utilization:
    """All OSDs and, with `tree`, what is above them; `only` names a class, an item or a pool."""
    chosen = _Selection(osdmap, only)
    found = Utilization(osdmap, tree, _average(osdmap, pgmap, chosen))
    touched, weights, squares, shown = set(), 0.0, 0.0, []
    nodes = [(node, found.lines) for node in walk(osdmap.crush)]
    touched = {node.id for node, _ in nodes}
    nodes += [
        (Node(osd), found.strays)
        for osd in range(osdmap.max_osd)
        if exists(osdmap, osd) and osd not in touched
    ]
    for node, lines in nodes:
        if (node.id < 0 and not tree) or not chosen.has(node.id):
            continue
        line = _line(osdmap, pgmap, chosen, node, found.average)
        lines.append(line)
        if node.id < 0:
            continue
        shown.append(node.id)
        if line.reweight > 0:
            found.least = line.variation if found.least < 0 else min(found.least, line.variation)
            found.most = max(found.most, line.variation)
            squares += line.reweight * (line.use - found.average) ** 2
            weights += line.reweight
    found.deviation = math.sqrt(squares / weights) if weights > 0 else 0.0
    for osd in sorted(pgmap.osd_stat if chosen.is_all else shown):
        if osd in pgmap.osd_stat:
            add_osd(found.total, pgmap.osd_stat[osd])
    return found


def _line(osdmap: OSDMap, pgmap: PGMap, chosen: _Selection, node: Node, average: float) -> Line:
    reweight = as_f32(osdmap.osd_weight[node.id] / _FULL) if node.id >= 0 else -1.0
    space = _space(osdmap, pgmap, chosen, node.id) or _NOTHING
    use = 100.0 * space[1] / space[0] if space[0] and space[1] else 0.0
    count = pgmap.num_pg_by_osd.get(node.id)
    pgs = count.acting if count and node.id >= 0 else 0
    return Line(node, reweight, space, use, use / average if average else 1.0, pgs)


def _of_osd(pgmap: PGMap, osd: int) -> Space | None:
    stat = pgmap.osd_stat.get(osd)
    return tuple(getattr(stat, name) for name in _SPACE) if stat and stat.kb > 0 else None


def _space(osdmap: OSDMap, pgmap: PGMap, chosen: _Selection, item: int) -> Space | None:
    """KB of an item; None where something below has not told of itself."""
    if item >= 0:
        if item >= osdmap.max_osd or is_out(osdmap, item) or not chosen.has(item):
            return _NOTHING
        return _of_osd(pgmap, item)
    bucket = find_bucket(osdmap.crush, item)
    total = _NOTHING
    for below in bucket.items if bucket else ():
        part = _space(osdmap, pgmap, chosen, below)
        if part is None:
            return None
        total = tuple(one + other for one, other in zip(total, part, strict=True))
    return total if total[0] > 0 else None


def _average(osdmap: OSDMap, pgmap: PGMap, chosen: _Selection) -> float:
    kb = used = 0
    for osd in range(osdmap.max_osd):
        if exists(osdmap, osd) and osdmap.osd_weight[osd] and chosen.has(osd):
            space = _of_osd(pgmap, osd)
            if space is not None:
                kb, used = kb + space[0], used + space[1]
    return 100.0 * used / kb if kb else 0.0


# ------------------------------------------------------------------------------------------- shown


def _status(osdmap: OSDMap, osd: int) -> str:
    if is_up(osdmap, osd):
        return "up"
    return "destroyed" if is_destroyed(osdmap, osd) else "down"


def _short(value: float) -> str:
    if value < -0.01:
        return "-"
    return "0" if value < 0.001 else f"{as_f32(value):.2f}"


def table(found: Utilization) -> str:
    """`osd df [tree]` for people."""
    names = ["ID", "CLASS", "WEIGHT", "REWEIGHT", "SIZE", "RAW USE", "DATA", "OMAP", "META"]
    names += ["AVAIL", "%USE", "VAR", "PGS", "STATUS"]
    made = TextTable([(name, ">") for name in names])
    if found.tree:
        made.columns = [*made.columns, ("TYPE NAME", "<")]
    for line in [*found.lines, *found.strays]:
        node = line.node
        cells = [
            node.id,
            item_class(found.osdmap.crush, node.id) or "",
            show_weight(node.weight),
            show_weight(line.reweight),
            *(size_text(kb << 10) for kb in line.space),
            _short(line.use),
            _short(line.variation),
        ]
        cells += ["-", ""] if node.id < 0 else [line.pgs, _status(found.osdmap, node.id)]
        if found.tree:
            cells.append("    " * node.depth + label(found.osdmap.crush, node.id))
        made.add(*cells)
    space = found.total.statfs
    sizes = (
        space.total,
        space.used_raw,
        space.allocated,
        space.omap_allocated,
        space.internal_metadata,
        space.available,
    )
    made.add("", "", "", "TOTAL", *map(size_text, sizes), _short(found.average), "")
    variation = f"MIN/MAX VAR: {_short(found.least)}/{_short(found.most)}"
    return f"{made}{variation}  STDDEV: {_short(found.deviation)}\n"


def _line_document(found: Utilization, line: Line) -> dict[str, object]:
    osdmap, node = found.osdmap, line.node
    shown = fields(osdmap.crush, node, osdmap.pool_name)
    shown["reweight"] = line.reweight
    shown |= dict(zip(_SPACE, line.space, strict=True))
    shown |= {"utilization": line.use, "var": line.variation, "pgs": line.pgs}
    if node.id >= 0:
        shown["status"] = _status(osdmap, node.id)
    else:
        shown["children"] = Items("child", reversed(node.children))
    return shown


def document(found: Utilization) -> dict[str, object]:
    """`osd df` in other formats."""
    total = found.total
    return {
        "nodes": Items("item", [_line_document(found, line) for line in found.lines]),
        "stray": Items("item", [_line_document(found, line) for line in found.strays]),
        "summary": {
            **{f"total_{name}": getattr(total, name) for name in _SPACE},
            "average_utilization": found.average,
            "min_var": found.least,
            "max_var": found.most,
            "dev": found.deviation,
        },
    }
