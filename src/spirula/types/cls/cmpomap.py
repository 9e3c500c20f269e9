"""The object class `cmpomap`: changes to an omap that depend on what is there.

Layouts of its methods' arguments. Format: upstream `src/cls/cmpomap/ops.h`.
"""

from __future__ import annotations

from spirula.denc import Map, Opt, Struct, blob, string, struct, u8


@struct(version=1, compat=1)
class CmpValsOp(Struct):
    """Compare values: `mode` is a CmpXattrMode, `comparison` a CmpXattrOp (given op stored).

    `default_value` stands for what is not there.
    """

    mode: u8
    comparison: u8
    values: Map[string, blob]
    default_value: Opt[blob]


@struct(version=1, compat=1)
class CmpSetValsOp(Struct):
    """Set those values for which the comparison holds."""

    mode: u8
    comparison: u8
    values: Map[string, blob]
    default_value: Opt[blob]


@struct(version=1, compat=1)
class CmpRmKeysOp(Struct):
    """Remove those keys for whose values the comparison holds."""

    mode: u8
    comparison: u8
    values: Map[string, blob]
