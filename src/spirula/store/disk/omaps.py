"""Entries of omaps: what the engine has, and what was queued and is not committed.

An omap is known by its id, which is never used again: removing all of it is a range of the engine.
For `content` and the reads of `store`.
"""

from __future__ import annotations

from collections.abc import Iterator

from spirula.store.disk.engine import Engine
from spirula.store.disk.layout import omap_prefix, omap_range

_PREFIX = 9
"""Bytes of the engine's keys that are not of the omap's."""

Change = tuple[bytes | None, int]
"""The new value, None if the entry goes away, and the sequence of the queued change."""


class PendingOmaps:
    """Changes since the last commit, by the omap's id and the key."""

    def __init__(self) -> None:
        self._changes: dict[int, dict[bytes, Change]] = {}

    def set(self, omap_id: int, key: bytes, change: Change | None) -> Change | None:
        """Note a change, or (None) that the engine has what there is; what was noted before."""
        of_omap = self._changes.get(omap_id)
        if change is None:
            if of_omap is None:
                return None
            before = of_omap.pop(key, None)
            if not of_omap:
                del self._changes[omap_id]
            return before
        if of_omap is None:
            self._changes[omap_id] = {key: change}
            return None
        before = of_omap.get(key)
        of_omap[key] = change
        return before

    def landed(self, omap_id: int, key: bytes, sequence: int) -> None:
        """The engine has what an entry said of this key."""
        found = self._changes.get(omap_id, {}).get(key)
        if found is not None and found[1] == sequence:
            self.set(omap_id, key, None)

    def get(self, engine: Engine, omap_id: int, key: bytes) -> bytes | None:
        """The value, None if there is none."""
        of_omap = self._changes.get(omap_id)
        if of_omap is not None:
            found = of_omap.get(key)
            if found is not None:
                return found[0]
        return engine.get(omap_prefix(omap_id) + key)

    def between(
        self, engine: Engine, omap_id: int, start: bytes = b"", end: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Entries from `start` on and before `end`, in order, as they are now."""
        prefix = omap_prefix(omap_id)
        last = omap_range(omap_id)[1] if end is None else prefix + end
        stored = engine.iterate(prefix + start, last)
        of_omap = self._changes.get(omap_id)
        if not of_omap:
            return ((key[_PREFIX:], value) for key, value in stored)
        changes = sorted(
            (key, change[0])
            for key, change in of_omap.items()
            if key >= start and (end is None or key < end)
        )
        return _merged(stored, changes)


def _merged(
    stored: Iterator[tuple[bytes, bytes]], changes: list[tuple[bytes, bytes | None]]
) -> Iterator[tuple[bytes, bytes]]:
    waiting = iter(changes)
    change = next(waiting, None)
    for long_key, value in stored:
        key = long_key[_PREFIX:]
        while change is not None and change[0] < key:
            if change[1] is not None:
                yield change[0], change[1]
            change = next(waiting, None)
        if change is not None and change[0] == key:
            if change[1] is not None:
                yield key, change[1]
            change = next(waiting, None)
        else:
            yield key, value
    while change is not None:
        if change[1] is not None:
            yield change[0], change[1]
        change = next(waiting, None)
