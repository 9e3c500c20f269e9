"""What an OSD knows: the record that all its parts work on, and what it is given to run on.

`daemon` makes it from ports, `osd` routes messages to the parts: `boot`, `heartbeat`, `maps`,
`reports`, `commands`, `pg`.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, Task, TimerHandle
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from spirula.client.log_client import LogClient
from spirula.client.mgr_client import MgrClient
from spirula.client.mon_client import MonClient
from spirula.conf.config import Config
from spirula.conf.perf import PerfCollection
from spirula.messages.base import Message
from spirula.msgr.tcp import Messenger
from spirula.osd.maps import Maps
from spirula.osd.scrub.schedule import Load
from spirula.store.objectstore import ObjectStore
from spirula.types.log import LogLevel

if TYPE_CHECKING:
    from spirula.msgr.connection import Connection
    from spirula.osd.commands.tell import TellCommands
    from spirula.osd.heartbeat import Heartbeats
    from spirula.osd.op_tracker import OpTracker
    from spirula.osd.perf import OSDPerf
    from spirula.osd.perf_queries import PerfQueries
    from spirula.osd.pgs import PlacementGroups
    from spirula.osd.remote import RemoteOps
    from spirula.osd.reports import Reports
    from spirula.osd.scrub.purged import PurgedScrub
    from spirula.osd.services import Services
    from spirula.types.entity import EntityAddrVec
    from spirula.types.osd_superblock import OSDSuperblock


class Phase(StrEnum):
    """Where an OSD stands between start and end (upstream's OSD states)."""

    INITIALIZING = "initializing"
    PREBOOT = "preboot"
    BOOTING = "booting"
    ACTIVE = "active"
    STOPPING = "stopping"
    WAITING_FOR_HEALTHY = "waiting_for_healthy"


async def _no_disks(_: str) -> bytes:
    """There are none to be asked."""
    return b"{}"


@dataclass(slots=True)
class Ports:
    """What an OSD runs on.

    `wall` gives seconds since 1970, `random_bytes` unpredictable bytes, `log` takes a level and a
    line. `stop` is called with a reason when the OSD cannot go on. `metadata` is what it tells of
    its host, `load_average` the host's over a minute. `monotonic`: seconds of a clock that only
    goes forward, where there is one that is more exact than the loop's. `processors`: how many
    the host has. `smart` gives what smartctl says of the disks below the store, or of the one of
    an id, as JSON by the disks' ids.
    """

    loop: AbstractEventLoop
    wall: Callable[[], float]
    random_bytes: Callable[[int], bytes]
    log: Callable[[int, str], None]
    stop: Callable[[str], None]
    metadata: dict[str, str] = field(default_factory=dict)
    load_average: Callable[[], float] = lambda: 0.0
    monotonic: Callable[[], float] | None = None
    processors: int = 1
    smart: Callable[[str], Awaitable[bytes]] = _no_disks


@dataclass(slots=True)
class Messengers:
    """An OSD's messengers: for clients and daemons, for OSDs, to be pinged at, to ping with, to be
    a client of OSDs with.
    """

    client: Messenger
    cluster: Messenger
    hb_front: Messenger
    hb_back: Messenger
    hb_client: Messenger
    objecter: Messenger

    def all(self) -> list[Messenger]:
        """All of them, those that carry data first."""
        pings = [self.hb_front, self.hb_back, self.hb_client]
        return [self.client, self.cluster, *pings, self.objecter]


@dataclass(slots=True, eq=False)
class OSD:
    """An OSD. `up_epoch`: since which map it is up (0: it is not); `boot_epoch`: since which this
    process was first up; `bind_epoch`: the map in force when it last took new addresses.
    """

    whoami: int
    ports: Ports
    config: Config
    store: ObjectStore
    maps: Maps
    messengers: Messengers
    monitors: MonClient
    perf: PerfCollection = field(default_factory=PerfCollection)
    now: Callable[[], float] = field(init=False)
    """Seconds of a clock that only goes forward."""
    phase: Phase = Phase.INITIALIZING
    up_epoch: int = 0
    boot_epoch: int = 0
    bind_epoch: int = 0
    started: float = 0.0
    """The loop's time at which the OSD was made: its own clock counts from there."""
    markdowns: deque[float] = field(default_factory=deque)
    """When it was marked down although it lives, by the loop's time."""
    up_thru_wanted: int = 0
    subscribed_from: int = 0
    """The epoch of OSD maps that the monitors were asked for last."""
    last_mon_heartbeat: float = 0.0
    preparing_to_stop: bool = False
    timers: dict[str, TimerHandle] = field(default_factory=dict)
    waiting_for_map: list[tuple[int, Message, float]] = field(default_factory=list)
    """Requests of a newer map than the one in force, with its epoch and when they came."""
    tasks: set[Task[None]] = field(default_factory=set)
    routes: dict[int, tuple[EntityAddrVec, Connection]] = field(default_factory=dict)
    """Connections to other OSDs with the addresses, as a map has them, that they go to."""

    heartbeats: Heartbeats = field(init=False)
    reports: Reports = field(init=False)
    services: Services = field(init=False)
    pgs: PlacementGroups = field(init=False)
    remote: RemoteOps = field(init=False)
    manager: MgrClient = field(init=False)
    queries: PerfQueries = field(init=False)
    clog_client: LogClient = field(init=False)
    tracker: OpTracker = field(init=False)
    commands: TellCommands = field(init=False)
    scrub_load: Load = field(init=False)
    """The host's load, as it bears upon when PGs are scrubbed."""
    purged_scrub: PurgedScrub | None = None
    """The look for clones of purged snapshots that is under way."""
    stopped: Future[None] | None = None
    """Set while the monitors are told that the OSD ends."""
    counters: OSDPerf = field(init=False)

    def __post_init__(self) -> None:
        self.now = self.ports.monotonic or self.ports.loop.time
        self.started = self.now()
        self.scrub_load = Load(self.ports.processors)

    @property
    def superblock(self) -> OSDSuperblock:
        """Who the OSD is, and what it has."""
        return self.maps.superblock

    @property
    def is_active(self) -> bool:
        """Whether it serves."""
        return self.phase is Phase.ACTIVE

    @property
    def is_stopping(self) -> bool:
        """Whether it is on its way to the end."""
        return self.phase is Phase.STOPPING

    def mono(self) -> float:
        """Seconds since the OSD was started: the clock that heartbeats compare."""
        return self.now() - self.started

    def log(self, level: int, text: str) -> None:
        """A line for the OSD's own log."""
        self.ports.log(level, text)

    def clog(self, level: LogLevel, text: str) -> None:
        """A line for the cluster log."""
        self.clog_client.log(level, text)

    def call_later(self, name: str, delay_s: float, call: Callable[[], None]) -> None:
        """Sets the timer of that name; the one that was set before is gone."""
        before = self.timers.pop(name, None)
        if before is not None:
            before.cancel()
        self.timers[name] = self.ports.loop.call_later(delay_s, call)

    def stop_acknowledged(self) -> None:
        """The monitors know that the OSD ends, or have had their time."""
        if self.stopped is not None and not self.stopped.done():
            self.stopped.set_result(None)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something that waits for answers (never a client's operation)."""
        task = self.ports.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def cancel_all(self) -> None:
        """No timer and no task is left."""
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()
        for task in list(self.tasks):
            task.cancel()


def subscribe_maps(osd: OSD, epoch: int, *, force: bool = False) -> None:
    """Ask the monitors for OSD maps from an epoch on, unless that was done."""
    if osd.subscribed_from >= epoch and not force:
        return
    osd.subscribed_from = max(osd.subscribed_from, epoch)
    osd.monitors.subscribe("osdmap", epoch, onetime=True)
