"""The text language of maps: what a text means, how a map is written, and that both agree."""

from __future__ import annotations

import pytest

from spirula.crush.build import item_weights
from spirula.crush.map import Bucket, ChooseArg, Rule, RuleOp, Step
from spirula.crush.text import compile_map, decompile_map
from spirula.crush.text.numbers import text_of, weight_of
from spirula.crush.wire import CrushWrapper
from spirula.errors import InvalidArgument
from tests.unit.crush.random_maps import random_map
from tests.unit.crush.sound_texts import HEAD, HOST, RULE, SOUND

MAP = """\
# begin crush map
tunable choose_total_tries 50
tunable chooseleaf_stable 1

# devices
device 0 osd.0 class ssd
device 1 osd.1
device 7 osd.7

# types
type 0 osd
type 1 host
type 11 root

# buckets
host alpha {
	id -3		# do not change unnecessarily
	id -5 class ssd		# do not change unnecessarily
	# weight 1.500
	alg straw2
	hash 0	# rjenkins1
	item osd.0 weight 1.000
	item osd.1 weight 0.500
}
host beta {
	id -2		# do not change unnecessarily
	id -7 class ssd		# do not change unnecessarily
	# weight 4.000
	alg uniform	# do not change bucket size (2) unnecessarily
	hash 0	# rjenkins1
	item osd.1 weight 2.000 pos 0
	item osd.7 weight 2.000 pos 1
}
root default {
	id -1		# do not change unnecessarily
	id -4 class ssd		# do not change unnecessarily
	# weight 3.500
	alg list	# add new items at the end; do not change order unnecessarily
	hash 0	# rjenkins1
	item alpha weight 1.500
	item beta weight 2.000
}

# rules
rule replicated_rule {
	id 0
	type replicated
	min_size 1
	max_size 10
	step take default
	step chooseleaf firstn 0 type host
	step emit
}
rule fast {
	id 3
	type erasure
	min_size 3
	max_size 20
	step set_chooseleaf_tries 5
	step take alpha class ssd
	step choose indep -1 type osd
	step emit
}

# choose_args
choose_args 18446744073709551615 {
  {
    bucket_id -3
    weight_set [
      [ 0.250 1.000 ]
    ]
  }
}
choose_args 4 {
  {
    bucket_id -3
    weight_set [
      [ 1.000 1.000 ]
      [ 2.000 0.000 ]
    ]
    ids [ -30 1 ]
  }
}

# end crush map
"""


def test_what_a_text_means() -> None:
    crush = compile_map(MAP)
    assert crush.max_devices == 8
    assert crush.tunables.choose_total_tries == 50
    assert crush.tunables.choose_local_tries == 2  # what is not said is legacy
    assert crush.type_names == {0: "osd", 1: "host", 11: "root"}
    assert crush.class_names == {0: "ssd"}
    alpha = crush.buckets[2]
    assert alpha == Bucket(-3, 1, 5, 0, 0x18000, [0, 1], [0x10000, 0x8000])
    assert crush.item_names[-5] == "alpha~ssd"
    shadow = crush.buckets[4]
    assert shadow is not None
    assert (shadow.items, shadow.weight) == ([0], 0x10000)
    assert crush.rules[:3] == [
        Rule(
            [Step(RuleOp.TAKE, -1), Step(RuleOp.CHOOSELEAF_FIRSTN, 0, 1), Step(RuleOp.EMIT)],
            *(0, 1, 1, 10),
        ),
        None,
        None,
    ]
    fast = crush.rules[3]
    assert fast is not None
    assert fast.steps[1:3] == [Step(RuleOp.TAKE, -5), Step(RuleOp.CHOOSE_INDEP, -1, 0)]
    assert crush.choose_args == {
        -1: {2: ChooseArg([[0x4000, 0x10000]])},
        4: {2: ChooseArg([[0x10000, 0x10000], [0x20000, 0]], [-30, 1])},
    }


def test_a_map_is_written_as_it_was_read() -> None:
    assert decompile_map(compile_map(MAP)).splitlines() == MAP.splitlines()


@pytest.mark.parametrize("seed", range(150))
def test_text_and_map_agree(seed: int) -> None:
    text = decompile_map(random_map(seed, tree_shadows=False))
    try:
        crush = compile_map(text)
    except InvalidArgument as error:
        assert "uniform bucket must weigh more than zero" in error.message
        return
    again = decompile_map(crush)
    # Weights of buckets are comments: the map's own are more exact than those that the text adds up
    assert [line for line in again.splitlines() if "# weight" not in line] == [
        line for line in text.splitlines() if "# weight" not in line
    ]
    assert compile_map(again).encode() == crush.encode()


# Where no shadow tree could be made, the text that is written asks for others.
@pytest.mark.parametrize("name", sorted(SOUND.keys() - {"a shadow's id is taken"}))
def test_odd_texts_survive_being_written(name: str) -> None:
    crush = compile_map(SOUND[name])
    for key in crush.choose_args:  # those of other buckets than straw2 are not written
        crush.choose_args[key] = {
            index: arg
            for index, arg in crush.choose_args[key].items()
            if (bucket := crush.buckets[index]) and bucket.alg == 5
        }
    written = decompile_map(crush)
    again = compile_map(written)
    assert [b and b.items for b in again.buckets] == [b and b.items for b in crush.buckets]
    assert again.choose_args == {
        key: {index: arg for index, arg in args.items() if arg.ids or arg.weight_sets}
        for key, args in crush.choose_args.items()
    }


def test_comments_may_hold_any_bytes() -> None:
    text = (HEAD + HOST).encode() + b"# \xff\xfe \xe2\x82\n"
    assert compile_map(text.decode("utf-8", "surrogateescape")).item_names[-1] == "h"


def test_rules_of_releases_from_18_2() -> None:
    text = (
        HEAD.replace("type 0", "tunable msr_descents 55\ntype 0")
        + HOST
        + """\
rule msr {
	id 2
	type msr_indep
	step set_msr_descents 3
	step set_msr_collision_tries 4
	step take h class ssd
	step choosemsr 2 type host
	step choosemsr 2 type osd
	step emit
}
"""
    )
    crush = compile_map(text)
    rule = crush.rules[2]
    assert rule is not None
    assert (rule.type, rule.min_size, rule.max_size) == (5, 1, 100)
    assert rule.steps[3] == Step(RuleOp.CHOOSE_MSR, 2, 1)
    assert crush.tunables.msr_descents == 55
    written = decompile_map(crush, newer=True)
    assert text[text.index("rule msr") :] in written
    assert "\titem osd.1 weight 2.50000\n" in written
    assert "min_size" not in written
    assert compile_map(written) == crush


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("0", 0),
        ("1", 0x10000),
        ("1.", 0x10000),
        (".5", 0x8000),
        ("+0.019", 1245),  # cut off, not rounded
        ("0.333", 21823),
        ("1e2", 6553600),
        ("100.001", 6553665),
        ("-0.0000001", 0),
        ("256.0000152587890625", 0x1000000),  # half-way between two floats: to the even one
        ("256.00001525878906250000000000001", 0x1000002),
        ("256.00004577636718750000000000000", 0x1000004),
        ("256.00004577636718749999999999999", 0x1000002),
        ("65535.99", 0xFFFFFD00),  # a float has no more digits than that
        ("65536", None),
        ("-1", None),
        ("1e400", None),
        ("9" * 400, None),
    ],
)
def test_weights_are_read_as_c_floats(text: str, weight: int | None) -> None:
    assert weight_of(text) == weight


@pytest.mark.parametrize(
    ("weight", "text"),
    [
        (0, "0.000"),
        (0x10000, "1.000"),
        (1245, "0.019"),
        (32, "0.000"),
        (33, "0.001"),
        (0x1000001, "256.000"),
        (0x7FFFFFFF, "32768.000"),
        (0x80000000, "-32768.000"),
        (0xFFFFFFFF, "-0.000"),
    ],
)
def test_weights_are_written_as_c_floats(weight: int, text: str) -> None:
    assert text_of(weight, 3) == text


def test_maps_without_names_are_written_with_numbers() -> None:
    crush = CrushWrapper(buckets=[Bucket(-1, 3, 5, 2, 0x10000, [0, -4], [0x10000, 0])])
    crush.rules = [Rule([Step(RuleOp.NOOP), Step(77), Step(RuleOp.EMIT)], 5, 9)]
    text = decompile_map(crush)
    assert "type3 bucket0 {\n\tid -1" in text
    assert "\thash 2\t# unknown\n\titem device0 weight 1.000\n\titem bucket3 weight 0.000\n" in text
    assert "rule  {\n\tid 0\n\t# WARNING: ruleset 5 != id 0" in text
    assert "\ttype 9\n\tmin_size 1\n\tmax_size 10\n\tstep noop\n\tstep emit\n}" in text


def test_maps_that_have_no_text() -> None:
    ring = CrushWrapper(buckets=[Bucket(-1, 1, 5, items=[-2], item_weights=[0])])
    ring.buckets.append(Bucket(-2, 1, 5, items=[-1], item_weights=[0]))
    with pytest.raises(InvalidArgument, match="bucket0 contains itself"):
        decompile_map(ring)
    nameless = CrushWrapper(rules=[Rule([Step(RuleOp.TAKE, -9)])])
    with pytest.raises(InvalidArgument, match="rule 0 takes item -9, which has no name"):
        decompile_map(nameless)
    shadow = CrushWrapper(rules=[Rule([Step(RuleOp.TAKE, -9)])], item_names={-9: "gone~ssd"})
    with pytest.raises(InvalidArgument, match="shadow of nothing"):
        decompile_map(shadow)
    classless = compile_map(HEAD + HOST + RULE)
    classless.class_names.clear()
    with pytest.raises(InvalidArgument, match="unnamed class"):
        decompile_map(classless)


def test_trees_keep_their_weights_in_the_text() -> None:
    text = HEAD + "host h { alg tree item osd.0 weight 3 item osd.1 weight 0 item osd.2 }\n"
    bucket = compile_map(text).buckets[0]
    assert bucket is not None
    assert item_weights(bucket) == [0x30000, 0, 0x10000]
    assert "\titem osd.0 weight 3.000 pos 0\n" in decompile_map(compile_map(text))
