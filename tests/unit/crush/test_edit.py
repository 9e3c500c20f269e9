"""Edits as the monitor's commands make them: what changes, and how each refusal is called."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spirula.crush import device_classes, edit, rules, weights
from spirula.crush.build import get_bucket
from spirula.crush.check import check_map
from spirula.crush.dump import dump, dump_tunables
from spirula.crush.layers import Layer, build_layers
from spirula.crush.lookup import (
    common_ancestor_distance,
    full_location,
    item_id,
    item_weight,
    leaves,
    parent_of_type,
    parse_location,
    rule_weights,
    rules_by_class,
    rules_by_osd,
    show_location,
    split_id_class,
    weight_at,
)
from spirula.crush.tree import print_tree, tree_document
from spirula.crush.weights import COMPAT, fixed
from spirula.crush.wire import CrushWrapper
from spirula.errors import (
    AlreadyDone,
    Busy,
    CephError,
    Exists,
    InvalidArgument,
    Loop,
    NotADirectory,
    NotEmpty,
    NotFound,
    OutOfRange,
    TooLarge,
)

ONE = 0x10000


@pytest.fixture
def crush() -> CrushWrapper:
    """Two racks of two hosts of two OSDs; the even ones are ssd."""
    layers = [Layer("host", "straw2", 2), Layer("rack", "straw2", 2), Layer("root", "straw2", 0)]
    made = build_layers(8, layers)
    for osd in range(8):
        device_classes.set_device_class(made, osd, "hdd" if osd % 2 else "ssd")
    return made


def weight_of(crush: CrushWrapper, name: str) -> int:
    return get_bucket(crush, item_id(crush, name)).weight


def children(crush: CrushWrapper, name: str) -> list[str]:
    return [crush.item_names[id] for id in get_bucket(crush, item_id(crush, name)).items]


# ------------------------------------------------------------------------------------- locations


def test_where_things_are(crush: CrushWrapper) -> None:
    assert full_location(crush, 5) == [("host", "host2"), ("rack", "rack1"), ("root", "root")]
    assert parse_location(["root=a", "host=b", "root=c"]) == {"root": "c", "host": "b"}
    assert show_location({"root": "c", "host": "b"}) == "{host=b,root=c}"
    assert weight_at(crush, 5, {"host": "host2", "root": "elsewhere"}) == ONE
    assert weight_at(crush, 5, {"host": "host1"}) is None
    assert weight_at(crush, 5, {"host": "nowhere"}) is None
    assert leaves(crush, item_id(crush, "rack0")) == {0, 1, 2, 3}
    rack = item_id(crush, "rack1")
    assert parent_of_type(crush, 5, 2) == rack
    assert parent_of_type(crush, 5, 2, rule=0) == rack
    assert common_ancestor_distance(crush, 5, [("rack", "rack1"), ("root", "root")]) == 2
    assert common_ancestor_distance(crush, 5, [("rack", "rack0"), ("root", "root")]) == 3
    assert common_ancestor_distance(crush, 5, [("rack", "rack0")]) is None
    for words in (["root"], ["root="]):
        with pytest.raises(InvalidArgument, match="TYPE=NAME"):
            parse_location(words)


def test_rules_know_what_they_take(crush: CrushWrapper) -> None:
    ssd = rules.add_simple_rule(crush, "fast", "root", "host", device_class="ssd")
    assert rules_by_class(crush, "ssd") == [ssd]
    assert rules_by_osd(crush, 0) == [0, ssd]
    assert rules_by_osd(crush, 1) == [0]
    shadow = crush.class_bucket[item_id(crush, "root")][0]
    assert split_id_class(crush, shadow) == (item_id(crush, "root"), 0)
    assert rule_weights(crush, ssd) == dict.fromkeys((0, 2, 4, 6), 0.25)


# ------------------------------------------------------------------------------------ items move


def test_items_are_put_in_with_the_buckets_they_need(crush: CrushWrapper) -> None:
    edit.insert_item(crush, 8, 2.5, "osd.8", {"host": "host9", "rack": "rack1", "root": "root"})
    assert full_location(crush, 8) == [("host", "host9"), ("rack", "rack1"), ("root", "root")]
    assert weight_of(crush, "rack1") == 6 * ONE + ONE // 2
    assert weight_of(crush, "root") == 10 * ONE + ONE // 2
    assert crush.max_devices == 9
    device_classes.set_device_class(crush, 8, "ssd")
    assert weight_of(crush, "root~ssd") == 6 * ONE + ONE // 2


def test_devices_keep_their_weight_when_moved(crush: CrushWrapper) -> None:
    weights.adjust_item_weight(crush, 0, 3 * ONE)
    assert edit.create_or_move_item(crush, 0, 1.0, "osd.0", {"host": "host3"})
    assert not edit.create_or_move_item(crush, 0, 1.0, "osd.0", {"host": "host3"})
    assert children(crush, "host3") == ["osd.6", "osd.7", "osd.0"]
    assert (weight_of(crush, "host0"), weight_of(crush, "host3")) == (ONE, 5 * ONE)
    assert children(crush, "host3~ssd") == ["osd.6", "osd.0"]
    assert edit.update_item(crush, 0, 0.5, "osd.0", {"host": "host3"})
    assert weight_of(crush, "host3~ssd") == ONE + ONE // 2
    assert not edit.update_item(crush, 0, 0.5, "osd.0", {"host": "host3"})


def test_buckets_are_moved_linked_and_unlinked(crush: CrushWrapper) -> None:
    edit.move_bucket(crush, item_id(crush, "host0"), {"rack": "rack1"})
    assert children(crush, "rack1") == ["host2", "host3", "host0"]
    assert weight_of(crush, "rack0") == 2 * ONE
    edit.link_bucket(crush, item_id(crush, "host0"), {"rack": "rack0"})
    assert children(crush, "rack0") == ["host1", "host0"]
    assert weight_of(crush, "root") == 10 * ONE
    edit.remove_item_under(
        crush, item_id(crush, "host0"), item_id(crush, "rack1"), unlink_only=True
    )
    assert children(crush, "rack1") == ["host2", "host3"]
    edit.remove_item(crush, item_id(crush, "host0"), unlink_only=True)
    assert full_location(crush, item_id(crush, "host0")) == []
    assert weight_of(crush, "root") == 6 * ONE
    assert children(crush, "host0") == ["osd.0", "osd.1"]


def test_buckets_are_swapped(crush: CrushWrapper) -> None:
    weights.adjust_item_weight(crush, 0, 3 * ONE)
    first, second = item_id(crush, "host0"), item_id(crush, "host3")
    edit.swap_bucket(crush, first, second)
    assert crush.item_names[first] == "host3"
    assert children(crush, "host0") == ["osd.0", "osd.1"]
    assert get_bucket(crush, item_id(crush, "rack1")).items[1] == item_id(crush, "host0")
    assert weight_of(crush, "rack1") == 6 * ONE
    assert weight_of(crush, "root~ssd") == 6 * ONE


def test_items_are_removed_with_all_that_is_theirs(crush: CrushWrapper) -> None:
    for osd in (0, 1):
        edit.remove_item(crush, osd)
    host = item_id(crush, "host0")
    edit.remove_item(crush, host)
    assert not {0, 1, host} & crush.item_names.keys()
    assert not {0, 1} & crush.device_classes.keys()
    assert "host0~ssd" not in crush.item_names.values()
    assert weight_of(crush, "root") == 6 * ONE
    check_map(crush)


def test_names_change(crush: CrushWrapper) -> None:
    edit.rename_bucket(crush, "host0", "first")
    assert children(crush, "first") == ["osd.0", "osd.1"]
    weights.reweight(crush)
    assert children(crush, "first~hdd") == ["osd.1"]
    edit.rename_item(crush, "osd.0", "zero")
    assert children(crush, "first") == ["zero", "osd.1"]


# ---------------------------------------------------------------------------------------- weights


def test_subtrees_and_the_whole_map_are_weighed(crush: CrushWrapper) -> None:
    assert weights.adjust_subtree_weight(crush, item_id(crush, "rack0"), 2 * ONE) == 4
    assert weight_of(crush, "root") == 12 * ONE
    assert weight_of(crush, "root~hdd") == 6 * ONE
    get_bucket(crush, item_id(crush, "root")).weight = 1
    get_bucket(crush, item_id(crush, "rack1")).item_weights[0] = 5
    weights.reweight(crush)
    assert weight_of(crush, "root") == 12 * ONE


def test_weight_sets_follow(crush: CrushWrapper) -> None:
    weights.create_choose_args(crush, COMPAT, 1)
    weights.create_choose_args(crush, 3, 2)
    weights.choose_args_adjust_item_weight(crush, 3, 0, [ONE // 2, 2 * ONE])
    rack = -1 - item_id(crush, "rack0")
    assert crush.choose_args[3][rack].weight_sets == [[3 * ONE // 2, 2 * ONE], [3 * ONE, 2 * ONE]]
    edit.insert_item(crush, 8, 1.0, "osd.8", {"host": "host0"}, init_weight_sets=False)
    assert crush.choose_args[COMPAT][rack].weight_sets == [[2 * ONE, 2 * ONE]]
    edit.insert_item(crush, 9, 1.0, "osd.9", {"host": "host1"})
    assert crush.choose_args[COMPAT][rack].weight_sets == [[2 * ONE, 3 * ONE]]
    edit.remove_item(crush, 0)
    root = -1 - item_id(crush, "root")
    assert crush.choose_args[3][root].weight_sets == [[4 * ONE, 4 * ONE], [4 * ONE, 4 * ONE]]
    assert weights.get_choose_args(crush, 7) is crush.choose_args[COMPAT]
    weights.rm_choose_args(crush, COMPAT)
    assert weights.get_choose_args(crush, 7) is None
    check_map(crush)


@pytest.mark.parametrize(
    ("weight", "number"), [(0.0, 0), (1.0, ONE), (0.01949, 1277), (300.77, 19711262), (-1e-6, 0)]
)
def test_weights_are_cut_off_as_in_c(weight: float, number: int) -> None:
    assert fixed(weight) == number


@pytest.mark.parametrize("weight", [-1.0, 32768.0, 1e300, float("inf"), float("nan")])
def test_weights_that_do_not_fit(weight: float) -> None:
    with pytest.raises(TooLarge):
        fixed(weight)


# ---------------------------------------------------------------------------------------- classes


def test_classes_come_and_go(crush: CrushWrapper) -> None:
    assert not device_classes.set_device_class(crush, 0, "ssd")
    assert device_classes.remove_device_class(crush, 0)
    assert not device_classes.remove_device_class(crush, 0)
    assert device_classes.set_device_class(crush, 0, "nvme")
    assert weight_of(crush, "root~nvme") == ONE
    device_classes.rename_class(crush, "nvme", "fast")
    assert weight_of(crush, "root~fast") == ONE
    assert device_classes.devices_of_class(crush, "fast") == [0]
    device_classes.remove_class(crush, "fast")
    assert "root~fast" not in crush.item_names.values()
    id = device_classes.create_class(crush, "empty")
    assert device_classes.remove_class(crush, "empty") == id
    device_classes.set_subtree_class(crush, "rack0", "hdd")
    weights.reweight(crush)
    assert weight_of(crush, "root~hdd") == 6 * ONE


def test_layered_and_erasure_rules(crush: CrushWrapper) -> None:
    erasure = rules.add_erasure_rule(crush, "ec", "root", "host", 6, device_class="hdd")
    layered = rules.add_layered_rule(
        crush, "lrc", "root", [("choose", "rack", 2), ("chooseleaf", "host", 3)], 6
    )
    documents = {rule["rule_name"]: rule for rule in dump(crush)["rules"]}  # type: ignore[attr-defined] # of Any
    assert documents["ec"]["max_size"] == documents["lrc"]["max_size"] == 6
    assert [step["op"] for step in documents["lrc"]["steps"]] == [
        "set_chooseleaf_tries",
        "set_choose_tries",
        "take",
        "choose_indep",
        "chooseleaf_indep",
        "emit",
    ]
    rules.rename_rule(crush, "ec", "shards")
    assert crush.rule_names[erasure] == "shards"
    rules.check_rule_for(crush, layered, rules.ERASURE, 6)
    assert rules.find_first_rule(crush, rules.ERASURE) == erasure


# ------------------------------------------------------------------------------------- refusals


def rack(crush: CrushWrapper) -> int:
    return item_id(crush, "rack0")


def host(crush: CrushWrapper) -> int:
    return item_id(crush, "host0")


def _remove_taken(crush: CrushWrapper) -> None:
    id = edit.add_bucket(crush, "spare", "root")
    rules.add_simple_rule(crush, "spare", "spare", "host")
    edit.remove_item(crush, id)


def _class_in_use(crush: CrushWrapper) -> None:
    rules.add_simple_rule(crush, "fast", "root", "host", device_class="ssd")
    device_classes.remove_class(crush, "ssd")


REFUSED: dict[str, tuple[Callable[[CrushWrapper], object], type[CephError], str]] = {
    "odd name": (
        lambda crush: edit.insert_item(crush, 9, 1.0, "a b", {"root": "root"}),
        InvalidArgument,
        r"\[-_.0-9a-zA-Z\]",
    ),
    "odd location": (
        lambda crush: edit.insert_item(crush, 9, 1.0, "osd.9", {"root": "a~b"}),
        InvalidArgument,
        "location",
    ),
    "no location": (
        lambda crush: edit.insert_item(crush, 9, 1.0, "osd.9", {}),
        InvalidArgument,
        "anywhere",
    ),
    "name taken": (
        lambda crush: edit.insert_item(crush, 9, 1.0, "osd.1", {"root": "root"}),
        Exists,
        "already exists as id 1",
    ),
    "there already": (
        lambda crush: edit.insert_item(crush, 1, 1.0, "osd.1", {"root": "root"}),
        InvalidArgument,
        "already exists beneath",
    ),
    "device as parent": (
        lambda crush: edit.insert_item(crush, 9, 1.0, "osd.9", {"host": "osd.1"}),
        InvalidArgument,
        "not a bucket",
    ),
    "type": (
        lambda crush: edit.insert_item(crush, 9, 1.0, "osd.9", {"host": "rack0"}),
        InvalidArgument,
        "existing bucket has type 'rack' != 'host'",
    ),
    "weight": (
        lambda crush: edit.insert_item(crush, 9, 40000.0, "osd.9", {"host": "host0"}),
        TooLarge,
        "between 0 and 32768",
    ),
    "loop": (
        lambda crush: edit.move_bucket(crush, rack(crush), {"host": "host0"}),
        Loop,
        "cannot form loop",
    ),
    "overweight": (
        lambda crush: [weights.adjust_item_weight(crush, osd, 0x7FFFFFFF) for osd in range(8)],
        OutOfRange,
        "65536",
    ),
    "move device": (
        lambda crush: edit.move_bucket(crush, 1, {"rack": "rack1"}),
        InvalidArgument,
        "is a device",
    ),
    "move nothing": (
        lambda crush: edit.move_bucket(crush, -99, {"rack": "rack1"}),
        NotFound,
        "does not exist",
    ),
    "swap with parent": (
        lambda crush: edit.swap_bucket(crush, rack(crush), host(crush)),
        InvalidArgument,
        "contains the other",
    ),
    "swap device": (
        lambda crush: edit.swap_bucket(crush, 1, host(crush)),
        InvalidArgument,
        "only buckets",
    ),
    "remove full": (lambda crush: edit.remove_item(crush, host(crush)), NotEmpty, "2 items"),
    "remove under device": (
        lambda crush: edit.remove_item_under(crush, 1, 2),
        InvalidArgument,
        "no bucket",
    ),
    "remove elsewhere": (
        lambda crush: edit.remove_item_under(crush, 1, item_id(crush, "host1")),
        NotFound,
        "not below",
    ),
    "remove taken": (_remove_taken, Busy, "in use"),
    "rename missing": (
        lambda crush: edit.rename_bucket(crush, "none", "other"),
        NotFound,
        "srcname = 'none' does not exist",
    ),
    "rename again": (
        lambda crush: edit.rename_bucket(crush, "none", "host0"),
        AlreadyDone,
        "already exists",
    ),
    "rename to taken": (
        lambda crush: edit.rename_bucket(crush, "host0", "host1"),
        Exists,
        "dstname = 'host1' already exists",
    ),
    "rename to odd": (
        lambda crush: edit.rename_bucket(crush, "host0", "a b"),
        InvalidArgument,
        "does not match",
    ),
    "rename device": (
        lambda crush: edit.rename_bucket(crush, "osd.1", "one"),
        NotADirectory,
        "is not a bucket because its id = 1 is >= 0",
    ),
    "bucket exists": (lambda crush: edit.add_bucket(crush, "host0", "host"), Exists, "exists"),
    "bucket type": (
        lambda crush: edit.add_bucket(crush, "new", "osd"),
        InvalidArgument,
        "bad bucket type: osd",
    ),
    "class of another": (
        lambda crush: device_classes.set_device_class(crush, 1, "ssd"),
        Busy,
        "osd.1 has already bound to class 'hdd', can not reset class to 'ssd'; use",
    ),
    "class in use": (
        _class_in_use,
        Busy,
        "class 'ssd' still referenced by crush_rule\\(s\\): 'fast'",
    ),
    "class of nothing": (
        lambda crush: device_classes.remove_device_class(crush, 77),
        NotFound,
        "osd.77 does not have a name",
    ),
    "class renamed to taken": (
        lambda crush: device_classes.rename_class(crush, "ssd", "hdd"),
        Exists,
        "already exists",
    ),
    "rule renamed": (
        lambda crush: rules.rename_rule(crush, "none", "other"),
        NotFound,
        "source rule name 'none' does not exist",
    ),
    "rule too small": (
        lambda crush: rules.check_rule_for(crush, 0, rules.REPLICATED, 99),
        InvalidArgument,
        "pool size is bigger than the crush rule max size",
    ),
    "weight set again": (
        lambda crush: [weights.create_choose_args(crush, 1, 1) for _ in range(2)],
        Exists,
        "already",
    ),
    "weight set of nothing": (
        lambda crush: weights.choose_args_adjust_item_weight(crush, 1, 0, [1]),
        NotFound,
        "no weight set",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_edits_that_are_refused(name: str, crush: CrushWrapper) -> None:
    act, error, reason = REFUSED[name]
    with pytest.raises(error, match=reason):
        act(crush)


# --------------------------------------------------------------------------------------- documents


def test_trees_and_documents(crush: CrushWrapper) -> None:
    weights.create_choose_args(crush, 5, 2)
    document = tree_document(crush, {5: "rbd"})
    nodes = document["nodes"]
    assert isinstance(nodes, list)
    assert [node["name"] for node in nodes[:4]] == ["root", "rack0", "host0", "osd.1"]
    assert nodes[3] == {
        "id": 1,
        "device_class": "hdd",
        "name": "osd.1",
        "type": "osd",
        "type_id": 0,
        "crush_weight": 1.0,
        "depth": 3,
        "pool_weights": {"rbd": [1.0, 1.0]},
    }
    assert document["stray"] == []
    table = print_tree(crush, {5: "rbd"}).splitlines()
    assert table[0].split() == ["ID", "CLASS", "WEIGHT", "rbd", "TYPE", "NAME"]
    assert table[4].split() == ["1", "hdd", "1.00000", "1.00000", "osd.1"]
    assert dump_tunables(crush)["profile"] == "jewel"
    assert item_weight(crush, 1) == ONE
