"""Sets of numbers kept as disjoint half-open ranges: snapshot ids, byte ranges of an object.

For the types that carry them (purged snaps, clean regions, what recovery copies) and for the OSD,
which computes with them. Format: upstream `src/include/interval_set.h` (a map from start to
length).
"""

from __future__ import annotations

import struct as _struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import ClassVar, Self

from spirula.denc import Struct
from spirula.errors import LimitExceeded, WireError

_COUNT = _struct.Struct("<I")
_MAX = 1 << 64


class IntervalSet(Struct):
    """Disjoint ranges of 64-bit numbers in ascending order; ranges that touch are one range.

    Mutable; iterating gives `(start, length)` pairs.
    """

    __slots__ = ("_ends", "_starts")
    _denc_min_size: ClassVar[int] = 4

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """The union of `ranges`, each a start and a length."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, length in ranges:
            self.insert(start, length)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for start, end in zip(self._starts, self._ends, strict=True):
            yield start, end - start

    def __len__(self) -> int:
        """The number of ranges."""
        return len(self._starts)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IntervalSet):
            return NotImplemented
        return self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]  # mutable, as lists are

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._ends[at]

    def __repr__(self) -> str:
        return f"IntervalSet({list(self)!r})"

    def __str__(self) -> str:
        """As upstream prints it: `[1~3,a~1]`, in hexadecimal."""
        return "[" + ",".join(f"{start:x}~{length:x}" for start, length in self) + "]"

    @property
    def size(self) -> int:
        """How many numbers are in the set."""
        return sum(self._ends) - sum(self._starts)

    @property
    def range_start(self) -> int:
        """The smallest number. ValueError for an empty set."""
        if not self._starts:
            raise ValueError("an empty set has no smallest number")
        return self._starts[0]

    @property
    def range_end(self) -> int:
        """One past the largest number. ValueError for an empty set."""
        if not self._ends:
            raise ValueError("an empty set has no largest number")
        return self._ends[-1]

    @property
    def sole(self) -> tuple[int, int] | None:
        """Start and length of the range, None if there is not exactly one."""
        if len(self._starts) != 1:
            return None
        start = self._starts[0]
        return start, self._ends[0] - start

    def copy(self) -> IntervalSet:
        """An independent set with the same ranges."""
        made = IntervalSet()
        made._starts, made._ends = self._starts.copy(), self._ends.copy()
        return made

    def clear(self) -> None:
        """Empties the set."""
        self._starts, self._ends = [], []

    def insert(self, start: int, length: int = 1) -> None:
        """Adds `length` numbers from `start` on; some or all may be there already."""
        if length <= 0:
            return
        end = start + length
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def erase(self, start: int, length: int = 1) -> None:
        """Removes `length` numbers from `start` on, as far as they are there."""
        if length <= 0:
            return
        end = start + length
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        if first >= last:
            return
        starts, ends = [], []
        if self._starts[first] < start:
            starts.append(self._starts[first])
            ends.append(start)
        if self._ends[last - 1] > end:
            starts.append(end)
            ends.append(self._ends[last - 1])
        self._starts[first:last] = starts
        self._ends[first:last] = ends

    def covers(self, start: int, length: int = 1) -> bool:
        """True when all of those `length` numbers are in the set."""
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and start + length <= self._ends[at]

    def intersects(self, start: int, length: int = 1) -> bool:
        """True when at least one of those `length` numbers is in the set."""
        at = bisect_right(self._ends, start)
        return at < len(self._starts) and self._starts[at] < start + length and length > 0

    def update(self, other: IntervalSet) -> None:
        """Adds all numbers of `other`."""
        for start, length in other:
            self.insert(start, length)

    def difference_update(self, other: IntervalSet) -> None:
        """Removes all numbers of `other`."""
        for start, length in other:
            self.erase(start, length)

    def intersection(self, other: IntervalSet) -> IntervalSet:
        """The numbers that are in both."""
        made = IntervalSet()
        mine = theirs = 0
        while mine < len(self._starts) and theirs < len(other._starts):
            start = max(self._starts[mine], other._starts[theirs])
            end = min(self._ends[mine], other._ends[theirs])
            if start < end:
                made._starts.append(start)
                made._ends.append(end)
            if self._ends[mine] < other._ends[theirs]:
                mine += 1
            else:
                theirs += 1
        return made

    def __or__(self, other: IntervalSet) -> IntervalSet:
        made = self.copy()
        made.update(other)
        return made

    def __and__(self, other: IntervalSet) -> IntervalSet:
        return self.intersection(other)

    def __sub__(self, other: IntervalSet) -> IntervalSet:
        made = self.copy()
        made.difference_update(other)
        return made

    def __le__(self, other: IntervalSet) -> bool:
        """True when `other` has all numbers of this set."""
        return all(other.covers(start, length) for start, length in self)

    def _enc(self, out: bytearray, features: int) -> None:
        out += _COUNT.pack(len(self._starts))
        if self._starts:
            flat = [number for pair in self for number in pair]
            out += _struct.pack(f"<{len(flat)}Q", *flat)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        (count,) = _COUNT.unpack_from(buf, pos)
        pos += 4
        made = cls()
        if not count:
            return made, pos
        if count > (end - pos) // 16:
            raise LimitExceeded(f"{count} ranges in {end - pos} bytes", offset=pos, limit=end)
        flat = _struct.unpack_from(f"<{2 * count}Q", buf, pos)
        starts = made._starts = list(flat[::2])
        ends = made._ends = [
            start + length for start, length in zip(starts, flat[1::2], strict=True)
        ]
        before = -1
        for start, stop in zip(starts, ends, strict=True):
            if start < before or stop <= start or stop > _MAX:
                raise WireError("ranges overlap, are empty or out of order", offset=pos)
            before = stop
        return made, pos + 16 * count

    def plain(self) -> list[dict[str, int]]:
        """As upstream's JSON shows it."""
        return [{"start": start, "length": length} for start, length in self]
