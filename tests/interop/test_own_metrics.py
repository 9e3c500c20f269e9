"""Our own balancer, autoscaler, prometheus and exporter on a cluster, asked by the real `ceph`."""

from __future__ import annotations

import json
import re
import socketserver
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.interop.compared import Step, run_steps
from tests.interop.realcluster import ENVIRONMENT, why_not
from tests.interop.spirulacluster import our_cluster, settings, wait_until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

PORT = 19284
OPTIONS = {
    "osd crush chooseleaf type": "0",
    "osd pool default size": "2",
    "mgr module path": "spirula",
    "mgr stats period": "1",
    "mgr tick period": "1",
    "mon data avail warn": "1",
}
MODULE_OPTIONS = {
    "prometheus/server_port": str(PORT),
    "prometheus/server_addr": "127.0.0.1",
    "prometheus/scrape_interval": "1",
    "balancer/active": "false",
    "balancer/upmap_max_deviation": "1",
    "pg_autoscaler/sleep_interval": "1",
}


def before():
    """What is asked of the monitors first."""
    for name, value in MODULE_OPTIONS.items():
        yield "config set", {"who": "mgr", "name": f"mgr/{name}", "value": value, "force": True}
    yield "osd crush reweight", {"name": "osd.1", "weight": 0.5}
    yield "osd pool create", {"pool": "data", "pg_num": 32, "autoscale_mode": "off"}
    yield "osd set-require-min-compat-client", {"version": "luminous"}
    for module in ("prometheus", "exporter"):
        yield "mgr module enable", {"module": module, "force": "--force"}


REAL = set((Path(__file__).parent / "prometheus_metrics.txt").read_text().split())
"""What the module of 16.2.15 exports of a real cluster of a monitor, a manager and three OSDs."""


@pytest.fixture(scope="module")
def cluster():
    with our_cluster(1, *settings(OPTIONS), osds=3, mgrs=1) as ours:
        asked = run_steps(ours.conf, [Step(prefix, **given) for prefix, given in before()])
        assert {answer.r for answer in asked} == {0}, asked
        ours.run("rados", "-p", "data", "bench", "1", "write", "-b", "4096", "--no-cleanup")
        wait_until(scraped, 60, 0.3)
        yield ours


def scraped():
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    return text if "ceph_osd_op_w{" in text and "ceph_pg_clean{" in text else None


def test_prometheus_has_every_name_of_upstreams(cluster):
    text = scraped()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert REAL - set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)) == set()
    assert [sample.value for sample in families["ceph_osd_up"].samples] == [1, 1, 1]
    labels = families["ceph_mgr_metadata"].samples[0].labels
    assert labels["ceph_daemon"] == "mgr.x"
    assert labels["hostname"]
    writes = {one.labels["ceph_daemon"]: one.value for one in families["ceph_osd_op_w"].samples}
    assert set(writes) == {"osd.0", "osd.1", "osd.2"}
    assert sum(writes.values()) > 0
    assert cluster.ceph_json("mgr", "services") == {"prometheus": f"http://127.0.0.1:{PORT}/"}


def test_checks_that_failed_are_remembered(cluster):
    wait_until(lambda: "POOL_APP_NOT_ENABLED" in cluster.ceph("healthcheck", "history", "ls"), 30)
    cluster.ceph("osd", "pool", "application", "enable", "data", "test")
    seen = 'ceph_health_detail{name="POOL_APP_NOT_ENABLED",severity="HEALTH_WARN"} 0.0'
    wait_until(lambda: seen in (scraped() or ""), 30, 0.3)
    cluster.ceph("healthcheck", "history", "clear")
    assert "POOL_APP_NOT_ENABLED" not in cluster.ceph("healthcheck", "history", "ls")


def checked(cluster, *ignored):
    command = ("ceph", "exporter", "check", *ignored)
    environment = {**ENVIRONMENT, "CEPH_CONF": str(cluster.conf)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout


def test_the_check_exits_as_plugins_do(cluster):
    wait_until(lambda: checked(cluster)[0] == 0, 30, 0.3)
    assert checked(cluster)[1].startswith("CEPH OK - 1 monitors in quorum, 3 of 3 OSDs up, ")
    cluster.ceph("osd", "set", "noout")
    _, text = wait_until(lambda: (found := checked(cluster))[0] == 1 and found, 30, 0.3)
    assert text.startswith("CEPH WARNING - OSDMAP_FLAGS: noout flag(s) set | ")
    assert checked(cluster, "OSDMAP_FLAGS")[0] == 0
    cluster.ceph("osd", "unset", "noout")


def test_graphite_gets_numbers(cluster):
    came = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            came.append(self.rfile.read().decode())

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        cluster.ceph("exporter", "config-set", "graphite_port", str(server.server_address[1]))
        cluster.ceph("exporter", "config-set", "graphite_host", "127.0.0.1")
        wait_until(lambda: "ceph.cluster.num_osd_up 3 " in "".join(came), 30)
        server.shutdown()
    cluster.ceph("config", "rm", "mgr", "mgr/exporter/graphite_host")


def test_the_balancer_says_what_it_does_and_does_it(cluster):
    plan = wait_until(lambda: made_plan(cluster), 60, 0.5)
    commands = [line for line in plan.splitlines() if line.startswith("ceph osd pg-upmap-items")]
    assert re.search(r"^# moves \d+ of \d+ places of PGs", plan, re.MULTILINE)
    assert commands
    cluster.ceph("balancer", "execute", "plan")
    upmaps = cluster.ceph_json("osd", "dump")["pg_upmap_items"]
    assert sorted(one["pgid"] for one in upmaps) == sorted(line.split()[3] for line in commands)


def made_plan(cluster):
    cluster.ceph("balancer", "optimize", "plan", check=False)
    return cluster.ceph("balancer", "show", "plan", check=False)


def test_the_autoscaler_says_what_it_does_and_does_it(cluster):
    cluster.ceph("osd", "pool", "set", "data", "pg_autoscale_mode", "warn")
    cluster.ceph("osd", "pool", "set", "data", "bulk", "true")
    few = wait_until(lambda: cluster.ceph_json("health")["checks"].get("POOL_TOO_FEW_PGS"), 30)
    assert few["summary"]["message"] == "1 pools have too few placement groups"
    rows = cluster.ceph_json("osd", "pool", "autoscale-status")
    (wanted,) = [row["pg_num_final"] for row in rows if row["pool_name"] == "data"]
    assert wanted == 128
    said = cluster.ceph("osd", "pool", "autoscale-explain")
    assert "pool 'data' has 32 PGs and should have 128: it is a bulk pool" in said
    cluster.ceph("osd", "pool", "set", "data", "pg_autoscale_mode", "on")

    def target():
        pools = cluster.ceph_json("osd", "pool", "ls", "detail")
        (found,) = [pool["pg_num_target"] for pool in pools if pool["pool_name"] == "data"]
        return found

    wait_until(lambda: target() == 128, 30)
    assert "PGs from 32 to 128" in json.dumps(cluster.ceph_json("progress", "json"))
