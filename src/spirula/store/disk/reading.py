"""Reading an object's data: where it is on the disk, whether it is what was written.

Every block that comes from the disk is checked against the checksum in its shard; what does not
match is an error that says where, and never data. For the reads of `store`, and for `writing` where
a part of a block changes.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from spirula.errors import CephError, InputOutput, WireError
from spirula.kernels.crc32c import crc32c
from spirula.store.checksums import SEED, ChecksumType, checksums
from spirula.store.disk.compression import decompress
from spirula.store.disk.layout import SHARD_BLOCKS, Named, damaged, shard_key
from spirula.store.disk.onode import COMPRESSED, FLAGS, SHARED, Onode, Shard, decode_shard
from spirula.store.disk.state import State
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.interval_set import IntervalSet
from spirula.types.osd_op import OpFlag
from spirula.types.transaction import Buffer


@dataclass(slots=True)
class _Piece:
    """Blocks of an object that follow one another on the disk, too."""

    block: int
    address: int
    count: int
    sums: list[tuple[ChecksumType, array[int]]] = field(default_factory=list)
    shard: Shard | None = None
    """Where the blob is, if it is compressed."""


def shard_of(state: State, onode: Onode, number: int) -> Shard | None:
    """A shard of an object, None if all of it is a hole."""
    shard = onode.shards.get(number)
    if shard is None and onode.present >> number & 1:
        what = Named("blocks {:#x} of object {}", number * SHARD_BLOCKS, onode.oid)
        if number == 0 and onode.packed:
            value: bytes | None = onode.packed
            onode.packed = b""
        else:
            value = state.engine.get(shard_key(onode.nid, number))
        if value is None:
            raise damaged(what, "it is not there")
        shard = onode.shards[number] = decode_shard(what, value)
        state.cache.grown(onode, 500 + 12 * len(shard.addresses))
    return shard


READ_NO_MORE = int(OpFlag.FADVISE_DONTNEED | OpFlag.FADVISE_NOCACHE)
"""Flags of operations on data that nobody wants to have again soon."""


def read(state: State, onode: Onode, offset: int, end: int, flags: int = 0) -> bytes:
    """The data from `offset` on and before `end`, which is not behind the object's.

    `flags`: `OpFlag`; what is said not to be read again leaves the kernel's cache.
    """
    if end <= offset:
        return b""
    first, skip = divmod(offset, BLOCK_SIZE)
    last = (end - 1) // BLOCK_SIZE
    if first == last:
        data = read_block(state, onode, first)
        if data is None:
            return bytes(end - offset)
        if end - offset == BLOCK_SIZE:
            return data
        return data[skip : skip + end - offset]
    parts = _read_blocks(state, onode, first, last + 1)
    if flags & READ_NO_MORE:
        _forget(state, onode, first, last + 1)
    if skip:
        parts[0] = memoryview(parts[0])[skip:]
    behind = (last + 1) * BLOCK_SIZE - end
    if behind:
        parts[-1] = memoryview(parts[-1])[:-behind]
    return b"".join(parts)


def read_block(state: State, onode: Onode, block: int) -> bytes | None:
    """One block of an object, None if it is a hole."""
    number, slot = divmod(block, SHARD_BLOCKS)
    shard = onode.shards.get(number) or shard_of(state, onode, number)
    if shard is None or slot >= len(shard.addresses):
        return None
    address = shard.addresses[slot]
    if not address:
        return None
    if address & COMPRESSED:
        piece = _Piece(block, address, 1, [(shard.kind, shard.sums[slot : slot + 1])], shard)
        return _fetched(state, onode, piece)
    address &= ~SHARED
    data = state.unwritten.blocks.get(address)
    if data is None:
        data = _from_disk(state, onode, block, address, 1)
    kind = shard.kind
    if kind == ChecksumType.CRC32C:
        found = crc32c(SEED, data)
        if found != shard.sums[slot]:
            raise _mismatch(state, onode, block, shard.sums[slot], found)
    elif kind != ChecksumType.NONE:
        _verify(state, onode, block, data, [(kind, shard.sums[slot : slot + 1])])
    return data


def read_whole(state: State, onode: Onode, first: int, stop: int) -> bytes:
    """Blocks of an object from `first` on and before `stop`, wherever the object ends."""
    return b"".join(_read_blocks(state, onode, first, stop))


def _read_blocks(state: State, onode: Onode, first: int, stop: int) -> list[Buffer]:
    parts: list[Buffer] = []
    at = first
    for piece in _pieces(state, onode, first, stop):
        if piece.block > at:
            parts.append(bytes((piece.block - at) * BLOCK_SIZE))
        parts.append(_fetched(state, onode, piece))
        at = piece.block + piece.count
    if at < stop:
        parts.append(bytes((stop - at) * BLOCK_SIZE))
    return parts


def _pieces(state: State, onode: Onode, first: int, stop: int) -> list[_Piece]:
    """What is no hole, in as few pieces as the disk allows."""
    found: list[_Piece] = []
    for number in range(first // SHARD_BLOCKS, (stop - 1) // SHARD_BLOCKS + 1):
        shard = onode.shards.get(number) or shard_of(state, onode, number)
        if shard is None:
            continue
        base = number * SHARD_BLOCKS
        for slot, run, count in shard.runs_between(first - base, stop - base):
            address = run & ~SHARED
            sums = shard.sums
            if slot or count != len(sums):
                sums = sums[slot : slot + count]
            block = base + slot
            if found and not address & COMPRESSED:
                last = found[-1]
                if last.block + last.count == block and last.address + last.count == address:
                    last.count += count
                    last.sums.append((shard.kind, sums))
                    continue
            within = shard if address & COMPRESSED else None
            found.append(_Piece(block, address, count, [(shard.kind, sums)], within))
    return found


def _forget(state: State, onode: Onode, first: int, stop: int) -> None:
    """Blocks of an object need not be in the kernel's cache any more."""
    for piece in _pieces(state, onode, first, stop):
        if piece.shard is None:
            start, length = piece.address * BLOCK_SIZE, piece.count * BLOCK_SIZE
            state.device.advise(start, length, needed=False)


def _fetched(state: State, onode: Onode, piece: _Piece) -> bytes:
    """The blocks of a piece, checked."""
    if piece.shard is not None:
        data = _decompressed(state, onode, piece, piece.shard)
    else:
        data = _from_disk(state, onode, piece.block, piece.address, piece.count)
    _verify(state, onode, piece.block, data, piece.sums)
    return data


def _decompressed(state: State, onode: Onode, piece: _Piece, shard: Shard) -> bytes:
    """The blocks of a piece out of their blob."""
    address = piece.address & ~FLAGS
    blob, at = shard.blobs[address >> 8], (address & 0xFF) * BLOCK_SIZE
    parts = [_from_disk(state, onode, piece.block, *extent) for extent in blob.extents]
    packed = (parts[0] if len(parts) == 1 else b"".join(parts))[: blob.stored]
    found = crc32c(SEED, packed)
    if found != blob.crc:
        raise _mismatch(state, onode, piece.block, blob.crc, found)
    try:
        data = decompress(blob.algorithm, packed, blob.blocks * BLOCK_SIZE)
    except WireError as error:
        where = f"object {onode.oid} offset {piece.block * BLOCK_SIZE:#x}"
        raise InputOutput(f"{where} cannot be decompressed: {error}") from error
    return data[at : at + piece.count * BLOCK_SIZE]


def _from_disk(state: State, onode: Onode, block: int, address: int, count: int) -> bytes:
    try:
        return state.unwritten.read(state.device, address, count)
    except CephError as error:
        state.count("read_errors")
        where = f"object {onode.oid} offset {block * BLOCK_SIZE:#x}"
        raise InputOutput(f"{where} cannot be read: {error}") from error


def _verify(
    state: State,
    onode: Onode,
    block: int,
    data: bytes,
    sums: list[tuple[ChecksumType, array[int]]],
) -> None:
    view, at = memoryview(data), 0
    for kind, expected in sums:
        end = at + len(expected) * BLOCK_SIZE
        if kind != ChecksumType.NONE:
            found = checksums(kind, view[at:end], BLOCK_SIZE)
            if found != expected:
                for number, (wanted, got) in enumerate(zip(expected, found, strict=True)):
                    if wanted != got:
                        place = block + at // BLOCK_SIZE + number
                        raise _mismatch(state, onode, place, wanted, got)
        at = end


def _mismatch(state: State, onode: Onode, block: int, expected: int, found: int) -> InputOutput:
    state.count("checksum_errors")
    return InputOutput(
        f"object {onode.oid} offset {block * BLOCK_SIZE:#x}: checksum is {found:#010x}, expected "
        f"{expected:#010x}: restore it from another copy, or remove the object"
    )


def fiemap(state: State, onode: Onode, offset: int, end: int) -> IntervalSet:
    """Where there is data from `offset` on and before `end`, in whole blocks cut to these."""
    found = IntervalSet()
    if end <= offset:
        return found
    first, stop = offset // BLOCK_SIZE, (end - 1) // BLOCK_SIZE + 1
    for number in range(first // SHARD_BLOCKS, (stop - 1) // SHARD_BLOCKS + 1):
        shard = shard_of(state, onode, number)
        base = number * SHARD_BLOCKS
        for slot, _, count in shard.runs_between(first - base, stop - base) if shard else ():
            start = max((base + slot) * BLOCK_SIZE, offset)
            found.insert(start, min((base + slot + count) * BLOCK_SIZE, end) - start)
    return found
