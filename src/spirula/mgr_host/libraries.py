"""The libraries that upstream's modules find when they import `rados`, `rbd` and `cephfs`.

`rados` is this project's client. `rbd` and `cephfs` are libraries in C that want the `rados` that
they were built with: a module that uses one of them gets all three of the system's, where they are
installed, loaded when it first uses one. Where they are not, the names are there, and whoever makes
something of them is told. Called by `loader`.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder, SourceFileLoader
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from spirula.mgr_host.later import Later
from spirula.mgr_host.rados_module import later_rados

DEBIAN_PACKAGES = "/usr/lib/python3/dist-packages"
"""Where Debian puts what upstream's modules import (ceph_argparse, yaml, cherrypy ...)."""
OF_RADOS = ("cephfs", "rbd")
_OPENSSL = "OpenSSL"
_USES = re.compile(r"^\s*(?:import|from)\s+(?:cephfs|rbd)\b", re.MULTILINE)
_NATIVE = ("rados", *OF_RADOS)
_SELDOM = ("requests",)
_LOADING = threading.Lock()


class NotThere(ModuleType):
    """A library that modules import and few use, and that cannot be had beside our `rados`.

    Constants are numbers; whatever else is taken from it is a class that says so when it is made.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._numbers = count()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made: Any
        if name.isupper() and "_" in name:
            made = next(self._numbers)
        else:

            def refuse(*_: object, **__: object) -> None:
                text = f"{self.__name__}.{name}: the library {self.__name__} is not here"
                raise ImportError(text)

            made = type(name, (Exception,), {"__init__": refuse})
        setattr(self, name, made)
        return made


def libraries_for(name: str, folder: str, rados: ModuleType | None) -> dict[str, ModuleType]:
    """What is to stand in `sys.modules` while a module is imported; `rados` is ours."""
    if rados is None:
        return {}
    others = {"rados": rados, **{other: not_there(other) for other in OF_RADOS}}
    if not (uses_native(Path(folder) / name) and has_native()):
        return others
    made: dict[str, Later] = {}

    def later(library: str, given: dict[str, Any] | None = None) -> Later:
        return Later(library, lambda: (native_libraries() or others)[library], given)

    made |= {other: later(other) for other in OF_RADOS}
    handle = later_rados(
        lambda: (native_libraries() or others)["rados"],
        lambda: any(one.is_loaded for one in made.values()),
    )
    made["rados"] = later("rados", {"Rados": handle})
    return dict(made)


def seldom_used() -> dict[str, ModuleType]:
    """Libraries that take much memory and that modules seldom use, where they are installed."""
    return {
        name: Later(name, partial(importlib.import_module, name))
        for name in _SELDOM
        if importlib.util.find_spec(name)
    }


def uses_native(module: Path) -> bool:
    """Whether files of a module import `rbd` or `cephfs`; what modules share does not count."""
    return any(
        _USES.search(path.read_text("utf-8", "replace"))
        for path in module.rglob("*.py")
        if "tests" not in path.parts
    )


@cache
def not_there(name: str) -> NotThere:
    """The stand-in of a library; everybody has the same, so that its classes are the same."""
    return NotThere(name)


@cache
def has_native() -> bool:
    """Whether the system's `rados`, `rbd` and `cephfs` are there, built for this Python."""
    with system_packages():
        specs = [PathFinder.find_spec(name) for name in _NATIVE]
    return all(spec and isinstance(spec.loader, ExtensionFileLoader) for spec in specs)


def native_libraries() -> dict[str, ModuleType] | None:
    """The system's `rados`, `rbd` and `cephfs`; None if this Python cannot load all of them."""
    with _LOADING:
        return _load_native()


@cache
def _load_native() -> dict[str, ModuleType] | None:
    with system_packages():
        try:
            with _without(*_NATIVE):
                return {name: importlib.import_module(name) for name in _NATIVE}
        except ImportError:
            return None


class _DebiansOpenSSL(MetaPathFinder):
    """Imports Debian's `OpenSSL` with the `cryptography` that goes with it.

    Ours is newer, and what that one takes from it is no longer there.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where it is; None for all others, and where it is not Debian's."""
        found = PathFinder.find_spec(name, path, target) if name == _OPENSSL else None
        if found is None or not (found.origin or "").startswith(f"{DEBIAN_PACKAGES}/"):
            return None
        found.loader = _WithItsOwn(name, str(found.origin))
        return found


class _WithItsOwn(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        """Runs the package; it imports all its parts at once."""
        with system_packages(first=True), _without("cryptography"):
            super().exec_module(module)


def find_system_packages() -> None:
    """From now on Debian's packages are found, and its `OpenSSL` as told above."""
    if DEBIAN_PACKAGES not in sys.path and Path(DEBIAN_PACKAGES).is_dir():
        sys.path.append(DEBIAN_PACKAGES)
    if not any(isinstance(one, _DebiansOpenSSL) for one in sys.meta_path):
        sys.meta_path.insert(0, _DebiansOpenSSL())


@contextmanager
def system_packages(*, first: bool = False) -> Iterator[None]:
    """Has Debian's packages be found, too."""
    path = list(sys.path)
    if Path(DEBIAN_PACKAGES).is_dir():
        if first:
            sys.path.insert(0, DEBIAN_PACKAGES)
        elif DEBIAN_PACKAGES not in sys.path:
            sys.path.append(DEBIAN_PACKAGES)
    try:
        yield
    finally:
        sys.path[:] = path


@contextmanager
def _without(*names: str) -> Iterator[None]:
    """Imports packages anew, and puts back those that there were."""
    kept = {key: one for key, one in list(sys.modules.items()) if key.partition(".")[0] in names}
    for key in kept:
        del sys.modules[key]
    try:
        yield
    finally:
        for key in [key for key in list(sys.modules) if key.partition(".")[0] in names]:
            del sys.modules[key]
        sys.modules.update(kept)
