"""Which clone serves which snapshots: the index that trimming of snapshots walks.

Two kinds of omap keys of one object of the meta collection: by clone, the snapshots it serves; by
pool and snapshot, each clone. For the OSD and for tools; changes are added to the transaction that
makes or removes the clone. Keys and values: upstream `src/osd/SnapMapper.cc`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from spirula.errors import NotFound
from spirula.store.objectstore import ObjectStore
from spirula.store.osd_meta import META, SNAPMAPPER
from spirula.types.hobject import NO_SHARD, HObject
from spirula.types.snap import ObjectSnaps, SnapMapping
from spirula.types.transaction import Transaction

_BY_CLONE = "OBJ_"
_BY_SNAP = "SNA_"


class Mapping(NamedTuple):
    """That a clone serves a snapshot, and the key under which that is said."""

    key: str
    hoid: HObject
    snap: int
    shard: int


def clone_key(hobj: HObject, shard: int = NO_SHARD) -> str:
    """The key under which the snapshots of a clone are."""
    return f"{_BY_CLONE}{_shard_text(shard)}{hobj.key_text()}"


def snap_prefix(pool: int, snap: int) -> str:
    """What the keys of all clones of a snapshot begin with."""
    # upstream prints the lower half of the id alone
    return f"{_BY_SNAP}{pool}_{snap & 0xFFFFFFFF:016X}_"


def snap_key(hobj: HObject, snap: int, shard: int = NO_SHARD) -> str:
    """The key of one clone of one snapshot."""
    return f"{snap_prefix(hobj.pool, snap)}{_shard_text(shard)}{hobj.key_text()}"


def _shard_text(shard: int) -> str:
    return "" if shard == NO_SHARD else f".{shard:x}_"


def snaps_of(store: ObjectStore, hobj: HObject, shard: int = NO_SHARD) -> set[int] | None:
    """The snapshots that a clone serves; None if the index has it not."""
    key = clone_key(hobj, shard)
    try:
        found = store.omap_get_values(META, SNAPMAPPER, [key])
    except NotFound:
        return None
    return set(ObjectSnaps.decode(found[key]).snaps) if key in found else None


def set_snaps(
    store: ObjectStore, txn: Transaction, hobj: HObject, snaps: set[int], shard: int = NO_SHARD
) -> None:
    """Says which snapshots a clone serves, in place of what was said before; none: forget it."""
    before = snaps_of(store, hobj, shard)
    if not snaps:
        if before is not None:
            _remove(txn, hobj, before, shard)
        return
    gone = (before or set()) - snaps
    txn.touch(META, SNAPMAPPER)
    if gone:
        keys = [snap_key(hobj, snap, shard) for snap in gone]
        txn.omap_rmkeys(META, SNAPMAPPER, keys)
    entries = {snap_key(hobj, snap, shard): SnapMapping(snap, hobj).encode() for snap in snaps}
    entries[clone_key(hobj, shard)] = ObjectSnaps(hobj, snaps).encode()
    txn.omap_setkeys(META, SNAPMAPPER, entries)


def remove(
    store: ObjectStore, txn: Transaction, hobj: HObject, shard: int = NO_SHARD
) -> set[int] | None:
    """Forgets a clone. The snapshots that it served, None if the index had it not."""
    before = snaps_of(store, hobj, shard)
    if before is not None:
        _remove(txn, hobj, before, shard)
    return before


def _remove(txn: Transaction, hobj: HObject, snaps: set[int], shard: int) -> None:
    keys = [clone_key(hobj, shard), *(snap_key(hobj, snap, shard) for snap in snaps)]
    txn.omap_rmkeys(META, SNAPMAPPER, keys)


def clones_of(
    store: ObjectStore, pool: int, snap: int, shard: int = NO_SHARD, within: str = ""
) -> Iterator[HObject]:
    """The clones of a snapshot in the order of their keys.

    `within` is the beginning of `HObject.key_text` that all of them share, to walk one PG alone.
    """
    prefix = snap_prefix(pool, snap) + _shard_text(shard) + within
    try:
        entries = store.omap_iterate(META, SNAPMAPPER, prefix)
    except NotFound:
        return
    for key, value in entries:
        if not key.startswith(prefix):
            return
        yield SnapMapping.decode(value).hoid


def mappings(store: ObjectStore, after: str = "") -> Iterator[Mapping]:
    """All clones by snapshot, of all pools, that are behind a key."""
    try:
        entries = store.omap_iterate(META, SNAPMAPPER, after=after or _BY_SNAP)
    except NotFound:
        return
    for key, value in entries:
        if not key.startswith(_BY_SNAP):
            return
        found = SnapMapping.decode(value)
        rest = key.removeprefix(snap_prefix(found.hoid.pool, found.snap))
        shard = int(rest[1 : rest.index("_")], 16) if rest.startswith(".") else NO_SHARD
        yield Mapping(key, found.hoid, found.snap, shard)
