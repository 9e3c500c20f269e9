"""What a module may ask of the manager that it runs in, from any of its threads.

`spirula.mgr_host.calls` does it; upstream's modules have the same calls under other names
(`self.get_store` there is `self.host.store_get` here).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from spirula.maps.osdmap import OSDMap
from spirula.types.service import PerfCounterType


class Host(Protocol):
    """The manager, seen from one module."""

    mgr_id: str
    """The manager's name."""

    # --- the cluster

    def now(self) -> float:
        """Seconds since 1970."""

    def get(self, what: str) -> Any:
        """A document by its name, as upstream calls it: `osd_map`, `pg_summary`, `df`, `health`
        ...; None for a name that there is not. All: `spirula.mgr_host.views`.
        """

    def osd_map(self) -> OSDMap:
        """The newest OSD map itself; whoever changes it changes it for all."""

    def server(self, hostname: str | None) -> Any:
        """A host and its daemons, or a list of all hosts."""

    def metadata(self, kind: str, name: str) -> dict[str, str] | None:
        """What a daemon has told of itself; None for one that is not known."""

    def daemon_status(self, kind: str, name: str) -> dict[str, str] | None:
        """What a daemon that serves something last said of itself."""

    def counter(self, kind: str, name: str, path: str) -> dict[str, list[list[float]]]:
        """The last values of a perf counter, by its path: time and value."""

    def latest_counter(self, kind: str, name: str, path: str) -> dict[str, Any]:
        """The newest value of a perf counter, by its path."""

    def latest_counters(
        self, kinds: Collection[str], least_priority: int
    ) -> dict[str, dict[str, tuple[PerfCounterType, tuple[float, ...]]]]:
        """Declarations and newest values (time and value, or time, sum and count) of all counters
        of these kinds of daemons that are of some use (`PRIO_USEFUL`), by daemon and path.
        """

    def perf_schema(self, kind: str, name: str) -> dict[str, dict[str, Any]]:
        """The declarations of counters, by daemon and path; empty names mean all."""

    def health_metrics(self) -> dict[str, list[dict[str, Any]]]:
        """What daemons say of their health, by daemon."""

    def version(self) -> str:
        """`ceph version 16.2.15 (...) pacific (stable)`."""

    def release_name(self, major: int = 0) -> str:
        """The name of a major release, of this one where none is named."""

    def have_mon_connection(self) -> bool:
        """Whether there is a session with a monitor."""

    # --- options and what is kept

    def option(self, key: str) -> Any:
        """One of the manager's own options; None for one that there is not."""

    def foreign_option(self, entity: str, key: str) -> Any:
        """An option as another daemon would have it from the monitors."""

    def module_option(self, module: str, key: str, prefix: str = "") -> Any:
        """An option of a module as somebody has set it; None where nobody has."""

    def set_module_option(self, module: str, key: str, value: str | None) -> None:
        """Sets an option of a module in the central configuration. ValueError if refused."""

    def store_get(self, key: str) -> str | None:
        """What the module keeps under a key."""

    def store_prefix(self, prefix: str) -> dict[str, str]:
        """All that the module keeps under keys that begin so."""

    def store_set(self, key: str, value: str | None) -> None:
        """Keeps something with the monitors, or nothing any more."""

    # --- words and deeds

    def send_command(
        self, result: Any, kind: str, name: str, command: str, tag: str, data: str | None
    ) -> None:
        """Sends a command; `result.complete(r, out, status)` is called on the manager's loop."""

    def set_health_checks(self, checks: dict[str, Any]) -> None:
        """The module's checks that do not pass, by code; those before are gone.

        Each has `severity` (warning or error), `summary`, `detail` (lines) and `count`.
        """

    def log(self, text: str) -> None:
        """A line for the manager's own log."""

    def cluster_log(self, channel: str, priority: int, text: str) -> None:
        """A line for the cluster log; priorities: 0 debug, 1 info, 2 sec, 3 warning, 4 error."""

    def set_uri(self, uri: str) -> None:
        """Where the module serves; monitors tell people (`mgr services`)."""

    def active_uri(self) -> str:
        """Where the module of the active manager serves."""

    def set_wear_level(self, ident: str, level: float) -> None:
        """Notes how worn a device is, from 0 to 1."""

    def update_progress(self, ident: str, text: str, progress: float, *, shown: bool) -> None:
        """How far something long is, from 0 to 1; `shown` in `ceph status`."""

    def complete_progress(self, ident: str) -> None:
        """Something long has ended."""

    def clear_progress(self) -> None:
        """Nothing long goes on."""

    def remote(
        self, module: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Calls a method of another module; raises what it raises.

        ImportError where the module does not run, NameError where it has no such method.
        """

    def add_osd_query(self, asked: dict[str, Any]) -> int | None:
        """Has OSDs count by client, pool, object ...: upstream's `add_osd_perf_query`. The query's
        number; None for one that cannot be read.
        """

    def remove_osd_query(self, ident: int) -> None:
        """The query is not wanted any more."""

    def osd_query_counters(self, ident: int) -> dict[str, Any] | None:
        """What was counted since this was last asked; None for a query that there is not."""

    def rados(self) -> Any:
        """A new, connected handle of the cluster (`spirula.rados.Rados`), as this manager."""
