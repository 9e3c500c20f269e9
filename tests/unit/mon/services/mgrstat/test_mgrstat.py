"""The manager's report: what is kept, what clients get of it, how it is shown."""

from __future__ import annotations

import pytest

from spirula.maps.osdmap import OSDMap
from spirula.messages.mgr import MMonMgrReport, MServiceMap
from spirula.messages.mon_client import (
    MGetPoolStats,
    MGetPoolStatsReply,
    MStatfs,
    MStatfsReply,
)
from spirula.pgmap import services, summary, usage
from spirula.printing import count_text, size_text
from spirula.types.base import UTime
from spirula.types.osd_stats import OSDStat
from spirula.types.pg import pg_state_of
from spirula.types.pg_stats import PoolStat, StoreStatfs
from spirula.types.pgmap import PGMapDigest
from spirula.types.pool import PGPool, PoolType
from spirula.types.service import (
    HealthCheck,
    HealthCheckMap,
    HealthStatus,
    ProgressEvent,
    Service,
    ServiceDaemon,
    ServiceMap,
)
from tests.unit.mon.harness import FSID, HarnessMonitor

GIB = 1 << 30


@pytest.fixture
def mon():
    return HarnessMonitor({"auth_allow_insecure_global_id_reclaim": "false"})


def digest_of(states, **counters):
    """A digest with PGs in these states and counters of objects."""
    made = PGMapDigest(num_pg=sum(states.values()))
    made.num_pg_by_state = {pg_state_of(name): count for name, count in states.items()}
    made.num_pg_active = sum(n for name, n in states.items() if "active" in name)
    made.num_pg_unknown = states.get("unknown", 0)
    for name, value in counters.items():
        setattr(made.pg_sum.stats.sum, name, value)
    made.osd_sum.set_statfs(StoreStatfs(total=60 * GIB, available=59 * GIB))
    made.osd_sum.num_osds = made.osd_sum.num_per_pool_osds = 3
    made.osd_sum.num_per_pool_omap_osds = 3
    made.osd_sum_by_class = {"hdd": OSDStat.decode(made.osd_sum.encode())}
    made.avail_space_by_rule = {0: 60290184699}
    return made


def report(digest, *, gid=0, **fields):
    made = MMonMgrReport(version=0, gid=gid, **fields)
    made.data = digest.encode()
    return made


def send(mon, message, caps="allow profile mgr"):
    mon.send(message, mon.session("mgr.x", caps))
    mon.advance(2.0)


def test_a_report_shows_in_status_and_health(mon):
    send(
        mon,
        report(
            digest_of({"active+clean": 7}, num_objects=1500, num_bytes=3 * GIB),
            health_checks=HealthCheckMap(
                {"PG_DEGRADED": HealthCheck(HealthStatus.WARN, "degraded", ["pg 1.0"], 1)}
            ),
            progress_events={
                "1": ProgressEvent("Rebalancing", 0.5),
                "2": ProgressEvent("hidden", 0.5, add_to_ceph_s=False),
            },
        ),
    )
    assert mon.ok("health") == "HEALTH_WARN degraded\n"
    shown = mon.ok("status")
    assert "    objects: 1.50k objects, 3 GiB\n" in shown
    assert "    usage:   1 GiB used, 59 GiB / 60 GiB avail\n" in shown
    assert "    pgs:     7 active+clean\n" in shown
    assert shown.endswith("\n \n  progress:\n    Rebalancing\n \n")
    document = mon.ok("status", format="json")
    assert document["pgmap"]["bytes_used"] == GIB
    assert list(document["progress_events"]) == ["1", "2"]
    again = mon.restart()
    assert again.mon.mgrstat.digest.num_pg == 7
    assert again.ok("health") == "HEALTH_WARN degraded\n"


def test_reports_of_others_than_the_active_manager_are_ignored(mon):
    send(mon, report(digest_of({"active": 1}), gid=17))
    send(mon, report(digest_of({"active": 1})), caps="allow rw")
    broken = report(digest_of({"active": 1}))
    broken.data = b"\x04\x01\xff\xff\xff\xff"
    send(mon, broken)
    assert mon.mon.mgrstat.digest.num_pg == 0


def test_statfs_of_the_cluster(mon):
    send(mon, report(digest_of({"active": 1}, num_objects=42)))
    (answer,) = mon.send(MStatfs(version=0, fsid=FSID.bytes))
    assert isinstance(answer, MStatfsReply)
    assert (answer.kb, answer.kb_used, answer.kb_avail) == (60 << 20, 1 << 20, 59 << 20)
    assert answer.num_objects == 42
    assert mon.send(MStatfs(version=0, fsid=bytes(16))) == []
    assert mon.send(MStatfs(version=0, fsid=FSID.bytes, data_pool=99)) == []
    assert mon.send(MStatfs(version=0, fsid=FSID.bytes), mon.session("client.n", "")) == []


def test_statistics_of_pools_that_are_there(mon):
    (answer,) = mon.send(MGetPoolStats(version=0, fsid=FSID.bytes, pools=["none"]))
    assert isinstance(answer, MGetPoolStatsReply)
    assert answer.pool_stats == {}
    assert mon.send(MGetPoolStats(version=0, fsid=bytes(16), pools=[])) == []


def test_registered_daemons(mon):
    daemons = {
        name: ServiceDaemon(
            gid=number,
            metadata={"hostname": "h1", "zone_id": "z"},
            task_status={"sync": "running"} if name == "b" else {},
        )
        for number, name in enumerate("ab")
    }
    known = ServiceMap(epoch=4, services={"rgw": Service(daemons, "")})
    watcher = mon.session("mgr.w", "allow profile mgr")
    mon.subscribe("servicemap", session=watcher)
    send(mon, report(digest_of({}), service_map_bl=known.encode()))
    assert isinstance(watcher.connection.sent[-1], MServiceMap)
    shown = mon.ok("status")
    assert "    rgw: 2 daemons active (1 hosts, 1 zones)\n" in shown
    assert "\n \n  task status:\n    sync:\n        rgw.b: running\n \n" in shown
    daemons = mon.ok("status", format="json")["servicemap"]["services"]["rgw"]["daemons"]
    assert list(daemons) == ["summary", "a", "b"]
    assert mon.mon.mgrstat.service_metadata()["rgw"][0]["hostname"] == "h1"


@pytest.mark.parametrize(
    ("service", "text"),
    [
        (Service({}, ""), "no daemons active"),
        (Service({"a": ServiceDaemon()}, ""), "1 daemon active"),
        (Service({"a": ServiceDaemon()}, "as it says"), "as it says"),
        (
            Service({"a": ServiceDaemon(metadata={"daemon_type": "portal"})}, ""),
            "1 portal active",
        ),
    ],
)
def test_services_in_a_line(service, text):
    assert services.summary(service) == text


def test_troubled_pgs_and_traffic():
    digest = digest_of(
        {"active+clean": 10, "active+undersized+degraded": 5, "peering": 3, "unknown": 2},
        num_objects=100,
        num_object_copies=300,
        num_objects_degraded=30,
        num_objects_misplaced=3,
        num_objects_unfound=1,
    )
    delta = digest.pg_sum_delta.stats.sum
    delta.num_rd, delta.num_rd_kb, delta.num_wr, delta.num_wr_kb = 20, 2048, 40, 4096
    delta.num_objects_recovered, delta.num_bytes_recovered = 8, 8 << 20
    delta.num_flush, delta.num_flush_kb, delta.num_promote = 1, 2048, 6
    digest.stamp_delta = UTime.at(2.0)
    assert summary.plain(digest) == (
        "    pools:   0 pools, 20 pgs\n"
        "    objects: 100 objects, 0 B\n"
        "    usage:   1 GiB used, 59 GiB / 60 GiB avail\n"
        "    pgs:     10.000% pgs unknown\n"
        "             15.000% pgs not active\n"
        "             30/300 objects degraded (10.000%)\n"
        "             3/300 objects misplaced (1.000%)\n"
        "             1/100 objects unfound (1.000%)\n"
        "             10 active+clean\n"
        "             5  active+undersized+degraded\n"
        "             3  peering\n"
        "             2  unknown\n"
        "\n \n  io:\n"
        "    client:   1 MiB/s rd, 2 MiB/s wr, 10 op/s rd, 20 op/s wr\n"
        "    recovery: 4 MiB/s, 4 objects/s\n"
        "    cache:    1 MiB/s flush, 3 op/s promote\n"
    )
    document = summary.document(digest)
    assert document["degraded_objects"] == 30
    assert document["recovering_objects_per_sec"] == 4
    assert document["read_op_per_sec"] == 10
    assert document["flush_bytes_sec"] == 1 << 20


def test_rates_that_went_backwards_are_none():
    digest = digest_of({"active": 1})
    digest.pg_sum_delta.stats.sum.num_wr = -5
    digest.stamp_delta = UTime.at(1.0)
    assert "io:" not in summary.plain(digest)


def test_a_report_that_makes_no_sense_harms_nobody(mon):
    digest = digest_of({"active": 5}, num_objects=-5, num_bytes=-1)
    digest.num_pg, digest.num_pg_unknown = 0, 3
    digest.pg_sum_delta.stats.sum.num_rd = 5
    bad = HealthCheckMap({"ODD": HealthCheck(77, "no severity", ["x"], -5)})
    send(mon, report(digest, health_checks=bad))
    assert mon.ok("health", detail="detail").startswith("HEALTH_OK no severity\n[OK] ODD")
    assert mon.ok("health", format="json")["checks"]["ODD"]["severity"] == "HEALTH_OK"
    assert mon.ok("status", format="json")["pgmap"]["unknown_pgs_ratio"] == 0
    mon.ok("status")
    mon.ok("df")


def usage_of(stat, **pool):
    digest = digest_of({"active": 8})
    digest.pg_pool_sum = {3: stat}
    osdmap = OSDMap()
    osdmap.crush.rules = [_Rule()]
    osdmap.pools = {3: PGPool(type=PoolType.REPLICATED, size=3, pg_num=8, tier_of=-1, **pool)}
    osdmap.pool_name = {3: "data"}
    return digest, osdmap


class _Rule:
    ruleset, type, min_size, max_size = 0, 1, 1, 10


def test_how_full_pools_are():
    stat = PoolStat(store_stats=StoreStatfs(allocated=3 * GIB, data_stored=3 * GIB - 4096))
    stat.stats.sum.num_objects = 12345
    digest, osdmap = usage_of(stat, quota_max_objects=1000)
    assert usage.plain(digest, osdmap, detail=False) == (
        "--- RAW STORAGE ---\n"
        "CLASS    SIZE   AVAIL   USED  RAW USED  %RAW USED\n"
        "hdd    60 GiB  59 GiB  1 GiB     1 GiB       1.67\n"
        "TOTAL  60 GiB  59 GiB  1 GiB     1 GiB       1.67\n"
        " \n"
        "--- POOLS ---\n"
        "POOL  ID  PGS    STORED  OBJECTS   USED  %USED  MAX AVAIL\n"
        "data   3    8  1024 MiB   12.35k  3 GiB   5.07     19 GiB\n"
    ) or "1 GiB   12.35k" in usage.plain(digest, osdmap, detail=False)
    (pool,) = usage.document(digest, osdmap, detail=True)["pools"]
    assert pool["stats"]["max_avail"] == 20096727040
    assert pool["stats"]["bytes_used"] == 3 * GIB
    assert pool["stats"]["kb_used"] == 3 << 20
    assert pool["stats"]["quota_objects"] == 1000
    assert pool["stats"]["avail_raw"] == 60290184699
    detailed = usage.plain(digest, osdmap, detail=True)
    assert "1k          N/A    N/A" in detailed


def test_old_osds_do_not_account_by_pool():
    stat = PoolStat()
    stat.stats.sum.num_bytes, stat.stats.sum.num_omap_bytes = 5 * GIB, GIB
    digest, osdmap = usage_of(stat)
    digest.osd_sum.num_per_pool_osds = digest.osd_sum.num_per_pool_omap_osds = 0
    (pool,) = usage.document(digest, osdmap, detail=True)["pools"]
    assert (pool["stats"]["stored_data"], pool["stats"]["stored_omap"]) == (5 * GIB, GIB)


def test_what_a_byte_takes():
    osdmap = OSDMap()
    assert usage.raw_used_rate(osdmap, PGPool(type=PoolType.REPLICATED, size=2)) == 2.0
    erasure = PGPool(type=PoolType.ERASURE, size=6, erasure_code_profile="p")
    assert usage.raw_used_rate(osdmap, erasure) == 0.0
    osdmap.erasure_code_profiles = {"p": {"k": "4", "m": "2"}}
    assert usage.raw_used_rate(osdmap, erasure) == 1.5


@pytest.mark.parametrize(
    ("number", "size", "count"),
    [
        (0, "0 B", "0"),
        (1000, "1000 B", "1k"),
        (1023, "1023 B", "1.02k"),
        (1024, "1 KiB", "1.02k"),
        (1434, "1.4 KiB", "1.43k"),
        (10239, "10 KiB", "10.24k"),
        (871 << 20, "871 MiB", "913.31M"),
        (63511416832, "59 GiB", "63.51G"),
    ],
)
def test_sizes_and_counts_in_print(number, size, count):
    assert size_text(number) == size
    assert count_text(number) == count
