"""Requests of clients to OSDs and their replies: MOSDOp and MOSDOpReply.

By hand, because everything that a cluster does for its users passes here. Only the encoding since
Luminous is spoken (version 8); connections without RESEND_ON_SPLIT are refused before this.
Formats: upstream `src/messages/MOSDOp.h`, `MOSDOpReply.h`.
"""

from __future__ import annotations

import struct as _struct
from dataclasses import field
from functools import cache
from typing import Any, Self

from spirula.denc.codecs import too_many
from spirula.errors import IncompatibleVersion, Truncated, WireError
from spirula.kernels.layouts import (
    again,
    also,
    closed,
    each,
    fixed,
    length,
    literal,
    mark,
    number,
    numbers,
    opened,
    packer,
    same,
    text,
    unpacker,
)
from spirula.messages.base import Message, message, received
from spirula.records import dataclass
from spirula.types import usual
from spirula.types.base import EVersion, UTime
from spirula.types.entity import EntityName
from spirula.types.hobject import HObject
from spirula.types.object_info import OSDReqId, RequestRedirect
from spirula.types.osd_op import OP_LAYOUT, OP_SIZE, Buffer, OSDOp, RequestFlag
from spirula.types.pg import PGId, SPGId

CEPH_MSG_OSD_OP, CEPH_MSG_OSD_OPREPLY = 42, 43
NO_TRACE = bytes(24)

# spg_t, hash, epoch, flags, reqid, trace, client incarnation, mtime, and the locator up to its key
_HEAD = _struct.Struct("<BBIBqIib III BBIBqQi 24s I II BBIqiI".replace(" ", ""))
_OPS = _struct.Struct("<" + OP_LAYOUT)
_LENGTH, _COUNT = _struct.Struct("<I"), _struct.Struct("<H")
_AFTER_NSPACE = _struct.Struct("<qI")
_SNAPS, _LAST = _struct.Struct("<QQI"), _struct.Struct("<iQ")
_VERSIONS = _struct.Struct("<QIQ?")
_SPGID_SIZE, _REQID_SIZE, _LOCATOR_SIZE = 18, 21, 28


class _WithOps(Message):
    """Base of both: the operations' data is the message's data, one after another."""

    __slots__ = ("_data",)

    ops: list[OSDOp]

    def __post_init__(self) -> None:
        self.tid = 0
        self.priority = self.PRIORITY
        self.header_version = 0
        self.middle = b""
        self._data: Buffer | None = None
        self.connection = None

    def answer(self, other: Message) -> None:
        """Takes over what an answer shares with its question."""
        self.tid = other.tid

    def numbered(self, tid: int) -> Self:
        """Itself, as number `tid` of its sender's requests."""
        self.tid = tid
        return self

    @property
    def data(self) -> Buffer:
        """The operations' data, joined when it was not received in one piece."""
        if self._data is None:
            parts = self._parts()
            self._data = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._data

    @data.setter
    def data(self, received: Buffer) -> None:
        """Hands each operation its part (views of `received`, never copies).

        Raises WireError when there is less of it than the operations say.
        """
        self._data = received
        pos, total = 0, len(received)
        view: Buffer = received
        for op in self.ops:
            size = op.payload_len
            if not size:
                continue
            if size == total and not pos:
                self._give(op, received)
            else:
                if pos + size > total:
                    raise WireError(f"operations need more than the {total} bytes of data")
                view = view if isinstance(view, memoryview) else memoryview(received)
                self._give(op, view[pos : pos + size])
            pos += size

    def _give(self, op: OSDOp, part: Buffer) -> None:
        op.indata = part

    def _parts(self) -> list[Buffer]:
        return [op.indata for op in self.ops if op.indata]


@message(CEPH_MSG_OSD_OP, version=8, compat=3, by_hand=True)
@dataclass(slots=True)
class MOSDOp(_WithOps):
    """A client asks the primary of a PG to carry out operations on an object, all or none.

    `pgid` is the PG in full, `hobj` the object (its hash not folded to the pool's PGs),
    `snaps` with `snap_seq` the write's snapshot context. `reqid` is set when someone else's
    request is passed on; `request_id` is what identifies it then or else. `features` are the
    client's.
    """

    pgid: SPGId = field(default_factory=lambda: SPGId(PGId()))
    hobj: HObject = field(default_factory=HObject)
    ops: list[OSDOp] = field(default_factory=list)
    epoch: int = 0
    flags: int = 0
    reqid: OSDReqId = field(default_factory=OSDReqId)
    client_inc: int = 0
    mtime: UTime = field(default_factory=UTime)
    snap_seq: int = 0
    snaps: list[int] = field(default_factory=list)
    retry_attempt: int = -1
    features: int = 0
    trace: bytes = NO_TRACE

    def request_id(self, source: EntityName) -> OSDReqId:
        """What identifies the request, sent by `source` on this connection."""
        reqid = self.reqid
        if reqid.tid or reqid.name.type or reqid.name.num:
            return reqid
        return OSDReqId(source, self.tid, reqid.inc)

    @property
    def raw_pgid(self) -> PGId:
        """The PG by the unfolded hash."""
        return PGId(self.pgid.pgid.pool, self.hobj.hash)

    def _enc_payload(self, out: bytearray, features: int, v: int) -> None:
        del v
        spgid, hobj, reqid, mtime = self.pgid, self.hobj, self.reqid, self.mtime
        pgid, who = spgid.pgid, reqid.name
        oid = hobj.oid.encode("utf-8", "surrogateescape")
        nspace = hobj.nspace.encode("utf-8", "surrogateescape")
        key = hobj.key.encode("utf-8", "surrogateescape") if oid else b""
        # an operation on a PG names no object and has the hash in its locator
        compat, hash = (3, -1) if oid else (6, hobj.hash)
        out += _HEAD.pack(
            *(1, 1, _SPGID_SIZE, 1, pgid.pool, pgid.seed, -1, spgid.shard),
            *(hobj.hash, self.epoch, self.flags),
            *(2, 2, _REQID_SIZE, who.type, who.num, reqid.tid, reqid.inc),
            *(self.trace, self.client_inc, mtime.sec, mtime.nsec),
            *(6, compat, _LOCATOR_SIZE + len(key) + len(nspace), hobj.pool, -1, len(key)),
        )
        out += key
        out += _LENGTH.pack(len(nspace))
        out += nspace
        out += _AFTER_NSPACE.pack(hash, len(oid))
        out += oid
        out += _COUNT.pack(len(self.ops))
        pack = _OPS.pack
        for op in self.ops:
            out += pack(op.op, op.flags, op.raw, len(op.indata) or op.payload_len)
        snaps = self.snaps
        out += _SNAPS.pack(hobj.snap, self.snap_seq, len(snaps))
        if snaps:
            out += _struct.pack(f"<{len(snaps)}Q", *snaps)
        out += _LAST.pack(self.retry_attempt, features)

    @classmethod
    def _dec_payload(
        cls, buf: bytes, pos: int, end: int, features: int, v: int
    ) -> tuple[Self, int]:
        if v != 8:
            raise IncompatibleVersion(f"request of version {v}, this one knows 8", offset=pos)
        # fmt: off
        (
            _, _, pg_size, _, pool, seed, _, shard, hash, epoch, flags,
            _, _, reqid_size, who, num, tid, inc, trace, client_inc, sec, nsec,
            locator_v, _, locator_size, _, _, key_size,
        ) = _HEAD.unpack_from(buf, pos)
        # fmt: on
        if pg_size != _SPGID_SIZE or reqid_size != _REQID_SIZE or locator_v < 6:
            raise IncompatibleVersion("request with parts of another version", offset=pos)
        pos += _HEAD.size
        after_locator = pos - 16 + locator_size
        key = str(buf[pos : pos + key_size], "utf-8", "surrogateescape") if key_size else ""
        pos += key_size
        (size,) = _LENGTH.unpack_from(buf, pos)
        pos += 4
        nspace = str(buf[pos : pos + size], "utf-8", "surrogateescape") if size else ""
        if pos + size + 8 > after_locator:
            raise Truncated("locator is longer than its length", offset=pos, limit=after_locator)
        pos = after_locator
        (size,) = _LENGTH.unpack_from(buf, pos)
        pos += 4
        oid = str(buf[pos : pos + size], "utf-8", "surrogateescape")
        pos += size
        (count,) = _COUNT.unpack_from(buf, pos)
        pos += 2
        stop = pos + OP_SIZE * count
        ops = [OSDOp(*fields) for fields in _OPS.iter_unpack(buf[pos:stop])]
        snap, snap_seq, count = _SNAPS.unpack_from(buf, stop)
        pos = stop + _SNAPS.size
        snaps: list[int] = []
        if count:
            if count > (end - pos) // 8:
                raise too_many(count, pos, (end - pos) // 8)
            snaps = list(_struct.unpack_from(f"<{count}Q", buf, pos))
            pos += 8 * count
        retry_attempt, client_features = _LAST.unpack_from(buf, pos)
        pgid = SPGId(PGId(pool, seed), shard)
        if key == oid:
            key = ""
        made = cls(
            pgid,
            HObject(key, oid, snap, hash, False, nspace, pool),
            ops,
            epoch,
            flags,
            OSDReqId(EntityName(who, num), tid, inc),
            client_inc,
            UTime(sec, nsec),
            snap_seq,
            snaps,
            retry_attempt,
            client_features,
            trace,
        )
        return made, pos + _LAST.size

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "pgid": str(self.pgid),
            "object": str(self.hobj),
            "ops": [op.plain() for op in self.ops],
            "osdmap_epoch": self.epoch,
            "flags": request_flag_names(self.flags),
            "reqid": str(self.reqid),
            "mtime": self.mtime.plain(),
            "snap_seq": self.snap_seq,
            "snaps": self.snaps,
            "retry_attempt": self.retry_attempt,
            "features": self.features,
        }


_NONE, _NO_HASH = bytes(4), b"\xff" * 8
_OP = [number("H", "op"), number("I", "flags"), fixed("raw", 28)]
MOSDOp.UNPACK = unpacker(
    {
        "": MOSDOp,
        "pgid": SPGId,
        "pgid.pgid": PGId,
        "hobj": HObject,
        "reqid": OSDReqId,
        "reqid.name": EntityName,
        "mtime": UTime,
    },
    *received(MOSDOp, data="_data"),
    # PG, and the hash of the object
    opened(1, 1),
    literal(b"\1"),
    mark(),
    number("q", "pgid.pgid.pool"),
    also("hobj.pool"),
    number("I", "pgid.pgid.seed"),
    literal(_NO_HASH[:4]),
    number("b", "pgid.shard"),
    closed(),
    number("I", "hobj.hash"),
    number("I", "epoch"),
    number("I", "flags"),
    *usual.request_id("reqid"),
    fixed("trace", 24),
    number("I", "client_inc"),
    *usual.utime("mtime"),
    # the locator, which has neither key nor hash
    opened(6, 3),
    again(8),
    literal(_NO_HASH[:4] + _NONE),
    same("hobj.key", ""),
    text("hobj.nspace"),
    literal(_NO_HASH),
    closed(),
    text("hobj.oid", empty=False),
    same("hobj.max", False),
    same("hobj._order", None),
    same("hobj._hash", 0),
    each(
        "ops",
        "H",
        unpacker(
            {"": OSDOp},
            *_OP,
            number("I", "payload_len"),
            same("indata", b""),
            same("outdata", b""),
            same("rval", 0),
        ),
    ),
    number("Q", "hobj.snap"),
    number("Q", "snap_seq"),
    numbers("snaps", "Q"),
    number("i", "retry_attempt"),
    number("Q", "features"),
)


def request_flag_names(flags: int) -> list[str]:
    """The names of the bits that are set."""
    return [bit.name.lower() for bit in RequestFlag if flags & bit and bit.name]


_NO_VERSION = EVersion()
_REPLY_FIXED = "BqIiqiQIII"
_NOT_OF_REPLY = ~int(RequestFlag.ONDISK | RequestFlag.ONNVRAM | RequestFlag.ACK)


@cache
def _reply_layout(count: int) -> _struct.Struct:
    """A reply after its object's name, with `count` operations, up to where a redirect stands."""
    return _struct.Struct(f"<{_REPLY_FIXED}{OP_LAYOUT * count}{count + 1}iQIQ?")


_REPLY_HEAD = _struct.Struct(f"<{_REPLY_FIXED}")
_MAX_OPS = 0xFFFF


@message(CEPH_MSG_OSD_OPREPLY, version=8, compat=2, by_hand=True)
@dataclass(slots=True)
class MOSDOpReply(_WithOps):
    """What became of a request, under its tid.

    `result` is 0 or more, or a negative errno; each operation has its `rval` and `outdata`.
    `replay_version` is where a write stands in the PG's log, `user_version` what clients see as the
    object's version; `bad_replay_version` repeats that for clients of old.
    """

    oid: str = ""
    pgid: PGId = field(default_factory=PGId)
    ops: list[OSDOp] = field(default_factory=list)
    flags: int = 0
    result: int = 0
    bad_replay_version: EVersion = _NO_VERSION
    epoch: int = 0
    retry_attempt: int = -1
    replay_version: EVersion = _NO_VERSION
    user_version: int = 0
    redirect: RequestRedirect | None = None
    trace: bytes = NO_TRACE

    @classmethod
    def to(cls, request: MOSDOp, result: int, epoch: int, ack: int = RequestFlag.ONDISK) -> Self:
        """The reply to `request`, with its operations as they are (outdata and rval filled in)."""
        made = cls(
            request.hobj.oid,
            request.pgid.pgid,
            request.ops,
            (request.flags & _NOT_OF_REPLY) | int(ack),
            result,
            epoch=epoch,
            retry_attempt=request.retry_attempt,
        )
        made.answer(request)
        return made

    def set_versions(self, version: EVersion, user_version: int) -> None:
        """Sets all three versions after a write (see `bad_replay_version`)."""
        self.replay_version = version
        self.user_version = user_version
        self.bad_replay_version = EVersion(user_version, version.epoch) if user_version else version

    def set_versions_without_write(self, version: EVersion, user_version: int) -> None:
        """Sets the versions after a read."""
        self.user_version = user_version
        self.bad_replay_version = version

    def _give(self, op: OSDOp, part: Buffer) -> None:
        op.outdata = part

    def _parts(self) -> list[Buffer]:
        return [op.outdata for op in self.ops if op.outdata]

    def _enc_payload(self, out: bytearray, features: int, v: int) -> None:
        del v
        oid = self.oid.encode("utf-8", "surrogateescape")
        pgid, bad, version, ops = self.pgid, self.bad_replay_version, self.replay_version, self.ops
        fields: list[Any] = [
            *(1, pgid.pool, pgid.seed, -1, self.flags, self.result),
            *(bad.version, bad.epoch, self.epoch, len(ops)),
        ]
        for op in ops:
            fields += (op.op, op.flags, op.raw, len(op.outdata))
        fields.append(self.retry_attempt)
        fields += [op.rval for op in ops]
        redirect = self.redirect
        out += _LENGTH.pack(len(oid))
        out += oid
        out += _reply_layout(len(ops)).pack(
            *fields, version.version, version.epoch, self.user_version, redirect is not None
        )
        if redirect is not None:
            redirect._enc(out, features)
        out += self.trace

    @classmethod
    def _dec_payload(
        cls, buf: bytes, pos: int, end: int, features: int, v: int
    ) -> tuple[Self, int]:
        if v < 8:
            raise IncompatibleVersion(f"reply of version {v}, this one knows 8", offset=pos)
        (size,) = _LENGTH.unpack_from(buf, pos)
        pos += 4
        oid = str(buf[pos : pos + size], "utf-8", "surrogateescape")
        pos += size
        _, pool, seed, _, flags, result, bad_version, bad_epoch, epoch, count = (
            _REPLY_HEAD.unpack_from(buf, pos)
        )
        if count > min(_MAX_OPS, (end - pos) // OP_SIZE):
            raise too_many(count, pos, min(_MAX_OPS, (end - pos) // OP_SIZE))
        pos += _REPLY_HEAD.size
        stop = pos + OP_SIZE * count
        ops = [OSDOp(*fields) for fields in _OPS.iter_unpack(buf[pos:stop])]
        retry_attempt, *rvals = _struct.unpack_from(f"<{count + 1}i", buf, stop)
        for op, rval in zip(ops, rvals, strict=True):
            op.rval = rval
        pos = stop + 4 * (count + 1)
        version, version_epoch, user_version, redirected = _VERSIONS.unpack_from(buf, pos)
        pos += _VERSIONS.size
        redirect = None
        if redirected:
            redirect, pos = RequestRedirect._dec(buf, pos, end, features)
        trace = buf[pos : pos + 24]
        if len(trace) != 24:
            raise Truncated("ends inside the trace", offset=pos, limit=end)
        made = cls(
            oid,
            PGId(pool, seed),
            ops,
            flags,
            result,
            EVersion(bad_version, bad_epoch),
            epoch,
            retry_attempt,
            EVersion(version, version_epoch),
            user_version,
            redirect,
            trace,
        )
        return made, pos + 24

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "oid": self.oid,
            "pgid": str(self.pgid),
            "ops": [op.plain() for op in self.ops],
            "flags": request_flag_names(self.flags),
            "result": self.result,
            "osdmap_epoch": self.epoch,
            "retry_attempt": self.retry_attempt,
            "replay_version": str(self.replay_version),
            "user_version": self.user_version,
            "redirect": None if self.redirect is None else self.redirect.plain(),
        }


MOSDOpReply.PACK = packer(
    text("oid"),
    *usual.pg_id("pgid"),
    number("q", "flags"),
    number("i", "result"),
    *usual.eversion("bad_replay_version"),
    number("I", "epoch"),
    each("ops", "I", packer(*_OP, length("outdata"))),
    number("i", "retry_attempt"),
    each("ops", "", packer(number("i", "rval"))),
    *usual.eversion("replay_version"),
    number("Q", "user_version"),
    same("redirect", None),
    literal(b"\0"),
    fixed("trace", 24),
)
