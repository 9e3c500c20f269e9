"""The records that operations work on: an object as the PG knows it, and one request on it.

`osd.pg.objects` keeps ObjectContexts, `osd.pg.pipeline` makes an OpContext per request and has
`prepare.prepare_transaction` run it; handlers of operations read and change the OpContext. The
protocols at the end are what operations need of a PG, its services and a client's session.
Structure: upstream `src/osd/object_state.h`, `osd_internal_types.h`, `PrimaryLogPG.h` (OpContext).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from spirula.errors import TryAgain
from spirula.types.base import EVersion, UTime
from spirula.types.hobject import NO_GEN, GHObject, HObject
from spirula.types.object_info import ObjectInfo, OSDReqId, WatchInfo
from spirula.types.pg_log import PGLogEntry
from spirula.types.pg_stats import ObjectStatSum
from spirula.types.snap import SnapContext, SnapSet
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from spirula.auth.caps.osd import OsdCaps
    from spirula.classes.registry import ClassRegistry
    from spirula.conf.config import Config
    from spirula.maps.osdmap import OSDMap
    from spirula.messages.base import Message
    from spirula.messages.osd_op import MOSDOp
    from spirula.osd.ops.caps import OpNeeds
    from spirula.osd.ops.watch import NotifyRequest, Watch
    from spirula.osd.pg.backoff import Backoff
    from spirula.osd.services import Services
    from spirula.store.objectstore import ObjectStore
    from spirula.types.entity import EntityAddr, EntityName
    from spirula.types.inconsistency import ObjectId
    from spirula.types.osd_op import OSDOp
    from spirula.types.pg import Coll, SPGId
    from spirula.types.pg_info import PGInfo
    from spirula.types.pg_log import PGMissing
    from spirula.types.pool import PGPool

INFO_ATTR, SNAPSET_ATTR = "_", "snapset"
"""Store attributes of an object's info and, beside a head, its snapshots (OI_ATTR, SS_ATTR)."""
USER_ATTR_PREFIX = "_"
"""What stands before the name of a client's attribute in the store."""


class MissingObject(TryAgain):
    """The object exists, but not here yet: `hoid` is to be waited for."""

    def __init__(self, hoid: HObject) -> None:
        super().__init__(f"{hoid} is missing")
        self.hoid = hoid


class LockKind(IntEnum):
    """How an object is locked (upstream RWState)."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXCLUSIVE = 3


@dataclass(slots=True)
class ObjectLock:
    """Who works on an object; kept by `osd.pg.locks`.

    `waiters` are requests in the order in which they will go on.
    """

    kind: int = LockKind.NONE
    count: int = 0
    waiters: list[Any] = field(default_factory=list)
    recovery_read_marker: bool = False
    snaptrimmer_write_marker: bool = False


@dataclass(slots=True)
class SnapSetContext:
    """The clones of an object, shared by the contexts of its head and clones.

    `encoded` is what the store holds of `snapset`, where that is known.
    """

    oid: HObject
    snapset: SnapSet = field(default_factory=SnapSet)
    exists: bool = False
    encoded: bytes | None = None


@dataclass(slots=True)
class ObjectContext:
    """An object as the PG knows it: what is applied to the store, locks, watchers.

    `info`, `exists` and `ssc.snapset` are those of the newest change that was submitted, committed
    or not; they never change in place (see OpContext). `watchers` by (cookie, client).
    """

    info: ObjectInfo
    exists: bool = False
    ssc: SnapSetContext | None = None
    lock: ObjectLock = field(default_factory=ObjectLock)
    watchers: dict[tuple[int, EntityName], Watch] = field(default_factory=dict)
    gh: GHObject | None = None
    """The name in the store, made when first asked for (`ghobject`)."""

    @property
    def soid(self) -> HObject:
        """The object's name."""
        return self.info.soid

    def ghobject(self, shard: int) -> GHObject:
        """The object's name in the store of this shard."""
        if self.gh is None:
            self.gh = GHObject(self.info.soid, NO_GEN, shard)
        return self.gh


def copy_info(info: ObjectInfo) -> ObjectInfo:
    """A copy to change: everything but the values that are never changed in place."""
    return ObjectInfo(
        *(info.soid, info.version, info.prior_version, info.last_reqid, info.size, info.mtime),
        *(info.truncate_seq, info.truncate_size, info.user_version, info.watchers.copy()),
        *(info.flags, info.local_mtime, info.data_digest, info.omap_digest),
        *(info.expected_object_size, info.expected_write_size, info.alloc_hint_flags),
        info.manifest,
    )


def copy_snapset(snapset: SnapSet) -> SnapSet:
    """A copy to change; spans of overlap are copied as well."""
    return SnapSet(
        snapset.seq,
        True,
        snapset.snaps.copy(),
        snapset.clones.copy(),
        {clone: overlap.copy() for clone, overlap in snapset.clone_overlap.items()},
        snapset.clone_size.copy(),
        {clone: snaps.copy() for clone, snaps in snapset.clone_snaps.items()},
    )


class StatDelta:
    """What a request adds to the PG's counters (the few of ObjectStatSum that requests change)."""

    __slots__ = (
        "num_bytes",
        "num_evict",
        "num_evict_kb",
        "num_flush",
        "num_flush_kb",
        "num_object_clones",
        "num_objects",
        "num_objects_dirty",
        "num_objects_manifest",
        "num_objects_omap",
        "num_objects_pinned",
        "num_rd",
        "num_rd_kb",
        "num_whiteouts",
        "num_wr",
        "num_wr_kb",
    )

    def __init__(self) -> None:
        self.num_bytes = self.num_objects = self.num_object_clones = self.num_objects_dirty = 0
        self.num_rd = self.num_rd_kb = self.num_wr = self.num_wr_kb = 0
        self.num_objects_omap = self.num_whiteouts = self.num_objects_manifest = 0
        self.num_objects_pinned = self.num_evict = self.num_evict_kb = 0
        self.num_flush = self.num_flush_kb = 0

    def changed(self) -> dict[str, int]:
        """The counters that are not 0."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in found.items() if value}

    def add_to(self, total: ObjectStatSum) -> None:
        """Adds every counter to `total`."""
        for name, value in zip(self.__slots__, _COUNTERS(self), strict=True):
            if value:
                setattr(total, name, getattr(total, name) + value)


_NO_VERSION = EVersion()
_COUNTERS = attrgetter(*StatDelta.__slots__)


@dataclass(slots=True)
class NotifyAck:
    """A watcher's answer; without a cookie it is every watch of the client on the object."""

    notify_id: int
    cookie: int | None = None
    reply: bytes = b""


class Finisher(Protocol):
    """What an operation waited for is there: what it does instead of beginning anew."""

    def execute(self, ctx: OpContext, op: OSDOp) -> int:
        """The operation's return code. Raises CephError."""
        ...


class OpContext:
    """One request on one object, from its locks to its reply.

    Nothing that is shared changes while the request runs: `info` is a copy of the object's info
    (for a vector that only reads it is that info itself), `exists` and `snapset` likewise,
    `transaction` what the store will be asked to do, `touched` that the object's info is to be
    written even without that. `modified` and `dirty` are (offset, length) of changed bytes, what
    clones no longer share and what recovery must copy. `result` is the last operation's code:
    operations that upstream gives none of their own keep it.

    `reset` puts all that back, so that a vector which had to wait (`-EINPROGRESS`) is run again
    from its beginning; the operations that waited find their `finishers` then. `resume` is called
    when it can go on.
    """

    __slots__ = (
        "at_version",
        "bytes_read",
        "bytes_written",
        "cache_operation",
        "clone_obc",
        "coll",
        "created",
        "delta",
        "dirty",
        "exists",
        "extra_reqid_codes",
        "extra_reqids",
        "failed",
        "finishers",
        "flags",
        "gh",
        "head_obc",
        "ignore_cache",
        "ignore_log_op_stats",
        "info",
        "lock_kind",
        "log",
        "modified",
        "modify",
        "mtime",
        "needs",
        "notifies",
        "notify_acks",
        "num_read",
        "num_write",
        "obc",
        "omap_dirty",
        "omap_set",
        "op_index",
        "ops",
        "pg",
        "processed",
        "put_refs",
        "reqid",
        "request",
        "result",
        "resume",
        "session",
        "snapc",
        "snapset",
        "snapset_changed",
        "soid",
        "store",
        "touched",
        "transaction",
        "undirty",
        "update_log_only",
        "user_at_version",
        "user_modify",
        "watch_connects",
        "watch_disconnects",
    )

    def __init__(
        self,
        pg: OpsPG,
        obc: ObjectContext,
        ops: list[OSDOp],
        needs: OpNeeds,
        *,
        request: MOSDOp | None = None,
        session: ClientSession | None = None,
        reqid: OSDReqId | None = None,
    ) -> None:
        self.pg = pg
        self.obc = obc
        self.ops = ops
        self.needs = needs
        self.request = request
        self.session = session
        self.reqid = reqid if reqid is not None else OSDReqId()
        self.soid = obc.info.soid
        self.store = pg.store
        self.coll = pg.coll
        self.gh = obc.ghobject(pg.pgid.shard)
        self.flags = 0 if request is None else request.flags
        self.finishers: dict[int, Finisher] | None = None
        self.resume: Callable[[], None] | None = None
        self.failed = 0
        """A negative errno once what the request waited for failed: all of it fails with that."""
        self.at_version = _NO_VERSION
        self.snapc: SnapContext | None = None
        """The snapshots a write is under; None for a vector that only reads."""
        self.ignore_cache = False
        self.update_log_only = False
        self.lock_kind: int = LockKind.NONE
        """Which lock of the object the request holds (`osd.pg.pipeline` sets it)."""
        self.head_obc: ObjectContext | None = None
        self.reset()

    def reset(self) -> None:
        """Puts back what a run of the vector changed."""
        obc, needs = self.obc, self.needs
        self.user_at_version = obc.info.user_version
        # a method may try to write without having declared it
        changes = needs.may_write or needs.classes or needs.may_cache
        self.info = copy_info(obc.info) if changes else obc.info
        self.exists = obc.exists
        self.mtime = UTime(0, 0) if self.request is None else self.request.mtime
        self.snapset: SnapSet | None = None if obc.ssc is None else obc.ssc.snapset
        self.snapset_changed = False
        self.transaction = Transaction()
        self.log: list[PGLogEntry] = []
        self.delta = StatDelta()
        self.modify = self.user_modify = self.undirty = self.cache_operation = False
        self.ignore_log_op_stats = False
        self.bytes_read = self.bytes_written = self.num_read = self.num_write = 0
        self.op_index = self.processed = self.result = 0
        self.touched = self.created = self.omap_dirty = False
        self.omap_set: tuple[Mapping[str, bytes], ...] = ()
        self.modified: list[tuple[int, int]] = []
        self.dirty: list[tuple[int, int]] = []
        self.clone_obc: ObjectContext | None = None
        self.extra_reqids: list[tuple[OSDReqId, int]] | None = None
        self.extra_reqid_codes: dict[int, int] | None = None
        self.watch_connects: list[tuple[WatchInfo, bool]] | None = None
        self.watch_disconnects: list[tuple[int, EntityName, bool]] | None = None
        self.notifies: list[NotifyRequest] | None = None
        self.notify_acks: list[NotifyAck] | None = None
        self.put_refs: list[HObject] | None = None
        """Chunks, and other targets, to which the object refers no more once this is on disk."""

    def own_snapset(self) -> SnapSet:
        """The object's clones, to be changed: a copy from the first call on."""
        if not self.snapset_changed or self.snapset is None:
            self.snapset = SnapSet() if self.snapset is None else copy_snapset(self.snapset)
            self.snapset_changed = True
        return self.snapset


class ClientSession(Protocol):
    """A client's connection as operations see it.

    `watches`: what it watches by this connection; the session's end goes to `watch.on_reset`.
    `backoffs`: what it was asked to hold back, by PG; the end goes to `osd.pg.backoff.on_reset`.
    """

    name: EntityName
    addr: EntityAddr
    features: int
    caps: OsdCaps
    watches: set[Watch]
    backoffs: dict[SPGId, list[Backoff]]
    backoff_seq: int

    def send(self, message: Message) -> None:
        """Sends to the client; does nothing when the connection is gone."""
        ...


@dataclass(slots=True)
class OpSettings:
    """Options that operations read, looked up once (`from_config`) and again when they change."""

    max_object_size: int = 128 << 20
    max_attr_size: int = 0
    max_attr_name_len: int = 100
    max_omap_entries_per_request: int = 1024
    max_omap_bytes_per_request: int = 1 << 30
    max_write_op_reply_len: int = 64
    max_pgls: int = 1024
    default_notify_timeout: int = 30
    client_watch_timeout: int = 30
    copyfrom_max_chunk: int = 8 << 20
    skip_data_digest: bool = False
    clean_region_max_intervals: int = 10

    @classmethod
    def from_config(cls, config: Config) -> OpSettings:
        """As the configuration says now."""
        return cls(**{name: config.get(option) for name, option in OPTIONS.items()})  # type: ignore[arg-type]  # of the types that the schema gives these options


OPTIONS = {
    "max_object_size": "osd_max_object_size",
    "max_attr_size": "osd_max_attr_size",
    "max_attr_name_len": "osd_max_attr_name_len",
    "max_omap_entries_per_request": "osd_max_omap_entries_per_request",
    "max_omap_bytes_per_request": "osd_max_omap_bytes_per_request",
    "max_write_op_reply_len": "osd_max_write_op_reply_len",
    "max_pgls": "osd_max_pgls",
    "default_notify_timeout": "osd_default_notify_timeout",
    "client_watch_timeout": "osd_client_watch_timeout",
    "copyfrom_max_chunk": "osd_copyfrom_max_chunk",
    "skip_data_digest": "osd_skip_data_digest",
    "clean_region_max_intervals": "osd_object_clean_region_max_num_intervals",
}
"""Which option each of OpSettings is; who holds the settings observes these."""

ReadDone = Callable[[int, "list[OSDOp]", int], None]
"""Gets a result, the operations with what they answered, and the object's user version."""


class SentAs(NamedTuple):
    """As what a request is sent to another OSD: a write of when, under which snapshots, and whose.

    Without `snapc` it only reads; without `reqid` it is a request of this OSD's own.
    """

    snapc: SnapContext | None
    mtime: UTime
    reqid: OSDReqId | None = None


class ScrubFindings(Protocol):
    """What a scrub found (`osd.scrub.findings`), each encoded as clients list it."""

    def objects(self, after: ObjectId, most: int) -> list[bytes]:
        """At most so many objects behind one whose copies differ."""
        ...

    def snapsets(self, after: ObjectId, most: int) -> list[bytes]:
        """At most so many heads and clones behind one that do not fit."""
        ...


class OpsPG(Protocol):
    """What operations need of a PG (`osd.pg.state` has it)."""

    pgid: SPGId
    coll: Coll
    pool: PGPool
    osdmap: OSDMap
    store: ObjectStore
    info: PGInfo
    missing: PGMissing
    settings: OpSettings
    services: Services
    classes: ClassRegistry

    @property
    def scrub_findings(self) -> ScrubFindings | None:
        """What the last scrub of this interval found, None if there was none."""
        ...

    def find_object_context(self, hoid: HObject, *, can_create: bool) -> ObjectContext:
        """The context of a head, or of the clone that serves the snapshot `hoid.snap`.

        Raises CephError: ENOENT, or EAGAIN while what it needs is missing.
        """
        ...

    def get_object_context(
        self, hoid: HObject, *, can_create: bool, attrs: dict[str, bytes] | None = None
    ) -> ObjectContext | None:
        """The context of exactly this object, None if it does not exist and may not be created."""
        ...

    def log_entries_of(self, hoid: HObject) -> Iterator[PGLogEntry]:
        """The log's entries about exactly this object, newest first."""
        ...

    def is_active(self) -> bool:
        """Whether clients' requests are served."""
        ...

    def wait_writable(self, hoid: HObject, resume: Callable[[], None]) -> bool:
        """Whether the object can be written now; else `resume` is called when it can.

        (It cannot while it is degraded, or being scrubbed.)
        """
        ...

    def next_version(self) -> EVersion:
        """The version of the next log entry."""
        ...

    def simple_submit(self, ctx: OpContext) -> None:
        """Writes what an OpContext of the OSD's own holds: transaction and log (upstream
        simple_opc_submit). For a watch that timed out, and trimming.
        """
        ...

    def is_blocklisted(self, addr: EntityAddr) -> bool:
        """Whether the map keeps clients of this address out."""
        ...

    def next_notify_id(self) -> int:
        """A new id of a notification: the map's epoch above, a counter of the OSD below."""
        ...

    def remote_op(
        self,
        target: HObject,
        ops: list[OSDOp],
        flags: int,
        done: ReadDone,
        sent_as: SentAs | None = None,
    ) -> Callable[[], None]:
        """Asks the OSD that has `target`, as a client of the cluster; returns what cancels it."""
        ...
