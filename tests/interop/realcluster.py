"""Start a real Ceph cluster for the interop tests, from the distribution's packages.

One monitor or more, one manager and some OSDs, on loopback, in a temporary folder, each a child of
this process that the kernel kills should this process die first. Not for comparing speed: the OSDs
may keep their data in memory. Callers: the `real_cluster` fixture, and tests that need a cluster of
their own (several monitors, other modes, no authentication).
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from spirula.cluster.create import free_ports

PROGRAMS = ("ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "ceph-authtool", "monmaptool", "setpriv")
MODES = ("cluster", "service", "client", "mon_cluster", "mon_service", "mon_client")
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 60
# Ceph's programs are not to meet our environment: another Python, another configuration.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class NotReady(Exception):
    """The cluster did not come up; the message holds what its programs wrote last."""


def why_not() -> str | None:
    """Why no real cluster can be started here, or None if one can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=ENVIRONMENT["PATH"]) is None]
    if missing:
        return f"no {', '.join(missing)} here: install what requirements/debian.txt lists"
    return None


@dataclass
class RealCluster:
    """A running cluster. `conf` and `keyring` (client.admin) are what a client needs.

    `auth` is "cephx" or "none"; `mode` is what every ms_*_mode option says: "crc", "secure", "crc
    secure" ..., or None for the defaults of the release. Without `managers` there is none.
    """

    folder: Path
    mons: int = 1
    osds: int = 3
    auth: str = "cephx"
    mode: str | None = None
    objectstore: str = "memstore"
    managers: bool = True
    options: dict[str, str] = field(default_factory=dict)
    fsid: str = field(default_factory=lambda: str(uuid.uuid4()))
    mon_ports: dict[str, tuple[int, int]] = field(default_factory=dict)
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        return self.folder / "ceph.conf"

    @property
    def keyring(self) -> Path:
        return self.folder / "keyring"

    @property
    def mon_addresses(self) -> list[tuple[str, int]]:
        """Where the monitors speak msgr2, by their rank."""
        return [("127.0.0.1", v2) for v2, _ in self.mon_ports.values()]

    @property
    def version(self) -> str:
        """What Ceph calls its release: "16.2.15"."""
        return self.run("ceph", "--version").split()[2].split("-")[0].split("+")[0]

    # ------------------------------------------------------------------------------ talking to it

    def run(self, *command: str, timeout_s: float = 60, check: bool = True) -> str:
        """Run one of Ceph's programs on this cluster; give its stdout."""
        ended = subprocess.run(
            command,
            env={**ENVIRONMENT, "CEPH_CONF": str(self.conf)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and ended.returncode != 0:
            raise NotReady(f"{' '.join(command)}: {ended.returncode}\n{ended.stderr.strip()}")
        return ended.stdout

    def ceph(self, *words: str) -> str:
        """What `ceph WORDS...` prints."""
        return self.run("ceph", "--connect-timeout", "30", *words)

    def ceph_json(self, *words: str) -> object:
        """What `ceph WORDS... --format json` prints, parsed."""
        return json.loads(self.ceph(*words, "--format", "json"))

    def key_of(self, entity: str) -> str:
        """The secret of `entity` (such as "client.admin") in base64, from its keyring file."""
        path = self.keyring if entity == "client.admin" else self.folder / f"{entity}.keyring"
        return self.run("ceph-authtool", str(path), "-p", "-n", entity).strip()

    # --------------------------------------------------------------------------- starting, stopping

    def start(self) -> None:
        """Make the cluster and wait until every OSD is up and the manager active."""
        # Monitors rank by address: with rising ports mon.a has rank 0.
        ports = sorted(free_ports(2 * self.mons))
        self.mon_ports = dict(
            zip("abcdefg", zip(ports[::2], ports[1::2], strict=True), strict=False)
        )
        for name in ("log", "run"):
            (self.folder / name).mkdir()
        self.conf.write_text(self._configuration())
        self._make_keyrings()
        self._make_monitors()
        for name in self.mon_ports:
            self.launch(f"mon.{name}")
        self._register_osds()
        if self.managers:
            self.launch("mgr.x")
        for number in range(self.osds):
            self._make_osd(number)
        for number in range(self.osds):
            self.launch(f"osd.{number}")
        self.wait_ready()

    def launch(self, name: str) -> None:
        """Start a daemon that is not running: "mon.a", "mgr.x", "osd.0"."""
        kind, _, ident = name.partition(".")
        # setpriv's death signal ends the daemon with us, whatever ends us.
        command = ["setpriv", "--pdeathsig", "KILL", f"ceph-{kind}", "-f", "-i", ident]
        with (self.folder / "log" / f"{name}.out").open("ab") as output:
            self.daemons[name] = subprocess.Popen(
                command,
                env={**ENVIRONMENT, "CEPH_CONF": str(self.conf)},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self, name: str, *, how: signal.Signals = signal.SIGTERM) -> None:
        """End one daemon and wait until it is gone. `launch` brings it back."""
        daemon = self.daemons.pop(name)
        daemon.send_signal(how)
        try:
            daemon.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the monitors have a quorum, the manager is active and all OSDs are up."""
        deadline = time.monotonic() + timeout_s
        while True:
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if dead:
                raise NotReady(f"{', '.join(dead)} ended:\n{self._last_words(dead)}")
            status = self.run("ceph", "--connect-timeout", "5", "-s", "-f", "json", check=False)
            if status.strip() and self._is_ready(json.loads(status)):
                return
            if time.monotonic() > deadline:
                raise NotReady(f"not up in {timeout_s} s\n{status}{self._last_words(self.daemons)}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End every daemon, all at once; the OSDs of a cluster that goes away need no time."""
        for daemon in self.daemons.values():
            daemon.kill()
        for daemon in self.daemons.values():
            daemon.wait()
        self.daemons.clear()

    # ------------------------------------------------------------------------------------ the parts

    def _is_ready(self, status: dict[str, dict[str, object]]) -> bool:
        quorum = status["quorum_names"]
        return (
            len(quorum) == self.mons
            and status["osdmap"]["num_up_osds"] == self.osds
            and bool(status["mgrmap"]["available"]) == self.managers
        )

    def _last_words(self, names: Iterable[str]) -> str:
        texts = []
        for name in names:
            text = (self.folder / "log" / f"{name}.out").read_text(errors="replace")
            texts.append(f"{name}: {text[-2000:]}")
        return "\n".join(texts)

    def _configuration(self) -> str:
        hosts = ",".join(
            f"[v2:127.0.0.1:{v2}/0,v1:127.0.0.1:{v1}/0]" for v2, v1 in self.mon_ports.values()
        )
        settings = {
            "fsid": self.fsid,
            "mon host": hosts,
            "mon initial members": ",".join(self.mon_ports),
            "public addr": "127.0.0.1",
            "cluster addr": "127.0.0.1",
            "keyring": str(self.keyring),
            "run dir": str(self.folder / "run"),
            "admin socket": str(self.folder / "run" / "$name.asok"),
            "pid file": str(self.folder / "run" / "$name.pid"),
            "log file": str(self.folder / "log" / "$name.log"),
            "crash dir": str(self.folder / "log"),
            **{f"auth {who} required": self.auth for who in ("cluster", "service", "client")},
            **({f"ms_{who}_mode": self.mode for who in MODES} if self.mode else {}),
            "mon allow pool delete": "true",
            "mon max pg per osd": "2000",
            "mon warn on pool no redundancy": "false",
            "osd crush chooseleaf type": "0",
            "osd pool default pg num": "8",
            "osd pool default pg autoscale mode": "off",
            "osd pool default size": str(min(3, self.osds) or 1),
            "osd pool default min size": "1",
            "osd objectstore": self.objectstore,
            "memstore device bytes": str(1 << 30),
            "bluestore block size": str(4 << 30),
            "osd memory target": str(1 << 30),
            **self.options,
        }
        data = {
            "mon": {"mon data": str(self.folder / "mon.$id")},
            "mgr": {"mgr data": str(self.folder / "mgr.$id"), "mgr initial modules": ""},
            "osd": {"osd data": str(self.folder / "osd.$id")},
        }
        for kind in ("mgr", "osd"):
            data[kind]["keyring"] = str(self.folder / "$name.keyring")
        lines = []
        for section, values in ({"global": settings} | data).items():
            lines.append(f"[{section}]")
            lines += [f"{name} = {value}" for name, value in values.items()]
        return "\n".join([*lines, ""])

    def _make_keyrings(self) -> None:
        """All keys at once: the monitors take them over when they are made."""
        caps = {"client.admin": dict.fromkeys(("mon", "mgr", "osd", "mds"), "allow *")}
        if self.managers:
            caps["mgr.x"] = {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"}
        for number in range(self.osds):
            caps[f"osd.{number}"] = {
                "mon": "allow profile osd",
                "mgr": "allow profile osd",
                "osd": "allow *",
            }
        seed = self.folder / "mon.keyring"
        self.run("ceph-authtool", "-C", str(seed), "-g", "-n", "mon.", "--cap", "mon", "allow *")
        for entity, granted in caps.items():
            words = [word for kind, cap in granted.items() for word in ("--cap", kind, cap)]
            own = self.folder / f"{entity}.keyring"
            if entity == "client.admin":
                own = self.keyring
            self.run("ceph-authtool", "-C", str(own), "-g", "-n", entity, *words)
            self.run("ceph-authtool", str(seed), "--import-keyring", str(own))

    def _make_monitors(self) -> None:
        monmap = str(self.folder / "monmap")
        words = ["--create", "--fsid", self.fsid]
        for name, (v2, v1) in self.mon_ports.items():
            words += ["--addv", name, f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"]
        self.run("monmaptool", *words, monmap)
        seed = str(self.folder / "mon.keyring")
        for name in self.mon_ports:
            words = ["--mkfs", "-i", name, "--monmap", monmap, "--keyring", seed]
            self.run("ceph-mon", *words)
            # It works with the key it has taken over; the file must not stay behind as the default.
            shutil.copy(seed, self.folder / f"mon.{name}" / "keyring")
        (self.folder / "mgr.x").mkdir()

    def _register_osds(self) -> None:
        for number in range(self.osds):
            folder = self.folder / f"osd.{number}"
            folder.mkdir()
            ident = str(uuid.uuid4())
            (folder / "uuid").write_text(ident)
            self.ceph("osd", "new", ident, str(number))

    def _make_osd(self, number: int) -> None:
        ident = (self.folder / f"osd.{number}" / "uuid").read_text()
        self.run("ceph-osd", "-i", str(number), "--mkfs", "--osd-uuid", ident)


@contextmanager
def real_cluster_of(**parameters: object) -> Iterator[RealCluster]:
    """A real cluster with the parameters of `RealCluster`, gone with its folder at the end."""
    # Not pytest's own folders: paths of admin sockets are limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="spirula-", ignore_cleanup_errors=True) as folder:
        cluster = RealCluster(Path(folder), **parameters)  # type: ignore[arg-type]  # passed on
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
