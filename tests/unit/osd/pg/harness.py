"""OSDs in memory that serve one PG together: messages cross encoded, time and disks obey the test.

Each OSD has a memory store, the PG, and services that put messages into queues. `settle` lets
everything happen that can; `crash` takes what was not committed. Maps are made by `new_map`.
"""

from __future__ import annotations

import copy
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spirula.auth.caps.osd import ALLOW_ALL
from spirula.classes.registry import ClassRegistry
from spirula.conf.config import Config
from spirula.denc.features import PACIFIC
from spirula.errors import NotFound
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import PGMapping
from spirula.maps.state import OSDState
from spirula.maps.strhash import str_hash
from spirula.messages.base import Message, decode_message
from spirula.messages.osd_op import MOSDOp, MOSDOpReply
from spirula.messages.osd_peering import (
    MOSDPGInfo2,
    MOSDPGLog,
    MOSDPGNotify2,
    MOSDPGQuery2,
)
from spirula.osd.pg import create, lease
from spirula.osd.pg.peering import intervals
from spirula.osd.pg.shared import Shared
from spirula.osd.pg.state import PG
from spirula.osd.services import Services
from spirula.store import pg_meta
from spirula.store.memory import MemoryObjectStore
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityName, EntityType
from spirula.types.hobject import NOSNAP, GHObject, HObject
from spirula.types.osd_info import OsdInfo, OsdXInfo
from spirula.types.osd_op import Extent, OpCode, OSDOp, RequestFlag
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import Coll, PGId, SPGId, pg_state_text
from spirula.types.pg_info import PGHistory
from spirula.types.pool import PGPool, PoolType
from spirula.types.transaction import Transaction

POOL = 1
PGID = SPGId(PGId(POOL, 0))
FIRST_EPOCH = 10
_META = Coll()
_FLAGS = RequestFlag.ONDISK


@dataclass(order=True)
class Timer:
    when: float
    number: int
    call: Callable[..., None] | None = field(compare=False)
    args: tuple[Any, ...] = field(compare=False, default=())

    def cancel(self) -> None:
        self.call = None


@dataclass(eq=False)
class Clock:
    """Time that moves when told to."""

    now: float = 1000.0
    timers: list[Timer] = field(default_factory=list)
    count: int = 0

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[..., None], *args: Any) -> Timer:
        self.count += 1
        timer = Timer(self.now + seconds, self.count, call, args)
        heapq.heappush(self.timers, timer)
        return timer

    def call_soon(self, call: Callable[..., None], *args: Any) -> Timer:
        return self.call_later(0.0, call, *args)

    def call_at(self, when: float, call: Callable[..., None], *args: Any) -> Timer:
        return self.call_later(when - self.now, call, *args)

    def run_due(self) -> bool:
        """Calls what is due now; False if nothing was."""
        due = [timer for timer in self.timers if timer.when <= self.now]
        self.advance(0)
        return bool(due)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timers and self.timers[0].when <= end:
            timer = heapq.heappop(self.timers)
            self.now = timer.when
            if timer.call is not None:
                timer.call(*timer.args)
        self.now = end


@dataclass(eq=False)
class Connection:
    """Where a message came from: an OSD's, or a client's with its session."""

    peer_name: EntityName
    priv: Any = None
    sent: list[Any] = field(default_factory=list)
    features: int = PACIFIC
    down: bool = False

    def mark_down(self) -> None:
        self.down = True

    def send_message(self, message: Message) -> None:
        self.sent.append(crossed(message))


@dataclass(eq=False)
class Client:
    """A client's session; replies by tid, other messages in `others`."""

    num: int = 4100
    features: int = PACIFIC
    caps: Any = ALLOW_ALL
    watches: set[Any] = field(default_factory=set)
    backoffs: dict[Any, Any] = field(default_factory=dict)
    backoff_seq: int = 0
    tid: int = 0
    connection: Connection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = Connection(self.name, self)

    @property
    def name(self) -> EntityName:
        return EntityName(EntityType.CLIENT, self.num)

    @property
    def addr(self) -> EntityAddr:
        return EntityAddr.of("127.0.0.1", 0, nonce=self.num)

    def send(self, message: Message) -> None:
        self.connection.send_message(message)

    def reply(self, tid: int) -> MOSDOpReply | None:
        """The last reply to a request."""
        found = [m for m in self.connection.sent if isinstance(m, MOSDOpReply) and m.tid == tid]
        return found[-1] if found else None


def crossed(message: Message) -> Any:
    """The message as the other end has it: nothing is shared with the sender."""
    version, compat, front = message.encode_payload(PACIFIC)
    data = bytes(message.data)
    made = decode_message(message.TYPE, version, compat, front, b"", data, PACIFIC)
    made.tid, made.priority = message.tid, message.priority
    return made


class Maps:
    """The maps of the cluster, as each OSD sees them."""

    def __init__(self) -> None:
        self.by_epoch: dict[int, OSDMap] = {}
        self.mapping: dict[int, PGMapping] = {}
        self.oldest = FIRST_EPOCH

    @property
    def newest(self) -> int:
        return max(self.by_epoch)

    @property
    def current(self) -> OSDMap:
        return self.by_epoch[self.newest]

    def get(self, epoch: int) -> OSDMap:
        if epoch not in self.by_epoch:
            raise NotFound(f"epoch {epoch}")
        return self.by_epoch[epoch]


@dataclass(eq=False)
class Node:
    """An OSD: its store, its PG if it has it, what its disk and its peers have yet to do."""

    osd: int
    cluster: Cluster
    store: MemoryObjectStore = field(init=False)
    disk: deque[Callable[[], None]] = field(default_factory=deque)
    pg: PG | None = None
    alive: bool = True
    failed: Exception | None = None

    def __post_init__(self) -> None:
        self.store = MemoryObjectStore(self._defer)
        self.store.mount()
        made = Transaction()
        made.create_collection(_META, 0)
        self.store.queue_transactions(_META, [made])
        self.shared = self._shared()

    def _defer(self, call: Callable[[], None]) -> None:
        self.disk.append(call)

    def _shared(self) -> Shared:
        cluster = self.cluster
        services = Services(
            self.osd,
            cluster.clock,  # type: ignore[arg-type]
            lambda: 1.7e9 + cluster.clock.now,
            bytes,
            self.store,
            cluster.config,
            cluster.maps,  # type: ignore[arg-type]
            send_osd=self._send,
            want_up_thru=self._want_up_thru,
        )
        shared = Shared.of(services, ClassRegistry(), lambda *_: lambda: None)
        shared.store_failed = self._failed
        shared.want_pg_temp = lambda _, osds: self.cluster.wanted_temp.append(osds)
        shared.pg_count = 1
        return shared

    def _failed(self, error: Exception) -> None:
        self.failed = error

    def _send(self, osd: int, message: Message, epoch: int) -> None:
        del epoch
        if self.alive:
            self.cluster.post(self.osd, osd, message)

    def _want_up_thru(self, epoch: int) -> None:
        self.cluster.up_thru[self.osd] = max(self.cluster.up_thru.get(self.osd, 0), epoch)

    def receive(self, sender: int, message: Any) -> None:
        """A message of another OSD."""
        message.connection = Connection(EntityName(EntityType.OSD, sender))
        if self.pg is None:
            self._make_for(message)
        if self.pg is not None:
            self.pg.dispatch(message)
        elif isinstance(message, MOSDPGQuery2):
            create.answer_for_absent(self.shared, message, self.cluster.maps.newest)

    def _make_for(self, message: Any) -> None:
        if isinstance(message, MOSDPGLog):
            epoch, history, past = message.query_epoch, message.info.history, message.past_intervals
        elif isinstance(message, MOSDPGNotify2):
            note = message.notify
            epoch, history, past = note.query_epoch, note.info.history, note.past_intervals
        elif isinstance(message, MOSDPGInfo2):
            epoch, history, past = message.min_epoch, message.info.history, PastIntervals()
        else:
            return
        self.make(epoch, history, past)

    def make(self, epoch: int, history: PGHistory, past: PastIntervals) -> None:
        """Makes the PG and takes it to the newest map."""
        maps = self.cluster.maps
        self.pg = create.create(
            self.shared, PGID, maps.get(epoch), maps.mapping[epoch], history, past
        )
        self.catch_up()

    def catch_up(self) -> None:
        """Takes the PG through the maps that it does not know."""
        maps, pg = self.cluster.maps, self.pg
        if pg is None:
            return
        for epoch in range(pg.epoch + 1, maps.newest + 1):
            intervals.advance(pg, maps.get(epoch), maps.mapping[epoch])
        intervals.activate_map(pg)

    def crash(self) -> None:
        """All that is not on disk is gone, and the process with it."""
        self.alive = False
        if self.pg is not None:
            lease.stop(self.pg)
            self.pg.deleted = True
        self.pg = None
        self.disk.clear()
        self.store = self.store.after_crash(self._defer)

    def restart(self) -> None:
        """A new process on what the disk has."""
        self.alive = True
        self.store.mount()
        self.shared = self._shared()
        maps = self.cluster.maps
        if self.store.collection_exists(Coll.of(PGID)):
            stored = pg_meta.read_info(self.store, PGID)
            self.pg = create.load(
                self.shared, PGID, stored, maps.get(stored.epoch), maps.mapping[stored.epoch]
            )
            self.catch_up()


class Cluster:
    """OSDs with one PG, a clock, maps, and messages on their way."""

    def __init__(self, osds: int = 1, *, size: int | None = None, min_size: int = 1) -> None:
        self.clock = Clock()
        self.config = Config()
        self.maps = Maps()
        self.up_thru: dict[int, int] = {}
        self.full: set[int] = set()
        """OSDs that maps say are full."""
        self.wanted_temp: list[list[int]] = []
        self.wires: dict[tuple[int, int], deque[Any]] = {}
        self.pool = PGPool(type=PoolType.REPLICATED, size=size or osds, min_size=min_size)
        self.pool.pg_num = self.pool.pgp_num = self.pool.pg_num_target = 1
        self.nodes = [Node(osd, self) for osd in range(osds)]
        self.new_map(up=list(range(osds)))

    # --- maps ---

    def new_map(
        self,
        up: list[int] | None = None,
        acting: list[int] | None = None,
        *,
        told: bool = True,
        **pool: Any,
    ) -> int:
        """The next map: `up` serve the PG (or `acting` for them), and who has crashed is down.

        Without `up` they are those of the last map, and crashes are not noticed. OSDs that are not
        told of it get it together with the next.
        """
        maps = self.maps
        if maps.by_epoch:
            osdmap = copy.copy(maps.current)
            osdmap.epoch += 1
            old = maps.mapping[maps.newest]
        else:
            osdmap = OSDMap(epoch=FIRST_EPOCH)
            osdmap.max_osd = len(self.nodes)
            osdmap.pool_name = {POOL: "p"}
            osdmap.osd_info = [OsdInfo(up_from=FIRST_EPOCH) for _ in self.nodes]
            osdmap.osd_xinfo = [OsdXInfo(features=PACIFIC) for _ in self.nodes]
            osdmap.osd_state = [0 for _ in self.nodes]
            osdmap.require_osd_release = 16
            old = PGMapping([], -1, [], -1)
        if pool:
            self.pool = copy.copy(self.pool)
            for name, value in pool.items():
                setattr(self.pool, name, value)
        osdmap.pools = {POOL: self.pool}
        noticed = up is not None  # else nobody has seen yet who has crashed
        up = old.up if up is None else up
        osdmap.osd_info = [copy.copy(info) for info in osdmap.osd_info]
        states = []
        for osd, info in enumerate(osdmap.osd_info):
            info.up_thru = max(info.up_thru, self.up_thru.get(osd, 0))
            was = osdmap.osd_state[osd] & OSDState.UP
            is_up = self.nodes[osd].alive if noticed else bool(was)
            if is_up and not was:
                info.up_from = osdmap.epoch
            elif was and not is_up:
                info.down_at = osdmap.epoch
            full = OSDState.FULL if osd in self.full else 0
            states.append(int(OSDState.EXISTS | (OSDState.UP if is_up else 0) | full))
        osdmap.osd_state = states
        if acting is None:
            acting = up if noticed else old.acting  # as the monitors were asked for
        maps.by_epoch[osdmap.epoch] = osdmap
        maps.mapping[osdmap.epoch] = PGMapping(
            up, up[0] if up else -1, acting, acting[0] if acting else -1
        )
        for node in self.nodes:
            if node.alive and told:
                node.catch_up()
        return osdmap.epoch

    # --- messages, disks ---

    def post(self, sender: int, receiver: int, message: Message) -> None:
        self.wires.setdefault((sender, receiver), deque()).append(crossed(message))

    def step(self, *, disks: bool = True) -> bool:
        """Something happens: a message arrives, or a disk is done; False if nothing can."""
        for (sender, receiver), wire in self.wires.items():
            if wire:
                message = wire.popleft()
                node = self.nodes[receiver]
                if node.alive:
                    node.receive(sender, message)
                return True
        if disks:
            for node in self.nodes:
                if node.disk:
                    node.disk.popleft()()
                    return True
        return False

    def settle(self) -> None:
        """Lets happen all that can, with the maps that OSDs ask for."""
        while True:
            while self.step():
                pass
            if self.clock.run_due():
                continue
            if self.wanted_temp:
                wanted = self.wanted_temp[-1]
                self.wanted_temp.clear()
                self.new_map(acting=wanted or self.maps.mapping[self.maps.newest].up)
                continue
            infos = self.maps.current.osd_info
            if all(infos[osd].up_thru >= epoch for osd, epoch in self.up_thru.items()):
                return
            self.new_map()

    def wait(self) -> None:
        """Lets leases of those who are gone end, and everything else happen."""
        self.settle()
        for _ in range(5):
            self.clock.advance(4)
            self.settle()

    # --- the PG ---

    def make_pg(self) -> PG:
        """The monitors ask the primary for the PG."""
        epoch = self.maps.newest
        primary = self.nodes[self.maps.mapping[epoch].acting_primary]
        history = PGHistory.created(epoch, UTime())
        primary.make(epoch, history, PastIntervals())
        self.settle()
        return self.primary

    @property
    def primary(self) -> PG:
        """The PG at its primary."""
        pg = self.nodes[self.maps.mapping[self.maps.newest].acting_primary].pg
        if pg is None:
            raise AssertionError("the primary does not have the PG")
        return pg

    @property
    def state(self) -> str:
        """What the primary reports."""
        return pg_state_text(self.primary.state)

    def send(self, client: Client, request: MOSDOp) -> int:
        """A client sends a request to the primary; its tid."""
        if not request.tid:
            client.tid += 1
            request.tid = client.tid
        arrived = crossed(request)
        arrived.connection = client.connection
        self.primary.dispatch(arrived)
        return int(request.tid)

    def ask(self, client: Client, name: str, *ops: OSDOp, flags: int = 0) -> MOSDOpReply:
        """Sends a request and lets it come to its end."""
        tid = self.send(client, self.request(name, *ops, flags=flags))
        self.settle()
        reply = client.reply(tid)
        if reply is None:
            raise AssertionError(f"request {tid} was not answered")
        return reply

    def request(self, name: str, *ops: OSDOp, flags: int = 0) -> MOSDOp:
        """A request on an object."""
        hobj = object_of(name)
        return MOSDOp(PGID, hobj, list(ops), self.maps.newest, flags | _FLAGS, mtime=UTime(5, 0))

    def stored(self, osd: int, name: str) -> bytes:
        """An object's data on one OSD."""
        return self.nodes[osd].store.read(Coll.of(PGID), GHObject(object_of(name)))


def object_of(name: str) -> HObject:
    """An object of the pool."""
    return HObject.of(POOL, name, str_hash(2, name.encode("utf-8", "surrogateescape")), snap=NOSNAP)


def write(data: bytes, offset: int = 0) -> OSDOp:
    return _op(OpCode.WRITE, Extent(offset, len(data)), data)


def write_full(data: bytes) -> OSDOp:
    return _op(OpCode.WRITEFULL, Extent(0, len(data)), data)


def append(data: bytes) -> OSDOp:
    return _op(OpCode.APPEND, Extent(0, len(data)), data)


def read(length: int = 0, offset: int = 0) -> OSDOp:
    return _op(OpCode.READ, Extent(offset, length))


def delete() -> OSDOp:
    return OSDOp.make(OpCode.DELETE)


def _op(code: OpCode, args: Extent, data: bytes = b"") -> OSDOp:
    return OSDOp.make(code, args, data)
