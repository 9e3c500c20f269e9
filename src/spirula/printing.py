"""What printed output is made of: documents for formatters, tables, numbers as C++ prints them.

A document is plain data: dicts, lists, str, int, float, bool; `Items`, `Fields` and `Unquoted` say
more where a format needs it. Called by whatever dumps a value (maps, crush, monitors); turning a
document into JSON or XML is in `conf.formatter`. Shapes: upstream `src/common/Formatter.cc`,
`src/common/TextTable.cc`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

_F32: Final = struct.Struct("<f")


class Items(list[object]):
    """A list whose elements are called `item_name` where the format has names for them."""

    __slots__ = ("item_name",)

    def __init__(self, item_name: str, values: Iterable[object] = ()) -> None:
        super().__init__(values)
        self.item_name = item_name


class Fields(list[object]):
    """A list whose elements have names of their own: JSON shows the values, XML the names too."""

    __slots__ = ("names",)

    def __init__(self, fields: Iterable[tuple[str, object]] = ()) -> None:
        pairs = list(fields)
        super().__init__(value for _, value in pairs)
        self.names = [name for name, _ in pairs]


class Unquoted(str):
    """A number in print, such as `0.000240531`: JSON gets it without quotes."""

    __slots__ = ()


def as_f32(value: float) -> float:
    """`value` with the precision of a C float; upstream keeps ratios and shares as such."""
    narrow: float = _F32.unpack(_F32.pack(value))[0]
    return narrow


def general(value: float, digits: int = 6) -> str:
    """A float as a C++ stream prints it unless told otherwise: six significant digits."""
    return f"{value:.{digits}g}"


def size_text(size: int) -> str:
    """Bytes in at most seven characters: `871 MiB`, `1.4 KiB` (upstream byte_u_t)."""
    return _scaled(size, 1024, (" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"))


def count_text(count: int) -> str:
    """A number likewise, in thousands: `1.23k` (upstream si_u_t)."""
    return _scaled(count, 1000, ("", "k", "M", "G", "T", "P", "E"))


_WIDTH: Final = 7


def _scaled(value: int, base: int, units: Sequence[str]) -> str:
    index, whole = 0, value
    while whole >= base and index < len(units) - 1:
        whole //= base
        index += 1
    scale, unit = base**index, units[index]
    if index == 0 or value % scale == 0:
        return f"{whole}{unit}"
    for digits in (2, 1):
        text = f"{value / scale:.{digits}f}{unit}"
        if len(text) <= _WIDTH:
            return text
    return f"{value / scale:.0f}{unit}"


@dataclass(slots=True)
class TextTable:
    """Columns of text, as upstream's plain listings have them.

    A column is a heading and `<` or `>`: how its cells are aligned; headings are aligned to the
    left unless `headings` says otherwise. Cells that a row lacks are blank.
    """

    columns: Sequence[tuple[str, Literal["<", ">"]]]
    headings: str = ""
    separator: str = "  "
    rows: list[Sequence[str]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """Append a row."""
        blank = [""] * (len(self.columns) - len(cells))
        self.rows.append([*map(str, cells), *blank])

    def __str__(self) -> str:
        widths = [len(heading) for heading, _ in self.columns]
        for row in self.rows:
            for at, cell in enumerate(row):
                widths[at] = max(widths[at], len(cell))
        sides = self.headings or "<" * len(widths)
        lines = [
            self.separator.join(
                f"{heading:{side}{width}}"
                for (heading, _), side, width in zip(self.columns, sides, widths, strict=True)
            )
        ]
        sides = "".join(side for _, side in self.columns)
        lines += [
            self.separator.join(
                f"{cell:{side}{width}}"
                for cell, side, width in zip(row, sides, widths, strict=True)
            )
            for row in self.rows
        ]
        return "\n".join(lines) + "\n"
