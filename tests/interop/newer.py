"""A cluster of a newer release than the machine's own, from a root that has been made for it.

`SPIRULA_NEWER_CEPH_ROOT` names a folder with a whole system in it (debootstrap of a newer Debian,
its Ceph packages unpacked); its programs are run by chroot, so this takes root. What they need and
what they write stands in a temporary folder inside. Callers: tests of what 16.2 does not have.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.interop.realcluster import ENVIRONMENT, RealCluster

ROOT = os.environ.get("SPIRULA_NEWER_CEPH_ROOT", "")


def why_not() -> str | None:
    """Why no newer cluster can be started here, or None if one can."""
    if not Path(ROOT or "/nowhere", "usr/bin/ceph-mon").exists():
        return "no newer Ceph: SPIRULA_NEWER_CEPH_ROOT names the root of a system that has 20.2.4"
    if os.geteuid() != 0:
        return "a newer Ceph is run by chroot, which takes root"
    return None


def inside(text: str) -> str:
    """A path as the programs in the root see it."""
    return text.replace(ROOT, "")


@dataclass
class NewerCluster(RealCluster):
    """`folder` is a path of ours, below ROOT."""

    def run(self, *command: str, timeout_s: float = 60, check: bool = True) -> str:
        return super().run(*self._in_root(*command), timeout_s=timeout_s, check=check)

    def _in_root(self, *command: str) -> list[str]:
        conf = f"CEPH_CONF={inside(str(self.conf))}"
        return ["chroot", ROOT, "env", conf, *map(inside, command)]

    def launch(self, name: str) -> None:
        kind, _, ident = name.partition(".")
        command = self._in_root(f"ceph-{kind}", "-f", "-i", ident)
        with (self.folder / "log" / f"{name}.out").open("ab") as output:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _configuration(self) -> str:
        return inside(super()._configuration())


@contextmanager
def newer_cluster_of(**parameters: object) -> Iterator[NewerCluster]:
    """A newer cluster with the parameters of `RealCluster`, gone with its folder at the end."""
    place = Path(ROOT, "tmp")
    with tempfile.TemporaryDirectory(prefix="sp-", dir=place, ignore_cleanup_errors=True) as folder:
        cluster = NewerCluster(Path(folder), **parameters)  # type: ignore[arg-type]  # passed on
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
