"""One pool as `ceph osd dump` shows it: as a document, and as a line.

Called by the dumps of a whole map and by commands about one pool. Upstream: `src/osd/osd_types.cc`,
pg_pool_t::dump and its operator<<.
"""

from __future__ import annotations

from collections.abc import Iterator

from spirula.errors import LimitExceeded
from spirula.maps.dump.values import names_of, numbers, time_text
from spirula.printing import Items, general
from spirula.types.hit_set import HitSetParams, HitSetType
from spirula.types.pool import (
    CRUSH_ITEM_NONE,
    POOL_FLAG_NAMES,
    AutoscaleMode,
    CacheMode,
    PeeringCrushData,
    PGPool,
    PoolFlag,
    PoolOpt,
    PoolType,
)

_HASH_NAMES = {1: "linux", 2: "rjenkins"}
_MILLION = 1_000_000
MAX_HIT_SETS = 1 << 16


def pool_flags_string(flags: int) -> str:
    """The names of a pool's flags, lowest bit first."""
    names = {int(flag): name for flag, name in POOL_FLAG_NAMES.items()}
    return ",".join(names.get(1 << bit, "???") for bit in range(64) if flags & 1 << bit)


def pool_type_name(kind: int) -> str:
    """`replicated` or `erasure`."""
    return PoolType(kind).name.lower() if kind in set(PoolType) else "???"


def cache_mode_name(mode: int) -> str:
    """The name of a cache tier's mode."""
    return CacheMode(mode).name.lower() if mode in set(CacheMode) else "unknown"


def autoscale_mode_name(mode: int) -> str:
    """`off`, `warn` or `on`."""
    known = mode in set(AutoscaleMode) and mode != AutoscaleMode.UNKNOWN
    return AutoscaleMode(mode).name.lower() if known else "???"


def hit_set_document(params: HitSetParams) -> dict[str, object]:
    """The kind of hit sets and its parameters."""
    found: dict[str, object] = {"type": _hit_set_type(params)}
    if params.type == HitSetType.BLOOM:
        found["false_positive_probability"] = params.bloom.fpp_micro / _MILLION
        found["target_size"] = params.bloom.target_size
        found["seed"] = params.bloom.seed
    return found


def _hit_set_type(params: HitSetParams) -> str:
    known = params.type in set(HitSetType)
    return HitSetType(params.type).name.lower() if known else "???"


def grade_table(pool: PGPool) -> list[int]:
    """What being in the n-th hit set counts, in millionths. LimitExceeded for absurdly many."""
    if pool.hit_set_count > MAX_HIT_SETS:
        raise LimitExceeded(
            f"{pool.hit_set_count} hit sets", path="hit_set_count", limit=MAX_HIT_SETS
        )
    grade = float(_MILLION)
    grades = []
    for _ in range(pool.hit_set_count):
        grade = int(grade * (1 - pool.hit_set_grade_decay_rate / 100.0))
        grades.append(int(grade))
    return grades


def options_document(pool: PGPool) -> dict[str, object]:
    """The options that the pool overrides, those that have a name, in the order of names."""
    known = {option.name.lower() for option in PoolOpt}
    return {name: value for name, value in pool.opts.plain().items() if name in known}


def pool_document(pool: PGPool) -> dict[str, object]:
    """A pool's fields under upstream's names."""
    merge = pool.last_pg_merge_meta
    stretch = pool.stretch or PeeringCrushData()
    return {
        "create_time": time_text(pool.create_time),
        "flags": pool.flags,
        "flags_names": pool_flags_string(pool.flags),
        "type": pool.type,
        "size": pool.size,
        "min_size": pool.min_size,
        "crush_rule": pool.crush_rule,
        "peering_crush_bucket_count": stretch.bucket_count,
        "peering_crush_bucket_target": stretch.bucket_target,
        "peering_crush_bucket_barrier": stretch.bucket_barrier,
        "peering_crush_bucket_mandatory_member": (
            stretch.mandatory_member if pool.stretch else CRUSH_ITEM_NONE
        ),
        "object_hash": pool.object_hash,
        "pg_autoscale_mode": autoscale_mode_name(pool.pg_autoscale_mode),
        "pg_num": pool.pg_num,
        "pg_placement_num": pool.pgp_num,
        "pg_placement_num_target": pool.pgp_num_target,
        "pg_num_target": pool.pg_num_target,
        "pg_num_pending": pool.pg_num_pending,
        "last_pg_merge_meta": {
            "source_pgid": str(merge.source_pgid),
            "ready_epoch": merge.ready_epoch,
            "last_epoch_started": merge.last_epoch_started,
            "last_epoch_clean": merge.last_epoch_clean,
            "source_version": str(merge.source_version),
            "target_version": str(merge.target_version),
        },
        "last_change": str(pool.last_change),
        "last_force_op_resend": str(pool.last_force_op_resend),
        "last_force_op_resend_prenautilus": str(pool.last_force_op_resend_prenautilus),
        "last_force_op_resend_preluminous": str(pool.last_force_op_resend_preluminous),
        "auid": pool.auid,
        "snap_mode": "pool" if pool.has_flag(PoolFlag.POOL_SNAPS) else "selfmanaged",
        "snap_seq": pool.snap_seq,
        "snap_epoch": pool.snap_epoch,
        "pool_snaps": Items(
            "pool_snap_info",
            (
                {"snapid": snap.snapid, "stamp": time_text(snap.stamp), "name": snap.name}
                for _, snap in sorted(pool.snaps.items())
            ),
        ),
        "removed_snaps": str(pool.removed_snaps),
        "quota_max_bytes": pool.quota_max_bytes,
        "quota_max_objects": pool.quota_max_objects,
        "tiers": Items("pool_id", sorted(pool.tiers)),
        "tier_of": pool.tier_of,
        "read_tier": pool.read_tier,
        "write_tier": pool.write_tier,
        "cache_mode": cache_mode_name(pool.cache_mode),
        "target_max_bytes": pool.target_max_bytes,
        "target_max_objects": pool.target_max_objects,
        "cache_target_dirty_ratio_micro": pool.cache_target_dirty_ratio_micro,
        "cache_target_dirty_high_ratio_micro": pool.cache_target_dirty_high_ratio_micro,
        "cache_target_full_ratio_micro": pool.cache_target_full_ratio_micro,
        "cache_min_flush_age": pool.cache_min_flush_age,
        "cache_min_evict_age": pool.cache_min_evict_age,
        "erasure_code_profile": pool.erasure_code_profile,
        "hit_set_params": hit_set_document(pool.hit_set_params),
        "hit_set_period": pool.hit_set_period,
        "hit_set_count": pool.hit_set_count,
        "use_gmt_hitset": bool(pool.use_gmt_hitset),
        "min_read_recency_for_promote": pool.min_read_recency_for_promote,
        "min_write_recency_for_promote": pool.min_write_recency_for_promote,
        "hit_set_grade_decay_rate": pool.hit_set_grade_decay_rate,
        "hit_set_search_last_n": pool.hit_set_search_last_n,
        "grade_table": Items("value", grade_table(pool)),
        "stripe_width": pool.stripe_width,
        "expected_num_objects": pool.expected_num_objects,
        "fast_read": bool(pool.fast_read),
        "options": options_document(pool),
        "application_metadata": {
            name: dict(sorted(pairs.items()))
            for name, pairs in sorted(pool.application_metadata.items())
        },
    }


def pool_line(pool: PGPool) -> str:
    """A pool's fields as `ceph osd dump` prints them behind its name."""
    return " ".join(_parts(pool))


def _parts(pool: PGPool) -> Iterator[str]:
    yield pool_type_name(pool.type)
    if pool.is_erasure:
        yield f"profile {pool.erasure_code_profile}"
    yield f"size {pool.size} min_size {pool.min_size} crush_rule {pool.crush_rule}"
    yield f"object_hash {_HASH_NAMES.get(pool.object_hash, 'unknown')}"
    yield f"pg_num {pool.pg_num} pgp_num {pool.pgp_num}"
    if pool.pg_num_target != pool.pg_num:
        yield f"pg_num_target {pool.pg_num_target}"
    if pool.pgp_num_target != pool.pgp_num:
        yield f"pgp_num_target {pool.pgp_num_target}"
    if pool.pg_num_pending != pool.pg_num:
        yield f"pg_num_pending {pool.pg_num_pending}"
    if pool.pg_autoscale_mode != AutoscaleMode.UNKNOWN:
        yield f"autoscale_mode {autoscale_mode_name(pool.pg_autoscale_mode)}"
    yield f"last_change {pool.last_change}"
    resend = (
        pool.last_force_op_resend,
        pool.last_force_op_resend_prenautilus,
        pool.last_force_op_resend_preluminous,
    )
    if any(resend):
        yield "lfor " + "/".join(map(str, resend))
    if pool.auid:
        yield f"owner {pool.auid}"
    if pool.flags:
        yield f"flags {pool_flags_string(pool.flags)}"
    yield from _limits_and_tiers(pool)
    if pool.hit_set_params.type != HitSetType.NONE:
        yield _hit_set_line(pool)
    if pool.min_read_recency_for_promote:
        yield f"min_read_recency_for_promote {pool.min_read_recency_for_promote}"
    if pool.min_write_recency_for_promote:
        yield f"min_write_recency_for_promote {pool.min_write_recency_for_promote}"
    yield f"stripe_width {pool.stripe_width}"
    if pool.expected_num_objects:
        yield f"expected_num_objects {pool.expected_num_objects}"
    if pool.fast_read:
        yield f"fast_read {int(bool(pool.fast_read))}"
    for name, value in options_document(pool).items():
        yield f"{name} {general(value) if isinstance(value, float) else value}"
    if pool.application_metadata:
        yield f"application {names_of(pool.application_metadata)}"


def _limits_and_tiers(pool: PGPool) -> Iterator[str]:
    if pool.quota_max_bytes:
        yield f"max_bytes {pool.quota_max_bytes}"
    if pool.quota_max_objects:
        yield f"max_objects {pool.quota_max_objects}"
    if pool.tiers:
        yield f"tiers {numbers(sorted(pool.tiers))}"
    if pool.tier_of >= 0:
        yield f"tier_of {pool.tier_of}"
    if pool.read_tier >= 0:
        yield f"read_tier {pool.read_tier}"
    if pool.write_tier >= 0:
        yield f"write_tier {pool.write_tier}"
    if pool.cache_mode:
        yield f"cache_mode {cache_mode_name(pool.cache_mode)}"
    if pool.target_max_bytes:
        yield f"target_bytes {pool.target_max_bytes}"
    if pool.target_max_objects:
        yield f"target_objects {pool.target_max_objects}"


def _hit_set_line(pool: PGPool) -> str:
    params = pool.hit_set_params
    bloom = params.bloom
    inside = "}"
    if params.type == HitSetType.BLOOM:
        inside = (
            f"{{false_positive_probability: {general(bloom.fpp_micro / _MILLION)},"
            f" target_size: {bloom.target_size}, seed: {bloom.seed}}}"
        )
    elif params.type in set(HitSetType):
        inside = "{}"
    return (
        f"hit_set {_hit_set_type(params)}{inside} {pool.hit_set_period}s x{pool.hit_set_count}"
        f" decay_rate {pool.hit_set_grade_decay_rate}"
        f" search_last_n {pool.hit_set_search_last_n}"
    )
