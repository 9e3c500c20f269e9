"""The operation `checksum`: CRC-32C or xxHash over chunks of an object's data.

Called by `execute`. Behaviour: upstream `src/osd/PrimaryLogPG.cc` (do_checksum, finish_checksum)
and `src/common/Checksummer.h`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import xxhash

from spirula.kernels.crc32c import crc32c
from spirula.osd.ops.execute import handles, run_one
from spirula.types.osd_op import ChecksumArgs, ChecksumType, Extent, OpCode, OSDOp

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext

Buffer = bytes | memoryview


def _xxhash32(seed: int, data: Buffer) -> int:
    return xxhash.xxh32_intdigest(data, seed)


def _xxhash64(seed: int, data: Buffer) -> int:
    return xxhash.xxh64_intdigest(data, seed)


_KINDS: Final[dict[int, tuple[int, Callable[[int, Buffer], int]]]] = {
    ChecksumType.XXHASH32: (4, _xxhash32),
    ChecksumType.XXHASH64: (8, _xxhash64),
    ChecksumType.CRC32C: (4, crc32c),
}
"""Bytes of seed and value, and the function that takes both."""


@handles(OpCode.CHECKSUM)
def checksum(ctx: OpContext, op: OSDOp) -> int:
    """One value per chunk of the range; the operation's input is the seed.

    Offset and length 0 stand for the whole object. A range behind its end has no values at all,
    not even their count.
    """
    ctx.num_read += 1
    offset, length, chunk_size, kind = op.args
    if chunk_size and (not length or length % chunk_size):
        return -errno.EINVAL
    size = ctx.info.size
    if not offset and not length:
        length = size
    elif offset >= size:
        return 0
    elif offset + length > size:
        length = size - offset
        op.raw = OSDOp.make(op.op, ChecksumArgs(offset, length, chunk_size, kind)).raw
        if chunk_size and length % chunk_size:
            return -errno.EINVAL
    if kind not in _KINDS:
        return -errno.EINVAL
    width, function = _KINDS[kind]
    if len(op.indata) < width:
        return -errno.EINVAL
    seed = int.from_bytes(op.indata[:width], "little")
    op.raw = OSDOp.make(op.op, ChecksumArgs(offset, length, chunk_size, kind)).raw
    data: Buffer = b""
    if length:
        nested = OSDOp.make(OpCode.READ, Extent(offset, length), flags=op.flags)
        result = run_one(ctx, nested)
        if result < 0:
            return result
        data = bytes(nested.outdata)
        if len(data) != length:
            return -errno.EINVAL
    step = chunk_size or len(data)
    view = memoryview(data)
    values = [function(seed, view[at : at + step]) for at in range(0, len(data), step or 1)]
    out = bytearray(len(values).to_bytes(4, "little"))
    for value in values:
        out += value.to_bytes(width, "little")
    op.outdata = out
    return 0
