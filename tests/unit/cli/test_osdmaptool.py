"""`spirula osdmaptool` where 16.2 has nothing to compare with: reads, odd weights, no files."""

from __future__ import annotations

import random
import re

import pytest

from spirula.cli.main import main
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import Placement
from spirula.types.pg import PGId
from tests.unit.maps.balance.lopsided import lopsided_map


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "map"
    osdmap = lopsided_map(random.Random(4), racks=2, hosts=2, osds=2, pg_num=32)
    file.write_bytes(osdmap.encode())
    return file


def run(capsys, *words, status=0):
    assert main(["osdmaptool", *map(str, words)]) == status
    return capsys.readouterr()


def test_reads_are_evened_out(capsys, path, tmp_path):
    out = tmp_path / "commands"
    shown = run(capsys, path, "--read", out, "--read-pool", "pool2", "--save").out
    changes = int(re.search(r"num changes: (\d+)", shown)[1])
    commands = out.read_text().splitlines()
    assert len(commands) == changes > 0
    before, after = shown.split("---------- AFTER ------------")
    counts = [
        [int(count) for count in re.findall(r"number of prims: (\d+)", part)]
        for part in (before, after)
    ]
    assert sum(counts[0]) == sum(counts[1]) == 32
    scores = [float(score) for score in re.findall(r"read_balance_score of 'pool2': (\S+)", shown)]
    assert len(scores) == 2
    places = Placement(OSDMap.decode(path.read_bytes()))
    for command in commands:
        found = re.fullmatch(r"ceph osd pg-upmap-primary (\d+)\.([0-9a-f]+) (\d+)", command)
        pg = PGId(int(found[1]), int(found[2], 16))
        assert places.pg_to_up_acting_osds(pg).up_primary == int(found[3])
    again = run(capsys, path, "--read", "-", "--read-pool", "pool2").out
    assert "Unable to find further optimization" in again


def test_reads_need_a_replicated_pool(capsys, path):
    words = (path, "--read", "-", "--read-pool")
    assert "pool nobody does not exist" in run(capsys, *words, "nobody", status=1).err
    assert "replicated pools only" in run(capsys, *words, "pool5", status=1).err


def test_active_balancing_goes_on_until_nothing_is_left(capsys, path):
    words = ("--upmap", "-", "--upmap-active", "--upmap-deviation", "1", "--upmap-pool", "pool2")
    shown = run(capsys, path, *words, "--save").out
    assert shown.count("prepared ") > 1
    assert re.search(r"Total time elapsed \S+ secs, \d+ rounds", shown)
    assert re.search(r"osd\.0 pgs \d+", shown)
    prepared = run(capsys, path, *words).out
    assert prepared.count("prepared 0/10 changes") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--adjust-crush-weight", "0:heavy"], "'heavy' is not a weight"),
        (["--adjust-crush-weight", "0:1e9"], "weight must lie"),
        (["--adjust-crush-weight", "first:1"], "'first' is invalid"),
        (["--upmap", "/nonexistent/file"], "error opening /nonexistent/file: (2)"),
        (["--export-crush", "/nonexistent/file"], "error writing crush map to"),
        (["--test-map-pgs", "--pg_num", "999999999"], "pg_num 999999999 is over"),
    ],
)
def test_refusals(capsys, path, words, says):
    assert says in run(capsys, path, *words, status=1).err


def test_a_crush_map_that_does_not_fit_is_refused(capsys, path, tmp_path):
    other = tmp_path / "crush"
    big = lopsided_map(random.Random(4), pg_num=4).crush
    other.write_bytes(big.encode())
    assert "> osdmap max_osd" in run(capsys, path, "--import-crush", other, status=1).err
    other.write_bytes(b"no crush map")
    assert "error decoding crush map" in run(capsys, path, "--import-crush", other, status=1).err


def test_marks(capsys, path):
    shown = run(capsys, path, "--mark-in", "1", "--mark-out", "0", "--mark-up", "2", "--print").out
    assert "marking OSD@1 as in" in shown
    assert re.search(r"(?m)^osd\.0 up   out weight 0 ", shown)
    assert run(capsys, path, "--mark-out", "99", "--tree").out.startswith("ID  CLASS")
