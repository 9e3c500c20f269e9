from __future__ import annotations

import errno
import importlib
import os
import resource
import subprocess
import sys

import pytest

import spirula
from spirula import errors
from spirula.cli import main as cli


@pytest.fixture
def subcommand(monkeypatch):
    """Give `spirula try` the body that the test hands in."""

    def install(body):
        monkeypatch.setattr(
            cli, "SUBCOMMANDS", {"try": cli.Subcommand("tests.nowhere:main", "try it")}
        )
        monkeypatch.setattr(cli, "_load", lambda _target: body)

    return install


def raiser(error):
    def body(_argv):
        raise error

    return body


@pytest.mark.parametrize("name", cli.SUBCOMMANDS)
def test_each_subcommand_exists_and_explains_itself(name, capsys):
    module, function = cli.SUBCOMMANDS[name].target.split(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert cli.SUBCOMMANDS[name].help
    cli.main(["--help"])
    assert name in capsys.readouterr().out


def test_arguments_and_status_pass_through(subcommand):
    seen = []

    def body(argv):
        seen.append(argv)
        return 7

    subcommand(body)
    assert cli.main(["try", "--help", "-x", "a b"]) == 7
    assert seen == [["--help", "-x", "a b"]]


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (errors.NotFound("no such pool"), errno.ENOENT, "spirula try: ENOENT: no such pool\n"),
        (errors.CephError.from_errno(-errno.EEXIST), errno.EEXIST, "EEXIST: File exists\n"),
        (errors.PermissionDenied("bad key"), errno.EACCES, "EACCES: bad key (check that"),
        (
            errors.Truncated("3 bytes are missing", offset=9, path="MonMap.fsid"),
            errno.EBADMSG,
            "EBADMSG: MonMap.fsid: 3 bytes are missing at byte 9 (the bytes are damaged",
        ),
        (errors.ProtocolViolation("banner", "got HTTP"), errno.EPROTO, "EPROTO: banner: got HTTP"),
        (errors.Indeterminate("no reply"), errno.ETIMEDOUT, "ETIMEDOUT: no reply (it may have"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "ceph.conf"),
            errno.ENOENT,
            "ENOENT: ceph.conf: No such file or directory\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "some.file"),
            errno.EACCES,
            "EACCES: some.file: Permission denied\n",
        ),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), errno.ECONNREFUSED, "`mon_host`"),
        (errors.CephError("two\nlines"), errno.EIO, "EIO: two lines\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_one_line_and_its_errno(subcommand, capsys, error, status, line):
    subcommand(raiser(error))
    assert cli.main(["try"]) == status
    shown = capsys.readouterr()
    assert line in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_a_bug_keeps_its_traceback(subcommand):
    subcommand(raiser(errors.InvariantBroken("two leaders")))
    with pytest.raises(errors.InvariantBroken):
        cli.main(["try"])


def test_ctrl_c_is_silent(subcommand, capsys):
    subcommand(raiser(KeyboardInterrupt()))
    assert cli.main(["try"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("authtol", "did you mean `spirula authtool`?"), ("zzz", "`spirula --help` lists them")],
)
def test_a_misspelled_subcommand(monkeypatch, capsys, typed, hint):
    monkeypatch.setattr(cli, "SUBCOMMANDS", {"authtool": cli.Subcommand("x:y", "keyrings")})
    assert cli.main([typed]) == 2
    assert hint in capsys.readouterr().err


def test_version_and_wrong_options(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"spirula {spirula.__version__}\n"
    assert cli.main(["--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err
    assert cli.main([]) == 2
    assert "usage: spirula" in capsys.readouterr().err


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments], text=True, check=False, timeout=100, **options
    )


def test_a_reader_that_leaves_is_no_error():
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        ended = run(
            "-c",
            "import sys; from spirula.cli import main as cli\n"
            "cli.SUBCOMMANDS['try'] = cli.Subcommand('x:y', '')\n"
            "cli._load = lambda target: lambda argv: print('much' * 100_000) or 0\n"
            "sys.exit(cli.main(['try']))",
            stdout=write_end,
            stderr=subprocess.PIPE,
        )
    finally:
        os.close(write_end)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_python_dash_m():
    ended = run("-m", "spirula", "--version", capture_output=True)
    assert (ended.returncode, ended.stdout) == (0, f"spirula {spirula.__version__}\n")


def test_help_imports_no_subcommand():
    ended = run(
        "-c",
        "import sys; from spirula.cli.main import main; main(['--help'])\n"
        "print(*(name for name in sys.modules if name.startswith('spirula')), file=sys.stderr)",
        capture_output=True,
    )
    assert set(ended.stderr.split()) == {
        "spirula",
        "spirula.cli",
        "spirula.cli.main",
        "spirula.errors",
    }


def least_cpu_ms(*arguments):
    """What the machine spends on a run, the least of five: how long we wait depends on others."""
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(*arguments, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent) * 1000


def test_starts_at_once():
    # A tenth of a second and a bit, or on a slow machine so many times what Python itself takes.
    bare = least_cpu_ms("-c", "pass")
    assert least_cpu_ms("-c", "import spirula") - bare < max(50, 3 * bare)
    assert least_cpu_ms("-m", "spirula", "--help") < max(150, 8 * bare)
