"""Numbers of the text language: decimal to 16.16 and back as upstream rounds them, and bounds.

Upstream goes through a C float both ways (`src/crush/CrushCompiler.cc`), which has 24 bits: that
shows in weights beyond 256. Called by `compiler` and `decompiler`.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from functools import lru_cache

_DOUBLE = struct.Struct("<d")
_SINGLE = struct.Struct("<f")
_BITS = struct.Struct("<Q")
_FULL = 0x10000
_LONGEST_INTEGER = 20


def bounded_int(text: str, least: int, most: int) -> int | None:
    """The integer that `text` (sign and digits) is, or None if it is not within the bounds.

    However long the text is, it takes no more time than reading it.
    """
    negative = text.startswith("-")
    digits = text.lstrip("-").lstrip("0") or "0"
    if len(digits) > _LONGEST_INTEGER:
        return None
    number = -int(digits) if negative else int(digits)
    return number if least <= number <= most else None


def _to_single(text: str) -> float:
    """`text` as the nearest C float; a double first would round some texts twice.

    Raises OverflowError beyond the largest.
    """
    double = float(text)
    bits: int = _BITS.unpack(_DOUBLE.pack(double))[0]
    if bits & 0x1FFFFFFF == 0x10000000:
        # Half-way between two floats, as far as a double can tell: the text itself decides.
        exact, seen = Decimal(text), Decimal(double)
        if exact != seen:
            away = (exact > seen) == (double > 0)
            double = _DOUBLE.unpack(_BITS.pack(bits + 1 if away else bits - 1))[0]
    rounded: float = _SINGLE.unpack(_SINGLE.pack(double))[0]
    return rounded


@lru_cache(maxsize=4096)
def weight_of(text: str) -> int | None:
    """The 16.16 weight that a decimal text means, cut off behind 1/65536.

    None for what is below 0 or above 65535 and a bit.
    """
    try:
        weight = int(_to_single(text) * _FULL)
    except OverflowError:
        return None
    return weight if 0 <= weight <= 0xFFFFFFFF else None


def text_of(weight: int, digits: int) -> str:
    """A 16.16 weight with that many digits behind the point.

    As upstream, weights from 32768 show as negative numbers.
    """
    signed = weight - (1 << 32) if weight & 0x80000000 else weight
    single: float = _SINGLE.unpack(_SINGLE.pack(signed))[0]
    return f"{single / _FULL:.{digits}f}"
