"""`spirula crush`: the tree that people see, and what changes would move."""

from __future__ import annotations

import json
import random

import pytest

from spirula.cli.main import main
from spirula.crush.text import decompile_map
from spirula.maps.placement import Placement
from spirula.maps.state import OSDState
from spirula.types.pg import PGId
from tests.unit.maps.balance.lopsided import lopsided_map


@pytest.fixture
def osdmap():
    made = lopsided_map(random.Random(3), racks=2, hosts=2, osds=2, pg_num=16)
    for number in (3, 4, 5):  # for which there are too few racks and hosts
        del made.pools[number], made.pool_name[number]
    made.osd_state[2] = int(OSDState.EXISTS)
    made.osd_weight[3] = 0
    made.osd_primary_affinity = [0x10000] * made.max_osd
    made.osd_primary_affinity[1] = 0x8000
    return made


@pytest.fixture
def path(tmp_path, osdmap):
    file = tmp_path / "map"
    file.write_bytes(osdmap.encode())
    return str(file)


def shown(capsys, *words, status=0):
    assert main(["crush", *map(str, words)]) == status
    out, err = capsys.readouterr()
    return err if status else out


def test_a_tree_is_drawn(capsys, path):
    lines = shown(capsys, "show", path).splitlines()
    assert lines[0].startswith("root default ")
    assert lines[0].endswith(" 11.50000  rules: rule0, rule1, rule2, rule3, rule4")
    assert lines[1].startswith("├── rack rack0 ")
    assert lines[2].startswith("│   ├── host host0-0 ")
    assert lines[3].startswith("│   │   └── osd.0 ")
    assert lines[3].endswith("  up reweight 0.5")
    text = "\n".join(lines)
    assert "osd.1       1.00000  up primary-affinity 0.5" in text
    assert "osd.2       1.00000  down" in text
    assert "osd.3       1.50000  up out" in text
    assert lines[-1].lstrip("│ ").startswith("└── osd.8")
    assert "\x1b" not in text


def test_colours_and_plain_letters_where_they_are_wanted(capsys, path):
    assert "\x1b[1;31mdown\x1b[0m" in shown(capsys, "show", path, "--color", "always")
    drawn = shown(capsys, "show", path, "--ascii")
    assert drawn.isascii()
    assert "|   `-- host host0-1" in drawn


def test_crush_maps_and_their_texts_are_drawn_too(capsys, tmp_path, osdmap):
    binary, text = tmp_path / "crush", tmp_path / "crush.txt"
    binary.write_bytes(osdmap.crush.encode())
    text.write_text(decompile_map(osdmap.crush))
    drawn = shown(capsys, "show", binary)
    assert "osd.2" in drawn
    assert "down" not in drawn
    assert shown(capsys, "show", text) == drawn
    nodes = json.loads(shown(capsys, "show", binary, "-f", "json"))["nodes"]
    assert [node["name"] for node in nodes][:3] == ["default", "rack0", "host0-0"]


def test_osds_that_are_in_no_bucket(capsys, tmp_path, osdmap):
    host = next(bucket for bucket in osdmap.crush.buckets if 3 in bucket.items)
    place = host.items.index(3)
    del host.items[place], host.item_weights[place]
    file = tmp_path / "map"
    file.write_bytes(osdmap.encode())
    lines = shown(capsys, "show", file).splitlines()
    assert lines[-2] == "in no bucket"
    assert lines[-1].startswith("└── osd.3 ")


def test_what_is_no_map_is_refused(capsys, tmp_path):
    bad = tmp_path / "bad"
    bad.write_bytes(bytes(64))
    assert "is no OSD map" in shown(capsys, "show", bad, status=22)
    bad.write_text("device zero")
    assert "bad" in shown(capsys, "show", bad, status=22)
    assert "cannot read" in shown(capsys, "show", tmp_path / "none", status=2)


def test_a_plan_tells_what_moves(capsys, path, osdmap, tmp_path):
    sizes = tmp_path / "df.json"
    sizes.write_text(json.dumps({"pools": [{"id": 1, "stats": {"stored": 16 << 20}}]}))
    words = ("plan", path, "--out", "1", "osd.7", "--stats", sizes)
    document = json.loads(shown(capsys, *words, "-f", "json"))
    osdmap.osd_weight[1] = osdmap.osd_weight[7] = 0
    places = Placement(osdmap)
    count = sum(
        6 in places.pg_to_up_acting_osds(PGId(n, s)).up for n in osdmap.pools for s in range(16)
    )
    by_osd = {entry["osd"]: entry for entry in document["osds"]}
    assert by_osd[6]["pgs_after"] == count
    assert by_osd[1]["pgs_after"] == by_osd[7]["pgs_after"] == 0
    pool = document["pools"][0]
    assert pool["moved_bytes"] == pool["moved_places"] << 20
    assert "moved_bytes" not in document["pools"][1]
    text = shown(capsys, *words)
    assert f"   1  pool1   16  {pool['changed_pgs']:>6}  {pool['moved_places']:>4}" in text
    assert " PGs change; " in text


def test_every_kind_of_edit(capsys, path, tmp_path, osdmap):
    for edit in (
        ["--reweight", "osd.0=0.1"],
        ["--in", "3"],
        ["--crush-reweight", "osd.4=3"],
        ["--crush-reweight", "rack1=0.25"],
        ["--move", "host1-0", "rack=rack0"],
        ["--move", "osd.0", "host=host1-1"],
        ["--remove", "osd.5"],
        ["--tunables", "bobtail"],
    ):
        document = json.loads(shown(capsys, "plan", path, *edit, "-f", "json"))
        assert sum(pool["changed_pgs"] for pool in document["pools"]) > 0, edit
    other = tmp_path / "crush.txt"
    other.write_text(decompile_map(osdmap.crush))
    same = json.loads(shown(capsys, "plan", path, "--crush", other, "-f", "json"))
    assert sum(pool["changed_pgs"] for pool in same["pools"]) == 0


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ([], 22, "nothing to plan"),
        (["--out", "99"], 2, "no osd.99"),
        (["--out", "rack0"], 22, "is not an OSD"),
        (["--reweight", "osd.1"], 22, "NAME=NUMBER"),
        (["--reweight", "osd.1=2"], 22, "between 0 and 1"),
        (["--move", "nowhere", "root=default"], 2, "no bucket or OSD"),
        (["--move", "host1-0"], 22, "say where to"),
        (["--move", "host1-0", "rack"], 22, "TYPE=NAME"),
        (["--tunables", "new"], 22, "no tunables profile"),
        (["--crush", "/nonexistent"], 2, "cannot read"),
    ],
)
def test_refusals_say_what_to_do(capsys, path, words, status, says):
    assert says in shown(capsys, "plan", path, *words, status=status)


def test_sizes_of_another_kind_are_refused(capsys, path, tmp_path):
    sizes = tmp_path / "s.json"
    for text in ("[]", "{}", "no json", '{"pools": [{"id": 1}]}'):
        sizes.write_text(text)
        assert "ceph df" in shown(capsys, "plan", path, "--out", "1", "--stats", sizes, status=22)
    stats = [{"pgid": "1.0", "stat_sum": {"num_bytes": 4096}}]
    sizes.write_text(json.dumps({"pg_map": {"pg_stats": stats}}))
    assert shown(capsys, "plan", path, "--out", "1", "--stats", sizes)
