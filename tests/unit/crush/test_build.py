"""Making buckets and maps: derived numbers, ids, slots, bounds, tunables profiles."""

from __future__ import annotations

import random

import pytest

from spirula.crush.build import (
    FULL,
    MAX_BUCKETS,
    PROFILES,
    add_bucket,
    add_rule,
    finalize,
    get_bucket,
    item_weights,
    make_bucket,
    set_tunables,
    settle_choose_args,
    straw_lengths,
    tree_nodes,
)
from spirula.crush.map import Bucket, BucketAlg, ChooseArg, CrushMap, Rule, Tunables
from spirula.errors import (
    CephError,
    Exists,
    InvalidArgument,
    NoSpace,
    NotFound,
    OutOfRange,
)
from tests.unit.crush.random_maps import random_map, random_reweights

WEIGHTS = [2 * FULL, FULL // 2, 0, 3 * FULL]


@pytest.mark.parametrize("alg", [a for a in BucketAlg if a != BucketAlg.UNIFORM])
def test_a_bucket_knows_its_weights(alg: BucketAlg) -> None:
    made = make_bucket(alg, 1, [4, 5, -6, 7], WEIGHTS, id=-3)
    assert (made.id, made.type, made.alg, made.hash) == (-3, 1, alg, 0)
    assert made.items == [4, 5, -6, 7]
    assert made.weight == sum(WEIGHTS)
    assert item_weights(made) == WEIGHTS


def test_uniform_buckets_have_one_weight() -> None:
    made = make_bucket(BucketAlg.UNIFORM, 1, [4, 5, 6], [FULL] * 3)
    assert (made.weight, made.item_weights) == (3 * FULL, [FULL])
    assert item_weights(made) == [FULL] * 3
    with pytest.raises(InvalidArgument, match="one weight"):
        make_bucket(BucketAlg.UNIFORM, 1, [4, 5], [FULL, 2 * FULL])
    with pytest.raises(InvalidArgument, match="more than zero"):
        make_bucket(BucketAlg.UNIFORM, 1, [4, 5], [0, 0])


@pytest.mark.parametrize("alg", BucketAlg)
def test_empty_buckets(alg: BucketAlg) -> None:
    made = make_bucket(alg, 1, [], [])
    assert (made.weight, made.derived, item_weights(made)) == (0, [], [])


def test_list_buckets_add_up() -> None:
    made = make_bucket(BucketAlg.LIST, 1, [4, 5, 6, 7], WEIGHTS)
    assert made.derived == [2 * FULL, 5 * FULL // 2, 5 * FULL // 2, 11 * FULL // 2]


@pytest.mark.parametrize(
    ("weights", "nodes"),
    [
        ([5], [0, 5]),
        ([5, 7], [0, 5, 12, 7]),
        ([5, 7, 1], [0, 5, 12, 7, 13, 1, 1, 0]),
        ([1, 2, 3, 4, 5], [0, 1, 3, 2, 10, 3, 7, 4, 15, 5, 5, 0, 5, 0, 0, 0]),
    ],
)
def test_trees_by_hand(weights: list[int], nodes: list[int]) -> None:
    assert tree_nodes(weights) == nodes


@pytest.mark.parametrize("size", range(1, 65))
def test_each_node_of_a_tree_weighs_what_is_below(size: int) -> None:
    rng = random.Random(size)
    weights = [rng.randint(0, 9 * FULL) for _ in range(size)]
    nodes = tree_nodes(weights)
    assert nodes[len(nodes) // 2] == sum(weights)
    for node in range(2, len(nodes), 2):
        reach = (node & -node) >> 1
        assert nodes[node] == nodes[node - reach] + nodes[node + reach]


def test_trees_have_room_for_64() -> None:
    with pytest.raises(InvalidArgument, match="room for 64 items, not 65"):
        make_bucket(BucketAlg.TREE, 1, list(range(65)), [FULL] * 65)


@pytest.mark.parametrize("version", [0, 1])
def test_equal_weights_have_equal_straws_and_none_has_none(version: int) -> None:
    assert straw_lengths([FULL] * 2, 0) == [FULL] * 2
    assert straw_lengths([7], version) == [FULL]
    assert straw_lengths([0, 7, 0], version) == [0, FULL, 0]
    lengths = straw_lengths([FULL, 5 * FULL, 2 * FULL, 0], version)
    assert lengths[3] == 0
    assert lengths[0] == FULL
    assert lengths[0] < lengths[2] < lengths[1]


def test_straws_by_hand() -> None:
    """Two items a and b > a: the longer straw is b / a times, in both versions.

    Version 1: below = 2a, ahead = b - a, so the factor is (a + b) / 2a. Version 0 likewise; but a
    third item as heavy as the second makes it count one side too few.
    """
    assert straw_lengths([FULL, 3 * FULL], 1) == [FULL, 2 * FULL]
    assert straw_lengths([FULL, 3 * FULL], 0) == [FULL, 2 * FULL]
    # version 0: below = 3, one left, ahead = 1 * 2: 5/3; version 1: two left, ahead = 2 * 2: root
    assert straw_lengths([FULL, 3 * FULL, 3 * FULL], 0)[1:] == [FULL * 5 // 3] * 2
    assert straw_lengths([FULL, 3 * FULL, 3 * FULL], 1)[1] == int(FULL * (7 / 3) ** 0.5)


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ([FULL], InvalidArgument),
        ([FULL, -1], OutOfRange),
        ([0xFFFFFFFF, 1], OutOfRange),
    ],
)
def test_weights_that_cannot_be(weights: list[int], error: type[CephError]) -> None:
    with pytest.raises(error):
        make_bucket(BucketAlg.STRAW2, 1, [1, 2], weights)


def test_unknown_algorithms_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="no bucket algorithm 6"):
        make_bucket(6, 1, [1], [FULL])


def test_slots_are_doubled() -> None:
    crush = CrushMap()
    assert add_bucket(crush, Bucket(0, 1, 5)) == -1
    assert len(crush.buckets) == 8
    assert add_bucket(crush, Bucket(-9, 1, 5)) == -9
    assert len(crush.buckets) == 16
    assert add_bucket(crush, Bucket(0, 1, 5)) == -2
    assert add_bucket(crush, Bucket(-100, 1, 5)) == -100
    assert len(crush.buckets) == 128
    assert get_bucket(crush, -9).id == -9


def test_ids_that_buckets_cannot_have() -> None:
    crush = CrushMap()
    add_bucket(crush, Bucket(-1, 1, 5))
    with pytest.raises(Exists):
        add_bucket(crush, Bucket(-1, 1, 5))
    with pytest.raises(OutOfRange):
        add_bucket(crush, Bucket(3, 1, 5))
    with pytest.raises(NoSpace):
        add_bucket(crush, Bucket(-1 - MAX_BUCKETS, 1, 5))
    for absent in (-2, -200, 0, 5):
        with pytest.raises(NotFound):
            get_bucket(crush, absent)
    assert len(crush.buckets) == 8


def test_rules_have_256_places() -> None:
    crush = CrushMap()
    add_rule(crush, Rule(), 255)
    add_rule(crush, Rule(), 3)
    with pytest.raises(Exists):
        add_rule(crush, Rule(), 3)
    with pytest.raises(NoSpace):
        add_rule(crush, Rule(), 256)
    with pytest.raises(OutOfRange):
        add_rule(crush, Rule(), 1 << 16)
    assert [id for id, rule in enumerate(crush.rules) if rule] == [3, 255]


def test_finalize_counts_devices_in_buckets_and_names() -> None:
    crush = CrushMap(max_devices=77)
    finalize(crush)
    assert crush.max_devices == 0
    add_bucket(crush, make_bucket(BucketAlg.LIST, 1, [4, -7], [FULL, FULL]))
    finalize(crush)
    assert crush.max_devices == 5
    crush.item_names = {-1: "h", 9: "osd.9"}
    finalize(crush)
    assert crush.max_devices == 10


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("argonaut", (2, 5, 19, 0, 0, 9, 22, 0)),
        ("legacy", (2, 5, 19, 0, 0, 0, 22, 0)),
        ("bobtail", (0, 0, 50, 1, 0, 9, 22, 0)),
        ("firefly", (0, 0, 50, 1, 1, 9, 22, 0)),
        ("hammer", (0, 0, 50, 1, 1, 9, 54, 0)),
        ("jewel", (0, 0, 50, 1, 1, 9, 54, 1)),
        ("optimal", (0, 0, 50, 1, 1, 1, 54, 1)),
        ("default", (0, 0, 50, 1, 1, 1, 54, 1)),
    ],
)
def test_profiles(profile: str, expected: tuple[int, ...]) -> None:
    tunables = Tunables(straw_calc_version=9, choose_total_tries=1, allowed_bucket_algs=1)
    set_tunables(tunables, profile)
    assert tunables == Tunables(*expected)
    assert profile in PROFILES


def test_there_are_no_other_profiles() -> None:
    with pytest.raises(InvalidArgument, match="there are argonaut, bobtail"):
        set_tunables(Tunables(), "luminous")


def test_choose_args_follow_the_buckets() -> None:
    crush = CrushMap()
    add_bucket(crush, make_bucket(BucketAlg.STRAW2, 1, [0, 1, 2], [FULL] * 3))
    add_bucket(crush, make_bucket(BucketAlg.LIST, 1, [0], [FULL]))
    add_bucket(crush, make_bucket(BucketAlg.STRAW2, 1, [3], [FULL]))
    crush.choose_args[1] = {
        0: ChooseArg([[1, 2], [3, 4, 5, 6]]),
        1: ChooseArg([[1], [1]]),
        2: ChooseArg([[1, 2, 3]], [7]),
        5: ChooseArg([[1]]),
        99: ChooseArg([], [1]),
    }
    settle_choose_args(crush)
    assert crush.choose_args[1] == {
        0: ChooseArg([[1, 2, 0], [3, 4, 5]]),
        2: ChooseArg([[1, 2, 3]], [7]),  # another number of positions: left as it is
    }


def test_random_maps_are_the_same_for_the_same_seed() -> None:
    for seed in range(20):
        crush = random_map(seed)
        assert random_map(seed).encode() == crush.encode()
        assert random_reweights(seed, crush) == random_reweights(seed, crush)
    assert random_map(1).encode() != random_map(2).encode()


def test_random_maps_have_everything() -> None:
    """Else tests that rely on them would compare less than they say."""
    maps = [random_map(seed) for seed in range(300)]
    buckets = [bucket for crush in maps for bucket in crush.buckets if bucket]
    assert {bucket.alg for bucket in buckets} == set(BucketAlg)
    assert any(None in crush.buckets[: -min(crush.item_names)] for crush in maps)
    assert any(0 in item_weights(bucket) for bucket in buckets)
    assert any(not bucket.items for bucket in buckets)
    assert sum(bool(crush.class_bucket) for crush in maps) > 50
    assert {key for crush in maps for key in crush.choose_args} >= {-1, 1}
    steps = [step for crush in maps for rule in crush.rules if rule for step in rule.steps]
    assert {step.op for step in steps} == {1, 2, 3, 4, *range(6, 14)}
    assert len({str(crush.tunables) for crush in maps}) > 20
