"""How dumps of maps print single values: times, lists of OSDs, weights, identifiers.

Called by the other modules of this folder. Upstream: the operators << of `src/include/types.h`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from spirula.printing import as_f32
from spirula.types.base import UTime

FULL = 0x10000


def time_text(stamp: UTime) -> str:
    """A moment in local time with its zone, a span in seconds."""
    return str(stamp)


def uuid_text(raw: bytes) -> str:
    """A UUID with its dashes."""
    return str(uuid.UUID(bytes=bytes(raw)))


def share(weight: int) -> float:
    """A 16.16 number as the C float that upstream prints."""
    return as_f32(as_f32(weight) / FULL)


def numbers(values: Iterable[int]) -> str:
    """A set of numbers: `1,2`."""
    return ",".join(map(str, values))


def osd_list(osds: Iterable[int]) -> str:
    """A list of OSDs: `[1,2]`; a hole is the number 2147483647, as in 16.2."""
    return f"[{numbers(osds)}]"


def names_of(values: Iterable[str]) -> str:
    """Names, sorted: `rbd,rgw`."""
    return ",".join(sorted(values))
