"""What a manager says of a cluster to whom something happens, in virtual time."""

from __future__ import annotations

from spirula.sim.histories import histories
from tests.sim.cluster_world import World
from tests.sim.manager_machine import ManagerMachine

PGS = 8
OPTIONS = {
    # Nobody is left who could tell of the last OSD: the monitors miss its beacons.
    "mon_osd_report_timeout": "60",
    "osd_beacon_report_interval": "20",
    # As a rule they do not believe that more than two thirds are down.
    "mon_osd_min_up_ratio": "0",
}


async def states(world):
    """How many PGs are in which state, as `ceph -s` tells it."""
    told = await world.command("status")
    return {one["state_name"]: one["count"] for one in told["pgmap"].get("pgs_by_state", [])}


async def until(world, wanted, limit_s):
    deadline = world.sim.time() + limit_s
    while (found := await states(world)) != wanted:
        assert world.sim.time() < deadline, found
        await world.sim.sleep(1)


@histories(seeds=2)
async def test_pgs_are_stale_when_all_osds_have_died(sim):
    world = World(sim, mons=1, osds=3, options=OPTIONS)
    await world.start()
    await ManagerMachine(world).start()
    await world.make_pool("data", pg_num=PGS)
    await until(world, {"active+clean": PGS}, 120)
    for osd in world.osds:
        osd.lose_power()
    await until(world, {"stale+active+clean": PGS}, 200)
    # Health tells of what has been so for mon_pg_stuck_threshold.
    await sim.sleep(90)
    checks = (await world.command("health"))["checks"]
    message = checks["PG_AVAILABILITY"]["summary"]["message"]
    assert message == f"Reduced data availability: {PGS} pgs stale"
    assert checks["OSD_DOWN"]["summary"]["message"] == "3 osds down"
    shown = await world.admin.command({"prefix": "status"})
    assert f"{PGS} stale+active+clean" in shown.check().decode()
    for osd in world.osds:
        osd.start()
    await until(world, {"active+clean": PGS}, 120)
    assert world.bugs == world.stopped == []
