"""Health checks of what is reported: codes, severities, words."""

from __future__ import annotations

from spirula.conf.config import Config, Source
from spirula.conf.expand import Identity
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import OSDState
from spirula.mgr.daemons.index import DaemonIndex, DaemonKey
from spirula.mgr.health import daemons, osds, pgs, pools
from spirula.mgr.health.view import View
from spirula.pgmap.record import Changes, PGMap, apply
from spirula.types.base import UTime
from spirula.types.osd_stats import OSDStat, PingTimes
from spirula.types.pg import PGId, PGState
from spirula.types.pg_stats import ObjectStatSum, PGStat
from spirula.types.pool import PGPool
from spirula.types.service import DaemonHealthMetric, DaemonMetric, HealthStatus

NOW = 1_700_000_000.0
UP = int(OSDState.EXISTS | OSDState.UP)


def view(stats=(), osd_stats=None, *, pool=None):
    osdmap = OSDMap(max_osd=3, osd_state=[UP] * 3, osd_weight=[0x10000] * 3)
    osdmap.pools = {1: pool or PGPool(pg_num=8, size=3, min_size=2)}
    osdmap.pools[1].pg_num_target = osdmap.pools[1].pgp_num_target = 8
    osdmap.pool_name = {1: "data"}
    pgmap = PGMap()
    pg_stat = {PGId(1, seed): stat for seed, stat in enumerate(stats)}
    apply(pgmap, Changes(pg_stat=pg_stat, osd_stat=osd_stats or {}), NOW, 6, 10.0)
    return View(pgmap, osdmap, Config(Identity("mgr", "x"), daemon=True), NOW)


def stat(state, *, ago=0.0, **counters):
    made = PGStat(up=[0, 1, 2], acting=[0, 1, 2], acting_primary=0, up_primary=0)
    made.state = int(state)
    for name in ("last_active", "last_peered", "last_fullsized", "last_unstale", "last_change"):
        setattr(made, name, UTime.at(NOW - ago))
    made.last_scrub_stamp = made.last_deep_scrub_stamp = UTime.at(NOW)
    made.stats.sum = ObjectStatSum(**counters)
    return made


CLEAN = PGState.ACTIVE | PGState.CLEAN


def test_all_is_well():
    assert not pgs.checks(view([stat(CLEAN)] * 8))


def test_degraded_objects_are_counted():
    found = pgs.checks(
        view(
            [
                stat(
                    PGState.ACTIVE | PGState.DEGRADED,
                    num_objects_degraded=1,
                    num_object_copies=3,
                )
            ]
        )
    )
    check = found["PG_DEGRADED"]
    assert check.severity == HealthStatus.WARN
    assert check.summary == (
        "Degraded data redundancy: 1/3 objects degraded (33.333%), 1 pg degraded"
    )
    assert check.detail == ["pg 1.0 is active+degraded, acting [0,1,2]"]


def test_what_has_just_begun_is_not_stuck():
    assert not pgs.checks(view([stat(PGState.PEERING, ago=10.0)]))


def test_what_is_stuck_says_since_when():
    found = pgs.checks(view([stat(PGState.PEERING, ago=180.0)]))
    check = found["PG_AVAILABILITY"]
    assert check.summary == "Reduced data availability: 1 pg inactive, 1 pg peering"
    assert check.count == 2
    assert check.detail == [
        "pg 1.0 is stuck peering for 3m, current state peering, last acting [0,1,2]"
    ]


def test_damage_is_an_error():
    found = pgs.checks(
        view([stat(CLEAN | PGState.INCONSISTENT, num_scrub_errors=2, num_objects=1)])
    )
    assert found["PG_DAMAGED"].severity == HealthStatus.ERR
    assert found["PG_DAMAGED"].summary == "Possible data damage: 1 pg inconsistent"
    assert found["OSD_SCRUB_ERRORS"].summary == "2 scrub errors"


def test_scrubs_that_are_late():
    late = stat(CLEAN)
    late.last_deep_scrub_stamp = UTime.at(NOW - 60 * 86_400)
    found = pgs.checks(view([late]))
    assert found["PG_NOT_DEEP_SCRUBBED"].summary == "1 pgs not deep-scrubbed in time"
    assert "PG_NOT_SCRUBBED" not in found


def test_a_pool_that_is_nearly_at_its_quota():
    pool = PGPool(pg_num=8, quota_max_objects=100, application_metadata={"rbd": {}})
    seen = view([stat(CLEAN, num_objects=80)], pool=pool)
    assert not pools.checks(seen)
    seen.config.set("mon_pool_quota_warn_threshold", "75", Source.FILE)
    nearly = pools.checks(seen)
    assert nearly["POOL_NEAR_FULL"].detail == ["pool 'data' has 80 objects (max 100)"]
    full = pools.checks(view([stat(CLEAN, num_objects=100)], pool=pool))
    assert "POOL_NEAR_FULL" not in full  # the monitors tell of it


def test_a_pool_without_an_application():
    found = pools.checks(view([stat(CLEAN, num_objects=1)]))
    assert found["POOL_APP_NOT_ENABLED"].detail[0] == "application not enabled on pool 'data'"
    assert not pools.checks(view([stat(CLEAN)]))


def test_slow_heartbeats_are_named_with_their_ends():
    slow = PingTimes(last_update=int(NOW))
    slow.back_pingtime = [2_000_000, 1_000_000, 500_000]
    found = osds.checks(view(osd_stats={0: OSDStat(hb_pingtime={1: slow})}))
    check = found["OSD_SLOW_PING_TIME_BACK"]
    assert check.summary == "Slow OSD heartbeats on back (longest 2000.000ms)"
    assert check.detail == ["Slow OSD heartbeats on back from osd.0 [] to osd.1 [] 2000.000 msec"]


def test_slow_requests_of_daemons():
    index = DaemonIndex()
    for name, count in (("0", 3), ("1", 2)):
        daemon = index.put(DaemonKey("osd", name), {})
        daemon.metrics = [DaemonHealthMetric(DaemonMetric.SLOW_OPS, (40 << 32) | count)]
    check = daemons.checks(index)["SLOW_OPS"]
    assert check.summary == (
        "5 slow ops, oldest one blocked for 40 sec, daemons [osd.0,osd.1] have slow ops."
    )
