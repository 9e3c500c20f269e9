"""The session with the monitors: finds one, keeps one, asks it things, hears of new maps.

Every client and every daemon has one. It is no dispatcher by itself: its owner hands it what comes
from monitors (`on_message`, `on_connect`, `on_reset`, `on_refused`). Reads no clock but the loop's
and `auth.clock`, leaves the order of monitors to `shuffle`. Behaviour follows upstream
`src/mon/MonClient.cc`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import field
from typing import Any

from spirula.auth.client import AuthClient
from spirula.auth.handshake import AuthMethod
from spirula.conf.config import Config
from spirula.errors import CephError, NotConnected, SpirulaError, TimedOut
from spirula.messages.auth import MAuth, MAuthReply
from spirula.messages.base import Message
from spirula.messages.mon_client import (
    SUBSCRIBE_ONETIME,
    MGetPoolStats,
    MGetPoolStatsReply,
    MMonCommand,
    MMonCommandAck,
    MMonGetVersion,
    MMonGetVersionReply,
    MMonMap,
    MMonSubscribe,
    MMonSubscribeAck,
    MPoolOp,
    MPoolOpReply,
    MStatfs,
    MStatfsReply,
    SubscribeItem,
)
from spirula.msgr.connection import Connection
from spirula.msgr.tcp import Messenger
from spirula.records import dataclass
from spirula.types.entity import EntityAddrVec, EntityType
from spirula.types.mon import MonMap

_STEADY_S = 1.0
"""A session that ends before has come to nothing."""
_FIRST_PAUSE_S = 0.2


@dataclass(slots=True, frozen=True)
class MonTimings:
    """How long is waited, in seconds (upstream mon_client_hunt_interval and its kin)."""

    hunt_interval_s: float = 3.0
    hunt_backoff: float = 1.5
    hunt_interval_max_s: float = 30.0
    ping_interval_s: float = 10.0
    ping_timeout_s: float = 30.0

    @classmethod
    def of(cls, config: Config) -> MonTimings:
        """As the options `mon_client_*` say now."""
        hunt = config.get_float("mon_client_hunt_interval")
        return cls(
            hunt,
            config.get_float("mon_client_hunt_interval_backoff"),
            hunt * config.get_float("mon_client_hunt_interval_max_multiple"),
            config.get_float("mon_client_ping_interval"),
            config.get_float("mon_client_ping_timeout"),
        )


@dataclass(slots=True)
class Reply:
    """A command's outcome: 0 or a negative errno, the status line, the output."""

    result: int
    status: str
    output: bytes

    def check(self) -> bytes:
        """The output; raises the CephError of the errno where the command was refused."""
        if self.result < 0:
            raise CephError.from_errno(self.result, self.status)
        return self.output


@dataclass(slots=True, eq=False)
class _Pending:
    """A question that is asked again at each new monitor until it is answered."""

    message: Message
    future: asyncio.Future[Any]


@dataclass(slots=True)
class _Subscription:
    """What is subscribed to of one kind of map; `sent` since the session began."""

    start: int
    onetime: bool
    sent: bool = False


Handler = Callable[[Message], None]
_MOST_UNSENT = 1000
"""Messages that wait for a session; one more drops the oldest."""


@dataclass(slots=True, eq=False)
class MonClient:
    """A session with one of the monitors at a time; when it breaks, with the next.

    `monitors` is where they are (from `mon_host`, later from the map). `shuffle` puts them in
    random order. `handlers` maps a message class to who wants it (maps that were subscribed to);
    `fsid` and `monmap` are known after `start`.
    """

    loop: asyncio.AbstractEventLoop
    messenger: Messenger
    auth: AuthClient
    monitors: list[EntityAddrVec]
    shuffle: Callable[[list[EntityAddrVec]], None]
    timings: MonTimings = field(default_factory=MonTimings)
    handlers: dict[type[Message], Handler] = field(default_factory=dict)
    monmap: MonMap | None = None
    connection: Connection | None = None
    _open: bool = False
    _opened_at: float = 0.0
    _breaks: int = 0
    _stopped: bool = False
    _queue: list[EntityAddrVec] = field(default_factory=list)
    _interval_s: float = 0.0
    _hunt_timer: asyncio.Handle | None = None
    _tick_timer: asyncio.TimerHandle | None = None
    _auth_timer: asyncio.TimerHandle | None = None
    _auth_asked: int = 0
    """So many requests for tickets and secrets the monitor of this session has not answered."""
    _auth_asked_at: float = 0.0
    _ready: asyncio.Future[None] | None = None
    _last_refusal: SpirulaError | None = None
    _pending: dict[int, _Pending] = field(default_factory=dict)
    _subscriptions: dict[str, _Subscription] = field(default_factory=dict)
    _last_tid: int = 0
    _unsent: list[Message] = field(default_factory=list)
    _rotating: list[asyncio.Future[None]] = field(default_factory=list)

    # ------------------------------------------------------------------------------------- session

    async def start(self, timeout_s: float | None = None) -> None:
        """Logs in at one of the monitors and has its map.

        Raises the monitors' refusal (EACCES and its kin), or TimedOut where none answers in time.
        """
        self._ready = self.loop.create_future()
        self.subscribe("monmap", 0)
        self._hunt()
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), timeout_s)
        except TimeoutError:
            why = f": {self._last_refusal}" if self._last_refusal else ""
            raise TimedOut(f"no monitor answered in {timeout_s:g} s{why}") from None

    def stop(self) -> None:
        """Ends the session; whoever still waits for an answer gets NotConnected."""
        self._stopped = True
        self._cancel_timers()
        if self.connection is not None:
            self.connection.mark_down()
            self.connection = None
        self._open = False
        waiting, self._pending = self._pending, {}
        for pending in waiting.values():
            if not pending.future.done():
                pending.future.set_exception(NotConnected("the session was ended"))
        if self._ready is not None and not self._ready.done():
            self._ready.cancel()
        self._unsent.clear()
        for waiter in self._rotating:
            waiter.cancel()
        self._rotating.clear()

    @property
    def fsid(self) -> bytes:
        """The cluster's id; NotConnected before `start`."""
        if self.monmap is None:
            raise NotConnected("no monitor has answered yet")
        return self.monmap.fsid

    def _cancel_timers(self) -> None:
        for timer in (self._hunt_timer, self._tick_timer, self._auth_timer):
            if timer is not None:
                timer.cancel()
        self._hunt_timer = self._tick_timer = self._auth_timer = None

    def _hunt(self) -> None:
        """Tries the next monitor, in random order; gives it more time each round."""
        if self._stopped:
            return
        self._cancel_timers()
        self._open = False
        if self.connection is not None:
            self.connection.mark_down()
            self.connection = None
        if not self._queue:
            self._queue = [addrs for addrs in self.monitors if addrs.msgr2 is not None]
            self.shuffle(self._queue)
            longer = self._interval_s * self.timings.hunt_backoff
            self._interval_s = min(
                max(longer, self.timings.hunt_interval_s), self.timings.hunt_interval_max_s
            )
        if not self._queue:
            self._fail(NotConnected("none of the monitors speaks msgr2"))
            return
        self._hunt_timer = self.loop.call_later(self._interval_s, self._hunt)
        addrs = self._queue.pop()
        self.connection = self.messenger.get_connection(EntityType.MON, addrs, anonymous=True)

    def _fail(self, error: SpirulaError) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)

    def on_connect(self, connection: Connection) -> None:
        """The messenger has opened a session: from here on it carries questions."""
        if connection is not self.connection:
            return
        self._open = True
        self._auth_asked = 0
        self._opened_at = self.loop.time()
        self._interval_s = 0.0
        self._queue.clear()
        if self._hunt_timer is not None:
            self._hunt_timer.cancel()
            self._hunt_timer = None
        self._tick_timer = self.loop.call_later(self.timings.ping_interval_s, self._tick)
        # A daemon has no use for clients before it has the secrets of its service.
        self._renew()
        for subscription in self._subscriptions.values():
            subscription.sent = False
        self._send_subscriptions()
        for pending in list(self._pending.values()):
            connection.send_message(pending.message)
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            connection.send_message(message)

    def send(self, message: Message) -> None:
        """Sends a message that nobody waits for an answer to: now, or when there is a session.

        Lost when the session breaks before the monitor has it: daemons say again, at each new
        session, what still holds.
        """
        if self.connection is not None and self._open:
            self.connection.send_message(message)
        elif not self._stopped:
            self._unsent.append(message)
            del self._unsent[:-_MOST_UNSENT]

    def on_reset(self, connection: Connection) -> None:
        """The session broke: go to another monitor, soon."""
        if connection is self.connection and not self._stopped:
            self.connection = None
            self._open = False
            self._cancel_timers()
            self._hunt_timer = self.loop.call_later(self._pause_s(), self._hunt)

    def _pause_s(self) -> float:
        """How long to wait when a session broke.

        Not at all, unless sessions break as soon as they are open, one after the other: because of
        what the monitors send, say, which they would send again at once.
        """
        if self.loop.time() - self._opened_at >= _STEADY_S:
            self._breaks = 0
            return 0.0
        self._breaks += 1
        if self._breaks == 1:
            return 0.0
        longer = _FIRST_PAUSE_S * 2.0 ** min(self._breaks - 2, 16)
        return min(longer, self.timings.hunt_interval_s)

    def on_refused(self, connection: Connection, error: SpirulaError) -> None:
        """A monitor did not let us in. Where it said why and nobody waits for better, so do we."""
        if connection is not self.connection or self._stopped:
            return
        self._last_refusal = error
        if _is_final(error) and not self.auth.forget_expired():
            self._fail(error)
        delay_s = 0.0 if self._queue else min(self._interval_s, 1.0)
        connection.mark_down()
        self.connection = None
        self._cancel_timers()
        self._hunt_timer = self.loop.call_later(delay_s, self._hunt)

    def _tick(self) -> None:
        """Sees to it that the monitor is alive."""
        connection = self.connection
        if connection is None or not self._open:
            return
        idle_since = connection.idle_since
        if idle_since is not None and self.loop.time() - idle_since > self.timings.ping_timeout_s:
            self._hunt()
            return
        connection.send_keepalive()
        self._tick_timer = self.loop.call_later(self.timings.ping_interval_s, self._tick)

    # ------------------------------------------------------------------------------------- tickets

    def _schedule_renewal(self) -> None:
        if self._auth_timer is not None:
            self._auth_timer.cancel()
            self._auth_timer = None
        deadline = self.auth.next_deadline()
        if deadline is not None:
            delay_s = max(deadline - self.auth.clock(), 1.0)
            self._auth_timer = self.loop.call_later(delay_s, self._renew)

    def _renew(self) -> None:
        self._auth_timer = None
        # One at a time: the answer to a second would be sealed with the session key that the first
        # brings another in place of, and end the session.
        patience_s = self.timings.ping_timeout_s
        if not self._auth_asked or self.loop.time() - self._auth_asked_at >= patience_s:
            for payload in (self.auth.renewal(), self.auth.rotating_renewal()):
                if payload is not None:
                    self._send_auth(payload)
        self._schedule_renewal()

    def _send_auth(self, payload: bytes) -> None:
        if self.connection is not None and self._open:
            self._auth_asked += 1
            self._auth_asked_at = self.loop.time()
            self.connection.send_message(MAuth(protocol=AuthMethod.CEPHX, auth_payload=payload))

    def _on_auth_reply(self, message: MAuthReply) -> None:
        self._auth_asked = max(self._auth_asked - 1, 0)
        try:
            more = self.auth.on_auth_reply(message.result, message.result_bl)
        except SpirulaError as error:
            self._last_refusal = error
            self._hunt()
            return
        if more is not None:
            self._send_auth(more)
        if self._has_rotating():
            waiting, self._rotating = self._rotating, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)
        self._schedule_renewal()

    def _has_rotating(self) -> bool:
        keys, auth = self.auth.rotating, self.auth
        if keys is None or auth.method == AuthMethod.NONE:
            return True
        return not keys.need_new(auth.clock(), auth.service_ticket_ttl_s)

    async def wait_rotating(self, timeout_s: float | None = None) -> None:
        """Waits until this daemon has the secrets by which it knows its clients. TimedOut."""
        if self._has_rotating():
            return
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._rotating.append(waiter)
        try:
            await asyncio.wait_for(waiter, timeout_s)
        except TimeoutError:
            raise TimedOut(
                f"the monitors gave no rotating keys in {timeout_s:g} s: are the clocks right?"
            ) from None

    # -------------------------------------------------------------------------------- subscriptions

    def subscribe(self, what: str, start: int, *, onetime: bool = False) -> None:
        """Asks for `what` ("osdmap", "config", ...) from version `start` on (0: the newest)."""
        self._subscriptions[what] = _Subscription(start, onetime)
        self._send_subscriptions()

    def unsubscribe(self, what: str) -> None:
        """Asks for no more of it at the next session; what still comes is for the handler."""
        self._subscriptions.pop(what, None)

    def got(self, what: str, version: int) -> None:
        """A subscription has come up to `version`: the next session asks for what follows."""
        subscription = self._subscriptions.get(what)
        if subscription is None:
            return
        if subscription.onetime:
            del self._subscriptions[what]
        else:
            subscription.start = version + 1

    def _send_subscriptions(self) -> None:
        if self.connection is None or not self._open:
            return
        wanted = {}
        for what, subscription in self._subscriptions.items():
            if not subscription.sent:
                flags = SUBSCRIBE_ONETIME if subscription.onetime else 0
                wanted[what] = SubscribeItem(subscription.start, flags)
                subscription.sent = True
        if wanted:
            self.connection.send_message(MMonSubscribe(what=wanted))

    # ------------------------------------------------------------------------------------ questions

    async def command(
        self, command: str | dict[str, Any], data: bytes = b"", timeout_s: float | None = None
    ) -> Reply:
        """Has the monitors carry out a command (JSON text, or what becomes it).

        Asked again when the session breaks: the monitors must take commands that repeat.
        Raises TimedOut, NotConnected.
        """
        text = command if isinstance(command, str) else json.dumps(command)
        message = MMonCommand(fsid=self.fsid, cmd=[text])
        message.data = data
        answer: MMonCommandAck = await self._ask(message, timeout_s)
        return Reply(answer.r, answer.rs, bytes(answer.data))

    async def get_version(self, what: str, timeout_s: float | None = None) -> tuple[int, int]:
        """The newest and the oldest version of a map that the monitors hold."""
        message = MMonGetVersion(what=what)
        answer: MMonGetVersionReply = await self._ask(message, timeout_s)
        return answer.map_version, answer.oldest_version

    async def pool_op(
        self,
        op: int,
        pool: int,
        name: str = "",
        snapid: int = 0,
        timeout_s: float | None = None,
        *,
        crush_rule: int = -1,
    ) -> tuple[bytes, int]:
        """Has a pool, or a snapshot of one, made or removed; `op` is one of POOL_OP_*.

        What the operation returns (the id of a new snapshot, encoded), and the epoch of the OSD map
        in which it shows. Raises the CephError that the monitors answer.
        """
        message = MPoolOp(
            fsid=self.fsid, pool=pool, op=op, snapid=snapid, name=name, crush_rule=crush_rule
        )
        answer: MPoolOpReply = await self._ask(message, timeout_s)
        if answer.reply_code < 0:
            raise CephError.from_errno(answer.reply_code)
        return bytes(answer.response_data or b""), answer.epoch

    async def statfs(self, timeout_s: float | None = None) -> MStatfsReply:
        """How full the cluster is."""
        answer: MStatfsReply = await self._ask(MStatfs(fsid=self.fsid), timeout_s)
        return answer

    async def pool_stats(
        self, pools: list[str], timeout_s: float | None = None
    ) -> MGetPoolStatsReply:
        """The counters of pools by name; of those that there are."""
        message = MGetPoolStats(fsid=self.fsid, pools=pools)
        answer: MGetPoolStatsReply = await self._ask(message, timeout_s)
        return answer

    async def _ask(self, message: Message, timeout_s: float | None) -> Any:
        self._last_tid += 1
        tid = message.tid = self._last_tid
        if isinstance(message, MMonGetVersion):
            message.handle = tid
        if self._stopped:
            raise NotConnected("the session was ended")
        pending = _Pending(message, self.loop.create_future())
        self._pending[tid] = pending
        if self.connection is not None and self._open:
            self.connection.send_message(message)
        try:
            return await asyncio.wait_for(pending.future, timeout_s)
        except TimeoutError:
            raise TimedOut(f"no answer from the monitors in {timeout_s:g} s") from None
        finally:
            self._pending.pop(tid, None)

    def _answer(self, tid: int, message: Message) -> None:
        pending = self._pending.get(tid)
        if pending is not None and not pending.future.done():
            pending.future.set_result(message)

    # ------------------------------------------------------------------------------------- messages

    def on_message(self, connection: Connection, message: Message) -> bool:
        """Takes a message that is for this session; False for anything else."""
        if connection is not self.connection:
            return isinstance(message, (MMonCommandAck, MMonMap, MMonSubscribeAck, MAuthReply))
        if isinstance(message, _ANSWERS):
            self._answer(message.tid, message)
        elif isinstance(message, MMonGetVersionReply):
            self._answer(message.handle, message)
        elif isinstance(message, MMonMap):
            self._on_monmap(message)
        elif isinstance(message, MAuthReply):
            self._on_auth_reply(message)
        elif not isinstance(message, MMonSubscribeAck):
            handler = self.handlers.get(type(message))
            if handler is None:
                return False
            handler(message)
        return True

    def _on_monmap(self, message: MMonMap) -> None:
        self.monmap = MonMap.decode(message.monmapbl)
        self.got("monmap", self.monmap.epoch)
        known = [info.public_addrs for info in self.monmap.mon_info.values()]
        self.monitors = [addrs for addrs in known if addrs.msgr2 is not None] or self.monitors
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)


_ANSWERS = (MMonCommandAck, MPoolOpReply, MStatfsReply, MGetPoolStatsReply)
"""Answers that name their question by its tid."""


def _is_final(error: SpirulaError) -> bool:
    """Whether trying elsewhere is no use: the monitors know us and say no."""
    return isinstance(error, CephError) and error.errno in (1, 13, 95)
