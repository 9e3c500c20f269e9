"""The object class `timeindex`: values in an object's omap, in the order of a time given to them.

Keys are `1_SECONDS.MICROSECONDS_NAME`. Clients: RGW, for what expires. Behaviour: upstream
`src/cls/timeindex/cls_timeindex.cc`.
"""

from __future__ import annotations

import errno
import re
from typing import Final

from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle
from spirula.classes.log import PREFIX, time_prefix
from spirula.errors import CephError
from spirula.types.base import UTime
from spirula.types.cls.timeindex import AddOp, ListOp, ListRet, TimeindexEntry, TrimOp

MAX_LIST_ENTRIES: Final = 1000
MAX_TRIM_ENTRIES: Final = 1000

# The name ends at a blank, as upstream reads it.
_KEY: Final = re.compile(r"1_([+-]?\d+)\.([+-]?\d+)_\s*(\S{0,255})")


def _prefix_of(key: str, other: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")[: len(other.encode("utf-8", "surrogateescape"))]


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


@method("add", read=True, write=True)
def add(handle: ObjectHandle, request: AddOp) -> None:
    """Adds entries; one with the same time and name is replaced."""
    for entry in request.entries:
        handle.map_set_val(time_prefix(entry.key_ts) + entry.key_ext, entry.value)


@method("list", read=True)
def list_entries(handle: ObjectHandle, request: ListOp) -> ListRet:
    """Entries from a marker or a time on; before another time, if that is not earlier."""
    start = request.marker or time_prefix(request.from_time)
    end = time_prefix(request.to_time) if request.to_time >= request.from_time else ""
    most = request.max_entries if 0 <= request.max_entries <= MAX_LIST_ENTRIES else MAX_LIST_ENTRIES
    found, truncated = handle.map_get_vals(start, PREFIX, most)
    answer = ListRet(truncated=truncated)
    for key, value in found.items():
        if end and _prefix_of(key, end) >= _bytes(end):
            answer.truncated = False
            break
        answer.marker = key
        match = _KEY.match(key)
        if match is None:
            handle.log(0, f"{key!r} is no key of a time index")
            continue
        # Upstream takes the microseconds for nanoseconds here, and clients are used to it.
        time = UTime(int(match[1]) & 0xFFFFFFFF, int(match[2]) & 0xFFFFFFFF)
        answer.entries.append(TimeindexEntry(time, match[3], value))
    return answer


@method("trim", read=True, write=True)
def trim(handle: ObjectHandle, request: TrimOp) -> None:
    """Removes entries up to a marker or a time, a thousand at most; ENODATA if there are none."""
    start = request.from_marker or time_prefix(request.from_time)
    end = request.to_marker or time_prefix(request.to_time)
    found, _ = handle.map_get_vals(start, PREFIX, MAX_TRIM_ENTRIES)
    removed = False
    for key in found:
        if _prefix_of(key, end) > _bytes(end):
            break
        handle.map_remove_key(key)
        removed = True
    if not removed:
        raise CephError.from_errno(errno.ENODATA, "there is nothing to trim")
