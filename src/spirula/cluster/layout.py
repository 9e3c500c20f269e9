"""What stands where under a cluster's directory.

D/ceph.conf            what clients need; names the admin keyring
D/keyring              key of client.admin
D/cluster.json         what was asked for: daemons and their ports
D/mon.a/               a monitor's data (`store.db`, its own keyring)
D/osd.0/               an OSD's data (its store, its own keyring)
D/mgr.x/               a manager's data (its own keyring)
D/run/mon.a.pid        the process, while it runs
D/run/mon.a.asok       its admin socket
D/log/mon.a.log        its log; D/log/ceph.log is the cluster's
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from spirula.errors import InvalidArgument, NotFound

MAX_MONS = 15
"""Monitors of one cluster on one machine; upstream advises against more than seven anywhere."""
MAX_MGRS = 5
"""Managers of one cluster on one machine: one is active, the others stand by."""
MAX_OSDS = 100
"""OSDs of one cluster on one machine: each is a process of its own."""


@dataclass(slots=True)
class MonPlace:
    """One monitor: its name and the ports of both protocols on loopback."""

    name: str
    port: int
    legacy_port: int


@dataclass(slots=True)
class OSDPlace:
    """One OSD: its number and its identity."""

    number: int
    uuid: str


@dataclass(slots=True)
class Layout:
    """A cluster's directory and what is in it."""

    directory: Path
    fsid: str = ""
    mons: list[MonPlace] = field(default_factory=list)
    osds: list[OSDPlace] = field(default_factory=list)
    mgrs: list[str] = field(default_factory=list)

    @property
    def conf(self) -> Path:
        """The configuration for clients and daemons."""
        return self.directory / "ceph.conf"

    @property
    def admin_keyring(self) -> Path:
        """The key of client.admin."""
        return self.directory / "keyring"

    @property
    def run(self) -> Path:
        """Pid files and admin sockets."""
        return self.directory / "run"

    @property
    def log(self) -> Path:
        """Logs."""
        return self.directory / "log"

    def pid_file(self, daemon: str) -> Path:
        """The pid file of a daemon such as `mon.a`."""
        return self.run / f"{daemon}.pid"

    def log_file(self, daemon: str) -> Path:
        """The log of a daemon."""
        return self.log / f"{daemon}.log"

    def asok(self, daemon: str) -> Path:
        """The admin socket of a daemon."""
        return self.run / f"{daemon}.asok"

    def daemons(self) -> list[str]:
        """All daemons that belong to the cluster, in the order in which they are started."""
        mons = [f"mon.{place.name}" for place in self.mons]
        mgrs = [f"mgr.{name}" for name in self.mgrs]
        return mons + mgrs + [f"osd.{place.number}" for place in self.osds]

    def save(self) -> None:
        """Write `cluster.json`."""
        document = {
            "fsid": self.fsid,
            "mons": [
                {"name": place.name, "port": place.port, "legacy_port": place.legacy_port}
                for place in self.mons
            ],
            "osds": [{"id": place.number, "uuid": place.uuid} for place in self.osds],
            "mgrs": self.mgrs,
        }
        path = self.directory / "cluster.json"
        path.with_suffix(".new").write_text(json.dumps(document, indent=4) + "\n")
        path.with_suffix(".new").replace(path)

    @classmethod
    def load(cls, directory: Path) -> Layout:
        """The cluster in a directory. NotFound if there is none, InvalidArgument if damaged."""
        path = directory / "cluster.json"
        try:
            found = json.loads(path.read_text())
            mons = [MonPlace(one["name"], one["port"], one["legacy_port"]) for one in found["mons"]]
            osds = [OSDPlace(one["id"], one["uuid"]) for one in found.get("osds", [])]
            return cls(directory, found["fsid"], mons, osds, list(found.get("mgrs", [])))
        except FileNotFoundError:
            raise NotFound(f"there is no cluster in {directory}: `spirula up` makes one") from None
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidArgument(f"{path} is damaged: {error!r}") from None
