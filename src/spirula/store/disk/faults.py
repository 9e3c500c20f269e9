"""Disks that fail: a layer around a block device that errs, loses, tears and delays on request.

For tests and trials: `FolderMedium(path, wrap_device=lambda device: FaultyDevice(device, faults))`.
What a disk may do without telling (lost and torn writes) has to be found by checksums; what it
tells has to reach whoever asked, and to end all commits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from spirula.errors import InputOutput, NoSpace
from spirula.store.disk.blockfile import BlockDevice
from spirula.types.transaction import Buffer

SECTOR = 512


@dataclass(slots=True)
class Faults:
    """What goes wrong from now on; may change at any time. At first nothing does."""

    rng: Random = field(default_factory=lambda: Random(0))
    """Where choices come from."""
    unreadable: list[range] = field(default_factory=list)
    """Bytes of the device; a read that touches one fails."""
    unwritable: list[range] = field(default_factory=list)
    """Likewise for writes."""
    failing_syncs: bool = False
    lost: float = 0.0
    """The part of the writes that are acknowledged and never done."""
    torn: float = 0.0
    """The part of the writes of which only some first sectors are done."""
    room: int | None = None
    """Bytes that can still be written before the disk is full."""
    delay_s: float = 0.0
    """How long each read, write and sync takes longer."""
    sleep: Callable[[float], object] | None = None
    """What waits; needed for a delay."""
    done: dict[str, int] = field(default_factory=dict)
    """How often each of it has happened."""

    def happened(self, what: str) -> None:
        """Count a fault."""
        self.done[what] = self.done.get(what, 0) + 1


class FaultyDevice:
    """A block device with these faults."""

    def __init__(self, inner: BlockDevice, faults: Faults) -> None:
        self._inner = inner
        self.faults = faults
        self.size = inner.size

    def read(self, offset: int, length: int) -> bytes:
        self._check_read(offset, length)
        return self._inner.read(offset, length)

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        self._check_read(offset, memoryview(buffer).nbytes)
        self._inner.read_into(offset, buffer)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        faults = self.faults
        self._wait()
        length = sum([len(buffer) for buffer in buffers])
        if _touches(faults.unwritable, offset, length):
            faults.happened("write error")
            raise InputOutput(f"injected: {offset:#x}~{length:#x} cannot be written")
        if faults.room is not None:
            faults.room -= length
            if faults.room < 0:
                faults.happened("no space")
                raise NoSpace("injected: the disk is full")
        if faults.rng.random() < faults.lost:
            faults.happened("lost write")
            return
        if faults.rng.random() < faults.torn and length > SECTOR:
            faults.happened("torn write")
            kept = SECTOR * faults.rng.randrange(length // SECTOR)
            self._inner.write(offset, [b"".join(buffers)[:kept]])
            return
        self._inner.write(offset, buffers)

    def sync(self) -> None:
        self._wait()
        if self.faults.failing_syncs:
            self.faults.happened("sync error")
            raise InputOutput("injected: the disk does not sync")
        self._inner.sync()

    def discard(self, offset: int, length: int) -> bool:
        return self._inner.discard(offset, length)

    def advise(self, offset: int, length: int, *, needed: bool) -> None:
        self._inner.advise(offset, length, needed=needed)

    def close(self) -> None:
        self._inner.close()

    def _check_read(self, offset: int, length: int) -> None:
        self._wait()
        if _touches(self.faults.unreadable, offset, length):
            self.faults.happened("read error")
            raise InputOutput(f"injected: {offset:#x}~{length:#x} cannot be read")

    def _wait(self) -> None:
        if self.faults.delay_s and self.faults.sleep is not None:
            self.faults.sleep(self.faults.delay_s)


def _touches(ranges: list[range], offset: int, length: int) -> bool:
    return any(one.start < offset + length and offset < one.stop for one in ranges)
