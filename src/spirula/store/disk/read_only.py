"""A store on disk that is only looked at: what mounting would write stays in memory.

For the store tool, on damaged stores above all: the files stay as they are, also those of a store
that has lost what it had acknowledged, which a mount refuses. Several may look at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spirula.errors import NotPermitted
from spirula.store.disk.blockfile import BlockDevice
from spirula.store.disk.engine import Engine
from spirula.store.disk.folder import Folder
from spirula.store.disk.mark import CommitMark, Label
from spirula.store.disk.medium import Opened
from spirula.store.disk.opening import open_parts
from spirula.store.disk.overlaid import OverlaidEngine
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.transaction import Buffer


class ReadOnlyMedium:
    """The folder of a store, of which nothing is changed."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path)

    def open(self, memory: int, *, read_only: bool = False) -> Opened:
        """Open it. `read_only` makes no difference."""
        parts = open_parts(self._folder, memory=memory, read_only=True, damaged=True)
        device = OverlaidDevice(parts.device)
        mark = CommitMark(device, parts.label.store, parts.mark.file)
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
