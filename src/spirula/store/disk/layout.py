"""What stands under which key of the engine, and how each record is encoded.

All records of the store on disk are named here; objects and their data maps are encoded in `onode`.
The engine checks its blocks' checksums, so records have none. Numbers in values are little-endian;
in keys they are big-endian, which sorts them. A value begins with the version of its format.

| kind | behind it in the key | value |
|---|---|---|
| `S` | a word | a number of the whole store: `next_id`, `journal`, `journaled`; `data` |
| `c` | a collection's name | its bits |
| `o` | `store.keys.object_key` | an object: `onode.encode_onode` |
| `x` | its id, number of the shard | where 64 blocks of its data are: `onode.encode_shard` |
| `m` | id of an omap, a key | the entry |
| `s` | number of a region of 64 blocks of the disk | how many objects share each |
| `d` | sequence of a group | the log: new contents of blocks that are not yet in their place |
| `t` | a pool | the space that it takes |
| `f`, `g` | | what is free: `freelist` |
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from spirula.errors import InputOutput
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.pg import Coll

SUPER = b"S"
COLLECTION = b"c"
OBJECT = b"o"
SHARD = b"x"
OMAP = b"m"
SHARED = b"s"
LOG = b"d"
POOL = b"t"

SHARD_BLOCKS = 64
"""Blocks of an object that one shard maps, and blocks of the disk in a region of counts."""
SHARD_SIZE = SHARD_BLOCKS * BLOCK_SIZE
FIRST_BLOCK = 2
"""The first block of the disk that objects may have: the label and the commit mark are before."""

_VERSION = 1
_ID = struct.Struct(">cQ")
_SHARD_KEY = struct.Struct(">cQI")
_NUMBER = struct.Struct("<BQ")
_BITS = struct.Struct("<BI")
_LOG_HEAD = struct.Struct("<BI")
_PIECE = struct.Struct("<QQI")
_SPACE = struct.Struct("<B6Q")
_POOL_0 = 1 << 63


class Named:
    """What a record is of, as a text only where it is told: an object's name takes 3 us."""

    __slots__ = ("_form", "_parts")

    def __init__(self, form: str, *parts: object) -> None:
        self._form = form
        self._parts = parts

    def __str__(self) -> str:
        return self._form.format(*self._parts)


def damaged(what: object, why: object) -> InputOutput:
    """The error of a record that is not what was written."""
    return InputOutput(f"the record of {what} is damaged ({why}): run spirula store fsck")


def check_version(what: object, version: int) -> None:
    """Raise InputOutput unless this code knows the version of a record."""
    if version != _VERSION:
        raise damaged(what, f"version {version}, this program knows {_VERSION}")


# --- keys ---


def shard_key(nid: int, number: int) -> bytes:
    """Shard `number` of the object with this id."""
    return _SHARD_KEY.pack(SHARD, nid, number)


def shard_range(nid: int) -> tuple[bytes, bytes]:
    """Where the keys of all shards of an object start, and end."""
    return _ID.pack(SHARD, nid), _ID.pack(SHARD, nid + 1)


def omap_prefix(omap_id: int) -> bytes:
    """What the keys of an omap start with."""
    return _ID.pack(OMAP, omap_id)


def omap_range(omap_id: int) -> tuple[bytes, bytes]:
    """Where the keys of an omap start, and end."""
    return _ID.pack(OMAP, omap_id), _ID.pack(OMAP, omap_id + 1)


def log_key(sequence: int) -> bytes:
    """The log of the group with this sequence number."""
    return _ID.pack(LOG, sequence)


def shared_key(region: int) -> bytes:
    """The counts of one region of the disk."""
    return _ID.pack(SHARED, region)


@lru_cache
def pool_key(pool: int) -> bytes:
    """The space of a pool."""
    return _ID.pack(POOL, pool + _POOL_0)


def pool_of_key(key: bytes) -> int:
    """The inverse of `pool_key`."""
    return int(_ID.unpack(key)[1]) - _POOL_0


def collection_key(cid: Coll) -> bytes:
    """A collection."""
    return COLLECTION + str(cid).encode()


def collection_of_key(key: bytes) -> Coll:
    """The inverse of `collection_key`. InputOutput if there is no such collection."""
    try:
        return Coll.parse(key[1:].decode())
    except ValueError as error:
        raise damaged("a collection", error) from None


JOURNAL = SUPER + b"journal"
"""The first record of the journal that the engine may lack: see `journaled`."""
JOURNALED = SUPER + b"journaled"
"""The last record of the journal that the engine has."""
DATA = SUPER + b"data"
"""What the group of a batch has written to new space: see `encode_pieces`."""
NEXT_ID = SUPER + b"next_id"
"""Ids of objects and omaps from this one on were never given out."""


# --- values ---


def encode_number(number: int) -> bytes:
    """A number of the whole store."""
    return _NUMBER.pack(_VERSION, number)


def decode_number(value: bytes) -> int:
    """The inverse of `encode_number`."""
    version, number = _unpacked(_NUMBER, "the store", value)
    check_version("the store", version)
    return number


def encode_bits(bits: int) -> bytes:
    """The bits of a collection."""
    return _BITS.pack(_VERSION, bits)


def decode_bits(value: bytes) -> int:
    """The inverse of `encode_bits`."""
    version, bits = _unpacked(_BITS, "a collection", value)
    check_version("a collection", version)
    return bits


@dataclass(slots=True)
class PoolSpace:
    """What the objects of a pool take, in bytes; blocks that several share are allocated once.

    `stored`: data, with whole blocks counted up to the object's end. `omap`: keys, values and
    headers. `compressed` and `original`: what is stored of compressed data, and what it is of;
    `compressed_allocated` is the part of `allocated` that it takes.
    """

    allocated: int = 0
    stored: int = 0
    omap: int = 0
    compressed: int = 0
    compressed_allocated: int = 0
    original: int = 0

    def add(self, other: PoolSpace) -> None:
        """Add every number of `other`."""
        self.allocated += other.allocated
        self.stored += other.stored
        self.omap += other.omap
        self.compressed += other.compressed
        self.compressed_allocated += other.compressed_allocated
        self.original += other.original

    def copy(self) -> PoolSpace:
        """The same numbers."""
        return PoolSpace(*self.numbers())

    def numbers(self) -> tuple[int, int, int, int, int, int]:
        """All numbers in the order of the fields."""
        return (
            self.allocated,
            self.stored,
            self.omap,
            self.compressed,
            self.compressed_allocated,
            self.original,
        )


def encode_space(space: PoolSpace) -> bytes:
    """The space of a pool."""
    return _SPACE.pack(
        _VERSION,
        space.allocated,
        space.stored,
        space.omap,
        space.compressed,
        space.compressed_allocated,
        space.original,
    )


def decode_space(value: bytes) -> PoolSpace:
    """The inverse of `encode_space`."""
    version, *numbers = _unpacked(_SPACE, "a pool's space", value)
    check_version("a pool's space", version)
    return PoolSpace(*numbers)


def encode_log(blocks: dict[int, bytes]) -> bytes:
    """The log of a group: numbers of blocks of the disk, then their contents, all 4 KiB."""
    numbers = array("Q", blocks)
    return b"".join([_LOG_HEAD.pack(_VERSION, len(blocks)), numbers.tobytes(), *blocks.values()])


def decode_log(value: bytes) -> Iterator[tuple[int, memoryview]]:
    """The inverse of `encode_log`, block by block."""
    version, count = _unpacked(_LOG_HEAD, "the log", value[: _LOG_HEAD.size])
    check_version("the log", version)
    at = _LOG_HEAD.size + 8 * count
    if len(value) != at + count * BLOCK_SIZE:
        raise damaged("the log", f"{len(value)} bytes for {count} blocks")
    numbers = array("Q", value[_LOG_HEAD.size : at])
    view = memoryview(value)
    for number in numbers:
        yield number, view[at : at + BLOCK_SIZE]
        at += BLOCK_SIZE


def encode_pieces(pieces: Iterable[tuple[int, int, int]]) -> bytes:
    """Pieces of the disk: of each the offset, the length, and a CRC-32C of its blocks' own ones."""
    return bytes([_VERSION]) + b"".join([_PIECE.pack(*piece) for piece in pieces])


def decode_pieces(value: bytes) -> Iterator[tuple[int, int, int]]:
    """The inverse of `encode_pieces`."""
    check_version("new data", value[0])
    if (len(value) - 1) % _PIECE.size:
        raise damaged("new data", f"{len(value)} bytes")
    return _PIECE.iter_unpack(value[1:])


def encode_counts(counts: array[int]) -> bytes | None:
    """The counts of a region of the disk; None if nothing of it is shared: no record then."""
    return bytes([_VERSION]) + counts.tobytes() if any(counts) else None


def decode_counts(value: bytes) -> array[int]:
    """The inverse of `encode_counts`."""
    if len(value) != 1 + 4 * SHARD_BLOCKS:
        raise damaged("shared blocks", f"{len(value)} bytes")
    check_version("shared blocks", value[0])
    return array("I", value[1:])


def _unpacked(form: struct.Struct, what: str, value: bytes) -> Iterable[int]:
    try:
        return form.unpack(value)
    except struct.error as error:
        raise damaged(what, error) from None
