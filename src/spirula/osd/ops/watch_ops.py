"""Operations on watches: `watch` in its kinds, `notify` and its acknowledgement, listing watchers.

What they ask for happens when the request is committed (`watch.effects`); a ping at once. Called by
`execute`. Behaviour: upstream `src/osd/PrimaryLogPG.cc` (do_osd_ops).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from spirula.errors import WireError
from spirula.osd.ops.context import NotifyAck
from spirula.osd.ops.execute import handles
from spirula.osd.ops.watch import NotifyRequest
from spirula.types.entity import EntityAddr
from spirula.types.object_info import ListWatchersResponse, WatchInfo, WatchItem
from spirula.types.osd_op import OpCode, WatchOp
from spirula.types.osd_op_payload import NotifyAckInput, NotifyInput

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext
    from spirula.types.osd_op import OSDOp


@handles(OpCode.WATCH)
def watch(ctx: OpContext, op: OSDOp) -> int:
    """Begins, takes up, keeps alive or ends a watch of the client.

    ENOTCONN for one that there is not, ETIMEDOUT for a ping without its connection: the client
    has to begin it anew, or to reconnect.
    """
    ctx.num_write += 1
    if not ctx.exists:
        return -errno.ENOENT
    cookie, _, kind, _, timeout = op.args
    key = cookie, ctx.reqid.name
    watchers = ctx.info.watchers
    if kind == WatchOp.PING:
        return _ping(ctx, key in watchers, cookie)
    if kind in (WatchOp.WATCH, WatchOp.LEGACY_WATCH, WatchOp.RECONNECT):
        session = ctx.session
        addr = EntityAddr() if session is None else session.addr
        info = WatchInfo(cookie, timeout or ctx.pg.settings.client_watch_timeout, addr)
        if key not in watchers:
            if kind == WatchOp.RECONNECT:
                return -errno.ENOTCONN
            watchers[key] = info
            ctx.touched = True
        will_ping = kind != WatchOp.LEGACY_WATCH
        ctx.watch_connects = [*(ctx.watch_connects or ()), (info, will_ping)]
    elif kind == WatchOp.UNWATCH and watchers.pop(key, None) is not None:
        ctx.touched = True
        ctx.watch_disconnects = [*(ctx.watch_disconnects or ()), (*key, False)]
    return 0


def _ping(ctx: OpContext, known: bool, cookie: int) -> int:  # not called elsewhere
    if not known:
        return -errno.ENOTCONN
    found = ctx.obc.watchers.get((cookie, ctx.reqid.name))
    if found is None or found.session is None:
        return -errno.ETIMEDOUT
    found.got_ping(ctx.pg.services.loop.time())
    return 0


@handles(OpCode.NOTIFY)
def notify(ctx: OpContext, op: OSDOp) -> int:
    """Tells all watchers; answers the notification's id, the outcome follows by itself."""
    ctx.num_read += 1
    timeout, payload = 0, b""
    try:
        asked = NotifyInput.decode(bytes(op.indata))
        timeout, payload = asked.timeout, asked.payload
    except WireError:
        pass  # as upstream: a notification without anything to tell
    number = ctx.pg.next_notify_id()
    request = NotifyRequest(
        op.args.cookie, number, timeout or ctx.pg.settings.default_notify_timeout, payload
    )
    ctx.notifies = [*(ctx.notifies or ()), request]
    op.outdata = number.to_bytes(8, "little")
    return ctx.result


@handles(OpCode.NOTIFY_ACK)
def acknowledge(ctx: OpContext, op: OSDOp) -> int:
    """A watcher's answer to a notification; clients of old give its id in place of the cookie."""
    ctx.num_read += 1
    try:
        asked = NotifyAckInput.decode(bytes(op.indata))
        ack = NotifyAck(asked.notify_id, asked.watch_cookie, asked.reply)
    except WireError:
        ack = NotifyAck(int.from_bytes(op.raw[:8], "little"))
    ctx.notify_acks = [*(ctx.notify_acks or ()), ack]
    return ctx.result


@handles(OpCode.LIST_WATCHERS)
def list_watchers(ctx: OpContext, op: OSDOp) -> int:
    """Who watches the object, by what it remembers; by cookie and client."""
    ctx.num_read += 1
    watchers = ctx.info.watchers
    entries = [
        WatchItem(name, cookie, watchers[cookie, name].timeout_seconds, watchers[cookie, name].addr)
        for cookie, name in sorted(watchers)
    ]
    features = 0 if ctx.session is None else ctx.session.features
    op.outdata = ListWatchersResponse(entries).encode(features)
    ctx.delta.num_rd += 1
    return 0
