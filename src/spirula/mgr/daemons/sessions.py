"""What daemons say: open, report, close; and how they are told to report.

A daemon whose metadata is not known yet is sent away, and comes back when monitors have told it.
Called by `manager`. Behaviour: upstream `src/mgr/DaemonServer.cc` (handle_open, handle_report,
handle_close).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spirula.denc import Map, Struct, s32, string, struct
from spirula.errors import SpirulaError
from spirula.messages.mgr import MMgrClose, MMgrConfigure, MMgrOpen, MMgrReport, MMgrUpdate
from spirula.mgr import services
from spirula.mgr.daemons.index import DaemonKey, DaemonState
from spirula.mgr.session import session_of
from spirula.types.entity import EntityType
from spirula.types.log import LogLevel
from spirula.types.perf_query import METRIC_TYPE_OSD, MetricConfigMessage

if TYPE_CHECKING:
    from spirula.messages.base import Message
    from spirula.mgr.state import Manager
    from spirula.msgr.connection import Connection

_TOLD_BY_MONITORS = {"osd": "id", "mds": "who", "mon": "id", "mgr": "who"}
"""Kinds of daemons whose metadata the monitors keep, and what their commands call the name."""


@struct
class _Config(Struct):
    values: Map[string, Map[s32, string]]
    ignored: Map[string, string]


@struct
class _Defaults(Struct):
    values: Map[string, string]


def key_of(message: MMgrOpen | MMgrReport | MMgrClose | MMgrUpdate) -> DaemonKey:
    """The daemon that a message is from."""
    if message.service_name:
        return DaemonKey(message.service_name, message.daemon_name)
    return DaemonKey(session_of(message.connection).kind, message.daemon_name)


def on_open(manager: Manager, message: MMgrOpen) -> None:
    """A daemon, or a client that serves something, begins its session."""
    connection, key = message.connection, key_of(message)
    configure(manager, connection)
    daemon = manager.daemons.get(key)
    if daemon is None and not message.service_daemon:
        connection.mark_down()
        fetch_metadata(manager, key)
        return
    if daemon is None or message.service_daemon:
        daemon = manager.daemons.put(key, dict(message.daemon_metadata or {}))
    daemon.counters.clear()
    daemon.is_service = message.service_daemon
    if message.service_daemon:
        daemon.status = dict(message.daemon_status or {})
        services.register(manager, message)
    _take_config(daemon, bytes(message.config_bl))
    if message.config_defaults_bl:
        daemon.defaults = _Defaults.decode(bytes(message.config_defaults_bl)).values
    if connection.peer_type != EntityType.CLIENT and not message.service_name:
        manager.connections.add(connection)


def _take_config(daemon: DaemonState, encoded: bytes) -> None:
    if encoded:
        told = _Config.decode(encoded)
        daemon.config, daemon.ignored_mon_config = told.values, told.ignored


def on_update(manager: Manager, message: MMgrUpdate) -> None:
    """New metadata of a daemon whose session is open."""
    key = key_of(message)
    daemon = manager.daemons.get(key)
    if daemon is None or not message.need_metadata_update:
        return
    manager.daemons.put(key, dict(message.daemon_metadata or {}))
    if daemon.is_service:
        daemon.status = dict(message.daemon_status or {})
        services.update_metadata(manager, key, dict(message.daemon_metadata or {}))


def on_close(manager: Manager, message: MMgrClose) -> None:
    """A daemon ends its session in order; it is told the same."""
    key = key_of(message)
    daemon = manager.daemons.get(key)
    if daemon is not None:
        manager.daemons.remove(key)
        if daemon.is_service:
            services.unregister(manager, key)
    message.connection.send_message(MMgrClose(message.daemon_name, message.service_name))


def on_report(manager: Manager, message: MMgrReport) -> None:
    """Counters, status and health of a daemon."""
    connection = message.connection
    if connection.peer_type == EntityType.CLIENT and not message.service_name:
        manager.clog(
            LogLevel.WARN,
            f"rejecting report from non-daemon client {message.daemon_name}"
            f" at {connection.peer_addrs}",
        )
        connection.mark_down()
        return
    key = key_of(message)
    daemon = manager.daemons.get(key)
    if daemon is None:
        fetch_metadata(manager, key)
        connection.mark_down()
        forget(manager, connection)
        return
    now = manager.ports.wall()
    daemon.counters.update(message, now)
    manager.queries.take(message.osd_perf_metric_reports)
    answers = message.metric_report_message
    if answers is not None and answers.type == METRIC_TYPE_OSD:
        manager.queries.take(answers.osd.report)
    _take_config(daemon, bytes(message.config_bl))
    if daemon.is_service:
        daemon.last_beacon = now
        if message.daemon_status is not None:
            daemon.status, daemon.status_stamp = dict(message.daemon_status), now
    if message.task_status is not None:
        services.set_task_status(manager, key, dict(message.task_status))
        daemon.last_beacon = now
    if connection.peer_type in (EntityType.OSD, EntityType.MON):
        daemon.metrics = list(message.daemon_health_metrics)


def configure(manager: Manager, connection: Connection) -> None:
    """Tells a daemon how often to report, and which counters."""
    config = manager.config
    message = MMgrConfigure(
        stats_period=config.get_int("mgr_stats_period"),
        stats_threshold=config.get_int("mgr_stats_threshold"),
    )
    if connection.peer_type == EntityType.OSD:
        # No queries at all are no news to upstream's OSDs, unless they are told so.
        message.osd_perf_metric_queries = queries = manager.queries.all()
        if not queries:
            message.metric_config_message = MetricConfigMessage(METRIC_TYPE_OSD)
    connection.send_message(message)


def ask_queries(manager: Manager) -> None:
    """Tells OSDs of the queries that there are now."""
    for connection in manager.connections:
        if connection.peer_type == EntityType.OSD:
            configure(manager, connection)


def configure_all(manager: Manager) -> None:
    """Tells all daemons anew, for an option has changed."""
    for connection in manager.connections:
        configure(manager, connection)


def on_accept(manager: Manager, connection: Connection) -> None:
    """A peer has opened a session."""
    osd = session_of(connection).osd
    if osd >= 0:
        manager.osd_connections.setdefault(osd, set()).add(connection)


def forget(manager: Manager, connection: Connection) -> None:
    """A session is over."""
    manager.connections.discard(connection)
    osd = session_of(connection).osd
    if osd in manager.osd_connections:
        manager.osd_connections[osd].discard(connection)
        if not manager.osd_connections[osd]:
            del manager.osd_connections[osd]


def send_to_osd(manager: Manager, osd: int, message: Message) -> bool:
    """Sends to an OSD by the session that it has opened; False if it has none."""
    connections = manager.osd_connections.get(osd)
    if not connections:
        return False
    for connection in connections:
        connection.send_message(message)
    return True


# ------------------------------------------------------------------------------------- metadata


def fetch_metadata(manager: Manager, key: DaemonKey) -> None:
    """Asks the monitors what a daemon has told them of itself."""
    name = _TOLD_BY_MONITORS.get(key.kind)
    if name is None or key in manager.daemons.updating:
        return
    manager.daemons.updating.add(key)
    manager.spawn(_fetch_metadata(manager, key, name))


async def _fetch_metadata(manager: Manager, key: DaemonKey, name: str) -> None:
    value: object = int(key.name) if key.kind == "osd" and key.name.isdecimal() else key.name
    command = {"prefix": f"{key.kind} metadata", name: value, "format": "json"}
    try:
        reply = await manager.session.command(command)
        take_metadata(manager, key.kind, json.loads(reply.check()))
    except (SpirulaError, ValueError) as error:
        manager.log(1, f"the monitors told no metadata of {key}: {error}")
    finally:
        manager.daemons.updating.discard(key)


async def load_metadata(manager: Manager) -> None:
    """Asks the monitors for the metadata of all daemons."""
    for kind in _TOLD_BY_MONITORS:
        reply = await manager.session.command({"prefix": f"{kind} metadata", "format": "json"})
        for one in json.loads(reply.check() or b"[]"):
            take_metadata(manager, kind, one)


def take_metadata(manager: Manager, kind: str, told: dict[str, object]) -> None:
    """Notes a daemon's metadata, as the monitors tell it; without a host it is none yet."""
    name = told.pop("id", None) if kind == "osd" else told.pop("name", None)
    if name is None or "hostname" not in told:
        return
    texts = {key: str(value) for key, value in told.items()}
    manager.daemons.put(DaemonKey(kind, str(name)), texts)


def on_osd_map(manager: Manager) -> None:
    """OSDs have come, gone or been started anew."""
    osdmap = manager.osdmap
    names = []
    for osd, state in enumerate(osdmap.osd_state):
        if not state:
            continue
        names.append(str(osd))
        key = DaemonKey("osd", str(osd))
        if key not in manager.daemons or osdmap.osd_info[osd].up_from == osdmap.epoch:
            fetch_metadata(manager, key)
    manager.daemons.keep("osd", names)


def on_mgr_map(manager: Manager) -> None:
    """Managers have come or gone."""
    told = manager.mgrmap
    names = {one.name for one in told.standbys.values()} | {told.active_name} - {""}
    for name in sorted(names):
        key = DaemonKey("mgr", name)
        if key not in manager.daemons:
            fetch_metadata(manager, key)
    manager.daemons.keep("mgr", names)
