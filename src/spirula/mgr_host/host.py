"""Runs modules in threads: each has one that serves, and one that answers and is notified.

A module that fails is told of in health and does nothing any more; the others go on. Upstream:
`src/mgr/PyModuleRegistry.cc`, `ActivePyModules.cc`, `PyModuleRunner.cc`.
"""

from __future__ import annotations

import asyncio
import json
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from errno import EIO, EOPNOTSUPP
from itertools import count
from types import ModuleType
from typing import Any

from spirula.commands.reply import Reply, lines
from spirula.errors import SpirulaError
from spirula.maps.osdmap import OSDMap
from spirula.mgr.commands.dispatch import prefix_of
from spirula.mgr.perf import CallsOfModule
from spirula.mgr.state import Manager
from spirula.mgr_host.calls import Calls
from spirula.mgr_host.loader import Loaded, find_modules, load
from spirula.mgr_host.standby import StandbyModules
from spirula.types.mgr import ModuleInfo, ModuleOption
from spirula.types.mon import MonCommand
from spirula.types.service import HealthCheck, HealthStatus

_KEPT = "mgr/"
_TO_START_S = 10.0
"""For so long a command waits for its module to be there."""


@dataclass(slots=True, eq=False)
class Running:
    """A module that runs. `failed` says why it does not any more."""

    loaded: Loaded
    calls: Calls
    instance: Any = None
    thread: threading.Thread | None = None
    answers: ThreadPoolExecutor = field(init=False)
    counted: CallsOfModule = field(init=False)
    failed: str = ""
    made: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is an instance, or there will be none."""

    def __post_init__(self) -> None:
        name = self.loaded.name
        self.answers = ThreadPoolExecutor(1, thread_name_prefix=f"answers-{name}")
        self.counted = CallsOfModule(self.calls.manager.perf, name)

    def ask(self, call: Callable[..., Any], *args: Any) -> Future[Any]:
        """Has the module's thread that answers call something. RuntimeError while it ends."""
        loop, counted = self.calls.manager.ports.loop, self.counted
        asked = self.answers.submit(call, *args)
        began = loop.time()
        counted.waiting.inc()

        def count() -> None:
            counted.waiting.dec()
            counted.took.inc(loop.time() - began)

        def ended(_: object) -> None:
            with suppress(RuntimeError):  # the manager has ended
                loop.call_soon_threadsafe(count)

        asked.add_done_callback(ended)
        return asked


class ThreadedHost:
    """The modules of one manager process.

    `folders` are searched for modules; `enabled` names those that are to run. `rados` is what
    modules get when they import the module of that name. `options` are those of modules as they
    are set (`mgr/balancer/active`), `kept` what modules keep (`mgr/crash/...`).
    """

    def __init__(
        self,
        folders: list[str],
        disabled: set[str],
        rados: ModuleType | None,
        log: Callable[[str], None],
    ) -> None:
        self.rados = rados
        self.log = log
        self.options: dict[str, str] = {}
        self.kept: dict[str, str] = {}
        self.loop_thread = 0
        self._folders = folders
        self._where = {
            name: folder for name, folder in find_modules(folders).items() if name not in disabled
        }
        self._loaded: dict[str, Loaded] = {}
        self._known: dict[str, ModuleInfo] = {name: ModuleInfo(name) for name in self._where}
        self._running: dict[str, Running] = {}
        self._manager: Manager | None = None
        self._standby = StandbyModules()
        self._queries = count(1)
        self._started = asyncio.Event()

    # ---------------------------------------------------------------------------- what there is

    def load(self, names: set[str]) -> None:
        """Imports modules; the names of those that are not there are passed over."""
        for name in sorted(names & self._where.keys()):
            if name not in self._loaded:
                loaded = load(name, self._where[name], self.rados, self.log, self._folders)
                self._loaded[name] = loaded
                self._known[name] = loaded.info()

    def describe(self, infos: list[ModuleInfo]) -> None:
        """What is known of modules that were not imported here."""
        for info in infos:
            if info.name in self._known and info.name not in self._loaded:
                self._known[info.name] = info

    def infos(self) -> list[ModuleInfo]:
        """All modules that there are, for beacons."""
        return [self._known[name] for name in sorted(self._known)]

    def commands(self) -> list[MonCommand]:
        """The commands of modules that are enabled."""
        return [command for one in self._loaded.values() for command in one.commands]

    def has_command(self, prefix: str) -> str | None:
        """The module that answers a command, if there is one."""
        for loaded in self._loaded.values():
            if any(prefix_of(command) == prefix for command in loaded.commands):
                return loaded.name
        return None

    def declared(self, module: str, key: str) -> ModuleOption | None:
        """An option as a module declares it."""
        loaded = self._loaded.get(module)
        return loaded.options.get(key) if loaded else None

    def next_query(self) -> int:
        """A number for a query."""
        return next(self._queries)

    # ------------------------------------------------------------------------------------ running

    def stand_by(self, manager: Manager) -> None:
        """The manager is a standby: run what is enabled and made for that."""
        self.loop_thread = threading.get_ident()
        self._standby.start(
            (loaded, Calls(self, name, manager)) for name, loaded in self._loaded.items()
        )

    def start(self, manager: Manager) -> None:
        """The manager is active: run what is enabled."""
        self._manager = manager
        self.loop_thread = threading.get_ident()
        manager.spawn(self._start(manager))

    async def _start(self, manager: Manager) -> None:
        await self._standby.stop()
        await self._load_kept(manager)
        for name, loaded in self._loaded.items():
            running = Running(loaded, Calls(self, name, manager))
            self._running[name] = running
            if loaded.module_class is None or not loaded.can_run:
                running.failed = loaded.error
                running.made.set()
                continue
            running.thread = threading.Thread(
                target=self._serve, args=(running,), name=f"mgr-{name}", daemon=True
            )
            running.thread.start()
        self._started.set()
        self._report_failures()

    async def _load_kept(self, manager: Manager) -> None:
        try:
            reply = await manager.session.command({"prefix": "config-key dump", "key": _KEPT})
            kept = json.loads(reply.check() or b"{}")
        except (SpirulaError, ValueError) as error:
            manager.log(1, f"what modules keep cannot be read: {error}")
            return
        self.kept = {str(key): str(value) for key, value in kept.items()}

    def _serve(self, running: Running) -> None:
        """The thread of a module: makes it, and lets it serve."""
        name, loop = running.loaded.name, running.calls.manager.ports.loop
        try:
            try:
                running.instance = running.loaded.make(self, running.calls)
            finally:
                loop.call_soon_threadsafe(running.made.set)
            running.instance.serve()
        except NotImplementedError:
            return  # it has nothing to do by itself
        except BaseException as error:  # noqa: BLE001 - whatever a module does is its own end only
            for line in traceback.format_exc().splitlines():
                running.calls.log(f"{name}: {line}")
            running.failed = str(error) or repr(error)
            loop.call_soon_threadsafe(self._report_failures)

    def _report_failures(self) -> None:
        """Tells of modules that do not run, as upstream's health checks do."""
        manager = self._manager
        if manager is None:
            return
        broken = {one.loaded.name: one for one in self._running.values() if one.failed}
        checks = {}
        for code, severity, what, chosen in (
            (
                "MGR_MODULE_DEPENDENCY",
                HealthStatus.WARN,
                "has failed dependency",
                [name for name, one in broken.items() if one.instance is None],
            ),
            (
                "MGR_MODULE_ERROR",
                HealthStatus.ERR,
                "has failed",
                [name for name, one in broken.items() if one.instance is not None],
            ),
        ):
            if chosen:
                lines = [f"Module '{name}' {what}: {broken[name].failed}" for name in chosen]
                more = f"{len(chosen)} mgr modules have {what.removeprefix('has ')}"
                summary = lines[0] if len(lines) == 1 else more
                checks[code] = HealthCheck(severity, summary, lines, len(lines))
        manager.checks["mgr modules"] = checks

    def notify(self, kind: str, ident: str = "") -> None:
        """Something has changed: told to all that run."""
        for name in self._running:
            self.notify_one(name, kind, ident)

    def notify_one(self, module: str, kind: str, ident: str) -> None:
        """Something has changed that one module wants to know."""
        running = self._running.get(module)
        instance = running.instance if running else None
        if running is None or instance is None or running.failed:
            return
        wanted = getattr(instance, "NOTIFY_TYPES", None)
        if wanted is not None and kind not in {getattr(one, "value", one) for one in wanted}:
            return
        with suppress(RuntimeError):  # it is being shut down
            running.ask(self._quietly, running, instance.notify, kind, ident)

    def _quietly(self, running: Running, call: Callable[..., Any], *args: Any) -> None:
        try:
            call(*args)
        except Exception:  # noqa: BLE001 - as upstream, which logs it and goes on
            for line in traceback.format_exc().splitlines():
                running.calls.log(f"{running.loaded.name}: {line}")

    def on_config(self, options: Mapping[str, str]) -> None:
        """The options of modules, all of them."""
        self.options = {name: text for name, text in options.items() if name.startswith(_KEPT)}
        for running in self._running.values():
            if running.instance is not None and not running.failed:
                with suppress(RuntimeError):  # it is being shut down
                    running.ask(self._quietly, running, running.instance.config_notify)

    # ------------------------------------------------------------------------------------ commands

    async def handle_command(
        self, prefix: str, given: Mapping[str, object], data: bytes, session: Any = None
    ) -> Reply:
        """Has the module answer that has declared the command; one that starts is waited for."""
        name = self.has_command(prefix)
        with suppress(TimeoutError):
            async with asyncio.timeout(_TO_START_S):
                await self._started.wait()
                if name in self._running:
                    await self._running[name].made.wait()
        running = self._running.get(name or "")
        if running is None:
            text = f"Module '{name}' is not enabled (required by command '{prefix}')"
            return Reply(text, rc=-EOPNOTSUPP)
        if running.failed or running.instance is None:
            why = running.failed or "it is starting"
            text = f"Module '{name}' has experienced an error and cannot handle commands: {why}"
            return Reply(text, rc=-EIO)
        command = {key: value for key, value in given.items() if key != "target"}
        command.setdefault("format", "plain")

        def answer() -> Any:
            running.calls.session = session
            try:
                return running.instance._handle_command(data.decode("utf-8", "replace"), command)
            finally:
                running.calls.session = None

        try:
            r, out, status = await asyncio.wrap_future(running.ask(answer))
        except Exception:  # noqa: BLE001 - as upstream: the traceback is the answer
            return Reply(traceback.format_exc(), rc=-22)
        text = lines(out or "")
        return Reply(status or "", text.encode("utf-8", "surrogateescape"), int(r))

    def method_of(self, module: str, method: str) -> Callable[..., Any]:
        """A method of a module that runs. ImportError, NameError as upstream's."""
        running = self._running.get(module)
        if running is None or running.instance is None or running.failed:
            raise ImportError("Module not found")
        found: Callable[..., Any] | None = getattr(running.instance, method, None)
        if found is None:
            raise NameError("Method not found")
        return found

    def wrap_osdmap(self, module: str, osdmap: OSDMap) -> Any:
        """A map as the module's own class of views."""
        return self._make(module, "OSDMap", osdmap)

    def _make(self, module: str, kind: str, value: object) -> Any:
        base = self._loaded[module].module_class
        # The module's own copy of mgr_module has the classes.
        for parent in base.__mro__:
            if parent.__name__ == "MgrModule":
                made = parent.__init__.__globals__[kind]
                return made(value, lambda other, given: self._make(module, other, given))
        raise TypeError(f"{module} is no module")

    async def stop(self) -> None:
        """The manager ends: modules are asked to, and not waited for for long."""
        await self._standby.stop()
        for running in self._running.values():
            if running.instance is not None:
                with suppress(RuntimeError):
                    running.ask(self._quietly, running, running.instance.shutdown)
            running.answers.shutdown(wait=False)
        await asyncio.get_running_loop().run_in_executor(None, self._join)

    def _join(self) -> None:
        for running in self._running.values():
            if running.thread is not None:
                running.thread.join(0.2)
