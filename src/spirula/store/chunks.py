"""An object's data in memory: chunks that never change, so that clones share them.

A chunk is the data of one aligned range of an object, with its holes, to the byte. Changing data
makes a new chunk: a clone costs one reference for each, and an overwrite copies one chunk at most.
For `store.memory`.
"""

from __future__ import annotations

from collections.abc import Iterator

from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.transaction import Buffer

CHUNK_SIZE = 64 << 10
"""Bytes of an object that one chunk has."""


class Chunk:
    """Pieces of data in ascending order, none touching another; offsets count from its start.

    `references` is kept by the owner, which counts the space of a chunk once.
    """

    __slots__ = ("allocated", "pieces", "references", "stored")

    def __init__(self, pieces: tuple[tuple[int, bytes], ...]) -> None:
        self.pieces = pieces
        self.references = 0
        self.stored = sum(len(data) for _, data in pieces)
        """Bytes of data."""
        taken, last = 0, -1
        for start, data in pieces:
            first = max(start // BLOCK_SIZE, last + 1)
            last = (start + len(data) - 1) // BLOCK_SIZE
            taken += last + 1 - first
        self.allocated = taken * BLOCK_SIZE
        """Bytes of the blocks in which there is data."""

    def within(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """The data from `start` on and before `end`, piece by piece."""
        for offset, data in self.pieces:
            if offset >= end:
                return
            stop = offset + len(data)
            if stop <= start:
                continue
            if offset >= start and stop <= end:
                yield offset, data
            else:
                first = max(start, offset)
                yield first, data[first - offset : min(end, stop) - offset]


def punched(chunk: Chunk, start: int, end: int) -> Chunk | None:
    """The chunk with a hole from `start` to `end`; None if nothing is left."""
    left = (*chunk.within(0, start), *chunk.within(end, CHUNK_SIZE))
    return Chunk(left) if left else None


def written(chunk: Chunk | None, start: int, data: Buffer) -> Chunk:
    """The chunk with data from `start` on, joined to what it touches."""
    end = start + len(data)
    if chunk is None or (start == 0 and end == CHUNK_SIZE):
        return Chunk(((start, bytes(data)),))
    before = list(chunk.within(0, start))
    after = list(chunk.within(end, CHUNK_SIZE))
    joined = [data]
    if before and before[-1][0] + len(before[-1][1]) == start:
        start, head = before.pop()
        joined.insert(0, head)
    if after and after[0][0] == end:
        joined.append(after.pop(0)[1])
    return Chunk((*before, (start, b"".join(joined)), *after))


def spans(offset: int, length: int) -> Iterator[tuple[int, int, int]]:
    """The chunks of a range: the number of each, and where in it the range starts and ends."""
    end = offset + length
    while offset < end:
        index, start = divmod(offset, CHUNK_SIZE)
        stop = min(CHUNK_SIZE, start + end - offset)
        yield index, start, stop
        offset += stop - start
