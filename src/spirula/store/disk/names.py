"""Which objects there are: what the engine has, and what was queued and is not committed.

Names are keys of the engine (`layout.OBJECT`), whose order is that of the objects. For `content`
and the listings of `store`.
"""

from __future__ import annotations

from collections.abc import Iterator

from spirula.store.disk.engine import Engine

Change = tuple[bool, int, bytes | None]
"""Whether an object is there, since which entry, and its record if it is not in the cache."""


class Names:
    """Objects made and removed since the last commit: `pending`, by key."""

    def __init__(self) -> None:
        self.pending: dict[bytes, Change] = {}

    def set(self, key: bytes, change: Change | None) -> Change | None:
        """Note that an object is there or not, or (None) ask the engine; what was noted before."""
        if change is None:
            return self.pending.pop(key, None)
        before = self.pending.get(key)
        self.pending[key] = change
        return before

    def landed(self, key: bytes, sequence: int) -> None:
        """The engine has what an entry said of this name."""
        found = self.pending.get(key)
        if found is not None and found[1] == sequence:
            del self.pending[key]

    def between(self, engine: Engine, start: bytes, end: bytes) -> Iterator[bytes]:
        """The keys of all objects from `start` on and before `end`, in order."""
        pending = self.pending
        changes = sorted([(key, pending[key][0]) for key in pending if start <= key < end])
        return _merged(engine.iterate(start, end), changes)


def _merged(
    stored: Iterator[tuple[bytes, bytes]], changes: list[tuple[bytes, bool]]
) -> Iterator[bytes]:
    waiting = iter(changes)
    change = next(waiting, None)
    for key, _ in stored:
        while change is not None and change[0] < key:
            if change[1]:
                yield change[0]
            change = next(waiting, None)
        if change is not None and change[0] == key:
            if change[1]:
                yield key
            change = next(waiting, None)
        else:
            yield key
    while change is not None:
        if change[1]:
            yield change[0]
        change = next(waiting, None)
