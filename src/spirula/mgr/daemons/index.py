"""What a manager knows of each daemon: where it runs, what it is, its counters and options.

Daemons are named by kind and name ("osd", "3"). Upstream: `src/mgr/DaemonState.h`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from spirula.mgr.daemons.counters import Counters
from spirula.types.service import DaemonHealthMetric


class DaemonKey(NamedTuple):
    """A daemon's kind ("osd", "mon", "mds", "mgr", or a service's) and its name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}"


@dataclass(slots=True, eq=False)
class DaemonState:
    """One daemon.

    `config` holds, by option, values by where they are set; `defaults` the values of the others
    where it told them. `is_service`: it is no daemon of Ceph's own kinds, but serves something.
    `last_beacon` is when it last said that it lives, in seconds since 1970.
    """

    key: DaemonKey
    hostname: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    """Device ids by the device's name on the host."""
    counters: Counters = field(default_factory=Counters)
    metrics: list[DaemonHealthMetric] = field(default_factory=list)
    config: dict[str, dict[int, str]] = field(default_factory=dict)
    ignored_mon_config: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    is_service: bool = False
    status: dict[str, str] = field(default_factory=dict)
    status_stamp: float = 0.0
    last_beacon: float = 0.0


@dataclass(slots=True, eq=False)
class DaemonIndex:
    """All daemons, by key and by host. `updating` are those whose metadata is being asked for."""

    by_key: dict[DaemonKey, DaemonState] = field(default_factory=dict)
    updating: set[DaemonKey] = field(default_factory=set)

    def __contains__(self, key: DaemonKey) -> bool:
        return key in self.by_key

    def __iter__(self) -> Iterator[DaemonState]:
        return iter(self.by_key.values())

    def get(self, key: DaemonKey) -> DaemonState | None:
        """The daemon, if it is known."""
        return self.by_key.get(key)

    def put(self, key: DaemonKey, metadata: dict[str, str]) -> DaemonState:
        """Notes a daemon's metadata, `hostname` among it; makes the daemon if it is new."""
        found = self.by_key.get(key)
        if found is None:
            found = self.by_key[key] = DaemonState(key)
        found.hostname = metadata.get("hostname", found.hostname)
        found.metadata = {name: text for name, text in metadata.items() if name != "hostname"}
        found.devices = _devices(metadata.get("device_ids", ""))
        return found

    def remove(self, key: DaemonKey) -> None:
        """Forgets a daemon."""
        self.by_key.pop(key, None)

    def of_kind(self, kind: str) -> list[DaemonState]:
        """All daemons of a kind, by name."""
        return sorted(
            (one for key, one in self.by_key.items() if key.kind == kind), key=lambda d: d.key.name
        )

    def on_host(self, hostname: str) -> list[DaemonState]:
        """All daemons of a host, by key."""
        return sorted(
            (one for one in self.by_key.values() if one.hostname == hostname), key=lambda d: d.key
        )

    def hosts(self) -> list[str]:
        """The hosts on which daemons are known to run."""
        return sorted({one.hostname for one in self.by_key.values()})

    def keep(self, kind: str, names: Iterable[str]) -> None:
        """Forgets the daemons of a kind that are not among these."""
        kept = set(names)
        for key in [key for key in self.by_key if key.kind == kind and key.name not in kept]:
            del self.by_key[key]


def _devices(text: str) -> dict[str, str]:
    """`sda=SERIAL,sdb=OTHER` as a dict."""
    pairs = (word.partition("=") for word in text.split(",") if "=" in word)
    return {name.strip(): ident for name, _, ident in pairs if ident}
