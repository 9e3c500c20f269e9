"""The object class `cas`: chunks of deduplicated pools, with references from what they serve.

Layouts of its methods' arguments, and of the attribute that holds a chunk's references. They are
kept exactly (by object) while they are few, and else ever more coarsely: by hash, by pool, a bare
count. Formats: upstream `src/cls/cas/cls_cas_ops.h`, `cls_cas_internal.h`; `src/include/denc.h`.
"""

from __future__ import annotations

import struct as _struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Self

from spirula.denc import Struct, Vec, blob, irregular, string, struct, u64
from spirula.errors import IncompatibleVersion, LimitExceeded, Truncated, WireError
from spirula.types.hobject import HObject

FLAG_VERIFY: Final = 1
"""`flags` of CreateOrGetRefOp: compare the data where the chunk exists already."""

_ENVELOPE: Final = _struct.Struct("<BBI")
_MAX_VARINT_BITS: Final = 63


class RefsType(IntEnum):
    """How references are kept."""

    BY_OBJECT = 1
    BY_HASH = 2
    BY_PARTIAL = 3
    BY_POOL = 4
    COUNT = 5


@struct(name="cls_cas_chunk_create_or_get_ref_op", version=1, compat=1)
class CreateOrGetRefOp(Struct):
    """Add a reference from `source`, and make the chunk with `data` where there is none."""

    source: HObject
    flags: u64
    data: blob


@struct(name="cls_cas_chunk_get_ref_op", version=1, compat=1)
class GetRefOp(Struct):
    """Add a reference to a chunk that exists."""

    source: HObject


@struct(name="cls_cas_chunk_put_ref_op", version=1, compat=1)
class PutRefOp(Struct):
    """Drop a reference; the chunk is removed with the last one."""

    source: HObject


@struct
class ReferencesChunkOp(Struct):
    """Ask whether the object's manifest refers to the chunk of this name."""

    fp_oid: string


def _put_varint(out: bytearray, value: int) -> None:
    if value < 0 or value >> (_MAX_VARINT_BITS + 1):
        raise ValueError(f"{value} does not fit a u64")
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_signed_varint(out: bytearray, value: int) -> None:
    # As upstream, which has 64 bits for it.
    _put_varint(out, (-value << 1 | 1 if value < 0 else value << 1) & 0xFFFFFFFFFFFFFFFF)


def _get_varint(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if pos >= end:
            raise Truncated("ends inside a number", offset=pos, limit=end)
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            break
        shift += 7
        if shift > _MAX_VARINT_BITS:
            raise WireError("number is longer than 64 bits", offset=pos)
    if value >> (_MAX_VARINT_BITS + 1):
        raise WireError("number is longer than 64 bits", offset=pos)
    return value, pos


def _get_signed_varint(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    value, pos = _get_varint(buf, pos, end)
    return (-(value >> 1) if value & 1 else value >> 1), pos


def _enter(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    """Reads an envelope of struct version 1; returns where its content begins and ends."""
    if pos + _ENVELOPE.size > end:
        raise Truncated("ends inside the envelope", offset=pos, limit=end)
    version, compat, length = _ENVELOPE.unpack_from(buf, pos)
    if compat > 1:
        raise IncompatibleVersion(f"version {version} needs a reader of {compat}", offset=pos)
    start = pos + _ENVELOPE.size
    if start + length > end:
        raise Truncated("envelope runs past the end", offset=pos, limit=end)
    return start, start + length


def _wrap(out: bytearray, content: bytes | bytearray) -> None:
    out += _ENVELOPE.pack(1, 1, len(content))
    out += content


@struct(name="chunk_refs_by_object_t", version=1, compat=1)
class ChunkRefsByObject(Struct):
    """The objects that refer to the chunk, sorted, as often as they do."""

    by_object: Vec[HObject]


@irregular("chunk_refs_by_hash_t")
@dataclass(slots=True)
class ChunkRefsByHash(Struct):
    """How many references come from objects of a pool whose hash ends in certain bits.

    `by_hash` is keyed by pool and the last `hash_bits` bits (1 to 32) of the hash; `total` is the
    number of references.
    """

    total: int = 0
    hash_bits: int = 32
    by_hash: dict[tuple[int, int], int] = field(default_factory=dict)

    def _enc(self, out: bytearray, features: int) -> None:
        del features
        content = bytearray()
        _put_varint(content, self.total)
        _put_varint(content, self.hash_bits)
        _put_varint(content, len(self.by_hash))
        hash_bytes = (self.hash_bits + 7) // 8
        for (pool, hash_), count in sorted(self.by_hash.items()):
            _put_signed_varint(content, pool)
            content += hash_.to_bytes(4, "little")[:hash_bytes]
            _put_varint(content, count)
        _wrap(out, content)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        del features
        pos, end = _enter(buf, pos, end)
        total, pos = _get_varint(buf, pos, end)
        hash_bits, pos = _get_varint(buf, pos, end)
        if not 1 <= hash_bits <= 32:
            raise WireError(f"hash has {hash_bits} bits", offset=pos)
        hash_bytes = (hash_bits + 7) // 8
        number, pos = _get_varint(buf, pos, end)
        if number * (hash_bytes + 2) > end - pos:
            raise LimitExceeded("count runs past the end", offset=pos, limit=end)
        by_hash: dict[tuple[int, int], int] = {}
        for _ in range(number):
            pool, pos = _get_signed_varint(buf, pos, end)
            hash_ = int.from_bytes(buf[pos : pos + hash_bytes], "little")
            count, pos = _get_varint(buf, pos + hash_bytes, end)
            by_hash[pool, hash_] = count
        return cls(total, hash_bits, by_hash), end

    def plain(self) -> object:
        """The value as JSON can hold it."""
        refs = [{"pool": p, "hash": h, "count": n} for (p, h), n in sorted(self.by_hash.items())]
        return {"count": self.total, "hash_bits": self.hash_bits, "refs": refs}


@irregular("chunk_refs_by_pool_t")
@dataclass(slots=True)
class ChunkRefsByPool(Struct):
    """How many references come from a pool; `total` is the number of references."""

    total: int = 0
    by_pool: dict[int, int] = field(default_factory=dict)

    def _enc(self, out: bytearray, features: int) -> None:
        del features
        content = bytearray()
        _put_varint(content, self.total)
        _put_varint(content, len(self.by_pool))
        for pool, count in sorted(self.by_pool.items()):
            _put_signed_varint(content, pool)
            _put_varint(content, count)
        _wrap(out, content)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        del features
        pos, end = _enter(buf, pos, end)
        total, pos = _get_varint(buf, pos, end)
        number, pos = _get_varint(buf, pos, end)
        if number * 2 > end - pos:
            raise LimitExceeded("count runs past the end", offset=pos, limit=end)
        by_pool: dict[int, int] = {}
        for _ in range(number):
            pool, pos = _get_signed_varint(buf, pos, end)
            by_pool[pool], pos = _get_varint(buf, pos, end)
        return cls(total, by_pool), end

    def plain(self) -> object:
        """The value as JSON can hold it."""
        pools = [{"pool_id": pool, "count": n} for pool, n in sorted(self.by_pool.items())]
        return {"count": self.total, "pools": pools}


@struct(name="chunk_refs_count_t", version=1, compat=1)
class ChunkRefsCount(Struct):
    """How many references there are."""

    total: u64


AnyRefs = ChunkRefsByObject | ChunkRefsByHash | ChunkRefsByPool | ChunkRefsCount

_REFS: Final[dict[int, type[AnyRefs]]] = {
    RefsType.BY_OBJECT: ChunkRefsByObject,
    RefsType.BY_HASH: ChunkRefsByHash,
    RefsType.BY_POOL: ChunkRefsByPool,
    RefsType.COUNT: ChunkRefsCount,
}
_TYPES: Final = {refs: number for number, refs in _REFS.items()}


@irregular("chunk_refs_t")
@dataclass(slots=True)
class ChunkRefs(Struct):
    """The references to a chunk, in one of their forms."""

    refs: AnyRefs = field(default_factory=ChunkRefsByObject)

    def _enc(self, out: bytearray, features: int) -> None:
        content = bytearray([_TYPES[type(self.refs)]])
        self.refs._enc(content, features)
        _wrap(out, content)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        pos, end = _enter(buf, pos, end)
        if pos >= end:
            raise Truncated("ends before the kind of references", offset=pos, limit=end)
        kind = _REFS.get(buf[pos])
        if kind is None:
            raise WireError(f"unknown kind of references {buf[pos]}", offset=pos)
        refs, _ = kind._dec(buf, pos + 1, end, features)
        return cls(refs), end

    def plain(self) -> object:
        """The value as JSON can hold it."""
        return {"type": RefsType(_TYPES[type(self.refs)]).name.lower(), "refs": self.refs.plain()}
