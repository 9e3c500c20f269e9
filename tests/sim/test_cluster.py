"""Whole clusters in simulation."""

from __future__ import annotations

import asyncio

from spirula.sim.histories import histories
from tests.rados_model import run_clients
from tests.sim.cluster_world import World, model_clients


@histories(seeds=3)
async def test_commands_on_simulated_monitors(sim):
    world = World(sim)
    await world.start()
    client = await world.client()
    for n in range(5):
        answer = await client.command({"prefix": "osd pool create", "pool": f"pool{n}"})
        answer.check()
        if n == 2:
            world.mons["a"].crash()
    await client.objecter.newest_map()
    assert sorted(client.objecter.maps.osdmap.pool_name.values()) == [f"pool{n}" for n in range(5)]
    await client.close()


@histories(seeds=2)
async def test_osds_boot_and_keep_what_clients_write(sim):
    world = World(sim, mons=1, osds=3)
    await world.start()
    locator = await world.make_pool("data")
    clients = model_clients(world, locator, 3)
    async with asyncio.timeout(300):
        await run_clients(clients, 30)
    assert not world.stopped
    await world.admin.close()


@histories(seeds=2)
async def test_all_osds_are_killed_under_load_and_started_again(sim):
    world = World(sim, mons=1, osds=3)
    await world.start()
    locator = await world.make_pool("data")
    clients = model_clients(world, locator, 3)
    stop = asyncio.Event()

    async def work(client):
        while not stop.is_set():
            await client.step()
            await sim.sleep(0.05)

    working = [asyncio.create_task(work(client)) for client in clients]

    async def progress(steps):
        before = sum(client.done for client in clients)
        async with asyncio.timeout(300):
            await sim.settled(lambda: sum(client.done for client in clients) >= before + steps)

    for _ in range(3):
        await progress(sim.rng.randrange(5, 100))
        for osd in world.osds:
            osd.crash()
        await sim.sleep(sim.rng.uniform(0.1, 2))
        for osd in world.osds:
            await osd.start()
    await progress(50)
    stop.set()
    async with asyncio.timeout(600):
        await asyncio.gather(*working)
        for client in clients:
            await client.check()
    assert not world.stopped
    await world.admin.close()


@histories(seeds=2)
async def test_pools_are_deleted_while_their_snapshots_are_trimmed(sim):
    """Nothing of a PG goes on when it is removed (an OSD ended: a trim wrote to what was gone)."""
    slow = {"osd_snap_trim_sleep": "0.7", "mon_allow_pool_delete": "true"}
    world = World(sim, mons=1, osds=3, options=slow)
    await world.start()
    for number in range(3):
        name = f"pool{number}"
        locator = await world.make_pool(name)
        clients = model_clients(world, locator, 2)
        for client in clients:
            client.monitors = world.admin.monitors
            await client.run(40)
            await client._make_snapshot()
            await client.run(10)
        for client in clients:
            while client.snaps:
                await client._remove_snapshot()
        await sim.sleep(sim.rng.choice((0.0, 0.01, 0.3, 1.1)))
        sure = {"pool2": name, "yes_i_really_really_mean_it": True}
        await world.command("osd pool delete", pool=name, **sure)
        async with asyncio.timeout(20):  # those who share no map are told by a ping
            await sim.settled(lambda: all(not osd.daemon.osd.pgs.by_id for osd in world.osds))
        await sim.sleep(3)
        assert not world.stopped
    await world.admin.close()


@histories(seeds=2)
async def test_osds_that_were_marked_down_together_come_back(sim):
    """Nobody is left to tell them by pings: the monitors do."""
    world = World(sim, mons=sim.rng.choice((1, 3)), osds=3)
    await world.start()
    await world.command("osd set", key="noup")
    await world.command("osd down", ids=["0", "1", "2"])
    await world.up(0)
    await sim.sleep(sim.rng.choice((0, 1, 10)))
    await world.command("osd unset", key="noup")
    async with asyncio.timeout(20):
        await world.up(3)
    await world.admin.close()
