"""Which snapshots of which pools were purged, as an OSD remembers it in its meta collection.

Written with every map (`maps`) and with what the monitor tells before boot (`boot`); snapshot scrub
reads it. One omap entry for each range of snapshots, under the range's last one. Format: upstream
`src/osd/SnapMapper.cc` (record_purged_snaps).
"""

from __future__ import annotations

import struct as _struct
from collections.abc import Iterable, Mapping

from spirula.store.objectstore import ObjectStore
from spirula.store.osd_meta import META, PURGED_SNAPS
from spirula.types.interval_set import IntervalSet
from spirula.types.transaction import Transaction

_RANGE = _struct.Struct("<qQQ")
_PREFIX = "PSN_"


def _key(pool: int, last: int) -> str:
    return f"{_PREFIX}_{pool & 0xFFFFFFFFFFFFFFFF}_{last:016x}"


def ranges_of(store: ObjectStore, pool: int) -> IntervalSet:
    """The purged snapshots of a pool that the store remembers."""
    found = IntervalSet()
    prefix = _key(pool, 0)[:-16]
    for key, value in store.omap_iterate(META, PURGED_SNAPS, prefix):
        if not key.startswith(prefix):
            break
        _, begin, end = _RANGE.unpack(value)
        found.insert(begin, end - begin)
    return found


def record(
    store: ObjectStore,
    transaction: Transaction,
    purged: Iterable[Mapping[int, IntervalSet]],
) -> None:
    """Has the transaction remember purged snapshots by pool, joined with those beside them."""
    by_pool: dict[int, IntervalSet] = {}
    for change in purged:
        for pool, snaps in change.items():
            by_pool.setdefault(pool, IntervalSet()).update(snaps)
    for pool, snaps in by_pool.items():
        before = ranges_of(store, pool)
        known = set(before)
        after = before | snaps
        last = {_key(pool, start + length - 1): (start, length) for start, length in after}
        gone = {_key(pool, start + length - 1) for start, length in known} - last.keys()
        if gone:
            transaction.omap_rmkeys(META, PURGED_SNAPS, gone)
        new = {
            key: _RANGE.pack(pool, start, start + length)
            for key, (start, length) in last.items()
            if (start, length) not in known
        }
        if new:
            transaction.omap_setkeys(META, PURGED_SNAPS, new)
