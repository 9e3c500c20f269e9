"""A block device in memory that loses power: for tests and simulations of the store on disk.

It knows what of each sector was written since the last sync, and a crash leaves for each, by a
seeded choice, the durable content, any later one, or a torn one: beginning and end of two.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from random import Random

from spirula.errors import CephError, InputOutput, InvalidArgument, InvariantBroken
from spirula.types.transaction import Buffer

SECTOR = 512
"""Bytes that a disk writes at once."""


class MemoryBlockDevice:
    """`size` bytes of zeros when made; memory is taken for what is written."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._content = mmap.mmap(-1, size)
        self._versions: dict[int, list[bytes]] = {}
        self._error: CephError | None = None
        self._closed = False
        self.written = 0
        """Bytes that were written, in all."""
        self.discarded = 0
        """Bytes that were discarded, in all."""
        self.syncs = 0
        """How many calls of `sync` have succeeded."""

    def read(self, offset: int, length: int) -> bytes:
        self._check_open()
        if offset < 0 or offset + length > self.size:
            raise InputOutput(f"the device ends within {offset:#x}~{length:#x}")
        return self._content[offset : offset + length]

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        memoryview(buffer)[:] = self.read(offset, len(buffer))

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self._check_writable()
        data = b"".join(buffers)
        if offset < 0 or offset + len(data) > self.size:
            raise InvalidArgument(f"{offset:#x}~{len(data):#x} is not within the device")
        self._put(offset, data)
        self.written += len(data)

    def sync(self) -> None:
        self._check_writable()
        self._versions.clear()
        self.syncs += 1

    def discard(self, offset: int, length: int) -> bool:
        self._check_writable()
        self._put(offset, bytes(length))
        self.discarded += length
        return True

    def advise(self, offset: int, length: int, *, needed: bool) -> None:
        self._check_open()

    def close(self) -> None:
        self._closed = True

    # --- faults ---

    def fail(self, error: CephError) -> None:
        """Let every write and sync from now on fail, as on a disk that is gone."""
        self._error = error

    def after_crash(self, rng: Random | None = None) -> MemoryBlockDevice:
        """Cut the power: what is left, as a new device. This one is closed.

        Without a source of choices all that was not synced is lost.
        """
        self._closed = True
        left = MemoryBlockDevice(self.size)
        left._content, self._content = self._content, mmap.mmap(-1, mmap.PAGESIZE)
        for start in sorted(self._versions):
            versions = self._versions[start]
            end = start + len(versions[0])
            now = left._content[start:end]
            left._content[start:end] = versions[0] if rng is None else _left(rng, [*versions, now])
        return left

    def flip(self, offset: int, bit: int = 0) -> None:
        """Change one bit behind everybody's back."""
        self._content[offset] = self._content[offset] ^ 1 << bit

    def _put(self, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if end > self.size:
            raise InvalidArgument(f"{offset:#x}~{len(data):#x} is not within the device")
        for start in range(offset - offset % SECTOR, end, SECTOR):
            before = self._content[start : start + SECTOR]
            self._versions.setdefault(start, []).append(before)
        self._content[offset:end] = data

    def _check_open(self) -> None:
        if self._closed:
            raise InvariantBroken("the device is closed")

    def _check_writable(self) -> None:
        self._check_open()
        if self._error is not None:
            raise self._error


def _left(rng: Random, versions: list[bytes]) -> bytes:
    """What a power cut leaves of a sector that had these contents, one after the other."""
    one = versions[0] if rng.random() < 1 / 3 else rng.choice(versions)
    if rng.random() < 0.9:
        return one
    cut = rng.randrange(len(one))
    return one[:cut] + rng.choice(versions)[cut:]
