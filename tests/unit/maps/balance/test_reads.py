"""Primaries by the read balancer: evenly spread, data stays where it is."""

from __future__ import annotations

import random

import pytest

from spirula.errors import InvalidArgument, NotFound
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.balance.reads import ReadBalance, balance_reads
from spirula.maps.placement import Placement
from spirula.types.pg import PGId
from tests.unit.maps.balance.lopsided import lopsided_map


def primaries(osdmap, pool):
    places = Placement(osdmap)
    return [
        places.pg_to_up_acting_osds(PGId(pool, seed)) for seed in range(osdmap.pools[pool].pg_num)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_reads_are_spread_and_no_data_moves(seed):
    osdmap = lopsided_map(random.Random(seed), pg_num=64)
    for pool in (1, 2, 3, 4):
        inc = pending_incremental(osdmap)
        result = balance_reads(osdmap, pool, inc)
        after = apply_incremental(osdmap, inc)
        old, new = primaries(osdmap, pool), primaries(after, pool)
        assert [sorted(m.up) for m in old] == [sorted(m.up) for m in new]
        counted = dict.fromkeys(result.after, 0)
        for mapping in new:
            counted[mapping.up_primary] += 1
        assert counted == result.after
        assert result.changes == len(inc.new_pg_upmap_primary)
        assert result.score_after >= 1
        off = {osd: abs(result.after[osd] - wanted) for osd, wanted in result.desired.items()}
        was = {osd: abs(result.before[osd] - wanted) for osd, wanted in result.desired.items()}
        assert sum(off.values()) <= sum(was.values())
        assert balance_reads(after, pool, pending_incremental(after)).changes == 0


def test_scores_are_those_of_the_documentation():
    """Upstream's example: 4, 8, 4 primaries of 16 PGs on three OSDs, then 5, 6, 5."""
    even = dict.fromkeys(range(3), 16 / 3)
    result = ReadBalance({0: 4, 1: 8, 2: 4}, {0: 5, 1: 6, 2: 5}, even)
    assert (result.score_before, result.score_after) == (1.5, 1.13)


def test_affinity_is_respected():
    osdmap = lopsided_map(random.Random(6), pg_num=64)
    inc = pending_incremental(osdmap)
    inc.new_primary_affinity = {0: 0, 1: 0x8000}
    osdmap = apply_incremental(osdmap, inc)
    inc = pending_incremental(osdmap)
    result = balance_reads(osdmap, 2, inc)
    assert result.changes
    assert 0 not in inc.new_pg_upmap_primary.values()
    assert result.desired[0] == 0
    after = apply_incremental(osdmap, inc)
    led = [mapping.up_primary for mapping in primaries(after, 2)]
    assert all(led.count(osd) == count for osd, count in result.after.items())


def test_refusals():
    osdmap = lopsided_map(random.Random(7), pg_num=8)
    with pytest.raises(InvalidArgument, match="replicated"):
        balance_reads(osdmap, 5, pending_incremental(osdmap))
    with pytest.raises(NotFound, match="no pool 9"):
        balance_reads(osdmap, 9, pending_incremental(osdmap))
