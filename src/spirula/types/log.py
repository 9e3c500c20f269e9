"""The cluster log: entries and the tail that monitors keep.

Layouts only. Formats: upstream `src/common/LogEntry.h` and `.cc`, `LRUSet.h`. Entries are written
as releases from Nautilus on understand them.
"""

from __future__ import annotations

from enum import IntEnum

from spirula.denc import (
    Map,
    Pair,
    Struct,
    Vec,
    since,
    string,
    struct,
    u16,
    u64,
    until,
)
from spirula.denc.features import SERVER_QUINCY
from spirula.types.auth import PrincipalName
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec, EntityInst, EntityName

CHANNEL_CLUSTER = "cluster"
CHANNEL_AUDIT = "audit"


class LogLevel(IntEnum):
    """How grave an entry is (upstream clog_type)."""

    DEBUG = 0
    INFO = 1
    SEC = 2
    WARN = 3
    ERROR = 4

    @property
    def tag(self) -> str:
        """As the log shows it: `[INF]`."""
        return ("[DBG]", "[INF]", "[SEC]", "[WRN]", "[ERR]")[self]


@struct(version=5, compat=5, legacy=(2, 2), name="LogEntry")
class LogEntry(Struct):
    """One line of the cluster log.

    `rank` is the daemon by number, `name` by its name; `seq` counts the entries of one process.
    Entries from before Nautilus have `who` in place of `rank` and `addrs`, and `old_name`.
    """

    name: PrincipalName = since(5)
    rank: EntityName = since(5)
    addrs: EntityAddrVec = since(5)
    who: EntityInst = until(5)
    stamp: UTime
    seq: u64
    prio: u16
    msg: string
    channel: string = since(3, default=CHANNEL_CLUSTER)
    old_name: PrincipalName = until(5, since=4)


@struct(frozen=True)
class LogEntryKey(Struct):
    """What tells an entry from all others."""

    rank: EntityName
    stamp: UTime
    seq: u64


@struct(version=1, compat=1)
class RecentLogKeys(Struct):
    """The keys of the entries that came last, oldest first."""

    keys: Vec[LogEntryKey]


@struct(
    version=3,
    compat=3,
    by_feature=((SERVER_QUINCY, 4, 3),),
    legacy=(2, 2),
    name="LogSummary",
)
class LogSummary(Struct):
    """The last entries of each channel, numbered by arrival; `seq` is the last number given.

    Summaries from before Mimic have one `tail` of all channels. Those from Quincy on keep entries
    elsewhere: `channel_info` holds each channel's first and last number, `recent_keys` what has
    been seen.
    """

    version: u64
    tail: Vec[LogEntry] = until(3)
    seq: u64 = since(3)
    tail_by_channel: Map[string, Vec[Pair[u64, LogEntry]]] = since(3)
    channel_info: Map[string, Pair[u64, u64]] = since(4)
    recent_keys: RecentLogKeys = since(4)
