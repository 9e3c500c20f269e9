"""What a client of the monitors says and hears: maps, subscriptions, commands, pools, statistics,
logs.

Every other daemon is such a client as well. Cephx's own messages are in `auth`, those between
monitors in `quorum`, those with the manager in `mgr`. Formats: upstream `src/messages/MMon*.h`,
`MPoolOp.h`, `MStatfs.h`, `MGetPoolStats.h`, `MLog.h`, `MConfig.h`, `MGetConfig.h`, `MKVData.h`.
"""

from __future__ import annotations

from spirula.denc import (
    Map,
    Opt,
    Struct,
    Vec,
    blob,
    boolean,
    removed,
    s16,
    s32,
    s64,
    since,
    string,
    struct,
    tail,
    u8,
    u32,
    u64,
    until,
    uuid_d,
)
from spirula.denc.features import SUBSCRIBE2
from spirula.messages.base import Message, PaxosServiceMessage, message
from spirula.types.auth import PrincipalName
from spirula.types.interval_set import IntervalSet
from spirula.types.log import LogEntry
from spirula.types.pg_stats import PoolStat

SUBSCRIBE_ONETIME = 1
"""Flag of a subscription: one answer, then it ends (upstream CEPH_SUBSCRIBE_ONETIME)."""

POOL_OP_CREATE = 0x01
POOL_OP_DELETE = 0x02
POOL_OP_AUID_CHANGE = 0x03
POOL_OP_CREATE_SNAP = 0x11
POOL_OP_DELETE_SNAP = 0x12
POOL_OP_CREATE_UNMANAGED_SNAP = 0x21
POOL_OP_DELETE_UNMANAGED_SNAP = 0x22


@message(5)
class MMonGetMap(Message):
    """Asks for the monitor map."""


@message(4)
class MMonMap(Message):
    """The monitor map, encoded for the receiver's features (upstream MonMap)."""

    monmapbl: blob


@struct
class OldSubscribeItem(Struct):
    """What was asked of one kind of map before SUBSCRIBE2: the last version had."""

    unused: u64 = removed()
    have: u64
    onetime: boolean


@struct
class SubscribeItem(Struct):
    """What is asked of one kind of map: versions from `start` on; `flags`: SUBSCRIBE_ONETIME."""

    start: u64
    flags: u8


@message(15, version=0, compat=1, by_feature=((SUBSCRIBE2, 3, 1),))
class MMonSubscribe(Message):
    """Asks to be sent these maps and their changes ("osdmap", "monmap", "config", "kv:..." ...)."""

    old_what: Map[string, OldSubscribeItem] = until(2)
    what: Map[string, SubscribeItem] = since(2)
    hostname: string = since(3)


@message(16)
class MMonSubscribeAck(Message):
    """Confirms subscriptions to clients without MON_STATEFUL_SUB, to be renewed after `interval`
    seconds.
    """

    interval: u32
    fsid: uuid_d


@message(50)
class MMonCommand(PaxosServiceMessage):
    """A command: one string of JSON (in a list, for a tradition of separate words). Input is in
    `data`.
    """

    fsid: uuid_d
    cmd: Vec[string]


@message(51)
class MMonCommandAck(PaxosServiceMessage):
    """A command's outcome: 0 or a negative errno, the status line; its output is in `data`."""

    r: s32
    rs: string
    cmd: Vec[string]


@message(19)
class MMonGetVersion(Message):
    """Asks for the newest version of a map (`what`: "osdmap", "monmap", ...)."""

    handle: u64
    what: string


@message(20, version=2, compat=2)
class MMonGetVersionReply(Message):
    """The newest and the oldest version that the monitors hold; `handle` as it was asked."""

    handle: u64
    map_version: u64
    oldest_version: u64 = since(2)


@message(6)
class MMonGetOSDMap(PaxosServiceMessage):
    """Asks for full OSD maps and increments of these epochs, both ends included; 0 for none."""

    full_first: u32
    full_last: u32
    inc_first: u32
    inc_last: u32


@message(49, version=4, compat=2)
class MPoolOp(PaxosServiceMessage):
    """Creates or deletes a pool, a snapshot of one, or an id for a self-managed snapshot
    (POOL_OP_*).
    """

    fsid: uuid_d
    pool: u32
    old_name: string = until(2)
    op: u32
    old_auid: u64 = removed()
    snapid: u64
    name: string = since(2)
    pad: u8 = since(3)
    crush_rule: s16 = since(4, default=-1)


@message(48)
class MPoolOpReply(PaxosServiceMessage):
    """0 or a negative errno, the epoch in which the change took place, and what the op returns."""

    fsid: uuid_d
    reply_code: s32
    epoch: u32
    response_data: Opt[blob]


@message(13, version=2, compat=1)
class MStatfs(PaxosServiceMessage):
    """Asks how full the cluster is, or what one pool can take."""

    fsid: uuid_d
    data_pool: Opt[s64] = since(2)


@message(14)
class MStatfsReply(Message):
    """Sizes in KiB, objects as a count (upstream ceph_mon_statfs_reply)."""

    fsid: uuid_d
    map_version: u64
    kb: u64
    kb_used: u64
    kb_avail: u64
    num_objects: u64


@message(58)
class MGetPoolStats(PaxosServiceMessage):
    """Asks for the statistics of pools by name."""

    fsid: uuid_d
    pools: Vec[string]


@message(59, version=2, compat=1)
class MGetPoolStatsReply(PaxosServiceMessage):
    """Statistics by pool name; `per_pool` tells that every OSD accounts by pool."""

    fsid: uuid_d
    pool_stats: Map[string, PoolStat]
    per_pool: boolean = since(2)


@message(52)
class MLog(PaxosServiceMessage):
    """Entries for the cluster log."""

    fsid: uuid_d
    entries: Vec[LogEntry]


@message(53)
class MLogAck(Message):
    """Log entries up to number `last` of that channel are kept."""

    fsid: uuid_d
    last: u64
    channel: string = tail()


@message(62)
class MConfig(Message):
    """The options that the monitors' configuration sets for the receiver."""

    config: Map[string, string]


@message(63)
class MGetConfig(Message):
    """Asks for the configuration of an entity on a host (and device class)."""

    name: PrincipalName
    host: string
    device_class: string


@message(54)
class MKVData(Message):
    """Keys under a prefix that the receiver watches; a value of None was removed.

    `data` of upstream is `pairs` here, beside the message's data segment.
    """

    version: u64
    prefix: string
    incremental: boolean
    pairs: Map[string, Opt[blob]]


@message(76)
class MMonGetPurgedSnaps(PaxosServiceMessage):
    """Asks which snapshots were purged in these epochs, first and last included."""

    start: u32
    last: u32


@message(77)
class MMonGetPurgedSnapsReply(PaxosServiceMessage):
    """Purged snapshots by epoch and pool, up to epoch `last`."""

    start: u32
    last: u32
    purged_snaps: Map[u32, Map[s64, IntervalSet]]
