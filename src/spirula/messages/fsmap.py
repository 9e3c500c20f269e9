"""File system maps on their way from the monitors, and the beacons of metadata servers.

The maps travel here as the bytes that the monitor encoded; their layout is that of the metadata
server's types. Formats: upstream `src/messages/MFSMap.h`, `MFSMapUser.h`, `MMDSMap.h`,
`MMDSBeacon.h`.
"""

from __future__ import annotations

from spirula.denc import (
    Map,
    Struct,
    Vec,
    blob,
    boolean,
    removed,
    s32,
    since,
    string,
    struct,
    u8,
    u16,
    u32,
    u64,
    uuid_d,
    when,
)
from spirula.messages.base import PRIO_HIGH, Message, PaxosServiceMessage, message
from spirula.types.mon import CompatSet

MDS_STATE_BOOT = -4 & 0xFFFFFFFF
"""The state of an MDS that has just started, in whose beacons its metadata stands."""


@struct
class Enveloped(Struct):
    """A value in its envelope (version, oldest reader's version, length), unread."""

    version: u8
    compat: u8
    content: blob


@message(45)
class MFSMap(Message):
    """All file systems and MDSs (upstream FSMap), for the manager and MDSs."""

    epoch: u32
    fsmap: Enveloped


@message(103)
class MFSMapUser(Message):
    """Names and numbers of file systems (upstream FSMapUser), for clients."""

    epoch: u32
    fsmap: Enveloped


@message(21, version=2, compat=1)
class MMDSMap(Message):
    """One file system's map (upstream MDSMap), encoded for the receiver's features."""

    fsid: uuid_d
    epoch: u32
    encoded: blob
    map_fs_name: string = since(2)


@struct(version=1, compat=1)
class MDSHealthMetric(Struct):
    """Something that an MDS complains of: its kind, its gravity (0 error, 1 warning, 2 well)."""

    type: u16
    sev: u8
    message: string
    metadata: Map[string, string]


@struct(version=1, compat=1, name="MDSHealth")
class MDSHealth(Struct):
    """All that an MDS complains of."""

    metrics: Vec[MDSHealthMetric]


@message(100, version=8, compat=6, priority=PRIO_HIGH)
class MMDSBeacon(PaxosServiceMessage):
    """An MDS is alive and in this state (upstream MDSMap::DaemonState as 32 bits).

    `sys_info`, the daemon's metadata, comes with MDS_STATE_BOOT only.
    """

    fsid: uuid_d
    global_id: u64
    state: u32
    seq: u64
    name: string
    standby_for_rank: s32 = removed(-1)
    standby_for_name: string = removed()
    compat: CompatSet
    health: MDSHealth
    sys_info: Map[string, string] = when(f"state == {MDS_STATE_BOOT}")
    mds_features: u64
    standby_for_fscid: s32 = removed(-1)
    standby_replay: boolean = since(7)
    fs: string = since(8)
