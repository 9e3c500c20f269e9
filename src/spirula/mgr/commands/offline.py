"""`osd ok-to-stop`: whether PGs stay active without some OSDs, and how many more may go.

Behaviour and shapes: upstream `src/mgr/DaemonServer.cc` (_check_offlines_pgs,
_maximize_ok_to_stop_set).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spirula.crush.lookup import subtree
from spirula.crush.map import CrushMap
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import is_up
from spirula.pgmap.record import PGMap
from spirula.printing import Items
from spirula.types.pg import NO_OSD, PGId, PGState


@dataclass(slots=True)
class Verdict:
    """What becomes of PGs without these OSDs."""

    osds: list[int]
    ok: int = 0
    not_ok: set[PGId] = field(default_factory=set)
    unknown: list[PGId] = field(default_factory=list)
    no_pool: list[PGId] = field(default_factory=list)
    already_inactive: list[PGId] = field(default_factory=list)
    become_inactive: list[PGId] = field(default_factory=list)
    become_degraded: list[PGId] = field(default_factory=list)
    become_more_degraded: list[PGId] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """Whether nothing gets unavailable, for all that is known."""
        return not self.not_ok and not self.unknown

    def document(self) -> dict[str, Any]:
        """As upstream shows it: lists that are empty are left out."""
        shown: dict[str, Any] = {
            "ok_to_stop": self.is_ok,
            "osds": Items("osd", self.osds),
            "num_ok_pgs": self.ok,
            "num_not_ok_pgs": len(self.not_ok),
        }
        for name, pgs in (
            ("unknown_pgs", self.unknown),
            ("bad_no_pool_pgs", self.no_pool),
            ("bad_already_inactive", self.already_inactive),
            ("bad_become_inactive", self.become_inactive),
            ("ok_become_degraded", self.become_degraded),
            ("ok_become_more_degraded", self.become_more_degraded),
        ):
            if pgs:
                shown[name] = Items("pg", map(str, pgs))
        return shown


def judge(osdmap: OSDMap, pgmap: PGMap, osds: set[int]) -> Verdict:
    """What becomes of PGs without these OSDs."""
    verdict = Verdict(sorted(osds))
    pairs = sorted(pgmap.pg_stat.items(), key=lambda pair: (pair[0].pool, pair[0].seed))
    for pg, stat in pairs:
        if not stat.state:
            verdict.unknown.append(pg)
            continue
        degraded = stat.state & PGState.DEGRADED
        holders = [shard.osd for shard in stat.avail_no_missing] if degraded else stat.acting
        if osds.isdisjoint(holders):
            continue
        pool = osdmap.pools.get(pg.pool)
        bad = []
        if pool is None:
            bad.append(verdict.no_pool)
        if not stat.state & PGState.ACTIVE:
            bad.append(verdict.already_inactive)
        left = {osd for osd in holders if osd != NO_OSD} - osds
        if pool is not None and len(left) < pool.min_size:
            bad.append(verdict.become_inactive)
        for pgs in bad:
            pgs.append(pg)
        if bad:
            verdict.not_ok.add(pg)
        else:
            verdict.ok += 1
            more = verdict.become_more_degraded if degraded else verdict.become_degraded
            more.append(pg)
    return verdict


def widen(osdmap: OSDMap, pgmap: PGMap, osds: set[int], most: int) -> Verdict:
    """The verdict on these OSDs and, if it is good, on neighbours as well: up to `most`."""
    verdict = judge(osdmap, pgmap, osds)
    chosen = set(osds)
    item = min(osds)
    while verdict.is_ok and len(chosen) < most:
        parent = _parent(osdmap.crush, item)
        if parent is None:
            break
        item = parent
        failed = False
        for osd in sorted(subtree(osdmap.crush, parent)):
            if osd < 0 or osd in chosen or not is_up(osdmap, osd) or len(chosen) >= most:
                continue
            wider = judge(osdmap, pgmap, chosen | {osd})
            if wider.is_ok:
                chosen.add(osd)
                verdict = wider
            else:
                failed = True
        if failed:
            break
    return verdict


def _parent(crush: CrushMap, item: int) -> int | None:
    """The bucket that contains an item; shadow trees do not count."""
    for bucket in crush.buckets:
        if bucket and item in bucket.items and "~" not in crush.item_names.get(bucket.id, "~"):
            return bucket.id
    return None
