"""MgrMapService: one manager is active, others stand by; the monitors choose and replace it.

Managers send beacons; the leader makes the first one active and replaces it when its beacons cease.
The OSDs are told to refuse the replaced one (a blocklist entry), so that there are never two. The
active manager's commands are kept, for clients learn of all commands from the monitors. Called by
`monitor`. Store format and rules: upstream `src/mon/MgrMonitor.cc`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.denc import Map, Struct, Vec, string, struct
from spirula.maps.state import count_osds
from spirula.messages.mgr import MMgrBeacon
from spirula.messages.mgr_map import MMgrMap
from spirula.mon.services.base import PaxosService
from spirula.mon.services.mgrmap import active, commands, native, show
from spirula.mon.services.mgrmap.digests import WHAT, Digests
from spirula.mon.services.osdmap.blocklist import blocklist_all
from spirula.mon.store import get_number
from spirula.types.base import UTime
from spirula.types.log import LogLevel
from spirula.types.mgr import MgrMap
from spirula.types.mon import CommandFlag, MonCommand
from spirula.types.service import HealthCheck, HealthStatus

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request
    from spirula.mon.session import MonSession, Subscription
    from spirula.mon.store import Transaction
    from spirula.types.entity import EntityAddrVec

METADATA = "mgr_metadata"
DESCRIPTIONS = "mgr_command_descs"
EVER_ACTIVE = "ever_had_active_mgr"
_OCTOPUS = 15


@struct
class Descriptions(Struct):
    """The commands of the manager."""

    commands: Vec[MonCommand]


@struct
class Metadata(Struct):
    """What a manager tells of itself."""

    values: Map[string, string]


class MgrMapService(PaxosService):
    """The manager map of one monitor.

    `map` is the committed one. At the leader `last_beacon` is when each manager was heard of last,
    by number and the monotonic clock.
    """

    NAME = "mgr"
    COMMANDS = (commands.commands,)
    MESSAGES = (MMgrBeacon,)
    SUBSCRIPTIONS = {"mgrmap": None, WHAT: None}  # noqa: RUF012 - ClassVar of the base

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(monitor)
        self.map = MgrMap(client_names=[])
        self.pending = MgrMap(client_names=[])
        self.pending_metadata: dict[str, dict[str, str] | None] = {}
        self.pending_descriptions: list[MonCommand] = []
        self.last_beacon: dict[int, float] = {}
        self.digests = Digests(monitor)
        self._descriptions: list[MonCommand] = []
        self._described: tuple[int, bool] | None = None
        self._inactive_since: float | None = None
        self._ever_active = False
        self._last_tick: float | None = None
        self._logged = 0

    # --- what others ask

    @property
    def active_addrs(self) -> EntityAddrVec:
        """Where the active manager serves; empty while none does."""
        return self.map.active_addrs

    def command_descs(self) -> list[MonCommand]:
        """The commands that the manager answers."""
        return self._descriptions or native.commands()

    def metadata(self, name: str) -> dict[str, str] | None:
        """What a manager told of itself when it came."""
        encoded = self.monitor.store.get(METADATA, name)
        return dict(sorted(Metadata.decode(encoded).values.items())) if encoded else None

    def all_metadata(self) -> list[dict[str, str]]:
        """What all managers told, in the order of their names."""
        return [self.metadata(name) or {} for name in active.all_names(self.map)]

    def hosts(self) -> dict[str, list[object]]:
        """Names of managers by the host that they run on."""
        found: dict[str, list[object]] = {}
        for name in active.all_names(self.map):
            host = (self.metadata(name) or {}).get("hostname")
            if host is not None:
                found.setdefault(host, []).append(name)
        return dict(sorted(found.items()))

    # --- Paxos

    def create_initial(self) -> None:
        names = self.monitor.config.get_str("mgr_initial_modules")
        self.pending.modules = set(names.replace(",", " ").split())
        self.pending.always_on_modules = active.ALWAYS_ON
        self.pending_descriptions = native.commands()

    def update(self) -> None:
        version = self.last_committed
        if version != self.map.epoch:
            encoded = self.get_version(version)
            if encoded is not None:
                self._load(encoded)
        self.digests.tick()

    def _load(self, encoded: bytes) -> None:
        self.map = MgrMap.decode(encoded)
        self._ever_active = get_number(self.monitor.store, self.NAME, EVER_ACTIVE) != 0
        if self.map.available:
            self._inactive_since = None
        elif self._inactive_since is None:
            self._inactive_since = self.monitor.wall()
        now = (self.map.active_gid, self.map.available)
        if self.map.available or self._described is None:
            if self._described != now:
                self._load_descriptions()
            self._described = now
        self.notify_subscribers()
        self.monitor.reports.follow(self.map)
        self.monitor.command_dispatch.proxy.on_mgrmap()

    def _load_descriptions(self) -> None:
        encoded = self.monitor.store.get(DESCRIPTIONS, "")
        if encoded is not None:
            self._descriptions = Descriptions.decode(encoded).commands

    def create_pending(self) -> None:
        self.pending = active.copy(self.map)
        self.pending.epoch += 1
        self.pending_metadata = {}
        self.pending_descriptions = []

    def encode_pending(self, transaction: Transaction) -> None:
        self.put_version(transaction, self.pending.epoch, self.pending.encode())
        for name, values in sorted(self.pending_metadata.items()):
            if values is None:
                transaction.erase(METADATA, name)
            else:
                transaction.put(METADATA, name, Metadata(values).encode())
        if self.pending.active_gid:
            transaction.put(self.NAME, EVER_ACTIVE, 1)
        self.encode_health(transaction, self.gather_health())
        if self.pending_descriptions:
            for command in self.pending_descriptions:
                command.flags |= CommandFlag.MGR
            encoded = Descriptions(self.pending_descriptions).encode()
            transaction.put(DESCRIPTIONS, "", encoded)
            self._described = None

    def gather_health(self) -> dict[str, HealthCheck]:
        severity = self._severity_of_absence()
        if self.pending.active_gid or severity is HealthStatus.OK:
            return {}
        return {"MGR_DOWN": HealthCheck(severity, "no active mgr", [], 0)}

    def _severity_of_absence(self) -> HealthStatus:
        """How bad it is that no manager is active: not at all before there are OSDs."""
        monitor = self.monitor
        born = float(monitor.monmap.created)
        old_enough = monitor.wall() > born + monitor.config.get_int("mon_mgr_mkfs_grace")
        if not old_enough or not count_osds(monitor.osdmap.osdmap).all:
            return HealthStatus.OK
        since = self._inactive_since
        grace = monitor.config.get_int("mon_mgr_inactive_grace")
        if since is not None and monitor.wall() - since > grace:
            return HealthStatus.ERR
        return HealthStatus.WARN

    def trim_to(self) -> int:
        return max(self.map.epoch - self.monitor.config.get_int("mon_max_mgrmap_epochs"), 0)

    def on_restart(self) -> None:
        self.last_beacon.clear()
        self._last_tick = self.monitor.now()
        self._logged = 0

    def on_active(self) -> None:
        if not self.monitor.is_leader:
            return
        if self._logged != self.map.epoch:
            self._logged = self.map.epoch
            text = show.summary(self.map, self.monitor.wall())
            self.monitor.clog(LogLevel.DEBUG, f"mgrmap e{self.map.epoch}: {text}")
        if self.have_pending and self.pending.always_on_modules != active.ALWAYS_ON:
            self.pending.always_on_modules = active.ALWAYS_ON
            self.propose()

    # --- beacons

    def preprocess(self, request: Request) -> bool:
        beacon = request.message
        if (
            isinstance(beacon, MMgrBeacon)
            and request.session.is_capable("mgr", execute=True)
            and beacon.fsid == self.monitor.monmap.fsid
        ):
            return False
        request.no_reply()
        return True

    def prepare(self, request: Request) -> None:
        beacon = request.message
        request.no_reply()
        if not isinstance(beacon, MMgrBeacon):
            return
        pending, monitor = self.pending, self.monitor
        changed = self._on_restarted(beacon)
        self.last_beacon[beacon.gid] = monitor.now()
        if pending.active_gid == beacon.gid:
            changed |= self._on_active_beacon(beacon)
        elif not pending.active_gid:
            active.activate(pending, beacon, self._stamp())
            self.pending_metadata[beacon.name] = beacon.metadata
            monitor.clog(LogLevel.INFO, f"Activating manager daemon {beacon.name}")
            changed = True
        else:
            updated, came = active.update_standby(pending, beacon)
            if came:
                monitor.clog(LogLevel.DEBUG, f"Standby manager daemon {beacon.name} started")
                self.pending_metadata[beacon.name] = beacon.metadata
            changed |= updated
        if changed:
            self.propose()

    def _on_restarted(self, beacon: MMgrBeacon) -> bool:
        """A known name with another number is another process: the old one is gone."""
        pending, monitor = self.pending, self.monitor
        changed = False
        if beacon.name == pending.active_name and beacon.gid != pending.active_gid:
            monitor.clog(LogLevel.INFO, f"Active manager daemon {beacon.name} restarted")
            self.drop_active()
            changed = True
        gid = active.standby_named(pending, beacon.name)
        if gid is not None and gid != beacon.gid:
            monitor.clog(LogLevel.DEBUG, f"Standby manager daemon {beacon.name} restarted")
            self.drop_standby(gid)
            changed = True
        return changed

    def _on_active_beacon(self, beacon: MMgrBeacon) -> bool:
        changed = active.update_active(self.pending, beacon)
        if self.pending.available != beacon.available:
            self.monitor.clog(
                LogLevel.INFO, f"Manager daemon {self.pending.active_name} is now available"
            )
            self.pending_descriptions = list(beacon.command_descs)
            self.pending.available = beacon.available
            changed = True
        return changed

    # --- who is active

    def _stamp(self) -> UTime:
        return UTime.at(self.monitor.wall())

    def drop_active(self) -> None:
        """The active manager is none any more, and must not act on the cluster again."""
        pending, monitor = self.pending, self.monitor
        until = UTime.at(monitor.wall() + monitor.config.get_float("mon_mgr_blocklist_interval"))
        epoch = blocklist_all(monitor.osdmap, pending.active_addrs, until)
        for addrs in pending.clients:
            blocklist_all(monitor.osdmap, addrs, until)
        monitor.osdmap.propose()
        self.last_beacon.pop(pending.active_gid, None)
        self.pending_metadata[pending.active_name] = None
        active.drop_active(pending, self._stamp(), epoch)

    def drop_standby(self, gid: int) -> None:
        """A manager that stood by is gone."""
        self.pending_metadata[self.pending.standbys.pop(gid).name] = None
        self.last_beacon.pop(gid, None)

    def promote(self) -> bool:
        """Let a standby take over, if there is one."""
        return active.promote_standby(self.pending, self._stamp())

    def tick(self) -> None:
        self.digests.tick()
        if not self.is_writeable:
            return
        changed = self._drop_silent()
        pending, monitor = self.pending, self.monitor
        if not pending.active_gid and self.promote():
            monitor.clog(LogLevel.INFO, f"Activating manager daemon {pending.active_name}")
            changed = True
        if pending.active_gid == 0 and self.gather_health() != self.health.checks:
            changed = True
        if monitor.monmap.min_mon_release >= _OCTOPUS and "orchestrator_cli" in pending.modules:
            # It has another name since, and is always on.
            pending.modules.discard("orchestrator_cli")
            changed = True
        if changed:
            self.propose()

    def _drop_silent(self) -> bool:
        """Drop the managers whose beacons have ceased; replace the active one."""
        pending, monitor, now = self.pending, self.monitor, self.monitor.now()
        grace = monitor.config.get_int("mon_mgr_beacon_grace")
        period = monitor.config.get_int("mgr_tick_period")
        if self._last_tick is not None and now - self._last_tick > grace - period:
            # We were slow, or had no quorum: beacons may have been lost without their fault.
            self.last_beacon = dict.fromkeys(self.last_beacon, now)
        self._last_tick = now
        for gid in (pending.active_gid, *pending.standbys):
            if gid:
                self.last_beacon.setdefault(gid, now)
        silent = [gid for gid, heard in self.last_beacon.items() if heard < now - grace]
        for gid in silent:
            if gid in pending.standbys:
                self.drop_standby(gid)
        if pending.active_gid in silent:
            old = pending.active_name
            self.drop_active()
            if self.promote():
                what = f", replacing it with standby daemon {pending.active_name}"
            else:
                what = ".  No standby daemons available."
            monitor.clog(LogLevel.INFO, f"Manager daemon {old} is unresponsive{what}")
        return bool(silent)

    # --- subscriptions

    def check_subscription(self, session: MonSession, subscription: Subscription) -> None:
        if subscription.what == WHAT:
            if subscription.next == 0:
                subscription.next = 1
                self.digests.send()
            return
        if subscription.next > self.map.epoch:
            return
        self.monitor.send(session, MMgrMap(map=self.map))
        if subscription.onetime:
            self.monitor.sessions.unsubscribe(session, subscription.what)
        else:
            subscription.next = self.map.epoch + 1
