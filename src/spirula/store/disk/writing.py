"""Changing an object's data: to new space, or over what is there through the log.

A write of `Options.direct_from` bytes or more goes to newly allocated blocks and is durable before
the metadata that names it. A smaller one over blocks that are the object's alone goes into the log
with its metadata, and to its place afterwards. Bytes behind an object's end in its last block are
zeros. For `content`; everything notes in the state's entry how it is undone.
"""

from __future__ import annotations

from array import array

from spirula.kernels.crc32c import crc32c
from spirula.store.allocator import Extent
from spirula.store.checksums import (
    CODES,
    MASKS,
    SEED,
    ChecksumType,
    checksum,
    checksums,
    narrowed,
)
from spirula.store.disk.compression import Compression
from spirula.store.disk.layout import SHARD_BLOCKS, SHARD_SIZE
from spirula.store.disk.onode import (
    COMPRESSED,
    FLAGS,
    NEW,
    SHARED,
    Blob,
    Onode,
    Shard,
    encode_block,
    encode_shard,
)
from spirula.store.disk.reading import READ_NO_MORE, read_block, shard_of
from spirula.store.disk.state import State
from spirula.store.disk.unwritten import cut
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.transaction import Buffer

_FEW_BLOCKS = 4
"""So many blocks at most are taken from the reserve."""


def write(state: State, onode: Onode, offset: int, data: Buffer, flags: int = 0) -> None:
    """Put data, at least a byte; the object grows as needed. `flags`: `OpFlag`."""
    length = len(data)
    end = offset + length
    if end > onode.size:
        if onode.size:
            grow(state, onode, end)
        else:  # there is no last block of which more is stored now
            if onode not in state.entry.dirty:
                state.change(onode)
            onode.size = end
    if not offset and not onode.present & 1 and length < state.options.log_new_below:
        _write_first(state, onode, data if type(data) is bytes else bytes(data))
        return
    first, skip = divmod(offset, BLOCK_SIZE)
    stop = -(-end // BLOCK_SIZE)
    behind = stop * BLOCK_SIZE - end
    if length < state.options.direct_from:
        content = data if type(data) is bytes else bytes(data)
        if skip or behind:
            content = _whole(state, onode, first, stop, skip, content, behind)
        if stop > first + 1 or not write_over(state, onode, first, content):
            _write_small(state, onode, first, content)
        return
    known = len(state.entry.direct)
    if offset or behind or onode.present or not _put_first(state, onode, data):
        _put(state, onode, first, stop, skip, data, behind)
    if flags & READ_NO_MORE:
        state.entry.unneeded += state.entry.direct[known:]


def _put(
    state: State, onode: Onode, first: int, stop: int, skip: int, data: Buffer, behind: int
) -> None:
    """Put data to new space, from `skip` bytes into a block to `behind` before the end of one."""
    length = len(data)
    buffers: list[Buffer] = []
    view = memoryview(_owned(data))
    head = BLOCK_SIZE - skip if skip else 0
    tail = BLOCK_SIZE - behind if behind else 0
    if head:
        buffers.append(_whole(state, onode, first, first + 1, skip, bytes(view[:head]), 0))
    if head + tail < length:
        buffers.append(view[head : length - tail])
    if tail:
        last = bytes(view[length - tail :])
        buffers.append(_whole(state, onode, stop - 1, stop, 0, last, behind))
    _write_direct(state, onode, first, stop, buffers)


def _put_first(state: State, onode: Onode, data: Buffer) -> bool:
    """Put the only shard of an object that has none, of whole blocks; False if it is no plain one.

    New objects of 64 KiB are many: this does in one go what `_put` does in all cases.
    """
    size, entry, kind = len(data), state.entry, state.checksums(onode.pool)
    if size > SHARD_SIZE or kind != ChecksumType.CRC32C:
        return False
    if state.compression(onode.pool).is_wanted(onode.hint[2]):
        return False
    data = _owned(data)
    extents = allocate(state, onode, size // BLOCK_SIZE)
    state.change(onode)
    entry.shards_was.setdefault((onode, 0))
    addresses, sums = array("Q"), array("I")
    for address, count in extents:
        at = len(sums) * BLOCK_SIZE
        part = data if len(extents) == 1 else memoryview(data)[at : at + count * BLOCK_SIZE]
        found = checksums(kind, part, BLOCK_SIZE)
        entry.sums[address * BLOCK_SIZE] = found
        entry.direct.append((address * BLOCK_SIZE, [part]))
        state.unwritten.add(address, count, [part])
        addresses.extend(range(address, address + count))
        sums += found
    onode.packed = encode_shard(Shard(kind, addresses, sums))
    onode.present = 1
    onode.stored += size
    return True


def _write_first(state: State, onode: Onode, data: bytes) -> None:
    """Put the first blocks of an object that has none of its first shard, through the log.

    New small objects are many: this does in one go what `_write_small` does in all cases.
    """
    length = len(data)
    count = (length + BLOCK_SIZE - 1) // BLOCK_SIZE
    if length % BLOCK_SIZE:
        data += bytes(count * BLOCK_SIZE - length)
    entry, kind = state.entry, state.checksums(onode.pool)
    state.change(onode)
    if entry.onodes_was[onode] is not NEW:
        entry.shards_was.setdefault((onode, 0))
    extents = allocate(state, onode, count)
    if count == 1 and kind == ChecksumType.CRC32C:
        address = extents[0][0]
        log(state, address, data)
        onode.packed = encode_block(address, crc32c(SEED, data))
    else:
        onode.packed = encode_shard(_logged_shard(state, kind, extents, data))
    onode.present |= 1
    onode.stored += min(count * BLOCK_SIZE, onode.size)


def _logged_shard(
    state: State, kind: ChecksumType, extents: list[tuple[int, int]], data: bytes
) -> Shard:
    """The first blocks of a shard, whose data goes to these blocks of the disk by the log."""
    addresses, sums = array("Q"), array(CODES[kind])
    at = 0
    for first, taken in extents:
        for address in range(first, first + taken):
            piece = data[at : at + BLOCK_SIZE]
            at += BLOCK_SIZE
            addresses.append(address)
            sums.append(checksum(kind, piece))
            log(state, address, piece)
    return Shard(kind, addresses, sums)


def _owned(data: Buffer) -> Buffer:
    """The data, copied if somebody might change it; of what is read-only all have let go."""
    if type(data) is bytes:
        return data
    view = memoryview(data)
    return view if view.readonly else bytes(view)


def _whole(
    state: State, onode: Onode, first: int, stop: int, skip: int, data: bytes, behind: int
) -> bytes:
    """Data in whole blocks, with what stands before and behind it in them."""
    parts = [data]
    if skip:
        old = read_block(state, onode, first)
        parts.insert(0, bytes(skip) if old is None else old[:skip])
    if behind:
        old = read_block(state, onode, stop - 1)
        parts.append(bytes(behind) if old is None else old[BLOCK_SIZE - behind :])
    return b"".join(parts)


def changed_shard(state: State, onode: Onode, number: int) -> Shard:
    """A shard to be changed, noted as it is now; made if there is none."""
    was = state.entry.shards_was
    place = (onode, number)
    if place not in was:
        shard = shard_of(state, onode, number)
        was[place] = None if shard is None else (shard, shard.copy())
        state.touch(onode)
    else:
        shard = shard_of(state, onode, number)
    kind = state.checksums(onode.pool)
    if shard is None:
        shard = onode.shards[number] = Shard(kind)
        state.change(onode)
        onode.present |= 1 << number
    elif shard.kind != kind:
        _let_kind_follow(shard, kind)
    return shard


def _let_kind_follow(shard: Shard, kind: ChecksumType) -> None:
    """Another kind of checksums is wanted by now: have it if what there is allows that."""
    if kind == ChecksumType.NONE:
        shard.sums = array("I", bytes(4 * len(shard.sums)))
    elif kind in MASKS and MASKS[kind] <= MASKS.get(shard.kind, -1):
        shard.sums = narrowed(kind, shard.sums)
    else:
        return
    shard.kind = kind


def write_over(state: State, onode: Onode, block: int, content: bytes) -> bool:
    """Put a block over one that is the object's alone; False if more changes than its checksum.

    Overwrites of a block are many: the checksum is all that is noted to undo it.
    """
    number, slot = divmod(block, SHARD_BLOCKS)
    shard = onode.shards.get(number) or shard_of(state, onode, number)
    if shard is None or slot >= len(shard.addresses):
        return False
    address, entry = shard.addresses[slot], state.entry
    if not address or address & FLAGS or (onode, number) in entry.shards_was:
        return False
    if not shard.kind == state.checksums(onode.pool) == ChecksumType.CRC32C:
        return False
    state.touch(onode)
    entry.sums_was.append((onode, number, shard, slot, shard.sums[slot]))
    shard.sums[slot] = crc32c(SEED, content)
    log(state, address, content)
    return True


def _write_small(state: State, onode: Onode, first: int, content: bytes) -> None:
    """Put whole blocks, each over what is there if it is the object's alone."""
    fresh: list[tuple[Shard, int, int, bytes]] = []
    size = len(content)
    for at in range(0, size, BLOCK_SIZE):
        block = first + at // BLOCK_SIZE
        number, slot = divmod(block, SHARD_BLOCKS)
        shard = changed_shard(state, onode, number)
        piece = content if size == BLOCK_SIZE else content[at : at + BLOCK_SIZE]
        address = shard.addresses[slot] if slot < len(shard.addresses) else 0
        if address and not address & FLAGS:
            whole = shard.kind == ChecksumType.CRC32C
            shard.sums[slot] = crc32c(SEED, piece) if whole else checksum(shard.kind, piece)
            log(state, address, piece)
        else:
            fresh.append((shard, slot, block, piece))
    if fresh:
        _write_fresh(state, onode, fresh)


def log(state: State, address: int, piece: bytes) -> None:
    """Let the log bring a block of the disk this content."""
    entry, blocks = state.entry, state.unwritten.blocks
    if address not in entry.log_was:
        entry.log_was[address] = blocks.get(address)
    entry.log[address] = blocks[address] = piece


def _write_fresh(state: State, onode: Onode, fresh: list[tuple[Shard, int, int, bytes]]) -> None:
    """Put blocks to new space; what was there before goes away."""
    logged = len(fresh) * BLOCK_SIZE < state.options.log_new_below
    addresses = [
        address + at for address, count in allocate(state, onode, len(fresh)) for at in range(count)
    ]
    for (shard, slot, block, piece), address in zip(fresh, addresses, strict=True):
        if slot < len(shard.addresses) and shard.addresses[slot]:
            _free_slots(state, onode, shard, slot, slot + 1)
        else:
            onode.stored += min(BLOCK_SIZE, onode.size - block * BLOCK_SIZE)
        shard.reach(slot + 1)
        shard.addresses[slot] = address
        shard.sums[slot] = checksum(shard.kind, piece)
        shard.runs_ = None
        if logged:
            log(state, address, piece)
        else:
            state.entry.sums[address * BLOCK_SIZE] = array("I", [crc32c(SEED, piece)])
            state.entry.direct.append((address * BLOCK_SIZE, [piece]))
            state.unwritten.add(address, 1, [piece])
    state.change(onode)


def _write_direct(state: State, onode: Onode, first: int, stop: int, buffers: list[Buffer]) -> None:
    """Put whole blocks to new space; what was there before goes away."""
    state.change(onode)
    compression = state.compression(onode.pool)
    hints = onode.hint[2]
    if compression.is_wanted(hints):
        drop_blocks(state, onode, first, stop)
        _put_blobs(state, onode, first, stop, buffers, compression)
    else:
        extents = allocate(state, onode, stop - first)
        drop_blocks(state, onode, first, stop)
        _put_extents(state, onode, first, extents, buffers)
    onode.stored += stop * BLOCK_SIZE - first * BLOCK_SIZE
    onode.stored -= max(0, stop * BLOCK_SIZE - onode.size)


def _put_extents(
    state: State, onode: Onode, first: int, extents: list[tuple[int, int]], buffers: list[Buffer]
) -> None:
    """Let holes from `first` on have this data, in these blocks of the disk."""
    block, done = first, 0
    for address, count in extents:
        parts = cut(buffers, done * BLOCK_SIZE, count * BLOCK_SIZE)
        sums = state.entry.sums[address * BLOCK_SIZE] = _sums(parts)
        state.entry.direct.append((address * BLOCK_SIZE, parts))
        state.unwritten.add(address, count, parts)
        _map_blocks(state, onode, block, address, sums, parts)
        block += count
        done += count


def _put_blobs(
    state: State,
    onode: Onode,
    first: int,
    stop: int,
    buffers: list[Buffer],
    compression: Compression,
) -> None:
    """Let holes from `first` on and before `stop` have this data, compressed where it is worth it.

    Blobs begin at multiples of their size, so that none goes from one shard into the next.
    """
    length = compression.blob_blocks(onode.hint[2])
    block = first
    while block < stop:
        end = min(stop, block - block % length + length)
        parts = cut(buffers, (block - first) * BLOCK_SIZE, (end - block) * BLOCK_SIZE)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        packed = compression.attempt(data)
        if packed is None:
            state.count("compress_rejected_count")
            _put_extents(state, onode, block, allocate(state, onode, end - block), parts)
        else:
            state.count("compress_success_count")
            _put_blob(state, onode, block, end, data, packed, compression.algorithm)
        block = end


def _put_blob(
    state: State,
    onode: Onode,
    block: int,
    end: int,
    data: Buffer,
    packed: bytes,
    algorithm: int,
) -> None:
    count = end - block
    extents = allocate(state, onode, -(-len(packed) // BLOCK_SIZE))
    blob = Blob(algorithm, count, len(packed), crc32c(SEED, packed), tuple(extents))
    padded: list[Buffer] = [packed, bytes(-len(packed) % BLOCK_SIZE)]
    done = 0
    for address, taken in extents:
        parts = cut(padded, done * BLOCK_SIZE, taken * BLOCK_SIZE)
        state.entry.sums[address * BLOCK_SIZE] = _sums([b"".join(parts)])
        state.entry.direct.append((address * BLOCK_SIZE, parts))
        state.unwritten.add(address, taken, parts)
        done += taken
    number, slot = divmod(block, SHARD_BLOCKS)
    shard = changed_shard(state, onode, number)
    name = free_name(shard.blobs)
    shard.blobs[name] = blob
    shard.reach(slot + count)
    low = COMPRESSED | name << 8
    shard.addresses[slot : slot + count] = array("Q", range(low, low + count))
    shard.sums[slot : slot + count] = checksums(shard.kind, data, BLOCK_SIZE)
    shard.runs_ = None
    space = state.space(onode.pool)
    space.compressed += blob.stored
    space.compressed_allocated += blob.allocated * BLOCK_SIZE
    space.original += count * BLOCK_SIZE


def _sums(parts: list[Buffer]) -> array[int]:
    found = checksums(ChecksumType.CRC32C, parts[0], BLOCK_SIZE)
    for part in parts[1:]:
        found += checksums(ChecksumType.CRC32C, part, BLOCK_SIZE)
    return found


def _map_blocks(
    state: State, onode: Onode, block: int, address: int, sums: array[int], data: list[Buffer]
) -> None:
    """Let holes from `block` on be where the disk has blocks from `address` on, with this data."""
    done, count = 0, len(sums)
    while done < count:
        number, slot = divmod(block + done, SHARD_BLOCKS)
        taken = min(count - done, SHARD_BLOCKS - slot)
        shard = changed_shard(state, onode, number)
        shard.reach(slot + taken)
        low = address + done
        shard.addresses[slot : slot + taken] = array("Q", range(low, low + taken))
        if shard.kind in MASKS:
            kept = narrowed(shard.kind, sums[done : done + taken])
        else:
            some = b"".join(cut(data, done * BLOCK_SIZE, taken * BLOCK_SIZE))
            kept = checksums(shard.kind, some, BLOCK_SIZE)
        shard.sums[slot : slot + taken] = kept
        shard.runs_ = None
        done += taken


def allocate(state: State, onode: Onode, blocks: int) -> list[tuple[int, int]]:
    """New blocks for an object: first ones and counts."""
    entry = state.entry
    size = blocks * BLOCK_SIZE
    entry.taken += size
    state.space(onode.pool).allocated += size
    start = state.from_reserve(blocks) if blocks <= _FEW_BLOCKS else 0
    if start:
        entry.allocated.append((start * BLOCK_SIZE, size))
        return [(start, blocks)]
    extents = state.allocator.allocate(size)
    entry.allocated += extents
    return [(offset // BLOCK_SIZE, length // BLOCK_SIZE) for offset, length in extents]


def _free(state: State, onode: Onode, extents: list[tuple[int, int]]) -> None:
    """Blocks are no object's any more."""
    freed = state.entry.freed
    blocks = 0
    for address, count in extents:
        blocks += count
        extent: Extent = (address * BLOCK_SIZE, count * BLOCK_SIZE)
        if freed and sum(freed[-1]) == extent[0]:
            freed[-1] = (freed[-1][0], freed[-1][1] + extent[1])
        else:
            freed.append(extent)
    if blocks:
        state.space(onode.pool).allocated -= blocks * BLOCK_SIZE


def _free_slots(state: State, onode: Onode, shard: Shard, start: int, stop: int) -> int:
    """Make holes of blocks of a shard, which is noted as changed; how many were none."""
    count, blobs = 0, False
    for _, address, length in shard.runs_between(start, stop):
        count += length
        if address & COMPRESSED:
            blobs = True
        elif address & SHARED:
            _free(state, onode, state.shared.drop(address & ~SHARED, length))
        else:
            _free(state, onode, [(address, length)])
    end = min(stop, len(shard.addresses))
    if count:
        shard.addresses[start:end] = array("Q", bytes(8 * (end - start)))
        shard.sums[start:end] = array(shard.sums.typecode, [0] * (end - start))
        shard.runs_ = None
    if blobs:
        kept = {blob_number(address) for _, address, _ in shard.runs() if address & COMPRESSED}
        for number in [number for number in shard.blobs if number not in kept]:
            _free_blob(state, onode, shard.blobs.pop(number))
    return count


def _free_blob(state: State, onode: Onode, blob: Blob) -> None:
    if blob.shared and not state.shared.drop(blob.extents[0][0], 1):
        return
    _free(state, onode, list(blob.extents))
    space = state.space(onode.pool)
    space.compressed -= blob.stored
    space.compressed_allocated -= blob.allocated * BLOCK_SIZE
    space.original -= blob.blocks * BLOCK_SIZE


def free_name(blobs: dict[int, Blob]) -> int:
    """A number that no blob of a shard has."""
    return next(name for name in range(len(blobs) + 1) if name not in blobs)


def blob_number(address: int) -> int:
    """Which blob of its shard an address with `COMPRESSED` is in."""
    return (address & ~FLAGS) >> 8


def drop_blocks(state: State, onode: Onode, first: int, stop: int) -> None:
    """Make holes of whole blocks."""
    low, high = first // SHARD_BLOCKS, (stop - 1) // SHARD_BLOCKS
    if stop <= first:
        return
    shards = onode.present >> low & (1 << high - low + 1) - 1
    if not shards:
        return
    last = (onode.size - 1) // BLOCK_SIZE
    while shards:
        number = low + (shards & -shards).bit_length() - 1
        shards &= shards - 1
        base = number * SHARD_BLOCKS
        shard = changed_shard(state, onode, number)
        start, end = max(first - base, 0), min(stop - base, SHARD_BLOCKS)
        at_end = last - base
        if start <= at_end < end and at_end < len(shard.addresses) and shard.addresses[at_end]:
            onode.stored += (last + 1) * BLOCK_SIZE - onode.size  # it counted for less
        dropped = _free_slots(state, onode, shard, start, end)
        if dropped:
            onode.stored -= dropped * BLOCK_SIZE
            state.change(onode)
            shard.trim()
            if not shard.addresses:
                del onode.shards[number]
                onode.present &= ~(1 << number)


def grow(state: State, onode: Onode, size: int) -> None:
    """Let the object end later."""
    state.change(onode)
    rest = onode.size % BLOCK_SIZE
    if rest and _is_data(state, onode, onode.size // BLOCK_SIZE):
        onode.stored += min(size - onode.size, BLOCK_SIZE - rest)
    onode.size = size


def _is_data(state: State, onode: Onode, block: int) -> bool:
    number, slot = divmod(block, SHARD_BLOCKS)
    shard = shard_of(state, onode, number)
    return shard is not None and slot < len(shard.addresses) and shard.addresses[slot] != 0


def punch(state: State, onode: Onode, offset: int, length: int) -> None:
    """Make zeros of a range: holes of the blocks that are within."""
    end = min(offset + length, onode.size)
    if end <= offset:
        return
    first = -(-offset // BLOCK_SIZE)
    # What is behind the end is zeros anyway.
    stop = -(-end // BLOCK_SIZE) if end == onode.size else end // BLOCK_SIZE
    if offset % BLOCK_SIZE:
        head = min(end, first * BLOCK_SIZE)
        _put_zeros(state, onode, offset, head)
    if stop * BLOCK_SIZE < end and stop >= first:
        _put_zeros(state, onode, stop * BLOCK_SIZE, end)
    drop_blocks(state, onode, first, stop)


def _put_zeros(state: State, onode: Onode, start: int, end: int) -> None:
    """Zeros within one block, unless it is a hole."""
    block = start // BLOCK_SIZE
    if _is_data(state, onode, block):
        data = bytes(end - start)
        behind = (block + 1) * BLOCK_SIZE - end
        skip = start - block * BLOCK_SIZE
        _write_small(
            state, onode, block, _whole(state, onode, block, block + 1, skip, data, behind)
        )


def truncate(state: State, onode: Onode, size: int) -> None:
    """Set the size; what lay behind is gone."""
    if size >= onode.size:
        grow(state, onode, size)
        return
    state.change(onode)
    before = onode.size
    punch(state, onode, size, before - size)
    block, rest = divmod(size, BLOCK_SIZE)
    if rest and _is_data(state, onode, block):
        onode.stored -= min(BLOCK_SIZE, before - block * BLOCK_SIZE) - rest
    onode.size = size


def drop_all(state: State, onode: Onode) -> None:
    """Make a hole of the whole object, which is empty then."""
    drop_blocks(state, onode, 0, -(-onode.size // BLOCK_SIZE))
    state.change(onode)
    onode.size = 0
