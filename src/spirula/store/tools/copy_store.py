"""Copies all of a stopped OSD's store to another: to a new disk, or to another kind of store.

For `spirula objectstore-tool --op dup`. The target was made by mkfs and holds nothing.
"""

from __future__ import annotations

from spirula.errors import NotEmpty
from spirula.store.objectstore import ObjectStore, list_all
from spirula.store.tools.dump_format import batches
from spirula.store.tools.queueing import Changes, Pump
from spirula.types.hobject import GHObject
from spirula.types.pg import Coll
from spirula.types.transaction import Transaction

_AT_ONCE = 1 << 20
"""Bytes of data, and of omap entries, that one transaction takes."""


def copy_store(source: ObjectStore, target: ObjectStore, pump: Pump) -> int:
    """Copies everything; how many objects that were. NotEmpty if the target has collections."""
    if any(True for _ in target.list_collections()):
        raise NotEmpty("the store to copy to has collections already")
    count = 0
    for cid in source.list_collections():
        changes = Changes(target, pump, cid)
        made = Transaction()
        made.create_collection(cid, source.collection_bits(cid))
        changes.queue(made)
        for oid in list_all(source, cid, 256):
            _copy(source, cid, oid, changes)
            count += 1
        changes.finish()
    return count


def _copy(source: ObjectStore, cid: Coll, oid: GHObject, changes: Changes) -> None:
    made = Transaction()
    made.touch(cid, oid)
    made.setattrs(cid, oid, dict(source.getattrs(cid, oid)))
    made.omap_setheader(cid, oid, source.omap_get_header(cid, oid))
    size = source.stat(cid, oid).size
    made.truncate(cid, oid, size)
    changes.queue(made)
    for start, length in source.fiemap(cid, oid, 0, size):
        for offset in range(start, start + length, _AT_ONCE):
            piece = source.read(cid, oid, offset, min(_AT_ONCE, start + length - offset))
            made = Transaction()
            made.write(cid, oid, offset, piece)
            changes.queue(made, len(piece))
    for entries in batches(source.omap_iterate(cid, oid), _AT_ONCE):
        made = Transaction()
        made.omap_setkeys(cid, oid, entries)
        changes.queue(made)
