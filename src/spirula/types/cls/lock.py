"""The object class `lock`: advisory locks on objects, held by clients and named by cookies.

Layouts of its methods' arguments and results, and of the attribute `lock.NAME` that holds a lock.
Formats: upstream `src/cls/lock/cls_lock_types.h`, `cls_lock_ops.h`.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from spirula.denc import Map, Struct, Vec, string, struct, u8
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityName


class LockType(IntEnum):
    """How many may hold a lock; an ephemeral one takes the object with it when it is released."""

    NONE = 0
    EXCLUSIVE = 1
    SHARED = 2
    EXCLUSIVE_EPHEMERAL = 3


class LockFlag(IntFlag):
    """`flags` of LockOp: renew only what is held, or take what is held again as well."""

    MAY_RENEW = 1
    MUST_RENEW = 2


@struct(name=("rados::cls::lock::locker_id_t", "locker_id_t"), version=1, compat=1, frozen=True)
class LockerId(Struct):
    """Who holds a lock: the client and the cookie it chose."""

    locker: EntityName
    cookie: string


@struct(name=("rados::cls::lock::locker_info_t", "locker_info_t"), version=1, compat=1)
class LockerInfo(Struct):
    """How somebody holds a lock; a zero `expiration` is never."""

    expiration: UTime
    addr: EntityAddr
    description: string


@struct(name=("rados::cls::lock::lock_info_t", "lock_info_t"), version=1, compat=1)
class LockInfo(Struct):
    """A lock as the object keeps it. Only operations with the same `tag` succeed."""

    lockers: Map[LockerId, LockerInfo]
    lock_type: u8
    tag: string


@struct(name="cls_lock_lock_op", version=1, compat=1)
class LockOp(Struct):
    """Take or renew a lock for `duration` (zero: until it is released or broken)."""

    name: string
    type: u8
    cookie: string
    tag: string
    description: string
    duration: UTime
    flags: u8


@struct(name="cls_lock_unlock_op", version=1, compat=1)
class UnlockOp(Struct):
    """Release one's own lock."""

    name: string
    cookie: string


@struct(name="cls_lock_break_op", version=1, compat=1)
class BreakOp(Struct):
    """Release somebody else's lock."""

    name: string
    locker: EntityName
    cookie: string


@struct(name="cls_lock_get_info_op", version=1, compat=1)
class GetInfoOp(Struct):
    """Ask who holds a lock."""

    name: string


@struct(name="cls_lock_get_info_reply", version=1, compat=1)
class GetInfoReply(Struct):
    """Who holds a lock, and how."""

    lockers: Map[LockerId, LockerInfo]
    lock_type: u8
    tag: string


@struct(name="cls_lock_list_locks_reply", version=1, compat=1)
class ListLocksReply(Struct):
    """The names of the locks on an object."""

    locks: Vec[string]


@struct(name="cls_lock_assert_op", version=1, compat=1)
class AssertOp(Struct):
    """Fail (EBUSY) unless the caller holds the lock just so."""

    name: string
    type: u8
    cookie: string
    tag: string


@struct(name="cls_lock_set_cookie_op", version=1, compat=1)
class SetCookieOp(Struct):
    """Give a lock that one holds another cookie."""

    name: string
    type: u8
    cookie: string
    tag: string
    new_cookie: string
