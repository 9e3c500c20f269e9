"""How a transaction is carried out: which operation does what, and what only a bug can ask.

The stores call `execute` with themselves as `Backend`; they bring the primitive changes, the rules
are here, so that all stores follow the same ones. They are BlueStore's (`_txc_add_transaction` in
upstream's `src/os/bluestore/BlueStore.cc`), which ends the process where we raise InvariantBroken.

An object that is not there: touch, create, write and zero make it; truncate, remove, rmattrs,
omap_clear, renames and hints do nothing; for everything else it is a bug.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Protocol, TypeVar

from spirula.errors import InvariantBroken
from spirula.store.objectstore import MAX_OBJECT_SIZE, belongs
from spirula.types.hobject import GHObject
from spirula.types.pg import Coll, CollType
from spirula.types.transaction import Buffer, Transaction, TxnOp, TxnOpCode

O = TypeVar("O")  # what a store knows of one object
_Op = TxnOpCode

_DUMPED = 64 << 10
"""Characters of a transaction that an error shows."""


class Backend(Protocol[O]):
    """The primitive changes of a store. Objects are asked for by name and handed back as `O`."""

    def bits_of(self, cid: Coll) -> int | None:
        """The bits of a collection, None if it is not there."""

    def set_bits(self, cid: Coll, bits: int | None) -> None:
        """Make a collection, change its bits, or (None) forget it. Objects stay where they are."""

    def has_objects(self, cid: Coll) -> bool:
        """Whether there are objects in the range of this collection, which is there."""

    def find(self, cid: Coll, oid: GHObject) -> O | None:
        """An object, None if it is not there."""

    def make(self, cid: Coll, oid: GHObject) -> O:
        """An object that was not there, empty."""

    def size_of(self, obj: O) -> int:
        """Its size in bytes."""

    def write(self, obj: O, offset: int, data: Buffer, flags: int) -> None:
        """Put data, at least a byte; the object grows as needed."""

    def zero(self, obj: O, offset: int, length: int) -> None:
        """Make a hole, at least of a byte; the object grows as needed."""

    def truncate(self, obj: O, size: int) -> None:
        """Set the size; what lay behind is gone."""

    def remove(self, cid: Coll, oid: GHObject, obj: O) -> None:
        """Remove the object with all it has."""

    def set_attrs(self, obj: O, attrs: Mapping[str, Buffer]) -> None:
        """Set attributes."""

    def rm_attr(self, obj: O, name: str) -> None:
        """Remove an attribute, if it is there."""

    def rm_attrs(self, obj: O) -> None:
        """Remove all attributes."""

    def clone(self, obj: O, dest: O) -> None:
        """Make all of `dest` (data, attributes, omap) as all of `obj` is."""

    def clone_range(self, obj: O, dest: O, offset: int, length: int, dest_offset: int) -> None:
        """Make a range of `dest` as a range of `obj` is, with its holes; at least a byte."""

    def rename(self, cid: Coll, oid: GHObject, obj: O, new: GHObject) -> None:
        """Give the object a name that no object has."""

    def omap_set(self, obj: O, entries: Mapping[str, bytes]) -> None:
        """Set omap entries."""

    def omap_rm(self, obj: O, keys: Iterable[str]) -> None:
        """Remove omap entries, those that are there."""

    def omap_rm_range(self, obj: O, first: str, end: str) -> None:
        """Remove omap entries from `first` on and before `end`."""

    def omap_clear(self, obj: O) -> None:
        """Remove the omap with its header."""

    def omap_set_header(self, obj: O, header: bytes) -> None:
        """Set the omap's header."""

    def set_alloc_hint(self, obj: O, object_size: int, write_size: int, flags: int) -> None:
        """Remember how large the object will be and how it will be written."""


def execute(store: Backend[O], transaction: Transaction, done: int = 0) -> None:
    """Carry out all operations in order. InvariantBroken, with a dump, where only a bug can be.

    The store undoes what was done when that is raised. The first `done` of them it has carried
    out already.
    """
    flags = transaction.fadvise_flags
    cid = oid = obj = None
    for position, op in enumerate(islice(transaction.ops, done, None), done):
        try:
            # Most are on the object of the one before, which is not looked for again.
            if obj is None or op.oid is not oid or op.cid is not cid or op.op not in _CHANGES:
                cid, oid = op.cid, op.oid
                obj = _carry_out(store, op, flags)
            else:
                _CHANGES[op.op](store, op, obj, flags)
        except InvariantBroken as error:
            where = f"operation {position} ({_name(op.op)}) of a transaction: {error}"
            raise InvariantBroken(f"{where}; {dumped(transaction)}") from None


def dumped(transaction: Transaction) -> str:
    """A transaction as JSON without its data, cut where it is very long."""
    try:
        text = json.dumps(transaction.plain())
    except ValueError:  # an operation without a name
        text = repr([(op.op, str(op.cid), str(op.oid)) for op in transaction.ops])
    return text if len(text) <= _DUMPED else f"{text[:_DUMPED]} and {len(text) - _DUMPED} more"


def _name(code: int) -> str:
    return _Op(code).name.lower() if code in _Op.__members__.values() else str(code)


def _carry_out(store: Backend[O], op: TxnOp, flags: int) -> O | None:
    """Carry out one operation; the object that it changed, None if it was about more than that."""
    code = op.op
    change = _CHANGES.get(code)
    if change is None:
        if code in (_Op.NOP, _Op.COLL_HINT):
            return None  # a hint tells how many objects will come; no store needs it
        change = _COLLECTIONS.get(code)
        if change is not None:
            change(store, op)
            return None
        if code not in _COPIES and code not in _NAMES:
            raise InvariantBroken("no store of this age knows the operation")
    cid, oid = _in_collection(store, op, op.oid)
    obj = store.find(cid, oid)
    if obj is None:
        if code not in _MAKES:
            if code not in _FORGIVING:
                raise InvariantBroken(f"there is no object {oid}")
            return None
        obj = store.make(cid, oid)
    if change is not None:
        change(store, op, obj, flags)
        return obj
    if code in _COPIES:
        _copy(store, op, cid, obj)
    else:
        _rename_or_remove(store, op, cid, obj)
    return None


def _in_collection(store: Backend[O], op: TxnOp, oid: GHObject | None) -> tuple[Coll, GHObject]:
    """The operation's collection, and an object which is one of its."""
    if op.cid is None or oid is None:
        raise InvariantBroken("it names no collection or no object")
    bits = store.bits_of(op.cid)
    if bits is None:
        raise InvariantBroken(f"there is no collection {op.cid}")
    if not belongs(op.cid, bits, oid):
        raise InvariantBroken(f"object {oid} is none of collection {op.cid} of {bits} bits")
    return op.cid, oid


# --- objects ---

_MAKES = frozenset({_Op.TOUCH, _Op.CREATE, _Op.WRITE, _Op.ZERO})
_COPIES = frozenset({_Op.CLONE, _Op.CLONERANGE, _Op.CLONERANGE2})
_NAMES = frozenset({_Op.REMOVE, _Op.COLL_MOVE_RENAME, _Op.TRY_RENAME})
_FORGIVING = _NAMES | {
    _Op.TRUNCATE,
    _Op.RMATTRS,
    _Op.OMAP_CLEAR,
    _Op.SETALLOCHINT,
    _Op.TRIMCACHE,
}
"""Operations that do nothing to an object that is not there."""


def _check_end(end: int) -> None:
    if end > MAX_OBJECT_SIZE:
        raise InvariantBroken(f"no object reaches to {end}, the end is {MAX_OBJECT_SIZE} bytes")


def _write(store: Backend[O], op: TxnOp, obj: O, flags: int) -> None:
    _check_end(op.offset + op.length)
    if len(op.data) != op.length:
        raise InvariantBroken(f"write of {op.length} bytes with {len(op.data)} bytes of data")
    if op.length:
        store.write(obj, op.offset, op.data, flags)


def _zero(store: Backend[O], op: TxnOp, obj: O, _: int) -> None:
    _check_end(op.offset + op.length)
    if op.length:
        store.zero(obj, op.offset, op.length)


def _truncate(store: Backend[O], op: TxnOp, obj: O, _: int) -> None:
    _check_end(op.offset)
    if op.offset != store.size_of(obj):
        store.truncate(obj, op.offset)


def _remove_range(store: Backend[O], op: TxnOp, obj: O, _: int) -> None:
    if len(op.keys) != 2:
        raise InvariantBroken(f"a range of keys has a first and an end, not {len(op.keys)} keys")
    store.omap_rm_range(obj, *op.keys)


_CHANGES: dict[int, Callable[..., None]] = {
    _Op.TOUCH: lambda store, op, obj, flags: None,
    _Op.CREATE: lambda store, op, obj, flags: None,
    _Op.WRITE: _write,
    _Op.ZERO: _zero,
    _Op.TRIMCACHE: lambda store, op, obj, flags: None,
    _Op.TRUNCATE: _truncate,
    _Op.SETATTR: lambda store, op, obj, flags: store.set_attrs(obj, {op.name: op.data}),
    _Op.SETATTRS: lambda store, op, obj, flags: store.set_attrs(obj, op.attrs),
    _Op.RMATTR: lambda store, op, obj, flags: store.rm_attr(obj, op.name),
    _Op.RMATTRS: lambda store, op, obj, flags: store.rm_attrs(obj),
    _Op.OMAP_CLEAR: lambda store, op, obj, flags: store.omap_clear(obj),
    _Op.OMAP_SETKEYS: lambda store, op, obj, flags: store.omap_set(obj, op.attrs),
    _Op.OMAP_RMKEYS: lambda store, op, obj, flags: store.omap_rm(obj, op.keys),
    _Op.OMAP_RMKEYRANGE: _remove_range,
    _Op.OMAP_SETHEADER: lambda store, op, obj, flags: store.omap_set_header(obj, bytes(op.data)),
    _Op.SETALLOCHINT: lambda store, op, obj, flags: store.set_alloc_hint(
        obj, op.expected_object_size, op.expected_write_size, op.hint
    ),
}
"""What changes one object and nothing else."""


def _copy(store: Backend[O], op: TxnOp, cid: Coll, obj: O) -> None:
    _, new = _in_collection(store, op, op.dest_oid)
    oid = op.oid
    if op.op == _Op.CLONE and (oid is None or oid.hobj.hash != new.hobj.hash or oid == new):
        raise InvariantBroken(f"a clone of {oid} has its hash and another name, not {new}")
    dest = store.find(cid, new)
    if dest is None:
        dest = store.make(cid, new)
    if op.op == _Op.CLONE:
        store.clone(obj, dest)
        return
    start = op.dest_offset if op.op == _Op.CLONERANGE2 else op.offset
    _check_end(start + op.length)
    size = store.size_of(obj)
    if op.offset + op.length > size:
        raise InvariantBroken(f"bytes {op.offset}~{op.length} are to be copied of only {size}")
    if obj is dest and abs(op.offset - start) < op.length:
        raise InvariantBroken("an object's bytes are to be copied onto themselves")
    if op.length:
        store.clone_range(obj, dest, op.offset, op.length, start)


def _rename_or_remove(store: Backend[O], op: TxnOp, cid: Coll, obj: O) -> None:
    _, oid = _in_collection(store, op, op.oid)
    if op.op == _Op.REMOVE:
        store.remove(cid, oid, obj)
        return
    if op.op == _Op.COLL_MOVE_RENAME and op.dest_cid != cid:
        raise InvariantBroken(f"objects stay in their collection, {op.dest_cid} is another one")
    _, new = _in_collection(store, op, op.dest_oid)
    if store.find(cid, new) is not None:
        raise InvariantBroken(f"there is already an object {new}")
    store.rename(cid, oid, obj, new)


# --- collections ---


def _check_shape(cid: Coll | None, bits: int) -> Coll:
    if cid is None:
        raise InvariantBroken("it names no collection")
    if cid.type == CollType.META:
        return cid
    if cid.type != CollType.PG:
        raise InvariantBroken(f"temporary objects are kept in a PG's own collection, not in {cid}")
    if not 0 <= bits <= 32 or cid.pgid.seed >> bits:
        raise InvariantBroken(f"collection {cid} cannot have {bits} bits")
    return cid


def _present(store: Backend[O], cid: Coll | None) -> tuple[Coll, int]:
    bits = None if cid is None else store.bits_of(cid)
    if cid is None or bits is None:
        raise InvariantBroken(f"there is no collection {cid}")
    return cid, bits


def _make_collection(store: Backend[O], op: TxnOp) -> None:
    cid = _check_shape(op.cid, op.split_bits)
    if store.bits_of(cid) is not None:
        raise InvariantBroken(f"there is already a collection {cid}")
    store.set_bits(cid, op.split_bits)


def _remove_collection(store: Backend[O], op: TxnOp) -> None:
    cid, _ = _present(store, op.cid)
    if store.has_objects(cid):
        raise InvariantBroken(f"collection {cid} is to be removed and has objects")
    store.set_bits(cid, None)


def _split(store: Backend[O], op: TxnOp) -> None:
    """The child is there and has its bits; what has its hashes is in its range from then on."""
    cid, before = _present(store, op.cid)
    dest, dest_bits = _present(store, op.dest_cid)
    bits = op.split_bits
    _check_relatives(cid, dest)
    _check_shape(cid, bits)
    if dest_bits != bits or bits < before or cid == dest:
        raise InvariantBroken(f"{cid} of {before} bits does not split to {dest} of {dest_bits}")
    if (op.split_rem ^ dest.pgid.seed) & ((1 << bits) - 1):
        raise InvariantBroken(f"hashes that end in {op.split_rem:#x} are none of {dest}")
    store.set_bits(cid, bits)


def _merge(store: Backend[O], op: TxnOp) -> None:
    cid, _ = _present(store, op.cid)
    dest, _ = _present(store, op.dest_cid)
    bits = op.split_bits
    _check_relatives(cid, dest)
    _check_shape(dest, bits)
    if cid == dest or (cid.pgid.seed ^ dest.pgid.seed) & ((1 << bits) - 1):
        raise InvariantBroken(f"objects of {cid} are none of {dest} of {bits} bits")
    store.set_bits(dest, bits)
    store.set_bits(cid, None)


def _check_relatives(cid: Coll, dest: Coll) -> None:
    pgid, other = cid.pgid, dest.pgid
    if cid.is_meta or dest.is_meta or (pgid.pool, pgid.shard) != (other.pool, other.shard):
        raise InvariantBroken(f"{cid} and {dest} are no PGs of one pool and shard")


def _change_bits(store: Backend[O], op: TxnOp) -> None:
    cid, _ = _present(store, op.cid)
    store.set_bits(_check_shape(cid, op.split_bits), op.split_bits)


_COLLECTIONS: dict[int, Callable[..., None]] = {
    _Op.MKCOLL: _make_collection,
    _Op.RMCOLL: _remove_collection,
    _Op.SPLIT_COLLECTION2: _split,
    _Op.MERGE_COLLECTION: _merge,
    _Op.COLL_SET_BITS: _change_bits,
}
