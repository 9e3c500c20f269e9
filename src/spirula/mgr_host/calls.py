"""What a module may ask of its manager, from any thread.

Everything that looks at the manager's state runs on its loop, for nothing else may; the module's
thread waits meanwhile. Upstream: `src/mgr/ActivePyModules.cc`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import re
import threading
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from spirula.conf import version
from spirula.errors import NotSupported, SpirulaError
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import Release
from spirula.mgr import perf_queries
from spirula.mgr.daemons import sessions
from spirula.mgr.daemons.index import DaemonKey, DaemonState
from spirula.mgr.devices import keep_notes
from spirula.mgr.state import Manager
from spirula.mgr_host import views
from spirula.types.entity import EntityAddrVec
from spirula.types.log import LogLevel
from spirula.types.mgr import ModuleOption
from spirula.types.service import HealthCheck, HealthStatus, PerfCounterType, ProgressEvent

if TYPE_CHECKING:
    from spirula.mgr_host.host import ThreadedHost
    from spirula.mgr_host.map_views import BasePyOSDMap

T = TypeVar("T")
_SEVERITIES = {"warning": HealthStatus.WARN, "error": HealthStatus.ERR}
_PRIORITIES = (
    LogLevel.DEBUG,
    LogLevel.INFO,
    LogLevel.SEC,
    LogLevel.WARN,
    LogLevel.ERROR,
)
_NUMBERS: dict[int, Callable[[str], Any]] = {0: int, 1: int, 3: float, 8: int, 9: int}
_BOOL = 4


def typed(option: ModuleOption | None, text: str) -> Any:
    """An option's text as what it was declared to be; text where it is not that."""
    if option is None:
        return text
    if option.type == _BOOL:
        return text.lower() in ("true", "1", "yes", "on")
    convert = _NUMBERS.get(option.type)
    try:
        return convert(text) if convert else text
    except ValueError:
        return text


class Calls:
    """The calls of one module; `manager` is the one that it runs in."""

    def __init__(self, host: ThreadedHost, module: str, manager: Manager) -> None:
        self.host = host
        self.module = module
        self.manager = manager
        self.mgr_id = manager.name
        self.session: Any = None
        """Who asked for the command that is being answered."""

    # ------------------------------------------------------------------------------- threads

    def _on_loop(self, call: Callable[[], T]) -> T:
        """Runs a call on the manager's loop and waits for it."""
        if threading.get_ident() == self.host.loop_thread:
            return call()
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
                future.set_exception(error)

        self.manager.ports.loop.call_soon_threadsafe(run)
        return future.result()

    def _soon(self, call: Callable[..., None], *args: Any) -> None:
        """Has a call made on the manager's loop, unless the manager has ended."""
        with suppress(RuntimeError):
            self.manager.ports.loop.call_soon_threadsafe(call, *args)

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.manager.ports.loop).result()

    def _command(self, command: dict[str, Any], data: bytes = b"") -> tuple[int, str, str]:
        try:
            reply = self._await(self.manager.session.command(command, data))
        except SpirulaError as error:
            return -107, "", str(error)
        return reply.result, reply.output.decode("utf-8", "replace"), reply.status

    # ------------------------------------------------------------------------------- the cluster

    def now(self) -> float:
        """Seconds since 1970."""
        return self.manager.ports.wall()

    def osd_map(self) -> OSDMap:
        """The newest OSD map itself."""
        return self.manager.osdmap

    def get(self, what: str) -> Any:
        """A document by its name (see `views`)."""
        return self._on_loop(lambda: views.get(self.manager, what))

    def server(self, hostname: str | None) -> Any:
        """A host and its daemons, or all hosts."""
        daemons = self.manager.daemons

        def look() -> Any:
            if hostname is not None:
                return _server(hostname, daemons.on_host(hostname))
            return [_server(host, daemons.on_host(host)) for host in daemons.hosts() if host]

        return self._on_loop(look)

    def _daemon(self, kind: str, name: str) -> DaemonState | None:
        return self.manager.daemons.get(DaemonKey(kind, name))

    def metadata(self, kind: str, name: str) -> dict[str, str] | None:
        """What a daemon has told of itself; None for one that is not known."""

        def look() -> dict[str, str] | None:
            daemon = self._daemon(kind, name)
            return {"hostname": daemon.hostname, **daemon.metadata} if daemon else None

        return self._on_loop(look)

    def daemon_status(self, kind: str, name: str) -> dict[str, str] | None:
        """What a daemon that serves something last said of itself."""

        def look() -> dict[str, str] | None:
            daemon = self._daemon(kind, name)
            return dict(daemon.status) if daemon else None

        return self._on_loop(look)

    def counter(self, kind: str, name: str, path: str) -> dict[str, list[list[float]]]:
        """The last values of a perf counter, by its path: time and value, or sum and count."""

        def look() -> dict[str, list[list[float]]]:
            daemon = self._daemon(kind, name)
            values = daemon.counters.values.get(path, ()) if daemon else ()
            return {path: [list(one) for one in values]}

        return self._on_loop(look)

    def latest_counter(self, kind: str, name: str, path: str) -> dict[str, Any]:
        """The newest value of a perf counter, by its path."""

        def look() -> dict[str, Any]:
            daemon = self._daemon(kind, name)
            values = daemon.counters.values.get(path) if daemon else None
            return {path: list(values[-1]) if values else []}

        return self._on_loop(look)

    def latest_counters(
        self, kinds: Collection[str], least_priority: int
    ) -> dict[str, dict[str, tuple[PerfCounterType, tuple[float, ...]]]]:
        """Declarations and newest values of all counters of these kinds of daemons, by daemon and
        path.
        """

        def look() -> dict[str, dict[str, tuple[PerfCounterType, tuple[float, ...]]]]:
            return {
                str(daemon.key): {
                    path: (declared, (daemon.counters.values[path] or ((),))[-1])
                    for path, declared in sorted(daemon.counters.types.items())
                    if declared.priority >= least_priority
                }
                for daemon in self.manager.daemons
                if daemon.key.kind in kinds
            }

        return self._on_loop(look)

    def perf_schema(self, kind: str, name: str) -> dict[str, dict[str, Any]]:
        """The declarations of counters, by daemon and path; empty names mean all."""

        def look() -> dict[str, dict[str, Any]]:
            shown: dict[str, dict[str, Any]] = {}
            for daemon in self.manager.daemons:
                if kind not in ("", daemon.key.kind) or name not in ("", daemon.key.name):
                    continue
                shown[str(daemon.key)] = {
                    path: {
                        "description": declared.description,
                        **({"nick": declared.nick} if declared.nick else {}),
                        "type": int(declared.type),
                        "priority": declared.priority,
                        "units": int(declared.unit),
                    }
                    for path, declared in sorted(daemon.counters.types.items())
                }
            return shown

        return self._on_loop(look)

    def health_metrics(self) -> dict[str, list[dict[str, Any]]]:
        """What daemons say of their health, by daemon."""

        def look() -> dict[str, list[dict[str, Any]]]:
            return {
                str(daemon.key): [
                    {"type": metric.type, "value": metric.value} for metric in daemon.metrics
                ]
                for daemon in self.manager.daemons
            }

        return self._on_loop(look)

    def osdmap(self) -> BasePyOSDMap:
        """The newest OSD map, as the module's own class of views."""
        made: BasePyOSDMap = self.host.wrap_osdmap(self.module, self.manager.osdmap)
        return made

    def version(self) -> str:
        """`ceph version 16.2.15 (...) pacific (stable)`."""
        return version.PRETTY

    def release_name(self, major: int = 0) -> str:
        """The name of a major release, of this one where none is named."""
        return Release.name_of(major or int(Release.PACIFIC))

    def conf_path(self) -> str:
        """The configuration file in use."""
        return self.manager.ports.metadata.get("conf_path", "")

    def own_ips(self) -> list[str]:
        """Where this manager is on the network."""
        return self._on_loop(
            lambda: [addr.host for addr in self.manager.session.messenger.addrs.addrs]
        )

    def have_mon_connection(self) -> bool:
        """Whether there is a session with a monitor."""
        return self.manager.session.monitors.connection is not None

    def is_authorized(self, arguments: dict[str, str]) -> bool:
        """Whether who asked for the present command may do it with these arguments."""
        session = self.session
        if session is None or session.allow_all or session.is_mon:
            return True
        addrs: EntityAddrVec = session.connection.peer_addrs
        address = addrs.addrs[0] if addrs.addrs else None
        capable: bool = session.caps.is_capable(
            "py", self.module, "", arguments, read=True, address=address
        )
        return capable

    # ------------------------------------------------------------------------------------ options

    def option(self, key: str) -> Any:
        """One of the manager's own options; None for one that there is not."""
        try:
            return self._on_loop(lambda: self.manager.config.get(key))
        except SpirulaError:
            return None

    def foreign_option(self, entity: str, key: str) -> Any:
        """An option as another daemon would have it from the monitors."""
        asked = {"prefix": "config get", "who": entity, "key": key, "format": "json"}
        r, out, _ = self._command(asked)
        if r < 0:
            return None
        try:
            return json.loads(out)
        except ValueError:
            return out

    def module_option(self, module: str, key: str, prefix: str = "") -> Any:
        """An option of a module as somebody has set it; None where nobody has."""
        texts = self.host.options
        found = texts.get(f"mgr/{module}/{prefix}/{key}") if prefix else None
        found = texts.get(f"mgr/{module}/{key}") if found is None else found
        return None if found is None else typed(self.host.declared(module, key), found)

    def set_module_option(self, module: str, key: str, value: str | None) -> None:
        """Sets an option of a module in the central configuration. ValueError if refused."""
        name = f"mgr/{module}/{key}"
        if value is None:
            self.host.options.pop(name, None)
            command = {"prefix": "config rm", "who": "mgr", "name": name}
        else:
            self.host.options[name] = value
            command = {"prefix": "config set", "who": "mgr", "name": name, "value": value}
        r, _, status = self._command(command)
        if r < 0:
            raise ValueError(status)

    # -------------------------------------------------------------------------------- what is kept

    def store_get(self, key: str) -> str | None:
        """What the module keeps under a key."""
        return self.host.kept.get(f"mgr/{self.module}/{key}")

    def store_ask(self, key: str) -> str | None:
        """The same, asked of the monitors: what others keep changes."""
        r, out, _ = self._command({"prefix": "config-key get", "key": f"mgr/{self.module}/{key}"})
        return None if r < 0 else out

    def store_prefix(self, prefix: str) -> dict[str, str]:
        """All that the module keeps under keys that begin so."""
        own = f"mgr/{self.module}/"
        return {
            key.removeprefix(own): value
            for key, value in sorted(self.host.kept.items())
            if key.startswith(own + prefix)
        }

    def store_set(self, key: str, value: str | None) -> None:
        """Keeps something with the monitors, or nothing any more."""
        name = f"mgr/{self.module}/{key}"
        if value is None:
            self.host.kept.pop(name, None)
            r, _, status = self._command({"prefix": "config-key rm", "key": name})
        else:
            self.host.kept[name] = value
            command = {"prefix": "config-key set", "key": name}
            r, _, status = self._command(command, value.encode())
        if r < 0:
            self.log(f"{name} is not kept: {status}")

    # --------------------------------------------------------------------------- words and deeds

    def send_command(
        self, result: Any, kind: str, name: str, command: str, tag: str, data: str | None
    ) -> None:
        """Sends a command; `result.complete(r, out, status)` is called with its outcome."""
        session = self.manager.session

        async def run() -> None:
            try:
                sent = (data or "").encode()
                if kind == "mon" and not name:
                    reply = await session.command(command, sent)
                elif kind == "mgr" and not name:
                    reply = await session.mgr_command(command, sent)
                else:
                    reply = await session.tell(f"{kind}.{name}", command, sent)
                r, status, output = reply.result, reply.status, reply.output
            except SpirulaError as error:
                r, status, output = -2, str(error), b""
            result.complete(r, output.decode("utf-8", "replace"), status)
            if tag:
                self.host.notify_one(self.module, "command", tag)

        asyncio.run_coroutine_threadsafe(run(), self.manager.ports.loop)

    def set_health_checks(self, checks: dict[str, Any]) -> None:
        """The checks of this module that do not pass; those before are gone."""
        made = {
            code: HealthCheck(
                _SEVERITIES.get(told.get("severity", ""), HealthStatus.OK),
                str(told.get("summary", "")),
                [str(line) for line in told.get("detail", ())],
                int(told.get("count", 0)),
            )
            for code, told in checks.items()
        }
        self._on_loop(lambda: self.manager.checks.__setitem__(self.module, made))

    def log(self, text: str) -> None:
        """A line for the manager's own log."""
        self._soon(self.manager.log, 0, text)

    def cluster_log(self, channel: str, priority: int, text: str) -> None:
        """A line for the cluster log."""
        level = _PRIORITIES[priority] if 0 <= priority < len(_PRIORITIES) else LogLevel.INFO
        self._soon(self.manager.clog, level, text, channel)

    def set_uri(self, uri: str) -> None:
        """Where the module serves; monitors tell people (`mgr services`)."""
        self._on_loop(lambda: self.manager.uris.__setitem__(self.module, uri))

    def active_uri(self) -> str:
        """Where the module of the active manager serves."""
        return self._on_loop(lambda: self.manager.mgrmap.services.get(self.module, ""))

    def set_wear_level(self, ident: str, level: float) -> None:
        """Notes how worn a device is, from 0 to 1."""
        notes = {**self.manager.device_notes.get(ident, {}), "wear_level": str(level)}
        self._await(keep_notes(self.manager, ident, notes))

    def update_progress(self, ident: str, text: str, progress: float, *, shown: bool) -> None:
        """How far something long is, from 0 to 1."""
        event = ProgressEvent(text, progress, shown)
        self._on_loop(lambda: self.manager.progress.__setitem__(ident, event))

    def complete_progress(self, ident: str) -> None:
        """Something long has ended."""
        self._on_loop(lambda: self.manager.progress.pop(ident, None))

    def clear_progress(self) -> None:
        """Nothing long goes on."""
        self._on_loop(self.manager.progress.clear)

    def remote_method(self, module: str, method: str) -> Callable[..., Any]:
        """A method of another module. ImportError where that does not run, NameError without it."""
        return self.host.method_of(module, method)

    def remote(
        self, module: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Calls a method of another module; raises what it raises."""
        return self.remote_method(module, method)(*args, **kwargs)

    def rados(self) -> Any:
        """A new, connected handle of the cluster, as this manager."""
        if self.host.rados is None:
            raise NotSupported("this manager gives its modules no rados")
        made = self.host.rados.Rados(context=self)
        made.connect()
        self.register_client(made.get_addrs())
        return made

    def register_client(self, addrs: str) -> None:
        """The module has a RADOS client: it is blocklisted with the manager."""
        self._on_loop(lambda: self.manager.module_clients.__setitem__(addrs, self.module))

    def unregister_client(self, addrs: str) -> None:
        """The client is gone."""
        self._on_loop(lambda: self.manager.module_clients.pop(addrs, None))

    # ------------------------------------------------------------------------------------- queries

    def add_osd_query(self, asked: dict[str, Any]) -> int | None:
        """Has OSDs count for a query; its number, None for one that cannot be read."""
        try:
            query, limit = perf_queries.parse(asked)
        except (ValueError, KeyError, TypeError, AttributeError, re.error) as error:
            self.log(f"{self.module}: no query of counters: {error}")
            return None

        def add() -> int:
            ident = self.manager.queries.add(query, limit)
            sessions.ask_queries(self.manager)
            return ident

        return self._on_loop(add)

    def remove_osd_query(self, ident: int) -> None:
        """The query is not wanted any more."""

        def remove() -> None:
            if self.manager.queries.remove(ident):
                sessions.ask_queries(self.manager)

        self._on_loop(remove)

    def osd_query_counters(self, ident: int) -> dict[str, Any] | None:
        """What was counted since this was last asked; None for a query that there is not."""
        found = self._on_loop(lambda: self.manager.queries.fetch(ident))
        if found is None:
            return None
        return {
            "counters": [
                {"k": [list(part) for part in key], "c": counters}
                for key, counters in sorted(found.items())
            ]
        }

    def add_mds_query(self, asked: dict[str, Any]) -> int:
        """Notes a query; there are no metadata servers that would answer it."""
        del asked
        return self.host.next_query()

    def mds_query_counters(self) -> dict[str, Any]:
        """Ranks whose share is late, counters by client, and when they were told: none."""
        return {"metrics": [[""], [], [0.0]]}


def _server(hostname: str, daemons: list[DaemonState]) -> dict[str, Any]:
    versions = [one.metadata.get("ceph_version", "") for one in daemons]
    return {
        "hostname": hostname,
        "services": [
            {"type": one.key.kind, "id": one.key.name, "ceph_version": version}
            for one, version in zip(daemons, versions, strict=True)
        ],
        "ceph_version": versions[-1] if versions else "",
    }
