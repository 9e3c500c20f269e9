"""The folder of an object store on disk: what lies in it, its small files, and its lock.

`block` is the block file or leads to a device, `db` the engine's folder, `journal` what goes to it
next, `mark` the commit mark, `lock` what keeps other processes out; all else are words about the
store (`fsid`, `type`, `whoami`), as upstream's `ObjectStore::write_meta` keeps them, with a
checksum behind. Used by `mkfs`, the store, and tools.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from spirula.errors import Busy, InputOutput, InvalidArgument, NotFound
from spirula.kernels.crc32c import crc32c
from spirula.store.disk.blockfile import machine_error

BLOCK = "block"
DATABASE = "db"
JOURNAL = "journal"
LOCK = "lock"
MARK = "mark"
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CHECKED = re.compile(rb"([^\n]*)\ncrc32c ([0-9a-f]{8})\n")


class Folder:
    """A folder that holds a store, or will."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.block = path / BLOCK
        self.database = path / DATABASE
        self.journal = path / JOURNAL
        self.mark = path / MARK

    def read_meta(self, key: str) -> str:
        """A word about the store. NotFound if there is none, InputOutput if it is damaged."""
        path = self._file_of(key)
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            raise NotFound(f"the store in {self.path} has no {key}: make it with mkfs") from None
        except OSError as error:
            raise machine_error(error, f"read {path}") from error
        checked = _CHECKED.fullmatch(text)
        if checked:
            if int(checked[2], 16) != _crc(checked[1]):
                raise InputOutput(f"{path} is damaged: its checksum is wrong")
            return checked[1].decode()
        # Somebody else may have written it; then it is one line of plain text, or none.
        try:
            word = text.decode("ascii").removesuffix("\n")
        except UnicodeDecodeError:
            word = "\n"
        if "crc32c" in word or not (word.isprintable()):
            raise InputOutput(f"{path} is damaged: it is no word with a checksum")
        return word

    def write_meta(self, key: str, value: str) -> None:
        """Keep a word about the store, durable on return. InvalidArgument unless it is one line."""
        if "\n" in value or "crc32c" in value:
            raise InvalidArgument(f"{key} cannot be {value!r}: it has to be one line")
        data = value.encode()
        write_durably(self._file_of(key), b"%b\ncrc32c %08x\n" % (data, _crc(data)))

    def lock(self, *, shared: bool = False) -> Lock:
        """Keep other processes out; `shared` keeps out only those that want it alone. Busy."""
        return Lock(self.path / LOCK, shared=shared)

    def free_bytes(self) -> int:
        """What the file system below has left for this process."""
        try:
            found = os.statvfs(self.path)
        except OSError as error:
            raise machine_error(error, f"statvfs {self.path}") from error
        return found.f_bavail * found.f_frsize

    def _file_of(self, key: str) -> Path:
        if not _KEY.fullmatch(key) or key in {BLOCK, DATABASE, JOURNAL, LOCK, MARK}:
            raise InvalidArgument(f"{key!r} cannot be the name of a word about the store")
        return self.path / key


class Lock:
    """Held from its making until `release`, or the end of the process. Busy if another holds it."""

    def __init__(self, path: Path, *, shared: bool) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise machine_error(error, f"open {path}") from error
        try:
            fcntl.flock(self._fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise Busy(f"{path.parent} is in use: stop the process that has it first") from None

    def release(self) -> None:
        """Let others in."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file as a whole, durable on return; a crash leaves the old one or the new one."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise machine_error(error, f"write {path}") from error


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _crc(data: bytes) -> int:
    return crc32c(0xFFFFFFFF, data)
