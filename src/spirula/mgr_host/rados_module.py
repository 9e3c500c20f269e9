"""What modules get when they import `rados`: ours, with handles that log in as the manager.

Upstream's modules make theirs out of the C++ manager's context; here that is a module's `Calls`.
"""

from __future__ import annotations

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
    """A library with handles of ours in the place of its own."""

    def __init__(self, library: ModuleType, handle: type) -> None:
        super().__init__("rados", library.__doc__)
        self._library = library
        self.Rados = handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)


def rados_for_modules() -> ModuleType:
    """The module that is to stand in `sys.modules` as `rados`."""
    return _Library(rados, Rados)


def native_rados_for_modules(library: ModuleType) -> ModuleType:
    """The same of the `rados` in C."""
    base: Any = library.__dict__["Rados"]

    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        base.__init__(self, *args, **_words(kwargs))

    handle = type("Rados", (base,), {"__init__": make, "__doc__": base.__doc__})
    return _Library(library, handle)
