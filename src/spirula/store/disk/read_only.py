"""A store on disk that is only looked at: what mounting would write stays in memory.

For the store tool, on damaged stores above all: the files stay as they are, also those of a store
that has lost what it had acknowledged, which a mount refuses. Several may look at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spirula.errors import NotPermitted
from spirula.store.disk.blockfile import BlockDevice
from spirula.store.disk.engine import Batch, Engine
from spirula.store.disk.folder import Folder
from spirula.store.disk.mark import CommitMark, Label
from spirula.store.disk.medium import Opened
from spirula.store.disk.opening import open_parts
from spirula.store.objectstore import BLOCK_SIZE
from spirula.store.sortedmap import SortedMap
from spirula.types.transaction import Buffer

_NONE = b"-"
_SOME = b"+"


class ReadOnlyMedium:
    """The folder of a store, of which nothing is changed."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path)

    def open(self, memory: int, *, read_only: bool = False) -> Opened:
        """Open it. `read_only` makes no difference."""
        parts = open_parts(self._folder, memory=memory, read_only=True, damaged=True)
        device = OverlaidDevice(parts.device)
        mark = CommitMark(device, parts.label.store)
        return _Overlaid(parts.label, device, OverlaidEngine(parts.engine), mark, parts)

    def write_meta(self, key: str, value: str) -> None:
        raise NotPermitted(f"{key} cannot be set: the store is mounted for reading")

    def read_meta(self, key: str) -> str:
        return self._folder.read_meta(key)

    def free_bytes(self) -> int | None:
        return None

    def free_for_data(self) -> int | None:
        return None


@dataclass(slots=True)
class _Overlaid:
    label: Label
    device: BlockDevice
    engine: Engine
    mark: CommitMark
    below: Opened

    def close(self) -> None:
        self.below.close()


class OverlaidDevice:
    """A block device, and the blocks that were written since, which it does not get."""

    def __init__(self, below: BlockDevice) -> None:
        self._below = below
        self._blocks: dict[int, bytearray] = {}
        self.size = below.size

    def read(self, offset: int, length: int) -> bytes:
        found = bytearray(self._below.read(offset, length))
        self._lay_over(offset, memoryview(found))
        return bytes(found)

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        self._below.read_into(offset, buffer)
        self._lay_over(offset, memoryview(buffer).cast("B"))

    def _lay_over(self, offset: int, view: memoryview) -> None:
        end = offset + len(view)
        for number in range(offset // BLOCK_SIZE, -(-end // BLOCK_SIZE)) if self._blocks else ():
            block = self._blocks.get(number)
            if block is not None:
                start = number * BLOCK_SIZE
                low, high = max(start, offset), min(start + BLOCK_SIZE, end)
                view[low - offset : high - offset] = block[low - start : high - start]

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        data = b"".join(buffers)
        at = offset
        while at < offset + len(data):
            number, start = divmod(at, BLOCK_SIZE)
            piece = data[at - offset :][: BLOCK_SIZE - start]
            block = self._blocks.get(number)
            if block is None:
                below = self._below.read(number * BLOCK_SIZE, BLOCK_SIZE)
                block = self._blocks[number] = bytearray(below)
            block[start : start + len(piece)] = piece
            at += len(piece)

    def sync(self) -> None:
        """Nothing can become durable."""

    def discard(self, offset: int, length: int) -> bool:
        return False

    def advise(self, offset: int, length: int, *, needed: bool) -> None:
        self._below.advise(offset, length, needed=needed)

    def close(self) -> None:
        self._below.close()


class OverlaidEngine:
    """An engine, and what was written since, which it does not get. For few changes."""

    def __init__(self, below: Engine) -> None:
        self._below = below
        self._changes = SortedMap()  # a value behind `_SOME`, or `_NONE`

    def get(self, key: bytes) -> bytes | None:
        change = self._changes.get(key)
        if change is None:
            return self._below.get(key)
        return change[1:] if change.startswith(_SOME) else None

    def iterate(
        self, start: bytes, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        keys = self._changes.keys_between(start, end)
        changes = {key: self._changes.get(key) or _NONE for key in keys}
        below = self._below.iterate(start, end, reverse=reverse)
        if not changes:
            return below
        return _merged(below, changes, reverse=reverse)

    def write(self, batch: Batch) -> None:
        for start, end in batch.ranges:
            for key, _ in list(self.iterate(start, end)):
                self._changes.put(key, _NONE)
        for key, value in batch.changes.items():
            self._changes.put(key, _NONE if value is None else _SOME + value)

    def sync(self) -> None:
        """Nothing can become durable."""

    def compact(self) -> None:
        """The engine stays as it is."""

    def statistics(self) -> dict[str, int]:
        return self._below.statistics()

    def close(self) -> None:
        self._below.close()


def _merged(
    below: Iterator[tuple[bytes, bytes]], changes: dict[bytes, bytes], *, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    waiting = sorted(changes, reverse=not reverse)  # the next one is the last
    for key, value in below:
        while waiting and (waiting[-1] > key if reverse else waiting[-1] < key):
            yield from _change(waiting.pop(), changes)
        if waiting and waiting[-1] == key:
            yield from _change(waiting.pop(), changes)
        else:
            yield key, value
    while waiting:
        yield from _change(waiting.pop(), changes)


def _change(key: bytes, changes: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    if changes[key].startswith(_SOME):
        yield key, changes[key][1:]
