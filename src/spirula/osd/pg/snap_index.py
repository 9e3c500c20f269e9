"""Keeps the index of which clones serve which snapshots in step with the log.

Trimming a snapshot finds its clones there. Called for each write's log entries, on every OSD.
Upstream: `src/osd/PG.cc` (update_snap_map); the index is `store.snap_mapper`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spirula.denc import Struct, Vec, struct, u64
from spirula.store import snap_mapper
from spirula.types.snap import MAXSNAP

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG
    from spirula.types.pg_log import PGLogEntry
    from spirula.types.transaction import Transaction


@struct
class _Snaps(Struct):
    ids: Vec[u64]


def update(pg: PG, entries: Sequence[PGLogEntry], transaction: Transaction) -> None:
    """Adds to the transaction what the entries change in the index."""
    for entry in entries:
        soid = entry.soid
        if soid.snap >= MAXSNAP:
            continue
        shard = pg.pgid.shard
        if entry.is_delete:
            snap_mapper.remove(pg.store, transaction, soid, shard)
        elif entry.is_update and entry.snaps:
            snaps = set(_Snaps.decode(entry.snaps).ids)
            snap_mapper.set_snaps(pg.store, transaction, soid, snaps, shard)
