"""What the sub-commands of `spirula rados` share: arguments, the pool, output and complaints."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from spirula.cli.rados_options import DEFAULT_OP_SIZE
from spirula.conf.formatter import render
from spirula.rados.aio import Cluster, Ioctx, ListedObject, Striper
from spirula.rados.constants import LIBRADOS_ALL_NSPACES
from spirula.rados.errors import Error
from spirula.types.pg import PGId


class Failed(Exception):
    """The command failed; the text is the complaint."""


class Usage(Exception):
    """Arguments are missing."""


class Context:
    """One run: `args` are the options, `words` the arguments of the sub-command.

    `pgid` is the PG that `--pgid` names.
    """

    def __init__(self, args: argparse.Namespace, words: list[str]) -> None:
        self.args = args
        self.words = words
        self.out: BinaryIO = sys.stdout.buffer
        self.cluster: Cluster | None = None
        self.pgid: PGId | None = None
        self._ioctx: Ioctx | None = None

    def open(self, ioctx: Ioctx) -> None:
        """Work in a pool, where the options say."""
        ioctx.set_namespace(self.args.namespace or "")
        ioctx.set_locator_key(self.args.object_locator)
        self._ioctx = ioctx

    @property
    def connected(self) -> Cluster:
        """The session."""
        if self.cluster is None:
            raise Failed("there is no session")
        return self.cluster

    @property
    def ioctx(self) -> Ioctx:
        """The pool. Usage where none was named."""
        if self._ioctx is None:
            raise Usage("pool name was not specified")
        return self._ioctx

    @property
    def objects(self) -> Ioctx | Striper:
        """What reads and writes objects: the pool, or with `--striper` stripes in it."""
        return Striper(self.ioctx) if self.args.striper else self.ioctx

    @property
    def pool(self) -> str:
        """Its name."""
        return self.ioctx.name

    @property
    def op_size(self) -> int:
        """Bytes to read or write at once: multiples of a stripe where the pool needs that."""
        size: int = self.args.block_size or DEFAULT_OP_SIZE
        alignment = self.ioctx.alignment()
        return -(-size // alignment) * alignment if alignment else size

    @property
    def is_wild(self) -> bool:
        """Whether all namespaces are meant."""
        return self.args.all and not self.args.default and self.args.namespace is None

    def choose_snapshot(self) -> None:
        """Read at the snapshot that the options name."""
        name, snap_id = self.args.snap, self.args.snapid
        if name is not None:
            with self.failing(f"error looking up snap '{name}'"):
                snap_id = self.ioctx.lookup_snap(name).snap_id
        elif snap_id is not None:
            known = [snap.name for snap in self.ioctx.list_snaps() if snap.snap_id == snap_id]
            if not known:
                raise Failed(f"snapid {snap_id} doesn't exist in pool {self.pool}")
            name = known[0]
        if name is not None:
            self.say(f"selected snap {snap_id} '{name}'")
            self.ioctx.set_read(snap_id)

    async def other_pool(self, name: str) -> Ioctx:
        """The pool of a target, where the options say that it is."""
        with self.failing(f"error opening target pool {name}"):
            target = await self.connected.open_ioctx(name)
        target.set_locator_key(self.args.target_locator)
        target.set_namespace(self.args.target_nspace)
        return target

    def everything(self) -> AsyncIterator[ListedObject]:
        """The pool's objects, in all namespaces."""
        ioctx = self.ioctx.dup()
        ioctx.set_namespace(LIBRADOS_ALL_NSPACES)
        return ioctx.list_objects()

    def place(self, listed: ListedObject) -> Ioctx:
        """Where a listed object is."""
        ioctx = self.ioctx.dup()
        ioctx.set_namespace(listed.nspace)
        ioctx.set_locator_key(listed.locator)
        return ioctx

    def take(self, *names: str) -> tuple[str, ...]:
        """The arguments, one for each name. Usage where one is missing."""
        if len(self.words) < len(names):
            raise Usage(f"{names[len(self.words)]} is missing")
        return tuple(self.words[: len(names)])

    def say(self, text: str, end: str = "\n") -> None:
        """A line of output."""
        self.out.write((text + end).encode("utf-8", "surrogateescape"))

    def show(self, name: str, document: object, default: str = "json-pretty") -> None:
        """A document in the format that was asked for; `name` is what XML calls it."""
        pretty = "-pretty" if self.args.pretty_format and default == "json" else ""
        output_format = self.args.format or default + pretty
        text = render(document, output_format, name)
        if self.args.output:
            with self.write_output(self.args.output) as stream:
                stream.write(text.encode("utf-8", "surrogateescape"))
        else:
            self.say(text, end="")

    def complain(self, text: str) -> None:
        """A line on the error output, after what was said before it."""
        self.out.flush()
        for name in self.words[:2]:
            text = text.replace(name, printable(name)) if name else text
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

    def read_input(self, path: str, what: str = "") -> BinaryIO:
        """A file to read, `-` for standard input. Failed (`what` begins it) where it cannot be."""
        if path == "-":
            return sys.stdin.buffer
        try:
            return Path(path).open("rb")
        except OSError as error:
            what = what or f"error reading input file {path}"
            raise Failed(f"{what}: ({error.errno}) {error.strerror}") from error

    def write_output(self, path: str, what: str = "") -> BinaryIO:
        """A file to write, `-` for standard output. Failed likewise where it cannot be made."""
        if path == "-":
            return self.out
        try:
            return Path(path).open("wb")
        except OSError as error:
            what = what or f"error writing output file {path}"
            raise Failed(f"{what}: ({error.errno}) {error.strerror}") from error


def printable(name: str) -> str:
    """A name as it is shown: not at all where it has more than printable ASCII."""
    return name if all(" " <= char <= "~" for char in name) else "(binary key)"


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
