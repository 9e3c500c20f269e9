"""`Ioctx`: operations on the objects of one pool, with the asyncio API.

Its settings (namespace, locator key, snapshots, flags) hold for what is called afterwards. Every
failure is an `Error` of `spirula.rados.errors`. What an operation is on the wire: upstream
`src/librados/IoCtxImpl.cc`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from errno import EINVAL, EROFS, ETIMEDOUT
from types import TracebackType
from typing import TYPE_CHECKING, Self

from spirula.client.objecter.objecter import Outcome, Request, flags_of
from spirula.client.objecter.target import Target
from spirula.errors import CephError, SpirulaError
from spirula.kernels.frames import as_bytes
from spirula.maps.placement import hash_key
from spirula.rados.aio import listing, pools
from spirula.rados.aio.listing import Cursor, ListedObject
from spirula.rados.aio.watch import NotifyOutcome, OnError, OnNotify, Watch, in_time
from spirula.rados.constants import LIBRADOS_SNAP_HEAD
from spirula.rados.errors import (
    InvalidArgumentError,
    IoctxStateError,
    ObjectNotFound,
    OutcomeUnknown,
    from_spirula,
    make_error,
)
from spirula.rados.ops import (
    Data,
    ObjectStat,
    OmapPage,
    ReadOp,
    WriteOp,
    decode_entries,
    decode_stat,
    fill,
)
from spirula.types.base import UTime
from spirula.types.cls.lock import (
    BreakOp,
    GetInfoOp,
    GetInfoReply,
    ListLocksReply,
    LockOp,
    LockType,
    UnlockOp,
)
from spirula.types.entity import TYPE_NAMES, EntityName
from spirula.types.hobject import HObject
from spirula.types.object_info import ListWatchersResponse, ObjectLocator, WatchItem
from spirula.types.osd_op import Extent, OpCode, OSDOp, RequestFlag
from spirula.types.snap import SnapContext

if TYPE_CHECKING:
    from spirula.rados.aio.cluster import Cluster


_WRITE = int(RequestFlag.WRITE)
_FLAGS = (
    (1, RequestFlag.BALANCE_READS),
    (2, RequestFlag.LOCALIZE_READS),
    (4, RequestFlag.RWORDERED),
    (8, RequestFlag.IGNORE_CACHE),
    (16, RequestFlag.SKIPRWLOCKS),
    (32, RequestFlag.IGNORE_OVERLAY),
    (64, RequestFlag.FULL_TRY),
    (128, RequestFlag.FULL_FORCE),
    (256, RequestFlag.IGNORE_REDIRECT),
    (512, RequestFlag.ORDERSNAP),
    (1024, RequestFlag.RETURNVEC),
)


def request_flags(flags: int) -> int:
    """The flags of a request from LIBRADOS_OPERATION_*."""
    if not flags:
        return 0
    return sum(int(wire) for bit, wire in _FLAGS if flags & bit)


_ENTITY_TYPES = {name: number for number, name in TYPE_NAMES.items()}


class Ioctx:
    """The objects of a pool. Made by `Cluster.open_ioctx`; an asynchronous context manager.

    `locator` says where operations look; `read_snap` at which snapshot reads look; `last_version`
    is the version of the object that was last read or written.
    """

    def __init__(self, cluster: Cluster, pool_id: int, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.locator = ObjectLocator(pool_id)
        self.read_snap = LIBRADOS_SNAP_HEAD
        self.snap_context: SnapContext | None = None
        self.extra_flags = 0
        self.last_version = 0
        self.is_open = True

    # ------------------------------------------------------------------------------------ settings

    @property
    def pool_id(self) -> int:
        """The pool's number."""
        return self.locator.pool

    @property
    def nspace(self) -> str:
        """The namespace that operations look in; empty for the default one."""
        return self.locator.nspace

    def set_namespace(self, nspace: str) -> None:
        """Look in this namespace from now on; LIBRADOS_ALL_NSPACES: list all of them."""
        self.locator = replace(self.locator, nspace=nspace)

    def set_locator_key(self, key: str) -> None:
        """Place objects by this key instead of their names; empty: by their names."""
        self.locator = replace(self.locator, key=key)

    def set_read(self, snap_id: int) -> None:
        """Read at this snapshot from now on; LIBRADOS_SNAP_HEAD: the objects as they are."""
        self.read_snap = snap_id

    def set_self_managed_snap_write(self, snaps: Iterable[int]) -> None:
        """Which snapshots exist for what is written from now on (none: as the pool has them)."""
        ids = sorted(set(snaps), reverse=True)
        self.snap_context = SnapContext(ids[0], ids) if ids else None

    def set_osdmap_full_try(self, *, on: bool = True) -> None:
        """Send writes although the pool is full: some, such as removals, may succeed."""
        self.extra_flags = int(RequestFlag.FULL_TRY) if on else 0

    def dup(self) -> Ioctx:
        """Another one with the same settings."""
        other = Ioctx(self.cluster, self.pool_id, self.name)
        other.locator, other.read_snap = self.locator, self.read_snap
        other.snap_context, other.extra_flags = self.snap_context, self.extra_flags
        return other

    def close(self) -> None:
        """Nothing can be done with it any more."""
        self.is_open = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------- the bottom of it all

    def target(self, oid: str, ops: Iterable[OSDOp], flags: int, *, write: bool) -> Target:
        """What a request is about. Raises IoctxStateError, OSError (EROFS) at a snapshot."""
        if not self.is_open:
            raise IoctxStateError("The pool is closed")
        if write:
            if self.read_snap != LIBRADOS_SNAP_HEAD:
                raise make_error(EROFS, f"error writing {oid}: snapshots do not change")
            flags |= _WRITE | self.extra_flags
            return Target(oid, self.locator, flags | flags_of(ops), LIBRADOS_SNAP_HEAD)
        return Target(oid, self.locator, flags | flags_of(ops), self.read_snap)

    def submit(
        self,
        target: Target,
        ops: Sequence[OSDOp],
        finish: Callable[[Outcome], None],
        mtime: float | None = None,
    ) -> Request:
        """Send a request; `finish` is called once, from the event loop."""

        def done(outcome: Outcome) -> None:
            if outcome.result >= 0:
                self.last_version = outcome.version
            finish(outcome)

        snapc = self.snap_context if target.flags & _WRITE else None
        objecter = self.cluster.session.objecter
        timeout_s = self.cluster.op_timeout_s
        return objecter.submit(target, ops, done, snapc=snapc, mtime=mtime, timeout_s=timeout_s)

    async def request(
        self,
        what: str,
        oid: str,
        ops: Sequence[OSDOp],
        *,
        write: bool,
        flags: int = 0,
        mtime: float | None = None,
    ) -> Outcome:
        """Carry operations out. `what` begins the message of the Error that may be raised."""
        target = self.target(oid, ops, flags, write=write)
        future: asyncio.Future[Outcome] = self.cluster.session.loop.create_future()

        def finish(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        request = self.submit(target, ops, finish, mtime)
        try:
            outcome = await future
        except asyncio.CancelledError:
            self.cluster.session.objecter.cancel(request)
            raise
        if outcome.result < 0:
            raise failure(request, outcome, f"{what} {oid!r}")
        return outcome

    async def operate_pg(self, seed: int, ops: Sequence[OSDOp]) -> Outcome:
        """Carry operations out on a PG."""
        if not self.is_open:
            raise IoctxStateError("The pool is closed")
        try:
            return await self.cluster.session.objecter.operate_pg(
                self.pool_id,
                seed,
                ops,
                nspace=self.nspace,
                timeout_s=self.cluster.op_timeout_s,
            )
        except SpirulaError as error:
            raise from_spirula(error, f"error asking a PG of {self.name}") from error

    async def operate_write(
        self, oid: str, op: WriteOp, *, flags: int = 0, mtime: float | None = None
    ) -> None:
        """Carry a vector of changes out: all of them, or none. `mtime` is seconds since 1970."""
        ops, _ = op.take()
        if ops:
            what = "Failed to operate write op for oid"
            wire = request_flags(flags)
            await self.request(what, oid, ops, write=True, flags=wire, mtime=mtime)

    async def operate_read(self, oid: str, op: ReadOp, *, flags: int = 0) -> None:
        """Answer a vector of questions; the answers are in its steps."""
        ops, steps = op.take()
        if not ops:
            return
        what = "Failed to operate read op for oid"
        outcome = await self.request(what, oid, ops, write=False, flags=request_flags(flags))
        fill(steps, outcome.ops)

    # ----------------------------------------------------------------------------------------- data

    async def read(self, oid: str, length: int = 0, offset: int = 0) -> bytes:
        """Bytes of an object from an offset on; a length of 0 means up to the end."""
        op = OSDOp.make(OpCode.READ, Extent(offset, length))
        outcome = await self.request("Failed to read", oid, [op], write=False)
        return as_bytes(outcome.ops[0].outdata)

    async def write(self, oid: str, data: Data, offset: int = 0) -> None:
        """Write at an offset. `data` must not change until this is done."""
        op = OSDOp.make(OpCode.WRITE, Extent(offset, len(data)), data)
        await self.request("Failed to write", oid, [op], write=True)

    async def write_full(self, oid: str, data: Data) -> None:
        """Put these bytes in place of the whole content."""
        op = OSDOp.make(OpCode.WRITEFULL, Extent(0, len(data)), data)
        await self.request("Failed to write", oid, [op], write=True)

    async def append(self, oid: str, data: Data) -> None:
        """Write behind the object's end."""
        op = OSDOp.make(OpCode.APPEND, Extent(0, len(data)), data)
        await self.request("Failed to append", oid, [op], write=True)

    async def truncate(self, oid: str, size: int) -> None:
        """Give the object this size."""
        op = OSDOp.make(OpCode.TRUNCATE, Extent(size))
        await self.request("Failed to truncate", oid, [op], write=True)

    async def stat(self, oid: str) -> ObjectStat:
        """Size and time of change."""
        outcome = await self.request("Failed to stat", oid, [OSDOp.make(OpCode.STAT)], write=False)
        return decode_stat(bytes(outcome.ops[0].outdata))

    async def remove(self, oid: str) -> None:
        """Remove an object; its snapshots stay."""
        await self.request("Failed to remove", oid, [OSDOp.make(OpCode.DELETE)], write=True)

    async def execute(self, oid: str, cls: str, method: str, data: bytes = b"") -> bytes:
        """Call a method of an object class; what it returns."""
        op = OSDOp.call(cls, method, data)
        outcome = await self.request(f"Failed to call {cls}.{method} on", oid, [op], write=False)
        return as_bytes(outcome.ops[0].outdata)

    # ----------------------------------------------------------------------------------- attributes

    async def get_xattr(self, oid: str, name: str) -> bytes:
        """An attribute; NoData where it is not set."""
        op = OSDOp.xattr(OpCode.GETXATTR, name)
        outcome = await self.request("Failed to get an attribute of", oid, [op], write=False)
        return as_bytes(outcome.ops[0].outdata)

    async def set_xattr(self, oid: str, name: str, value: bytes) -> None:
        """Set an attribute; the object is made where it is not there."""
        op = OSDOp.xattr(OpCode.SETXATTR, name, value)
        await self.request("Failed to set an attribute of", oid, [op], write=True)

    async def rm_xattr(self, oid: str, name: str) -> None:
        """Remove an attribute."""
        op = OSDOp.xattr(OpCode.RMXATTR, name)
        await self.request("Failed to remove an attribute of", oid, [op], write=True)

    async def get_xattrs(self, oid: str) -> dict[str, bytes]:
        """All attributes."""
        op = OSDOp.make(OpCode.GETXATTRS)
        outcome = await self.request("Failed to get the attributes of", oid, [op], write=False)
        return decode_entries(bytes(outcome.ops[0].outdata))

    async def omap_set(self, oid: str, entries: Mapping[str, bytes]) -> None:
        """Set entries of the omap."""
        op = WriteOp()
        op.omap_set(entries)
        await self.operate_write(oid, op)

    async def omap_page(
        self, oid: str, start_after: str = "", prefix: str = "", limit: int = 1024
    ) -> OmapPage:
        """Entries of the omap behind a key, of keys with a prefix; at most so many."""
        op = ReadOp()
        step = op.omap_get_vals(start_after, prefix, limit)
        await self.operate_read(oid, op)
        return step.value

    async def omap(
        self, oid: str, start_after: str = "", prefix: str = ""
    ) -> AsyncIterator[tuple[str, bytes]]:
        """All entries of the omap behind a key, of keys with a prefix, page by page."""
        after, more = start_after, True
        while more:
            page, more = await self.omap_page(oid, after, prefix)
            for key, value in page.items():
                yield key, value
            after = max(page, key=str.encode, default=after)

    # ------------------------------------------------------------------------------------- listings

    def begin(self) -> Cursor:
        """The place before all objects."""
        return listing.begin_of(self.pool_id)

    def end(self) -> Cursor:
        """The place behind all objects."""
        return Cursor()

    def split(self, part: int, parts: int) -> tuple[Cursor, Cursor]:
        """One of several about equal parts of the pool, for listings side by side."""
        return listing.split(self.pool_id, self.begin(), self.end(), part, parts)

    def list_objects(
        self, begin: Cursor | None = None, end: Cursor | None = None
    ) -> AsyncIterator[ListedObject]:
        """The objects of the namespace, from a cursor on, before another."""
        return listing.list_objects(self, begin or self.begin(), end or self.end())

    async def list_page(
        self, begin: Cursor, end: Cursor | None = None, limit: int = listing.PAGE
    ) -> tuple[list[ListedObject], Cursor]:
        """Some objects from a cursor on, and the cursor to go on from."""
        return await listing.list_page(self, begin, end or self.end(), limit)

    def place_of(self, listed: ListedObject) -> Cursor:
        """Where an object stands in listings."""
        pool = self.cluster.session.objecter.maps.osdmap.pools[self.pool_id]
        hash = hash_key(pool, listed.locator or listed.oid, listed.nspace)
        return Cursor(
            HObject.of(self.pool_id, listed.oid, hash, nspace=listed.nspace, key=listed.locator)
        )

    # ---------------------------------------------------------------------------------------- locks

    async def lock_exclusive(
        self,
        oid: str,
        name: str,
        cookie: str,
        desc: str = "",
        duration_s: float = 0,
        flags: int = 0,
    ) -> None:
        """Take a lock that nobody else may hold. ObjectBusy, ObjectExists (we hold it).

        It ends by itself after `duration_s`; 0: never.
        """
        await self._lock(oid, name, LockType.EXCLUSIVE, cookie, "", desc, duration_s, flags)

    async def lock_shared(
        self,
        oid: str,
        name: str,
        cookie: str,
        tag: str,
        desc: str = "",
        duration_s: float = 0,
        flags: int = 0,
    ) -> None:
        """Take a lock that others with the same tag may hold, too."""
        await self._lock(oid, name, LockType.SHARED, cookie, tag, desc, duration_s, flags)

    async def _lock(
        self,
        oid: str,
        name: str,
        kind: int,
        cookie: str,
        tag: str,
        desc: str,
        duration_s: float,
        flags: int,
    ) -> None:
        told = LockOp(name, kind, cookie, tag, desc, UTime.at(duration_s), flags).encode()
        await self._call_lock("lock", oid, name, told)

    async def unlock(self, oid: str, name: str, cookie: str) -> None:
        """Release one's own lock. ObjectNotFound."""
        await self._call_lock("unlock", oid, name, UnlockOp(name, cookie).encode())

    async def break_lock(self, oid: str, name: str, client: str, cookie: str) -> None:
        """Release somebody else's lock; `client` as `list_lockers` tells it (`client.4121`)."""
        kind, dot, number = client.partition(".")
        if not dot or kind not in _ENTITY_TYPES or not number.isdecimal():
            raise InvalidArgumentError(f"{client!r} is not a client like client.4121", errno=EINVAL)
        locker = EntityName(_ENTITY_TYPES[kind], int(number))
        await self._call_lock("break_lock", oid, name, BreakOp(name, locker, cookie).encode())

    async def lock_info(self, oid: str, name: str) -> GetInfoReply:
        """Who holds a lock, and how."""
        data = await self.execute(oid, "lock", "get_info", GetInfoOp(name).encode())
        return GetInfoReply.decode(data)

    async def list_locks(self, oid: str) -> list[str]:
        """The names of an object's locks."""
        return list(ListLocksReply.decode(await self.execute(oid, "lock", "list_locks")).locks)

    async def _call_lock(self, method: str, oid: str, name: str, told: bytes) -> None:
        op = OSDOp.call("lock", method, told)
        await self.request(f"Failed to {method} {name} on", oid, [op], write=True)

    # ------------------------------------------------------------------------------------- watching

    async def watch(
        self,
        oid: str,
        on_notify: OnNotify | None = None,
        on_error: OnError | None = None,
        *,
        timeout_s: int = 0,
        answers_itself: bool = True,
    ) -> Watch:
        """Watch an object: `on_notify` is called at each notification, its result answers it.

        Without a callback, iterate over the watch and `acknowledge` by hand. `timeout_s`: how long
        the OSD keeps a watch whose client it does not hear of (0: its own default).
        """
        if not self.is_open:
            raise IoctxStateError("The pool is closed")
        cluster = self.cluster
        watch = Watch(
            cluster.session,
            lambda: cluster.op_timeout_s,
            oid,
            on_notify,
            on_error,
            answers_itself,
        )
        return await watch.start(self.locator, timeout_s)

    async def notify(self, oid: str, data: bytes = b"", timeout_s: float = 5.0) -> NotifyOutcome:
        """Tell all watchers, and wait until they have answered or their time is over."""
        if not self.is_open:
            raise IoctxStateError("The pool is closed")
        lingers, most_s = self.cluster.session.lingers, self.cluster.op_timeout_s
        try:
            async with in_time(most_s and most_s + timeout_s, f"Failed to notify {oid!r}"):
                reply = await lingers.notify(oid, self.locator, data, timeout_s=timeout_s)
        except CephError as error:
            raise make_error(error.errno, f"Failed to notify {oid!r}") from error
        acks = [(who, cookie, bytes(answer)) for (who, cookie), answer in reply.acks]
        return NotifyOutcome(acks, [(who, cookie) for who, cookie in reply.missed])

    async def list_watchers(self, oid: str) -> list[WatchItem]:
        """Who watches an object."""
        op = OSDOp.make(OpCode.LIST_WATCHERS)
        outcome = await self.request("Failed to list the watchers of", oid, [op], write=False)
        return list(ListWatchersResponse.decode(bytes(outcome.ops[0].outdata)).entries)

    # ------------------------------------------------------------------------ the pool as a whole

    async def get_stats(self) -> dict[str, int]:
        """The pool's counters, as the monitors last heard of them."""
        return await pools.pool_stats(self.cluster, self.name)

    def alignment(self) -> int | None:
        """What appends to an erasure-coded pool must be aligned to; None: to nothing."""
        return pools.alignment(self.cluster, self.pool_id)

    async def create_snap(self, name: str) -> None:
        """Make a snapshot of the pool."""
        await pools.create_snap(self.cluster, self.pool_id, name)

    async def remove_snap(self, name: str) -> None:
        """Remove a snapshot of the pool."""
        await pools.remove_snap(self.cluster, self.pool_id, name)

    def list_snaps(self) -> list[pools.PoolSnap]:
        """The snapshots of the pool, the oldest first."""
        return pools.list_snaps(self.cluster, self.pool_id)

    def lookup_snap(self, name: str) -> pools.PoolSnap:
        """A snapshot of the pool. ObjectNotFound."""
        for snap in self.list_snaps():
            if snap.name == name:
                return snap
        raise ObjectNotFound(f"Failed to lookup snap {name}", errno=2)

    async def snap_rollback(self, oid: str, name: str) -> None:
        """Give an object what it had in a snapshot of the pool."""
        try:
            snap = self.lookup_snap(name)
        except ObjectNotFound:
            raise ObjectNotFound(f"Failed to rollback {oid}", errno=2) from None
        await self.rollback_self_managed_snap(oid, snap.snap_id)

    async def create_self_managed_snap(self) -> int:
        """A new snapshot id, which the caller gives to `set_self_managed_snap_write`."""
        return await pools.create_self_managed_snap(self.cluster, self.pool_id)

    async def remove_self_managed_snap(self, snap_id: int) -> None:
        """Give a snapshot id up: the clones made for it go."""
        await pools.remove_self_managed_snap(self.cluster, self.pool_id, snap_id)

    async def rollback_self_managed_snap(self, oid: str, snap_id: int) -> None:
        """Give an object what it had in a snapshot."""
        op = WriteOp()
        op.rollback(snap_id)
        ops, _ = op.take()
        await self.request("Failed to rollback", oid, ops, write=True)


def failure(request: Request, outcome: Outcome, message: str) -> Exception:
    """The Error of an outcome: whether a request that timed out had been sent shows."""
    if outcome.result == -ETIMEDOUT and request.was_sent:
        return OutcomeUnknown(message, errno=ETIMEDOUT)
    return make_error(outcome.result, message)
