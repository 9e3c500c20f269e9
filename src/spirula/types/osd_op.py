"""Operations on objects as clients send them: codes, flags, arguments, one operation of a request.

Clients build vectors of these, `messages.osd` carries them, the OSD executes them. What an
operation reads from its input (omap keys, a class call ...) is in `osd_op_payload`. Format and
numbers: upstream `src/include/rados.h` (struct ceph_osd_op), `src/osd/osd_types.h` (OSDOp).
"""

from __future__ import annotations

import struct as _struct
from collections.abc import Callable
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

from spirula.errors import WireError
from spirula.types.hobject import snap_name

Buffer = bytes | bytearray | memoryview

OP_SIZE = 38
ARGS_SIZE = 28
OP_LAYOUT = f"HI{ARGS_SIZE}sI"


class OpCode(IntEnum):
    """What an operation does (upstream CEPH_OSD_OP_*)."""

    READ = 0x1201
    STAT = 0x1202
    MAPEXT = 0x1203
    MASKTRUNC = 0x1204
    SPARSE_READ = 0x1205
    NOTIFY = 0x1206
    NOTIFY_ACK = 0x1207
    ASSERT_VER = 0x1208
    LIST_WATCHERS = 0x1209
    LIST_SNAPS = 0x120A
    SYNC_READ = 0x120B
    TMAPGET = 0x120C
    OMAPGETKEYS = 0x1211
    OMAPGETVALS = 0x1212
    OMAPGETHEADER = 0x1213
    OMAPGETVALSBYKEYS = 0x1214
    OMAP_CMP = 0x1219
    ISDIRTY = 0x121D
    COPY_GET = 0x121E
    CHECKSUM = 0x121F
    CMPEXT = 0x1220
    WRITE = 0x2201
    WRITEFULL = 0x2202
    TRUNCATE = 0x2203
    ZERO = 0x2204
    DELETE = 0x2205
    APPEND = 0x2206
    STARTSYNC = 0x2207
    SETTRUNC = 0x2208
    TRIMTRUNC = 0x2209
    TMAPUP = 0x320A
    TMAPPUT = 0x220B
    CREATE = 0x220D
    ROLLBACK = 0x220E
    WATCH = 0x220F
    OMAPSETVALS = 0x2215
    OMAPSETHEADER = 0x2216
    OMAPCLEAR = 0x2217
    OMAPRMKEYS = 0x2218
    COPY_FROM = 0x221A
    UNDIRTY = 0x221C
    TMAP2OMAP = 0x3222
    SETALLOCHINT = 0x2223
    CACHE_PIN = 0x2224
    CACHE_UNPIN = 0x2225
    WRITESAME = 0x2226
    SET_REDIRECT = 0x2227
    TIER_PROMOTE = 0x2229
    UNSET_MANIFEST = 0x222A
    OMAPRMKEYRANGE = 0x222C
    COPY_FROM2 = 0x222D
    CACHE_FLUSH = 0x821F
    CACHE_EVICT = 0x8220
    CACHE_TRY_FLUSH = 0x8221
    SET_CHUNK = 0x8228
    TIER_FLUSH = 0x822B
    TIER_EVICT = 0x822C
    GETXATTR = 0x1301
    GETXATTRS = 0x1302
    CMPXATTR = 0x1303
    SETXATTR = 0x2301
    SETXATTRS = 0x2302
    RESETXATTRS = 0x2303
    RMXATTR = 0x2304
    PULL = 0x4001
    PUSH = 0x4002
    BALANCEREADS = 0x4003
    UNBALANCEREADS = 0x4004
    SCRUB = 0x4005
    SCRUB_RESERVE = 0x4006
    SCRUB_UNRESERVE = 0x4007
    SCRUB_MAP = 0x4009
    CALL = 0x1401
    PGLS = 0x1501
    PGLS_FILTER = 0x1502
    PG_HITSET_LS = 0x1503
    PG_HITSET_GET = 0x1504
    PGNLS = 0x1505
    PGNLS_FILTER = 0x1506
    SCRUBLS = 0x1507


MODE_READ, MODE_WRITE, MODE_CACHE = 0x1000, 0x2000, 0x8000
TYPE_MASK, TYPE_DATA, TYPE_ATTR, TYPE_EXEC, TYPE_PG = 0x0F00, 0x0200, 0x0300, 0x0400, 0x0500

_SPELLED = {
    OpCode.SYNC_READ: "sync_read",
    OpCode.ASSERT_VER: "assert-version",
    OpCode.OMAPGETKEYS: "omap-get-keys",
    OpCode.OMAPGETVALS: "omap-get-vals",
    OpCode.OMAPGETHEADER: "omap-get-header",
    OpCode.OMAPGETVALSBYKEYS: "omap-get-vals-by-keys",
    OpCode.OMAPSETVALS: "omap-set-vals",
    OpCode.OMAPSETHEADER: "omap-set-header",
    OpCode.OMAPCLEAR: "omap-clear",
    OpCode.OMAPRMKEYS: "omap-rm-keys",
    OpCode.OMAPRMKEYRANGE: "omap-rm-key-range",
    OpCode.SETALLOCHINT: "set-alloc-hint",
    OpCode.WRITESAME: "write-same",
    OpCode.BALANCEREADS: "balance-reads",
    OpCode.UNBALANCEREADS: "unbalance-reads",
}
OP_NAMES = {int(code): _SPELLED.get(code, code.name.lower().replace("_", "-")) for code in OpCode}
"""How upstream prints each code."""


def is_read(op: int) -> bool:
    """True for an operation that reads; not for a class call, whose method says what it does."""
    return bool(op & MODE_READ) and op != OpCode.CALL


def is_write(op: int) -> bool:
    """True for an operation that changes the object."""
    return bool(op & MODE_WRITE)


class RequestFlag(IntFlag):
    """Flags of a request and its reply (upstream CEPH_OSD_FLAG_*)."""

    ACK = 0x1
    ONNVRAM = 0x2
    ONDISK = 0x4
    RETRY = 0x8
    READ = 0x10
    WRITE = 0x20
    ORDERSNAP = 0x40
    PEERSTAT_OLD = 0x80
    BALANCE_READS = 0x100
    PARALLELEXEC = 0x200
    PGOP = 0x400
    EXEC = 0x800
    EXEC_PUBLIC = 0x1000
    LOCALIZE_READS = 0x2000
    RWORDERED = 0x4000
    IGNORE_CACHE = 0x8000
    SKIPRWLOCKS = 0x10000
    IGNORE_OVERLAY = 0x20000
    FLUSH = 0x40000
    MAP_SNAP_CLONE = 0x80000
    ENFORCE_SNAPC = 0x100000
    REDIRECTED = 0x200000
    KNOWN_IF_REDIRECTED = 0x400000
    FULL_TRY = 0x800000
    FULL_FORCE = 0x1000000
    IGNORE_REDIRECT = 0x2000000
    RETURNVEC = 0x4000000


class OpFlag(IntFlag):
    """Flags of one operation (upstream CEPH_OSD_OP_FLAG_*)."""

    EXCL = 0x1
    FAILOK = 0x2
    FADVISE_RANDOM = 0x4
    FADVISE_SEQUENTIAL = 0x8
    FADVISE_WILLNEED = 0x10
    FADVISE_DONTNEED = 0x20
    FADVISE_NOCACHE = 0x40
    WITH_REFERENCE = 0x80
    BYPASS_CLEAN_CACHE = 0x100


class CmpXattrOp(IntEnum):
    """How `cmpxattr` and `omap-cmp` compare: the given value OP what is stored."""

    EQ = 1
    NE = 2
    GT = 3
    GTE = 4
    LT = 5
    LTE = 6


class CmpXattrMode(IntEnum):
    """As what `cmpxattr` compares."""

    STRING = 1
    U64 = 2


class WatchOp(IntEnum):
    """What a `watch` operation asks for."""

    UNWATCH = 0
    LEGACY_WATCH = 1
    WATCH = 3
    RECONNECT = 5
    PING = 7


class ChecksumType(IntEnum):
    """What the `checksum` operation computes."""

    XXHASH32 = 0
    XXHASH64 = 1
    CRC32C = 2


class CopyFromFlag(IntFlag):
    """How `copy-from` reads its source."""

    FLUSH = 1
    IGNORE_OVERLAY = 2
    IGNORE_CACHE = 4
    MAP_SNAP_CLONE = 8
    RWORDERED = 16
    TRUNCATE_SEQ = 32


class AllocHintFlag(IntFlag):
    """How an object will be used."""

    SEQUENTIAL_WRITE = 1
    RANDOM_WRITE = 2
    SEQUENTIAL_READ = 4
    RANDOM_READ = 8
    APPEND_ONLY = 16
    IMMUTABLE = 32
    SHORTLIVED = 64
    LONGLIVED = 128
    COMPRESSIBLE = 256
    INCOMPRESSIBLE = 512


class Extent(NamedTuple):
    """Bytes of the object.

    `truncate_size` holds where `truncate_seq` is newer than the object's.
    """

    offset: int = 0
    length: int = 0
    truncate_size: int = 0
    truncate_seq: int = 0


class XattrArgs(NamedTuple):
    """Lengths of name and value, which are the operation's input; how to compare them."""

    name_len: int = 0
    value_len: int = 0
    cmp_op: int = 0
    cmp_mode: int = 0


class ClassArgs(NamedTuple):
    """Lengths of class name, method name and their input, which are the operation's input."""

    class_len: int = 0
    method_len: int = 0
    argc: int = 0
    indata_len: int = 0


class ListArgs(NamedTuple):
    """At most how many objects to list, and the map by which the listing began."""

    limit: int = 0
    start_epoch: int = 0


class SnapArgs(NamedTuple):
    """The snapshot to go back to."""

    snapid: int = 0


class WatchArgs(NamedTuple):
    """A watch by the client's cookie; `timeout` in seconds, 0 for the OSD's default."""

    cookie: int = 0
    ver: int = 0
    op: int = 0
    gen: int = 0
    timeout: int = 0


class NotifyArgs(NamedTuple):
    """The notifier's cookie."""

    cookie: int = 0


class AssertVerArgs(NamedTuple):
    """The user version that the object must have."""

    unused: int = 0
    ver: int = 0


class CopyGetArgs(NamedTuple):
    """At most how many bytes to answer."""

    max: int = 0


class CopyFromArgs(NamedTuple):
    """Which snapshot and version of the source to copy, and how to read it."""

    snapid: int = 0
    src_version: int = 0
    flags: int = 0
    src_fadvise_flags: int = 0


class HitSetGetArgs(NamedTuple):
    """The time that the hit set covers."""

    sec: int = 0
    nsec: int = 0


class Tmap2OmapArgs(NamedTuple):
    """1: an object without a tmap is none to complain about."""

    flags: int = 0


class AllocHintArgs(NamedTuple):
    """How large the object and writes to it will be, and AllocHintFlags."""

    expected_object_size: int = 0
    expected_write_size: int = 0
    flags: int = 0


class WriteSameArgs(NamedTuple):
    """Bytes to fill with the input, which is `data_length` long."""

    offset: int = 0
    length: int = 0
    data_length: int = 0


class ChecksumArgs(NamedTuple):
    """Bytes to checksum, each `chunk_size` of them (0: all) by themselves."""

    offset: int = 0
    length: int = 0
    chunk_size: int = 0
    type: int = 0


OpArgs = (
    Extent
    | XattrArgs
    | ClassArgs
    | ListArgs
    | SnapArgs
    | WatchArgs
    | NotifyArgs
    | AssertVerArgs
    | CopyGetArgs
    | CopyFromArgs
    | HitSetGetArgs
    | Tmap2OmapArgs
    | AllocHintArgs
    | WriteSameArgs
    | ChecksumArgs
)

_LAYOUTS: dict[type, _struct.Struct] = {
    Extent: _struct.Struct("<QQQI"),
    XattrArgs: _struct.Struct("<IIBB18x"),
    ClassArgs: _struct.Struct("<BBBI21x"),
    ListArgs: _struct.Struct("<QI16x"),
    SnapArgs: _struct.Struct("<Q20x"),
    WatchArgs: _struct.Struct("<QQBII3x"),
    NotifyArgs: _struct.Struct("<Q20x"),
    AssertVerArgs: _struct.Struct("<QQ12x"),
    CopyGetArgs: _struct.Struct("<Q20x"),
    CopyFromArgs: _struct.Struct("<QQBI7x"),
    HitSetGetArgs: _struct.Struct("<II20x"),
    Tmap2OmapArgs: _struct.Struct("<B27x"),
    AllocHintArgs: _struct.Struct("<QQI8x"),
    WriteSameArgs: _struct.Struct("<QQQ4x"),
    ChecksumArgs: _struct.Struct("<QQIB7x"),
}

ARGS_OF: dict[int, type] = {
    **dict.fromkeys(
        (
            OpCode.READ,
            OpCode.MAPEXT,
            OpCode.MASKTRUNC,
            OpCode.SPARSE_READ,
            OpCode.SYNC_READ,
            OpCode.WRITE,
            OpCode.WRITEFULL,
            OpCode.TRUNCATE,
            OpCode.ZERO,
            OpCode.APPEND,
            OpCode.SETTRUNC,
            OpCode.TRIMTRUNC,
            OpCode.CMPEXT,
        ),
        Extent,
    ),
    **dict.fromkeys((OpCode.GETXATTR, OpCode.CMPXATTR, OpCode.SETXATTR, OpCode.RMXATTR), XattrArgs),
    OpCode.CALL: ClassArgs,
    **dict.fromkeys((OpCode.PGLS, OpCode.PGLS_FILTER, OpCode.PGNLS, OpCode.PGNLS_FILTER), ListArgs),
    OpCode.ROLLBACK: SnapArgs,
    OpCode.WATCH: WatchArgs,
    OpCode.NOTIFY: NotifyArgs,
    OpCode.ASSERT_VER: AssertVerArgs,
    OpCode.COPY_GET: CopyGetArgs,
    **dict.fromkeys((OpCode.COPY_FROM, OpCode.COPY_FROM2, OpCode.SET_REDIRECT), CopyFromArgs),
    OpCode.PG_HITSET_GET: HitSetGetArgs,
    OpCode.TMAP2OMAP: Tmap2OmapArgs,
    OpCode.SETALLOCHINT: AllocHintArgs,
    OpCode.WRITESAME: WriteSameArgs,
    OpCode.CHECKSUM: ChecksumArgs,
}
"""The arguments that a code has; one that is not here has none."""

_READERS: dict[int, tuple[Callable[[Any], Any], Callable[[bytes], Any]]] = {
    code: (kind._make, _LAYOUTS[kind].unpack)  # type: ignore[attr-defined]  # all are NamedTuples
    for code, kind in ARGS_OF.items()
}
_NO_ARGS = bytes(ARGS_SIZE)


class OSDOp:
    """One operation of a request.

    `raw` are the 28 bytes of its arguments (see `args`), `indata` its input, `outdata` and
    `rval` what it answers. `payload_len` counts on the wire alone.
    """

    __slots__ = ("flags", "indata", "op", "outdata", "payload_len", "raw", "rval")

    def __init__(
        self,
        op: int,
        flags: int = 0,
        raw: bytes = _NO_ARGS,
        payload_len: int = 0,
        indata: Buffer = b"",
        outdata: Buffer = b"",
        rval: int = 0,
    ) -> None:
        self.op = op
        self.flags = flags
        self.raw = raw
        self.payload_len = payload_len
        self.indata = indata
        self.outdata = outdata
        self.rval = rval

    @classmethod
    def make(
        cls, op: int, args: OpArgs | None = None, indata: Buffer = b"", flags: int = 0
    ) -> OSDOp:
        """An operation with its arguments. Raises WireError when one does not fit its field."""
        if args is None:
            return cls(op, flags, indata=indata)
        try:
            raw = _LAYOUTS[type(args)].pack(*args)
        except _struct.error as error:
            raise WireError(f"argument of {OP_NAMES.get(op, op)}: {error}") from error
        return cls(op, flags, raw, indata=indata)

    @classmethod
    def xattr(
        cls, op: int, name: str, value: bytes = b"", cmp_op: int = 0, cmp_mode: int = 0
    ) -> OSDOp:
        """An operation on an attribute; its input is the name followed by the value."""
        raw_name = name.encode("utf-8", "surrogateescape")
        args = XattrArgs(len(raw_name), len(value), cmp_op, cmp_mode)
        return cls.make(op, args, raw_name + value)

    @classmethod
    def call(cls, class_name: str, method: str, indata: bytes = b"") -> OSDOp:
        """A call of an object class's method."""
        names = class_name.encode(), method.encode()
        args = ClassArgs(len(names[0]), len(names[1]), 0, len(indata))
        return cls.make(OpCode.CALL, args, b"".join((*names, indata)))

    @property
    def args(self) -> Any:
        """The arguments by the operation's code; None for a code without any."""
        reader = _READERS.get(self.op)
        return None if reader is None else reader[0](reader[1](self.raw))

    @property
    def extent(self) -> Extent:
        """The arguments as an Extent, for codes that have one."""
        return Extent._make(_LAYOUTS[Extent].unpack(self.raw))

    def xattr_parts(self) -> tuple[str, bytes]:
        """Name and value of an operation on an attribute.

        Raises WireError when the input is too short.
        """
        name_len, value_len, _, _ = _LAYOUTS[XattrArgs].unpack(self.raw)
        data = bytes(self.indata)
        if name_len + value_len > len(data):
            raise WireError(f"attribute of {name_len} + {value_len} bytes in {len(data)} bytes")
        name = str(data[:name_len], "utf-8", "surrogateescape")
        return name, data[name_len : name_len + value_len]

    def call_parts(self) -> tuple[str, str, bytes]:
        """Class, method and input of a call. Raises WireError when the input is too short."""
        class_len, method_len, _, size = _LAYOUTS[ClassArgs].unpack(self.raw)
        data = bytes(self.indata)
        names = class_len + method_len
        if names + size > len(data):
            raise WireError(f"call of {names} + {size} bytes in {len(data)} bytes")
        class_name = str(data[:class_len], "utf-8", "surrogateescape")
        method = str(data[class_len:names], "utf-8", "surrogateescape")
        return class_name, method, data[names : names + size]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OSDOp):
            return NotImplemented
        return (self.op, self.flags, self.raw, self.rval) == (
            *(other.op, other.flags, other.raw, other.rval),
        ) and (self.indata, self.outdata) == (other.indata, other.outdata)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"OSDOp({self})"

    def __str__(self) -> str:
        """As upstream's logs show it, in short: `write 0~4096`."""
        name = OP_NAMES.get(self.op, f"0x{self.op:x}")
        args = self.args
        if isinstance(args, Extent):
            if self.op == OpCode.TRUNCATE:
                return f"{name} {args.offset}"
            return f"{name} {args.offset}~{args.length}"
        if isinstance(args, SnapArgs):
            return f"{name} {snap_name(args.snapid)}"
        return name if args is None else f"{name} {args}"

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        args = self.args
        return {
            "op": OP_NAMES.get(self.op, self.op),
            "flags": self.flags,
            "args": None if args is None else args._asdict(),
            "indata_len": len(self.indata) or self.payload_len,
            "rval": self.rval,
        }
