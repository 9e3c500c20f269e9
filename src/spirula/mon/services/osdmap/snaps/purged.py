"""Which snapshots are gone for good: the keys of the store that remember it, and taking more in.

Snapshots that all PGs have purged leave the map's queue; the store keeps them by pool, as ranges,
and by epoch, for OSDs that missed it. Upstream: `src/mon/OSDMonitor.cc` (make_purged_snap_key and
the functions around it, try_prune_purged_snaps).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from spirula.denc import Map, Struct, s64
from spirula.denc import struct as declare
from spirula.mon.store import Transaction
from spirula.store.keyvalue import KeyValueStore
from spirula.types.interval_set import IntervalSet

PREFIX = "osd_snap"
_RANGE = struct.Struct("<QQI")
_EPOCH_KEY = "purged_epoch_"
_SNAP_KEY = "purged_snap_"
_PAST_EPOCHS = "purged_epoch`"
"""The character after `_`: behind all keys of epochs."""
_PAST_SNAPS = "purged_snap`"


class PurgedRange(NamedTuple):
    """Snapshots `begin` up to, without, `end`."""

    begin: int
    end: int


@declare
class PurgedSnaps(Struct):
    """What was purged in one epoch, by pool."""

    snaps: Map[s64, IntervalSet]


def epoch_key(epoch: int) -> str:
    """Where what was purged in an epoch stands."""
    return f"{_EPOCH_KEY}{epoch:08x}"


def snap_key(pool: int, snap: int) -> str:
    """Where the range stands whose last snapshot that is."""
    return f"{_SNAP_KEY}{pool}_{snap:016x}"


def lookup(store: KeyValueStore, pool: int, snap: int) -> PurgedRange | None:
    """The range of purged snapshots that a snapshot is in, or None."""
    found = _first_from(store, pool, snap)
    return found if found is not None and found.begin <= snap < found.end else None


def _first_from(store: KeyValueStore, pool: int, snap: int) -> PurgedRange | None:
    """The first range of the pool that ends behind `snap`."""
    prefix = f"{_SNAP_KEY}{pool}_"
    for key, value in store.items(PREFIX, snap_key(pool, snap), _PAST_SNAPS):
        if not key.startswith(prefix) or len(value) < _RANGE.size:
            return None
        begin, end, _ = _RANGE.unpack_from(value)
        return PurgedRange(begin, end)
    return None


def encode_purged(
    transaction: Transaction,
    store: KeyValueStore,
    epoch: int,
    purged: Mapping[int, IntervalSet],
    pseudo: Mapping[int, set[int]],
) -> None:
    """Note what an epoch purges. `pseudo`: snapshots that never were, and need no purging."""
    if purged:
        transaction.put(PREFIX, epoch_key(epoch), PurgedSnaps(dict(purged)).encode())
    for pool in sorted({*purged, *pseudo}):
        snaps = purged.get(pool, IntervalSet()).copy()
        for snap in pseudo.get(pool, ()):
            snaps.insert(snap)
        _join(transaction, store, epoch, pool, snaps)


def _join(
    transaction: Transaction, store: KeyValueStore, epoch: int, pool: int, new: IntervalSet
) -> None:
    """Ranges join those that they touch. A range is kept under its last snapshot."""
    joined = IntervalSet()
    for start, length in new:
        end = start + length
        joined.insert(start, length)
        for known in (lookup(store, pool, start - 1) if start else None, lookup(store, pool, end)):
            if known is not None:
                transaction.erase(PREFIX, snap_key(pool, known.end - 1))
                joined.insert(known.begin, known.end - known.begin)
    for start, length in joined:
        end = start + length
        transaction.put(PREFIX, snap_key(pool, end - 1), _RANGE.pack(start, end, epoch))


def all_purged(store: KeyValueStore) -> dict[int, IntervalSet]:
    """Everything that was ever purged, by pool."""
    found: dict[int, IntervalSet] = {}
    for key, value in store.items(PREFIX, _SNAP_KEY, _PAST_SNAPS):
        pool = key.removeprefix(_SNAP_KEY).partition("_")[0]
        if pool.isdigit() and len(value) >= _RANGE.size:
            begin, end, _ = _RANGE.unpack_from(value)
            found.setdefault(int(pool), IntervalSet()).insert(begin, end - begin)
    return found


def purged_between(
    store: KeyValueStore, after: int, last: int, max_bytes: int
) -> tuple[dict[int, dict[int, IntervalSet]], int]:
    """What the epochs behind `after` up to `last` purged, and the last epoch looked at.

    Ends early when that grows to about `max_bytes`.
    """
    found: dict[int, dict[int, IntervalSet]] = {}
    size = 0
    for key, value in store.items(PREFIX, f"{epoch_key(after)}\0", _PAST_EPOCHS):
        epoch = int(key.removeprefix(_EPOCH_KEY), 16)
        if epoch > last:
            return found, epoch
        found[epoch] = dict(PurgedSnaps.decode(value).snaps)
        size += len(value)
        if size > max_bytes:
            return found, epoch
    return found, last


def purgeable(
    store: KeyValueStore,
    reported: Mapping[int, IntervalSet],
    queue: Mapping[int, IntervalSet],
    most: int,
) -> dict[int, IntervalSet]:
    """What of the reported snapshots may leave the queue now, at most about `most` of them.

    A pool whose report overlaps what is purged already is left for a fresher report.
    """
    found: dict[int, IntervalSet] = {}
    count = 0
    for pool in sorted(reported):
        taken = IntervalSet()
        for start, length in reported[pool]:
            end = start + length
            known = _first_from(store, pool, start)
            if known is not None and known.begin <= start:
                break
            if known is not None and known.begin < end:
                end = known.begin
            taken.insert(start, end - start)
            if count + taken.size >= most:
                break
        actual = taken & queue.get(pool, IntervalSet())
        if actual:
            found[pool] = actual
            count += actual.size
        if count >= most:
            break
    return found
