"""The sub-commands of `spirula rados` about pools, snapshots, locks and watchers.

What each prints and complains is upstream's, word by word.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from errno import ETIMEDOUT
from time import localtime, strftime

from spirula.cli.rados_context import Context, Failed, Usage, hexdump
from spirula.rados.aio import Notification, ReadOp
from spirula.rados.constants import LIBRADOS_SNAP_HEAD
from spirula.rados.errors import Error
from spirula.types.cls.lock import LockType
from spirula.types.hobject import SNAPDIR

_LOCK_TYPES = {
    LockType.EXCLUSIVE: "exclusive",
    LockType.SHARED: "shared",
    LockType.EXCLUSIVE_EPHEMERAL: "exclusive-ephemeral",
}


async def lspools(context: Context) -> None:
    """Names of the pools."""
    if context.cluster is not None:
        for name in await context.cluster.list_pools():
            context.say(name)


async def lssnap(context: Context) -> None:
    """The pool's snapshots."""
    found = context.ioctx.list_snaps()
    for snap in found:
        moment = strftime("%Y.%m.%d %H:%M:%S", localtime(snap.stamp))
        context.say(f"{snap.snap_id}\t{snap.name}\t{moment}")
    context.say(f"{len(found)} snaps")


async def mksnap(context: Context) -> None:
    """Make a snapshot of the pool."""
    (name,) = context.take("snapshot")
    with context.failing(f"error creating pool {context.pool} snapshot {name}"):
        await context.ioctx.create_snap(name)
    context.say(f"created pool {context.pool} snap {name}")


async def rmsnap(context: Context) -> None:
    """Remove a snapshot of the pool."""
    (name,) = context.take("snapshot")
    with context.failing(f"error removing pool {context.pool} snapshot {name}"):
        await context.ioctx.remove_snap(name)
    context.say(f"removed pool {context.pool} snap {name}")


async def rollback(context: Context) -> None:
    """Give an object what it had in a snapshot."""
    oid, name = context.take("object name", "snapshot")
    with context.failing(f"error rolling back pool {context.pool} to snapshot {oid}", between=""):
        await context.ioctx.snap_rollback(oid, name)
    context.say(f"rolled back pool {context.pool} to snapshot {name}")


async def listsnaps(context: Context) -> None:
    """An object's clones: of which snapshots, how large, what they share with the next."""
    (oid,) = context.take("object name")
    ioctx = context.ioctx.dup()
    ioctx.set_read(SNAPDIR)
    op = ReadOp()
    step = op.list_snaps()
    with context.failing(f"error listing snap shots {context.pool}/{oid}"):
        await ioctx.operate_read(oid, op)
    context.say(f"{oid}:\ncloneid\tsnaps\tsize\toverlap")
    for clone in step.value.clones:
        snaps = ",".join(map(str, clone.snaps)) or "-"
        if clone.cloneid == LIBRADOS_SNAP_HEAD:
            context.say(f"head\t{snaps}\t{clone.size}", end="")
        else:
            overlap = ",".join(f"{offset}~{length}" for offset, length in clone.overlap)
            context.say(f"{clone.cloneid}\t{snaps}\t{clone.size}\t[{overlap}]")
    context.say("")


# ----------------------------------------------------------------------------------------- locks


async def lock(context: Context) -> None:
    """`get`, `info`, `break` or `list`."""
    verb, oid = context.take("get, info, break or list", "object name")
    context.words = context.words[1:]
    verbs = {"list": _list_locks, "info": _lock_info, "get": _get_lock, "break": _break_lock}
    if verb not in verbs:
        raise Usage(f"{verb!r} is none of {', '.join(verbs)}")
    try:
        await verbs[verb](context, oid)
    except Error as error:
        what = {
            "list": "rados_list_locks()",
            "info": "rados_lock_get_lock_info()",
            "get": "failed locking",
            "break": "failed breaking lock",
        }[verb]
        reason = context.reason(error)
        raise Failed(f"ERROR: {what}: {reason}\nerror {error.errno}: {reason}") from error


def _tell(context: Context, document: object) -> None:
    context.say(json.dumps(document, separators=(",", ":"), ensure_ascii=False), end="")


async def _list_locks(context: Context, oid: str) -> None:
    names = sorted(await context.ioctx.list_locks(oid))
    _tell(context, {"objname": oid, "locks": [{"name": name} for name in names]})


async def _lock_info(context: Context, oid: str) -> None:
    _, name = context.take("object name", "lock")
    found = await context.ioctx.lock_info(oid, name)
    lockers = [
        {
            "name": str(who.locker),
            "cookie": who.cookie,
            "description": how.description,
            "expiration": str(how.expiration),
            "addr": str(how.addr),
        }
        for who, how in found.lockers.items()
    ]
    kind = _LOCK_TYPES.get(LockType(found.lock_type), "none") if found.lockers else "none"
    _tell(context, {"name": name, "type": kind, "tag": found.tag, "lockers": lockers})


async def _get_lock(context: Context, oid: str) -> None:
    _, name = context.take("object name", "lock")
    args = context.args
    told = (args.lock_description, args.lock_duration)
    if args.lock_type == "exclusive":
        await context.ioctx.lock_exclusive(oid, name, args.lock_cookie, *told)
    elif args.lock_type == "shared":
        await context.ioctx.lock_shared(oid, name, args.lock_cookie, args.lock_tag, *told)
    else:
        reason = f"(22) {os.strerror(22)}"
        raise Failed(f"unknown lock type was specified, aborting\nerror 22: {reason}")


async def _break_lock(context: Context, oid: str) -> None:
    _, name, client = context.take("object name", "lock", "client")
    await context.ioctx.break_lock(oid, name, client, context.args.lock_cookie)


# -------------------------------------------------------------------------------------- watchers


async def listwatchers(context: Context) -> None:
    """Who watches an object."""
    (oid,) = context.take("object name")
    with context.failing(f"error listing watchers {context.pool}/{oid}"):
        found = await context.ioctx.list_watchers(oid)
    for one in found:
        context.say(f"watcher={one.addr} {one.name} cookie={one.cookie}")


async def watch(context: Context) -> None:
    """Tell of notifications of an object, and answer them, until enter is pressed."""
    (oid,) = context.take("object name")

    def on_notify(told: Notification) -> bytes:
        cookie, number = told.watch_id, told.notify_id
        context.say(f"NOTIFY cookie {cookie} notify_id {number} from {told.notifier_id}")
        context.say(hexdump(told.data), end="")
        context.out.flush()
        return told.data

    def on_error(error: Error) -> None:
        context.say(f"ERROR cookie {watching.watch_id} err {context.reason(error)}")
        context.out.flush()

    with context.failing("error calling watch"):
        watching = await context.ioctx.watch(oid, on_notify, on_error)
    async with watching:
        context.say("press enter to exit...")
        context.out.flush()
        await asyncio.to_thread(sys.stdin.readline)


async def notify(context: Context) -> None:
    """Tell all watchers; their answers are shown."""
    oid, message = context.take("object name", "message")
    text = message.encode("utf-8", "surrogateescape")
    data = len(text).to_bytes(4, "little") + text  # as a C++ program encodes a string
    with context.failing(f"error calling notify on {context.pool}/{oid}"):
        outcome = await context.ioctx.notify(oid, data, 10)
    timed_out = f"({ETIMEDOUT}) {os.strerror(ETIMEDOUT)}"
    if outcome.missed:
        context.complain(f"error calling notify: {timed_out}")
    for who, cookie, answer in outcome.acks:
        context.say(f"reply client.{who} cookie {cookie} : {len(answer)} bytes")
        context.say(hexdump(answer), end="")
    for who, cookie in outcome.missed:
        context.say(f"timeout client.{who} cookie {cookie}")
    if outcome.missed:
        raise Failed(f"error {ETIMEDOUT}: {timed_out}")
