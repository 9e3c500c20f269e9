"""The journal: a file in which each batch of the engine becomes durable with one write and a sync.

RocksDB handles a block of 4 KiB three times (its log, its buffer, the removal) where a journal
writes it once. `journaled` appends every batch here before the engine gets it, and says when the
engine has what is here for good.

The file has four segments. A record begins at a multiple of 4 KiB and fits a segment; records have
consecutive numbers, and segments are used in turn. What a crash cut short has a wrong checksum.

Of a record: 16 bytes of the store's id, u64 number, u32 length of the body, u32 keys, u32 ranges,
u32 CRC-32C of what is before it and of the body. The body: u32 lengths of the keys, u32 lengths of
the values (all ones: the key is deleted), u32 lengths of the ranges' starts and ends in turn; then
these themselves in the same order.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from uuid import UUID

from spirula.errors import InputOutput
from spirula.kernels.crc32c import crc32c
from spirula.kernels.records import pack_changes
from spirula.store.disk.behind import NewData
from spirula.store.disk.blockfile import BlockDevice, FileBlockDevice
from spirula.store.disk.engine import Batch
from spirula.store.objectstore import BLOCK_SIZE

SEGMENTS = 4
LARGEST_JOURNAL = 32 << 20
"""Bytes; half of it may be the log that `Options.log_bytes` allows."""
SMALLEST_JOURNAL = 256 << 10
_PART_OF_STORE = 16
"""A small store has a journal of a sixteenth of its size."""

_HEAD = struct.Struct("<16sQIII")
_CRC = struct.Struct("<I")
_HEADER_SIZE = _HEAD.size + _CRC.size
_SEED = 0xFFFFFFFF
_DELETED = 0xFFFFFFFF
_ALIGNMENT = BLOCK_SIZE
_STAGED = 1 << 20
_PADDING = bytes(_ALIGNMENT)


def journal_size(store_size: int) -> int:
    """How many bytes the journal of a new store has."""
    wanted = min(max(store_size // _PART_OF_STORE, SMALLEST_JOURNAL), LARGEST_JOURNAL)
    return wanted - wanted % (SEGMENTS * _ALIGNMENT)


@dataclass(slots=True, frozen=True)
class Place:
    """Where a record is: its number, and its bytes in the file."""

    number: int
    offset: int
    length: int


class Journal:
    """The records of one store. Errors are those of the device."""

    def __init__(self, device: BlockDevice, store: UUID) -> None:
        self._device = device
        self._store = store.bytes
        self.segment_size = device.size // SEGMENTS // _ALIGNMENT * _ALIGNMENT
        self._through: FileBlockDevice | None = None
        if type(device) is FileBlockDevice and device.writes_through():
            self._through = device  # layers around one want to see each write and sync
        # Pages, as that needs. Larger records have memory of their own.
        self._memory = memoryview(mmap(-1, _STAGED))
        self._written = False

    def encode(self, number: int, batch: Batch) -> memoryview:
        """The record of a batch, padded to where the next one may begin.

        Its memory may be that of the next record.
        """
        changes, ranges, record = batch.changes, batch.ranges, self._memory
        length = pack_changes(changes, ranges, record, _HEADER_SIZE)
        end = _HEADER_SIZE + length
        size = end + -end % _ALIGNMENT
        if size > _STAGED:
            record = memoryview(bytearray(size))
            pack_changes(changes, ranges, record, _HEADER_SIZE)
        head = _HEAD.pack(self._store, number, length, len(changes), len(ranges))
        record[: _HEAD.size] = head
        record[end:size] = _PADDING[: size - end]
        crc = crc32c(crc32c(_SEED, head), record[_HEADER_SIZE:end])
        _CRC.pack_into(record, _HEAD.size, crc)
        return record[:size]

    def write(self, offset: int, record: memoryview, data: NewData | None = None) -> None:
        """Put a record at its place; it is durable after `sync`. `data` that it names goes along,
        or begins to.
        """
        through = self._through if record.obj is self._memory.obj else None
        if data is not None and not (through and data.write_with(through, offset, record)):
            data.begin()
        elif data is not None:
            return
        if through is not None:
            through.write_through(offset, record)
        else:
            self._device.write(offset, [record])
            self._written = True

    def sync(self) -> None:
        """Return when what was written is durable; other threads run meanwhile."""
        if self._written:
            self._device.sync()
            self._written = False

    def read(self, place: Place) -> Batch:
        """The batch of a record. InputOutput if it is damaged."""
        data = self._device.read(place.offset, place.length)
        found = self._place(place.offset, data, 0)
        if found != place:
            raise InputOutput(f"record {place.number} of the journal is damaged")
        return _decode(data)

    def places(self, first: int) -> list[Place]:
        """The records from number `first` on, in order.

        InputOutput if some of them are missing: those that a crash may have cut short are the last.
        """
        found: dict[int, Place] = {}
        for segment in range(SEGMENTS):
            for place in self._within(segment, first):
                found[place.number] = place
        last = max(found, default=first - 1)
        missing = next((n for n in range(first, last + 1) if n not in found), None)
        if missing is not None:
            raise InputOutput(
                f"record {missing} of the journal is missing and needed, the last one is {last}:"
                " the journal or the engine's log is damaged. Let the cluster recover this OSD"
                " from its peers"
            )
        return [found[number] for number in range(first, last + 1)]

    def _within(self, segment: int, first: int) -> Iterator[Place]:
        """Records of a segment from its beginning on, as long as their numbers follow; those
        before `first` are left out.
        """
        start, at, expected = segment * self.segment_size, 0, None
        data = self._device.read(start, self.segment_size)
        while (place := self._place(start + at, data, at)) is not None:
            if expected is not None and place.number != expected:
                return
            if place.number >= first:
                yield place
            expected = place.number + 1
            at += place.length

    def _place(self, offset: int, data: bytes, at: int) -> Place | None:
        """The record that begins `at` bytes into what was read, None if there is no whole one."""
        if at + _HEADER_SIZE > len(data):
            return None
        store, number, length, _, _ = _HEAD.unpack_from(data, at)
        end = at + _HEADER_SIZE + length
        if store != self._store or end > len(data):
            return None
        view = memoryview(data)
        (crc,) = _CRC.unpack_from(data, at + _HEAD.size)
        head = crc32c(_SEED, view[at : at + _HEAD.size])
        if crc32c(head, view[at + _HEADER_SIZE : end]) != crc:
            return None
        return Place(number, offset, end - at + -(end - at) % _ALIGNMENT)


def _decode(data: bytes) -> Batch:
    """The batch of a whole record."""
    _, _, _, count, ranges = _HEAD.unpack_from(data)
    at = _HEADER_SIZE + 4 * (2 * count + 2 * ranges)
    lengths = array("I", data[_HEADER_SIZE:at])

    def parts(some: array[int]) -> Iterator[bytes | None]:
        nonlocal at
        for length in some:
            if length == _DELETED:
                yield None
            else:
                yield data[at : at + length]
                at += length

    keys = [*parts(lengths[:count])]
    values = [*parts(lengths[count : 2 * count])]
    bounds = [*parts(lengths[2 * count :])]
    changes = {key: value for key, value in zip(keys, values, strict=True) if key is not None}
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    return Batch(changes, [(start, end) for start, end in pairs if start and end])
