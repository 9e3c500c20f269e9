"""What a command gets with it (`-i`), and where its output goes (`-o`, or the terminal)."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from contextlib import AbstractContextManager
from errno import EINVAL
from pathlib import Path
from typing import BinaryIO

from spirula.errors import CephError


def read_input(path: str) -> bytes:
    """A file's bytes, `-` for the standard input. Raises the CephError of the errno."""
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise _failure(f"Can't open input file {path}", error) from error


class OutputFile(AbstractContextManager["OutputFile"]):
    """Where output goes: a file, which may be given to a user and a group, or stdout."""

    def __init__(self, path: str | None, user: str | None, group: str | None) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        if path and path != "-":
            try:
                self._file = Path(path).open("wb")  # noqa: SIM115 - closed when this ends
            except OSError as error:
                raise _failure(f"Can't open output file {path}", error) from error
            self._give(user, group)

    def _give(self, user: str | None, group: str | None) -> None:
        if self._file is None or not (user or group):
            return
        try:
            owner = pwd.getpwnam(user).pw_uid if user else -1
            owners = grp.getgrnam(group).gr_gid if group else -1
            os.fchown(self._file.fileno(), owner, owners)
        except KeyError as error:
            raise CephError.from_errno(EINVAL, f"{self.path}: {error.args[0]}") from error
        except OSError as error:
            raise _failure(f"Failed to change the owner of {self.path}", error) from error

    def write(self, data: bytes, mark: str, *, spaced: bool) -> None:
        """Output of one daemon. `mark` goes before it; `spaced`: an empty line comes first."""
        if self.path:
            stream = self._file or sys.stdout.buffer
            stream.write(data)
            stream.flush()
            return
        # Old programs skip the line before JSON: it once told the status.
        text = b"\n" if spaced else b""
        if mark:
            data = data.rstrip()
        if data:
            text += mark.encode() + data + (b"\n" if mark else b"")
        sys.stdout.flush()
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()


def _failure(what: str, error: OSError) -> CephError:
    number = error.errno or EINVAL
    return CephError.from_errno(number, f"{what}: [Errno {number}] {error.strerror}")
