"""ObjectStore transactions: what an OSD has its store do at once, and sends to the replicas.

The OSD builds them, `store` carries them out, sub-operations carry them encoded. Operations hold
their collections and objects themselves; on the wire they are numbers in two tables, which are
kept as they came so that a transaction goes out as it came in. Format: upstream
`src/os/Transaction.h`.
"""

from __future__ import annotations

import struct as _struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar, Self, TypeVar

from spirula.denc import Map, Struct, Vec, blob, irregular, string, struct, u32
from spirula.errors import IncompatibleVersion, LimitExceeded, Truncated, WireError
from spirula.kernels.transactions import Operations, in_order
from spirula.types.hobject import NAMES, GHObject
from spirula.types.pg import KNOWN_COLLS, Coll

Buffer = bytes | bytearray | memoryview
_T = TypeVar("_T")

_OP = _struct.Struct("<IIIQQIIQIQQII")
_SUMMARY = _struct.Struct("<QIIII")
_LENGTH = _struct.Struct("<I")
_ONE = _LENGTH.pack(1)
_ZERO = bytes(4)
_VIEWED_FROM = 4096
"""Write data of this many bytes and more stays where it was received."""


class TxnOpCode(IntEnum):
    """What an operation does (upstream ObjectStore::Transaction::OP_*)."""

    NOP = 0
    CREATE = 7
    COLL_MOVE = 8
    TOUCH = 9
    WRITE = 10
    ZERO = 11
    TRUNCATE = 12
    REMOVE = 13
    SETATTR = 14
    SETATTRS = 15
    RMATTR = 16
    CLONE = 17
    CLONERANGE = 18
    TRIMCACHE = 19
    MKCOLL = 20
    RMCOLL = 21
    COLL_ADD = 22
    COLL_REMOVE = 23
    COLL_SETATTR = 24
    COLL_RMATTR = 25
    COLL_SETATTRS = 26
    RMATTRS = 28
    COLL_RENAME = 29
    CLONERANGE2 = 30
    OMAP_CLEAR = 31
    OMAP_SETKEYS = 32
    OMAP_RMKEYS = 33
    OMAP_SETHEADER = 34
    SPLIT_COLLECTION = 35
    SPLIT_COLLECTION2 = 36
    OMAP_RMKEYRANGE = 37
    COLL_MOVE_RENAME = 38
    SETALLOCHINT = 39
    COLL_HINT = 40
    TRY_RENAME = 41
    COLL_SET_BITS = 42
    MERGE_COLLECTION = 43


_CREATE, _TOUCH, _WRITE = int(TxnOpCode.CREATE), int(TxnOpCode.TOUCH), int(TxnOpCode.WRITE)
_TRUNCATE, _SETATTRS = int(TxnOpCode.TRUNCATE), int(TxnOpCode.SETATTRS)
_OMAP_SETKEYS = int(TxnOpCode.OMAP_SETKEYS)
_LAYOUT: dict[int, tuple[str, str]] = {
    TxnOpCode.NOP: ("", ""),
    TxnOpCode.CREATE: ("co", ""),
    TxnOpCode.COLL_MOVE: ("coC", ""),
    TxnOpCode.TOUCH: ("co", ""),
    TxnOpCode.WRITE: ("co", "d"),
    TxnOpCode.ZERO: ("co", ""),
    TxnOpCode.TRUNCATE: ("co", ""),
    TxnOpCode.REMOVE: ("co", ""),
    TxnOpCode.SETATTR: ("co", "nd"),
    TxnOpCode.SETATTRS: ("co", "m"),
    TxnOpCode.RMATTR: ("co", "n"),
    TxnOpCode.CLONE: ("coO", ""),
    TxnOpCode.CLONERANGE: ("coO", ""),
    TxnOpCode.TRIMCACHE: ("co", ""),
    TxnOpCode.MKCOLL: ("c", ""),
    TxnOpCode.RMCOLL: ("c", ""),
    TxnOpCode.COLL_ADD: ("coC", ""),
    TxnOpCode.COLL_REMOVE: ("co", ""),
    TxnOpCode.COLL_SETATTR: ("c", "nd"),
    TxnOpCode.COLL_RMATTR: ("c", "n"),
    TxnOpCode.COLL_SETATTRS: ("c", "m"),
    TxnOpCode.RMATTRS: ("co", ""),
    TxnOpCode.COLL_RENAME: ("cC", ""),
    TxnOpCode.CLONERANGE2: ("coO", ""),
    TxnOpCode.OMAP_CLEAR: ("co", ""),
    TxnOpCode.OMAP_SETKEYS: ("co", "m"),
    TxnOpCode.OMAP_RMKEYS: ("co", "k"),
    TxnOpCode.OMAP_SETHEADER: ("co", "d"),
    TxnOpCode.SPLIT_COLLECTION: ("cC", ""),
    TxnOpCode.SPLIT_COLLECTION2: ("cC", ""),
    TxnOpCode.OMAP_RMKEYRANGE: ("co", "r"),
    TxnOpCode.COLL_MOVE_RENAME: ("coCO", ""),
    TxnOpCode.SETALLOCHINT: ("co", ""),
    TxnOpCode.COLL_HINT: ("c", "d"),
    TxnOpCode.TRY_RENAME: ("coO", ""),
    TxnOpCode.COLL_SET_BITS: ("c", ""),
    TxnOpCode.MERGE_COLLECTION: ("cC", ""),
}
"""What each code uses: collection (c), object (o), their destinations (C, O).

Then what it has among the data: a name (n), bytes (d), a map (m), a set of keys (k), a range (r).
"""


@dataclass(slots=True)
class TxnOp:
    """One operation; fields that its code does not use are empty.

    `name`: an attribute. `data`: bytes to write, a value, an omap header, a hint. `attrs`:
    attributes or omap entries to set. `keys`: omap keys to remove, or first and end of a range
    of them. `offset` is also the size to truncate to.
    """

    op: int
    cid: Coll | None = None
    oid: GHObject | None = None
    offset: int = 0
    length: int = 0
    dest_cid: Coll | None = None
    dest_oid: GHObject | None = None
    dest_offset: int = 0
    hint: int = 0
    expected_object_size: int = 0
    expected_write_size: int = 0
    split_bits: int = 0
    split_rem: int = 0
    name: str = ""
    data: Buffer = b""
    attrs: dict[str, bytes] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)


@struct
class _Attrs(Struct):
    entries: Map[string, blob]


@struct
class _Colls(Struct):
    entries: Map[Coll, u32]


@struct
class _Objects(Struct):
    entries: Map[GHObject, u32]


@struct
class _Keys(Struct):
    entries: Vec[string]


@irregular("ObjectStore::Transaction", "ceph::os::Transaction", "Transaction")
@dataclass(slots=True, init=False)
class Transaction(Struct):
    """Operations that a store carries out together, in order.

    Methods named as upstream's add one each.
    """

    _denc_min_size: ClassVar[int] = 46

    ops: list[TxnOp]
    fadvise_flags: int
    _colls: dict[Coll, int]
    _objects: dict[GHObject, int]

    def __init__(self) -> None:
        self.ops = []
        self.fadvise_flags = 0
        self._colls = {}
        self._objects = {}

    def __len__(self) -> int:
        return len(self.ops)

    def __bool__(self) -> bool:
        return bool(self.ops)

    def add(self, op: TxnOp) -> None:
        """Adds an operation."""
        self.ops.append(op)

    def append(self, other: Transaction) -> None:
        """Adds all operations of `other`."""
        self.ops += other.ops
        self.fadvise_flags |= other.fadvise_flags

    def nop(self) -> None:
        """Does nothing."""
        self.add(TxnOp(TxnOpCode.NOP))

    def create(self, cid: Coll, oid: GHObject) -> None:
        """Makes an object that is not there yet."""
        _add(self.ops, _CREATE, cid, oid)

    def touch(self, cid: Coll, oid: GHObject) -> None:
        """Makes an object unless it is there."""
        _add(self.ops, _TOUCH, cid, oid)

    def write(self, cid: Coll, oid: GHObject, offset: int, data: Buffer, flags: int = 0) -> None:
        """Writes `data` at `offset`; what lies between the old end and `offset` reads as zeros."""
        self.fadvise_flags |= flags
        _add(self.ops, _WRITE, cid, oid, offset, len(data), data)

    def zero(self, cid: Coll, oid: GHObject, offset: int, length: int) -> None:
        """Has these bytes read as zeros, and the object reach to the end of them."""
        self.add(TxnOp(TxnOpCode.ZERO, cid, oid, offset, length))

    def truncate(self, cid: Coll, oid: GHObject, size: int) -> None:
        """Cuts or extends the object to `size` bytes."""
        _add(self.ops, _TRUNCATE, cid, oid, size)

    def remove(self, cid: Coll, oid: GHObject) -> None:
        """Removes an object with all that belongs to it."""
        self.add(TxnOp(TxnOpCode.REMOVE, cid, oid))

    def setattr(self, cid: Coll, oid: GHObject, name: str, value: bytes) -> None:
        """Sets an attribute."""
        self.add(TxnOp(TxnOpCode.SETATTR, cid, oid, name=name, data=value))

    def setattrs(self, cid: Coll, oid: GHObject, attrs: Mapping[str, bytes]) -> None:
        """Sets attributes."""
        _add(self.ops, _SETATTRS, cid, oid, 0, 0, b"", _in_order(attrs))

    def rmattr(self, cid: Coll, oid: GHObject, name: str) -> None:
        """Removes an attribute."""
        self.add(TxnOp(TxnOpCode.RMATTR, cid, oid, name=name))

    def rmattrs(self, cid: Coll, oid: GHObject) -> None:
        """Removes all attributes."""
        self.add(TxnOp(TxnOpCode.RMATTRS, cid, oid))

    def clone(self, cid: Coll, oid: GHObject, new: GHObject) -> None:
        """Makes `new` a copy of the object, in place of what it was."""
        self.add(TxnOp(TxnOpCode.CLONE, cid, oid, dest_oid=new))

    def clone_range(
        self, cid: Coll, oid: GHObject, new: GHObject, offset: int, length: int, dest_offset: int
    ) -> None:
        """Copies bytes of the object into `new`."""
        code = TxnOpCode.CLONERANGE2
        self.add(TxnOp(code, cid, oid, offset, length, dest_oid=new, dest_offset=dest_offset))

    def create_collection(self, cid: Coll, bits: int) -> None:
        """Makes a collection whose objects agree in `bits` bits of their hashes."""
        self.add(TxnOp(TxnOpCode.MKCOLL, cid, split_bits=bits))

    def remove_collection(self, cid: Coll) -> None:
        """Removes a collection, which must be empty."""
        self.add(TxnOp(TxnOpCode.RMCOLL, cid))

    def collection_hint(self, cid: Coll, kind: int, hint: bytes) -> None:
        """Tells the store what the collection will be used for."""
        self.add(TxnOp(TxnOpCode.COLL_HINT, cid, hint=kind, data=hint))

    def collection_move_rename(
        self, cid: Coll, oid: GHObject, new_cid: Coll, new_oid: GHObject
    ) -> None:
        """Moves an object to another collection and name."""
        code = TxnOpCode.COLL_MOVE_RENAME
        self.add(TxnOp(code, cid, oid, dest_cid=new_cid, dest_oid=new_oid))

    def try_rename(self, cid: Coll, oid: GHObject, new_oid: GHObject) -> None:
        """Gives an object another name, if it is there."""
        self.add(TxnOp(TxnOpCode.TRY_RENAME, cid, oid, dest_oid=new_oid))

    def omap_clear(self, cid: Coll, oid: GHObject) -> None:
        """Removes the omap with its header."""
        self.add(TxnOp(TxnOpCode.OMAP_CLEAR, cid, oid))

    def omap_setkeys(self, cid: Coll, oid: GHObject, entries: Mapping[str, bytes]) -> None:
        """Sets omap entries."""
        _add(self.ops, _OMAP_SETKEYS, cid, oid, 0, 0, b"", _in_order(entries))

    def omap_rmkeys(self, cid: Coll, oid: GHObject, keys: Iterable[str]) -> None:
        """Removes omap entries."""
        self.add(TxnOp(TxnOpCode.OMAP_RMKEYS, cid, oid, keys=sorted(keys, key=_raw)))

    def omap_rmkeyrange(self, cid: Coll, oid: GHObject, first: str, end: str) -> None:
        """Removes omap entries from `first` on and before `end`."""
        self.add(TxnOp(TxnOpCode.OMAP_RMKEYRANGE, cid, oid, keys=[first, end]))

    def omap_setheader(self, cid: Coll, oid: GHObject, header: bytes) -> None:
        """Sets the omap's header."""
        self.add(TxnOp(TxnOpCode.OMAP_SETHEADER, cid, oid, data=header))

    def split_collection(self, cid: Coll, bits: int, rem: int, dest: Coll) -> None:
        """Moves objects whose hash ends in the `bits` bits of `rem` to another collection."""
        code = TxnOpCode.SPLIT_COLLECTION2
        self.add(TxnOp(code, cid, dest_cid=dest, split_bits=bits, split_rem=rem))

    def merge_collection(self, cid: Coll, dest: Coll, bits: int) -> None:
        """Moves all objects to another collection, of `bits` bits then, and removes this one."""
        self.add(TxnOp(TxnOpCode.MERGE_COLLECTION, cid, dest_cid=dest, split_bits=bits))

    def collection_set_bits(self, cid: Coll, bits: int) -> None:
        """Says in how many bits of their hashes the collection's objects agree."""
        self.add(TxnOp(TxnOpCode.COLL_SET_BITS, cid, split_bits=bits))

    def set_alloc_hint(
        self, cid: Coll, oid: GHObject, object_size: int, write_size: int, flags: int
    ) -> None:
        """Tells the store how large the object will be and how it will be written."""
        self.add(
            TxnOp(
                TxnOpCode.SETALLOCHINT,
                cid,
                oid,
                hint=flags,
                expected_object_size=object_size,
                expected_write_size=write_size,
            )
        )

    # --- the wire ---

    def encode_parts(self) -> list[Buffer]:
        """The encoding in pieces, write data uncopied, for who joins or gathers them."""
        colls, objects = self._colls, self._objects
        out, data, data_size = bytearray(), bytearray(), 0
        parts: list[Buffer] = [b""]
        largest = largest_offset = largest_at = 0
        for op in self.ops:
            code = op.op
            out += _OP.pack(
                code,
                0 if op.cid is None else colls.setdefault(op.cid, len(colls)),
                0 if op.oid is None else objects.setdefault(op.oid, len(objects)),
                op.offset,
                op.length,
                0 if op.dest_cid is None else colls.setdefault(op.dest_cid, len(colls)),
                0 if op.dest_oid is None else objects.setdefault(op.dest_oid, len(objects)),
                *(op.dest_offset, op.hint, op.expected_object_size, op.expected_write_size),
                *(op.split_bits, op.split_rem),
            )
            if code == _WRITE:
                size = len(op.data)
                if size != op.length:
                    raise WireError(f"write of {op.length} bytes with {size} bytes of data")
                if size > largest:
                    largest, largest_offset = size, op.offset
                    largest_at = data_size + len(data) + 4
                data += _LENGTH.pack(size)
                if size < _VIEWED_FROM:
                    data += op.data
                else:
                    data_size += len(data) + size
                    parts += (data, op.data)
                    data = bytearray()
            else:
                _put_payload(data, op)
        data_size += len(data)
        out[:0] = _LENGTH.pack(len(out))
        _put_table(out, colls, _Colls)
        _put_table(out, objects, _Objects)
        offset = largest_offset & 0xFFFFFFFF
        out += _SUMMARY.pack(len(self.ops), largest, offset, largest_at, self.fadvise_flags)
        parts[0] = _struct.pack("<BBII", 9, 9, 4 + data_size + len(out), data_size)
        return [*parts, data, out]

    def encode(self, features: int = 0) -> bytes:
        """The encoding in one piece; the same for all peers. Raises WireError."""
        del features
        whole: bytes | None = _OPERATIONS.encode(self)
        if whole is not None:
            return whole
        try:
            return b"".join(self.encode_parts())
        except (_struct.error, TypeError, ValueError, AttributeError) as error:
            raise WireError(f"cannot encode: {error}", path="Transaction") from error

    def _enc(self, out: bytearray, features: int) -> None:
        for part in self.encode_parts():
            out += part

    @classmethod
    def decode_view(cls, data: Buffer) -> Self:
        """The transaction in `data`; long write data is views of it. Raises WireError."""
        usual: Self | None = _OPERATIONS.read(data)
        if usual is not None:
            return usual
        view = memoryview(data)
        head = bytes(view[:10])
        if len(head) == 10:
            size = min(_LENGTH.unpack_from(head, 6)[0], len(view))
            rest = bytes(view[10 + size :])
        else:
            size, rest = 0, b""
        try:
            return cls._read(head, view[10 : 10 + size], rest)[0]
        except (_struct.error, IndexError) as error:
            raise Truncated("ends inside the transaction", path="Transaction") from error

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        head = buf[pos : pos + 10]
        if len(head) < 10:
            raise Truncated("ends inside the head", offset=pos, limit=end)
        (size,) = _LENGTH.unpack_from(head, 6)
        start = pos + 10
        if size > end - start:
            raise Truncated("length runs past the end", offset=pos, limit=end)
        made, used = cls._read(head, memoryview(buf)[start : start + size], buf[start + size : end])
        return made, start + size + used

    @classmethod
    def _read(cls, head: bytes, data: memoryview, rest: bytes) -> tuple[Self, int]:
        """From the head, the data of the operations, and what follows.

        Also how much of that was used.
        """
        v, compat, length, data_size = _struct.unpack("<BBII", head)
        if v < 9 or compat > 9:
            raise IncompatibleVersion(f"transaction of version {v}, compat {compat}", offset=0)
        end = length - 4 - data_size
        if len(data) != data_size or not 0 <= end <= len(rest):
            raise Truncated("length does not fit", offset=6, limit=length)
        (ops_size,) = _LENGTH.unpack_from(rest)
        pos = 4 + ops_size
        if pos > end:
            raise Truncated("operations run past the end", offset=4, limit=end)
        colls, pos = _take_table(rest, pos, end, Coll, _Colls)
        objects, pos = _take_table(rest, pos, end, GHObject, _Objects)
        count, _, _, _, flags = _SUMMARY.unpack_from(rest, pos)
        if pos + _SUMMARY.size > end:
            raise Truncated("ends inside the summary", offset=pos, limit=end)
        if count * _OP.size > ops_size:
            raise LimitExceeded(f"{count} operations in {ops_size} bytes", offset=pos)
        made = cls()
        made.fadvise_flags = flags
        made._colls, made._objects = colls, objects
        made._read_ops(rest[4 : 4 + count * _OP.size], data)
        return made, end

    def _read_ops(self, raw: bytes, data: memoryview) -> None:
        colls, objects = list(self._colls), list(self._objects)
        ops, unpack = self.ops, _LENGTH.unpack_from
        # what is short is read from bytes: that takes a third of the time
        left: Buffer = data.tobytes() if len(data) < _VIEWED_FROM else data
        pos = 0
        for code, cid, oid, offset, length, dest_cid, dest_oid, *others in _OP.iter_unpack(raw):
            layout = _LAYOUT.get(code)
            if layout is None:
                raise WireError(f"transaction operation {code} is not known")
            uses, payload = layout
            try:
                if uses == "co":  # nearly all
                    op = TxnOp(code, colls[cid], objects[oid], offset, length, None, None, *others)
                else:
                    op = TxnOp(
                        code,
                        colls[cid] if "c" in uses else None,
                        objects[oid] if "o" in uses else None,
                        offset,
                        length,
                        colls[dest_cid] if "C" in uses else None,
                        objects[dest_oid] if "O" in uses else None,
                        *others,
                    )
            except IndexError:
                raise WireError("operation names what is in no table") from None
            if code == _WRITE:
                (size,) = unpack(left, pos)
                start, pos = pos + 4, pos + 4 + size
                if pos > len(left):
                    raise Truncated("length runs past the data", offset=start, limit=len(left))
                if size != length:
                    raise WireError(f"write of {length} bytes with {size} bytes of data")
                op.data = left[start:pos] if size >= _VIEWED_FROM else bytes(left[start:pos])
                if left is data and len(data) - pos < _VIEWED_FROM:
                    left, pos = data[pos:].tobytes(), 0
            elif payload:
                pos = _take_payload(op, payload, left, pos)
            ops.append(op)

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        shown = []
        for op in self.ops:
            entry: dict[str, Any] = {"op_name": TxnOpCode(op.op).name.lower()}
            for name in ("cid", "oid", "dest_cid", "dest_oid"):
                if getattr(op, name) is not None:
                    entry[name] = str(getattr(op, name))
            for name in ("offset", "length", "dest_offset", "hint", "split_bits", "split_rem"):
                if getattr(op, name):
                    entry[name] = getattr(op, name)
            if op.name:
                entry["name"] = op.name
            if op.attrs:
                entry["attrs"] = list(op.attrs)
            if op.keys:
                entry["keys"] = op.keys
            shown.append(entry)
        return {"ops": shown}


_OPERATIONS = Operations(NAMES, TxnOp, Transaction, Coll, KNOWN_COLLS)
"""Reads and writes transactions on one object, which nearly all are; the rest is read here."""
_add = _OPERATIONS.add


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _in_order(entries: Mapping[str, bytes]) -> dict[str, bytes]:
    """`entries` sorted as upstream's maps sort them."""
    ordered = in_order(entries)
    if ordered is None:
        return {key: entries[key] for key in sorted(entries, key=_raw)}
    return ordered


def _by_number(numbers: dict[_T, int]) -> dict[_T, int]:
    """The table in order of its numbers, which must be all from 0 on."""
    if len(numbers) == 1 and 0 in numbers.values():
        return numbers
    ordered = dict(sorted(numbers.items(), key=lambda entry: entry[1]))
    if list(ordered.values()) != list(range(len(ordered))):
        raise WireError("table does not number its entries from 0 on")
    return ordered


def _take_table(
    buf: bytes, pos: int, end: int, kind: type[Any], table: type[_Colls | _Objects]
) -> tuple[dict[Any, int], int]:
    """Reads a table; most are of one entry."""
    if buf[pos : pos + 4] == _ONE:
        name, after = kind._dec(buf, pos + 4, end, 0)
        if buf[after : after + 4] == _ZERO and after + 4 <= end:
            return {name: 0}, after + 4
    numbers, pos = table._dec(buf, pos, end, 0)
    return _by_number(numbers.entries), pos


def _put_table(out: bytearray, numbers: Mapping[Any, int], kind: type[_Colls | _Objects]) -> None:
    """Appends a table; most are of one entry."""
    if len(numbers) != 1:
        kind(numbers)._enc(out, 0)
        return
    ((name, number),) = numbers.items()
    out += _ONE
    name._enc(out, 0)
    out += _LENGTH.pack(number)


def _put_bytes(data: bytearray, value: Buffer) -> None:
    data += _LENGTH.pack(len(value))
    data += value


def _put_payload(data: bytearray, op: TxnOp) -> None:
    """Appends what an operation has among the data."""
    for kind in _LAYOUT[op.op][1]:
        if kind == "n":
            _put_bytes(data, _raw(op.name))
        elif kind == "d":
            _put_bytes(data, op.data)
        elif kind == "m":
            data += _LENGTH.pack(len(op.attrs))
            for name, value in op.attrs.items():
                _put_bytes(data, _raw(name))
                _put_bytes(data, value)
        else:
            if kind == "k":
                data += _LENGTH.pack(len(op.keys))
            for key in op.keys:
                _put_bytes(data, _raw(key))


def _take_bytes(data: Buffer, pos: int) -> tuple[int, int]:
    """Where the bytes behind a length at `pos` begin and end."""
    (size,) = _LENGTH.unpack_from(data, pos)
    start = pos + 4
    if start + size > len(data):
        raise Truncated("length runs past the data", offset=pos, limit=len(data))
    return start, start + size


def _take_text(data: Buffer, pos: int) -> tuple[str, int]:
    start, end = _take_bytes(data, pos)
    return str(data[start:end], "utf-8", "surrogateescape"), end


def _take_payload(op: TxnOp, payload: str, data: Buffer, pos: int) -> int:
    """Reads what an operation has among the data; returns the position after it."""
    for kind in payload:
        if kind == "n":
            op.name, pos = _take_text(data, pos)
        elif kind == "d":
            start, pos = _take_bytes(data, pos)
            op.data = bytes(data[start:pos])
        elif kind == "m":
            count = _count(data, pos, 8)
            pos += 4
            for _ in range(count):
                name, pos = _take_text(data, pos)
                start, pos = _take_bytes(data, pos)
                op.attrs[name] = bytes(data[start:pos])
        else:
            count = 2
            if kind == "k":
                count = _count(data, pos, 4)
                pos += 4
            for _ in range(count):
                key, pos = _take_text(data, pos)
                op.keys.append(key)
    return pos


def _count(data: Buffer, pos: int, least: int) -> int:
    (count,) = _LENGTH.unpack_from(data, pos)
    if count > (len(data) - pos - 4) // least:
        raise LimitExceeded(f"count {count} does not fit the data", offset=pos, limit=len(data))
    return int(count)
