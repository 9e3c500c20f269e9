"""Cloning objects and parts of them: whole blocks are shared, the rest is copied.

A block that is shared is marked in the addresses of all who have it, and counted (`shared`); who
writes to it gets another one. For `content`.
"""

from __future__ import annotations

from array import array
from dataclasses import replace

from spirula.store.checksums import checksums
from spirula.store.disk.layout import SHARD_BLOCKS
from spirula.store.disk.onode import COMPRESSED, SHARED, Onode
from spirula.store.disk.reading import fiemap, read, read_whole, shard_of
from spirula.store.disk.state import State
from spirula.store.disk.writing import (
    blob_number,
    changed_shard,
    free_name,
    grow,
    punch,
    write,
)
from spirula.store.objectstore import BLOCK_SIZE


def clone(state: State, onode: Onode, dest: Onode) -> None:
    """Let `dest`, which is empty, have the data of another object, on the same blocks."""
    state.change(dest)
    bits = onode.present
    while bits:
        number = (bits & -bits).bit_length() - 1
        bits &= bits - 1
        _share(state, onode, number, 0, SHARD_BLOCKS)
        _share_blobs(state, onode, number)
        copied = onode.shards[number].copy()
        changed_shard(state, dest, number).restore(copied)
    dest.size, dest.stored = onode.size, onode.stored


def _share(state: State, onode: Onode, number: int, start: int, stop: int) -> None:
    """Let one more have blocks of a shard, compressed ones apart."""
    shard = shard_of(state, onode, number)
    if shard is None:
        return
    for slot, address, count in list(shard.runs_between(start, stop)):
        if address & COMPRESSED:
            continue
        if address & SHARED:
            state.shared.add(address & ~SHARED, count, 1)
            continue
        state.shared.add(address, count, 2)
        shard = changed_shard(state, onode, number)
        marked = address | SHARED
        shard.addresses[slot : slot + count] = array("Q", range(marked, marked + count))
        shard.runs_ = None


def _share_blobs(state: State, onode: Onode, number: int) -> None:
    """Let one more have all blobs of a shard."""
    for name, blob in onode.shards[number].blobs.items():
        state.shared.add(blob.extents[0][0], 1, 1 if blob.shared else 2)
        if not blob.shared:
            changed_shard(state, onode, number).blobs[name] = replace(blob, shared=True)


def clone_range(
    state: State, onode: Onode, dest: Onode, offset: int, length: int, dest_offset: int
) -> None:
    """Make a range of `dest` as a range of an object is, with its holes."""
    end, moved = offset + length, dest_offset - offset
    first, stop = -(-offset // BLOCK_SIZE), end // BLOCK_SIZE
    punch(state, dest, dest_offset, length)
    if dest_offset + length > dest.size:
        grow(state, dest, dest_offset + length)
    if moved % BLOCK_SIZE or stop <= first:
        _copy(state, onode, dest, offset, end, moved)
        return
    _copy(state, onode, dest, offset, first * BLOCK_SIZE, moved)
    _copy(state, onode, dest, stop * BLOCK_SIZE, end, moved)
    blocks = moved // BLOCK_SIZE
    names: dict[tuple[int, int, int], int] = {}
    for number in range(first // SHARD_BLOCKS, (stop - 1) // SHARD_BLOCKS + 1):
        base = number * SHARD_BLOCKS
        low, high = first - base, stop - base
        _share(state, onode, number, low, high)
        shard = shard_of(state, onode, number)
        for slot, address, count in list(shard.runs_between(low, high)) if shard else ():
            block = base + slot
            done = 0
            while done < count:
                target, at = divmod(block + blocks + done, SHARD_BLOCKS)
                taken = min(count - done, SHARD_BLOCKS - at)
                here = address + done
                if address & COMPRESSED:
                    here = _share_blob(state, onode, number, dest, target, here, names)
                _map_shared(state, onode, block + done, dest, block + blocks + done, here, taken)
                done += taken
            over = (block + blocks + count) * BLOCK_SIZE - dest.size
            dest.stored += count * BLOCK_SIZE - max(0, over)


def _share_blob(
    state: State,
    onode: Onode,
    number: int,
    dest: Onode,
    target: int,
    address: int,
    names: dict[tuple[int, int, int], int],
) -> int:
    """Let a shard of `dest` have a blob of a shard, too; what its blocks' addresses are there.

    `names`: by shard, name and other shard, what the blobs are called there that it has already.
    """
    name = blob_number(address)
    place = number, name, target
    if place not in names:
        blob = onode.shards[number].blobs[name]
        state.shared.add(blob.extents[0][0], 1, 1 if blob.shared else 2)
        if not blob.shared:
            blob = replace(blob, shared=True)
            changed_shard(state, onode, number).blobs[name] = blob
        blobs = changed_shard(state, dest, target).blobs
        names[place] = free_name(blobs)
        blobs[names[place]] = blob
    return COMPRESSED | names[place] << 8 | address & 0xFF


def _map_shared(
    state: State, onode: Onode, block: int, dest: Onode, new: int, address: int, count: int
) -> None:
    """Let holes of one shard of `dest` be where blocks of an object are."""
    state.change(dest)
    shard = changed_shard(state, dest, new // SHARD_BLOCKS)
    source = onode.shards[block // SHARD_BLOCKS]
    slot, at = block % SHARD_BLOCKS, new % SHARD_BLOCKS
    sums = source.sums[slot : slot + count]
    if shard.kind != source.kind:
        # It has checksums of another kind already, or is to have them.
        data = read_whole(state, onode, block, block + count)
        sums = checksums(shard.kind, data, BLOCK_SIZE)
    shard.reach(at + count)
    shard.addresses[at : at + count] = array("Q", range(address, address + count))
    shard.sums[at : at + count] = sums
    shard.runs_ = None


def _copy(state: State, onode: Onode, dest: Onode, start: int, end: int, moved: int) -> None:
    """Read and write a range, apart from its holes."""
    for at, length in fiemap(state, onode, start, end):
        write(state, dest, at + moved, read(state, onode, at, at + length))
