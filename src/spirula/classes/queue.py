"""The object class `queue`: a queue of bounded size in an object's data.

What the data looks like is `queue_ring`'s business. Clients: RGW. Behaviour: upstream
`src/cls/queue/cls_queue.cc`.
"""

from __future__ import annotations

from spirula.classes import queue_ring
from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle
from spirula.types.cls.queue import (
    EnqueueOp,
    GetCapacityRet,
    InitOp,
    ListOp,
    ListRet,
    RemoveOp,
)


@method("queue_init", read=True, write=True)
def queue_init(handle: ObjectHandle, request: InitOp) -> None:
    """Makes the queue."""
    queue_ring.init(handle, request)


@method("queue_get_capacity", read=True)
def queue_get_capacity(handle: ObjectHandle) -> GetCapacityRet:
    """Its size in bytes."""
    head = queue_ring.read_head(handle)
    return GetCapacityRet(head.queue_size - head.max_head_size)


@method("queue_enqueue", read=True, write=True)
def queue_enqueue(handle: ObjectHandle, request: EnqueueOp) -> None:
    """Appends entries, all or none."""
    head = queue_ring.read_head(handle)
    queue_ring.enqueue(handle, head, request.data)
    queue_ring.write_head(handle, head)


@method("queue_list_entries", read=True)
def queue_list_entries(handle: ObjectHandle, request: ListOp) -> ListRet:
    """Entries from a marker on."""
    return queue_ring.list_entries(handle, queue_ring.read_head(handle), request)


@method("queue_remove_entries", read=True, write=True)
def queue_remove_entries(handle: ObjectHandle, request: RemoveOp) -> None:
    """Removes the entries before a marker."""
    head = queue_ring.read_head(handle)
    queue_ring.remove_entries(handle, head, request.end_marker)
    queue_ring.write_head(handle, head)
