"""`Watch` of the synchronous API: callbacks run in the handle's thread of callbacks.

Arguments and results of the callbacks are those of upstream's `rados.pyx`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from spirula.rados.aio import watch as aio
from spirula.rados.errors import Error, IoctxStateError

if TYPE_CHECKING:
    from datetime import timedelta

    from spirula.rados.background import Background
    from spirula.rados.ioctx import Ioctx


class Watch:
    """A watch on an object. A context manager that ends it."""

    def __init__(
        self,
        ioctx: Ioctx,
        oid: str,
        callback: Callable[..., Any],
        error_callback: Callable[..., Any] | None,
        timeout: int | None,
    ) -> None:
        self.oid = oid
        self.callback = callback
        self.error_callback = error_callback
        self._background: Background = ioctx.background
        opening = ioctx.beneath.watch(oid, self._told, self._failed, timeout_s=timeout or 0)
        self._beneath: aio.Watch | None = self._background.run(opening)
        self.id = self._beneath.watch_id

    async def _told(self, told: aio.Notification) -> bytes:
        loop = self._background.loop
        answered: asyncio.Future[bytes] = loop.create_future()

        def run() -> None:
            answer = b""
            try:
                answer = self._callback(*told) or b""
            finally:
                loop.call_soon_threadsafe(_give, answered, answer)

        self._background.call_back(run)
        return await answered

    def _failed(self, error: Error) -> None:
        number = -(error.errno or 0)
        self._background.call_back(lambda: self._error_callback(self.id, number))

    def _callback(self, notify_id: int, notifier_id: int, watch_id: int, data: bytes) -> bytes:
        # Upstream's hands None to the callback where there is no message.
        answer = self.callback(notify_id, notifier_id, watch_id, data or None)
        if isinstance(answer, str):
            return answer.encode()
        return answer if isinstance(answer, bytes) else b""

    def _error_callback(self, watch_id: int, error: int) -> None:
        if self.error_callback is not None:
            self.error_callback(watch_id, error)

    def get_id(self) -> int:
        """Its number, which the callbacks get; 0 once it has ended."""
        return self.id

    def check(self) -> timedelta:
        """How long ago the OSD was last known to know the watch. NotConnected: it was lost."""
        if self._beneath is None:
            raise IoctxStateError("The pool is closed")
        return self._beneath.check()

    def close(self) -> None:
        """End it. Nothing happens where it has ended."""
        beneath, self._beneath = self._beneath, None
        self.id = 0
        if beneath is not None:
            self._background.run(beneath.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        self.close()
        return False


def _give(future: asyncio.Future[bytes], answer: bytes) -> None:
    if not future.done():
        future.set_result(answer)
