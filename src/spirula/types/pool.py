"""A pool's settings, as the OSD map carries them: size, placement, quotas, snapshots, cache
tiering, options.

Formats: upstream `src/osd/osd_types.h` and `.cc` (pg_pool_t, pool_snap_info_t, pool_opts_t), as
16.2 encodes them for peers of any age.
"""

from __future__ import annotations

import struct as _struct
from dataclasses import field
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from spirula.denc import (
    Codec,
    Either,
    Map,
    Opt,
    Set,
    Struct,
    Via,
    default,
    irregular,
    removed,
    s32,
    s64,
    since,
    string,
    struct,
    u8,
    u32,
    u64,
    until,
)
from spirula.denc.features import (
    NEW_OSDOP_ENCODING,
    OSD_POOLRESEND,
    OSDENC,
    PGPOOL3,
    SERVER_LUMINOUS,
    SERVER_MIMIC,
    SERVER_NAUTILUS,
    has,
)
from spirula.errors import IncompatibleVersion, LimitExceeded, WireError
from spirula.records import dataclass
from spirula.types.base import UTime
from spirula.types.hit_set import HitSetParams
from spirula.types.interval_set import IntervalSet
from spirula.types.pg import PGMergeMeta

if TYPE_CHECKING:
    from spirula.denc.emitter import Emitter

CRUSH_ITEM_NONE = 0x7FFFFFFF


class PoolType(IntEnum):
    """How a pool keeps its objects' copies."""

    REPLICATED = 1
    ERASURE = 3


class PoolFlag(IntFlag):
    """Bits of `PGPool.flags`."""

    HASHPSPOOL = 1 << 0
    FULL = 1 << 1
    EC_OVERWRITES = 1 << 2
    INCOMPLETE_CLONES = 1 << 3
    NODELETE = 1 << 4
    NOPGCHANGE = 1 << 5
    NOSIZECHANGE = 1 << 6
    WRITE_FADVISE_DONTNEED = 1 << 7
    NOSCRUB = 1 << 8
    NODEEP_SCRUB = 1 << 9
    FULL_QUOTA = 1 << 10
    NEARFULL = 1 << 11
    BACKFILLFULL = 1 << 12
    SELFMANAGED_SNAPS = 1 << 13
    POOL_SNAPS = 1 << 14
    CREATING = 1 << 15
    EIO = 1 << 16
    BULK = 1 << 17


POOL_FLAG_NAMES = {
    flag: "nodeep-scrub" if flag is PoolFlag.NODEEP_SCRUB else str(flag.name).lower()
    for flag in PoolFlag
}


class AutoscaleMode(IntEnum):
    """Whether the manager may change a pool's number of PGs."""

    OFF = 0
    WARN = 1
    ON = 2
    UNKNOWN = 255


class CacheMode(IntEnum):
    """What a cache tier does with an operation."""

    NONE = 0
    WRITEBACK = 1
    FORWARD = 2
    READONLY = 3
    READFORWARD = 4
    READPROXY = 5
    PROXY = 6


@struct(version=1, by_feature=((PGPOOL3, 2, 2),), legacy=(2, 2), name="pool_snap_info_t")
class PoolSnapInfo(Struct):
    """A snapshot of a whole pool."""

    snapid: u64
    stamp: UTime
    name: string


class PoolOpt(IntEnum):
    """Keys of `PoolOpts`."""

    SCRUB_MIN_INTERVAL = 0
    SCRUB_MAX_INTERVAL = 1
    DEEP_SCRUB_INTERVAL = 2
    RECOVERY_PRIORITY = 3
    RECOVERY_OP_PRIORITY = 4
    SCRUB_PRIORITY = 5
    COMPRESSION_MODE = 6
    COMPRESSION_ALGORITHM = 7
    COMPRESSION_REQUIRED_RATIO = 8
    COMPRESSION_MAX_BLOB_SIZE = 9
    COMPRESSION_MIN_BLOB_SIZE = 10
    CSUM_TYPE = 11
    CSUM_MAX_BLOCK = 12
    CSUM_MIN_BLOCK = 13
    FINGERPRINT_ALGORITHM = 14
    PG_NUM_MIN = 15
    TARGET_SIZE_BYTES = 16
    TARGET_SIZE_RATIO = 17
    PG_AUTOSCALE_BIAS = 18
    READ_LEASE_INTERVAL = 19
    DEDUP_TIER = 20
    DEDUP_CHUNK_ALGORITHM = 21
    DEDUP_CDC_CHUNK_SIZE = 22
    PG_NUM_MAX = 23


_STRING, _INTEGER, _DOUBLE = 0, 1, 2


@irregular("pool_opts_t")
@dataclass(slots=True)
class PoolOpts(Struct):
    """Options that a pool overrides: key (`PoolOpt`; newer ones are kept) to text, integer or
    float.
    """

    _denc_min_size: ClassVar[int] = 10

    opts: dict[int, str | int | float] = field(default_factory=dict)

    def _enc(self, out: bytearray, features: int) -> None:
        wide = has(features, SERVER_NAUTILUS)
        start = len(out)
        out += _struct.pack("<BBII", 2 if wide else 1, 1, 0, len(self.opts))
        for key in sorted(self.opts):
            value = self.opts[key]
            if isinstance(value, str):
                text = value.encode("utf-8", "surrogateescape")
                out += _struct.pack("<iiI", key, _STRING, len(text)) + text
            elif isinstance(value, float):
                out += _struct.pack("<iid", key, _DOUBLE, value)
            else:
                out += _struct.pack("<iiq" if wide else "<iii", key, _INTEGER, value)
        _struct.pack_into("<I", out, start + 2, len(out) - start - 6)

    @classmethod
    def _dec(cls, buf: bytes, pos: int, end: int, features: int) -> tuple[Self, int]:
        version, compat, size, count = _struct.unpack_from("<BBII", buf, pos)
        after = pos + 6 + size
        pos += 10
        if compat > 2:
            raise IncompatibleVersion(f"pool options need a reader of {compat}", offset=pos)
        if after > end or count > max(after - pos, 0) // 8:
            raise LimitExceeded(f"{count} pool options in {size} bytes", offset=pos, limit=end)
        made = cls()
        for _ in range(count):
            key, kind = _struct.unpack_from("<ii", buf, pos)
            pos += 8
            if kind == _STRING:
                (length,) = _struct.unpack_from("<I", buf, pos)
                text = buf[pos + 4 : pos + 4 + length]
                made.opts[key] = str(text, "utf-8", "surrogateescape")
                pos += 4 + length
            elif kind == _DOUBLE:
                (made.opts[key],) = _struct.unpack_from("<d", buf, pos)
                pos += 8
            elif kind == _INTEGER:
                (made.opts[key],) = _struct.unpack_from("<q" if version >= 2 else "<i", buf, pos)
                pos += 8 if version >= 2 else 4
            else:
                raise WireError(f"pool option {key} has unknown type {kind}", offset=pos)
            if pos > after:
                raise WireError("pool option runs past the end", offset=pos, limit=after)
        return made, after

    def plain(self) -> dict[str, str | int | float]:
        """By option name, in the order of names, as upstream's JSON has them."""
        known = {o.value: o.name.lower() for o in PoolOpt}
        return dict(sorted((known.get(key, str(key)), value) for key, value in self.opts.items()))


@struct
class PeeringCrushData(Struct):
    """What a stretch pool demands: buckets of the type `bucket_barrier` that must take part in
    peering, how many there should be, and one that must be among them.
    """

    bucket_count: u32
    bucket_target: u32
    bucket_barrier: u32
    mandatory_member: s32 = default(CRUSH_ITEM_NONE)


_SNAP_MODES = PoolFlag.SELFMANAGED_SNAPS | PoolFlag.POOL_SNAPS | PoolFlag.CREATING
_OF_HAMMER = PGPOOL3 | OSDENC | OSD_POOLRESEND
_OF_LUMINOUS = _OF_HAMMER | NEW_OSDOP_ENCODING | SERVER_LUMINOUS


def _without_snap_modes(flags: int) -> int:
    return flags & ~_SNAP_MODES


_OldFlags = Via(u64, int, _without_snap_modes)


class _CountOf(Codec):
    """How many items there are; they come later (see `_AuidThenSnaps`)."""

    fmt = "I"
    min_size = 4

    def flatten(self, expr: str, emit: Emitter) -> list[str]:
        del emit
        return [f"len({expr})"]


class _AuidThenSnaps(Codec):
    """In version 2 snapshots and ranges of removed ones follow on `auid`, their counts precede
    it.
    """

    min_size = 8

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        emit.flush_out()
        emit.line(f"{emit.const(_encode_auid_and_snaps)}(self, {expr}, out, features)")

    def emit_decode(self, target: str, emit: Emitter) -> None:
        emit.flush_in()
        read = emit.const(_decode_auid_and_snaps)
        emit.line(
            f"{target}, f_snaps, f_removed_snaps, pos"
            f" = {read}(buf, pos, end, features, f_snaps, f_removed_snaps)"
        )


def _encode_auid_and_snaps(pool: PGPool, auid: int, out: bytearray, features: int) -> None:
    out += _struct.pack("<Q", auid)
    for id in sorted(pool.snaps):
        out += _struct.pack("<Q", id)
        pool.snaps[id]._enc(out, features)
    for start, length in pool.removed_snaps:
        out += _struct.pack("<QQ", start, length)


def _decode_auid_and_snaps(
    buf: bytes, pos: int, end: int, features: int, snaps: int, ranges: int
) -> tuple[int, dict[int, PoolSnapInfo], IntervalSet, int]:
    (auid,) = _struct.unpack_from("<Q", buf, pos)
    pos += 8
    found: dict[int, PoolSnapInfo] = {}
    for _ in range(snaps):
        (id,) = _struct.unpack_from("<Q", buf, pos)
        found[id], pos = PoolSnapInfo._dec(buf, pos + 8, end, features)
    removed_ids = IntervalSet()
    for _ in range(ranges):
        start, length = _struct.unpack_from("<QQ", buf, pos)
        removed_ids.insert(start, length)
        pos += 16
    return auid, found, removed_ids, pos


@struct(
    version=2,
    by_feature=(
        (_OF_LUMINOUS | SERVER_NAUTILUS, 29, 5),
        (_OF_LUMINOUS | SERVER_MIMIC, 27, 5),
        (_OF_LUMINOUS, 26, 5),
        (_OF_HAMMER | NEW_OSDOP_ENCODING, 24, 5),
        (_OF_HAMMER, 21, 5),
        (PGPOOL3 | OSDENC, 14, 5),
        (PGPOOL3, 4, 4),
    ),
    legacy=(5, 5),
    raised=("peering_crush_data.bucket_count and v >= 29", 30, 5),
    name="pg_pool_t",
)
class PGPool(Struct):
    """A pool's settings.

    Sizes are bytes, periods and ages seconds, ratios millionths (`*_micro`), epochs OSD map epochs.
    `snaps` are snapshots of the pool; `removed_snaps` ids of self-managed snapshots that are gone.
    A stretch pool (see `stretch`) is encoded in the version that Pacific brought.
    """

    type: u8
    size: u8
    crush_rule: u8
    object_hash: u8
    pg_num: u32
    pgp_num: u32
    lpg_num: u32 = removed()
    lpgp_num: u32 = removed()
    last_change: u32
    snap_seq: u64
    snap_epoch: u32
    snaps: Annotated[dict[int, PoolSnapInfo], Either("v >= 3", Map[u64, PoolSnapInfo], _CountOf())]
    removed_snaps: Annotated[IntervalSet, Either("v >= 3", IntervalSet, _CountOf())]
    auid: Annotated[int, Either("v >= 3", u64, _AuidThenSnaps())]
    flags: Annotated[int, Either("v >= 27 or v < 21", u64, _OldFlags)] = since(4)
    crash_replay_interval: u32 = since(4)
    min_size: u8 = since(7)
    quota_max_bytes: u64 = since(8)
    quota_max_objects: u64 = since(8)
    tiers: Set[u64] = since(9)
    tier_of: s64 = since(9, -1)
    cache_mode: u8 = since(9)
    read_tier: s64 = since(9, -1)
    write_tier: s64 = since(9, -1)
    properties: Map[string, string] = since(10)
    hit_set_params: HitSetParams = since(11)
    hit_set_period: u32 = since(11)
    hit_set_count: u32 = since(11)
    stripe_width: u32 = since(12)
    target_max_bytes: u64 = since(13)
    target_max_objects: u64 = since(13)
    cache_target_dirty_ratio_micro: u32 = since(13)
    cache_target_full_ratio_micro: u32 = since(13)
    cache_min_flush_age: u32 = since(13)
    cache_min_evict_age: u32 = since(13)
    erasure_code_profile: string = since(14)
    last_force_op_resend_preluminous: u32 = since(15)
    min_read_recency_for_promote: u32 = since(16)
    expected_num_objects: u64 = since(17)
    cache_target_dirty_high_ratio_micro: u32 = since(19)
    min_write_recency_for_promote: u32 = since(20)
    use_gmt_hitset: u8 = since(21, 1)
    fast_read: u8 = since(22)
    hit_set_grade_decay_rate: u32 = since(23)
    hit_set_search_last_n: u32 = since(23)
    opts: PoolOpts = since(24)
    last_force_op_resend_prenautilus: u32 = since(25)
    application_metadata: Map[string, Map[string, string]] = since(26)
    create_time: UTime = since(27)
    pg_num_target: u32 = since(28)
    pgp_num_target: u32 = since(28)
    pg_num_pending: u32 = since(28)
    pg_num_dec_last_epoch_started: u32 = since(28)
    pg_num_dec_last_epoch_clean: u32 = since(28)
    last_force_op_resend: u32 = since(28)
    pg_autoscale_mode: u8 = since(28, AutoscaleMode.UNKNOWN)
    last_pg_merge_meta: PGMergeMeta = since(29)
    peering_crush_data: PeeringCrushData = until(31, since=30)
    optional_peering_crush_data: Opt[PeeringCrushData] = since(31)

    @property
    def is_erasure(self) -> bool:
        """True for an erasure-coded pool."""
        return self.type == PoolType.ERASURE

    @property
    def stretch(self) -> PeeringCrushData | None:
        """What a stretch pool demands of its acting sets; None for any other pool."""
        data = self.optional_peering_crush_data or self.peering_crush_data
        return data if data.bucket_count else None

    def has_flag(self, flag: PoolFlag) -> bool:
        """True when the flag is set."""
        return bool(self.flags & flag)
