"""Upstream's manager modules, as Debian installs them, run unchanged by a manager of ours."""

from __future__ import annotations

import json
import re
import urllib.request
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.interop.compared import Step, run_steps
from tests.interop.realcluster import free_ports, why_not
from tests.interop.spirulacluster import our_cluster, settings, wait_until

MODULES = Path("/usr/share/ceph/mgr")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.skipif(not MODULES.is_dir(), reason=f"no modules in {MODULES}"),
]

OPTIONS = {
    "osd crush chooseleaf type": "0",
    "osd pool default pg num": "8",
    "mgr stats period": "1",
    "mgr tick period": "1",
    "mon data avail warn": "1",
    "mgr initial modules": "iostat",
    "auth allow insecure global id reclaim": "false",
}
IN_ORDER = True


@pytest.fixture(scope="module")
def cluster():
    with our_cluster(1, *settings(OPTIONS), osds=3, mgrs=1) as ours:
        (ours.metrics_port,) = free_ports(1)
        port = str(ours.metrics_port)
        ours.ceph("config", "set", "mgr", "mgr/prometheus/server_port", port, "--force")
        ours.ceph("config", "set", "mgr", "mgr/prometheus/server_addr", "127.0.0.1", "--force")
        ours.ceph("config", "set", "mgr", "mgr/pg_autoscaler/sleep_interval", "1", "--force")
        # modules read their options when the manager begins anew
        ours.ceph("mgr", "module", "enable", "prometheus", "--force")
        ours.ceph("osd", "pool", "create", "data", "8", "--autoscale-mode", "off")
        ours.run("rados", "-p", "data", "bench", "1", "write", "-b", "4096", "--no-cleanup")
        yield ours


def test_modules_run_without_complaint(cluster):
    wait_until(lambda: "device_health_metrics" in cluster.ceph("osd", "pool", "ls"))
    checks = cluster.ceph_json("health")["checks"]
    assert not {code for code in checks if code.startswith("MGR_MODULE")}, checks


def test_a_manager_with_upstreams_modules_is_small_until_they_use_their_libraries(cluster):
    process = Path("/proc") / (cluster.folder / "run" / "mgr.x.pid").read_text().strip()

    def has_library():
        return "librbd" in (process / "maps").read_text()

    # They have begun and looked at the pools.
    wait_until(lambda: cluster.ceph("rbd", "task", "list", check=False).strip() == "[]")
    assert cluster.ceph_json("fs", "volume", "ls") == []
    used = int(re.search(r"VmRSS:\s+(\d+) kB", (process / "status").read_text())[1])
    assert (used < 100 * 1024, has_library()) == (True, False)
    asked = Step("rbd task add remove", image_spec="nothing/image")
    (answer,) = run_steps(cluster.conf, [asked], mgr=True)
    assert (answer.r, has_library()) == (-2, True)
    assert "error opening pool 'nothing'" in answer.outs

    def clients():
        return {one["name"] for one in cluster.ceph_json("mgr", "dump")["active_clients"]}

    wait_until(lambda: "rbd_support" in clients())  # with the next beacon


def test_the_options_of_all_modules_are_known(cluster):
    def options():
        return {
            one["name"]: one["module_options"]
            for one in cluster.ceph_json("mgr", "module", "ls")["disabled_modules"]
        }

    known = wait_until(lambda: options() if options().get("influx") else None)
    assert "hostname" in known["influx"]


def test_status(cluster):
    wait_until(lambda: cluster.ceph("osd", "status").count("exists,up") == 3)


def test_iostat(cluster):
    (answer,) = run_steps(cluster.conf, [Step("iostat", width=80)], mgr=True)
    assert answer.r == 0
    assert b"iB/s" in answer.out or b"B/s" in answer.out


def test_the_balancer_explains_and_changes_modes(cluster):
    assert cluster.ceph_json("balancer", "status")["active"] is True
    cluster.ceph("balancer", "mode", "crush-compat")
    wait_until(lambda: cluster.ceph_json("balancer", "status")["mode"] == "crush-compat")
    assert "current cluster score" in cluster.ceph("balancer", "eval")


def test_the_autoscaler_says_what_it_would_do(cluster):
    def targets():
        told = cluster.ceph_json("osd", "pool", "autoscale-status")
        return {one["pool_name"]: one["pg_num_target"] for one in told}

    wait_until(lambda: targets().get("data") == 8, told=targets)


def test_crashes_are_kept(cluster):
    crash = {
        "crash_id": "2026-01-01T00:00:00.000000Z_5d1f8f0a-0000-0000-0000-000000000000",
        "timestamp": "2026-01-01T00:00:00.000000Z",
        "entity_name": "osd.9",
        "ceph_version": "16.2.15",
        "process_name": "ceph-osd",
        "backtrace": ["one", "two"],
        "utsname_hostname": "vm",
    }
    cluster.run("ceph", "crash", "post", "-i", "-", data=json.dumps(crash).encode())
    assert crash["crash_id"] in cluster.ceph("crash", "ls")
    assert cluster.ceph_json("crash", "info", crash["crash_id"])["entity_name"] == "osd.9"
    cluster.ceph("crash", "rm", crash["crash_id"])
    assert crash["crash_id"] not in cluster.ceph("crash", "ls")


def test_devices_and_progress_answer(cluster):
    assert cluster.ceph("device", "check-health") == ""
    assert isinstance(cluster.ceph_json("progress", "json"), dict)


def test_progress_shows_what_the_autoscaler_does(cluster):
    cluster.ceph("osd", "pool", "create", "large", "8", "--bulk")

    def done():
        ended = cluster.ceph_json("progress", "json")["completed"]
        return [one["message"] for one in ended if "autoscaler" in one["message"]]

    (message, *_) = wait_until(done, 150)
    assert re.match(r"PG autoscaler increasing pool \d+ PGs from 8 to \d+", message)
    checks = cluster.ceph_json("health")["checks"]
    assert not {code for code in checks if code.startswith("MGR_MODULE")}, checks


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


def test_prometheus_has_the_metrics_of_a_real_manager(cluster):
    wanted = {name for name in REAL if not re.match(PER_DAEMON, name)}

    def lacking():
        try:
            return wanted - metrics(cluster.metrics_port)
        except (OSError, HTTPException):  # it does not serve yet
            return wanted

    wait_until(lambda: not lacking(), told=lacking)


REAL = (Path(__file__).parent / "prometheus_metrics.txt").read_text().split()
"""What the module of 16.2.15 exports of a real cluster of a monitor, a manager and three OSDs."""
PER_DAEMON = r"ceph_(bluestore|bluefs|osd_|paxos|rocksdb|mon_|objecter|throttle|mds|prioritycache)"
"""Perf counters of daemons: what ours count of their own is in PARITY.md."""
