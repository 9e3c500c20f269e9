"""What the parts of the store on disk share: its ports, its caches, and the entry being made.

`content`, `writing` and `reading` are functions over this record; `store` makes it at mount. All of
it belongs to the thread that calls the store; the commit thread gets finished entries and nothing
else.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spirula.errors import InvalidArgument
from spirula.store.allocator import Allocator, Extent
from spirula.store.checksums import ChecksumType
from spirula.store.disk.blockfile import BlockDevice
from spirula.store.disk.cache import OnodeCache
from spirula.store.disk.compression import Compression
from spirula.store.disk.engine import Batch, Engine
from spirula.store.disk.layout import NEXT_ID, PoolSpace, encode_number
from spirula.store.disk.names import Change, Names
from spirula.store.disk.omaps import PendingOmaps
from spirula.store.disk.onode import Onode, Shard, state_of
from spirula.store.disk.shared import SharedBlocks
from spirula.store.disk.unwritten import Unwritten
from spirula.store.keyvalue import Done
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.hobject import GHObject
from spirula.types.pg import Coll
from spirula.types.pool import PoolOpt
from spirula.types.transaction import Buffer

_ID_STEP = 1 << 12
"""Ids that are taken at once: so often the record of the next one is written."""
_RESERVE_BLOCKS = 64
"""Blocks that small writes take at once."""
_RESERVE_FROM = 64 * _RESERVE_BLOCKS * BLOCK_SIZE
"""Bytes that must be free for that."""


@dataclass(slots=True)
class Options:
    """How a store behaves; may differ at every mount."""

    checksums: ChecksumType = ChecksumType.CRC32C
    """Of what is written from now on."""
    direct_from: int = 64 << 10
    """Bytes: writes from this size on go to new space, smaller ones over data through the log."""
    log_new_below: int = 16 << 10
    """Bytes: writes to new blocks that are smaller go through the log, too.

    That is one sync less for data written twice: 9,200 new objects of 4 KiB a second instead of
    6,700, and the same number of 16 KiB for a quarter more CPU.
    """
    log_bytes: int = 16 << 20
    """The log is trimmed, with a sync of the block file, when it has this many bytes."""
    waits_for_writers: bool = True
    """Whether a group waits a moment for those who seem to be about to join it.

    That pays where they are called back and write again at once. An OSD's writers are other
    machines: there it costs 7 % of the CPU of a write of 4 KiB, and nothing comes of it.
    """
    memory_target: int = 32 << 20
    """Bytes for caches: half of it is the engine's, three eighths are objects.

    An eighth goes to pieces of Python's memory between what is kept.
    """
    compression: Compression = field(default_factory=Compression)
    """Of pools that say nothing else."""
    discard_from: int = 64 << 10
    """Bytes: freed pieces are given back to the file system below if so much is free in a row."""
    discard_after_s: float = 60.0
    """Seconds: they are given back when the store had nothing to commit for so long.

    New data that goes where older data was costs a fifth less of the time of a write of 64 KiB than
    data for which the file system has to find space anew.
    """
    discard_together: int = 4 << 30
    """Bytes: when so much was freed, it is given back while the store is busy, too.

    Or a quarter of what the file system below has left, if that is less.
    """


class PoolOpts:
    """What a pool has options for; all else is as the store has it at that time."""

    def __init__(self, opts: Mapping[int, str | int | float], options: Options) -> None:
        """InvalidArgument if there is no such mode, algorithm or kind of checksums."""
        self._opts = dict(opts)
        self._made = options.compression, options.compression.of_pool(opts)
        kind = int(opts.get(PoolOpt.CSUM_TYPE, 0))
        if kind not in {0, *ChecksumType}:
            raise InvalidArgument(f"{kind} is no kind of checksum")
        self.checksums = ChecksumType(kind) if kind else None

    def compression(self, options: Options) -> Compression:
        """How data is compressed; the store's own options may have changed."""
        base, made = self._made
        if base is not options.compression:
            made = options.compression.of_pool(self._opts)
            self._made = options.compression, made
        return made


class Entry:
    """What one call of `queue_transactions` changes: for the commit, and to undo it on failure.

    The fields named `was` have what was there before, noted when it is first touched. There is one
    for each write of a client, so all is plain here.
    """

    __slots__ = (
        *("allocated", "batch", "cid", "direct", "dirty", "freed", "log", "log_was", "names_was"),
        *("omaps_was", "on_applied", "on_commit", "onodes_was", "others_was", "regions"),
        *("sequence", "shards_was", "spaces_was", "sums", "sums_was", "taken", "unneeded"),
    )

    def __init__(self, cid: Coll, sequence: int) -> None:
        self.cid = cid
        self.sequence = sequence
        self.batch = Batch()
        self.direct: list[tuple[int, list[Buffer]]] = []
        """Offsets on the disk, and what goes there before the metadata is written."""
        self.sums: dict[int, array[int]] = {}
        """By those offsets, the CRC-32C of each block."""
        self.unneeded: list[tuple[int, list[Buffer]]] = []
        """Those of them that nobody will read soon."""
        self.log: dict[int, bytes] = {}
        """Blocks of the disk, and what goes there afterwards."""
        self.allocated: list[Extent] = []
        self.taken = 0
        """Bytes in `allocated`."""
        self.freed: list[Extent] = []
        self.on_applied: Callable[[], None] | None = None
        self.on_commit: list[Done] = []
        self.dirty: set[Onode] = set()
        """Objects whose records are to be written."""
        self.onodes_was: dict[Onode, tuple[Any, ...]] = {}
        self.shards_was: dict[tuple[Onode, int], tuple[Shard, Shard] | None] = {}
        """The shard and a copy of what it was; None if there was none."""
        self.sums_was: list[tuple[Onode, int, Shard, int, int]] = []
        """Of single blocks that were written over: shard, place in it, and checksum."""
        self.names_was: list[tuple[GHObject, Onode | None, bytes, Change | None]] = []
        self.omaps_was: list[tuple[int, bytes, tuple[bytes | None, int] | None]] = []
        self.log_was: dict[int, bytes | None] = {}
        self.spaces_was: dict[int, tuple[int, ...]] = {}
        """Of pools, their `PoolSpace.numbers`."""
        self.others_was: list[Callable[[], object]] = []
        """What undoes changes that are rare."""
        self.regions: list[int] = []
        """Regions of the disk whose counts of sharers it changes."""

    @property
    def size(self) -> int:
        """Bytes of data, about."""
        direct = sum([len(part) for _, parts in self.direct for part in parts])
        return direct + sum(map(len, self.log.values()))


@dataclass(slots=True, eq=False)
class State:
    """A mounted store."""

    engine: Engine
    device: BlockDevice
    allocator: Allocator
    options: Options
    cache: OnodeCache
    names: Names
    omaps: PendingOmaps
    shared: SharedBlocks
    unwritten: Unwritten
    entry: Entry
    """The one that is being made; between calls one that is not used."""
    collections: dict[Coll, int] = field(default_factory=dict)
    spaces: dict[int, PoolSpace] = field(default_factory=dict)
    pool_opts: dict[int, PoolOpts] = field(default_factory=dict)
    """Of pools with options of their own."""
    data_errors: set[GHObject] = field(default_factory=set)
    metadata_errors: set[GHObject] = field(default_factory=set)
    """Injected: objects of which reads fail."""
    missed: tuple[GHObject | None, bytes] = (None, b"")
    """What was looked for last and is not there, and its key; forgotten when something is made."""
    reserve: tuple[int, int] = (0, 0)
    """Blocks that the allocator has given out and nobody has: the first, and how many."""
    next_id: int = 1
    id_limit: int = 1
    id_record: bytes = b""
    """The limit as the engine has it."""
    counters: dict[str, int] = field(default_factory=dict)

    def new_id(self) -> int:
        """An id that no object and no omap ever had."""
        given = self.next_id
        if given >= self.id_limit:
            self.id_limit = given + _ID_STEP
            self.id_record = encode_number(self.id_limit)
        # Each entry that takes one says so: the one before may be undone, or lost.
        self.entry.batch.changes[NEXT_ID] = self.id_record
        self.next_id = given + 1
        return given

    def from_reserve(self, blocks: int) -> int:
        """The first of some blocks in a row, 0 if they have to come from the allocator.

        That has a tree to look after with each call, which costs ten times as much.
        """
        start, count = self.reserve
        if count < blocks:
            if self.allocator.free < _RESERVE_FROM:
                return 0
            self.give_back_reserve()
            extents = self.allocator.allocate(_RESERVE_BLOCKS * BLOCK_SIZE)
            start, count = extents[0][0] // BLOCK_SIZE, extents[0][1] // BLOCK_SIZE
            self.allocator.release(extents[1:])
            if count < blocks:
                self.allocator.release(extents[:1])
                return 0
        self.reserve = start + blocks, count - blocks
        return start

    def give_back_reserve(self) -> None:
        """Let the allocator have what is left of the reserve."""
        start, count = self.reserve
        self.reserve = 0, 0
        self.allocator.release([(start * BLOCK_SIZE, count * BLOCK_SIZE)])

    def touch(self, onode: Onode) -> None:
        """Note what an object is, before it is changed."""
        if onode not in self.entry.onodes_was:
            self.entry.onodes_was[onode] = state_of(onode)

    def change(self, onode: Onode) -> None:
        """Note what an object is, and that its record is to be written."""
        entry = self.entry
        if onode not in entry.onodes_was:
            entry.onodes_was[onode] = state_of(onode)
        entry.dirty.add(onode)

    def space(self, pool: int) -> PoolSpace:
        """The space of a pool, to be changed."""
        found = self.spaces.get(pool)
        if found is None:
            found = self.spaces[pool] = PoolSpace()
        if pool not in self.entry.spaces_was:
            self.entry.spaces_was[pool] = found.numbers()
        return found

    def compression(self, pool: int) -> Compression:
        """How data of a pool is compressed."""
        opts = self.pool_opts.get(pool)
        return self.options.compression if opts is None else opts.compression(self.options)

    def checksums(self, pool: int) -> ChecksumType:
        """How new data of a pool is summed."""
        opts = self.pool_opts.get(pool)
        return self.options.checksums if opts is None else opts.checksums or self.options.checksums

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        self.counters[name] = self.counters.get(name, 0) + by
