"""The port of the block device that holds the data of an object store, and the real one.

`FileBlockDevice` is a file or a raw device, read and written through the kernel's page cache, which
is the store's data cache. Its twin in memory is `memory_block`. `store.disk` writes and syncs from
its commit thread while its event loop reads.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock, ioctl
from pathlib import Path
from typing import Protocol

from spirula.errors import Busy, CephError, InputOutput, InvalidArgument, NoSpace
from spirula.kernels.blocks import write_pieces, write_with_record
from spirula.types.transaction import Buffer

_IOV_MAX = 1024
"""Buffers that the kernel takes in one call."""
_AT_ONCE = 64 << 10
"""Bytes of one call: the kernel caches what it gets as one piece, and a small write into a piece of
4 MiB costs it 20 us, into one of 256 KiB 5.5, into one of 64 KiB 4; less is dear for large ones."""
_BEGIN_AT = 1 << 20
"""Bytes of a large write after which the disk begins: it writes while the next ones are copied."""
_THROUGH = os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC
_FLUSHED_AS_ONE = {"ext4", "xfs"}
"""File systems of which a sync of one file flushes the whole disk below, which all files are on."""
_BLKGETSIZE64 = 0x80081272
_BLKDISCARD = 0x1277
_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02
_SYNC_FILE_RANGE_WRITE = 0x02


class BlockDevice(Protocol):
    """A fixed number of bytes. What was written is durable after the next `sync`.

    A crash before it leaves any mixture of old and new in what was written. All raise InputOutput
    if the medium fails, NoSpace if the file system below is full, and CephError with the errno for
    whatever else the machine refuses. Offsets and lengths need no alignment.
    """

    size: int
    """Bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """These bytes; what was never written is zeros."""

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the buffer from `offset` on."""

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write the buffers from `offset` on, one behind the other; reads see it at once."""

    def sync(self) -> None:
        """Return when all that was written is durable; other threads run meanwhile.

        After it failed, all later calls and writes fail, too: nobody knows what the disk has.
        """

    def discard(self, offset: int, length: int) -> bool:
        """Give the space back to what is below; reads may find zeros or what was there.

        False if what is below cannot do that; nobody minds.
        """

    def advise(self, offset: int, length: int, *, needed: bool) -> None:
        """Say that these bytes will be read soon, or not again."""

    def close(self) -> None:
        """Let go, without a sync."""


def machine_error(error: OSError, doing: str) -> CephError:
    """What an error of the machine is to callers of the store."""
    told = f"{doing}: {error.strerror or error}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return NoSpace(told)
    return CephError.from_errno(error.errno or errno.EIO, told)


class FileBlockDevice:
    """A file, whose size is the device's, or a block device of the machine.

    It is locked: one process at a time has it, but many may read. Raises as `BlockDevice` says;
    NotFound if there is none, InvalidArgument if it is neither, Busy if another has it.
    """

    def __init__(self, path: Path, *, read_only: bool = False, at_once: int = _AT_ONCE) -> None:
        """`at_once`: bytes of one call, more where no small writes come later."""
        self._name = str(path)
        self._at_once = at_once
        self._error: CephError | None = None
        self._read_only = read_only
        self._discards = not read_only
        self._through = self._together = -1
        self._journal: BlockDevice | None = None
        self._joined = False
        try:
            self._fd = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
        except OSError as error:
            raise machine_error(error, f"open {path}") from error
        try:
            self._lock(shared=read_only)
            self.size, self._is_device = self._look()
        except BaseException:
            os.close(self._fd)
            raise

    def _lock(self, *, shared: bool) -> None:
        try:
            flock(self._fd, (LOCK_SH if shared else LOCK_EX) | LOCK_NB)
        except OSError:
            raise Busy(f"{self._name} is in use: stop the process that has it first") from None

    def _look(self) -> tuple[int, bool]:
        found = os.fstat(self._fd)
        if stat.S_ISREG(found.st_mode):
            return found.st_size, False
        if stat.S_ISBLK(found.st_mode):
            raw = ioctl(self._fd, _BLKGETSIZE64, bytes(8))
            return int.from_bytes(raw, "little"), True
        raise InvalidArgument(f"{self._name} is neither a file nor a block device")

    def read(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._fd, length, offset)
            if len(data) == length:
                return data
            # The kernel gives less at the end, on a signal, and beyond 2 GiB.
            parts, at = [data], offset + len(data)
            while data and at < offset + length:
                data = os.pread(self._fd, offset + length - at, at)
                parts.append(data)
                at += len(data)
        except OSError as error:
            raise machine_error(error, f"read {self._name} {offset:#x}~{length:#x}") from error
        if at < offset + length:
            raise InputOutput(f"{self._name} ends at {at:#x}, within {offset:#x}~{length:#x}")
        return b"".join(parts)

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        view = memoryview(buffer)
        wanted, done = len(view), 0
        while done < wanted:
            try:
                count = os.preadv(self._fd, [view[done:]], offset + done)
            except OSError as error:
                raise machine_error(error, f"read {self._name} {offset:#x}~{wanted:#x}") from error
            if not count:
                raise InputOutput(f"{self._name} ends within {offset:#x}~{wanted:#x}")
            done += count

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self._check()
        wanted = sum(map(len, buffers))
        if wanted > self._at_once or len(buffers) > _IOV_MAX:
            self._write_large(offset, buffers)
            return
        if offset < 0 or offset + wanted > self.size:
            raise InvalidArgument(f"{offset:#x}~{wanted:#x} is not within {self._name}")
        try:
            done = os.pwritev(self._fd, buffers, offset)
            if done < wanted:
                self._write_rest(offset + done, memoryview(b"".join(buffers))[done:])
        except OSError as error:
            raise machine_error(error, f"write {self._name} {offset:#x}~{wanted:#x}") from error

    def _write_rest(self, offset: int, rest: memoryview) -> None:
        while rest:
            done = os.pwrite(self._fd, rest, offset)
            offset, rest = offset + done, rest[done:]

    def _write_large(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Have the disk begin with each part once that is copied.

        Few calls do it, each without Python's lock, which is waited for after each while another
        thread is busy.
        """
        pieces: list[tuple[int, Buffer]] = []
        begun = offset
        for some in _portions(buffers):
            for piece in some:
                pieces.append((offset, piece))
                offset += len(piece)
            if offset - begun >= _BEGIN_AT:
                self.write_pieces(pieces)
                _begin_writing(self._fd, begun, offset - begun)
                pieces, begun = [], offset
        if pieces:
            self.write_pieces(pieces)

    def write_pieces(self, pieces: Sequence[tuple[int, Buffer]]) -> None:
        """Write pieces, each at its offset; as `write` for each, in one call."""
        self._check()
        offsets = self._offsets(pieces)
        try:
            write_pieces(self._fd, offsets, [piece for _, piece in pieces])
        except OSError as error:
            raise machine_error(error, f"write {self._name}") from error

    def _offsets(self, pieces: Sequence[tuple[int, Buffer]]) -> array[int]:
        """Where pieces go, all of them within the file. Raises InvalidArgument."""
        for offset, piece in pieces:
            if offset + len(piece) > self.size:
                raise InvalidArgument(f"{offset:#x}~{len(piece):#x} is not within {self._name}")
        return array("Q", [offset for offset, _ in pieces])

    def writes_through(self) -> bool:
        """Make ready for `write_through`; False if what is below cannot do that."""
        if self._through < 0 and not self._read_only:
            with suppress(OSError):
                self._through = os.open(f"/proc/self/fd/{self._fd}", _THROUGH)
        return self._through >= 0

    def write_through(self, offset: int, buffer: Buffer) -> None:
        """As `write` and `sync` of just that, past the kernel's cache: a third less of its time.

        The offset, the length, and the memory have to be multiples of 4 KiB. `writes_through` has
        to be asked before.
        """
        self._check()
        try:
            done = os.pwritev(self._through, [buffer], offset, os.RWF_DSYNC)
        except OSError as error:
            if error.errno != errno.EINVAL:
                self._error = machine_error(error, f"write {self._name} {offset:#x}")
                raise self._error from error
            done = 0  # larger blocks below
        if done < len(buffer):
            self.write(offset, [buffer])
            self.sync()

    def writes_with(self, journal: BlockDevice) -> bool:
        """Make ready for `write_with_record`; False if that is not for such files."""
        if journal is not self._journal:
            # Found out once: it takes as long as a small group.
            self._journal, self._joined = journal, self._joins(journal)
        return self._joined

    def _joins(self, journal: BlockDevice) -> bool:
        if self._read_only or self._is_device or type(journal) is not FileBlockDevice:
            return False
        if not journal.writes_through() or _disk_of(self._fd) != _disk_of(journal._fd):
            return False
        if self._together < 0 and _file_system_of(_disk_of(self._fd)) in _FLUSHED_AS_ONE:
            with suppress(OSError):
                # Opened anew: an error of the disk is told once to each, and another may sync, too.
                self._together = os.open(f"/proc/self/fd/{self._fd}", os.O_RDWR | os.O_CLOEXEC)
        return self._together >= 0

    def write_with_record(
        self,
        pieces: Sequence[tuple[int, Buffer]],
        journal: FileBlockDevice,
        offset: int,
        record: Buffer,
    ) -> None:
        """As `write_pieces` and a sync, and `write_through` of the journal's record.

        Both are written at a time, and the disk is flushed once. `writes_with` has to be asked
        before. The record is as for `write_through`.
        """
        self._check()
        journal._check()
        offsets = self._offsets(pieces)
        fd, through = self._together, journal._through
        try:
            write_with_record(fd, offsets, [piece for _, piece in pieces], through, offset, record)
        except OSError as error:
            if error.errno != errno.EINVAL:
                self._error = journal._error = machine_error(error, f"write {self._name}")
                raise self._error from error
        else:
            return
        # Larger blocks below, as a rule; which of the calls it was is not told.
        self.write_pieces(pieces)
        journal.write_through(offset, record)
        self.sync()

    def sync(self) -> None:
        self._check()
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self._error = machine_error(error, f"sync {self._name}")
            raise self._error from error

    def discard(self, offset: int, length: int) -> bool:
        if not self._discards or not length:
            return self._discards
        try:
            if self._is_device:
                ioctl(self._fd, _BLKDISCARD, struct.pack("QQ", offset, length))
            else:
                _punch_hole(self._fd, offset, length)
        except OSError:
            self._discards = False  # it does not, or is broken: writes will tell
        return self._discards

    def advise(self, offset: int, length: int, *, needed: bool) -> None:
        advice = os.POSIX_FADV_WILLNEED if needed else os.POSIX_FADV_DONTNEED
        os.posix_fadvise(self._fd, offset, length, advice)

    def close(self) -> None:
        for fd in (self._through, self._together):
            if fd >= 0:
                os.close(fd)
        self._through = self._together = -1
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


def write_scattered(device: BlockDevice, pieces: Sequence[tuple[int, Buffer]]) -> None:
    """Write pieces to a device, each at its offset: in one call where that is possible."""
    if type(device) is FileBlockDevice:  # layers around one want to see each write
        device.write_pieces(pieces)
        return
    for offset, piece in pieces:
        device.write(offset, [piece])


def cut_pieces(offset: int, buffers: Sequence[Buffer]) -> Iterator[tuple[int, Buffer]]:
    """Pieces as the kernel should get them, of buffers from an offset on."""
    for some in _portions(buffers):
        for piece in some:
            yield offset, piece
            offset += len(piece)


def _disk_of(fd: int) -> int:
    return os.fstat(fd).st_dev


def file_system_of(path: Path) -> str:
    """The kind of file system that a file is on; nothing if that cannot be told."""
    with suppress(OSError):
        return _file_system_of(path.stat().st_dev)
    return ""


def _file_system_of(disk: int) -> str:
    wanted = f"{os.major(disk)}:{os.minor(disk)}"
    with suppress(OSError), Path("/proc/self/mountinfo").open(encoding="utf-8") as mounts:
        for line in mounts:
            where, _, what = line.partition(" - ")
            if where.split()[2] == wanted:
                return what.split()[0]
    return ""


def _portions(buffers: Sequence[Buffer]) -> Iterator[list[Buffer]]:
    """Buffers cut into what one call takes."""
    some: list[Buffer] = []
    room = _AT_ONCE
    for buffer in buffers:
        view = memoryview(buffer)
        while len(view) >= room or len(some) == _IOV_MAX - 1:
            some.append(view[:room])
            yield some
            some, view, room = [], view[room:], _AT_ONCE
        if view:
            some.append(view)
            room -= len(view)
    if some:
        yield some


_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def _punch_hole(fd: int, offset: int, length: int) -> None:
    """Make a hole in a file (fallocate(2), which Python does not have). Raises OSError."""
    if _libc.fallocate(fd, _KEEP_SIZE_AND_PUNCH_HOLE, offset, length):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_libc.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def _begin_writing(fd: int, offset: int, length: int) -> None:
    """Let the disk begin with what was written there; a sync tells what comes of it."""
    _libc.sync_file_range(fd, offset, length, _SYNC_FILE_RANGE_WRITE)
