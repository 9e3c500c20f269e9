"""OSDs as daemons in simulation: booting, heartbeats, maps, commands, ends."""

from __future__ import annotations

import asyncio
import json

import pytest

from spirula.auth.crypto import key_from_text
from spirula.client.session import open_session
from spirula.errors import Indeterminate, InvariantBroken, NotConnected
from spirula.messages.osd_op import MOSDOp
from spirula.osd.state import Phase
from spirula.sim.histories import histories
from spirula.store.osd_meta import META, SNAPMAPPER
from spirula.types.entity import EntityType
from spirula.types.hobject import HObject
from spirula.types.interval_set import IntervalSet
from spirula.types.osd_op import Extent, OpCode, OSDOp, RequestFlag
from spirula.types.pg import PGId, SPGId
from spirula.types.snap import SnapContext
from tests.sim.cluster_world import Machine, World


def osd_of(world, number):
    return world.osds[number].daemon.osd


async def until(world, condition, limit_s=120.0):
    """Wait in virtual time."""
    deadline = world.sim.time() + limit_s
    while not condition():
        assert world.sim.time() < deadline, world.log[-20:]
        await world.sim.sleep(0.1)


async def log_lines(world):
    found = await world.command("log last", num=200, channel="cluster", level="debug")
    return [entry["message"] for entry in found]


async def tell(world, number, prefix, **arguments):
    return await world.admin.tell(f"osd.{number}", {"prefix": prefix, **arguments}, timeout_s=30)


@histories(seeds=2)
async def test_an_osd_whose_process_is_gone_is_marked_down_at_once(sim):
    world = World(sim, mons=1, osds=4)
    await world.start()
    await sim.sleep(15)
    began = sim.time()
    world.osds[2].crash()
    await world.up(3)
    assert sim.time() - began < 5
    assert any("osd.2 reported immediately failed by" in line for line in await log_lines(world))
    world.osds[2].start()
    await world.up(4)


@histories(seeds=2)
async def test_an_osd_that_falls_silent_is_reported_by_its_peers_and_marked_down(sim):
    world = World(sim, mons=1, osds=4)
    await world.start()
    await sim.sleep(15)  # everybody has pinged everybody
    began = sim.time()
    world.osds[2].host.power_off()
    await world.up(3)
    grace = 20
    assert grace < sim.time() - began < 3 * grace
    lines = await log_lines(world)
    assert any(line.startswith("osd.2 failed") and "reporters" in line for line in lines), lines
    # It is pinged no more, and nobody reports it further.
    await until(world, lambda: all(2 not in osd_of(world, n).heartbeats.peers for n in (0, 1, 3)))
    assert not any(osd_of(world, n).heartbeats.failure_queue for n in (0, 1, 3))
    world.osds[2].host.power_on()
    world.osds[2].crash()
    world.osds[2].start()
    await world.up(4)


@histories(seeds=2)
async def test_a_report_is_taken_back_when_the_osd_answers_again(sim):
    world = World(sim, mons=1, osds=4, options={"mon_osd_min_down_reporters": "10"})
    await world.start()
    await sim.sleep(15)
    silent = world.osds[1].host
    others = [world.osds[n].host for n in (0, 2, 3)]
    for other in others:
        sim.network.partition(silent, other)
    await until(
        world, lambda: all(1 in osd_of(world, n).heartbeats.failure_pending for n in (0, 2, 3))
    )
    sim.network.heal()
    await until(
        world, lambda: not any(osd_of(world, n).heartbeats.failure_pending for n in (0, 2, 3))
    )
    await sim.sleep(5)
    lines = await log_lines(world)
    assert any("osd.1 reported failed by osd" in line for line in lines)
    assert any("osd.1 failure report canceled by osd" in line for line in lines)
    assert (await world.command("osd stat"))["num_up_osds"] == 4


@histories(seeds=1)
async def test_an_osd_that_was_marked_down_by_mistake_comes_back_elsewhere(sim):
    world = World(sim, mons=1, osds=3)
    await world.start()
    osd = osd_of(world, 1)
    before = str(osd.messengers.cluster.addrs)
    up_from = osd.up_epoch
    await world.command("osd down", ids=["1"])
    await until(world, lambda: osd.up_epoch > up_from and osd.phase is Phase.ACTIVE)
    assert str(osd.messengers.cluster.addrs) != before
    assert osd.boot_epoch < osd.up_epoch
    lines = await log_lines(world)
    assert "Monitor daemon marked osd.1 down, but it is still running" in lines
    # The monitors count how often; an OSD that this happens to all the time gives up.
    for _ in range(6):
        if world.stopped:
            break
        epoch = osd.up_epoch
        await world.command("osd down", ids=["1"])
        await until(world, lambda seen=epoch: world.stopped or osd.up_epoch > seen)
    assert "osd_max_markdown_count 5" in world.stopped[0]


@histories(seeds=1)
async def test_noup_keeps_an_osd_waiting_until_it_is_cleared(sim):
    world = World(sim, mons=1, osds=2)
    await world.start()
    world.osds[0].crash()
    await world.command("osd down", ids=["0"])
    await world.command("osd set", key="noup")
    world.osds[0].start()
    await sim.sleep(20)
    assert (await world.command("osd stat"))["num_up_osds"] == 1
    assert not osd_of(world, 0).is_active
    await world.command("osd unset", key="noup")
    await world.up(2)


@histories(seeds=1)
async def test_an_osd_that_was_away_catches_up_over_many_maps(sim):
    world = World(sim, mons=1, osds=2, options={"osd_map_message_max": "10"})
    await world.start()
    world.osds[1].crash()
    await world.command("osd down", ids=["1"])
    for _ in range(30):
        await world.command("osd set", key="noscrub")
        await world.command("osd unset", key="noscrub")
    newest = (await world.command("osd dump"))["epoch"]
    world.osds[1].start()
    await world.up(2)
    await until(world, lambda: osd_of(world, 1).is_active)
    maps = osd_of(world, 1).maps
    assert maps.epoch >= newest
    for epoch in range(newest - 50, newest + 1):
        assert maps.get(epoch).epoch == epoch
        assert maps.full(epoch) == osd_of(world, 0).maps.full(epoch)
    # What it has is on its disk: after another crash it need not ask for it again.
    world.osds[1].crash()
    world.osds[1].start()
    await until(world, lambda: world.osds[1].daemon is not None)
    assert osd_of(world, 1).maps.newest >= newest


@histories(seeds=1)
async def test_an_osd_that_ends_tells_the_monitors_first(sim):
    world = World(sim, mons=1, osds=3)
    await world.start()
    machine = world.osds[2]
    began = sim.time()
    await machine.host.start(machine.daemon.stop())
    assert sim.time() - began < 3.0
    assert (await world.command("osd stat"))["num_up_osds"] == 2
    dump = await world.command("osd dump")
    info = next(entry for entry in dump["osd_xinfo"] if entry["osd"] == 2)
    assert info["dead_epoch"] > 0
    assert any("osd.2 marked itself down and dead" in line for line in await log_lines(world))


@histories(seeds=1)
async def test_osds_that_were_removed_or_destroyed_end(sim):
    world = World(sim, mons=1, osds=3)
    await world.start()
    machine = world.osds[2]
    machine.crash()
    await world.command("osd down", ids=["2"])
    await world.command("osd destroy-actual", id="2", yes_i_really_mean_it=True)
    # The monitors have forgotten the key: it cannot even log in.
    task = machine.start()
    await sim.sleep(40)
    assert task.done()
    assert isinstance(task.exception(), Exception)
    await world.command("osd stop", ids=["1"])
    await until(world, lambda: world.stopped)
    assert "was stopped by an administrator" in world.stopped[0]


@histories(seeds=1)
async def test_commands_come_by_message_from_those_who_may(sim):
    world = World(sim, mons=1, osds=2)
    await world.start()
    status = json.loads((await tell(world, 0, "status")).check())
    assert status["state"] == "active"
    assert status["whoami"] == 0
    bench = await tell(world, 0, "bench", count=1 << 20, size=1 << 16)
    assert json.loads(bench.check())["bytes_written"] == 1 << 20
    assert "capped" in (await tell(world, 0, "bench", size=1 << 30)).status
    slow = await tell(world, 0, "bench", count=1 << 40, size=4096)
    assert (slow.result, "small_size_max_iops" in slow.status) == (-22, True)
    assert (await tell(world, 0, "no such thing")).result == -22
    network = json.loads((await tell(world, 0, "dump_osd_network", value=0)).check())
    assert network["threshold"] == 0
    await sim.sleep(150)
    network = json.loads((await tell(world, 0, "dump_osd_network", value=0)).check())
    assert {row["interface"] for row in network["entries"]} == {"front", "back"}
    await tell(world, 0, "cluster_log", level="info", message=["told", "you"])
    await sim.sleep(1)
    assert "told you" in await log_lines(world)
    await world.command(
        "auth get-or-create", entity="client.weak", caps=["mon", "allow r", "osd", "allow rw"]
    )
    found = await world.command("auth get", entity="client.weak")
    key = found[0]["key"]
    weak = await client_as(world, "weak", key)
    refused = await weak.tell("osd.0", {"prefix": "status"}, timeout_s=30)
    assert refused.result == -13
    await weak.close()


async def client_as(world, name, key):
    machine = Machine(world, f"client.{name}", "10.0.3.1")
    opening = open_session(
        machine.config("client", name),
        key_from_text(key),
        clock=machine.host.wall_clock,
        random_bytes=machine.host.random_bytes,
        timeout_s=60,
    )
    return await machine.host.start(opening)


@histories(seeds=1)
async def test_tell_to_an_osd_that_goes_away_is_answered(sim):
    world = World(sim, mons=1, osds=2)
    await world.start()
    asked = asyncio.ensure_future(tell(world, 1, "bench", count=1 << 24, size=1 << 12))
    await sim.sleep(0.01)
    world.osds[1].crash()
    try:
        await asked
    except NotConnected as error:
        assert "went away" in str(error) or "down" in str(error)


@histories(seeds=1)
async def test_clients_are_known_after_the_secrets_have_changed_many_times(sim):
    world = World(sim, mons=1, osds=2, options={"auth_service_ticket_ttl": "120"})
    await world.start()
    locator = await world.make_pool("data", size=2)
    for round_ in range(6):
        await sim.sleep(200)
        # A client that has just come, with a ticket under the newest secret ...
        client = await world.client()
        await client.objecter.newest_map()
        answer = await client.tell("osd.0", {"prefix": "status"}, timeout_s=20)
        assert json.loads(answer.check())["state"] == "active"
        await client.close()
        # ... and one that has been there all the time.
        ops = [OSDOp.make(OpCode.WRITEFULL, Extent(0, 4), b"data")]
        found = await world.admin.objecter.operate(f"o{round_}", locator, ops, timeout_s=20)
        assert found.result == 0
    assert (await world.command("osd stat"))["num_up_osds"] == 2
    # OSDs have to log in to one another again, too.
    world.osds[1].crash()
    world.osds[1].start()
    await until(world, lambda: world.osds[1].daemon and osd_of(world, 1).is_active)
    await sim.sleep(10)
    assert not osd_of(world, 0).heartbeats.failure_pending


@histories(seeds=2)
async def test_osds_outlive_their_monitors(sim):
    world = World(sim, mons=3, osds=3)
    await world.start()
    for name in "abc":
        world.mons[name].crash()
    await sim.sleep(60)
    for name in "abc":
        await world.mons[name].start()
    await sim.sleep(60)
    assert (await world.command("osd stat"))["num_up_osds"] == 3
    assert not any("marked osd" in line for line in await log_lines(world))
    # And they hear of what comes then.
    await world.command("osd set", key="noscrub")
    epoch = (await world.command("osd dump"))["epoch"]
    await until(world, lambda: all(osd_of(world, n).maps.epoch >= epoch for n in range(3)))


@histories(seeds=1)
async def test_a_cluster_without_authentication_works_as_well(sim):
    none = dict.fromkeys(
        (f"auth_{who}_required" for who in ("cluster", "service", "client")), "none"
    )
    world = World(sim, mons=1, osds=2, options=none)
    await world.start()
    await sim.sleep(10)
    assert not any(osd_of(world, n).heartbeats.failure_queue for n in (0, 1))
    assert json.loads((await tell(world, 1, "status")).check())["whoami"] == 1


@histories(seeds=1)
async def test_a_full_osd_says_so_and_at_last_drops_writes(sim):
    world = World(sim, mons=1, osds=2)
    await world.start()
    locator = await world.make_pool("data", size=2)
    write = [OSDOp.make(OpCode.WRITEFULL, Extent(0, 4), b"data")]
    read = [OSDOp.make(OpCode.READ, Extent(0, 4))]
    objecter = world.admin.objecter
    assert (await objecter.operate("name", locator, write, timeout_s=60)).result == 0
    for kind, check in (("nearfull", "OSD_NEARFULL"), ("full", "OSD_FULL")):
        (await tell(world, 0, "injectfull", type=kind)).check()
        await until(world, lambda: osd_of(world, 0).reports.full.name.lower() == kind)  # noqa: B023
        await sim.sleep(10)
        assert check in (await world.command("health"))["checks"]
    assert (await tell(world, 0, "injectfull", type="stuffed")).result == -22
    for number in (0, 1):
        (await tell(world, number, "injectfull", type="failsafe")).check()
    # Whoever insists is heard as long as there is any room, and not beyond.
    force = RequestFlag.FULL_FORCE
    with pytest.raises(Indeterminate):
        await objecter.operate("name", locator, write, flags=force, timeout_s=30)
    found = await objecter.operate("name", locator, read, timeout_s=30)
    assert bytes(found.ops[0].outdata) == b"data"
    for number in (0, 1):
        (await tell(world, number, "injectfull", type="none")).check()
    await sim.sleep(10)
    assert "OSD_FULL" not in (await world.command("health"))["checks"]
    assert (await objecter.operate("name", locator, write, timeout_s=60)).result == 0
    assert any("full status failsafe engaged" in line for line in await log_lines(world))


@histories(seeds=1)
async def test_a_bug_that_a_request_meets_is_answered_and_ends_nothing(sim):
    world = World(sim, mons=1, osds=2, log_level=-1)
    await world.start()
    locator = await world.make_pool("data", size=2)
    write = [OSDOp.make(OpCode.WRITEFULL, Extent(0, 4), b"data")]
    objecter = world.admin.objecter
    assert (await objecter.operate("name", locator, write, timeout_s=60)).result == 0
    kept = {}

    def fails(message):
        raise ZeroDivisionError(type(message).__name__)

    for number in (0, 1):
        for pg in osd_of(world, number).pgs.by_id.values():
            kept[pg], pg.dispatch = pg.dispatch, fails
    assert (await objecter.operate("name", locator, write, timeout_s=60)).result == -5
    assert any("ZeroDivisionError: MOSDOp" in line for line in world.log)
    for pg, dispatch in kept.items():
        pg.dispatch = dispatch
    assert (await objecter.operate("name", locator, write, timeout_s=60)).result == 0
    assert not any(osd_of(world, number).tracker.in_flight for number in (0, 1))
    assert not world.stopped
    # What breaks a promise of the OSD to itself ends it.

    def breaks(message):
        raise InvariantBroken("nothing is as it was")

    for number in (0, 1):
        for pg in osd_of(world, number).pgs.by_id.values():
            pg.dispatch = breaks
    assert (await objecter.operate("name", locator, write, timeout_s=60)).result == -5
    assert "nothing is as it was" in world.stopped[0]


@histories(seeds=2)
async def test_a_deleted_pool_leaves_nothing_behind(sim):
    world = World(sim, mons=1, osds=3)
    await world.start()
    first, second = await world.make_pool("first"), await world.make_pool("second")
    objecter = world.admin.objecter
    write = [OSDOp.make(OpCode.WRITEFULL, Extent(0, 4), b"data")]
    for number in range(150):
        found = await objecter.operate(f"o{number}", first, write, timeout_s=60)
        assert found.result == 0
    snapc = SnapContext(4, [4])
    for number in range(10):
        await objecter.operate(f"o{number}", first, write, snapc=snapc, timeout_s=60)
    await objecter.operate("kept", second, write, timeout_s=60)
    assert all(osd_of(world, n).store.omap_get_keys(META, SNAPMAPPER) for n in range(3))
    world.osds[2].crash()  # this one hears of it when it starts again
    await world.up(2)
    assert await objecter.operate("kept", second, write, timeout_s=60)
    await world.command(
        "osd pool delete", pool="first", pool2="first", yes_i_really_really_mean_it=True
    )
    await sim.sleep(20)
    world.osds[2].start()
    await world.up(3)
    await sim.sleep(20)
    for machine in world.osds:
        osd = machine.daemon.osd
        assert osd.pgs.pools() == [second.pool]
        colls = [coll for coll in osd.store.list_collections() if not coll.is_meta]
        assert {coll.pgid.pgid.pool for coll in colls} == {second.pool}
        assert osd.store.pool_statfs(first.pool).allocated == 0
        assert not osd.store.omap_get_keys(META, SNAPMAPPER)
    read = [OSDOp.make(OpCode.READ, Extent(0, 4))]
    found = await objecter.operate("kept", second, read, timeout_s=60)
    assert bytes(found.ops[0].outdata) == b"data"
    assert not world.stopped


@histories(seeds=1)
async def test_stores_can_be_made_to_fail_and_objects_be_changed_behind_their_pgs(sim):
    world = World(sim, mons=1, osds=2)
    await world.start()
    locator = await world.make_pool("data", size=2)
    objecter = world.admin.objecter
    write = [OSDOp.make(OpCode.WRITEFULL, Extent(0, 4), b"data")]
    read = [OSDOp.make(OpCode.READ, Extent(0, 4))]
    assert (await objecter.operate("name", locator, write, timeout_s=60)).result == 0
    mapped = await world.command("osd map", pool="data", object="name")
    leader = mapped["acting_primary"]
    about = {"pool": "data", "objname": "name"}
    assert (await tell(world, leader, "flush_journal")).check() == b""
    for key in ("a", "b"):
        assert (await tell(world, leader, "setomapval", **about, key=key, val="1")).check() == b"ok"
    (await tell(world, leader, "rmomapkey", **about, key="a")).check()
    (await tell(world, leader, "setomapheader", **about, header="top")).check()
    shown = (await tell(world, leader, "getomap", **about)).check().decode()
    assert shown.splitlines() == ["header=top", " key=b val=1"]
    assert (await tell(world, leader, "truncobj", **about, len=2)).check() == b"ok"
    other = await tell(world, leader, "getomap", pool="none", objname="name")
    assert (other.result, other.status) == (-2, "Invalid pool 'none'")
    gone = await tell(world, leader, "truncobj", pool="data", objname="nothing", len=2)
    assert gone.result in (-2, -22)
    assert (await tell(world, leader, "injectdataerr", **about)).check() == b"ok"
    found = await objecter.operate("name", locator, read, timeout_s=60)
    assert (found.result, bytes(found.ops[0].outdata)) == (0, b"data")  # the other OSD's copy
    requests = json.loads((await tell(world, leader, "objecter_requests")).check())
    assert requests["ops"] == []


@histories(seeds=1)
async def test_requests_that_must_wait_take_their_share_of_memory_and_go_with_their_client(sim):
    world = World(sim, mons=1, osds=2, options={"osd_client_message_cap": "50"})
    await world.start()
    locator = await world.make_pool("data", size=2)
    osd = osd_of(world, 0)
    client = await world.client()
    connection = client.messenger.get_connection(EntityType.OSD, osd.messengers.client.addrs)
    for tid in range(200):
        request = MOSDOp(SPGId(PGId(locator.pool, 0)), HObject.of(locator.pool, "x", 0))
        request.epoch, request.tid = 1_000_000, tid
        connection.send_message(request)
    await sim.sleep(5)
    assert len(osd.waiting_for_map) == 50
    ops = osd.tracker.dump_in_flight()["ops"]
    assert {one["type_data"]["flag_point"] for one in ops} == {"waiting for map"}
    del ops
    # There is no such map, and there will be none for long.
    await sim.sleep(15)
    assert not osd.waiting_for_map
    assert not osd.tracker.in_flight
    write = [OSDOp.make(OpCode.WRITEFULL, Extent(0, 4), b"data")]
    found = await world.admin.objecter.operate("name", locator, write, timeout_s=60)
    assert found.result == 0


@histories(seeds=2)
async def test_clones_that_are_made_of_a_purged_snapshot_are_found_and_trimmed(sim):
    world = World(sim, mons=1, osds=3)
    await world.start()
    locator = await world.make_pool("data")
    admin = world.admin
    write = [OSDOp.make(OpCode.WRITEFULL, Extent(0, 4), b"data")]
    snap = 4
    for number in range(3):
        maps = osd_of(world, number).maps
        purged = {maps.epoch: {locator.pool: IntervalSet([(snap, 1)])}}
        maps.take_purged(maps.superblock.purged_snaps_last, purged)
    await sim.sleep(3)
    for number in range(20):  # of a client that has not heard of it
        for snapc in (None, SnapContext(snap, [snap])):
            await admin.objecter.operate(f"o{number}", locator, write, snapc=snapc, timeout_s=60)
    assert all(osd_of(world, n).store.omap_get_keys(META, SNAPMAPPER) for n in range(3))
    before = float(osd_of(world, 0).superblock.last_purged_snaps_scrub)
    assert before
    for number in range(3):
        (await tell(world, number, "scrub_purged_snaps")).check()
        assert float(osd_of(world, number).superblock.last_purged_snaps_scrub) > before
    await sim.sleep(20)
    for number in range(3):
        assert not osd_of(world, number).store.omap_get_keys(META, SNAPMAPPER)
    told = await log_lines(world)
    assert sum("purged_snaps scrub found" in line for line in told) == 3
    assert "purged_snaps scrub ok" in told
    dump = await world.command("osd dump")
    assert len({each["last_purged_snaps_scrub"] for each in dump["osd_xinfo"]}) == 3
    assert float(osd_of(world, 0).superblock.last_purged_snaps_scrub) > before
