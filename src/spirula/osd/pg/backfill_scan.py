"""Which objects a copy has in a range of names, with their versions: what backfill compares.

The primary scans its own copy and has the targets scan theirs, some hundred objects at a time, so
that what is held in memory does not grow with the PG. Called by `backfill`. Upstream:
`src/osd/osd_types.h` (BackfillInterval), `PrimaryLogPG.cc` (scan_range, update_range, do_scan).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.denc import Map, Struct, struct
from spirula.errors import CephError, WireError
from spirula.osd.ops.context import INFO_ATTR
from spirula.types.base import EVersion
from spirula.types.hobject import GHMAX, GHMIN, HMAX, HMIN, NO_GEN, GHObject, HObject
from spirula.types.object_info import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spirula.osd.pg.state import PG
    from spirula.types.pg_log import PGLogEntry

NO_VERSION = EVersion(0, 0)


@struct
class Digest(Struct):
    """What MOSDPGScan carries as its data."""

    objects: Map[HObject, EVersion]


@dataclass(slots=True, eq=False)
class Interval:
    """The objects from `begin` on and before `end`, as they were by the log's `version`.

    `begin` moves up as objects are dealt with: it is the first one that is left, `end` if there is
    none.
    """

    begin: HObject = HMIN
    end: HObject = HMIN
    version: EVersion = NO_VERSION
    names: list[HObject] = field(default_factory=list)
    versions: dict[HObject, EVersion] = field(default_factory=dict)

    def reset(self, start: HObject) -> None:
        """Knows nothing, and goes on at `start`."""
        self.begin = self.end = start
        self.version = NO_VERSION
        self.fill({})

    def fill(self, objects: Mapping[HObject, EVersion]) -> None:
        """Takes in what was found; it may come in any order."""
        self.versions = dict(objects)
        self.names = sorted(self.versions)

    @property
    def is_empty(self) -> bool:
        """No object is left."""
        return not self.names

    @property
    def reaches_end(self) -> bool:
        """There is nothing behind it."""
        return self.end.max

    def pop(self) -> None:
        """Drops the first object."""
        del self.versions[self.names.pop(0)]
        self.trim()

    def trim(self) -> None:
        """Has `begin` be the first object."""
        self.begin = self.names[0] if self.names else self.end

    def trim_to(self, hoid: HObject) -> None:
        """Drops what is not after `hoid`."""
        at = bisect_left(self.names, hoid)
        if at < len(self.names) and self.names[at] == hoid:
            at += 1
        for gone in self.names[:at]:
            del self.versions[gone]
        del self.names[:at]
        self.trim()

    def note(self, entry: PGLogEntry) -> None:
        """Follows a change; what is outside the interval does not matter."""
        soid = entry.soid
        if not self.begin <= soid < self.end:
            return
        if entry.is_update:
            if soid not in self.versions:
                self.names.insert(bisect_left(self.names, soid), soid)
            self.versions[soid] = entry.version
        elif entry.is_delete and soid in self.versions:
            del self.names[bisect_left(self.names, soid)]
            del self.versions[soid]


def scan(pg: PG, interval: Interval) -> None:
    """Fills the interval from its `begin` on with what the store has, and sets its `end`."""
    options, store, cid, shard = pg.options, pg.store, pg.coll, pg.pgid.shard
    most = max(options.osd_backfill_scan_max, 1)
    least = min(max(options.osd_backfill_scan_min, 1), most)
    at = GHMIN if interval.begin.is_min else GHObject(interval.begin, 0, shard)
    objects: dict[HObject, EVersion] = {}
    while not at.max and len(objects) < least:
        found, at = store.collection_list(cid, at, GHMAX, most - len(objects))
        for gh in found:
            hoid = gh.hobj
            if gh.is_pgmeta or hoid.is_temp or gh.generation != NO_GEN:
                continue
            objects[hoid] = _version(pg, gh)
    interval.fill(objects)
    interval.end = HMAX if at.max else at.hobj


def _version(pg: PG, gh: GHObject) -> EVersion:
    """Which version of an object is here; none if that cannot be told: then it is copied anew."""
    try:
        raw = pg.store.getattr(pg.coll, gh, INFO_ATTR)
        return ObjectInfo.decode(raw).version
    except (CephError, WireError) as error:
        pg.services.log(0, f"{pg}: the version of {gh.hobj} cannot be told: {error}")
        return NO_VERSION


def update(pg: PG, interval: Interval) -> None:
    """Brings the interval of this copy up to date: by the log, or by scanning anew."""
    info = pg.info
    if interval.version < info.log_tail or not interval.version:
        interval.version = info.last_update
        scan(pg, interval)
    elif interval.version < info.last_update:
        for entry in pg.log.after(interval.version):
            interval.note(entry)
        interval.version = info.last_update
