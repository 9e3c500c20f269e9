"""How copies of objects are brought up to date: pushes, pulls, backfill, deletions.

Formats: upstream `src/messages/MOSDPGPush.h` and the others by name.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from spirula.denc import Pair, Vec, boolean, default, s8, since, u8, u32, u64, uuid_d
from spirula.messages.base import Message, message
from spirula.types.base import EVersion
from spirula.types.hobject import NO_SHARD, HObject
from spirula.types.pg import PGId, PGShard, SPGId
from spirula.types.pg_stats import ObjectStatCollection, PGStat
from spirula.types.recovery import PullOp, PushOp, PushReplyOp

MSG_OSD_PG_SCAN, MSG_OSD_PG_BACKFILL, MSG_OSD_PG_BACKFILL_REMOVE = 94, 95, 96
MSG_OSD_PG_PUSH, MSG_OSD_PG_PULL, MSG_OSD_PG_PUSH_REPLY = 105, 106, 107
MSG_OSD_PG_RECOVERY_DELETE, MSG_OSD_PG_RECOVERY_DELETE_REPLY = 118, 119
MSG_OSD_FORCE_RECOVERY = 151


class ScanOp(IntEnum):
    """A question or its answer."""

    GET_DIGEST = 1
    DIGEST = 2


@message(MSG_OSD_PG_SCAN, version=2, compat=2)
class MOSDPGScan(Message):
    """Which objects a replica has from `begin` on; the answer has them with versions in its data.

    That data is an encoded map of HObject to EVersion.
    """

    op: u32
    map_epoch: u32
    query_epoch: u32
    pgid: PGId
    begin: HObject
    end: HObject
    from_: PGShard
    shard: s8 = default(NO_SHARD)

    @property
    def spgid(self) -> SPGId:
        """The PG with the receiver's shard."""
        return SPGId(self.pgid, self.shard)


class BackfillOp(IntEnum):
    """How far a backfill is."""

    PROGRESS = 2
    FINISH = 3
    FINISH_ACK = 4


@message(MSG_OSD_PG_BACKFILL, version=3, compat=3)
class MOSDPGBackfill(Message):
    """All objects up to `last_backfill` are on the replica now.

    `old_stats` repeats a part of `stats`.
    """

    op: u32
    map_epoch: u32
    query_epoch: u32
    pgid: PGId
    last_backfill: HObject
    old_stats: ObjectStatCollection
    stats: PGStat
    shard: s8 = default(NO_SHARD)

    @property
    def spgid(self) -> SPGId:
        """The PG with the receiver's shard."""
        return SPGId(self.pgid, self.shard)


@message(MSG_OSD_PG_BACKFILL_REMOVE, version=1, compat=1)
class MOSDPGBackfillRemove(Message):
    """Objects that a replica in backfill has and that are gone."""

    pgid: SPGId
    map_epoch: u32
    ls: Vec[Pair[HObject, EVersion]]


@message(MSG_OSD_PG_PUSH, version=4, compat=2)
class MOSDPGPush(Message):
    """Parts of objects, to be stored."""

    pgid: PGId
    map_epoch: u32
    pushes: Vec[PushOp]
    cost: u64
    shard: s8 = default(NO_SHARD)
    from_: PGShard
    min_epoch: u32 = since(3)
    is_repair: boolean = since(4, default=False)

    @property
    def spgid(self) -> SPGId:
        """The PG with the receiver's shard."""
        return SPGId(self.pgid, self.shard)


@message(MSG_OSD_PG_PULL, version=3, compat=2)
class MOSDPGPull(Message):
    """A primary asks for parts of objects."""

    pgid: PGId
    map_epoch: u32
    pulls: Vec[PullOp]
    cost: u64
    shard: s8 = default(NO_SHARD)
    from_: PGShard
    min_epoch: u32 = since(3)

    @property
    def spgid(self) -> SPGId:
        """The PG with the receiver's shard."""
        return SPGId(self.pgid, self.shard)


@message(MSG_OSD_PG_PUSH_REPLY, version=3, compat=2)
class MOSDPGPushReply(Message):
    """Pushed parts are stored."""

    pgid: PGId
    map_epoch: u32
    replies: Vec[PushReplyOp]
    cost: u64
    shard: s8 = default(NO_SHARD)
    from_: PGShard
    min_epoch: u32 = since(3)

    @property
    def spgid(self) -> SPGId:
        """The PG with the receiver's shard."""
        return SPGId(self.pgid, self.shard)


@message(MSG_OSD_PG_RECOVERY_DELETE, version=2, compat=1)
class MOSDPGRecoveryDelete(Message):
    """Objects that a replica missed the deletion of."""

    from_: PGShard
    pgid: SPGId
    map_epoch: u32
    min_epoch: u32
    cost: u64
    objects: Vec[Pair[HObject, EVersion]]


@message(MSG_OSD_PG_RECOVERY_DELETE_REPLY, version=2, compat=1)
class MOSDPGRecoveryDeleteReply(Message):
    """Those objects are gone."""

    pgid: PGId
    map_epoch: u32
    min_epoch: u32
    objects: Vec[Pair[HObject, EVersion]]
    shard: s8 = default(NO_SHARD)
    from_: PGShard

    @property
    def spgid(self) -> SPGId:
        """The PG with the receiver's shard."""
        return SPGId(self.pgid, self.shard)


class ForceFlag(IntFlag):
    """What is forced, or no longer."""

    RECOVERY = 1
    BACKFILL = 2
    CANCEL = 4


@message(MSG_OSD_FORCE_RECOVERY, version=2, compat=2)
class MOSDForceRecovery(Message):
    """An administrator wants these PGs recovered before others."""

    fsid: uuid_d
    forced_pgs: Vec[SPGId]
    options: u8
