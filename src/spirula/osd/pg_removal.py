"""Removes what is left of a PG from the store, a few objects at a time.

For PGs whose pool was deleted, also when the OSD ended in the middle of it. A mark in the PG's own
object says that it is to go. Behaviour: upstream `src/osd/PG.cc` (do_delete_work).
"""

from __future__ import annotations

from spirula.errors import CephError
from spirula.osd.state import OSD
from spirula.store import pg_meta, snap_mapper
from spirula.types.hobject import GHMIN
from spirula.types.pg import Coll, SPGId
from spirula.types.transaction import Transaction


def remove_pg(osd: OSD, pgid: SPGId) -> None:
    """Begin to remove a PG; it goes on by itself, one transaction after another."""
    transaction = Transaction()
    pg_meta.removal_flag(pgid, transaction)
    _queue(osd, pgid, transaction)


def _queue(osd: OSD, pgid: SPGId, transaction: Transaction) -> None:
    def on_commit(error: CephError | None) -> None:
        if error is not None:
            osd.ports.stop(f"pg {pgid} cannot be removed: {error}")
        elif not osd.is_stopping:
            _remove_some(osd, pgid)

    osd.store.queue_transactions(Coll.of(pgid), [transaction], on_commit=on_commit)


def _remove_some(osd: OSD, pgid: SPGId) -> None:
    cid, store = Coll.of(pgid), osd.store
    if not store.collection_exists(cid):
        return
    most = osd.config.get_int("osd_target_transaction_size")
    objects, _ = store.collection_list(cid, GHMIN, limit=most)
    pgmeta = pgid.pgmeta()
    transaction = Transaction()
    for oid in objects:
        if oid != pgmeta:
            transaction.remove(cid, oid)
            if oid.hobj.is_snap:
                snap_mapper.remove(store, transaction, oid.hobj, oid.shard)
    if not transaction:
        # The mark goes last, with the collection.
        transaction.remove(cid, pgmeta)
        transaction.remove_collection(cid)
        store.queue_transactions(cid, [transaction])
        osd.log(1, f"pg {pgid} is removed")
        return
    _queue(osd, pgid, transaction)
