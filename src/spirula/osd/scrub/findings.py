"""Keeps what a scrub found wrong, for clients that list it: a temporary object of the PG.

Gone when the next scrub begins or the interval ends; after a restart nothing is known until the
PG is scrubbed again. Names and keys: upstream `src/osd/ScrubStore.cc`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.types.hobject import NO_GEN, NOSNAP, GHObject, HObject
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG
    from spirula.types.inconsistency import InconsistentObject, InconsistentSnapSet, ObjectId

_OBJECT, _SNAPSET = "SCRUB_OBJ_", "SCRUB_SS_"
_SNAPSET_HASH = 0x77777777
"""Upstream's; it stands in the middle so that bounds are simple."""
_LAST = 0xFFFFFFFF


class Findings:
    """What the last scrub of a PG found."""

    def __init__(self, pg: PG) -> None:
        self.pg = pg
        self.oid = _place(pg)
        self._entries: dict[str, bytes] = {}

    @classmethod
    def create(cls, pg: PG) -> Findings:
        """Empty ones, in place of those of an earlier scrub."""
        made = cls(pg)
        transaction = Transaction()
        if pg.store.exists(pg.coll, made.oid):
            transaction.remove(pg.coll, made.oid)
        transaction.touch(pg.coll, made.oid)
        pg.queue((transaction,), pg.on_store_result)
        return made

    def add_object(self, found: InconsistentObject) -> None:
        """An object whose copies differ."""
        self._entries[_key(_OBJECT, self.pg, found.object, 0)] = found.encode()

    def add_snapset(self, found: InconsistentSnapSet) -> None:
        """A head or clone that does not fit."""
        self._entries[_key(_SNAPSET, self.pg, found.object, _SNAPSET_HASH)] = found.encode()

    def flush(self, *, keep: bool) -> None:
        """Stores what was added (or forgets it, in a repair)."""
        if self._entries and keep:
            transaction = Transaction()
            transaction.omap_setkeys(self.pg.coll, self.oid, self._entries)
            self.pg.queue((transaction,), self.pg.on_store_result)
        self._entries = {}

    def objects(self, after: ObjectId, most: int) -> list[bytes]:
        """At most so many objects behind one, encoded."""
        return self._list(_OBJECT, after, 0, most)

    def snapsets(self, after: ObjectId, most: int) -> list[bytes]:
        """At most so many heads and clones behind one, encoded."""
        return self._list(_SNAPSET, after, _SNAPSET_HASH, most)

    def _list(self, prefix: str, after: ObjectId, hash: int, most: int) -> list[bytes]:
        pg = self.pg
        begin = _key(prefix, pg, after, hash) if after.name else _bound(prefix, pg, 0)
        end = _bound(prefix, pg, _LAST)
        found: list[bytes] = []
        for key, value in pg.store.omap_iterate(pg.coll, self.oid, after=begin):
            if key >= end or len(found) >= most:
                break
            found.append(bytes(value))
        return found

    def remove(self) -> None:
        """The interval is over."""
        pg = self.pg
        self._entries = {}
        if pg.store.exists(pg.coll, self.oid):
            transaction = Transaction()
            transaction.remove(pg.coll, self.oid)
            pg.queue((transaction,), pg.on_store_result)


def _place(pg: PG) -> GHObject:
    first = HObject("", "", NOSNAP, pg.pgid.pgid.seed, False, "", pg.pgid.pgid.pool)
    return GHObject(first.temp(f"scrub_{pg.pgid}"), NO_GEN, pg.pgid.shard)


def _key(prefix: str, pg: PG, name: ObjectId, hash: int) -> str:
    pool = pg.pgid.pgid.pool
    hoid = HObject.of(pool, name.name, hash, snap=name.snap, nspace=name.nspace, key=name.locator)
    return prefix + hoid.key_text()


def _bound(prefix: str, pg: PG, hash: int) -> str:
    return prefix + HObject("", "", 0, hash, False, "", pg.pgid.pgid.pool).key_text()
