"""What listings of the synchronous API give: iterators over objects, omaps, attributes, snapshots.

Names and items are those of upstream's `rados.pyx`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from spirula.rados.aio.listing import PAGE, ListedObject
from spirula.rados.errors import ObjectNotFound
from spirula.rados.object import Object
from spirula.rados.ops import OmapKeysPage, OmapPage, Step

if TYPE_CHECKING:
    from datetime import datetime

    from spirula.rados.ioctx import Ioctx


class ObjectIterator:
    """The objects of a pool, or of the namespace that was set; each an `Object`."""

    def __init__(self, ioctx: Ioctx) -> None:
        self.ioctx = ioctx
        ioctx.require_ioctx_open()
        self._beneath = ioctx.beneath.dup()
        self._next = self._beneath.begin()
        self._page: Iterator[ListedObject] = iter(())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Object:
        while True:
            for listed in self._page:
                return Object(self.ioctx, listed.oid, listed.locator or None, listed.nspace)
            if self._next.is_end:
                raise StopIteration
            listing = self._beneath.list_page(self._next, None, PAGE)
            page, self._next = self.ioctx.background.run(listing)
            self._page = iter(page)


class OmapIterator:
    """Entries of an omap, (key, value), once the operation that reads them was carried out.

    Values are None where keys alone were asked for.
    """

    def __init__(self, ioctx: Ioctx, step: Step[Any]) -> None:
        self.ioctx = ioctx
        self._step = step
        self._entries: Iterator[tuple[str, bytes | None]] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[str, bytes | None]:
        if self._entries is None:
            found = [] if self._step.is_lost else _entries(self._step.value)
            self._entries = iter(found)
        return next(self._entries)


def _entries(found: OmapPage | OmapKeysPage | dict[str, bytes]) -> list[tuple[str, bytes | None]]:
    if isinstance(found, OmapKeysPage):
        return [(key, None) for key in found.keys]
    entries = found.entries if isinstance(found, OmapPage) else found
    return sorted(entries.items(), key=lambda item: item[0].encode("utf-8", "surrogateescape"))


class XattrIterator:
    """The attributes of an object, (name, value), in order."""

    def __init__(self, ioctx: Ioctx, oid: str, found: dict[str, bytes]) -> None:
        self.ioctx = ioctx
        self.oid = oid
        self._items = iter(sorted(found.items()))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[str, bytes]:
        return next(self._items)


class Snap:
    """A snapshot of a pool."""

    def __init__(self, ioctx: Ioctx, name: str, snap_id: int) -> None:
        self.ioctx = ioctx
        self.name = name
        self.snap_id = snap_id

    def __str__(self) -> str:
        return f"rados.Snap(ioctx={self.ioctx},name={self.name},snap_id={self.snap_id})"

    def get_timestamp(self) -> datetime:
        """When it was made, in local time."""
        for snap in self.ioctx.beneath.list_snaps():
            if snap.snap_id == self.snap_id:
                # As large as it is seldom used.
                from datetime import datetime  # noqa: PLC0415  # said above

                return datetime.fromtimestamp(int(snap.stamp))  # noqa: DTZ006 - upstream's is naive
        raise ObjectNotFound(f"rados_ioctx_snap_get_stamp error for snap {self.name}", errno=2)


class SnapIterator:
    """The snapshots of a pool, the oldest first."""

    def __init__(self, ioctx: Ioctx) -> None:
        self.ioctx = ioctx
        found: Sequence[Any] = ioctx.beneath.list_snaps()
        self._snaps = iter([Snap(ioctx, snap.name, snap.snap_id) for snap in found])

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Snap:
        return next(self._snaps)
