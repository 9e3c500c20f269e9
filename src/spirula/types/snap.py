"""Snapshots of objects: ids, the context of a write, an object's clones and their listing.

Used by clients (a write carries a SnapContext), the OSD (SnapSet beside each head, SnapMapper's
index) and the monitor (purged snaps). Formats: upstream `src/common/snap_types.h`,
`src/include/object.h`, `src/osd/osd_types.h` (SnapSet, clone_info) and `src/osd/SnapMapper.h`.
"""

from __future__ import annotations

from itertools import pairwise

from spirula.denc import Map, Pair, Set, Struct, Vec, boolean, default, removed, since, struct, u64
from spirula.types.hobject import NOSNAP, SNAPDIR, HObject, snap_name
from spirula.types.interval_set import IntervalSet

MAXSNAP = NOSNAP - 1
"""The largest id that a snapshot can have."""

__all__ = [
    "MAXSNAP",
    "NOSNAP",
    "SNAPDIR",
    "CloneInfo",
    "ListSnapsResponse",
    "ObjectSnaps",
    "SnapContext",
    "SnapMapping",
    "SnapSet",
    "snap_name",
]


@struct(name="SnapContext")
class SnapContext(Struct):
    """What snapshots exist for a write.

    The newest id ever given out, and those alive, newest first.
    """

    seq: u64
    snaps: Vec[u64]

    def is_valid(self) -> bool:
        """True when ids descend strictly and none is larger than `seq`."""
        if self.seq > MAXSNAP or (self.snaps and self.snaps[0] > self.seq):
            return False
        return all(newer > older for newer, older in pairwise(self.snaps))


@struct(name="SnapSet", version=3, compat=2, legacy=(2, 2))
class SnapSet(Struct):
    """An object's clones, stored beside its head.

    `clones` ascend; `clone_overlap` says what a clone shares with the next newer one, `clone_snaps`
    which snapshots (newest first) it serves.
    """

    seq: u64
    head_exists: boolean = removed(default=True)
    snaps: Vec[u64]
    clones: Vec[u64]
    clone_overlap: Map[u64, IntervalSet]
    clone_size: Map[u64, u64]
    clone_snaps: Map[u64, Vec[u64]] = since(3)

    def clone_bytes(self, clone: int) -> int:
        """Bytes that only this clone holds: its size without what newer ones share.

        KeyError if unknown.
        """
        return self.clone_size[clone] - self.clone_overlap[clone].size

    def context(self) -> SnapContext:
        """The snapshots that the head was last written under."""
        return SnapContext(self.seq, self.snaps.copy())


@struct(name="clone_info", version=1, compat=1)
class CloneInfo(Struct):
    """One clone as `list-snaps` shows it; `snaps` ascend, `overlap` holds (offset, length)."""

    cloneid: u64 = default(NOSNAP)
    snaps: Vec[u64]
    overlap: Vec[Pair[u64, u64]]
    size: u64


@struct(name="obj_list_snap_response_t", version=2, compat=1)
class ListSnapsResponse(Struct):
    """What the `list-snaps` operation answers; clones ascend, the head comes last."""

    clones: Vec[CloneInfo]
    seq: u64 = since(2, default=NOSNAP)


@struct(name="SnapMapper::object_snaps", version=1, compat=1)
class ObjectSnaps(Struct):
    """SnapMapper's value under an object: the snapshots that the clone serves."""

    oid: HObject
    snaps: Set[u64]


@struct(name="SnapMapper::Mapping", version=1, compat=1)
class SnapMapping(Struct):
    """SnapMapper's value under a snapshot: one object that has a clone for it."""

    snap: u64
    hoid: HObject
