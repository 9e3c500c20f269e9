"""Random OSD maps: `osdmaptool` and we put every PG and every object in the same place."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from spirula.crush.map import Rule, RuleOp, Step
from spirula.crush.msr import MSR_FIRSTN, MSR_INDEP
from spirula.crush.wire import CrushWrapper
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import PGMapping, Placement, pick_primary, raw_pg_to_pg
from spirula.types.pg import NO_OSD, PGId
from tests.interop import newer
from tests.interop.realcluster import ENVIRONMENT
from tests.unit.maps.randommaps import HOST, random_map

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
        for _ in range(20 * scale):
            osdmap = random_map(rng)
            fitting = Placement(osdmap)
            osdmap.pg_upmap_primaries = {
                pg: rng.choice([*fitting.pg_to_raw_upmap(pg), rng.randrange(osdmap.max_osd)])
                for pg in pgs_with_rules(osdmap)
                if rng.random() < 0.5
            }
            compare_with_newer(osdmap, Path(folder, "map"))
            compared += len(osdmap.pg_upmap_primaries)
    assert compared > 100


@pytest.mark.slow
@pytest.mark.skipif(newer.why_not() is not None, reason=newer.why_not() or "")
def test_pools_with_rules_that_try_all_steps_again(scale):
    rng = random.Random(19)
    compared = holes = 0
    with tempfile.TemporaryDirectory(dir=Path(newer.ROOT, "tmp")) as folder:
        for _ in range(20 * scale):
            osdmap = random_map(rng)
            if not all(bucket.items for bucket in osdmap.crush.buckets):
                continue
            add_msr_rules(osdmap)
            found = compare_with_newer(osdmap, Path(folder, "map"))
            compared += len(found)
            holes += sum(NO_OSD in mapping.up for mapping in found)
    assert compared > 300
    assert holes > 30


def pgs_with_rules(osdmap: OSDMap) -> list[PGId]:
    """Releases from Reef on take a pool's rule whether its mask fits or not: only where it does."""
    places = Placement(osdmap)
    return [
        PGId(number, seed)
        for number, pool in sorted(osdmap.pools.items())
        if places.find_rule(pool) >= 0
        for seed in range(pool.pg_num)
    ]


def add_msr_rules(osdmap: OSDMap) -> None:
    """Rules of both types over hosts and devices, used by all pools."""
    crush = CrushWrapper.decode(osdmap.crush.encode())
    root = crush.buckets[-1]
    for kind in (MSR_FIRSTN, MSR_INDEP):
        steps = [
            Step(RuleOp.SET_MSR_DESCENTS, 5),
            Step(RuleOp.SET_MSR_COLLISION_TRIES, 10),
            Step(RuleOp.TAKE, root.id),
            Step(RuleOp.CHOOSE_MSR, 3, HOST),
            Step(RuleOp.CHOOSE_MSR, 2, 0),
            Step(RuleOp.EMIT),
        ]
        crush.rule_names[len(crush.rules)] = f"msr{kind}"
        crush.rules.append(Rule(steps, len(crush.rules), kind, 1, 100))
    osdmap.crush = crush
    for pool in osdmap.pools.values():
        pool.crush_rule = len(crush.rules) - (1 if pool.is_erasure else 2)


def compare_with_newer(osdmap: OSDMap, path: Path) -> list[PGMapping]:
    """Holds all PGs against osdmaptool of 20.2; gives their mappings."""
    places, pgs = Placement(osdmap), pgs_with_rules(osdmap)
    found = [places.pg_to_up_acting_osds(pg) for pg in pgs]
    path.write_bytes(osdmap.encode())
    tool = ("chroot", newer.ROOT, "osdmaptool")
    lines = osdmaptool(newer.inside(str(path)), "--test-map-pgs-dump-all", tool=tool)
    named = {str(pg) for pg in pgs}
    ours = [told(places, pg, mapping) for pg, mapping in zip(pgs, found, strict=True)]
    assert [line for line in lines_of_pgs(lines) if line.split()[0] in named] == ours
    return found
