"""Operations of cache tiers, redirects and deduplication, as a pool without them answers.

There are no tiers and no objects kept elsewhere here, so nothing can be flushed, evicted or
promoted; objects cannot be made to refer to others (EOPNOTSUPP). Called by `execute`. Behaviour:
upstream `src/osd/PrimaryLogPG.cc` (do_osd_ops).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from spirula.osd.ops.execute import handles
from spirula.types.object_info import ObjectFlag
from spirula.types.osd_op import OpCode
from spirula.types.osd_op_payload import SetChunkInput, SetRedirectInput

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext
    from spirula.types.osd_op import OSDOp

_DIRTY: Final = int(ObjectFlag.DIRTY)


@handles(OpCode.ISDIRTY)
def is_dirty(ctx: OpContext, op: OSDOp) -> int:
    """Whether the object changed since it was flushed last: of a pool without tiers, ever."""
    ctx.num_read += 1
    op.outdata = bytes((bool(ctx.info.flags & _DIRTY),))
    ctx.delta.num_rd += 1
    return 0


@handles(OpCode.UNDIRTY)
def undirty(ctx: OpContext, op: OSDOp) -> int:
    """Has the object count as flushed."""
    del op
    ctx.num_write += 1
    if ctx.info.flags & _DIRTY:
        ctx.undirty = ctx.modify = True
        ctx.delta.num_wr += 1
    return 0


@handles(OpCode.CACHE_FLUSH, OpCode.CACHE_TRY_FLUSH, OpCode.CACHE_EVICT)
def flush_or_evict(ctx: OpContext, op: OSDOp) -> int:
    """EINVAL: the pool is no cache."""
    del op
    ctx.num_write += 1
    return -errno.EINVAL


@handles(OpCode.CACHE_PIN, OpCode.CACHE_UNPIN)
def pin(ctx: OpContext, op: OSDOp) -> int:
    """EINVAL: the pool is no cache."""
    del ctx, op
    return -errno.EINVAL


@handles(OpCode.SET_REDIRECT)
def set_redirect(ctx: OpContext, op: OSDOp) -> int:
    """EOPNOTSUPP, if the object is there and the input makes sense."""
    ctx.num_write += 1
    if not ctx.exists:
        return -errno.ENOENT
    SetRedirectInput.decode(bytes(op.indata))
    return -errno.EOPNOTSUPP


@handles(OpCode.SET_CHUNK)
def set_chunk(ctx: OpContext, op: OSDOp) -> int:
    """EOPNOTSUPP, if the object has those bytes (else ERANGE) and the input makes sense."""
    ctx.num_write += 1
    if not ctx.exists:
        return -errno.ENOENT
    asked = SetChunkInput.decode(bytes(op.indata))
    if not asked.src_length:
        return -errno.EINVAL
    if asked.src_offset + asked.src_length > ctx.info.size:
        return -errno.ERANGE
    return -errno.EOPNOTSUPP


@handles(OpCode.TIER_PROMOTE, OpCode.TIER_FLUSH)
def promote_or_flush(ctx: OpContext, op: OSDOp) -> int:
    """Nothing to do for an object whose data is all here."""
    del op
    ctx.num_write += 1
    return 0 if ctx.exists else -errno.ENOENT


@handles(OpCode.TIER_EVICT)
def evict(ctx: OpContext, op: OSDOp) -> int:
    """EINVAL for an object that has its data nowhere else."""
    del op
    ctx.num_write += 1
    return -errno.EINVAL if ctx.exists else -errno.ENOENT


@handles(OpCode.UNSET_MANIFEST)
def unset_manifest(ctx: OpContext, op: OSDOp) -> int:
    """EOPNOTSUPP for an object that refers to no other."""
    del op
    ctx.num_write += 1
    return -errno.EOPNOTSUPP if ctx.exists else -errno.ENOENT
