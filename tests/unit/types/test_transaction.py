"""Store transactions: what goes in comes out, and what does not fit is refused."""

from __future__ import annotations

import struct

import pytest

from spirula.errors import IncompatibleVersion, WireError
from spirula.types.hobject import GHObject, HObject
from spirula.types.pg import Coll, PGId, SPGId
from spirula.types.transaction import Transaction, TxnOp, TxnOpCode

COLL = Coll.of(SPGId(PGId(1, 2)))
OTHER = Coll.of(SPGId(PGId(1, 6)))
ONE, TWO = (GHObject(HObject.of(1, name, 2)) for name in ("one", "two"))


def everything() -> Transaction:
    t = Transaction()
    t.nop()
    t.create_collection(COLL, 3)
    t.collection_hint(COLL, 1, b"hint")
    t.create(COLL, ONE)
    t.touch(COLL, TWO)
    t.write(COLL, ONE, 100, b"small", flags=4)
    t.write(COLL, ONE, 8192, bytes(10_000), flags=8)
    t.zero(COLL, ONE, 5, 6)
    t.truncate(COLL, ONE, 7)
    t.setattr(COLL, ONE, "_", b"info")
    t.setattrs(COLL, ONE, {"b": b"2", "a": b"1"})
    t.rmattr(COLL, ONE, "b")
    t.rmattrs(COLL, ONE)
    t.clone(COLL, ONE, TWO)
    t.clone_range(COLL, ONE, TWO, 1, 2, 3)
    t.omap_setkeys(COLL, ONE, {"k2": b"", "k1": b"v"})
    t.omap_rmkeys(COLL, ONE, {"k2", "k1"})
    t.omap_rmkeyrange(COLL, ONE, "a", "b")
    t.omap_setheader(COLL, ONE, b"header")
    t.omap_clear(COLL, ONE)
    t.set_alloc_hint(COLL, ONE, 1 << 22, 4096, 5)
    t.split_collection(COLL, 4, 6, OTHER)
    t.merge_collection(OTHER, COLL, 3)
    t.collection_set_bits(COLL, 3)
    t.collection_move_rename(COLL, ONE, OTHER, TWO)
    t.try_rename(COLL, TWO, ONE)
    t.remove(COLL, ONE)
    t.remove_collection(OTHER)
    return t


def test_every_operation_comes_back() -> None:
    sent = everything()
    data = sent.encode()
    for got in (Transaction.decode(data, exact=True), Transaction.decode_view(data)):
        assert [str(op) for op in got.plain()["ops"]] == [str(op) for op in sent.plain()["ops"]]
        assert got.ops == sent.ops
        assert got.fadvise_flags == 12
        assert got.encode() == sent.encode()


def test_maps_and_keys_are_sent_in_order() -> None:
    got = Transaction.decode(everything().encode())
    by_code = {op.op: op for op in got.ops}
    assert list(by_code[TxnOpCode.SETATTRS].attrs) == ["a", "b"]
    assert list(by_code[TxnOpCode.OMAP_SETKEYS].attrs) == ["k1", "k2"]
    assert by_code[TxnOpCode.OMAP_RMKEYS].keys == ["k1", "k2"]


def test_long_data_is_not_copied() -> None:
    t = Transaction()
    payload = bytes(range(256)) * 64
    t.write(COLL, ONE, 0, payload)
    assert any(part is payload for part in t.encode_parts())
    received = bytearray(t.encode())
    (op,) = Transaction.decode_view(received).ops
    assert isinstance(op.data, memoryview)
    assert op.data == payload
    received[received.index(payload)] = 7
    assert op.data[0] == 7  # it is the buffer that was received


def test_the_largest_write_is_noted() -> None:
    t = Transaction()
    t.write(COLL, ONE, 0, b"abc")
    t.write(COLL, ONE, 64, b"abcdef")
    ops, length, offset, at, _ = struct.unpack("<QIIII", t.encode()[-24:])
    assert (ops, length, offset) == (2, 6, 64)
    assert t.encode()[10 + at :].startswith(b"abcdef")


def test_appending_keeps_both() -> None:
    one, two = Transaction(), Transaction()
    one.touch(COLL, ONE)
    two.touch(OTHER, TWO)
    two.fadvise_flags = 1
    one.append(two)
    got = Transaction.decode(one.encode())
    assert [(op.cid, op.oid) for op in got.ops] == [(COLL, ONE), (OTHER, TWO)]
    assert got.fadvise_flags == 1


def test_truncation_anywhere_is_refused() -> None:
    good = everything().encode()
    for size in [*range(400), *range(400, len(good), 37)]:
        for decode in (Transaction.decode, Transaction.decode_view):
            with pytest.raises(WireError):
                decode(good[:size])


def test_operations_that_name_nothing_are_refused() -> None:
    t = Transaction()
    t.touch(COLL, ONE)
    good = t.encode()
    at = 14  # head, empty data, length of the operations
    for field, value in ((0, 99), (4, 1), (8, 1)):
        bad = bytearray(good)
        bad[at + field : at + field + 4] = struct.pack("<I", value)
        with pytest.raises(WireError):
            Transaction.decode(bytes(bad))


def test_writes_must_hold_what_they_say() -> None:
    t = Transaction()
    t.add(TxnOp(TxnOpCode.WRITE, COLL, ONE, 0, 5, data=b"abc"))
    with pytest.raises(WireError, match="5 bytes"):
        t.encode()


def test_other_versions_are_refused() -> None:
    good = everything().encode()
    for head in (b"\x08\x08", b"\x0a\x0a"):
        with pytest.raises(IncompatibleVersion):
            Transaction.decode(head + good[2:])
