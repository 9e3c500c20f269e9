"""Swapping devices of a mapping: only what the rule could have picked."""

from __future__ import annotations

import random

import pytest

from spirula.crush.mapper import Mapper
from spirula.crush.remap import RuleTree, Wishes, try_remap_rule, verify_upmap
from spirula.errors import InvalidArgument, NotFound
from tests.unit.maps.balance.lopsided import HOST, lopsided_crush

IN = 0x10000


@pytest.fixture(scope="module")
def crush():
    return lopsided_crush(random.Random(1), 4, 3, 3)


def picked(crush, rule, x, size):
    return Mapper(crush).do_rule(rule, x, size, [IN] * crush.max_devices)


@pytest.mark.parametrize("rule", [0, 1, 2, 4])
def test_swaps_keep_to_the_rule(crush, rule):
    rng = random.Random(rule)
    tree = RuleTree(crush, rule)
    swapped = 0
    for x in range(200):
        original = picked(crush, rule, x, 3)
        verify_upmap(tree, 3, original)
        devices = rng.sample(range(crush.max_devices), 20)
        wishes = Wishes(set(devices[:8]), devices[8:16], devices[16:])
        found = try_remap_rule(tree, 3, wishes, original)
        assert len(found) == len(original)
        assert len(set(found)) == len(found)
        verify_upmap(tree, 3, found)
        for before, after in zip(original, found, strict=True):
            if before != after:
                swapped += 1
                assert before in wishes.overfull
                assert after in devices[8:]
                assert after not in original
    assert swapped > 50


def test_the_best_device_is_taken_and_none_twice(crush):
    tree = RuleTree(crush, 1)
    free = [osd for osd in range(20) if osd not in (0, 1, 2)]
    assert try_remap_rule(tree, 3, Wishes({0, 2}, free), [0, 1, 2]) == [free[0], 1, free[1]]
    assert try_remap_rule(tree, 3, Wishes({0}, [1, 2], [7]), [0, 1, 2]) == [7, 1, 2]
    assert try_remap_rule(tree, 3, Wishes({9}, free), [0, 1, 2]) == [0, 1, 2]


def test_a_device_is_swapped_in_its_own_failure_domain_or_in_one_that_is_free(crush):
    tree = RuleTree(crush, 0)
    original = picked(crush, 0, 5, 3)
    host = tree.parent(original[0], HOST)
    mates = [osd for osd in range(crush.max_devices) if tree.parent(osd, HOST) == host]
    for other in range(crush.max_devices):
        found = try_remap_rule(tree, 3, Wishes({original[0]}, [other]), original)
        taken = {tree.parent(osd, HOST) for osd in original[1:]}
        fits = other not in original and tree.parent(other, HOST) not in taken
        assert (found[0] == other) == (fits or other in original[:1])
    assert len(mates) > 0


def test_what_breaks_a_rule_is_named(crush):
    tree = RuleTree(crush, 0)
    host = next(bucket for bucket in crush.buckets if bucket.type == HOST and len(bucket.items) > 1)
    with pytest.raises(InvalidArgument, match="in one failure domain"):
        verify_upmap(tree, 3, host.items[:2])
    with pytest.raises(InvalidArgument, match="not in bucket"):
        verify_upmap(tree, 3, [0, 9999])
    spread = [bucket.items[0] for bucket in crush.buckets if bucket.type == HOST][::3]
    with pytest.raises(InvalidArgument, match="the rule chooses 2"):
        verify_upmap(RuleTree(crush, 3), 4, spread)
    with pytest.raises(NotFound):
        RuleTree(crush, 99)


def test_shares_add_up(crush):
    weights = RuleTree(crush, 0).weights()
    assert sum(weights.values()) == pytest.approx(1, abs=1e-5)
    assert set(weights) == set(range(crush.max_devices))
