"""A map in the order of its keys: the omap of one object, in memory.

Keys are bytes; ordered iteration and ranges cost what they give. For `store.memory`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator


class SortedMap:
    """Values by keys; `size` is the sum of the lengths of both, in bytes."""

    __slots__ = ("_order", "_values", "size")

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._order: list[bytes] = []
        self.size = 0

    def __len__(self) -> int:
        return len(self._order)

    def get(self, key: bytes) -> bytes | None:
        """The value, None if there is none."""
        return self._values.get(key)

    def put(self, key: bytes, value: bytes | None) -> bytes | None:
        """Set a value, or take it away (None); what it was before."""
        before = self._values.get(key)
        if before is not None:
            self.size -= len(key) + len(before)
        if value is not None:
            self.size += len(key) + len(value)
            self._values[key] = value
            if before is None:
                insort(self._order, key)
        elif before is not None:
            del self._values[key]
            del self._order[bisect_left(self._order, key)]
        return before

    def keys_between(self, start: bytes = b"", end: bytes | None = None) -> list[bytes]:
        """Keys from `start` on and before `end`, in order."""
        last = len(self._order) if end is None else bisect_left(self._order, end)
        return self._order[bisect_left(self._order, start) : last]

    def walk(self, start: bytes, *, behind: bool) -> Iterator[tuple[bytes, bytes]]:
        """Entries from `start` on, without `start` itself if `behind`.

        The map may change meanwhile: the walk goes on behind the key that it gave last.
        """
        key = start
        find = bisect_right if behind else bisect_left
        while (at := find(self._order, key)) < len(self._order):
            key, find = self._order[at], bisect_right
            yield key, self._values[key]

    def copy(self) -> SortedMap:
        """An independent map with the same entries."""
        made = SortedMap()
        made._values = self._values.copy()
        made._order = self._order.copy()
        made.size = self.size
        return made
