"""Operations of objects that stand for others or have their bytes in chunks; of cache tiers, none.

A redirected object is empty: `osd.pg.manifests` passes requests on to its target. A chunked one has
its bytes until `tier-evict`, and gets them back before anything else is done with it. Called by
`execute`. Behaviour: upstream `src/osd/PrimaryLogPG.cc` (do_osd_ops).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from spirula.osd.ops import chunks
from spirula.osd.ops.copy import CopyOp, named_object
from spirula.osd.ops.execute import handles
from spirula.types.object_info import (
    NO_DIGEST,
    ChunkFlag,
    ChunkInfo,
    ManifestType,
    ObjectFlag,
    ObjectManifest,
)
from spirula.types.osd_op import CopyFromFlag, OpCode, OpFlag
from spirula.types.osd_op_payload import SetChunkInput, SetRedirectInput
from spirula.types.pool import PoolType

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext
    from spirula.types.osd_op import OSDOp

_MANIFEST: Final = int(ObjectFlag.MANIFEST)
_HAS_REFERENCE: Final = int(ObjectFlag.REDIRECT_HAS_REFERENCE)
_OMAP: Final = int(ObjectFlag.OMAP)
_PROMOTING: Final = int(
    CopyFromFlag.IGNORE_OVERLAY
    | CopyFromFlag.IGNORE_CACHE
    | CopyFromFlag.MAP_SNAP_CLONE
    | CopyFromFlag.RWORDERED
)
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


class _Referred:
    """The target knows of the reference that was asked for."""

    def execute(self, ctx: OpContext, op: OSDOp) -> int:
        """Nothing more is to be waited for."""
        del ctx, op
        return 0


def _needs_ref(ctx: OpContext) -> bool:
    """Whether a reference is to be taken; not so when the request goes on after that."""
    if ctx.finishers is None:
        ctx.finishers = {}
    if ctx.op_index in ctx.finishers:
        return False
    ctx.finishers[ctx.op_index] = _Referred()
    return True


@handles(OpCode.SET_REDIRECT)
def set_redirect(ctx: OpContext, op: OSDOp) -> int:
    """Makes the object stand for another one; what it had is gone.

    EINVAL for itself, or when it stands for one that knows of it (WITH_REFERENCE).
    """
    ctx.num_write += 1
    if not ctx.exists:
        return -errno.ENOENT
    asked = SetRedirectInput.decode(bytes(op.indata))
    snapid, version, _, _ = op.args
    target = named_object(ctx.pg, asked.target_name, asked.target_oloc, snapid)
    info = ctx.info
    if target == ctx.soid or info.flags & _HAS_REFERENCE:
        return -errno.EINVAL
    refers = op.flags & OpFlag.WITH_REFERENCE
    if refers and _needs_ref(ctx):
        chunks.take_ref(ctx, target)
        return -errno.EINPROGRESS
    chunks.drop_manifest(ctx)
    ctx.delta.num_objects_manifest += 1
    info.flags |= _MANIFEST
    if refers:
        info.flags |= _HAS_REFERENCE
    info.manifest = ObjectManifest(ManifestType.REDIRECT, redirect_target=target)
    coll, gh, transaction = ctx.coll, ctx.gh, ctx.transaction
    transaction.truncate(coll, gh, 0)
    if info.flags & _OMAP:
        transaction.omap_clear(coll, gh)
        info.flags &= ~_OMAP
        ctx.omap_dirty = True
    if info.size:
        ctx.dirty.append((0, info.size))
        ctx.modified.append((0, info.size))
    ctx.delta.num_wr += 1
    ctx.delta.num_bytes -= info.size
    info.size = 0
    info.clear_digests()
    ctx.user_at_version = info.user_version = version
    return 0


@handles(OpCode.SET_CHUNK)
def set_chunk(ctx: OpContext, op: OSDOp) -> int:
    """Notes that some of the object's bytes are in a chunk as well, which learns of that.

    ERANGE if the object does not have those bytes; EOPNOTSUPP without WITH_REFERENCE, or when some
    of them are in a chunk already; EINVAL beside operations that change the object.
    """
    ctx.num_write += 1
    if not ctx.exists:
        return -errno.ENOENT
    info, pg = ctx.info, ctx.pg
    if info.manifest.type == ManifestType.REDIRECT or ctx.needs.may_write:
        return -errno.EINVAL
    asked = SetChunkInput.decode(bytes(op.indata))
    start, length = asked.src_offset, asked.src_length
    if not length:
        return -errno.EINVAL
    if start + length > info.size:
        return -errno.ERANGE
    if not op.flags & OpFlag.WITH_REFERENCE or pg.pool.type == PoolType.ERASURE:
        return -errno.EOPNOTSUPP
    chunked = dict(info.manifest.chunk_map or {})
    if any(start < at + each.length and at < start + length for at, each in chunked.items()):
        return -errno.EOPNOTSUPP
    target = named_object(pg, asked.tgt_name, asked.tgt_oloc, 0)
    if _needs_ref(ctx):
        chunks.take_ref(ctx, target)
        return -errno.EINPROGRESS
    chunked[start] = ChunkInfo(asked.tgt_offset, length, target, int(ChunkFlag.HAS_REFERENCE))
    if not info.flags & _MANIFEST:
        ctx.delta.num_objects_manifest += 1
    info.flags |= _MANIFEST
    info.manifest = ObjectManifest(ManifestType.CHUNKED, chunk_map=dict(sorted(chunked.items())))
    ctx.modify = ctx.cache_operation = True
    return 0


@handles(OpCode.TIER_PROMOTE)
def promote(ctx: OpContext, op: OSDOp) -> int:
    """Copies what the object stands for into it; it stands for nothing else then.

    (Bytes in chunks are back already: see `osd.pg.manifests`.) ENOENT without the target.
    """
    ctx.num_write += 1
    if not ctx.exists:
        return -errno.ENOENT
    manifest = ctx.info.manifest
    if manifest.type != ManifestType.REDIRECT:
        return 0
    finishers = ctx.finishers = ctx.finishers or {}
    copied = finishers.get(ctx.op_index)
    if copied is None:
        advice = int(OpFlag.FADVISE_SEQUENTIAL)
        made = CopyOp(ctx, manifest.redirect_target, 0, _PROMOTING, advice, None)
        finishers[ctx.op_index] = made
        made.fetch()
        return -errno.EINPROGRESS
    chunks.drop_manifest(ctx)
    ctx.cache_operation = True
    return copied.execute(ctx, op)


@handles(OpCode.TIER_FLUSH)
def flush(ctx: OpContext, op: OSDOp) -> int:
    """Nothing to do for what has its data here alone; EBUSY for what stands for another object.

    A chunked object that changed would be cut into chunks of the pool's `dedup_tier`: EINVAL, as
    where the pool does not say how.
    """
    del op
    ctx.num_write += 1
    if not ctx.exists:
        return -errno.ENOENT
    if not ctx.info.flags & ObjectFlag.DIRTY:
        return 0
    kind = ctx.info.manifest.type
    if kind == ManifestType.REDIRECT:
        return -errno.EBUSY
    return -errno.EINVAL if kind == ManifestType.CHUNKED else 0


@handles(OpCode.TIER_EVICT)
def evict(ctx: OpContext, op: OSDOp) -> int:
    """The object's bytes stay in its chunks alone, if all of them are in chunks.

    EINVAL for an object that has no bytes in chunks, and beside operations that change it.
    """
    del op
    ctx.num_write += 1
    if not ctx.exists:
        return -errno.ENOENT
    info = ctx.info
    if info.manifest.type != ManifestType.CHUNKED or ctx.needs.may_write:
        return -errno.EINVAL
    size = info.size
    if sum(chunk.length for chunk in info.manifest.chunk_map.values()) == size:
        info.manifest = chunks.marked(info, missing=True)
        ctx.transaction.zero(ctx.coll, ctx.gh, 0, size)
        ctx.dirty.append((0, size))
        info.flags &= ~int(ObjectFlag.DATA_DIGEST)
        info.data_digest = NO_DIGEST
        ctx.delta.num_wr += 1
        ctx.cache_operation = True
    return 0


@handles(OpCode.UNSET_MANIFEST)
def unset_manifest(ctx: OpContext, op: OSDOp) -> int:
    """The object refers to no other any more; EOPNOTSUPP for one that did not."""
    del op
    ctx.num_write += 1
    if not ctx.exists:
        return -errno.ENOENT
    if not ctx.info.flags & _MANIFEST:
        return -errno.EOPNOTSUPP
    chunks.drop_manifest(ctx)
    ctx.delta.num_wr += 1
    ctx.modify = True
    return 0
