"""Random OSD maps: `osdmaptool` and we put every PG and every object in the same place."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from spirula.maps.placement import PGMapping, Placement, pick_primary, raw_pg_to_pg
from spirula.types.pg import NO_OSD, PGId
from tests.interop import newer
from tests.interop.realcluster import ENVIRONMENT
from tests.unit.maps.randommaps import random_map

MAPS, GROUPS = 200, 4
TOOL = shutil.which("osdmaptool", path=ENVIRONMENT["PATH"])

pytestmark = pytest.mark.skipif(TOOL is None, reason="no osdmaptool: install ceph-base")


def osdmaptool(*words: object, tool: tuple[str, ...] = (TOOL or "",)) -> list[str]:
    """The lines that it prints."""
    command = [*tool, *map(str, words)]
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


def listed(osds: list[int]) -> str:
    return "[" + ",".join("NONE" if osd == NO_OSD else str(osd) for osd in osds) + "]"


def told(places: Placement, pg: PGId, found: PGMapping) -> str:
    """One line of `--test-map-pgs-dump-all`."""
    raw = places.pg_to_raw_osds(pg)
    return (
        f"{pg} raw ({listed(raw)}, p{pick_primary(raw)})"
        f" up ({listed(found.up)}, p{found.up_primary})"
        f" acting ({listed(found.acting)}, p{found.acting_primary})"
    )


def numbered(line: str) -> str:
    """Holes by name, whichever way they are printed."""
    return re.sub(r"\b2147483647\b", "NONE", line)


def lines_of_pgs(lines: list[str]) -> list[str]:
    return [numbered(line) for line in lines if re.match(r"\d+\.[0-9a-f]+\s", line)]


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_every_pg_and_object_is_in_the_same_place(tmp_path, group, scale):
    rng = random.Random(2000 + group)
    compared = holes = moved = empty = 0
    path = tmp_path / "map"
    for turn in range(MAPS // GROUPS * scale):
        osdmap = random_map(rng)
        path.write_bytes(osdmap.encode())
        places = Placement(osdmap)
        found = {
            PGId(number, seed): places.pg_to_up_acting_osds(PGId(number, seed))
            for number, pool in sorted(osdmap.pools.items())
            for seed in range(pool.pg_num)
        }
        ours = [told(places, pg, mapping) for pg, mapping in found.items()]
        assert lines_of_pgs(osdmaptool(path, "--test-map-pgs-dump-all")) == ours
        compared += len(ours)
        holes += sum(NO_OSD in mapping.acting for mapping in found.values())
        empty += sum(not mapping.up for mapping in found.values())
        moved += sum(mapping.up != mapping.acting for mapping in found.values())

        number = rng.choice(sorted(osdmap.pools))
        if turn % 4 == 0:
            lines = [
                f"{pg}\t{listed(mapping.acting)}\t{mapping.acting_primary}"
                for pg, mapping in found.items()
                if pg.pool == number
            ]
            dump = osdmaptool(path, "--test-map-pgs-dump", "--pool", number)
            assert lines_of_pgs(dump) == lines
        if turn % 2 == 0:
            name = "".join(rng.choices("abcdefghij/.-_ ", k=rng.randint(1, 40)))
            pg = raw_pg_to_pg(osdmap.pools[number], places.object_pg(number, name))
            (line,) = osdmaptool(path, "--test-map-object", name, "--pool", number)
            assert numbered(line) == f" object '{name}' -> {pg} -> {listed(found[pg].acting)}"
    assert compared > 1000
    assert holes > 100
    assert moved > 100
    assert empty < compared / 3


@pytest.mark.slow
@pytest.mark.skipif(newer.why_not() is not None, reason=newer.why_not() or "")
def test_primaries_chosen_by_hand(scale):
    rng = random.Random(18)
    compared = 0
    with tempfile.TemporaryDirectory(dir=Path(newer.ROOT, "tmp")) as folder:
        path = Path(folder, "map")
        for _ in range(20 * scale):
            osdmap = random_map(rng)
            # releases from Reef on take a pool's rule whether its mask fits or not
            fitting = Placement(osdmap)
            pools = [n for n, pool in osdmap.pools.items() if fitting.find_rule(pool) >= 0]
            pgs = [
                PGId(number, seed)
                for number in sorted(pools)
                for seed in range(osdmap.pools[number].pg_num)
            ]
            osdmap.pg_upmap_primaries = {
                pg: rng.choice([*fitting.pg_to_raw_upmap(pg), rng.randrange(osdmap.max_osd)])
                for pg in pgs
                if rng.random() < 0.5
            }
            places = Placement(osdmap)
            ours = [told(places, pg, places.pg_to_up_acting_osds(pg)) for pg in pgs]
            path.write_bytes(osdmap.encode())
            tool = ("chroot", newer.ROOT, "osdmaptool")
            lines = osdmaptool(newer.inside(str(path)), "--test-map-pgs-dump-all", tool=tool)
            assert [pg for pg in lines_of_pgs(lines) if int(pg.split(".")[0]) in pools] == ours
            compared += len(osdmap.pg_upmap_primaries)
    assert compared > 100
