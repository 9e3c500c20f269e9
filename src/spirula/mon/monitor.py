"""A monitor: its quorum member, its services, its clients, and what binds them.

It stands on ports: an event loop, a messenger, a store, a clock and a source of random bytes, which
`daemon` plugs together. Here is what binds the parts; each part is a module: `driver` (quorum and
store), `intake` (messages and sessions), `proposals` (changes), `forwarding` (peons),
`subscriptions`, `commands.dispatch`, `services`.
Follows upstream `src/mon/Monitor.cc`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spirula.auth.caps.mon import ALLOW_ALL
from spirula.client.mgr_client import MgrClient
from spirula.commands.table import CommandTable
from spirula.conf.config import Config
from spirula.denc import features as feature_bits
from spirula.errors import CephError, NoSpace, NotConnected, WireError
from spirula.messages.auth import MAuth
from spirula.messages.base import Message
from spirula.messages.command import MCommand, MPing
from spirula.messages.mon_client import (
    MGetConfig,
    MMonCommand,
    MMonGetMap,
    MMonGetVersion,
    MMonMap,
    MMonSubscribe,
)
from spirula.mon import containment
from spirula.mon.commands import cluster as own_commands
from spirula.mon.commands.dispatch import CommandDispatch
from spirula.mon.driver import QuorumDriver
from spirula.mon.forwarding import Forwarding
from spirula.mon.intake import Intake
from spirula.mon.op_tracker import OpTracker
from spirula.mon.perf import MonitorPerf
from spirula.mon.proposals import Proposals
from spirula.mon.quorum.member import Member
from spirula.mon.quorum.state import (
    Active,
    ClusterLog,
    Event,
    Joined,
    Left,
    MonMapLearned,
    Outcome,
    Phase,
    Refresh,
    Send,
    SteppedAside,
    Stopped,
)
from spirula.mon.request import Request
from spirula.mon.services.auth.service import AuthService
from spirula.mon.services.base import PaxosService
from spirula.mon.services.config.service import ConfigService
from spirula.mon.services.fsmap import FSMapService
from spirula.mon.services.health import HealthService
from spirula.mon.services.kv.service import KVService
from spirula.mon.services.log import LogService
from spirula.mon.services.mgrmap import MgrMapService
from spirula.mon.services.mgrstat import MgrStatService
from spirula.mon.services.monmap import MonMapService
from spirula.mon.services.osdmap.service import OSDMapService
from spirula.mon.session import MonSession, SessionMap
from spirula.mon.subscriptions import Subscriptions
from spirula.store.keyvalue import KeyValueStore
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityName, EntityType
from spirula.types.log import CHANNEL_CLUSTER, LogLevel
from spirula.types.mon import MonMap, StoreTransaction

if TYPE_CHECKING:
    from spirula.msgr.tcp import Messenger

_ROOM_CHECK_S = 5.0
_LEVELS = {
    "debug": LogLevel.DEBUG,
    "info": LogLevel.INFO,
    "warn": LogLevel.WARN,
    "error": LogLevel.ERROR,
}
_BEFORE_EXPOSURE = (MMonGetMap, MPing, MCommand)
"""What clients send that never come back with their global id: see `AuthService.must_expose`."""


@dataclass(slots=True)
class Ports:
    """What a monitor stands on. `wall` gives seconds since 1970; `log` takes a level and a line.

    `stop` is called, with the reason, when the monitor cannot go on; `restart` when it could if its
    store were opened anew (where there is none, `stop`). `disk` tells how much room the
    store's disk has, as (total, available, used by the store) in bytes. `cluster_log` takes a path
    and lines of the cluster log for that file.
    """

    loop: asyncio.AbstractEventLoop
    wall: Callable[[], float]
    random_bytes: Callable[[int], bytes]
    log: Callable[[int, str], None]
    stop: Callable[[str], None]
    restart: Callable[[str], None] | None = None
    disk: Callable[[], tuple[int, int, int]] = lambda: (0, 0, 0)
    cluster_log: Callable[[str, str], None] = lambda path, lines: None
    metadata: dict[str, str] = field(default_factory=dict)


class Monitor:
    """One monitor. `intake` is the dispatcher of its messenger, which `attach` hands in."""

    def __init__(self, member: Member, store: KeyValueStore, config: Config, ports: Ports) -> None:
        self.member = member
        self.store = store
        self.config = config
        self.ports = ports
        self.loop = ports.loop
        self.log = ports.log
        self.random_bytes = ports.random_bytes
        self.sessions = SessionMap()
        self.ops = OpTracker(config)
        self.perf = MonitorPerf()
        self.proposals = Proposals(self)
        self.forwarding = Forwarding(self)
        self.messenger: Messenger
        self.reports: MgrClient
        self.quorum_since = 0.0
        self.left_quorum_at: float | None = None
        self.joined: Joined | None = None
        self.running = False
        self.driver = QuorumDriver(
            ports.loop,
            ports.wall,
            member,
            store,
            transmit=self._transmit,
            on_event=self._on_event,
            on_outcome=self._on_outcome,
            settled=self.proposals.resume,
            on_failure=self._on_store_failure,
        )
        self.local_session = MonSession(
            name=EntityName(EntityType.MON, max(member.state.rank, 0)),
            entity=PrincipalName(EntityType.MON, member.state.name),
            addrs=member.state.addrs,
            caps=ALLOW_ALL,
            features=feature_bits.PACIFIC,
        )
        self.monmap_service = MonMapService(self)
        self.auth = AuthService(self)
        self.config_service = ConfigService(self)
        self.kv = KVService(self)
        self.log_service = LogService(self)
        self.osdmap = OSDMapService(self)
        self.fsmap = FSMapService(self)
        self.mgrmap = MgrMapService(self)
        self.mgrstat = MgrStatService(self)
        self.health_service = HealthService(self)
        self.services: tuple[PaxosService, ...] = (
            self.monmap_service,
            self.auth,
            self.config_service,
            self.kv,
            self.osdmap,
            self.fsmap,
            self.mgrmap,
            self.mgrstat,
            self.log_service,
            # Last: it sees the checks that the others have written into the same proposal.
            self.health_service,
        )
        self._by_message: dict[type[Message], PaxosService] = {
            kind: service for service in self.services for kind in service.MESSAGES
        }
        self.intake = Intake(self)
        self.subscriptions = Subscriptions(self)
        self.commands = CommandTable()
        for service in self.services:
            self.commands.register(service, service.COMMANDS)
        self.commands.register(self, own_commands.GROUPS)
        self.command_dispatch = CommandDispatch(self)
        commands_bl = self.commands.for_monitors().encode()
        settings = replace(member.state.settings, commands_bl=commands_bl)
        member.configure(settings, ports.loop.time(), ports.wall())
        self._tick_timer: asyncio.TimerHandle | None = None

    # --- life

    def attach(self, messenger: Messenger) -> None:
        """Hands in the messenger, whose dispatcher is `intake`."""
        self.messenger = messenger
        self.reports = MgrClient(self.loop, messenger, self.config, self.perf.collection, self.name)

    def start(self) -> None:
        """Read the store, and look for a quorum."""
        self.running = True
        self._refresh()
        self.driver.start()
        self._arm_tick()

    def stop(self) -> None:
        """End everything but the messenger and the store, which belong to whoever made them."""
        self.log_service.stop()
        self.reports.stop()
        self.running = False
        self.driver.stop()
        self.proposals.stop()
        self.command_dispatch.stop()
        if self._tick_timer is not None:
            self._tick_timer.cancel()
            self._tick_timer = None

    # --- what services ask

    def now(self) -> float:
        """The monotonic clock, in seconds."""
        return self.loop.time()

    def wall(self) -> float:
        """Seconds since 1970."""
        return self.ports.wall()

    @property
    def name(self) -> str:
        """This monitor's name: `a` of mon.a."""
        return self.member.state.name

    @property
    def rank(self) -> int:
        """This monitor's rank in the monitor map; -1 if it is not in it."""
        return self.member.state.rank

    @property
    def monmap(self) -> MonMap:
        """The monitor map in use."""
        return self.member.state.monmap

    @property
    def is_leader(self) -> bool:
        """Whether this monitor leads a quorum."""
        return self.member.state.phase is Phase.LEADER

    @property
    def is_peon(self) -> bool:
        """Whether this monitor follows a leader."""
        return self.member.state.phase is Phase.PEON

    @property
    def in_quorum(self) -> bool:
        """Whether this monitor is in a quorum."""
        return self.is_leader or self.is_peon

    @property
    def last_commit_at(self) -> float:
        """When the last proposal of services was committed, by the monotonic clock."""
        return self.proposals.last_commit_at

    def is_readable(self) -> bool:
        """Whether what is committed may be told to clients now."""
        return self.member.readable(self.loop.time(), self.ports.wall())

    def is_writeable(self) -> bool:
        """Whether changes may be prepared now."""
        return self.proposals.is_writeable()

    def schedule_proposal(self) -> None:
        """A service has something pending."""
        self.proposals.schedule()

    def when_committed(
        self,
        done: Callable[[], None],
        failed: Callable[[], None] | None = None,
        aborted: Callable[[str], None] | None = None,
    ) -> None:
        """See `Proposals.when_committed`."""
        self.proposals.when_committed(done, failed, aborted)

    def wait_readable(self, action: Callable[[], None], version: tuple[PaxosService, int]) -> None:
        """See `Proposals.wait_readable`."""
        self.proposals.wait_readable(action, *version)

    def wait_writeable(self, action: Callable[[], None]) -> None:
        """See `Proposals.wait_writeable`."""
        self.proposals.wait_writeable(action)

    def propose(self, transaction: StoreTransaction, token: object) -> None:
        """Hand a transaction to Paxos."""
        self.perf.on_propose(transaction)
        self.member.propose(transaction, token, self.loop.time(), self.ports.wall())
        self.driver.pump()

    def forward(self, request: Request) -> None:
        """Pass a request to the leader."""
        self.forwarding.forward(request)

    def clog(self, level: LogLevel, text: str, channel: str = CHANNEL_CLUSTER) -> None:
        """A line of this monitor's for the cluster log."""
        self.log_service.write(level, text, channel)

    def on_monmap(self, monmap: MonMap) -> None:
        """A monitor map was committed."""
        if monmap.epoch > self.monmap.epoch:
            self.member.take_monmap(monmap, self.loop.time(), self.ports.wall())

    def send_osdmaps(self, session: MonSession, first: int) -> None:
        """Send a client OSD maps from an epoch on."""
        self.osdmap.send_incremental(session, first)

    # --- sending

    def send(self, session: MonSession, message: Message) -> None:
        """Send to a client, once what is known here is durable."""
        connection = session.connection
        if connection is not None:
            self.driver.after_durable(lambda: connection.send_message(message))

    def answer(self, session: MonSession, message: Message | None) -> None:
        """Send the answer to a request of a session; None: there is none."""
        if session.proxy is not None:
            self.driver.after_durable(lambda: self.forwarding.route(session, message))
        elif message is not None:
            self.send(session, message)

    def send_to_rank(self, rank: int, message: Message) -> None:
        """Send to another monitor of the map."""
        if 0 <= rank < len(self.monmap.ranks):
            addrs = self.monmap.addrs(rank)
            self.driver.after_durable(lambda: self._transmit(Send(addrs, message)))

    def _transmit(self, send: Send) -> None:
        try:
            self.messenger.send_to(send.message, EntityType.MON, send.to)
        except (NotConnected, ValueError) as error:
            self.log(1, f"cannot send {type(send.message).__name__} to {send.to}: {error}")

    # --- the member's events

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Refresh):
            self._refresh()
        elif isinstance(event, Active):
            self.proposals.active()
        elif isinstance(event, Joined):
            self._on_joined(event)
        elif isinstance(event, Left):
            self._on_left()
        elif isinstance(event, MonMapLearned):
            self.log(1, f"learned of monitor map {event.monmap.epoch}")
        elif isinstance(event, ClusterLog):
            self.clog(_LEVELS[event.level], event.text)
        elif isinstance(event, SteppedAside):
            self.log(0, f"mon.{event.name} takes no part for now: {event.reason}")
        elif isinstance(event, Stopped):
            self.log(0, f"stopping: {event.reason}")
            self.ports.stop(event.reason)

    def _refresh(self) -> None:
        began = self.now()
        for service in self.services:
            service.refresh()
        self.perf.on_refresh(self.now() - began)

    def _on_joined(self, event: Joined) -> None:
        self.joined = event
        self.quorum_since = self.wall()
        self.left_quorum_at = None
        names = [self.monmap.ranks[rank] for rank in sorted(event.quorum)]
        self.log(0, f"election {event.epoch}: mon.{self.monmap.ranks[event.leader]} leads {names}")
        self.perf.on_joined(leads=self.is_leader)
        self.proposals.restart()
        self.local_session.name = EntityName(EntityType.MON, self.rank)
        self.loop.call_soon(self._after_joining, event)

    def _after_joining(self, event: Joined) -> None:
        if self.joined is event and self.running and self.in_quorum:
            self.forwarding.resend()
            if self.is_leader:
                ranks = sorted(event.quorum)
                names = ",".join(self.monmap.ranks[rank] for rank in ranks)
                text = f"mon.{self.name} is new leader, mons {names} in quorum"
                self.clog(LogLevel.INFO, f"{text} (ranks {','.join(map(str, ranks))})")
            own_commands.on_joined(self, event)

    def _on_left(self) -> None:
        self.left_quorum_at = self.now()
        self.proposals.restart()

    def _on_outcome(self, outcome: Outcome) -> None:
        self.proposals.decided(outcome)

    def leave(self, reason: str) -> bool:
        """Leave the quorum for good, and tell the others; whether there was one."""
        if not self.in_quorum:
            return False
        self.member.step_aside(reason, self.now(), self.wall())
        self.driver.pump()
        return True

    def _on_store_failure(self, error: CephError) -> None:
        self.log(0, f"the store cannot commit: {error}")
        if not isinstance(error, NoSpace):
            self.ports.stop(f"the store cannot commit: {error}")
            return
        self.driver.give_up_store(f"no space left for its store: {error}")
        self.loop.call_later(_ROOM_CHECK_S, self._look_for_room)

    def _look_for_room(self) -> None:
        """Begin anew once there is more room than a monitor must have."""
        if not self.running:
            return
        total, available, _ = self.ports.disk()
        if available * 100 >= total * self.config.get_int("mon_data_avail_crit"):
            (self.ports.restart or self.ports.stop)("there is room for the store again")
        else:
            self.loop.call_later(_ROOM_CHECK_S, self._look_for_room)

    def dispatch(self, request: Request) -> None:
        """A message of a client, our own or forwarded, finds who answers it."""
        if request.is_stale:
            return
        self.ops.begin(request, self.wall())
        session, what = request.session, type(request.message).__name__
        try:
            self._find(request)
        except WireError as error:
            self.log(0, f"{what} from {session}: {error}")
            request.no_reply()
            if session.connection is not None:
                self.intake.close(session, "it has sent what cannot be read")
        except Exception as error:  # noqa: BLE001 - a bug, which must not end the monitor
            text = containment.contain(self, f"{what} from {session}", error)
            self.command_dispatch.fail(request, text)
            request.no_reply()

    def _find(self, request: Request) -> None:
        message, session = request.message, request.session
        kind = type(message)
        if kind not in _BEFORE_EXPOSURE and self.auth.must_expose(session):
            request.no_reply()
            self.intake.close(session, "it has to show whether it proves its global id")
        elif kind is MMonCommand:
            self.command_dispatch.on_command(request)
        elif kind is MMonSubscribe:
            self.subscriptions.on_subscribe(request)
        elif kind is MMonGetVersion:
            self.subscriptions.on_get_version(request)
        elif kind is MMonGetMap:
            encoded = self.monmap.encode(session.features)
            request.reply(MMonMap(encoded))
        elif kind is MCommand:
            self.command_dispatch.on_tell(request)
        elif kind is MPing:
            answer = MPing(own_commands.pong(self))
            request.reply(answer)
        elif kind is MGetConfig:
            self.config_service.on_get_config(request)
        elif kind is MAuth:
            self.auth.on_auth(request)
        else:
            service = self._by_message.get(kind)
            if service is not None:
                service.dispatch(request)
            else:
                self.log(1, f"{kind.__name__} from {session} is nothing for a monitor")

    def dispatch_local(self, message: Message) -> None:
        """A message of this monitor's own for its services (forwarded to the leader)."""
        self.dispatch(Request(self, message, self.local_session, self.wall()))

    def admin_request(
        self, prefix: str, given: dict[str, object], fmt: str, session: MonSession
    ) -> Request:
        """A command from the admin socket, for a handler of ours."""
        message = MMonCommand(version=0, fsid=self.monmap.fsid, cmd=[])
        request = Request(self, message, session, self.wall())
        request.prefix, request.given, request.format = prefix, given, fmt
        return request

    # --- time

    def _arm_tick(self) -> None:
        interval = self.config.get_float("mon_tick_interval")
        self._tick_timer = self.loop.call_later(interval, self._tick)

    def _tick(self) -> None:
        self._arm_tick()
        if self.in_quorum and self.is_readable():
            for service in self.services:
                try:
                    service.tick()
                except Exception as error:  # noqa: BLE001 - a bug, which must not end the monitor
                    containment.contain(self, f"tick of {service.NAME}", error)
            if self.is_leader:
                self.proposals.trim()
        self.intake.trim()
        self.perf.update(self)
        self.ops.read_options()
        self.ops.forget(self.wall())
        own_commands.tick(self)
