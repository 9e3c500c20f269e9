"""Maps that nobody can work with are refused by name, in every mode of the tool, and soon."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from spirula.cli.crushtool import main as crushtool
from spirula.crush.bucket_items import new_bucket
from spirula.crush.check import (
    MAX_DEPTH,
    MAX_DEVICES,
    check_map,
    check_names,
    overlapping_rules,
)
from spirula.crush.layers import Layer, build_layers, new_map
from spirula.crush.map import ChooseArg, Rule, RuleOp, Step
from spirula.crush.weights import create_choose_args
from spirula.crush.wire import CrushWrapper
from spirula.errors import CephError, InvalidArgument, Loop, TooLarge
from tests.unit.crush.random_edits import random_edit
from tests.unit.crush.random_maps import random_map

MODES = (
    ["-d", "map"],
    ["-i", "map", "--tree"],
    ["-i", "map", "--dump"],
    ["-i", "map", "--test", "--show-mappings", "--show-statistics", "--max-x", "3", "--min-x", "0"],
    ["-i", "map", "--compare", "map", "--max-x", "3", "--min-x", "0"],
    ["-i", "map", "--check", "0"],
    ["-i", "map", "--show-location", "0"],
    ["-i", "map", "--bucket-tree", "-b", "root"],
    ["-i", "map", "--reweight", "-o", "out"],
    ["-i", "map", "--reweight-item", "osd.0", "2", "-o", "out"],
    ["-i", "map", "--remove-item", "osd.0", "-o", "out"],
    ["-i", "map", "--move", "host0", "--loc", "root", "root", "-o", "out"],
    ["-i", "map", "--rebuild-class-roots", "-o", "out"],
    ["-i", "map", "--reclassify", "--reclassify-root", "root", "hdd", "-o", "out"],
)
BOUND_S = 5.0


def sound() -> CrushWrapper:
    layers = [Layer("host", "straw2", 2), Layer("rack", "tree", 2), Layer("root", "straw2", 0)]
    return build_layers(8, layers)


def contains_itself(crush: CrushWrapper) -> None:
    bucket = crush.buckets[0]
    assert bucket
    bucket.items[0] = bucket.id


def loops(crush: CrushWrapper) -> None:
    bucket, root = crush.buckets[0], crush.buckets[6]
    assert bucket
    assert root
    bucket.items[0] = root.id


def deep(crush: CrushWrapper) -> None:
    lower = -1
    for _ in range(MAX_DEPTH):
        lower = new_bucket(crush, 1, [lower], [0], alg=5).id
        crush.item_names[lower] = f"deep{-lower}"


def bushy(crush: CrushWrapper) -> None:
    lower = -1
    for _ in range(40):
        lower = new_bucket(crush, 1, [lower, lower], [0, 0], alg=5).id
        crush.item_names[lower] = f"bushy{-lower}"


def huge_device(crush: CrushWrapper) -> None:
    bucket = crush.buckets[0]
    assert bucket
    bucket.items[0] = 0x7FFFFFF0


def huge_name(crush: CrushWrapper) -> None:
    crush.item_names[MAX_DEVICES] = "far"


def displaced(crush: CrushWrapper) -> None:
    bucket = crush.buckets[0]
    assert bucket
    bucket.id = -2


def cut_tree(crush: CrushWrapper) -> None:
    bucket = crush.buckets[4]
    assert bucket
    del bucket.derived[2:]


def short_weight_sets(crush: CrushWrapper) -> None:
    create_choose_args(crush, -1, 2)
    crush.choose_args[-1][6] = ChooseArg([[1]])


def endless(crush: CrushWrapper) -> None:
    crush.tunables.choose_total_tries = 0xFFFFFFFF


def endless_rule(crush: CrushWrapper) -> None:
    rule = crush.rules[0]
    assert rule
    rule.steps.insert(0, Step(RuleOp.SET_CHOOSE_TRIES, 0x7FFFFFFF))


Spoil = Callable[[CrushWrapper], None]
SPOILT: dict[str, tuple[Spoil, type[CephError], str]] = {
    "contains itself": (contains_itself, Loop, "contains itself"),
    "loops": (loops, Loop, "contains itself"),
    "deep": (deep, TooLarge, "within one another"),
    "bushy": (bushy, TooLarge, "places"),
    "device": (huge_device, TooLarge, "ids of devices"),
    "name": (huge_name, TooLarge, "ids of devices"),
    "displaced": (displaced, InvalidArgument, "in the place of"),
    "cut tree": (cut_tree, InvalidArgument, "nodes for"),
    "endless": (endless, TooLarge, "tries"),
    "endless rule": (endless_rule, TooLarge, "tries"),
    "weight sets": (short_weight_sets, InvalidArgument, "do not fit"),
}


def test_a_sound_map_passes() -> None:
    check_map(sound())
    check_map(new_map())
    for seed in range(40):
        check_map(random_map(seed))


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_maps_are_refused(name: str) -> None:
    spoil, error, reason = SPOILT[name]
    crush = sound()
    spoil(crush)
    with pytest.raises(error, match=reason):
        check_map(crush)


@pytest.mark.parametrize("name", SPOILT)
def test_every_mode_refuses_spoilt_maps(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil, _, reason = SPOILT[name]
    crush = sound()
    spoil(crush)
    monkeypatch.chdir(tmp_path)
    Path("map").write_bytes(crush.encode())
    for arguments in MODES:
        started = time.monotonic()
        assert crushtool(arguments) == 1, arguments
        assert time.monotonic() - started < BOUND_S
        said = capsys.readouterr()
        assert reason in said.err, arguments
        assert not said.out
        assert not Path("out").exists()


def test_truncated_maps_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = sound().encode()
    for size in range(0, len(raw), 7):
        Path("map").write_bytes(raw[:size])
        status = crushtool(["-i", "map", "--dump"])
        said = capsys.readouterr()
        # what comes behind the names may be left out: old maps end there
        assert status == 0 or "crushtool: unable to decode map: " in said.err
        assert status in (0, 1)
    assert crushtool(["-i", "map", "--dump"]) in (0, 1)


def test_damaged_maps_never_surprise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Bytes are changed at random: each mode succeeds or refuses, and raises nothing."""
    rng = random.Random("damage")
    monkeypatch.chdir(tmp_path)
    refused = 0
    for seed in range(60):
        raw = bytearray(random_map(seed).encode())
        for _ in range(rng.choice((1, 2, 8))):
            raw[rng.randrange(len(raw))] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        Path("map").write_bytes(raw)
        refused += crushtool(rng.choice(MODES)) == 1
        capfdbinary.readouterr()
    assert 10 < refused < 60


def test_edits_of_any_map_never_surprise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of maps with trees and odd choose_args, which crushtool itself does not survive."""
    rng = random.Random("edits")
    monkeypatch.chdir(tmp_path)
    for seed in range(60):
        Path("map").write_bytes(random_map(seed, tree_shadows=False).encode())
        for _ in range(4):
            crush = CrushWrapper.decode(Path("map").read_bytes())
            edit = random_edit(rng, crush)
            crushtool(["-i", "map", "-o", "map", *edit])
            check_map(CrushWrapper.decode(Path("map").read_bytes()))
        capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--num_osds", "70000", "root", "straw2", "0"], "65536"),
        (["--num_osds", "100", "root", "tree", "0"], "room for 64 items"),
        (["--num_osds", "99999999", "root", "straw2", "0"], "at most"),
        (["--num_osds", "5", "root", "straw2", "-3"], "size of 0 or more"),
        ([], "must specify at least one layer"),
    ],
)
def test_builds_that_cannot_be(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crushtool(["--build", *arguments]) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--test", "--show-mappings", "--num-rep", "99999999"], "replicas"),
        (["--test", "--show-mappings", "--batches", "0"], "batch"),
        (["--test", "--show-choose-tries", "--set-choose-total-tries", "99999999"], "tries"),
        (["--test", "--show-mappings", "--x", "many"], "is invalid"),
        (["--test", "--show-mappings", "--x", "4294967296"], "seems to be invalid"),
        (["--test", "--show-mappings", "--x"], "requires an argument"),
        (["--add-item", "3", "1.0"], "expecting additional argument to --add-item"),
        (["--compare", "absent"], "error reading 'absent'"),
    ],
)
def test_tests_that_cannot_be(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("map").write_bytes(sound().encode())
    assert crushtool(["-i", "map", *arguments]) == 1
    assert reason in capsys.readouterr().err


def test_names_that_are_missing() -> None:
    crush = sound()
    check_names(crush, 8)
    with pytest.raises(InvalidArgument, match="item id too large: item#7"):
        check_names(crush, 7)
    del crush.type_names[2]
    with pytest.raises(InvalidArgument, match="unknown type name: item#"):
        check_names(crush)
    crush = sound()
    del crush.item_names[-1]
    with pytest.raises(InvalidArgument, match="unknown item name: item#-1"):
        check_names(crush)


def test_rules_that_overlap() -> None:
    crush = new_map()
    crush.rules = [
        Rule(ruleset=0, min_size=1, max_size=4),
        Rule(ruleset=0, min_size=3, max_size=9),
        Rule(ruleset=0, type=3, min_size=1, max_size=9),
        Rule(ruleset=1, min_size=1, max_size=9),
    ]
    crush.rule_names = {0: "a", 1: "b", 2: "c", 3: "d"}
    assert overlapping_rules(crush) == [(0, ["a", "b"])]
