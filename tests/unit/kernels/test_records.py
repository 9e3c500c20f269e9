"""Keys and records of the store: the compiled twins make what the others make, byte for byte."""

from __future__ import annotations

import random
import struct
from array import array

import pytest

from spirula.kernels import records

NAMES = ["", "rbd_data.1.0", "a", "ab", "!#$%&|}~\x7f", "\udcff\udc80", "\u00e4\u6f22", "x" * 700]


def outcome(function, *arguments):
    """What a twin makes, or that it refuses."""
    try:
        return function(*arguments)
    except (OverflowError, TypeError, UnicodeError, ValueError, struct.error):
        return "refused"


@pytest.mark.parametrize("seed", range(60))
def test_keys_of_objects(seed):
    rng = random.Random(seed)
    arguments = (
        rng.choice([b"", b"o"]),
        rng.randrange(-128, 128),
        rng.choice([-1, 0, 7, -(1 << 63), (1 << 63) - 1]),
        rng.getrandbits(32),
        *(rng.choice([*NAMES, ""]) for _ in range(3)),
        rng.getrandbits(64),
        rng.getrandbits(64),
    )
    assert records.object_key(*arguments) == records.pure_object_key(*arguments)


@pytest.mark.parametrize("seed", range(60))
def test_records_of_objects(seed):
    rng = random.Random(seed)
    attrs = {name: rng.randbytes(rng.choice([0, 3, 70_000])) for name in rng.sample(NAMES, 3)}
    arguments = (
        rng.randrange(2),
        *(rng.getrandbits(64) for _ in range(5)),
        (rng.getrandbits(64), rng.getrandbits(64), rng.getrandbits(32)),
        rng.randbytes(rng.choice([0, 1, 5000])),
        rng.randbytes(rng.choice([0, 40])),
        rng.choice([{}, attrs]),
        rng.randbytes(rng.choice([0, 18])),
    )
    assert records.onode_record(*arguments) == records.pure_onode_record(*arguments)


@pytest.mark.parametrize("seed", range(60))
def test_records_of_shards(seed):
    rng = random.Random(seed)
    addresses = array("Q")
    for _ in range(rng.randrange(5)):
        first = rng.choice([0, 0, rng.getrandbits(62), 1 << 63 | rng.getrandbits(20)])
        length = rng.randrange(1, 13)
        addresses.extend(range(first, first + length) if first else [0] * length)
    code, width = rng.choice([("I", 0), ("I", 1), ("I", 2), ("I", 4), ("Q", 8)])
    sums = array(code, [rng.getrandbits(8 * width) for _ in addresses])
    arguments = rng.randrange(7), width, rng.randrange(9), addresses, sums
    assert records.shard_record(*arguments) == records.pure_shard_record(*arguments)


@pytest.mark.parametrize("seed", range(60))
def test_changes_in_the_journal(seed):
    rng = random.Random(seed)
    keys = [rng.randbytes(rng.randrange(9)) for _ in range(rng.randrange(9))]
    changes = {key: rng.choice([None, b"", rng.randbytes(5000)]) for key in keys}
    ranges = [(rng.randbytes(3), rng.randbytes(4)) for _ in range(rng.randrange(3))]
    made = []
    for pack in (records.pack_changes, records.pure_pack_changes):
        into = bytearray(rng.choice([100, 50_000])) if not made else bytearray(len(made[0][1]))
        size = pack(changes, ranges, into, 7)
        assert size + 7 <= len(into) or not any(into)
        made.append((size, into))
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("native", "pure", "arguments"),
    [
        ("object_key", "pure_object_key", (b"", 200, 1, 2, "", "", "", 1, 1)),
        ("object_key", "pure_object_key", (b"", 0, 1, 1 << 32, "", "", "", 1, 1)),
        ("object_key", "pure_object_key", (b"", 0, 1, 2, "", "", "\ud800", 1, 1)),
        ("object_key", "pure_object_key", (b"", 0, 1, 2, "", "", "", -1, 1)),
        ("onode_record", "pure_onode_record", (0, -1, 0, 0, 0, 0, (0, 0, 0), b"", b"", {}, b"")),
        ("onode_record", "pure_onode_record", (0, 1, 0, 0, 0, 0, (0, 0), b"", b"", {}, b"")),
        (
            *("onode_record", "pure_onode_record"),
            (0, 1, 0, 0, 0, 0, (0, 0, 0), b"", b"", {"k" * 70_000: b""}, b""),
        ),
        ("shard_record", "pure_shard_record", (4, 1, 0, array("Q", [1]), array("I", [256]))),
        ("pack_changes", "pure_pack_changes", ({b"k": "text"}, [], bytearray(99), 0)),
        ("pack_changes", "pure_pack_changes", ({}, [b"no range"], bytearray(99), 0)),
    ],
)
def test_both_refuse_what_has_no_place(native, pure, arguments):
    assert outcome(getattr(records, native), *arguments) == "refused"
    assert outcome(getattr(records, pure), *arguments) == "refused"
