"""Collections and objects of the store on disk: the `Backend` of `store.execute`.

The primitive changes happen in memory at once; what they are to the engine and to the disk is
gathered in an `Entry`, which `finished` completes and `undo` takes back. Data is left to `writing`
and `cloning`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from spirula.store.disk import cloning, writing
from spirula.store.disk.layout import (
    OBJECT,
    SHARD_SIZE,
    PoolSpace,
    collection_key,
    encode_bits,
    encode_space,
    omap_prefix,
    omap_range,
    pool_key,
    shard_key,
)
from spirula.store.disk.onode import (
    NEW,
    Onode,
    decode_onode,
    encode_onode,
    encode_shard,
    taken,
)
from spirula.store.disk.reading import shard_of
from spirula.store.disk.state import Entry, State
from spirula.store.keys import collection_key_ranges, object_key
from spirula.store.keyvalue import key_bytes
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.hobject import GHObject
from spirula.types.pg import Coll
from spirula.types.transaction import Buffer

_FEW_BYTES = 4096
"""Omaps up to this size are removed key by key: ranges cost the engine's later reads."""


class Content:
    """The objects of a state; see `Backend` for what the methods do."""

    def __init__(self, state: State) -> None:
        self._state = state

    # --- collections ---

    def bits_of(self, cid: Coll) -> int | None:
        return self._state.collections.get(cid)

    def set_bits(self, cid: Coll, bits: int | None) -> None:
        state = self._state
        collections, before = state.collections, state.collections.get(cid)
        if before is None:
            state.entry.others_was.append(lambda: collections.pop(cid, None))
        else:
            state.entry.others_was.append(lambda: collections.__setitem__(cid, before))
        if bits is None:
            collections.pop(cid, None)
            state.entry.batch.delete(collection_key(cid))
        else:
            collections[cid] = bits
            state.entry.batch.put(collection_key(cid), encode_bits(bits))

    def has_objects(self, cid: Coll) -> bool:
        state = self._state
        for start, end in collection_key_ranges(cid, state.collections[cid]):
            for _ in state.names.between(state.engine, OBJECT + start, OBJECT + end):
                return True
        return False

    # --- objects and their names ---

    def find(self, cid: Coll, oid: GHObject) -> Onode | None:
        return find(self._state, oid)

    def make(self, cid: Coll, oid: GHObject) -> Onode:
        state = self._state
        missed, key = state.missed
        if missed is not oid:
            key = object_key(oid, OBJECT)
        pool = oid.hobj.pool
        made = Onode(oid, key, state.new_id(), pool if pool >= 0 else oid.hobj.logical_pool)
        state.entry.onodes_was[made] = NEW
        state.entry.dirty.add(made)
        self._link(made)
        return made

    def size_of(self, obj: Onode) -> int:
        return obj.size

    def remove(self, cid: Coll, oid: GHObject, obj: Onode) -> None:
        self._state.change(obj)
        writing.drop_all(self._state, obj)
        self._forget_omap(obj)
        self._unlink(obj)
        for errors in (self._state.data_errors, self._state.metadata_errors):
            if oid in errors:
                errors.remove(oid)
                self._state.entry.others_was.append(partial(errors.add, oid))

    def rename(self, cid: Coll, oid: GHObject, obj: Onode, new: GHObject) -> None:
        self._state.change(obj)
        self._unlink(obj)
        obj.oid, obj.key = new, object_key(new, OBJECT)
        self._link(obj)

    def _link(self, onode: Onode) -> None:
        state, entry = self._state, self._state.entry
        before = state.names.set(onode.key, (True, entry.sequence, None))
        entry.names_was.append((onode.oid, None, onode.key, before))
        onode.there = True
        state.missed = None, b""
        state.cache.onodes[onode.oid] = onode  # `finished` counts it, or lets it go

    def _unlink(self, onode: Onode) -> None:
        state, entry = self._state, self._state.entry
        before = state.names.set(onode.key, (False, entry.sequence, None))
        entry.names_was.append((onode.oid, onode, onode.key, before))
        onode.there = False
        state.cache.drop(onode.oid)
        entry.batch.delete(onode.key)

    # --- data ---

    def write(self, obj: Onode, offset: int, data: Buffer, flags: int) -> None:
        writing.write(self._state, obj, offset, data, flags)

    def zero(self, obj: Onode, offset: int, length: int) -> None:
        writing.punch(self._state, obj, offset, length)
        if offset + length > obj.size:
            writing.grow(self._state, obj, offset + length)

    def truncate(self, obj: Onode, size: int) -> None:
        writing.truncate(self._state, obj, size)

    def clone(self, obj: Onode, dest: Onode) -> None:
        state = self._state
        state.change(dest)
        writing.drop_all(state, dest)
        cloning.clone(state, obj, dest)
        dest.attrs = obj.attrs
        self._forget_omap(dest)
        dest.header = obj.header
        if obj.omap_id:
            for key, value in state.omaps.between(state.engine, obj.omap_id):
                self._put(dest, key, value, new=True)

    def clone_range(
        self, obj: Onode, dest: Onode, offset: int, length: int, dest_offset: int
    ) -> None:
        cloning.clone_range(self._state, obj, dest, offset, length, dest_offset)

    # --- attributes, omap, hints ---

    def set_attrs(self, obj: Onode, attrs: Mapping[str, Buffer]) -> None:
        self._state.change(obj)
        obj.attrs = obj.attrs | {name: bytes(value) for name, value in attrs.items()}

    def rm_attr(self, obj: Onode, name: str) -> None:
        if name in obj.attrs:
            self._state.change(obj)
            obj.attrs = {key: value for key, value in obj.attrs.items() if key != name}

    def rm_attrs(self, obj: Onode) -> None:
        self._state.change(obj)
        obj.attrs = {}

    def omap_set(self, obj: Onode, entries: Mapping[str, bytes]) -> None:
        for key, value in entries.items():
            self._put(obj, key_bytes(key), bytes(value))

    def omap_rm(self, obj: Onode, keys: Iterable[str]) -> None:
        if obj.omap_id:
            for key in keys:
                self._take_away(obj, key_bytes(key))

    def omap_rm_range(self, obj: Onode, first: str, end: str) -> None:
        state = self._state
        if obj.omap_id and first < end:
            low, high = key_bytes(first), key_bytes(end)
            for key, value in list(state.omaps.between(state.engine, obj.omap_id, low, high)):
                self._take_away(obj, key, value)

    def omap_clear(self, obj: Onode) -> None:
        self._state.change(obj)
        self._forget_omap(obj)

    def omap_set_header(self, obj: Onode, header: bytes) -> None:
        self._state.change(obj)
        obj.header = header

    def set_alloc_hint(self, obj: Onode, object_size: int, write_size: int, flags: int) -> None:
        self._state.change(obj)
        obj.hint = object_size, write_size, flags

    def _put(self, onode: Onode, key: bytes, value: bytes, *, new: bool = False) -> None:
        state = self._state
        state.change(onode)
        if not onode.omap_id:
            onode.omap_id = state.new_id()
        omap_id = onode.omap_id
        if key == onode.rewritten[0]:
            onode.omap_bytes += len(value) - onode.rewritten[1]
            onode.rewritten = key, len(value)
        else:
            before = None if new else state.omaps.get(state.engine, omap_id, key)
            if before is None:
                onode.omap_bytes += len(key) + len(value)
            else:
                onode.omap_bytes += len(value) - len(before)
                onode.rewritten = key, len(value)
        self._note(omap_id, key, value)
        state.entry.batch.put(omap_prefix(omap_id) + key, value)

    def _take_away(self, onode: Onode, key: bytes, value: bytes | None = None) -> None:
        state = self._state
        if value is None:
            value = state.omaps.get(state.engine, onode.omap_id, key)
            if value is None:
                return
        state.change(onode)
        if key == onode.rewritten[0]:
            onode.rewritten = None, 0
        onode.omap_bytes -= len(key) + len(value)
        self._note(onode.omap_id, key, None)
        state.entry.batch.delete(omap_prefix(onode.omap_id) + key)

    def _note(self, omap_id: int, key: bytes, value: bytes | None) -> None:
        state, entry = self._state, self._state.entry
        was = state.omaps.set(omap_id, key, (value, entry.sequence))
        entry.omaps_was.append((omap_id, key, was))

    def _forget_omap(self, onode: Onode) -> None:
        """Take away the omap with its header; another one has another id."""
        state, omap_id = self._state, onode.omap_id
        onode.header = b""
        if not omap_id:
            return
        if onode.omap_bytes <= _FEW_BYTES:
            for key, value in list(state.omaps.between(state.engine, omap_id)):
                self._take_away(onode, key, value)
        else:
            state.entry.batch.delete_range(*omap_range(omap_id))
        onode.omap_id = onode.omap_bytes = 0
        onode.rewritten = None, 0


def find(state: State, oid: GHObject) -> Onode | None:
    """An object, None if it is not there; from the engine if it is not in memory."""
    found = state.cache.onodes.get(oid)
    if found is not None:
        found.used = True
        return found
    missed = state.missed[0]
    if missed is not None and missed == oid:
        return None  # and nothing was made since
    key = object_key(oid, OBJECT)
    pending = state.names.pending.get(key)
    # What was made lately has its record there, or is in memory.
    value = state.engine.get(key) if pending is None else pending[2]
    if value is None:
        state.missed = oid, key
        return None
    found = decode_onode(oid, key, value)
    state.cache.add(found)
    return found


# --- the end of an entry ---


def account(state: State, entry: Entry) -> None:
    """Account for what the objects of an entry take more or less than before."""
    dirty = entry.dirty
    for onode, before in entry.onodes_was.items():
        if onode not in dirty:
            continue
        stored, omap = onode.stored, onode.omap_bytes + len(onode.header)
        stored_was, omap_was = taken(before)
        if stored != stored_was or omap != omap_was:
            space = state.space(onode.pool)
            space.stored += stored - stored_was
            space.omap += omap - omap_was


def finished(state: State, entry: Entry) -> None:
    """Put what became of the objects into the entry, which is complete then."""
    batch, dirty = entry.batch.changes, entry.dirty
    for onode, number, shard, _, _ in entry.sums_was:
        if number == 0 and onode.size <= SHARD_SIZE:
            dirty.add(onode)
        elif (onode, number) not in entry.shards_was:
            batch[shard_key(onode.nid, number)] = encode_shard(shard)
    for (onode, number), was in entry.shards_was.items():
        if number == 0 and onode.size <= SHARD_SIZE:
            dirty.add(onode)
        elif number == 0 and onode.packed:
            batch[shard_key(onode.nid, 0)] = onode.packed
        elif (there := onode.shards.get(number)) is not None:
            batch[shard_key(onode.nid, number)] = encode_shard(there)
        elif was is not None:
            batch[shard_key(onode.nid, number)] = None
    for onode in dirty:
        _put_onode(state, onode, batch)
    for pool in entry.spaces_was:
        batch[pool_key(pool)] = encode_space(state.spaces[pool])
    # From here on nothing fails, and nothing is undone.
    for onode in entry.onodes_was:
        onode.pins += 1
    if state.shared.is_changed:
        entry.regions = state.shared.end(entry.batch, entry.sequence)
    entry.shards_was.clear()
    entry.sums_was.clear()
    if state.cache.bytes > state.cache.target:
        state.cache.trim()


def _put_onode(state: State, onode: Onode, batch: dict[bytes, bytes | None]) -> None:
    if not onode.there:
        if not onode.inline:
            batch[shard_key(onode.nid, 0)] = None
        return
    inline = onode.size <= SHARD_SIZE
    if inline != onode.inline:
        # It has grown out of one shard, or shrunk: the first one has a record of its own, or not.
        shard = shard_of(state, onode, 0)
        first = shard_key(onode.nid, 0)
        batch[first] = None if inline or shard is None else encode_shard(shard)
        onode.inline = inline
    key, cache = onode.key, state.cache
    record = batch[key] = encode_onode(onode)
    if onode.cost:
        cache.count(onode)
    elif inline:
        # Most new objects nobody looks at soon: until the engine has it, this is all there is.
        del cache.onodes[onode.oid]
        state.names.pending[key] = True, state.entry.sequence, record
    else:
        cache.add(onode)


def landed(state: State, entries: Iterable[Entry]) -> None:
    """The engine has all of these, and the disk their direct writes: they are not needed here."""
    for entry in entries:
        sequence = entry.sequence
        for onode in entry.onodes_was:
            onode.pins -= 1
        for _, _, key, _ in entry.names_was:
            state.names.landed(key, sequence)
        if entry.omaps_was:
            for omap_id, omap_key, _ in entry.omaps_was:
                state.omaps.landed(omap_id, omap_key, sequence)
        if entry.regions:
            state.shared.landed(entry.regions, sequence)
        if entry.direct:
            for offset, _ in entry.direct:
                state.unwritten.remove(offset // BLOCK_SIZE)


def undo(state: State, entry: Entry) -> None:
    """Make everything as it was before the entry."""
    state.missed = None, b""
    for onode, before in entry.onodes_was.items():
        onode.restore(before)
    for (onode, number), was in entry.shards_was.items():
        if number == 0:
            onode.packed = b""
        if was is None:
            onode.shards.pop(number, None)
        else:
            shard, copy = was
            shard.restore(copy)
            onode.shards[number] = shard
    for _, _, shard, slot, crc in reversed(entry.sums_was):
        shard.sums[slot] = crc
    for oid, removed, key, name_was in reversed(entry.names_was):
        state.names.set(key, name_was)
        if removed is None:
            state.cache.drop(oid)
        else:
            state.cache.add(removed)
    for omap_id, omap_key, omap_was in reversed(entry.omaps_was):
        state.omaps.set(omap_id, omap_key, omap_was)
    for put_back in reversed(entry.others_was):
        put_back()
    for pool, numbers in entry.spaces_was.items():
        state.spaces[pool] = PoolSpace(*numbers)
    state.shared.undo()
    blocks = state.unwritten.blocks
    for block, data in entry.log_was.items():
        if data is None:
            blocks.pop(block, None)
        else:
            blocks[block] = data
    for offset, _ in entry.direct:
        state.unwritten.remove(offset // BLOCK_SIZE)
    state.allocator.release(entry.allocated)
