"""Names of stored objects: hobject_t (what a PG holds) and ghobject_t (what a store holds).

Their order is the order of everything: listings, backfill, scrub, the store's own keys. It sorts
by the *reversed bits* of the hash, so that a PG is one contiguous range and stays so when it
splits. Formats and order: upstream `src/common/hobject.h`, `hobject.cc`, `src/include/object.h`.
"""

from __future__ import annotations

import re
import struct as _struct
from functools import total_ordering
from typing import Any, ClassVar, Self

from spirula.denc import Struct, boolean, irregular, s64, since, string, struct, u32, u64
from spirula.errors import IncompatibleVersion, Truncated
from spirula.kernels.transactions import Names

NOSNAP = 0xFFFFFFFFFFFFFFFE
"""The snapshot id of the head, the object that clients write (upstream CEPH_NOSNAP)."""
SNAPDIR = 0xFFFFFFFFFFFFFFFF
"""The id under which old releases kept an object's snapshots when it had no head."""
POOL_META = -1
POOL_TEMP_START = -2
POOL_MIN = -(1 << 63)
NO_GEN = 0xFFFFFFFFFFFFFFFF
NO_SHARD = -1

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_NIBBLES_SWAPPED = bytes((byte & 15) << 4 | byte >> 4 for byte in range(256))
_PLAIN = re.compile(rb"[^%:/\x00-\x1f\x7f-\xff]*")
_KEY_ESCAPES = str.maketrans({"%": "%p", ".": "%e", "_": "%u"})
_TEXT = re.compile(r"(-?\d+):([0-9a-fA-F]+):([^:]*):([^:]*):([^:]*):([0-9a-fA-F]+|head|snapdir)")


def reverse_bits(value: int) -> int:
    """A 32-bit number with its bits in the opposite order."""
    return int.from_bytes(value.to_bytes(4, "little").translate(_REVERSED), "big")


def reverse_nibbles(value: int) -> int:
    """A 32-bit number with its hexadecimal digits in the opposite order."""
    return int.from_bytes(value.to_bytes(4, "little").translate(_NIBBLES_SWAPPED), "big")


def snap_name(snap: int) -> str:
    """`head`, `snapdir` or the id in hexadecimal, as upstream prints snapshots."""
    return {NOSNAP: "head", SNAPDIR: "snapdir"}.get(snap) or f"{snap:x}"


def _escaped(text: str) -> str:
    raw = text.encode("utf-8", "surrogateescape")
    if _PLAIN.fullmatch(raw):
        return text
    return "".join(
        f"%{byte:02x}" if byte in b"%:/" or byte < 32 or byte >= 127 else chr(byte) for byte in raw
    )


def _unescaped(text: str) -> str:
    raw = re.sub(
        rb"%([0-9a-fA-F]{2})",
        lambda hit: bytes([int(hit[1], 16)]),
        text.encode("utf-8", "surrogateescape"),
    )
    return raw.decode("utf-8", "surrogateescape")


@struct(name="object_t", frozen=True)
class ObjectName(Struct):
    """An object's name alone."""

    name: string

    def __str__(self) -> str:
        return self.name


@struct(name="sobject_t", frozen=True)
class SObject(Struct):
    """An object's name and snapshot."""

    oid: string
    snap: u64

    def __str__(self) -> str:
        return f"{self.oid}/{snap_name(self.snap)}"


class _Ordered(Struct):
    """Base of names: a place for sort key and hash, made when they are first asked for."""

    __slots__ = ("_hash", "_order")

    @classmethod
    def _denc_compiled(cls) -> None:
        if cls._denc_compile is None:
            made: Any = cls
            made._dec = staticmethod(NAMES.hobjects(cls._dec))


@struct(name="hobject_t", version=4, compat=3, legacy=(3, 3), frozen=True)
class HObject(_Ordered):
    """An object of a pool: name, namespace, locator key, hash and snapshot.

    `key` is empty unless the object was placed by another string than its name. `max` marks
    the end of all objects; nothing else is set then. Compare and sort with `<`; `order` is the
    key it uses.
    """

    key: string
    oid: string
    snap: u64
    hash: u32
    max: boolean = since(2)
    nspace: string = since(4)
    pool: s64 = since(4, default=POOL_MIN)

    def __post_init__(self) -> None:
        self._order: tuple[Any, ...] | None = None
        self._hash = 0
        if self.max:
            # some releases wrote ends that carried more than the mark
            self.key = self.oid = self.nspace = ""
            self.snap = self.hash = 0
            self.pool = POOL_MIN
        elif self.pool == -1 and not (self.snap or self.hash or self.oid):
            self.pool = POOL_MIN  # how Hammer wrote the smallest name

    @classmethod
    def of(
        cls, pool: int, oid: str, hash: int, *, snap: int = NOSNAP, nspace: str = "", key: str = ""
    ) -> Self:
        """The name of an object; a `key` equal to the name is none."""
        return cls("" if key == oid else key, oid, snap, hash, False, nspace, pool)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `str` prints (`1:c0371625:::name:head`, `MIN`, `MAX`).

        ValueError otherwise.
        """
        if text in ("MIN", "MAX"):
            return cls(max=text == "MAX")
        match = _TEXT.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not an object like 1:c0371625:::name:head")
        pool, key_bits, nspace, key, oid, snap = match.groups()
        number = {"head": NOSNAP, "snapdir": SNAPDIR}.get(snap)
        return cls.of(
            int(pool),
            _unescaped(oid),
            reverse_bits(int(key_bits, 16) & 0xFFFFFFFF),
            snap=int(snap, 16) if number is None else number,
            nspace=_unescaped(nspace),
            key=_unescaped(key),
        )

    @property
    def order(self) -> tuple[Any, ...]:
        """The key that puts names into upstream's order."""
        if self._order is None:
            name = self.oid.encode("utf-8", "surrogateescape")
            placed_by = self.key.encode("utf-8", "surrogateescape") if self.key else name
            space = self.nspace.encode("utf-8", "surrogateescape")
            bits = reverse_bits(self.hash)
            self._order = (self.max, self.pool, bits, space, placed_by, name, self.snap)
        return self._order

    def __hash__(self) -> int:
        found = self._hash
        if not found:
            found = self._hash = hash((self.hash, self.oid, self.snap, self.pool, self.nspace))
        return found

    def __lt__(self, other: HObject) -> bool:
        return self.order < other.order

    def __le__(self, other: HObject) -> bool:
        return self.order <= other.order

    def __gt__(self, other: HObject) -> bool:
        return self.order > other.order

    def __ge__(self, other: HObject) -> bool:
        return self.order >= other.order

    @property
    def bitwise_key(self) -> int:
        """The hash as it sorts: its bits reversed; 2**32 for the end of all objects."""
        return 1 << 32 if self.max else reverse_bits(self.hash)

    @property
    def effective_key(self) -> str:
        """What the object is placed by: its locator key, else its name."""
        return self.key or self.oid

    @property
    def is_min(self) -> bool:
        """True for the name before all others."""
        return not (self.snap or self.hash or self.max) and self.pool == POOL_MIN

    @property
    def is_head(self) -> bool:
        """True when clients read and write it without naming a snapshot."""
        return self.snap == NOSNAP

    @property
    def is_snap(self) -> bool:
        """True for a clone."""
        return not self.max and self.snap not in (NOSNAP, SNAPDIR)

    @property
    def is_temp(self) -> bool:
        """True for what lives only while a recovery or a large write goes on."""
        return POOL_MIN < self.pool <= POOL_TEMP_START

    @property
    def logical_pool(self) -> int:
        """The pool that clients know, also for a temporary object."""
        return POOL_TEMP_START - self.pool if self.is_temp else self.pool

    def head(self) -> HObject:
        """The same object without a snapshot."""
        return self if self.snap == NOSNAP else self.at_snap(NOSNAP)

    def at_snap(self, snap: int) -> HObject:
        """The same object at another snapshot."""
        return HObject(self.key, self.oid, snap, self.hash, self.max, self.nspace, self.pool)

    def temp(self, name: str) -> HObject:
        """A temporary object in the same PG."""
        return HObject.of(POOL_TEMP_START - self.pool, name, self.hash)

    def boundary(self) -> HObject:
        """The smallest name with this pool and hash."""
        return self if self.max else HObject("", "", 0, self.hash, False, "", self.pool)

    def matches(self, bits: int, seed: int) -> bool:
        """True when the low `bits` bits of the hash are those of `seed`.

        The PG that it falls in.
        """
        return (self.hash ^ seed) & ((1 << bits) - 1) == 0

    def key_text(self) -> str:
        """How the name stands in omap keys of an OSD (upstream hobject_t::to_str).

        With the hash in nibbles, as names sorted in releases long gone. Not for the end of names.
        """
        pool = self.pool & 0xFFFFFFFFFFFFFFFF
        names = ".".join(text.translate(_KEY_ESCAPES) for text in (self.oid, self.key, self.nspace))
        return f"{pool:016X}.{reverse_nibbles(self.hash):08X}.{snap_name(self.snap)}.{names}"

    def __str__(self) -> str:
        if self.max:
            return "MAX"
        if self.is_min and not (self.oid or self.key or self.nspace):
            return "MIN"
        names = ":".join(_escaped(part) for part in (self.nspace, self.key, self.oid))
        return f"{self.pool}:{reverse_bits(self.hash):08x}:{names}:{snap_name(self.snap)}"

    def plain(self) -> dict[str, Any]:
        """As upstream's JSON shows it."""
        return {
            "oid": self.oid.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "key": self.key.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "snapid": self.snap - (1 << 64) if self.snap >> 63 else self.snap,
            "hash": self.hash,
            "max": int(self.max),
            "pool": self.pool,
            "namespace": self.nspace.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
        }


HMIN = HObject()
"""The name before all others."""
HMAX = HObject(max=True)
"""The end of all names."""

_TAIL = _struct.Struct("<QI?")
_GENERATION = _struct.Struct("<Qb?")


@irregular("ghobject_t")
@total_ordering
class GHObject(Struct):
    """An object of a store: a name, its generation (erasure-coded pools keep old ones) and shard.

    Never changed once made; usable as a key.
    """

    __slots__ = ("_hash", "_order", "generation", "hobj", "max", "shard")
    _denc_min_size: ClassVar[int] = 17

    def __init__(
        self,
        hobj: HObject = HMIN,
        generation: int = NO_GEN,
        shard: int = NO_SHARD,
        max: bool = False,
    ) -> None:
        self.hobj = hobj
        self.generation = generation
        self.shard = shard
        self.max = max
        self._order: tuple[Any, ...] | None = None
        self._hash: int | None = None

    @classmethod
    def pgmeta(cls, pool: int, seed: int, shard: int = NO_SHARD) -> Self:
        """The nameless object in which a PG keeps its info and log."""
        return cls(HObject("", "", NOSNAP, seed, False, "", pool), NO_GEN, shard)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `str` prints (`#1:c0371625:::name:head#`). ValueError otherwise."""
        if text in ("GHMIN", "GHMAX"):
            return cls(HMAX, max=True) if text == "GHMAX" else cls()
        parts = text.split("#")
        if len(parts) < 3:
            raise ValueError(f"{text!r} is not an object like #1:c0371625:::name:head#")
        generation = int(parts[-1], 16) if parts[-1] else NO_GEN
        shard = int(parts[0], 16) if parts[0] else NO_SHARD
        return cls(HObject.parse("#".join(parts[1:-1])), generation, shard)

    @property
    def order(self) -> tuple[Any, ...]:
        """The key that puts names into upstream's order."""
        if self._order is None:
            self._order = (self.max, self.shard, self.hobj.order, self.generation)
        return self._order

    def __lt__(self, other: GHObject) -> bool:
        return self.order < other.order

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GHObject):
            return NotImplemented
        return (
            self.hobj == other.hobj
            and self.generation == other.generation
            and self.shard == other.shard
            and self.max == other.max
        )

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.hobj, self.generation, self.shard))
        return self._hash

    @property
    def is_pgmeta(self) -> bool:
        """True for the object that holds a PG's info and log."""
        return self.hobj.pool >= 0 and not self.hobj.oid

    @property
    def is_degenerate(self) -> bool:
        """True when it has neither generation nor shard: an object of a replicated pool."""
        return self.generation == NO_GEN and self.shard == NO_SHARD

    def __repr__(self) -> str:
        return f"GHObject({self.hobj!r}, {self.generation}, {self.shard}, {self.max})"

    def __str__(self) -> str:
        if self.max:
            return "GHMAX"
        if self == GHMIN:
            return "GHMIN"
        shard = "" if self.shard == NO_SHARD else f"{self.shard:x}"
        generation = "" if self.generation == NO_GEN else f"{self.generation:x}"
        return f"{shard}#{self.hobj}#{generation}"

    def _enc(self, out: bytearray, features: int) -> None:
        o = self.hobj
        key = o.key.encode("utf-8", "surrogateescape")
        oid = o.oid.encode("utf-8", "surrogateescape")
        nspace = o.nspace.encode("utf-8", "surrogateescape")
        size = 43 + len(key) + len(oid) + len(nspace)
        out += _struct.pack("<BBII", 6, 3, size, len(key))
        out += key
        out += _struct.pack("<I", len(oid))
        out += oid
        out += _struct.pack("<QI?I", o.snap, o.hash, o.max, len(nspace))
        out += nspace
        out += _struct.pack("<qQb?", o.pool, self.generation, self.shard, self.max)

    @classmethod
    def _decode_anew(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        v = buf[pos]
        if v >= 3:
            compat, size = _struct.unpack_from("<BI", buf, pos + 1)
            pos += 6
            if compat > 6:
                raise IncompatibleVersion(f"version {v} needs a reader of {compat}", offset=pos)
            if pos + size > end:
                raise Truncated("length runs past the end", offset=pos, limit=end)
            end = after = pos + size
        else:
            pos, after = pos + 1, None
        key = nspace = ""
        maximal, pool = False, POOL_MIN
        generation, shard, top = NO_GEN, NO_SHARD, False
        if v >= 1:
            key, pos = _text_at(buf, pos, end)
        oid, pos = _text_at(buf, pos, end)
        snap, seed = _struct.unpack_from("<QI", buf, pos)
        pos += 12
        if v >= 2:
            maximal = bool(buf[pos])
            pos += 1
        if v >= 4:
            nspace, pos = _text_at(buf, pos, end)
            (pool,) = _struct.unpack_from("<q", buf, pos)
            pos += 8
        if v >= 5:
            generation, shard = _struct.unpack_from("<Qb", buf, pos)
            pos += 9
        if v >= 6:
            top = bool(buf[pos])
            pos += 1
        if pos > end:
            raise Truncated("value runs past its end", offset=pos, limit=end)
        hobj = HObject(key, oid, snap, seed, maximal, nspace, pool)
        return cls(hobj, generation, shard, top), pos if after is None else after

    def plain(self) -> dict[str, Any]:
        """As upstream's JSON shows it."""
        shown = self.hobj.plain()
        if self.generation != NO_GEN:
            shown["generation"] = self.generation
        if self.shard != NO_SHARD:
            shown["shard_id"] = self.shard
        shown["max"] = int(self.max)
        return shown


def _text_at(buf: bytes, pos: int, end: int) -> tuple[str, int]:
    (size,) = _struct.unpack_from("<I", buf, pos)
    pos += 4
    if pos + size > end:
        raise Truncated("length runs past the end", offset=pos, limit=end)
    return str(buf[pos : pos + size], "utf-8", "surrogateescape"), pos + size


NAMES = Names(HObject, GHObject)
"""What decodes both, and remembers what was decoded lately."""
_GHObject: Any = GHObject
_GHObject._dec = staticmethod(NAMES.ghobjects(GHObject._decode_anew))

GHMIN = GHObject()
"""The name before all others."""
GHMAX = GHObject(HMAX, max=True)
"""The end of all names."""
