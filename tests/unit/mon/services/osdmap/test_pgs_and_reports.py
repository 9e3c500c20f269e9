"""PGs that are made, moved for a while and merged; OSDs that are full or alive; snapshots."""

from __future__ import annotations

import pytest

from spirula.maps.placement import Placement
from spirula.maps.state import OSDState
from spirula.messages.mon_client import MMonGetPurgedSnaps, MMonGetPurgedSnapsReply
from spirula.messages.osd_map import MOSDMap
from spirula.messages.osd_mon import (
    MOSDAlive,
    MOSDFull,
    MOSDPGCreate2,
    MOSDPGCreated,
    MOSDPGReadyToMerge,
    MOSDPGTemp,
    MRemoveSnaps,
)
from spirula.mon.services.osdmap.snaps import purged as purged_snaps
from spirula.mon.store import Transaction
from spirula.types.interval_set import IntervalSet
from spirula.types.pg import PGId
from spirula.types.pool import PoolFlag
from tests.unit.mon.services.osdmap.world import World


@pytest.fixture
def world():
    made = World(3)
    made.harness.ok("osd pool create", pool="p", pg_num=4, pgp_num=4)
    return made


def of_kind(world, osd, kind):
    return [m for m in world.sessions[osd].connection.sent if isinstance(m, kind)]


def settle(world, seconds=3.0):
    world.harness.advance(seconds)


def primary(world, pg):
    return Placement(world.osdmap).pg_to_up_acting_osds(pg).acting_primary


# -------------------------------------------------------------------------------- creation of PGs


def test_the_pgs_of_a_new_pool_are_made_by_those_that_lead_them(world):
    service = world.service
    assert world.osdmap.pools[1].flags & PoolFlag.CREATING
    told = {}
    for osd in range(3):
        world.harness.subscribe("osd_pg_creates", 0, session=world.sessions[osd])
        for message in of_kind(world, osd, MOSDPGCreate2):
            for pg, (epoch, _) in message.pgs.items():
                told[pg.pgid] = osd
                assert epoch <= service.epoch
                assert message.pg_extra[pg][0].epoch_created == epoch
    assert told == {PGId(1, seed): primary(world, PGId(1, seed)) for seed in range(4)}
    for pg, osd in told.items():
        world.send(osd, MOSDPGCreated(pgid=pg))
    settle(world)
    assert not service.creating.pgs
    assert not world.osdmap.pools[1].flags & PoolFlag.CREATING


def test_a_pg_that_another_osd_leads_now_is_asked_of_that_one(world):
    pg = PGId(1, 0)
    first = primary(world, pg)
    created = world.service.creating.pgs[pg].history.epoch_created
    world.harness.ok("osd out", ids=[str(first)])
    settle(world)
    second = primary(world, pg)
    assert second != first
    world.harness.subscribe("osd_pg_creates", 0, session=world.sessions[second])
    (message,) = of_kind(world, second, MOSDPGCreate2)
    (entry,) = [extra for spg, extra in message.pg_extra.items() if spg.pgid == pg]
    history, past = entry
    assert history.epoch_created == created
    assert history.same_interval_since > created
    assert past.bounds[0] == created


def test_few_pgs_are_made_at_a_time():
    world = World(2, {"mon_osd_max_creating_pgs": 3})
    world.harness.ok("osd pool create", pool="p", pg_num=8, pgp_num=8)
    service = world.service
    assert len(service.creating.pgs) == 3
    made = set()
    for _ in range(5):
        for pg in list(service.creating.pgs):
            made.add(pg)
            world.send(service.creating.pgs[pg].acting_primary, MOSDPGCreated(pgid=pg))
        settle(world)
    assert made == {PGId(1, seed) for seed in range(8)}
    assert not service.creating.queue


def test_what_was_to_be_made_is_known_after_a_restart(world):
    before = world.service.creating
    assert before.pgs
    assert world.harness.restart().mon.osdmap.creating == before


def test_the_pgs_of_a_pool_that_goes_are_not_made(world):
    world.harness.ok("osd pool rm", pool="p", pool2="p", yes_i_really_really_mean_it=True)
    settle(world)
    assert not world.service.creating.pgs
    assert not world.service.creating.created_pools


# ----------------------------------------------------------------------------- temporary mappings


def temp(world, osd, pg, osds, **changes):
    world.send(osd, MOSDPGTemp(map_epoch=world.service.epoch, pg_temp={pg: osds}, **changes))
    settle(world)


def test_a_primary_lets_others_serve_a_pg_for_a_while(world):
    pg = PGId(1, 1)
    leader = primary(world, pg)
    up = Placement(world.osdmap).pg_to_up_acting_osds(pg).up
    others = [osd for osd in range(3) if osd not in up] + [leader]
    temp(world, leader, pg, others)
    assert world.osdmap.pg_temp[pg] == others
    assert world.osdmap.osd_info[leader].up_thru
    assert of_kind(world, leader, MOSDMap)
    temp(world, leader, pg, [])
    assert world.osdmap.pg_temp[pg] == others, "another OSD leads it now"
    temp(world, others[0], pg, [])
    assert pg not in world.osdmap.pg_temp


def test_useless_mappings_end_by_themselves(world):
    pg = PGId(1, 1)
    leader = primary(world, pg)
    up = Placement(world.osdmap).pg_to_up_acting_osds(pg).up
    temp(world, leader, pg, list(up))
    assert pg not in world.osdmap.pg_temp, "it is served where it should be anyway"
    other = next(osd for osd in range(3) if osd not in up)
    temp(world, leader, pg, [other, leader])
    assert pg in world.osdmap.pg_temp
    world.harness.ok("osd down", ids=[str(other), str(leader)])
    settle(world)
    assert pg not in world.osdmap.pg_temp, "nobody is left of it"


def test_alive_and_full(world):
    epoch = world.service.epoch
    world.send(0, MOSDAlive(want=epoch, version=epoch))
    settle(world)
    assert world.osdmap.osd_info[0].up_thru == epoch
    for state in (OSDState.NEARFULL, OSDState.BACKFILLFULL, OSDState.FULL):
        world.send(0, MOSDFull(map_epoch=world.service.epoch, state=int(state)))
        settle(world)
        assert world.osdmap.osd_state[0] & state
        flag = PoolFlag[state.name]
        assert world.osdmap.pools[1].flags & flag
        assert f"OSD_{state.name}" in world.harness.ok("health", format="json")["checks"]
        assert f"POOL_{state.name}" in world.harness.ok("health", format="json")["checks"]
    world.send(0, MOSDFull(map_epoch=world.service.epoch, state=0))
    settle(world)
    assert not world.osdmap.pools[1].flags & (PoolFlag.FULL | PoolFlag.BACKFILLFULL)


def test_reports_of_former_runs_and_of_others_count_nothing(world):
    epoch = world.service.epoch
    stranger = world.harness.session("osd.0", "allow profile osd", addr="v1:10.9.9.9:1/1")
    for message in (
        MOSDAlive(want=epoch, version=epoch),
        MOSDFull(map_epoch=epoch, state=int(OSDState.FULL)),
        MOSDPGTemp(map_epoch=epoch, pg_temp={PGId(1, 0): [2, 1]}),
        MOSDPGCreated(pgid=PGId(1, 0)),
    ):
        world.harness.send(message, stranger)
        powerless = world.harness.session("osd.0", "allow r")
        powerless.addrs = world.sessions[0].addrs
        world.harness.send(message, powerless)
    settle(world)
    assert world.osdmap.osd_state[0] & OSDState.FULL == 0
    assert not world.osdmap.pg_temp
    assert not world.osdmap.osd_info[0].up_thru
    assert PGId(1, 0) in world.service.creating.pgs


# ------------------------------------------------------------------------------------------ merging


def ready(world, seed, **changes):
    pg = PGId(1, seed)
    fields = {"pgid": pg, "last_epoch_started": 1, "last_epoch_clean": 1, "ready": True}
    world.send(0, MOSDPGReadyToMerge(**{**fields, **changes}))
    settle(world)


def test_a_pool_shrinks_by_the_pg_that_is_ready(world):
    service = world.service
    ready(world, 3)
    assert world.osdmap.pools[1].pg_num == 4, "nobody wants it to shrink"
    service.pending_pool(1).pg_num_pending = 3
    service.pending_pool(1).pgp_num = 3
    service.propose()
    settle(world)
    ready(world, 2)
    assert world.osdmap.pools[1].pg_num == 4, "not the last PG"
    ready(world, 3)
    pool = world.osdmap.pools[1]
    assert pool.pg_num == 3
    assert pool.last_pg_merge_meta.source_pgid == PGId(1, 3)
    service.pending_pool(1).pg_num_pending = 2
    service.propose()
    settle(world)
    ready(world, 2, ready=False)
    assert world.osdmap.pools[1].pg_num_pending == 3, "given up for now"


# ------------------------------------------------------------------------------------------- snaps


def test_removed_snapshots_wait_until_they_are_purged(world):
    mds = world.harness.session("mds.a", "allow profile mds, allow rw")
    asked = MRemoveSnaps(snaps={1: [3, 4, 7], 99: [1]})
    world.harness.send(asked, mds)
    settle(world)
    answers = [m for m in mds.connection.sent if isinstance(m, MRemoveSnaps)]
    assert [answer.snaps for answer in answers] == [asked.snaps]
    assert world.osdmap.removed_snaps_queue[1] == IntervalSet([(3, 2), (7, 1)])
    assert world.osdmap.pools[1].snap_seq == 7
    epoch = world.service.epoch
    world.harness.send(asked, mds)
    settle(world)
    assert world.service.epoch == epoch, "they are removed already"
    world.service.pending.new_purged_snaps[1] = IntervalSet([(3, 2)])
    world.service.propose()
    settle(world)
    assert world.osdmap.removed_snaps_queue[1] == IntervalSet([(7, 1)])
    purged_at = world.service.epoch
    (reply,) = [
        message
        for message in world.harness.send(MMonGetPurgedSnaps(start=1, last=purged_at))
        if isinstance(message, MMonGetPurgedSnapsReply)
    ]
    assert reply.purged_snaps == {purged_at: {1: IntervalSet([(3, 2)])}}
    assert reply.last == purged_at


def test_purged_snapshots_are_kept_as_ranges_that_join(world):
    store = world.harness.store

    def purge(*ranges):
        transaction = Transaction()
        purged_snaps.encode_purged(transaction, store, 5, {1: IntervalSet(ranges)}, {})
        store.stage(transaction.value)

    purge((3, 2), (10, 1))
    assert purged_snaps.lookup(store, 1, 4) == (3, 5)
    assert purged_snaps.lookup(store, 1, 5) is None
    assert purged_snaps.lookup(store, 2, 4) is None
    purge((1, 2), (5, 5))
    assert purged_snaps.all_purged(store) == {1: IntervalSet([(1, 10)])}
    assert purged_snaps.lookup(store, 1, 1) == (1, 11)
    queue = {1: IntervalSet([(12, 3)])}
    reported = {1: IntervalSet([(12, 10)]), 2: IntervalSet([(1, 1)])}
    assert purged_snaps.purgeable(store, reported, queue, 100) == queue
    assert purged_snaps.purgeable(store, {1: IntervalSet([(5, 20)])}, queue, 100) == {}
