"""`spirula conf` against Debian's `ceph-conf`: same output, same exit status, file by file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spirula.cli import conf as cli
from spirula.conf.file import ConfSyntaxError, dump_conf, parse_conf
from spirula.conf.options import newer

# Where its libraries lie depends on how a Ceph was built; one option is ours alone, some are newer.
NEWER = "|".join(option.name for option in newer.OPTIONS)
ELSEWHERE = re.compile(
    rf"spirula_log_format|(erasure_code|plugin|osd_class)_dir|container_image|{NEWER}"
)
FILES = sorted((Path(__file__).parents[1] / "unit/conf/files").glob("*.conf"))
ENVIRONMENT = {"PATH": os.environ.get("PATH", ""), "HOME": "/home/somebody"}

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("ceph-conf") is None, reason="Debian's ceph-conf is absent"),
]


def real(*args: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ceph-conf", *args],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT | extra,
        errors="surrogateescape",
    )


@pytest.fixture
def ours(monkeypatch, capsys):
    """Runs our command in this process, with the environment that `real` gives."""

    def run(*args: str, **extra: str) -> tuple[int, str, str]:
        for name in list(os.environ):
            if name.startswith("CEPH_"):
                monkeypatch.delenv(name)
        for name, value in (ENVIRONMENT | extra).items():
            monkeypatch.setenv(name, value)
        status = cli.main(list(args))
        out, err = capsys.readouterr()
        return status, out, err

    return run


def same(ours, *args: str, **extra: str) -> None:
    expected = real(*args, **extra)
    if expected.returncode < 0:
        return  # 16.2 aborts on some texts with bytes beyond ASCII; there is no answer to compare
    status, out, err = ours(*args, **extra)
    assert (status, out) == (expected.returncode, expected.stdout), (args, expected.stderr, err)


KEYS = sorted(
    {
        key
        for path in FILES
        for text in [path.read_bytes().decode("utf-8", "replace")]
        for key in re.findall(r"^\s*([a-z][a-z_ ]*?)\s*=", text, re.MULTILINE)
    }
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_read_alike(ours, path):
    args = ("-c", str(path))
    expected = real(*args, "--show-conf")
    if expected.returncode < 0:
        return  # see `same`
    status, _, err = ours(*args, "--show-conf")
    assert status == expected.returncode
    if status == 0:
        # Warnings about headings such as [osd0] stand in front, without a line end of their own.
        assert err == re.sub(r"^ERROR! old-style.*?period\.", "", expected.stderr)
    else:
        # Both name the place where they stopped; \n\r counts differently, tabs as four columns.
        found = re.search(r"in line (\d+) at position (\d+)", expected.stderr)
        if found and b"\t" not in path.read_bytes() and b"\r" not in path.read_bytes():
            assert f":{found[1]}:{found[2]}: " in err
    same(ours, *args, "-L")
    for key in KEYS[:: max(1, len(KEYS) // 3)]:
        same(ours, *args, "--lookup", key, "--pid", "77")


@pytest.mark.parametrize("key", [*"abcdefghi", "log_file", "pid file", "mon_host"])
@pytest.mark.parametrize("stem", ["metavariables", "quotes", "loop", "deep", "fallthrough"])
def test_lookups_expand_alike(ours, stem, key):
    path = next(path for path in FILES if path.stem == stem)
    for who in ("client.admin", "mon.a", "osd.3"):
        same(ours, "-c", str(path), "-n", who, "--pid", "4711", key)


@pytest.mark.parametrize("who", ["client.admin", "osd.1", "mds.x"])
@pytest.mark.parametrize("stem", ["bad_values", "typed_values", "sizes", "loop", "deep", "plain"])
def test_values_in_force_are_shown_alike(ours, stem, who):
    path = next(path for path in FILES if path.stem == stem)
    args = ("-c", str(path), "-n", who, "--pid", "7", "-D")
    status, out, _ = ours(*args)
    assert status == 0
    theirs = dict(line.partition(" = ")[::2] for line in real(*args).stdout.splitlines())
    mine = dict(line.partition(" = ")[::2] for line in out.splitlines())
    for name in sorted(mine):
        if not ELSEWHERE.fullmatch(name):
            assert (name, mine[name]) == (name, theirs[name])


@pytest.mark.parametrize("fmt", ["plain", "json", "json-pretty", "xml"])
def test_dump_all_agrees_on_every_option_we_have(ours, fmt):
    path = next(path for path in FILES if path.stem == "typed_values")
    args = ("-c", str(path), "-n", "mon.a", "--pid", "7", "-D", "--format", fmt)
    status, out, _ = ours(*args)
    assert status == 0
    pieces = {"plain": "\n", "json": '",', "json-pretty": "\n", "xml": "><"}[fmt]
    theirs = set(real(*args).stdout.split(pieces))
    different = set(out.split(pieces)) - theirs
    assert [piece for piece in different if not ELSEWHERE.search(piece)] == []


@pytest.mark.parametrize(
    "args",
    [
        ["-l", "mon"],
        ["-l", "osd.", "--filter-key", "host"],
        ["-l", "osd.", "--filter-key-value", "host=h3"],
        ["-l", "osd.", "--filter-key-value", "host=h3", "--filter-key", "nothing"],
        ["-L", "--filter_key=weight"],
        ["-s", "osd.7", "host"],
        ["-s", "osd.7", "-s", "osd.8", "--lookup", "weight"],
        ["--section=osd.5", "--lookup=weight"],
        ["--filter-key-value", "novalue"],
        ["-L", "surplus"],
        ["a", "b"],
        ["--lookup", "host", "--", "rest"],
        [],
        ["--lookup"],
        ["-D", "--format", "nonsense"],
        ["-n", "nonsense", "-L"],
        ["-n", "osd.9", "weight"],
        ["--name=osd.10", "weight"],
        ["--id", "9", "-L"],
        ["--cluster", "other", "-c", "/no/such/file", "-L"],
        ["--show-config-value", "no such option"],
        ["--show-config-value", "osd max backfills"],
        ["--show-config-value=osd_max_backfills", "--osd-max-backfills", "9"],
        ["--osd_max_backfills=8", "--show-config-value", "osd_max_backfills"],
        ["--no-mon-allow-pool-delete", "--show-config-value", "mon_allow_pool_delete"],
        ["--mon-allow-pool-delete", "--show-config-value", "mon_allow_pool_delete"],
        ["--mon-allow-pool-delete", "0", "--show-config-value", "mon_allow_pool_delete"],
        ["--mon-allow-pool-delete=1", "--show-config-value", "mon_allow_pool_delete"],
        ["--default-log-file", "/d/$name", "--show-config-value", "log_file"],
        ["-m", "1.2.3.4", "--show-config-value", "mon_host"],
        ["-k", "/k", "--show-config-value", "keyring"],
        ["-d", "--show-config-value", "log_to_stderr"],
        ["--debug-ms", "3", "--show-config-value", "debug_ms"],
        ["--debug-ms=3/4", "--show-config-value", "debug_ms"],
        ["--debug-ms", "100", "--show-config-value", "debug_ms"],
    ],
    ids=" ".join,
)
def test_arguments_mean_the_same(ours, args):
    path = next(path for path in FILES if path.stem == "many_sections")
    same(ours, "-c", str(path), *args)


def test_a_list_of_files_is_resolved_alike(ours):
    path = next(path for path in FILES if path.stem == "slashes")
    for key in ("search", "nothing", "absent"):
        same(ours, "-c", str(path), "--resolve-search", "--lookup", key)


def test_the_environment_counts_alike(ours, tmp_path):
    path = next(path for path in FILES if path.stem == "plain")
    show = ["--show-config-value"]
    same(ours, *show, "fsid", CEPH_CONF=str(path))
    same(ours, *show, "fsid", CEPH_ARGS=f"-c {path}")
    same(ours, "-c", str(path), *show, "keyring", CEPH_KEYRING="/k/$name")
    same(ours, "-c", str(path), *show, "osd_max_backfills", CEPH_ARGS="--osd-max-backfills 3")
    same(ours, "-c", f"/no/such,{path}", *show, "fsid")
    home = tmp_path / ".ceph"
    home.mkdir()
    shutil.copy(path, home / "blue.conf")
    same(ours, "--cluster", "blue", *show, "mon_data", HOME=str(tmp_path))
    shutil.copy(path, tmp_path / "green.conf")
    same(ours, "-c", str(tmp_path / "green.conf"), "-n", "mon.b", *show, "mon_data")


TOKENS = st.sampled_from(
    [
        "[global]",
        "[mon]",
        "[mon.a]",
        "\n[osd]\n",
        "a = b\n",
        'c = "d"\n',
        "e='f' # g\n",
        "\n  # c\n",
        "  h i  =  j  \n",
        "k=[v]",
        "\n;x\n",
        "\\\n",
        "\\#",
        '\\"',
        "\\]",
        "\r\n",
        *"[]= \t\n#;\\\"'ab$\r\v",
    ]
)


@settings(max_examples=150)
@example("[global]\n[#\n")
@example('[global]\na = "x\\\n"\n')
@given(st.lists(TOKENS, max_size=14).map("".join))
def test_generated_files_are_read_alike(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "generated.conf"
    path.write_bytes(f"[global]\n{text}\n".encode())
    expected = real("-c", str(path), "--show-conf")
    try:
        assert parse_conf(path.read_bytes()).render() + "\n" == expected.stderr
    except ConfSyntaxError:
        assert expected.returncode == 1


NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,12}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(str.strip)


@settings(max_examples=60)
@given(st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=4))
def test_files_that_we_write_are_read_back_by_both(tmp_path_factory, sections):
    path = tmp_path_factory.getbasetemp() / "written.conf"
    path.write_text(dump_conf(sections))
    read = parse_conf(path.read_bytes())
    assert {
        name: {key: setting.value for key, setting in settings.items()}
        for name, settings in read.sections.items()
    } == sections
    assert real("-c", str(path), "--show-conf").stderr == read.render() + "\n"
