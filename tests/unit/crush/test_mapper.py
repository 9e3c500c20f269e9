"""The mapping: known values of its parts, and both mappers agree on every random map."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from spirula.crush.ln import crush_ln, ln_table
from spirula.crush.map import Bucket, BucketAlg, Rule, RuleOp, Step, Tunables
from spirula.crush.mapper import ITEM_NONE, Mapper, is_out
from spirula.crush.msr import MSR_FIRSTN, MSR_INDEP
from spirula.crush.vector import VectorMapper
from spirula.crush.wire import CrushWrapper
from spirula.kernels import hash32
from spirula.kernels.jenkins import Hasher
from tests.unit.crush.random_maps import random_map, random_msr_map, random_reweights

FULL = 0x10000


def flat_map(weights: list[int], *, alg: int = BucketAlg.STRAW2) -> CrushWrapper:
    root = Bucket(-1, 1, alg, 0, sum(weights), list(range(len(weights))), weights)
    steps = [Step(RuleOp.TAKE, -1), Step(RuleOp.CHOOSE_FIRSTN, 0, 0), Step(RuleOp.EMIT)]
    tunables = Tunables(choose_local_tries=0, choose_local_fallback_tries=0, choose_total_tries=50)
    return CrushWrapper([root], [Rule(steps)], len(weights), tunables=tunables)


def test_the_hashes_of_many_in_c_and_in_python_agree() -> None:
    rng = np.random.default_rng(1)
    a, b, c, d = rng.integers(0, 1 << 32, (4, 500), np.uint32)
    hasher = Hasher(500)
    rows = [tuple(map(int, row)) for row in zip(a, b, c, d, strict=True)]
    for count, expected, native, pure in (
        (2, hasher.hash2(a, b).tolist(), hash32.hash32_2, hash32.pure_hash32_2),
        (3, hasher.hash3(a, b, c).tolist(), hash32.hash32_3, hash32.pure_hash32_3),
        (4, hasher.hash4(a, b, c, d).tolist(), hash32.hash32_4, hash32.pure_hash32_4),
    ):
        assert [native(*row[:count]) for row in rows] == expected
        assert [pure(*row[:count]) for row in rows] == expected


def test_negative_numbers_hash_as_their_complement() -> None:
    for count, functions in (
        (2, (hash32.hash32_2, hash32.pure_hash32_2)),
        (3, (hash32.hash32_3, hash32.pure_hash32_3)),
        (4, (hash32.hash32_4, hash32.pure_hash32_4)),
    ):
        for function in functions:
            assert function(*[-3] * count) == function(*[0xFFFFFFFD] * count)
            assert function(*[-1] * count) == function(*[(1 << 40) - 1] * count)


@pytest.mark.skipif(hash32.IMPLEMENTATION == "pure", reason="was not compiled")
@pytest.mark.parametrize("arguments", [(1, 2), (1, 2, 3, 4), (1, 2, "x"), (1, 2, 1.5)])
def test_the_compiled_hash_takes_whole_numbers_only(arguments: tuple[int, ...]) -> None:
    with pytest.raises(TypeError):
        hash32.hash32_3(*arguments)


def test_the_logarithm_is_one_and_never_falls_by_much() -> None:
    assert crush_ln(0) == 0
    assert crush_ln(0xFFFF) == 0xFFFFF0000000
    for x in range(0, 0x10000, 97):
        assert math.isclose(crush_ln(x) / 2**44, math.log2(x + 1), abs_tol=2e-4)
    assert max(ln_table()) < 0


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


@pytest.mark.parametrize("make", [random_map, random_msr_map])
@pytest.mark.parametrize("block", range(20))
def test_both_mappers_agree(block: int, make: Callable[[int], CrushWrapper]) -> None:
    for seed in range(block * 3, block * 3 + 3):
        crush = make(seed)
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


def hosts_map(rule: Rule) -> CrushWrapper:
    """Five hosts of four devices, and one rule."""
    hosts = [
        Bucket(-2 - k, 1, BucketAlg.STRAW2, 0, 4 * FULL, [*range(4 * k, 4 * k + 4)], [FULL] * 4)
        for k in range(5)
    ]
    root = Bucket(
        -1, 2, BucketAlg.STRAW2, 0, 20 * FULL, [host.id for host in hosts], [4 * FULL] * 5
    )
    return CrushWrapper([root, *hosts], [rule], 20)


TWO_ON_EACH_OF_FOUR = [
    Step(RuleOp.TAKE, -1),
    Step(RuleOp.CHOOSE_MSR, 4, 1),
    Step(RuleOp.CHOOSE_MSR, 2, 0),
    Step(RuleOp.EMIT),
]


def test_msr_rules_move_to_another_host_what_a_lost_host_had() -> None:
    mapper = Mapper(hosts_map(Rule(TWO_ON_EACH_OF_FOUR, 0, MSR_INDEP)))
    moved = 0
    for x in range(50):
        before = mapper.do_rule(0, x, 8, [FULL] * 20)
        assert sorted(Counter(device // 4 for device in before).values()) == [2] * 4
        lost = before[0] // 4
        weights = [0 if device // 4 == lost else FULL for device in range(20)]
        after = mapper.do_rule(0, x, 8, weights)
        assert sorted(Counter(device // 4 for device in after).values()) == [2] * 4
        assert all(b == a for b, a in zip(before, after, strict=True) if b // 4 != lost)
        moved += 1
    assert moved == 50


@pytest.mark.parametrize("kind", [MSR_FIRSTN, MSR_INDEP])
def test_msr_rules_leave_holes_or_close_up(kind: int) -> None:
    crush = hosts_map(Rule(TWO_ON_EACH_OF_FOUR, 0, kind))
    weights = [FULL] * 12 + [0] * 8  # three hosts are left for four
    for x in range(20):
        found = Mapper(crush).do_rule(0, x, 8, weights)
        assert len(found) == (6 if kind == MSR_FIRSTN else 8)
        assert len([device for device in found if device != ITEM_NONE]) == 6


def test_msr_rules_may_begin_with_one_device() -> None:
    steps = [Step(RuleOp.TAKE, 7), Step(RuleOp.EMIT), *TWO_ON_EACH_OF_FOUR]
    for kind in (MSR_FIRSTN, MSR_INDEP):
        crush = hosts_map(Rule(steps, 0, kind))
        found = Mapper(crush).do_rule(0, 1, 5, [FULL] * 20)
        assert (found[0], len(found)) == (7, 5)
        many = VectorMapper(crush).map_many(0, np.arange(1, 2), 5, np.array([FULL] * 20))
        assert many.values.tolist() == [found]


@pytest.mark.parametrize(
    "steps",
    [
        [Step(RuleOp.TAKE, 3), Step(RuleOp.CHOOSE_MSR, 2, 0), Step(RuleOp.EMIT)],
        [Step(RuleOp.TAKE, -1), Step(RuleOp.CHOOSE_MSR, 2, 0)],
        [Step(RuleOp.TAKE, -1), Step(RuleOp.CHOOSE_MSR, -2, 0), Step(RuleOp.EMIT)],
        [Step(RuleOp.TAKE, -1), Step(RuleOp.CHOOSELEAF_FIRSTN, 0, 1), Step(RuleOp.EMIT)],
        [*TWO_ON_EACH_OF_FOUR, Step(RuleOp.EMIT)],
        [Step(RuleOp.TAKE, -9), Step(RuleOp.CHOOSE_MSR, 2, 0), Step(RuleOp.EMIT)],
        [Step(RuleOp.TAKE, -1), Step(RuleOp.EMIT)],
        [Step(RuleOp.TAKE, -1), Step(RuleOp.CHOOSE_MSR, 2, 1), Step(RuleOp.EMIT)],
    ],
)
def test_msr_rules_that_are_built_otherwise_map_to_nothing(steps: list[Step]) -> None:
    crush = hosts_map(Rule(steps, 0, MSR_FIRSTN))
    assert Mapper(crush).do_rule(0, 1, 3, [FULL] * 20) == []
    many = VectorMapper(crush).map_many(0, np.arange(2), 3, np.array([FULL] * 20))
    assert many.length.tolist() == [0, 0]


def test_choosemsr_does_nothing_in_other_rules() -> None:
    crush = flat_map([FULL] * 3)
    steps = crush.rules[0].steps
    crush.rules.append(Rule([steps[0], Step(RuleOp.CHOOSE_MSR, 1, 0), *steps[1:]]))
    crush.rules.append(Rule([steps[0], Step(RuleOp.CHOOSE_MSR, 1, 0), steps[2]]))
    mapper = Mapper(crush)
    assert mapper.do_rule(1, 5, 2, [FULL] * 3) == mapper.do_rule(0, 5, 2, [FULL] * 3)
    assert mapper.do_rule(2, 5, 2, [FULL] * 3) == [-1]


@pytest.mark.parametrize("op", [RuleOp.CHOOSE_FIRSTN, RuleOp.CHOOSE_INDEP])
def test_a_bucket_that_is_not_there_is_never_picked(op: RuleOp) -> None:
    crush = flat_map([FULL] * 4)
    root = crush.buckets[0]
    assert root is not None
    root.items[2] = -77
    crush.rules = [Rule([Step(RuleOp.TAKE, -1), Step(op, 0, 0), Step(RuleOp.EMIT)])]
    plain, vector = Mapper(crush), VectorMapper(crush)
    weights = [FULL] * 4
    many = vector.map_many(0, np.arange(40), 3, np.array(weights))
    for x in range(40):
        found = plain.do_rule(0, x, 3, weights)
        assert set(found) <= {0, 1, 3, ITEM_NONE}
        assert many.values[x, : many.length[x]].tolist() == found
