"""The objects of a store in memory: the primitive changes, each of which can be taken back.

Every change notes how to undo itself. That makes transactions atomic (one that fails is undone),
and a crash exact: undoing all that was not committed leaves what was. For `store.memory`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any

from spirula.store.chunks import CHUNK_SIZE, Chunk, punched, spans, written
from spirula.store.keyvalue import key_bytes
from spirula.store.objectstore import collection_ranges
from spirula.store.sortedmap import SortedMap
from spirula.types.hobject import GHObject
from spirula.types.pg import Coll
from spirula.types.transaction import Buffer

_BY_ORDER = attrgetter("order")

Undo = Callable[[], object]


@dataclass(slots=True, eq=False)
class StoredObject:
    """One object. `attrs` is replaced as a whole; `pool` is where its space is counted."""

    pool: int
    size: int = 0
    chunks: dict[int, Chunk] = field(default_factory=dict)
    attrs: dict[str, bytes] = field(default_factory=dict)
    omap: SortedMap = field(default_factory=SortedMap)
    header: bytes = b""
    alloc_hint: tuple[int, int, int] = (0, 0, 0)

    @property
    def omap_size(self) -> int:
        """Bytes of omap keys, values and header."""
        return self.omap.size + len(self.header)


@dataclass(slots=True)
class Space:
    """What the objects of a pool take, in bytes; a chunk of several objects is allocated once."""

    allocated: int = 0
    stored: int = 0
    omap: int = 0


@dataclass(slots=True)
class Objects:
    """Collections and objects; the `Backend` of `store.execute`.

    `undo` has the functions that take back what was done, the last one first.
    """

    collections: dict[Coll, int] = field(default_factory=dict)
    objects: dict[GHObject, StoredObject] = field(default_factory=dict)
    order: list[GHObject] = field(default_factory=list)
    space: dict[int, Space] = field(default_factory=dict)
    data_errors: set[GHObject] = field(default_factory=set)
    metadata_errors: set[GHObject] = field(default_factory=set)
    undo: list[Undo] = field(default_factory=list)

    def taken(self) -> int:
        """Bytes that data and omaps take."""
        return sum(space.allocated + space.omap for space in self.space.values())

    def take_back(self, undo: list[Undo]) -> None:
        """Undo changes, the last ones first; `undo` is empty then."""
        self.undo = []  # undoing notes how to do it again, which nobody wants
        while undo:
            undo.pop()()
        self.undo = []

    # --- collections ---

    def bits_of(self, cid: Coll) -> int | None:
        return self.collections.get(cid)

    def set_bits(self, cid: Coll, bits: int | None) -> None:
        self.undo.append(partial(self.set_bits, cid, self.collections.get(cid)))
        if bits is None:
            self.collections.pop(cid, None)
        else:
            self.collections[cid] = bits

    def has_objects(self, cid: Coll) -> bool:
        return any(first < last for first, last in self.parts_of(cid))

    def parts_of(self, cid: Coll) -> list[tuple[int, int]]:
        """Where in `order` a collection's objects start and end."""
        return [
            (self.position(first), self.position(last))
            for first, last in collection_ranges(cid, self.collections[cid])
        ]

    def position(self, bound: Any) -> int:
        """Where in `order` the objects from `bound` (as `GHObject.order`) on start."""
        return bisect_left(self.order, bound, key=_BY_ORDER)

    # --- objects and their names ---

    def find(self, cid: Coll, oid: GHObject) -> StoredObject | None:
        return self.objects.get(oid)

    def make(self, cid: Coll, oid: GHObject) -> StoredObject:
        made = StoredObject(oid.hobj.logical_pool)
        self._link(oid, made)
        return made

    def remove(self, cid: Coll, oid: GHObject, obj: StoredObject) -> None:
        self._unlink(oid)
        for errors in (self.data_errors, self.metadata_errors):
            if oid in errors:
                errors.remove(oid)
                self.undo.append(partial(errors.add, oid))

    def rename(self, cid: Coll, oid: GHObject, obj: StoredObject, new: GHObject) -> None:
        self._unlink(oid)
        self._link(new, obj)

    def _link(self, oid: GHObject, obj: StoredObject) -> None:
        self.undo.append(partial(self._unlink, oid))
        self.objects[oid] = obj
        self.order.insert(self.position(oid.order), oid)
        space = self._space(obj)
        space.omap += obj.omap_size
        for chunk in obj.chunks.values():
            _refer(space, chunk)

    def _unlink(self, oid: GHObject) -> None:
        obj = self.objects.pop(oid)
        self.undo.append(partial(self._link, oid, obj))
        del self.order[self.position(oid.order)]
        space = self._space(obj)
        space.omap -= obj.omap_size
        for chunk in obj.chunks.values():
            _unrefer(space, chunk)

    def _space(self, obj: StoredObject) -> Space:
        return self.space.setdefault(obj.pool, Space())

    # --- data ---

    def size_of(self, obj: StoredObject) -> int:
        return obj.size

    def write(self, obj: StoredObject, offset: int, data: Buffer, flags: int) -> None:
        view = memoryview(data)
        at = 0
        for index, start, stop in spans(offset, len(data)):
            part = view[at : at + stop - start]
            self._set_chunk(obj, index, written(obj.chunks.get(index), start, part))
            at += stop - start
        self._grow(obj, offset + len(data))

    def zero(self, obj: StoredObject, offset: int, length: int) -> None:
        self._punch(obj, offset, length)
        self._grow(obj, offset + length)

    def truncate(self, obj: StoredObject, size: int) -> None:
        if size < obj.size:
            self._punch(obj, size, obj.size - size)
        self._set(obj, "size", size)

    def clone(self, obj: StoredObject, dest: StoredObject) -> None:
        for index in set(dest.chunks).difference(obj.chunks):
            self._set_chunk(dest, index, None)
        for index, chunk in obj.chunks.items():
            self._set_chunk(dest, index, chunk)
        self._set(dest, "size", obj.size)
        self._set(dest, "attrs", obj.attrs)
        self._set_omap(dest, obj.omap.copy(), obj.header)

    def clone_range(
        self, obj: StoredObject, dest: StoredObject, offset: int, length: int, dest_offset: int
    ) -> None:
        source = obj.chunks.copy()
        self._punch(dest, dest_offset, length)
        moved = dest_offset - offset
        for index, start, stop in spans(offset, length):
            chunk = source.get(index)
            if chunk is None:
                continue
            base = index * CHUNK_SIZE + moved
            if stop - start == CHUNK_SIZE and base % CHUNK_SIZE == 0:
                self._set_chunk(dest, base // CHUNK_SIZE, chunk)
                continue
            for piece, data in chunk.within(start, stop):
                self.write(dest, base + piece, data, 0)
        self._grow(dest, dest_offset + length)

    def _punch(self, obj: StoredObject, offset: int, length: int) -> None:
        first, last = offset // CHUNK_SIZE, (offset + length - 1) // CHUNK_SIZE
        # Holes may be larger than all the object's chunks together.
        for index in [index for index in obj.chunks if first <= index <= last]:
            base = index * CHUNK_SIZE
            start, stop = max(offset - base, 0), min(offset + length - base, CHUNK_SIZE)
            self._set_chunk(obj, index, punched(obj.chunks[index], start, stop))

    def _grow(self, obj: StoredObject, end: int) -> None:
        if end > obj.size:
            self._set(obj, "size", end)

    def _set(self, obj: StoredObject, name: str, value: Any) -> None:
        self.undo.append(partial(self._set, obj, name, getattr(obj, name)))
        setattr(obj, name, value)

    def _set_chunk(self, obj: StoredObject, index: int, chunk: Chunk | None) -> None:
        space, old = self._space(obj), obj.chunks.get(index)
        self.undo.append(partial(self._set_chunk, obj, index, old))
        if chunk is None:
            obj.chunks.pop(index, None)
        else:
            obj.chunks[index] = chunk
            _refer(space, chunk)
        if old is not None:
            _unrefer(space, old)

    # --- attributes, omap, hints ---

    def set_attrs(self, obj: StoredObject, attrs: Mapping[str, Buffer]) -> None:
        new = {name: bytes(value) for name, value in attrs.items()}
        self._set(obj, "attrs", obj.attrs | new)

    def rm_attr(self, obj: StoredObject, name: str) -> None:
        self._set(obj, "attrs", {key: obj.attrs[key] for key in obj.attrs if key != name})

    def rm_attrs(self, obj: StoredObject) -> None:
        self._set(obj, "attrs", {})

    def omap_set(self, obj: StoredObject, entries: Mapping[str, bytes]) -> None:
        for key, value in entries.items():
            self._put(obj, key_bytes(key), bytes(value))

    def omap_rm(self, obj: StoredObject, keys: Iterable[str]) -> None:
        for key in keys:
            self._put(obj, key_bytes(key), None)

    def omap_rm_range(self, obj: StoredObject, first: str, end: str) -> None:
        for key in obj.omap.keys_between(key_bytes(first), key_bytes(end)):
            self._put(obj, key, None)

    def omap_clear(self, obj: StoredObject) -> None:
        self._set_omap(obj, SortedMap(), b"")

    def omap_set_header(self, obj: StoredObject, header: bytes) -> None:
        self._set_omap(obj, obj.omap, header)

    def set_alloc_hint(
        self, obj: StoredObject, object_size: int, write_size: int, flags: int
    ) -> None:
        self._set(obj, "alloc_hint", (object_size, write_size, flags))

    def _put(self, obj: StoredObject, key: bytes, value: bytes | None) -> None:
        size = obj.omap.size
        before = obj.omap.put(key, value)
        self._space(obj).omap += obj.omap.size - size
        self.undo.append(partial(self._put, obj, key, before))

    def _set_omap(self, obj: StoredObject, omap: SortedMap, header: bytes) -> None:
        self.undo.append(partial(self._set_omap, obj, obj.omap, obj.header))
        size = obj.omap_size
        obj.omap, obj.header = omap, header
        self._space(obj).omap += obj.omap_size - size


def _refer(space: Space, chunk: Chunk) -> None:
    space.stored += chunk.stored
    if not chunk.references:
        space.allocated += chunk.allocated
    chunk.references += 1


def _unrefer(space: Space, chunk: Chunk) -> None:
    space.stored -= chunk.stored
    chunk.references -= 1
    if not chunk.references:
        space.allocated -= chunk.allocated
