"""What the PG knows of its objects: their info and clones in memory, found by name or snapshot.

An ObjectContext is made when an object is first asked for and kept while somebody uses it (a lock,
a watch) or it is among the last ones used. Called by `pipeline` and operations. Upstream:
`src/osd/PrimaryLogPG.cc` (get_object_context, find_object_context, get_snapset_context).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from spirula.errors import CephError, NotFound
from spirula.osd.ops import watch
from spirula.osd.ops.context import (
    INFO_ATTR,
    SNAPSET_ATTR,
    LockKind,
    MissingObject,
    ObjectContext,
    SnapSetContext,
)
from spirula.types.hobject import NO_GEN, NOSNAP, GHObject, HObject
from spirula.types.object_info import ObjectInfo
from spirula.types.snap import SnapSet

if TYPE_CHECKING:
    from spirula.osd.pg.state import PG


KEPT_BY_OSD = 4096
"""So many contexts an OSD keeps in any case, however they are spread over its PGs: 7 MiB."""


class ObjectContexts:
    """The ObjectContexts of one PG; `limit` unused ones are kept, and more while there is room."""

    def __init__(self, limit: int) -> None:
        self.pg: PG
        self.limit = limit
        self._contexts: OrderedDict[HObject, ObjectContext] = OrderedDict()
        self._snapsets: dict[HObject, SnapSetContext] = {}

    def __len__(self) -> int:
        return len(self._contexts)

    def all(self) -> list[ObjectContext]:
        """All contexts in memory."""
        return list(self._contexts.values())

    def get(
        self, hoid: HObject, *, can_create: bool, attrs: dict[str, bytes] | None = None
    ) -> ObjectContext | None:
        """The context of exactly this object.

        None if it does not exist and may not be created. `attrs` are its attributes, where they
        are known. Raises CephError where the store cannot read them.
        """
        found = self._contexts.get(hoid)
        if found is not None:
            self._contexts.move_to_end(hoid)
            return found
        raw = self._attr(hoid, INFO_ATTR) if attrs is None else attrs[INFO_ATTR]
        if raw is None:
            if not can_create:
                return None
            if hoid.snap == NOSNAP and hoid not in self._snapsets:
                # there is no head, so there is nothing beside it
                self._snapsets[hoid] = SnapSetContext(hoid)
            made = ObjectContext(ObjectInfo(hoid), ssc=self.snapset_context(hoid))
        else:
            info = ObjectInfo.decode(raw)
            made = ObjectContext(info, exists=True, ssc=self.snapset_context(hoid, attrs))
        made.gh = GHObject(hoid, NO_GEN, self.pg.pgid.shard)
        self._contexts[hoid] = made
        self.pg.shared.object_contexts += 1
        if raw is not None and made.info.watchers and self.pg.is_primary and self.pg.is_active():
            watch.populate(self.pg, made)
        if len(self._contexts) > self.limit and self.pg.shared.object_contexts > KEPT_BY_OSD:
            self.trim()
        return made

    def find(
        self, hoid: HObject, *, can_create: bool, map_snapid_to_clone: bool = False
    ) -> ObjectContext:
        """The context of what serves `hoid`: the head, or the clone that has the snapshot.

        With `map_snapid_to_clone`, `hoid` names a clone itself. Raises NotFound, or MissingObject
        while the object is not here.
        """
        if hoid.snap == NOSNAP:
            found = self.get(hoid, can_create=can_create)
            if found is None:
                raise NotFound(f"there is no object {hoid}")
            return found
        ssc = self.snapset_context(hoid)
        if not (ssc.exists or can_create):
            raise NotFound(f"there is no object {hoid}")
        snapset = ssc.snapset
        if hoid.snap > snapset.seq:
            return self._existing(hoid.head())
        if map_snapid_to_clone:
            if hoid.snap not in snapset.clones:
                raise NotFound(f"{hoid} is no clone")
            return self._existing(hoid)
        clone = next((each for each in snapset.clones if each >= hoid.snap), None)
        if clone is None:
            raise NotFound(f"{hoid.head()} has nothing of snapshot {hoid.snap:x}")
        found = self._existing(hoid.at_snap(clone))
        if hoid.snap not in snapset.clone_snaps.get(clone, ()):
            raise NotFound(f"{hoid.head()} was not there at snapshot {hoid.snap:x}")
        queue = self.pg.osdmap.removed_snaps_queue.get(self.pg.pgid.pool)
        if queue is not None and hoid.snap in queue:
            raise NotFound(f"snapshot {hoid.snap:x} is being removed")
        return found

    def _existing(self, hoid: HObject) -> ObjectContext:
        if hoid in self.pg.missing.missing:
            raise MissingObject(hoid)
        found = self.get(hoid, can_create=False)
        if found is None or not found.exists:
            raise NotFound(f"there is no object {hoid}")
        return found

    def snapset_context(
        self, hoid: HObject, attrs: dict[str, bytes] | None = None
    ) -> SnapSetContext:
        """The clones of an object, by any of its names; that exists only if there is a head."""
        head = hoid if hoid.snap == NOSNAP else hoid.head()
        found = self._snapsets.get(head)
        if found is not None:
            return found
        known = attrs if hoid is head else None
        raw = self._attr(head, SNAPSET_ATTR) if known is None else known.get(SNAPSET_ATTR)
        made = SnapSetContext(head)
        if raw:
            made.snapset, made.exists, made.encoded = SnapSet.decode(raw), True, raw
        self._snapsets[head] = made
        return made

    def _attr(self, hoid: HObject, name: str) -> bytes | None:
        """An attribute as it is stored, None if there is none."""
        pg = self.pg
        gh = GHObject(hoid, NO_GEN, pg.pgid.shard)
        if not pg.store.exists(pg.coll, gh):  # as is what is written first: no exception for each
            return None
        try:
            return pg.store.getattr(pg.coll, gh, name)
        except NotFound:
            return None
        except CephError as error:
            if error.errno == _ENODATA:
                return None
            raise

    # --- forgetting ---

    def trim(self) -> None:
        """Forgets what was used least lately and nobody uses now, as far as there is no room."""
        room = self.pg.shared.object_contexts - KEPT_BY_OSD
        excess = min(len(self._contexts) - self.limit, room)
        if excess <= 0:
            return
        # most often one is too many, and the oldest is of no use: no copy of all of them
        gone = []
        for hoid, obc in self._contexts.items():
            if not _in_use(obc):
                gone.append(hoid)
                if len(gone) >= excess:
                    break
        for hoid in gone:
            self.forget(hoid)

    def forget(self, hoid: HObject) -> None:
        """Forgets an object, whose info may have changed in the store behind our back."""
        if self._contexts.pop(hoid, None) is not None:
            self.pg.shared.object_contexts -= 1
        elif not self._snapsets:
            return
        head = hoid.head()
        if head not in self._contexts:
            self._drop_snapset(head)

    def _drop_snapset(self, head: HObject) -> None:
        ssc = self._snapsets.get(head)
        if ssc is None:
            return
        clones = (head.at_snap(clone) for clone in ssc.snapset.clones)
        if not any(clone in self._contexts for clone in clones):
            del self._snapsets[head]

    def clear(self) -> list[ObjectContext]:
        """Forgets all, at the end of an interval; the contexts that were there."""
        gone = list(self._contexts.values())
        self.pg.shared.object_contexts -= len(gone)
        self._contexts.clear()
        self._snapsets.clear()
        return gone


_ENODATA = 61


def _in_use(obc: ObjectContext) -> bool:
    return bool(obc.lock.kind != LockKind.NONE or obc.lock.waiters or obc.watchers)
