"""Finding object classes by name, as far as the OSD's options allow it (upstream ClassHandler).

A class is looked for among those that come with Spirula, then as `NAME.py` or a package in the
folder `osd_class_dir`, then among the entry points `spirula.classes` of installed packages. Only
the first kind runs in the OSD's own process, and of it not `lua`, whose programs are the clients'.
The OSD's operations call `open` and run the methods; its start calls `open_all`.
"""

from __future__ import annotations

import errno
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Final

from spirula.classes.declare import ObjectClass, class_of
from spirula.classes.isolated import Workshop
from spirula.errors import CephError, InputOutput, NotFound, NotPermitted, NotSupported

ENTRY_POINTS: Final = "spirula.classes"
"""The group of entry points by which packages offer classes: `NAME = "package.module"`."""

_MODULES: Final = {"2pc_queue": "two_phase_queue"}

BUILT_IN: Final = {
    name: f"spirula.classes.{_MODULES.get(name, name)}"
    for name in (
        "2pc_queue",
        "cas",
        "cephfs",
        "cmpomap",
        "fifo",
        "hello",
        "journal",
        "lock",
        "log",
        "numops",
        "otp",
        "queue",
        "refcount",
        "sdk",
        "timeindex",
        "user",
        "version",
    )
}
"""The modules of the classes that come with Spirula and run in the OSD's process."""

ISOLATED: Final = {"lua": "spirula.classes.lua"}
"""Likewise, of those that run in a process of their own."""


_NAME: Final = re.compile(r"[A-Za-z0-9_]+")


def in_class_list(name: str, names: str) -> bool:
    """Whether a list of names as the options hold it (blanks between, `*` for all) has `name`."""
    allowed = names.split()
    return name in allowed or "*" in allowed


@dataclass(slots=True)
class ClassRegistry:
    """The classes of one OSD. The fields are its options' values, as of its start.

    `log` takes a level and a message.
    """

    class_dir: str = ""
    load_list: str = "*"
    default_list: str = "*"
    log: Callable[[int, str], None] = lambda level, message: None
    _open: dict[str, ObjectClass] = field(default_factory=dict)
    _workshop: Workshop = field(default_factory=Workshop)
    _failed: dict[str, tuple[tuple[str, int], str]] = field(default_factory=dict)
    _offered: dict[str, str] | None = None

    def open(self, name: str) -> ObjectClass:
        """The class, loaded at the first time.

        NotPermitted (EPERM) if `osd_class_load_list` has not got it, NotSupported (EOPNOTSUPP) if
        there is none, InputOutput (EIO) if it cannot be loaded; all as clients of upstream see it.
        What could not be loaded is tried again when its file has changed.
        """
        opened = self._open.get(name)
        if opened is None:
            opened = self._open[name] = self._load(name)
        return opened

    def open_all(self) -> list[str]:
        """Loads all permitted classes that can be found; their names. What fails is logged."""
        found = []
        for name in self.known():
            try:
                self.open(name)
            except NotPermitted:
                continue
            except CephError as error:
                self.log(0, f"class {name}: {error}")
                continue
            found.append(name)
        return found

    def known(self) -> list[str]:
        """The names of all classes that can be found, permitted or not, sorted."""
        names = {*BUILT_IN, *ISOLATED}
        names.update(self._packages())
        if self.class_dir:
            folder = Path(self.class_dir)
            if folder.is_dir():
                names.update(path.stem for path in folder.iterdir() if _is_class_file(path))
        return sorted(names)

    def close(self) -> None:
        """Ends the processes of classes that have one."""
        self._workshop.close()

    def _load(self, name: str) -> ObjectClass:
        if not in_class_list(name, self.load_list):
            self.log(0, f"not permitted to load class {name!r}: see osd_class_load_list")
            raise NotPermitted(f"object class {name!r} is not in osd_class_load_list")
        try:
            if name in BUILT_IN:
                loaded = class_of(importlib.import_module(BUILT_IN[name]))
            else:
                loaded = self._load_isolated(name)
        except NotFound:
            self.log(0, f"there is no object class {name!r}")
            raise NotSupported(f"there is no object class {name!r}") from None
        except (CephError, TypeError, ImportError) as error:
            self.log(0, f"cannot load class {name}: {error}")
            raise CephError.from_errno(
                errno.EIO, f"cannot load object class {name!r}: {error}"
            ) from error
        loaded.allowed = in_class_list(name, self.default_list)
        self.log(10, f"loaded class {name}")
        return loaded

    def _load_isolated(self, name: str) -> ObjectClass:
        where = self._where(name)
        path = Path(where, "__init__.py") if Path(where).is_dir() else Path(where)
        stamp = where, path.stat().st_mtime_ns if path.is_file() else 0
        failed = self._failed.get(name)
        if failed is not None and failed[0] == stamp:
            # Starting a process takes long, and clients may ask again and again.
            raise InputOutput(failed[1])
        try:
            return self._workshop.load(name, where, self.log)
        except CephError as error:
            self._failed[name] = stamp, error.message
            raise

    def _packages(self) -> dict[str, str]:
        """The modules that installed packages offer, by class; looked for once."""
        if self._offered is None:
            points = metadata.entry_points(group=ENTRY_POINTS)
            self._offered = {point.name: point.module for point in points}
        return self._offered

    def _where(self, name: str) -> str:
        """The module of an isolated class: its name, or the path of its file."""
        if name in ISOLATED:
            return ISOLATED[name]
        if self.class_dir and _NAME.fullmatch(name):
            for path in (Path(self.class_dir) / f"{name}.py", Path(self.class_dir) / name):
                if _is_class_file(path):
                    return str(path)
        if name in self._packages():
            return self._packages()[name]
        raise NotFound(f"there is no object class {name!r}")


def _is_class_file(path: Path) -> bool:
    if _NAME.fullmatch(path.stem) is None:
        return False
    return (path / "__init__.py").is_file() or (path.suffix == ".py" and path.is_file())
