"""The object class `log`: entries in an object's omap, in the order of their times.

Keys are `1_SECONDS.MICROSECONDS_UNIQUE`; the omap's header remembers the newest. Clients: RGW, for
its logs of metadata and data. Behaviour: upstream `src/cls/log/cls_log.cc`.
"""

from __future__ import annotations

import errno
from typing import Final

from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle, subop_version
from spirula.errors import CephError, WireError
from spirula.types.base import UTime
from spirula.types.cls.log import (
    AddOp,
    InfoOp,
    InfoRet,
    ListOp,
    ListRet,
    LogEntry,
    LogHeader,
    TrimOp,
)

PREFIX: Final = "1_"
MAX_ENTRIES: Final = 1000
"""Entries in one listing, also where a client asks for more or says nothing."""


def time_prefix(time: UTime) -> str:
    """What the keys of entries of this time begin with."""
    return f"{PREFIX}{time.sec:010}.{time.nsec // 1000:06}_"


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _read_header(handle: ObjectHandle) -> LogHeader:
    stored = handle.map_read_header()
    if not stored:
        return LogHeader()
    try:
        return LogHeader.decode(stored)
    except WireError as error:
        handle.log(0, f"cannot decode the log's header, counting anew: {error}")
        return LogHeader()


@method("add", read=True, write=True)
def add(handle: ObjectHandle, request: AddOp) -> None:
    """Adds entries; those without an id get their key as one."""
    header = _read_header(handle)
    for entry in request.entries:
        time = entry.timestamp
        if time > header.max_time:
            header.max_time = time
        elif request.monotonic_inc:
            time = header.max_time
        if not entry.id:
            entry.id = time_prefix(time) + subop_version(handle)
        header.max_marker = max(header.max_marker, entry.id, key=_bytes)
        handle.map_set_val(entry.id, entry.encode())
    handle.map_write_header(header.encode())


@method("list", read=True)
def list_entries(handle: ObjectHandle, request: ListOp) -> ListRet:
    """Entries from a marker or a time on; before another time, where a first one is given."""
    start = request.marker or time_prefix(request.from_time)
    end = ""
    if request.from_time and request.to_time >= request.from_time:
        end = time_prefix(request.to_time)
    most = request.max_entries if 0 < request.max_entries <= MAX_ENTRIES else MAX_ENTRIES
    found, truncated = handle.map_get_vals(start, PREFIX, most)
    answer = ListRet(truncated=truncated)
    for key, stored in found.items():
        answer.marker = key
        if end and _bytes(key)[: len(end)] >= _bytes(end):
            answer.truncated = False
            break
        try:
            answer.entries.append(LogEntry.decode(stored))
        except WireError as error:
            handle.log(0, f"cannot decode the entry {key!r}: {error}")
    return answer


@method("trim", read=True, write=True)
def trim(handle: ObjectHandle, request: TrimOp) -> None:
    """Removes entries up to a marker or a time, both included; ENODATA where there are none."""
    start = request.from_marker or time_prefix(request.from_time)
    if request.to_marker:
        end = request.to_marker + "\0"
    else:
        carry, nsec = divmod(request.to_time.nsec + 1000, 1_000_000_000)
        end = time_prefix(UTime(min(request.to_time.sec + carry, 0xFFFFFFFF), nsec))
    keys, _ = handle.map_get_keys(start, 1)
    if not keys or _bytes(end) < _bytes(keys[0]):
        raise CephError.from_errno(errno.ENODATA, "there is nothing to trim")
    handle.map_remove_range(keys[0], end)


@method("info", read=True)
def info(handle: ObjectHandle, request: InfoOp) -> InfoRet:
    """The header: the newest entry's marker and time."""
    return InfoRet(_read_header(handle))
