"""The object store in memory, whose disk is simulated: it can crash, fill up and fail.

For simulations and tests, and to compare the disk store with. Whoever builds a daemon makes one;
`defer` brings the latency of the disk, and `after_crash` what a power cut leaves. Data, attributes
and omaps behave as `store.objectstore` says, by the rules of `store.execute`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from errno import ENODATA

from spirula.errors import CephError, InputOutput, InvariantBroken, NoSpace, NotFound
from spirula.store.chunks import CHUNK_SIZE, spans
from spirula.store.execute import execute
from spirula.store.keyvalue import Done, key_bytes, key_text
from spirula.store.memory_objects import Objects, Space, StoredObject, Undo
from spirula.store.objectstore import LIST_MAX, ObjectStat, check_belongs
from spirula.types.hobject import GHMAX, GHMIN, GHObject
from spirula.types.interval_set import IntervalSet
from spirula.types.pg import Coll
from spirula.types.pg_stats import StoreStatfs
from spirula.types.transaction import Transaction

Defer = Callable[[Callable[[], None]], object]


@dataclass(slots=True, eq=False)
class _Batch:
    """What was queued by one call and is not committed."""

    cid: Coll
    undo: list[Undo]
    on_applied: Callable[[], None] | None
    on_commit: list[Done] = field(default_factory=list)


class MemoryObjectStore:
    """A store of `capacity` bytes in memory; empty and unmounted when made.

    `defer` takes a function and calls it later: when, is the latency of the disk. One call makes
    the oldest queued transactions durable, so that they stay in order whatever `defer` does. Space
    is counted in blocks for data and to the byte for omaps; attributes are free.
    """

    def __init__(self, defer: Defer, capacity: int = 1 << 40) -> None:
        self._defer = defer
        self._capacity = capacity
        self._content = Objects()
        self._meta: dict[str, str] = {}
        self._pending: deque[_Batch] = deque()
        self._lost: list[_Batch] = []
        self._error: CephError | None = None
        self._mounted = False
        self._crashed = False
        self.commits = 0
        """How many calls of `queue_transactions` have become durable."""

    # --- the store ---

    def mount(self) -> None:
        if self._mounted or self._crashed:
            raise InvariantBroken("the store is mounted already, or has crashed")
        self._mounted = True
        self._error = None

    def umount(self) -> None:
        self._check_mounted()
        while self._pending:
            self._land()
        self._take_back(self._lost)
        self._mounted = False

    def statfs(self) -> StoreStatfs:
        self._check_mounted()
        total = Space()
        for space in self._content.space.values():
            total.allocated += space.allocated
            total.stored += space.stored
            total.omap += space.omap
        made = _statfs(total)
        made.total = self._capacity
        made.available = max(0, self._capacity - total.allocated - total.omap)
        return made

    def pool_statfs(self, pool: int) -> StoreStatfs:
        self._check_mounted()
        return _statfs(self._content.space.get(pool, Space()))

    def write_meta(self, key: str, value: str) -> None:
        self._meta[key] = value

    def read_meta(self, key: str) -> str:
        if key not in self._meta:
            raise NotFound(f"the store has no {key}: make it with mkfs")
        return self._meta[key]

    # --- changes ---

    def queue_transactions(
        self,
        cid: Coll,
        transactions: Sequence[Transaction],
        on_applied: Callable[[], None] | None = None,
        on_commit: Done | None = None,
    ) -> None:
        self._check_mounted()
        content = self._content
        before = content.taken()
        undo: list[Undo] = []
        content.undo = undo
        try:
            for transaction in transactions:
                execute(content, transaction)
            after = content.taken()
            if after > self._capacity and after > before:
                raise NoSpace(f"{after - before} bytes more than {before} do not fit: free some")
        except BaseException:
            content.take_back(undo)
            raise
        batch = _Batch(cid, undo, on_applied, [on_commit] if on_commit else [])
        self._pending.append(batch)
        if on_applied:
            self._defer(self._apply_next)
        self._defer(self._land)

    def flush_commit(self, cid: Coll, on_commit: Done) -> bool:
        self._check_mounted()
        for batch in reversed(self._pending):
            if batch.cid == cid:
                batch.on_commit.append(on_commit)
                return False
        return True

    def free_space(self) -> None:
        """There are no blocks in memory."""

    @property
    def counters(self) -> dict[str, int]:
        """Nothing is counted."""
        return {}

    def set_collection_opts(self, cid: Coll, opts: Mapping[int, str | int | float]) -> None:
        self.collection_bits(cid)  # memory has no choice how to keep data

    def _apply_next(self) -> None:
        batch = next((batch for batch in self._pending if batch.on_applied), None)
        if batch is not None and not self._crashed:
            _call_applied(batch)

    def _land(self) -> None:
        """Make the oldest batch durable; not one for each call, once `umount` has come first."""
        if self._crashed or not self._pending:
            return
        batch = self._pending.popleft()
        _call_applied(batch)
        if self._error is None:
            self.commits += 1
        else:
            self._lost.append(batch)
        for done in batch.on_commit:
            done(self._error)

    # --- faults ---

    def after_crash(self, defer: Defer, reached: int = 0) -> MemoryObjectStore:
        """Crash: nothing more becomes durable or calls back here. What is left, as a new store.

        `reached`: so many of the transactions that were not committed had got to the disk, the
        oldest ones, though nobody was told.
        """
        self._crashed, self._mounted = True, False
        for _ in range(0 if self._lost else min(reached, len(self._pending))):
            self._pending.popleft()
        self._take_back([*self._lost, *self._pending])
        left = MemoryObjectStore(defer, self._capacity)
        left._content, left._meta = self._content, self._meta
        self._content = Objects()
        return left

    @property
    def uncommitted(self) -> int:
        """How many calls of `queue_transactions` are not durable yet."""
        return len(self._pending)

    def fail(self, error: CephError) -> None:
        """Let every commit from now on fail, as on a disk that is gone, until mounted anew."""
        self._error = error

    def limit(self, capacity: int) -> None:
        """Let it have this many bytes from now on; what is there stays."""
        self._capacity = capacity

    def inject_data_error(self, oid: GHObject) -> None:
        """Let reads of the object's data fail with EIO until it is removed."""
        self._content.data_errors.add(oid)

    def inject_metadata_error(self, oid: GHObject) -> None:
        """Let stat and reads of attributes fail with EIO until the object is removed."""
        self._content.metadata_errors.add(oid)

    def _take_back(self, batches: list[_Batch]) -> None:
        while batches:
            self._content.take_back(batches.pop().undo)

    # --- objects ---

    def exists(self, cid: Coll, oid: GHObject) -> bool:
        self._check_mounted()
        bits = self._content.bits_of(cid)
        if bits is None:
            return False
        check_belongs(cid, bits, oid)
        return oid in self._content.objects

    def stat(self, cid: Coll, oid: GHObject) -> ObjectStat:
        return ObjectStat(self._readable(cid, oid).size)

    def read(
        self, cid: Coll, oid: GHObject, offset: int = 0, length: int | None = None, flags: int = 0
    ) -> bytes:
        obj = self._find(cid, oid)
        if oid in self._content.data_errors:
            raise InputOutput(f"data of {oid} cannot be read")
        end = obj.size if length is None else min(obj.size, offset + length)
        parts: list[bytes] = []
        for index, start, stop in spans(offset, end - offset):
            chunk = obj.chunks.get(index)
            at = start
            for piece, data in chunk.within(start, stop) if chunk else ():
                parts += (bytes(piece - at), data)
                at = piece + len(data)
            parts.append(bytes(stop - at))
        return b"".join(parts)

    def fiemap(self, cid: Coll, oid: GHObject, offset: int, length: int) -> IntervalSet:
        obj = self._find(cid, oid)
        found = IntervalSet()
        for index, start, stop in spans(offset, min(obj.size, offset + length) - offset):
            chunk = obj.chunks.get(index)
            for piece, data in chunk.within(start, stop) if chunk else ():
                found.insert(index * CHUNK_SIZE + piece, len(data))
        return found

    def getattr(self, cid: Coll, oid: GHObject, name: str) -> bytes:
        value = self._readable(cid, oid).attrs.get(name)
        if value is None:
            raise CephError.from_errno(ENODATA, f"{oid} has no attribute {name}")
        return value

    def getattrs(self, cid: Coll, oid: GHObject) -> dict[str, bytes]:
        attrs = self._readable(cid, oid).attrs
        return {name: attrs[name] for name in sorted(attrs, key=key_bytes)}

    def alloc_hint(self, cid: Coll, oid: GHObject) -> tuple[int, int, int]:
        """The hint set last: object size, write size, flags; for tests."""
        return self._find(cid, oid).alloc_hint

    # --- omap ---

    def omap_get(self, cid: Coll, oid: GHObject) -> tuple[bytes, dict[str, bytes]]:
        return self.omap_get_header(cid, oid), dict(self.omap_iterate(cid, oid))

    def omap_get_header(self, cid: Coll, oid: GHObject) -> bytes:
        return self._find(cid, oid).header

    def omap_get_keys(self, cid: Coll, oid: GHObject) -> list[str]:
        return [key_text(key) for key in self._find(cid, oid).omap.keys_between()]

    def omap_get_values(self, cid: Coll, oid: GHObject, keys: Iterable[str]) -> dict[str, bytes]:
        omap = self._find(cid, oid).omap
        found = {}
        for key in sorted({key_bytes(key) for key in keys}):
            value = omap.get(key)
            if value is not None:
                found[key_text(key)] = value
        return found

    def omap_check_keys(self, cid: Coll, oid: GHObject, keys: Iterable[str]) -> list[str]:
        return list(self.omap_get_values(cid, oid, keys))

    def omap_iterate(
        self, cid: Coll, oid: GHObject, start: str = "", *, after: str | None = None
    ) -> Iterator[tuple[str, bytes]]:
        omap = self._find(cid, oid).omap
        first = start if after is None else after
        walk = omap.walk(key_bytes(first), behind=after is not None)
        return ((key_text(key), value) for key, value in walk)

    # --- collections ---

    def list_collections(self) -> list[Coll]:
        self._check_mounted()
        return sorted(self._content.collections)

    def collection_exists(self, cid: Coll) -> bool:
        self._check_mounted()
        return cid in self._content.collections

    def collection_empty(self, cid: Coll) -> bool:
        self.collection_bits(cid)
        return not self._content.has_objects(cid)

    def collection_bits(self, cid: Coll) -> int:
        self._check_mounted()
        bits = self._content.bits_of(cid)
        if bits is None:
            raise NotFound(f"there is no collection {cid}")
        return bits

    def collection_list(
        self, cid: Coll, start: GHObject = GHMIN, end: GHObject = GHMAX, limit: int = LIST_MAX
    ) -> tuple[list[GHObject], GHObject]:
        self.collection_bits(cid)
        content, found = self._content, list[GHObject]()
        if start.max or start.hobj.max:
            return found, GHMAX
        low = content.position(start.order)
        high = len(content.order) if end.hobj.max else content.position(end.order)
        for first, last in content.parts_of(cid):
            at = max(first, low)
            room = limit - len(found)
            stop = min(last, high, at + room)
            found += content.order[at:stop]
            at = max(at, stop)
            if at < last:
                return found, content.order[at]
        return found, GHMAX

    # --- what reads start with ---

    def _check_mounted(self) -> None:
        if not self._mounted:
            raise InvariantBroken("the store is not mounted")

    def _find(self, cid: Coll, oid: GHObject) -> StoredObject:
        check_belongs(cid, self.collection_bits(cid), oid)
        found = self._content.objects.get(oid)
        if found is None:
            raise NotFound(f"there is no object {oid} in {cid}")
        return found

    def _readable(self, cid: Coll, oid: GHObject) -> StoredObject:
        found = self._find(cid, oid)
        if oid in self._content.metadata_errors:
            raise InputOutput(f"metadata of {oid} cannot be read")
        return found


def _call_applied(batch: _Batch) -> None:
    call, batch.on_applied = batch.on_applied, None
    if call:
        call()


def _statfs(space: Space) -> StoreStatfs:
    made = StoreStatfs()
    made.allocated, made.data_stored, made.omap_allocated = (
        space.allocated,
        space.stored,
        space.omap,
    )
    return made
