"""Puts the index of clones by snapshot right where it is not what the SnapSets say.

Trimming finds clones by that index alone; each OSD has its own. Called with each chunk. Upstream:
`src/osd/pg_scrubber.cc` (_scan_snaps).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.errors import CephError, WireError
from spirula.osd.ops.context import SNAPSET_ATTR
from spirula.store import snap_mapper
from spirula.types.hobject import NO_GEN, GHObject, HObject
from spirula.types.log import LogLevel
from spirula.types.snap import MAXSNAP, SnapSet
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spirula.osd.pg.state import PG
    from spirula.types.scrub import ScrubObject


def check(pg: PG, objects: Mapping[HObject, ScrubObject]) -> None:
    """Looks up each clone of a chunk, and writes what should have been found."""
    known: dict[HObject, SnapSet | None] = {}
    transaction = Transaction()
    for hoid in objects:
        if hoid.snap >= MAXSNAP:
            continue
        head = hoid.head()
        if head not in known:
            known[head] = _snapset(pg, head, objects.get(head))
        snapset = known[head]
        if snapset is None or hoid.snap not in snapset.clone_snaps:
            continue
        if not pg.store.exists(pg.coll, GHObject(hoid, NO_GEN, pg.pgid.shard)):
            continue  # not here: who has it looks after his own
        wanted = set(snapset.clone_snaps[hoid.snap])
        found = snap_mapper.snaps_of(pg.store, hoid, pg.pgid.shard)
        if found == wanted:
            continue
        _complain(pg, hoid, found, wanted)
        snap_mapper.set_snaps(pg.store, transaction, hoid, wanted, pg.pgid.shard)
    if transaction:
        pg.queue((transaction,), pg.on_store_result)


def _snapset(pg: PG, head: HObject, found: ScrubObject | None) -> SnapSet | None:
    """A head's, from the chunk or else the store; None if there is none that can be read."""
    try:
        if found is not None:
            raw = found.attrs.get(SNAPSET_ATTR, b"")
        else:
            gh = GHObject(head, NO_GEN, pg.pgid.shard)
            raw = pg.store.getattr(pg.coll, gh, SNAPSET_ATTR)
        return SnapSet.decode(raw) if raw else None
    except (CephError, WireError):
        return None


def _complain(pg: PG, hoid: HObject, found: set[int] | None, wanted: set[int]) -> None:
    text = f"osd.{pg.whoami.osd} found snap mapper error on pg {pg.pgid} oid {hoid}"
    if found is None:
        text += f" snaps missing in mapper, should be: {_shown(wanted)} was  r -2...repaired"
    else:
        text += f" snaps in mapper: {_shown(found)}, oi: {_shown(wanted)}...repaired"
    pg.services.clog(LogLevel.ERROR, text)


def _shown(snaps: set[int]) -> str:
    return ",".join(f"{snap:x}" for snap in sorted(snaps))
