"""The object class `sem_set` (since 20): counting semaphores by key in an object's omap.

Layouts of its methods' arguments and results, and of a stored semaphore. RGW's data log uses it.
Formats: upstream `src/cls/sem_set/ops.h`, `sem_set.cc`.
"""

from __future__ import annotations

from typing import Final

from spirula.denc import HashMap, Map, Set, Struct, string, struct, u64
from spirula.types.base import UTime

MAX_KEYS: Final = 1000
"""Most keys that one call may name."""


@struct(name="sem_val", version=1, compat=1)
class SemVal(Struct):
    """A semaphore: its count and when it was last lowered."""

    value: u64
    last_decrement: UTime


@struct(name="increment", version=1, compat=1)
class Increment(Struct):
    """Raise semaphores by one, and make those that are not there."""

    keys: Set[string]


@struct(name="decrement", version=1, compat=1)
class Decrement(Struct):
    """Lower semaphores by one unless they were lowered within `grace` (a span)."""

    keys: Set[string]
    grace: UTime


@struct(version=1, compat=1)
class Reset(Struct):
    """Set semaphores."""

    keys: HashMap[string, u64]


@struct(version=1, compat=1)
class ListOp(Struct):
    """Ask for at most `count` semaphores after `cursor`."""

    count: u64
    cursor: string


@struct(version=1, compat=1)
class ListRet(Struct):
    """Semaphores, and the cursor to go on from (empty at the end)."""

    kvs: Map[string, u64]
    cursor: string
