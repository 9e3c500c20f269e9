"""Removes what is left of a PG from the store, a few objects at a time.

For PGs whose pool was deleted or that others have in full, also when the OSD ended in the middle of
it. A mark in the PG's own object says that it is to go. Each step waits for its turn beside clients
and other work, unless the PG is wanted here again. Behaviour: upstream `src/osd/PG.cc`
(do_delete_work).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from spirula.errors import CephError
from spirula.osd.scheduler import Kind, Turn
from spirula.osd.state import OSD
from spirula.store import pg_meta, snap_mapper
from spirula.types.hobject import GHMIN
from spirula.types.pg import Coll, SPGId
from spirula.types.transaction import Transaction

_ALL = 1 << 62


@dataclass(slots=True, eq=False)
class Removal:
    """A PG that is being removed. `turn` is what its next step waits for, if it does."""

    pgid: SPGId
    turn: Turn | None = None
    hurries: bool = False
    is_over: bool = False


def remove_pg(osd: OSD, pgid: SPGId) -> None:
    """Begin to remove a PG; it goes on by itself, one transaction after another."""
    transaction = Transaction()
    pg_meta.removal_flag(pgid, transaction)
    removal = osd.pgs.removing[pgid] = Removal(pgid)
    _queue(osd, removal, transaction)


def hurry(osd: OSD, pgid: SPGId) -> None:
    """The PG is to be made anew here: what is left of the old one goes without waiting."""
    removal = osd.pgs.removing.get(pgid)
    if removal is None or removal.hurries:
        return
    removal.hurries = True
    if removal.turn is not None and not removal.turn.is_over:
        removal.turn.cancel()
        _remove_some(osd, removal)


def remove_at_once(osd: OSD, pgid: SPGId) -> None:
    """Remove all that is left of a PG of that name, if there is anything, in one transaction.

    What is queued after it finds nothing of that PG.
    """
    removal = osd.pgs.removing.pop(pgid, None)
    if removal is not None:
        removal.is_over = True
        if removal.turn is not None:
            removal.turn.cancel()
    cid = Coll.of(pgid)
    if not osd.store.collection_exists(cid):
        return
    transaction = _removal_of(osd, pgid, _ALL)
    _remove_collection(pgid, transaction)
    osd.store.queue_transactions(cid, [transaction])


def _queue(osd: OSD, removal: Removal, transaction: Transaction) -> None:
    def on_commit(error: CephError | None) -> None:
        if error is not None:
            osd.ports.stop(f"pg {removal.pgid} cannot be removed: {error}")
        elif not osd.is_stopping and not removal.is_over:
            _next(osd, removal)

    osd.store.queue_transactions(Coll.of(removal.pgid), [transaction], on_commit=on_commit)


def _next(osd: OSD, removal: Removal) -> None:
    if removal.hurries:
        _remove_some(osd, removal)
        return
    cost = osd.config.get_int("osd_pg_delete_cost")
    step = partial(_remove_some, osd, removal)
    removal.turn = osd.pgs.shared.scheduler.ask(Kind.DELETE, cost, step, removal)


def _remove_some(osd: OSD, removal: Removal) -> None:
    pgid, store = removal.pgid, osd.store
    cid = Coll.of(pgid)
    if store.collection_exists(cid):
        transaction = _removal_of(osd, pgid, osd.config.get_int("osd_target_transaction_size"))
        if transaction:
            _queue(osd, removal, transaction)
            return
        _remove_collection(pgid, transaction)
        store.queue_transactions(cid, [transaction])
        osd.log(1, f"pg {pgid} is removed")
    removal.is_over = True
    osd.pgs.removing.pop(pgid, None)


def _removal_of(osd: OSD, pgid: SPGId, most: int) -> Transaction:
    """What removes some of the objects of a PG; empty when none is left but the PG's own."""
    cid, pgmeta = Coll.of(pgid), pgid.pgmeta()
    objects, _ = osd.store.collection_list(cid, GHMIN, limit=most)
    transaction = Transaction()
    for oid in objects:
        if oid != pgmeta:
            transaction.remove(cid, oid)
            if oid.hobj.is_snap:
                snap_mapper.remove(osd.store, transaction, oid.hobj, oid.shard)
    return transaction


def _remove_collection(pgid: SPGId, transaction: Transaction) -> None:
    """The mark goes last, with the collection."""
    cid = Coll.of(pgid)
    transaction.remove(cid, pgid.pgmeta())
    transaction.remove_collection(cid)
