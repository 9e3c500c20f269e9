"""What OSDs tell the monitors about themselves and one another, and what they are told.

Boot, failure and leave-taking, temporary mappings, beacons, PG creation and merging, statistics
(which go to the manager). Formats: upstream `src/messages/MOSDBoot.h` and the others by name.
"""

from __future__ import annotations

from enum import IntFlag

from spirula.denc import (
    Map,
    Pair,
    Vec,
    boolean,
    default,
    removed,
    s32,
    s64,
    since,
    string,
    u8,
    u32,
    u64,
    uuid_d,
)
from spirula.messages.base import Message, PaxosServiceMessage, message
from spirula.types.base import EVersion, UTime
from spirula.types.entity import EntityAddrVec
from spirula.types.osd_stats import OSDStat
from spirula.types.osd_superblock import OSDSuperblock
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import PGCreate, PGId, SPGId
from spirula.types.pg_info import PGHistory
from spirula.types.pg_stats import EncodedPGStat, StoreStatfs

MSG_OSD_BOOT, MSG_OSD_FAILURE, MSG_OSD_ALIVE = 71, 72, 73
MSG_OSD_MARK_ME_DOWN, MSG_OSD_FULL, MSG_OSD_PGTEMP, MSG_OSD_BEACON = 74, 75, 78, 79
MSG_PGSTATS, MSG_PGSTATSACK, MSG_OSD_PG_CREATE, MSG_REMOVE_SNAPS = 87, 88, 89, 90
MSG_OSD_PG_CREATED, MSG_OSD_PG_CREATE2 = 116, 120
MSG_OSD_PG_READY_TO_MERGE, MSG_OSD_MARK_ME_DEAD = 122, 123


@message(MSG_OSD_BOOT, version=7, compat=7)
class MOSDBoot(PaxosServiceMessage):
    """An OSD is up at these addresses (its public ones are the session's); mark it so."""

    sb: OSDSuperblock
    hb_back_addrs: EntityAddrVec
    cluster_addrs: EntityAddrVec
    boot_epoch: u32
    hb_front_addrs: EntityAddrVec
    metadata: Map[string, string]
    osd_features: u64


@message(MSG_OSD_ALIVE, version=1, compat=1)
class MOSDAlive(PaxosServiceMessage):
    """An OSD asks that the map note it alive through epoch `want`, before it serves a PG."""

    want: u32


class FailureFlag(IntFlag):
    """What a failure report says."""

    ALIVE = 0
    FAILED = 1
    IMMEDIATE = 2


@message(MSG_OSD_FAILURE, version=4, compat=4)
class MOSDFailure(PaxosServiceMessage):
    """An OSD reports that another has not answered for `failed_for` seconds, or answers again."""

    fsid: uuid_d
    target_osd: s32
    target_addrs: EntityAddrVec
    epoch: u32
    flags: u8
    failed_for: s32


@message(MSG_OSD_MARK_ME_DOWN, version=4, compat=3)
class MOSDMarkMeDown(PaxosServiceMessage):
    """An OSD is about to stop; the monitor repeats the message when the map says so.

    `down_and_dead`: it surely serves nothing any more once it is down.
    """

    fsid: uuid_d
    target_osd: s32
    target_addrs: EntityAddrVec
    epoch: u32
    request_ack: boolean
    down_and_dead: boolean = since(4, default=False)


@message(MSG_OSD_MARK_ME_DEAD, version=1, compat=1)
class MOSDMarkMeDead(PaxosServiceMessage):
    """An OSD that is down says that it surely serves nothing any more."""

    fsid: uuid_d
    target_osd: s32
    epoch: u32


@message(MSG_OSD_FULL, version=1, compat=1)
class MOSDFull(PaxosServiceMessage):
    """An OSD asks that the map note how full it is (state bits of the map)."""

    map_epoch: u32
    state: u32


@message(MSG_OSD_PGTEMP, version=2, compat=1)
class MOSDPGTemp(PaxosServiceMessage):
    """A primary asks for a temporary acting set of PGs; an empty one ends it."""

    map_epoch: u32
    pg_temp: Map[PGId, Vec[s32]]
    forced: boolean = since(2, default=False)


@message(MSG_OSD_BEACON, version=3, compat=1)
class MOSDBeacon(PaxosServiceMessage):
    """An OSD is alive; which PGs it leads and since when all of them were last clean."""

    pgs: Vec[PGId]
    min_last_epoch_clean: u32
    last_purged_snaps_scrub: UTime = since(2)
    osd_beacon_report_interval: s32 = since(3)


@message(MSG_OSD_PG_CREATE, version=3, compat=3)
class MOSDPGCreate(Message):
    """PGs to create, as monitors before Nautilus ask for them."""

    epoch: u64
    mkpg: Map[PGId, PGCreate]
    ctimes: Map[PGId, UTime]


@message(MSG_OSD_PG_CREATE2, version=2, compat=1)
class MOSDPGCreate2(Message):
    """PGs that an OSD is to create: (epoch, time) of their making, and what happened since."""

    epoch: u32
    pgs: Map[SPGId, Pair[u32, UTime]]
    pg_extra: Map[SPGId, Pair[PGHistory, PastIntervals]] = since(2)


@message(MSG_OSD_PG_CREATED, version=1, compat=1)
class MOSDPGCreated(PaxosServiceMessage):
    """A PG has come to be."""

    pgid: PGId


@message(MSG_OSD_PG_READY_TO_MERGE, version=1, compat=1)
class MOSDPGReadyToMerge(PaxosServiceMessage):
    """Both PGs of a merge are quiet at these versions; or one is not (`ready` false)."""

    pgid: PGId
    source_version: EVersion
    target_version: EVersion
    last_epoch_started: u32
    last_epoch_clean: u32
    ready: boolean = default(True)


@message(MSG_REMOVE_SNAPS, version=1, compat=1)
class MRemoveSnaps(PaxosServiceMessage):
    """Snapshots of pools to remove, from a metadata server."""

    snaps: Map[s32, Vec[u64]]


@message(MSG_PGSTATS, version=2, compat=1)
class MPGStats(PaxosServiceMessage):
    """An OSD's statistics: its own, those of the PGs that it leads, and space by pool.

    Those of PGs stay encoded: most are what they were at the last report.
    """

    fsid: uuid_d
    osd_stat: OSDStat
    pg_stat: Map[PGId, EncodedPGStat]
    epoch: u32
    had_map_for: UTime = removed()
    pool_stat: Map[s64, StoreStatfs] = since(2)


@message(MSG_PGSTATSACK, version=1, compat=1)
class MPGStatsAck(Message):
    """Which reports arrived: PG -> (sequence number, epoch)."""

    pg_stat: Map[PGId, Pair[u64, u32]]
