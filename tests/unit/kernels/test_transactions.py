"""Both twins of the kernel for names of objects and for transactions on one of them.

What the compiled twin leaves to others (None) the code of `types` reads and writes; so the two are
compared by what comes out of all of it, with the compiled twin and without.
"""

from __future__ import annotations

import struct
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.errors import WireError
from spirula.kernels import transactions
from spirula.types import transaction as module
from spirula.types.hobject import HMAX, NOSNAP, GHObject, HObject
from spirula.types.pg import KNOWN_COLLS, Coll, PGId, SPGId
from spirula.types.transaction import Transaction, TxnOp, TxnOpCode

PURE = transactions.PureOperations(None, TxnOp, Transaction, Coll, {})
COMPILED = module._OPERATIONS
COLLS = [Coll.of(SPGId(PGId(3, 5))), Coll.of(SPGId(PGId(3, 5), 2)), Coll()]
for each in COLLS:
    Coll.decode(each.encode())  # its encoding is known from here on, and it by its encoding
KINDS = ["TOUCH", "CREATE", "WRITE", "ZERO", "TRUNCATE", "REMOVE", "SETATTR", "SETATTRS", "RMATTR"]
KINDS += ["RMATTRS", "OMAP_CLEAR", "OMAP_SETKEYS", "OMAP_RMKEYS", "OMAP_RMKEYRANGE", "TRIMCACHE"]
KINDS += ["OMAP_SETHEADER", "SETALLOCHINT"]
CODES = st.sampled_from([TxnOpCode[kind] for kind in KINDS])
U64, U32 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
TEXT = st.one_of(
    st.text("a_é\udc80", max_size=4), st.text(st.characters(codec="utf-8"), max_size=4)
)
NAMES = st.builds(
    GHObject,
    st.one_of(
        st.builds(HObject, TEXT, TEXT, U64, U32, st.just(False), TEXT, st.integers(-3, 3)),
        st.builds(HObject, oid=TEXT, snap=st.just(NOSNAP), hash=U32, pool=st.integers(-9, 9)),
        st.just(HMAX),
    ),
    st.sampled_from([2**64 - 1, 0, 7]),
    st.integers(-1, 5),
    st.sampled_from([False, False, False, True]),
)
DATA = st.one_of(st.binary(max_size=9), st.sampled_from([bytes(4095), bytes(4096), b"x" * 9000]))


@st.composite
def an_op(draw, cid, oid):
    kind = draw(CODES)
    op = TxnOp(kind, cid, oid, draw(U64), draw(U64), hint=draw(U32), split_bits=draw(U32))
    if kind == TxnOpCode.WRITE:
        op.data = draw(st.sampled_from([bytes, bytearray, memoryview]))(draw(DATA))
        op.length = len(op.data)
    elif kind in (TxnOpCode.SETATTR, TxnOpCode.OMAP_SETHEADER):
        op.data = draw(DATA)
    if kind in (TxnOpCode.SETATTR, TxnOpCode.RMATTR):
        op.name = draw(TEXT)
    if kind in (TxnOpCode.SETATTRS, TxnOpCode.OMAP_SETKEYS):
        op.attrs = draw(st.dictionaries(TEXT, st.binary(max_size=9), max_size=4))
    if kind == TxnOpCode.OMAP_RMKEYS:
        op.keys = draw(st.lists(TEXT, max_size=4))
    if kind == TxnOpCode.OMAP_RMKEYRANGE:
        op.keys = draw(st.lists(TEXT, min_size=2, max_size=2))
    return op


@st.composite
def a_transaction(draw, most=6):
    cid, oid = draw(st.sampled_from(COLLS)), draw(NAMES)
    made = Transaction()
    made.ops = draw(st.lists(an_op(cid, oid), max_size=most))
    made.fadvise_flags = draw(U32)
    if draw(st.integers(0, 7)) == 0:
        made.ops.append(draw(an_op(draw(st.sampled_from(COLLS)), draw(NAMES))))
    return made


def pure():
    return mock.patch.object(module, "_OPERATIONS", PURE)


def outcome(ask):
    try:
        return ask()
    except WireError as error:
        return type(error), str(error)


def shown(transaction):
    """All that is in a transaction, with the types that it has."""
    fields = [[(getattr(op, each)) for each in TxnOp.__slots__] for op in transaction.ops]
    kinds = [[type(each) for each in op] for op in fields]
    return fields, kinds, transaction.fadvise_flags, transaction.encode()


def fresh(transaction):
    made = Transaction()
    made.append(transaction)
    return made


def test_the_compiled_twin_is_in_use():
    assert transactions.IMPLEMENTATION == "native"
    assert transactions.Operations is not transactions.PureOperations
    assert isinstance(COMPILED, transactions.Operations)


@given(a_transaction())
def test_both_write_the_same(transaction):
    with pure():
        expected = fresh(transaction).encode()
    assert fresh(transaction).encode() == expected
    assert COMPILED.encode(fresh(transaction)) in (expected, None)


@given(a_transaction())
def test_both_read_the_same(transaction):
    for data in (transaction.encode(), bytearray(b"1" + transaction.encode() + b"behind")):
        source = data if isinstance(data, bytes) else memoryview(data)[1:]
        with pure():
            expected = shown(Transaction.decode_view(source))
        assert shown(Transaction.decode_view(source)) == expected


@given(st.data())
def test_both_say_the_same_of_damage(data):
    raw = bytearray(data.draw(a_transaction(3)).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        step = data.draw(st.sampled_from([1, 4]))
        value = data.draw(st.sampled_from([0, 1, 255, 2**31, 2**32 - 1, len(raw), len(raw) - at]))
        raw[at : at + step] = value.to_bytes(4, "little")[:step]
    raw = bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    with pure():
        expected = outcome(lambda: shown(Transaction.decode_view(raw)))
    assert outcome(lambda: shown(Transaction.decode_view(raw))) == expected
    with pure():
        expected = outcome(lambda: shown(Transaction.decode(raw)))
    assert outcome(lambda: shown(Transaction.decode(raw))) == expected


def test_what_is_usual_is_done_by_the_kernel():
    made = Transaction()
    oid = GHObject(HObject.of(3, "object", 5))
    made.create(COLLS[0], oid)
    made.write(COLLS[0], oid, 0, bytes(65536), 32)
    made.setattrs(COLLS[0], oid, {"_": b"info", "snapset": b""})
    made.set_alloc_hint(COLLS[0], oid, 1 << 22, 1 << 22, 1)
    made.omap_setkeys(COLLS[0], oid, {"_fastinfo": b"1", "0000": b"2"})
    data = COMPILED.encode(made)
    got = COMPILED.read(data)
    assert got is not None
    assert got.ops == made.ops
    assert got.ops[1].data.obj is data
    assert isinstance(got.ops[2].attrs["_"], bytes)
    for size in range(len(data) - 65536):
        assert COMPILED.read(data[:size] if size < 100 else data[: 65536 + size]) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("offset", -1),
        ("offset", 1 << 64),
        ("length", "1"),
        ("hint", 1 << 32),
        ("data", 5),
        ("data", memoryview(bytes(8))[::2]),
        ("data", memoryview(bytes(8)).cast("I")),
        ("attrs", {"a": 5}),
        ("attrs", [1]),
        ("attrs", {1: b""}),
        ("keys", [5]),
        ("keys", ("a", "b")),
        ("name", None),
        ("op", 99),
        ("cid", None),
        ("oid", "name"),
        ("dest_oid", GHObject()),
    ],
)
def test_what_is_none_is_left_to_others(field, value):
    kinds = {"data": "SETATTR", "attrs": "SETATTRS", "keys": "OMAP_RMKEYS", "name": "RMATTR"}
    op = TxnOp(TxnOpCode[kinds.get(field, "ZERO")], COLLS[0], GHObject(HObject.of(3, "a", 5)))
    setattr(op, field, value)
    made = Transaction()
    made.add(op)
    assert COMPILED.encode(made) is None
    delattr(op, field)
    assert COMPILED.encode(made) is None


def test_what_is_no_transaction_is_left_to_others():
    for odd in (None, 5, Transaction(), TxnOp(7)):
        assert COMPILED.encode(odd) is None
    for odd in (None, "text", 5, b"", bytes(10), memoryview(bytes(80)).cast("I")):
        assert COMPILED.read(odd) is None


@pytest.mark.parametrize("operations", [PURE, COMPILED], ids=["pure", "native"])
def test_operations_are_made(operations):
    cid, oid = COLLS[0], GHObject()
    ops, attrs = [], {"a": b"b"}
    operations.add(ops, 7, cid, oid)
    operations.add(ops, 10, cid, oid, 5, 3, b"abc")
    operations.add(ops, 15, cid, oid, 0, 0, b"", attrs)
    expected = [TxnOp(7, cid, oid), TxnOp(10, cid, oid, 5, 3, data=b"abc")]
    assert ops == [*expected, TxnOp(15, cid, oid, attrs=attrs)]
    assert ops[0].attrs is not ops[1].attrs
    with pytest.raises(TypeError):
        operations.add(ops, 7)


# --- names ---


def decoders(kind, general):
    names = [transactions.PureNames(HObject, GHObject), transactions.Names(HObject, GHObject)]
    return [getattr(each, kind)(general) for each in names]


GENERAL = {"hobjects": HObject._dec, "ghobjects": GHObject._decode_anew}


def general_hobject(buf, pos, end, features):
    """HObject's own decoder, which remembers nothing."""
    value, after = GENERAL["hobjects"](buf, pos, end, features)
    return value, after


@given(st.data())
def test_both_decode_names_alike(data):
    for kind, cut in (("ghobjects", lambda name: name), ("hobjects", lambda name: name.hobj)):
        general = GHObject._decode_anew if kind == "ghobjects" else general_hobject
        twins = decoders(kind, general)
        raw = bytearray(cut(data.draw(NAMES)).encode())
        raw += cut(data.draw(NAMES)).encode()
        for _ in range(data.draw(st.integers(0, 2))):
            at = data.draw(st.integers(0, len(raw) - 1))
            raw[at] = data.draw(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 255, raw[at] ^ 1]))
        raw = bytes(raw)
        end = data.draw(st.sampled_from([len(raw), len(raw), data.draw(st.integers(0, len(raw)))]))
        found = []
        for decode in (*twins, *twins):
            seen, pos = [], 0
            try:
                while pos < end:
                    value, pos = decode(raw, pos, end, 0)
                    seen.append((str(value), repr(value), hash(value), value.order, pos))
            except (WireError, struct.error, IndexError) as error:
                seen.append((type(error), str(error)))
            found.append(seen)
        assert found[0] == found[1] == found[2] == found[3]


def test_names_are_remembered_also_across_their_kinds():
    stored = GHObject(HObject.of(3, "a name of which nobody else has heard", 5))
    hobj = HObject.decode(stored.hobj.encode())
    got = GHObject.decode(stored.encode())
    assert got == stored
    assert got.hobj is hobj
    assert GHObject.decode(stored.encode()) is got
    for k in range(3000):
        HObject.decode(HObject.of(3, f"another {k}", k).encode())
    assert HObject.decode(stored.hobj.encode()) is not hobj


def test_what_holds_no_name_is_left_to_others():
    (_, decode) = decoders("hobjects", lambda *args: (args, 0))
    for args in ((b"abc", 0, 9, 0), (b"abc", -1, 3, 0), (bytearray(80), 0, 80, 0), (b"", 0, 0, 0)):
        assert decode(*args) == (args, 0)
    with pytest.raises(TypeError):
        decode(b"abc", 0)
    with pytest.raises(TypeError):
        transactions.Names(int, GHObject)
    with pytest.raises(AttributeError):
        transactions.Names(GHObject, HObject)
    with pytest.raises(TypeError):
        transactions.Operations(None, TxnOp, Transaction, Coll, KNOWN_COLLS)


# --- maps ---


@given(st.dictionaries(TEXT, st.binary(max_size=1), max_size=5), st.booleans())
def test_maps_come_in_order(entries, ordered):
    if ordered:
        entries = {key: entries[key] for key in sorted(entries, key=transactions._raw)}
    expected = transactions.pure_in_order(entries)
    found = transactions.in_order(entries)
    assert found is not entries
    if found is None and expected is not None:  # an unusual one
        assert any(not key.isascii() for key in entries)
    else:
        assert found == expected
    assert list(module._in_order(entries)) == sorted(entries, key=transactions._raw)
