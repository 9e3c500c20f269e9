"""Health: what monitors find, how it is put together and shown, mutes, and what the log is told."""

from __future__ import annotations

import json

import pytest

from spirula.messages.quorum import MMonHealthChecks
from spirula.mon.services.health import checks, mutes, show
from spirula.mon.services.health.service import Mutes, QuorumChecks
from spirula.mon.services.monmap import edit
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonMap
from spirula.types.service import HealthCheck, HealthCheckMap, HealthMute, HealthStatus
from tests.unit.mon.harness import FSID, HarnessMonitor

QUIET = {"auth_allow_insecure_global_id_reclaim": "false"}
"""Options of a cluster without any complaint."""
FULL = (100 << 30, 20 << 30, 1 << 20)
"""A disk of which 20 % are free: (total, available, used by the store)."""


@pytest.fixture
def mon():
    return HarnessMonitor(QUIET)


def fill_disk(mon, disk=FULL):
    mon.mon.ports.disk = lambda: disk
    mon.advance(11.0)


def logged(mon):
    return [one["message"] for one in mon.ok("log last", num=50, format="json")]


def monmap_of(names):
    made = MonMap(fsid=FSID.bytes, epoch=3, min_mon_release=16)
    for number, name in enumerate(names):
        edit.add(made, name, EntityAddrVec.parse(f"v2:10.0.0.{number + 1}:3300/0"))
    edit.add_features(made, edit.SUPPORTED)
    return made


def test_a_healthy_cluster(mon):
    assert mon.ok("health") == "HEALTH_OK\n"
    assert mon.ok("health", detail="detail", format="json") == {
        "status": "HEALTH_OK",
        "checks": {},
        "mutes": [],
    }


def test_a_disk_that_fills_up_and_has_room_again(mon):
    fill_disk(mon)
    assert mon.ok("health", detail="detail") == (
        "HEALTH_WARN mon a is low on available space\n"
        "[WRN] MON_DISK_LOW: mon a is low on available space\n"
        "    mon.a has 20% avail\n"
    )
    fill_disk(mon, (100 << 30, 4 << 30, 16 << 30))
    assert mon.ok("health", format="json")["status"] == "HEALTH_ERR"
    assert "MON_DISK_BIG: mon a is using a lot of disk space" in mon.ok("health", detail="detail")
    assert "mon.a is 16 GiB >= mon_data_size_warn (15 GiB)" in mon.ok("health", detail="detail")
    fill_disk(mon, (100 << 30, 90 << 30, 1 << 20))
    assert mon.ok("health") == "HEALTH_OK\n"
    told = logged(mon)
    assert "Health check failed: mon a is low on available space (MON_DISK_LOW)" in told
    assert told[-1] == "Cluster is now healthy"
    assert "Health check cleared: MON_DISK_CRIT (was: mon a is very low on available space)" in told


def test_mutes_survive_a_restart(mon):
    mon.ok("health mute", code="OSD_DOWN", ttl="1d", sticky=True)
    again = mon.restart()
    (mute,) = again.ok("health", format="json")["mutes"]
    assert (mute["code"], mute["sticky"]) == ("OSD_DOWN", True)


def test_muting_until_it_gets_worse(mon):
    fill_disk(mon)
    mon.ok("health mute", code="MON_DISK_LOW")
    assert mon.ok("health") == "HEALTH_OK (muted: MON_DISK_LOW)\n"
    shown = mon.ok("health", format="json")
    assert shown["checks"]["MON_DISK_LOW"]["muted"]
    assert shown["mutes"] == [
        {
            "code": "MON_DISK_LOW",
            "sticky": False,
            "summary": "mon a is low on available space",
            "count": 1,
        }
    ]
    fill_disk(mon, (100 << 30, 90 << 30, 1 << 20))
    assert mon.ok("health") == "HEALTH_OK\n"
    assert "Health alert mute MON_DISK_LOW cleared (health alert cleared)" in logged(mon)


def test_a_mute_for_some_time(mon):
    fill_disk(mon)
    mon.ok("health mute", code="MON_DISK_LOW", ttl="1h", sticky=True)
    mon.advance(1.0)
    assert mon.ok("health", detail="detail") == (
        "HEALTH_OK (muted: MON_DISK_LOW(59m))\n"
        "(MUTED ttl 59m, STICKY) [WRN] MON_DISK_LOW: mon a is low on available space\n"
        "    mon.a has 20% avail\n"
    )
    mon.advance(3700.0)
    assert mon.ok("health").startswith("HEALTH_WARN")
    assert any(
        line.startswith("Health alert mute MON_DISK_LOW cleared (passed") for line in logged(mon)
    )


def test_unmuting(mon):
    for code in ("ONE", "TWO"):
        mon.ok("health mute", code=code, sticky=True)
    mon.ok("health unmute", code="ONE")
    assert [one["code"] for one in mon.ok("health", format="json")["mutes"]] == ["TWO"]
    mon.ok("health unmute")
    assert mon.ok("health", format="json")["mutes"] == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"code": "NOPE"}, (2, "health alert NOPE is not currently raised")),
        ({"code": ""}, (22, "must specify an alert code to mute")),
        ({"code": "X", "ttl": "xx"}, (22, "invalid duration: xx (expected digit)")),
        ({"code": "X", "ttl": "0s"}, (22, "invalid duration: 0s (timespan = 0)")),
    ],
)
def test_what_cannot_be_muted(mon, arguments, expected):
    assert mon.refused("health mute", sticky=arguments["code"] == "X", **arguments) == expected


def test_muting_takes_write_caps(mon):
    reader = mon.session("client.r", "allow r")
    assert mon.command("health mute", code="X", sticky=True, session=reader).r == -13
    assert mon.command("health", session=reader).r == 0


def test_only_monitors_report_for_monitors(mon):
    found = HealthCheckMap({"FORGED": HealthCheck(HealthStatus.ERR, "x", [], 1)})
    mon.send(MMonHealthChecks(version=0, health_checks=found))
    mon.advance(2.0)
    assert mon.ok("health") == "HEALTH_OK\n"


def test_a_silent_cluster_commits_nothing(mon):
    mon.advance(10.0)
    version = mon.mon.health_service.last_committed
    mon.advance(600.0)
    assert mon.mon.health_service.last_committed == version


def test_the_option_that_lets_old_clients_in_is_named():
    mon = HarnessMonitor()
    assert mon.ok("health", detail="detail") == (
        "HEALTH_WARN mon is allowing insecure global_id reclaim\n"
        "[WRN] AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED: mon is allowing insecure global_id "
        "reclaim\n    mon.a has auth_allow_insecure_global_id_reclaim set to true\n"
    )


# --- pure parts


def test_several_monitors_with_the_same_trouble():
    found = checks.disk_checks("x", FULL, warn=30, crit=5, big=1 << 40)
    together = checks.combine(
        {0: HealthCheckMap(found), 2: HealthCheckMap(found)}, monmap_of("abc")
    )
    check = together["MON_DISK_LOW"]
    assert check.summary == "mons a,c are low on available space"
    assert (check.count, len(check.detail)) == (2, 2)


def test_down_monitors_are_named():
    check = checks.mon_down(monmap_of("abc"), {0, 2})["MON_DOWN"]
    assert check.summary == "1/3 mons down, quorum a,c"
    assert check.detail == ["mon.b (rank 1) addr v2:10.0.0.2:3300/0 is down (out of quorum)"]
    assert checks.mon_down(monmap_of("abc"), {0, 1, 2}) == {}


def test_clocks_that_differ():
    found = checks.clock_skew(
        monmap_of("abc"), {0: (0.0, 0.0), 1: (-0.25, 0.001), 2: (0.04, 0.001)}, 0.05
    )
    assert found["MON_CLOCK_SKEW"].summary == "clock skew detected on mon.b"
    assert found["MON_CLOCK_SKEW"].detail == ["mon.b clock skew 0.25s > max 0.05s (latency 0.001s)"]


def test_monitors_without_msgr2():
    monmap = monmap_of("ab")
    monmap.mon_info["b"].public_addrs = EntityAddrVec.parse("v1:10.0.0.2:6789/0")
    found = checks.msgr2_missing(monmap)["MON_MSGR2_NOT_ENABLED"]
    assert found.summary == "1 monitors have not enabled msgr2"
    assert found.detail == ["mon.b is not bound to a msgr2 port, only v1:10.0.0.2:6789/0"]


def test_old_daemons():
    assert checks.old_versions({"16.2.15": ["mon.a"]}) == {}
    found = checks.old_versions({"16.2.13": ["osd.1"], "16.2.15": ["mon.a"]})
    assert found["DAEMON_OLD_VERSION"] == HealthCheck(
        HealthStatus.WARN,
        "There is a daemon running an older version of ceph",
        ["osd.1 is running an older version of ceph: 16.2.13"],
        1,
    )
    several = checks.old_versions({"15": ["a", "b"], "16": ["c"], "17": ["d"]})
    assert several["DAEMON_OLD_VERSION"].severity == HealthStatus.ERR
    assert several["DAEMON_OLD_VERSION"].summary == (
        "There are daemons running multiple old versions of ceph"
    )


def mute(code="X", **fields):
    return HealthMute(code, **{"summary": "s", "count": 3, "sticky": False, **fields})


@pytest.mark.parametrize(
    ("muted", "count", "ends"),
    [
        (mute(), 3, False),
        (mute(), 4, True),
        (mute(sticky=True), 4, False),
        (mute(count=0), 9, False),
        (mute(count=0, summary="other"), 9, True),
        (mute(ttl=UTime.at(50.0)), 3, True),
        (mute(ttl=UTime.at(200.0)), 3, False),
    ],
)
def test_when_mutes_end(muted, count, ends):
    held = {"X": muted}
    changed, reasons = mutes.expire(
        held, {"X": HealthCheck(HealthStatus.WARN, "s", [], count)}, now=100.0
    )
    assert (changed, bool(reasons), "X" not in held) == (ends, ends, ends)


def test_a_mute_follows_what_gets_better():
    held = {"X": mute()}
    fewer = {"X": HealthCheck(HealthStatus.WARN, "s", [], 1)}
    assert mutes.expire(held, fewer, now=100.0) == (True, [])
    assert held["X"].count == 1


def test_the_worst_check_counts():
    found = {
        "A": HealthCheck(HealthStatus.WARN, "a bit", [], 1),
        "B": HealthCheck(HealthStatus.ERR, "a lot", [], 1),
    }
    assert show.plain(found, {}, 0.0) == "HEALTH_ERR a bit; a lot\n"
    assert show.plain(found, {"B": mute("B")}, 0.0) == "HEALTH_WARN a bit; (muted: B)\n"
    assert json.dumps(show.document(found, {}, detail=False)["status"]) == '"HEALTH_ERR"'


def test_what_is_stored_reads_back():
    found = HealthCheckMap({"A": HealthCheck(HealthStatus.WARN, "a", ["d"], 1)})
    assert QuorumChecks.decode(QuorumChecks({2: found}).encode()).by_rank == {2: found}
    assert Mutes.decode(Mutes({"A": mute("A")}).encode()).by_code == {"A": mute("A")}
