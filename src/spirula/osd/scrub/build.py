"""Looks at the objects of a range: the ScrubMap of one OSD, made a few milliseconds at a time.

A deep scrub reads all data and omaps and sums them; a big object takes many steps. Used by
`machine` for the primary's own map and by `replica`. Upstream: `src/osd/PGBackend.cc`
(be_scan_list), `ReplicatedBackend.cc` (be_deep_scrub), `PG.cc` (_repair_oinfo_oid).
"""

from __future__ import annotations

import struct as _struct
from functools import partial
from typing import TYPE_CHECKING

from spirula.errors import CephError, InputOutput, NotFound, WireError
from spirula.kernels.crc32c import crc32c
from spirula.osd.ops.context import INFO_ATTR
from spirula.osd.scheduler import Kind
from spirula.types.hobject import GHMAX, GHMIN, HMIN, NO_GEN, GHObject, HObject
from spirula.types.log import LogLevel
from spirula.types.object_info import ObjectInfo
from spirula.types.scrub import ScrubMap, ScrubObject
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spirula.osd.pg.state import PG
    from spirula.osd.scheduler import Turn

_SEED = 0xFFFF_FFFF
_STEP = 512 << 10
"""What one step may cost, in bytes read: one or two milliseconds."""
_COST_OF_OBJECT = 32 << 10
_COST_OF_KEY = 256
_LENGTH = _struct.Struct("<I")


class MapBuilder:
    """Makes one map. `step` until it says that it is done, or `run` in the background."""

    def __init__(self, pg: PG, start: HObject, end: HObject, *, deep: bool) -> None:
        self.pg = pg
        self.deep = deep
        self.map = ScrubMap(valid_through=pg.info.last_update)
        self._turn: Turn | None = None
        self._objects = iter(list_range(pg, start, end))
        self._current: tuple[GHObject, ScrubObject] | None = None
        self._data_at: int | None = 0
        self._digest = _SEED
        self._omap: Iterator[tuple[str, bytes]] | None = None
        self._omap_digest = _SEED
        self._keys = self._bytes = 0

    def run(self, done: Callable[[], None], is_wanted: Callable[[], bool]) -> None:
        """Goes on in the background; `done` is called at the end, unless `cancel` was before.

        The end comes early, with the map as it is, once it is not wanted any more.
        """
        cost = _STEP if self.deep else _COST_OF_OBJECT
        turn = partial(self._go_on, done, is_wanted)
        self._turn = self.pg.shared.scheduler.ask(Kind.SCRUB, cost, turn)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if self._turn is not None:
            self._turn.cancel()

    def _go_on(self, done: Callable[[], None], is_wanted: Callable[[], bool]) -> None:
        if not is_wanted() or self.step():
            done()
        else:
            self.run(done, is_wanted)

    def step(self) -> bool:
        """Looks at a few objects, or at a part of a big one; True at the end."""
        left = _STEP
        while left > 0:
            if self._current is None and not self._next():
                return True
            left -= _COST_OF_OBJECT
            if self._current is not None:
                left -= self._read(left)
        return False

    def _next(self) -> bool:
        """The next object; False where there is none. What a light scrub looks at is all done."""
        hoid = next(self._objects, None)
        if hoid is None:
            return False
        pg = self.pg
        gh = GHObject(hoid, NO_GEN, pg.pgid.shard)
        found = ScrubObject()
        try:
            found.size = pg.store.stat(pg.coll, gh).size
        except NotFound:
            return True
        except InputOutput:
            found.stat_error = True
            self.map.objects[hoid] = found
            return True
        try:
            found.attrs = pg.store.getattrs(pg.coll, gh)
        except InputOutput:
            found.attrs = {}
        self.map.objects[hoid] = found
        _fix_name(pg, gh, found)
        if self.deep:
            self._current = gh, found
            self._data_at, self._digest, self._omap_digest = 0, _SEED, _SEED
            self._omap, self._keys, self._bytes = None, 0, 0
        return True

    def _read(self, room: int) -> int:
        """Reads on in the object; what that cost. It is let go at its end, or at an error."""
        if self._current is None:
            return 0
        gh, found = self._current
        try:
            if self._data_at is not None:
                return self._read_data(gh, found)
            return self._read_omap(gh, found, room)
        except CephError:
            found.mark_read_error()
            self._current = None
            return 0

    def _read_data(self, gh: GHObject, found: ScrubObject) -> int:
        pg, at = self.pg, self._data_at or 0
        stride = min(pg.options.osd_deep_scrub_stride, _STEP)
        data = pg.store.read(pg.coll, gh, at, stride)
        self._digest = crc32c(self._digest, data)
        if len(data) == stride:
            self._data_at = at + stride
        else:
            self._data_at = None
            found.digest, found.digest_present = self._digest, True
        return len(data)

    def _read_omap(self, gh: GHObject, found: ScrubObject, room: int) -> int:
        pg = self.pg
        if self._omap is None:
            header = pg.store.omap_get_header(pg.coll, gh)
            if header:
                self._omap_digest = crc32c(self._omap_digest, header)
            self._omap = pg.store.omap_iterate(pg.coll, gh)
        most, cost = pg.options.osd_deep_scrub_keys, 0
        parts: list[bytes] = []
        for key, value in self._omap:
            name = key.encode("utf-8", "surrogateescape")
            parts += (_LENGTH.pack(len(name)), name, _LENGTH.pack(len(value)), value)
            self._keys += 1
            self._bytes += len(value)
            cost += len(name) + len(value) + _COST_OF_KEY
            most -= 1
            if most <= 0 or cost >= room:
                break
        else:
            most = -1
        if parts:
            self._omap_digest = crc32c(self._omap_digest, b"".join(parts))
        if most < 0:
            self._finish(found)
        return cost

    def _finish(self, found: ScrubObject) -> None:
        options = self.pg.options
        keys, size = self._keys, self._bytes
        if (
            keys > options.osd_deep_scrub_large_omap_object_key_threshold
            or size > options.osd_deep_scrub_large_omap_object_value_sum_threshold
        ):
            found.large_omap_object_found = True
            found.large_omap_object_key_count = keys
            found.large_omap_object_value_size = size
        found.object_omap_keys, found.object_omap_bytes = keys, size
        found.omap_digest, found.omap_digest_present = self._omap_digest, True
        self._current = None


def list_range(pg: PG, start: HObject, end: HObject) -> list[HObject]:
    """The objects from `start` on and before `end`, without those that clients never see."""
    place, found = _place(pg, start), []
    last = GHMAX if end.max else GHObject(end, 0, pg.pgid.shard)
    while not place.max and place < last:
        objects, place = pg.store.collection_list(pg.coll, place, last)
        found += [each.hobj for each in objects if _counts(each)]
    return found


def list_some(pg: PG, start: HObject, least: int, most: int) -> tuple[list[HObject], HObject]:
    """Between `least` and `most` objects from `start` on, and where the next ones begin."""
    place: GHObject = _place(pg, start)
    found: list[HObject] = []
    while not place.max and len(found) < least:
        objects, place = pg.store.collection_list(pg.coll, place, limit=most - len(found))
        found += [each.hobj for each in objects if _counts(each)]
    return found, place.hobj if not place.max else HObject(max=True)


def _place(pg: PG, start: HObject) -> GHObject:
    return GHMIN if start == HMIN else GHObject(start, 0, pg.pgid.shard)


def _counts(each: GHObject) -> bool:
    return each.generation == NO_GEN and bool(each.hobj.oid) and not each.hobj.is_temp


def _fix_name(pg: PG, gh: GHObject, found: ScrubObject) -> None:
    """An object's info names the object; one that names another is put right at once."""
    raw = found.attrs.get(INFO_ATTR)
    if raw is None:
        return
    try:
        info = ObjectInfo.decode(raw)
    except WireError:
        return
    if info.soid == gh.hobj:
        return
    pg.services.clog(
        LogLevel.ERROR,
        f"osd.{pg.whoami.osd} found object info error on pg {pg.pgid} oid {gh.hobj} "
        f"oid in object info: {info.soid}...repaired",
    )
    info.soid = gh.hobj
    found.attrs[INFO_ATTR] = info.encode()
    transaction = Transaction()
    transaction.setattr(pg.coll, gh, INFO_ATTR, found.attrs[INFO_ATTR])
    pg.queue((transaction,), pg.on_store_result)
