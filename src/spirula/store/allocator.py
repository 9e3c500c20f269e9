"""Which space of a block file is free, and who gets what next.

For the object store on disk, which tells it at mount what is free, asks for space when it writes,
and gives space back once the metadata that no longer names it is durable: nothing here is stored.
Free extents are known by place (to join neighbours) and by size class (to find a fit in a few
steps); the space is exact to the unit, and what is freed twice is found at once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush

from spirula.errors import InvariantBroken, NoSpace

Extent = tuple[int, int]
"""Offset and length in bytes."""

_LOOKED_AT = 16
"""Extents of the wanted size class that are tried before a larger one is cut."""
_DOUBLED_WORTH = 1.1
"""How much more a byte is worth in an extent of twice the size (upstream Allocator.cc)."""


class Allocator:
    """Free space of `size` bytes in units of `unit` bytes (a power of two); at first none is free.

    All offsets and lengths are multiples of the unit.
    """

    def __init__(self, size: int, unit: int) -> None:
        if unit <= 0 or unit & unit - 1:
            raise ValueError(f"{unit} is no power of two")
        self.size = size
        self.unit = unit
        self.free = 0
        """Bytes that are free."""
        self._starts: list[int] = []
        self._lengths: dict[int, int] = {}
        # By class: the starts of its extents as a heap. Extents that are gone are left in it until
        # they come up, or are too many.
        self._heaps: list[list[int]] = [[] for _ in range((size // unit).bit_length() + 1)]
        self._counts = [0] * len(self._heaps)
        # A bit for each class that has extents.
        self._filled = 0

    def __iter__(self) -> Iterator[Extent]:
        """Free extents by offset; no two touch."""
        return ((start, self._lengths[start]) for start in self._starts)

    def __len__(self) -> int:
        """The number of free extents."""
        return len(self._starts)

    def allocate(self, want: int, max_extent: int | None = None) -> list[Extent]:
        """Take `want` bytes in as few extents as it finds, none longer than `max_extent`.

        One extent if a free one is large enough, the lowest among those of about the size; else
        the largest there are. Raises NoSpace, having taken nothing, if less is free.
        """
        self._check(0, want)
        longest = want if max_extent is None else max_extent - max_extent % self.unit
        if longest <= 0 < want:
            raise InvariantBroken(f"extents of {max_extent} bytes are less than a unit")
        if want > self.free:
            raise NoSpace(f"{want} bytes are wanted and {self.free} are free")
        found: list[Extent] = []
        while want:
            start = self._fit(min(want, longest))
            length = min(self._lengths[start], want, longest)
            self._take(start, length)
            if found and sum(found[-1]) == start and found[-1][1] + length <= longest:
                found[-1] = (found[-1][0], found[-1][1] + length)
            else:
                found.append((start, length))
            want -= length
        return found

    def release(self, extents: Iterable[Extent]) -> None:
        """Give space back. InvariantBroken if some of it is free; the extents before it are."""
        for offset, length in extents:
            self._check(offset, length)
            if length:
                self._give(offset, length)

    add_free = release
    """At mount: say what is free."""

    def remove_free(self, offset: int, length: int) -> None:
        """At mount: say what is taken. InvariantBroken if some of it is not free."""
        self._check(offset, length)
        if not length:
            return
        at = bisect_right(self._starts, offset) - 1
        start = self._starts[at] if at >= 0 else 0
        if at < 0 or start + self._lengths[start] < offset + length:
            raise InvariantBroken(f"bytes {offset:#x}~{length:#x} are taken twice")
        end = start + self._lengths[start]
        self._drop(at)
        if start < offset:
            self._put(at, start, offset - start)
            at += 1
        if end > offset + length:
            self._put(at, offset + length, end - offset - length)

    def is_free(self, offset: int, length: int) -> bool:
        """Whether all of these bytes are free."""
        at = bisect_right(self._starts, offset) - 1
        return at >= 0 and offset + length <= self._starts[at] + self._lengths[self._starts[at]]

    def around(self, offset: int) -> Extent | None:
        """The free extent that this byte is in, None if it is taken."""
        at = bisect_right(self._starts, offset) - 1
        if at < 0 or offset >= self._starts[at] + self._lengths[self._starts[at]]:
            return None
        return self._starts[at], self._lengths[self._starts[at]]

    def fragmentation(self) -> float:
        """From 0 (one extent) to 1 (no two free units touch), as upstream get_fragmentation."""
        units = self.free // self.unit
        return (len(self._starts) - 1) / (units - 1) if units > 1 else 0.0

    def fragmentation_score(self) -> float:
        """From 0 to 1, as upstream's `free-score`: how much worth was lost by cutting up.

        A byte is worth 1.1 times as much in an extent of twice the size, linear between powers
        of two; 0 is all in one extent, 1 is every byte on its own.
        """
        if self.free < 2:
            return 0.0
        worth = sum(_worth(length) for length in self._lengths.values())
        best = _worth(self.free)
        return (best - worth) / (best - self.free)

    # --- by size ---

    def _class_of(self, length: int) -> int:
        return (length // self.unit).bit_length() - 1

    def _fit(self, want: int) -> int:
        """Where an extent starts that has `want` bytes, else one of the largest there are."""
        first = self._class_of(want)
        top = self._top(first) if self._filled >> first & 1 else None
        if top is not None and self._lengths[top] < want:
            # It is of the class, and yet shorter: so may be the others.
            top = next((start for start in self._some(first) if self._lengths[start] >= want), None)
        if top is not None:
            return top
        above = self._filled >> first + 1
        number = first + (above & -above).bit_length() if above else self._filled.bit_length() - 1
        top = self._top(number) if number >= 0 else None
        if top is None:
            raise InvariantBroken(f"{self.free} bytes are free and nowhere")
        return top

    def _top(self, number: int) -> int | None:
        """The lowest extent of a class."""
        heap = self._heaps[number]
        while heap and not self._is_of(heap[0], number):
            heappop(heap)
        return heap[0] if heap else None

    def _some(self, number: int) -> list[int]:
        heap = self._heaps[number][:_LOOKED_AT]
        return sorted(start for start in heap if self._is_of(start, number))

    def _is_of(self, start: int, number: int) -> bool:
        return self._class_of(self._lengths.get(start, 0)) == number

    # --- by place ---

    def _check(self, offset: int, length: int) -> None:
        wrong = (offset | length) % self.unit
        if wrong or offset < 0 or length < 0 or offset + length > self.size:
            raise InvariantBroken(
                f"bytes {offset:#x}~{length:#x} are none of {self.size:#x} in units of {self.unit}"
            )

    def _take(self, start: int, length: int) -> None:
        at = bisect_left(self._starts, start)
        left = self._lengths[start] - length
        self._drop(at)
        if left:
            self._put(at, start + length, left)

    def _give(self, offset: int, length: int) -> None:
        at = bisect_left(self._starts, offset)
        end = offset + length
        before = self._starts[at - 1] if at else None
        reach = 0 if before is None else before + self._lengths[before]
        after = self._starts[at] if at < len(self._starts) else None
        if reach > offset or (after is not None and after < end):
            raise InvariantBroken(f"bytes {offset:#x}~{length:#x} are freed twice")
        if after == end:
            end += self._lengths[end]
            self._drop(at)
        if before is not None and reach == offset:
            at -= 1
            offset = before
            self._drop(at)
        self._put(at, offset, end - offset)

    def _put(self, at: int, start: int, length: int) -> None:
        """Enter a free extent, which is number `at`."""
        self._starts.insert(at, start)
        self._lengths[start] = length
        self.free += length
        number = self._class_of(length)
        self._counts[number] += 1
        self._filled |= 1 << number
        heap = self._heaps[number]
        heappush(heap, start)
        if len(heap) > 2 * self._counts[number] + 64:
            heap[:] = {start for start in heap if self._is_of(start, number)}
            heapify(heap)

    def _drop(self, at: int) -> None:
        """Forget the free extent number `at`; its heap does when it comes up."""
        length = self._lengths.pop(self._starts.pop(at))
        self.free -= length
        number = self._class_of(length)
        self._counts[number] -= 1
        if not self._counts[number]:
            self._filled &= ~(1 << number)


def _worth(length: int) -> float:
    scale = length.bit_length() - 1
    whole = 1 << scale
    part = (length - whole) / whole
    low, high = _DOUBLED_WORTH**scale, _DOUBLED_WORTH ** (scale + 1)
    return whole * low * (1 - part) + 2 * whole * high * part
