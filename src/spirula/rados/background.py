"""The threads behind a synchronous cluster handle: one runs its event loop, one its callbacks.

Callers' threads hand work in with `post` and `run`. Callbacks run in a thread of their own, in
order, so that they may call back into the API. A child of `fork` cannot use its parent's handles:
the threads are not there; each call says so. Used by `Rados` and what it makes.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, TypeVar

from spirula.rados.errors import RadosStateError

T = TypeVar("T")
_STOP_S = 5.0
"""How long the end of a session may take before its threads are left alone."""


class Background:
    """An event loop in a thread of its own; it runs until `stop`."""

    def __init__(self) -> None:
        # Loaded with the first session: programs that import this may never have one.
        uvloop = importlib.import_module("uvloop")
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._is_woken = False
        self._is_over = False
        self._callbacks: SimpleQueue[Callable[[], None] | None] | None = None
        self._lock = threading.Lock()
        self._kept: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run_loop, name="rados", daemon=True)
        self._thread.start()
        _alive.add(self)

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def _check(self) -> None:
        if self._is_over:
            raise RadosStateError("the handle was shut down, or belongs to the parent process")

    def post(self, call: Callable[..., None], *args: Any) -> None:
        """Have the loop call something, after what was posted before."""
        if self._is_over:
            self._check()
        self._posted.append((call, args))
        if not self._is_woken:
            self._is_woken = True
            self.loop.call_soon_threadsafe(self._work)

    def _work(self) -> None:
        self._is_woken = False
        posted = self._posted
        while posted:
            call, args = posted.popleft()
            call(*args)

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """From the loop's thread: have something go on that nobody waits for."""
        task = self.loop.create_task(work)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the loop and wait for its result."""
        try:
            self._check()
            if threading.current_thread() is self._thread:
                raise RadosStateError("the event loop cannot wait for itself")
        except RadosStateError:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def call_back(self, callback: Callable[[], None]) -> None:
        """Have the thread of callbacks call something, after what it was given before."""
        queue = self._callbacks
        if queue is None:
            with self._lock:
                queue = self._callbacks
                if queue is None:
                    queue = self._callbacks = SimpleQueue()
                    arguments = (queue,)
                    target = _run_callbacks
                    threading.Thread(
                        target=target, args=arguments, name="rados-callbacks", daemon=True
                    ).start()
        queue.put(callback)

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `last`, then end both threads. May be called twice, and from any thread."""
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
        _alive.discard(self)

        async def end() -> None:
            try:
                self._work()
                await last()
            finally:
                if self._callbacks is not None:
                    self._callbacks.put(None)
                self.loop.call_soon(self.loop.stop)

        asyncio.run_coroutine_threadsafe(end(), self.loop)
        if threading.current_thread() is not self._thread:
            self._thread.join(_STOP_S)

    def abandon(self) -> None:
        """In the child of a fork: there is no thread any more."""
        self._is_over = True


def _run_callbacks(queue: SimpleQueue[Callable[[], None] | None]) -> None:
    while True:
        callback = queue.get()
        if callback is None:
            return
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - as upstream: a callback's bug ends no thread
            _report(error)
        del callback


def _report(error: Exception) -> None:
    arguments = (type(error), error, error.__traceback__, threading.current_thread())
    threading.excepthook(threading.ExceptHookArgs(arguments))


class Throttle:
    """Bounds what is under way: so many operations, so many bytes of data (0: no bound)."""

    def __init__(self, most_ops: int, most_bytes: int) -> None:
        self._most_ops = most_ops or (1 << 62)
        self._most_bytes = most_bytes or (1 << 62)
        self._ops = self._bytes = 0
        self._changed = threading.Condition(threading.Lock())

    def take(self, size: int) -> None:
        """Wait until there is room. What is larger than the bound goes alone."""
        with self._changed:
            while self._ops and (
                self._ops >= self._most_ops or self._bytes + size > self._most_bytes
            ):
                self._changed.wait()
            self._ops += 1
            self._bytes += size

    def give(self, size: int) -> None:
        """Make room again."""
        with self._changed:
            self._ops -= 1
            self._bytes -= size
            self._changed.notify()


_alive: weakref.WeakSet[Background] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_alive):
        each.abandon()


os.register_at_fork(after_in_child=_after_fork)
