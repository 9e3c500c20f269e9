"""Operations that change an object's data, make it or remove it.

They put their changes into the context's transaction and keep size, checksum and statistics in the
context's info. Called by `execute`, and by families whose operations write. Behaviour: upstream
`src/osd/PrimaryLogPG.cc` (do_osd_ops, maybe_create_new_object, _delete_oid, do_writesame).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from spirula.errors import CephError
from spirula.kernels.crc32c import crc32c
from spirula.osd.ops.chunks import drop_manifest
from spirula.osd.ops.execute import EXTENT, extent_of, handles, run_one
from spirula.types.hobject import NOSNAP
from spirula.types.object_info import NO_DIGEST, ObjectFlag
from spirula.types.osd_op import Extent, OpCode, OpFlag, OSDOp
from spirula.types.pool import CacheMode, PGPool, PoolFlag, PoolType

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext
    from spirula.types.object_info import ObjectInfo

_SEED: Final = 0xFFFF_FFFF
_WHITEOUT: Final = int(ObjectFlag.WHITEOUT)
_DATA_DIGEST: Final = int(ObjectFlag.DATA_DIGEST)
_PINNED: Final = int(ObjectFlag.CACHE_PIN)
_EXCL: Final = int(OpFlag.EXCL)
_DONTNEED: Final = int(OpFlag.FADVISE_DONTNEED)
_WRITE_DONTNEED: Final = int(PoolFlag.WRITE_FADVISE_DONTNEED)
_ERASURE: Final = int(PoolType.ERASURE)


# --- what several operations do ---


def create_if_missing(ctx: OpContext) -> None:
    """Has the object exist from here on, also where it was deleted but has clones."""
    info = ctx.info
    if not ctx.exists:
        ctx.delta.num_objects += 1
        ctx.exists = ctx.created = True
        info.clear_digests()
        ctx.transaction.create(ctx.coll, ctx.gh)
    elif info.flags & _WHITEOUT:
        info.flags &= ~_WHITEOUT
        ctx.delta.num_whiteouts -= 1
        # (upstream forgets this where nothing is written: replaced by no data, it stays deleted)
        ctx.touched = True


def set_size(ctx: OpContext, size: int) -> None:
    """The object has another size, without a write that says so."""
    info = ctx.info
    ctx.delta.num_bytes += size - info.size
    info.size = size


def clear_data_digest(info: ObjectInfo) -> None:
    """The data's checksum is not known any more."""
    info.flags &= ~_DATA_DIGEST
    info.data_digest = NO_DIGEST


def exceeds(ctx: OpContext, offset: int, length: int) -> bool:
    """Whether a range goes beyond the largest object (osd_max_object_size); answered EFBIG."""
    most = ctx.pg.settings.max_object_size
    return offset >= most or length > most or offset + length > most


def only_appends(pool: PGPool) -> bool:
    """Whether the pool's objects can only grow, by whole stripes (erasure code of old)."""
    return pool.type == _ERASURE and not pool.flags & PoolFlag.EC_OVERWRITES


def delete_object(ctx: OpContext, *, no_whiteout: bool, try_no_whiteout: bool) -> int:
    """Removes the object; one that has clones, or will have, stays as a whiteout.

    ENOENT if there is none. `no_whiteout`: the caller knows that there are no clones.
    """
    info, snapset, snapc = ctx.info, ctx.snapset, ctx.snapc
    whiteout = bool(
        ctx.pg.pool.cache_mode != CacheMode.NONE and not no_whiteout and not try_no_whiteout
    )
    if not no_whiteout and (
        (snapset is not None and snapset.clones)
        or (snapc is not None and snapc.snaps and snapc.snaps[0] > (snapset.seq if snapset else 0))
    ):
        whiteout = True
    if not ctx.exists or (info.flags & _WHITEOUT and whiteout):
        return -errno.ENOENT
    drop_changes(ctx)
    if info.size > 0:
        ctx.modified.append((0, info.size))
        ctx.dirty.append((0, info.size))
    ctx.omap_dirty = True
    delta = ctx.delta
    delta.num_wr += 1
    is_clone = ctx.soid.snap < NOSNAP
    if is_clone and snapset is not None:
        delta.num_bytes -= snapset.clone_bytes(ctx.soid.snap)
    else:
        delta.num_bytes -= info.size
    info.size = 0
    info.clear_digests()
    if info.watchers:
        gone = [(cookie, entity, True) for cookie, entity in sorted(info.watchers)]
        ctx.watch_disconnects = [*(ctx.watch_disconnects or ()), *gone]
        info.watchers.clear()
    drop_manifest(ctx)
    if whiteout:
        info.flags |= _WHITEOUT
        delta.num_whiteouts += 1
        ctx.transaction.create(ctx.coll, ctx.gh)
        return 0
    delta.num_objects -= 1
    if is_clone:
        delta.num_object_clones -= 1
    if info.flags & _WHITEOUT:
        delta.num_whiteouts -= 1
        info.flags &= ~_WHITEOUT
    if info.flags & _PINNED:
        delta.num_objects_pinned -= 1
    ctx.exists = False
    return 0


def drop_changes(ctx: OpContext) -> None:
    """Whatever the request did to the object so far is void; what was stored is removed."""
    transaction, gh = ctx.transaction, ctx.gh
    transaction.ops = [op for op in transaction.ops if gh not in (op.oid, op.dest_oid)]
    ctx.touched = ctx.created = False
    if ctx.obc.exists:
        transaction.remove(ctx.coll, gh)


# --- the operations ---


@handles(OpCode.WRITE)
def write(ctx: OpContext, op: OSDOp) -> int:
    """Puts the input at an offset.

    A truncation that the client knows of and we do not (by its `truncate_seq`) happens first; one
    that we know of and the client did not cuts what it wrote behind it.
    """
    ctx.num_write += 1
    offset, length, truncate_size, truncate_seq = extent_of(op)
    data = op.indata
    if length != len(data):
        return -errno.EINVAL
    pool, info = ctx.pg.pool, ctx.info
    if pool.flags & _WRITE_DONTNEED:
        op.flags |= _DONTNEED
    if pool.type == _ERASURE and only_appends(pool):
        at_end = offset == info.size if ctx.exists else not offset
        if offset % (pool.stripe_width or 1) or not at_end:
            return -errno.EOPNOTSUPP
    seq = info.truncate_seq
    if truncate_seq != seq:
        if seq > truncate_seq and offset + length > info.size:
            length = max(info.size - offset, 0)
            data = data[:length]
            op.raw = EXTENT.pack(offset, length, truncate_size, truncate_seq)
        elif truncate_seq > seq:
            _truncate_first(ctx, truncate_seq, truncate_size)
    if exceeds(ctx, offset, length):
        return -errno.EFBIG
    if not ctx.exists or info.flags & _WHITEOUT:
        create_if_missing(ctx)
    if length:
        ctx.transaction.write(ctx.coll, ctx.gh, offset, data, op.flags)
        if not offset and length >= info.size and not ctx.pg.settings.skip_data_digest:
            info.data_digest = crc32c(_SEED, data)
            info.flags |= _DATA_DIGEST
        elif info.flags & _DATA_DIGEST:
            if offset == info.size and not ctx.pg.settings.skip_data_digest:
                info.data_digest = crc32c(info.data_digest, data)
            else:
                clear_data_digest(info)
        span = (offset, length)
        ctx.modified.append(span)
        ctx.dirty.append(span)
        if offset + length > info.size:
            ctx.delta.num_bytes += offset + length - info.size
            info.size = offset + length
    else:
        _write_nothing(ctx, offset)
    delta = ctx.delta
    delta.num_wr += 1
    delta.num_wr_kb += (length + 1023) >> 10
    return 0


def _truncate_first(ctx: OpContext, truncate_seq: int, truncate_size: int) -> None:
    """The write came before the truncation that its client has seen."""
    info = ctx.info
    exists = ctx.exists and not info.flags & _WHITEOUT
    if exists and truncate_size > ctx.pg.settings.max_object_size:
        # (upstream's store ends the process)
        raise CephError("truncation to more than the largest object", errno=errno.EFBIG)
    info.truncate_seq, info.truncate_size = truncate_seq, truncate_size
    if not exists:
        return
    ctx.transaction.truncate(ctx.coll, ctx.gh, truncate_size)
    if info.size > truncate_size:
        span = (truncate_size, info.size - truncate_size)
        ctx.modified.append(span)
        ctx.dirty.append(span)
    if info.size != truncate_size:
        set_size(ctx, truncate_size)
        clear_data_digest(info)


def _write_nothing(ctx: OpContext, offset: int) -> None:
    """A write of no bytes: behind the end it makes the object larger."""
    info = ctx.info
    if offset > info.size:
        ctx.transaction.truncate(ctx.coll, ctx.gh, offset)
        set_size(ctx, offset)
        # upstream keeps the checksum of the shorter object here, which full reads then miss
        clear_data_digest(info)
        return
    ctx.touched = True
    if not offset and not info.size:
        info.set_data_digest(_SEED)
    elif offset != info.size:
        clear_data_digest(info)


@handles(OpCode.WRITEFULL)
def write_full(ctx: OpContext, op: OSDOp) -> int:
    """Replaces the data."""
    ctx.num_write += 1
    _, length, _, _ = extent_of(op)
    data = op.indata
    if length != len(data):
        return -errno.EINVAL
    if exceeds(ctx, 0, length):
        return -errno.EFBIG
    pool, info, transaction = ctx.pg.pool, ctx.info, ctx.transaction
    if pool.flags & _WRITE_DONTNEED:
        op.flags |= _DONTNEED
    create_if_missing(ctx)
    size = info.size
    if pool.type == _ERASURE:
        transaction.truncate(ctx.coll, ctx.gh, 0)
    elif length < size:
        transaction.truncate(ctx.coll, ctx.gh, length)
    if length:
        transaction.write(ctx.coll, ctx.gh, 0, data, op.flags)
    if ctx.pg.settings.skip_data_digest:
        clear_data_digest(info)
    else:
        info.data_digest = crc32c(_SEED, data)
        info.flags |= _DATA_DIGEST
    ctx.dirty.append((0, max(length, size)))
    if size:
        ctx.modified.append((0, size))
    info.size = length
    delta = ctx.delta
    delta.num_bytes += length - size
    delta.num_wr += 1
    delta.num_wr_kb += (length + 1023) >> 10
    return 0


@handles(OpCode.WRITESAME)
def write_same(ctx: OpContext, op: OSDOp) -> int:
    """Fills a range with repetitions of the input, which must fit it."""
    ctx.num_write += 1
    offset, length, data_length = op.args
    if not length:
        return 0
    if not data_length or length % data_length or data_length != len(op.indata):
        return -errno.EINVAL
    if exceeds(ctx, offset, length):
        return -errno.EFBIG
    data = bytes(op.indata) * (length // data_length)
    return run_one(ctx, OSDOp.make(OpCode.WRITE, Extent(offset, length), data))


@handles(OpCode.APPEND)
def append(ctx: OpContext, op: OSDOp) -> int:
    """Writes the input behind the end."""
    _, length, _, _ = extent_of(op)
    info = ctx.info
    extent = Extent(info.size, length, 0, info.truncate_seq)
    return run_one(ctx, OSDOp.make(OpCode.WRITE, extent, op.indata))


@handles(OpCode.ZERO)
def zero(ctx: OpContext, op: OSDOp) -> int:
    """Has a range read as zeros; where it reaches the end, the object is cut there instead."""
    offset, length, truncate_size, truncate_seq = extent_of(op)
    info = ctx.info
    most = ctx.pg.settings.max_object_size
    if ctx.exists and offset < most and 1 <= length <= most and offset + length >= info.size:
        if offset >= info.size:
            return ctx.result
        op.op = OpCode.TRUNCATE
        op.raw = EXTENT.pack(offset, length, truncate_size, truncate_seq)
        return truncate(ctx, op)
    if only_appends(ctx.pg.pool):
        return -errno.EOPNOTSUPP
    ctx.num_write += 1
    if exceeds(ctx, offset, length):
        return -errno.EFBIG
    # (upstream ends its process where the length is 0)
    if length and ctx.exists and not info.flags & _WHITEOUT:
        ctx.transaction.zero(ctx.coll, ctx.gh, offset, length)
        ctx.modified.append((offset, length))
        ctx.dirty.append((offset, length))
        ctx.delta.num_wr += 1
        clear_data_digest(info)
    return 0


@handles(OpCode.TRUNCATE)
def truncate(ctx: OpContext, op: OSDOp) -> int:
    """Cuts or extends the object; with a `truncate_seq` only if that is newer than the last one."""
    if only_appends(ctx.pg.pool):
        return -errno.EOPNOTSUPP
    ctx.num_write += 1
    offset, length, truncate_size, truncate_seq = extent_of(op)
    info = ctx.info
    if not ctx.exists or info.flags & _WHITEOUT:
        return 0
    if exceeds(ctx, offset, length):
        return -errno.EFBIG
    if truncate_seq:
        if offset != truncate_size:
            # (upstream ends its process)
            return -errno.EINVAL
        if truncate_seq <= info.truncate_seq:
            return 0
        info.truncate_seq, info.truncate_size = truncate_seq, truncate_size
    ctx.transaction.truncate(ctx.coll, ctx.gh, offset)
    size = info.size
    if size > offset:
        ctx.modified.append((offset, size - offset))
        ctx.dirty.append((offset, size - offset))
    elif size < offset:
        ctx.dirty.append((size, offset - size))
    set_size(ctx, offset)
    ctx.delta.num_wr += 1
    clear_data_digest(info)
    return 0


@handles(OpCode.TRIMTRUNC)
def trim_truncated(ctx: OpContext, op: OSDOp) -> int:
    """As `truncate`, to the size that comes with the `truncate_seq`."""
    _, length, truncate_size, truncate_seq = extent_of(op)
    op.raw = EXTENT.pack(truncate_size, length, truncate_size, truncate_seq)
    return truncate(ctx, op)


@handles(OpCode.CREATE)
def create(ctx: OpContext, op: OSDOp) -> int:
    """Makes the object; EEXIST if it must not be there yet (EXCL)."""
    ctx.num_write += 1
    there = ctx.exists and not ctx.info.flags & _WHITEOUT
    if there and op.flags & _EXCL:
        return -errno.EEXIST
    data = op.indata
    if data and (len(data) < 4 or int.from_bytes(data[:4], "little") > len(data) - 4):
        # clients of old name a category of objects here, which nobody uses any more
        return -errno.EINVAL
    create_if_missing(ctx)
    ctx.touched = True
    return 0


@handles(OpCode.DELETE)
def delete(ctx: OpContext, op: OSDOp) -> int:
    """Removes the object; ENOENT if there is none."""
    del op
    ctx.num_write += 1
    return delete_object(ctx, no_whiteout=False, try_no_whiteout=ctx.ignore_cache)


@handles(OpCode.SETALLOCHINT)
def set_alloc_hint(ctx: OpContext, op: OSDOp) -> int:
    """Remembers how large the object will be and how it will be written; makes the object."""
    ctx.num_write += 1
    object_size, write_size, flags = op.args
    create_if_missing(ctx)
    info = ctx.info
    info.expected_object_size, info.expected_write_size = object_size, write_size
    info.alloc_hint_flags = flags
    ctx.transaction.set_alloc_hint(ctx.coll, ctx.gh, object_size, write_size, flags)
    return 0


@handles(OpCode.STARTSYNC)
def start_sync(ctx: OpContext, op: OSDOp) -> int:
    """Gives the object a new version, and nothing else."""
    del op
    ctx.touched = True
    return 0
