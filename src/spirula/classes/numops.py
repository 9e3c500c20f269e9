"""The object class `numops`: arithmetic on numbers that stand as text in an object's omap.

Clients: applications. Behaviour: upstream `src/cls/numops/cls_numops.cc`.
"""

from __future__ import annotations

import errno
import math
import re
from typing import Final

from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle
from spirula.errors import CephError
from spirula.types.cls.numops import NumberOp

_DIGITS: Final = 10
"""Significant digits of what is stored."""
_NUMBER: Final = re.compile(
    r"""[ \t\n\v\f\r]*(?P<sign>[+-]?)(?:
        (?P<hex>0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?\d+)?)
        |(?P<decimal>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
        |(?P<infinite>inf(?:inity)?)
        |(?P<nan>nan(?:\(\w*\))?))""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


def number_of(text: str, refusal: int) -> float:
    """The number that a text is (as C's strtod reads it; 0 for no text), else `refusal` (errno)."""
    text = text.partition("\0")[0]
    if not text:
        return 0.0
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise CephError.from_errno(refusal, f"{text!r} is no number")
    if match["hex"]:
        try:
            value = float.fromhex(match["hex"])
        except OverflowError:
            value = float("inf")
    elif match["decimal"]:
        value = float(match["decimal"])
    else:
        value = float("inf" if match["infinite"] else "nan")
    return -value if match["sign"] == "-" else value


def _stored(handle: ObjectHandle, key: str) -> float:
    try:
        stored = handle.map_get_val(key)
    except CephError:
        # What is not there, or cannot be read, counts as nothing; as upstream does.
        return 0.0
    return number_of(stored.decode("utf-8", "surrogateescape"), errno.EBADMSG)


def _store(handle: ObjectHandle, key: str, value: float) -> None:
    text = f"{value:.{_DIGITS}g}"
    if math.isnan(value) and math.copysign(1, value) < 0:
        text = "-nan"  # as C writes it: the processor gives it a sign
    handle.map_set_val(key, text.encode())


@method("add", read=True, write=True)
def add(handle: ObjectHandle, request: NumberOp) -> None:
    """Adds to a number; one that is not there counts as 0."""
    difference = number_of(request.value, errno.EINVAL)
    _store(handle, request.key, _stored(handle, request.key) + difference)


@method("mul", read=True, write=True)
def mul(handle: ObjectHandle, request: NumberOp) -> None:
    """Multiplies a number; one that is not there counts as 0."""
    factor = number_of(request.value, errno.EINVAL)
    _store(handle, request.key, _stored(handle, request.key) * factor)
