"""What is stored beside an object: its info with watchers and manifest; locators and request ids.

Used by the OSD (the `_` attribute of each object), by clients (locators, request ids, watch
listings) and by recovery, which sends all of it along. Formats: upstream `src/osd/osd_types.h`,
`osd_types.cc`.
"""

from __future__ import annotations

import struct as _struct
from dataclasses import field
from enum import IntEnum, IntFlag
from typing import Annotated, Any, ClassVar, Self

from spirula.denc import (
    Blob,
    Map,
    Struct,
    Vec,
    irregular,
    removed,
    s32,
    since,
    string,
    struct,
    u8,
    u32,
    u64,
    when,
)
from spirula.denc.codecs import too_many
from spirula.denc.features import PACIFIC
from spirula.errors import IncompatibleVersion, Truncated, WireError
from spirula.kernels.layouts import closed, empty, literal, number, opened, packer, same
from spirula.records import dataclass
from spirula.types import usual
from spirula.types.base import EVersion, UTime
from spirula.types.entity import EntityAddr, EntityName
from spirula.types.hobject import NOSNAP, HObject

NO_DIGEST = 0xFFFFFFFF


@struct(name="osd_reqid_t", version=2, compat=2, frozen=True)
class OSDReqId(Struct):
    """Which request of whom: client, its transaction id, and how often the client started anew."""

    name: EntityName
    tid: u64
    inc: s32

    def __str__(self) -> str:
        return f"{self.name}.{self.inc}:{self.tid}"


@irregular("object_locator_t")
@dataclass(slots=True, unsafe_hash=True)
class ObjectLocator(Struct):
    """Where an object lives inside its pool: namespace, and a key or hash that stands for its name.

    `hash` of -1 is none; key and hash exclude each other. Only readers that know about hashes
    may read a locator that has one, so what the envelope says depends on it.
    """

    _denc_min_size: ClassVar[int] = 9

    pool: int = -1
    key: str = ""
    nspace: str = ""
    hash: int = -1

    @classmethod
    def of(cls, hobj: HObject) -> Self:
        """The locator by which `hobj` was placed."""
        return cls(hobj.pool, hobj.key, hobj.nspace)

    def _enc(self, out: bytearray, features: int) -> None:
        key = self.key.encode("utf-8", "surrogateescape")
        nspace = self.nspace.encode("utf-8", "surrogateescape")
        compat = 3 if self.hash == -1 else 6
        size = 28 + len(key) + len(nspace)
        out += _struct.pack("<BBIqiI", 6, compat, size, self.pool, -1, len(key))
        out += key
        out += _struct.pack("<I", len(nspace))
        out += nspace
        out += _struct.pack("<q", self.hash)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        v, pos, end, after = open_envelope(buf, pos, end, legacy_before=3, reads=6)
        if v >= 2:
            (pool,) = _struct.unpack_from("<q", buf, pos)
            pos += 12
        else:
            (pool,) = _struct.unpack_from("<i", buf, pos)
            pos += 6
        key, pos = _text_at(buf, pos, end)
        nspace, hash = "", -1
        if v >= 5:
            nspace, pos = _text_at(buf, pos, end)
        if v >= 6:
            (hash,) = _struct.unpack_from("<q", buf, pos)
            pos += 8
        if pos > end:
            raise Truncated("value runs past its end", offset=pos, limit=end)
        if hash != -1 and key:
            raise WireError("locator with both key and hash", offset=pos)
        return cls(pool, key, nspace, hash), pos if after is None else after

    def plain(self) -> dict[str, object]:
        """As upstream's JSON shows it."""
        names = {"key": self.key, "namespace": self.nspace}
        shown = {
            name: text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            for name, text in names.items()
        }
        return {"pool": self.pool, **shown, "hash": self.hash}


def open_envelope(
    buf: bytes, pos: int, end: int, *, legacy_before: int, reads: int
) -> tuple[int, int, int, int | None]:
    """Reads an envelope's head: version, position and end of the fields, what follows (None.

    Unknown).
    """
    v = buf[pos]
    if v < legacy_before:
        return v, pos + 1, end, None
    compat, size = _struct.unpack_from("<BI", buf, pos + 1)
    pos += 6
    if compat > reads:
        raise IncompatibleVersion(
            f"version {v} needs a reader of {compat}, this one knows {reads}", offset=pos
        )
    if pos + size > end:
        raise Truncated("length runs past the end", offset=pos, limit=end)
    return v, pos, pos + size, pos + size


def _text_at(buf: bytes, pos: int, end: int) -> tuple[str, int]:
    (size,) = _struct.unpack_from("<I", buf, pos)
    pos += 4
    if pos + size > end:
        raise Truncated("length runs past the end", offset=pos, limit=end)
    return str(buf[pos : pos + size], "utf-8", "surrogateescape"), pos + size


@struct(name="request_redirect_t", version=1, compat=1)
class RequestRedirect(Struct):
    """Where a client is told to send its request instead; `object` empty means the same name."""

    locator: ObjectLocator
    object: string
    osd_instructions: Annotated[bytes, Blob()] = removed(default=b"")


@struct(name="watch_info_t", version=4, compat=3, legacy=(3, 3))
class WatchInfo(Struct):
    """A watch that an object remembers, so that it outlives the OSD."""

    cookie: u64
    timeout_seconds: u32
    addr: EntityAddr = since(4)


@struct(name="watch_item_t", version=2, compat=1)
class WatchItem(Struct):
    """One watcher, as listing them shows it."""

    name: EntityName
    cookie: u64
    timeout_seconds: u32
    addr: EntityAddr = since(2)


@struct(name="obj_list_watch_response_t", version=1, compat=1)
class ListWatchersResponse(Struct):
    """What the `list-watchers` operation answers."""

    entries: Vec[WatchItem]


class ChunkFlag(IntFlag):
    """What is known of a chunk."""

    DIRTY = 1
    MISSING = 2
    HAS_REFERENCE = 4
    HAS_FINGERPRINT = 8


@struct(name="chunk_info_t", version=1, compat=1)
class ChunkInfo(Struct):
    """Where a piece of an object is kept: `length` bytes at `offset` of the object `oid`."""

    offset: u32
    length: u32
    oid: HObject
    flags: u32


class ManifestType(IntEnum):
    """How an object's data is kept elsewhere."""

    NONE = 0
    REDIRECT = 1
    CHUNKED = 2


@struct(name="object_manifest_t", version=1, compat=1)
class ObjectManifest(Struct):
    """Where the data of an object is: in another object, or in chunks by their offset."""

    type: u8
    redirect_target: HObject = when(f"type == {int(ManifestType.REDIRECT)}")
    chunk_map: Map[u64, ChunkInfo] = when(f"type == {int(ManifestType.CHUNKED)}")

    def __post_init__(self) -> None:
        if self.type > ManifestType.CHUNKED:
            raise WireError(f"manifest of type {self.type}")


class ObjectFlag(IntFlag):
    """What is known of an object."""

    LOST = 1 << 0
    WHITEOUT = 1 << 1
    DIRTY = 1 << 2
    OMAP = 1 << 3
    DATA_DIGEST = 1 << 4
    OMAP_DIGEST = 1 << 5
    CACHE_PIN = 1 << 6
    MANIFEST = 1 << 7
    USES_TMAP = 1 << 8
    REDIRECT_HAS_REFERENCE = 1 << 9


_NO_DIGESTS = ~int(ObjectFlag.DATA_DIGEST | ObjectFlag.OMAP_DIGEST)
_MIDDLE = _struct.Struct("<IQIQIBBIBqQiQII")
_TRUNCATE = _struct.Struct("<QQBI")
_USER_VERSION = _struct.Struct("<QI?I")
_LAST = _struct.Struct("<IIIIIQQI")
_UNWATCHED = _struct.Struct("<QQBIQI?IIIIIIQQI")
_PLAIN_LOCATOR = _struct.Struct("<BBIqiIIq")
_USES_TMAP, _MANIFEST = int(ObjectFlag.USES_TMAP), int(ObjectFlag.MANIFEST)
_NO_REQID = _struct.pack("<BBIBqQi", 2, 2, 21, 0, 0, 0, 0)
_NO_CATEGORY, _EVERSION = _struct.Struct("<I"), _struct.Struct("<QI")
_TRUNCATED_AT = _struct.Struct("<QQB")


@irregular("object_info_t")
@dataclass(slots=True)
class ObjectInfo(Struct):
    """An object's version, size, times, watchers and checksums (the attribute `_`).

    `watchers` by (cookie, client). `flags` are ObjectFlag; digests count only where a flag says so.
    What releases before 10 kept (category, locks, old watchers) is written for them and not kept.
    """

    _denc_min_size: ClassVar[int] = 6

    soid: HObject = field(default_factory=HObject)
    version: EVersion = field(default_factory=EVersion)
    prior_version: EVersion = field(default_factory=EVersion)
    last_reqid: OSDReqId = field(default_factory=OSDReqId)
    size: int = 0
    mtime: UTime = field(default_factory=UTime)
    truncate_seq: int = 0
    truncate_size: int = 0
    user_version: int = 0
    watchers: dict[tuple[int, EntityName], WatchInfo] = field(default_factory=dict)
    flags: int = 0
    local_mtime: UTime = field(default_factory=UTime)
    data_digest: int = NO_DIGEST
    omap_digest: int = NO_DIGEST
    expected_object_size: int = 0
    expected_write_size: int = 0
    alloc_hint_flags: int = 0
    manifest: ObjectManifest = field(default_factory=ObjectManifest)

    def test(self, flag: int) -> bool:
        """True when all bits of `flag` are set."""
        return self.flags & flag == flag

    def set_data_digest(self, digest: int) -> None:
        """Remembers the CRC-32C of the data."""
        self.flags |= ObjectFlag.DATA_DIGEST
        self.data_digest = digest

    def set_omap_digest(self, digest: int) -> None:
        """Remembers the CRC-32C of the omap."""
        self.flags |= ObjectFlag.OMAP_DIGEST
        self.omap_digest = digest

    def clear_digests(self) -> None:
        """Forgets both checksums."""
        self.flags &= _NO_DIGESTS
        self.data_digest = self.omap_digest = NO_DIGEST

    def encode(self, features: int = PACIFIC) -> bytes:
        """As all do; what most objects have by a plan."""
        raw = _PACK(self)
        return Struct.encode(self, features) if raw is None else raw

    def _enc(self, out: bytearray, features: int) -> None:
        start = len(out)
        out += b"\x11\x08\0\0\0\0"
        soid, flags, reqid = self.soid, int(self.flags), self.last_reqid
        soid._enc(out, features)
        if soid.key or soid.nspace:
            ObjectLocator(soid.pool, soid.key, soid.nspace)._enc(out, features)
        else:
            out += _PLAIN_LOCATOR.pack(6, 3, 28, soid.pool, -1, 0, 0, -1)
        version, prior, mtime, who = self.version, self.prior_version, self.mtime, reqid.name
        out += _MIDDLE.pack(
            *(0, version.version, version.epoch, prior.version, prior.epoch),
            *(2, 2, 21, who.type, who.num, reqid.tid, reqid.inc),
            *(self.size, mtime.sec, mtime.nsec),
        )
        out += _NO_REQID if soid.snap == NOSNAP else b"\0\0\0\0"
        local, uses_tmap = self.local_mtime, bool(flags & _USES_TMAP)
        last = (
            *(flags, local.sec, local.nsec, self.data_digest, self.omap_digest),
            *(self.expected_object_size, self.expected_write_size, self.alloc_hint_flags),
        )
        if self.watchers:
            self._put_watched(out, features, uses_tmap)
            out += _LAST.pack(*last)
        else:
            out += _UNWATCHED.pack(
                *(self.truncate_seq, self.truncate_size, flags & 1, 0),
                *(self.user_version, 0, uses_tmap, 0),
                *last,
            )
        if flags & _MANIFEST:
            self.manifest._enc(out, features)
        _struct.pack_into("<I", out, start + 2, len(out) - start - 6)

    def _put_watched(self, out: bytearray, features: int, uses_tmap: bool) -> None:
        """What stands between size and last of an object with watchers."""
        by_name: dict[EntityName, WatchInfo] = {}
        keys = sorted(self.watchers)
        for key in keys:
            by_name.setdefault(key[1], self.watchers[key])
        lost = int(self.flags) & 1
        out += _TRUNCATE.pack(self.truncate_seq, self.truncate_size, lost, len(by_name))
        for name in sorted(by_name, key=lambda each: (each.type, each.num)):
            name._enc(out, features)
            by_name[name]._enc(out, features)
        out += _USER_VERSION.pack(self.user_version, 0, uses_tmap, len(keys))
        for key in keys:
            out += key[0].to_bytes(8, "little")
            key[1]._enc(out, features)
            self.watchers[key]._enc(out, features)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        v, pos, end, after = open_envelope(buf, pos, end, legacy_before=8, reads=17)
        if after is None:
            raise IncompatibleVersion(f"object info of version {v} is older than 8", offset=pos)
        soid, pos = HObject._dec(buf, pos, end, features)
        locator, pos = ObjectLocator._dec(buf, pos, end, features)
        (category,) = _NO_CATEGORY.unpack_from(buf, pos)
        pos += 4 + category
        version, prior = (
            EVersion(*_EVERSION.unpack_from(buf, pos)),
            _EVERSION.unpack_from(buf, pos + 12),
        )
        reqid, pos = OSDReqId._dec(buf, pos + 24, end, features)
        size, sec, nsec = _struct.unpack_from("<QII", buf, pos)
        pos += 16
        if soid.snap == NOSNAP:
            _, pos = OSDReqId._dec(buf, pos, end, features)
        else:
            (count,) = _NO_CATEGORY.unpack_from(buf, pos)
            pos += 4 + 8 * count
        truncate_seq, truncate_size, flags = _TRUNCATED_AT.unpack_from(buf, pos)
        old, pos = _old_watchers(buf, pos + 17, end, features)
        (user_version,) = _struct.unpack_from("<Q", buf, pos)
        pos += 12
        if v >= 9:
            flags |= ObjectFlag.USES_TMAP if buf[pos] else 0
            pos += 1
        else:
            flags |= ObjectFlag.USES_TMAP
        if v < 10:
            soid = HObject(
                soid.key, soid.oid, soid.snap, soid.hash, soid.max, soid.nspace, locator.pool
            )
        watchers = old
        if v >= 11:
            watchers, pos = _watchers(buf, pos, end, features)
        info = cls(
            *(soid, version, EVersion(*prior), reqid, size, UTime(sec, nsec)),
            *(truncate_seq, truncate_size, user_version, watchers, int(flags)),
        )
        pos = info._read_newer(buf, pos, end, features, v)
        if pos > end:
            raise Truncated("value runs past its end", offset=pos, limit=end)
        return info, after

    def _read_newer(self, buf: bytes, pos: int, end: int, features: int, v: int) -> int:
        """Reads what came in with versions 13 to 17; returns the position after it."""
        if v >= 13:
            (self.flags,) = _struct.unpack_from("<I", buf, pos)
            pos += 4
        if v >= 14:
            self.local_mtime = UTime(*_struct.unpack_from("<II", buf, pos))
            pos += 8
        if v >= 15:
            self.data_digest, self.omap_digest = _struct.unpack_from("<II", buf, pos)
            pos += 8
        else:
            self.clear_digests()
        if v >= 16:
            hints = _struct.unpack_from("<QQI", buf, pos)
            self.expected_object_size, self.expected_write_size, self.alloc_hint_flags = hints
            pos += 20
        if v >= 17 and self.flags & ObjectFlag.MANIFEST:
            self.manifest, pos = ObjectManifest._dec(buf, pos, end, features)
        return pos

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "oid": self.soid.plain(),
            "version": str(self.version),
            "prior_version": str(self.prior_version),
            "last_reqid": str(self.last_reqid),
            "user_version": self.user_version,
            "size": self.size,
            "mtime": self.mtime.plain(),
            "local_mtime": self.local_mtime.plain(),
            "flags": [bit.name.lower() for bit in ObjectFlag if self.flags & bit and bit.name],
            "truncate_seq": self.truncate_seq,
            "truncate_size": self.truncate_size,
            "data_digest": f"0x{self.data_digest:08x}",
            "omap_digest": f"0x{self.omap_digest:08x}",
            "expected_object_size": self.expected_object_size,
            "expected_write_size": self.expected_write_size,
            "alloc_hint_flags": self.alloc_hint_flags,
            "manifest": self.manifest.plain(),
            "watchers": {str(name): info.plain() for (_, name), info in self.watchers.items()},
        }


_PACK = packer(
    opened(17, 8),
    *usual.hobject("soid"),
    same("soid.key", ""),
    same("soid.nspace", ""),
    opened(6, 3),
    number("q", "soid.pool"),
    literal(b"\xff" * 4 + bytes(8) + b"\xff" * 8),
    closed(),
    literal(usual.ZERO),
    *usual.eversion("version"),
    *usual.eversion("prior_version"),
    *usual.request_id("last_reqid"),
    number("Q", "size"),
    *usual.utime("mtime"),
    same("soid.snap", NOSNAP),
    literal(_NO_REQID),
    number("Q", "truncate_seq"),
    number("Q", "truncate_size"),
    literal(bytes(5)),
    number("Q", "user_version"),
    empty("watchers"),
    literal(bytes(9)),
    number("I", "flags", among=range(0, 64, 2)),  # neither lost nor with what stands elsewhere
    *usual.utime("local_mtime"),
    number("I", "data_digest"),
    number("I", "omap_digest"),
    number("Q", "expected_object_size"),
    number("Q", "expected_write_size"),
    number("I", "alloc_hint_flags"),
    closed(),
)

_Watchers = dict[tuple[int, EntityName], WatchInfo]


def _count_at(buf: bytes, pos: int, end: int, least: int) -> int:
    (count,) = _struct.unpack_from("<I", buf, pos)
    room = max(end - pos - 4, 0) // least
    if count > room:
        raise too_many(count, pos, room)
    return int(count)


def _old_watchers(buf: bytes, pos: int, end: int, features: int) -> tuple[_Watchers, int]:
    """Watchers as releases before 11 kept them: by client, with the cookie inside."""
    found: _Watchers = {}
    count = _count_at(buf, pos, end, EntityName._denc_min_size + 6)
    pos += 4
    for _ in range(count):
        name, pos = EntityName._dec(buf, pos, end, features)
        info, pos = WatchInfo._dec(buf, pos, end, features)
        found[info.cookie, name] = info
    return found, pos


def _watchers(buf: bytes, pos: int, end: int, features: int) -> tuple[_Watchers, int]:
    found: _Watchers = {}
    count = _count_at(buf, pos, end, EntityName._denc_min_size + 14)
    pos += 4
    for _ in range(count):
        (cookie,) = _struct.unpack_from("<Q", buf, pos)
        name, pos = EntityName._dec(buf, pos + 8, end, features)
        found[cookie, name], pos = WatchInfo._dec(buf, pos, end, features)
    return found, pos
