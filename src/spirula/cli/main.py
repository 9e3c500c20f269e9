"""The `spirula` command: finds the subcommand, runs it, and turns its errors into one line.

A subcommand is a module of this package with `main(argv: list[str]) -> int`. It is imported when it
is called, never before, so that `spirula --help` stays quick whatever the rest of Spirula grows to.
What a subcommand prints and which options it has is its own business.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import spirula
from spirula.errors import (
    CephError,
    Indeterminate,
    InvariantBroken,
    ProtocolViolation,
    SpirulaError,
    WireError,
)


class Subcommand(NamedTuple):
    """Where a subcommand lives ("module:function") and what it is for, in one line."""

    target: str
    help: str


# One line each, in the order in which --help shows them.
SUBCOMMANDS: dict[str, Subcommand] = {
    "authtool": Subcommand(
        "spirula.cli.authtool:main", "make, read and change keyrings, as ceph-authtool does"
    ),
    "ceph": Subcommand(
        "spirula.cli.ceph.main:main", "send a command to a cluster or one of its daemons"
    ),
    "completion": Subcommand(
        "spirula.cli.completion:main", "print a script that has a shell complete these commands"
    ),
    "conf": Subcommand("spirula.cli.conf:main", "look into configuration files, as ceph-conf does"),
    "crush": Subcommand(
        "spirula.cli.crush:main", "draw a hierarchy, and tell what changing it would move"
    ),
    "crushtool": Subcommand(
        "spirula.cli.crushtool:main", "make, change, show and test CRUSH maps, as crushtool does"
    ),
    "dencoder": Subcommand(
        "spirula.cli.dencoder:main", "decode, show and check encoded values, as ceph-dencoder does"
    ),
    "down": Subcommand("spirula.cli.cluster:down", "end the cluster that `up` started"),
    "logs": Subcommand("spirula.cli.cluster:logs", "show the logs of a cluster's daemons"),
    "mgr": Subcommand("spirula.cli.mgr:main", "run a manager, as ceph-mgr does"),
    "mon": Subcommand("spirula.cli.mon:main", "run a monitor, as ceph-mon does"),
    "monmaptool": Subcommand(
        "spirula.cli.monmaptool:main", "make, change and show monitor maps, as monmaptool does"
    ),
    "objectstore-tool": Subcommand(
        "spirula.cli.objectstore_tool:main",
        "look into the store of a stopped OSD, as ceph-objectstore-tool does",
    ),
    "osd": Subcommand("spirula.cli.osd:main", "run an OSD, as ceph-osd does"),
    "osd replace": Subcommand(
        "spirula.cli.osd_replace:main", "give an OSD whose disk has died a new store"
    ),
    "rados": Subcommand("spirula.cli.rados:main", "read, write and list objects, as rados does"),
    "status": Subcommand("spirula.cli.cluster:status", "show a cluster's daemons and its status"),
    "store": Subcommand(
        "spirula.cli.store:main", "look into the store of a stopped OSD, and move its PGs"
    ),
    "up": Subcommand("spirula.cli.up:up", "start a cluster on this machine"),
    "osdmaptool": Subcommand(
        "spirula.cli.osdmaptool:main", "make, show, test and balance OSD maps, as osdmaptool does"
    ),
}

# What to do about an error. Only for errors where the text of the error cannot know.
ADVICE: dict[int, str] = {
    errno.EACCES: "check that the keyring holds this name with the cluster's key, and its caps",
    errno.ECONNREFUSED: "check that the monitors of `mon_host` run and listen there",
    errno.ENOTCONN: "check `mon_host` in the configuration, then try again",
    errno.EPERM: "check the caps of this name with `auth get`",
    errno.ETIMEDOUT: "check that the monitors of `mon_host` can be reached and have a quorum",
}

# The errno that stands for each family of errors that carries none.
FAMILIES: tuple[tuple[type[SpirulaError], int, str], ...] = (
    (WireError, errno.EBADMSG, "the bytes are damaged or of another type or release"),
    (ProtocolViolation, errno.EPROTO, "look into the log of the peer at this time"),
    (Indeterminate, errno.ETIMEDOUT, "it may have happened or not: look before you repeat it"),
)

INTERRUPTED = 130  # what a shell shows for a program that SIGINT ended
BROKEN_PIPE = 141  # likewise for SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run `spirula ARGV...` and give the exit status.

    0 is success, 2 wrong usage, 130 interrupted, 141 nobody reads the output; every other failure
    ends with its errno, as upstream's commands do. A bug of ours (`InvariantBroken`, or any
    exception that is not Spirula's) keeps its traceback.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and not arguments[0].startswith("-"):
        name, *rest = arguments
        if " ".join(arguments[:2]) in SUBCOMMANDS:
            name, rest = " ".join(arguments[:2]), arguments[2:]
        if name not in SUBCOMMANDS:
            return _unknown(name)
        return _run(name, rest)
    return _top_level(arguments)


def _run(name: str, argv: list[str]) -> int:
    """Call the subcommand `name` and map what it raises to a line on stderr and a status."""
    try:
        status = _load(SUBCOMMANDS[name].target)(argv)
        # A closed pipe must show here, where it can be answered, and not while Python ends.
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output is gone. What is still buffered goes nowhere, without complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except InvariantBroken:
        raise
    except (SpirulaError, OSError) as error:
        number, advice = explain(error)
        print(f"spirula {name}: {describe(error, number)}{advice}", file=sys.stderr)
        return number
    return status


def _load(target: str) -> Callable[[list[str]], int]:
    """Import "module:function"."""
    module, _, function = target.partition(":")
    loaded: Callable[[list[str]], int] = getattr(importlib.import_module(module), function)
    return loaded


def explain(error: SpirulaError | OSError) -> tuple[int, str]:
    """The errno that `error` ends the command with, and what to do about it (or nothing)."""
    if isinstance(error, CephError | OSError):
        number = error.errno or errno.EIO
        is_about_a_file = isinstance(error, OSError) and error.filename is not None
        advice = "" if is_about_a_file else ADVICE.get(number, "")
    else:
        number, advice = next(
            ((code, text) for family, code, text in FAMILIES if isinstance(error, family)),
            (errno.EIO, ""),
        )
    return min(number, 255), f" ({advice})" if advice else ""


def describe(error: SpirulaError | OSError, number: int) -> str:
    """One line, beginning with the name of the errno: "ENOENT: no such pool"."""
    if isinstance(error, CephError):
        text = str(error)
    else:
        reason = str(error)
        if isinstance(error, OSError) and error.errno is not None:
            reason = error.strerror or os.strerror(error.errno)
            if error.filename is not None:
                reason = f"{os.fsdecode(error.filename)}: {reason}"
        text = f"{errno.errorcode.get(number, number)}: {reason or os.strerror(number)}"
    return " ".join(text.split())


def _unknown(name: str) -> int:
    import difflib  # noqa: PLC0415 - an eighth of the start-up time, for this one case

    near = difflib.get_close_matches(name, SUBCOMMANDS, n=1, cutoff=0.5)
    hint = f"did you mean `spirula {near[0]}`?" if near else "`spirula --help` lists them"
    print(f"spirula: no subcommand {name!r}: {hint}", file=sys.stderr)
    return 2


def _top_level(argv: list[str]) -> int:
    """What `spirula` says by itself: --help and --version."""
    import argparse  # noqa: PLC0415 - subcommands that parse by themselves do not pay for it

    width = max(map(len, SUBCOMMANDS), default=0)
    listing = "\n".join(f"  {name:<{width}}  {sub.help}" for name, sub in SUBCOMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="spirula",
        usage="spirula [-h | --version] SUBCOMMAND ...",
        description="Ceph in Python. `spirula SUBCOMMAND --help` tells what each one takes.",
        epilog=f"subcommands:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"spirula {spirula.__version__}")
    try:
        parser.parse_args(argv)
    except SystemExit as end:  # argparse has printed what there is to say
        return end.code if isinstance(end.code, int) else 2
    parser.print_help(sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
