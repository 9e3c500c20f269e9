"""What the block file says of itself: a label in its first block, the commit mark in its second.

The label ties it to its store. The mark is the number of the last durable group, written after the
engine's sync and without one of its own: an engine that comes back with less has lost groups that
were acknowledged, which a log cut short by damage would not tell. `mkfs` writes both; the store
reads them at mount and moves the mark with each group: in a mapped file of its own where it can,
because the block file's next sync would write a block at a place of its own for it.
"""

from __future__ import annotations

import mmap
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from spirula.errors import CephError, InputOutput, InvalidArgument
from spirula.kernels.crc32c import crc32c
from spirula.store.disk.blockfile import (
    BlockDevice,
    FileBlockDevice,
    file_system_of,
    machine_error,
)
from spirula.store.disk.folder import write_durably
from spirula.store.objectstore import BLOCK_SIZE

_MAGIC = b"spirula object store\n"
_VERSION = 2
"""Version 1 had no journal."""
_LABEL = struct.Struct("<21sB16sQI")
_MARK = struct.Struct("<16sQ")
_CRC = struct.Struct("<I")
_SLOTS = (BLOCK_SIZE, BLOCK_SIZE + BLOCK_SIZE // 2)
"""Offsets of the two places of the mark; one that is torn leaves the other."""
_FILE_SIZE = 2 * BLOCK_SIZE
"""The file has the mark's places where the block file has them, and nothing else."""
_MAPPED_ON = {"ext4", "xfs", "tmpfs"}
"""File systems that write again where they wrote: elsewhere a write to mapped memory may need space
that a full disk does not have, and the process is ended."""


@dataclass(slots=True, frozen=True)
class Label:
    """Whose block file this is, its size in bytes, and the unit in which space is given out."""

    store: UUID
    size: int
    block_size: int = BLOCK_SIZE


def write_label(device: BlockDevice, label: Label) -> None:
    """Write the label of a new store, and a mark that says that nothing was committed."""
    fields = (_MAGIC, _VERSION, label.store.bytes, label.size, label.block_size)
    packed = _LABEL.pack(*fields)
    device.write(0, [_sealed(packed).ljust(BLOCK_SIZE, b"\0")])
    for offset in _SLOTS:
        slot = _sealed(_MARK.pack(label.store.bytes, 0))
        device.write(offset, [slot.ljust(BLOCK_SIZE // 2, b"\0")])


def read_label(device: BlockDevice) -> Label:
    """The label.

    InvalidArgument if there is none, InputOutput if it is damaged or the device has become smaller.
    """
    block = device.read(0, min(BLOCK_SIZE, device.size))
    if len(block) < BLOCK_SIZE or not block.startswith(_MAGIC):
        # One flipped bit must not turn a store into a disk that nobody uses.
        if _differing_bits(block[: len(_MAGIC)], _MAGIC) > len(_MAGIC):
            raise InvalidArgument("this is not the block file of a store: make one with mkfs")
        raise InputOutput("the label of the block file is damaged")
    packed, crc = block[: _LABEL.size], block[_LABEL.size : _LABEL.size + _CRC.size]
    if _sealed(packed) != packed + crc:
        raise InputOutput("the label of the block file is damaged: its checksum is wrong")
    _, version, store, size, block_size = _LABEL.unpack(packed)
    if version != _VERSION or block_size != BLOCK_SIZE:
        raise InvalidArgument(
            f"the store is of version {version} with blocks of {block_size} bytes;"
            f" this program knows version {_VERSION} and {BLOCK_SIZE}"
        )
    if size > device.size:
        raise InputOutput(f"the block file has {device.size} bytes, and was made with {size}")
    return Label(UUID(bytes=store), size, block_size)


class MarkFile:
    """The mark's file beside the block file. What is written is in it after the process was killed.

    Only with `mapped` can it be written. Raises CephError if it cannot be read.
    """

    def __init__(self, path: Path, *, mapped: bool) -> None:
        self.mapped = mapped
        self._name = str(path)
        try:
            with path.open("r+b" if mapped else "rb") as stream:
                self._bytes: mmap.mmap | bytes
                if mapped:
                    self._bytes = mmap.mmap(stream.fileno(), _FILE_SIZE)
                else:
                    self._bytes = stream.read(_FILE_SIZE)
        except (OSError, ValueError) as error:  # ValueError: it is shorter
            if isinstance(error, OSError):
                raise machine_error(error, f"open {path}") from error
            raise InputOutput(f"{path} is damaged: it has become shorter") from error

    def read(self, offset: int, length: int) -> bytes:
        """As `BlockDevice.read`, but less where the file ends."""
        return self._bytes[offset : offset + length]

    def write(self, offset: int, data: bytes) -> None:
        """Write within the file; durable some time, or after `sync`."""
        if isinstance(self._bytes, mmap.mmap):
            self._bytes[offset : offset + len(data)] = data

    def sync(self) -> None:
        """Return when what was written is durable. CephError if it cannot be."""
        if isinstance(self._bytes, mmap.mmap):
            try:
                self._bytes.flush()
            except OSError as error:
                raise machine_error(error, f"sync {self._name}") from error

    def close(self) -> None:
        """Let go of it, without a sync."""
        if isinstance(self._bytes, mmap.mmap):
            self._bytes.close()
            self._bytes, self.mapped = b"", False


def open_mark_file(
    path: Path, device: BlockDevice, store: UUID, *, read_only: bool
) -> MarkFile | None:
    """The mark's file; None if there is none, and none is to be.

    It is made where the store has none yet, and has the mark of the block file then. Layers around
    a block file want to see each write: with them it is only read, as it is with `read_only`.
    """
    mapped = not read_only and type(device) is FileBlockDevice
    mapped = mapped and file_system_of(path.parent) in _MAPPED_ON
    if not path.exists():
        if not mapped:
            return None
        content = bytearray(_FILE_SIZE)
        content[BLOCK_SIZE:] = device.read(BLOCK_SIZE, BLOCK_SIZE)
        CommitMark(device, store).read()  # nothing that is damaged is copied
        with suppress(CephError):  # a full disk: the block file has room for the mark
            write_durably(path, bytes(content))
        if not path.exists():
            return None
    return MarkFile(path, mapped=mapped)


class CommitMark:
    """The number of the last group that became durable.

    It is in `file` if that is mapped, else in the second block of `device`; the larger one of both
    counts, because a program that knows no such file may have had the store since.
    """

    def __init__(self, device: BlockDevice, store: UUID, file: MarkFile | None = None) -> None:
        self._device = device
        self._store = store.bytes
        self.file = file
        self._mapped = file if file is not None and file.mapped else None
        self._last = 0  # what `settle` has to settle

    def read(self) -> int:
        """The number. InputOutput if both places are damaged."""
        numbers = [self._best(self._device, "the block file")]
        if self.file is not None:
            numbers.append(self._best(self.file, "its file"))
        return max(numbers)

    def write(self, sequence: int) -> None:
        """Say that this group is durable; `settle` and a sync of the device make that durable."""
        packed = _sealed(_MARK.pack(self._store, sequence))
        if self._mapped is not None:
            self._mapped.write(_SLOTS[sequence % 2], packed)
            self._last = sequence
        else:
            self._device.write(_SLOTS[sequence % 2], [packed])

    def settle(self) -> None:
        """Let the block file have it, too, and the file for good."""
        if self._mapped is not None and self._last:
            packed = _sealed(_MARK.pack(self._store, self._last))
            self._device.write(_SLOTS[self._last % 2], [packed])
            self._mapped.sync()
            self._last = 0

    def _best(self, where: BlockDevice | MarkFile, name: str) -> int:
        found = [number for slot in _SLOTS if (number := self._number(where, slot)) is not None]
        if not found:
            raise InputOutput(f"the commit mark of {name} is damaged")
        return max(found)

    def _number(self, where: BlockDevice | MarkFile, offset: int) -> int | None:
        slot = where.read(offset, _MARK.size + _CRC.size)
        packed = slot[: _MARK.size]
        if _sealed(packed) != slot or len(packed) < _MARK.size:
            return None
        store, number = _MARK.unpack(packed)
        return int(number) if store == self._store else None


def check_recovered(recovered: int, marked: int) -> None:
    """Raise InputOutput if the engine came back with fewer groups than were durable.

    `recovered`: the number of the last group that it has; `marked`: what the commit mark says.
    """
    if recovered < marked:
        raise InputOutput(
            f"the metadata ends with group {recovered}, but {marked} was committed: the engine's"
            " log is damaged, and what was acknowledged since is lost. Let the cluster recover"
            " this OSD from its peers; until then the store can be read with the store tool"
        )


def _sealed(packed: bytes) -> bytes:
    return packed + _CRC.pack(crc32c(0xFFFFFFFF, packed))


def _differing_bits(a: bytes, b: bytes) -> int:
    return sum((x ^ y).bit_count() for x, y in zip(a, b, strict=False)) + 8 * abs(len(a) - len(b))
