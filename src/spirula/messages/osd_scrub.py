"""How PGs are scrubbed: orders of the administrator, reservations, what replicas find.

Formats: upstream `src/messages/MOSDScrub2.h` and the others by name.
"""

from __future__ import annotations

from enum import IntEnum

from spirula.denc import Vec, boolean, default, removed, s8, s32, since, u32, uuid_d
from spirula.messages.base import Message, message
from spirula.types.base import EVersion
from spirula.types.hobject import NO_SHARD, HObject
from spirula.types.pg import PGId, PGShard, SPGId
from spirula.types.scrub import ScrubMap

MSG_OSD_SCRUB, MSG_OSD_SCRUB_RESERVE, MSG_OSD_REP_SCRUB = 91, 92, 93
MSG_OSD_REP_SCRUBMAP, MSG_OSD_SCRUB2 = 117, 121


@message(MSG_OSD_SCRUB, version=2, compat=2)
class MOSDScrub(Message):
    """Scrub these PGs (all, when there are none), as managers before Mimic ask."""

    fsid: uuid_d
    scrub_pgs: Vec[PGId]
    repair: boolean
    deep: boolean


@message(MSG_OSD_SCRUB2, version=1, compat=1)
class MOSDScrub2(Message):
    """Scrub these PGs."""

    fsid: uuid_d
    epoch: u32
    scrub_pgs: Vec[SPGId]
    repair: boolean
    deep: boolean


class ScrubReserveType(IntEnum):
    """Steps of a reservation for scrub."""

    REQUEST = 0
    GRANT = 1
    RELEASE = 2
    REJECT = 3


@message(MSG_OSD_SCRUB_RESERVE, version=1, compat=1)
class MOSDScrubReserve(Message):
    """A primary asks a replica for one of its slots for scrub, and what becomes of it."""

    pgid: SPGId
    map_epoch: u32
    type: s32
    from_: PGShard


@message(MSG_OSD_REP_SCRUB, version=9, compat=6)
class MOSDRepScrub(Message):
    """A primary asks a replica what it has from `start` on and before `end`.

    `scrub_to` is the version that the replica must have applied first.
    """

    pgid: PGId
    scrub_from: EVersion
    scrub_to: EVersion
    map_epoch: u32
    chunky: boolean = default(True)
    start: HObject
    end: HObject
    deep: boolean
    shard: s8 = default(NO_SHARD)
    seed: u32 = removed(default=0xFFFFFFFF)
    min_epoch: u32 = since(7)
    allow_preemption: boolean = since(8, default=False)
    scrub_priority: s32 = since(9)
    high_priority: boolean = since(9, default=False)

    @property
    def spgid(self) -> SPGId:
        """The PG with the receiver's shard."""
        return SPGId(self.pgid, self.shard)


@message(MSG_OSD_REP_SCRUBMAP, version=2, compat=1)
class MOSDRepScrubMap(Message):
    """What a replica found, as an encoded ScrubMap in the message's data; or it was preempted."""

    pgid: SPGId
    map_epoch: u32
    from_: PGShard
    preempted: boolean = since(2, default=False)

    def scrub_map(self) -> ScrubMap:
        """The scrub map. Raises WireError."""
        return ScrubMap.decode(self.data)
