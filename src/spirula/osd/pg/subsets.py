"""Which bytes of an object have to be sent, and which its receiver can clone from what it has.

A head shares bytes with its newest clones, and clones with one another: what is shared with one
that the receiver has is not sent again. Called by `transfer`. Upstream:
`src/osd/ReplicatedBackend.cc` (calc_head_subsets, calc_clone_subsets).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.osd.ops.context import LockKind
from spirula.osd.pg import locks
from spirula.types.interval_set import IntervalSet
from spirula.types.pg_log import ALL_BYTES
from spirula.types.pool import PoolFlag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spirula.osd.ops.context import ObjectContext
    from spirula.osd.pg.state import PG
    from spirula.types.hobject import HObject
    from spirula.types.pg_log import PGMissing
    from spirula.types.snap import SnapSet


@dataclass(slots=True, eq=False)
class Receiver:
    """Who is to get an object: what that lacks, and up to where it is filled."""

    missing: PGMissing
    last_backfill: HObject


@dataclass(slots=True, eq=False)
class Subsets:
    """Ranges to be sent, and ranges to be cloned from other clones.

    `locked` are those clones: they stay as they are until the object has arrived.
    """

    data: IntervalSet
    clones: dict[HObject, IntervalSet] = field(default_factory=dict)
    locked: list[ObjectContext] = field(default_factory=list)

    def release(self, pg: PG) -> None:
        """The object has arrived, or does not any more."""
        locked, self.locked = self.locked, []
        for obc in locked:
            pg.unlock(obc)


def whole(size: int) -> IntervalSet:
    """All bytes of an object."""
    return IntervalSet([(0, size)] if size else [])


def of_head(
    pg: PG, head: HObject, snapset: SnapSet, size: int, dirty: IntervalSet, receiver: Receiver
) -> Subsets:
    """What is sent of a head of which only `dirty` bytes changed since the receiver's version."""
    made = Subsets(whole(size) & dirty)
    if not _may_clone(pg):
        return made
    shared = whole(size)
    for snap in sorted(snapset.clones, reverse=True):
        shared &= snapset.clone_overlap.get(snap, IntervalSet())
        clone = head.at_snap(snap)
        if _take(pg, made, clone, receiver):
            shared &= made.data
            if shared:
                made.clones[clone] = shared
            break
    _settle(pg, made)
    return made


def of_clone(pg: PG, hoid: HObject, snapset: SnapSet, receiver: Receiver) -> Subsets:
    """What is sent of a clone: not what the next older or newer one has, too."""
    if hoid.snap not in snapset.clones:
        return Subsets(IntervalSet([(0, ALL_BYTES)]))  # its size is known where it is
    size = snapset.clone_size[hoid.snap]
    made = Subsets(whole(size))
    if not _may_clone(pg):
        return made
    clones = sorted(snapset.clones)
    at = clones.index(hoid.snap)
    _share(pg, hoid, made, size, _pairs(snapset, reversed(clones[:at]), older=True), receiver)
    _share(pg, hoid, made, size, _pairs(snapset, clones[at:], older=False), receiver)
    _settle(pg, made)
    return made


def _pairs(
    snapset: SnapSet, clones: Iterable[int], *, older: bool
) -> list[tuple[int, IntervalSet]]:
    """Clones, the nearest first, each with what it shares with the one that is nearer."""
    order = list(clones)
    overlap = [snapset.clone_overlap.get(each, IntervalSet()) for each in order]
    if older:
        return list(zip(order, overlap, strict=True))
    # what a clone shares with the next newer one is kept with the older of the two
    return list(zip(order[1:], overlap, strict=False))


def _share(
    pg: PG,
    hoid: HObject,
    made: Subsets,
    size: int,
    others: list[tuple[int, IntervalSet]],
    receiver: Receiver,
) -> None:
    shared = whole(size)
    for snap, overlap in others:
        shared &= overlap
        clone = hoid.at_snap(snap)
        if _take(pg, made, clone, receiver):
            if shared:
                made.clones[clone] = shared
            return


def _may_clone(pg: PG) -> bool:
    """Pools that may lack clones cannot tell who has which."""
    if pg.pool.flags & PoolFlag.INCOMPLETE_CLONES:
        return False
    return pg.options.osd_recover_clone_overlap


def _take(pg: PG, made: Subsets, clone: HObject, receiver: Receiver) -> bool:
    """Whether the receiver has a clone, and it can be kept from being trimmed meanwhile."""
    if clone in receiver.missing.missing or not clone < receiver.last_backfill:
        return False
    if clone in pg.missing.missing:
        return True  # nobody changes what is not here
    obc = pg.objects.get(clone, can_create=False)
    if obc is None or not locks.try_lock(obc.lock, LockKind.READ, None):
        return False
    made.locked.append(obc)
    return True


def _settle(pg: PG, made: Subsets) -> None:
    """Leaves out what is cloned; all is sent where that would be in too many pieces."""
    cloned = IntervalSet()
    for ranges in made.clones.values():
        cloned.update(ranges)
    if len(cloned) > pg.options.osd_recover_clone_overlap_limit:
        made.clones.clear()
        cloned = IntervalSet()
    if not made.clones:
        made.release(pg)
    made.data -= cloned
