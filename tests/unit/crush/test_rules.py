"""Changes to a map: rules by failure domain."""

from __future__ import annotations

import pytest

from spirula.crush.classes import class_id
from spirula.crush.lookup import rule_id
from spirula.crush.map import CrushMap, Rule, RuleOp, Step
from spirula.crush.rules import ERASURE, add_simple_rule, remove_rule
from spirula.crush.text import compile_map
from spirula.errors import CephError, Exists, InvalidArgument, NoSpace, NotFound
from tests.unit.crush.sound_texts import HEAD, HOST, RULE

TAKE, EMIT = RuleOp.TAKE, Step(RuleOp.EMIT)


@pytest.fixture
def crush() -> CrushMap:
    return compile_map(HEAD + HOST + RULE)


def test_replicas_in_different_hosts(crush: CrushMap) -> None:
    id = add_simple_rule(crush, "spread", "h", "host")
    assert (id, rule_id(crush, "spread")) == (1, 1)
    assert crush.rules[1] == Rule(
        [Step(TAKE, -1), Step(RuleOp.CHOOSELEAF_FIRSTN, 0, 1), EMIT], *(1, 1, 1, 10)
    )


def test_shards_on_devices_of_a_class(crush: CrushMap) -> None:
    id = add_simple_rule(crush, "ec", "h", device_class="ssd", mode="indep", type=ERASURE)
    shadow = crush.class_bucket[-1][0]
    assert crush.rules[id] == Rule(
        [
            Step(RuleOp.SET_CHOOSELEAF_TRIES, 5),
            Step(RuleOp.SET_CHOOSE_TRIES, 100),
            Step(TAKE, shadow),
            Step(RuleOp.CHOOSE_INDEP, 0, 0),
            EMIT,
        ],
        *(1, 3, 3, 20),
    )


def test_a_free_id_is_not_the_ruleset_of_another(crush: CrushMap) -> None:
    crush.rules = [None, None, Rule([EMIT], ruleset=0)]
    assert add_simple_rule(crush, "a", "h") == 1
    assert add_simple_rule(crush, "b", "h") == 3


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("r", "h", "host"), {}, Exists),
        (("s", "nowhere", "host"), {}, NotFound),
        (("s", "h", "planet"), {}, InvalidArgument),
        (("s", "h", "host"), {"device_class": "tape"}, InvalidArgument),
        (("s", "osd.1", "osd"), {"device_class": "ssd"}, InvalidArgument),
        (("s", "h", "host"), {"mode": "msr"}, InvalidArgument),
    ],
)
def test_refused_rules_change_nothing(
    crush: CrushMap, arguments: tuple[str, str, str], options: dict, error: type[CephError]
) -> None:
    with pytest.raises(error):
        add_simple_rule(crush, *arguments, **options)
    assert crush == compile_map(HEAD + HOST + RULE)


def test_rules_have_256_places(crush: CrushMap) -> None:
    for number in range(1, 256):
        assert add_simple_rule(crush, f"rule{number}", "h") == number
    with pytest.raises(NoSpace):
        add_simple_rule(crush, "one more", "h")


def test_removing_the_last_rule_of_a_class(crush: CrushMap) -> None:
    id = add_simple_rule(crush, "fast", "h", device_class="ssd")
    del crush.device_classes[1]
    remove_rule(crush, id)
    assert crush.rules[id] is None
    assert rule_id(crush, "fast") is None
    assert class_id(crush, "ssd") is None
    assert "h~ssd" not in crush.item_names.values()
    for absent in (id, 99, -1):
        with pytest.raises(NotFound):
            remove_rule(crush, absent)
