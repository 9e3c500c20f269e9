"""Maps that nobody can walk through are refused by both mappers, and by what maps PGs."""

from __future__ import annotations

import numpy as np
import pytest

from spirula.crush.map import Bucket, BucketAlg, ChooseArg, Rule, RuleOp, Step
from spirula.crush.mapper import Mapper
from spirula.crush.vector import VectorMapper
from spirula.crush.wire import CrushWrapper
from spirula.errors import InvalidArgument, Loop

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
