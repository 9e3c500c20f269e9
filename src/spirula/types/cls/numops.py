"""The object class `numops`: arithmetic on decimal numbers in an object's omap.

Layout of the arguments of `add` and `mul`. Format: upstream `src/cls/numops/cls_numops.cc`.
"""

from __future__ import annotations

from spirula.denc import Struct, string, struct


@struct
class NumberOp(Struct):
    """The omap key of a number and, as text, what to add to it or multiply it with."""

    key: string
    value: string
