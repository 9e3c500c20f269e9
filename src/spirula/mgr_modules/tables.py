"""Tables, numbers and spans of time in print, as upstream's modules have them.

Tables are those of `prettytable` without a border: cells are followed by two blanks, and centred
unless they are said to stand left or right. Numbers: upstream `src/pybind/mgr/mgr_util.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_UNITS = " kMGTPE"
_IEC = ((60, "Ei"), (50, "Pi"), (40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki"))
_SPANS = (
    (120, 1, "s"),
    (120 * 60, 60, "m"),
    (48 * 3600, 3600, "h"),
    (14 * 86400, 86400, "d"),
    (12 * 7 * 86400, 7 * 86400, "w"),
    (2 * 365 * 86400, 30 * 86400, "M"),
)
"""Below how many seconds a span is told in which unit."""
_YEAR = 365 * 86400
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(slots=True)
class Table:
    """Rows below headings; nothing at all where there are no rows.

    `sides` has a letter for each column: `l`, `r` or `c`.
    """

    headings: Sequence[str]
    sides: str = ""
    rows: list[list[str]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """Appends a row."""
        self.rows.append([str(cell) for cell in cells])

    def __str__(self) -> str:
        if not self.rows:
            return ""
        lines = [list(self.headings), *self.rows]
        sides = self.sides or "c" * len(self.headings)
        widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "".join(
                _aligned(cell, width, side) + "  "
                for cell, width, side in zip(line, widths, sides, strict=True)
            )
            for line in lines
        )


def _width(cell: str) -> int:
    """How wide a cell is on a screen: colours are not seen."""
    return len(_COLOURS.sub("", cell))


def _aligned(cell: str, width: int, side: str) -> str:
    spare = width - _width(cell)
    if side == "l":
        left = 0
    elif side == "r":
        left = spare
    else:
        # The odd blank stands left of a text of an even length, right of one of an odd length.
        left = (spare + 1) // 2 if spare % 2 and _width(cell) % 2 == 0 else spare // 2
    return " " * left + cell + " " * (spare - left)


def _short(n: float, width: int, factor: int) -> str:
    unit = 0
    while len(str(int(n) // factor**unit)) > width - 1:
        unit += 1
    if not unit:
        return f"{int(n):{width - 1}d}{_UNITS[0]}"
    digits = f"{n / factor**unit:f}"[: width - 1]
    if digits.endswith("."):
        digits = " " + digits[:-1]
    return digits + _UNITS[unit]


def short_number(n: float, width: int = 5) -> str:
    """A number in that many characters: `12.3k`."""
    return _short(n, width, 1000)


def short_bytes(n: float, width: int = 5) -> str:
    """A number of bytes in that many characters, by powers of 1024: `12.3M`."""
    return _short(n, width, 1024)


def iec(n: int) -> str:
    """A number of bytes, whole: `12 Mi`; a unit is taken from eleven of it on."""
    for bits, unit in _IEC:
        if n > 10 << bits:
            return f"{n >> bits} {unit}"
    return f"{n} "


def span(seconds: float) -> str:
    """A span of time in its largest fitting unit, whole: `3h`."""
    for below, unit, letter in _SPANS:
        if seconds < below:
            return f"{int(seconds) // unit}{letter}"
    return f"{int(seconds) // _YEAR}y"
