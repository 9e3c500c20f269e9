"""What modules get when they import `rados`: ours, with handles that log in as the manager.

Upstream's modules make theirs out of the C++ manager's context; here that is a module's `Calls`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from spirula import rados
from spirula.mgr_host.calls import Calls

_PASSED_ON = ("mon_host", "key", "keyring", "auth_client_required")


class Rados(rados.Rados):
    """A handle of a cluster, as everywhere, but that `context` may be a module's."""

    def __init__(self, *args: Any, context: object = None, **kwargs: Any) -> None:
        if isinstance(context, Calls):
            options = {name: str(context.option(name) or "") for name in _PASSED_ON}
            conf = {name: text for name, text in options.items() if text}
            kwargs = {"name": f"mgr.{context.mgr_id}", "conf": conf}
        super().__init__(*args, **kwargs)

    def get_addrs(self) -> str:
        """Where the handle's client is, for the blocklist; empty before it is connected."""
        return super().get_addrs() if self.state == "connected" else ""


class _RadosModule(ModuleType):
    """`rados` with these handles."""

    Rados = Rados

    def __getattr__(self, name: str) -> Any:
        return getattr(rados, name)


def rados_for_modules() -> ModuleType:
    """The module that is to stand in `sys.modules` as `rados`."""
    return _RadosModule("rados", rados.__doc__)
