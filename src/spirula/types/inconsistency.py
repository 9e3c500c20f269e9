"""What scrubs found wrong, as clients list it: objects whose copies differ, and broken snapshots.

Kept by the OSD until the next scrub of the PG, sent as they are to `rados list-inconsistent-obj`
and `list-inconsistent-snapset`. Formats: upstream `src/common/scrub_types.cc`, bits from
`src/include/rados/rados_types.hpp`.
"""

from __future__ import annotations

from enum import IntFlag

from spirula.denc import (
    Map,
    Struct,
    Vec,
    blob,
    boolean,
    default,
    s8,
    s32,
    since,
    string,
    struct,
    u32,
    u64,
    when,
)
from spirula.types.hobject import NO_SHARD, HObject

_NO_SIZE = (1 << 64) - 1
_IS_THERE = "not errors & 2"


class ShardError(IntFlag):
    """What is wrong with one copy by itself (upstream err_t)."""

    MISSING = 1 << 1
    STAT_ERROR = 1 << 2
    READ_ERROR = 1 << 3
    DATA_DIGEST_MISMATCH_INFO = 1 << 9
    OMAP_DIGEST_MISMATCH_INFO = 1 << 10
    SIZE_MISMATCH_INFO = 1 << 11
    EC_HASH_MISMATCH = 1 << 12
    EC_SIZE_MISMATCH = 1 << 13
    INFO_MISSING = 1 << 14
    INFO_CORRUPTED = 1 << 15
    SNAPSET_MISSING = 1 << 16
    SNAPSET_CORRUPTED = 1 << 17
    OBJ_SIZE_INFO_MISMATCH = 1 << 18
    HINFO_MISSING = 1 << 19
    HINFO_CORRUPTED = 1 << 20


class ObjectError(IntFlag):
    """In what copies differ from one another (upstream obj_err_t)."""

    OBJECT_INFO_INCONSISTENCY = 1 << 1
    DATA_DIGEST_MISMATCH = 1 << 4
    OMAP_DIGEST_MISMATCH = 1 << 5
    SIZE_MISMATCH = 1 << 6
    ATTR_VALUE_MISMATCH = 1 << 7
    ATTR_NAME_MISMATCH = 1 << 8
    SNAPSET_INCONSISTENCY = 1 << 9
    HINFO_INCONSISTENCY = 1 << 10
    SIZE_TOO_LARGE = 1 << 11


class SnapSetError(IntFlag):
    """What is wrong with an object's snapshots (upstream inconsistent_snapset_t)."""

    SNAPSET_MISSING = 1 << 0
    SNAPSET_CORRUPTED = 1 << 1
    CLONE_MISSING = 1 << 2
    SNAP_ERROR = 1 << 3
    HEADLESS_CLONE = 1 << 5
    SIZE_MISMATCH = 1 << 6
    INFO_MISSING = 1 << 7
    INFO_CORRUPTED = 1 << 8
    EXTRA_CLONES = 1 << 9


DEEP_SHARD_ERRORS = int(
    ShardError.READ_ERROR
    | ShardError.DATA_DIGEST_MISMATCH_INFO
    | ShardError.OMAP_DIGEST_MISMATCH_INFO
    | ShardError.EC_HASH_MISMATCH
    | ShardError.EC_SIZE_MISMATCH
)
SHALLOW_SHARD_ERRORS = int(~ShardError(DEEP_SHARD_ERRORS))
DEEP_OBJECT_ERRORS = int(ObjectError.DATA_DIGEST_MISMATCH | ObjectError.OMAP_DIGEST_MISMATCH)
SHALLOW_OBJECT_ERRORS = int(~ObjectError(DEEP_OBJECT_ERRORS))


@struct(name="librados::object_id_t", version=1, compat=1)
class ObjectId(Struct):
    """An object as clients name it."""

    name: string
    nspace: string
    locator: string
    snap: u64

    @classmethod
    def of(cls, hoid: HObject) -> ObjectId:
        """The name of an object of a PG."""
        return cls(hoid.oid, hoid.nspace, hoid.key, hoid.snap)


@struct(name="librados::osd_shard_t", version=1, compat=1, frozen=True)
class OSDShard(Struct):
    """Where a copy is; they sort by OSD, then shard."""

    osd: s32
    shard: s8 = default(NO_SHARD)

    def __lt__(self, other: OSDShard) -> bool:
        return (self.osd, self.shard) < (other.osd, other.shard)


@struct(name="librados::shard_info_t", version=3, compat=3)
class ShardInfo(Struct):
    """One copy of an inconsistent object; of one that is missing nothing more is known."""

    errors: u64
    primary: boolean
    attrs: Map[string, blob] = when(_IS_THERE)
    size: u64 = when(_IS_THERE, default=_NO_SIZE)
    omap_digest_present: boolean = when(_IS_THERE)
    omap_digest: u32 = when(_IS_THERE)
    data_digest_present: boolean = when(_IS_THERE)
    data_digest: u32 = when(_IS_THERE)
    selected_oi: boolean = when(_IS_THERE)


@struct(name="librados::inconsistent_obj_t", version=2, compat=2)
class InconsistentObject(Struct):
    """An object whose copies differ; `version` is its user version."""

    errors: u64
    object: ObjectId
    version: u64
    shards: Map[OSDShard, ShardInfo]
    union_errors: u64

    @property
    def is_deep(self) -> bool:
        """Whether reading all of it was needed to find that out."""
        return bool(self.errors & DEEP_OBJECT_ERRORS)

    @property
    def is_shallow(self) -> bool:
        """Whether it was found without."""
        return bool(self.errors & SHALLOW_OBJECT_ERRORS)


@struct(name="librados::inconsistent_snapset_t", version=2, compat=1)
class InconsistentSnapSet(Struct):
    """A head or clone that does not fit the object's snapshots.

    `clones` are there and should not be, `missing` the other way round; `snapset` is the encoded
    SnapSet where there is one.
    """

    errors: u64
    object: ObjectId
    clones: Vec[u64]
    missing: Vec[u64]
    snapset: blob = since(2, default=b"")
