"""What the store on disk knows of one object: its onode, and shards that map blocks to the disk.

A shard has the addresses and checksums of 64 blocks of 4 KiB of the object. Objects of one shard
have it in the onode's record; larger ones have a record for each shard, read when it is needed.
Changed by `content` and `writing`, kept by `cache`; the encodings are here.

An address is the number of a block of the disk; 0 is a hole. With `SHARED` other objects may have
the block, too (how many: `shared`). With `COMPRESSED` it is no block, but a blob of the shard and
the number of a block within what that decompresses to.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from spirula.kernels.records import onode_record, shard_record
from spirula.store.checksums import CODES, WIDTHS, ChecksumType, unpacked
from spirula.store.disk.layout import (
    SHARD_BLOCKS,
    SHARD_SIZE,
    Named,
    check_version,
    damaged,
)
from spirula.store.keyvalue import key_text
from spirula.types.hobject import GHObject

COMPRESSED = 1 << 63
SHARED = 1 << 62
FLAGS = COMPRESSED | SHARED

Run = tuple[int, int, int]
"""First block within the shard, address of it, and how many follow one another."""

_VERSION = 1
_ONODE = struct.Struct("<BBQQQQQQQIHIH")
_ATTR = struct.Struct("<HI")
INLINE = 1
_SHARD = struct.Struct("<BBBBB")
_RUN = struct.Struct("<QB")
_ONE_BLOCK = struct.Struct("<BBBBBQBI")
_CRC32C = int(ChecksumType.CRC32C)
_BLOB = struct.Struct("<HBBHIIIB")
_EXTENT = struct.Struct("<QB")
_ONODE_COST = 900
_SHARD_COST = 450
NO_ATTRS: dict[str, bytes] = {}
NO_HINT = (0, 0, 0)
_NOTHING_REWRITTEN = (None, 0)


@dataclass(slots=True, frozen=True)
class Blob:
    """Compressed data on the disk: whole blocks, of which `stored` bytes count.

    `extents`: first blocks and counts. `crc` is the CRC-32C of the stored bytes. If `shared`, how
    many shards have the blob is counted at its first block.
    """

    algorithm: int
    blocks: int
    """Blocks that it decompresses to."""
    stored: int
    crc: int
    extents: tuple[tuple[int, int], ...]
    shared: bool = False

    @property
    def allocated(self) -> int:
        """Blocks that it takes."""
        return sum(count for _, count in self.extents)


class Shard:
    """64 blocks of an object. The arrays are as long as what they hold: the last is no hole."""

    __slots__ = ("addresses", "blobs", "kind", "runs_", "sums")

    def __init__(
        self,
        kind: ChecksumType,
        addresses: array[int] | None = None,
        sums: array[int] | None = None,
        blobs: dict[int, Blob] | None = None,
    ) -> None:
        self.kind = kind
        self.addresses: array[int] = array("Q") if addresses is None else addresses
        self.sums: array[int] = array(CODES[kind]) if sums is None else sums
        self.blobs: dict[int, Blob] = {} if blobs is None else blobs
        self.runs_: list[Run] | None = None

    def copy(self) -> Shard:
        """An independent shard with the same content."""
        made = Shard(self.kind, self.addresses[:], self.sums[:], self.blobs.copy())
        made.runs_ = self.runs_
        return made

    def restore(self, other: Shard) -> None:
        """Become what `other` is; that must not be used any more."""
        self.addresses, self.sums, self.blobs = other.addresses, other.sums, other.blobs
        self.kind, self.runs_ = other.kind, other.runs_

    def reach(self, count: int) -> None:
        """Make the arrays at least this long."""
        short = count - len(self.addresses)
        if short > 0:
            self.addresses.extend([0] * short)
            self.sums.extend([0] * short)

    def trim(self) -> None:
        """Cut holes off the end, after blocks were dropped."""
        addresses = self.addresses
        end = len(addresses)
        while end and not addresses[end - 1]:
            end -= 1
        del addresses[end:]
        del self.sums[end:]
        self.runs_ = None

    def runs(self) -> list[Run]:
        """All that is no hole, in as few pieces as there are; who changes addresses forgets it."""
        found = self.runs_
        if found is None:
            found = self.runs_ = _runs_of(self.addresses)
        return found

    def runs_between(self, start: int, stop: int) -> Iterator[Run]:
        """The runs of the blocks from `start` on and before `stop`."""
        for first, address, count in self.runs():
            if first >= stop:
                return
            end = first + count
            if end > start:
                low = max(start, first)
                yield low, address + low - first, min(end, stop) - low


def _runs_of(addresses: array[int]) -> list[Run]:
    count = len(addresses)
    if not count:
        return []
    first = addresses[0]
    if count == 1 and first:
        return [(0, first, 1)]
    if first and addresses == array("Q", range(first, first + count)):
        return [(0, first, count)]
    found = []
    start, begin, following = 0, 0, 0
    for at, address in enumerate(addresses):
        if address != following or not address:
            if begin:
                found.append((start, begin, at - start))
            start, begin = at, address
        following = address + 1
    if begin:
        found.append((start, begin, count - start))
    return found


class Onode:
    """One object. `attrs` is replaced as a whole, never changed.

    `key` is that of its record, `pool` where its space is counted, `stored` the bytes of data in
    it, `omap_bytes` those of its omap's keys and values, `present` has a bit for each shard that
    is not empty. `inline`: shard 0 is in the object's record on disk. `packed` is the record of
    shard 0 where nobody has looked into it since it was made: it is not in `shards` then. `there`:
    it is not removed. `pins` counts the queued changes of it, `used` marks it for the cache, which
    counts `cost` bytes for it. `rewritten` is the key of its omap that was last written over (a
    PG's fast info is, with each write), and how long its value is.
    """

    __slots__ = (
        *("attrs", "cost", "header", "hint", "inline", "key", "nid", "oid", "omap_bytes"),
        *("omap_id", "packed", "pins", "pool", "present", "rewritten", "shards", "size", "stored"),
        *("there", "used"),
    )

    def __init__(self, oid: GHObject, key: bytes, nid: int, pool: int) -> None:
        self.oid = oid
        self.key = key
        self.nid = nid
        self.pool = pool
        self.size = self.stored = self.omap_id = self.omap_bytes = self.present = 0
        self.attrs: dict[str, bytes] = NO_ATTRS
        self.header = self.packed = b""
        self.hint = NO_HINT
        self.rewritten: tuple[bytes | None, int] = _NOTHING_REWRITTEN
        self.inline = self.there = True
        self.used = False
        self.shards: dict[int, Shard] = {}
        self.pins = self.cost = 0

    def restore(self, state: tuple[object, ...]) -> None:
        """Become what it was when `state_of` gave this; shards are another matter.

        With `NEW` it becomes no object at all, which nobody may have any more.
        """
        for name, value in zip(_CHANGING, state, strict=True):
            setattr(self, name, value)

    def estimate(self) -> int:
        """About how many bytes of memory it takes."""
        cost = _ONODE_COST + len(self.header)
        attrs = self.attrs
        if attrs:
            cost += sum(map(len, attrs.values())) + 120 * len(attrs)
        if self.shards:
            for shard in self.shards.values():
                cost += _SHARD_COST + 12 * len(shard.addresses)
        return cost


_CHANGING = (
    *("oid", "key", "size", "stored", "attrs", "omap_id", "omap_bytes", "header", "hint"),
    *("present", "inline", "there", "rewritten"),
)
state_of: Callable[[Onode], tuple[object, ...]] = attrgetter(*_CHANGING)
"""What a transaction may change of an onode, apart from its shards."""


NEW: tuple[Any, ...] = state_of(Onode(GHObject(), b"", 0, 0))
"""What an object is that was not there before."""


def taken(state: tuple[Any, ...]) -> tuple[int, int]:
    """Bytes of data and of omap and its header, of what `state_of` gave."""
    return state[3], state[6] + len(state[7])


# --- encodings ---


def encode_onode(onode: Onode) -> bytes:
    """The record of an object.

    u8 version, u8 flags (1: a shard follows at the end), u64 id, size, stored, id of the omap,
    bytes of the omap, and of the hint: object's size, write's size; u32 its flags; u16 length of
    the bits of shards that there are, u32 length of the omap's header, u16 number of attributes;
    the bits (little-endian), the header; of each attribute u16 and u32 lengths, name, value.
    """
    inline, present, shard = onode.size <= SHARD_SIZE, onode.present, b""
    if inline and present:
        shard = onode.packed or encode_shard(onode.shards[0])
    return onode_record(
        INLINE if inline else 0,
        onode.nid,
        onode.size,
        onode.stored,
        onode.omap_id,
        onode.omap_bytes,
        onode.hint,
        b"\1" if present == 1 else present.to_bytes((present.bit_length() + 7) >> 3, "little"),
        onode.header,
        onode.attrs,
        shard,
    )


def decode_onode(oid: GHObject, key: bytes, value: bytes) -> Onode:
    """The inverse of `encode_onode`. InputOutput if the record is damaged."""
    what = Named("object {}", oid)
    try:
        (
            version,
            flags,
            nid,
            size,
            stored,
            omap_id,
            omap_bytes,
            object_size,
            write_size,
            hint_flags,
            bits,
            header_length,
            count,
        ) = _ONODE.unpack_from(value)
        check_version(what, version)
        at = _ONODE.size + bits
        present = int.from_bytes(value[_ONODE.size : at], "little")
        header = value[at : at + header_length]
        at += header_length
        attrs = {}
        for _ in range(count):
            name_length, length = _ATTR.unpack_from(value, at)
            at += _ATTR.size
            name = key_text(value[at : at + name_length])
            at += name_length
            attrs[name] = value[at : at + length]
            at += length
    except struct.error as error:
        raise damaged(what, error) from None
    if at > len(value):
        raise damaged(what, "it ends within an attribute")
    made = Onode(oid, key, nid, oid.hobj.logical_pool)
    made.size, made.stored, made.attrs = size, stored, attrs
    made.omap_id, made.omap_bytes = omap_id, omap_bytes
    made.header, made.hint = header, (object_size, write_size, hint_flags)
    made.present, made.inline = present, bool(flags & INLINE)
    if made.inline and present:
        made.shards[0] = decode_shard(what, value[at:])
    return made


def encode_shard(shard: Shard) -> bytes:
    """The record of a shard.

    u8 version, kind of checksums, blocks (up to the last that is no hole), runs, blobs; of each
    run u64 address of its first block and u8 count (address 0: that many holes); the checksums of
    all blocks in their width; of each blob u16 number, u8 algorithm, u8 flags (1: shared), u16
    blocks that it decompresses to, u32 bytes stored, u32 crc, u32 0, u8 extents, and of each u64
    first block of the disk and u8 count.
    """
    kind, blobs = shard.kind, shard.blobs
    record = shard_record(kind, WIDTHS[kind], len(blobs), shard.addresses, shard.sums)
    if not blobs:
        return record
    return b"".join([record, *(_encode_blob(number, blob) for number, blob in blobs.items())])


def encode_block(address: int, crc: int) -> bytes:
    """The record of a shard of one block with a CRC-32C, as of most new objects."""
    return _ONE_BLOCK.pack(_VERSION, _CRC32C, 1, 1, 0, address, 1, crc)


def _encode_blob(number: int, blob: Blob) -> bytes:
    extents = blob.extents
    head = _BLOB.pack(
        number, blob.algorithm, blob.shared, blob.blocks, blob.stored, blob.crc, 0, len(extents)
    )
    return head + b"".join([_EXTENT.pack(*extent) for extent in extents])


def decode_shard(what: object, value: bytes) -> Shard:
    """The inverse of `encode_shard`. InputOutput if the record is damaged."""
    try:
        version, code, count, runs, blobs = _SHARD.unpack_from(value)
        check_version(what, version)
        kind = ChecksumType(code)
        at = _SHARD.size
        addresses = array("Q")
        for _ in range(runs):
            address, length = _RUN.unpack_from(value, at)
            at += _RUN.size
            addresses.extend(range(address, address + length) if address else [0] * length)
        sums, at = unpacked(kind, value, at, count)
        found = {}
        for _ in range(blobs):
            number, blob, at = _decode_blob(value, at)
            found[number] = blob
    except (struct.error, ValueError) as error:
        raise damaged(what, error) from None
    if not len(addresses) == len(sums) == count <= SHARD_BLOCKS or at != len(value):
        raise damaged(what, "its parts do not fit together")
    return Shard(kind, addresses, sums, found)


def _decode_blob(value: bytes, at: int) -> tuple[int, Blob, int]:
    number, algorithm, shared, blocks, stored, crc, _, count = _BLOB.unpack_from(value, at)
    at += _BLOB.size
    extents = []
    for _ in range(count):
        extents.append(_EXTENT.unpack_from(value, at))
        at += _EXTENT.size
    return number, Blob(algorithm, blocks, stored, crc, tuple(extents), bool(shared)), at
