"""`spirula crush show`: the hierarchy drawn as a tree, in colour on a terminal.

Called by `spirula crush`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from typing import Any, Final

from spirula.cli.crush.files import Hierarchy, read_hierarchy
from spirula.conf.formatter import render
from spirula.crush.lookup import item_class, takes_of
from spirula.crush.tree import Node, label, show_weight, tree_document, walk
from spirula.maps.dump.tree import tree_document as osd_tree_document
from spirula.maps.dump.values import share
from spirula.maps.state import exists, is_destroyed, is_in, is_up, primary_affinity
from spirula.printing import general

HELP: Final[dict[str, Any]] = {
    "help": "draw a hierarchy as a tree",
    "description": "Draw the hierarchy of a CRUSH map, of its text, or of an OSD map, which tells"
    " as well who is up and in.",
}

_STYLES = {
    "root": "1",
    "bucket": "34",
    "weight": "2",
    "class": "36",
    "up": "32",
    "down": "1;31",
    "out": "33",
    "destroyed": "2;31",
    "rule": "35",
}
_LINES = {True: ("├── ", "└── ", "│   ", "    "), False: ("|-- ", "`-- ", "|   ", "    ")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `show` takes."""
    parser.add_argument("file", help="an OSD map, a CRUSH map or its text (- is standard input)")
    parser.add_argument(
        "--color", choices=("auto", "always", "never"), default="auto", help="default: auto"
    )
    parser.add_argument("--shadow", action="store_true", help="the trees of device classes too")
    parser.add_argument("--ascii", action="store_true", help="draw without line characters")
    parser.add_argument("-f", "--format", choices=("plain", "json", "json-pretty"), default="plain")


def run(request: argparse.Namespace) -> int:
    """Prints the tree."""
    found = read_hierarchy(request.file)
    if request.format != "plain":
        if found.osdmap is not None:
            document = osd_tree_document(found.osdmap)
        else:
            document = tree_document(found.crush, shadow=request.shadow)
        print(render(document, request.format).rstrip("\n"))
        return 0
    colored = request.color == "always" or (
        request.color == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    )
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    drawn = _Drawing(found, colored=colored, lines=encoding == "utf8" and not request.ascii)
    for line in drawn.tree(shadow=request.shadow):
        print(line)
    return 0


class _Drawing:
    """Makes the lines: a column for the tree, one for weights, and what is known of each OSD."""

    def __init__(self, found: Hierarchy, *, colored: bool, lines: bool) -> None:
        self.crush, self.osdmap = found
        self.colored = colored
        self.lines = _LINES[lines]
        self.rules: dict[int, list[str]] = {}
        for number, rule in enumerate(self.crush.rules):
            if rule is not None:
                for start in takes_of(self.crush, number):
                    name = self.crush.rule_names.get(number, str(number))
                    self.rules.setdefault(start, []).append(name)

    def paint(self, style: str, text: str) -> str:
        """`text` in a colour, if there are any."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.colored and text else text

    def tree(self, *, shadow: bool) -> Iterator[str]:
        """All lines, those of OSDs that are nowhere in the tree last."""
        rows: list[tuple[str, Node]] = []
        nodes = list(walk(self.crush, shadow=shadow))
        open_levels: list[bool] = []  # for each level whether more of it follows
        last = _lasts(nodes)
        for node, is_last in zip(nodes, last, strict=True):
            del open_levels[max(node.depth - 1, 0) :]
            prefix = "".join(self.lines[2] if more else self.lines[3] for more in open_levels)
            if node.depth:
                prefix += self.lines[1] if is_last else self.lines[0]
                open_levels.append(not is_last)
            rows.append((prefix, node))
        drawn = {node.id for node in nodes}
        stray = [Node(osd) for osd in self._strays() if osd not in drawn]
        width = max((len(prefix + label(self.crush, n.id)) for prefix, n in rows), default=0)
        for prefix, node in rows:
            yield self._line(prefix, node, width)
        if stray:
            yield "in no bucket"
            for at, node in enumerate(stray):
                prefix = self.lines[at + 1 == len(stray)]
                yield self._line(prefix, node, width)

    def _strays(self) -> list[int]:
        if self.osdmap is None:
            return [item for item in sorted(self.crush.item_names) if item >= 0]
        return [osd for osd in range(self.osdmap.max_osd) if exists(self.osdmap, osd)]

    def _line(self, prefix: str, node: Node, width: int) -> str:
        name = label(self.crush, node.id)
        padding = " " * (width - len(prefix) - len(name))
        style = "bucket" if node.depth else "root"
        if node.id >= 0:
            style = self._state(node.id)[0]
        parts = [
            f"{prefix}{self.paint(style, name)}{padding}",
            self.paint("weight", f"{show_weight(node.weight):>9}"),
            self.paint("class", item_class(self.crush, node.id) or ""),
            self._state(node.id)[1] if node.id >= 0 else "",
        ]
        if rules := self.rules.get(node.id):
            parts.append(self.paint("rule", f"rules: {', '.join(rules)}"))
        return "  ".join(part for part in parts if part).rstrip()

    def _state(self, osd: int) -> tuple[str, str]:
        """How an OSD is painted, and what is said of it."""
        osdmap = self.osdmap
        if osdmap is None:
            return "up", ""
        if not exists(osdmap, osd):
            return "destroyed", "does not exist"
        state = "up" if is_up(osdmap, osd) else "down"
        if is_destroyed(osdmap, osd):
            state = "destroyed"
        style = state if is_in(osdmap, osd) or state != "up" else "out"
        words = [self.paint(state, state)]
        reweight, affinity = share(osdmap.osd_weight[osd]), share(primary_affinity(osdmap, osd))
        if not is_in(osdmap, osd):
            words.append(self.paint("out", "out"))
        elif reweight != 1:
            words.append(f"reweight {general(reweight)}")
        if affinity != 1:
            words.append(f"primary-affinity {general(affinity)}")
        return style, " ".join(words)


def _lasts(nodes: list[Node]) -> list[bool]:
    """Whether each node is the last one of its parent."""
    found = [False] * len(nodes)
    followed: set[int] = set()  # depths at which something comes later, below the same parent
    for at in range(len(nodes) - 1, -1, -1):
        depth = nodes[at].depth
        found[at] = depth not in followed
        followed = {level for level in followed if level < depth} | {depth}
    return found
