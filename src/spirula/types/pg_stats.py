"""Statistics of objects, PGs, pools and stores: OSDs report them, monitor and manager add up.

Formats: upstream `src/osd/osd_types.h`, `osd_types.cc` (object_stat_sum_t, pg_stat_t, pool_stat_t,
store_statfs_t). What an OSD reports about itself is in `osd_stats`.
"""

from __future__ import annotations

import struct as _struct
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Self

from spirula.denc import (
    Map,
    MapOf,
    Struct,
    Vec,
    Via,
    boolean,
    default,
    removed,
    s32,
    s64,
    since,
    string,
    struct,
    u32,
    u64,
)
from spirula.denc.features import PACIFIC
from spirula.errors import Truncated
from spirula.kernels.layouts import (
    Item,
    closed,
    empty,
    literal,
    number,
    numbers,
    opened,
    packer,
    ranges,
)
from spirula.types import usual
from spirula.types.base import EVersion, UTime
from spirula.types.interval_set import IntervalSet
from spirula.types.pg import PGId, PGShard

_LENGTH = _struct.Struct("<I")


@struct(name="object_stat_sum_t", version=20, compat=14)
class ObjectStatSum(Struct):
    """Counters over a set of objects. Bytes and KB as named; counts otherwise."""

    num_bytes: s64
    num_objects: s64
    num_object_clones: s64
    num_object_copies: s64
    num_objects_missing_on_primary: s64
    num_objects_degraded: s64
    num_objects_unfound: s64
    num_rd: s64
    num_rd_kb: s64
    num_wr: s64
    num_wr_kb: s64
    num_scrub_errors: s64
    num_objects_recovered: s64
    num_bytes_recovered: s64
    num_keys_recovered: s64
    num_shallow_scrub_errors: s64
    num_deep_scrub_errors: s64
    num_objects_dirty: s64
    num_whiteouts: s64
    num_objects_omap: s64
    num_objects_hit_set_archive: s64
    num_objects_misplaced: s64
    num_bytes_hit_set_archive: s64
    num_flush: s64
    num_flush_kb: s64
    num_evict: s64
    num_evict_kb: s64
    num_promote: s64
    num_flush_mode_high: s32
    num_flush_mode_low: s32
    num_evict_mode_some: s32
    num_evict_mode_full: s32
    num_objects_pinned: s64
    num_objects_missing: s64
    num_legacy_snapsets: s64 = since(16)
    num_large_omap_objects: s64 = since(17)
    num_objects_manifest: s64 = since(18)
    num_omap_bytes: s64 = since(19)
    num_omap_keys: s64 = since(19)
    num_objects_repaired: s64 = since(20)

    def add(self, other: Self) -> None:
        """Adds every counter of `other`; most are 0."""
        for name, value in zip(_SUM_FIELDS, _SUMS(other), strict=True):
            if value:
                setattr(self, name, getattr(self, name) + value)

    def sub(self, other: Self) -> None:
        """Subtracts every counter of `other`."""
        for name, value in zip(_SUM_FIELDS, _SUMS(other), strict=True):
            if value:
                setattr(self, name, getattr(self, name) - value)

    def floor(self, least: int) -> None:
        """Raises every counter to at least `least`."""
        for name in _SUM_FIELDS:
            if getattr(self, name) < least:
                setattr(self, name, least)


_SUM_FIELDS = [f.name for f in ObjectStatSum._denc_fields]
_SUMS = attrgetter(*_SUM_FIELDS)


@struct(name="object_stat_collection_t", version=2, compat=2, legacy=(2, 2))
class ObjectStatCollection(Struct):
    """The counters of a PG or pool (and, in old releases, of each category of objects)."""

    sum: ObjectStatSum
    by_category: Map[string, ObjectStatSum] = removed(default={})

    def add(self, other: Self) -> None:
        """Adds every counter of `other`."""
        self.sum.add(other.sum)

    def sub(self, other: Self) -> None:
        """Subtracts every counter of `other`."""
        self.sum.sub(other.sum)


@struct(name="pg_stat_t", version=26, compat=22)
class PGStat(Struct):
    """A PG's state and counters, reported by its primary.

    `state` (bits of PGState) stands on the wire in two halves. Stamps `last_x` say when x held
    last.
    """

    version: EVersion
    reported_seq: u64
    reported_epoch: u32
    state_low: u32
    log_start: EVersion
    ondisk_log_start: EVersion
    created: u32
    last_epoch_clean: u32
    parent: PGId
    parent_split_bits: u32
    last_scrub: EVersion
    last_scrub_stamp: UTime
    stats: ObjectStatCollection
    log_size: s64
    ondisk_log_size: s64
    up: Vec[s32]
    acting: Vec[s32]
    last_fresh: UTime
    last_change: UTime
    last_active: UTime
    last_clean: UTime
    last_unstale: UTime
    mapping_epoch: u32
    last_deep_scrub: EVersion
    last_deep_scrub_stamp: UTime
    stats_invalid: boolean
    last_clean_scrub_stamp: UTime
    last_became_active: UTime
    dirty_stats_invalid: boolean
    up_primary: s32 = default(-1)
    acting_primary: s32 = default(-1)
    omap_stats_invalid: boolean
    hitset_stats_invalid: boolean
    blocked_by: Vec[s32]
    last_undegraded: UTime
    last_fullsized: UTime
    hitset_bytes_stats_invalid: boolean
    last_peered: UTime
    last_became_peered: UTime
    pin_stats_invalid: boolean
    snaptrimq_len: u32 = since(23)
    state_high: u32 = since(24)
    purged_snaps: IntervalSet = since(24)
    manifest_stats_invalid: boolean = since(25, default=False)
    avail_no_missing: Vec[PGShard] = since(26)
    object_location_counts: Annotated[
        dict[tuple[PGShard, ...], int], MapOf(Via(Vec[PGShard], tuple, list, zero=()), s32)
    ] = since(26)

    def encode(self, features: int = PACIFIC) -> bytes:
        """As all do; that of a PG with all its OSDs by a plan."""
        raw = _PACK(self)
        return Struct.encode(self, features) if raw is None else raw

    @property
    def state(self) -> int:
        """Bits of PGState."""
        return self.state_high << 32 | self.state_low

    @state.setter
    def state(self, bits: int) -> None:
        self.state_low, self.state_high = bits & 0xFFFFFFFF, bits >> 32

    def add(self, other: Self) -> None:
        """Adds counters; what is not known for `other` is not known for the sum."""
        self.stats.add(other.stats)
        self.log_size += other.log_size
        self.ondisk_log_size += other.ondisk_log_size
        self.snaptrimq_len = min(self.snaptrimq_len + other.snaptrimq_len, 1 << 31)
        self._mark_invalid(other)

    def sub(self, other: Self) -> None:
        """Subtracts counters; what is not known for `other` is not known for the rest."""
        self.stats.sub(other.stats)
        self.log_size -= other.log_size
        self.ondisk_log_size -= other.ondisk_log_size
        self.snaptrimq_len = max(self.snaptrimq_len - other.snaptrimq_len, 0)
        self._mark_invalid(other)

    def _mark_invalid(self, other: Self) -> None:
        self.stats_invalid |= other.stats_invalid
        self.dirty_stats_invalid |= other.dirty_stats_invalid
        self.omap_stats_invalid |= other.omap_stats_invalid
        self.hitset_stats_invalid |= other.hitset_stats_invalid
        self.hitset_bytes_stats_invalid |= other.hitset_bytes_stats_invalid
        self.pin_stats_invalid |= other.pin_stats_invalid
        self.manifest_stats_invalid |= other.manifest_stats_invalid


def _of_stat() -> list[Item]:
    shape = [
        *([opened(26, 22)], usual.eversion("version"), [number("Q", "reported_seq")]),
        [number("I", "reported_epoch"), number("I", "state_low")],
        *(usual.eversion("log_start"), usual.eversion("ondisk_log_start")),
        *([number("I", "created"), number("I", "last_epoch_clean")], usual.pg_id("parent")),
        *([number("I", "parent_split_bits")], usual.eversion("last_scrub")),
        *(usual.utime("last_scrub_stamp"), [opened(2, 2), opened(20, 14)]),
        [number(f.codec.fmt or "", f"stats.sum.{f.name}") for f in ObjectStatSum._denc_fields],
        [closed(), empty("stats.by_category"), literal(usual.ZERO), closed()],
        [number("q", "log_size"), number("q", "ondisk_log_size")],
        [numbers("up", "i"), numbers("acting", "i")],
        *(usual.utime("last_fresh"), usual.utime("last_change"), usual.utime("last_active")),
        *(usual.utime("last_clean"), usual.utime("last_unstale"), [number("I", "mapping_epoch")]),
        *(usual.eversion("last_deep_scrub"), usual.utime("last_deep_scrub_stamp")),
        *([number("?", "stats_invalid")], usual.utime("last_clean_scrub_stamp")),
        *(usual.utime("last_became_active"), [number("?", "dirty_stats_invalid")]),
        [number("i", "up_primary"), number("i", "acting_primary")],
        [number("?", "omap_stats_invalid"), number("?", "hitset_stats_invalid")],
        *([numbers("blocked_by", "i")], usual.utime("last_undegraded")),
        *(usual.utime("last_fullsized"), [number("?", "hitset_bytes_stats_invalid")]),
        *(usual.utime("last_peered"), usual.utime("last_became_peered")),
        [number("?", "pin_stats_invalid"), number("I", "snaptrimq_len")],
        [number("I", "state_high"), ranges("purged_snaps._starts", "purged_snaps._ends")],
        [number("?", "manifest_stats_invalid"), empty("avail_no_missing"), literal(usual.ZERO)],
        [empty("object_location_counts"), literal(usual.ZERO), closed()],
    ]
    return [item for items in shape for item in items]


_PACK = packer(*_of_stat())


class EncodedPGStat(Struct):
    """A PGStat as it is encoded: each sub-operation carries one, and few who get it look at it."""

    __slots__ = ("raw",)
    _denc_min_size: ClassVar[int] = 6

    def __init__(self, raw: bytes = b"") -> None:
        self.raw = raw or PGStat().encode()

    @classmethod
    def of(cls, stat: PGStat) -> Self:
        """The statistics as they are now."""
        return cls(stat.encode())

    def decoded(self) -> PGStat:
        """The statistics. Raises WireError."""
        return PGStat.decode(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EncodedPGStat) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def _enc(self, out: bytearray, features: int) -> None:
        del features
        out += self.raw

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        del features
        (size,) = _LENGTH.unpack_from(buf, pos + 2)
        after: int = pos + 6 + size
        if after > end:
            raise Truncated("length runs past the end", offset=pos, limit=end)
        return cls(buf[pos:after]), after

    def plain(self) -> Any:
        """As JSON can hold it."""
        return self.decoded().plain()


@struct(name="store_statfs_t", version=1, compat=1)
class StoreStatfs(Struct):
    """The space of a store, in bytes."""

    total: u64
    available: u64
    internally_reserved: u64
    allocated: s64
    data_stored: s64
    data_compressed: s64
    data_compressed_allocated: s64
    data_compressed_original: s64
    omap_allocated: s64
    internal_metadata: s64

    @property
    def used_raw(self) -> int:
        """Bytes that are not available, what the store reserves for itself included."""
        return self.total - self.available

    @property
    def used(self) -> int:
        """Bytes that are not available, without what the store reserves for itself."""
        return self.total - self.available - self.internally_reserved

    def add(self, other: Self) -> None:
        """Adds every number of `other`."""
        for f in self._denc_fields:
            setattr(self, f.name, getattr(self, f.name) + getattr(other, f.name))

    def sub(self, other: Self) -> None:
        """Subtracts every number of `other`."""
        for f in self._denc_fields:
            setattr(self, f.name, getattr(self, f.name) - getattr(other, f.name))


@struct(name="pool_stat_t", version=7, compat=5)
class PoolStat(Struct):
    """A pool's counters.

    `up` and `acting` count PG replicas, `num_store_stats` OSDs that reported.
    """

    stats: ObjectStatCollection
    log_size: s64
    ondisk_log_size: s64
    up: s32 = since(6)
    acting: s32 = since(6)
    store_stats: StoreStatfs = since(7)
    num_store_stats: s32 = since(7)
