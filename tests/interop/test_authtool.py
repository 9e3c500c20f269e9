"""`spirula authtool` beside the real `ceph-authtool`: same output, same files, same exit status.

Each script is run by both, step by step, each in a folder of its own. New keys differ, of course;
they are compared by their length. The wording of the usage, and of what the parser of
configuration files says about a mistake, is our own.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.cli.authtool import main
from tests.interop.realcluster import ENVIRONMENT

NEWER_ROOT = os.environ.get("SPIRULA_NEWER_CEPH_ROOT", "")
AES = "AQBm9ABrPhXAEhAAUdlZNwBoi/SQVnjNyKIggw=="
AES256K = "AgBm9ABrMuYnECAAta0VDUQiHJZCj1IA0Q6aFFcQCQiSspOhhspgDZ+rO0M="
KNOWN = (AES, AES256K)
NEW_KEY = re.compile(r"A[AgQ][A-Za-z0-9+/]{14,}={0,2}")

needs_authtool = pytest.mark.skipif(
    shutil.which("ceph-authtool", path=ENVIRONMENT["PATH"]) is None,
    reason="no ceph-authtool here: install what requirements/debian.txt lists",
)
needs_newer = pytest.mark.skipif(
    not Path(NEWER_ROOT or "/nowhere", "usr/bin/ceph-authtool").exists(),
    reason="no newer Ceph: SPIRULA_NEWER_CEPH_ROOT names the root of a system that has 20.2.4",
)

FILES = {
    "good": f'[client.admin]\n\tkey = {AES}\n\tcaps mon = "allow *"\n',
    "two": f"[osd.0]\nkey={AES}\ncaps_osd=allow *\n[mon.]\n key = {AES}\n caps mon = 'allow r'\n",
    "old": f"[client.old]\n\tauid = 7\n\tkey = {AES}\n",
    "empty": "",
    "bare": "[client.bare]\n",
    "nokey": '[client.nokey]\n\tcaps mon = "allow r"\n',
    "quoted": f'[client.q]\nkey = "{AES}"\ncaps osd = "allow rw pool=\\"x y\\""\n',
    "badname": f"[nobody.x]\nkey = {AES}\n",
    "badkey": "[client.x]\nkey = nonsense\n",
    "badline": f"[client.x]\nkey = {AES}\ncolour = blue\n",
    "badtext": "[client.x\n",
    "caps": '[global]\nmon = "allow r"\nosd = allow rw pool=x\nfoo = bar\n',
    "capsone": "mds = allow\n",
    "capsbad": "[global\n",
}

SCRIPTS: dict[str, list[list[str]]] = {
    "nothing": [[]],
    "no file": [["-l"], ["--print-key"], ["-g"]],
    "no command": [["good"], ["good", "-n", "client.x"]],
    "list": [["good", "-l"], ["two", "--list"], ["-l", "quoted"], ["old", "-l"], ["bare", "-l"]],
    "list empty": [["empty", "-l"], ["empty", "-p"], ["nokey", "-l"]],
    "bad files": [[name, "-l"] for name in ("badname", "badkey", "badline", "badtext", "absent")],
    "print": [
        ["good", "-p"],
        ["two", "-p"],
        ["two", "-p", "-n", "osd.0"],
        ["two", "--print-key", "--name", "mon."],
        ["good", "-p", "--id", "admin"],
        ["good", "-p", "-n", "client.nobody"],
    ],
    "create": [["-C", "new"], ["-C", "new", "-g"], ["new", "-l"], ["--create-keyring", "good"]],
    "create with caps": [
        ["-C", "new", "--cap", "mon", "allow r"],
        ["-C", "new", "-g", "-n", "client.a", "--cap", "mon", "allow r", "--cap", "osd", "allow"],
        ["new", "-l"],
    ],
    "generate": [
        ["good", "-g"],
        ["good", "--gen-key", "-n", "osd.7"],
        ["good", "-l"],
        ["absent", "-g"],
        ["-g", "-a", AES, "good"],
    ],
    "print a new key": [["--gen-print-key"], ["--gen-print-key", "good"]],
    "add": [
        ["good", "-a", AES, "-n", "client.b"],
        ["good", f"--add-key={AES}", "-n", "osd.1", "--cap", "osd", "allow *"],
        ["good", "-l"],
        ["good", "-a", "nonsense"],
        ["good", "-a", ""],
        ["good", "-a"],
        ["good", "-l"],
    ],
    "cap": [
        ["good", "--cap", "mon", "allow r"],
        ["good", "--cap", "osd", 'allow rw pool="x y"', "--cap", "mon", ""],
        ["good", "--cap", "mon", "one", "--cap", "mon", "two"],
        ["good", "-l"],
        ["good", "--cap", "mon", "allow", "-n", "client.absent"],
        ["good", "--cap"],
        ["good", "--cap", "mon"],
    ],
    "caps": [
        ["good", "--caps", "caps"],
        ["good", "-l"],
        ["good", "--caps", "capsone", "-n", "client.new"],
        ["good", "-l"],
        ["good", "--caps", "absent"],
        ["good", "--caps", "capsbad"],
        ["good", "--caps", "empty"],
        ["good", "-l"],
    ],
    "import": [
        ["good", "--import-keyring", "two"],
        ["good", "-l"],
        ["-C", "new", "--import-keyring", "good"],
        ["new", "--import-keyring", "badkey"],
        ["new", "--import-keyring", "absent"],
        ["new", "-l"],
    ],
    "mode": [
        ["-C", "new", "--mode", "0644"],
        ["-C", "new", "--mode", "600"],
        ["-C", "other", "--mode", "0640", "-g"],
        ["-C", "third", "--mode", "999"],
        ["-C", "third", "--mode", "x"],
        ["-C", "third", "--mode"],
    ],
    "usage": [
        ["good", "extra", "-l"],
        ["good", "-b"],
        ["good", "-u", "5", "-l"],
        ["good", "-l", "-n", "nonsense"],
        ["good", "-l", "-n", "nobody.x"],
        ["good", "-n"],
        ["--help"],
        ["good", "-h"],
    ],
    "general options": [
        ["good", "-l", "--debug-ms", "1"],
        ["good", "-l", "--keyring", "elsewhere"],
        ["good", "-l", "--no-log-to-stderr"],
        ["good", "--gen_key"],
        ["good", "--list"],
    ],
    "places": [
        ["missing/file", "-l"],
        ["-C", "missing/file", "-g"],
        [".", "-l"],
        ["-C", ".", "-g"],
    ],
}


@dataclass
class Ran:
    """What one step did."""

    status: int
    out: str
    err: str
    files: dict[str, tuple[str, int]] = field(default_factory=dict)


def without_new_keys(text: str) -> str:
    def hide(found: re.Match[str]) -> str:
        return found[0] if found[0] in KNOWN else f"<new key of {len(found[0])}>"

    return NEW_KEY.sub(hide, text)


def plain(ran: Ran) -> Ran:
    """`ran` without what may differ: new keys, the usage, a parser's own words."""
    out = ran.out.partition("usage: ")[0]
    err = re.sub(r"^(parse error|[\w/.]+:\d+:\d+): .*\n", "", ran.err, flags=re.MULTILINE)
    files = {name: (without_new_keys(text), mode) for name, (text, mode) in ran.files.items()}
    return Ran(ran.status, without_new_keys(out), without_new_keys(err), files)


def files_of(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (path.read_text(), stat.S_IMODE(path.stat().st_mode))
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


def furnish(folder: Path) -> None:
    for name, text in FILES.items():
        path = folder / name
        path.write_text(text)
        path.chmod(0o640)


def run_real(words: list[str], folder: Path, command: tuple[str, ...] = ("ceph-authtool",)) -> Ran:
    ended = subprocess.run(
        [*command, *words],
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr, files_of(folder))


def run_ours(words: list[str], folder: Path) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = main(words, "ceph-authtool")
    return Ran(status, out.getvalue(), err.getvalue(), files_of(folder))


def as_16_2(words: list[str]) -> list[str]:
    """The same for us: 16.2 makes keys of type aes, which we must be told."""
    makes_keys = {"-g", "--gen-key", "--gen_key", "--gen-print-key"} & set(words)
    return [*words, "--key-type", "aes"] if makes_keys else words


def compare(steps: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as theirs, tempfile.TemporaryDirectory() as ours:
        furnish(Path(theirs))
        furnish(Path(ours))
        for words in steps:
            expected = plain(run_real(words, Path(theirs)))
            got = plain(run_ours(as_16_2(words), Path(ours)))
            assert got == expected, words


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("CEPH_ARGS", "CEPH_CONF", "CEPH_KEYRING"):
        monkeypatch.delenv(name, raising=False)


@needs_authtool
@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts(script):
    compare(SCRIPTS[script])


NAMES = st.sampled_from(["good", "two", "old", "empty", "bare", "nokey", "new"])
ENTITIES = st.sampled_from(["client.admin", "client.a", "osd.0", "mon.", "mds.x y", "client."])
CAPS = st.sampled_from(["allow *", "", "allow rw pool=x", 'say "no"', "it's", "a\tb", "tail\\"])
OPTIONS = st.one_of(
    st.sampled_from([["-l"], ["-p"], ["-g"], ["-C"], ["--list"], ["--caps", "caps"]]),
    st.tuples(st.just("-n"), ENTITIES).map(list),
    st.tuples(st.just("--cap"), st.sampled_from(["mon", "osd", "x y"]), CAPS).map(list),
    st.tuples(st.just("-a"), st.sampled_from([AES, "AAAA", "x"])).map(list),
    st.tuples(st.just("--import-keyring"), NAMES).map(list),
)
STEPS = st.tuples(NAMES, st.lists(OPTIONS, max_size=4)).map(
    lambda step: [step[0], *(word for option in step[1] for word in option)]
)


@needs_authtool
@given(st.lists(STEPS, min_size=1, max_size=3))
def test_generated_scripts(steps):
    compare(steps)


# ------------------------------------------------------------------------------- the newer release


@pytest.fixture
def newer():
    """A folder that a newer ceph-authtool can reach, and the command that runs it there."""
    with tempfile.TemporaryDirectory(dir=Path(NEWER_ROOT, "tmp")) as folder:
        furnish(Path(folder))
        inside = "/" + str(Path(folder).relative_to(NEWER_ROOT))
        script = f'cd {inside} && exec ceph-authtool "$@"'
        yield Path(folder), ("chroot", NEWER_ROOT, "sh", "-c", script, "ceph-authtool")


NEWER_STEPS = [
    ["-C", "new", "-g", "--key-type", "aes256k"],
    ["new", "-g", "-n", "client.a", "--key-type", "aes"],
    ["new", "-g", "-n", "client.b", "--key-type", "AES256K", "--cap", "mon", "allow r"],
    ["new", "-g", "-n", "client.c"],
    ["new", "-l"],
    ["new", "-p", "-n", "client.b"],
    ["new", "-a", AES256K, "-n", "client.d"],
    ["new", "-a", AES, "-n", "client.e"],
    ["new", "-l"],
    ["new", "-g", "--key-type", "des"],
    ["new", "-g", "--key-type", ""],
    ["new", "-g", "--key-type"],
    ["new", "--key-type", "aes"],
    ["--gen-print-key"],
    ["--gen-print-key", "--key-type", "aes"],
    ["--gen-print-key", "--key-type", "none"],
]


@needs_newer
def test_the_newer_release(newer, tmp_path):
    folder, command = newer
    furnish(tmp_path)
    for words in NEWER_STEPS:
        expected = plain(run_real(words, folder, command))
        assert plain(run_ours(words, tmp_path)) == expected, words


@needs_authtool
def test_each_reads_what_the_other_wrote(tmp_path):
    words = ["-C", "ring", "-g", "-n", "client.x", "--cap", "osd", 'allow rw pool="a b"']
    assert run_ours(as_16_2(words), tmp_path).status == 0
    ours = run_ours(["ring", "-l"], tmp_path).out
    assert run_real(["ring", "-l"], tmp_path).out == ours
    assert run_real(["ring", "-g", "-n", "client.y"], tmp_path).status == 0
    assert run_ours(["ring", "-l"], tmp_path).out == run_real(["ring", "-l"], tmp_path).out
