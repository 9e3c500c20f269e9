"""The small writes that most transactions begin with, each in one go.

One of at most a block to an object that is not there, with what is set of it, comes to the record
of that object, a block of the log, and a name; one of a block over another comes to a checksum and
a block of the log. `execute` goes on behind that, and does all of it where something is unusual.
For `store`; everything is noted in the state's entry, as `content` and `writing` do.
"""

from __future__ import annotations

from collections.abc import Sequence

from spirula.kernels.crc32c import crc32c
from spirula.kernels.records import onode_record
from spirula.store.checksums import SEED, ChecksumType
from spirula.store.disk.content import find
from spirula.store.disk.onode import INLINE, NO_ATTRS, NO_HINT, encode_block
from spirula.store.disk.state import State
from spirula.store.disk.writing import write_over
from spirula.store.objectstore import BLOCK_SIZE, belongs
from spirula.types.hobject import GHObject
from spirula.types.transaction import Buffer, TxnOp, TxnOpCode

_MAKES = frozenset({int(TxnOpCode.CREATE), int(TxnOpCode.TOUCH)})
_WRITE, _SETATTR = int(TxnOpCode.WRITE), int(TxnOpCode.SETATTR)
_SETATTRS, _SETALLOCHINT = int(TxnOpCode.SETATTRS), int(TxnOpCode.SETALLOCHINT)


def begin(state: State, ops: Sequence[TxnOp]) -> int:
    """Carry out the first operations if they are a usual small write; how many, 0 if not."""
    if not ops:
        return 0
    op, done = ops[0], 1
    cid, oid = op.cid, op.oid
    if op.op in _MAKES and len(ops) > 1:
        op, done = ops[1], 2
        if op.oid is not oid or op.cid is not cid:
            return 0
    length, data = op.length, op.data
    if op.op != _WRITE or not 0 < length <= BLOCK_SIZE or len(data) != length:
        return 0
    if cid is None or oid is None:
        return 0
    bits = state.collections.get(cid)
    if bits is None or not belongs(cid, bits, oid):
        return 0
    if op.offset:
        return done if _overwrite(state, oid, op.offset, data) else 0
    if length >= state.options.log_new_below or find(state, oid) is not None:
        return 0
    pool = oid.hobj.pool
    if pool < 0:
        pool = oid.hobj.logical_pool
    if state.checksums(pool) != ChecksumType.CRC32C:
        return 0
    attrs, hint = NO_ATTRS, NO_HINT
    while done < len(ops):
        op = ops[done]
        if op.oid is not oid or op.cid is not cid:
            break
        if op.op == _SETATTRS:
            attrs = attrs | {name: bytes(value) for name, value in op.attrs.items()}
        elif op.op == _SETATTR:
            attrs = attrs | {op.name: bytes(op.data)}
        elif op.op == _SETALLOCHINT:
            hint = op.expected_object_size, op.expected_write_size, op.hint
        else:
            break
        done += 1
    block = state.from_reserve(1)
    if not block:
        return 0  # little is left
    entry = state.entry
    entry.allocated.append((block * BLOCK_SIZE, BLOCK_SIZE))
    entry.taken += BLOCK_SIZE
    space = state.space(pool)
    space.allocated += BLOCK_SIZE
    space.stored += length
    if type(data) is not bytes:
        data = bytes(data)
    if length < BLOCK_SIZE:
        data += bytes(BLOCK_SIZE - length)
    key = state.missed[1]  # that is what `find` has looked for
    shard = encode_block(block, crc32c(SEED, data))
    record = onode_record(
        INLINE, state.new_id(), length, length, 0, 0, hint, b"\1", b"", attrs, shard
    )
    blocks, pending = state.unwritten.blocks, state.names.pending
    entry.log_was[block] = blocks.get(block)
    entry.log[block] = blocks[block] = data
    entry.names_was.append((oid, None, key, pending.get(key)))
    pending[key] = True, entry.sequence, record
    entry.batch.changes[key] = record
    state.missed = None, b""
    return done


def _overwrite(state: State, oid: GHObject, offset: int, data: Buffer) -> bool:
    """Put a block over one; False if that is not all there is to it."""
    onode = state.cache.onodes.get(oid)
    if onode is None or len(data) != BLOCK_SIZE or offset % BLOCK_SIZE:
        return False
    if offset + BLOCK_SIZE > onode.size:
        return False
    onode.used = True
    content = data if type(data) is bytes else bytes(data)
    return write_over(state, onode, offset // BLOCK_SIZE, content)
