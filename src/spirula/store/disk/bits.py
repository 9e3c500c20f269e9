"""A set of small numbers as bits: which blocks are used, which ids were seen. For `fsck`."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SAME = re.compile(rb"\x00+|\xff+|[^\x00\xff]+", re.DOTALL)


class Bits:
    """Numbers from 0 on; grows as needed, an eighth of a byte each."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return at < len(self._bytes) and bool(self._bytes[at] >> (number & 7) & 1)

    def add(self, first: int, count: int = 1) -> int:
        """Add `count` numbers from `first` on; how many of them were there already."""
        start, end = first >> 3, (first + count + 7) >> 3
        held = self._bytes
        if end > len(held):
            held.extend(bytes(max(end, 2 * len(held)) - len(held)))
        mask = ((1 << count) - 1) << (first & 7)
        before = int.from_bytes(held[start:end], "little")
        held[start:end] = (before | mask).to_bytes(end - start, "little")
        return (before & mask).bit_count()

    def missing(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Runs of numbers from `start` on and before `end` that are not in it: first and count."""
        run = start
        for first, last in self._runs():
            if last <= run:
                continue
            if first >= end:
                break
            if first > run:
                yield run, first - run
            run = last
        if run < end:
            yield run, end - run

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Runs of numbers that are in it: the first, and the one behind the last."""
        begin = -1
        for same in _SAME.finditer(self._bytes):
            low = same.start() << 3
            value = same[0][0]
            if value == 0 and begin >= 0:
                yield begin, low
                begin = -1
            elif value == 0xFF and begin < 0:
                begin = low
            elif value not in {0, 0xFF}:
                for at, byte in enumerate(same[0]):
                    for bit in range(8):
                        number = low + 8 * at + bit
                        if byte >> bit & 1:
                            begin = number if begin < 0 else begin
                        elif begin >= 0:
                            yield begin, number
                            begin = -1
        if begin >= 0:
            yield begin, len(self._bytes) << 3
