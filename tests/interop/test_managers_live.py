"""Real managers of 16.2 on our monitors: active, standby, replaced, asked through the monitors."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.interop.realcluster import ENVIRONMENT, why_not
from tests.interop.spirulacluster import our_cluster, settings, wait_until

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

OPTIONS = {
    # What tells a silent manager from a slow one, shorter than the 30 s of a cluster for keeps.
    "mon mgr beacon grace": "6",
    "mon tick interval": "2",
    "mgr tick period": "1",
    "auth allow insecure global id reclaim": "false",
    "mon data avail warn": "1",
}


LIMIT_S = 90.0


class Managers:
    """`ceph-mgr` processes of one cluster of ours."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.processes = {}

    def start(self, name):
        folder = Path(self.cluster.folder) / f"mgr.{name}"
        folder.mkdir()
        caps = ["mon", "allow profile mgr", "osd", "allow *", "mds", "allow *"]
        keyring = folder / "keyring"
        keyring.write_text(self.cluster.ceph("auth", "get-or-create", f"mgr.{name}", *caps))
        with (folder / "out").open("wb") as output:
            self.processes[name] = subprocess.Popen(
                [
                    *("ceph-mgr", "-f", "-i", name, "--keyring", str(keyring)),
                    *("--mgr-data", str(folder), "--log-file", str(folder / "log")),
                    *("--admin-socket", str(folder / "asok"), "--pid-file", str(folder / "pid")),
                ],
                env={
                    **ENVIRONMENT,
                    "CEPH_CONF": str(self.cluster.conf),
                    "PATH": os.environ["PATH"],
                },
                stdout=output,
                stderr=output,
            )

    def kill(self, name):
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stat(self):
        return self.cluster.ceph_json("mgr", "stat")

    def is_active(self, name):
        now = self.stat()
        return now["active_name"] == name and now["available"]


@pytest.mark.interop
@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_standby_replaces_a_manager_that_was_killed():
    with our_cluster(1, *settings(OPTIONS)) as cluster:
        managers = Managers(cluster)
        try:
            managers.start("x")
            wait_until(lambda: managers.is_active("x"), LIMIT_S)
            # The manager's own commands are described by the monitors and answered by it.
            assert cluster.ceph("pg", "stat").startswith("0 pgs: ;")
            assert "balancer" in cluster.ceph_json("mgr", "module", "ls")["always_on_modules"]
            assert cluster.ceph_json("mgr", "metadata", "x")["ceph_version_short"] == "16.2.15"
            managers.start("y")
            wait_until(lambda: managers.stat()["num_standby"] == 1, LIMIT_S)
            addrs = cluster.ceph_json("mgr", "dump")["active_addrs"]["addrvec"]
            managers.kill("x")
            wait_until(lambda: managers.is_active("y"), LIMIT_S)
            blocked = cluster.ceph("osd", "blocklist", "ls")
            assert all(f"{one['addr']}/{one['nonce']} " in blocked for one in addrs)
            for words in (
                "Manager daemon x is unresponsive, replacing it with standby daemon y",
                "Manager daemon y is now available",
            ):
                wait_until(lambda words=words: words in cluster.ceph("log", "last", "100"))
            assert cluster.ceph("pg", "stat").startswith("0 pgs: ;")
            assert cluster.ceph_json("status")["mgrmap"]["available"]
        finally:
            for name in list(managers.processes):
                managers.kill(name)
