"""The object class `lock`: advisory locks on an object, exclusive or shared.

A lock is held by a client and a cookie, may end by itself, and is kept in the attribute
`lock.NAME`. Clients: librados (rados_lock_*), `rados lock`, librbd, RGW, CephFS. Behaviour:
upstream `src/cls/lock/cls_lock.cc`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle, decoded, getxattr_if_set
from spirula.errors import Busy, CephError, Exists, InputOutput, InvalidArgument, NotFound
from spirula.types.base import UTime
from spirula.types.cls.lock import (
    AssertOp,
    BreakOp,
    GetInfoOp,
    GetInfoReply,
    ListLocksReply,
    LockerId,
    LockerInfo,
    LockFlag,
    LockInfo,
    LockOp,
    LockType,
    SetCookieOp,
    UnlockOp,
)
from spirula.types.entity import AddrType, EntityName

PREFIX: Final = "lock."
"""What the attributes that hold locks begin with."""

_TYPES: Final = {LockType.EXCLUSIVE, LockType.SHARED, LockType.EXCLUSIVE_EPHEMERAL}
_LATEST: Final = 0xFFFFFFFF


def _read(handle: ObjectHandle, name: str) -> LockInfo:
    """The lock without holders whose time is over.

    An ephemeral lock that nobody holds any more takes its object with it.
    """
    stored = getxattr_if_set(handle, PREFIX + name)
    if stored is None:
        return LockInfo()
    lock = decoded(handle, LockInfo, stored, PREFIX + name)
    lock.lockers = {
        locker: info
        for locker, info in lock.lockers.items()
        if not info.expiration or info.expiration >= handle.now
    }
    if not lock.lockers and lock.lock_type == LockType.EXCLUSIVE_EPHEMERAL:
        try:
            handle.remove()
        except CephError as error:
            handle.log(0, f"cannot remove the object of an ephemeral lock: {error}")
    return lock


def _write(handle: ObjectHandle, name: str, lock: LockInfo) -> None:
    handle.setxattr(PREFIX + name, lock.encode(handle.get_client_features()))


def _check(name: str, type: int) -> None:
    if type not in _TYPES:
        raise InvalidArgument(f"there is no lock type {type}")
    if not name:
        raise InvalidArgument("a lock has a name")


def _end(now: UTime, duration: UTime) -> UTime:
    if not duration:
        return UTime()
    carry, nsec = divmod(now.nsec + duration.nsec, 1_000_000_000)
    return UTime(min(now.sec + duration.sec + carry, _LATEST), nsec)


@method("lock", read=True, write=True, promote=True)
def lock(handle: ObjectHandle, request: LockOp) -> None:
    """Takes a lock, or renews what the client holds."""
    _check(request.name, request.type)
    may_renew = bool(request.flags & LockFlag.MAY_RENEW)
    must_renew = bool(request.flags & LockFlag.MUST_RENEW)
    if may_renew and must_renew:
        raise InvalidArgument("either may or must a lock be held already")
    try:
        held = _read(handle, request.name)
    except NotFound:
        held = LockInfo()
    origin = handle.get_request_origin()
    who = LockerId(origin.name, request.cookie)
    if held.lockers and held.tag != request.tag:
        raise Busy("held with another tag")
    if who in held.lockers:
        if not may_renew and not must_renew:
            raise Exists("held already")
        del held.lockers[who]
    elif must_renew:
        raise NotFound("not held")
    if held.lockers and (request.type != LockType.SHARED or held.lock_type != request.type):
        raise Busy("held by somebody else")
    held.lock_type = request.type
    held.tag = request.tag
    # A client speaks v1 or v2, depending on the OSD, and old clients are not to meet v2 addresses.
    held.lockers[who] = LockerInfo(
        expiration=_end(handle.now, request.duration),
        addr=replace(origin.addr, type=AddrType.LEGACY),
        description=request.description,
    )
    _write(handle, request.name, held)


def _release(handle: ObjectHandle, name: str, locker: EntityName, cookie: str) -> None:
    held = _read(handle, name)
    if held.lockers.pop(LockerId(locker, cookie), None) is None:
        raise NotFound(f"{locker} does not hold lock {name!r} with this cookie")
    if held.lock_type != LockType.EXCLUSIVE_EPHEMERAL:
        _write(handle, name, held)
        return
    if held.lockers:
        raise InputOutput(f"several hold the exclusive lock {name!r}")
    handle.remove()


@method("unlock", read=True, write=True, promote=True)
def unlock(handle: ObjectHandle, request: UnlockOp) -> None:
    """Releases a lock that the client holds."""
    _release(handle, request.name, handle.get_request_origin().name, request.cookie)


@method("break_lock", read=True, write=True)
def break_lock(handle: ObjectHandle, request: BreakOp) -> None:
    """Releases somebody else's lock."""
    _release(handle, request.name, request.locker, request.cookie)


@method("get_info", read=True)
def get_info(handle: ObjectHandle, request: GetInfoOp) -> GetInfoReply:
    """Who holds a lock, and how; nobody if there is none of this name."""
    held = _read(handle, request.name)
    return GetInfoReply(held.lockers, held.lock_type, held.tag)


@method("list_locks", read=True)
def list_locks(handle: ObjectHandle) -> ListLocksReply:
    """The names of all locks on the object."""
    names = [name for name in handle.getxattrs() if name.startswith(PREFIX)]
    return ListLocksReply([name.removeprefix(PREFIX) for name in names])


def _held_by_caller(
    handle: ObjectHandle, request: AssertOp | SetCookieOp
) -> tuple[LockInfo, LockerId]:
    """The lock and its holder; Busy unless the client holds it just as it says."""
    _check(request.name, request.type)
    held = _read(handle, request.name)
    who = LockerId(handle.get_request_origin().name, request.cookie)
    if held.lock_type != request.type or held.tag != request.tag or who not in held.lockers:
        raise Busy("the client does not hold this lock so")
    return held, who


@method("assert_locked", read=True, promote=True)
def assert_locked(handle: ObjectHandle, request: AssertOp) -> None:
    """Fails unless the client holds the lock."""
    _held_by_caller(handle, request)


@method("set_cookie", read=True, write=True, promote=True)
def set_cookie(handle: ObjectHandle, request: SetCookieOp) -> None:
    """Gives the client's hold on a lock another cookie."""
    held, who = _held_by_caller(handle, request)
    renamed = LockerId(who.locker, request.new_cookie)
    if renamed in held.lockers:
        raise Busy("the client holds it with this cookie, too")
    held.lockers[renamed] = held.lockers.pop(who)
    _write(handle, request.name, held)
