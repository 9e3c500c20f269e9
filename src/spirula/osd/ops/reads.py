"""Operations that read an object's data, and `stat`.

As everywhere in a vector, data is read as it was before the request, while sizes are those that the
operations before made: what was written by the same request is not there to read yet. Called by
`execute`. Behaviour: upstream `src/osd/PrimaryLogPG.cc` (do_read, do_sparse_read, do_osd_ops).
"""

from __future__ import annotations

import errno
import struct as _struct
from typing import TYPE_CHECKING, Final

from spirula.errors import InputOutput
from spirula.kernels.crc32c import crc32c
from spirula.osd.ops.execute import EXTENT, extent_of, handles, kilobytes
from spirula.store.objectstore import sparse_read as store_sparse_read
from spirula.types.log import LogLevel
from spirula.types.object_info import ObjectFlag
from spirula.types.osd_op import OpCode
from spirula.types.osd_op_payload import MapExtReply
from spirula.types.pool import PoolType

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext
    from spirula.types.osd_op import OSDOp

_SEED: Final = 0xFFFF_FFFF
_STAT: Final = _struct.Struct("<QII")
_WHITEOUT: Final = int(ObjectFlag.WHITEOUT)
_DATA_DIGEST: Final = int(ObjectFlag.DATA_DIGEST)


@handles(OpCode.READ)
def read(ctx: OpContext, op: OSDOp) -> int:
    """Bytes of the object; all from `offset` on where the length is 0."""
    ctx.num_read += 1
    offset, wanted, truncate_size, truncate_seq = extent_of(op)
    info = ctx.info
    size = info.size
    if (
        truncate_seq > info.truncate_seq
        and offset + wanted > truncate_size
        and size > truncate_size
    ):
        # the client knows of a truncation that has not come here yet
        size = truncate_size
    length = wanted or size
    if offset >= size:
        length = 0
    elif offset + length > size:
        length = size - offset
    if length:
        data = ctx.store.read(ctx.coll, ctx.gh, offset, length, op.flags)
        length = len(data)
        if not offset:
            check_digest(ctx, data)
        op.outdata = data
    if length != wanted:
        op.raw = EXTENT.pack(offset, length, truncate_size, truncate_seq)
    delta = ctx.delta
    delta.num_rd_kb += (length + 1023) >> 10
    delta.num_rd += 1
    return 0


@handles(OpCode.SYNC_READ)
def sync_read(ctx: OpContext, op: OSDOp) -> int:
    """As `read`; not for erasure-coded pools."""
    if ctx.pg.pool.type == PoolType.ERASURE:
        return -errno.EOPNOTSUPP
    return read(ctx, op)


def check_digest(ctx: OpContext, data: bytes) -> None:
    """Raises InputOutput if this is all of the object and not what its checksum says."""
    stored = ctx.obc.info
    if not stored.flags & _DATA_DIGEST or len(data) != stored.size:
        return
    digest = crc32c(_SEED, data)
    if digest != stored.data_digest:
        ctx.pg.services.clog(
            LogLevel.ERROR,
            f"{ctx.pg.pgid} full-object read crc 0x{digest:x} "
            f"!= expected 0x{stored.data_digest:x} on {ctx.soid}",
        )
        raise InputOutput(f"{ctx.soid} does not match its checksum")


@handles(OpCode.SPARSE_READ)
def sparse_read(ctx: OpContext, op: OSDOp) -> int:
    """Which bytes of a range hold data, and these."""
    offset, length, truncate_size, truncate_seq = extent_of(op)
    if truncate_seq:
        return -errno.EINVAL
    ctx.num_read += 1
    ranges, data = store_sparse_read(ctx.store, ctx.coll, ctx.gh, offset, length)
    check_digest(ctx, data)
    out = bytearray(len(ranges).to_bytes(4, "little"))
    for start, span in ranges:
        out += start.to_bytes(8, "little")
        out += span.to_bytes(8, "little")
    out += len(data).to_bytes(4, "little")
    out += data
    op.outdata = out
    op.raw = EXTENT.pack(offset, len(data), truncate_size, truncate_seq)
    ctx.delta.num_rd_kb += kilobytes(len(data))
    ctx.delta.num_rd += 1
    return 0


@handles(OpCode.MAPEXT)
def map_extents(ctx: OpContext, op: OSDOp) -> int:
    """Which bytes of a range hold data."""
    if ctx.pg.pool.type == PoolType.ERASURE:
        return -errno.EOPNOTSUPP
    ctx.num_read += 1
    offset, length, _, _ = extent_of(op)
    ranges = ctx.store.fiemap(ctx.coll, ctx.gh, offset, length)
    op.outdata = MapExtReply(dict(ranges)).encode()
    ctx.delta.num_rd += 1
    return ctx.result


@handles(OpCode.STAT)
def stat(ctx: OpContext, op: OSDOp) -> int:
    """Size and time of change. Counts as a read, but needs no reading of the store."""
    ctx.delta.num_rd += 1
    info = ctx.info
    if not ctx.exists or info.flags & _WHITEOUT:
        return -errno.ENOENT
    op.outdata = _STAT.pack(info.size, info.mtime.sec, info.mtime.nsec)
    return ctx.result
