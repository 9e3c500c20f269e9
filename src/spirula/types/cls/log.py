"""The object class `log`: entries ordered by time in an object's omap.

Layouts of its methods' arguments and results, and of the stored entries and header.
Formats: upstream `src/cls/log/cls_log_types.h`, `cls_log_ops.h`. Since 20 upstream names the types
`cls::log::...` with the same bytes; the corpus of 20.3 also has the short names where they are not
shared with other classes (`list_op` and `list_ret` are).
"""

from __future__ import annotations

from spirula.denc import Struct, Vec, blob, boolean, s32, since, string, struct
from spirula.types.base import UTime


@struct(name=("cls_log_entry", "cls::log::entry", "entry"), version=2, compat=1)
class LogEntry(Struct):
    """An entry; `id` is its omap key, and empty when it is added."""

    section: string
    name: string
    timestamp: UTime
    data: blob
    id: string = since(2)


@struct(name=("cls_log_header", "cls::log::header", "header"), version=1, compat=1)
class LogHeader(Struct):
    """What is remembered of the newest entry, even after it was trimmed."""

    max_marker: string
    max_time: UTime


@struct(name=("cls_log_add_op", "cls::log::ops::add_op", "add_op"), version=2, compat=1)
class AddOp(Struct):
    """Append entries; `monotonic_inc` moves an older timestamp up to the newest one."""

    entries: Vec[LogEntry]
    monotonic_inc: boolean = since(2, default=True)


@struct(name=("cls_log_list_op", "cls::log::ops::list_op"), version=1, compat=1)
class ListOp(Struct):
    """Ask for entries before `to_time`, from `marker` or else from `from_time` on."""

    from_time: UTime
    marker: string
    to_time: UTime
    max_entries: s32


@struct(name=("cls_log_list_ret", "cls::log::ops::list_ret"), version=1, compat=1)
class ListRet(Struct):
    """Entries, and the marker to go on from where there are more."""

    entries: Vec[LogEntry]
    marker: string
    truncated: boolean


@struct(name=("cls_log_trim_op", "cls::log::ops::trim_op", "trim_op"), version=2, compat=1)
class TrimOp(Struct):
    """Remove entries up to and including `to_time`, or `to_marker` where it is given."""

    from_time: UTime
    to_time: UTime
    from_marker: string = since(2)
    to_marker: string = since(2)


@struct(name=("cls_log_info_op", "cls::log::ops::info_op"), version=1, compat=1)
class InfoOp(Struct):
    """Ask for the header."""


@struct(name=("cls_log_info_ret", "cls::log::ops::info_ret"), version=1, compat=1)
class InfoRet(Struct):
    """The header."""

    header: LogHeader
