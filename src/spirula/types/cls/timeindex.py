"""The object class `timeindex`: values ordered by a time and a name in an object's omap.

Layouts of its methods' arguments and results.
Formats: upstream `src/cls/timeindex/cls_timeindex_types.h`, `cls_timeindex_ops.h`.
"""

from __future__ import annotations

from spirula.denc import Struct, Vec, blob, boolean, s32, string, struct
from spirula.types.base import UTime


@struct(name="cls_timeindex_entry", version=1, compat=1)
class TimeindexEntry(Struct):
    """An entry: its key is made of the time and, where it is not empty, `key_ext`."""

    key_ts: UTime
    key_ext: string
    value: blob


@struct(name="cls_timeindex_add_op", version=1, compat=1)
class AddOp(Struct):
    """Add entries."""

    entries: Vec[TimeindexEntry]


@struct(name="cls_timeindex_list_op", version=1, compat=1)
class ListOp(Struct):
    """Ask for entries before `to_time`, from `marker` or else from `from_time` on."""

    from_time: UTime
    marker: string
    to_time: UTime
    max_entries: s32


@struct(name="cls_timeindex_list_ret", version=1, compat=1)
class ListRet(Struct):
    """Entries, and the marker to go on from where there are more."""

    entries: Vec[TimeindexEntry]
    marker: string
    truncated: boolean


@struct(name="cls_timeindex_trim_op", version=1, compat=1)
class TrimOp(Struct):
    """Remove entries up to and including `to_time`, or `to_marker` where it is given."""

    from_time: UTime
    to_time: UTime
    from_marker: string
    to_marker: string
