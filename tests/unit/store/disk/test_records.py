"""Records of the store on disk: what is encoded comes back, and damage is an error of the store."""

from __future__ import annotations

import random
from array import array

import pytest

from spirula.errors import InputOutput
from spirula.store.checksums import CODES, ChecksumType
from spirula.store.disk import layout
from spirula.store.disk.onode import (
    COMPRESSED,
    SHARED,
    Blob,
    Onode,
    Shard,
    decode_onode,
    decode_shard,
    encode_onode,
    encode_shard,
)
from spirula.types.pg import Coll, PGId, SPGId
from tests.unit.store.conformance import obj

WIDTHS = {
    ChecksumType.NONE: 0,
    ChecksumType.XXHASH32: 32,
    ChecksumType.XXHASH64: 64,
    ChecksumType.CRC32C: 32,
    ChecksumType.CRC32C_16: 16,
    ChecksumType.CRC32C_8: 8,
}


def random_shard(rng):
    kind = rng.choice(list(WIDTHS))
    count = rng.choice([1, 64, rng.randrange(1, 65)])
    addresses, blobs = array("Q"), {}
    while len(addresses) < count:
        length = min(rng.randrange(1, 70), count - len(addresses))
        first = rng.choice([0, rng.randrange(1, 1 << 40), SHARED | rng.randrange(1, 1 << 40)])
        if rng.random() < 0.2:
            length, name = min(length, 16), len(blobs)
            extents = ((rng.randrange(2, 1 << 40), 3), (rng.randrange(2, 1 << 40), 1))
            shared = rng.random() < 0.5
            blobs[name] = Blob(2, 16, rng.randrange(1, 65000), rng.getrandbits(32), extents, shared)
            first = COMPRESSED | name << 8
        addresses.extend(range(first, first + length) if first else [0] * length)
    addresses[-1] = addresses[-1] or 77
    sums = array(CODES[kind], [rng.getrandbits(WIDTHS[kind]) for _ in range(count)])
    return Shard(kind, addresses, sums, blobs)


def content(shard):
    return shard.kind, shard.addresses, shard.sums, shard.blobs


def random_onode(rng):
    made = Onode(obj("name"), b"okey", rng.getrandbits(64), 5)
    made.size = rng.choice([0, 5, 1 << 18, 1 << 32])
    made.stored, made.omap_id, made.omap_bytes = (rng.getrandbits(40) for _ in range(3))
    names = ["", "_", "snapset", "\udcff", "\u00e4" * 50, "k" * 256]
    made.attrs = {
        name: rng.randbytes(rng.choice([0, 9, 300, 65537]))
        for name in rng.sample(names, rng.randrange(len(names)))
    }
    made.header = rng.randbytes(rng.choice([0, 0, 40]))
    made.hint = rng.getrandbits(64), rng.getrandbits(64), rng.getrandbits(32)
    if made.size > layout.SHARD_SIZE:
        made.present, made.inline = rng.getrandbits(1 << rng.randrange(15)), False
    elif made.size and rng.random() < 0.8:
        made.present, made.shards[0] = 1, random_shard(rng)
    return made


@pytest.mark.parametrize("seed", range(100))
def test_what_is_encoded_comes_back(seed):
    rng = random.Random(seed)
    shard = random_shard(rng)
    assert content(decode_shard("it", encode_shard(shard))) == content(shard)
    onode = random_onode(rng)
    found = decode_onode(onode.oid, onode.key, encode_onode(onode))
    assert {n: content(s) for n, s in found.shards.items()} == {
        n: content(s) for n, s in onode.shards.items()
    }
    for name in (
        *("nid", "size", "stored", "attrs", "omap_id", "omap_bytes", "header", "hint", "present"),
        *("inline", "pool", "key"),
    ):
        assert getattr(found, name) == getattr(onode, name), name


def test_a_plain_overwrite_has_a_small_record():
    shard = Shard(ChecksumType.CRC32C, array("Q", range(100, 164)), array("I", [7] * 64))
    assert len(encode_shard(shard)) == 14 + 64 * 4


@pytest.mark.parametrize("seed", range(60))
def test_damage_is_an_error_of_the_store(seed):
    rng = random.Random(seed)
    onode, shard = random_onode(rng), random_shard(rng)
    log = {rng.randrange(1 << 40): rng.randbytes(4096) for _ in range(3)}
    counts = array("I", [rng.randrange(3) for _ in range(64)])
    for value, decode in (
        (encode_onode(onode), lambda value: decode_onode(onode.oid, onode.key, value)),
        (encode_shard(shard), lambda value: decode_shard("it", value)),
        (layout.encode_log(log), lambda value: list(layout.decode_log(value))),
        (layout.encode_counts(counts), layout.decode_counts),
        (layout.encode_space(layout.PoolSpace(1, 2, 3)), layout.decode_space),
        (layout.encode_number(5), layout.decode_number),
        (layout.encode_bits(5), layout.decode_bits),
    ):
        decode(value)
        with pytest.raises(InputOutput, match="damaged"):
            decode(b"\x09" + value[1:])
        with pytest.raises(InputOutput, match="damaged"):
            decode(value[: rng.randrange(len(value))])
        for _ in range(20):
            damaged = bytearray(value)
            damaged[rng.randrange(min(len(value), 200))] ^= 1 << rng.randrange(8)
            try:
                decode(bytes(damaged))
            except InputOutput as error:
                assert "fsck" in str(error)


def test_keys():
    assert layout.pool_of_key(layout.pool_key(-7)) == -7
    assert layout.pool_key(-7) < layout.pool_key(0) < layout.pool_key(1 << 40)
    for cid in (Coll(), Coll.of(SPGId(PGId(3, 31), 2))):
        assert layout.collection_of_key(layout.collection_key(cid)) == cid
    with pytest.raises(InputOutput, match="a collection is damaged"):
        layout.collection_of_key(b"cnonsense")
    start, end = layout.omap_range(5)
    assert start <= layout.omap_prefix(5) + b"\xff" * 40 < end == layout.omap_prefix(6)
    start, end = layout.shard_range(5)
    assert start == layout.shard_key(5, 0)[:9] < layout.shard_key(5, (1 << 32) - 1) < end
