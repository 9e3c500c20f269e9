"""What the store on disk stands on: its engine, its block device, and the small files beside them.

`store` opens it at mount and closes it at umount: a folder of the machine, or for tests one in
memory whose power can be cut.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol
from uuid import UUID

from spirula.errors import InvariantBroken, NotFound
from spirula.store.disk.blockfile import BlockDevice
from spirula.store.disk.engine import Batch, Engine, MemoryEngine
from spirula.store.disk.folder import Folder
from spirula.store.disk.freelist import rewrite
from spirula.store.disk.layout import FIRST_BLOCK
from spirula.store.disk.mark import CommitMark, Label, write_label
from spirula.store.disk.memory_block import MemoryBlockDevice
from spirula.store.disk.opening import open_parts
from spirula.store.objectstore import BLOCK_SIZE

_FSID = UUID(int=1)
_SECTOR = 512
"""Bytes of what stat(2) counts as blocks."""


class Opened(Protocol):
    """What was opened: `opening.Parts`, or something like it."""

    label: Label
    device: BlockDevice
    engine: Engine
    mark: CommitMark

    def close(self) -> None:
        """Let go of all of it."""


class Medium(Protocol):
    """Where a store is kept, one user at a time."""

    def open(self, memory: int, *, read_only: bool = False) -> Opened:
        """Open it for use; raises as `open_parts`. `memory`: bytes for the engine."""

    def write_meta(self, key: str, value: str) -> None:
        """Keep a word about the store, durable on return."""

    def read_meta(self, key: str) -> str:
        """What `write_meta` kept. NotFound if there is none."""

    def free_bytes(self) -> int | None:
        """What the file system below has left for the engine; None if nobody knows."""

    def free_for_data(self) -> int | None:
        """What it has left for data; None if all of the block device's space is there."""


class FolderMedium:
    """A folder that `mkfs` made.

    `wrap_device` and `wrap_journal` put layers around the block file and the journal, for tests.
    """

    def __init__(
        self,
        path: Path,
        wrap_device: Callable[[BlockDevice], BlockDevice] = lambda device: device,
        wrap_journal: Callable[[BlockDevice], BlockDevice] = lambda device: device,
    ) -> None:
        self._folder = Folder(path)
        self._wrap_device = wrap_device
        self._wrap_journal = wrap_journal

    def open(self, memory: int, *, read_only: bool = False) -> Opened:
        return open_parts(
            self._folder,
            memory=memory,
            read_only=read_only,
            damaged=read_only,
            wrap_device=self._wrap_device,
            wrap_journal=self._wrap_journal,
        )

    def write_meta(self, key: str, value: str) -> None:
        self._folder.write_meta(key, value)

    def read_meta(self, key: str) -> str:
        return self._folder.read_meta(key)

    def free_bytes(self) -> int | None:
        return self._folder.free_bytes()

    def free_for_data(self) -> int | None:
        found = self._folder.block.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_blocks * _SECTOR >= found.st_size:
            return None
        return self._folder.free_bytes()


@dataclass(slots=True)
class _InMemory:
    label: Label
    device: BlockDevice
    engine: Engine
    mark: CommitMark
    medium: MemoryMedium

    def close(self) -> None:
        self.medium.in_use = False


class MemoryMedium:
    """A medium in memory, whose power can be cut; with an empty store of `size` bytes when made."""

    def __init__(self, size: int, fsid: UUID = _FSID) -> None:
        self.engine = MemoryEngine()
        self.device = MemoryBlockDevice(size)
        self.fsid = fsid
        self.free: int | None = None
        """What `free_bytes` gives."""
        self.in_use = False
        self._meta: dict[str, str] = {}
        write_label(self.device, Label(fsid, size))
        self.device.sync()
        batch, first = Batch(), FIRST_BLOCK * BLOCK_SIZE
        rewrite(batch, size, [(first, size - first)])
        self.engine.write(batch)
        self.engine.sync()

    def open(self, memory: int, *, read_only: bool = False) -> Opened:
        if self.in_use:
            raise InvariantBroken("the medium is in use")
        self.in_use = True
        mark = CommitMark(self.device, self.fsid)
        label = Label(self.fsid, self.device.size)
        return _InMemory(label, self.device, self.engine, mark, self)

    def write_meta(self, key: str, value: str) -> None:
        self._meta[key] = value

    def read_meta(self, key: str) -> str:
        if key not in self._meta:
            raise NotFound(f"the store has no {key}: make it with mkfs")
        return self._meta[key]

    def free_bytes(self) -> int | None:
        return self.free

    def free_for_data(self) -> int | None:
        return self.free

    def after_crash(
        self, rng: Random | None = None, keep: Callable[[int], int] = lambda unsynced: 0
    ) -> MemoryMedium:
        """Cut the power: what is left. `keep` says how many of the unsynced batches survive."""
        left = MemoryMedium(1 << 20, self.fsid)
        left.engine = self.engine.after_crash(keep(self.engine.unsynced))
        left.device = self.device.after_crash(rng)
        left._meta, left.free = self._meta, self.free
        return left
