"""Giving freed space back to what is below: late, and together with what is free beside it.

Soon it is written again, and that is quicker where the file below has its blocks still; many small
pieces would cost more than they are worth, and leave the file in pieces. So they are noted here
when they come back as free space. `store` has them gathered when they are many, or when it has had
nothing to do for long.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from spirula.store.allocator import Allocator, Extent

_MANY = 16_384
"""Pieces: a note takes a hundred bytes of memory."""


class Discards:
    """The pieces of one mounted store that are free, or were, and were not discarded.

    `least`: bytes of free space in a row of which parts are worth it.
    """

    def __init__(self, allocator: Allocator, least: int) -> None:
        self._allocator = allocator
        self._least = least
        self._noted: dict[int, int] = {}
        self.bytes = 0
        """About how much is noted."""

    def note(self, released: Iterable[Extent]) -> None:
        """These have come back as free space."""
        noted = self._noted
        for offset, length in released:
            self.bytes += length - noted.get(offset, 0)
            noted[offset] = length

    def are_many(self, most: int) -> bool:
        """Whether more bytes are noted than `most`, or more pieces than are kept in mind."""
        return self.bytes >= most or len(self._noted) >= _MANY

    def gather(self) -> list[Extent]:
        """Take from the allocator what is to be discarded and released then.

        What has been given out since is forgotten; what has taken neighbours stays noted.
        """
        left: dict[int, int] = {}
        found: list[Extent] = []
        places = [(self._allocator.around(offset), offset) for offset in sorted(self._noted)]
        for extent, members in groupby(places, key=lambda place: place[0]):
            if extent is None:
                continue
            end = sum(extent)
            pieces = [(at, min(self._noted[at], end - at)) for _, at in members]
            if extent[1] < self._least:
                left.update(pieces)
                continue
            first, last = pieces[0][0], sum(pieces[-1])
            self._allocator.remove_free(first, last - first)
            found.append((first, last - first))
        self._noted = left
        self.bytes = sum(left.values())
        return found
