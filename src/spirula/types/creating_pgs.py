"""Placement groups of new pools, which monitors remember until somebody has made them.

Format: upstream `src/mon/CreatingPGs.h`. Kept by the monitors' OSD map service.
"""

from __future__ import annotations

from spirula.denc import Map, Set, Struct, Vec, default, s32, s64, since, struct, u32, u64, until
from spirula.types.base import UTime
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import PGId
from spirula.types.pg_info import PGHistory


@struct(version=1, compat=1, name="creating_pgs_t::pg_create_info")
class PGCreateInfo(Struct):
    """A placement group that is being created, with the history that it starts from."""

    create_epoch: u32
    create_stamp: UTime
    up: Vec[s32]
    up_primary: s32 = default(-1)
    acting: Vec[s32]
    acting_primary: s32 = default(-1)
    history: PGHistory
    past_intervals: PastIntervals


@struct(name="creating_pgs_t::pool_create_info")
class PoolCreateInfo(Struct):
    """The placement groups of a new pool that are still to be created: seeds `start` to `end`."""

    created: u32
    modified: UTime
    start: u64
    end: u64


@struct
class OldPGCreateInfo(Struct):
    """What stands for PGCreateInfo before Octopus."""

    create_epoch: u32
    create_stamp: UTime


@struct(version=3, compat=1, name="creating_pgs_t")
class CreatingPGs(Struct):
    """Placement groups that the monitors have yet to see created.

    `created_pools` are the pools of which at least one has been. Encodings from before Octopus have
    `old_pgs` in place of `pgs`.
    """

    last_scan_epoch: u32
    old_pgs: Map[PGId, OldPGCreateInfo] = until(3)
    pgs: Map[PGId, PGCreateInfo] = since(3)
    created_pools: Set[s64]
    queue: Map[s64, PoolCreateInfo] = since(2)
