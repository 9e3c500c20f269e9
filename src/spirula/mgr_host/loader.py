"""Finds modules and imports them, each in a world of its own (see `world`).

Upstream: `src/mgr/PyModule.cc`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from spirula.mgr_host import ceph_module, own
from spirula.mgr_host.later import Later
from spirula.mgr_host.libraries import find_system_packages, libraries_for, seldom_used
from spirula.mgr_host.world import World
from spirula.mgr_modules.module import Module
from spirula.types.mgr import ModuleInfo, ModuleOption
from spirula.types.mon import MonCommand

_TYPES = ("uint", "int", "str", "float", "bool", "addr", "addrvec", "uuid", "size", "secs")
_TYPE_STR = _TYPES.index("str")
_RUNTIME = 1
_STAND_IN = "DistutilsMetaFinder"


@dataclass(slots=True, eq=False)
class Loaded:
    """A module that was imported, or why it was not."""

    name: str
    module_class: Any = None
    standby_class: Any = None
    error: str = ""
    can_run: bool = True
    options: dict[str, ModuleOption] = field(default_factory=dict)
    commands: list[MonCommand] = field(default_factory=list)
    is_own: bool = False
    """Whether the class is of our own kind (`mgr_modules.Module`), not of upstream's."""

    def make(self, host: object, calls: object) -> Any:
        """An instance of its class."""
        given = (calls,) if self.is_own else (host, calls)
        return self.module_class(self.name, *given)

    def info(self) -> ModuleInfo:
        """What beacons say of it."""
        return ModuleInfo(self.name, self.can_run, self.error, dict(self.options))


def find_modules(folders: list[str]) -> dict[str, str]:
    """Names of modules and the folders that they are in; the first folder that has one counts.

    The word `spirula` among the folders stands for our own modules, which have `package:Class` in
    the place of a folder; they come last where it is not said.
    """
    found: dict[str, str] = {}
    for folder in folders if own.OWN in folders else [*folders, own.OWN]:
        if folder == own.OWN:
            for name, where in own.own_modules().items():
                found.setdefault(name, where)
            continue
        root = Path(folder)
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            if (path / "module.py").exists() or (path / "__init__.py").exists():
                name = path.name
                if not name.startswith("_") and name != "tests":
                    found.setdefault(name, folder)
    return found


def _use_own_distutils() -> None:
    """Takes away setuptools' stand-in for distutils: it wants the setuptools of one place only."""
    sys.meta_path[:] = [one for one in sys.meta_path if type(one).__name__ != _STAND_IN]


def load(
    name: str,
    folder: str,
    rados: ModuleType | None,
    log: Callable[[str], None],
    others: Sequence[str] = (),
) -> Loaded:
    """Imports a module of a folder; what keeps it from running is in `error`.

    What modules share may also be in `others`.
    """
    loaded = Loaded(name)
    try:
        if ":" in folder:
            _describe_own(loaded, own.import_class(folder))
            return loaded
        _use_own_distutils()
        find_system_packages()
        libraries = {**libraries_for(name, folder, rados), **seldom_used()}
        world = World(name, [folder, *others], {"ceph_module": ceph_module, **libraries})
        imported = _import(world, name, libraries)
        ours = own.class_in(imported)
        if ours is not None:
            _describe_own(loaded, ours)
            return loaded
        # A package may leave its classes to `module.py`.
        if _subclass(imported, "MgrModule") is None:
            imported = _import(world, f"{name}.module", libraries)
        loaded.module_class = _subclass(imported, "MgrModule")
        loaded.standby_class = _subclass(imported, "MgrStandbyModule")
        if loaded.module_class is None:
            raise ImportError(f"no subclass of MgrModule in {name}")
        _describe(loaded)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        for line in traceback.format_exc().splitlines():
            log(line)
        loaded.module_class, loaded.can_run = None, False
        loaded.error = f"{type(error).__name__}: {error}" if str(error) else repr(error)
    return loaded


def _import(world: World, name: str, libraries: Mapping[str, ModuleType]) -> ModuleType:
    """Imports files of a module; what they only name of libraries does not load them."""
    with ExitStack() as names:
        for library in libraries.values():
            if isinstance(library, Later):
                names.enter_context(library.naming())
        return world.import_module(name)


def _subclass(imported: ModuleType, base: str) -> Any:
    """The first class of a module that has a base of that name, and is not the base itself."""
    for one in vars(imported).values():
        if isinstance(one, type) and one.__name__ != base:
            bases = [parent.__name__ for parent in one.__mro__[1:]]
            if base in bases:
                return one
    return None


def _describe_own(loaded: Loaded, made: type[Module]) -> None:
    """What a class of our own kind declares; whether it can run."""
    loaded.is_own, loaded.module_class, loaded.standby_class = True, made, made.STANDBY
    loaded.commands, loaded.options = own.commands_of(made), own.options_of(made)
    loaded.can_run, loaded.error = made.can_run()


def _describe(loaded: Loaded) -> None:
    """What it declares: options and commands; whether it can run."""
    made = loaded.module_class
    made.MODULE_OPTIONS = list(made.MODULE_OPTIONS)
    made.COMMANDS = list(made.COMMANDS)
    made._register_commands(loaded.name)
    made._register_options(loaded.name)
    if loaded.standby_class is not None:
        standby = loaded.standby_class
        standby.MODULE_OPTIONS = list(standby.MODULE_OPTIONS)
        standby._register_options(loaded.name)
    loaded.commands = [
        MonCommand(one["cmd"], one["desc"], "mgr", one["perm"], flags=24 if one.get("poll") else 8)
        for one in made.COMMANDS
    ]
    loaded.options = {one["name"]: _option(one) for one in made.MODULE_OPTIONS}
    can_run, reason = made.can_run()
    loaded.can_run = bool(can_run)
    loaded.error = "" if can_run else str(reason)


def _option(told: dict[str, Any]) -> ModuleOption:
    kind = told.get("type", "str")

    def text(key: str) -> str:
        return str(told[key]) if told.get(key) is not None else ""

    return ModuleOption(
        name=told["name"],
        type=_TYPES.index(kind) if kind in _TYPES else _TYPE_STR,
        flags=_RUNTIME if told.get("runtime") else 0,
        default_value=str(told["default"]) if "default" in told else "",
        min=text("min"),
        max=text("max"),
        enum_allowed={str(one) for one in told.get("enum_allowed") or ()},
        desc=text("desc"),
        long_desc=text("long_desc"),
        tags={str(one) for one in told.get("tags") or ()},
        see_also={str(one) for one in told.get("see_also") or ()},
    )
