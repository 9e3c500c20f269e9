"""`spirula osdmaptool` beside the real one: what is printed, the exit codes, the files written."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from spirula.cli.main import main
from spirula.cli.osdmaptool.options import MORE_USAGE
from spirula.maps.osdmap import OSDMap
from tests.interop.realcluster import ENVIRONMENT
from tests.unit.maps.balance.lopsided import lopsided_map
from tests.unit.maps.randommaps import random_map

TOOL = shutil.which("osdmaptool", path=ENVIRONMENT["PATH"])
pytestmark = pytest.mark.skipif(TOOL is None, reason="no osdmaptool: install ceph-base")

CONF = """\
[osd]
rack = r1
[osd.0]
host = a
[osd.1]
host = b
row = w
[osd.4]
host = a
rack = r2
[osd.x]
host = nowhere
"""


@pytest.fixture
def both(tmp_path, monkeypatch, capfd):
    """Runs the same words with the real program and with ours, each in a folder of its own, and
    compares output, exit status and files; gives ours (stdout).
    """
    folders = {name: tmp_path / name for name in ("real", "ours")}
    for folder in folders.values():
        folder.mkdir()

    def put(name: str, content: bytes) -> None:
        for folder in folders.values():
            (folder / name).write_bytes(content)

    def run(*words: str, status: int = 0, times: bool = False) -> str:
        done = subprocess.run(
            ["osdmaptool", *words],
            executable=TOOL,
            cwd=folders["real"],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        monkeypatch.chdir(folders["ours"])
        capfd.readouterr()
        ours = main(["osdmaptool", *words])
        out, err = capfd.readouterr()
        out = out.replace(MORE_USAGE, "")
        assert (out, ours) == (done.stdout, done.returncode)
        assert ours == status
        log = re.compile(r"(?m)^\d{4}-\d\d-\d\dT.*\n\n?")  # what its libraries log
        assert err == log.sub("", done.stderr)
        if not times:
            assert files(folders["ours"]) == files(folders["real"])
        return out

    def files(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    run.put = put
    run.folder = folders["ours"]
    run.same_times = lambda name: put(name, (folders["real"] / name).read_bytes())
    return run


def test_making_maps(both):
    both.put("conf", CONF.encode())
    for words in (
        ["--createsimple", "5", "m"],
        ["--createsimple", "3", "m", "--with-default-pool", "--pg-bits", "3", "--pgp-bits", "2"],
        ["--create-from-conf", "m", "-c", "conf", "--with-default-pool"],
        ["--createsimple", "2", "m", "--with-default-pool", "--osd_pool_default_size=2"],
    ):
        both(*words, "--clobber", times=True)
        maps = [
            OSDMap.decode(Path(both.folder, "..", who, "m").read_bytes())
            for who in ("real", "ours")
        ]
        for osdmap in maps:
            osdmap.created = osdmap.modified = maps[0].created
            osdmap.crc = 0
        assert maps[0] == maps[1]
        both.same_times("m")
        both("m", "--print")
        both("m", "--tree=plain", "--test-map-pgs")
        both("m", "--mark-up-in", "--test-map-pgs-dump", "--tree", "json-pretty")
    both("--createsimple", "3", "m", status=255)
    both("--createsimple", "0", "n", status=1)


def test_refusals(both):
    both.put("m", random_map(random.Random(5)).encode())
    both.put("empty", b"")
    both.put("cut", random_map(random.Random(5)).encode()[:-9])
    both(status=1)
    both("m", status=1)
    both("m", "n", status=1)
    both("--print", status=1)
    both("nowhere", "--print", status=255)
    both("empty", "--print", status=255)
    both("cut", "--print", status=255)
    both("m", "--test-map-object", "x", "--pool", "bar", status=1)
    both("m", "--test-map-object", "x", "--pool", status=1)
    both("m", "--test-map-object", "x", "--pool", "99", status=1)
    both("m", "--test-map-pgs", "--pool", "99", status=1)
    both("m", "--test-map-pg", "1", status=1)
    both("m", "--upmap-deviation", "0", "--print", status=1)
    both("m", "--upmap", "-", "--upmap-pool", "nobody", status=1)
    both("m", "--import-crush", "nowhere", status=1)
    both("m", "--adjust-crush-weight", "3", status=1)
    both("--createsimple", "many", "x", status=1)


def test_asking_and_changing(both, scale):
    rng = random.Random(41)
    for turn in range(8 * scale):
        osdmap = random_map(rng)
        both.put("m", osdmap.encode())
        pool = str(rng.choice(sorted(osdmap.pools)))
        replicated = [str(n) for n, p in sorted(osdmap.pools.items()) if not p.is_erasure]
        both("m", "--test-map-object", "an object", "--pool", pool)
        both("m", "--test-map-pg", f"{pool}.0", "--mark-out", "0", "--mark-up", "0")
        # a hole in an acting set makes the real one count outside of its arrays
        both("m", "--test-map-pgs", "--pool", rng.choice(replicated), "--pg_num", "40")
        both("m", "--clear-temp", "--clean-temps", "--print")
        both("m", "--mark-up-in", "--dump", "json")
        both("m", "--export-crush", "crush", "--adjust-crush-weight", "0:2.5,1:0.3")
        both("m", "--import-crush", "crush")
        both("m", "--adjust-crush-weight", "0:1.25", "--save")
        both("m", "--health")
        if turn % 2:
            both("m", "--upmap-cleanup", "out")
            both("m", "--upmap-cleanup", "-")


def test_maps_of_many_epochs(both):
    for where in ("real", "ours"):
        folder = Path(both.folder, "..", where)
        for epoch in (3, 4):
            (folder / str(epoch)).write_bytes(random_map(random.Random(epoch)).encode())
    both(".", "--range-first", "3", "--range-last", "4")
    both(".", "--range-first", "4", "--range-last", "5", status=1)


def test_balancing_decides_alike(both, scale):
    """Where upstream leaves nothing to chance the same PGs are moved to the same OSDs."""
    rng = random.Random(7)
    prepared = 0
    for _ in range(3 * scale):
        osdmap = lopsided_map(rng)
        both.put("m", osdmap.encode())
        for number in sorted(osdmap.pools):
            out = both(
                "m",
                "--osd_calc_pg_upmaps_aggressively=false",
                "--upmap",
                "out",
                "--upmap-pool",
                f"pool{number}",
                "--upmap-max",
                str(rng.choice([3, 20, 60])),
                "--upmap-deviation",
                str(rng.randint(1, 3)),
                "--save",
            )
            prepared += int(re.search(r"prepared (\d+)/", out)[1])
        both("m", "--upmap-cleanup", "-", "--mark-out", str(rng.randrange(osdmap.max_osd)))
    assert prepared > 100


def prepared_and_spread(path: Path, folder: Path) -> tuple[int, float]:
    """How many changes the real program makes by chance, and how even PGs are then."""
    target = folder / "by-chance"
    target.write_bytes(path.read_bytes())
    words = ["--upmap", "/dev/null", "--upmap-deviation", "1", "--upmap-max", "60", "--save"]
    words += ["--upmap-pool", "pool1"]
    done = subprocess.run(
        [str(TOOL), str(target), *words],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(re.search(r"prepared (\d+)/", done.stdout)[1]), spread(target)


def spread(path: Path) -> float:
    done = subprocess.run(
        [str(TOOL), str(path), "--test-map-pgs", "--pool", "1"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return float(re.search(r"stddev (\S+)", done.stdout)[1])


def test_balancing_by_chance_is_as_good(tmp_path, capfd, scale):
    rng = random.Random(8)
    better = worse = 0
    for _ in range(4 * scale):
        path = tmp_path / "m"
        path.write_bytes(lopsided_map(rng).encode())
        before = spread(path)
        theirs, their_spread = prepared_and_spread(path, tmp_path)
        words = ["--upmap", "-", "--upmap-deviation", "1", "--upmap-max", "60", "--save"]
        assert main(["osdmaptool", str(path), *words, "--upmap-pool", "pool1"]) == 0
        ours = int(re.search(r"prepared (\d+)/", capfd.readouterr().out)[1])
        our_spread = spread(path)
        assert our_spread < before
        better += (our_spread, ours) <= (their_spread + 0.05, theirs + 3)
        worse += (our_spread, ours) > (their_spread + 0.3, theirs + 10)
    assert better >= 2
    assert not worse
