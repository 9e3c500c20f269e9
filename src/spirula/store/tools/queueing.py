"""Changing a store from a program without an event loop: queue, and wait for what is durable.

For tools. `Pump.defer` is what such a program hands to the store that it makes; `Changes` queues
the transactions of one collection and lets only so much wait.
"""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from spirula.errors import CephError
    from spirula.store.objectstore import ObjectStore
    from spirula.types.pg import Coll
    from spirula.types.transaction import Transaction

WAITING_BYTES = 16 << 20
"""How much may be queued and not durable."""
WAITING_COUNT = 256


class Pump:
    """Carries out, in the thread that waits, what a store asks to be called later."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def defer(self, call: Callable[[], object]) -> None:
        """Take a call, from whatever thread."""
        self._calls.put(call)

    def run_until(self, done: Callable[[], bool]) -> None:
        """Carry out calls, waiting for them, until `done` says so."""
        while not done():
            self._calls.get()()


class Changes:
    """Transactions of one collection, on their way to the disk."""

    def __init__(self, store: ObjectStore, pump: Pump, cid: Coll) -> None:
        self._store, self._pump, self._cid = store, pump, cid
        self._bytes = self._count = 0
        self._error: CephError | None = None

    def queue(self, txn: Transaction, size: int = 0) -> None:
        """Queue a transaction of about this many bytes, waiting while too much is under way.

        Raises what `queue_transactions` does, and the error of an earlier one that was lost.
        """
        self._wait_below(WAITING_BYTES - size, WAITING_COUNT)

        def done(error: CephError | None) -> None:
            self._bytes -= size
            self._count -= 1
            self._error = self._error or error

        self._bytes += size
        self._count += 1
        try:
            self._store.queue_transactions(self._cid, [txn], None, done)
        except BaseException:
            self._bytes -= size
            self._count -= 1
            raise

    def finish(self) -> None:
        """Wait until all is durable. Raises the error of one that was lost."""
        self._wait_below(1, 1)

    def _wait_below(self, size: int, count: int) -> None:
        def few() -> bool:
            return self._count == 0 or (self._bytes < size and self._count < count)

        self._pump.run_until(few)
        if self._error is not None:
            raise self._error
