"""Data that was queued and is not in its place on the disk: reads find it here.

Blocks that go through the log are single; what goes to new space comes in extents, of which no two
overlap. For `writing`, `reading`, and `store` when a group has landed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence

from spirula.store.disk.blockfile import BlockDevice
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.transaction import Buffer


class Unwritten:
    """`blocks`: by number of the disk's block; they are newer than extents."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytes] = {}
        self._starts: list[int] = []
        self._extents: dict[int, tuple[int, Sequence[Buffer]]] = {}

    def add(self, address: int, count: int, buffers: Sequence[Buffer]) -> None:
        """An extent of `count` blocks has this data."""
        insort(self._starts, address)
        self._extents[address] = count, buffers

    def remove(self, address: int) -> None:
        """The extent that begins there is in its place, or will never be."""
        if self._extents.pop(address, None) is not None:
            del self._starts[bisect_left(self._starts, address)]

    def landed(self, applied: Mapping[int, bytes]) -> None:
        """These contents of blocks are in their places; newer ones are left here."""
        blocks = self.blocks
        for block, data in applied.items():
            if blocks.get(block) is data:
                del blocks[block]

    def read(self, device: BlockDevice, address: int, count: int) -> bytes:
        """The content of `count` blocks from `address` on."""
        blocks, starts = self.blocks, self._starts
        if count == 1 and (data := blocks.get(address)) is not None:
            return data
        if not blocks and not starts:
            return device.read(address * BLOCK_SIZE, count * BLOCK_SIZE)
        end = address + count
        parts: list[Buffer] = []
        at = address
        if blocks:
            for block in [block for block in range(address, end) if block in blocks]:
                if block > at:
                    self._read_behind(parts, device, at, block)
                parts.append(blocks[block])
                at = block + 1
        if at < end:
            self._read_behind(parts, device, at, end)
        return b"".join(parts)

    def _read_behind(self, parts: list[Buffer], device: BlockDevice, at: int, end: int) -> None:
        """What is in extents, or on the disk."""
        starts = self._starts
        index = bisect_right(starts, at) - 1
        if index < 0 or starts[index] + self._extents[starts[index]][0] <= at:
            index += 1
        while at < end:
            start = starts[index] if index < len(starts) else end
            if start > at:
                stop = min(start, end)
                parts.append(device.read(at * BLOCK_SIZE, (stop - at) * BLOCK_SIZE))
                at = stop
                continue
            count, buffers = self._extents[start]
            stop = min(start + count, end)
            parts += cut(buffers, (at - start) * BLOCK_SIZE, (stop - at) * BLOCK_SIZE)
            at = stop
            index += 1


def cut(buffers: Sequence[Buffer], offset: int, length: int) -> list[Buffer]:
    """A part of what buffers have one behind the other, without copying."""
    if offset == 0 and len(buffers) == 1 and len(buffers[0]) == length:
        return [buffers[0]]
    found: list[Buffer] = []
    for buffer in buffers:
        size = len(buffer)
        if offset < size:
            taken = min(size - offset, length)
            if taken == size:
                found.append(buffer)
            elif taken:
                found.append(memoryview(buffer)[offset : offset + taken])
            length -= taken
            offset = 0
            if not length:
                break
        else:
            offset -= size
    return found
