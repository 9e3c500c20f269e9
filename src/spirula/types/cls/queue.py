"""The object class `queue`: a ring of entries in an object's data, behind a head of fixed size.

Layouts of its methods' arguments and results, and of the head.
Formats: upstream `src/cls/queue/cls_queue_types.h`, `cls_queue_ops.h`.
"""

from __future__ import annotations

from typing import Final

from spirula.denc import Struct, Vec, blob, boolean, default, since, string, struct, u32, u64

HEAD_START: Final = 0xDEAD
"""The u16 before the head's length (u64) at the start of the object."""
ENTRY_START: Final = 0xBEEF
"""The u16 before an entry's length (u64)."""
ENTRY_OVERHEAD: Final = 10
"""Bytes that stand before each entry's data."""
HEAD_SIZE: Final = 1024
"""Bytes kept for the head before the first entry where the user asks for no more."""


@struct(name="cls_queue_marker", version=1, compat=1)
class QueueMarker(Struct):
    """A position in the ring and how often the ring has been filled; written `gen/offset`."""

    gen: u64
    offset: u64

    def __str__(self) -> str:
        return f"{self.gen}/{self.offset}"


@struct(name="cls_queue_entry", version=1, compat=1)
class QueueEntry(Struct):
    """An entry and where it stands."""

    data: blob
    marker: string


@struct(name="cls_queue_head", version=1, compat=1)
class QueueHead(Struct):
    """The state of a queue; sizes in bytes, `queue_size` with the head's own.

    `urgent_data` belongs to whoever uses the queue and is read and written with the head.
    """

    max_head_size: u64 = default(HEAD_SIZE)
    front: QueueMarker = default(QueueMarker(0, HEAD_SIZE))
    tail: QueueMarker = default(QueueMarker(0, HEAD_SIZE))
    queue_size: u64
    max_urgent_data_size: u64
    urgent_data: blob


@struct(name="cls_queue_init_op", version=1, compat=1)
class InitOp(Struct):
    """Make a queue of a size in bytes."""

    queue_size: u64
    max_urgent_data_size: u64
    urgent_data: blob


@struct(name="cls_queue_enqueue_op", version=1, compat=1)
class EnqueueOp(Struct):
    """Append entries, all or none."""

    data: Vec[blob]


@struct(name="cls_queue_list_op", version=1, compat=1, raised=("end_marker", 2, 1))
class ListOp(Struct):
    """Ask for at most `max` entries from a marker on (empty: from the front)."""

    max: u64
    start_marker: string
    end_marker: string = since(2)


@struct(name="cls_queue_list_ret", version=1, compat=1)
class ListRet(Struct):
    """Entries, and the marker to go on from where there are more."""

    is_truncated: boolean
    next_marker: string
    entries: Vec[QueueEntry]


@struct(name="cls_queue_remove_op", version=1, compat=1)
class RemoveOp(Struct):
    """Remove the entries before a marker."""

    end_marker: string


@struct(name="cls_queue_get_capacity_ret", version=1, compat=1)
class GetCapacityRet(Struct):
    """The size of a queue in bytes, without its head."""

    queue_capacity: u64


@struct(name="cls_queue_get_stats_ret", version=1, compat=1)
class GetStatsRet(Struct):
    """How full a queue is, in bytes and entries."""

    queue_size: u64
    queue_entries: u32
