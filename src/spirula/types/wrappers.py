"""Plain values that are types of their own to upstream: error codes, digests, times, file layouts.

Fields elsewhere hold the bare value; these classes are for where such a value stands alone.
Formats: upstream `src/include/types.h`, `src/include/uuid.h`, `src/include/fs_types.h`,
`src/include/encoding.h` and, for the wrappers, `src/tools/ceph-dencoder`.
"""

from __future__ import annotations

import struct as _struct
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from spirula.denc import Blob, Raw, Struct, irregular, s32, string, struct, uuid_d
from spirula.denc.features import FS_FILE_LAYOUT_V2, has
from spirula.errors import IncompatibleVersion, Truncated
from spirula.types.base import UTime


@struct(name="errorcode32_t")
class ErrorCode(Struct):
    """A result: 0 or more, or a negative errno (Linux's numbers on the wire)."""

    code: s32


@struct(name="sha256_digest_t", frozen=True)
class SHA256Digest(Struct):
    """A SHA-256 digest."""

    v: Annotated[bytes, Raw(32)]

    def __str__(self) -> str:
        return self.v.hex()


@struct(name="uuid_d", frozen=True)
class UUID(Struct):
    """A UUID alone (fields elsewhere hold its 16 bytes)."""

    bytes_: uuid_d


@struct(name=("real_time_wrapper", "coarse_real_time_wrapper"), frozen=True)
class RealTime(Struct):
    """A point in time alone."""

    time: UTime


@struct(name="timespan_wrapper", frozen=True)
class Timespan(Struct):
    """A span of time: seconds and nanoseconds, both of the same sign."""

    sec: s32
    nsec: s32

    @classmethod
    def of(cls, seconds: float) -> Self:
        """The span of that many seconds."""
        total = round(seconds * 1_000_000_000)
        sign = -1 if total < 0 else 1
        sec, nsec = divmod(abs(total), 1_000_000_000)
        return cls(sign * sec, sign * nsec)

    def __float__(self) -> float:
        return self.sec + self.nsec / 1e9

    def __bool__(self) -> bool:
        return bool(self.sec or self.nsec)


@struct(name="string_wrapper")
class StringWrapper(Struct):
    """Text alone."""

    s: string


@struct(name="sstring_wrapper", version=1, compat=1)
class ShortStrings(Struct):
    """Two texts, one behind a length of 32 bits, one behind a length of 16."""

    s1: string
    s2: Annotated[bytes, Blob("H")]


@irregular("file_layout_t")
@dataclass(slots=True)
class FileLayout(Struct):
    """How a file is cut into objects, and the pool and namespace that hold them. Sizes in bytes."""

    _denc_min_size: ClassVar[int] = 28

    stripe_unit: int = 0
    stripe_count: int = 0
    object_size: int = 0
    pool_id: int = -1
    pool_ns: str = ""

    @property
    def period(self) -> int:
        """Bytes after which the layout repeats in new objects."""
        return self.stripe_count * self.object_size

    def is_valid(self) -> bool:
        """True when sizes are whole multiples of 64 KiB and of one another."""
        unit, count, size = self.stripe_unit, self.stripe_count, self.object_size
        if not unit or unit & 0xFFFF or not size or size & 0xFFFF or not count:
            return False
        return size >= unit and size % unit == 0

    def _enc(self, out: bytearray, features: int) -> None:
        sizes = (self.stripe_unit, self.stripe_count, self.object_size)
        if not has(features, FS_FILE_LAYOUT_V2):
            pool = max(self.pool_id, 0)
            out += _struct.pack("<IIIIIIi", *sizes, 0, 0, 0, pool)
            return
        nspace = self.pool_ns.encode("utf-8", "surrogateescape")
        out += _struct.pack("<BBIIIIqI", 2, 2, 24 + len(nspace), *sizes, self.pool_id, len(nspace))
        out += nspace

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        if buf[pos] == 0:
            unit, count, size, _, _, _, pool = _struct.unpack_from("<IIIIIIi", buf, pos)
            # an empty layout of those days had pool 0 for "none"
            return cls(unit, count, size, pool if pool or unit else -1), pos + 28
        v, compat, length = _struct.unpack_from("<BBI", buf, pos)
        pos += 6
        if compat > 2:
            raise IncompatibleVersion(f"version {v} needs a reader of {compat}", offset=pos)
        after = pos + length
        unit, count, size, pool, chars = _struct.unpack_from("<IIIqI", buf, pos)
        pos += 24
        if after > end or pos + chars > after:
            raise Truncated("length runs past the end", offset=pos, limit=end)
        nspace = str(buf[pos : pos + chars], "utf-8", "surrogateescape")
        return cls(unit, count, size, pool, nspace), after

    def plain(self) -> dict[str, object]:
        """As upstream's JSON shows it."""
        return {
            "stripe_unit": self.stripe_unit,
            "stripe_count": self.stripe_count,
            "object_size": self.object_size,
            "pool_id": self.pool_id,
            "pool_ns": self.pool_ns,
        }
