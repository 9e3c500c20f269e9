"""Names of stored objects: their order, their text, their old encodings."""

from __future__ import annotations

import itertools
import random
import struct

import pytest

from spirula.errors import IncompatibleVersion, WireError
from spirula.types.hobject import (
    GHMAX,
    GHMIN,
    HMAX,
    HMIN,
    NOSNAP,
    POOL_MIN,
    SNAPDIR,
    GHObject,
    HObject,
    reverse_bits,
    reverse_nibbles,
)


def upstream_compare(a: HObject, b: HObject) -> int:
    """The order as upstream's cmp() goes through the fields, one after another."""
    steps = [
        (a.max, b.max),
        (a.pool, b.pool),
        (int(f"{a.hash:032b}"[::-1], 2), int(f"{b.hash:032b}"[::-1], 2)),
        (a.nspace.encode(), b.nspace.encode()),
    ]
    if a.key or b.key:
        steps.append(((a.key or a.oid).encode(), (b.key or b.oid).encode()))
    steps += [(a.oid.encode(), b.oid.encode()), (a.snap, b.snap)]
    for mine, theirs in steps:
        if mine != theirs:
            return -1 if mine < theirs else 1
    return 0


def some_objects() -> list[HObject]:
    rng = random.Random(5)
    names = ["", "a", "b", "ab", "\u00e9", "z\U0001f40c"]
    made = [
        HObject.of(
            rng.choice([-3, -1, 0, 1, 7]),
            rng.choice(names),
            rng.choice([0, 1, 2, 0x80000000, 0xFFFFFFFF, 0x12345678]),
            snap=rng.choice([0, 1, NOSNAP, SNAPDIR]),
            nspace=rng.choice(names),
            key=rng.choice(names),
        )
        for _ in range(120)
    ]
    return [*made, HMIN, HMAX]


def test_order_is_upstreams() -> None:
    for a, b in itertools.product(some_objects(), repeat=2):
        expected = upstream_compare(a, b)
        assert (a < b, a > b) == (expected < 0, expected > 0), (str(a), str(b))


def test_objects_of_a_pg_sort_together_by_reversed_hash() -> None:
    hashes = [0b000, 0b100, 0b010, 0b110, 0b001, 0b101]
    assert sorted(HObject.of(1, "o", h) for h in reversed(hashes)) == [
        HObject.of(1, "o", h) for h in hashes
    ]


def test_names_that_are_not_utf8_sort_by_their_bytes() -> None:
    broken = HObject.of(1, b"\xff".decode("utf-8", "surrogateescape"), 0)
    private = HObject.of(1, "\uffee", 0)  # ef bf ae
    assert private < broken


def test_ends_of_all_names() -> None:
    for some in some_objects()[:-2]:
        assert HMIN < some < HMAX
        assert GHMIN < GHObject(some) < GHMAX


def test_store_order_puts_shards_apart_and_generations_last() -> None:
    one, two = HObject.of(1, "a", 0), HObject.of(1, "b", 0)
    expected = [GHObject(one, 1, 0), GHObject(one, 2, 0), GHObject(two, 1, 0), GHObject(one, 1, 1)]
    shuffled = random.Random(1).sample(expected, len(expected))
    assert sorted(shuffled) == expected
    assert len({*expected, GHObject(one, 1, 0)}) == 4


@pytest.mark.parametrize(
    "text",
    [
        "1:c0371625:::rbd_header.1:head",
        "-3:00000000:ns%3a1:key:name%2f%25:1f",
        "1:ffffffff::::snapdir",
        "MIN",
        "MAX",
    ],
)
def test_text_is_read_back(text: str) -> None:
    assert str(HObject.parse(text)) == text
    inside = text if text in ("MIN", "MAX") else f"2#{text}#5"
    if text not in ("MIN", "MAX"):
        assert str(GHObject.parse(inside)) == inside


def test_text_that_is_no_object() -> None:
    for text in ("", "1:2", "1:zz:::a:head", "x:0:::a:head"):
        with pytest.raises(ValueError, match="is not an object"):
            HObject.parse(text)
    with pytest.raises(ValueError, match="is not an object"):
        GHObject.parse("1:0:::a:head")


def test_a_key_like_the_name_is_none() -> None:
    assert HObject.of(1, "same", 0, key="same").key == ""


def test_temporary_objects_stay_in_their_pg() -> None:
    made = HObject.of(3, "o", 77).temp("t")
    assert made.is_temp
    assert (made.logical_pool, made.hash) == (3, 77)


def test_an_end_with_other_fields_is_still_the_end() -> None:
    odd = bytearray(HMAX.encode())
    at = odd.index(struct.pack("<q", POOL_MIN))
    odd[at : at + 8] = struct.pack("<q", -1)
    assert HObject.decode(bytes(odd)) == HMAX


def test_the_smallest_name_as_hammer_wrote_it() -> None:
    old = HMIN.encode().replace(struct.pack("<q", POOL_MIN), struct.pack("<q", -1))
    assert HObject.decode(old) == HMIN
    old = GHMIN.encode().replace(struct.pack("<q", POOL_MIN), struct.pack("<q", -1))
    assert GHObject.decode(old) == GHMIN


def test_encodings_without_an_envelope_are_read() -> None:
    fields = struct.pack("<I3sI2sQI", 3, b"key", 2, b"id", 9, 77)
    assert HObject.decode(b"\x01" + fields) == HObject("key", "id", 9, 77)
    assert GHObject.decode(b"\x02" + fields + b"\0") == GHObject(HObject("key", "id", 9, 77))


def test_newer_and_broken_encodings() -> None:
    with pytest.raises(IncompatibleVersion):
        GHObject.decode(struct.pack("<BBI", 9, 9, 0))
    good = GHObject(HObject.of(1, "name", 5)).encode()
    for size in range(len(good)):
        with pytest.raises(WireError):
            GHObject.decode(good[:size])


def test_reversal() -> None:
    assert reverse_bits(1) == 0x80000000
    assert reverse_bits(0x12345678) == 0x1E6A2C48
    assert reverse_nibbles(0x12345678) == 0x87654321
