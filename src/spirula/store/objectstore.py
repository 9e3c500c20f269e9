"""The port of an object store: what an OSD keeps collections and objects in.

An object is data, attributes, an omap header and omap entries; a collection is a range of objects
in upstream's order. Changes come as transactions (`types.transaction`), carried out by the rules of
`store.execute`. The store in memory is `store.memory`; the OSD uses the port. Semantics: upstream's
`src/os/ObjectStore.h` and, where that leaves it open, BlueStore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from spirula.errors import InvariantBroken
from spirula.store.allocator import Allocator
from spirula.store.keyvalue import Done
from spirula.types.hobject import (
    GHMAX,
    GHMIN,
    NO_SHARD,
    POOL_META,
    POOL_TEMP_START,
    GHObject,
    reverse_bits,
)
from spirula.types.interval_set import IntervalSet
from spirula.types.pg import Coll, CollType
from spirula.types.pg_stats import StoreStatfs
from spirula.types.transaction import Transaction

MAX_OBJECT_SIZE = 0xFFFFFFFE
"""Bytes: the largest size of an object (BlueStore's bound)."""
BLOCK_SIZE = 4096
"""Bytes in which stores count space, and what `stat` gives as block size."""
LIST_MAX = 64
"""How many objects a listing gives unless told (upstream get_ideal_list_max)."""
_META = int(CollType.META)


@dataclass(slots=True, frozen=True)
class ObjectStat:
    """What `stat` tells: size in bytes, and how many blocks of `block_size` that would be."""

    size: int
    block_size: int = BLOCK_SIZE

    @property
    def blocks(self) -> int:
        """The size in blocks, rounded up; holes count."""
        return -(-self.size // self.block_size)


class ObjectStore(Protocol):
    """A mounted store. All calls come from one thread, which also gets the callbacks.

    Reads see every transaction that was queued before them, committed or not. They raise
    NotFound if the collection or the object is not there, InputOutput if what is stored cannot
    be read or does not match its checksum, and InvariantBroken if the object's hash is not one
    of the collection's, or the store is not mounted.
    """

    # --- the store ---

    def mount(self) -> None:
        """Make it ready for use. InvariantBroken if it is mounted."""

    def umount(self) -> None:
        """Make all that was queued durable, calling back what waits for it, and let go."""

    def statfs(self) -> StoreStatfs:
        """The space of the whole store."""

    def pool_statfs(self, pool: int) -> StoreStatfs:
        """What a pool's objects take, temporary ones included; nothing is total or available."""

    def free_space(self) -> Allocator | None:
        """Which space is free, to look at; None if the store gives none out."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What has happened since the mount, and what it holds in memory, where it counts that."""

    def write_meta(self, key: str, value: str) -> None:
        """Keep a word about the store beside it (`fsid`, `whoami`), durable on return."""

    def read_meta(self, key: str) -> str:
        """What `write_meta` kept; works unmounted, too. NotFound if there is none."""

    # --- changes ---

    def queue_transactions(
        self,
        cid: Coll,
        transactions: Sequence[Transaction],
        on_applied: Callable[[], None] | None = None,
        on_commit: Done | None = None,
    ) -> None:
        """Carry out transactions, together or not at all, in the sequence of a collection.

        On return reads see the changes. `on_applied` and then `on_commit` are called later, never
        within this call; within a collection in the order of queueing. `on_commit` gets None when
        the changes are durable, or the error for which they never will be; after such an error
        every later commit fails with it, until the store is mounted anew. `cid` names the
        sequence; it need not exist yet if a transaction makes it. Read-only views among the data
        are kept: nobody may change what they show.

        Raises, having changed nothing: NoSpace; InvariantBroken, with the transaction in its
        text, for what only a bug can ask (which that is: `store.execute`).
        """

    def flush_commit(self, cid: Coll, on_commit: Done) -> bool:
        """True if nothing waits in the sequence of `cid`.

        Otherwise False, and `on_commit` is called when what waits now is durable.
        """

    def set_collection_opts(self, cid: Coll, opts: Mapping[int, str | int | float]) -> None:
        """How data of the collection's pool is to be kept from now on: the pool's `PoolOpts.opts`.

        Compression, that is; not remembered over a remount. InvalidArgument for a value that is
        none.
        """

    # --- objects ---

    def exists(self, cid: Coll, oid: GHObject) -> bool:
        """Whether the object is there; False if the collection is not."""

    def stat(self, cid: Coll, oid: GHObject) -> ObjectStat:
        """The object's size."""

    def read(
        self, cid: Coll, oid: GHObject, offset: int = 0, length: int | None = None, flags: int = 0
    ) -> bytes:
        """Bytes from `offset` on, `length` of them or all; fewer, or none, past the end.

        Holes read as zeros. `flags`: upstream CEPH_OSD_OP_FLAG_FADVISE_*.
        """

    def fiemap(self, cid: Coll, oid: GHObject, offset: int, length: int) -> IntervalSet:
        """Where in this range there is data; the rest are holes, or lies past the end."""

    def getattr(self, cid: Coll, oid: GHObject, name: str) -> bytes:
        """An attribute. CephError with ENODATA if the object has none of this name."""

    def getattrs(self, cid: Coll, oid: GHObject) -> dict[str, bytes]:
        """All attributes, in the order of their names' bytes."""

    # --- omap ---

    def omap_get(self, cid: Coll, oid: GHObject) -> tuple[bytes, dict[str, bytes]]:
        """The omap's header and all entries, in the order of their keys' bytes."""

    def omap_get_header(self, cid: Coll, oid: GHObject) -> bytes:
        """The omap's header, empty if there is none."""

    def omap_get_keys(self, cid: Coll, oid: GHObject) -> list[str]:
        """All keys in the order of their bytes."""

    def omap_get_values(self, cid: Coll, oid: GHObject, keys: Iterable[str]) -> dict[str, bytes]:
        """The entries of these keys that are there, in the order of their bytes."""

    def omap_check_keys(self, cid: Coll, oid: GHObject, keys: Iterable[str]) -> list[str]:
        """Those of the keys that are there, in the order of their bytes."""

    def omap_iterate(
        self, cid: Coll, oid: GHObject, start: str = "", *, after: str | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Entries from `start` on, or behind `after`, in the order of their keys' bytes.

        Changes queued while iterating may show or not. The object is looked up at the call.
        """

    # --- collections ---

    def list_collections(self) -> list[Coll]:
        """All collections, in order."""

    def collection_exists(self, cid: Coll) -> bool:
        """Whether it is there."""

    def collection_empty(self, cid: Coll) -> bool:
        """Whether it has no objects. NotFound if it is not there."""

    def collection_bits(self, cid: Coll) -> int:
        """In how many low bits of their hashes its objects agree. NotFound."""

    def collection_list(
        self, cid: Coll, start: GHObject = GHMIN, end: GHObject = GHMAX, limit: int = LIST_MAX
    ) -> tuple[list[GHObject], GHObject]:
        """At most `limit` objects from `start` on and before `end`, in order; temporary ones first.

        And the next object of the collection that was not given, GHMAX if there is none: where
        the next call starts (upstream leaves out those that follow a temporary `end`). NotFound
        if the collection is not there.
        """


def collection_ranges(cid: Coll, bits: int) -> list[tuple[Any, Any]]:
    """The ranges of objects that a collection of `bits` bits has, as bounds of `GHObject.order`.

    Lower bounds are in, upper ones out. A PG has its temporary objects first.
    """
    if cid.type == _META:
        return [_range(POOL_META, NO_SHARD, 0, 0)]
    pgid = cid.pgid
    pools = (POOL_TEMP_START - pgid.pool, pgid.pool)
    return [_range(pool, pgid.shard, pgid.seed, bits) for pool in pools]


def _range(pool: int, shard: int, seed: int, bits: int) -> tuple[Any, Any]:
    first = reverse_bits(seed)
    # Longer tuples sort behind their beginnings: each bound stands before all names of its hash.
    return (
        (False, shard, (False, pool, first)),
        (False, shard, (False, pool, first + (1 << 32 - bits))),
    )


def belongs(cid: Coll, bits: int, oid: GHObject) -> bool:
    """Whether an object is one that a collection of `bits` bits has: pool, shard and hash."""
    hobj = oid.hobj
    if oid.max or hobj.max:
        return False
    if cid.type == _META:
        return hobj.pool == POOL_META and oid.shard == NO_SHARD
    pgid = cid.pgid
    pool, pg = hobj.pool, pgid.pgid
    return (
        (pool == pg.pool or pool == POOL_TEMP_START - pg.pool)
        and oid.shard == pgid.shard
        and not (hobj.hash ^ pg.seed) & ((1 << bits) - 1)
    )


def check_belongs(cid: Coll, bits: int, oid: GHObject) -> None:
    """Raise InvariantBroken if `belongs` says no."""
    if not belongs(cid, bits, oid):
        raise InvariantBroken(f"object {oid} is none of collection {cid} of {bits} bits")


def readv(store: ObjectStore, cid: Coll, oid: GHObject, ranges: IntervalSet) -> bytes:
    """The bytes of these ranges, one behind the other.

    `ranges` is cut to what was there to read, as upstream does. Raises as `ObjectStore.read`.
    """
    parts = []
    for start, length in list(ranges):
        part = store.read(cid, oid, start, length)
        parts.append(part)
        if len(part) < length:
            end = start + len(part)
            ranges.erase(end, max(ranges.range_end - end, 1))
            break
    return b"".join(parts)


def sparse_read(
    store: ObjectStore, cid: Coll, oid: GHObject, offset: int, length: int
) -> tuple[IntervalSet, bytes]:
    """Where in a range there is data, and that data. Raises as `ObjectStore.read`."""
    ranges = store.fiemap(cid, oid, offset, length)
    return ranges, readv(store, cid, oid, ranges)


def list_all(store: ObjectStore, cid: Coll, limit: int = LIST_MAX) -> Iterator[GHObject]:
    """All objects of a collection in order, fetched `limit` at a time."""
    start = GHMIN
    while not start.max:
        objects, start = store.collection_list(cid, start, GHMAX, limit)
        yield from objects
