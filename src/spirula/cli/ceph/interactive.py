"""`spirula ceph` without a command: takes commands from a prompt, or from the standard input.

One session serves them all; `quit`, `q`, `exit` or the end of input ends it.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from spirula.cli.ceph.descriptions import Signature
from spirula.cli.ceph.kinds import Refused
from spirula.cli.ceph.options import make_parser
from spirula.cli.ceph.sending import carry_out, complain
from spirula.cli.ceph.targets import Answer, find_target
from spirula.rados import Rados

PROMPT = "ceph> "
_ENDS = frozenset({"q", "quit", "Q", "exit"})


def run(
    cluster: Rados, options: argparse.Namespace, signatures: Sequence[Signature], data: bytes
) -> Answer:
    """Carry commands out until there are no more."""
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        # Imported for what it does to input(): lines can be edited, and come back.
        import readline  # noqa: F401, PLC0415 - it changes the terminal: only where there is one
    while True:
        try:
            line = _read_line(is_terminal=is_terminal)
        except EOFError:
            return 0, b"\n", ""
        if line is None:
            return 0, b"", ""
        _one(cluster, options, signatures, line, data)


def _read_line(*, is_terminal: bool) -> str | None:
    """The next line that is not empty; None at the end."""
    while True:
        line = input(PROMPT) if is_terminal else sys.stdin.readline()
        if not is_terminal and not line:
            return None
        line = line.rstrip()
        if is_terminal and line in _ENDS:
            return None
        if line:
            return line


def _one(
    cluster: Rados,
    options: argparse.Namespace,
    signatures: Sequence[Signature],
    line: str,
    data: bytes,
) -> None:
    try:
        words = make_parser().parse_known_args(shlex.split(line))[1]
        target = find_target(words)
    except (Refused, ValueError) as error:
        print(f"error handling command target: {error}", file=sys.stderr)
        return
    if words[:1] == ["tell"]:
        print("Can not use 'tell' in interactive mode.", file=sys.stderr)
        return
    status, output, complaint = carry_out(cluster, options, target, signatures, words, data)
    if status < 0:
        complain(status, complaint)
        return
    if complaint:
        print(complaint, file=sys.stderr)
    if output:
        print(output.decode("utf-8", "replace"), flush=True)
