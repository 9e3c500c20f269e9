"""Fuzz target: OSD maps that decode but say odd things; whatever is asked about them ends well.

Bytes are altered and the checksum set right again, so that everything behind the decoder sees them.
"""

from __future__ import annotations

import contextlib
import random
import struct

import pytest

from spirula.conf.formatter import render
from spirula.crush.map import RuleOp, Step
from spirula.crush.sound import check_sound
from spirula.errors import SpirulaError, TooLarge, WireError
from spirula.kernels.crc32c import crc32c
from spirula.maps.apply import pending_incremental
from spirula.maps.balance.reads import balance_reads
from spirula.maps.balance.upmaps import calc_pg_upmaps
from spirula.maps.clean import clean_pg_upmaps, clean_temps
from spirula.maps.dump.document import osdmap_document
from spirula.maps.dump.plain import print_osdmap
from spirula.maps.dump.summary import print_summary
from spirula.maps.dump.tree import print_tree, tree_document
from spirula.maps.mapping import PGMappings
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.placement import Placement
from spirula.maps.plan import plan, with_changes
from spirula.maps.state import check_sizes
from spirula.types.base import UTime
from spirula.types.pg import PGId
from tests.fuzz.mutate import chance
from tests.golden import old_maps
from tests.golden.osdmaps import recorded
from tests.unit.maps.balance.lopsided import lopsided_map
from tests.unit.maps.randommaps import random_map

MUTANTS = 60
MOST_PGS, MOST_TRIES = 200, 1000
TUNABLES = (
    "choose_total_tries",
    "choose_local_tries",
    "choose_local_fallback_tries",
    "msr_descents",
    "msr_collision_tries",
)
FIRST_WITH_CHECKSUM = 8
ODD = (0, 1, 2, 127, 128, 255)


def questions(osdmap: OSDMap):
    """Everything that a tool or the monitor asks."""
    yield lambda: render(osdmap_document(osdmap), "json")
    yield lambda: print_osdmap(osdmap)
    yield lambda: print_summary(osdmap, UTime(1 << 31, 0))
    yield lambda: print_tree(osdmap)
    yield lambda: render(tree_document(osdmap, ["up"]), "xml-pretty", "tree")
    if sum(pool.pg_num for pool in osdmap.pools.values()) > MOST_PGS or not is_quick(osdmap):
        return
    inc = pending_incremental(osdmap)
    yield lambda: calc_pg_upmaps(osdmap, inc, max_deviation=1, max_changes=3)
    yield lambda: [balance_reads(osdmap, number, inc) for number in osdmap.pools]
    yield lambda: clean_pg_upmaps(osdmap, inc)
    yield lambda: clean_temps(osdmap, osdmap, inc)
    yield lambda: plan(osdmap, with_changes(osdmap))


def is_quick(osdmap: OSDMap) -> bool:
    """Whether mapping ends soon: with few tries, or at once because there are too many.

    What lies between would take long, with upstream as well, and is not what is tested here.
    """
    try:
        check_sound(osdmap.crush, {})
    except SpirulaError:
        return True
    tunables = osdmap.crush.tunables
    tries = [getattr(tunables, name) for name in tunables.__slots__]
    tries += [step.arg1 for rule in osdmap.crush.rules if rule for step in rule.steps]
    sizes = [pool.size for pool in osdmap.pools.values()]
    return max(tries) < MOST_TRIES and max(sizes, default=0) < 20


def with_checksum(data: bytearray, at: int) -> bytes:
    """The map with the checksum at `at` set right."""
    found = crc32c(crc32c(0xFFFFFFFF, bytes(data[:at])), bytes(data[at + 4 :]))
    data[at : at + 4] = struct.pack("<I", found)
    return bytes(data)


def with_tries(rng: random.Random) -> OSDMap:
    """A map that asks for more tries than anybody means, somewhere."""
    osdmap = lopsided_map(rng, racks=2, hosts=2, osds=2, pg_num=8)
    tries = rng.choice((1 << 17, (1 << 31) - 1, 1 << 31, (1 << 32) - 1))
    tunable = rng.choice((*TUNABLES, "set_choose_tries"))
    if tunable == "set_choose_tries":
        rule = rng.choice([rule for rule in osdmap.crush.rules if rule])
        rule.steps.insert(0, Step(RuleOp.SET_CHOOSE_TRIES, min(tries, (1 << 31) - 1)))
    else:
        setattr(osdmap.crush.tunables, tunable, tries)
    return OSDMap.decode(osdmap.encode())


def damaged(seed: bytes, rng: random.Random) -> bytes:
    data = bytearray(seed)
    at = seed.rindex(struct.pack("<I", OSDMap.decode(seed).crc))
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(6, len(data) - 4)
        data[place] = rng.choice((*ODD, data[place] ^ 1, data[place] ^ 0x80))
    return with_checksum(data, at)


def test_tries_without_end(scale):
    """Nobody waits for years: whoever asks where something is gets a refusal."""
    rng = chance("endless osdmaps")
    for _ in range(10 * scale):
        osdmap = with_tries(rng)
        assert is_quick(osdmap)
        pg = PGId(next(iter(osdmap.pools)), 0)
        for mapped in (PGMappings, lambda m, pg=pg: Placement(m).pg_to_up_acting_osds(pg)):
            with pytest.raises(TooLarge, match=r"tries|may try"):
                mapped(osdmap)
        for question in questions(osdmap):
            with contextlib.suppress(SpirulaError):
                question()


def test_damaged_maps_of_old(scale):
    """They have no checksum: what is wrong in them is found, or is of no consequence."""
    rng = chance("old osdmaps")
    seeds = [
        (raw, OSDMap if full else Incremental)
        for maps in old_maps.recorded().values()
        for (full, _), raw in maps.items()
        if raw[0] < FIRST_WITH_CHECKSUM
    ]
    read = 0
    for _ in range(1500 * scale):
        raw, kind = rng.choice(seeds)
        data = bytearray(raw)
        for _ in range(rng.choice((1, 1, 2, 4))):
            place = rng.randrange(2, len(data))
            data[place] = rng.choice((*ODD, data[place] ^ 1, data[place] ^ 0x80))
        try:
            found = kind.decode(bytes(data[: rng.choice((len(data), rng.randrange(len(data))))]))
        except WireError:
            continue
        read += 1
        kind.decode(found.encode())
    assert read > 100


@pytest.mark.slow
def test_odd_maps(scale):
    rng = chance("odd osdmaps")
    _, fulls = recorded()
    seeds = [fulls[max(fulls)], random_map(rng).encode(), random_map(rng).encode()]
    seeds.append(lopsided_map(rng, racks=2, hosts=2, osds=2, pg_num=8).encode())
    asked = 0
    for _ in range(MUTANTS * scale):
        try:
            osdmap = OSDMap.decode(damaged(rng.choice(seeds), rng))
            check_sizes(osdmap)
        except SpirulaError:
            continue
        for question in questions(osdmap):
            asked += 1
            try:
                question()
            except SpirulaError:
                continue
    assert asked > MUTANTS
