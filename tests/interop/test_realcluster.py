"""The real cluster that the other tests lean on does what they expect of it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.interop import realcluster


def test_it_serves_objects(real_cluster, tmp_path):
    source = tmp_path / "object"
    source.write_bytes(bytes(range(256)) * 64)
    real_cluster.ceph("osd", "pool", "create", "served")
    try:
        real_cluster.run("rados", "-p", "served", "put", "one", str(source))
        real_cluster.run("rados", "-p", "served", "get", "one", str(tmp_path / "back"))
    finally:
        sure = "--yes-i-really-really-mean-it"
        real_cluster.ceph("osd", "pool", "rm", "served", "served", sure)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_its_keys_are_those_of_the_cluster(real_cluster):
    for entity in ("client.admin", "osd.0", "mgr.x"):
        assert real_cluster.ceph("auth", "get-key", entity) == real_cluster.key_of(entity)


def test_it_refuses_a_wrong_key(real_cluster, tmp_path):
    wrong = tmp_path / "keyring"
    real_cluster.run("ceph-authtool", "-C", str(wrong), "-g", "-n", "client.admin")
    with pytest.raises(realcluster.NotReady, match="errno 13"):
        real_cluster.run("ceph", "--connect-timeout", "60", "--keyring", str(wrong), "status")


def test_other_shapes(real_ceph):
    with real_ceph(mons=3, osds=1, auth="none", mode="crc") as cluster:
        monmap = cluster.ceph_json("mon", "dump")
        assert [mon["name"] for mon in monmap["mons"]] == ["a", "b", "c"]
        ports = [int(mon["addr"].split(":")[1].split("/")[0]) for mon in monmap["mons"]]
        assert ports == [v1 for _, v1 in cluster.mon_ports.values()]
        told = cluster.ceph_json("tell", "mon.b", "config", "get", "ms_service_mode")
        assert told == {"ms_service_mode": "crc"}
        told = cluster.ceph_json("tell", "mon.b", "config", "get", "auth_client_required")
        assert told == {"auth_client_required": "none"}
        cluster.kill("mon.a", how=signal.SIGKILL)
        cluster.launch("mon.a")
        cluster.wait_ready()
        pids = [daemon.pid for daemon in cluster.daemons.values()]
        folder = cluster.folder
    assert not folder.exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_without_packages_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(realcluster.ENVIRONMENT, "PATH", "/nowhere")
    assert "ceph-mon" in realcluster.why_not()
    assert "requirements/debian.txt" in realcluster.why_not()


def test_a_daemon_that_cannot_start_is_reported(real_ceph):
    broken = real_ceph(osds=0, options={"mon data avail crit": "100"})
    with pytest.raises((realcluster.NotReady, subprocess.TimeoutExpired), match=r"mon\.a|ceph-mon"):
        broken.__enter__()
