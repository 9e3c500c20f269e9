"""One PG in memory that carries out requests as an OSD's pipeline does, without the rest of it.

For tests of operations. Writes are committed at once, time stands still unless a test moves it,
messages to clients are kept. Missing objects, locks and replicas are not its business.
"""

from __future__ import annotations

import errno
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from spirula.auth.caps.osd import ALLOW_ALL, OsdCaps
from spirula.classes.registry import ClassRegistry
from spirula.conf.config import Config
from spirula.errors import CephError, NotFound
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import hash_key
from spirula.messages.base import Message
from spirula.messages.osd_op import MOSDOp
from spirula.osd.ops import watch
from spirula.osd.ops.caps import op_needs
from spirula.osd.ops.context import (
    INFO_ATTR,
    SNAPSET_ATTR,
    MissingObject,
    ObjectContext,
    OpContext,
    OpSettings,
    SnapSetContext,
)
from spirula.osd.ops.listing import do_pg_ops
from spirula.osd.ops.prepare import prepare_transaction, reply_result
from spirula.store.memory import MemoryObjectStore
from spirula.types.base import EVersion, UTime
from spirula.types.entity import AddrType, EntityAddr, EntityName, EntityType
from spirula.types.hobject import NOSNAP, SNAPDIR, GHObject, HObject
from spirula.types.object_info import ObjectInfo, OSDReqId
from spirula.types.osd_op import OpCode, OSDOp, RequestFlag
from spirula.types.pg import Coll, PGId, SPGId
from spirula.types.pg_info import PGInfo
from spirula.types.pg_log import LogOp, PGLogEntry, PGMissing
from spirula.types.pg_stats import ObjectStatSum
from spirula.types.pool import PGPool
from spirula.types.snap import SnapContext, SnapSet
from spirula.types.transaction import Transaction

POOL = 1


@dataclass(eq=False)
class Timer:
    """What `call_later` gives."""

    when: float
    callback: Callable[[], None] | None

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when


@dataclass(eq=False)
class Clock:
    """A loop whose time moves when told to."""

    now: float = 1000.0
    timers: list[Timer] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self.now + seconds, callback)
        heapq.heappush(self.timers, timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.now + seconds
        while self.timers and self.timers[0].when <= end:
            timer = heapq.heappop(self.timers)
            self.now = timer.when
            if timer.callback is not None:
                timer.callback()
        self.now = end


@dataclass(eq=False)
class Client:
    """A client's session; what it was sent is in `sent`."""

    num: int = 4100
    features: int = (1 << 64) - 1
    caps: OsdCaps = ALLOW_ALL
    watches: set[Any] = field(default_factory=set)
    sent: list[Message] = field(default_factory=list)

    @property
    def name(self) -> EntityName:
        return EntityName(EntityType.CLIENT, self.num)

    @property
    def addr(self) -> EntityAddr:
        return EntityAddr.of("127.0.0.1", 0, type=AddrType.ANY, nonce=self.num)

    def send(self, message: Message) -> None:
        self.sent.append(message)


@dataclass(slots=True)
class Answer:
    """What a client is told."""

    result: int
    ops: list[OSDOp]
    user_version: int = 0
    dropped: bool = False

    @property
    def rvals(self) -> list[int]:
        return [op.rval for op in self.ops]

    @property
    def data(self) -> list[bytes]:
        return [bytes(op.outdata) for op in self.ops]


def default_classes() -> ClassRegistry:
    """Object classes by the defaults of the OSD's options."""
    config = Config()
    return ClassRegistry(
        load_list=config.get_str("osd_class_load_list"),
        default_list=config.get_str("osd_class_default_list"),
    )


@dataclass(eq=False)
class MemoryPG:
    """The PG; `stats` is what its counters would be."""

    settings: OpSettings = field(default_factory=OpSettings)
    classes: ClassRegistry = field(default_factory=default_classes)

    def __post_init__(self) -> None:
        self.pgid = SPGId(PGId(POOL, 0))
        self.coll = Coll.of(self.pgid)
        self.pool = PGPool(type=1, size=1, object_hash=2, pg_num=1, pgp_num=1)
        self.osdmap = OSDMap()
        self.osdmap.require_osd_release = 16
        self.osdmap.epoch = 7
        self.osdmap.pools[POOL] = self.pool
        self.osdmap.pool_name[POOL] = "pool"
        self.store = MemoryObjectStore(lambda call: call())
        self.store.mount()
        made = Transaction()
        made.create_collection(self.coll, 0)
        self.store.queue_transactions(self.coll, [made])
        self.info = PGInfo(self.pgid.pgid)
        self.missing = PGMissing()
        self.clock = Clock()
        self.complaints: list[str] = []
        self.services: Any = SimpleNamespace(
            loop=self.clock,
            wall=lambda: 1_600_000_000 + self.clock.now,
            clog=lambda level, text: self.complaints.append(text),
            log=lambda level, text: None,
            whoami=0,
            random=lambda size: bytes(range(size)),
        )
        self.stats = ObjectStatSum()
        self.contexts: dict[HObject, ObjectContext] = {}
        self.snapsets: dict[HObject, SnapSetContext] = {}
        self.log: list[Any] = []
        self.transactions: list[Transaction] = []
        self.notify_ids = 0
        self.tid = 0
        self.active = True
        self.deferred: list[Callable[[], None]] = []
        self.unwritable: dict[HObject, list[Callable[[], None]]] = {}
        self.missing_here: set[HObject] = set()
        self.blocklisted: set[EntityAddr] = set()
        self.scrub_findings = None

    # --- what operations ask of it ---

    def is_active(self) -> bool:
        return self.active

    def wait_writable(self, hoid: HObject, resume: Callable[[], None]) -> bool:
        if hoid in self.unwritable:
            self.unwritable[hoid].append(resume)
            return False
        return True

    def is_blocklisted(self, addr: EntityAddr) -> bool:
        return addr in self.blocklisted

    def next_notify_id(self) -> int:
        self.notify_ids += 1
        return (self.osdmap.epoch << 32) | self.notify_ids

    def next_version(self) -> EVersion:
        return EVersion(self.info.last_update.version + 1, self.osdmap.epoch)

    def _attr(self, hoid: HObject, name: str) -> bytes | None:
        try:
            return self.store.getattr(self.coll, GHObject(hoid), name)
        except CephError:
            return None

    def ssc(self, hoid: HObject) -> SnapSetContext:
        head = hoid.head()
        if head not in self.snapsets:
            raw = self._attr(head, SNAPSET_ATTR)
            snapset = SnapSet() if raw is None else SnapSet.decode(raw)
            self.snapsets[head] = SnapSetContext(head, snapset, raw is not None, raw)
        return self.snapsets[head]

    def get_object_context(
        self, hoid: HObject, *, can_create: bool, attrs: dict[str, bytes] | None = None
    ) -> ObjectContext | None:
        found = self.contexts.get(hoid)
        if found is None:
            raw = self._attr(hoid, INFO_ATTR)
            if raw is None and not can_create:
                return None
            info = ObjectInfo(hoid) if raw is None else ObjectInfo.decode(raw)
            found = ObjectContext(info, exists=raw is not None, ssc=self.ssc(hoid))
            self.contexts[hoid] = found
            watch.populate(self, found)
        return found

    def find_object_context(self, hoid: HObject, *, can_create: bool) -> ObjectContext:
        if hoid.snap == NOSNAP:
            found = self.get_object_context(hoid, can_create=can_create)
            if found is None:
                raise NotFound
            return found
        ssc = self.ssc(hoid)
        if hoid.snap > ssc.snapset.seq:
            target = hoid.head()
        else:
            clone = next((each for each in ssc.snapset.clones if each >= hoid.snap), None)
            if clone is None or hoid.snap not in ssc.snapset.clone_snaps[clone]:
                raise NotFound
            target = hoid.at_snap(clone)
        if target in self.missing_here:
            raise MissingObject(target)
        found = self.get_object_context(target, can_create=False)
        if found is None or not found.exists:
            raise NotFound
        return found

    def simple_submit(self, ctx: OpContext) -> None:
        self._submit(ctx)

    def log_entries_of(self, hoid: HObject) -> Iterator[PGLogEntry]:
        return (entry for entry in reversed(self.log) if entry.soid == hoid)

    def remote_op(
        self, target: HObject, ops: list[OSDOp], flags: int, done: Any, sent_as: Any = None
    ) -> Any:
        del sent_as

        def answer() -> None:
            found = self.ask(target.oid, *ops, flags=flags, snap=target.snap)
            done(found.result, found.ops, found.user_version)

        self.deferred.append(answer)
        return lambda: None

    # --- what the pipeline does ---

    def _submit(self, ctx: OpContext) -> None:
        for entry in ctx.log:
            self.info.last_update = entry.version
            self.info.last_user_version = max(self.info.last_user_version, entry.user_version)
        self.log += ctx.log
        ctx.delta.add_to(self.stats)
        self.transactions.append(ctx.transaction)
        # through the wire's form, as replicas get it
        decoded = Transaction.decode(ctx.transaction.encode())
        self.store.queue_transactions(self.coll, [decoded])

    def hobject(self, name: str, snap: int = NOSNAP, nspace: str = "") -> HObject:
        return HObject.of(POOL, name, hash_key(self.pool, name, nspace), snap=snap, nspace=nspace)

    def ask(
        self,
        name: str,
        *ops: OSDOp,
        flags: int = 0,
        snap: int = NOSNAP,
        snapc: SnapContext | None = None,
        client: Client | None = None,
        mtime: float = 1_600_000_000.5,
        nspace: str = "",
    ) -> Answer:
        """Carries out a request."""
        client = client or Client()
        self.tid += 1
        hobj = self.hobject(name, snap, nspace)
        # as received: operations know their data by its length
        copies = [OSDOp(op.op, op.flags, op.raw, len(op.indata), bytes(op.indata)) for op in ops]
        request = MOSDOp(self.pgid, hobj, copies, 7, flags, mtime=UTime.at(mtime))
        request.tid = self.tid
        if snapc is not None:
            request.snap_seq, request.snaps = snapc.seq, snapc.snaps
        try:
            needs = op_needs(request, self.classes.open)
        except CephError as error:
            return Answer(-error.errno, copies)
        listings = {op.op == OpCode.LIST_SNAPS for op in copies}
        if listings != {snap == SNAPDIR} or (needs.may_write and snap != NOSNAP):
            return Answer(-errno.EINVAL, copies)
        target = hobj.head() if snap == SNAPDIR else hobj
        try:
            obc = self.find_object_context(target, can_create=needs.may_write)
        except CephError as error:
            return Answer(-error.errno, copies)
        whiteout = bool(obc.info.flags & 2) and snap != SNAPDIR
        changes = needs.may_write or needs.may_cache
        if not changes and (not obc.exists or whiteout):
            return Answer(-errno.ENOENT, copies)
        reqid = OSDReqId(client.name, self.tid, 0)
        ctx = OpContext(
            self,
            obc,
            copies,
            needs,
            request=request,
            session=client,
            reqid=reqid,  # type: ignore[arg-type]
        )
        if flags & RequestFlag.IGNORE_CACHE:
            ctx.ignore_cache = True
        if needs.may_write:
            ctx.snapc = snapc or SnapContext(0, [])
        answer = self._run(ctx)
        while self.deferred:
            self.deferred.pop(0)()
        return answer

    def ask_pg(self, *ops: OSDOp, nspace: str = "", snap: int = NOSNAP) -> Answer:
        """Carries out a request on the PG."""
        hobj = HObject("", "", snap, 0, False, nspace, POOL)
        copies = [OSDOp(op.op, op.flags, op.raw, len(op.indata), bytes(op.indata)) for op in ops]
        request = MOSDOp(self.pgid, hobj, copies, 7, 0)
        result = do_pg_ops(self, request)  # type: ignore[arg-type]
        return Answer(result, copies, self.info.last_user_version)

    def _run(self, ctx: OpContext) -> Answer:
        if ctx.snapc is not None:
            ssc = ctx.obc.ssc
            if (
                ctx.flags & RequestFlag.ORDERSNAP
                and ssc is not None
                and ctx.snapc.seq < ssc.snapset.seq
            ):
                return Answer(-errno.ERESTART, ctx.ops)
            ctx.at_version = self.next_version()
        result = prepare_transaction(ctx)
        answer = Answer(result, ctx.ops)
        if result == -errno.EINPROGRESS:
            ctx.resume = lambda: self._resume(ctx, answer)
            return answer
        if result == -errno.EAGAIN:
            answer.dropped = True
            return answer
        answer.result = reply_result(ctx, result)
        if ctx.log:
            self._submit(ctx)
            answer.user_version = ctx.user_at_version
        else:
            if answer.result >= 0:
                ctx.delta.add_to(self.stats)
            if ctx.update_log_only:
                self.info.last_update = self.next_version()
                self.log.append(
                    PGLogEntry(
                        *(LogOp.ERROR, ctx.soid, self.info.last_update),
                        reqid=ctx.reqid,
                        return_code=result,
                    )
                )
            if answer.result >= 0 or ctx.update_log_only:
                answer.user_version = ctx.obc.info.user_version
            if result == -errno.ENOENT and not ctx.failed:
                answer.user_version = self.info.last_user_version
        if result >= 0:
            watch.effects(ctx)
        return answer

    def _resume(self, ctx: OpContext, answer: Answer) -> None:
        ctx.reset()
        for op in ctx.ops:
            op.outdata = b""
        again = self._run(ctx)
        answer.result, answer.user_version = again.result, again.user_version

    def forget(self) -> None:
        """Forgets what is in memory: everything is read from the store again."""
        for obc in self.contexts.values():
            watch.on_new_interval(obc)
        self.contexts.clear()
        self.snapsets.clear()
