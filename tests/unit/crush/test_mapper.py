"""The mapping: known values of its parts, and both mappers agree on every random map."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spirula.crush.hash import hash32, hash32_2, hash32_3, hash32_4, hash32_5
from spirula.crush.ln import LN, crush_ln
from spirula.crush.map import Bucket, BucketAlg, Rule, RuleOp, Step, Tunables
from spirula.crush.mapper import ITEM_NONE, Mapper, is_out
from spirula.crush.vector import VectorMapper
from spirula.crush.wire import CrushWrapper
from spirula.errors import NotSupported
from spirula.kernels.jenkins import Hasher
from tests.unit.crush.random_maps import random_map, random_reweights

FULL = 0x10000


def flat_map(weights: list[int], *, alg: int = BucketAlg.STRAW2) -> CrushWrapper:
    root = Bucket(-1, 1, alg, 0, sum(weights), list(range(len(weights))), weights)
    steps = [Step(RuleOp.TAKE, -1), Step(RuleOp.CHOOSE_FIRSTN, 0, 0), Step(RuleOp.EMIT)]
    tunables = Tunables(choose_local_tries=0, choose_local_fallback_tries=0, choose_total_tries=50)
    return CrushWrapper([root], [Rule(steps)], len(weights), tunables=tunables)


def test_vector_and_plain_hash_agree() -> None:
    rng = np.random.default_rng(1)
    a, b, c, d = rng.integers(0, 1 << 32, (4, 500), np.uint32)
    hasher = Hasher(500)
    rows = [tuple(map(int, row)) for row in zip(a, b, c, d, strict=True)]
    assert hasher.hash2(a, b).tolist() == [hash32_2(*row[:2]) for row in rows]
    assert hasher.hash3(a, b, c).tolist() == [hash32_3(*row[:3]) for row in rows]
    assert hasher.hash4(a, b, c, d).tolist() == [hash32_4(*row) for row in rows]


def test_negative_numbers_hash_as_their_complement() -> None:
    for function, count in (
        (hash32, 1),
        (hash32_2, 2),
        (hash32_3, 3),
        (hash32_4, 4),
        (hash32_5, 5),
    ):
        assert function(*[-3] * count) == function(*[0xFFFFFFFD] * count)


def test_the_logarithm_is_one_and_never_falls_by_much() -> None:
    assert crush_ln(0) == 0
    assert crush_ln(0xFFFF) == 0xFFFFF0000000
    for x in range(0, 0x10000, 97):
        assert math.isclose(crush_ln(x) / 2**44, math.log2(x + 1), abs_tol=2e-4)
    assert max(LN) < 0


def test_shares_follow_weights() -> None:
    crush = flat_map([FULL, 2 * FULL, 3 * FULL, 0])
    found = VectorMapper(crush).map_many(0, np.arange(60_000), 1, np.full(4, FULL))
    shares = np.bincount(found.values[:, 0], minlength=4) / 60_000
    assert shares == pytest.approx([1 / 6, 2 / 6, 3 / 6, 0], abs=0.01)


def test_devices_that_are_out_get_nothing_and_half_out_ones_half_of_the_inputs() -> None:
    crush = flat_map([FULL] * 4)
    found = VectorMapper(crush).map_many(
        0, np.arange(40_000), 1, np.array([0, FULL // 2, FULL, FULL])
    )
    shares = np.bincount(found.values[:, 0], minlength=4) / 40_000
    assert shares[0] == 0
    assert shares[1] / shares[2] == pytest.approx(0.4, abs=0.03)
    assert is_out([FULL], 5, 1)


def test_no_device_twice_and_fewer_where_there_are_not_enough() -> None:
    crush = flat_map([FULL] * 3)
    mapper = Mapper(crush)
    for x in range(50):
        assert sorted(mapper.do_rule(0, x, 5, [FULL] * 3)) == [0, 1, 2]


def test_unknown_rules_map_to_nothing() -> None:
    crush = flat_map([FULL])
    assert Mapper(crush).do_rule(3, 1, 2, [FULL]) == []
    assert (
        VectorMapper(crush).map_many(3, np.arange(3), 2, np.array([FULL])).length.tolist()
        == [0] * 3
    )
    assert VectorMapper(crush).map_many(0, np.arange(0), 2, np.array([FULL])).values.shape == (0, 2)


def test_threads_change_nothing() -> None:
    crush = random_map(5)
    weights = np.array(random_reweights(5, crush))
    one = VectorMapper(crush).map_many(0, np.arange(70_000), 3, weights)
    two = VectorMapper(crush).map_many(0, np.arange(70_000), 3, weights, threads=2)
    assert np.array_equal(one.values, two.values)


@pytest.mark.parametrize("block", range(20))
def test_both_mappers_agree(block: int) -> None:
    for seed in range(block * 5, block * 5 + 5):
        crush = random_map(seed)
        weights = random_reweights(seed, crush)
        args = crush.choose_args.get(-1, {})
        plain, vector = Mapper(crush, args), VectorMapper(crush, args)
        count = 1 + seed % 12
        xs = range(-2, 6)
        for rule in range(len(crush.rules)):
            many = vector.map_many(rule, np.array(xs), count, np.array(weights, np.int64))
            for x, row, length in zip(xs, many.values, many.length, strict=True):
                alone = plain.do_rule(rule, x, count, weights)
                assert row[:length].tolist() == alone, f"map {seed}, rule {rule}, x {x}"
                assert (row[length:] == ITEM_NONE).all()


def test_rules_that_choose_in_an_unknown_way_are_refused() -> None:
    crush = flat_map([FULL])
    crush.rules[0] = Rule([Step(RuleOp.TAKE, -1), Step(RuleOp.CHOOSE_MSR, 1, 0), Step(RuleOp.EMIT)])
    with pytest.raises(NotSupported, match="msr"):
        Mapper(crush).do_rule(0, 1, 1, [FULL])
    with pytest.raises(NotSupported, match="msr"):
        VectorMapper(crush).map_many(0, np.arange(1), 1, np.array([FULL]))
