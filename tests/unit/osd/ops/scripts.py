"""Requests to be carried out by two sides, whose answers and objects must then be the same.

`written` holds scripts made by hand for what is easily got wrong, `drawn` makes random ones. Used
against real OSDs (tests/interop) and against OSDs of ours.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from spirula.osd.ops.tmap import TrivialMap
from spirula.types.hobject import NOSNAP, SNAPDIR
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import (
    AllocHintArgs,
    AssertVerArgs,
    ChecksumArgs,
    ChecksumType,
    ClassArgs,
    CmpXattrMode,
    CmpXattrOp,
    CopyFromArgs,
    CopyFromFlag,
    Extent,
    OpCode,
    OpFlag,
    OSDOp,
    RequestFlag,
    SnapArgs,
    Tmap2OmapArgs,
    WatchArgs,
    WatchOp,
    WriteSameArgs,
)
from spirula.types.osd_op_payload import (
    CopyFrom2Input,
    CopyFromInput,
    OmapCmpInput,
    OmapEntries,
    OmapGetKeysInput,
    OmapGetValsInput,
    OmapKeys,
    OmapRmKeyRangeInput,
    SetChunkInput,
)
from spirula.types.snap import SnapContext

EXCL, FAILOK = OpFlag.EXCL, OpFlag.FAILOK
RETURNVEC = RequestFlag.RETURNVEC


@dataclass(slots=True, frozen=True)
class Step:
    """One request on one object."""

    name: str
    ops: tuple[OSDOp, ...]
    flags: int = 0
    snap: int = NOSNAP
    snapc: SnapContext | None = None

    def __str__(self) -> str:
        shown = ", ".join(f"{op}{' failok' if op.flags & FAILOK else ''}" for op in self.ops)
        where = "" if self.snap == NOSNAP else f"@{self.snap:x}"
        snapc = "" if self.snapc is None else f" under {self.snapc.seq}:{self.snapc.snaps}"
        flags = f" flags {self.flags:#x}" if self.flags else ""
        return f"{self.name}{where}: {shown}{snapc}{flags}"


Script = list[Step]


# --- operations, in short ---


def write(offset: int, data: bytes, seq: int = 0, size: int = 0, flags: int = 0) -> OSDOp:
    return OSDOp.make(OpCode.WRITE, Extent(offset, len(data), size, seq), data, flags)


def full(data: bytes) -> OSDOp:
    return OSDOp.make(OpCode.WRITEFULL, Extent(0, len(data)), data)


def append(data: bytes) -> OSDOp:
    return OSDOp.make(OpCode.APPEND, Extent(0, len(data)), data)


def read(offset: int = 0, length: int = 0, seq: int = 0, size: int = 0, flags: int = 0) -> OSDOp:
    return OSDOp.make(OpCode.READ, Extent(offset, length, size, seq), flags=flags)


def sparse_read(offset: int, length: int, seq: int = 0) -> OSDOp:
    return OSDOp.make(OpCode.SPARSE_READ, Extent(offset, length, 0, seq))


def truncate(size: int, seq: int = 0) -> OSDOp:
    return OSDOp.make(OpCode.TRUNCATE, Extent(size, 0, size if seq else 0, seq))


def trimtrunc(seq: int, size: int) -> OSDOp:
    return OSDOp.make(OpCode.TRIMTRUNC, Extent(0, 0, size, seq))


def zero(offset: int, length: int) -> OSDOp:
    return OSDOp.make(OpCode.ZERO, Extent(offset, length))


def same(offset: int, length: int, data: bytes) -> OSDOp:
    return OSDOp.make(OpCode.WRITESAME, WriteSameArgs(offset, length, len(data)), data)


def plain(code: OpCode, flags: int = 0) -> OSDOp:
    return OSDOp.make(code, flags=flags)


def create(flags: int = 0) -> OSDOp:
    return plain(OpCode.CREATE, flags)


def delete(flags: int = 0) -> OSDOp:
    return plain(OpCode.DELETE, flags)


def stat(flags: int = 0) -> OSDOp:
    return plain(OpCode.STAT, flags)


def failing(op: OSDOp) -> OSDOp:
    """The operation with FAILOK."""
    return OSDOp(op.op, op.flags | FAILOK, op.raw, op.payload_len, op.indata)


def setxattr(name: str, value: bytes) -> OSDOp:
    return OSDOp.xattr(OpCode.SETXATTR, name, value)


def getxattr(name: str) -> OSDOp:
    return OSDOp.xattr(OpCode.GETXATTR, name)


def rmxattr(name: str) -> OSDOp:
    return OSDOp.xattr(OpCode.RMXATTR, name)


def cmpxattr(name: str, op: int, value: bytes | int) -> OSDOp:
    if isinstance(value, int):
        raw = value.to_bytes(8, "little")
        return OSDOp.xattr(OpCode.CMPXATTR, name, raw, op, CmpXattrMode.U64)
    return OSDOp.xattr(OpCode.CMPXATTR, name, value, op, CmpXattrMode.STRING)


def cmpext(offset: int, data: bytes, seq: int = 0, size: int = 0) -> OSDOp:
    return OSDOp.make(OpCode.CMPEXT, Extent(offset, len(data), size, seq), data)


def checksum(offset: int, length: int, chunk: int, kind: int, seed: int | None = None) -> OSDOp:
    width = 8 if kind == ChecksumType.XXHASH64 else 4
    raw = b"" if seed is None else seed.to_bytes(width, "little")
    return OSDOp.make(OpCode.CHECKSUM, ChecksumArgs(offset, length, chunk, kind), raw)


def omap_set(entries: dict[str, bytes]) -> OSDOp:
    return OSDOp.make(OpCode.OMAPSETVALS, None, OmapEntries(entries).encode())


def omap_header(data: bytes) -> OSDOp:
    return OSDOp.make(OpCode.OMAPSETHEADER, None, data)


def omap_keys(after: str = "", most: int = 1 << 40) -> OSDOp:
    return OSDOp.make(OpCode.OMAPGETKEYS, None, OmapGetKeysInput(after, most).encode())


def omap_vals(after: str = "", most: int = 1 << 40, prefix: str = "") -> OSDOp:
    return OSDOp.make(OpCode.OMAPGETVALS, None, OmapGetValsInput(after, most, prefix).encode())


def omap_by_keys(*keys: str) -> OSDOp:
    return OSDOp.make(OpCode.OMAPGETVALSBYKEYS, None, OmapKeys(set(keys)).encode())


def omap_rm(*keys: str) -> OSDOp:
    return OSDOp.make(OpCode.OMAPRMKEYS, None, OmapKeys(set(keys)).encode())


def omap_rm_range(first: str, end: str) -> OSDOp:
    return OSDOp.make(OpCode.OMAPRMKEYRANGE, None, OmapRmKeyRangeInput(first, end).encode())


def omap_cmp(**assertions: tuple[bytes, int]) -> OSDOp:
    return OSDOp.make(OpCode.OMAP_CMP, None, OmapCmpInput(assertions).encode())


def rollback(snap: int) -> OSDOp:
    return OSDOp.make(OpCode.ROLLBACK, SnapArgs(snap))


def hint(object_size: int, write_size: int, flags: int) -> OSDOp:
    return OSDOp.make(OpCode.SETALLOCHINT, AllocHintArgs(object_size, write_size, flags))


def assert_version(version: int) -> OSDOp:
    return OSDOp.make(OpCode.ASSERT_VER, AssertVerArgs(0, version))


def watch(op: WatchOp, cookie: int = 7) -> OSDOp:
    return OSDOp.make(OpCode.WATCH, WatchArgs(cookie, 0, op, 0, 30))


def tmap(*commands: tuple[str, str, bytes]) -> OSDOp:
    """An update of a trivial map: letters as upstream's, keys, values."""
    out = b""
    for letter, key, value in commands:
        out += letter.encode()
        if letter != "h":
            out += len(key).to_bytes(4, "little") + key.encode()
        if letter in "hsc":
            out += len(value).to_bytes(4, "little") + value
    return OSDOp.make(OpCode.TMAPUP, None, out)


LIST_SNAPS = plain(OpCode.LIST_SNAPS)


def looks(name: str) -> Iterator[Step]:
    """Requests that show all of an object."""
    for op in (
        stat(),
        read(0, 1 << 26),
        plain(OpCode.GETXATTRS),
        omap_vals(),
        plain(OpCode.OMAPGETHEADER),
    ):
        yield Step(name, (op,))
    yield Step(name, (LIST_SNAPS,), snap=SNAPDIR)


# --- scripts ---


def written(pool: int) -> dict[str, Script]:
    """Scripts by name, for a pool of this number."""
    made: dict[str, Script] = {}

    def script(name: str, *vectors: tuple[OSDOp, ...] | Step) -> None:
        steps = [each if isinstance(each, Step) else Step(name, each) for each in vectors]
        made[name] = [*steps, *looks(name)]

    script(
        "reads",
        (stat(),),
        (read(),),
        (write(0, b"hello, world"),),
        (read(),),
        (read(5, 3),),
        (read(5, 100),),
        (read(12, 1),),
        (read(100, 1),),
        (read(3),),
        (read(0, 5), read(5, 0), stat(), read(11, 5)),
        (sparse_read(0, 100), sparse_read(3, 4), sparse_read(100, 10)),
        (plain(OpCode.SYNC_READ),),
        (sparse_read(0, 10, 1),),
        (OSDOp.make(OpCode.READ, Extent(0, 100, (1 << 64) - 1, 1)),),
        (plain(OpCode.MASKTRUNC),),
        (plain(OpCode.ISDIRTY),),
        (write(5000, b"far"), truncate(9000)),
        (read(), sparse_read(0, 9000)),
        (read(4990, 30),),
        (delete(), stat()),
        (read(),),
    )
    script(
        "writes",
        (OSDOp.make(OpCode.WRITE, Extent(0, 7), b"short"),),
        (OSDOp.make(OpCode.WRITEFULL, Extent(0, 7), b"short"),),
        (OSDOp.make(OpCode.APPEND, Extent(0, 7), b"short"),),
        (stat(),),
        (write(0, b""),),
        (stat(), read()),
        (write(10, b"ten"),),
        (write(0, b""), append(b"")),
        (write(3, b""),),
        (full(b"replaced"),),
        (full(b""),),
        (full(b"again"), append(b", more"), append(b" and more")),
        (full(b"x" * 5000), write(4000, b"y" * 2000), zero(100, 50)),
        (full(b"small"),),
        (append(b"1"), append(b"2"), append(b"3"), truncate(4), append(b"!")),
        (write(0, b"A", flags=OpFlag.FADVISE_WILLNEED),),
        (write(128 << 20, b"x"),),
        (write((128 << 20) - 1, b"xy"),),
        (write((1 << 64) - 1, b"xy"),),
        (truncate(128 << 20),),
        (truncate((1 << 64) - 1),),
        (zero(128 << 20, 1),),
        (zero(0, 129 << 20),),
        (create(EXCL),),
        (create(),),
        (delete(), create(EXCL), write(0, b"new")),
    )
    script(
        "zeros",
        (zero(0, 10),),
        (stat(),),
        (full(b"0123456789"),),
        (zero(2, 3),),
        (zero(8, 2),),
        (read(),),
        (zero(8, 100),),
        (zero(100, 5),),
        (zero(0, 8),),
        (stat(),),
        (append(b"abc"), zero(1, 1), zero(3, 3)),
        (read(), zero(50, 1)),
    )
    script(
        "truncations",
        (truncate(5),),
        (stat(),),
        (full(b"0123456789abcdef"),),
        (truncate(8),),
        (truncate(12),),
        (read(),),
        (truncate(12),),
        (trimtrunc(5, 6),),
        (read(),),
        (truncate(3, 5),),
        (truncate(3, 4),),
        (truncate(3, 6),),
        (write(0, b"old write after it", 4, 100),),
        (read(),),
        (write(1, b"no", 0, 0),),
        (write(50, b"behind", 3, 100),),
        (read(),),
        (write(4, b"later", 9, 2),),
        (read(),),
        (read(0, 100, 12, 1), read(0, 100, 9, 1), read(0, 100, 8, 1)),
        (cmpext(0, b"xy", 12, 1),),
        (write(0, b"fits", 9, 0),),
        (trimtrunc(0, 2),),
        (append(b"appended"),),
        (delete(), write(0, b"new", 3, 1)),
        (stat(), read()),
        (truncate(0), delete()),
        (write(5, b"beyond", 20, 3),),
        (read(),),
    )
    script(
        "same",
        (same(0, 12, b"abc"),),
        (same(5, 0, b"abc"),),
        (same(5, 7, b"abc"),),
        (OSDOp.make(OpCode.WRITESAME, WriteSameArgs(0, 6, 3), b"ab"),),
        (OSDOp.make(OpCode.WRITESAME, WriteSameArgs(0, 6, 0), b""),),
        (same(20, 8, b"12"),),
        (read(),),
        (same((128 << 20) - 2, 4, b"ab"),),
    )
    script(
        "creation",
        (create(EXCL),),
        (create(EXCL),),
        (create(),),
        (OSDOp.make(OpCode.CREATE, None, b"\x03\0\0\0cat"),),
        (OSDOp.make(OpCode.CREATE, None, b"\x09\0\0\0cat"),),
        (delete(),),
        (delete(),),
        (failing(delete()), create(EXCL)),
        (create(EXCL), write(0, b"x")),
        (failing(create(EXCL)), write(0, b"y")),
        (delete(), delete()),
        (stat(),),
        (delete(), failing(delete())),
        (create(), delete()),
        (stat(),),
        (hint(4 << 20, 4096, 7),),
        (stat(),),
        (plain(OpCode.STARTSYNC),),
        (delete(),),
        (plain(OpCode.STARTSYNC),),
        (stat(),),
    )
    eq, ne, gt, gte, lt, lte = CmpXattrOp
    script(
        "attributes",
        (getxattr("color"),),
        (plain(OpCode.GETXATTRS),),
        (rmxattr("color"),),
        (cmpxattr("color", eq, b"blue"),),
        (cmpxattr("color", eq, b"blue"), create()),
        (getxattr("color"), create()),
        (plain(OpCode.GETXATTRS), create()),
        (setxattr("color", b"blue"), setxattr("size", b"")),
        (getxattr("color"), getxattr("size")),
        (getxattr("none"),),
        (failing(getxattr("none")), getxattr("color")),
        (plain(OpCode.GETXATTRS),),
        (cmpxattr("color", eq, b"blue"),),
        (cmpxattr("color", eq, b"red"),),
        (cmpxattr("color", ne, b"red"), stat(), read(), omap_keys(), getxattr("color")),
        *(
            (cmpxattr("color", op, value),)
            for op in (gt, gte, lt, lte)
            for value in (b"blud", b"blue", b"bluf", b"")
        ),
        (cmpxattr("none", eq, b""),),
        (cmpxattr("none", eq, 0),),
        (cmpxattr("none", gt, 1),),
        (setxattr("n", b"42"), setxattr("m", b" -1"), setxattr("t", b"12three")),
        *((cmpxattr("n", op, value),) for op in CmpXattrOp for value in (41, 42, 43)),
        (cmpxattr("m", eq, (1 << 64) - 1),),
        (cmpxattr("t", eq, 12),),
        (cmpxattr("color", eq, 0),),
        (cmpxattr("n", 9, 1),),
        (OSDOp.xattr(OpCode.CMPXATTR, "n", b"42", eq, 7),),
        (OSDOp.xattr(OpCode.CMPXATTR, "n", b"42", eq, CmpXattrMode.U64),),
        (cmpxattr("color", eq, b"blue"), write(0, b"guarded")),
        (cmpxattr("color", eq, b"red"), write(0, b"refused")),
        (failing(cmpxattr("color", eq, b"red")), write(0, b"passed")),
        (setxattr("a" * 100, b"x"),),
        (setxattr("a" * 101, b"x"),),
        (setxattr("big", b"v" * 70000),),
        (setxattr("color", b"red"), getxattr("color"), cmpxattr("color", eq, b"blue")),
        (getxattr("color"),),
        (rmxattr("color"), rmxattr("none"), setxattr("last", b"1")),
        (rmxattr("last"), setxattr("last", b"2"), setxattr("gone", b"3"), rmxattr("gone")),
        (setxattr("\udcff\udc80", b"not utf-8"),),
        (getxattr("\udcff\udc80"),),
        (plain(OpCode.SETXATTRS),),
        (plain(OpCode.RESETXATTRS),),
        (create(), plain(OpCode.RESETXATTRS)),
        (failing(plain(OpCode.RESETXATTRS)), setxattr("after", b"it")),
    )
    keys = {f"key{n:02}": f"value{n}".encode() * n for n in range(12)}
    script(
        "omaps",
        (omap_keys(),),
        (omap_rm("x"),),
        (plain(OpCode.OMAPCLEAR),),
        (omap_rm_range("a", "b"),),
        (omap_cmp(a=(b"1", eq)),),
        (omap_cmp(a=(b"1", eq)), create()),
        (create(),),
        (omap_keys(), omap_vals(), omap_by_keys("a"), plain(OpCode.OMAPGETHEADER)),
        (omap_cmp(a=(b"", eq)),),
        (omap_cmp(a=(b"1", lt)),),
        (omap_set(keys), omap_header(b"header")),
        (omap_keys(), plain(OpCode.OMAPGETHEADER)),
        (omap_keys("key03", 4), omap_keys("key03", 0), omap_keys("key10"), omap_keys("key11", 1)),
        (omap_vals("", 3), omap_vals("key05", 2, "key0"), omap_vals("", 99, "key1")),
        (omap_vals("", 99, "zzz"), omap_vals("zzz"), omap_vals("key04", 1, "key05")),
        (omap_vals("key09", 1, "key0"), omap_vals("key08", 1, "key0")),
        (omap_by_keys("key01", "none", "key11"), omap_by_keys()),
        (omap_cmp(key01=(b"value1", eq)),),
        (omap_cmp(key01=(b"value1", eq), key02=(b"no", eq)),),
        (omap_cmp(key01=(b"value0", gt), key02=(b"x", lt)),),
        (omap_cmp(key01=(b"value1", gt)),),
        (omap_cmp(key01=(b"\xff", gt)),),
        (omap_cmp(key01=(b"\xff", lt)),),
        (omap_cmp(key01=(b"value1", gte)),),
        (omap_cmp(key01=(b"value1", ne)),),
        (omap_cmp(none=(b"", eq)), omap_cmp(none=(b"a", lt))),
        (omap_cmp(key01=(b"value1", eq)), omap_set({"guarded": b"1"})),
        (omap_rm("key00", "key01", "none"), omap_rm_range("key03", "key06")),
        (omap_keys(),),
        (omap_rm_range("key07", "key07"),),
        (omap_keys(),),
        (omap_set({}),),
        (omap_set({"": b"empty key", "\udcff": b"last", "\u00e9": b"accent", "~": b"tilde"}),),
        (omap_keys(), omap_keys("key11"), omap_vals("", 100, "\u00e9")),
        (omap_set({"new": b"1"}), omap_keys(), omap_rm("new")),
        (OSDOp.make(OpCode.OMAPSETVALS, None, b"\x02\0\0\0bad"),),
        (OSDOp.make(OpCode.OMAPGETKEYS, None, b"bad"),),
        (OSDOp.make(OpCode.OMAPGETVALS, None, OmapGetKeysInput("", 5).encode()),),
        (OSDOp.make(OpCode.OMAPGETVALSBYKEYS, None, b"\x01"),),
        (OSDOp.make(OpCode.OMAPRMKEYS, None, b"\x01"),),
        (OSDOp.make(OpCode.OMAP_CMP, None, b"\x01"),),
        (OSDOp.make(OpCode.OMAPRMKEYRANGE, None, b"\x01"),),
        (plain(OpCode.OMAPCLEAR), omap_set({"after": b"clear"})),
        (omap_keys(), plain(OpCode.OMAPGETHEADER)),
        (omap_set({"x": b"1"}), plain(OpCode.OMAPCLEAR)),
        (omap_keys(), omap_vals()),
        (omap_header(b"only"),),
        (plain(OpCode.OMAPGETHEADER), omap_keys()),
        (delete(), create()),
        (omap_keys(), plain(OpCode.OMAPGETHEADER)),
    )
    script(
        "many keys",
        (omap_set({f"{n:05}": b"v%d" % n for n in range(1500)}),),
        (omap_keys(),),
        (omap_vals(),),
        (omap_vals("01023"),),
        (omap_keys("", 1024), omap_keys("", 1025)),
    )
    crc, xx32, xx64 = ChecksumType.CRC32C, ChecksumType.XXHASH32, ChecksumType.XXHASH64
    ones = 0xFFFFFFFF
    script(
        "checksums",
        (checksum(0, 0, 0, crc, ones),),
        (full(bytes(range(256)) * 32),),
        (checksum(0, 0, 0, crc, ones), checksum(0, 0, 0, xx32, 1), checksum(0, 0, 0, xx64, 2)),
        (checksum(0, 8192, 1024, crc, ones), checksum(0, 8192, 512, xx64, ones)),
        (checksum(100, 1000, 100, xx32, 0), checksum(100, 1001, 0, crc, 0)),
        (checksum(0, 1000, 300, crc, 0),),
        (checksum(0, 0, 100, crc, 0),),
        (checksum(8000, 1000, 0, crc, 0),),
        (checksum(8000, 1000, 100, crc, 0),),
        (checksum(8000, 1000, 125, crc, 0),),
        (checksum(9000, 10, 0, crc, 0),),
        (checksum(8192, 10, 5, crc, 0),),
        (checksum(0, 100, 0, 9, 0),),
        (checksum(0, 100, 0, crc),),
        (full(b""), stat()),
        (checksum(0, 0, 0, crc, ones),),
    )
    script(
        "extents compared",
        (cmpext(0, b"abc"),),
        (cmpext(0, b"abc"), create()),
        (cmpext(0, b"\0\0"), create()),
        (full(b"abcdef"),),
        (cmpext(0, b"abc"), cmpext(3, b"def"), cmpext(6, b""), cmpext(5, b"f\0\0")),
        (cmpext(0, b"abd"),),
        (cmpext(4, b"efg"),),
        (cmpext(4, b"xf"), write(0, b"no")),
        (failing(cmpext(4, b"xf")), write(0, b"A")),
        (cmpext(0, b"Abc"), write(0, b"yes")),
        (cmpext(10, b"\0\0\0x"),),
        (write(0, b"other"), cmpext(0, b"yesdef")),
        (cmpext(0, b"x" * 200),),
    )
    script(
        "versions",
        (assert_version(0),),
        (assert_version(0), create()),
        (create(),),
        (assert_version(0),),
        (assert_version(1 << 60),),
        (assert_version(1 << 60), write(0, b"no")),
        (failing(assert_version(1 << 60)), write(0, b"yes")),
    )
    script(
        "tiers",
        (full(b"data"),),
        *(
            (plain(code),)
            for code in (
                OpCode.ISDIRTY,
                OpCode.UNDIRTY,
                OpCode.ISDIRTY,
                OpCode.UNDIRTY,
                OpCode.CACHE_FLUSH,
                OpCode.CACHE_TRY_FLUSH,
                OpCode.CACHE_EVICT,
                OpCode.CACHE_PIN,
                OpCode.CACHE_UNPIN,
                OpCode.TIER_PROMOTE,
                OpCode.TIER_FLUSH,
                OpCode.TIER_EVICT,
                OpCode.UNSET_MANIFEST,
            )
        ),
        (
            OSDOp.make(
                OpCode.SET_CHUNK, None, SetChunkInput(0, 9, ObjectLocator(1), "x", 0).encode()
            ),
        ),
        (
            OSDOp.make(
                OpCode.SET_CHUNK, None, SetChunkInput(0, 0, ObjectLocator(1), "x", 0).encode()
            ),
        ),
        (
            OSDOp.make(
                OpCode.SET_CHUNK, None, SetChunkInput(0, 2, ObjectLocator(1), "x", 0).encode()
            ),
        ),
        (OSDOp.make(OpCode.SET_CHUNK, None, b"bad"),),
        (OSDOp.make(OpCode.SET_REDIRECT, None, b"bad"),),
        (plain(OpCode.ISDIRTY), plain(OpCode.ISDIRTY)),
    )
    script(
        "nothing known",
        (OSDOp(0x1233),),
        (OSDOp(0x2233),),
        (create(), OSDOp(0x2233)),
        (create(), failing(OSDOp(0x1233)), write(0, b"x")),
        (OSDOp(0x0233),),
        (plain(OpCode.PULL),),
        (OSDOp.make(OpCode.CALL, ClassArgs(4, 4, 0, 0), b"nonenone"),),
        (OSDOp.call("hello", "nothing"),),
        (OSDOp.call("hello", "say_hello", b"you"),),
        (OSDOp.call("hello", "say_hello", b"x" * 200),),
        (OSDOp.call("hello", "record_hello", b"you"),),
        (OSDOp.call("hello", "record_hello", b"you"),),
        (OSDOp.call("hello", "replay"),),
        (OSDOp.call("hello", "bad_reader"),),
        (OSDOp.call("hello", "bad_writer"),),
        (OSDOp.call("hello", "write_return_data"),),
        Step("nothing known", (OSDOp.call("hello", "write_return_data"),), RETURNVEC),
        Step("nothing known", (OSDOp.call("hello", "writes_dont_return_data"),), RETURNVEC),
        (OSDOp.call("hello", "writes_dont_return_data"),),
    )
    script(
        "vectors returned",
        Step("vectors returned", (create(), setxattr("a", b"value")), RETURNVEC),
        Step("vectors returned", (getxattr("a"), stat(), write(0, b"x")), RETURNVEC),
        (getxattr("a"), stat(), write(0, b"x")),
        (cmpxattr("a", eq, b"value"), write(0, b"y")),
        (write(0, b"y"), cmpxattr("a", eq, b"value")),
        Step("vectors returned", (write(0, b"y"), cmpxattr("a", eq, b"value")), RETURNVEC),
        Step("vectors returned", (write(0, b"z" * 65), read(0, 65), stat()), RETURNVEC),
        Step("vectors returned", (read(0, 64), write(0, b"z")), RETURNVEC),
        Step("vectors returned", (failing(getxattr("none")), write(0, b"z")), RETURNVEC),
        Step("vectors returned", (getxattr("none"), write(0, b"z")), RETURNVEC),
        Step("vectors returned", (write(0, b"n"), getxattr("none")), RETURNVEC),
        Step("vectors returned", (read(0, 100),), RETURNVEC),
    )
    script(
        "trivial maps",
        (plain(OpCode.TMAPGET),),
        (OSDOp.make(OpCode.TMAPUP, None, b""),),
        (tmap(("s", "b", b"2"), ("c", "d", b"4"), ("s", "f", b"6")),),
        (plain(OpCode.TMAPGET), read()),
        (tmap(("h", "", b"header"), ("s", "a", b"1"), ("s", "d", b"44"), ("r", "f", b"")),),
        (plain(OpCode.TMAPGET),),
        (tmap(("c", "a", b"1")),),
        (tmap(("r", "x", b"")),),
        (tmap(("R", "x", b""), ("s", "z", b"9")),),
        (tmap(("s", "q", b"1"), ("s", "c", b"3")),),
        (tmap(("?", "q", b"")),),
        (plain(OpCode.TMAPGET),),
        (OSDOp.make(OpCode.TMAPPUT, None, TrivialMap(b"h", {"b": b"1", "a": b"2"}).encode()),),
        (plain(OpCode.TMAPGET), stat()),
        (OSDOp.make(OpCode.TMAP2OMAP, Tmap2OmapArgs(0)),),
        (OSDOp.make(OpCode.TMAP2OMAP, Tmap2OmapArgs(0)),),
        (OSDOp.make(OpCode.TMAP2OMAP, Tmap2OmapArgs(1)), setxattr("a", b"1")),
        (omap_vals(), plain(OpCode.OMAPGETHEADER)),
    )
    made |= snapshots()
    made["copies"] = copies(pool)
    return made


def snapshots() -> dict[str, Script]:
    """Scripts about snapshots; each has a pool's self-managed snapshots to itself."""
    name = "snapshots"
    steps: Script = []

    def do(*ops: OSDOp, seq: int = 0, snaps: tuple[int, ...] = (), flags: int = 0) -> None:
        steps.append(Step(name, ops, flags, snapc=SnapContext(seq, list(snaps))))

    def look(*at: int) -> None:
        for snap in at:
            steps.append(Step(name, (read(0, 1 << 20),), snap=snap))
            steps.append(Step(name, (stat(),), snap=snap))
            steps.append(Step(name, (plain(OpCode.GETXATTRS),), snap=snap))
            steps.append(Step(name, (omap_vals(),), snap=snap))
        steps.append(Step(name, (LIST_SNAPS,), snap=SNAPDIR))

    do(full(b"one" * 100), setxattr("v", b"1"), omap_set({"k": b"1"}))
    do(write(0, b"two"), seq=2, snaps=(2,))
    look(1, 2, 3)
    do(write(10, b"two again"), seq=2, snaps=(2,))
    look(2)
    do(setxattr("v", b"2"), omap_set({"k": b"2"}), truncate(50), seq=4, snaps=(4, 3, 2))
    look(1, 2, 3, 4, 5)
    do(write(0, b"old"), seq=3, snaps=(3, 2))
    do(write(0, b"ordered"), seq=3, snaps=(3, 2), flags=RequestFlag.ORDERSNAP)
    do(write(0, b"wrong"), seq=3, snaps=(4, 3))
    do(write(0, b"wrong"), seq=3, snaps=(2, 3))
    do(rollback(2), seq=4, snaps=(4, 3, 2))
    look(2, 4)
    do(rollback(4), seq=4, snaps=(4, 3, 2))
    look(2, 4)
    do(rollback(1), seq=4, snaps=(4, 3, 2))
    look(1, 2, 4)
    do(write(5, b"after"), rollback(4), seq=5, snaps=(5, 4, 3, 2))
    look(4, 5)
    do(zero(3, 5), append(b"more"), seq=6, snaps=(6, 5, 4, 3, 2))
    look(5, 6)
    do(delete(), seq=6, snaps=(6, 5, 4, 3, 2))
    look(5, 6, 7)
    steps.append(Step(name, (stat(),)))
    do(delete(), seq=6, snaps=(6, 5, 4, 3, 2))
    do(setxattr("v", b"3"), cmpext(0, b""), seq=6, snaps=(6, 5, 4, 3, 2))
    look(6, 7)
    do(delete(), seq=8, snaps=(8, 7, 6))
    look(7, 8, 9)
    do(rollback(8), seq=8, snaps=(8, 7, 6))
    look(6, 8)
    do(rollback(9), seq=9, snaps=(9, 8, 7, 6))
    look(8, 9)
    do(full(b"last"), seq=9, snaps=())
    do(create(EXCL), seq=9, snaps=())
    do(plain(OpCode.STARTSYNC), seq=10, snaps=(10,))
    do(delete(), create(EXCL), write(3, b"x"), seq=11, snaps=(11, 10))
    look(9, 10, 11)
    steps.append(Step(name, (write(0, b"no"),), snap=5))
    steps.append(Step(name, (LIST_SNAPS,)))
    steps.append(Step(name, (stat(),), snap=SNAPDIR))
    other = "deleted under a snapshot"
    gone: Script = [
        Step(other, (delete(),), snapc=SnapContext(3, [3])),
        Step(other, (full(b"first"),), snapc=SnapContext(3, [3])),
        Step(other, (LIST_SNAPS,), snap=SNAPDIR),
        Step(other, (stat(),), snap=3),
        Step(other, (delete(),), snapc=SnapContext(4, [4, 3])),
        Step(other, (stat(),), snap=4),
        Step(other, (stat(),), snap=3),
        Step(other, (stat(),)),
        Step(other, (LIST_SNAPS,), snap=SNAPDIR),
        Step(other, (rollback(4),), snapc=SnapContext(4, [4, 3])),
        Step(other, (read(),)),
        Step(other, (rollback(3),), snapc=SnapContext(4, [4, 3])),
    ]
    return {name: [*steps, *looks(name)], other: [*gone, *looks(other)]}


def copies(pool: int) -> Script:
    """A script about copies of objects."""
    source = "source of copies"
    steps: Script = []

    def do(name: str, *ops: OSDOp, seq: int = 0) -> None:
        snapc = SnapContext(seq, list(range(seq, 0, -1)))
        steps.append(Step(name, ops, snapc=snapc))

    def copy(
        name: str, *, snap: int = NOSNAP, version: int = 0, flags: int = 0, of: str = source
    ) -> OSDOp:
        data = CopyFromInput(of, ObjectLocator(pool)).encode()
        return OSDOp.make(OpCode.COPY_FROM, CopyFromArgs(snap, version, flags), data)

    do("copy 1", copy(source))
    do("copy 1", create(), copy(source), write(0, b"x"))
    do("copy 1", failing(copy(source)), write(0, b"x"))
    do(source, full(b"to be copied" * 1000), setxattr("a", b"1"), omap_set({"k": b"v"}))
    do(source, omap_header(b"head"), hint(1 << 22, 4096, 1))
    do("copy 1", copy(source))
    steps.extend(looks("copy 1"))
    do("copy 1", write(5, b"changed"), seq=2)
    do("copy 1", copy(source), seq=3)
    steps.extend(looks("copy 1"))
    do("copy 2", copy(source), append(b"and more"), setxattr("b", b"2"))
    steps.extend(looks("copy 2"))
    do("copy 2", setxattr("c", b"3"), copy(source))
    steps.extend(looks("copy 2"))
    do(source, copy(source))
    do("copy 3", copy(source, version=1))
    do("copy 3", copy(source, version=1 << 50))
    do(source, full(b"newer"), plain(OpCode.OMAPCLEAR), seq=4)
    do("copy 3", copy(source, snap=4))
    steps.extend(looks("copy 3"))
    do("copy 3", copy(source, snap=9))
    steps.extend(looks("copy 3"))
    do("copy 4", copy(source, of="not there"))
    do("copy 4", delete(), copy(source))
    do("copy 4", copy(source, flags=1 << 7))
    two = CopyFrom2Input(source, ObjectLocator(pool), 7, 3).encode()
    with_size = CopyFromArgs(NOSNAP, 0, CopyFromFlag.TRUNCATE_SEQ)
    do("copy 4", OSDOp.make(OpCode.COPY_FROM2, with_size, two))
    do("copy 4", write(100, b"cut", seq=6))
    do("copy 4", OSDOp.make(OpCode.COPY_FROM2, CopyFromArgs(NOSNAP, 0, 1 << 7), two))
    do("copy 4", OSDOp.make(OpCode.COPY_FROM2, with_size, two[:-4]))
    do("copy 4", OSDOp.make(OpCode.COPY_FROM2, with_size, two[:-12]))
    do("copy 4", OSDOp.make(OpCode.COPY_FROM, with_size, b"bad"))
    do("copy 4", delete(), copy(source), seq=0)
    steps.extend(looks("copy 4"))
    return steps


# --- random scripts ---


def drawn(seed: int, steps: int = 60) -> Script:
    """A random script about a few objects, the same for the same seed."""
    draw = random.Random(seed)
    names = [f"drawn{seed}-{n}" for n in range(3)]
    seq, snaps = 0, []
    script: Script = []
    for _ in range(steps):
        if draw.random() < 0.08:
            seq += draw.randint(1, 2)
            snaps.insert(0, seq)
        if snaps and draw.random() < 0.04:
            snaps.remove(draw.choice(snaps))
        name = draw.choice(names)
        kind = draw.random()
        snapc = SnapContext(seq, list(snaps))
        if kind < 0.15 and seq:
            script.append(Step(name, (_drawn_read(draw),), snap=draw.randint(1, seq + 1)))
        elif kind < 0.2:
            script.append(Step(name, (LIST_SNAPS,), snap=SNAPDIR))
        elif kind < 0.4:
            script.append(Step(name, tuple(_drawn_read(draw) for _ in range(draw.randint(1, 3)))))
        else:
            count = draw.choice((1, 1, 2, 3, 5))
            ops = _vector(draw, count, seq, name == names[2])
            flags = RETURNVEC if draw.random() < 0.2 else 0
            script.append(Step(name, ops, flags, snapc=snapc))
    for name in names:
        script += looks(name)
    return script


_REMOVERS = (OpCode.DELETE, OpCode.ROLLBACK)


def _vector(
    draw: random.Random, count: int, seq: int, with_truncate_seq: bool
) -> tuple[OSDOp, ...]:
    """Operations of which some write.

    None reads data that one before may have changed: a real OSD takes that for a damaged object.
    """
    ops: list[OSDOp] = []
    for _ in range(count):
        op = (
            _drawn_write(draw, seq, with_truncate_seq)
            if draw.random() < 0.75
            else _drawn_guard(draw)
        )
        if op.op in _REMOVERS and any(each.op in _REMOVERS for each in ops):
            # real OSDs forget the first removal where something was made in between
            continue
        ops.append(failing(op) if draw.random() < 0.15 else op)
        if with_truncate_seq and op.op in (OpCode.WRITE, OpCode.WRITESAME):
            # real OSDs keep a wrong checksum of what such a write cuts, and then read damage
            ops.append(zero(0, 1))
    return tuple(ops) or (create(),)


def _bytes(draw: random.Random, most: int = 6000) -> bytes:
    size = draw.choice((0, 1, 3, 100, 4096, draw.randint(1, most)))
    return bytes((draw.randint(0, 255),)) * size if draw.random() < 0.5 else draw.randbytes(size)


def _key(draw: random.Random) -> str:
    return draw.choice(("", "a", "aa", "ab", "b", "ba", "c", "zz", "\u00e9"))


def _name(draw: random.Random) -> str:
    return draw.choice("abcde")


def _drawn_write(draw: random.Random, seq: int, with_truncate_seq: bool) -> OSDOp:
    offset = draw.choice((0, 0, 1, 4096, draw.randint(0, 9000)))
    trunc = draw.choice((0, 0, draw.randint(1, 9))) if with_truncate_seq else 0
    kind = draw.randint(0, 17)
    if kind <= 3:
        data = _bytes(draw) or b"."
        return write(offset, data, trunc, draw.randint(0, 5000) if trunc else 0)
    if kind == 4:
        return full(_bytes(draw) or b".")
    if kind == 5:
        return append(_bytes(draw) or b"+")
    if kind == 6:
        return zero(offset, draw.randint(1, 5000))
    if kind == 7:
        return truncate(offset)
    if kind == 8:
        return trimtrunc(trunc, draw.randint(0, 5000))
    if kind == 9:
        return draw.choice((create(), create(EXCL), hint(4096, 512, 3)))
    if kind == 10:
        return delete() if draw.random() < 0.5 else create()
    if kind == 11:
        return same(offset, draw.choice((0, 512, 1000, 1001)), b"ab" * 4)
    if kind == 12:
        # (no more than a vector may return)
        return setxattr(_name(draw), draw.randbytes(draw.randint(0, 60)))
    if kind == 13:
        return rmxattr(_name(draw))
    if kind == 14:
        return omap_set({_key(draw): _bytes(draw, 100) for _ in range(draw.randint(0, 4))})
    if kind == 15:
        return omap_rm(_key(draw), _key(draw)) if draw.random() < 0.5 else omap_header(b"h")
    if kind == 16:
        first, end = sorted((_key(draw), _key(draw)))
        return omap_rm_range(first, end) if draw.random() < 0.7 else plain(OpCode.OMAPCLEAR)
    return rollback(draw.randint(1, seq + 1)) if seq else create()


def _drawn_guard(draw: random.Random) -> OSDOp:
    kind = draw.randint(0, 4)
    if kind == 0:
        return stat()
    if kind == 1:
        return getxattr(_name(draw))
    if kind == 2:
        return cmpxattr(_name(draw), draw.randint(1, 6), draw.choice((b"", b"x", 0, 5)))
    if kind == 3:
        return omap_cmp(a=(draw.choice((b"", b"q")), draw.choice((1, 3, 5))))
    return assert_version(0)


def _drawn_read(draw: random.Random) -> OSDOp:
    offset, length = draw.randint(0, 9000), draw.choice((0, 1, 100, 9000))
    kind = draw.randint(0, 9)
    if kind <= 2:
        return read(offset, length)
    if kind == 3:
        return sparse_read(offset, length)
    if kind == 4:
        return checksum(offset, 512, 128, draw.randint(0, 2), 0)
    if kind == 5:
        return cmpext(offset, _bytes(draw, 30))
    if kind == 6:
        return omap_vals(_key(draw), draw.randint(0, 5), draw.choice(("", "", _key(draw))))
    if kind == 7:
        return omap_keys(_key(draw), draw.randint(0, 5))
    if kind == 8:
        return omap_by_keys(_key(draw), _key(draw))
    return _drawn_guard(draw)
