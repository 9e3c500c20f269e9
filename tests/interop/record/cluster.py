"""A real Ceph cluster on loopback whose traffic can be read: authentication none, CRC mode, msgr2
only.

Starts and stops each of Debian's daemons one by one, so that a scenario can take monitors and
OSDs away. Used by the scenarios of the recorder only; interop tests have their own clusters.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MON_NAMES = ("a", "b", "c", "d")

_CONF = """\
[global]
fsid = {fsid}
mon host = {mon_host}
keyring = {dir}/keyring
run dir = {dir}/run
admin socket = {dir}/run/$name.asok
pid file = {dir}/run/$name.pid
log file = {dir}/log/$name.log
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = {port_min}
ms bind port max = {port_max}
ms bind msgr1 = false
ms bind msgr2 = true
auth cluster required = {auth}
auth service required = {auth}
auth client required = {auth}
ms cluster mode = crc
ms service mode = crc
ms client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
ms mon client mode = crc
mon max pg per osd = 2000
osd pool default pg num = 8
osd pool default size = 3
osd pool default min size = 2
osd crush chooseleaf type = 0
osd pool default pg autoscale mode = off
mon allow pool delete = true
mon warn on pool no redundancy = false
mon osd down out interval = 600
{extra}
[mon]
mon data = {dir}/mon/$id
mon scrub interval = 20
mon scrub max keys = 20
[mgr]
mgr data = {dir}/mgr/$id
mgr initial modules =
[osd]
osd data = {dir}/osd.$id
bluestore block size = 4294967296
osd memory target = 939524096
osd beacon report interval = 15
osd recovery sleep hdd = 0
osd max backfills = 4
osd heartbeat grace = 8
[mds]
mds data = {dir}/mds/$id
[client]
admin socket =
pid file =
"""


@dataclass(slots=True)
class Ports:
    """TCP ports of a cluster: monitors count up from `mon`, all others bind in the range."""

    mon: int
    bind_min: int
    bind_max: int

    def capture_filter(self, monitors: int = len(MON_NAMES)) -> str:
        """The expression for dumpcap that sees this cluster and nothing else."""
        return (
            f"tcp portrange {self.mon}-{self.mon + monitors - 1}"
            f" or tcp portrange {self.bind_min}-{self.bind_max}"
        )


@dataclass(slots=True)
class Cluster:
    """Handles of one cluster in a folder of its own.

    With `root` all programs are those of that root folder (chroot), and `dir` is inside it.
    """

    dir: Path
    ports: Ports
    auth: str = "none"
    extra: str = ""
    root: Path | None = None
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """Environment of all programs: nothing of ours but the path to the configuration."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self.dir),
            "CEPH_CONF": str(self.dir / "ceph.conf"),
            "PYTHONWARNINGS": "ignore",
        }

    @property
    def files(self) -> Path:
        """The cluster's folder as seen from outside of `root`."""
        return self.dir if self.root is None else self.root / self.dir.relative_to("/")

    def _inside(self, command: Sequence[str]) -> list[str]:
        return [*command] if self.root is None else ["chroot", str(self.root), *command]

    def address(self, mon: str) -> str:
        return f"v2:127.0.0.1:{self.ports.mon + MON_NAMES.index(mon)}/0"

    def run(
        self, *command: str, check: bool = True, timeout_s: float = 120, stdin: bytes = b""
    ) -> str:
        """Run a program with this cluster's configuration and return what it printed."""
        try:
            done = subprocess.run(
                self._inside(command),
                env=self.env,
                input=stdin,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            if check:
                raise
            return ""
        if check and done.returncode != 0:
            raise RuntimeError(f"{command}: {done.returncode}: {done.stderr.decode()[-2000:]}")
        return done.stdout.decode("utf-8", "replace")

    def ceph(self, line: str, *, check: bool = True, timeout_s: float = 120) -> str:
        """A `ceph` command, split at blanks."""
        return self.run("ceph", *line.split(), check=check, timeout_s=timeout_s)

    def json(self, line: str) -> Any:
        return json.loads(self.ceph(f"{line} --format json"))

    # -- building

    def create(self, mons: int = 3, mgrs: int = 2, osds: int = 4) -> None:
        """Make and start everything; returns when all OSDs are up."""
        for name in ("log", "run", "mon", "mgr", "mds"):
            (self.files / name).mkdir(parents=True, exist_ok=True)
        fsid = str(uuid.uuid4())
        names = MON_NAMES[:mons]
        conf = _CONF.format(
            fsid=fsid,
            dir=self.dir,
            auth=self.auth,
            extra=self.extra,
            mon_host=",".join(f"[{self.address(n)}]" for n in names),
            port_min=self.ports.bind_min,
            port_max=self.ports.bind_max,
        )
        (self.files / "ceph.conf").write_text(conf)
        keyring = str(self.dir / "keyring")
        self.run(
            "ceph-authtool",
            "--create-keyring",
            keyring,
            "--gen-key",
            "-n",
            "mon.",
            "--cap",
            "mon",
            "allow *",
        )
        self.run(
            "ceph-authtool",
            keyring,
            "--gen-key",
            "-n",
            "client.admin",
            "--cap",
            "mon",
            "allow *",
            "--cap",
            "osd",
            "allow *",
            "--cap",
            "mds",
            "allow *",
            "--cap",
            "mgr",
            "allow *",
        )
        monmap = str(self.dir / "monmap")
        adds = [x for n in names for x in ("--addv", n, f"[{self.address(n)}]")]
        self.run("monmaptool", "--create", "--clobber", "--fsid", fsid, *adds, monmap)
        for n in names:
            self.run("ceph-mon", "--mkfs", "-i", n, "--monmap", monmap, "--keyring", keyring)
            self.start(f"mon.{n}")
        self.wait_quorum(len(names))
        for n in ("x", "y")[:mgrs]:
            self.add_mgr(n)
        for i in range(osds):
            self.add_osd(i)
        self.wait_up(osds)

    def add_mgr(self, name: str) -> None:
        folder = self.dir / "mgr" / name
        (self.files / "mgr" / name).mkdir()
        self.run(
            "ceph",
            "auth",
            "get-or-create",
            f"mgr.{name}",
            "mon",
            "allow profile mgr",
            "osd",
            "allow *",
            "mds",
            "allow *",
            "-o",
            str(folder / "keyring"),
        )
        self.start(f"mgr.{name}")

    def add_osd(self, number: int) -> None:
        folder = self.dir / f"osd.{number}"
        (self.files / f"osd.{number}").mkdir()
        osd_uuid = str(uuid.uuid4())
        keyring = str(folder / "keyring")
        self.ceph(f"osd new {osd_uuid}")
        self.run(
            "ceph",
            "auth",
            "get-or-create",
            f"osd.{number}",
            "mon",
            "allow profile osd",
            "mgr",
            "allow profile osd",
            "osd",
            "allow *",
            "-o",
            keyring,
        )
        self.run(
            "ceph-osd", "-i", str(number), "--mkfs", "--osd-uuid", osd_uuid, "--keyring", keyring
        )
        self.start(f"osd.{number}")

    def add_mon(self, name: str) -> None:
        """An empty monitor that has to probe, synchronise its store and join."""
        monmap, keyring = str(self.dir / f"monmap.{name}"), str(self.dir / "keyring")
        self.ceph(f"mon getmap -o {monmap}")
        shutil.rmtree(self.files / "mon" / name, ignore_errors=True)
        self.run("ceph-mon", "--mkfs", "-i", name, "--monmap", monmap, "--keyring", keyring)
        self.start(f"mon.{name}", "--public-addrv", f"[{self.address(name)}]")

    def add_mds(self, name: str) -> None:
        folder = self.dir / "mds" / name
        (self.files / "mds" / name).mkdir()
        self.run(
            "ceph",
            "auth",
            "get-or-create",
            f"mds.{name}",
            "mon",
            "allow profile mds",
            "osd",
            "allow rwx",
            "mds",
            "allow *",
            "mgr",
            "allow profile mds",
            "-o",
            str(folder / "keyring"),
        )
        self.start(f"mds.{name}")

    # -- starting and stopping

    def start(self, daemon: str, *options: str) -> None:
        kind, name = daemon.split(".")
        keyring = self.dir / {"mgr": f"mgr/{name}", "mds": f"mds/{name}"}.get(kind, daemon)
        key = [] if kind == "mon" else ["--keyring", str(keyring / "keyring")]
        with (self.files / "log" / f"{daemon}.out").open("ab") as out:
            self.running[daemon] = subprocess.Popen(
                self._inside([f"ceph-{kind}", "-f", "-i", name, *key, *options]),
                env=self.env,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
            )

    def stop(self, daemon: str, how: signal.Signals = signal.SIGTERM) -> None:
        process = self.running.pop(daemon)
        process.send_signal(how)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        for daemon in sorted(self.running, key=lambda d: d.startswith("mon")):
            self.stop(daemon, signal.SIGKILL)

    # -- waiting

    def wait(self, what: str, done: Any, seconds: float = 90) -> bool:
        """Ask until `done()` is true; a recording goes on without what did not come in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if done():
                    return True
            except (RuntimeError, ValueError, subprocess.TimeoutExpired):
                pass
            time.sleep(1)
        print(f"  (no {what} within {seconds:.0f} s)", flush=True)
        return False

    def wait_quorum(self, size: int) -> bool:
        """Wait for that many monitors; those that crash or stay out are started anew."""

        def complete() -> bool:
            return len(self.json("quorum_status")["quorum"]) == size

        if self.wait(f"quorum of {size} at once", complete, 25):
            return True
        inside = self.json("quorum_status")["quorum_names"]
        for daemon in [d for d in self.running if d.startswith("mon.") and d[4:] not in inside]:
            self.stop(daemon, signal.SIGKILL)
            self.start(daemon)
        return self.wait(f"quorum of {size}", complete)

    def wait_up(self, osds: int) -> bool:
        return self.wait(f"{osds} OSDs up", lambda: self.json("osd stat")["num_up_osds"] == osds)

    def wait_clean(self, seconds: float = 120) -> bool:
        def clean() -> bool:
            states = self.json("pg stat")["pg_summary"]["num_pg_by_state"]
            return all("active+clean" in s["name"] for s in states)

        return self.wait("clean PGs", clean, seconds)
