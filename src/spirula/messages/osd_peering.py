"""What the OSDs of a PG say while they agree on its state, and the reservations that follow.

Formats: upstream `src/messages/MOSDPGQuery2.h` and the others by name. The messages without a 2
carry many PGs each and are what OSDs before Octopus send.
"""

from __future__ import annotations

from enum import IntEnum

from spirula.denc import Map, Opt, Vec, default, s8, s64, since, u32, u64
from spirula.denc.features import RECOVERY_RESERVATION_2
from spirula.messages.base import PRIO_HIGH, Message, message
from spirula.types.base import EVersion
from spirula.types.hobject import NO_SHARD
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import PGId, SPGId
from spirula.types.pg_info import PGInfo, PGLease, PGLeaseAck, PGNotify, PGQuery
from spirula.types.pg_log import PGLog, PGMissing

MSG_OSD_PG_NOTIFY, MSG_OSD_PG_QUERY, MSG_OSD_PG_LOG, MSG_OSD_PG_REMOVE = 80, 81, 83, 84
MSG_OSD_PG_INFO, MSG_OSD_PG_TRIM = 85, 86
MSG_OSD_BACKFILL_RESERVE, MSG_OSD_RECOVERY_RESERVE = 99, 150
MSG_OSD_PG_NOTIFY2, MSG_OSD_PG_QUERY2, MSG_OSD_PG_INFO2 = 130, 131, 132
MSG_OSD_PG_LEASE, MSG_OSD_PG_LEASE_ACK = 133, 134


@message(MSG_OSD_PG_NOTIFY, version=7, compat=6, priority=PRIO_HIGH)
class MOSDPGNotify(Message):
    """What an OSD has of PGs, to their primary."""

    epoch: u32
    pg_list: Vec[PGNotify]


@message(MSG_OSD_PG_NOTIFY2, version=1, compat=1, priority=PRIO_HIGH)
class MOSDPGNotify2(Message):
    """What an OSD has of a PG, to its primary."""

    spgid: SPGId
    notify: PGNotify


@message(MSG_OSD_PG_QUERY, version=4, compat=4, priority=PRIO_HIGH)
class MOSDPGQuery(Message):
    """A primary's questions about PGs."""

    epoch: u64
    pg_list: Map[SPGId, PGQuery]


@message(MSG_OSD_PG_QUERY2, version=1, compat=1, priority=PRIO_HIGH)
class MOSDPGQuery2(Message):
    """A primary's question about a PG."""

    spgid: SPGId
    query: PGQuery


@message(MSG_OSD_PG_INFO, version=6, compat=6, priority=PRIO_HIGH)
class MOSDPGInfo(Message):
    """Infos of PGs: from a primary, what to become; from a replica, what it has."""

    epoch: u32
    pg_list: Vec[PGNotify]


@message(MSG_OSD_PG_INFO2, version=1, compat=1, priority=PRIO_HIGH)
class MOSDPGInfo2(Message):
    """An info of a PG, with the lease that comes or is acknowledged with it."""

    spgid: SPGId
    epoch_sent: u32
    min_epoch: u32
    info: PGInfo
    lease: Opt[PGLease]
    lease_ack: Opt[PGLeaseAck]


@message(MSG_OSD_PG_LOG, version=6, compat=5, priority=PRIO_HIGH)
class MOSDPGLog(Message):
    """A PG's log with info and missing objects: an answer, or what a replica must take over.

    `query_epoch` is that of the question, or the present one when nobody asked.
    """

    epoch: u32
    info: PGInfo
    log: PGLog
    missing: PGMissing
    query_epoch: u32
    past_intervals: PastIntervals
    to: s8 = default(NO_SHARD)
    from_: s8 = default(NO_SHARD)
    lease: Opt[PGLease] = since(6)

    @property
    def spgid(self) -> SPGId:
        """The PG with the receiver's shard."""
        return SPGId(self.info.pgid, self.to)


@message(MSG_OSD_PG_REMOVE, version=3, compat=3)
class MOSDPGRemove(Message):
    """PGs that an OSD holds and that nobody needs there any more."""

    epoch: u32
    pg_list: Vec[SPGId]


@message(MSG_OSD_PG_TRIM, version=2, compat=2)
class MOSDPGTrim(Message):
    """The log may be trimmed up to a version."""

    epoch: u32
    pgid: PGId
    trim_to: EVersion
    shard: s8 = default(NO_SHARD)

    @property
    def spgid(self) -> SPGId:
        """The PG with its shard."""
        return SPGId(self.pgid, self.shard)


@message(MSG_OSD_PG_LEASE, version=1, compat=1)
class MOSDPGLease(Message):
    """A primary renews the replicas' lease."""

    epoch: u32
    spgid: SPGId
    lease: PGLease


@message(MSG_OSD_PG_LEASE_ACK, version=1, compat=1)
class MOSDPGLeaseAck(Message):
    """A replica has the lease."""

    epoch: u32
    spgid: SPGId
    lease_ack: PGLeaseAck


class BackfillReserveType(IntEnum):
    """Steps of a reservation for backfill; REJECT and REVOKE come from the replica."""

    REQUEST = 0
    GRANT = 1
    REJECT_TOOFULL = 2
    RELEASE = 3
    REVOKE_TOOFULL = 4
    REVOKE = 5


@message(
    MSG_OSD_BACKFILL_RESERVE,
    version=3,
    compat=3,
    by_feature=((RECOVERY_RESERVATION_2, 5, 4),),
)
class MBackfillReserve(Message):
    """A primary asks a replica for one of its slots for backfill, and what becomes of it.

    Peers without RECOVERY_RESERVATION_2 know no more than REQUEST, GRANT and REJECT_TOOFULL.
    """

    pgid: PGId
    query_epoch: u32
    type: u32
    requested_priority: u32
    shard: s8 = default(NO_SHARD)
    primary_num_bytes: s64 = since(5)
    shard_num_bytes: s64 = since(5)

    @property
    def spgid(self) -> SPGId:
        """The PG with the receiver's shard."""
        return SPGId(self.pgid, self.shard)


class RecoveryReserveType(IntEnum):
    """Steps of a reservation for recovery; REVOKE comes from the replica."""

    REQUEST = 0
    GRANT = 1
    RELEASE = 2
    REVOKE = 3


@message(MSG_OSD_RECOVERY_RESERVE, version=3, compat=2)
class MRecoveryReserve(Message):
    """A primary asks a replica for one of its slots for recovery, and what becomes of it."""

    pgid: PGId
    query_epoch: u32
    type: u32
    shard: s8 = default(NO_SHARD)
    requested_priority: u32 = since(3)

    @property
    def spgid(self) -> SPGId:
        """The PG with the receiver's shard."""
        return SPGId(self.pgid, self.shard)
