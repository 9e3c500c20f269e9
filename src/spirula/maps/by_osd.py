"""The places of PGs seen from the OSDs: who has which, how many each has, and what an epoch moved.

Read from the mappings that `mapping` keeps, in a pass over its arrays: nothing is stored, so that
nothing has to follow the epochs. Called by the monitor, the manager and tools. Upstream:
`src/osd/OSDMapMapping.h` (which keeps lists by OSD).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spirula.maps.mapping import PGMappings, PoolPlaces
from spirula.types.pg import PGId


@dataclass(frozen=True, slots=True)
class OSDCounts:
    """How many PGs each OSD has by its id: in up sets, in acting sets, and as acting primary."""

    up: NDArray[np.int64]
    acting: NDArray[np.int64]
    primary: NDArray[np.int64]


def pgs_of_osd(mappings: PGMappings, osd: int, *, up: bool = False) -> list[PGId]:
    """The PGs in whose acting set (or `up` set) the OSD is, ascending."""
    found = []
    for number, places in sorted(mappings.pools.items()):
        rows = np.flatnonzero((places.picked == osd).any(axis=1)).tolist()
        seeds = [seed for seed in rows if seed not in places.special]
        seeds += [
            seed
            for seed, mapping in places.special.items()
            if osd in (mapping.up if up else mapping.acting)
        ]
        found += [PGId(number, seed) for seed in sorted(seeds)]
    return found


def pgs_led_by(mappings: PGMappings, osd: int) -> list[PGId]:
    """The PGs whose acting primary the OSD is, ascending."""
    found = []
    for number, places in sorted(mappings.pools.items()):
        rows = np.flatnonzero((places.picked[:, :1] == osd).any(axis=1)).tolist()
        seeds = [seed for seed in rows if seed not in places.special]
        seeds += [seed for seed, m in places.special.items() if m.acting_primary == osd]
        found += [PGId(number, seed) for seed in sorted(seeds)]
    return found


def count_by_osd(mappings: PGMappings, pools: Collection[int] = ()) -> OSDCounts:
    """The counts of all OSDs in these pools (in all, if none is named).

    Holes and OSDs that the map does not have are not counted.
    """
    size = max(mappings.osdmap.max_osd, 0)
    up, acting, primary = (np.zeros(size, np.int64) for _ in range(3))
    for number, places in mappings.pools.items():
        if pools and number not in pools:
            continue
        plain = places.picked
        if places.special:
            plain = np.delete(plain, list(places.special), axis=0)
        everywhere = np.bincount(plain.ravel(), minlength=size)
        up += everywhere
        acting += everywhere
        primary += np.bincount(plain[:, :1].ravel(), minlength=size)
        special = places.special.values()
        up += _count([osd for mapping in special for osd in mapping.up], size)
        acting += _count([osd for mapping in special for osd in mapping.acting], size)
        primary += _count([mapping.acting_primary for mapping in special], size)
    return OSDCounts(up, acting, primary)


def _count(osds: list[int], size: int) -> NDArray[np.int64]:
    known = np.array([osd for osd in osds if 0 <= osd < size], np.int64)
    counted: NDArray[np.int64] = np.bincount(known, minlength=size)
    return counted


def moved_pgs(old: PGMappings, new: PGMappings) -> list[PGId]:
    """The PGs whose mapping is another one than before, new and lost ones too, ascending."""
    found = []
    for number in sorted(old.pools.keys() | new.pools.keys()):
        before, after = old.pools.get(number), new.pools.get(number)
        if before is None or after is None:
            count = sum(places.count for places in (before, after) if places is not None)
            found += [PGId(number, seed) for seed in range(count)]
        elif before.picked is not after.picked or before.special is not after.special:
            found += [PGId(number, seed) for seed in _moved(before, after)]
    return found


def _moved(before: PoolPlaces, after: PoolPlaces) -> list[int]:
    both = min(before.count, after.count)
    seeds = set(range(both, max(before.count, after.count)))
    if before.picked.shape[1] == after.picked.shape[1]:
        differ = (before.picked[:both] != after.picked[:both]).any(axis=1)
        candidates = set(np.flatnonzero(differ).tolist())
    else:
        candidates = set(range(both))
    candidates |= before.special.keys() | after.special.keys()
    seeds |= {seed for seed in candidates if seed < both and before.at(seed) != after.at(seed)}
    return sorted(seeds)
