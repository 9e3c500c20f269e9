"""Device classes and their shadow trees."""

from __future__ import annotations

import pytest

from spirula.crush.build import get_bucket
from spirula.crush.classes import (
    class_id,
    get_or_create_class,
    is_shadow,
    populate_classes,
    rebuild_roots_with_classes,
    roots,
)
from spirula.crush.map import Bucket, ChooseArg, CrushMap
from spirula.crush.text import compile_map
from spirula.errors import InvalidArgument, NotFound

TEXT = """\
device 0 osd.0 class ssd
device 1 osd.1 class hdd
device 2 osd.2 class ssd
device 3 osd.3
type 0 osd
type 1 host
type 2 root
host a { id -2 alg straw2 item osd.0 weight 1 item osd.1 weight 2 }
host b { id -3 alg straw2 item osd.2 weight 4 item osd.3 weight 8 }
root default { id -1 alg straw2 item a weight 3 item b weight 12 }
rule fast { id 0 type replicated min_size 1 max_size 10 step take default class ssd step emit }
"""


@pytest.fixture
def crush() -> CrushMap:
    return compile_map(TEXT)


def shadow(crush: CrushMap, original: int, name: str) -> Bucket:
    id = class_id(crush, name)
    assert id is not None
    return get_bucket(crush, crush.class_bucket[original][id])


def test_a_shadow_has_the_devices_of_its_class_alone(crush: CrushMap) -> None:
    a, b, top = (shadow(crush, id, "ssd") for id in (-2, -3, -1))
    assert (a.items, a.item_weights) == ([0], [0x10000])
    assert (b.items, b.item_weights) == ([2], [0x40000])
    assert top.items == [a.id, b.id]
    assert (top.item_weights, top.weight) == ([0x10000, 0x40000], 0x50000)
    assert top.type == 2
    hdd = shadow(crush, -3, "hdd")
    assert (hdd.items, hdd.weight) == ([], 0)


def test_shadows_are_named_and_found(crush: CrushMap) -> None:
    top = shadow(crush, -1, "ssd").id
    assert crush.item_names[top] == "default~ssd"
    assert is_shadow(crush, top)
    assert not is_shadow(crush, -1)
    assert not is_shadow(crush, -77)
    assert roots(crush, shadow=False) == [-1]
    assert roots(crush, shadow=True) == sorted([top, shadow(crush, -1, "hdd").id])


def test_ids_of_classes_are_counted_on(crush: CrushMap) -> None:
    assert class_id(crush, "ssd") == 0
    assert class_id(crush, "nvme") is None
    assert get_or_create_class(crush, "hdd") == 1
    assert get_or_create_class(crush, "nvme") == 2
    assert crush.class_names == {0: "ssd", 1: "hdd", 2: "nvme"}


def test_a_rebuild_keeps_ids_and_follows_devices(crush: CrushMap) -> None:
    before = {id: dict(by_class) for id, by_class in crush.class_bucket.items()}
    crush.device_classes[3] = get_or_create_class(crush, "ssd")
    del crush.device_classes[1]
    rebuild_roots_with_classes(crush)
    assert class_id(crush, "hdd") is None  # no device has it, no rule takes it
    assert shadow(crush, -3, "ssd").items == [2, 3]
    assert shadow(crush, -1, "ssd").weight == 0xD0000
    assert {id: {0: by_class[0]} for id, by_class in before.items()} == crush.class_bucket
    assert not any(name.endswith("~hdd") for name in crush.item_names.values())


def test_a_class_that_a_rule_takes_stays(crush: CrushMap) -> None:
    del crush.device_classes[0], crush.device_classes[2]
    taken = shadow(crush, -1, "ssd").id
    rebuild_roots_with_classes(crush)
    assert shadow(crush, -1, "ssd").id == taken
    assert shadow(crush, -1, "ssd").weight == 0


def test_new_shadows_take_no_id_that_another_had(crush: CrushMap) -> None:
    old = {id for by_class in crush.class_bucket.values() for id in by_class.values()}
    crush.device_classes[3] = get_or_create_class(crush, "nvme")
    rebuild_roots_with_classes(crush)
    new = {shadow(crush, id, "nvme").id for id in (-1, -2, -3)}
    assert len(new) == 3
    assert not new & old


def test_weight_sets_are_handed_down(crush: CrushMap) -> None:
    crush.choose_args[-1] = {
        1: ChooseArg([[10, 20]], [5, 6]),
        2: ChooseArg([[40, 80]]),
        0: ChooseArg([[30, 120]]),
    }
    rebuild_roots_with_classes(crush)
    args = crush.choose_args[-1]
    assert args[-1 - shadow(crush, -2, "ssd").id] == ChooseArg([[10]])
    assert args[-1 - shadow(crush, -3, "ssd").id] == ChooseArg([[40]])
    assert args[-1 - shadow(crush, -1, "ssd").id] == ChooseArg([[10, 40]])


def test_what_contains_itself_has_no_shadow() -> None:
    crush = CrushMap(class_names={0: "ssd"}, item_names={-1: "a", -2: "b", -3: "c"})
    crush.buckets = [
        Bucket(-1, 1, 5, items=[-2], item_weights=[0]),
        Bucket(-2, 1, 5, items=[-3], item_weights=[0]),
        Bucket(-3, 1, 5, items=[-2], item_weights=[0]),
    ]
    with pytest.raises(InvalidArgument, match="bucket b contains itself"):
        populate_classes(crush, {})


def test_what_is_not_there_has_no_shadow() -> None:
    crush = CrushMap(class_names={0: "ssd"}, item_names={-1: "a", -9: "gone"})
    crush.buckets = [Bucket(-1, 1, 5, items=[-9], item_weights=[0])]
    with pytest.raises(NotFound, match="-9"):
        populate_classes(crush, {})
    crush.item_names = {}
    with pytest.raises(NotFound, match="item -1 has no name"):
        populate_classes(crush, {})
