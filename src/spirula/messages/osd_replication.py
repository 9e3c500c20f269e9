"""How a primary has replicas and shards apply a write, and how it reads from shards.

Formats: upstream `src/messages/MOSDRepOp.h` and the others by name.
"""

from __future__ import annotations

from typing import Annotated

from spirula.denc import Opt, Raw, Vec, blob, default, s8, s32, since, u8, u32, u64
from spirula.denc.features import PACIFIC
from spirula.messages.base import Message, message
from spirula.types.base import EVersion
from spirula.types.ec_sub import ECSubRead, ECSubReadReply, ECSubWrite, ECSubWriteReply
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

    def transaction(self) -> Transaction:
        """The transaction, its long writes as views of the message's data. Raises WireError."""
        return Transaction.decode_view(self.data)


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
