"""OSDs that boot, fail, leave and stay silent: what the map says of them."""

from __future__ import annotations

import pytest

from spirula.denc.features import OSD_PGLOG_HARDLIMIT, PACIFIC, SERVER_LUMINOUS
from spirula.maps.state import OSDState, is_in, is_up
from spirula.messages.osd_map import MOSDMap
from spirula.messages.osd_mon import FailureFlag, MOSDMarkMeDead, MOSDMarkMeDown
from spirula.types.osd_superblock import OSDSuperblock
from tests.unit.mon.harness import FSID
from tests.unit.mon.services.osdmap.world import World, addrs_of, uuid_of


def log_of(world):
    return "\n".join(line for _, line in world.harness.log_lines)


def test_a_new_osd_boots_and_is_told_the_map():
    world = World()
    world.create(0)
    assert not is_up(world.osdmap, 0)
    sent = world.boot(0)
    assert is_up(world.osdmap, 0)
    assert is_in(world.osdmap, 0)
    assert not world.osdmap.osd_state[0] & OSDState.NEW
    assert world.osdmap.osd_info[0].up_from == world.service.epoch
    assert world.osdmap.client_addrs[0] == addrs_of(0)
    assert any(
        isinstance(message, MOSDMap) for message in [*sent, *world.sessions[0].connection.sent]
    )
    found = world.harness.ok("osd metadata", id=0, format="json")
    assert found["hostname"] == "host0"
    epoch = world.service.epoch
    world.boot(0)
    assert world.service.epoch == epoch, "it is up already"


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (PACIFIC & ~(1 << 21), "CEPH_FEATURE_SERVER_LUMINOUS"),
        (PACIFIC & ~(1 << 19), "OSD_PGLOG_HARDLIMIT"),
    ],
)
def test_osds_that_cannot_do_enough_do_not_boot(features, said):
    assert SERVER_LUMINOUS & (1 << 21)
    assert OSD_PGLOG_HARDLIMIT & (1 << 19)
    world = World()
    world.create(0)
    world.boot(0, osd_features=features)
    assert not is_up(world.osdmap, 0)
    assert said in log_of(world)


def test_who_may_not_boot_is_ignored():
    world = World()
    world.create(0)
    world.session(0, caps="allow r")
    world.boot(0)
    assert not is_up(world.osdmap, 0)
    world.session(0)
    other = OSDSuperblock(cluster_fsid=bytes(16), whoami=0, osd_fsid=uuid_of(0))
    world.boot(0, sb=other)
    assert not is_up(world.osdmap, 0), "of another cluster"
    stranger = OSDSuperblock(cluster_fsid=FSID.bytes, whoami=0, osd_fsid=uuid_of(9))
    world.boot(0, sb=stranger)
    assert not is_up(world.osdmap, 0), "another OSD with its id"
    world.session(7)
    world.boot(7)
    assert world.osdmap.max_osd == 1, "never created"
    world.harness.ok("osd set", key="noup")
    world.boot(0)
    assert not is_up(world.osdmap, 0), "the operator says no"


def test_an_osd_that_comes_back_elsewhere_goes_down_first():
    world = World(1)
    before = world.service.epoch
    world.boot(0, addrs_of(0, 7800, nonce=2))
    assert world.service.epoch == before + 2, "down, and up again"
    assert world.osdmap.client_addrs[0] == addrs_of(0, 7800, nonce=2)
    assert world.osdmap.osd_info[0].down_at == before + 1
    assert world.osdmap.osd_info[0].up_from == before + 2


def test_two_reporters_on_two_hosts_bring_an_osd_down():
    world = World(4)
    world.fail(1, 0)
    assert is_up(world.osdmap, 0), "one may be mistaken"
    world.fail(2, 0)
    assert not is_up(world.osdmap, 0)
    assert "osd.0 failed (root=default,host=h0) (2 reporters from different host" in log_of(world)


def test_reporters_on_one_host_count_once():
    world = World(6, per_host=2)
    world.fail(2, 0)
    world.fail(3, 0)
    assert is_up(world.osdmap, 0)
    world.fail(4, 0)
    assert not is_up(world.osdmap, 0)


def test_a_report_that_is_taken_back_does_not_count():
    world = World(4)
    world.fail(1, 0)
    world.fail(1, 0, flags=FailureFlag.ALIVE)
    world.fail(2, 0)
    world.beacons_for(60, range(4))
    assert is_up(world.osdmap, 0)


def test_reports_count_when_they_have_lasted_for_the_grace():
    world = World(4)
    world.fail(1, 0, failed_for=1)
    world.fail(2, 0, failed_for=1)
    assert is_up(world.osdmap, 0)
    world.harness.advance(25.0)
    assert not is_up(world.osdmap, 0)


def test_who_finds_nobody_listening_is_believed_at_once():
    world = World(2)
    world.fail(1, 0, flags=FailureFlag.FAILED | FailureFlag.IMMEDIATE, failed_for=0)
    assert not is_up(world.osdmap, 0)
    assert world.osdmap.osd_xinfo[0].dead_epoch == world.osdmap.epoch
    assert "connection refused reported by osd.1" in log_of(world)


def test_reports_of_osds_that_are_down_do_not_count():
    world = World(5)
    world.fail(1, 0)
    world.fail(2, 0)
    world.fail(0, 3)
    world.fail(1, 3)
    assert is_up(world.osdmap, 3)
    world.fail(2, 3)
    assert not is_up(world.osdmap, 3)


def test_nodown_and_the_least_ratio_protect():
    world = World(4, {"mon_osd_min_up_ratio": 0.6})
    world.harness.ok("osd set-group", flags="nodown", who=["0"])
    world.fail(1, 0)
    world.fail(2, 0)
    assert is_up(world.osdmap, 0)
    for target in (1, 2):
        world.fail(0, target)
        world.fail(3, target)
    up = [osd for osd in range(4) if is_up(world.osdmap, osd)]
    assert len(up) == 2, "the ratio is looked at before, so that it may fall below it once"


def test_an_osd_that_says_goodbye_is_answered_when_the_map_says_so():
    world = World(2)
    message = MOSDMarkMeDown(
        fsid=FSID.bytes,
        target_osd=0,
        target_addrs=addrs_of(0),
        epoch=world.service.epoch,
        request_ack=True,
        down_and_dead=True,
    )
    message.tid = 9
    world.send(0, message)
    world.harness.advance(1.0)
    assert not is_up(world.osdmap, 0)
    assert world.osdmap.osd_xinfo[0].dead_epoch == message.epoch
    answers = [m for m in world.sessions[0].connection.sent if isinstance(m, MOSDMarkMeDown)]
    assert [answer.tid for answer in answers] == [9]
    assert not answers[0].request_ack


def test_an_osd_can_be_dead_after_it_is_down():
    world = World(3)
    world.fail(1, 0)
    world.fail(2, 0)
    epoch = world.service.epoch
    world.send(0, MOSDMarkMeDead(fsid=FSID.bytes, target_osd=0, epoch=epoch))
    world.harness.advance(1.0)
    assert world.osdmap.osd_xinfo[0].dead_epoch == epoch


def test_silent_osds_go_down_and_then_out():
    world = World(4, {"mon_osd_report_timeout": 900, "mon_osd_down_out_interval": 600})
    world.beacons_for(1000, range(4))
    assert all(is_up(world.osdmap, osd) for osd in range(4))
    world.beacons_for(1000, range(1, 4))
    assert not is_up(world.osdmap, 0)
    assert "osd.0 marked down after no beacon for" in log_of(world)
    assert is_in(world.osdmap, 0)
    world.beacons_for(700, range(1, 4))
    assert not is_in(world.osdmap, 0)
    assert world.osdmap.osd_state[0] & OSDState.AUTOOUT
    assert world.osdmap.osd_xinfo[0].old_weight == 0x10000
    world.boot(0, addrs_of(0, 7000, nonce=3))
    assert is_in(world.osdmap, 0), "it was taken out by nobody's wish"
    assert not world.osdmap.osd_state[0] & OSDState.AUTOOUT


def test_noout_and_a_whole_rack_down_keep_osds_in():
    world = World(6, {"mon_osd_down_out_interval": 300, "mon_osd_down_out_subtree_limit": "host"})
    world.fail(1, 0)
    world.fail(2, 0)
    assert not is_up(world.osdmap, 0)
    world.beacons_for(1200, range(1, 6))
    assert is_in(world.osdmap, 0), "all of its host is down"
    other = World(6, {"mon_osd_down_out_interval": 300})
    other.harness.ok("osd set", key="noout")
    other.fail(1, 0)
    other.fail(2, 0)
    other.beacons_for(1200, range(1, 6))
    assert is_in(other.osdmap, 0)
    other.harness.ok("osd unset", key="noout")
    other.beacons_for(400, range(1, 6))
    assert not is_in(other.osdmap, 0)


def test_what_an_operator_takes_out_stays_out():
    world = World(3)
    world.harness.ok("osd out", ids=["0"])
    world.harness.ok("osd down", ids=["0"])
    world.boot(0)
    assert is_up(world.osdmap, 0)
    assert not is_in(world.osdmap, 0)


def test_a_slow_osd_gets_more_time_next_time():
    world = World(4)
    world.fail(1, 0)
    world.fail(2, 0)
    world.harness.advance(100.0)
    world.boot(0, boot_epoch=1)
    info = world.osdmap.osd_xinfo[0]
    assert info.laggy_probability > 0
    assert info.laggy_interval > 0
    grace = world.harness.config.get_int("osd_heartbeat_grace")
    world.fail(1, 0, failed_for=grace + 1)
    world.fail(2, 0, failed_for=grace + 1)
    assert is_up(world.osdmap, 0)
    world.harness.advance(60.0)
    assert not is_up(world.osdmap, 0)
