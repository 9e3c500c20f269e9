"""What a change of a map would move: PGs, their places and bytes, and each OSD's share.

Compares where PGs should be (up) by two maps; nothing is changed. Called by `spirula crush plan`.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from spirula.crush.vector.mapper import VectorMapper
from spirula.crush.wire import CrushWrapper
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.clean import clean_pg_upmaps
from spirula.maps.mapping import PGMappings
from spirula.maps.osdmap import OSDMap
from spirula.types.pg import NO_OSD, PGId
from spirula.types.pool import PGPool


@dataclass(slots=True)
class PoolMove:
    """What moves in one pool. A place is one replica or shard of a PG; bytes are None if unknown.

    `unplaced` counts places that nobody has after the change, `lost` those that somebody had
    before.
    """

    name: str = ""
    pgs: int = 0
    places: int = 0
    changed_pgs: int = 0
    moved_places: int = 0
    moved_bytes: int | None = None
    unplaced: int = 0
    lost: int = 0


@dataclass(slots=True)
class OSDShare:
    """PGs and bytes that an OSD has before and after, and what comes to it and leaves it."""

    pgs_before: int = 0
    pgs_after: int = 0
    pgs_in: int = 0
    pgs_out: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(slots=True)
class Plan:
    """All that moves. `upmaps_dropped` counts exceptions that the change makes wrong or useless."""

    pools: dict[int, PoolMove] = field(default_factory=dict)
    osds: dict[int, OSDShare] = field(default_factory=dict)
    upmaps_dropped: int = 0
    knows_bytes: bool = False


@dataclass(slots=True)
class Sizes:
    """Bytes that clients stored: by pool, and more exactly by PG."""

    pools: dict[int, int] = field(default_factory=dict)
    pgs: dict[PGId, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.pools or self.pgs)

    def of_place(self, osdmap: OSDMap, pg: PGId, pool: PGPool) -> int:
        """How many bytes one replica or shard of the PG has."""
        stored = self.pgs.get(pg)
        if stored is None:
            stored = self.pools.get(pg.pool, 0) // max(pool.pg_num, 1)
        return stored // data_shards(osdmap, pool)


def data_shards(osdmap: OSDMap, pool: PGPool) -> int:
    """Among how many shards an object's bytes are divided; 1 in a replicated pool."""
    if not pool.is_erasure:
        return 1
    profile = osdmap.erasure_code_profiles.get(pool.erasure_code_profile, {})
    text = profile.get("k", "")
    return max(int(text), 1) if text.isdecimal() else 1


def with_changes(
    osdmap: OSDMap, crush: CrushWrapper | None = None, weights: Mapping[int, int] | None = None
) -> OSDMap:
    """The map as the monitor would make it: with another hierarchy, other weights (16.16) of OSDs.

    What that makes wrong among the upmaps is dropped, as the monitor does. WireError for OSDs that
    the map does not have.
    """
    inc = pending_incremental(osdmap)
    inc.new_weight = dict(weights or {})
    if crush is not None:
        inc.crush = crush.encode()
    made = apply_incremental(osdmap, inc)
    cleanup = pending_incremental(made)
    if clean_pg_upmaps(made, cleanup):
        made = apply_incremental(made, cleanup)
    return made


def plan(before: OSDMap, after: OSDMap, sizes: Sizes | None = None) -> Plan:
    """What moves from one map to another, whose pools are the same."""
    sizes = sizes or Sizes()
    made = Plan(knows_bytes=bool(sizes))
    made.upmaps_dropped = _exceptions(before) - _exceptions(after)
    old = PGMappings(before, VectorMapper)
    new = PGMappings(after, VectorMapper)
    known = set(sizes.pools) | {pg.pool for pg in sizes.pgs}
    for number, pool in sorted(after.pools.items()):
        moved = PoolMove(after.pool_name.get(number, ""), pool.pg_num, pool.pg_num * pool.size)
        if number in known:
            moved.moved_bytes = 0
        made.pools[number] = moved
        for seed in range(pool.pg_num):
            pg = PGId(number, seed)
            _compare(
                made, moved, pool, old.get(pg).up, new.get(pg).up, sizes.of_place(after, pg, pool)
            )
    for osd in range(after.max_osd):
        if after.osd_state[osd]:
            made.osds.setdefault(osd, OSDShare())
    return made


def _exceptions(osdmap: OSDMap) -> int:
    return len(osdmap.pg_upmap) + sum(map(len, osdmap.pg_upmap_items.values()))


def _compare(
    made: Plan, moved: PoolMove, pool: PGPool, old: list[int], new: list[int], size: int
) -> None:
    """Adds one PG. A shard belongs to its place; replicas are all alike."""
    if pool.is_erasure:
        width = max(len(old), len(new))
        before = [*old, *[NO_OSD] * (width - len(old))]
        after = [*new, *[NO_OSD] * (width - len(new))]
        differ = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        gone = Counter(a for a, _ in differ if a != NO_OSD)
        come = Counter(b for _, b in differ if b != NO_OSD)
    else:
        gone, come = Counter(old) - Counter(new), Counter(new) - Counter(old)
    held = sum(osd != NO_OSD for osd in new)
    moved.unplaced += pool.size - held
    moved.lost += max(sum(osd != NO_OSD for osd in old) - held, 0)
    for osds, prefix in ((old, "before"), (new, "after")):
        for osd in osds:
            if osd != NO_OSD:
                _add(made, osd, prefix, size)
    if not gone and not come:
        return
    moved.changed_pgs += 1
    for counts, prefix in ((come, "in"), (gone, "out")):
        for osd, count in counts.items():
            _add(made, osd, prefix, size, count)
    arrivals = come.total()
    moved.moved_places += arrivals
    if moved.moved_bytes is not None:
        moved.moved_bytes += arrivals * size


def _add(made: Plan, osd: int, what: str, size: int, count: int = 1) -> None:
    share = made.osds.setdefault(osd, OSDShare())
    setattr(share, f"pgs_{what}", getattr(share, f"pgs_{what}") + count)
    setattr(share, f"bytes_{what}", getattr(share, f"bytes_{what}") + count * size)


def edited(osdmap: OSDMap) -> CrushWrapper:
    """A copy of the map's hierarchy, to be edited."""
    return CrushWrapper.decode(copy.copy(osdmap.crush).encode())
