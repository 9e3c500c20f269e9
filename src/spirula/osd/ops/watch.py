"""Watches on objects and the notifications that go to them.

A Watch ties a client's cookie to an object, outlives its connection by its timeout and is kept in
the object's info; a Notify counts who has yet to answer. `watch_ops` asks for changes, `effects`
carries them out when the request is committed, `osd.pg` hands over timeouts, resets and new
intervals. Behaviour: upstream `src/osd/Watch.cc` and `PrimaryLogPG.cc` (do_osd_op_effects).
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spirula.messages.osd_client import MWatchNotify, WatchEvent
from spirula.osd.ops.caps import WRITE, OpNeeds
from spirula.osd.ops.context import INFO_ATTR, ObjectContext, OpContext
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityName
from spirula.types.object_info import OSDReqId
from spirula.types.osd_op_payload import NotifyReply
from spirula.types.pg_log import LogOp, PGLogEntry

if TYPE_CHECKING:
    from spirula.osd.ops.context import ClientSession, OpsPG

WatchKey = tuple[int, EntityName]
"""A watch on one object: the client's cookie, and the client."""


@dataclass(slots=True, eq=False)
class Watch:
    """A client that watches an object.

    `session` is None while the client is not connected. A client that will ping is timed from
    its last ping, others (of old) from the end of their connection.
    """

    pg: OpsPG
    obc: ObjectContext
    timeout_s: int
    cookie: int
    entity: EntityName
    addr: EntityAddr
    session: ClientSession | None = None
    will_ping: bool = False
    last_ping: float = 0.0
    discarded: bool = False
    in_progress: dict[int, Notify] = field(default_factory=dict)
    timer: Any = None

    @property
    def key(self) -> WatchKey:
        """Under which the object keeps it."""
        return self.cookie, self.entity

    def start_timer(self) -> None:
        """(Re)starts the time after which the watch ends."""
        self.stop_timer()
        self.timer = self.pg.services.loop.call_later(self.timeout_s, self._timed_out)

    def stop_timer(self) -> None:
        """Forgets that time."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _timed_out(self) -> None:
        self.timer = None
        if not self.discarded:
            end_watch(self)

    def got_ping(self, now: float) -> None:
        """The client says that it is there."""
        self.last_ping = now
        if self.session is not None:
            self.start_timer()

    def connect(self, session: ClientSession, *, will_ping: bool) -> None:
        """The client (again) has a connection: what it has yet to answer is sent once more."""
        if self.session is session:
            return
        self.session = session
        self.will_ping = will_ping
        session.watches.add(self)
        for notify in self.in_progress.values():
            self._send(notify)
        if will_ping:
            self.last_ping = self.pg.services.loop.time()
            self.start_timer()
        else:
            self.stop_timer()

    def disconnect(self) -> None:
        """The client's connection is gone; the watch stays until it times out."""
        self.session = None
        if not self.will_ping:
            self.start_timer()

    def remove(self, *, send_disconnect: bool) -> None:
        """The watch ends: by the client's wish, or with the object, or by its timeout."""
        if send_disconnect and self.session is not None:
            self.session.send(MWatchNotify(opcode=WatchEvent.DISCONNECT, cookie=self.cookie))
        for notify in list(self.in_progress.values()):
            notify.watcher_gone(self)
        self._forget()

    def discard(self) -> None:
        """The PG's interval is over: the watch lives on in the object's info alone."""
        for notify in list(self.in_progress.values()):
            notify.discard()
        self._forget()

    def _forget(self) -> None:
        self.in_progress.clear()
        self.stop_timer()
        self.discarded = True
        if self.session is not None:
            self.session.watches.discard(self)
            self.session = None

    def start_notify(self, notify: Notify) -> None:
        """Passes a notification on; not to a client that has not pinged for the timeout."""
        if self.will_ping and self.last_ping < self.pg.services.loop.time() - self.timeout_s:
            self.disconnect()
            return
        self.in_progress[notify.notify_id] = notify
        notify.watchers.append(self)
        if self.session is not None:
            self._send(notify)

    def _send(self, notify: Notify) -> None:
        if self.session is not None:
            self.session.send(
                MWatchNotify(
                    opcode=WatchEvent.NOTIFY,
                    cookie=self.cookie,
                    version=notify.version,
                    notify_id=notify.notify_id,
                    payload=notify.payload,
                    notifier_gid=notify.client_gid,
                )
            )

    def notify_ack(self, notify_id: int, reply: bytes) -> None:
        """The client answers a notification; one that is not in progress is ignored."""
        notify = self.in_progress.pop(notify_id, None)
        if notify is not None:
            notify.watcher_answered(self, reply)


@dataclass(slots=True)
class NotifyRequest:
    """What a `notify` operation asks for, until its request is committed."""

    cookie: int
    notify_id: int
    timeout_s: int
    payload: bytes


@dataclass(slots=True, eq=False)
class Notify:
    """A notification under way: to whom it went, who answered what."""

    session: ClientSession
    client_gid: int
    cookie: int
    notify_id: int
    version: int
    timeout_s: int
    payload: bytes
    watchers: list[Watch] = field(default_factory=list)
    replies: list[tuple[tuple[int, int], bytes]] = field(default_factory=list)
    complete: bool = False
    discarded: bool = False
    timed_out: bool = False
    timer: Any = None

    def begin(self, pg: OpsPG) -> None:
        """All watchers have it: starts its time, or ends it if there are none."""
        self.timer = pg.services.loop.call_later(self.timeout_s, self._timed_out)
        self._maybe_complete()

    def watcher_answered(self, watch: Watch, reply: bytes) -> None:
        """One more answer."""
        if self.discarded or self.complete:
            return
        self.watchers.remove(watch)
        self.replies.append(((watch.entity.num, watch.cookie), reply))
        self._maybe_complete()

    def watcher_gone(self, watch: Watch) -> None:
        """One answer less to wait for."""
        if self.discarded or self.complete:
            return
        self.watchers.remove(watch)
        self._maybe_complete()

    def discard(self) -> None:
        """Forgets it; the notifier will ask the next primary."""
        self.discarded = True
        self._stop_timer()
        self.watchers.clear()

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _timed_out(self) -> None:
        self.timer = None
        if self.discarded or self.complete:
            return
        self.timed_out = True
        self._maybe_complete()
        watchers, self.watchers = self.watchers, []
        for watch in watchers:
            watch.in_progress.pop(self.notify_id, None)

    def _maybe_complete(self) -> None:
        if self.watchers and not self.timed_out:
            return
        # both ordered as upstream's: answers by watcher (equal ones as they came)
        self.replies.sort(key=lambda each: each[0])
        missed = [(watch.entity.num, watch.cookie) for watch in self.watchers]
        message = MWatchNotify(
            opcode=WatchEvent.NOTIFY_COMPLETE,
            cookie=self.cookie,
            version=self.version,
            notify_id=self.notify_id,
            return_code=-errno.ETIMEDOUT if self.timed_out else 0,
            notifier_gid=self.client_gid,
        )
        message.data = NotifyReply(self.replies, missed).encode()
        self.session.send(message)
        self._stop_timer()
        self.complete = True


def on_reset(session: ClientSession) -> None:
    """A client's connection is gone for good: its watches are disconnected."""
    watches = list(session.watches)
    session.watches.clear()
    for watch in watches:
        if not watch.discarded and watch.session is session:
            watch.disconnect()


def on_new_interval(obc: ObjectContext) -> None:
    """The PG's interval is over: the object's watches are loaded anew in the next one."""
    watches = list(obc.watchers.values())
    obc.watchers.clear()
    for watch in watches:
        watch.discard()


def populate(pg: OpsPG, obc: ObjectContext) -> None:
    """Makes the watches that the object's info remembers, not connected yet, on an active primary.

    Those of clients that are blocklisted end at once.
    """
    for (cookie, entity), info in obc.info.watchers.items():
        watch = Watch(pg, obc, info.timeout_seconds, cookie, entity, info.addr)
        watch.disconnect()
        obc.watchers[watch.key] = watch
    drop_blocklisted(pg, obc)


def drop_blocklisted(pg: OpsPG, obc: ObjectContext) -> None:
    """Ends the watches of clients that the map blocklists."""
    for watch in list(obc.watchers.values()):
        if pg.is_blocklisted(watch.addr):
            watch.stop_timer()
            end_watch(watch)


def end_watch(watch: Watch) -> None:
    """Ends a watch whose time is over: in memory and in the object's info.

    As upstream's handle_watch_timeout: waits while the object cannot be written, does nothing
    when the PG is not active (the next interval will see to it).
    """
    pg, obc = watch.pg, watch.obc
    if watch.discarded or not pg.is_active() or not obc.exists:
        return
    if not pg.wait_writable(obc.soid, lambda: end_watch(watch)):
        return
    ctx = OpContext(pg, obc, [], OpNeeds(WRITE))
    ctx.mtime = UTime.at(pg.services.wall())
    info, version = ctx.info, pg.next_version()
    ctx.at_version = version
    info.watchers.pop(watch.key, None)
    ctx.log.append(
        PGLogEntry(
            *(LogOp.MODIFY, info.soid, version, info.version),
            reqid=OSDReqId(),
            mtime=ctx.mtime,
        )
    )
    info.prior_version, info.version = info.version, version
    gh = obc.ghobject(pg.pgid.shard)
    ctx.transaction.setattr(pg.coll, gh, INFO_ATTR, info.encode())
    obc.info = info
    pg.simple_submit(ctx)
    _disconnect(obc, [(watch.cookie, watch.entity, True)])


def _disconnect(obc: ObjectContext, gone: list[tuple[int, EntityName, bool]]) -> None:
    for cookie, entity, send_disconnect in gone:
        watch = obc.watchers.pop((cookie, entity), None)
        if watch is not None:
            watch.remove(send_disconnect=send_disconnect)


def effects(ctx: OpContext) -> None:
    """What a request does beside writing: watches begin and end, notifications start and end.

    Called when the request is committed; at once for one that only reads.
    """
    obc, pg = ctx.obc, ctx.pg
    if ctx.watch_disconnects:
        _disconnect(obc, ctx.watch_disconnects)
    session = ctx.session
    if session is None:
        return
    entity = ctx.reqid.name
    for info, will_ping in ctx.watch_connects or ():
        watch = obc.watchers.get((info.cookie, entity))
        if watch is None:
            timeout = info.timeout_seconds
            watch = Watch(pg, obc, timeout, info.cookie, entity, session.addr)
            obc.watchers[watch.key] = watch
        watch.connect(session, will_ping=will_ping)
    for asked in ctx.notifies or ():
        notify = Notify(
            *(session, entity.num, asked.cookie, asked.notify_id, obc.info.user_version),
            *(asked.timeout_s, asked.payload),
        )
        for key in sorted(obc.watchers):
            obc.watchers[key].start_notify(notify)
        notify.begin(pg)
    for ack in ctx.notify_acks or ():
        for cookie, name in sorted(obc.watchers):
            if name == entity and ack.cookie in (None, cookie):
                obc.watchers[cookie, name].notify_ack(ack.notify_id, ack.reply)
