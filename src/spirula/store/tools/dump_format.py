"""The file format of exported PGs: sections of a head, a body and a foot, as they come in a stream.

What `ceph-objectstore-tool --op export` writes and `import` reads. A file: the super head, a
section that begins the PG, its metadata, then for each object its beginning, data, attributes, omap
and end, and the end of the PG. Format: upstream `src/tools/RadosDump.h`, `RadosDump.cc`.
"""

from __future__ import annotations

import struct as _struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from spirula.denc import Map, Struct, blob, s8, since, string, struct, u64
from spirula.errors import LimitExceeded, Truncated, WireError
from spirula.maps.osdmap import OSDMap
from spirula.types.base import EVersion
from spirula.types.hobject import NO_GEN, NO_SHARD, GHObject, HObject
from spirula.types.object_info import ObjectInfo
from spirula.types.osd_superblock import OSDSuperblock
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import PGId, SPGId
from spirula.types.pg_info import PGInfo
from spirula.types.pg_log import PGLog, PGMissing

MAX_SECTION_SIZE = 1 << 30
"""Bytes of one section's body: data comes in pieces of 1 MiB, a PG's metadata is far below."""
VERSION = 2
DATA_SIZE = 1 << 20
"""Bytes of data in a section (upstream max_read)."""
OMAP_BATCH = 25
"""Omap entries in a section (upstream OMAP_BATCH_SIZE)."""

_SHORT_MAGIC = 0xFFCE
_SUPER_MAGIC = _SHORT_MAGIC << 16 | _SHORT_MAGIC
_END_MAGIC = 0xECFF << 16 | _SHORT_MAGIC
_SUPER = _struct.Struct("<IIII")
_HEAD = _struct.Struct("<BBIIq")
_FOOT = _struct.Struct("<BBII")
_MOST_EDGE = 1 << 16
_PIECE = 1 << 20
_METADATA_V = 6


class SectionType(IntEnum):
    """What a section holds."""

    NONE = 0
    PG_BEGIN = 1
    PG_END = 2
    OBJECT_BEGIN = 3
    OBJECT_END = 4
    DATA = 5
    ATTRS = 6
    OMAP_HDR = 7
    OMAP = 8
    PG_METADATA = 9
    POOL_BEGIN = 10
    POOL_END = 11


class Readable(Protocol):
    """A stream to read from; it may give less than was asked for, and nothing at its end."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""


class Writable(Protocol):
    """A stream that takes all it is given."""

    def write(self, data: bytes | bytearray | memoryview, /) -> object:
        """Take all of `data`."""


# --- the bodies ---


@struct(version=3, compat=2)
class PGBegin(Struct):
    """Which PG it is, and the superblock of the OSD that it comes from."""

    pgid: PGId
    superblock: OSDSuperblock
    shard: s8 = since(3, default=NO_SHARD)

    @property
    def spgid(self) -> SPGId:
        """The PG with its shard."""
        return SPGId(self.pgid, self.shard)


@struct(version=3, compat=1)
class ObjectBegin(Struct):
    """An object's name, and its info, which is among its attributes, too."""

    hobj: HObject
    generation: u64 = since(2, default=NO_GEN)
    shard: s8 = since(2, default=NO_SHARD)
    info: ObjectInfo = since(3)

    @property
    def oid(self) -> GHObject:
        """The name with generation and shard."""
        return GHObject(self.hobj, self.generation, self.shard)


@struct(version=1, compat=1)
class DataSection(Struct):
    """A piece of an object's data."""

    offset: u64
    length: u64
    data: blob


@struct(version=1, compat=1)
class AttrSection(Struct):
    """All attributes of an object."""

    attrs: Map[string, blob]


@struct(version=1, compat=1)
class OmapHeaderSection(Struct):
    """The header of an object's omap."""

    header: blob


@struct(version=1, compat=1)
class OmapSection(Struct):
    """Some entries of an object's omap."""

    entries: Map[string, blob]


@struct
class _Priors(Struct):
    items: Map[EVersion, HObject]


@dataclass(slots=True)
class Metadata:
    """What the importing OSD must know of the PG, with the map of its epoch, encoded as it was."""

    struct_v: int
    epoch: int
    info: PGInfo
    log: PGLog
    past_intervals: PastIntervals
    osdmap_raw: bytes
    missing: PGMissing
    divergent_priors: dict[EVersion, HObject] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The body of the section."""
        parts = [
            _struct.pack("<BI", self.struct_v, self.epoch),
            self.info.encode(),
            self.log.encode(),
            self.past_intervals.encode(),
            self.osdmap_raw,
            _Priors(self.divergent_priors).encode(),
            # without clean regions, as upstream has it: what is missing is copied whole
            self.missing.encode(0),
        ]
        size = sum(map(len, parts))
        return b"".join((_struct.pack("<BBI", _METADATA_V, _METADATA_V, size), *parts))

    @classmethod
    def decode(cls, body: bytes) -> tuple[Metadata, OSDMap]:
        """What is in the body of the section, and the map decoded. Raises WireError."""
        try:
            version, compat, size = _struct.unpack_from("<BBI", body)
            struct_v, epoch = _struct.unpack_from("<BI", body, 6)
        except _struct.error:
            raise Truncated("ends inside its head", path="Metadata") from None
        if compat > _METADATA_V or version < _METADATA_V:
            raise WireError(
                f"PG metadata of version {version} (for readers of {compat}); "
                f"{_METADATA_V} is what can be read, of Ceph 12.2 and later",
                path="Metadata",
            )
        if size > len(body) - 6:
            raise Truncated("runs past its section", path="Metadata", limit=len(body))
        info, pos = PGInfo.decode_from(body, 11)
        log, pos = PGLog.decode_from(body, pos)
        past_intervals, pos = PastIntervals.decode_from(body, pos)
        osdmap, end = OSDMap.decode_from(body, pos)
        raw = body[pos:end]
        priors, pos = _Priors.decode_from(body, end)
        missing, _ = PGMissing.decode_from(body, pos)
        made = cls(struct_v, epoch, info, log, past_intervals, raw, missing, priors.items)
        return made, osdmap


# --- the stream ---


class DumpWriter:
    """Writes sections to a stream. What the stream raises goes through."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self.size = 0
        """Bytes written so far."""

    def start(self) -> None:
        """Write what a file begins with."""
        self._write(_SUPER.pack(_SUPER_MAGIC, VERSION, _HEAD.size, _FOOT.size))

    def section(self, kind: SectionType, *body: bytes | memoryview) -> None:
        """Write a section of these bytes, which may come in pieces."""
        size = sum(map(len, body))
        self._write(_head(kind, size))
        for piece in body:
            self._write(piece)
        self._write(_FOOT.pack(1, 1, 4, _END_MAGIC))

    def data(self, offset: int, asked: int, data: bytes) -> None:
        """Write a piece of data that was asked for with length `asked`."""
        head = _struct.pack("<BBIQQI", 1, 1, 20 + len(data), offset, asked, len(data))
        self.section(SectionType.DATA, head, data)

    def mark(self, kind: SectionType) -> None:
        """Write a section without a body, which has no foot."""
        self._write(_head(kind, 0))

    def _write(self, data: bytes | memoryview) -> None:
        self._stream.write(data)
        self.size += len(data)


def _head(kind: SectionType, size: int) -> bytes:
    return _HEAD.pack(1, 1, 12, kind << 24 | kind << 16 | _SHORT_MAGIC, size)


class DumpReader:
    """Reads sections from a stream.

    Raises WireError where the file is damaged, Truncated where it ends, with the offset in it.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._head_size = self._foot_size = 0
        self.position = 0
        """Bytes read so far."""
        self.section_at = 0
        """Where in the file the last section began."""

    def start(self) -> None:
        """Read what a file begins with, and check that it is one that we can read."""
        magic, version, head_size, foot_size = _SUPER.unpack(self._read(_SUPER.size))
        if magic != _SUPER_MAGIC:
            raise self._error("not a file of an exported PG")
        if version > VERSION:
            raise self._error(f"export of version {version}, {VERSION} is the newest known")
        if not (_HEAD.size <= head_size < _MOST_EDGE and _FOOT.size <= foot_size < _MOST_EDGE):
            raise self._error(f"heads of {head_size} and feet of {foot_size} bytes cannot be")
        self._head_size, self._foot_size = head_size, foot_size

    def section(self) -> tuple[int, bytes]:
        """The next section: its type, which may be one of no SectionType, and its body."""
        at = self.section_at = self.position
        _, compat, _, kind, size = _HEAD.unpack_from(self._read(self._head_size))
        if kind & 0xFFFF != _SHORT_MAGIC or kind >> 24 != kind >> 16 & 0xFF or compat > 1:
            raise self._error("no section begins", at)
        if size < 0 or size > MAX_SECTION_SIZE:
            raise LimitExceeded(f"section of {size} bytes", offset=at, limit=MAX_SECTION_SIZE)
        body = self._read(size)
        if size:
            at = self.position
            *_, magic = _FOOT.unpack_from(self._read(self._foot_size))
            if magic != _END_MAGIC:
                raise self._error("no section ends", at)
        return kind >> 24, body

    def sections(self, end: int) -> Iterator[tuple[int, bytes]]:
        """The sections before one of type `end`, which is read, too."""
        while True:
            kind, body = self.section()
            if kind == end:
                return
            yield kind, body

    def _read(self, size: int) -> bytes:
        """Exactly `size` bytes; asks for little at a time, so that a wrong size takes no memory."""
        pieces: list[bytes] = []
        left = size
        while left:
            piece = self._stream.read(min(left, _PIECE))
            if not piece:
                at = self.position + size - left
                raise Truncated(f"file ends {left} bytes before the section does", offset=at)
            pieces.append(piece)
            left -= len(piece)
        self.position += size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _error(self, reason: str, at: int = 0) -> WireError:
        return WireError(reason, offset=at)


def batches(entries: Iterable[tuple[str, bytes]], most: int) -> Iterator[dict[str, bytes]]:
    """Entries, at most this many at a time."""
    batch: dict[str, bytes] = {}
    for key, value in entries:
        batch[key] = value
        if len(batch) == most:
            yield batch
            batch = {}
    if batch:
        yield batch
