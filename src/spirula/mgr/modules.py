"""What a manager asks of whoever runs its modules (`spirula.mgr_host`), and a host without any.

Modules run in threads of their own, so the host lives outside of the manager's own code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from spirula.commands.reply import Reply
from spirula.types.mgr import ModuleInfo
from spirula.types.mon import MonCommand

if TYPE_CHECKING:
    from spirula.mgr.session import Session
    from spirula.mgr.state import Manager


class ModuleHost(Protocol):
    """Runs modules. All is called on the manager's loop, and nothing may block it."""

    def load(self, names: set[str]) -> None:
        """Imports these modules, for they are enabled."""

    def infos(self) -> list[ModuleInfo]:
        """All modules that there are, for beacons."""

    def commands(self) -> list[MonCommand]:
        """The commands of modules that are enabled."""

    def has_command(self, prefix: str) -> str | None:
        """The module that answers a command, if there is one."""

    async def handle_command(
        self,
        prefix: str,
        given: Mapping[str, object],
        data: bytes,
        session: Session | None = None,
    ) -> Reply:
        """Has the module answer."""

    def stand_by(self, manager: Manager) -> None:
        """The manager is a standby: run what is enabled and made for that, unless it runs."""

    def start(self, manager: Manager) -> None:
        """The manager is active: run what is enabled."""

    def notify(self, kind: str, ident: str = "") -> None:
        """Something has changed; `kind` as upstream calls it (`osd_map`, `pg_summary` ...)."""

    def on_config(self, options: Mapping[str, str]) -> None:
        """The options of modules (`mgr/balancer/active` ...), all of them."""

    async def stop(self) -> None:
        """The manager ends."""


@dataclass(slots=True, eq=False)
class NoModules:
    """A host without modules, for tests and simulation."""

    def load(self, names: set[str]) -> None:
        """There are none."""

    def infos(self) -> list[ModuleInfo]:
        """None."""
        return []

    def commands(self) -> list[MonCommand]:
        """None."""
        return []

    def has_command(self, prefix: str) -> str | None:
        """Never."""
        del prefix
        return None

    async def handle_command(
        self,
        prefix: str,
        given: Mapping[str, object],
        data: bytes,
        session: Session | None = None,
    ) -> Reply:
        """Never asked."""
        del given, data, session
        return Reply(f"no module answers {prefix!r}", rc=-22)

    def stand_by(self, manager: Manager) -> None:
        """Nothing to run."""

    def start(self, manager: Manager) -> None:
        """Nothing to run."""

    def notify(self, kind: str, ident: str = "") -> None:
        """Nobody listens."""

    def on_config(self, options: Mapping[str, str]) -> None:
        """Nobody listens."""

    async def stop(self) -> None:
        """Nothing runs."""
