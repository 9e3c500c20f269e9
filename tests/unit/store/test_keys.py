from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spirula.errors import WireError
from spirula.store.keys import collection_key_ranges, object_key, object_of_key
from spirula.store.objectstore import belongs
from spirula.types.hobject import NO_GEN, NOSNAP, GHObject, HObject, reverse_bits
from spirula.types.pg import Coll, PGId, SPGId
from tests.unit.store.conformance import obj

raw = st.one_of(
    st.sampled_from([b"", b"a", b"b", b"a!", b"a#", b"a~", b"\x7f", b"\x80", b"\xff", b"a\x00"]),
    st.binary(max_size=6),
)
texts = raw.map(lambda value: value.decode("utf-8", "surrogateescape"))
hashes = st.one_of(st.integers(0, 3), st.sampled_from([0x80000000, 0xFFFFFFFF, 0xFFFFFFFE]))
objects = st.builds(
    lambda name, hash, pool, snap, nspace, key, gen, shard: GHObject(
        HObject.of(pool, name, hash, snap=snap, nspace=nspace, key=key), gen, shard
    ),
    texts,
    hashes,
    st.sampled_from([-1, -2, -7, 0, 5, 1 << 62]),
    st.sampled_from([0, 4, NOSNAP]),
    texts,
    texts,
    st.sampled_from([0, 7, NO_GEN]),
    st.sampled_from([-1, 0, 5]),
)


@given(st.lists(objects, min_size=2, max_size=12))
@example([obj("z", key="k"), obj("b", key="k"), obj("k"), obj("b")])
@example([obj("\udc80"), obj("~"), obj("$"), obj("\x01")])
def test_keys_sort_as_objects_do(oids):
    assert sorted(oids, key=object_key) == sorted(oids)
    assert len(set(map(object_key, oids))) == len(set(oids))


@given(objects)
def test_a_key_tells_its_object(oid):
    assert object_of_key(object_key(oid)) == oid


@given(objects, st.integers(0, 32), hashes, st.booleans())
def test_a_collection_is_a_range(oid, bits, seed, meta):
    pool = max(oid.hobj.logical_pool, 0)
    cid = Coll.of(SPGId(PGId(pool, seed & (1 << bits) - 1), oid.shard))
    if meta:
        cid, bits = Coll(), 0
    inside = any(a <= object_key(oid) < b for a, b in collection_key_ranges(cid, bits))
    assert inside == belongs(cid, bits, oid)


def test_layout():
    """Beside a real BlueStore's keys: tests/interop/test_objectstore_tool.py."""
    key = object_key(obj("b%\x01~", 1, -1, nspace="n", key="k", gen=7))
    head = b"\x7f\x7f\xff\xff\xff\xff\xff\xff\xff" + reverse_bits(1).to_bytes(4, "big")
    tail = b"\xff\xff\xff\xff\xff\xff\xff\xfe" + b"\0\0\0\0\0\0\0\x07o"
    assert key == head + b"n!k!<b%#01~7e!" + tail


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        object_key(obj())[:-1],
        object_key(obj())[:14],
        object_key(obj()) + b"x",
        object_key(obj())[:-1] + b"x",
        object_key(obj("a")).replace(b"a!=", b"#61!="),
        object_key(obj("b", key="a")).replace(b">", b"<"),
        object_key(obj("b", key="a")).replace(b"a!>b!", b"a!>a!"),
    ],
)
def test_other_bytes_are_refused(wrong):
    with pytest.raises(WireError, match="no key of an object"):
        object_of_key(wrong)
