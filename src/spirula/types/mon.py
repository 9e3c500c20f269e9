"""What monitors keep and say to one another: the monitor map, store transactions, scores, commands.

Layouts only. Formats: upstream `src/mon/MonMap.h` and `.cc`, `mon_types.h`, `MonitorDBStore.h`,
`ConnectionTracker.h`, `MonCommand.h`, `src/include/CompatSet.h` and `util.h`. The
monitor map and its entries are irregular: their bytes depend on the peer's features and, for
entries, on the value.
"""

from __future__ import annotations

import struct as _struct
from dataclasses import field
from enum import IntEnum, IntFlag
from typing import Annotated, Any, ClassVar, Self

from spirula.denc import (
    Map,
    Sequence,
    Set,
    Struct,
    Vec,
    blob,
    boolean,
    default,
    f64,
    irregular,
    s32,
    since,
    string,
    struct,
    u8,
    u16,
    u32,
    u64,
    until,
    uuid_d,
)
from spirula.denc.features import MONENC, SERVER_NAUTILUS, has
from spirula.errors import IncompatibleVersion, Truncated, WireError
from spirula.records import dataclass
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityAddrVec


class MonFeature(IntFlag):
    """Features that monitors agree on, kept in the monitor map."""

    KRAKEN = 1 << 0
    LUMINOUS = 1 << 1
    MIMIC = 1 << 2
    OSDMAP_PRUNE = 1 << 3
    NAUTILUS = 1 << 4
    OCTOPUS = 1 << 5
    PACIFIC = 1 << 6
    PINGING = 1 << 7
    QUINCY = 1 << 8
    REEF = 1 << 9
    SQUID = 1 << 10
    TENTACLE = 1 << 11
    RESERVED = 1 << 63


MON_FEATURE_NAMES = {
    MonFeature.KRAKEN: "kraken",
    MonFeature.LUMINOUS: "luminous",
    MonFeature.MIMIC: "mimic",
    MonFeature.OSDMAP_PRUNE: "osdmap-prune",
    MonFeature.NAUTILUS: "nautilus",
    MonFeature.OCTOPUS: "octopus",
    MonFeature.PACIFIC: "pacific",
    MonFeature.PINGING: "elector-pinging",
    MonFeature.QUINCY: "quincy",
    MonFeature.REEF: "reef",
    MonFeature.SQUID: "squid",
    MonFeature.TENTACLE: "tentacle",
    MonFeature.RESERVED: "reserved",
}


@struct(version=1, compat=1, name="mon_feature_t")
class MonFeatures(Struct):
    """A set of monitor features (bits of MonFeature)."""

    features: u64

    def names(self) -> list[str]:
        """Upstream's names of the features in the set; `unknown` for those without one."""
        bits = (1 << n for n in range(64) if self.features >> n & 1)
        return [MON_FEATURE_NAMES.get(MonFeature(bit), "unknown") for bit in bits]


class ElectionStrategy(IntEnum):
    """By what monitors elect their leader."""

    CLASSIC = 1
    DISALLOW = 2
    CONNECTIVITY = 3


def _enclose(out: bytearray, start: int, version: int, compat: int) -> None:
    """Puts an envelope around what stands in `out` from `start` on."""
    out[start:start] = _struct.pack("<BBI", version, compat, len(out) - start)


def _open_envelope(buf: bytes, pos: int, end: int, reads: int) -> tuple[int, int, int]:
    """Version, position of the content and its end, for an envelope at `pos`."""
    version, compat, size = _struct.unpack_from("<BBI", buf, pos)
    pos += 6
    if compat > reads:
        raise IncompatibleVersion(
            f"version {version} needs a reader of {compat}, this one knows {reads}", offset=pos
        )
    if pos + size > end:
        raise Truncated("length runs past the end", offset=pos, limit=end)
    return version, pos, pos + size


@struct(version=5, external=True)
class _MonInfoFields(Struct):
    """What stands inside the envelope of a monitor's entry."""

    name: string
    public_addr: EntityAddr = until(3)
    public_addrs: EntityAddrVec = since(3)
    priority: u16 = since(2)
    weight: u16 = since(4)
    crush_loc: Map[string, string] = since(5)


@irregular("mon_info_t")
@dataclass(slots=True)
class MonInfo(Struct):
    """A monitor: its name, where it listens, and how welcome it is to clients.

    The lower `priority`, the sooner clients try it; among equals `weight` decides. A value with
    `crush_loc` shuts out readers that do not know of it.
    """

    VERSION: ClassVar[int] = 5

    name: str = ""
    public_addrs: EntityAddrVec = field(default_factory=EntityAddrVec)
    priority: int = 0
    weight: int = 0
    crush_loc: dict[str, str] = field(default_factory=dict)

    def _enc(self, out: bytearray, features: int) -> None:
        start = len(out)
        fields = _MonInfoFields(
            self.name,
            self.legacy_addr(),
            self.public_addrs,
            self.priority,
            self.weight,
            self.crush_loc,
        )
        if has(features, SERVER_NAUTILUS):
            fields._enc(out, features, self.VERSION)  # type: ignore[call-arg]  # external version
            _enclose(out, start, self.VERSION, 4 if self.crush_loc else 1)
        else:
            # Upstream calls this version 2 and appends the later fields all the same.
            fields._enc(out, features, 2)  # type: ignore[call-arg]  # external version
            out += _struct.pack("<H", self.weight)
            _CrushLoc(self.crush_loc)._enc(out, features)
            _enclose(out, start, 2, 4 if self.crush_loc else 1)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        version, pos, end = _open_envelope(buf, pos, end, cls.VERSION)
        fields, _ = _MonInfoFields._dec(buf, pos, end, features, version)  # type: ignore[call-arg]  # external version
        addrs = fields.public_addrs if version >= 3 else EntityAddrVec([fields.public_addr])
        return cls(fields.name, addrs, fields.priority, fields.weight, fields.crush_loc), end

    def legacy_addr(self) -> EntityAddr:
        """The address for peers that know only one: the v1 address, or another dressed up as it."""
        return self.public_addrs.legacy_or_front.with_type(1) if self.public_addrs else EntityAddr()

    def plain(self) -> Any:
        return {
            "name": self.name,
            "public_addrs": self.public_addrs.plain(),
            "priority": self.priority,
            "weight": self.weight,
            "crush_location": dict(self.crush_loc),
        }


@struct
class _CrushLoc(Struct):
    """Buckets by the type of each."""

    crush_loc: Map[string, string]


@struct(version=9, external=True)
class _MonMapFields(Struct):
    """What stands behind the header of a monitor map, in any of its versions."""

    fsid: uuid_d
    epoch: u32
    mon_addr: Map[string, EntityAddr] = until(6)
    last_changed: UTime
    created: UTime
    persistent_features: MonFeatures = since(4)
    optional_features: MonFeatures = since(4)
    mon_info: Map[string, MonInfo] = since(5)
    ranks: Vec[string] = since(6)
    min_mon_release: u8 = since(7)
    removed_ranks: Set[s32] = since(8)
    strategy: u8 = since(8, default=ElectionStrategy.CLASSIC)
    disallowed_leaders: Set[string] = since(8)
    stretch_mode_enabled: boolean = since(9)
    tiebreaker_mon: string = since(9)
    stretch_marked_down_mons: Set[string] = since(9)


@irregular("MonMap")
@dataclass(slots=True)
class MonMap(Struct):
    """The monitors of a cluster, and how they elect.

    `ranks` holds their names by rank. `min_mon_release` is the number of the oldest release that
    may join; `fsid` the cluster's identity (16 bytes).
    """

    VERSION: ClassVar[int] = 9

    fsid: bytes = bytes(16)
    epoch: int = 0
    last_changed: UTime = field(default_factory=UTime)
    created: UTime = field(default_factory=UTime)
    persistent_features: MonFeatures = field(default_factory=MonFeatures)
    optional_features: MonFeatures = field(default_factory=MonFeatures)
    mon_info: dict[str, MonInfo] = field(default_factory=dict)
    ranks: list[str] = field(default_factory=list)
    min_mon_release: int = 0
    removed_ranks: set[int] = field(default_factory=set)
    strategy: int = ElectionStrategy.CLASSIC
    disallowed_leaders: set[str] = field(default_factory=set)
    stretch_mode_enabled: bool = False
    tiebreaker_mon: str = ""
    stretch_marked_down_mons: set[str] = field(default_factory=set)

    def addrs(self, rank: int) -> EntityAddrVec:
        """Where the monitor of that rank listens."""
        return self.mon_info[self.ranks[rank]].public_addrs

    def rank_of(self, name: str) -> int:
        """The rank of the monitor of that name; -1 if there is none."""
        return self.ranks.index(name) if name in self.ranks else -1

    def _fields(self) -> _MonMapFields:
        return _MonMapFields(
            self.fsid,
            self.epoch,
            {name: info.legacy_addr() for name, info in self.mon_info.items()},
            self.last_changed,
            self.created,
            self.persistent_features,
            self.optional_features,
            self.mon_info,
            self.ranks,
            self.min_mon_release,
            self.removed_ranks,
            self.strategy,
            self.disallowed_leaders,
            self.stretch_mode_enabled,
            self.tiebreaker_mon,
            self.stretch_marked_down_mons,
        )

    def _enc(self, out: bytearray, features: int) -> None:
        fields = self._fields()
        if not has(features, MONENC):
            out += b"\x02\x00"
            fields._enc(out, features, 2)  # type: ignore[call-arg]  # external version
            return
        version, compat = (self.VERSION, 6) if has(features, SERVER_NAUTILUS) else (5, 3)
        start = len(out)
        fields._enc(out, features, version)  # type: ignore[call-arg]  # external version
        _enclose(out, start, version, compat)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        version = buf[pos]
        if version >= 3:
            version, pos, end = _open_envelope(buf, pos, end, cls.VERSION)
        elif version == 2:
            # The versions before the envelope were numbers of 16 bits.
            pos += 2
        else:
            raise WireError(f"monitor map of version {version}", offset=pos)
        f, after = _MonMapFields._dec(buf, pos, end, features, version)  # type: ignore[call-arg]  # external version
        info = f.mon_info
        if version < 5:
            info = {name: MonInfo(name, EntityAddrVec([a])) for name, a in f.mon_addr.items()}
        ranks = f.ranks
        if version < 6:
            # Ranks used to follow the order of addresses.
            ranks = sorted(info, key=lambda name: (info[name].legacy_addr(), name))
        return cls(
            f.fsid,
            f.epoch,
            f.last_changed,
            f.created,
            f.persistent_features,
            f.optional_features,
            info,
            ranks,
            f.min_mon_release,
            f.removed_ranks,
            f.strategy,
            f.disallowed_leaders,
            f.stretch_mode_enabled,
            f.tiebreaker_mon,
            f.stretch_marked_down_mons,
        ), (end if version >= 3 else after)

    def plain(self) -> Any:
        fields = self._fields().plain()
        del fields["mon_addr"]
        return fields


@struct(version=1, compat=1, name="FeatureMap")
class FeatureMap(Struct):
    """How many connected entities have which features, by entity type."""

    m: Map[u32, Map[u64, u64]]


@struct(version=1, compat=1, name=("ceph_data_stats", "ceph_data_stats_t"))
class FilesystemStats(Struct):
    """Room on the file system that a daemon lives on."""

    byte_total: u64
    byte_used: u64
    byte_avail: u64
    avail_percent: s32


@struct(version=1, compat=1, name="LevelDBStoreStats")
class StoreStats(Struct):
    """Room that the monitor's key-value store takes, by kind of file."""

    bytes_total: u64
    bytes_sst: u64
    bytes_log: u64
    bytes_misc: u64
    last_update: UTime


@struct(version=3, compat=1, name="DataStats")
class DataStats(Struct):
    """A monitor's own use of space. Before version 3 the three sizes are in KiB."""

    byte_total: u64
    byte_used: u64
    byte_avail: u64
    avail_percent: s32
    last_update: UTime
    store_stats: StoreStats = since(2)


@struct(version=1, compat=1, name="ScrubResult")
class ScrubResult(Struct):
    """Checksum and number of keys for each prefix of a monitor's store."""

    prefix_crc: Map[string, u32]
    prefix_keys: Map[string, u64]


@struct(version=1, compat=1, name="ConnectionReport")
class ConnectionReport(Struct):
    """How well one monitor reaches the others, by rank."""

    rank: s32 = default(-1)
    current: Map[s32, boolean]
    history: Map[s32, f64]
    epoch: u32
    epoch_version: u64


@struct(version=1, compat=1, name="ConnectionTracker")
class ConnectionTracker(Struct):
    """All reports that a monitor has; `half_life` is in seconds."""

    rank: s32 = default(-1)
    epoch: u32
    version: u64
    half_life: f64 = default(12 * 3600.0)
    peer_reports: Map[s32, ConnectionReport]


class StoreOpType(IntEnum):
    """What an operation of a store transaction does."""

    PUT = 1
    ERASE = 2
    COMPACT = 3
    ERASE_RANGE = 4


@struct(version=2, compat=1, name="MonitorDBStore::Op")
class StoreOp(Struct):
    """One operation on the monitor's store; `endkey` bounds a range."""

    type: u8
    prefix: string
    key: string
    bl: blob
    endkey: string = since(2)


@struct(version=2, compat=1, name="MonitorDBStore::Transaction")
class StoreTransaction(Struct):
    """Operations that take effect together; what Paxos agrees on.

    `bytes` and `keys` are what the leader counts of them.
    """

    ops: Vec[StoreOp]
    bytes: u64 = since(2)
    keys: u64 = since(2)


class CommandFlag(IntFlag):
    """Flags of a command description."""

    NOFORWARD = 1 << 0
    OBSOLETE = 1 << 1
    DEPRECATED = 1 << 2
    MGR = 1 << 3
    POLL = 1 << 4
    HIDDEN = 1 << 5
    TELL = NOFORWARD | HIDDEN


_AVAILABILITY = "cli,rest"


@struct(version=1, compat=1, name="MonCommand")
class MonCommand(Struct):
    """A command's signature, help and needed permissions.

    `availability` is a field without meaning that still stands on the wire.
    """

    cmdstring: string
    helpstring: string
    module: string
    req_perms: string
    availability: string = default(_AVAILABILITY)
    flags: u64


@struct
class BareCommand(Struct):
    """A command inside a list, whose flags follow the list."""

    cmdstring: string
    helpstring: string
    module: string
    req_perms: string
    availability: string = default(_AVAILABILITY)


@irregular()
@dataclass(slots=True)
class MonCommandList(Struct):
    """Commands as monitors and managers exchange them (upstream `encode_vector`)."""

    commands: list[MonCommand] = field(default_factory=list)

    def _enc(self, out: bytearray, features: int) -> None:
        start = len(out)
        _CommandTable(
            [
                BareCommand(c.cmdstring, c.helpstring, c.module, c.req_perms, c.availability)
                for c in self.commands
            ]
        )._enc(out, features)
        out += _struct.pack(f"<{len(self.commands)}Q", *(c.flags for c in self.commands))
        _enclose(out, start, 2, 1)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        version, pos, end = _open_envelope(buf, pos, end, 2)
        table, pos = _CommandTable._dec(buf, pos, end, features)
        flags = [0] * len(table.commands)
        if version >= 2:
            if pos + 8 * len(flags) > end:
                raise Truncated("ends inside the flags of commands", offset=pos, limit=end)
            flags = list(_struct.unpack_from(f"<{len(flags)}Q", buf, pos))
        return cls(
            [
                MonCommand(c.cmdstring, c.helpstring, c.module, c.req_perms, c.availability, flag)
                for c, flag in zip(table.commands, flags, strict=True)
            ]
        ), end

    def plain(self) -> Any:
        return [command.plain() for command in self.commands]


@struct
class _CommandTable(Struct):
    commands: Annotated[list[BareCommand], Sequence(BareCommand, count="H")]


@struct(name="CompatSet::FeatureSet")
class FeatureSet(Struct):
    """On-disk features by number; `mask` repeats the numbers as bits, bit 0 unset."""

    mask: u64
    names: Map[u64, string]

    @classmethod
    def of(cls, features: dict[int, str]) -> Self:
        """The set of these features (numbers from 1 to 63)."""
        return cls(sum(1 << number for number in features), dict(features))


@struct(name="CompatSet")
class CompatSet(Struct):
    """What a reader must know to use, to only read, or to open a store."""

    compat: FeatureSet
    ro_compat: FeatureSet
    incompat: FeatureSet
