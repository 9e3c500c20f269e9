"""How a primary has replicas and shards apply a write, and how it reads from shards.

Formats: upstream `src/messages/MOSDRepOp.h` and the others by name.
"""

from __future__ import annotations

import struct as _struct
from typing import Annotated, Any

from spirula.denc import Opt, Raw, Vec, blob, default, s8, s32, since, u8, u32, u64
from spirula.denc.features import PACIFIC
from spirula.errors import WireError
from spirula.kernels.layouts import (
    at_end,
    decoded,
    enveloped,
    fixed,
    known,
    literal,
    number,
    packer,
    same,
    unpacker,
)
from spirula.kernels.layouts import blob as blob_of
from spirula.messages.base import Message, message, received
from spirula.types import usual
from spirula.types.base import EVersion
from spirula.types.ec_sub import ECSubRead, ECSubReadReply, ECSubWrite, ECSubWriteReply
from spirula.types.entity import EntityName
from spirula.types.hit_set import PGHitSetHistory
from spirula.types.hobject import NO_SHARD, HObject
from spirula.types.object_info import OSDReqId
from spirula.types.pg import PGShard, SPGId
from spirula.types.pg_log import PGLogEntry
from spirula.types.pg_stats import EncodedPGStat
from spirula.types.transaction import Transaction

MSG_OSD_EC_WRITE, MSG_OSD_EC_WRITE_REPLY = 108, 109
MSG_OSD_EC_READ, MSG_OSD_EC_READ_REPLY = 110, 111
MSG_OSD_REPOP, MSG_OSD_REPOPREPLY = 112, 113
MSG_OSD_PG_UPDATE_LOG_MISSING, MSG_OSD_PG_UPDATE_LOG_MISSING_REPLY = 114, 115

Trace = Annotated[bytes, Raw(24)]
"""Three numbers by which a tracer follows a request; zeros where nobody traces."""


_NEWEST_REPOP, _NEWEST_REPOP_REPLY = 3, 2
_REQID = "BBIBqQi"
_REPOP_HEAD = _struct.Struct(f"<II24s{_REQID}24s")
"""What a sub-operation has before its object's name: epochs, trace, request, PG."""
_REPOP_HEAD_OUT = _struct.Struct(f"<II24s{_REQID}BBIBqIib")
_REPOP_MIDDLE = _struct.Struct("<BQII")
"""Acknowledgements wanted, version, length of the log entries."""
_REPOP_END = _struct.Struct("<QI39s39s11sBQI")
"""Where to trim, two names that are none, the sender, no history of hits, what all have on disk."""
_REPOP_END_OUT = _struct.Struct("<QI39s39sBBIibBQI")
_REPLY = _struct.Struct(f"<II24s{_REQID}24sBiQI11s")
_SIZE = _struct.Struct("<I")
_REQID_HEAD = 2, 2, 21
NO_OBJECT = HObject()
"""The temporary objects of a sub-operation that has none."""
_NO_OBJECT_RAW = NO_OBJECT.encode()
_MAX_KNOWN = 4096


class _Known(dict[bytes, Any]):
    """Values by their encoding, of a type of which there are few: each message has the same ones.

    None for what is none.
    """

    def __init__(self, kind: type[SPGId | PGShard]) -> None:
        super().__init__()
        self._kind = kind

    def __missing__(self, raw: bytes) -> Any:
        try:
            value = self._kind.decode(raw, exact=True)
        except WireError:
            return None
        if len(self) >= _MAX_KNOWN:
            self.clear()
        self[raw] = value
        return value


_PGS, _SHARDS = _Known(SPGId), _Known(PGShard)


# Every write passes through these two messages on each OSD, so what nearly all of them look like
# has plans (PACK, UNPACK, below the classes). Where there is no compiler these few steps do for
# that; for anything else, damage included, are the functions that the declarations become.


def _repop_encoder(general: Any) -> Any:
    def encode(self: MOSDRepOp, out: bytearray, features: int, v: int) -> None:
        plain = self.new_temp_oid is self.discard_temp_oid is NO_OBJECT or (
            self.new_temp_oid == NO_OBJECT == self.discard_temp_oid
        )
        if v != _NEWEST_REPOP or not plain or self.updated_hit_set_history is not None:
            general(self, out, features, v)
            return
        reqid, version, logbl = self.reqid, self.version, self.logbl
        trim, least, name = self.pg_trim_to, self.min_last_complete_ondisk, reqid.name
        sender, spgid = self.from_, self.pgid
        pgid = spgid.pgid
        out += _REPOP_HEAD_OUT.pack(
            *(self.map_epoch, self.min_epoch, self.trace, 2, 2, 21),
            *(name.type, name.num, reqid.tid, reqid.inc),
            *(1, 1, 18, 1, pgid.pool, pgid.seed, -1, spgid.shard),
        )
        self.poid._enc(out, features)
        out += _REPOP_MIDDLE.pack(self.acks_wanted, version.version, version.epoch, len(logbl))
        out += logbl
        out += self.pg_stats.raw
        out += _REPOP_END_OUT.pack(
            *(trim.version, trim.epoch, _NO_OBJECT_RAW, _NO_OBJECT_RAW),
            *(1, 1, 5, sender.osd, sender.shard, 0, least.version, least.epoch),
        )

    return encode


def _repop_decoder(general: Any) -> Any:
    def decode(buf: bytes, pos: int, end: int, features: int, v: int) -> tuple[MOSDRepOp, int]:
        found = _usual_repop(buf, pos, end, features) if v == _NEWEST_REPOP else None
        made: tuple[MOSDRepOp, int] = found or general(buf, pos, end, features, v)
        return made

    return decode


def _usual_repop(buf: bytes, pos: int, end: int, features: int) -> tuple[MOSDRepOp, int] | None:
    """A sub-operation without temporary objects and history of hits; None for any other."""
    at = pos + _REPOP_HEAD.size
    if at > end:
        return None
    # fmt: off
    (
        map_epoch, min_epoch, trace, reqid_v, reqid_compat, reqid_size,
        who, num, tid, inc, raw_pgid,
    ) = _REPOP_HEAD.unpack_from(buf, pos)
    # fmt: on
    try:
        poid, at = HObject._dec(buf, at, end, features)
    except (WireError, _struct.error, IndexError):
        return None
    logbl_at = at + _REPOP_MIDDLE.size
    if logbl_at > end:
        return None
    acks_wanted, version, epoch, size = _REPOP_MIDDLE.unpack_from(buf, at)
    stats_at = logbl_at + size
    end_at = end - _REPOP_END.size
    if stats_at + 6 > end_at or stats_at + 6 + _SIZE.unpack_from(buf, stats_at + 2)[0] != end_at:
        return None
    (trim, trim_epoch, new_temp, discard_temp, raw_sender, history, least, least_epoch) = (
        _REPOP_END.unpack_from(buf, end_at)
    )
    pgid, sender = _PGS[raw_pgid], _SHARDS[raw_sender]
    if (
        (reqid_v, reqid_compat, reqid_size) != _REQID_HEAD
        or pgid is None
        or sender is None
        or history
        or not new_temp == discard_temp == _NO_OBJECT_RAW
    ):
        return None
    made = MOSDRepOp(
        map_epoch,
        min_epoch,
        trace,
        OSDReqId(EntityName(who, num), tid, inc),
        pgid,
        poid,
        acks_wanted,
        EVersion(version, epoch),
        buf[logbl_at:stats_at],
        EncodedPGStat(buf[stats_at:end_at]),
        EVersion(trim, trim_epoch),
        NO_OBJECT,
        NO_OBJECT,
        sender,
        None,
        EVersion(least, least_epoch),
    )
    return made, end


def _reply_decoder(general: Any) -> Any:
    def decode(buf: bytes, pos: int, end: int, features: int, v: int) -> tuple[MOSDRepOpReply, int]:
        made: tuple[MOSDRepOpReply, int]
        if v == _NEWEST_REPOP_REPLY and end - pos == _REPLY.size:
            # fmt: off
            (
                map_epoch, min_epoch, trace, reqid_v, reqid_compat, reqid_size,
                who, num, tid, inc, raw_pgid, ack_type, result, version, epoch, raw_sender,
            ) = _REPLY.unpack_from(buf, pos)
            # fmt: on
            pgid, sender = _PGS[raw_pgid], _SHARDS[raw_sender]
            plain = (reqid_v, reqid_compat, reqid_size) == _REQID_HEAD
            if plain and pgid is not None and sender is not None:
                reply = MOSDRepOpReply(
                    map_epoch,
                    min_epoch,
                    trace,
                    OSDReqId(EntityName(who, num), tid, inc),
                    pgid,
                    ack_type,
                    result,
                    EVersion(version, epoch),
                    sender,
                )
                return reply, end
        made = general(buf, pos, end, features, v)
        return made

    return decode


class _ToMany(Message):
    """A message that goes to several OSDs as it is, and is encoded for the first of them."""

    __slots__ = ("_payload",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._payload: tuple[int, tuple[int, int, bytes]] | None = None

    def encode_payload(self, features: int = PACIFIC) -> tuple[int, int, bytes]:
        """As `Message.encode_payload`; nothing may be changed after the first call."""
        known = self._payload
        if known is None or known[0] != features:
            known = self._payload = features, super().encode_payload(features)
        return known[1]


@message(MSG_OSD_REPOP, version=3, compat=1)
class MOSDRepOp(_ToMany):
    """A replica's part of a write: log entries here, the transaction in the message's data.

    `logbl` is an encoded list of PGLogEntry; `pg_trim_to` and `min_last_complete_ondisk` are
    where the log may be trimmed and what all OSDs have on disk.
    """

    map_epoch: u32
    min_epoch: u32 = since(2)
    trace: Trace = since(2)
    reqid: OSDReqId
    pgid: SPGId
    poid: HObject
    acks_wanted: u8
    version: EVersion
    logbl: blob
    pg_stats: EncodedPGStat
    pg_trim_to: EVersion
    new_temp_oid: HObject
    discard_temp_oid: HObject
    from_: PGShard
    updated_hit_set_history: Opt[PGHitSetHistory]
    min_last_complete_ondisk: EVersion

    @classmethod
    def _denc_compiled(cls) -> None:
        names: Any = cls
        names._enc_payload = _repop_encoder(cls._enc)
        names._dec_payload = staticmethod(_repop_decoder(cls._dec))

    def transaction(self) -> Transaction:
        """The transaction, its long writes as views of the message's data. Raises WireError."""
        return Transaction.decode_view(self.data)


_BEGIN = [
    number("I", "map_epoch"),
    number("I", "min_epoch"),
    fixed("trace", 24),
    *usual.request_id("reqid"),
]
_MIDDLE = [
    number("B", "acks_wanted"),
    *usual.eversion("version"),
    blob_of("logbl"),
    enveloped("pg_stats.raw"),
    *usual.eversion("pg_trim_to"),
    same("new_temp_oid", NO_OBJECT),
    literal(_NO_OBJECT_RAW),
    same("discard_temp_oid", NO_OBJECT),
    literal(_NO_OBJECT_RAW),
]
_END = [
    same("updated_hit_set_history", None),
    literal(b"\0"),
    *usual.eversion("min_last_complete_ondisk"),
]
MOSDRepOp.PACK = packer(
    *_BEGIN,
    *usual.spg_id("pgid"),
    *usual.hobject("poid"),
    *_MIDDLE,
    *usual.pg_shard("from_"),
    *_END,
)
MOSDRepOp.UNPACK = unpacker(
    {
        "": MOSDRepOp,
        "reqid": OSDReqId,
        "reqid.name": EntityName,
        "version": EVersion,
        "pg_stats": EncodedPGStat,
        "pg_trim_to": EVersion,
        "min_last_complete_ondisk": EVersion,
    },
    *received(MOSDRepOp),
    same("_payload", None),
    *_BEGIN,
    known("pgid", 24, _PGS),
    decoded("poid", HObject),
    *_MIDDLE,
    known("from_", 11, _SHARDS),
    *_END,
    at_end(),
)


@message(MSG_OSD_REPOPREPLY, version=2, compat=1)
class MOSDRepOpReply(Message):
    """A replica has applied or committed its part (`ack_type` is a RequestFlag)."""

    map_epoch: u32
    min_epoch: u32 = since(2)
    trace: Trace = since(2)
    reqid: OSDReqId
    pgid: SPGId
    ack_type: u8
    result: s32
    last_complete_ondisk: EVersion
    from_: PGShard

    @classmethod
    def _denc_compiled(cls) -> None:
        names: Any = cls
        names._enc_payload = cls._enc
        names._dec_payload = staticmethod(_reply_decoder(cls._dec))


_RESULT = [
    number("B", "ack_type"),
    number("i", "result"),
    *usual.eversion("last_complete_ondisk"),
]
MOSDRepOpReply.PACK = packer(*_BEGIN, *usual.spg_id("pgid"), *_RESULT, *usual.pg_shard("from_"))
MOSDRepOpReply.UNPACK = unpacker(
    {
        "": MOSDRepOpReply,
        "reqid": OSDReqId,
        "reqid.name": EntityName,
        "last_complete_ondisk": EVersion,
    },
    *received(MOSDRepOpReply),
    *_BEGIN,
    known("pgid", 24, _PGS),
    *_RESULT,
    known("from_", 11, _SHARDS),
    at_end(),
)


@message(MSG_OSD_EC_WRITE, version=2, compat=1)
class MOSDECSubOpWrite(Message):
    """A shard's part of a write."""

    pgid: SPGId
    map_epoch: u32
    op: ECSubWrite
    min_epoch: u32 = since(2)
    trace: Trace = since(2)


@message(MSG_OSD_EC_WRITE_REPLY, version=2, compat=1)
class MOSDECSubOpWriteReply(Message):
    """A shard has applied or committed its part."""

    pgid: SPGId
    map_epoch: u32
    op: ECSubWriteReply
    min_epoch: u32 = since(2)
    trace: Trace = since(2)


@message(MSG_OSD_EC_READ, version=3, compat=1)
class MOSDECSubOpRead(Message):
    """What to read of a shard."""

    pgid: SPGId
    map_epoch: u32
    op: ECSubRead
    min_epoch: u32 = since(3)
    trace: Trace = since(3)


@message(MSG_OSD_EC_READ_REPLY, version=2, compat=1)
class MOSDECSubOpReadReply(Message):
    """What a shard read."""

    pgid: SPGId
    map_epoch: u32
    op: ECSubReadReply
    min_epoch: u32 = since(2)
    trace: Trace = since(2)


@message(MSG_OSD_PG_UPDATE_LOG_MISSING, version=3, compat=1)
class MOSDPGUpdateLogMissing(Message):
    """Log entries without a write: failed requests to remember, objects given up."""

    map_epoch: u32
    pgid: SPGId
    from_: s8 = default(NO_SHARD)
    rep_tid: u64
    entries: Vec[PGLogEntry]
    min_epoch: u32 = since(2)
    pg_trim_to: EVersion = since(3)
    pg_roll_forward_to: EVersion = since(3)


@message(MSG_OSD_PG_UPDATE_LOG_MISSING_REPLY, version=3, compat=1)
class MOSDPGUpdateLogMissingReply(Message):
    """Those entries are on disk."""

    map_epoch: u32
    pgid: SPGId
    from_: s8 = default(NO_SHARD)
    rep_tid: u64
    min_epoch: u32 = since(2)
    last_complete_ondisk: EVersion = since(3)
