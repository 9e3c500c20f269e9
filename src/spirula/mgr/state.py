"""What a manager knows: the record that all its parts work on, and what it is given to run on.

Made by `daemon` from ports; `manager` routes messages to the parts.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Event, Task, TimerHandle
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from spirula.client.log_client import LogClient
from spirula.client.session import ClusterSession
from spirula.conf.config import Config
from spirula.conf.perf import PerfCollection
from spirula.mgr.daemons.index import DaemonIndex
from spirula.mgr.modules import ModuleHost, NoModules
from spirula.mgr.perf_queries import PerfQueries
from spirula.msgr.connection import Connection
from spirula.msgr.tcp import Messenger
from spirula.pgmap.record import Changes, PGMap
from spirula.types.log import LogLevel
from spirula.types.mgr import MgrMap
from spirula.types.pg import PGId
from spirula.types.service import HealthCheck, ProgressEvent, ServiceMap

if TYPE_CHECKING:
    from spirula.maps.osdmap import OSDMap
    from spirula.messages.fsmap import MFSMap
    from spirula.mgr.commands.dispatch import CommandDispatch
    from spirula.types.mon import MonMap


class Phase(StrEnum):
    """Where a manager stands (upstream MgrStandby::state_str)."""

    STANDBY = "standby"
    STARTING = "active (starting)"
    ACTIVE = "active"
    STOPPING = "stopping"


@dataclass(slots=True)
class Ports:
    """What a manager runs on.

    `wall` gives seconds since 1970, `random_bytes` unpredictable bytes, `log` takes a level and a
    line. `stop` is called with a reason when the manager cannot go on, `respawn` when it has to
    begin anew as a standby. `metadata` is what it tells of its host.
    """

    loop: AbstractEventLoop
    wall: Callable[[], float]
    random_bytes: Callable[[int], bytes]
    log: Callable[[int, str], None]
    stop: Callable[[str], None]
    respawn: Callable[[str], None]
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Manager:
    """A manager.

    `session` is its side as a client of the cluster, `server` the messenger that daemons and
    clients come to once it is active. `pgmap` and `changes` are the statistics and what was
    reported since the last report; `pgmap_ready` that every OSD has been heard of, or for long
    enough has not. `checks` are health checks of modules, by module.
    """

    name: str
    ports: Ports
    config: Config
    session: ClusterSession
    server: Messenger
    clog_client: LogClient
    perf: PerfCollection = field(default_factory=PerfCollection)
    phase: Phase = Phase.STANDBY
    mgrmap: MgrMap = field(default_factory=MgrMap)
    available_in_map: bool = False
    watching: bool = False
    """Whether the active manager is being asked if it is there; see `standby`."""

    pgmap: PGMap = field(default_factory=PGMap)
    changes: Changes = field(default_factory=Changes)
    reported_pgs: dict[PGId, bytes] = field(default_factory=dict)
    """The last report of each PG, encoded: what has not changed is not looked at again."""
    pgmap_ready: bool = False
    reported_osds: set[int] = field(default_factory=set)
    active_since: float = 0.0
    known_pg_num: dict[int, int] = field(default_factory=dict)
    """How many PGs each pool has by the map that `pgmap` knows of."""

    daemons: DaemonIndex = field(default_factory=DaemonIndex)
    connections: set[Connection] = field(default_factory=set)
    """Of daemons that report."""
    osd_connections: dict[int, set[Connection]] = field(default_factory=dict)
    service_map: ServiceMap = field(default_factory=ServiceMap)
    pending_services: ServiceMap = field(default_factory=ServiceMap)
    services_dirty: int = 0
    """The epoch of `pending_services` that was changed last."""
    mon_status: bytes = b""
    health: bytes = b""
    fsmap: MFSMap | None = None
    checks: dict[str, dict[str, HealthCheck]] = field(default_factory=dict)
    commands: CommandDispatch = field(init=False)
    modules: ModuleHost = field(default_factory=NoModules)
    progress: dict[str, ProgressEvent] = field(default_factory=dict)
    """What modules say goes on for long, by their names for it."""
    uris: dict[str, str] = field(default_factory=dict)
    """Where modules serve."""
    module_clients: dict[str, str] = field(default_factory=dict)
    """Addresses of RADOS clients in modules, and whose they are."""
    listen: Callable[[], Awaitable[None]] = field(init=False)
    """Opens the server. OSError where no port is free."""
    queries: PerfQueries = field(default_factory=PerfQueries)
    """Counters that modules want of OSDs."""
    heard: Event = field(default_factory=Event)
    """Set whenever something came that the start waits for."""
    device_notes: dict[str, dict[str, str]] = field(default_factory=dict)
    """What is kept of devices, by their ids; see `devices`."""
    timers: dict[str, TimerHandle] = field(default_factory=dict)
    tasks: set[Task[None]] = field(default_factory=set)

    @property
    def osdmap(self) -> OSDMap:
        """The newest OSD map."""
        return self.session.objecter.maps.osdmap

    @property
    def monmap(self) -> MonMap | None:
        """The newest monitor map."""
        return self.session.monitors.monmap

    @property
    def gid(self) -> int:
        """The number under which the monitors know this process."""
        return self.session.monitors.auth.global_id

    @property
    def fsid_text(self) -> str:
        """The cluster's id, in print."""
        return str(UUID(bytes=bytes(self.session.monitors.fsid)))

    @property
    def is_active(self) -> bool:
        """Whether it serves."""
        return self.phase is Phase.ACTIVE

    def log(self, level: int, text: str) -> None:
        """A line for the manager's own log."""
        self.ports.log(level, text)

    def clog(self, level: LogLevel, text: str, channel: str = "cluster") -> None:
        """A line for the cluster log."""
        self.clog_client.log(level, text, channel)

    def call_later(self, name: str, delay_s: float, call: Callable[[], None]) -> None:
        """Sets the timer of that name; the one that was set before is gone."""
        before = self.timers.pop(name, None)
        if before is not None:
            before.cancel()
        self.timers[name] = self.ports.loop.call_later(delay_s, call)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something that waits for answers."""
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
