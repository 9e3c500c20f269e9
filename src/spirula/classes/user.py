"""The object class `user`: the buckets of a user of RGW, with their sizes and the sums of these.

Each bucket is an entry of the omap, the sums are in its header. Client: RGW. Behaviour: upstream
`src/cls/user/cls_user.cc`.
"""

from __future__ import annotations

from typing import Final

from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle, decoded
from spirula.errors import InvalidArgument, NotFound, WireError
from spirula.types.base import UTime
from spirula.types.cls.user import (
    CompleteStatsSyncOp,
    GetHeaderOp,
    GetHeaderRet,
    ListBucketsOp,
    ListBucketsRet,
    RemoveBucketOp,
    ResetStats2Op,
    ResetStats2Ret,
    ResetStatsOp,
    SetBucketsOp,
    UserBucketEntry,
    UserHeader,
    UserStats,
)

MAX_ENTRIES: Final = 1000
"""Buckets in one listing, and in one step of computing the sums anew."""
_FINE_TIMES: Final = 7
"""The struct version from which on entries have more than the seconds of their creation."""
_U64: Final = 0xFFFFFFFFFFFFFFFF


def _read_header(handle: ObjectHandle) -> UserHeader:
    stored = handle.map_read_header()
    return decoded(handle, UserHeader, stored, "header of a user") if stored else UserHeader()


def _write_header(handle: ObjectHandle, header: UserHeader) -> None:
    handle.map_write_header(header.encode())


def _read_entry(handle: ObjectHandle, bucket: str) -> UserBucketEntry:
    if not bucket:
        raise InvalidArgument("a bucket has a name")
    stored = handle.map_get_val(bucket)
    entry = decoded(handle, UserBucketEntry, stored, f"bucket {bucket!r}")
    if stored[0] < _FINE_TIMES:
        entry.creation_time = UTime(entry.creation_time_s, 0)
    return entry


def _write_entry(handle: ObjectHandle, entry: UserBucketEntry) -> None:
    entry.creation_time_s = entry.creation_time.sec
    handle.map_set_val(entry.bucket.name, entry.encode())


def _add(stats: UserStats, entry: UserBucketEntry, sign: int = 1) -> None:
    stats.total_entries = (stats.total_entries + sign * entry.count) & _U64
    stats.total_bytes = (stats.total_bytes + sign * entry.size) & _U64
    stats.total_bytes_rounded = (stats.total_bytes_rounded + sign * entry.size_rounded) & _U64


@method("set_buckets_info", read=True, write=True)
def set_buckets_info(handle: ObjectHandle, request: SetBucketsOp) -> None:
    """Adds buckets, or sets the sizes of those that are there."""
    header = _read_header(handle)
    for update in request.entries:
        try:
            entry = _read_entry(handle, update.bucket.name)
        except NotFound:
            if not request.add:
                continue  # it was removed meanwhile
            entry = update
        else:
            if request.add:
                # It may have got another index, or be another one of the same name.
                entry.bucket.bucket_id = update.bucket.bucket_id
                entry.creation_time = update.creation_time
        if entry.user_stats_sync:
            _add(header.stats, entry, -1)
        if not request.add:
            entry.size = update.size
            entry.size_rounded = update.size_rounded
            entry.count = update.count
        entry.user_stats_sync = True
        _write_entry(handle, entry)
        _add(header.stats, entry)
    header.last_stats_update = max(header.last_stats_update, request.time)
    _write_header(handle, header)


@method("complete_stats_sync", read=True, write=True)
def complete_stats_sync(handle: ObjectHandle, request: CompleteStatsSyncOp) -> None:
    """Notes that all buckets' sizes were set."""
    header = _read_header(handle)
    header.last_stats_sync = max(header.last_stats_sync, request.time)
    _write_header(handle, header)


@method("remove_bucket", read=True, write=True)
def remove_bucket(handle: ObjectHandle, request: RemoveBucketOp) -> None:
    """Removes a bucket, if it is there."""
    header = _read_header(handle)
    try:
        entry = _read_entry(handle, request.bucket.name)
    except NotFound:
        return
    handle.map_remove_key(request.bucket.name)
    if entry.user_stats_sync:
        _add(header.stats, entry, -1)
        _write_header(handle, header)


@method("list_buckets", read=True)
def list_buckets(handle: ObjectHandle, request: ListBucketsOp) -> ListBucketsRet:
    """Buckets after a marker, and before another where there is one."""
    most = request.max_entries if 0 <= request.max_entries <= MAX_ENTRIES else MAX_ENTRIES
    found, truncated = handle.map_get_vals(request.marker, "", most)
    answer = ListBucketsRet(truncated=truncated)
    end = request.end_marker.encode("utf-8", "surrogateescape")
    marker = ""
    for name, stored in found.items():
        marker = name
        if end and end <= name.encode("utf-8", "surrogateescape"):
            answer.truncated = False
            break
        try:
            answer.entries.append(UserBucketEntry.decode(stored))
        except WireError as error:
            handle.log(0, f"cannot decode the bucket {name!r}: {error}")
    if answer.truncated:
        answer.marker = marker
    return answer


@method("get_header", read=True)
def get_header(handle: ObjectHandle, request: GetHeaderOp) -> GetHeaderRet:
    """The sums."""
    return GetHeaderRet(_read_header(handle))


@method("reset_user_stats", read=True, write=True)
def reset_user_stats(handle: ObjectHandle, request: ResetStatsOp) -> None:
    """Computes the sums anew from all buckets."""
    header = UserHeader(last_stats_update=request.time)
    marker, truncated = "", True
    while truncated:
        found, truncated = handle.map_get_vals(marker, "", MAX_ENTRIES)
        for name, stored in found.items():
            _add(header.stats, decoded(handle, UserBucketEntry, stored, f"bucket {name!r}"))
            marker = name
    _write_header(handle, header)


@method("reset_user_stats2", read=True, write=True)
def reset_user_stats2(handle: ObjectHandle, request: ResetStats2Op) -> ResetStats2Ret:
    """Likewise, a thousand buckets at a time: the client calls again with what it gets."""
    answer = ResetStats2Ret()
    found, answer.truncated = handle.map_get_vals(request.marker, "", MAX_ENTRIES)
    for name, stored in found.items():
        _add(answer.acc_stats, decoded(handle, UserBucketEntry, stored, f"bucket {name!r}"))
        answer.marker = name
    if not answer.truncated:
        _write_header(handle, UserHeader(answer.acc_stats, last_stats_update=request.time))
    return answer
