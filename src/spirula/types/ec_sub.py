"""Sub-operations of erasure-coded pools: what a primary has the shards write and read.

Also what is stored beside a shard (HashInfo). Formats: upstream `src/osd/ECMsgTypes.h`,
`ECMsgTypes.cc`, `src/osd/ECUtil.h`.
"""

from __future__ import annotations

from spirula.denc import (
    Map,
    Opt,
    Pair,
    Set,
    Struct,
    Vec,
    blob,
    boolean,
    s32,
    since,
    string,
    struct,
    u32,
    u64,
)
from spirula.types.base import EVersion
from spirula.types.hit_set import PGHitSetHistory
from spirula.types.hobject import HObject
from spirula.types.object_info import OSDReqId
from spirula.types.pg import PGShard
from spirula.types.pg_log import PGLogEntry
from spirula.types.pg_stats import PGStat
from spirula.types.transaction import Transaction


@struct(name="ECSubWrite", version=4, compat=1)
class ECSubWrite(Struct):
    """A shard's part of a write: its transaction and the log entries that go with it."""

    from_: PGShard
    tid: u64
    reqid: OSDReqId
    soid: HObject
    stats: PGStat
    t: Transaction
    at_version: EVersion
    trim_to: EVersion
    log_entries: Vec[PGLogEntry]
    temp_added: Set[HObject]
    temp_removed: Set[HObject]
    updated_hit_set_history: Opt[PGHitSetHistory] = since(2)
    roll_forward_to: EVersion = since(3)
    backfill_or_async_recovery: boolean = since(4, default=False)


@struct(name="ECSubWriteReply", version=1, compat=1)
class ECSubWriteReply(Struct):
    """A shard has applied or committed its part."""

    from_: PGShard
    tid: u64
    last_complete: EVersion
    committed: boolean
    applied: boolean


@struct
class ReadExtent(Struct):
    """Bytes of a shard to read, with fadvise flags."""

    offset: u64
    length: u64
    flags: u32


@struct(name="ECSubRead", version=3, compat=2)
class ECSubRead(Struct):
    """What to read of a shard; `subchunks` names (first, count) parts of each chunk."""

    from_: PGShard
    tid: u64
    to_read: Map[HObject, Vec[ReadExtent]]
    attrs_to_read: Set[HObject]
    subchunks: Map[HObject, Vec[Pair[s32, s32]]] = since(3)


@struct(name="ECSubReadReply", version=1, compat=1)
class ECSubReadReply(Struct):
    """What a shard read: (offset, data) pairs, attributes, and negative errnos by object."""

    from_: PGShard
    tid: u64
    buffers_read: Map[HObject, Vec[Pair[u64, blob]]]
    attrs_read: Map[HObject, Map[string, blob]]
    errors: Map[HObject, s32]


@struct(name=("ECUtil::HashInfo", "ECLegacy::ECUtilL::HashInfo"), version=1, compat=1)
class HashInfo(Struct):
    """Checksums of an object's shards, one CRC-32C each, over all that was appended."""

    total_chunk_size: u64
    cumulative_shard_hashes: Vec[u32]
