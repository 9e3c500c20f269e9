"""`spirula monmaptool` beside the real one: what is printed, the exit codes, the files written."""

from __future__ import annotations

import random
import re
import shutil
import subprocess

import pytest

from spirula.cli.main import main
from spirula.types.base import UTime
from spirula.types.mon import MonMap
from tests.interop.realcluster import ENVIRONMENT

TOOL = shutil.which("monmaptool", path=ENVIRONMENT["PATH"])
pytestmark = pytest.mark.skipif(TOOL is None, reason="no monmaptool: install ceph-base")

FSID = "11111111-2222-3333-4444-555555555555"
CONF = """\
[mon.a]
mon addr = 9.9.9.9
[mon.b]
mon addr = 8.8.8.8:3300
[mon.c]
host = nowhere
[mon.d]
mon addr = bogus
[mon.e]
mon addr = 7.7.7.7
mon priority = 4
mon weight = 3
[mon.f]
mon addr = 6.6.6.6
mon weight = heavy
"""
_CHANGING = re.compile(
    r"(?m)(?<=generated fsid )\S+|^fsid \S+|^(last_changed|created) \S+"
    r"|\d{4}-\d\d-\d\dT\S+ \w+ +-1 .*\n\n?"
)


@pytest.fixture
def both(tmp_path, monkeypatch, capfd):
    """Runs the same words with the real program and with ours, each in a folder of its own, and
    compares output, exit status and files; gives ours (stdout, stderr).

    Maps that were made anew differ in times and identity; both then go on with the real one.
    """
    folders = {name: tmp_path / name for name in ("real", "ours")}
    for folder in folders.values():
        folder.mkdir()
        (folder / "conf").write_text(CONF)

    def run(*words: str, status: int = 0) -> tuple[str, str]:
        done = subprocess.run(
            ["monmaptool", *words],
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
        ours = main(["monmaptool", *words])
        out, err = (_CHANGING.sub("", text) for text in capfd.readouterr())
        assert (out, ours) == (_CHANGING.sub("", done.stdout), done.returncode)
        assert ours == status
        assert err == _CHANGING.sub("", done.stderr)
        if {"--create", "--generate"} & set(words):
            settle()
        assert files(folders["ours"]) == files(folders["real"])
        return out, err

    def settle() -> None:
        for path in folders["real"].iterdir():
            twin = folders["ours"] / path.name
            if path.name == "conf":
                continue
            theirs, ours = (MonMap.decode(one.read_bytes()) for one in (path, twin))
            if FSID not in str(ours.fsid):
                ours.fsid = theirs.fsid
            assert ours.last_changed == ours.created
            assert abs(ours.created.sec - theirs.created.sec) < 120
            ours.created, ours.last_changed = theirs.created, UTime(*_parts(theirs.last_changed))
            assert ours.encode() == path.read_bytes()
            twin.write_bytes(path.read_bytes())

    def files(folder):
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    return run


def _parts(stamp: UTime) -> tuple[int, int]:
    return stamp.sec, stamp.nsec


def test_usage_and_refusals(both):
    both("-h")
    both(status=1)
    both("--add", "x", status=1)
    both("--add", "x", "nowhere", "m", status=255)
    both("--addv", "x", "[v2:1.2.3.4:1", "m", status=255)
    both("--addv", "x", "", "m", status=255)
    both("--print", status=1)
    both("--print", "nothing", status=255)
    both("--print", ".", status=255)
    both("--print", "conf", status=255)
    both("--create", "nowhere/m", status=1)
    both("--create", "m")
    both("m", status=1)
    both("m", "n", status=1)
    both("--bogus", "m", status=1)
    both("--create", "m", status=255)
    both("--optional", "m", status=1)
    both("--feature-set", "foo", "m", status=1)
    both("--feature-unset", "0x10", "m", status=1)
    both("--feature-set", "quincy", "m", status=1)
    both("m", "--feature-list", "bogus", status=1)
    both("--set-min-mon-release", "quincy", "m", status=1)
    both("--set-min-mon-release", "16", "m", status=1)
    both("--rm", status=1)
    both("--rm", "x", "m", status=1)
    both("--add", "x", "1.2.3.4:7", "m")
    both("--add", "x", "1.2.3.5:7", "m", status=1)
    both("--add", "y", "1.2.3.4:7", "m", status=1)
    both("--addv", "x", "[v2:1.2.3.5:7]", "m", status=1)
    both("--addv", "y", "[v1:1.2.3.9:7,v2:1.2.3.4:7]", "m", status=1)


def test_making_and_editing(both):
    both("--create", "--fsid", FSID, "m", "--print")
    both("--create", "--clobber", "m", "--add", "b", "1.2.3.4", "--add", "a", "1.2.3.3:99")
    both("m", "--add", "c", "[::1]", "--addv", "d", "[v2:1.1.1.1:1,v1:1.1.1.1:2]", "-p")
    both("m", "--addv", "e", "v1:2.1.1.1:1,v2:2.1.1.1:2", "--addv", "f", "5.5.5.5", "--print")
    both("m", "--set-min-mon-release", "pacific", "--print")
    both("m", "--fsid", FSID)
    both("--rm", "b", "--rm", "c", "m", "--print")
    both("--enable-all-features", "m", "--feature-list", "parseable", "--print")
    both("--add", "y", "9.9.9.9", "--add", "x", "1.0.0.1:6789", "m")
    both("--add", "z", "8.8.8.8:7", "m", "--print")
    both("--rm", "a", "m", "--print")
    both("--create", "--clobber", "--mon_election_default_strategy", "3", "m", "--print")


def test_features(both):
    both("--create", "m")
    both("--feature-list", "--feature-list", "plain", "--feature-list", "parseable", "m")
    both("--feature-set", "kraken", "--feature-set", "4096", "--optional", "--feature-set", "32",
         "--persistent", "m")  # fmt: skip
    both("--feature-unset", "32", "--optional", "--feature-list", "m")
    both("--feature-unset", "32", "--persistent", "--feature-unset", "4096", "--optional", "m")
    both("m", "--feature-list", "--feature-set", str(255 | 1 << 40), "--feature-list")
    both("m", "--feature-set", "-9223372036854775808", "--feature-list", "parseable")
    both("m", "--feature-set", "9223372036854775808", status=1)
    both("m", "--feature-unset", "pacific", "--feature-list")
    both("m", "--feature-set", "elector-pinging", status=1)
    both("m", "--feature-unset", "reserved")


def test_from_the_configuration(both):
    hosts = "1.2.3.4,2.3.4.5:6789,[v2:1.1.1.1:3300,v1:1.1.1.1:6789],7.7.7.7:99,127.0.0.1:333/7"
    both("--create", "--generate", "-m", hosts, "m", "--print")
    both("m", "--set-initial-members", "--mon-initial-members", "x, noname-a;y", "--print")
    both("m", "--set-initial-members")
    both("--create", "--clobber", "--generate", "-m", "1.2.3.4,1.2.3.4", "m", "--print")
    both("--create", "--clobber", "--generate", "-m", "[1.2.3.4]", "m", "--print")
    both("--create", "--clobber", "--generate", "-c", "conf", "m", "--print")
    both("--create", "--clobber", "--generate", "-m", "no.such.host.invalid", "n", status=234)
    both("--create", "--clobber", "--generate", "n", status=254)


def test_random_edits(both, scale):
    rng = random.Random(3)
    both("--create", "m")
    known: list[str] = []
    for turn in range(25 * scale):
        words = ["m"]
        for _ in range(rng.randint(1, 3)):
            name, last = f"n{turn}-{len(words)}", rng.randrange(1, 255)
            kind = rng.random()
            if kind < 0.3 and known:
                words += ["--rm", known.pop(rng.randrange(len(known)))]
            elif kind < 0.6:
                port = rng.choice(["", ":6789", ":3300", f":{rng.randrange(1, 65536)}"])
                words += ["--add", name, f"10.{turn % 250}.{len(words)}.{last}{port}"]
                known.append(name)
            else:
                host = f"11.{turn % 250}.{len(words)}.{last}"
                words += ["--addv", name, f"[v2:{host}:3300/0,v1:{host}:6789/0]"]
                known.append(name)
        if turn == 12:
            words += ["--feature-set", "nautilus"]
        both(*words, "--print")
