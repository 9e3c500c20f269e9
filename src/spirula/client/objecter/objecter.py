"""Carries requests out: sends them to the OSD that serves the object, again whenever that changes.

Every client has one, and OSDs that copy objects. What it needs of its owner (connections, maps) is
`Ports`; the owner hands it what comes from OSDs. Requests to one OSD keep their order, so requests
on one object do, too. Behaviour follows upstream `src/osdc/Objecter.cc`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from errno import EAGAIN, ENOENT, ETIMEDOUT
from typing import Protocol

from spirula.client.objecter.osdmaps import OSDMaps
from spirula.client.objecter.target import NO_OSD_AT_ALL, Change, Target
from spirula.errors import CephError, Indeterminate, TimedOut
from spirula.maps.state import is_up
from spirula.messages.osd_client import BackoffOp, MOSDBackoff
from spirula.messages.osd_map import MOSDMap
from spirula.messages.osd_op import MOSDOp, MOSDOpReply
from spirula.msgr.connection import Connection
from spirula.records import dataclass
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec, EntityName
from spirula.types.hobject import NOSNAP, HObject
from spirula.types.object_info import ObjectLocator, OSDReqId
from spirula.types.osd_op import OpCode, OSDOp, RequestFlag, is_read, is_write
from spirula.types.pg import SPGId
from spirula.types.snap import SnapContext

TICK_S, LAGGY_S = 5.0, 10.0
"""How often requests are looked at, and when one takes long (upstream objecter_tick_interval and
objecter_timeout).
"""
_REOPEN_S = 0.05
"""How long a session that broke again at once is left alone; doubled each time."""
_REOPEN_MAX_S = 2.0
_REDIRECTED = int(RequestFlag.REDIRECTED | RequestFlag.IGNORE_CACHE | RequestFlag.IGNORE_OVERLAY)
_ALWAYS = int(RequestFlag.ONDISK | RequestFlag.KNOWN_IF_REDIRECTED)
_READ, _WRITE = int(RequestFlag.READ), int(RequestFlag.WRITE)


class Ports(Protocol):
    """What an objecter wants of its owner."""

    loop: asyncio.AbstractEventLoop

    def wall(self) -> float:
        """Seconds since 1970."""

    def draw(self, count: int) -> int:
        """A number below `count`, at random."""

    def connect(self, osd: int, addrs: EntityAddrVec) -> Connection:
        """A session with an OSD, a new one if the last one broke."""

    def want_map(self, start: int) -> None:
        """Ask for maps from this epoch on (0: the newest), as a subscription that goes on."""

    def ask_newest_epoch(self, answer: Callable[[int], None]) -> None:
        """Ask the monitors for their newest epoch; `answer` is called later."""


@dataclass(slots=True)
class Outcome:
    """What became of a request: its result, and the operations with `rval` and `outdata`.

    `version` is what clients see as the object's version; `epoch` that of the OSD's map.
    """

    result: int
    ops: list[OSDOp]
    version: int = 0
    epoch: int = 0

    def check(self) -> Outcome:
        """Itself; raises the CephError of the errno if the request was refused."""
        if self.result < 0:
            raise CephError.from_errno(self.result)
        return self


Finish = Callable[[Outcome], None]


@dataclass(slots=True, eq=False)
class Request:
    """A request under way. `attempts` tells how often it was sent.

    `size` is its data in bytes; `is_counted` tells that it has its part of what may be under way.
    """

    tid: int
    target: Target
    ops: list[OSDOp]
    finish: Finish
    snapc: SnapContext | None = None
    mtime: UTime | None = None
    reqid: OSDReqId | None = None
    attempts: int = 0
    sent_at: float = 0.0
    session: OSDSession | None = None
    timer: asyncio.TimerHandle | None = None
    size: int = 0
    is_counted: bool = False
    is_over: bool = False

    @property
    def was_sent(self) -> bool:
        """Whether an OSD may have carried it out."""
        return self.attempts > 0


@dataclass(slots=True, eq=False)
class _Backoff:
    """Objects of a PG that an OSD does not want to hear of for now."""

    id: int
    begin: HObject
    end: HObject

    def holds(self, hobj: HObject) -> bool:
        """Whether requests on this object have to wait."""
        return hobj == self.begin or self.begin <= hobj < self.end


@dataclass(slots=True, eq=False)
class OSDSession:
    """One OSD: the connection, and what was sent to it and not answered."""

    osd: int
    addrs: EntityAddrVec
    connection: Connection
    requests: dict[int, Request] = field(default_factory=dict)
    backoffs: dict[SPGId, list[_Backoff]] = field(default_factory=dict)
    reopen_s: float = 0.0


class Objecter:
    """The requests of one client. All calls come from the event loop's thread.

    `on_new_map` and `on_session_lost` are told of every new map, and of every session that was
    opened anew (see `linger`). No more than `most_ops` requests with `most_bytes` of data are under
    way at a time (0: no bound); others wait in their order, unsent.
    """

    def __init__(self, ports: Ports, *, incarnation: int = 0) -> None:
        self.ports = ports
        self.maps = OSDMaps()
        self.incarnation = incarnation
        self.most_ops = self.most_bytes = 0
        self.sessions: dict[int, OSDSession] = {}
        self.on_new_map: list[Callable[[], None]] = []
        self.on_session_lost: list[Callable[[OSDSession], None]] = []
        self._last_tid = 0
        self._homeless: dict[int, Request] = {}
        """Requests that nobody serves just now, or that have to wait."""
        self._no_room: deque[Request] = deque()
        """Requests that wait because so much is under way; those that are over are left in it."""
        self._ops_under_way = self._bytes_under_way = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._asked_newest = False
        self._ticking: asyncio.TimerHandle | None = None
        self._stopped = False

    # --- requests ---

    async def operate(
        self,
        oid: str,
        locator: ObjectLocator,
        ops: Sequence[OSDOp],
        *,
        flags: int = 0,
        snap: int = NOSNAP,
        snapc: SnapContext | None = None,
        mtime: float | None = None,
        timeout_s: float | None = None,
    ) -> Outcome:
        """Carry out operations on an object and wait for the outcome.

        Raises TimedOut if it never left, Indeterminate if it may have been carried out.
        """
        target = Target(oid, locator, flags | flags_of(ops), snap)
        return await self.wait_for(target, ops, snapc, mtime, timeout_s)

    async def operate_pg(
        self,
        pool: int,
        seed: int,
        ops: Sequence[OSDOp],
        *,
        nspace: str = "",
        timeout_s: float | None = None,
    ) -> Outcome:
        """Carry out operations on a PG, as listing its objects."""
        flags = flags_of(ops) | RequestFlag.IGNORE_OVERLAY | RequestFlag.PGOP
        target = Target("", ObjectLocator(pool, "", nspace), flags, seed=seed)
        return await self.wait_for(target, ops, None, None, timeout_s)

    async def wait_for(
        self,
        target: Target,
        ops: Sequence[OSDOp],
        snapc: SnapContext | None,
        mtime: float | None,
        timeout_s: float | None,
    ) -> Outcome:
        """`submit`, and wait for the outcome; see `operate`."""
        future: asyncio.Future[Outcome] = self.ports.loop.create_future()

        def finish(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        request = self.submit(target, ops, finish, snapc=snapc, mtime=mtime)
        try:
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            if request.was_sent:
                raise Indeterminate(f"no answer in {timeout_s:g} s from osd.{target.osd}") from None
            raise TimedOut(f"not sent in {timeout_s:g} s: nobody serves the object") from None
        finally:
            self.cancel(request)

    def submit(
        self,
        target: Target,
        ops: Sequence[OSDOp],
        finish: Finish,
        *,
        snapc: SnapContext | None = None,
        mtime: float | None = None,
        reqid: OSDReqId | None = None,
        timeout_s: float | None = None,
    ) -> Request:
        """Send a request, now or as soon as somebody serves the object; `finish` is called once.

        After `timeout_s` the outcome is -ETIMEDOUT, whether or not it was carried out.
        """
        self._last_tid += 1
        when = None
        if target.flags & _WRITE:
            when = UTime.at(self.ports.wall() if mtime is None else mtime)
        request = Request(self._last_tid, target, list(ops), finish, snapc, when, reqid)
        if timeout_s:
            request.timer = self.ports.loop.call_later(timeout_s, self._time_out, request)
        if self.most_ops or self.most_bytes:
            request.size = sum(len(op.indata) for op in request.ops)
            if self._no_room or not self._has_room(request.size):
                self._no_room.append(request)
                return request
            self._count(request)
        self._start(request)
        return request

    def _has_room(self, size: int) -> bool:
        if not self._ops_under_way:
            return True  # what is larger than the bound goes alone
        if self.most_ops and self._ops_under_way >= self.most_ops:
            return False
        return not self.most_bytes or self._bytes_under_way + size <= self.most_bytes

    def _count(self, request: Request) -> None:
        request.is_counted = True
        self._ops_under_way += 1
        self._bytes_under_way += request.size

    def _make_room(self, request: Request) -> None:
        """A request that was counted is over: others may have their turn."""
        request.is_counted = False
        self._ops_under_way -= 1
        self._bytes_under_way -= request.size
        while self._no_room and self._has_room(self._no_room[0].size):
            following = self._no_room.popleft()
            if not following.is_over:
                self._count(following)
                self._start(following)

    def cancel(self, request: Request) -> None:
        """Forget a request: `finish` is not called any more. It may be carried out all the same."""
        self._homeless.pop(request.tid, None)
        if request.session is not None:
            request.session.requests.pop(request.tid, None)
            request.session = None
        if request.timer is not None:
            request.timer.cancel()
            request.timer = None
        request.is_over = True
        if request.is_counted:
            self._make_room(request)

    def stop(self) -> None:
        """Forget everything."""
        self._stopped = True
        if self._ticking is not None:
            self._ticking.cancel()
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            future.cancel()
        unsent, self._no_room = self._no_room, deque()
        for request in [*self.requests(), *unsent]:
            self.cancel(request)
        for session in self.sessions.values():
            session.connection.mark_down()
        self.sessions.clear()

    def requests(self) -> list[Request]:
        """All requests under way, the oldest first."""
        found = [*self._homeless.values(), *(each for each in self._no_room if not each.is_over)]
        for session in self.sessions.values():
            found += session.requests.values()
        return sorted(found, key=lambda request: request.tid)

    def keep_identity(self, name: EntityName) -> None:
        """We go by another name from now on; OSDs know what they were sent by the old one."""
        for request in self.requests():
            if request.was_sent and request.reqid is None:
                request.reqid = OSDReqId(name, request.tid, self.incarnation)

    # --- maps ---

    async def wait_for_map(self, epoch: int) -> None:
        """Wait until this epoch, or a later one, is there."""
        if self.maps.epoch >= epoch > 0:
            return
        future: asyncio.Future[None] = self.ports.loop.create_future()
        self._waiting.append((max(epoch, 1), future))
        self._want_next_map()
        await future

    async def newest_map(self) -> None:
        """Wait until the map is as new as the monitors' is now."""
        future: asyncio.Future[int] = self.ports.loop.create_future()

        def answer(epoch: int) -> None:
            if not future.done():
                future.set_result(epoch)

        self.ports.ask_newest_epoch(answer)
        await self.wait_for_map(await future)

    def look_after(self, osds: Iterable[int]) -> None:
        """Find out whether sessions with these OSDs are alive, and whether there is a newer map."""
        for osd in osds:
            session = self.sessions.get(osd)
            if session is not None:
                session.connection.send_keepalive()
        self._want_next_map()

    def on_osdmap(self, message: MOSDMap) -> None:
        """New maps, from a monitor or an OSD."""
        missing = self.maps.take(message, self.map_changed)
        if missing is not None:
            self.ports.want_map(missing)
        elif self._waiting or self._homeless:
            self._want_next_map()  # these maps were no answer: others had told them already

    def map_changed(self) -> None:
        """`maps` has another map: what is under way goes where it belongs now."""
        osdmap, resend = self.maps.osdmap, self.maps.skipped
        for session in list(self.sessions.values()):
            osd = session.osd
            if not is_up(osdmap, osd) or osdmap.client_addrs[osd] != session.addrs:
                self._close(session)
        for request in self.requests():
            if self._no_room and request in self._no_room:
                continue  # it is placed when its turn has come
            change = request.target.calculate(self.maps, self.ports.draw)
            if change is Change.NO_POOL:
                self._detach(request)
                self._homeless[request.tid] = request
                self._check_pool(request)
            elif change is Change.RESEND or resend or request.session is None:
                self._detach(request)
                self._place(request)
        for told in list(self.on_new_map):
            told()
        waiting, self._waiting = self._waiting, []
        for epoch, future in waiting:
            if epoch > self.maps.epoch:
                self._waiting.append((epoch, future))
            elif not future.done():
                future.set_result(None)

    def _want_next_map(self) -> None:
        self.ports.want_map(self.maps.epoch + 1 if self.maps.epoch else 0)

    def _tick(self) -> None:
        """Requests that take long may be on their way to where an OSD was: ask for a newer map."""
        self._ticking = None
        late = self.ports.loop.time() - LAGGY_S
        for session in self.sessions.values():
            if any(request.sent_at < late for request in session.requests.values()):
                session.connection.send_keepalive()
                self._want_next_map()
        if self._homeless:
            self._want_next_map()
        self._arm()

    def _arm(self) -> None:
        if (
            self._ticking is None
            and not self._stopped
            and (self._homeless or any(each.requests for each in self.sessions.values()))
        ):
            self._ticking = self.ports.loop.call_later(TICK_S, self._tick)

    # --- from OSDs ---

    def on_reply(self, connection: Connection, message: MOSDOpReply) -> None:
        """An answer; not heeded if it is to an earlier attempt, or nobody waits for it."""
        session = connection.priv
        if not isinstance(session, OSDSession) or session.connection is not connection:
            return
        request = session.requests.get(message.tid)
        if request is None:
            return
        if 0 <= message.retry_attempt != request.attempts - 1:
            return
        session.reopen_s = 0.0
        target = request.target
        if message.redirect is not None:
            self._detach(request)
            redirect = message.redirect
            target.locator = redirect.locator
            target.oid = redirect.object or target.oid
            target.flags |= _REDIRECTED
            target.raw = None
            self._renumber(request)
        elif message.result == -EAGAIN:
            self._detach(request)
            target.spread_no_more()
            self._renumber(request)
        else:
            version, epoch = message.user_version, message.epoch
            self._finish(request, Outcome(message.result, message.ops, version, epoch))

    def on_backoff(self, connection: Connection, message: MOSDBackoff) -> None:
        """An OSD wants no requests on some objects for a while, or wants them again."""
        session = connection.priv
        if not isinstance(session, OSDSession) or session.connection is not connection:
            return
        held = session.backoffs.setdefault(message.pgid, [])
        if message.op == BackoffOp.BLOCK:
            held.append(_Backoff(message.id, message.begin, message.end))
            answer = MOSDBackoff(
                message.pgid,
                message.map_epoch,
                BackoffOp.ACK_BLOCK,
                message.id,
                message.begin,
                message.end,
            )
            connection.send_message(answer)
        elif message.op == BackoffOp.UNBLOCK:
            freed = [backoff for backoff in held if backoff.id == message.id]
            session.backoffs[message.pgid] = [each for each in held if each not in freed]
            for request in sorted(session.requests.values(), key=lambda each: each.tid):
                target = request.target
                if target.spgid != message.pgid:
                    continue
                if any(backoff.holds(target.hobj) for backoff in freed):
                    self._send(request, session)

    def on_reset(self, connection: Connection) -> None:
        """A session broke: a new one is opened, and all that was not answered sent again."""
        session = connection.priv
        if not isinstance(session, OSDSession) or session.connection is not connection:
            return
        if self.sessions.get(session.osd) is not session or self._stopped:
            return
        delay_s = session.reopen_s
        session.reopen_s = min(max(2 * delay_s, _REOPEN_S), _REOPEN_MAX_S)
        session.backoffs.clear()
        self.ports.loop.call_later(delay_s, self._reopen, session)

    def on_refused(self, connection: Connection) -> None:
        """An OSD does not let us in: it may be elsewhere by the next map."""
        session = connection.priv
        if isinstance(session, OSDSession) and session.connection is connection:
            self._want_next_map()

    def _reopen(self, session: OSDSession) -> None:
        if self.sessions.get(session.osd) is not session or self._stopped:
            return
        session.connection = self.ports.connect(session.osd, session.addrs)
        session.connection.priv = session
        for request in sorted(session.requests.values(), key=lambda each: each.tid):
            self._send(request, session)
        for told in list(self.on_session_lost):
            told(session)
        self._want_next_map()

    # --- where requests are ---

    def session_of(self, osd: int) -> OSDSession:
        """The session with an OSD that is up."""
        session = self.sessions.get(osd)
        if session is None:
            addrs = self.maps.osdmap.client_addrs[osd]
            connection = self.ports.connect(osd, addrs)
            session = self.sessions[osd] = OSDSession(osd, addrs, connection)
            connection.priv = session
        return session

    def _start(self, request: Request) -> None:
        change = request.target.calculate(self.maps, self.ports.draw)
        if change is Change.NO_POOL:
            self._homeless[request.tid] = request
            self._check_pool(request)
        else:
            self._place(request)

    def _place(self, request: Request) -> None:
        target, osdmap = request.target, self.maps.osdmap
        osd = target.osd
        if target.paused or osd == NO_OSD_AT_ALL or not is_up(osdmap, osd):
            self._homeless[request.tid] = request
            self._want_next_map()
            self._arm()
            return
        session = self.session_of(osd)
        request.session = session
        session.requests[request.tid] = request
        self._send(request, session)

    def _send(self, request: Request, session: OSDSession) -> None:
        target = request.target
        for backoff in session.backoffs.get(target.spgid, ()):
            if backoff.holds(target.hobj):
                return  # it is sent when the OSD says so
        snapc, mtime = request.snapc, request.mtime
        message = MOSDOp(
            target.spgid,
            target.hobj,
            request.ops,
            self.maps.epoch,
            target.flags | _ALWAYS,
            request.reqid or OSDReqId(_NOBODY, 0, self.incarnation),
            self.incarnation,
            mtime or UTime(),
            snapc.seq if snapc else 0,
            snapc.snaps if snapc else [],
            request.attempts,
        )
        request.attempts += 1
        request.sent_at = self.ports.loop.time()
        if self._ticking is None:
            self._arm()
        session.connection.send_message(message.numbered(request.tid))

    def _detach(self, request: Request) -> None:
        self._homeless.pop(request.tid, None)
        if request.session is not None:
            request.session.requests.pop(request.tid, None)
            request.session = None

    def _renumber(self, request: Request) -> None:
        """Begin anew, as another request: the OSD may remember the number as answered."""
        self._last_tid += 1
        request.tid, request.attempts = self._last_tid, 0
        self._start(request)

    def _close(self, session: OSDSession) -> None:
        """The OSD is down, or elsewhere: what was sent to it waits for a place."""
        del self.sessions[session.osd]
        session.connection.priv = None
        session.connection.mark_down()
        for request in session.requests.values():
            request.session = None
            self._homeless[request.tid] = request
        session.requests.clear()
        for told in list(self.on_session_lost):
            told(session)

    def _finish(self, request: Request, outcome: Outcome) -> None:
        self.cancel(request)
        request.finish(outcome)

    def _time_out(self, request: Request) -> None:
        self._finish(request, Outcome(-ETIMEDOUT, request.ops))

    # --- pools that are not there ---

    def _check_pool(self, request: Request) -> None:
        """It was there: it is gone. It was not: the map may be too old to know it."""
        if request.target.pool_was_there:
            self.ports.loop.call_soon(self._no_pool, request)
        elif not self._asked_newest:
            self._asked_newest = True
            self.ports.ask_newest_epoch(self._on_newest)

    def _on_newest(self, epoch: int) -> None:
        self._asked_newest = False
        if self.maps.epoch < epoch:
            self._asked_newest = True
            waited = self.ports.loop.create_task(self.wait_for_map(epoch))
            waited.add_done_callback(lambda _: self._on_newest(0))
            return
        pools = self.maps.osdmap.pools
        for request in list(self._homeless.values()):
            if request.target.locator.pool not in pools:
                self._no_pool(request)

    def _no_pool(self, request: Request) -> None:
        if self._homeless.pop(request.tid, None) is not None:
            self._finish(request, Outcome(-ENOENT, request.ops))


_NOBODY = OSDReqId().name


def flags_of(ops: Iterable[OSDOp]) -> int:
    """READ and WRITE as the operations demand them.

    A call of an object class counts as a read: only who calls knows that its method writes.
    """
    flags = 0
    for op in ops:
        code = op.op
        if is_read(code) or code == OpCode.CALL:
            flags |= _READ
        if is_write(code):
            flags |= _WRITE
    return flags
