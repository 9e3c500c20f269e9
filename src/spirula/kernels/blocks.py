"""Blocks of data, many at once: their checksums, and writing them to places far from each other.

The store on disk does both for each 4 KiB. The compiled twins let the interpreter's lock go once
for all of them, where Python's calls do so for each (and have to wait for it each time if another
thread is busy); `IMPLEMENTATION` says which are in use.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from spirula.kernels.crc32c import crc32c

_native: ModuleType | None
try:
    from spirula.kernels import _blocks

    _native = _blocks
except ImportError:  # no compiler when it was installed: slower, but everything works
    _native = None

if TYPE_CHECKING:
    from typing_extensions import Buffer

IMPLEMENTATION = "pure" if _native is None else "native"

_ALL_ONES = 0xFFFFFFFF


def pure_sum_blocks(data: Buffer, block: int, sums: array[int]) -> None:
    """The twin in Python: 0.3 us for a block of 4 KiB more."""
    view = memoryview(data)
    if block <= 0 or view.nbytes % block or sums.itemsize * len(sums) != view.nbytes // block * 4:
        raise ValueError("not whole blocks with a place of 4 bytes for each sum")
    for number in range(len(sums)):
        sums[number] = crc32c(_ALL_ONES, view[number * block : (number + 1) * block])


def pure_write_pieces(fd: int, offsets: array[int], pieces: list[Buffer]) -> None:
    """The twin in Python, with a call for each piece."""
    if len(offsets) != len(pieces):
        raise ValueError("not an offset of 8 bytes for each piece")
    for offset, piece in zip(offsets, pieces, strict=True):
        rest = memoryview(piece)
        at = offset
        while rest:
            done = os.pwrite(fd, rest, at)
            at, rest = at + done, rest[done:]


def pure_write_with_record(
    fd: int, offsets: array[int], pieces: list[Buffer], other: int, offset: int, record: Buffer
) -> None:
    """The twin in Python, which lets the disk begin with the pieces when it syncs."""
    pure_write_pieces(fd, offsets, pieces)
    done = os.pwritev(other, [record], offset)
    if done < memoryview(record).nbytes:  # as a rule the disk is full: that says so
        pure_write_pieces(other, array("Q", [offset + done]), [memoryview(record)[done:]])
    os.fdatasync(fd)


sum_blocks: Callable[[Buffer, int, array[int]], None] = (
    pure_sum_blocks if _native is None else _native.sum_blocks
)
"""Put the CRC-32C (from all ones) of each block of `block` bytes into `sums`, of 32 bits each.

ValueError unless the data is whole blocks, as many as there are sums.
"""
write_pieces: Callable[[int, array[int], list[Buffer]], None] = (
    pure_write_pieces if _native is None else _native.write_pieces
)
"""Write all of each piece to a file at its offset (of 64 bits). Raises OSError."""
write_with_record: Callable[[int, array[int], list[Buffer], int, int, Buffer], None] = (
    pure_write_with_record if _native is None else _native.write_with_record
)
"""Write pieces to a file, a record to another at an offset meanwhile, and sync the first one.

Its sync begins when the record was written: what that disk has not got for good then is so after
it, whichever file it is of. Raises OSError.
"""
