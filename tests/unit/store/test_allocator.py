from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.errors import InvariantBroken, NoSpace
from spirula.store.allocator import Allocator

UNIT, UNITS = 4096, 64


def whole(units=UNITS):
    made = Allocator(units * UNIT, UNIT)
    made.add_free([(0, units * UNIT)])
    return made


def units_of(extents):
    return [
        n for offset, length in extents for n in range(offset // UNIT, (offset + length) // UNIT)
    ]


def check(allocator, free):
    """It says of every unit what the model, a set of free ones, says."""
    extents = list(allocator)
    assert units_of(extents) == sorted(free)
    assert all(a + b < c for (a, b), (c, _) in pairwise(extents))
    assert allocator.free == len(free) * UNIT
    assert len(allocator) == len(extents)


@given(st.lists(st.tuples(st.sampled_from("aaarm"), st.integers(0, 40), st.integers(0, 1 << 30))))
def test_free_space_is_exact(steps):
    allocator, free, held = whole(), set(range(UNITS)), []
    for kind, number, chance in steps:
        if kind == "a":
            limit = [None, UNIT, 5 * UNIT][chance % 3]
            if number > len(free):
                with pytest.raises(NoSpace, match="are wanted"):
                    allocator.allocate(number * UNIT, limit)
            else:
                longest = max((length for _, length in allocator), default=0)
                got = allocator.allocate(number * UNIT, limit)
                taken = units_of(got)
                assert len(set(taken)) == len(taken) == number
                assert set(taken) <= free
                assert all(length <= (limit or UNITS * UNIT) for _, length in got)
                if limit is None and number and longest >= 2 * number * UNIT:
                    assert len(got) == 1  # no need to scatter it
                free -= set(taken)
                held += got
        elif kind == "r" and held:
            freed = [held.pop(chance % len(held))]
            allocator.release(freed)
            free |= set(units_of(freed))
            with pytest.raises(InvariantBroken, match="freed twice"):
                allocator.release(freed)
        elif kind == "m" and free:
            at = sorted(free)[chance % len(free)]
            assert allocator.is_free(at * UNIT, UNIT)
            allocator.remove_free(at * UNIT, UNIT)
            assert not allocator.is_free(at * UNIT, UNIT)
            with pytest.raises(InvariantBroken, match="taken twice"):
                allocator.remove_free(at * UNIT, UNIT)
            free.discard(at)
            held.append((at * UNIT, UNIT))
        check(allocator, free)
    allocator.release(held)
    assert list(allocator) == [(0, UNITS * UNIT)]


def test_what_fits_is_in_one_piece():
    allocator = Allocator(100 * UNIT, UNIT)
    allocator.add_free([(0, 5 * UNIT), (10 * UNIT, 7 * UNIT), (20 * UNIT, 6 * UNIT)])
    assert allocator.allocate(6 * UNIT) == [(10 * UNIT, 6 * UNIT)]
    assert allocator.allocate(6 * UNIT) == [(20 * UNIT, 6 * UNIT)]
    assert sorted(allocator.allocate(6 * UNIT)) == [(0, 5 * UNIT), (16 * UNIT, UNIT)]
    assert allocator.free == 0


def test_overlaps_are_found():
    allocator = Allocator(10 * UNIT, UNIT)
    allocator.add_free([(2 * UNIT, 4 * UNIT)])
    for offset, length in ((1, 2), (5, 2), (3, 1), (0, 9), (2, 4)):
        with pytest.raises(InvariantBroken, match="freed twice"):
            allocator.release([(offset * UNIT, length * UNIT)])
    for offset, length in ((1, 2), (5, 2), (0, 1), (0, 9), (7, 1)):
        with pytest.raises(InvariantBroken, match="taken twice"):
            allocator.remove_free(offset * UNIT, length * UNIT)
    for offset, length in ((1, UNIT), (0, 5), (9 * UNIT, 2 * UNIT), (-UNIT, UNIT)):
        with pytest.raises(InvariantBroken, match="are none of"):
            allocator.release([(offset, length)])
    with pytest.raises(InvariantBroken, match="less than a unit"):
        allocator.allocate(UNIT, 100)
    assert list(allocator) == [(2 * UNIT, 4 * UNIT)]
    with pytest.raises(ValueError, match="power of two"):
        Allocator(1 << 20, 3000)


def test_fragmentation():
    allocator = whole()
    assert (allocator.fragmentation(), allocator.fragmentation_score()) == (0, 0)
    scores = []
    for number in range(1, UNITS, 2):
        allocator.remove_free(number * UNIT, UNIT)
        scores.append(allocator.fragmentation_score())
    assert allocator.fragmentation() == 1
    assert scores == sorted(scores)
    assert 0.1 < scores[-1] < 1
    bytewise = Allocator(64, 1)
    bytewise.add_free([(offset, 1) for offset in range(0, 64, 2)])
    assert bytewise.fragmentation_score() == pytest.approx(1)
    empty = Allocator(64, 1)
    assert (empty.fragmentation(), empty.fragmentation_score()) == (0, 0)


def test_long_use_stays_small_and_whole():
    rng = random.Random(3)
    allocator, held = whole(4096), []
    for _ in range(20_000):
        if held and (rng.random() < 0.5 or allocator.free < 64 * UNIT):
            allocator.release(held.pop(rng.randrange(len(held))))
        else:
            held.append(allocator.allocate(rng.choice([1, 1, 1, 4, 16, 60]) * UNIT))
    assert sum(map(len, allocator._heaps)) <= 2 * len(allocator) + 64 * len(allocator._heaps)
    for extents in held:
        allocator.release(extents)
    assert list(allocator) == [(0, 4096 * UNIT)]
