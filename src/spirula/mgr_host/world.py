"""The imports of one of upstream's modules: of what lies in the modules' folder it has own copies.

Upstream gives every module an interpreter of its own, and its `mgr_module` relies on that: what it
keeps in classes (commands, defaults of options) would be everybody's; so would the one server of
`cherrypy`. Here the code of a module has an `__import__` of its own among its builtins, which knows
the module's copies: imports inside of functions, later and in any thread, find them as well.
"""

from __future__ import annotations

import builtins
import importlib
import logging
import os
import pickle
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import resolve_name
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_OWN_COPIES = {"cherrypy", "pecan"}
"""Packages from elsewhere that have state, or import parts of modules by name."""
_CODE: dict[tuple[str, str], tuple[int, CodeType | None]] = {}
"""The code of what worlds import, by name and file, and when the file was changed."""
_IN_PLACE = threading.RLock()
"""Who holds it has his copies in `sys.modules`."""


class World:
    """What one module imports: `stand_ins` by name, and copies of all in `folders`.

    What several folders have is taken from the first.
    """

    def __init__(
        self, name: str, folders: Sequence[str], stand_ins: Mapping[str, ModuleType]
    ) -> None:
        self.folders = [folder for folder in folders if Path(folder).is_dir()]
        self._own = _OWN_COPIES | {
            path.stem
            for folder in self.folders
            for path in Path(folder).iterdir()
            if path.suffix == ".py" or (path.is_dir() and not path.name.startswith("_"))
        }
        self._stand_ins = {
            **stand_ins,
            "logging": _OwnLogging(name),
            "importlib": _OwnImportlib(self),
            "os": _OwnOS("os"),
            "pickle": _OwnPickle(self),
        }
        self._copies: dict[str, ModuleType] = {}
        self._finder = _Finder(self)
        self.builtins = {**vars(builtins), "__import__": self._import}

    def is_own(self, name: str) -> bool:
        """Whether a name is of something that is copied."""
        return name.partition(".")[0] in self._own

    def import_module(self, name: str) -> ModuleType:
        """This module's copy of something in the folder. Raises whatever importing it raises."""
        found = self._copies.get(name)
        if found is None:
            with self.in_place():
                found = importlib.import_module(name)
        return found

    def _import(
        self,
        name: str,
        given: Mapping[str, Any] | None = None,
        local: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What import statements in the module's code do."""
        package = (given or {}).get("__package__") or ""
        absolute = resolve_name("." * level + name, package) if level else name
        if self.is_own(absolute):
            found = self._copies.get(absolute)
            if found is not None and fromlist and all(hasattr(found, one) for one in fromlist):
                return found
            with self.in_place():
                return __import__(name, given, local, fromlist or (), level)
        imported: ModuleType
        stand_in = self._stand_ins.get(absolute.partition(".")[0])
        if stand_in is None:
            return __import__(name, given, local, fromlist or (), level)
        if "." not in absolute:
            return stand_in
        imported = __import__(absolute, given, local, fromlist or (), 0)
        return imported if fromlist else stand_in

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Has the copies in the place where the interpreter looks for imported modules."""
        with _IN_PLACE:
            if self._finder in sys.meta_path:
                yield
                return
            # Other threads may import something meanwhile: whatever looks at it looks at a list.
            kept = {key: one for key, one in list(sys.modules.items()) if self.is_own(key)}
            for key in kept:
                del sys.modules[key]
            sys.modules.update(self._copies)
            sys.meta_path.insert(0, self._finder)
            try:
                yield
            finally:
                sys.meta_path.remove(self._finder)
                for key in [key for key in list(sys.modules) if self.is_own(key)]:
                    self._copies[key] = sys.modules.pop(key)
                sys.modules.update(kept)


class _Finder(MetaPathFinder):
    """Finds what a world has copies of."""

    def __init__(self, world: World) -> None:
        self.world = world

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where something is; None for what is not copied."""
        if not self.world.is_own(name):
            return None
        found = PathFinder.find_spec(name, path or [*self.world.folders, *sys.path], target)
        if found is not None and isinstance(found.loader, SourceFileLoader):
            found.loader = _Loader(name, str(found.origin), self.world)
        return found


class _Loader(SourceFileLoader):
    """Gives a module the builtins of its world."""

    def __init__(self, name: str, path: str, world: World) -> None:
        super().__init__(name, path)
        self.world = world

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module."""
        vars(module)["__builtins__"] = self.world.builtins
        super().exec_module(module)

    def get_code(self, fullname: str) -> CodeType | None:
        """The code of a file; all copies of the module have the same."""
        known = _CODE.get((fullname, self.path))
        changed = Path(self.path).stat().st_mtime_ns
        if known is None or known[0] != changed:
            known = _CODE[fullname, self.path] = changed, super().get_code(fullname)
        return known[1]


class _OwnLogging(ModuleType):
    """`logging` with a module's own logger in the place of the root."""

    def __init__(self, name: str) -> None:
        super().__init__("logging")
        self._own = f"mgr.{name}"
        own = logging.getLogger(self._own)
        own.propagate = False

    def __getattr__(self, name: str) -> Any:
        return getattr(logging, name)

    def getLogger(self, name: str | None = None) -> logging.Logger:  # noqa: N802 - as in logging
        """A logger below the module's own."""
        return logging.getLogger(f"{self._own}.{name}" if name else self._own)


class _OwnOS(ModuleType):
    """`os` that a module may change for itself: some take away `_exit`, for cherrypy uses it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


class _OwnImportlib(ModuleType):
    """`importlib` that knows the copies of a world."""

    def __init__(self, world: World) -> None:
        super().__init__("importlib")
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib, name)

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """As that of `importlib`."""
        absolute = resolve_name(name, package)
        if self._world.is_own(absolute):
            return self._world.import_module(absolute)
        return importlib.import_module(absolute)


class _OwnPickle(ModuleType):
    """`pickle` that finds the classes of a world: orchestrators pass exceptions so."""

    def __init__(self, world: World) -> None:
        super().__init__("pickle")
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(pickle, name)

    def dumps(self, value: object, *args: Any, **kwargs: Any) -> bytes:
        """As that of `pickle`."""
        with self._world.in_place():
            return pickle.dumps(value, *args, **kwargs)

    def loads(self, data: bytes, **kwargs: Any) -> Any:
        """As that of `pickle`."""
        with self._world.in_place():
            return pickle.loads(data, **kwargs)  # noqa: S301 - as the module asks
