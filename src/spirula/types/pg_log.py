"""A PG's log: what was done to which object, what can be rolled back, which objects are missing.

Formats: upstream `src/osd/osd_types.h`, `osd_types.cc` (pg_log_entry_t, pg_log_t, pg_missing_t,
ObjectModDesc, ObjectCleanRegions).
"""

from __future__ import annotations

import struct as _struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar, Self

from spirula.denc import (
    Map,
    Opt,
    Pair,
    Set,
    Struct,
    Vec,
    blob,
    boolean,
    default,
    irregular,
    s32,
    since,
    string,
    struct,
    u8,
    u32,
    u64,
    when,
)
from spirula.denc.features import PACIFIC, SERVER_OCTOPUS, has
from spirula.errors import IncompatibleVersion, Truncated, WireError
from spirula.kernels.layouts import (
    closed,
    decoded,
    empty,
    fixed,
    literal,
    mark,
    number,
    opened,
    packer,
    ranges,
    same,
    since_mark,
    some_ranges,
    unpacker,
)
from spirula.types import usual
from spirula.types.base import EVersion, UTime
from spirula.types.entity import EntityName
from spirula.types.hobject import HObject
from spirula.types.interval_set import IntervalSet
from spirula.types.object_info import OSDReqId, open_envelope

ALL_BYTES = (1 << 64) - 1


class ModCode(IntEnum):
    """Steps of an ObjectModDesc."""

    APPEND = 1
    SETATTRS = 2
    DELETE = 3
    CREATE = 4
    UPDATE_SNAPS = 5
    TRY_DELETE = 6
    ROLLBACK_EXTENTS = 7


@struct(version=1, compat=1)
class _ModStep(Struct):
    """One step by its code; the fields of that code count."""

    code: u8
    number: u64 = when("code == 1 or code == 3 or code == 6 or code == 7")
    attrs: Map[string, Opt[blob]] = when("code == 2")
    snaps: Set[u64] = when("code == 5")
    extents: Vec[Pair[u64, u64]] = when("code == 7")


@struct(version=2, compat=2)
class _ModStepV2(Struct):
    """A step as encoded since it has extents, and what reads steps of either version."""

    code: u8
    number: u64 = when("code == 1 or code == 3 or code == 6 or code == 7")
    attrs: Map[string, Opt[blob]] = when("code == 2")
    snaps: Set[u64] = when("code == 5")
    extents: Vec[Pair[u64, u64]] = when("code == 7")


@dataclass(slots=True)
class ModStep:
    """How to undo one change.

    `number`: the old size (APPEND) or the generation in which the old object is kept (DELETE,
    TRY_DELETE, ROLLBACK_EXTENTS). `attrs`: old values, None where there was none. `extents`:
    (offset, length) pairs.
    """

    code: int
    number: int = 0
    attrs: dict[str, bytes | None] = field(default_factory=dict)
    snaps: set[int] = field(default_factory=set)
    extents: list[tuple[int, int]] = field(default_factory=list)


_MOD_DESC = _struct.Struct("<BBI??I")
_CLEAN_ONE = _struct.Struct("<BBIIQQ??")


@irregular("ObjectModDesc")
@dataclass(slots=True)
class ObjectModDesc(Struct):
    """How to undo a change in an erasure-coded pool, as encoded steps in `steps_raw`."""

    _denc_min_size: ClassVar[int] = 12

    can_local_rollback: bool = True
    rollback_info_completed: bool = False
    steps_raw: bytes = b""
    max_required_version: int = 1

    def steps(self) -> list[ModStep]:
        """The steps, in the order in which they were done. Raises WireError."""
        steps, pos = [], 0
        while pos < len(self.steps_raw):
            raw, pos = _ModStepV2.decode_from(self.steps_raw, pos)
            if not ModCode.APPEND <= raw.code <= ModCode.ROLLBACK_EXTENTS:
                raise WireError(f"rollback step {raw.code} is not known", offset=pos)
            steps.append(ModStep(raw.code, raw.number, raw.attrs, raw.snaps, raw.extents))
        return steps

    def add(self, step: ModStep) -> bool:
        """Adds a step unless nothing before it needs to be kept; True when it was added."""
        if not self.can_local_rollback or self.rollback_info_completed:
            return False
        kind = _ModStepV2 if step.code == ModCode.ROLLBACK_EXTENTS else _ModStep
        raw = kind(step.code, step.number, step.attrs, step.snaps, step.extents)
        self.steps_raw += raw.encode()
        if kind is _ModStepV2:
            self.max_required_version = max(self.max_required_version, 2)
        if step.code in (ModCode.DELETE, ModCode.TRY_DELETE, ModCode.CREATE):
            self.rollback_info_completed = True
        return True

    def mark_unrollbackable(self) -> None:
        """Says that this change cannot be undone."""
        self.can_local_rollback = False
        self.steps_raw = b""

    def _enc(self, out: bytearray, features: int) -> None:
        raw, v = self.steps_raw, self.max_required_version
        out += _MOD_DESC.pack(
            *(v, v, 6 + len(raw)),
            *(self.can_local_rollback, self.rollback_info_completed, len(raw)),
        )
        out += raw

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        v, compat, size, rollback, completed, steps = _MOD_DESC.unpack_from(buf, pos)
        after = pos + _MOD_DESC.size
        if not steps and size == _MOD_DESC.size - 6 and v >= compat <= 2 and after <= end:
            return cls(bool(rollback), bool(completed), b"", v), after
        wire, pos = _ModDescWire._dec(buf, pos, end, features)
        return cls(wire.can_local_rollback, wire.rollback_info_completed, wire.steps_raw, v), pos

    def plain(self) -> dict[str, object]:
        """As JSON can hold it."""
        return {
            "can_local_rollback": self.can_local_rollback,
            "rollback_info_completed": self.rollback_info_completed,
            "ops": [{"code": ModCode(step.code).name} for step in self.steps()],
        }


@struct(version=2, compat=2)
class _ModDescWire(Struct):
    can_local_rollback: boolean
    rollback_info_completed: boolean
    steps_raw: blob


@struct(name="ObjectCleanRegions", version=1, compat=1)
class ObjectCleanRegions(Struct):
    """What of an object a change left alone, so that recovery need not copy it."""

    clean_offsets: IntervalSet = default(IntervalSet([(0, ALL_BYTES)]))
    clean_omap: boolean = default(True)
    new_object: boolean = default(False)

    @classmethod
    def all_dirty(cls) -> ObjectCleanRegions:
        """Nothing is clean, and the object may not have been there before."""
        return cls(IntervalSet(), False, True)

    def mark_data_dirty(self, offset: int, length: int, *, max_intervals: int = 10) -> None:
        """Says that these bytes changed."""
        self.clean_offsets.erase(offset, length)
        self._trim(max_intervals)

    def merge(self, other: ObjectCleanRegions, *, max_intervals: int = 10) -> None:
        """Keeps as clean only what `other` left clean too."""
        self.clean_offsets &= other.clean_offsets
        self.clean_omap = self.clean_omap and other.clean_omap
        self._trim(max_intervals)

    def raw(self) -> bytes:
        """What `encode` gives; of most it is known how they look."""
        clean = self.clean_offsets.sole
        if clean is None:
            return self.encode()
        return _CLEAN_ONE.pack(1, 1, 22, 1, *clean, self.clean_omap, self.new_object)

    def dirty_regions(self) -> IntervalSet:
        """The bytes that may have changed."""
        return IntervalSet([(0, ALL_BYTES)]) - self.clean_offsets

    def _trim(self, max_intervals: int) -> None:
        """Forgets the shortest clean ranges until no more than `max_intervals` are left."""
        while len(self.clean_offsets) > max_intervals:
            self.clean_offsets.erase(*min(self.clean_offsets, key=lambda each: each[1]))


class LogOp(IntEnum):
    """What a log entry did."""

    MODIFY = 1
    CLONE = 2
    DELETE = 3
    LOST_REVERT = 5
    LOST_DELETE = 6
    LOST_MARK = 7
    PROMOTE = 8
    CLEAN = 9
    ERROR = 10


@struct(name="pg_log_op_return_item_t")
class LogOpReturn(Struct):
    """What one operation of a request answered, for when the request is sent again."""

    rval: s32
    bl: blob


_VERSIONS = _struct.Struct("<QIQIBBIBqQiII")
_HEAD = _struct.Struct("<BBIi")
_USUAL = _struct.Struct("<" + "QIQI BBI BqQi II IQ BBI??I I BBII".replace(" ", ""))
"""From the versions to the number of clean ranges, in an entry of the usual form."""
_USUAL_OUT = _struct.Struct("<" + "QIQI BBI BqQi II IQ BBI??I I".replace(" ", ""))
_USUAL_END = _struct.Struct("<??iI")
_RESULT = _struct.Struct("<iI")
_RANGE = _struct.Struct("<QQ")
_EVERSION = _struct.Struct("<QI")
_EMPTY = bytes(4)
"""A list without elements; most entries have two of them."""
_NO_REQUESTS: list[tuple[OSDReqId, int]] = []
_NO_CODES: dict[int, int] = {}
_NO_RETURNS: list[LogOpReturn] = []
_NO_VERSION = EVersion()


class _LazyParts(Struct):
    """Base of log entries: what is clean as it is encoded, of an entry that has not been asked."""

    __slots__ = ("_clean",)

    def _keep_clean(self, raw: bytes) -> None:
        self._clean = raw

    def __getattr__(self, name: str) -> Any:
        """The parts that `settle` took away, made again."""
        made: ObjectCleanRegions | ObjectModDesc
        if name == "clean_regions":
            made = ObjectCleanRegions.decode(self._clean)
        elif name == "mod_desc":
            made = ObjectModDesc(can_local_rollback=False)
        else:
            raise AttributeError(f"a log entry has no {name!r}", name=name)
        setattr(self, name, made)
        return made


_UNROLLBACKABLE = ObjectModDesc(can_local_rollback=False)
_USUAL_OPS = (LogOp.MODIFY, LogOp.DELETE)
_USUAL_REQUEST = (2, 2, 21, 0, 0)
_USUAL_DESC = (1, 1, 6, False, False, 0)


@irregular("pg_log_entry_t")
@dataclass(slots=True)
class PGLogEntry(_LazyParts):
    """One change to one object.

    `prior_version` is the object's version before; `reverting_to` counts for LOST_REVERT
    alone. `snaps` is an encoded list of ids (CLONE); `extra_reqids` are requests that a
    PROMOTE brought along, with their user versions, and `extra_reqid_return_codes` the results
    of those that failed, by index. These lists are not changed in place. An OSD has a hundred
    thousand entries, so what nobody looks at is made when somebody does.
    """

    _denc_min_size: ClassVar[int] = 6

    op: int = 0
    soid: HObject = field(default_factory=HObject)
    version: EVersion = field(default_factory=EVersion)
    prior_version: EVersion = field(default_factory=EVersion)
    reverting_to: EVersion = field(default_factory=EVersion)
    reqid: OSDReqId = field(default_factory=OSDReqId)
    mtime: UTime = field(default_factory=UTime)
    snaps: bytes = b""
    user_version: int = 0
    mod_desc: ObjectModDesc = field(default_factory=ObjectModDesc)
    extra_reqids: list[tuple[OSDReqId, int]] = field(default_factory=list)
    extra_reqid_return_codes: dict[int, int] = field(default_factory=dict)
    clean_regions: ObjectCleanRegions = field(default_factory=ObjectCleanRegions)
    return_code: int = 0
    op_returns: list[LogOpReturn] = field(default_factory=list)

    @property
    def is_delete(self) -> bool:
        """True when the object is gone after it."""
        return self.op in (LogOp.DELETE, LogOp.LOST_DELETE)

    @property
    def is_update(self) -> bool:
        """True when the object is there after it."""
        return not self.is_delete and self.op != LogOp.ERROR

    @property
    def key_name(self) -> str:
        """The omap key under which a PG's log keeps it.

        Epoch and version, so that keys sort by time.
        """
        return f"{self.version.epoch:010d}.{self.version.version:020d}"

    def settle(self) -> None:
        """Gives up what can be made again: of an entry that will not be changed any more."""
        if self.extra_reqids is _NO_REQUESTS:
            return
        if not self.mod_desc.steps_raw and self.mod_desc == _UNROLLBACKABLE:
            self._keep_clean(self.clean_regions.raw())
            del self.mod_desc, self.clean_regions
        self.extra_reqids = self.extra_reqids or _NO_REQUESTS
        self.extra_reqid_return_codes = self.extra_reqid_return_codes or _NO_CODES
        self.op_returns = self.op_returns or _NO_RETURNS

    def encode(self, features: int = PACIFIC) -> bytes:
        """As all do; what most entries have by a plan."""
        raw = _PACK(self)
        return Struct.encode(self, features) if raw is None else raw

    def _enc(self, out: bytearray, features: int) -> None:
        start = len(out)
        op, version, reqid, mtime = self.op, self.version, self.reqid, self.mtime
        plain = not (self.snaps or self.extra_reqids or self.op_returns)
        if plain and op in _USUAL_OPS and self.mod_desc == _UNROLLBACKABLE:
            self._enc_usual(out, features)
            return
        reverts = op == LogOp.LOST_REVERT
        first = self.reverting_to if reverts else self.prior_version
        out += _struct.pack("<BBIi", 14, 4, 0, op)
        self.soid._enc(out, features)
        out += _VERSIONS.pack(
            *(version.version, version.epoch, first.version, first.epoch, 2, 2, 21),
            *(reqid.name.type, reqid.name.num, reqid.tid, reqid.inc, mtime.sec, mtime.nsec),
        )
        if reverts:
            out += _EVERSION.pack(self.prior_version.version, self.prior_version.epoch)
        out += len(self.snaps).to_bytes(4, "little")
        out += self.snaps
        out += self.user_version.to_bytes(8, "little")
        self.mod_desc._enc(out, features)
        if self.extra_reqids:
            _Requests(self.extra_reqids)._enc(out, features)
        else:
            out += _EMPTY
        if op == LogOp.ERROR:
            out += _struct.pack("<i", self.return_code)
        if self.extra_reqids:
            _Codes(self.extra_reqid_return_codes)._enc(out, features)
        self.clean_regions._enc(out, features)
        if op != LogOp.ERROR:
            out += _struct.pack("<i", self.return_code)
        if self.op_returns:
            _Returns(self.op_returns)._enc(out, features)
        else:
            out += _EMPTY
        _struct.pack_into("<I", out, start + 2, len(out) - start - 6)

    def _enc_usual(self, out: bytearray, features: int) -> None:
        """What `_usual` reads, in a third of the steps that the general way takes."""
        start = len(out)
        version, prior, reqid, mtime = self.version, self.prior_version, self.reqid, self.mtime
        out += _HEAD.pack(14, 4, 0, self.op)
        self.soid._enc(out, features)
        out += _USUAL_OUT.pack(
            *(version.version, version.epoch, prior.version, prior.epoch, 2, 2, 21),
            *(reqid.name.type, reqid.name.num, reqid.tid, reqid.inc, mtime.sec, mtime.nsec),
            *(0, self.user_version, 1, 1, 6, False, False, 0, 0),
        )
        out += self.clean_regions.raw()
        out += _RESULT.pack(self.return_code, 0)
        _struct.pack_into("<I", out, start + 2, len(out) - start - 6)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        found = _UNPACK(buf, pos, end)
        if found is not None:
            return found
        v, compat, size, op = _HEAD.unpack_from(buf, pos)
        if v == 14 and compat == 4 and op in _USUAL_OPS and pos + 6 + size <= end:
            entry = cls._usual(buf, pos + _HEAD.size, pos + 6 + size, op)
            if entry is not None:
                return entry, pos + 6 + size
        v, pos, end, after = open_envelope(buf, pos, end, legacy_before=4, reads=14)
        if after is None:
            raise IncompatibleVersion(f"log entry of version {v} is older than 4", offset=pos)
        (op,) = _struct.unpack_from("<i", buf, pos)
        reverts = op == LogOp.LOST_REVERT and v >= 6
        soid, pos = HObject._dec(buf, pos + 4, end, features)
        version = EVersion(*_EVERSION.unpack_from(buf, pos))
        prior = reverting_to = EVersion(*_EVERSION.unpack_from(buf, pos + 12))
        reqid, pos = OSDReqId._dec(buf, pos + 24, end, features)
        mtime = UTime(*_struct.unpack_from("<II", buf, pos))
        pos += 8
        if reverts:
            prior = EVersion(*_EVERSION.unpack_from(buf, pos))
            pos += 12
        elif op != LogOp.LOST_REVERT:
            reverting_to = EVersion()
        entry = cls(op, soid, version, prior, reverting_to, reqid, mtime)
        pos = entry._read_newer(buf, pos, end, features, v)
        if pos > end:
            raise Truncated("value runs past its end", offset=pos, limit=end)
        return entry, after

    @classmethod
    def _usual(cls, buf: bytes, pos: int, end: int, op: int) -> Self | None:
        """An entry of a change without snapshots and nothing to undo; None for any other.

        That is nearly every one. What is not just so, damage included, is for the general way.
        """
        soid, pos = HObject._dec(buf, pos, end, 0)
        at = pos + _USUAL.size
        if at + _USUAL_END.size > end:
            return None
        # fmt: off
        (
            version, epoch, prior_version, prior_epoch, reqid_v, reqid_compat, reqid_size,
            who, num, tid, inc, sec, nsec, snaps, user_version,
            desc_v, desc_compat, desc_size, rollback, completed, steps, requests,
            regions_v, regions_compat, regions_size, count,
        ) = _USUAL.unpack_from(buf, pos)
        # fmt: on
        after = at + _RANGE.size * count
        if (
            (reqid_v, reqid_compat, reqid_size, snaps, requests) != _USUAL_REQUEST
            or (desc_v, desc_compat, desc_size, rollback, completed, steps) != _USUAL_DESC
            or (regions_v, regions_compat) != (1, 1)
            or regions_size != 6 + _RANGE.size * count
            or after + _USUAL_END.size != end
        ):
            return None
        last = 0
        for start, length in _RANGE.iter_unpack(buf[at:after]):
            if start < last or not length or start + length > ALL_BYTES:
                return None
            last = start + length
        _, _, return_code, returns = _USUAL_END.unpack_from(buf, after)
        if returns:
            return None
        made = cls.__new__(cls)
        made.op = op
        made.soid = soid
        made.version = EVersion(version, epoch)
        made.prior_version = EVersion(prior_version, prior_epoch)
        made.reverting_to = _NO_VERSION
        made.reqid = OSDReqId(EntityName(who, num), tid, inc)
        made.mtime = UTime(sec, nsec)
        made.snaps = b""
        made.user_version = user_version
        made.extra_reqids = _NO_REQUESTS
        made.extra_reqid_return_codes = _NO_CODES
        made.return_code = return_code
        made.op_returns = _NO_RETURNS
        made._keep_clean(buf[at - 10 : after + 2])
        return made

    def _read_newer(self, buf: bytes, pos: int, end: int, features: int, v: int) -> int:
        """Reads what came in with versions 7 to 14; returns the position after it."""
        if v >= 7 or self.op == LogOp.CLONE:
            (size,) = _struct.unpack_from("<I", buf, pos)
            if size > end - pos - 4:
                raise Truncated("length runs past the end", offset=pos, limit=end)
            self.snaps = buf[pos + 4 : pos + 4 + size]
            pos += 4 + size
        self.user_version = self.version.version
        if v >= 8:
            (self.user_version,) = _struct.unpack_from("<Q", buf, pos)
            pos += 8
        if v >= 9:
            self.mod_desc, pos = ObjectModDesc._dec(buf, pos, end, features)
        else:
            self.mod_desc.mark_unrollbackable()
        if v >= 10:
            if buf[pos : pos + 4] == _EMPTY:
                pos += 4
            else:
                requests, pos = _Requests._dec(buf, pos, end, features)
                self.extra_reqids = requests.items
        if v >= 11 and self.op == LogOp.ERROR:
            (self.return_code,) = _struct.unpack_from("<i", buf, pos)
            pos += 4
        if v >= 12 and self.extra_reqids:
            codes, pos = _Codes._dec(buf, pos, end, features)
            self.extra_reqid_return_codes = codes.items
        if v >= 13:
            self.clean_regions, pos = ObjectCleanRegions._dec(buf, pos, end, features)
        else:
            self.clean_regions = ObjectCleanRegions.all_dirty()
        if v >= 14:
            if self.op != LogOp.ERROR:
                (self.return_code,) = _struct.unpack_from("<i", buf, pos)
                pos += 4
            if buf[pos : pos + 4] == _EMPTY:
                return pos + 4
            returns, pos = _Returns._dec(buf, pos, end, features)
            self.op_returns = returns.items
        return pos

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "op": LogOp(self.op).name.lower() if self.op in set(LogOp) else "unknown",
            "object": str(self.soid),
            "version": str(self.version),
            "prior_version": str(self.prior_version),
            "reqid": str(self.reqid),
            "extra_reqids": [str(reqid) for reqid, _ in self.extra_reqids],
            "mtime": self.mtime.plain(),
            "return_code": self.return_code,
            "mod_desc": self.mod_desc.plain(),
            "clean_regions": self.clean_regions.plain(),
        }


_VERSIONED = [
    *usual.eversion("version"),
    *usual.eversion("prior_version"),
    *usual.request_id("reqid"),
    *usual.utime("mtime"),
    literal(usual.ZERO),  # snapshots
    number("Q", "user_version"),
    literal(_MOD_DESC.pack(1, 1, 6, *(False, False), 0) + usual.ZERO),
]
_PACK = packer(
    opened(14, 4),
    number("i", "op", among=_USUAL_OPS),
    *usual.hobject("soid"),
    empty("snaps"),
    empty("extra_reqids"),
    empty("op_returns"),
    same("mod_desc.can_local_rollback", False),
    same("mod_desc.rollback_info_completed", False),
    same("mod_desc.steps_raw", b""),
    same("mod_desc.max_required_version", 1),
    *_VERSIONED,
    opened(1, 1),
    ranges("clean_regions.clean_offsets._starts", "clean_regions.clean_offsets._ends"),
    number("?", "clean_regions.clean_omap"),
    number("?", "clean_regions.new_object"),
    closed(),
    number("i", "return_code"),
    literal(usual.ZERO),
    closed(),
)
_UNPACK = unpacker(
    {
        "": PGLogEntry,
        "version": EVersion,
        "prior_version": EVersion,
        "reqid": OSDReqId,
        "reqid.name": EntityName,
        "mtime": UTime,
    },
    opened(14, 4),
    number("i", "op", among=_USUAL_OPS),
    decoded("soid", HObject),
    *_VERSIONED,
    mark(),
    opened(1, 1),
    some_ranges(),
    fixed("_clean", 2),  # two flags; all of it is kept in their place
    closed(),
    since_mark("_clean"),
    number("i", "return_code"),
    literal(usual.ZERO),
    closed(),
    same("reverting_to", _NO_VERSION),
    same("snaps", b""),
    same("extra_reqids", _NO_REQUESTS),
    same("extra_reqid_return_codes", _NO_CODES),
    same("op_returns", _NO_RETURNS),
)


@struct
class _Requests(Struct):
    items: Vec[Pair[OSDReqId, u64]]


@struct
class _Codes(Struct):
    items: Map[u32, s32]


@struct
class _Returns(Struct):
    items: Vec[LogOpReturn]


@struct(name="pg_log_dup_t", version=2, compat=1)
class PGLogDup(Struct):
    """What is kept of an entry that was trimmed, to recognize its request when it comes again."""

    reqid: OSDReqId
    version: EVersion
    user_version: u64
    return_code: s32
    op_returns: Vec[LogOpReturn] = since(2)


@struct(name="pg_log_t", version=7, compat=3, legacy=(3, 3))
class PGLog(Struct):
    """The entries from after `tail` to `head`, oldest first, and the requests before them."""

    head: EVersion
    tail: EVersion
    log: Vec[PGLogEntry]
    can_rollback_to: EVersion = since(5)
    rollback_info_trimmed_to: EVersion = since(6)
    dups: Vec[PGLogDup] = since(7)


_MARK = _struct.pack("<QIQI", 0, 0, ALL_BYTES, 0xFFFFFFFF)
_ITEM = _struct.Struct("<QIQIB")
_FLAG_DELETE = 1


@irregular("pg_missing_item")
@dataclass(slots=True)
class PGMissingItem(Struct):
    """A missing object.

    The version that is needed, the one that is there, and what of that is clean.
    """

    _denc_min_size: ClassVar[int] = 37

    need: EVersion = field(default_factory=EVersion)
    have: EVersion = field(default_factory=EVersion)
    is_delete: bool = False
    clean_regions: ObjectCleanRegions = field(default_factory=ObjectCleanRegions)

    def _enc(self, out: bytearray, features: int) -> None:
        octopus = has(features, SERVER_OCTOPUS)
        out += _MARK if octopus else _MARK[:12]
        need, have = self.need, self.have
        out += _ITEM.pack(need.version, need.epoch, have.version, have.epoch, self.is_delete)
        if octopus:
            self.clean_regions._enc(out, features)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        octopus = buf[pos + 12 : pos + 24] == _MARK[12:]
        pos += 24 if octopus else 12
        version, epoch, have_version, have_epoch, flags = _ITEM.unpack_from(buf, pos)
        pos += _ITEM.size
        regions = ObjectCleanRegions.all_dirty()
        if octopus:
            regions, pos = ObjectCleanRegions._dec(buf, pos, end, features)
        need, have = EVersion(version, epoch), EVersion(have_version, have_epoch)
        return cls(need, have, bool(flags & _FLAG_DELETE), regions), pos

    def plain(self) -> dict[str, object]:
        """As JSON can hold it."""
        return {
            "need": str(self.need),
            "have": str(self.have),
            "flags": "delete" if self.is_delete else "none",
            "clean_regions": self.clean_regions.plain(),
        }


@struct(name="pg_missing_t", version=5, compat=2, legacy=(2, 2))
class PGMissing(Struct):
    """The objects whose newest version is not there."""

    missing: Map[HObject, PGMissingItem]
    may_include_deletes: boolean = since(4, default=False)
