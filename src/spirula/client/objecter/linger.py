"""Watches that survive failovers, and notifications.

A watch is registered with the OSD that serves its object; when that changes, or the session breaks,
it is registered again under the same cookie. For clients' APIs. Behaviour follows upstream
`Objecter::linger_watch` and its kin (`src/osdc/Objecter.cc`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from errno import ENOTCONN, ETIMEDOUT

from spirula.client.objecter.objecter import Objecter, OSDSession, Outcome, Request
from spirula.client.objecter.target import Change, Target
from spirula.errors import CephError
from spirula.messages.osd_client import MWatchNotify, WatchEvent
from spirula.records import dataclass
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import NotifyArgs, OpCode, OSDOp, RequestFlag, WatchArgs, WatchOp
from spirula.types.osd_op_payload import NotifyAckInput, NotifyInput, NotifyReply

PING_S = 5.0
"""How often an OSD is asked whether it still knows a watch (upstream objecter_tick_interval).

As often the monitors are asked for newer maps: who only waits hears of none by itself.
"""

OnNotify = Callable[[int, int, bytes], None]
"""Told of a notification: its id, the notifier's global id, the payload."""


@dataclass(slots=True, eq=False)
class Watch:
    """A watch on an object. `generation` counts how often it was registered anew.

    `confirmed_at` is the loop's time of the last sign that the OSD knows it.
    """

    cookie: int
    oid: str
    locator: ObjectLocator
    timeout_s: int
    on_notify: OnNotify
    on_error: Callable[[CephError], None]
    target: Target
    generation: int = 0
    is_registered: bool = False
    is_over: bool = False
    confirmed_at: float = 0.0
    request: Request | None = None
    ping: Request | None = None
    registering: asyncio.Future[Outcome] | None = None


@dataclass(slots=True, eq=False)
class _Notification:
    """A notification under way: what it is, and who waits for its end."""

    future: asyncio.Future[NotifyReply]
    target: Target
    ops: list[OSDOp]
    request: Request | None = None


class Lingers:
    """The watches and notifications of an objecter."""

    def __init__(self, objecter: Objecter) -> None:
        self._objecter = objecter
        self._loop = objecter.ports.loop
        self._watches: dict[int, Watch] = {}
        self._notifications: dict[int, _Notification] = {}
        self._last_cookie = 0
        self._ping: asyncio.TimerHandle | None = None
        objecter.on_new_map.append(self._map_changed)
        objecter.on_session_lost.append(self._session_lost)

    async def watch(
        self,
        oid: str,
        locator: ObjectLocator,
        on_notify: OnNotify,
        on_error: Callable[[CephError], None],
        *,
        timeout_s: int = 0,
    ) -> Watch:
        """Watch an object; on return the OSD knows. Raises the CephError it answers.

        `on_error` is called once, when the watch was lost (ENOTCONN) or cannot be kept.
        """
        self._last_cookie += 1
        target = Target(oid, locator, RequestFlag.WRITE)
        made = Watch(self._last_cookie, oid, locator, timeout_s, on_notify, on_error, target)
        made.registering = self._loop.create_future()
        self._watches[made.cookie] = made
        target.calculate(self._objecter.maps, self._objecter.ports.draw)
        self._register(made)
        try:
            (await made.registering).check()
        except BaseException:
            self._forget(made)
            raise
        made.confirmed_at = self._loop.time()
        self._arm()
        return made

    async def unwatch(self, watch: Watch) -> None:
        """Watch no more. Raises the CephError that the OSD answers (ENOENT: the object is gone)."""
        self._forget(watch)
        (await self._ask(watch, WatchOp.UNWATCH)).check()

    def age_s(self, watch: Watch) -> float:
        """Seconds since the OSD was last known to know the watch."""
        return self._loop.time() - watch.confirmed_at

    async def notify(
        self, oid: str, locator: ObjectLocator, payload: bytes, *, timeout_s: float = 10.0
    ) -> NotifyReply:
        """Tell all watchers, and wait until they have answered or `timeout_s` is over.

        Who has not is in `missed`. Raises the CephError that the OSD answers.
        """
        self._last_cookie += 1
        cookie = self._last_cookie
        told = NotifyInput(1, max(1, int(timeout_s)), payload).encode()
        ops = [OSDOp.make(OpCode.NOTIFY, NotifyArgs(cookie), told)]
        target = Target(oid, locator, RequestFlag.READ)
        notification = _Notification(self._loop.create_future(), target, ops)
        self._notifications[cookie] = notification
        try:
            self._send_notification(notification)
            self._arm()
            return await notification.future
        finally:
            del self._notifications[cookie]
            if notification.request is not None:
                self._objecter.cancel(notification.request)

    async def acknowledge(self, watch: Watch, notify_id: int, payload: bytes = b"") -> None:
        """Answer a notification."""
        answer = NotifyAckInput(notify_id, watch.cookie, payload).encode()
        op = OSDOp.make(OpCode.NOTIFY_ACK, None, answer)
        outcome = await self._objecter.operate(
            watch.oid, watch.locator, [op], flags=RequestFlag.READ
        )
        outcome.check()

    def stop(self) -> None:
        """Forget all of them; the OSDs do when their time is up."""
        if self._ping is not None:
            self._ping.cancel()
            self._ping = None
        for watch in list(self._watches.values()):
            self._forget(watch)

    def on_watch_notify(self, message: MWatchNotify) -> None:
        """What an OSD tells a watcher or a notifier."""
        if message.opcode == WatchEvent.NOTIFY_COMPLETE:
            notification = self._notifications.get(message.cookie)
            if notification is not None and not notification.future.done():
                self._complete(notification, message)
            return
        watch = self._watches.get(message.cookie)
        if watch is None or watch.is_over:
            return
        if message.opcode == WatchEvent.NOTIFY:
            watch.confirmed_at = self._loop.time()
            watch.on_notify(message.notify_id, message.notifier_gid, bytes(message.payload))
        elif message.opcode == WatchEvent.DISCONNECT:
            self._lose(watch, CephError.from_errno(ENOTCONN, f"watch on {watch.oid} was lost"))

    # --- parts ---

    def _complete(self, notification: _Notification, message: MWatchNotify) -> None:
        data = bytes(message.data)
        reply = NotifyReply.decode(data) if data else NotifyReply([], [])
        if message.return_code < 0 and message.return_code != -ETIMEDOUT:
            error = CephError.from_errno(message.return_code, "notification failed")
            notification.future.set_exception(error)
        else:
            notification.future.set_result(reply)

    def _send_notification(self, notification: _Notification) -> None:
        if notification.request is not None:
            self._objecter.cancel(notification.request)
        target = notification.target

        def answered(outcome: Outcome) -> None:
            if outcome.result < 0 and not notification.future.done():
                error = CephError.from_errno(outcome.result, f"notification of {target.oid}")
                notification.future.set_exception(error)

        asked = Target(target.oid, target.locator, target.flags)
        notification.request = self._objecter.submit(asked, notification.ops, answered)
        target.calculate(self._objecter.maps, self._objecter.ports.draw)

    async def _ask(self, watch: Watch, what: WatchOp) -> Outcome:
        target, ops = self._request_of(watch, what)
        return await self._objecter.wait_for(target, ops, None, None, None)

    def _request_of(self, watch: Watch, what: WatchOp) -> tuple[Target, list[OSDOp]]:
        args = WatchArgs(watch.cookie, 0, what, watch.generation, watch.timeout_s)
        flags = RequestFlag.READ if what == WatchOp.PING else RequestFlag.WRITE
        target = Target(watch.oid, watch.locator, flags)
        return target, [OSDOp.make(OpCode.WATCH, args)]

    def _forget(self, watch: Watch) -> None:
        watch.is_over = True
        self._watches.pop(watch.cookie, None)
        for request in (watch.request, watch.ping):
            if request is not None:
                self._objecter.cancel(request)
        watch.request = watch.ping = None

    def _lose(self, watch: Watch, error: CephError) -> None:
        self._forget(watch)
        watch.on_error(error)

    def _register(self, watch: Watch) -> None:
        """Tell the OSD of the watch, anew if need be.

        By a request of its own each time: one that is sent again is not carried out again, and the
        watch would stay with the session that broke.
        """
        if watch.request is not None:
            self._objecter.cancel(watch.request)
        if watch.is_registered:
            watch.generation += 1

        def answered(outcome: Outcome) -> None:
            watch.request = None
            if watch.registering is not None and not watch.registering.done():
                watch.is_registered = outcome.result >= 0
                watch.registering.set_result(outcome)
            elif outcome.result < 0:
                self._lose(watch, CephError.from_errno(outcome.result, f"watch on {watch.oid}"))
            else:
                watch.confirmed_at = self._loop.time()

        kind = WatchOp.RECONNECT if watch.is_registered else WatchOp.WATCH
        target, ops = self._request_of(watch, kind)
        watch.request = self._objecter.submit(target, ops, answered)

    def _map_changed(self) -> None:
        objecter = self._objecter
        for watch in list(self._watches.values()):
            change = watch.target.calculate(objecter.maps, objecter.ports.draw, any_change=True)
            if change is Change.NO_POOL:
                if watch.is_registered:  # or its request is answered so
                    self._lose(watch, CephError.from_errno(2, "the pool is gone"))
            elif change is Change.RESEND or objecter.maps.skipped:
                self._register(watch)
        for notification in list(self._notifications.values()):
            change = notification.target.calculate(
                objecter.maps, objecter.ports.draw, any_change=True
            )
            if change is Change.RESEND or objecter.maps.skipped:
                self._send_notification(notification)

    def _session_lost(self, session: OSDSession) -> None:
        for watch in list(self._watches.values()):
            if watch.target.osd == session.osd:
                self._register(watch)
        for notification in list(self._notifications.values()):
            if notification.target.osd == session.osd:
                self._send_notification(notification)

    def _arm(self) -> None:
        if self._ping is None and (self._watches or self._notifications):
            self._ping = self._loop.call_later(PING_S, self._ping_all)

    def _ping_all(self) -> None:
        self._ping = None
        targets = [watch.target for watch in self._watches.values()]
        targets += [notification.target for notification in self._notifications.values()]
        self._objecter.look_after({target.osd for target in targets})
        for watch in list(self._watches.values()):
            if watch.is_registered and watch.request is None and watch.ping is None:
                self._ping_one(watch)
        self._arm()

    def _ping_one(self, watch: Watch) -> None:
        generation = watch.generation

        def answered(outcome: Outcome) -> None:
            watch.ping = None
            if watch.is_over or watch.generation != generation:
                return
            if outcome.result < 0:
                self._lose(watch, CephError.from_errno(outcome.result, f"watch on {watch.oid}"))
            else:
                watch.confirmed_at = self._loop.time()

        target, ops = self._request_of(watch, WatchOp.PING)
        # However long it takes: only an OSD can say that it does not know the watch.
        watch.ping = self._objecter.submit(target, ops, answered)
