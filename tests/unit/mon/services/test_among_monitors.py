"""Log, health and monitor map among three monitors: what peons tell, what outlives a leader."""

from __future__ import annotations

import pytest

from spirula.types.log import LogLevel
from tests.unit.mon.wired import Wired

QUIET = {"auth_allow_insecure_global_id_reclaim": "false", "mon_down_mkfs_grace": "0"}
NEARLY_FULL = (100 << 30, 20 << 30, 1 << 20)


@pytest.fixture
def wired():
    made = Wired(3, QUIET)
    made.advance(10)
    return made


def messages_of(mon, channel="cluster"):
    shown = mon.ok("log last", num=100, level="debug", channel=channel, format="json")
    return [one["message"] for one in shown]


def test_lines_of_peons_are_in_the_log_of_all(wired):
    wired["c"].mon.clog(LogLevel.WARN, "a peon says so")
    wired.advance(5)
    for name in "abc":
        assert messages_of(wired[name]).count("a peon says so") == 1


def test_lines_of_a_peon_outlive_the_leader(wired):
    assert wired.leader == "a"
    wired.cut("a")
    # On its way to a leader that is gone, and not acknowledged by it.
    wired["c"].mon.clog(LogLevel.WARN, "kept for the next one")
    wired.advance(40)
    assert wired["b"].mon.is_leader
    assert messages_of(wired["b"]).count("kept for the next one") == 1
    wired.heal()
    wired.advance(40)
    # Its clients were sent elsewhere while it was out of the quorum.
    wired["a"].admin = wired["a"].session()
    assert messages_of(wired["a"]).count("kept for the next one") == 1


def test_what_a_peon_finds_of_itself_reaches_everybody(wired):
    wired["b"].mon.ports.disk = wired["c"].mon.ports.disk = lambda: NEARLY_FULL
    wired.advance(15)
    for name in "abc":
        shown = wired[name].ok("health", detail="detail")
        assert "MON_DISK_LOW: mons b,c are low on available space\n" in shown
        assert "    mon.c has 20% avail\n" in shown
    wired["b"].mon.ports.disk = lambda: (100 << 30, 90 << 30, 1 << 20)
    wired.advance(15)
    assert "mon c is low on available space" in wired["a"].ok("health")


def test_a_monitor_that_is_away_is_told_of_and_its_checks_are_dropped(wired):
    wired["c"].mon.ports.disk = lambda: NEARLY_FULL
    wired.advance(15)
    wired.cut("c")
    wired.advance(40)
    shown = wired["b"].ok("health", detail="detail")
    assert "MON_DOWN: 1/3 mons down, quorum a,b\n" in shown
    assert "MON_DISK_LOW" not in shown
    assert "out of quorum: c" in wired["a"].ok("status")
    wired.heal()
    wired.advance(40)
    assert "MON_DOWN" not in wired["a"].ok("health", detail="detail")
    told = messages_of(wired["a"])
    assert "Health check failed: 1/3 mons down, quorum a,b (MON_DOWN)" in told
    assert "Health check cleared: MON_DOWN (was: 1/3 mons down, quorum a,b)" in told


def test_a_new_leader_knows_the_mutes(wired):
    wired["b"].ok("health mute", code="OSD_DOWN", ttl="1h", sticky=True)
    wired.cut("a")
    wired.advance(40)
    (mute,) = wired["c"].ok("health", format="json")["mutes"]
    assert mute["code"] == "OSD_DOWN"


def test_changes_of_the_monitor_map_reach_all(wired):
    wired["c"].ok("mon set-weight", name="b", weight=4)
    wired.advance(20)
    for name in "abc":
        shown = wired[name].ok("mon dump", format="json")
        assert (shown["epoch"], shown["mons"][1]["weight"]) == (2, 4)


def test_a_monitor_that_is_removed_stops(wired):
    answer = wired["a"].command("mon rm", name="c", within=20.0)
    assert (answer.r, answer.rs.rpartition(", ")[2]) == (0, "there will be 2 monitors")
    wired.advance(20)
    assert wired["c"].stopped == "removed from the monitor map"
    assert wired["b"].ok("mon stat", format="json")["num_mons"] == 2


def test_what_would_break_the_quorum_is_told(wired):
    assert wired["a"].refused("mon ok-to-stop", ids=["a", "b"]) == (
        16,
        "not enough monitors would be available (c) after stopping mons [a,b]",
    )
    assert wired["a"].command("mon ok-to-stop", ids=["c"]).rs == (
        "quorum should be preserved (a,b) after stopping [c]"
    )
    assert wired["a"].command("mon ok-to-rm", id="c").rs == "safe to remove mon.c"
    assert wired["a"].command("mon ok-to-add-offline").rs == (
        "adding another mon that is not yet online will not break quorum"
    )
