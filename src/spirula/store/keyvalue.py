"""The key/value store of a monitor: the port, and an engine in memory that crashes on request.

Keys stand under a prefix and are ordered by their bytes; changes are upstream's store transactions
(`src/mon/MonitorDBStore.h`). What is staged can be read at once and is durable only when the commit
that follows has called back, so logic that stages, and sends only after the callback, never shows
the world what a crash could take back. The durable engine is `store.sqlite`; `mon` uses the port.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from spirula.errors import CephError, WireError
from spirula.types.mon import StoreOpType, StoreTransaction

Done = Callable[[CephError | None], None]
"""Called once, when a commit is durable (None) or has failed."""


class KeyValueStore(Protocol):
    """What a monitor wants of its store. All calls come from one thread and do not block for long.

    After a commit failed, every later one fails with the same error, until the store is opened
    anew: what was staged since is visible but will never be durable.
    """

    def get(self, prefix: str, key: str) -> bytes | None:
        """The value, or None if there is none."""

    def items(
        self, prefix: str, start: str = "", end: str | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Keys and values under `prefix` from `start` on and before `end`, in the order of bytes.

        Changes that are staged while iterating may show or not.
        """

    def stage(self, transaction: StoreTransaction) -> None:
        """Make a transaction's changes visible to reads; a commit will make them durable.

        Raises WireError, changing nothing, if it holds an operation that is not known.
        """

    def commit(self, done: Done) -> None:
        """Make all that is staged durable, as one; then call `done` (never within this call).

        Commits become durable, and call back, in the order of the calls.
        """


_KNOWN = frozenset(int(kind) for kind in StoreOpType)

Change = tuple[str, bytes, bytes | None]
"""Prefix, key in bytes, and the new value or None if it goes away."""


def key_bytes(key: str) -> bytes:
    """A key as it is stored and ordered."""
    return key.encode("utf-8", "surrogateescape")


def key_text(key: bytes) -> str:
    """The inverse of `key_bytes`."""
    return key.decode("utf-8", "surrogateescape")


class View(Protocol):
    """What `changes_of` needs to know of the present content, and where it applies changes."""

    def keys_between(self, prefix: str, start: bytes, end: bytes | None) -> list[bytes]:
        """Keys from `start` on and before `end` (None: to the end of the prefix), in order."""

    def change(self, prefix: str, key: bytes, value: bytes | None) -> None:
        """Put or erase one key."""


def check(transaction: StoreTransaction) -> None:
    """Raise WireError if the transaction holds an operation that is not known."""
    for op in transaction.ops:
        if op.type not in _KNOWN:
            raise WireError(f"store operation of type {op.type}", path="StoreTransaction.ops")


def changes_of(view: View, transaction: StoreTransaction) -> tuple[list[Change], bool]:
    """Apply a transaction to `view`; the changes key by key, and whether it asks to compact.

    Ranges are resolved against what is there at their place in the transaction.
    """
    check(transaction)
    changes: list[Change] = []
    compact = False
    for op in transaction.ops:
        if op.type == StoreOpType.COMPACT:
            compact = True
            continue
        if op.type == StoreOpType.ERASE_RANGE:
            keys = view.keys_between(op.prefix, key_bytes(op.key), key_bytes(op.endkey))
            made: list[Change] = [(op.prefix, key, None) for key in keys]
        else:
            value = bytes(op.bl) if op.type == StoreOpType.PUT else None
            made = [(op.prefix, key_bytes(op.key), value)]
        for change in made:
            view.change(*change)
        changes += made
    return changes, compact


@dataclass(slots=True)
class _Table:
    """The keys of one prefix; the sorted list is made when somebody iterates."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    order: list[bytes] | None = None

    def put(self, key: bytes, value: bytes) -> None:
        if key not in self.values:
            self.order = None
        self.values[key] = value

    def erase(self, key: bytes) -> None:
        if self.values.pop(key, None) is not None:
            self.order = None

    def between(self, start: bytes, end: bytes | None) -> list[bytes]:
        if self.order is None:
            self.order = sorted(self.values)
        last = len(self.order) if end is None else bisect_left(self.order, end)
        return self.order[bisect_left(self.order, start) : last]


@dataclass(slots=True)
class _Content:
    """Tables by prefix; a `View`."""

    tables: dict[str, _Table] = field(default_factory=dict)

    def keys_between(self, prefix: str, start: bytes, end: bytes | None) -> list[bytes]:
        table = self.tables.get(prefix)
        return table.between(start, end) if table else []

    def change(self, prefix: str, key: bytes, value: bytes | None) -> None:
        table = self.tables.setdefault(prefix, _Table())
        if value is None:
            table.erase(key)
        else:
            table.put(key, value)

    def copy(self) -> _Content:
        return _Content({name: _Table(dict(t.values)) for name, t in self.tables.items()})


class MemoryKeyValueStore:
    """A store in memory whose disk is simulated.

    `defer` takes a function and calls it later: when, is the latency of the disk. Content is
    durable from that call on; `after_crash` gives a new store with exactly what was durable.
    """

    def __init__(self, defer: Callable[[Callable[[], None]], object]) -> None:
        self._defer = defer
        self._visible = _Content()
        self._durable = _Content()
        self._staged: list[Change] = []
        self._crashed = False
        self._error: CephError | None = None
        self.commits = 0
        """How many commits have become durable."""

    def get(self, prefix: str, key: str) -> bytes | None:
        table = self._visible.tables.get(prefix)
        return table.values.get(key_bytes(key)) if table else None

    def items(
        self, prefix: str, start: str = "", end: str | None = None
    ) -> Iterator[tuple[str, bytes]]:
        table = self._visible.tables.get(prefix)
        if table is None:
            return
        for key in table.between(key_bytes(start), None if end is None else key_bytes(end)):
            if key in table.values:
                yield key_text(key), table.values[key]

    def stage(self, transaction: StoreTransaction) -> None:
        changes, _ = changes_of(self._visible, transaction)
        self._staged += changes

    def commit(self, done: Done) -> None:
        changes, self._staged = self._staged, []

        def land() -> None:
            if self._crashed:
                return
            if self._error is None:
                for change in changes:
                    self._durable.change(*change)
                self.commits += 1
            done(self._error)

        self._defer(land)

    def fail(self, error: CephError) -> None:
        """Let every commit from now on fail, as on a disk that is full."""
        self._error = error

    def after_crash(self, defer: Callable[[Callable[[], None]], object]) -> MemoryKeyValueStore:
        """Crash: nothing more becomes durable or calls back here. What is left, as a new store."""
        self._crashed = True
        left = MemoryKeyValueStore(defer)
        left._durable = self._durable
        left._visible = self._durable.copy()
        return left
