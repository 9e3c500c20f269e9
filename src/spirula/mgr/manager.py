"""The manager put together: what each message is for, standby and active, start and end.

It begins as a standby. When the map says that it is the active one it learns the cluster's state,
opens its server and tells the monitors that it is there; when the map says that it is no longer, it
begins anew as another process. Made by `daemon`. Behaviour: upstream `src/mgr/MgrStandby.cc`,
`src/mgr/Mgr.cc`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spirula.errors import SpirulaError
from spirula.messages.command import MCommand, MMgrCommand
from spirula.messages.fsmap import MFSMap
from spirula.messages.mgr import (
    MMgrBeacon,
    MMgrClose,
    MMgrDigest,
    MMgrOpen,
    MMgrReport,
    MMgrUpdate,
    MServiceMap,
)
from spirula.messages.mgr_map import MMgrMap
from spirula.messages.mon_client import MConfig, MLog, MLogAck
from spirula.messages.osd_map import MOSDMap
from spirula.messages.osd_mon import MPGStats
from spirula.mgr import devices, pg_num, services, standby, statistics
from spirula.mgr.daemons import sessions
from spirula.mgr.state import Manager, Phase
from spirula.types.entity import EntityAddrVec

if TYPE_CHECKING:
    from spirula.messages.base import Message
    from spirula.msgr.connection import Connection
    from spirula.types.mgr import MgrMap

_FEATURES = 0x3F01CFBFFFFDFFFF
"""The features that 16.2's managers name in their beacons."""


class Server:
    """The dispatcher of the messenger that daemons and clients come to."""

    def __init__(self, manager: Manager) -> None:
        self.manager = manager
        self._handlers: dict[type[Message], Callable[[Manager, Any], None]] = {
            MPGStats: statistics.on_pg_stats,
            MMgrReport: sessions.on_report,
            MMgrOpen: sessions.on_open,
            MMgrUpdate: sessions.on_update,
            MMgrClose: sessions.on_close,
        }

    def ms_dispatch(self, connection: Connection, message: Any) -> None:
        """A message; what is wrong with it ends the peer's session, not the manager."""
        manager = self.manager
        try:
            handler = self._handlers.get(type(message))
            if handler is not None:
                handler(manager, message)
            elif isinstance(message, (MCommand, MMgrCommand)):
                manager.commands.on_command(message)
        except Exception:  # noqa: BLE001 - a bug that one message meets must not end the manager
            contain(manager, f"{type(message).__name__} of {connection.peer_name}")
            connection.mark_down()

    def ms_handle_connect(self, connection: Connection) -> None:
        """Never happens: a server connects to nobody."""

    def ms_handle_accept(self, connection: Connection) -> None:
        """A peer opened a session."""
        sessions.on_accept(self.manager, connection)

    def ms_handle_reset(self, connection: Connection) -> None:
        """A session is over."""
        sessions.forget(self.manager, connection)

    def ms_handle_remote_reset(self, connection: Connection) -> None:
        """A peer lost its session."""

    def ms_handle_refused(self, connection: Connection, error: SpirulaError) -> None:
        """Never happens."""


def contain(manager: Manager, what: str) -> None:
    """Logs the bug that was just met."""
    manager.log(-1, f"a bug in handling {what}:")
    for line in traceback.format_exc().splitlines():
        manager.log(-1, line)


# --------------------------------------------------------------------------------- start and end


async def start(manager: Manager) -> None:
    """Logs in and is a standby. Raises the monitors' refusal or TimedOut."""
    monitors, config = manager.session.monitors, manager.config
    handlers: dict[type[Message], Callable[[Any], None]] = {
        MMgrMap: lambda message: on_mgr_map(manager, message),
        MOSDMap: lambda message: on_osd_map(manager, message),
        MConfig: lambda message: on_config(manager, message),
        MLogAck: manager.clog_client.on_ack,
        MServiceMap: lambda message: on_service_map(manager, message),
        MMgrDigest: lambda message: on_digest(manager, message),
        MFSMap: lambda message: on_fs_map(manager, message),
        MLog: lambda message: on_log(manager, message),
    }
    monitors.handlers |= handlers
    config.observe(
        ("mgr_stats_period", "mgr_stats_threshold"), lambda _: sessions.configure_all(manager)
    )
    await manager.session.log_in(config.get_float("client_mount_timeout"))
    await monitors.wait_rotating(config.get_int("rotating_keys_bootstrap_timeout"))
    manager.server.endpoint.name = manager.session.messenger.endpoint.name
    for what in ("config", "mgrmap"):
        monitors.subscribe(what, 0)
    _tick(manager)


async def stop(manager: Manager) -> None:
    """Ends; on return nothing of the manager is left in the loop."""
    manager.phase = Phase.STOPPING
    await manager.modules.stop()
    manager.cancel_all()
    await manager.server.shutdown()
    await manager.session.close()


def _tick(manager: Manager) -> None:
    period = manager.config.get_float("mgr_tick_period")
    manager.call_later("tick", period, lambda: _tick(manager))
    send_beacon(manager)
    standby.watch(manager)
    if manager.is_active:
        if manager.monmap is not None:
            manager.daemons.keep("mon", manager.monmap.mon_info)
        try:
            statistics.send_report(manager)
            pg_num.adjust(manager)
        except Exception:  # noqa: BLE001 - a bug must not end all ticks
            contain(manager, "the tick")


def send_beacon(manager: Manager) -> None:
    """Says that the manager lives; the first one as the active manager also what it can."""
    session = manager.session
    available = manager.is_active
    beacon = MMgrBeacon(
        server_addrs=manager.server.addrs if available else EntityAddrVec(),
        gid=manager.gid,
        available=available,
        name=manager.name,
        fsid=session.monitors.fsid,
        metadata={
            "addr": _ip(session.messenger.addrs),
            "addrs": str(session.messenger.addrs),
            **manager.ports.metadata,
        },
        mgr_features=_FEATURES,
        modules=manager.modules.infos(),
    )
    beacon.module_names = {one.name for one in beacon.modules}
    if available and not manager.available_in_map:
        beacon.command_descs = manager.commands.descriptions()
    if available:
        beacon.services = dict(sorted(manager.uris.items()))
        clients = sorted(manager.module_clients.items())
        beacon.clients = [EntityAddrVec.parse(addrs) for addrs, _ in clients]
        beacon.client_names = [name for _, name in clients]
    session.monitors.send(beacon)


def _ip(addrs: EntityAddrVec) -> str:
    return addrs.addrs[0].host if addrs.addrs else ""


# ------------------------------------------------------------------------------------------ maps


def on_mgr_map(manager: Manager, message: MMgrMap) -> None:
    """Who is active: this one, no longer this one, or another one."""
    session = manager.session
    session.on_mgrmap(message)
    before, told = manager.mgrmap, message.map
    manager.mgrmap = told
    if told.active_gid == manager.gid:
        if manager.phase is Phase.STANDBY:
            manager.phase = Phase.STARTING
            manager.log(1, "becoming active")
            manager.modules.load(enabled_modules(told))
            manager.spawn(_activate(manager))
        elif before.modules != told.modules:
            manager.ports.respawn("other modules are enabled")
        if told.available:
            manager.available_in_map = True
        if manager.is_active:
            sessions.on_mgr_map(manager)
    elif manager.phase in (Phase.STARTING, Phase.ACTIVE):
        manager.ports.respawn("the map has another active manager")
    elif manager.phase is Phase.STANDBY:
        if before.epoch and enabled_modules(before) != enabled_modules(told):
            manager.ports.respawn("other modules are enabled")
            return
        if told.available:
            manager.modules.load(enabled_modules(told))
            manager.modules.stand_by(manager)


def enabled_modules(mgrmap: MgrMap) -> set[str]:
    """The modules that are to run: those that somebody has enabled, and those always on."""
    release = max(mgrmap.always_on_modules, default=0)
    return set(mgrmap.modules) | set(mgrmap.always_on_modules.get(release, ()))


async def _activate(manager: Manager) -> None:
    """Learns the cluster's state, opens the server, and says that it is there."""
    session = manager.session
    for what in ("mgrdigest", "fsmap", "servicemap", "log-info"):
        session.monitors.subscribe(what, 0)
    await session.objecter.newest_map()
    # A manager that was active before us may not reach OSDs any more.
    while manager.osdmap.epoch < manager.mgrmap.last_failure_osd_epoch:
        session.want_map(manager.osdmap.epoch + 1)
        await _hear(manager)
    await manager.listen()
    try:
        await sessions.load_metadata(manager)
        await devices.load_notes(manager)
    except (SpirulaError, ValueError) as error:
        manager.ports.stop(f"the monitors told no metadata of daemons: {error}")
        return
    statistics.on_osd_map(manager)
    while manager.fsmap is None or not manager.health:
        await _hear(manager)
    manager.active_since = manager.ports.loop.time()
    manager.phase = Phase.ACTIVE
    manager.modules.start(manager)
    manager.log(1, f"active at {manager.server.addrs}")
    _want_next_map(manager)
    send_beacon(manager)


async def _hear(manager: Manager) -> None:
    manager.heard.clear()
    await manager.heard.wait()


def _want_next_map(manager: Manager) -> None:
    manager.session.monitors.subscribe("osdmap", manager.osdmap.epoch + 1)


def on_osd_map(manager: Manager, message: MOSDMap) -> None:
    """OSDs, pools or PGs have changed."""
    before = manager.osdmap.epoch
    manager.session.on_osdmap(message)
    manager.heard.set()
    if manager.phase in (Phase.STARTING, Phase.ACTIVE) and manager.osdmap.epoch != before:
        sessions.on_osd_map(manager)
        if manager.is_active:
            statistics.on_osd_map(manager)
            _want_next_map(manager)


def on_config(manager: Manager, message: MConfig) -> None:
    """The central configuration has changed."""
    own = {name: text for name, text in message.config.items() if not name.startswith("mgr/")}
    for line in manager.config.set_mon(own):
        manager.log(1, line)
    manager.modules.on_config(message.config)
    manager.config.apply_changes()


def on_service_map(manager: Manager, message: MServiceMap) -> None:
    """Services have come or gone."""
    manager.session.monitors.got("servicemap", message.service_map.epoch)
    services.on_service_map(manager, message.service_map)
    manager.modules.notify("service_map")


def on_digest(manager: Manager, message: MMgrDigest) -> None:
    """How the monitors are, and what they see of the cluster's health."""
    manager.mon_status = bytes(message.mon_status_json)
    manager.health = bytes(message.health_json)
    manager.heard.set()
    for kind in ("mon_status", "health", "pg_summary"):
        manager.modules.notify(kind)


def on_fs_map(manager: Manager, message: MFSMap) -> None:
    """File systems have changed."""
    manager.session.monitors.got("fsmap", message.epoch)
    manager.fsmap = message
    manager.heard.set()


def on_log(manager: Manager, message: MLog) -> None:
    """Lines of the cluster log."""
    if message.entries:
        manager.session.monitors.got("log-info", message.entries[-1].seq)
