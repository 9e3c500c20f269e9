"""An engine that is only looked at: what is written over it stays in memory.

For stores that are mounted for reading, and for a look at what a journal would bring the engine.
"""

from __future__ import annotations

from collections.abc import Iterator

from spirula.store.disk.engine import Batch, Engine
from spirula.store.sortedmap import SortedMap

_NONE = b"-"
_SOME = b"+"


class OverlaidEngine:
    """An engine, and what was written since, which it does not get. For few changes."""

    def __init__(self, below: Engine) -> None:
        self._below = below
        self._changes = SortedMap()  # a value behind `_SOME`, or `_NONE`

    def get(self, key: bytes) -> bytes | None:
        change = self._changes.get(key)
        if change is None:
            return self._below.get(key)
        return change[1:] if change.startswith(_SOME) else None

    def iterate(
        self, start: bytes, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        keys = self._changes.keys_between(start, end)
        changes = {key: self._changes.get(key) or _NONE for key in keys}
        below = self._below.iterate(start, end, reverse=reverse)
        if not changes:
            return below
        return _merged(below, changes, reverse=reverse)

    def write(self, batch: Batch) -> None:
        for start, end in batch.ranges:
            for key, _ in list(self.iterate(start, end)):
                self._changes.put(key, _NONE)
        for key, value in batch.changes.items():
            self._changes.put(key, _NONE if value is None else _SOME + value)

    def sync(self) -> None:
        """Nothing can become durable."""

    def compact(self) -> None:
        """The engine stays as it is."""

    def statistics(self) -> dict[str, int]:
        return self._below.statistics()

    def close(self) -> None:
        self._below.close()


def _merged(
    below: Iterator[tuple[bytes, bytes]], changes: dict[bytes, bytes], *, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    waiting = sorted(changes, reverse=not reverse)  # the next one is the last
    for key, value in below:
        while waiting and (waiting[-1] > key if reverse else waiting[-1] < key):
            yield from _change(waiting.pop(), changes)
        if waiting and waiting[-1] == key:
            yield from _change(waiting.pop(), changes)
        else:
            yield key, value
    while waiting:
        yield from _change(waiting.pop(), changes)


def _change(key: bytes, changes: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    if changes[key].startswith(_SOME):
        yield key, changes[key][1:]
