"""What modules get when they import `rados`: ours, with handles that log in as the manager.

Upstream's modules make theirs out of the C++ manager's context; here that is a module's `Calls`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from spirula import rados
from spirula.mgr_host.calls import Calls

_PASSED_ON = ("mon_host", "key", "keyring", "auth_client_required")


def _words(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a handle; a `context` becomes the manager's name and configuration."""
    context = kwargs.pop("context", None)
    if not isinstance(context, Calls):
        return kwargs
    options = {name: str(context.option(name) or "") for name in _PASSED_ON}
    conf = {name: text for name, text in options.items() if text}
    return {"name": f"mgr.{context.mgr_id}", "conf": conf}


class Rados(rados.Rados):
    """A handle of a cluster, as everywhere, but that `context` may be a module's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **_words(kwargs))

    def get_addrs(self) -> str:
        """Where the handle's client is, for the blocklist; empty before it is connected."""
        return super().get_addrs() if self.state == "connected" else ""


class _Library(ModuleType):
    """Our library with handles of another kind in the place of its own."""

    def __init__(self) -> None:
        super().__init__("rados", rados.__doc__)
        self.Rados = Rados

    def __getattr__(self, name: str) -> Any:
        return getattr(rados, name)


def rados_for_modules() -> ModuleType:
    """The module that is to stand in `sys.modules` as `rados`."""
    return _Library()


class LaterRados:
    """A manager's handle of a library in C: made and connected when something is asked of it.

    Before that it answers what needs no cluster: the configuration is the manager's, and a client
    that is not there has no map that is too old. `_library` gives the library; `_is_wanted` tells
    whether libraries beside it are in use, which take nothing but its own handles.
    """

    _library: Callable[[], ModuleType]
    _is_wanted: Callable[[], bool]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """A handle of the library itself, if it is not the manager's own that is asked for."""
        if isinstance(kwargs.get("context"), Calls):
            return super().__new__(cls)
        return cls._library().Rados(*args, **kwargs)

    def __init__(self, **kwargs: Any) -> None:
        self._calls: Calls = kwargs["context"]
        self._kwargs = kwargs
        self._lock = threading.Lock()
        self._real: Any = None
        self._is_connected = False

    def now(self) -> Any:
        """What the library is to be given: its own handle once it is in use, else this.

        Who has made this one has to connect it first.
        """
        is_used = self._real is not None or type(self)._is_wanted()
        return self.real() if self._is_connected and is_used else self

    def real(self) -> Any:
        """The library's own handle, connected. Raises its errors."""
        with self._lock:
            if self._real is None:
                made = type(self)._library().Rados(**_words(dict(self._kwargs)))
                made.connect()
                self._calls.register_client(made.get_addrs())
                self._real = made
            return self._real

    def connect(self, timeout: int = 0) -> None:
        """From now on it may be used; nothing is done as yet."""
        del timeout
        self._is_connected = True

    def get_addrs(self) -> str:
        """Where the client is; empty before it is connected, and then registered by itself."""
        return str(self._real.get_addrs()) if self._real is not None else ""

    def wait_for_latest_osdmap(self) -> None:
        """Nothing to wait for before there is a map: the first one is the newest."""
        if self._real is not None:
            self._real.wait_for_latest_osdmap()

    def conf_get(self, option: str) -> str | None:
        """An option of the manager."""
        value = self._calls.option(option) if self._real is None else None
        if value is None:
            found: str | None = self.real().conf_get(option)
            return found
        return str(value).lower() if isinstance(value, bool) else str(value)

    def shutdown(self) -> None:
        """Ends the client, if there is one."""
        if self._real is not None:
            self._real.shutdown()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.real(), name)

    def __enter__(self) -> Any:
        return self.real().__enter__()

    def __exit__(self, *error: object) -> Any:
        return self.real().__exit__(*error)


def later_rados(
    library: Callable[[], ModuleType], is_wanted: Callable[[], bool]
) -> type[LaterRados]:
    """The class of handles of one module."""
    given = {"_library": staticmethod(library), "_is_wanted": staticmethod(is_wanted)}
    return type("Rados", (LaterRados,), given)


class KeptHandle:
    """Where `MgrModule.rados` keeps its handle: libraries are given one that they know."""

    def __get__(self, instance: Any, owner: type) -> Any:
        kept = vars(instance).get("_rados_kept") if instance is not None else None
        return kept.now() if isinstance(kept, LaterRados) else kept

    def __set__(self, instance: Any, value: Any) -> None:
        vars(instance)["_rados_kept"] = value
