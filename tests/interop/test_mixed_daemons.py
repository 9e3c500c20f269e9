"""A whole monitor of ours among real ones: clients work through any of them; stores are equal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.interop.realcluster import ENVIRONMENT, RealCluster

Factory = Callable[..., AbstractContextManager[RealCluster]]
JOIN_S = 90.0


@contextmanager
def ours_as(cluster: RealCluster, name: str) -> Iterator[None]:
    """Kill a real monitor, and run ours in its place, with an empty store and the same key."""
    cluster.kill(f"mon.{name}", how=signal.SIGKILL)
    shutil.rmtree(cluster.folder / f"mon.{name}")
    command = [sys.executable, "-m", "spirula", "mon", "-i", name, "-c", str(cluster.conf)]
    environment = {**ENVIRONMENT, "PATH": os.environ["PATH"]}
    seed = ("--monmap", str(cluster.folder / "monmap"), "--keyring")
    made = [*command, "--mkfs", *seed, str(cluster.folder / "mon.keyring")]
    subprocess.run(made, env=environment, check=True, capture_output=True, timeout=60)
    with (cluster.folder / "log" / f"ours.{name}.out").open("wb") as output:
        daemon = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        wait_for(lambda: quorum(cluster) == ["a", "b", "c"] and daemon.poll() is None)
        # Members of the old quorum may still be counted: what ours has joined has a later epoch.
        wait_for(lambda: state(cluster, name) in {"leader", "peon"})
        yield
        assert daemon.poll() is None
    finally:
        daemon.terminate()
        assert daemon.wait(60) == 0


def wait_for(condition: Callable[[], bool], limit_s: float = JOIN_S) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.3)


def quorum(cluster: RealCluster) -> list[str]:
    return list(cluster.ceph_json("quorum_status")["quorum_names"])


def state(cluster: RealCluster, name: str) -> str:
    socket = str(cluster.folder / "run" / f"mon.{name}.asok")
    shown = cluster.run("ceph", "--admin-daemon", socket, "mon_status", check=False)
    return shown.split('"state": "')[1].split('"')[0] if '"state": "' in shown else ""


def skews(cluster: RealCluster) -> dict[str, str]:
    """What the leader found of the monitors' clocks, as far as it has asked."""
    told = cluster.ceph_json("time-sync-status").get("time_skew_status", {})
    return {name: skew["health"] for name, skew in told.items()}


def scrubbed(cluster: RealCluster) -> str:
    """The last line of the cluster log about a scrub of all three."""
    cluster.ceph("mon", "scrub")
    lines: list[str] = []

    def told() -> bool:
        log = cluster.ceph("log", "last", "100", "debug", "cluster").splitlines()
        lines[:] = [line for line in log if "scrub ok on 0,1,2" in line or "mismatch" in line]
        return bool(lines)

    wait_for(told)
    return lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "other"), [("c", "b"), ("a", "c")], ids=["follows", "leads"])
def test_clients_work_through_all_of_them(real_ceph: Factory, name: str, other: str) -> None:
    with real_ceph(mons=3, osds=0) as cluster:
        cluster.ceph("config-key", "set", "before", "1")
        with ours_as(cluster, name):
            assert cluster.ceph("config-key", "get", "before").strip() == "1"
            for asked in "abc":
                where = f"v2:127.0.0.1:{cluster.mon_ports[asked][0]}/0"
                cluster.ceph("-m", where, "config-key", "set", f"by-{asked}", asked)
                cluster.ceph("-m", where, "osd", "pool", "create", f"pool-{asked}", "8")
            assert cluster.ceph("config-key", "get", "by-a").strip() == "a"
            # Whoever is asked may hear of the last commit a moment later.
            pools = {"pool-a", "pool-b", "pool-c"}
            wait_for(lambda: pools <= set(cluster.ceph("osd", "pool", "ls").split()))
            assert cluster.ceph("tell", f"mon.{name}", "mon_status").count('"rank"') == 4
            wait_for(lambda: set(skews(cluster)) == {"a", "b", "c"})
            assert set(skews(cluster).values()) == {"HEALTH_OK"}
            if name == "a":
                assert "scrub ok on 0,1,2" in scrubbed(cluster)

            cluster.kill(f"mon.{other}", how=signal.SIGKILL)
            cluster.ceph("config-key", "set", "after", "2")
            wait_for(lambda: len(quorum(cluster)) == 2)
            cluster.launch(f"mon.{other}")
            wait_for(lambda: len(quorum(cluster)) == 3)
        # The real ones have all of it.
        assert cluster.ceph("config-key", "get", "after").strip() == "2"
