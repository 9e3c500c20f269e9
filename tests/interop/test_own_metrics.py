"""Our own balancer, autoscaler, prometheus and exporter on a cluster, asked by the real `ceph`."""

from __future__ import annotations

import json
import re
import socketserver
import subprocess
import threading
import urllib.request
from http.client import HTTPException
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.interop.compared import Step, run_steps
from tests.interop.realcluster import ENVIRONMENT, free_ports, why_not
from tests.interop.spirulacluster import our_cluster, settings, wait_until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]


OPTIONS = {
    "osd crush chooseleaf type": "0",
    "osd pool default size": "2",
    "mgr module path": "spirula",
    "mgr stats period": "1",
    "mgr tick period": "1",
    "mon data avail warn": "1",
    "mon allow pool delete": "true",
}
MODULE_OPTIONS = {
    "prometheus/server_addr": "127.0.0.1",
    "prometheus/scrape_interval": "1",
    "prometheus/stale_cache_strategy": "return",
    "prometheus/rbd_stats_pools": "*",
    "prometheus/rbd_stats_pools_refresh_interval": "1",
    "balancer/active": "false",
    "balancer/upmap_max_deviation": "1",
    "pg_autoscaler/sleep_interval": "1",
}


def before(port):
    """What is asked of the monitors first."""
    for name, value in {**MODULE_OPTIONS, "prometheus/server_port": str(port)}.items():
        yield "config set", {"who": "mgr", "name": f"mgr/{name}", "value": value, "force": True}
    yield "osd pool create", {"pool": "data", "pg_num": 32, "autoscale_mode": "off"}
    yield "osd pool application enable", {"pool": "data", "app": "test"}
    yield "osd set-require-min-compat-client", {"version": "luminous"}
    for module in ("prometheus", "exporter"):
        yield "mgr module enable", {"module": module, "force": "--force"}


REAL = set((Path(__file__).parent / "prometheus_metrics.txt").read_text().split())
"""What the module of 16.2.15 exports of a real cluster of a monitor, a manager and three OSDs."""


@pytest.fixture(scope="module")
def cluster():
    with our_cluster(1, *settings(OPTIONS), osds=3, mgrs=1) as ours:
        (port,) = free_ports(1)
        ours.metrics = f"http://127.0.0.1:{port}/"
        asked = run_steps(ours.conf, [Step(prefix, **given) for prefix, given in before(port)])
        assert {answer.r for answer in asked} == {0}, asked
        ours.run("rados", "-p", "data", "bench", "1", "write", "-b", "4096", "--no-cleanup")
        # With each module that is enabled the manager begins anew.
        wait_until(lambda: ours.ceph("exporter", "check", check=False), every_s=0.3)
        wait_until(lambda: scraped(ours), every_s=0.3)
        yield ours


def scraped(cluster):
    try:
        with urllib.request.urlopen(f"{cluster.metrics}metrics", timeout=10) as answer:
            text = answer.read().decode()
    except (OSError, HTTPException):  # it begins anew
        return ""
    return text if text.count("ceph_osd_op_w{") == 3 and "ceph_pg_clean{" in text else ""


def families_of(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_prometheus_has_every_name_of_upstreams(cluster):
    def lacking():
        return REAL - set(re.findall(r"^# TYPE (\S+) ", scraped(cluster), re.MULTILINE))

    # Daemons report one after the other what they count.
    wait_until(lambda: not lacking(), every_s=0.3, told=lacking)

    def numbers():
        families = families_of(scraped(cluster))
        if families and [one.value for one in families["ceph_osd_up"].samples] == [1, 1, 1]:
            writes = families["ceph_osd_op_w"].samples
            return families if sum(one.value for one in writes) > 0 else None
        return None

    families = wait_until(numbers, every_s=0.3)
    labels = families["ceph_mgr_metadata"].samples[0].labels
    assert labels["ceph_daemon"] == "mgr.x"
    assert labels["hostname"]
    counting = {one.labels["ceph_daemon"] for one in families["ceph_osd_op_w"].samples}
    assert counting == {"osd.0", "osd.1", "osd.2"}
    uris = {"prometheus": cluster.metrics}  # the map has them from the next beacon on
    wait_until(lambda: cluster.ceph_json("mgr", "services") == uris, every_s=0.3)


def test_images_are_counted(cluster):
    """Objects as RBD has them: OSDs of ours have no class for images yet."""
    cluster.ceph("osd", "pool", "create", "images", "8", "--autoscale-mode", "off")
    try:
        cluster.ceph("osd", "pool", "application", "enable", "images", "rbd")
        count_images(cluster)
    finally:
        remove_pool(cluster, "images")


def remove_pool(cluster, name):
    cluster.ceph("osd", "pool", "rm", name, name, "--yes-i-really-really-mean-it")


def count_images(cluster):
    rados = ("rados", "-p", "images")
    cluster.run(*rados, "setomapval", "rbd_directory", "id_abc", data=b"\x04\0\0\0disk")
    labels = '{pool="images",namespace="",image="disk"}'
    wait_until(lambda: f"ceph_rbd_write_bytes{labels} 0.0" in scraped(cluster), every_s=0.3)

    def counted():
        cluster.run(*rados, "put", "rbd_data.abc.0000000000000000", "-", data=b"x" * 1000)
        found = re.search(
            rf"^ceph_rbd_write_bytes{re.escape(labels)} (\S+)$", scraped(cluster), re.MULTILINE
        )
        return float(found[1]) if found else 0.0

    # Writes count from when OSDs have heard of the query.
    assert wait_until(counted, every_s=0.3) % 1000 == 0


def checked(cluster, *ignored):
    command = ("ceph", "exporter", "check", *ignored)
    environment = {**ENVIRONMENT, "CEPH_CONF": str(cluster.conf)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout


def test_checks_are_told_to_plugins_and_remembered(cluster):
    # PGs may still be made, or moved by what other tests have done.
    well = re.compile(r"CEPH OK - 1 monitors in quorum, 3 of 3 OSDs up, \d+ PGs \| ")
    wait_until(lambda: (told := checked(cluster))[0] == 0 and well.match(told[1]), every_s=0.3)
    cluster.ceph("osd", "set", "noout")
    try:
        flags = re.compile(r"CEPH WARNING - (.*; )?OSDMAP_FLAGS: noout flag\(s\) set(; .*)? \| ")
        wait_until(lambda: (told := checked(cluster))[0] == 1 and flags.match(told[1]), every_s=0.3)
        wait_until(lambda: checked(cluster, "OSDMAP_FLAGS")[0] == 0, every_s=0.3)
        wait_until(lambda: "OSDMAP_FLAGS" in cluster.ceph("healthcheck", "history", "ls"))
    finally:
        cluster.ceph("osd", "unset", "noout")
    over = 'ceph_health_detail{name="OSDMAP_FLAGS",severity="HEALTH_WARN"} 0.0'
    wait_until(lambda: over in scraped(cluster), every_s=0.3)
    cluster.ceph("healthcheck", "history", "clear")
    assert "OSDMAP_FLAGS" not in cluster.ceph("healthcheck", "history", "ls")


def test_graphite_gets_numbers(cluster):
    came = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            came.append(self.rfile.read().decode())

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        cluster.ceph("exporter", "config-set", "graphite_port", str(server.server_address[1]))
        cluster.ceph("exporter", "config-set", "graphite_host", "127.0.0.1")
        try:
            wait_until(lambda: "ceph.cluster.num_osd_up 3 " in "".join(came))
        finally:
            cluster.ceph("config", "rm", "mgr", "mgr/exporter/graphite_host")
            server.shutdown()


def test_the_balancer_takes_back_what_is_too_much(cluster):
    """Somebody has given too much to osd.1."""
    wait_until(lambda: are_clean(cluster, "data"), every_s=0.3)
    pgs = cluster.ceph_json("pg", "ls-by-pool", "data")["pg_stats"]
    spared = [pg for pg in pgs if 1 not in pg["up"]][:8]
    wrong = [Step("osd pg-upmap-items", pgid=pg["pgid"], id=[pg["up"][-1], 1]) for pg in spared]
    assert {answer.r for answer in run_steps(cluster.conf, wrong)} == {0}
    before = exceptions(cluster)
    plan = wait_until(lambda: made_plan(cluster), every_s=0.5)
    assert re.search(r"^# moves \d+ of \d+ places of PGs", plan, re.MULTILINE)
    assert re.search(r"^# furthest from its share before: osd.1 has \d+ PGs", plan, re.MULTILINE)
    dropped = set(DROPPED.findall(plan))
    assert dropped <= before
    cluster.ceph("balancer", "execute", "plan")
    assert not dropped & exceptions(cluster)


DROPPED = re.compile(r"^ceph osd rm-pg-upmap-items (\S+)", re.MULTILINE)


def are_clean(cluster, pool):
    pgs = cluster.ceph_json("pg", "ls-by-pool", pool)["pg_stats"]
    return pgs and all(pg["state"] == "active+clean" for pg in pgs)


def exceptions(cluster):
    return {one["pgid"] for one in cluster.ceph_json("osd", "dump")["pg_upmap_items"]}


def made_plan(cluster):
    """What a plan shows, once the manager knows of what is wrong, and that PGs are well."""
    cluster.ceph("balancer", "optimize", "plan", "data", check=False)
    plan = cluster.ceph("balancer", "show", "plan", check=False)
    if DROPPED.search(plan):
        return plan
    cluster.ceph("balancer", "rm", "plan", check=False)
    return None


def test_the_autoscaler_says_what_it_does_and_does_it(cluster):
    cluster.ceph("osd", "pool", "create", "large", "32", "--autoscale-mode", "warn", "--bulk")
    try:
        autoscale(cluster)
    finally:
        remove_pool(cluster, "large")


def autoscale(cluster):
    def rows():
        told = cluster.ceph_json("osd", "pool", "autoscale-status")
        return {row["pool_name"]: row["pg_num_final"] for row in told}

    wait_until(lambda: rows().get("large") == 128)
    few = wait_until(lambda: cluster.ceph_json("health")["checks"].get("POOL_TOO_FEW_PGS"))
    assert few["summary"]["message"] == "1 pools have too few placement groups"
    said = cluster.ceph("osd", "pool", "autoscale-explain")
    assert "pool 'large' has 32 PGs and should have 128: it is a bulk pool" in said
    cluster.ceph("osd", "pool", "set", "large", "pg_autoscale_mode", "on")

    def target():
        pools = cluster.ceph_json("osd", "pool", "ls", "detail")
        (found,) = [pool["pg_num_target"] for pool in pools if pool["pool_name"] == "large"]
        return found

    wait_until(lambda: target() == 128)
    wait_until(
        lambda: "PGs from 32 to 128" in json.dumps(cluster.ceph_json("progress", "json")), 60
    )
