"""Removes PGs from a stopped OSD's store: marked first, so that half of one is never taken for it.

Called by import, which finishes what an interrupted one left behind, and by `spirula store`. As
upstream's `ceph-objectstore-tool --op remove` (initiate_new_remove_pg, finish_remove_pgs).
"""

from __future__ import annotations

from spirula.errors import NotFound
from spirula.store import snap_mapper
from spirula.store.objectstore import ObjectStore
from spirula.store.osd_meta import META, SNAPMAPPER
from spirula.store.pg_meta import has_removal_flag, removal_flag
from spirula.store.tools.queueing import Changes, Pump
from spirula.types.hobject import NO_GEN
from spirula.types.pg import Coll, CollType, SPGId
from spirula.types.transaction import Transaction

OBJECTS_AT_ONCE = 30
"""Objects that one transaction removes (upstream osd_target_transaction_size)."""


def remove_pg(store: ObjectStore, pump: Pump, pgid: SPGId) -> int:
    """Remove a PG with all its objects; durable on return. How many objects went.

    NotFound if there is no such PG.
    """
    cid = Coll.of(pgid)
    if not store.collection_exists(cid):
        raise NotFound(f"PG {pgid} is not in this store")
    changes = Changes(store, pump, cid)
    txn = Transaction()
    removal_flag(pgid, txn)
    changes.queue(txn)
    return _remove_collection(store, changes, cid)


def finish_removals(store: ObjectStore, pump: Pump) -> list[SPGId]:
    """Remove what is marked for removal, or left of an import that did not end. Which PGs went."""
    gone = []
    for cid in store.list_collections():
        if cid.type == CollType.PG and has_removal_flag(store, cid.pgid):
            _remove_collection(store, Changes(store, pump, cid), cid)
            gone.append(cid.pgid)
    return gone


def _remove_collection(store: ObjectStore, changes: Changes, cid: Coll) -> int:
    removed = 0
    with_snaps = store.collection_exists(META) and store.exists(META, SNAPMAPPER)
    while True:
        # the nameless object comes first in order and would go first, with its mark
        objects, _ = store.collection_list(cid, limit=OBJECTS_AT_ONCE + 1)
        plain = [oid for oid in objects if not oid.is_pgmeta][:OBJECTS_AT_ONCE]
        if not plain:
            break
        txn = Transaction()
        for oid in plain:
            if with_snaps and oid.hobj.is_snap and oid.generation == NO_GEN:
                snap_mapper.remove(store, txn, oid.hobj, cid.pgid.shard)
            txn.remove(cid, oid)
        changes.queue(txn)
        removed += len(plain)
    txn = Transaction()
    for oid in objects:
        txn.remove(cid, oid)
    txn.remove_collection(cid)
    changes.queue(txn)
    changes.finish()
    return removed
