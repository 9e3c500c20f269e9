"""`spirula osdmaptool`: where PGs and objects are, and how evenly.

Called by the command itself. Upstream: `src/tools/osdmaptool.cc`.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from spirula.cli.osdmaptool.changes import crush_weight
from spirula.cli.osdmaptool.options import PROGRAM, Failure, Request
from spirula.crush.vector.mapper import VectorMapper
from spirula.maps.dump.values import osd_list, share
from spirula.maps.mapping import PGMappings
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import Placement, pick_primary, raw_pg_to_pg
from spirula.maps.state import is_in
from spirula.printing import general
from spirula.types.pg import NO_OSD, PGId

_DEFAULT_POOL = 1
_MOST_PGS = 1 << 27


def test_map_object(request: Request, osdmap: OSDMap) -> None:
    """Prints the PG of an object, and who serves it."""
    if request.pool == -1:
        print(f"{PROGRAM}: assuming pool {_DEFAULT_POOL} (use --pool to override)")
        request.pool = _DEFAULT_POOL
    pool = osdmap.pools.get(request.pool)
    if pool is None:
        raise Failure(f"There is no pool {request.pool}")
    places = Placement(osdmap)
    pg = raw_pg_to_pg(pool, places.object_pg(request.pool, request.test_object))
    acting = places.pg_to_up_acting_osds(pg).acting
    print(f" object '{request.test_object}' -> {pg} -> {osd_list(acting)}")


def test_map_pg(request: Request, osdmap: OSDMap) -> None:
    """Prints where a PG is."""
    try:
        pg = PGId.parse(request.test_pg)
    except ValueError as error:
        raise Failure(f"{PROGRAM}: failed to parse pg '{request.test_pg}", usage=True) from error
    print(f" parsed '{request.test_pg}' -> {pg}")
    print(_all_of(Placement(osdmap), pg))


def _all_of(places: Placement, pg: PGId) -> str:
    raw = places.pg_to_raw_osds(pg)
    found = places.pg_to_up_acting_osds(pg)
    return (
        f"{pg} raw ({osd_list(raw)}, p{pick_primary(raw)})"
        f" up ({osd_list(found.up)}, p{found.up_primary})"
        f" acting ({osd_list(found.acting)}, p{found.acting_primary})"
    )


@dataclass(slots=True)
class _Tally:
    """How often each OSD was seen: anywhere, in front, as primary; and sizes of acting sets."""

    seen: list[int]
    first: list[int]
    primary: list[int]
    sizes: dict[int, int] = field(default_factory=dict)

    def add(self, osds: Sequence[int], primary: int) -> None:
        self.sizes[len(osds)] = self.sizes.get(len(osds), 0) + 1
        for place, osd in enumerate(osds):
            if osd == NO_OSD:
                continue
            self.seen[osd] += 1
            if place == 0:
                self.first[osd] += 1
        if primary >= 0:
            self.primary[primary] += 1


def test_map_pgs(request: Request, osdmap: OSDMap) -> None:
    """Prints how PGs are spread over OSDs, and each of them if that is asked for."""
    if request.pool != -1 and request.pool not in osdmap.pools:
        raise Failure(f"There is no pool {request.pool}")
    osdmap = _only(request, osdmap)
    nobody = [0] * osdmap.max_osd
    tally = _Tally(nobody.copy(), nobody.copy(), nobody.copy())
    places = Placement(osdmap)
    mappings = None if request.test_random else PGMappings(osdmap, VectorMapper)
    for number, pool in sorted(osdmap.pools.items()):
        print(f"pool {number} pg_num {pool.pg_num}")
        for seed in range(pool.pg_num):
            pg = PGId(number, seed)
            if mappings is None:
                osds = [random.randrange(osdmap.max_osd) for _ in range(pool.size)]
                primary = osds[0] if osds else -1
            else:
                found = mappings.get(pg)
                osds, primary = found.acting, found.acting_primary
            tally.add(osds, primary)
            if request.test_pgs_dump:
                print(f"{pg}\t{osd_list(osds)}\t{primary}")
            elif request.test_pgs_dump_all:
                print(_all_of(places, pg))
    _print_spread(osdmap, tally)


def _only(request: Request, osdmap: OSDMap) -> OSDMap:
    """The map with the pools that are asked for, with as many PGs as asked for."""
    made = copy.copy(osdmap)
    wanted = [request.pool] if request.pool != -1 else list(osdmap.pools)
    made.pools = {number: copy.copy(osdmap.pools[number]) for number in wanted}
    for pool in made.pools.values():
        if request.pg_num > 0:
            if request.pg_num > _MOST_PGS:
                raise Failure(f"{PROGRAM}: pg_num {request.pg_num} is over {_MOST_PGS}")
            pool.pg_num = request.pg_num
    return made


def _ratio(value: float, base: float) -> float:
    """As C divides: by zero as well."""
    if base:
        return value / base
    return math.inf if value > 0 else math.nan


def _text(value: float) -> str:
    """As x86 prints it: what is no number is negative there."""
    return "-nan" if math.isnan(value) else general(value)


def _print_spread(osdmap: OSDMap, tally: _Tally) -> None:
    counted = [
        osd
        for osd in range(osdmap.max_osd)
        if is_in(osdmap, osd) and crush_weight(osdmap.crush, osd) > 0
    ]
    print("#osd\tcount\tfirst\tprimary\tc wt\twt")
    for osd in counted:
        weight = crush_weight(osdmap.crush, osd)
        print(
            f"osd.{osd}\t{tally.seen[osd]}\t{tally.first[osd]}\t{tally.primary[osd]}"
            f"\t{general(share(weight))}\t{general(share(osdmap.osd_weight[osd]))}"
        )
    total, count = sum(tally.seen[osd] for osd in counted), len(counted)
    average = total // count if count else 0
    variance = _ratio(sum((average - tally.seen[osd]) ** 2 for osd in counted), count)
    deviation = math.sqrt(variance) if count else math.nan
    expected = math.sqrt(total / count * (1.0 - 1.0 / count)) if count else math.nan
    print(f" in {count}")
    print(
        f" avg {average} stddev {_text(deviation)} ({_text(_ratio(deviation, average))}x)"
        f" (expected {_text(expected)} {_text(_ratio(expected, average))}x))"
    )
    used = [osd for osd in counted if tally.seen[osd]]
    if used:
        least = min(used, key=tally.seen.__getitem__)
        most = max(used, key=tally.seen.__getitem__)
        print(f" min osd.{least} {tally.seen[least]}")
        print(f" max osd.{most} {tally.seen[most]}")
    for size in sorted(tally.sizes):
        print(f"size {size}\t{tally.sizes[size]}")


def test_crush(osdmap: OSDMap) -> None:
    """Places every PG over and over, until it is interrupted or places differ."""
    known: dict[PGId, list[int]] = {}
    turn = 0
    while True:
        turn += 1
        print(f"pass {turn}")
        for number, pool in sorted(osdmap.pools.items()):
            for seed in range(pool.pg_num):
                pg = PGId(number, seed)
                for attempt in range(100):
                    print(f"{pg} attempt {attempt}")
                    found = Placement(osdmap).pg_to_up_acting_osds(pg).acting
                    before = known.setdefault(pg, found)
                    if before != found:
                        raise Failure(f"{pg} had {osd_list(before)} now {osd_list(found)}", 134)
