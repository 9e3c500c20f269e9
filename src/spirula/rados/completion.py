"""`Completion`: what an `aio_*` call of the synchronous API gives; and waiting, for the others.

The event loop's thread completes; callbacks run in the thread of callbacks. A completion stays
alive until its callbacks have run, whoever else holds it. Facts: upstream `rados.pyx`.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from errno import ESHUTDOWN
from typing import TYPE_CHECKING, Any

from spirula.client.objecter.objecter import Outcome, Request
from spirula.client.objecter.target import Target
from spirula.rados.errors import Error
from spirula.types.osd_op import OSDOp

if TYPE_CHECKING:
    from spirula.rados.background import Background, Throttle
    from spirula.rados.ioctx import Ioctx

Callback = Callable[..., Any]


class Pending:
    """One operation under way for a thread that waits, or for a completion."""

    __slots__ = ("_called", "_done", "callbacks", "completion", "outcome", "request", "result")

    def __init__(self) -> None:
        self._done = allocate_lock()
        self._done.acquire()
        self._called = allocate_lock()
        self._called.acquire()
        self.result = 0
        self.outcome: Outcome | None = None
        self.request: Request | None = None
        self.completion: Completion | None = None
        self.callbacks: tuple[tuple[Callback, tuple[Any, ...]], ...] = ()

    def finish(self, result: int) -> None:
        """It is done; whoever waits for that goes on."""
        self.result = result
        self._done.release()

    def finish_calls(self) -> None:
        """The callbacks have run."""
        self._called.release()

    def wait(self) -> None:
        """Wait until it is done."""
        with self._done:
            pass

    def wait_calls(self) -> None:
        """Wait until the callbacks have run."""
        with self._called:
            pass

    @property
    def is_done(self) -> bool:
        """Whether it is done."""
        return not self._done.locked()


class Completion:
    """What became, or will become, of an operation."""

    def __init__(
        self, ioctx: Ioctx, oncomplete: Callback | None = None, onsafe: Callback | None = None
    ) -> None:
        self.ioctx = ioctx
        self.oncomplete = oncomplete
        self.onsafe = onsafe
        self._pending = Pending()

    def is_safe(self) -> bool:
        """Whether the operation is on disk; the same as being complete since Luminous."""
        return self._pending.is_done

    def is_complete(self) -> bool:
        """Whether the operation has ended; its callbacks may still be running."""
        return self._pending.is_done

    def wait_for_safe(self) -> None:
        """Wait until `is_safe`."""
        self._pending.wait()

    def wait_for_complete(self) -> None:
        """Wait until `is_complete`."""
        self._pending.wait()

    def wait_for_safe_and_cb(self) -> int:
        """Wait until the callbacks have returned as well."""
        self._pending.wait_calls()
        return 0

    def wait_for_complete_and_cb(self) -> int:
        """Wait until the callbacks have returned as well."""
        self._pending.wait_calls()
        return 0

    def get_return_value(self) -> int:
        """The operation's result: 0 or more, or a negative errno; 0 before its end."""
        return self._pending.result


Answer = Callable[[Outcome], tuple[int, tuple[Any, ...]]]
"""From an outcome to the return value, and what callbacks get beside the completion."""


def start(
    completion: Completion, target: Target, ops: list[OSDOp], answer: Answer, mtime: float | None
) -> None:
    """Send an operation whose completion the caller gets."""
    pending, ioctx = completion._pending, completion.ioctx
    background, throttle = ioctx.background, ioctx.throttle
    size = sum(len(op.indata) for op in ops)
    throttle.take(size)
    pending.completion = completion
    ioctx.pending[pending] = None
    beneath = ioctx.beneath

    def finish(outcome: Outcome) -> None:
        throttle.give(size)
        ioctx.pending.pop(pending, None)
        result, arguments = answer(outcome)
        complete(background, pending, result, arguments)

    def submit() -> None:
        try:
            beneath.submit(target, ops, finish, mtime)
        except Error:  # the session has just ended
            finish(Outcome(-ESHUTDOWN, ops))

    background.post(submit)


def complete(
    background: Background, pending: Pending, result: int, arguments: tuple[Any, ...]
) -> None:
    """An operation has ended: its waiters go on, its callbacks are to be called."""
    completion = pending.completion
    pending.completion = None
    pending.finish(result)
    if completion is None or (completion.oncomplete is None and completion.onsafe is None):
        pending.finish_calls()
        return
    held = [completion]
    del completion

    def run() -> None:
        mine = held.pop()
        try:
            if mine.oncomplete is not None:
                mine.oncomplete(mine, *arguments)
            if mine.onsafe is not None:
                mine.onsafe(mine, *arguments)
        finally:
            # Nobody who waits for the end of callbacks is to find the completion held by us.
            del mine
            pending.finish_calls()

    background.call_back(run)


def nothing(outcome: Outcome) -> tuple[int, tuple[Any, ...]]:
    """The answer of an operation that only ends."""
    return outcome.result, ()


def wait(
    background: Background,
    throttle: Throttle,
    submit: Callable[[Callable[[Outcome], None]], Request],
    size: int,
) -> tuple[Outcome, Request | None]:
    """Send an operation and wait for its outcome."""
    throttle.take(size)
    pending = Pending()

    def finish(outcome: Outcome) -> None:
        throttle.give(size)
        pending.outcome = outcome
        pending.finish(outcome.result)

    def send() -> None:
        try:
            pending.request = submit(finish)
        except Error:  # the session has just ended
            finish(Outcome(-ESHUTDOWN, []))

    try:
        background.post(send)
    except BaseException:
        throttle.give(size)
        raise
    pending.wait()
    return pending.outcome or Outcome(-ESHUTDOWN, []), pending.request
