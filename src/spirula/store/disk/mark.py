"""What the block file says of itself: a label in its first block, the commit mark in its second.

The label ties it to its store. The mark is the number of the last durable group, written after the
engine's sync and without one of its own: an engine that comes back with less has lost groups that
were acknowledged, which a log cut short by damage would not tell. `mkfs` writes both; the store
reads them at mount and moves the mark with each group.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from uuid import UUID

from spirula.errors import InputOutput, InvalidArgument
from spirula.kernels.crc32c import crc32c
from spirula.store.disk.blockfile import BlockDevice
from spirula.store.objectstore import BLOCK_SIZE

_MAGIC = b"spirula object store\n"
_VERSION = 2
"""Version 1 had no journal."""
_LABEL = struct.Struct("<21sB16sQI")
_MARK = struct.Struct("<16sQ")
_CRC = struct.Struct("<I")
_SLOTS = (BLOCK_SIZE, BLOCK_SIZE + BLOCK_SIZE // 2)
"""Offsets of the two places of the mark; one that is torn leaves the other."""


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


class CommitMark:
    """The number of the last group that became durable, kept in the second block."""

    def __init__(self, device: BlockDevice, store: UUID) -> None:
        self._device = device
        self._store = store.bytes

    def read(self) -> int:
        """The number. InputOutput if both places are damaged."""
        found = [number for slot in _SLOTS if (number := self._number(slot)) is not None]
        if not found:
            raise InputOutput("the commit mark of the block file is damaged")
        return max(found)

    def write(self, sequence: int) -> None:
        """Say that this group is durable; the next sync of the device makes that durable, too."""
        packed = _MARK.pack(self._store, sequence)
        self._device.write(_SLOTS[sequence % 2], [_sealed(packed)])

    def _number(self, offset: int) -> int | None:
        slot = self._device.read(offset, _MARK.size + _CRC.size)
        packed = slot[: _MARK.size]
        if _sealed(packed) != slot:
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
