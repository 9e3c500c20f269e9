"""The object class `2pc_queue`: a queue whose space is reserved first, and filled later.

Layouts of its methods' arguments and results, and of what it keeps in the queue's urgent data.
RGW's persistent notifications use it. Formats: upstream `src/cls/2pc_queue/cls_2pc_queue_types.h`,
`cls_2pc_queue_ops.h`.
"""

from __future__ import annotations

from typing import Final

from spirula.denc import HashMap, Struct, Vec, blob, boolean, since, string, struct, u32, u64
from spirula.types.base import UTime

NO_ID: Final = 0
"""No reservation has this id."""


@struct(name="cls_2pc_reservation", version=1, compat=1, raised=("entries", 2, 1))
class Reservation(Struct):
    """Space in bytes that somebody reserved, and when; later releases also count the entries."""

    size: u64
    timestamp: UTime
    entries: u32 = since(2)


@struct
class Reservations(Struct):
    """What the attribute `cls_queue_urgent_data` holds: reservations that the head has no room for.

    Also by id.
    """

    reservations: HashMap[u32, Reservation]


@struct(name="cls_2pc_urgent_data", version=1, compat=1, raised=("committed_entries", 2, 1))
class UrgentData(Struct):
    """All reservations by id; with `has_xattrs` further ones are in attributes of the object."""

    reserved_size: u64
    last_id: u32
    reservations: HashMap[u32, Reservation]
    has_xattrs: boolean
    committed_entries: u32 = since(2)


@struct(name="cls_2pc_queue_reserve_op", version=1, compat=1)
class ReserveOp(Struct):
    """Reserve space for entries of this size in sum."""

    size: u64
    entries: u32


@struct(name="cls_2pc_queue_reserve_ret", version=1, compat=1)
class ReserveRet(Struct):
    """The reservation's id."""

    id: u32


@struct(name="cls_2pc_queue_commit_op", version=1, compat=1)
class CommitOp(Struct):
    """Enqueue entries into what was reserved for them."""

    id: u32
    data: Vec[blob]


@struct(name="cls_2pc_queue_abort_op", version=1, compat=1)
class AbortOp(Struct):
    """Give a reservation back."""

    id: u32


@struct(name="cls_2pc_queue_expire_op", version=1, compat=1)
class ExpireOp(Struct):
    """Give back all reservations made before a time."""

    stale_time: UTime


@struct(name="cls_2pc_queue_reservations_ret", version=1, compat=1)
class ReservationsRet(Struct):
    """All reservations by id."""

    reservations: HashMap[u32, Reservation]


@struct(name="cls_2pc_queue_remove_op", version=1, compat=1, raised=("entries_to_remove", 2, 1))
class RemoveOp(Struct):
    """Remove the entries before a marker; later releases tell how many these are."""

    end_marker: string
    entries_to_remove: u32 = since(2)
