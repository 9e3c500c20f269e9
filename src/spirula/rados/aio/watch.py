"""Watching objects: a `Watch` hears of notifications, and answers them.

Made by `Ioctx.watch`. It outlives moves of the object's PG; what it cannot outlive it tells.
Behaviour follows upstream `src/librados/IoCtxImpl.cc`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from errno import ETIMEDOUT
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from spirula.client.objecter import linger
from spirula.client.objecter.linger import Lingers
from spirula.errors import CephError
from spirula.rados.errors import Error, OutcomeUnknown, make_error
from spirula.records import dataclass
from spirula.types.object_info import ObjectLocator

if TYPE_CHECKING:
    from datetime import timedelta

    from spirula.client.session import ClusterSession


class Notification(NamedTuple):
    """What a watcher is told: by whom (the global id of its session), to which watch, what."""

    notify_id: int
    notifier_id: int
    watch_id: int
    data: bytes


class NotifyOutcome(NamedTuple):
    """What became of a notification.

    `acks` are (notifier's global id, watch, what it answered), `missed` those who did not.
    """

    acks: list[tuple[int, int, bytes]]
    missed: list[tuple[int, int]]


OnNotify = Callable[[Notification], Awaitable[bytes | None] | bytes | None]
"""What to do when notified: the answer, or something to wait for that gives it."""
OnError = Callable[[Error], None]


@asynccontextmanager
async def in_time(timeout_s: float | None, what: str) -> AsyncIterator[None]:
    """Bounds what an OSD is asked inside; None: by nothing. Raises OutcomeUnknown when it is over.

    Upstream's watches and notifications know no rados_osd_op_timeout and wait for ever.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise OutcomeUnknown(what, errno=ETIMEDOUT) from None


@dataclass(eq=False, slots=True)
class Watch:
    """A watch on an object. An asynchronous context manager that ends it."""

    session: ClusterSession
    op_timeout_s: Callable[[], float | None]
    oid: str
    on_notify: OnNotify | None
    on_error: OnError | None
    answers_itself: bool
    _linger: linger.Watch | None = None
    _early: list[Notification] | None = None
    _queue: asyncio.Queue[Notification | Error] | None = None
    _tasks: set[asyncio.Task[None]] | None = None
    _lost: Error | None = None
    _cookie: int = 0

    @property
    def watch_id(self) -> int:
        """Its number, which notifications carry."""
        return self._cookie

    async def start(self, locator: ObjectLocator, timeout_s: int) -> Self:
        """Register it. Raises the Error that the OSD answers."""
        self._early, self._tasks, self._queue = [], set(), asyncio.Queue()
        try:
            async with in_time(self.op_timeout_s(), "watch error"):
                made = await self._lingers.watch(
                    self.oid, locator, self._told, self._failed, timeout_s=timeout_s
                )
        except CephError as error:
            raise make_error(error.errno, "watch error") from error
        self._linger, self._cookie = made, made.cookie
        early, self._early = self._early, None
        for one in early:
            self._deliver(one._replace(watch_id=made.cookie))
        return self

    @property
    def _lingers(self) -> Lingers:
        return self.session.lingers

    def _told(self, notify_id: int, notifier_id: int, data: bytes) -> None:
        told = Notification(notify_id, notifier_id, self._cookie, data)
        if self._early is not None:
            self._early.append(told)
        else:
            self._deliver(told)

    def _deliver(self, told: Notification) -> None:
        if self.on_notify is None:
            if self._queue is not None:
                self._queue.put_nowait(told)
            return
        task = self.session.loop.create_task(self._run(self.on_notify, told))
        if self._tasks is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, on_notify: OnNotify, told: Notification) -> None:
        answer = on_notify(told)
        if inspect.isawaitable(answer):
            answer = await answer
        if self.answers_itself:
            await self.acknowledge(told.notify_id, answer or b"")

    def _failed(self, error: CephError) -> None:
        self._lost = make_error(error.errno, f"watch on {self.oid} was lost")
        if self._queue is not None:
            self._queue.put_nowait(self._lost)
        if self.on_error is not None:
            self.on_error(self._lost)

    async def acknowledge(self, notify_id: int, data: bytes = b"") -> None:
        """Answer a notification; needless where a callback does."""
        if self._linger is None or self._linger.is_over:
            return
        try:
            async with in_time(self.op_timeout_s(), f"error answering {notify_id}"):
                await self._lingers.acknowledge(self._linger, notify_id, data)
        except CephError as error:
            raise make_error(error.errno, f"error answering {notify_id}") from error

    def check(self) -> timedelta:
        """How long ago the OSD was last known to know the watch. Raises what it was lost by."""
        if self._lost is not None:
            raise make_error(self._lost.errno or 107, "check error")
        if self._linger is None:
            raise make_error(107, "check error")
        # As large as it is seldom used.
        from datetime import timedelta  # noqa: PLC0415  # said above

        return timedelta(seconds=self._lingers.age_s(self._linger))

    async def close(self) -> None:
        """End it. Nothing happens where it has ended."""
        watch, self._linger = self._linger, None
        if watch is None or watch.is_over:
            return
        try:
            async with in_time(self.op_timeout_s(), "unwatch error"):
                await self._lingers.unwatch(watch)
        except CephError as error:
            raise make_error(error.errno, "unwatch error") from error

    def __aiter__(self) -> AsyncIterator[Notification]:
        return self._notifications()

    async def _notifications(self) -> AsyncIterator[Notification]:
        """Notifications as they come, for a watch without a callback; answer each yourself."""
        while self._queue is not None:
            told = await self._queue.get()
            if isinstance(told, Error):
                raise told
            yield told

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
