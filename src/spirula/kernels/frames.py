"""Messages in revision 1 of msgr2 with checksums, built and taken apart in one call each.

Every request passes here some six times, and in Python that is a tenth of what a small write costs
an OSD. Whatever is not a whole message in order is left to the messenger's reader, which says what
is wrong with it, and receives large segments into memory from here. Formats: see
`msgr.protocol.frames`. `IMPLEMENTATION` says which twins are in use.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from spirula.kernels.crc32c import crc32c

_native: ModuleType | None
try:
    from spirula.kernels import _frames

    _native = _frames
except ImportError:  # no compiler when it was installed: slower, but everything works
    _native = None

if TYPE_CHECKING:
    from typing_extensions import Buffer

IMPLEMENTATION = "pure" if _native is None else "native"

Split = tuple[int, list[bytes | bytearray | memoryview]] | None

_PREAMBLE = struct.Struct("<BBIHIHIHIHBB")
_EPILOGUE = struct.Struct("<BIII")
_CRC = struct.Struct("<I")
_TAG_MESSAGE = 17
_HEADER_SIZE = 41
_COMPLETE = 0x0E
_SEED = 0xFFFFFFFF
_BEFORE_HEADER = _PREAMBLE.size + _CRC.size
_BEFORE_FRONT = _BEFORE_HEADER + _HEADER_SIZE + _CRC.size
_AROUND = _BEFORE_FRONT + _EPILOGUE.size


def pure_split_message(buffer: Buffer, pos: int, end: int, below: int) -> Split:
    """The twin in Python: 4 us instead of 0.4 for a message of some hundred bytes."""
    view = memoryview(buffer)
    if pos < 0 or end > view.nbytes or end - pos < _BEFORE_HEADER:
        return None
    tag, count, l0, _, l1, _, l2, _, l3, _, flags, _ = _PREAMBLE.unpack_from(view, pos)
    size = l1 + l2 + l3
    if tag != _TAG_MESSAGE or l0 != _HEADER_SIZE or flags or size >= below:
        return None
    if count != (4 if l3 else 3 if l2 else 2 if l1 else 0):
        return None
    covered = pos + _PREAMBLE.size
    if _CRC.pack(crc32c(0, view[pos:covered])) != view[covered : covered + _CRC.size]:
        return None
    segments: list[bytes | bytearray | memoryview] = []
    if end - pos < _AROUND + size:
        return _AROUND + size, segments
    header = bytes(view[pos + _BEFORE_HEADER : pos + _BEFORE_HEADER + _HEADER_SIZE])
    at = pos + _BEFORE_FRONT
    status, *sums = _EPILOGUE.unpack_from(view, at + size)
    sum_at = at - _CRC.size
    if status != _COMPLETE or _CRC.pack(crc32c(_SEED, header)) != view[sum_at:at]:
        return None
    segments.append(header)
    for length, expected in zip((l1, l2, l3)[: count - 1], sums, strict=False):
        segment = bytes(view[at : at + length])
        if crc32c(_SEED, segment) != expected:
            return None
        segments.append(segment)
        at += length
    return _AROUND + size, segments


def pure_join_message(
    header: Buffer, front: Buffer, data: Buffer, below: int
) -> bytes | tuple[bytes, bytes]:
    """The twin in Python: 3 us instead of 0.4 for a message of some hundred bytes."""
    size, data_size = memoryview(front).nbytes, memoryview(data).nbytes
    if memoryview(header).nbytes != _HEADER_SIZE or not size:
        raise ValueError("not a header and a front")
    if data_size:
        about_data = 0, 8, data_size, 4096
        sums = crc32c(_SEED, front), _SEED, crc32c(_SEED, data)
    else:
        about_data = 0, 0, 0, 0
        sums = crc32c(_SEED, front), 0, 0
    count = 4 if data_size else 2
    start = _PREAMBLE.pack(_TAG_MESSAGE, count, _HEADER_SIZE, 8, size, 8, *about_data, 0, 0)
    start_sum, header_sum = _CRC.pack(crc32c(0, start)), _CRC.pack(crc32c(_SEED, header))
    end = _EPILOGUE.pack(_COMPLETE, *sums)
    if data_size < below:
        return b"".join((start, start_sum, header, header_sum, front, data, end))
    return b"".join((start, start_sum, header, header_sum, front)), end


def pure_unwritten(size: int) -> memoryview:
    """The twin in Python: zeroes what it gives, and nobody gets it as `bytes` without a copy."""
    return memoryview(bytearray(size))


def as_bytes(data: Buffer) -> bytes:
    """The same as `bytes`; not a copy where that is all of what `unwritten` gave."""
    if type(data) is memoryview:
        memory = data.obj
        if type(memory) is bytes and data.c_contiguous and data.nbytes == len(memory):
            return memory
    return bytes(data)


split_message: Callable[[Buffer, int, int, int], Split] = (
    pure_split_message if _native is None else _native.split_message
)
"""How long the frame of the message is that begins at `pos` in a buffer, of which `end` bytes are
there, and its segments: an empty list if it is not all here.

None if it is no message, has flags, something is
wrong with it, or it has `below` bytes and more without its header. Absent segments are left out.
"""
join_message: Callable[[Buffer, Buffer, Buffer, int], bytes | tuple[bytes, bytes]] = (
    pure_join_message if _native is None else _native.join_message
)
"""The frame of a message of a header, a front that is not empty, and data.

If the data has `below` bytes and more, it is left out: what comes before it, and behind it.
ValueError if the header has another length, or there is no front.
"""
unwritten: Callable[[int], memoryview] = pure_unwritten if _native is None else _native.unwritten
"""Memory of that size to be filled, whatever is in it; all of it, before anybody else sees it.

Its `obj` are `bytes` where a compiled twin made it. Filling 4 MiB with zeros and copying them to
`bytes` took a client a third of what reading them takes. ValueError for less than 0.
"""
