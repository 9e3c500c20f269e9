"""Operations on an object's omap; `omap-cmp` is in `comparisons`.

Keys are ordered by their bytes. As with data, what is read is what was stored before the request.
Called by `execute`. Behaviour: upstream `src/osd/PrimaryLogPG.cc` (do_osd_ops).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from spirula.errors import NotFound
from spirula.osd.ops.execute import handles, kilobytes
from spirula.osd.ops.writes import create_if_missing
from spirula.types.object_info import NO_DIGEST, ObjectFlag
from spirula.types.osd_op import OpCode
from spirula.types.osd_op_payload import (
    OmapEntries,
    OmapGetKeysInput,
    OmapGetValsInput,
    OmapKeys,
    OmapRmKeyRangeInput,
)
from spirula.types.pool import PGPool, PoolType
from spirula.types.transaction import TxnOpCode

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext
    from spirula.types.osd_op import OSDOp

_OMAP: Final = int(ObjectFlag.OMAP)
_OMAP_DIGEST: Final = int(ObjectFlag.OMAP_DIGEST)
_WHITEOUT: Final = int(ObjectFlag.WHITEOUT)


def supports_omap(pool: PGPool) -> bool:
    """Whether objects of the pool can have an omap; not with erasure code."""
    return pool.type != PoolType.ERASURE


def key_bytes(key: str) -> bytes:
    """A key as it is ordered."""
    return key.encode("utf-8", "surrogateescape")


def _count_read(ctx: OpContext, op: OSDOp) -> int:
    ctx.delta.num_rd_kb += kilobytes(len(op.outdata))
    ctx.delta.num_rd += 1
    return ctx.result


def _forget_digest(ctx: OpContext) -> None:
    info = ctx.info
    info.flags &= ~_OMAP_DIGEST
    info.omap_digest = NO_DIGEST


# --- reading ---


@handles(OpCode.OMAPGETKEYS)
def get_keys(ctx: OpContext, op: OSDOp) -> int:
    """Keys after a given one, and whether there are more; as many as the OSD's limits allow."""
    ctx.num_read += 1
    asked = OmapGetKeysInput.decode(bytes(op.indata))
    entries: Iterator[tuple[str, bytes]] = iter(())
    if ctx.info.flags & _OMAP and ctx.obc.exists:
        entries = ctx.store.omap_iterate(ctx.coll, ctx.gh, after=asked.start_after)
    op.outdata = _collect(ctx, entries, asked.max_return, with_values=False)
    return _count_read(ctx, op)


@handles(OpCode.OMAPGETVALS)
def get_vals(ctx: OpContext, op: OSDOp) -> int:
    """Entries after a given key whose keys begin with a prefix, and whether there are more."""
    ctx.num_read += 1
    data = bytes(op.indata)
    asked = OmapGetValsInput.decode(data)
    after, prefix = asked.start_after, asked.filter_prefix
    if len(data) < 16 + len(key_bytes(after)):
        return -errno.EINVAL  # the prefix is no part that may be left out
    entries: Iterator[tuple[str, bytes]] = iter(())
    if ctx.info.flags & _OMAP:
        if not ctx.obc.exists:
            return -errno.ENOENT
        if key_bytes(prefix) > key_bytes(after):
            entries = ctx.store.omap_iterate(ctx.coll, ctx.gh, prefix)
        else:
            entries = ctx.store.omap_iterate(ctx.coll, ctx.gh, after=after)
    if prefix:
        entries = _while_prefixed(entries, prefix)
    op.outdata = _collect(ctx, entries, asked.max_return, with_values=True)
    return _count_read(ctx, op)


def _while_prefixed(
    entries: Iterator[tuple[str, bytes]], prefix: str
) -> Iterator[tuple[str, bytes]]:
    for entry in entries:
        if not entry[0].startswith(prefix):
            return
        yield entry


def _collect(
    ctx: OpContext, entries: Iterator[tuple[str, bytes]], most: int, *, with_values: bool
) -> bytearray:
    """Count, entries and whether there are more, encoded."""
    settings = ctx.pg.settings
    most = min(most, settings.max_omap_entries_per_request)
    most_bytes = settings.max_omap_bytes_per_request
    out = bytearray(4)
    count, truncated = 0, False
    for key, value in entries:
        if count >= most or len(out) - 4 >= most_bytes:
            truncated = True
            break
        name = key.encode("utf-8", "surrogateescape")
        out += len(name).to_bytes(4, "little")
        out += name
        if with_values:
            out += len(value).to_bytes(4, "little")
            out += value
        count += 1
    out[:4] = count.to_bytes(4, "little")
    out.append(truncated)
    return out


@handles(OpCode.OMAPGETHEADER)
def get_header(ctx: OpContext, op: OSDOp) -> int:
    """The omap's header; nothing for an object without an omap."""
    if not ctx.info.flags & _OMAP:
        return ctx.result
    ctx.num_read += 1
    try:
        op.outdata = ctx.store.omap_get_header(ctx.coll, ctx.gh)
    except NotFound:
        op.outdata = b""
    return _count_read(ctx, op)


@handles(OpCode.OMAPGETVALSBYKEYS)
def get_vals_by_keys(ctx: OpContext, op: OSDOp) -> int:
    """The entries of those keys that are there."""
    ctx.num_read += 1
    keys = OmapKeys.decode(bytes(op.indata)).keys
    found: dict[str, bytes] = {}
    if ctx.info.flags & _OMAP and ctx.obc.exists:
        found = ctx.store.omap_get_values(ctx.coll, ctx.gh, keys)
    op.outdata = OmapEntries(found).encode()
    return _count_read(ctx, op)


# --- changing ---


@handles(OpCode.OMAPSETVALS)
def set_vals(ctx: OpContext, op: OSDOp) -> int:
    """Sets entries; makes the object, even where the input turns out to be none."""
    if not supports_omap(ctx.pg.pool):
        return -errno.EOPNOTSUPP
    ctx.num_write += 1
    create_if_missing(ctx)
    data = bytes(op.indata)
    entries = OmapEntries.decode(data).entries
    ctx.transaction.omap_setkeys(ctx.coll, ctx.gh, entries)
    ctx.omap_set = (*ctx.omap_set, entries)
    ctx.omap_dirty = True
    ctx.delta.num_wr += 1
    ctx.delta.num_wr_kb += kilobytes(len(data))
    ctx.info.flags |= _OMAP
    _forget_digest(ctx)
    return 0


@handles(OpCode.OMAPSETHEADER)
def set_header(ctx: OpContext, op: OSDOp) -> int:
    """Sets the header; makes the object."""
    if not supports_omap(ctx.pg.pool):
        return -errno.EOPNOTSUPP
    ctx.num_write += 1
    create_if_missing(ctx)
    ctx.transaction.omap_setheader(ctx.coll, ctx.gh, bytes(op.indata))
    ctx.omap_dirty = True
    ctx.delta.num_wr += 1
    ctx.info.flags |= _OMAP
    _forget_digest(ctx)
    return 0


def _is_there(ctx: OpContext) -> bool:
    return ctx.exists and not ctx.info.flags & _WHITEOUT


def _raw(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _remove_those_set(ctx: OpContext, first: str = "", end: str | None = None) -> None:
    """Removes by name what was set by the same request, before a range of keys is removed.

    BlueStore removes of a range what it had before the transaction: real replicas would keep them.
    """
    low, high = _raw(first), None if end is None else _raw(end)
    keys = {
        key
        for entries in ctx.omap_set
        for key in entries
        if low <= _raw(key) and (high is None or _raw(key) < high)
    }
    if keys:
        ctx.transaction.omap_rmkeys(ctx.coll, ctx.gh, keys)


@handles(OpCode.OMAPCLEAR)
def clear(ctx: OpContext, op: OSDOp) -> int:
    """Removes header and entries."""
    del op
    if not supports_omap(ctx.pg.pool):
        return -errno.EOPNOTSUPP
    ctx.num_write += 1
    if not _is_there(ctx):
        return -errno.ENOENT
    if ctx.info.flags & _OMAP:
        _remove_those_set(ctx)
        if any(
            each.op == TxnOpCode.OMAP_SETHEADER and each.oid == ctx.gh
            for each in ctx.transaction.ops
        ):
            ctx.transaction.omap_setheader(ctx.coll, ctx.gh, b"")  # as with the keys
        ctx.transaction.omap_clear(ctx.coll, ctx.gh)
        ctx.omap_dirty = True
        ctx.delta.num_wr += 1
        _forget_digest(ctx)
        ctx.info.flags &= ~_OMAP
    return 0


@handles(OpCode.OMAPRMKEYS)
def remove_keys(ctx: OpContext, op: OSDOp) -> int:
    """Removes entries, as far as they are there."""
    if not supports_omap(ctx.pg.pool):
        return -errno.EOPNOTSUPP
    ctx.num_write += 1
    if not _is_there(ctx):
        return -errno.ENOENT
    keys = OmapKeys.decode(bytes(op.indata)).keys
    ctx.transaction.omap_rmkeys(ctx.coll, ctx.gh, keys)
    ctx.omap_dirty = True
    ctx.delta.num_wr += 1
    _forget_digest(ctx)
    return 0


@handles(OpCode.OMAPRMKEYRANGE)
def remove_key_range(ctx: OpContext, op: OSDOp) -> int:
    """Removes the entries from one key on and before another."""
    if not supports_omap(ctx.pg.pool):
        return -errno.EOPNOTSUPP
    ctx.num_write += 1
    if not _is_there(ctx):
        return -errno.ENOENT
    span = OmapRmKeyRangeInput.decode(bytes(op.indata))
    _remove_those_set(ctx, span.key_begin, span.key_end)
    ctx.transaction.omap_rmkeyrange(ctx.coll, ctx.gh, span.key_begin, span.key_end)
    ctx.omap_dirty = True
    ctx.delta.num_wr += 1
    _forget_digest(ctx)
    return 0
