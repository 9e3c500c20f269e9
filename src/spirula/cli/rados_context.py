"""What the sub-commands of `spirula rados` share: arguments, the pool, output and complaints."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from spirula.rados.aio import Cluster, Ioctx
from spirula.rados.errors import Error


class Failed(Exception):
    """The command failed; the text is the complaint."""


class Usage(Exception):
    """Arguments are missing."""


class Context:
    """One run: `args` are the options, `words` the arguments of the sub-command."""

    def __init__(self, args: argparse.Namespace, words: list[str]) -> None:
        self.args = args
        self.words = words
        self.out: BinaryIO = sys.stdout.buffer
        self.cluster: Cluster | None = None
        self._ioctx: Ioctx | None = None

    def open(self, ioctx: Ioctx) -> None:
        """Work in a pool, where the options say."""
        ioctx.set_namespace(self.args.namespace)
        ioctx.set_locator_key(self.args.object_locator)
        self._ioctx = ioctx

    @property
    def ioctx(self) -> Ioctx:
        """The pool. Usage where none was named."""
        if self._ioctx is None:
            raise Usage("pool name was not specified")
        return self._ioctx

    @property
    def pool(self) -> str:
        """Its name."""
        return self.ioctx.name

    async def choose_snapshot(self) -> None:
        """Read at the snapshot that the options name."""
        name = self.args.snap
        if name is None:
            return
        with self.failing(f"error looking up snap '{name}'"):
            snap = self.ioctx.lookup_snap(name)
        self.say(f"selected snap {snap.snap_id} '{name}'")
        self.ioctx.set_read(snap.snap_id)

    def take(self, *names: str) -> tuple[str, ...]:
        """The arguments, one for each name. Usage where one is missing."""
        if len(self.words) < len(names):
            raise Usage(f"{names[len(self.words)]} is missing")
        return tuple(self.words[: len(names)])

    def say(self, text: str, end: str = "\n") -> None:
        """A line of output."""
        self.out.write((text + end).encode("utf-8", "surrogateescape"))

    def complain(self, text: str) -> None:
        """A line on the error output, after what was said before it."""
        self.out.flush()
        print(text, file=sys.stderr)

    def reason(self, error: Error) -> str:
        """An error as upstream's commands tell it: (2) No such file or directory."""
        number = error.errno or 22
        return f"({number}) {os.strerror(number)}"

    @contextmanager
    def failing(self, what: str, between: str = ": ") -> Iterator[None]:
        """Complain in these words where what is inside raises an Error."""
        try:
            yield
        except Error as error:
            raise Failed(f"{what}{between}{self.reason(error)}") from error

    def read_input(self, path: str) -> BinaryIO:
        """A file to read, `-` for standard input. Failed where it cannot be read."""
        if path == "-":
            return sys.stdin.buffer
        try:
            return Path(path).open("rb")
        except OSError as error:
            text = f"error reading input file {path}: ({error.errno}) {error.strerror}"
            raise Failed(text) from error

    def write_output(self, path: str) -> BinaryIO:
        """A file to write, `-` for standard output. Failed where it cannot be made."""
        if path == "-":
            return self.out
        try:
            return Path(path).open("wb")
        except OSError as error:
            text = f"error writing output file {path}: ({error.errno}) {error.strerror}"
            raise Failed(text) from error


def hexdump(data: bytes) -> str:
    """Bytes as upstream shows them, sixteen to a line, with the length below; nothing for none."""
    if not data:
        return ""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        halves = [" ".join(f"{byte:02x}" for byte in row[k : k + 8]) for k in (0, 8)]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{at:08x}  {halves[0]:<23}  {halves[1]:<23}  |{shown}|")
    return "\n".join([*lines, f"{len(data):08x}"]) + "\n"
