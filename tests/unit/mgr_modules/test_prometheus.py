"""Metrics for Prometheus: what they are called, how they read, who answers."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from spirula.mgr_modules.prometheus import cluster, daemons
from spirula.mgr_modules.prometheus.counters import counters, labels_of
from spirula.mgr_modules.prometheus.families import Family, exposition, metric_name, number
from spirula.mgr_modules.prometheus.history import History
from spirula.mgr_modules.prometheus.images import wanted_pools
from spirula.mgr_modules.prometheus.module import Prometheus
from spirula.mgr_modules.prometheus.server import Page, PageServer
from spirula.mgr_modules.prometheus.standby import PrometheusStandby
from spirula.types.service import PerfCounterKind, PerfCounterType
from tests.unit.mgr_modules.fake_host import FakeHost, run

LOOPBACK = "127.0.0.1"


def read(families):
    """Samples by name and labels, as the official parser reads them: it lets counters end so."""
    text = exposition(families)
    return {
        (sample.name.removesuffix("_total"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("osd.op_w", "ceph_osd_op_w"),
        ("mds_mem.ino+", "ceph_mds_mem_ino_plus"),
        ("mds_mem.ino-", "ceph_mds_mem_ino_minus"),
        ("throttle-msgr dispatch/x", "ceph_throttle_msgr_dispatch_x"),
        ("AsyncMessenger::Worker-0.recv", "ceph_AsyncMessenger_Worker_0_recv"),
        ("odd(name)", "ceph_odd_name_"),
    ],
)
def test_names(path, name):
    assert metric_name(path) == name


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1.0"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN")]
)
def test_numbers(value, text):
    assert number(value) == text


def test_odd_labels_are_read_as_they_were():
    family = Family("pool_x", "gauge", "a \\ help\nof two lines", ("name",))
    odd = 'quotes " and \\ and\nlines'
    family.set(3, odd)
    assert read([family]) == {("ceph_pool_x", (("name", odd),)): 3.0}


def test_families_of_one_name_are_one():
    one, other = (Family("a.b", "gauge", "x", ("l",)), Family("a_b", "gauge", "x", ("l",)))
    one.set(1, "p")
    other.set(2, "q")
    text = exposition([one, other])
    assert text.count("# TYPE") == 1
    assert 'ceph_a_b{l="q"} 2.0' in text


def counter(kind, description="told"):
    return PerfCounterType(path="p", description=description, type=int(kind))


def test_counters_become_metrics():
    time = PerfCounterKind.TIME
    latest = {
        "osd.1": {
            "osd.op": (counter(PerfCounterKind.COUNTER | PerfCounterKind.U64), (9.0, 7)),
            "osd.op_latency": (counter(PerfCounterKind.LONGRUNAVG | time), (9.0, 3e9, 2)),
            "osd.numpg": (counter(PerfCounterKind.U64), (9.0, 5)),
            "osd.spread": (counter(PerfCounterKind.HISTOGRAM), (9.0, 5)),
            "osd.new": (counter(PerfCounterKind.U64), ()),
        },
        "rgw.4711": {"rgw.put": (counter(PerfCounterKind.COUNTER), (9.0, 1))},
    }
    osd = (("ceph_daemon", "osd.1"),)
    assert read(counters(latest)) == {
        ("ceph_osd_op", osd): 7.0,
        ("ceph_osd_op_latency_sum", osd): 3.0,
        ("ceph_osd_op_latency_count", osd): 2.0,
        ("ceph_osd_numpg", osd): 5.0,
        ("ceph_osd_new", osd): 0.0,
        ("ceph_rgw_put", (("instance_id", "4711"),)): 1.0,
    }


def test_paths_that_tell_of_images_and_zones_get_labels():
    path, labels = labels_of("rbd-mirror.a", "rbd_mirror_image_pool/space/disk.replay_bytes")
    assert path == "rbd_mirror_image_replay_bytes"
    assert labels == {
        "ceph_daemon": "rbd-mirror.a",
        "pool": "pool",
        "namespace": "space",
        "image": "disk",
    }
    latest = {"rgw.1": {"data-sync-from-west.fetch": (counter(PerfCounterKind.COUNTER), (1.0, 4))}}
    found = read(counters(latest))
    labels = (("instance_id", "1"), ("source_zone", "west"))
    assert found["ceph_data_sync_from_zone_fetch", labels] == 4.0


def test_pgs_count_for_each_of_their_states():
    document = {
        "by_pool": {"1": {"active+clean": 6, "active+degraded": 2}},
        "pg_stats_sum": {
            "stat_sum": {f"num_objects_{key}": 1 for key in ("degraded", "misplaced", "unfound")}
        },
    }
    found = read(cluster.pgs(document))
    pool = (("pool_id", "1"),)
    shown = {name: found[f"ceph_pg_{name}", pool] for name in ("active", "clean", "stale")}
    assert shown == {"active": 8, "clean": 6, "stale": 0}
    assert found["ceph_pg", pool] == 8  # ceph_pg_total


def test_slow_operations_are_counted_from_the_check():
    summary = {"message": "42 slow ops, oldest one blocked for 12 sec"}
    document = {"status": "HEALTH_WARN", "checks": {"SLOW_OPS": {"summary": summary}}}
    history = History()
    history.note({"SLOW_OPS": {"severity": "HEALTH_WARN"}, "OLD": {"severity": "x"}}, 1.0)
    history.note({"SLOW_OPS": {"severity": "HEALTH_WARN"}}, 2.0)
    found = read(cluster.health(document, history.seen))
    assert found["ceph_health_status", ()] == 1
    assert found["ceph_healthcheck_slow_ops", ()] == 42
    labels = (("name", "OLD"), ("severity", "x"))
    assert found["ceph_health_detail", labels] == 0


def test_disks_are_told_once_for_machines_and_once_for_people():
    about = {
        "hostname": "h",
        "osd_objectstore": "bluestore",
        "bluestore_bdev_dev_node": "/dev/sda",
        "devices": "sda",
    }
    osd = {"public_addr": "10.0.0.1:6800/1", "cluster_addr": "10.0.0.1:6801/1"}
    osdmap = {
        "flags": "noout,sortbitwise",
        "osds": [{**osd, "osd": number, "weight": 1, "up": 1, "in": 1} for number in (0, 1, 2)],
    }
    found = read(
        daemons.osds(
            osdmap,
            [{"id": 0, "class": "ssd"}, {"id": 1}],
            {"0": about, "1": about, "2": about},
            lambda kind, name: ("h", "16.2.15"),
        )
    )
    assert found["ceph_osd_flag_noout", ()] == 1
    assert found["ceph_osd_flag_noup", ()] == 0
    human = (("ceph_daemon", "osd.0, osd.1"), ("device", "/dev/sda"), ("instance", "h"))
    assert found["ceph_disk_occupation_human", human] == 1
    assert sum(name == "ceph_disk_occupation" for name, _ in found) == 2
    assert sum(name == "ceph_osd_metadata" for name, _ in found) == 2  # osd.2 is not in CRUSH


def test_the_history_remembers_when_checks_failed():
    history = History()
    check = {"OSD_DOWN": {"severity": "HEALTH_WARN"}}
    assert history.note(check, 1000.0)
    assert not history.note(check, 1001.0)
    assert history.note({}, 1002.0)
    assert history.note(check, 1003.0)
    again = History.parse(json.dumps(history.document()))
    assert again.seen == history.seen
    one = again.seen["OSD_DOWN"]
    assert (one.first_seen, one.last_seen, one.count, one.active) == (1000.0, 1003.0, 2, True)
    assert "OSD_DOWN                  1970/01/01 00:16:40   1970/01/01 00:16:43" in again.table()
    assert "1 health check(s) listed" in again.table()


@pytest.mark.parametrize("text", ["no json", "[]", '{"A": {}}', '{"A": 5}'])
def test_a_history_that_cannot_be_read_begins_anew(text):
    with pytest.raises(ValueError, match=r".+"):
        History.parse(text)
    host = FakeHost()
    host.store["health_history"] = text
    assert Prometheus("prometheus", host).history.seen == {}
    assert "begins anew" in host.lines[-1]


def get(port, path="/metrics"):
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


@pytest.fixture
def served():
    """Pages of a module: serves what `respond` says, and gives the port."""
    servers = []

    def serve(respond):
        servers.append(PageServer(LOOPBACK, 0, respond))
        return servers[-1].port

    yield serve
    for server in servers:
        server.close()


def test_what_was_collected_is_served(served):
    module = Prometheus("prometheus", FakeHost())
    port = served(module.respond)
    assert get(port)[0] == 503
    module.cached = "ceph_x 1.0\n"
    assert get(port) == (200, "text/plain; version=0.0.4; charset=utf-8", "ceph_x 1.0\n")
    assert "<a href='/metrics'>" in get(port, "/elsewhere")[2]


@pytest.mark.parametrize(("strategy", "status"), [("log", 503), ("fail", 503), ("return", 200)])
def test_stale_numbers_are_given_only_if_that_is_wanted(served, strategy, status):
    host = FakeHost()
    host.own_options["stale_cache_strategy"] = strategy
    module = Prometheus("prometheus", host)
    module.cached, module.took_s = "ceph_x 1.0\n", 20.0
    assert get(served(module.respond))[0] == status


def test_standbys_show_nothing_or_an_error(served):
    host = FakeHost()
    host.active_uri = lambda: "http://active:9283/"
    module = PrometheusStandby("prometheus", host)
    port = served(module.respond)
    assert get(port) == (200, "text/plain; version=0.0.4; charset=utf-8", "")
    assert "<a href='http://active:9283/metrics'>" in get(port, "/")[2]
    host.own_options |= {"standby_behaviour": "error", "standby_error_status_code": 503}
    assert get(port, "/")[0] == 503


def test_a_port_that_is_taken_is_told_of(served):
    port = served(lambda path: Page(""))
    host = FakeHost()
    host.own_options |= {"server_addr": LOOPBACK, "server_port": port}
    with pytest.raises(OSError, match="in use"):
        Prometheus("prometheus", host).serve()


def test_managers_are_told_to_prometheus():
    host = FakeHost()
    services = [{"type": "mgr", "id": "x"}, {"type": "osd", "id": "0"}]
    host.documents["servers"] = [{"hostname": "h", "services": services}]
    rc, out, _ = run(Prometheus("prometheus", host), "prometheus file_sd_config")
    assert (rc, json.loads(out)) == (0, [{"targets": ["h:9283"], "labels": {}}])


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("", {}),
        ("a, c", {"a": set()}),
        ("a/x b/y,a/z", {"a": {"x", "z"}, "b": {"y"}}),
        ("a/x *", {"a": set(), "b": set()}),
        ("*/x", {"a": {"x"}, "b": {"x"}}),
        ("a/*", {"a": set()}),
    ],
)
def test_pools_whose_images_are_counted(option, wanted):
    assert wanted_pools(option, ["a", "b"]) == wanted
