"""The object store on disk, with the port of `store.objectstore`.

Transactions are carried out in memory at once (`content`) and become durable in groups (`commit`);
reads see both what is queued and what is stored. Whoever builds an OSD makes one over a folder;
the store tool and tests use it without a thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from errno import ENODATA

from spirula.errors import CephError, InputOutput, InvariantBroken, NoSpace, NotFound
from spirula.store.allocator import Allocator
from spirula.store.disk import content, reading
from spirula.store.disk.cache import OnodeCache
from spirula.store.disk.commit import Commits, Landed, replay
from spirula.store.disk.content import Content
from spirula.store.disk.discards import Discards
from spirula.store.disk.freelist import FreeList
from spirula.store.disk.layout import (
    COLLECTION,
    FIRST_BLOCK,
    NEXT_ID,
    OBJECT,
    POOL,
    PoolSpace,
    collection_of_key,
    decode_bits,
    decode_number,
    decode_space,
    pool_of_key,
)
from spirula.store.disk.medium import Medium, Opened
from spirula.store.disk.names import Names
from spirula.store.disk.omaps import PendingOmaps
from spirula.store.disk.onode import Onode
from spirula.store.disk.shared import SharedBlocks
from spirula.store.disk.state import Entry, Options, PoolOpts, State
from spirula.store.disk.straight import begin
from spirula.store.disk.unwritten import Unwritten
from spirula.store.execute import execute
from spirula.store.keys import collection_key_ranges, object_key, object_of_key
from spirula.store.keyvalue import Done, key_bytes, key_text
from spirula.store.objectstore import BLOCK_SIZE, LIST_MAX, ObjectStat, check_belongs
from spirula.types.hobject import GHMAX, GHMIN, GHObject
from spirula.types.interval_set import IntervalSet
from spirula.types.pg import Coll
from spirula.types.pg_stats import StoreStatfs
from spirula.types.transaction import Transaction

Defer = Callable[[Callable[[], None]], object]

_RESERVE = 64 << 20
"""Bytes of the file system below that only transactions which free space may use."""
_LOOK_EVERY = 256
"""After so many calls, or as many times `_LOOK_BYTES`, the file system below is asked anew."""
_LOOK_BYTES = 128 << 10
_PART_BELOW = 4
"""What was freed is given back when it is this part of what the file system below has left."""
_NOBODY = Coll()


@dataclass(slots=True)
class _Mounted:
    opened: Opened
    state: State
    content: Content
    commits: Commits
    discards: Discards


class DiskObjectStore:
    """A store on a medium that mkfs made; unmounted when made.

    `defer` takes a function and has it called later by the thread that uses the store; it is called
    by the commit thread. Without a thread (`threaded`), `land` makes the next group durable.
    """

    def __init__(
        self,
        medium: Medium,
        defer: Defer,
        options: Options | None = None,
        *,
        threaded: bool = True,
    ) -> None:
        self._medium = medium
        self._defer = defer
        self._threaded = threaded
        self.options = options or Options()
        self._mounted: _Mounted | None = None
        self._sequence = 0
        self._waiting: deque[Entry] = deque()
        self._landed: deque[Landed] = deque()
        self._calls: deque[tuple[Entry, CephError | None]] = deque()
        self._free_below: int | None = None
        self._until_look = 0
        self._in_flight = 0

    # --- the store ---

    def mount(self) -> None:
        if self._mounted is not None:
            raise InvariantBroken("the store is mounted already")
        opened = self._medium.open(self.options.memory_target // 2)
        try:
            engine, device, mark = opened.engine, opened.device, opened.mark
            free = FreeList(engine, opened.label.size)
            replay(engine, device, free, mark)
            entry = Entry(_NOBODY, 0)
            state = State(
                engine,
                device,
                free.allocator,
                self.options,
                OnodeCache(self.options.memory_target * 3 // 8),
                Names(),
                PendingOmaps(),
                SharedBlocks(engine),
                Unwritten(),
                entry,
            )
            _load(state)
        except BaseException:
            opened.close()
            raise
        commits = Commits(engine, device, free, mark, self.options, self._on_landed)
        discards = Discards(state.allocator, self.options.discard_from)
        self._mounted = _Mounted(opened, state, Content(state), commits, discards)
        self._until_look = 0
        if self._threaded:
            commits.start()

    def umount(self) -> None:
        mounted = self._now()
        mounted.commits.stop()
        self._finish()
        self._discard(mounted)
        mounted.commits.land()
        self._finish()
        self._mounted = None
        mounted.opened.close()

    def statfs(self) -> StoreStatfs:
        state = self._state()
        total = PoolSpace()
        for space in state.spaces.values():
            total.add(space)
        made = _statfs(total)
        made.total = state.allocator.size
        made.available = state.allocator.free + self._returning()
        below = self._medium.free_for_data()
        if below is not None:
            # What others have on the file system is not used here, and cannot be had: it is no
            # part of the whole. Upstream reports its own use only, and knows nothing of others.
            free = made.available
            made.available = max(0, min(free, below - _RESERVE))
            made.total -= free - made.available
        return made

    def pool_statfs(self, pool: int) -> StoreStatfs:
        return _statfs(self._state().spaces.get(pool, PoolSpace()))

    def free_space(self) -> Allocator:
        return self._state().allocator

    def write_meta(self, key: str, value: str) -> None:
        self._medium.write_meta(key, value)

    def read_meta(self, key: str) -> str:
        return self._medium.read_meta(key)

    @property
    def counters(self) -> dict[str, int]:
        """What happened since the mount: `read_errors`, `checksum_errors`, and what it holds."""
        state = self._state()
        return state.counters | {"onodes": len(state.cache), "onode_bytes": state.cache.bytes}

    # --- changes ---

    def queue_transactions(
        self,
        cid: Coll,
        transactions: Sequence[Transaction],
        on_applied: Callable[[], None] | None = None,
        on_commit: Done | None = None,
    ) -> None:
        mounted = self._now()
        self._look_below()
        try:
            entry = self._carried_out(mounted, cid, transactions)
        except NoSpace:
            mounted.state.give_back_reserve()
            if not self._returning():
                raise
            # What was freed comes back with the next commits: wait for them this once.
            self._drain()
            entry = self._carried_out(mounted, cid, transactions)
        entry.on_applied = on_applied
        if on_commit is not None:
            entry.on_commit.append(on_commit)
        self._waiting.append(entry)
        self._in_flight += entry.taken
        mounted.commits.submit(entry)

    def _carried_out(
        self, mounted: _Mounted, cid: Coll, transactions: Sequence[Transaction]
    ) -> Entry:
        state = mounted.state
        self._sequence += 1
        entry = state.entry = Entry(cid, self._sequence)
        try:
            for transaction in transactions:
                done = begin(state, transaction.ops)
                if done < len(transaction.ops):
                    execute(mounted.content, transaction, done)
            if entry.onodes_was:
                content.account(state, entry)
            self._check_space_below(state, entry)
            content.finished(state, entry)
        except BaseException:
            content.undo(state, entry)
            raise
        return entry

    def set_collection_opts(self, cid: Coll, opts: Mapping[int, str | int | float]) -> None:
        state = self._state()
        self.collection_bits(cid)
        if cid.is_meta:
            return
        state.pool_opts[cid.pgid.pool] = PoolOpts(opts, self.options)

    def flush_commit(self, cid: Coll, on_commit: Done) -> bool:
        self._state()
        for entry in reversed(self._waiting):
            if entry.cid == cid:
                entry.on_commit.append(on_commit)
                return False
        return True

    def land(self, most: int = 1, *, apply: bool = True) -> bool:
        """Without a thread: make a group of the oldest entries durable; False if none waits.

        Their callbacks come through `defer`. `apply`: as for `Commits.land`.
        """
        return self._now().commits.land(most, apply=apply)

    def _on_landed(self, landed: Landed) -> None:
        """Called by the commit thread."""
        self._landed.append(landed)
        self._defer(self._finish)

    def _finish(self) -> None:
        """Take note of what has landed, and call back."""
        self._note_landed()
        while self._calls:
            entry, error = self._calls.popleft()
            if entry.on_applied is not None:
                entry.on_applied()
            for done in entry.on_commit:
                done(error)

    def _note_landed(self) -> None:
        mounted = self._mounted
        if mounted is None:
            return
        state = mounted.state
        while self._landed:
            landed = self._landed.popleft()
            error = landed.error
            if error is None:
                content.landed(state, landed.entries)
            for entry in landed.entries:
                self._waiting.popleft()
                self._in_flight -= entry.taken
                self._calls.append((entry, error))
            for blocks in landed.applied:
                state.unwritten.landed(blocks)
            state.allocator.release(landed.released)
            state.allocator.release(landed.discarded)
            discards = mounted.discards
            discards.note(landed.released)
            most = self.options.discard_together
            if self._free_below is not None:
                most = min(most, self._free_below // _PART_BELOW)
            if landed.idle or discards.are_many(most):
                self._discard(mounted)

    def _discard(self, mounted: _Mounted) -> None:
        """Give free space back to what is below, where that is worth it."""
        extents = mounted.discards.gather()
        if extents:
            mounted.commits.discard(extents)

    # --- space ---

    def _look_below(self) -> None:
        """Ask the file system below for its space, now and then."""
        self._until_look -= 1
        if self._until_look < 0:
            self._until_look = _LOOK_EVERY
            self._free_below = self._medium.free_bytes()

    def _check_space_below(self, state: State, entry: Entry) -> None:
        """Raise NoSpace if an entry takes more where little is left for the metadata."""
        taken = entry.taken
        self._until_look -= taken // _LOOK_BYTES
        if self._free_below is None:
            return
        left = self._free_below - self._in_flight - taken
        if left >= _RESERVE:
            return
        grown = 0
        for pool, numbers in entry.spaces_was.items():
            space, before = state.spaces[pool], PoolSpace(*numbers)
            grown += space.allocated + space.omap - before.allocated - before.omap
        if grown > 0:
            self._until_look = 0
            raise NoSpace(
                f"the file system below has {self._free_below} bytes left, {_RESERVE} of them are"
                f" kept for what frees space, and this takes {grown}: free some"
            )

    def _returning(self) -> int:
        """Bytes that were freed and cannot be used yet."""
        state = self._state()
        taken = sum([space.allocated for space in state.spaces.values()])
        return state.allocator.size - FIRST_BLOCK * BLOCK_SIZE - taken - state.allocator.free

    def _drain(self) -> None:
        self._now().commits.drain()
        self._note_landed()

    # --- faults ---

    def inject_data_error(self, oid: GHObject) -> None:
        """Let reads of the object's data fail with EIO until it is removed, or a mount anew."""
        self._state().data_errors.add(oid)

    def inject_metadata_error(self, oid: GHObject) -> None:
        """Let stat and reads of attributes fail with EIO until it is removed, or a mount anew."""
        self._state().metadata_errors.add(oid)

    # --- objects ---

    def exists(self, cid: Coll, oid: GHObject) -> bool:
        state = self._state()
        bits = state.collections.get(cid)
        if bits is None:
            return False
        check_belongs(cid, bits, oid)
        return content.find(state, oid) is not None

    def stat(self, cid: Coll, oid: GHObject) -> ObjectStat:
        return ObjectStat(self._readable(cid, oid).size)

    def read(
        self, cid: Coll, oid: GHObject, offset: int = 0, length: int | None = None, flags: int = 0
    ) -> bytes:
        onode = self._find(cid, oid)
        if self._state().data_errors and oid in self._state().data_errors:
            raise InputOutput(f"data of {oid} cannot be read")
        size = onode.size
        end = size if length is None or offset + length > size else offset + length
        return reading.read(self._state(), onode, offset, end, flags)

    def fiemap(self, cid: Coll, oid: GHObject, offset: int, length: int) -> IntervalSet:
        onode = self._find(cid, oid)
        return reading.fiemap(self._state(), onode, offset, min(onode.size, offset + length))

    def getattr(self, cid: Coll, oid: GHObject, name: str) -> bytes:
        value = self._readable(cid, oid).attrs.get(name)
        if value is None:
            raise CephError.from_errno(ENODATA, f"{oid} has no attribute {name}")
        return value

    def getattrs(self, cid: Coll, oid: GHObject) -> dict[str, bytes]:
        attrs = self._readable(cid, oid).attrs
        return {name: attrs[name] for name in sorted(attrs, key=key_bytes)}

    # --- omap ---

    def omap_get(self, cid: Coll, oid: GHObject) -> tuple[bytes, dict[str, bytes]]:
        return self.omap_get_header(cid, oid), dict(self.omap_iterate(cid, oid))

    def omap_get_header(self, cid: Coll, oid: GHObject) -> bytes:
        return self._find(cid, oid).header

    def omap_get_keys(self, cid: Coll, oid: GHObject) -> list[str]:
        return [key for key, _ in self.omap_iterate(cid, oid)]

    def omap_get_values(self, cid: Coll, oid: GHObject, keys: Iterable[str]) -> dict[str, bytes]:
        onode = self._find(cid, oid)
        state, found = self._state(), dict[str, bytes]()
        for key in sorted({key_bytes(key) for key in keys}) if onode.omap_id else ():
            value = state.omaps.get(state.engine, onode.omap_id, key)
            if value is not None:
                found[key_text(key)] = value
        return found

    def omap_check_keys(self, cid: Coll, oid: GHObject, keys: Iterable[str]) -> list[str]:
        return list(self.omap_get_values(cid, oid, keys))

    def omap_iterate(
        self, cid: Coll, oid: GHObject, start: str = "", *, after: str | None = None
    ) -> Iterator[tuple[str, bytes]]:
        onode, state = self._find(cid, oid), self._state()
        if not onode.omap_id:
            return iter(())
        first = key_bytes(start) if after is None else key_bytes(after) + b"\0"
        walk = state.omaps.between(state.engine, onode.omap_id, first)
        return ((key_text(key), value) for key, value in walk)

    # --- collections ---

    def list_collections(self) -> list[Coll]:
        return sorted(self._state().collections)

    def collection_exists(self, cid: Coll) -> bool:
        return cid in self._state().collections

    def collection_empty(self, cid: Coll) -> bool:
        self.collection_bits(cid)
        return not self._now().content.has_objects(cid)

    def collection_bits(self, cid: Coll) -> int:
        bits = self._state().collections.get(cid)
        if bits is None:
            raise NotFound(f"there is no collection {cid}")
        return bits

    def collection_list(
        self, cid: Coll, start: GHObject = GHMIN, end: GHObject = GHMAX, limit: int = LIST_MAX
    ) -> tuple[list[GHObject], GHObject]:
        bits = self.collection_bits(cid)
        state, found = self._state(), list[GHObject]()
        if start.max or start.hobj.max:
            return found, GHMAX
        low = b"" if start == GHMIN else OBJECT + object_key(start)
        high = None if end.max or end.hobj.max else OBJECT + object_key(end)
        for first, last in collection_key_ranges(cid, bits):
            begin, stop = max(OBJECT + first, low), OBJECT + last
            if begin >= stop:
                continue
            for key in state.names.between(state.engine, begin, stop):
                oid = object_of_key(key[1:])
                if len(found) == limit or (high is not None and key >= high):
                    return found, oid
                found.append(oid)
        return found, GHMAX

    # --- what reads start with ---

    def _now(self) -> _Mounted:
        if self._mounted is None:
            raise InvariantBroken("the store is not mounted")
        return self._mounted

    def _state(self) -> State:
        return self._now().state

    def _find(self, cid: Coll, oid: GHObject) -> Onode:
        state = self._state()
        check_belongs(cid, self.collection_bits(cid), oid)
        if state.cache.bytes > state.cache.target:
            state.cache.trim()  # not within a transaction, which may hold what it has found
        found = content.find(state, oid)
        if found is None:
            raise NotFound(f"there is no object {oid} in {cid}")
        return found

    def _readable(self, cid: Coll, oid: GHObject) -> Onode:
        found, errors = self._find(cid, oid), self._state().metadata_errors
        if errors and oid in errors:
            raise InputOutput(f"metadata of {oid} cannot be read")
        return found


def _load(state: State) -> None:
    """Read what is in memory as a whole: collections, spaces of pools, the next id."""
    for key, value in state.engine.iterate(COLLECTION, _behind(COLLECTION)):
        state.collections[collection_of_key(key)] = decode_bits(value)
    for key, value in state.engine.iterate(POOL, _behind(POOL)):
        state.spaces[pool_of_key(key)] = decode_space(value)
    value_of_next = state.engine.get(NEXT_ID)
    if value_of_next is not None:
        state.next_id = state.id_limit = decode_number(value_of_next)


def _behind(kind: bytes) -> bytes:
    return bytes([kind[0] + 1])


def _statfs(space: PoolSpace) -> StoreStatfs:
    made = StoreStatfs()
    made.allocated, made.data_stored = space.allocated, space.stored
    made.omap_allocated = space.omap
    made.data_compressed = space.compressed
    made.data_compressed_allocated = space.compressed_allocated
    made.data_compressed_original = space.original
    return made
