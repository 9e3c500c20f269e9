"""Which space is free, in the engine: what each group took and gave back, and checkpoints.

The record of a group is small and is also what gives the group its number. Now and then a
checkpoint goes with a group: the free extents of those regions of the disk that changed. A mount
reads the checkpoint and the records behind it into an `Allocator`, whether the store was stopped
or killed. The commit thread writes through this, `mkfs` and fsck write all of it anew.

| key | value |
|---|---|
| `f` | version, the checkpoint's group, oldest group that has a record, size, free bytes |
| `f`, number of a region | blocks within it where free space starts and ends, in turn |
| `g`, number of a group | version, count of extents taken, first block and count of each extent |

Records of groups outlive their checkpoint: without a gap in their numbers nothing is missing. A
flush of the engine that was lost with the end of its manifest would be such a gap, as long as the
records are older than two of its buffers.
"""

from __future__ import annotations

import struct
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise

from spirula.errors import InputOutput, InvariantBroken
from spirula.store.allocator import Allocator, Extent
from spirula.store.disk.engine import Batch, Engine
from spirula.store.objectstore import BLOCK_SIZE

HEADER = b"f"
REGION = b"f"
GROUP = b"g"

REGION_BLOCKS = 1 << 16
"""Blocks of a region: 256 MiB."""
CHECKPOINT_GROUPS = 2000
"""A checkpoint is made after so many groups, or as many extents."""
KEPT_BYTES = 64 << 20
"""Records of groups are kept until so much was written after them: four buffers of the engine."""

_VERSION = 1
_HEADER = struct.Struct("<BQQQQ")
_GROUP = struct.Struct("<BI")
_REGION_KEY = struct.Struct(">cI")
_GROUP_KEY = struct.Struct(">cQ")


class FreeList:
    """The free space of a mounted store: `allocator` for use, records in the engine for later.

    Raises InputOutput when what is stored contradicts itself. After the making, all calls come
    from the thread that commits; the allocator it does not touch.
    """

    def __init__(self, engine: Engine, size: int) -> None:
        self._engine = engine
        self.allocator = Allocator(size, BLOCK_SIZE)
        checkpoint, self._oldest = _read_checkpoint(engine, self.allocator)
        self.sequence = self._replay(checkpoint)
        """The number of the last group."""
        self._checkpoint = checkpoint
        self._free = self.allocator.free
        self._toggled: dict[int, set[int]] = {}
        self._extents = 0
        # Groups and what was written before each of them, in bytes since the mount.
        self._written = 0
        self._marks: deque[tuple[int, int]] = deque([(self.sequence, 0)])
        for _, taken, given in groups(engine, checkpoint + 1):
            self._toggle(taken)
            self._toggle(given)

    def record(
        self,
        batch: Batch,
        taken: Iterable[Extent],
        given: Iterable[Extent],
        *,
        checkpoint: bool = False,
    ) -> int:
        """Enter into a group's batch what it takes and gives back; the number of the group.

        Space that is both is free. The batch has to be complete, and the next thing that the
        engine gets to write.
        """
        self.sequence += 1
        took, gave = list(taken), list(given)
        if took:
            self._toggle(took)
            self._free -= sum([length for _, length in took])
        if gave:
            self._toggle(gave)
            self._free += sum([length for _, length in gave])
        batch.put(_GROUP_KEY.pack(GROUP, self.sequence), _encode_group(took, gave))
        self._written += sum([len(value) for value in batch.changes.values() if value])
        due = self.sequence - self._checkpoint >= CHECKPOINT_GROUPS
        if checkpoint or due or self._extents >= CHECKPOINT_GROUPS:
            self._enter_checkpoint(batch)
        return self.sequence

    def _enter_checkpoint(self, batch: Batch) -> None:
        for number, toggled in sorted(self._toggled.items()):
            key = _REGION_KEY.pack(REGION, number)
            before = set(_decode_region(number, self._engine.get(key)))
            batch.put(key, array("I", sorted(before ^ toggled)).tobytes())
        self._toggled.clear()
        self._extents = 0
        self._checkpoint = self.sequence
        self._marks.append((self.sequence, self._written))
        first = self._oldest
        while len(self._marks) > 1 and self._marks[1][1] + KEPT_BYTES <= self._written:
            self._marks.popleft()
            self._oldest = self._marks[0][0]
        batch.delete_range(_GROUP_KEY.pack(GROUP, first), _GROUP_KEY.pack(GROUP, self._oldest))
        batch.put(HEADER, self._header())

    def _header(self) -> bytes:
        fields = (self.sequence, self._oldest, self.allocator.size, self._free)
        return _HEADER.pack(_VERSION, *fields)

    def _toggle(self, extents: list[Extent]) -> None:
        """Where free space starts and ends changes at both ends of what is taken or given."""
        self._extents += len(extents)
        for number, first, last in _within_regions(extents):
            self._toggled.setdefault(number, set()).symmetric_difference_update((first, last))

    def _replay(self, checkpoint: int) -> int:
        """Carry out the groups behind the checkpoint; the number of the last."""
        expected = self._oldest
        for number, taken, given in groups(self._engine, self._oldest):
            if number != expected:
                raise _damaged(f"groups {expected} to {number - 1} are missing")
            expected += 1
            if number <= checkpoint:
                continue
            try:
                for extent in taken:
                    self.allocator.remove_free(*extent)
                self.allocator.add_free(given)
            except InvariantBroken as error:
                raise _damaged(f"group {number}: {error}") from error
        if expected <= checkpoint:
            raise _damaged(f"groups {expected} to {checkpoint} are missing")
        return expected - 1


def rewrite(batch: Batch, size: int, free: Iterable[Extent], sequence: int = 0) -> None:
    """Enter what is free of `size` bytes, in place of all that was known; for mkfs and fsck.

    `sequence`: the number of the last group that the store has had.
    """
    whole = list(free)
    batch.delete_range(REGION, bytes([GROUP[0] + 1]))
    bounds: dict[int, set[int]] = {}
    for number, first, last in _within_regions(whole):
        bounds.setdefault(number, set()).symmetric_difference_update((first, last))
    for number in range(-(-size // (REGION_BLOCKS * BLOCK_SIZE))):
        value = array("I", sorted(bounds.get(number, ()))).tobytes()
        batch.put(_REGION_KEY.pack(REGION, number), value)
    free_bytes = sum(length for _, length in whole)
    batch.put(_GROUP_KEY.pack(GROUP, sequence), _encode_group([], []))
    batch.put(HEADER, _HEADER.pack(_VERSION, sequence, sequence, size, free_bytes))


def last_group(engine: Engine) -> int:
    """The number of the last group that the engine has. InputOutput if it has none."""
    start, end = _GROUP_KEY.pack(GROUP, 0), bytes([GROUP[0] + 1])
    for key, _ in engine.iterate(start, end, reverse=True):
        return _number_of(key)
    raise _damaged("there is no record of a group")


def last_group_of(batch: Batch) -> int:
    """The number of the last group that a batch is of; 0 if of none."""
    kind = GROUP[0]
    return max([_number_of(key) for key in batch.changes if key[0] == kind], default=0)


def groups(engine: Engine, first: int = 0) -> Iterator[tuple[int, list[Extent], list[Extent]]]:
    """Groups that have a record, from `first` on: number, what it took, what it gave back."""
    for key, value in engine.iterate(_GROUP_KEY.pack(GROUP, first), bytes([GROUP[0] + 1])):
        yield _number_of(key), *_decode_group(value)


def _read_checkpoint(engine: Engine, allocator: Allocator) -> tuple[int, int]:
    """Fill the allocator; the number of the checkpoint's group, and the oldest with a record."""
    try:
        version, number, oldest, size, free = _HEADER.unpack(engine.get(HEADER) or b"")
    except struct.error:
        raise _damaged("there is no checkpoint") from None
    if version != _VERSION:
        raise _damaged(f"it is of version {version}, this program knows {_VERSION}")
    if size != allocator.size:
        raise _damaged(f"it is of {size} bytes, and the disk of {allocator.size}")
    regions = -(-size // (REGION_BLOCKS * BLOCK_SIZE))
    bounds: list[int] = []
    for region in range(regions):
        base = region * REGION_BLOCKS
        within = _decode_region(region, engine.get(_REGION_KEY.pack(REGION, region)))
        if any(later <= one for one, later in pairwise(within)):
            raise _damaged(f"region {region} is not in order")
        if bounds and within and bounds[-1] == base + within[0]:
            bounds.pop()  # free space that goes on from the region before
            bounds += [base + block for block in within[1:]]
        else:
            bounds += [base + block for block in within]
    try:
        for first, last in zip(bounds[::2], bounds[1::2], strict=True):
            allocator.add_free([(first * BLOCK_SIZE, (last - first) * BLOCK_SIZE)])
    except (ValueError, InvariantBroken) as error:
        raise _damaged(str(error)) from error
    if allocator.free != free:
        raise _damaged(f"its extents have {allocator.free} bytes, and should have {free}")
    return number, oldest


def _within_regions(extents: Iterable[Extent]) -> Iterator[tuple[int, int, int]]:
    """Extents cut at the ends of regions: region, first block in it, the one behind the last."""
    for offset, length in extents:
        block, count = offset // BLOCK_SIZE, length // BLOCK_SIZE
        while count:
            number, first = divmod(block, REGION_BLOCKS)
            some = min(count, REGION_BLOCKS - first)
            yield number, first, first + some
            block, count = block + some, count - some


def _decode_region(number: int, value: bytes | None) -> array[int]:
    if value is None or len(value) % 8:
        raise _damaged(f"region {number} is missing")
    return array("I", value)


def _encode_group(taken: list[Extent], given: list[Extent]) -> bytes:
    blocks = array("Q", [number // BLOCK_SIZE for extent in (*taken, *given) for number in extent])
    return _GROUP.pack(_VERSION, len(taken)) + blocks.tobytes()


def _decode_group(value: bytes) -> tuple[list[Extent], list[Extent]]:
    try:
        version, count = _GROUP.unpack_from(value)
        blocks = array("Q", value[_GROUP.size :])
        extents = [
            (first * BLOCK_SIZE, length * BLOCK_SIZE)
            for first, length in zip(blocks[::2], blocks[1::2], strict=True)
        ]
    except (struct.error, ValueError) as error:
        raise _damaged(str(error)) from error
    if version != _VERSION or count > len(extents):
        raise _damaged(f"a group of version {version} with {count} extents taken")
    return extents[:count], extents[count:]


def _number_of(key: bytes) -> int:
    try:
        return int(_GROUP_KEY.unpack(key)[1])
    except struct.error:
        raise _damaged(f"key {key!r}") from None


def _damaged(why: str) -> InputOutput:
    return InputOutput(f"the record of free space is damaged ({why}): run spirula store fsck")
