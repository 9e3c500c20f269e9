"""The port of the key/value engine that holds the metadata of an object store on disk.

A writer fills a `Batch`; the engine takes it whole, and `sync` makes all that was written durable.
The engine that is used is `rocks`; the one here is in memory, for tests and simulations: on a crash
it keeps what was synced and as much of the rest as it is told. `store.disk` calls it from its own
thread (write, sync) and from its event loop (reads) at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from spirula.errors import CephError, InvariantBroken
from spirula.store.sortedmap import SortedMap


@dataclass(slots=True)
class Batch:
    """Changes that become visible and durable together, in the order in which they were made.

    `ranges` go first and `changes` after them: a range takes away what was put before it.
    """

    changes: dict[bytes, bytes | None] = field(default_factory=dict)
    """The last value of each key, None where it is deleted."""
    ranges: list[tuple[bytes, bytes]] = field(default_factory=list)
    """First key and the one behind the last of what is deleted."""

    def __bool__(self) -> bool:
        return bool(self.changes or self.ranges)

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key."""
        self.changes[key] = value

    def delete(self, key: bytes) -> None:
        """Take a key away, if it is there."""
        self.changes[key] = None

    def delete_range(self, start: bytes, end: bytes) -> None:
        """Take away all keys from `start` on and before `end`."""
        if start >= end:
            return
        for key in [key for key in self.changes if start <= key < end]:
            del self.changes[key]
        self.ranges.append((start, end))

    def merge(self, later: Batch) -> None:
        """Make the changes of `later`, too, after those that are here."""
        for start, end in later.ranges:
            self.delete_range(start, end)
        self.changes.update(later.changes)


class Engine(Protocol):
    """Values by keys, both bytes of any length, in the order of the keys' bytes.

    All raise InputOutput if what is stored does not match its checksum, NoSpace if the file
    system below is full, and CephError with the errno for whatever else the machine refuses; after
    a write or a sync failed, all later ones fail, too.
    """

    def get(self, key: bytes) -> bytes | None:
        """The value, None if there is none."""

    def iterate(
        self, start: bytes, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values from `start` on and before `end`, as they are at the time of the call.

        `reverse` gives the same, the last first.
        """

    def write(self, batch: Batch) -> None:
        """Make the changes of a batch, all or none; a crash may take back those not synced.

        What a crash leaves are the batches up to some one, without gaps.
        """

    def sync(self) -> None:
        """Return when all that was written is durable; other threads run meanwhile."""

    def compact(self) -> None:
        """Take the time to bring what is stored into its smallest form."""

    def statistics(self) -> dict[str, int]:
        """Numbers to show: those with `bytes` in their names are bytes."""

    def close(self) -> None:
        """Let go; iterators end. What was not synced may be lost."""


class MemoryEngine:
    """An engine in memory. It is empty when made; `after_crash` gives what a power cut leaves."""

    def __init__(self) -> None:
        self._content = SortedMap()
        self._durable = SortedMap()
        self._written: list[Batch] = []
        self._error: CephError | None = None
        self._closed = False
        self._lock = Lock()
        self.syncs = 0
        """How many calls of `sync` have succeeded."""

    def get(self, key: bytes) -> bytes | None:
        self._check_open()
        return self._content.get(key)

    def iterate(
        self, start: bytes, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        with self._lock:
            self._check_open()
            keys = self._content.keys_between(start, end)
            found = [(key, self._content.get(key) or b"") for key in keys]
        return reversed(found) if reverse else iter(found)

    def write(self, batch: Batch) -> None:
        self._check_writable()
        kept = Batch(batch.changes.copy(), batch.ranges.copy())
        with self._lock:
            _apply(self._content, kept)
            self._written.append(kept)

    def sync(self) -> None:
        self._check_writable()
        with self._lock:
            for batch in self._written:
                _apply(self._durable, batch)
            self._written.clear()
        self.syncs += 1

    def compact(self) -> None:
        self._check_open()

    def statistics(self) -> dict[str, int]:
        self._check_open()
        return {"keys": len(self._content), "content_bytes": self._content.size}

    def close(self) -> None:
        self._closed = True

    # --- faults ---

    def fail(self, error: CephError) -> None:
        """Let every write and sync from now on fail, as on a disk that is gone."""
        self._error = error

    @property
    def unsynced(self) -> int:
        """How many batches a crash could take back."""
        return len(self._written)

    def after_crash(self, keep: int = 0) -> MemoryEngine:
        """Cut the power: what is left, as a new engine. This one is closed.

        `keep` of the batches that were not synced are in it, the oldest ones.
        """
        self._closed = True
        left = MemoryEngine()
        left._durable = self._durable.copy()
        for batch in self._written[:keep]:
            _apply(left._durable, batch)
        left._content = left._durable.copy()
        return left

    def flip(self, key: bytes, bit: int) -> None:
        """Change one bit of a value behind everybody's back."""
        for content in (self._content, self._durable):
            value = bytearray(content.get(key) or b"")
            if len(value) * 8 > bit:
                value[bit // 8] ^= 1 << bit % 8
                content.put(key, bytes(value))

    def _check_open(self) -> None:
        if self._closed:
            raise InvariantBroken("the engine is closed")

    def _check_writable(self) -> None:
        self._check_open()
        if self._error is not None:
            raise self._error


def _apply(content: SortedMap, batch: Batch) -> None:
    for start, end in batch.ranges:
        for key in content.keys_between(start, end):
            content.put(key, None)
    for key, value in batch.changes.items():
        content.put(key, value)
