"""The object class `2pc_queue`: a queue whose space is reserved first, and filled later.

Reservations stand in the head's urgent data, and what does not fit there in an attribute. Client:
RGW (notifications about buckets). Behaviour: upstream `src/cls/2pc_queue/cls_2pc_queue.cc`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from spirula.classes import queue_ring
from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle, getxattr_if_set
from spirula.denc import Struct
from spirula.errors import InvalidArgument, NoSpace, NotFound, TryAgain, WireError
from spirula.types.cls.queue import (
    ENTRY_OVERHEAD,
    GetCapacityRet,
    InitOp,
    ListOp,
    ListRet,
    QueueHead,
    RemoveOp,
)
from spirula.types.cls.two_phase_queue import (
    AbortOp,
    CommitOp,
    ExpireOp,
    Reservation,
    Reservations,
    ReservationsRet,
    ReserveOp,
    ReserveRet,
    UrgentData,
)

NAME: Final = "2pc_queue"
ATTRIBUTE: Final = "cls_queue_urgent_data"
URGENT_DATA_SIZE: Final = 23552
"""Bytes kept in the head for reservations: a thousand, about."""
_S = TypeVar("_S", bound=Struct)

_U32: Final = 0xFFFFFFFF
_U64: Final = 0xFFFFFFFFFFFFFFFF


@dataclass(slots=True)
class _Queue:
    """The head with its reservations; `spilled` are those in the attribute, once they were read."""

    head: QueueHead
    urgent: UrgentData
    spilled: Reservations | None = None


def _read(handle: ObjectHandle) -> _Queue:
    head = queue_ring.read_head(handle)
    return _Queue(head, _decoded(handle, UrgentData, head.urgent_data))


def _write(handle: ObjectHandle, queue: _Queue) -> None:
    queue.head.urgent_data = queue.urgent.encode()
    queue_ring.write_head(handle, queue.head)


def _decoded(handle: ObjectHandle, kind: type[_S], data: bytes) -> _S:
    try:
        return kind.decode(data)
    except WireError as error:
        handle.log(0, f"cannot decode the reservations of a queue: {error}")
        raise InvalidArgument("the queue's reservations are damaged") from error


def _spilled(handle: ObjectHandle, queue: _Queue) -> Reservations:
    """The reservations in the attribute."""
    if queue.spilled is None:
        queue.spilled = Reservations()
        if queue.urgent.has_xattrs:
            stored = getxattr_if_set(handle, ATTRIBUTE)
            if stored is not None:
                queue.spilled = _decoded(handle, Reservations, stored)
    return queue.spilled


def _write_spilled(handle: ObjectHandle, spilled: Reservations) -> None:
    handle.setxattr(ATTRIBUTE, spilled.encode())


def _take(handle: ObjectHandle, queue: _Queue, ident: int) -> Reservation | None:
    """Removes a reservation, wherever it stands; None if there is none."""
    found = queue.urgent.reservations.pop(ident, None)
    if found is None:
        spilled = _spilled(handle, queue)
        found = spilled.reservations.pop(ident, None)
        if found is not None:
            _write_spilled(handle, spilled)
    if found is not None:
        queue.urgent.reserved_size = queue.urgent.reserved_size - found.size & _U64
    return found


@method("2pc_queue_init", read=True, write=True)
def queue_init(handle: ObjectHandle, request: InitOp) -> None:
    """Makes the queue."""
    queue_ring.init(handle, InitOp(request.queue_size, URGENT_DATA_SIZE, UrgentData().encode()))


@method("2pc_queue_get_capacity", read=True)
def queue_get_capacity(handle: ObjectHandle) -> GetCapacityRet:
    """Its size in bytes."""
    head = queue_ring.read_head(handle)
    return GetCapacityRet(head.queue_size - head.max_head_size)


@method("2pc_queue_reserve", read=True, write=True)
def reserve(handle: ObjectHandle, request: ReserveOp) -> ReserveRet:
    """Reserves space for entries, and what these need besides; NoSpace if there is not enough."""
    if request.size == 0 or request.entries == 0:
        raise InvalidArgument("reserve something")
    queue = _read(handle)
    head, urgent = queue.head, queue.urgent
    if head.tail.offset >= head.front.offset:
        room = head.queue_size - head.tail.offset + head.front.offset - head.max_head_size
    else:
        room = head.front.offset - head.tail.offset
    size = request.size + (request.entries * ENTRY_OVERHEAD & _U32)
    if size + urgent.reserved_size > room:
        raise NoSpace("the queue has no room for that")
    urgent.reserved_size += size
    urgent.last_id = urgent.last_id + 1 & _U32
    made = Reservation(request.size, handle.now)
    _add(handle, queue, made)
    _write(handle, queue)
    return ReserveRet(urgent.last_id)


def _add(handle: ObjectHandle, queue: _Queue, made: Reservation) -> None:
    """Notes a reservation by the last id; TryAgain if that, one round later, is in use still."""
    urgent = queue.urgent
    if urgent.last_id in urgent.reservations:
        raise TryAgain("an old reservation has this id")
    urgent.reservations[urgent.last_id] = made
    if len(urgent.encode()) <= queue.head.max_urgent_data_size:
        return
    del urgent.reservations[urgent.last_id]
    urgent.has_xattrs = True
    spilled = _spilled(handle, queue)
    if urgent.last_id in spilled.reservations:
        raise TryAgain("an old reservation has this id")
    spilled.reservations[urgent.last_id] = made
    _write_spilled(handle, spilled)


@method("2pc_queue_commit", read=True, write=True)
def commit(handle: ObjectHandle, request: CommitOp) -> None:
    """Appends entries into space that was reserved for them."""
    queue = _read(handle)
    reserved = _take(handle, queue, request.id)
    if reserved is None:
        raise NotFound("there is no such reservation")
    if sum(map(len, request.data)) > reserved.size:
        raise InvalidArgument("less was reserved")
    queue_ring.enqueue(handle, queue.head, request.data)
    _write(handle, queue)


@method("2pc_queue_abort", read=True, write=True)
def abort(handle: ObjectHandle, request: AbortOp) -> None:
    """Gives reserved space back, if it is reserved."""
    queue = _read(handle)
    if _take(handle, queue, request.id) is not None:
        _write(handle, queue)


@method("2pc_queue_list_reservations", read=True)
def list_reservations(handle: ObjectHandle) -> ReservationsRet:
    """All reservations."""
    queue = _read(handle)
    everything = _spilled(handle, queue).reservations | queue.urgent.reservations
    return ReservationsRet(everything)


@method("2pc_queue_expire_reservations", read=True, write=True)
def expire_reservations(handle: ObjectHandle, request: ExpireOp) -> None:
    """Gives back all space that was reserved before a time."""
    queue = _read(handle)
    spilled = _spilled(handle, queue)
    given_back = _drop_stale(queue.urgent.reservations, request)
    from_attribute = _drop_stale(spilled.reservations, request)
    if from_attribute:
        _write_spilled(handle, spilled)
    if given_back + from_attribute:
        size = queue.urgent.reserved_size - given_back - from_attribute
        queue.urgent.reserved_size = size & _U64
        _write(handle, queue)


def _drop_stale(reservations: dict[int, Reservation], request: ExpireOp) -> int:
    """Drops what was reserved before the time; the sum of it in bytes."""
    stale = [ident for ident, made in reservations.items() if made.timestamp < request.stale_time]
    return sum(reservations.pop(ident).size for ident in stale)


@method("2pc_queue_list_entries", read=True)
def list_entries(handle: ObjectHandle, request: ListOp) -> ListRet:
    """Entries from a marker on."""
    return queue_ring.list_entries(handle, queue_ring.read_head(handle), request)


@method("2pc_queue_remove_entries", read=True, write=True)
def remove_entries(handle: ObjectHandle, request: RemoveOp) -> None:
    """Removes the entries before a marker."""
    head = queue_ring.read_head(handle)
    queue_ring.remove_entries(handle, head, request.end_marker)
    queue_ring.write_head(handle, head)
