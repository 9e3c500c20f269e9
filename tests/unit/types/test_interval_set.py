"""Interval sets against plain sets of numbers."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

import pytest

from spirula.errors import LimitExceeded, WireError
from spirula.types.interval_set import IntervalSet


def numbers(intervals: IntervalSet) -> set[int]:
    return {n for start, length in intervals for n in range(start, start + length)}


def is_tidy(intervals: IntervalSet) -> bool:
    ranges = list(intervals)
    return all(a + n < b for (a, n), (b, _) in pairwise(ranges))


def random_set(rng: random.Random) -> IntervalSet:
    return IntervalSet((rng.randrange(60), rng.randrange(8)) for _ in range(rng.randrange(7)))


@pytest.mark.parametrize("seed", range(200))
def test_operations_agree_with_sets_of_numbers(seed: int) -> None:
    rng = random.Random(seed)
    a, b = random_set(rng), random_set(rng)
    assert numbers(a | b) == numbers(a) | numbers(b)
    assert numbers(a & b) == numbers(a) & numbers(b)
    assert numbers(a - b) == numbers(a) - numbers(b)
    assert (a <= b) == (numbers(a) <= numbers(b))
    assert a.size == len(numbers(a))
    start, length = rng.randrange(60), rng.randrange(1, 6)
    wanted = set(range(start, start + length))
    assert a.covers(start, length) == (wanted <= numbers(a))
    assert a.intersects(start, length) == bool(wanted & numbers(a))
    assert (start in a) == (start in numbers(a))
    for result in (a | b, a & b, a - b):
        assert is_tidy(result)
        assert IntervalSet.decode(result.encode()) == result


def test_ranges_that_touch_become_one() -> None:
    assert list(IntervalSet([(0, 2), (4, 2), (2, 2)])) == [(0, 6)]


def test_the_largest_number_fits() -> None:
    everything = IntervalSet([(0, (1 << 64) - 1)])
    everything.erase(10, 5)
    assert IntervalSet.decode(everything.encode()) == everything
    assert everything.range_end == (1 << 64) - 1


def test_an_empty_set_has_no_ends() -> None:
    with pytest.raises(ValueError, match="no smallest"):
        _ = IntervalSet().range_start
    with pytest.raises(ValueError, match="no largest"):
        _ = IntervalSet().range_end


@pytest.mark.parametrize(
    "pairs",
    [
        [(5, 3), (2, 1)],
        [(5, 3), (6, 3)],
        [(5, 0)],
        [((1 << 64) - 1, 2)],
    ],
)
def test_ranges_out_of_order_are_refused(pairs: list[tuple[int, int]]) -> None:
    data = struct.pack("<I", len(pairs)) + b"".join(struct.pack("<QQ", *pair) for pair in pairs)
    with pytest.raises(WireError):
        IntervalSet.decode(data)


def test_an_absurd_count_takes_no_memory() -> None:
    with pytest.raises(LimitExceeded):
        IntervalSet.decode(struct.pack("<IQQ", 1 << 31, 1, 1))


def test_text_is_hexadecimal() -> None:
    assert str(IntervalSet([(1, 3), (16, 1)])) == "[1~3,10~1]"
