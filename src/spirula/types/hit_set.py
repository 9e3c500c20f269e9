"""Hit sets: which objects of a cache tier were used in a span of time, and how a PG archives them.

Layouts only; what is inserted and asked is the OSD's business. Pools name a kind and its
parameters. Formats: upstream `src/osd/HitSet.h`, `src/common/bloom_filter.hpp`,
`src/osd/osd_types.h`.
"""

from __future__ import annotations

from enum import IntEnum

from spirula.denc import (
    Struct,
    Vec,
    blob,
    boolean,
    default,
    removed,
    since,
    struct,
    u8,
    u32,
    u64,
    when,
)
from spirula.errors import WireError
from spirula.types.base import EVersion, UTime
from spirula.types.hobject import HObject


class HitSetType(IntEnum):
    """Kinds of hit sets."""

    NONE = 0
    EXPLICIT_HASH = 1
    EXPLICIT_OBJECT = 2
    BLOOM = 3


@struct(name="bloom_filter", version=2, compat=2)
class BloomFilter(Struct):
    """A Bloom filter: parameters and bits (bit i is bit i % 8 of byte i // 8)."""

    salt_count: u64
    insert_count: u64
    target_element_count: u64
    random_seed: u64
    bit_table: blob

    def density(self) -> float:
        """The share of bits that are set.

        Half of them when as many elements are in as it was made for.
        """
        if not self.bit_table:
            return 0.0
        return int.from_bytes(self.bit_table, "little").bit_count() / (len(self.bit_table) * 8)


@struct(name="compressible_bloom_filter", version=2, compat=2)
class CompressibleBloomFilter(Struct):
    """A Bloom filter that was folded: `size_list` has its sizes in bytes, the first one first."""

    filter: BloomFilter
    size_list: Vec[u64]


@struct(name="ExplicitHashHitSet", version=1, compat=1)
class ExplicitHashHitSet(Struct):
    """Hashes of the objects; `hits` holds each one once, in no order."""

    count: u64
    hits: Vec[u32]


@struct(name="ExplicitObjectHitSet", version=1, compat=1)
class ExplicitObjectHitSet(Struct):
    """The objects by name; `hits` holds each one once, in no order."""

    count: u64
    hits: Vec[HObject]


@struct(name="BloomHitSet", version=1, compat=1)
class BloomHitSet(Struct):
    """Hashes of the objects in a Bloom filter."""

    bloom: CompressibleBloomFilter


class _Kinds(Struct):
    """Refuses kinds that no release knows, whose payload could not be told."""

    __slots__ = ()
    type: int

    def __post_init__(self) -> None:
        if self.type > HitSetType.BLOOM:
            raise WireError(f"hit set of type {self.type}")


@struct(name="HitSet", version=1, compat=1)
class HitSet(_Kinds):
    """A hit set of any kind; the field that belongs to `type` counts."""

    sealed: boolean
    type: u8
    by_hash: ExplicitHashHitSet = when(f"type == {int(HitSetType.EXPLICIT_HASH)}")
    by_object: ExplicitObjectHitSet = when(f"type == {int(HitSetType.EXPLICIT_OBJECT)}")
    by_bloom: BloomHitSet = when(f"type == {int(HitSetType.BLOOM)}")


@struct(version=1, compat=1)
class BloomParams(Struct):
    """How a Bloom hit set is made.

    False positives in a million, elements expected, seed of its hashes.
    """

    fpp_micro: u32
    target_size: u64
    seed: u64


@struct(name="HitSet::Params", version=1, compat=1)
class HitSetParams(_Kinds):
    """The kind of hit sets that a pool keeps; `bloom` counts for the kind that needs it."""

    type: u8
    bloom: BloomParams = when(f"type == {int(HitSetType.BLOOM)}")


@struct(name="pg_hit_set_info_t", version=2, compat=1)
class PGHitSetInfo(Struct):
    """One archived hit set.

    The span that it covers, when it was written, and how its name tells time.
    """

    begin: UTime
    end: UTime
    version: EVersion
    using_gmt: boolean = since(2, default=False)


@struct(name="pg_hit_set_history_t", version=1, compat=1)
class PGHitSetHistory(Struct):
    """A PG's archived hit sets, oldest first."""

    current_last_update: EVersion
    current_last_stamp: UTime = removed()
    current_info: PGHitSetInfo = default(PGHitSetInfo(using_gmt=True))
    history: Vec[PGHitSetInfo]
