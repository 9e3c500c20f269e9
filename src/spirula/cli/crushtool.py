"""`spirula crushtool`: CRUSH maps from text and to text, as upstream's `crushtool` does it.

Options, files, printed lines and exit codes are those of src/tools/crushtool.cc in 16.2; the tests
run both side by side. Complaints about a text name line and column and what was expected there.
Called by the dispatcher only.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spirula.conf.args import UsageError, Words
from spirula.crush.text import CrushTextError, compile_map, decompile_map
from spirula.crush.wire import CrushWrapper
from spirula.errors import CephError, WireError

PROGRAM = "crushtool"
USAGE = """\
usage: spirula crushtool [options] action

actions
  -c, --compile FILE      make a map of the text in FILE
  -d, --decompile FILE    show the map in FILE (- is standard input) as text

options
  -o, --outfn FILE        where the map or the text goes; without it a text is
                          printed, and a map is checked and thrown away
      --newer             write the text as releases from 18.2 do: five digits
                          of weights, and rules without sizes
  -h, --help
"""


@dataclass(slots=True)
class _Request:
    """What the arguments ask for."""

    source: str | None = None
    map: str | None = None
    out: str = ""
    newer: bool = False


class _Failure(Exception):
    """Ends the command with a line on stderr."""

    def __init__(self, line: str, status: int = 1) -> None:
        super().__init__(line)
        self.line = line
        self.status = status


def main(argv: list[str]) -> int:
    """Runs the command; the result is the exit status."""
    if "-h" in argv or "--help" in argv:
        print(USAGE, end="")
        return 0
    try:
        request = _parse(argv)
        if request.source is not None:
            _compile(request.source, request.out)
        elif request.map is not None:
            _decompile(request.map, request)
    except UsageError as error:
        print(error.message, file=sys.stderr)
        return 1
    except _Failure as failure:
        print(failure.line, file=sys.stderr)
        return failure.status
    return 0


def _parse(argv: Sequence[str]) -> _Request:
    if not argv:
        raise _Failure(f"{PROGRAM}: -h or --help for usage")
    request, words = _Request(), Words(argv)
    while words:
        if (value := words.value("-c", "--compile")) is not None:
            request.source = value
        elif (value := words.value("-d", "--decompile")) is not None:
            request.map = value
        elif (value := words.value("-o", "--outfn")) is not None:
            request.out = value
        elif words.flag("--newer"):
            request.newer = True
        else:
            words.keep()
    if request.source is not None and request.map is not None:
        raise _Failure("cannot specify more than one of compile and decompile")
    if request.source is None and request.map is None:
        raise _Failure("no action specified; -h for help")
    if words.left:
        raise _Failure(f"unrecognized arguments: [{','.join(words.left)}]")
    return request


def _compile(path: str, out: str) -> None:
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise _Failure(f"input file {path} not found", 256 - errno.ENOENT) from error
    except OSError as error:
        raise _Failure(f"{PROGRAM}: error reading '{path}': {error.strerror}") from error
    try:
        made = compile_map(raw.decode("utf-8", "surrogateescape"), path)
    except CrushTextError as error:
        raise _Failure(error.message) from error
    if out:
        _write(out, made.encode())
    else:
        print(
            f"{PROGRAM} successfully built or modified map.  Use '-o <file>' to write it out.",
        )


def _decompile(path: str, request: _Request) -> None:
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise _Failure(f"{PROGRAM}: error reading '{path}': {error.strerror}") from error
    try:
        crush = CrushWrapper.decode(raw)
    except WireError as error:
        raise _Failure(f"{PROGRAM}: unable to decode {path}: {error}") from error
    try:
        text = decompile_map(crush, newer=request.newer)
    except CephError as error:
        raise _Failure(f"{PROGRAM}: {path} has no text: {error.message}") from error
    shown = text.encode("utf-8", "surrogateescape")
    if request.out:
        _write(request.out, shown)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(shown)


def _write(path: str, content: bytes) -> None:
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO)
        raise _Failure(f"{PROGRAM}: error writing '{path}': {reason}") from error
