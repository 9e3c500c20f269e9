"""Our own clusters for the interop tests: `spirula up` in a temporary folder, as a user does it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.interop.realcluster import ENVIRONMENT

SPIRULA = [sys.executable, "-m", "spirula"]


@dataclass
class OurCluster:
    """A running cluster of ours."""

    folder: Path
    mons: int

    @property
    def conf(self) -> Path:
        return self.folder / "ceph.conf"

    def spirula(self, *words: str, check: bool = True, timeout_s: float = 150) -> str:
        """Run `spirula WORDS...`; give its stdout."""
        ended = subprocess.run(
            [*SPIRULA, *words],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert not check or ended.returncode == 0, (words, ended.returncode, ended.stderr)
        return ended.stdout

    def up(self, *words: str) -> None:
        words = ("--dir", str(self.folder), "--timeout", "180", *words)
        self.spirula("up", *words, timeout_s=800)

    def down(self) -> None:
        self.spirula("down", "--dir", str(self.folder), "--timeout", "60")

    def run(self, *command: str, timeout_s: float = 60, check: bool = True, data: bytes = b""):
        """Run one of Ceph's programs on this cluster; give its stdout."""
        ended = subprocess.run(
            command,
            env={**ENVIRONMENT, "CEPH_CONF": str(self.conf)},
            cwd=self.folder,
            input=data,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        if check:
            assert ended.returncode == 0, (command, ended.returncode, ended.stderr.decode())
        return ended.stdout.decode("utf-8", "replace")

    def ceph(self, *words: str, check: bool = True, timeout_s: float = 60) -> str:
        """What the real `ceph WORDS...` prints."""
        return self.run("ceph", "--connect-timeout", "20", *words, check=check, timeout_s=timeout_s)

    def ceph_json(self, *words: str):
        """What `ceph WORDS... --format json` prints, parsed."""
        return json.loads(self.ceph(*words, "--format", "json"))

    def pid(self, name: str) -> int:
        return int((self.folder / "run" / f"mon.{name}.pid").read_text())

    def kill(self, name: str) -> None:
        """kill -9 of a monitor."""
        os.kill(self.pid(name), signal.SIGKILL)

    def quorum(self) -> list[str]:
        return self.ceph_json("quorum_status")["quorum_names"]

    def log(self, name: str) -> str:
        return (self.folder / "log" / f"mon.{name}.log").read_text(errors="replace")


def wait_until(what, timeout_s=60.0, every_s=0.1, *, told=lambda: "it did not happen"):
    """Poll a condition that other processes bring about, on a machine that may be busy.

    `told` says what was there instead.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < deadline, told()
        time.sleep(every_s)
    return found


def settings(options: dict[str, str]) -> list[str]:
    """Configuration options as arguments for `our_cluster`."""
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


@contextlib.contextmanager
def our_cluster(mons: int = 1, *words: str, osds: int = 0, mgrs: int = 0):
    """A fresh cluster of ours, ended afterwards; with OSDs and managers if they are asked for."""
    with tempfile.TemporaryDirectory(prefix="spirula-") as folder, _warden(folder):
        cluster = OurCluster(Path(folder) / "cluster", mons)
        cluster.up("--mons", str(mons), "--osds", str(osds), "--mgrs", str(mgrs), *words)
        try:
            yield cluster
        finally:
            cluster.down()


@contextlib.contextmanager
def _warden(folder: str):
    """Have the cluster in a folder ended even if this process is killed: daemons would go on."""
    with subprocess.Popen(
        [sys.executable, "-m", "spirula.testing.warden", folder],
        stdin=subprocess.PIPE,
        start_new_session=True,
    ):
        yield
