"""OSDs tell a peon once: what they told a leader that died before it was done reaches the next."""

from __future__ import annotations

import pytest

from spirula.maps.state import is_up
from spirula.messages.osd_mon import FailureFlag, MOSDPGCreated
from spirula.types.pg import PGId
from spirula.types.pool import PoolFlag
from tests.unit.mon.services.osdmap.world import OPTIONS, World
from tests.unit.mon.wired import Wired


class AtPeon(World):
    """OSDs that talk to the last of three monitors."""

    def __init__(self, osds):
        self.wired = Wired(3, OPTIONS)
        self.wired.advance(5)
        assert self.wired.leader == "a"
        self.harness = self.wired["c"]
        self.sessions = {}
        for osd in range(osds):
            self.create(osd, host=f"h{osd}")
            self.boot(osd)

    def lose_leader(self):
        self.wired.cut("a")
        self.wired.advance(30)
        assert self.wired.leader == "b"


@pytest.fixture
def world():
    return AtPeon(3)


def test_a_pg_that_came_to_be_is_known_to_the_next_leader(world):
    world.harness.ok("osd pool create", pool="p", pg_num=4, pgp_num=4)
    world.wired.advance(2)
    for seed in range(4):
        pg = PGId(1, seed)
        leads = world.wired["a"].mon.osdmap.creating.pgs[pg].acting_primary
        world.sessions[leads].connection.sent.clear()
        world.send(leads, MOSDPGCreated(pgid=pg))
    world.wired.advance(0.01)
    assert world.wired["a"].mon.osdmap.pending_created_pgs
    assert world.osdmap.pools[1].flags & PoolFlag.CREATING
    world.lose_leader()
    assert not world.osdmap.pools[1].flags & PoolFlag.CREATING
    assert len(world.wired["c"].mon.forwarding) == 0


def test_failures_that_one_leader_has_heard_of_count_for_the_next(world):
    world.fail(1, 0)
    world.lose_leader()
    assert is_up(world.osdmap, 0), "one reporter is not enough"
    world.fail(2, 0)
    assert not is_up(world.osdmap, 0)
    assert len(world.wired["c"].mon.forwarding) == 0


def test_a_failure_that_is_certain_outlives_the_leader(world):
    flags = FailureFlag.FAILED | FailureFlag.IMMEDIATE
    world.fail(1, 0, flags=flags, failed_for=0, settle=0.01)
    assert is_up(world.osdmap, 0), "not committed yet"
    world.lose_leader()
    assert not is_up(world.osdmap, 0)


def test_what_was_withdrawn_is_not_passed_on(world):
    world.fail(1, 0)
    world.fail(1, 0, flags=FailureFlag.ALIVE)
    assert len(world.wired["c"].mon.forwarding) == 0
    world.lose_leader()
    world.fail(2, 0)
    assert is_up(world.osdmap, 0)


def test_reports_that_too_few_share_are_forgotten_and_are_no_slow_requests(world):
    world.fail(1, 0)
    world.wired.advance(60)
    for name in "ac":
        mon = world.wired[name].mon
        assert mon.ops.slow(mon.wall())[0] == 0
    assert world.wired["a"].mon.osdmap.failures
    assert len(world.wired["c"].mon.forwarding) == 1
    world.wired.advance(620)
    assert not world.wired["a"].mon.osdmap.failures
    assert len(world.wired["c"].mon.forwarding) == 0
