"""Maps that nobody can walk through are refused by both mappers, and by what maps PGs."""

from __future__ import annotations

import numpy as np
import pytest

from spirula.crush.map import Bucket, BucketAlg, ChooseArg, Rule, RuleOp, Step
from spirula.crush.mapper import Mapper
from spirula.crush.msr import MSR_INDEP
from spirula.crush.sound import MAX_ATTEMPTS, MAX_TRIES
from spirula.crush.vector import VectorMapper
from spirula.crush.wire import CrushWrapper
from spirula.errors import InvalidArgument, Loop, TooLarge

FULL = 0x10000
MAPPERS = pytest.mark.parametrize("make", [Mapper, VectorMapper])


def straw2(id: int, kind: int, items: list[int]) -> Bucket:
    return Bucket(id, kind, BucketAlg.STRAW2, 0, FULL, items, [FULL] * len(items))


def with_buckets(*buckets: Bucket) -> CrushWrapper:
    steps = [Step(RuleOp.TAKE, -1), Step(RuleOp.CHOOSELEAF_FIRSTN, 0, 1), Step(RuleOp.EMIT)]
    return CrushWrapper.decode(CrushWrapper([*buckets], [Rule(steps)], 3).encode())


@MAPPERS
@pytest.mark.parametrize(
    "buckets",
    [
        [straw2(-1, 2, [-1])],
        [straw2(-1, 2, [0, -2]), straw2(-2, 3, [-1])],
        [straw2(-1, 2, [-2, -3]), straw2(-2, 3, [0]), straw2(-3, 3, [-4]), straw2(-4, 3, [1, -3])],
    ],
)
def test_what_contains_itself(make, buckets):
    with pytest.raises(Loop, match="contains itself"):
        make(with_buckets(*buckets))


@MAPPERS
def test_what_is_contained_twice_is_no_loop(make):
    crush = with_buckets(
        straw2(-1, 2, [-2, -3]), straw2(-2, 3, [-4]), straw2(-3, 3, [-4]), straw2(-4, 1, [0, -99])
    )
    make(crush)


@MAPPERS
@pytest.mark.parametrize(
    ("bucket", "reason"),
    [
        (straw2(-2, 1, [0]), "in the place"),
        (Bucket(-1, 1, BucketAlg.STRAW2, 0, FULL, [0, 1], [FULL]), "2 items, 1 weights"),
        (Bucket(-1, 1, BucketAlg.LIST, 0, FULL, [0], [FULL], []), "0 derived"),
        (Bucket(-1, 1, BucketAlg.TREE, 0, FULL, [0, 1, 2], [FULL] * 3, [FULL] * 4), "4 derived"),
        (Bucket(-1, 1, BucketAlg.TREE, 0, FULL, [0, 1, 2], [FULL] * 3, [FULL] * 7), "7 derived"),
    ],
)
def test_lists_that_do_not_fit_one_another(make, bucket, reason):
    with pytest.raises(InvalidArgument, match=reason):
        make(CrushWrapper([bucket], [], 3))


@MAPPERS
@pytest.mark.parametrize("arg", [ChooseArg([[FULL]]), ChooseArg([], [1, 2, 3])])
def test_choose_args_that_do_not_fit_their_bucket(make, arg):
    crush = with_buckets(straw2(-1, 1, [0, 1]))
    with pytest.raises(InvalidArgument, match="for 2 items"):
        make(crush, {0: arg})


def test_a_sound_map_is_mapped():
    crush = with_buckets(straw2(-1, 2, [-2]), straw2(-2, 1, [0, 1]))
    found = VectorMapper(crush).map_many(0, np.arange(1), 3, np.array([FULL] * 3))
    assert found.length.tolist() == [1]


def with_steps(*steps: tuple[int, ...], kind: int = 1, **tunables: int) -> CrushWrapper:
    """Two hosts, of whose devices all will be out: every try is made."""
    crush = with_buckets(straw2(-1, 2, [-2, -3]), straw2(-2, 1, [0, 1]), straw2(-3, 1, [2]))
    middle = [Step(*step) for step in steps]
    crush.rules = [Rule([Step(RuleOp.TAKE, -1), *middle, Step(RuleOp.EMIT)], 0, kind)]
    for name, value in tunables.items():
        setattr(crush.tunables, name, value)
    return crush


LEAF = (RuleOp.CHOOSELEAF_FIRSTN, 0, 1)
MANY = 5000
ABSURD = {
    "total tries": with_steps(LEAF, choose_total_tries=1 << 31),
    "local tries": with_steps(LEAF, choose_local_tries=MAX_TRIES + 1),
    "local fallback tries": with_steps(LEAF, choose_local_fallback_tries=(1 << 32) - 1),
    "set_choose_tries": with_steps((RuleOp.SET_CHOOSE_TRIES, (1 << 31) - 1), LEAF),
    "set_chooseleaf_tries": with_steps((RuleOp.SET_CHOOSELEAF_TRIES, 1 << 20), LEAF),
    "all multiplied": with_steps(LEAF, choose_total_tries=MANY, chooseleaf_descend_once=0),
    "both set": with_steps(
        (RuleOp.SET_CHOOSE_TRIES, MANY),
        (RuleOp.SET_CHOOSELEAF_TRIES, MANY),
        (RuleOp.CHOOSELEAF_INDEP, 0, 1),
    ),
    "places of the rule": with_steps((RuleOp.CHOOSE_FIRSTN, (1 << 31) - 1, 0)),
    "descents of msr rules": with_steps(
        (RuleOp.CHOOSE_MSR, 0, 1), kind=MSR_INDEP, msr_descents=1 << 31
    ),
    "msr tries multiplied": with_steps(
        (RuleOp.CHOOSE_MSR, 0, 1), kind=MSR_INDEP, msr_descents=MANY, msr_collision_tries=MANY
    ),
}


@MAPPERS
@pytest.mark.parametrize("name", ABSURD)
def test_more_tries_than_anybody_means(make, name):
    with pytest.raises(TooLarge, match=r"tries|may try"):
        make(ABSURD[name])


@pytest.mark.parametrize("rule", [LEAF, (RuleOp.CHOOSELEAF_INDEP, 0, 1)])
def test_many_tries_are_made_all_the_same(rule):
    """Twice what upstream's profiles ask for, all in vain."""
    crush = with_steps(rule, choose_total_tries=100, chooseleaf_descend_once=1)
    found = VectorMapper(crush).map_many(0, np.arange(8), 3, np.zeros(3, np.int64))
    none = Mapper(crush).do_rule(0, 0, 3, [0, 0, 0])
    assert found.values[0, : found.length[0]].tolist() == none
    assert set(none) <= {0x7FFFFFFF}


def test_the_limits_are_far_from_what_is_in_use():
    """Profiles' tries with every place of the largest pool."""
    crush = with_steps((RuleOp.CHOOSELEAF_FIRSTN, 255, 1), choose_total_tries=200)
    crush.tunables.chooseleaf_descend_once = 0
    Mapper(crush)
    assert MAX_ATTEMPTS > 255 * 201 * 201
