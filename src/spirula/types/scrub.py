"""What replicas tell the primary while a PG is scrubbed: each object's size, checksums and errors.

Formats: upstream `src/osd/osd_types.h`, `osd_types.cc` (ScrubMap), `src/common/SloppyCRCMap.h`.
"""

from __future__ import annotations

from spirula.denc import Map, Set, Struct, blob, boolean, removed, since, string, struct, u32, u64
from spirula.types.base import EVersion
from spirula.types.hobject import HObject


@struct(name="ScrubMap::object", version=10, compat=7)
class ScrubObject(Struct):
    """What one replica found of one object.

    `any_read_error` stands for all three kinds of read errors to peers that know only one.
    """

    size: u64
    negative: boolean
    attrs: Map[string, blob]
    digest: u32
    digest_present: boolean
    nlinks: u32 = removed()
    snapcolls: Set[u64] = removed(default=set())
    omap_digest: u32
    omap_digest_present: boolean
    any_read_error: boolean
    stat_error: boolean
    read_error: boolean = since(8, default=False)
    ec_hash_mismatch: boolean = since(8, default=False)
    ec_size_mismatch: boolean = since(8, default=False)
    large_omap_object_found: boolean = since(9, default=False)
    large_omap_object_key_count: u64 = since(9)
    large_omap_object_value_size: u64 = since(9)
    object_omap_bytes: u64 = since(10)
    object_omap_keys: u64 = since(10)

    def __post_init__(self) -> None:
        known = self.read_error or self.ec_hash_mismatch or self.ec_size_mismatch
        if self.any_read_error and not known:
            self.read_error = True
        self.any_read_error = self.any_read_error or known

    def mark_read_error(self, *, hash_mismatch: bool = False, size_mismatch: bool = False) -> None:
        """Notes that the object could not be read, or is not what was written (erasure-coded)."""
        self.any_read_error = True
        self.ec_hash_mismatch |= hash_mismatch
        self.ec_size_mismatch |= size_mismatch
        self.read_error |= not (hash_mismatch or size_mismatch)


@struct(name="ScrubMap", version=3, compat=2, legacy=(2, 2))
class ScrubMap(Struct):
    """What one replica found of a range of objects, as of `valid_through`."""

    objects: Map[HObject, ScrubObject]
    attrs: Map[string, string] = removed(default={})
    old_log: blob = removed(default=b"")
    valid_through: EVersion
    incr_since: EVersion


@struct(name="SloppyCRCMap", version=1, compat=1)
class SloppyCRCMap(Struct):
    """Checksums of those blocks of an object that were written whole, by offset."""

    block_size: u32
    crc_map: Map[u64, u32]
