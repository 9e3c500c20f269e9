"""Objects as keys of a key/value engine, whose order of bytes is upstream's order of objects.

The layout is that of BlueStore's keys (upstream `src/os/bluestore/BlueStore.cc`), with two of its
flaws left out, for which BlueStore sorts its listings again: bytes above 0x7f sort as what they
are, and of one locator key smaller names come first. For the object store on disk.
"""

from __future__ import annotations

import re
import struct

from spirula.errors import WireError
from spirula.kernels.records import object_key as kernel
from spirula.types.hobject import (
    NO_SHARD,
    POOL_META,
    POOL_TEMP_START,
    GHObject,
    HObject,
    reverse_bits,
)
from spirula.types.pg import Coll, CollType

_HEAD = struct.Struct(">BQI")  # shard + 128, pool + 2**63, hash with its bits reversed
_TAIL = struct.Struct(">QQc")  # snapshot, generation, what the key is of
_POOL_0 = 1 << 63
_SHARD_0 = 128

# A string ends with "!", the first of all bytes that stand in one: what is not between "$" and "}"
# becomes "#" (smaller) or "~" (larger) and its number.
_ESCAPE = re.compile(rb"[#~]([0-9a-f]{2})")


def object_key(oid: GHObject, prefix: bytes = b"") -> bytes:
    """The key of an object behind a prefix; no two have the same, and they sort as objects do."""
    hobj = oid.hobj
    return kernel(
        prefix,
        oid.shard,
        hobj.pool,
        hobj.hash,
        hobj.nspace,
        hobj.key,
        hobj.oid,
        hobj.snap,
        oid.generation,
    )


def object_of_key(key: bytes) -> GHObject:
    """The object that has this key. Raises WireError if none has."""
    try:
        shard, pool, bits = _HEAD.unpack_from(key)
        nspace, pos = _unescaped(key, _HEAD.size)
        placed_by, pos = _unescaped(key, pos)
        relation, pos = key[pos : pos + 1], pos + 1
        name = placed_by
        if relation != b"=":
            name, pos = _unescaped(key, pos)
        snap, generation, _ = _TAIL.unpack(key[pos:])
        locator = "" if relation == b"=" else _text(placed_by)
        hash = reverse_bits(bits)
        hobj = HObject(locator, _text(name), snap, hash, False, _text(nspace), pool - _POOL_0)
        made = GHObject(hobj, generation, shard - _SHARD_0)
        if object_key(made) != key:
            raise ValueError("another key is that object's")
    except (struct.error, ValueError) as error:
        raise WireError(f"no key of an object: {error}", path="object key") from error
    return made


def collection_key_ranges(cid: Coll, bits: int) -> list[tuple[bytes, bytes]]:
    """Where the keys of a collection's objects start, and end (that is out).

    A PG has its temporary objects first. As `store.objectstore.collection_ranges`.
    """
    if cid.type == CollType.META:
        return [_range(POOL_META, NO_SHARD, 0, 0)]
    pgid = cid.pgid
    pools = (POOL_TEMP_START - pgid.pool, pgid.pool)
    return [_range(pool, pgid.shard, pgid.seed, bits) for pool in pools]


def _range(pool: int, shard: int, seed: int, bits: int) -> tuple[bytes, bytes]:
    first = _HEAD.pack(shard + _SHARD_0, pool + _POOL_0, reverse_bits(seed))
    # The end may be the start of the next pool, or shard.
    end = int.from_bytes(first, "big") + (1 << 32 - bits)
    return first, end.to_bytes(_HEAD.size, "big")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _unescaped(key: bytes, pos: int) -> tuple[bytes, int]:
    end = key.index(b"!", pos)
    return _ESCAPE.sub(lambda hit: bytes([int(hit[1], 16)]), key[pos:end]), end + 1
