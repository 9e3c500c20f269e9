"""Giving small pieces back to what is below: together, once their neighbours are free as well.

Large pieces are discarded by the commit that frees them; many small ones would cost more than they
are worth, and leave the file below in pieces. They are noted here when they come back as free
space. `store` has them gathered when they are many, or when it has nothing better to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from spirula.store.allocator import Allocator, Extent


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
        """These have come back as free space; those that are large were discarded before."""
        for offset, length in released:
            if length < self._least:
                self._noted[offset] = length
                self.bytes += length

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
