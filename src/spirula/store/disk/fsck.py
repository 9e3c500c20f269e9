"""Checks a store that nobody uses, and repairs what follows from the rest.

Every record is read and compared with the others: objects with their shards and omaps, blocks with
what is free and with the counts of sharers, pools with the space that they are said to take. `deep`
also reads all data. What is repaired is what can be told from the objects: free space, counts,
spaces of pools, and records that belong to nobody. For the store tool and for tests.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from spirula.errors import CephError, InputOutput, WireError
from spirula.kernels.crc32c import crc32c
from spirula.store.checksums import SEED, ChecksumType, checksum
from spirula.store.disk.bits import Bits
from spirula.store.disk.engine import Batch
from spirula.store.disk.freelist import FreeList, last_group, rewrite
from spirula.store.disk.layout import (
    COLLECTION,
    FIRST_BLOCK,
    NEXT_ID,
    OBJECT,
    OMAP,
    POOL,
    SHARD,
    SHARD_BLOCKS,
    SHARED,
    PoolSpace,
    collection_of_key,
    decode_bits,
    decode_counts,
    decode_log,
    decode_number,
    decode_space,
    encode_counts,
    encode_number,
    encode_space,
    log_key,
    omap_range,
    pool_key,
    pool_of_key,
    shard_key,
    shard_range,
    shared_key,
)
from spirula.store.disk.mark import check_recovered
from spirula.store.disk.medium import Opened
from spirula.store.disk.onode import (
    COMPRESSED,
    Blob,
    Onode,
    Shard,
    decode_onode,
    decode_shard,
    encode_onode,
)
from spirula.store.disk.onode import SHARED as SHARED_ADDRESS
from spirula.store.keys import object_of_key
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.hobject import GHObject
from spirula.types.pg import Coll

_ID_BYTES = 8
_PROGRESS_EVERY = 1000

Progress = Callable[[int], None]
"""Told now and then how many objects have been looked at."""


@dataclass(slots=True, frozen=True)
class Finding:
    """Something that is not as it has to be."""

    text: str
    repairable: bool = False


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found; `repaired` tells whether the store was changed."""

    collections: int = 0
    objects: int = 0
    shards: int = 0
    omap_entries: int = 0
    used_blocks: int = 0
    bytes_read: int = 0
    findings: list[Finding] = field(default_factory=list)
    repaired: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def left(self) -> list[Finding]:
        """What is still wrong after a repair."""
        if not self.repaired:
            return self.findings
        return [finding for finding in self.findings if not finding.repairable]


def fsck(
    opened: Opened, *, deep: bool = False, repair: bool = False, progress: Progress | None = None
) -> Report:
    """Check an opened store; with `repair` also change what can be told from the rest.

    What cannot be read is a finding, too. A repair needs a store that was opened for writing.
    """
    return _Check(opened, deep, progress).run(repair=repair)


class _Check:
    def __init__(self, opened: Opened, deep: bool, progress: Progress | None) -> None:
        self.opened = opened
        self.engine = opened.engine
        self.deep = deep
        self.progress = progress
        self.report = Report()
        self.fixes = Batch()
        self.used = Bits()
        self.used.add(0, FIRST_BLOCK)
        self.ids = Bits()
        self.omap_ids = Bits()
        self.sharded = Bits()
        self.largest_id = 0
        self.shares: dict[int, int] = {}
        self.spaces: dict[int, PoolSpace] = {}
        self.places: dict[tuple[int, int, int, int], Coll] = {}
        self.lengths: set[int] = set()
        self.logged: dict[int, bytes] = {}

    def found(self, text: str, *, repairable: bool = False) -> None:
        self.report.findings.append(Finding(text, repairable))

    def run(self, *, repair: bool) -> Report:
        self._check_groups()
        self._read_log()
        self._read_collections()
        for oid, onode in self._objects():
            self._check_object(oid, onode)
        self._check_strays(SHARD, self.sharded, "data map", shard_range)
        self._check_strays(OMAP, self.omap_ids, "omap", omap_range)
        self._check_next_id()
        self._check_shares()
        self._check_pools()
        free = self._check_free()
        if repair and any(finding.repairable for finding in self.report.findings):
            self._repair(free)
        return self.report

    # --- the store as a whole ---

    def _check_groups(self) -> None:
        try:
            check_recovered(last_group(self.engine), self.opened.mark.read())
        except InputOutput as error:
            # A repair accepts the loss: then the cluster has to bring back what is missing.
            self.found(error.message, repairable=True)

    def _read_log(self) -> None:
        """What is logged and not yet in its place stands for what the disk has there."""
        try:
            for _, value in self.engine.iterate(log_key(0), log_key((1 << 64) - 1)):
                for block, data in decode_log(value):
                    self.logged[block] = bytes(data)
        except InputOutput as error:
            self.found(error.message)

    def _read_collections(self) -> None:
        for key, value in self._records(COLLECTION):
            try:
                cid, bits = collection_of_key(key), decode_bits(value)
            except InputOutput as error:
                self.found(error.message)
                continue
            self.report.collections += 1
            if not cid.is_meta:
                pgid = cid.pgid
                self.places[pgid.pool, pgid.shard, bits, pgid.seed] = cid
                self.lengths.add(bits)

    def _records(self, kind: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All records of a kind; what the engine cannot read ends them."""
        try:
            yield from self.engine.iterate(kind, bytes([kind[0] + 1]))
        except CephError as error:
            self.found(f"records of kind {kind.decode()} cannot be read: {error.message}")

    # --- objects ---

    def _objects(self) -> Iterator[tuple[GHObject, Onode]]:
        for key, value in self._records(OBJECT):
            try:
                oid = object_of_key(key[1:])
                onode = decode_onode(oid, key, value)
            except (InputOutput, WireError) as error:
                self.found(f"an object's record {key.hex()} cannot be read: {error}")
                continue
            self.report.objects += 1
            if self.progress is not None and self.report.objects % _PROGRESS_EVERY == 0:
                self.progress(self.report.objects)
            yield oid, onode

    def _check_object(self, oid: GHObject, onode: Onode) -> None:
        if not self._has_collection(oid):
            self.found(f"object {oid} is in no collection")
        self.largest_id = max(self.largest_id, onode.nid, onode.omap_id)
        if self.ids.add(onode.nid):
            self.found(f"object {oid} has the id {onode.nid} of another object")
        space = self.spaces.setdefault(onode.pool, PoolSpace())
        stored = sum(self._check_shard(oid, onode, *shard) for shard in self._shards(oid, onode))
        omap_bytes = self._check_omap(oid, onode)
        space.stored += stored
        space.omap += omap_bytes + len(onode.header)
        if (onode.stored, onode.omap_bytes) != (stored, omap_bytes):
            said = f"{onode.stored} bytes of data and {onode.omap_bytes} of omap"
            self.found(
                f"object {oid} is said to have {said}, it has {stored} and {omap_bytes}",
                repairable=True,
            )
            onode.stored, onode.omap_bytes = stored, omap_bytes
            self.fixes.put(onode.key, encode_onode(onode))

    def _has_collection(self, oid: GHObject) -> bool:
        pool, hash = oid.hobj.logical_pool, oid.hobj.hash
        if pool < 0:
            return True  # of the store's own collection
        return any(
            (pool, oid.shard, bits, hash & (1 << bits) - 1) in self.places for bits in self.lengths
        )

    def _shards(self, oid: GHObject, onode: Onode) -> Iterator[tuple[int, Shard]]:
        """The shards of an object: number and shard."""
        if onode.inline:
            yield from onode.shards.items()
            return
        if onode.present:
            self.sharded.add(onode.nid)
        present = 0
        for key, value in self.engine.iterate(*shard_range(onode.nid)):
            number = int.from_bytes(key[-4:], "big")
            if not onode.present >> number & 1:
                text = f"object {oid} has a data map {number} that it does not know"
                self.found(text, repairable=True)
                self.fixes.delete(shard_key(onode.nid, number))
                continue
            present |= 1 << number
            try:
                yield number, decode_shard(f"blocks {number * SHARD_BLOCKS:#x} of {oid}", value)
            except InputOutput as error:
                self.found(error.message)
        if present != onode.present:
            self.found(f"object {oid} misses a part of its data map: remove it, or restore it")

    def _check_shard(self, oid: GHObject, onode: Onode, number: int, shard: Shard) -> int:
        """Note the blocks of a shard; the bytes of data in it."""
        self.report.shards += 1
        base = number * SHARD_BLOCKS
        end = -(-onode.size // BLOCK_SIZE)
        if base + len(shard.addresses) > end:
            self.found(f"object {oid} has data behind its end of {onode.size} bytes")
        space = self.spaces[onode.pool]
        stored = 0
        for slot, address, count in shard.runs():
            start = (base + slot) * BLOCK_SIZE
            stored += max(0, min(start + count * BLOCK_SIZE, onode.size) - start)
            if address & COMPRESSED:
                continue
            block = address & ~SHARED_ADDRESS
            where = f"object {oid} offset {start:#x}"
            self._use(where, space, block, count, shared=bool(address & SHARED_ADDRESS))
            if self.deep:
                self._read_run(where, shard, slot, block, count)
        for blob_id, blob in shard.blobs.items():
            self._check_blob(f"object {oid} blob {blob_id} of part {number}", space, blob)
        return stored

    def _use(self, where: str, space: PoolSpace, block: int, count: int, *, shared: bool) -> None:
        """Blocks are an object's: nobody else's, unless they are shared."""
        if block < FIRST_BLOCK or (block + count) * BLOCK_SIZE > self.opened.label.size:
            self.found(f"{where} is at block {block:#x}, which the disk does not have")
            return
        if not shared:
            if self.used.add(block, count):
                self.found(f"{where}: blocks {block:#x}~{count:#x} are another object's as well")
            fresh = count
        else:
            fresh = 0
            for number in range(block, block + count):
                seen = self.shares.get(number, 0)
                self.shares[number] = seen + 1
                if not seen:
                    fresh += 1
                    if self.used.add(number):
                        self.found(f"{where}: block {number:#x} is another object's alone")
        space.allocated += fresh * BLOCK_SIZE
        self.report.used_blocks += fresh

    def _check_blob(self, where: str, space: PoolSpace, blob: Blob) -> None:
        first = blob.extents[0][0]
        if blob.shared:
            seen = self.shares.get(first, 0)
            self.shares[first] = seen + 1
            if seen:
                return
        for block, count in blob.extents:
            self._use(where, space, block, count, shared=False)
        space.compressed += blob.stored
        space.compressed_allocated += blob.allocated * BLOCK_SIZE
        space.original += blob.blocks * BLOCK_SIZE
        if self.deep:
            data = b"".join(self._read(where, *extent) for extent in blob.extents)[: blob.stored]
            if len(data) == blob.stored:
                self._compare(where, blob.crc, crc32c(SEED, data))

    # --- data ---

    def _read(self, where: str, block: int, count: int) -> bytes:
        try:
            data = self.opened.device.read(block * BLOCK_SIZE, count * BLOCK_SIZE)
        except CephError as error:
            self.found(f"{where} cannot be read: {error}")
            return b""
        self.report.bytes_read += len(data)
        if any(number in self.logged for number in range(block, block + count)):
            changed = bytearray(data)
            for at in range(count):
                if block + at in self.logged:
                    start = at * BLOCK_SIZE
                    changed[start : start + BLOCK_SIZE] = self.logged[block + at]
            data = bytes(changed)
        return data

    def _read_run(self, where: str, shard: Shard, slot: int, block: int, count: int) -> None:
        if shard.kind == ChecksumType.NONE:
            return
        view = memoryview(self._read(where, block, count))
        for at in range(len(view) // BLOCK_SIZE):
            data = view[at * BLOCK_SIZE : (at + 1) * BLOCK_SIZE]
            place = where if not at else f"{where} and {at} blocks"
            self._compare(place, shard.sums[slot + at], checksum(shard.kind, data))

    def _compare(self, where: str, expected: int, found: int) -> None:
        if expected != found:
            self.found(f"{where}: checksum is {found:#010x}, expected {expected:#010x}")

    # --- omaps ---

    def _check_omap(self, oid: GHObject, onode: Onode) -> int:
        """The bytes of an object's omap."""
        if not onode.omap_id:
            return 0
        if self.omap_ids.add(onode.omap_id):
            self.found(f"object {oid} has the omap {onode.omap_id} of another object")
        size = 0
        prefix = 1 + _ID_BYTES
        try:
            for key, value in self.engine.iterate(*omap_range(onode.omap_id)):
                size += len(key) - prefix + len(value)
                self.report.omap_entries += 1
        except CephError as error:
            self.found(f"the omap of object {oid} cannot be read: {error.message}")
        return size

    # --- what belongs to nobody ---

    def _check_strays(
        self,
        kind: bytes,
        owned: Bits,
        what: str,
        range_of: Callable[[int], tuple[bytes, bytes]],
    ) -> None:
        """Records under ids that no object has."""
        start, end = kind, bytes([kind[0] + 1])
        while True:
            first = next(iter(self.engine.iterate(start, end)), None)
            if first is None:
                return
            number = int.from_bytes(first[0][1 : 1 + _ID_BYTES], "big")
            bounds = range_of(number)
            if number not in owned:
                self.found(f"{what} {number} is no object's", repairable=True)
                self.fixes.delete_range(*bounds)
            start = bounds[1]

    def _check_next_id(self) -> None:
        value = self.engine.get(NEXT_ID)
        next_id = 0 if value is None else decode_number(value)
        if self.largest_id and next_id <= self.largest_id:
            text = f"ids are given out from {next_id} on, and {self.largest_id} is in use"
            self.found(text, repairable=True)
            self.fixes.put(NEXT_ID, encode_number(self.largest_id + 1))

    def _check_shares(self) -> None:
        """Counts of sharers are as many as there are."""
        regions: dict[int, array[int]] = {}
        for block, count in self.shares.items():
            region, at = divmod(block, SHARD_BLOCKS)
            counts = regions.setdefault(region, array("I", bytes(4 * SHARD_BLOCKS)))
            counts[at] = count
        for key, value in self._records(SHARED):
            region = int.from_bytes(key[1:], "big")
            counts = regions.pop(region, array("I", bytes(4 * SHARD_BLOCKS)))
            try:
                said = decode_counts(value)
            except (InputOutput, IndexError, ValueError):
                said = None
            if said != counts:
                self._wrong_shares(region, counts)
        for region, counts in regions.items():
            self._wrong_shares(region, counts)

    def _wrong_shares(self, region: int, counts: array[int]) -> None:
        first = region * SHARD_BLOCKS
        self.found(f"counts of who shares blocks from {first:#x} on are wrong", repairable=True)
        value = encode_counts(counts)
        if value is None:
            self.fixes.delete(shared_key(region))
        else:
            self.fixes.put(shared_key(region), value)

    def _check_pools(self) -> None:
        said: dict[int, PoolSpace] = {}
        for key, value in self._records(POOL):
            try:
                said[pool_of_key(key)] = decode_space(value)
            except InputOutput as error:
                self.found(error.message, repairable=True)
        for pool in sorted(said.keys() | self.spaces.keys()):
            has = self.spaces.get(pool, PoolSpace())
            if said.get(pool, PoolSpace()) != has:
                text = f"pool {pool} is said to take {said.get(pool)}, it takes {has}"
                self.found(text, repairable=True)
                self.fixes.put(pool_key(pool), encode_space(has))

    # --- free space ---

    def _check_free(self) -> list[tuple[int, int]]:
        """What is free by the objects, in bytes: offsets and lengths."""
        size = self.opened.label.size
        free = [
            (first * BLOCK_SIZE, count * BLOCK_SIZE)
            for first, count in self.used.missing(0, size // BLOCK_SIZE)
        ]
        try:
            said = list(FreeList(self.engine, size).allocator)
        except InputOutput as error:
            self.found(error.message, repairable=True)
            return free
        if said != free:
            lost, twice = _difference(free, said), _difference(said, free)
            if lost:
                self.found(f"{_sum(lost)} bytes are nobody's and not free", repairable=True)
            if twice:
                text = f"{_sum(twice)} bytes are free and in use, from {twice[0][0]:#x} on"
                self.found(text, repairable=True)
        return free

    def _repair(self, free: list[tuple[int, int]]) -> None:
        sequence = self.opened.mark.read()
        with suppress(InputOutput):
            sequence = max(sequence, last_group(self.engine))
        sequence += 1
        rewrite(self.fixes, self.opened.label.size, free, sequence)
        self.engine.write(self.fixes)
        self.engine.sync()
        self.opened.mark.write(sequence)
        self.opened.mark.settle()
        self.opened.device.sync()
        self.report.repaired = True


def _difference(
    extents: list[tuple[int, int]], others: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The parts of extents that are in no other, both in order."""
    left: list[tuple[int, int]] = []
    rest = iter([*others, (1 << 64, 0)])
    low, length = next(rest)
    for start, size in extents:
        at, end = start, start + size
        while at < end:
            while low + length <= at:
                low, length = next(rest)
            if low > at:
                stop = min(end, low)
                left.append((at, stop - at))
                at = stop
            else:
                at = low + length
    return left


def _sum(extents: list[tuple[int, int]]) -> int:
    return sum(length for _, length in extents)
