"""Locks of objects: reads wait for writes that are not committed, and the other way round.

Several reads, or several writes, may be under way at once; what reads and writes in one needs the
object for itself. A request that finds somebody waiting waits behind him, so nobody starves. Called
by `pipeline`. Upstream: `src/osd/object_state.h` (RWState).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.osd.ops.context import LockKind, ObjectLock

if TYPE_CHECKING:
    from spirula.messages.osd_op import MOSDOp


def try_lock(lock: ObjectLock, kind: int, request: MOSDOp | None) -> bool:
    """Takes the lock; or False, and `request` (if there is one) waits for it."""
    if not lock.waiters:
        held = lock.kind
        if held == LockKind.NONE:
            lock.kind = kind
            lock.count = 1
            return True
        if held == kind and kind != LockKind.EXCLUSIVE:
            lock.count += 1
            return True
    if request is not None:
        lock.waiters.append(request)
    return False


def unlock(lock: ObjectLock) -> list[MOSDOp]:
    """Gives it back; the requests that waited, if now they can go on, in their order."""
    lock.count -= 1
    if lock.count:
        return []
    lock.kind = LockKind.NONE
    waiters = list(lock.waiters)
    lock.waiters.clear()
    return waiters


def take_waiters(lock: ObjectLock) -> list[MOSDOp]:
    """The requests that wait, which no longer do; the lock is free."""
    lock.kind, lock.count = LockKind.NONE, 0
    waiters = list(lock.waiters)
    lock.waiters.clear()
    return waiters
