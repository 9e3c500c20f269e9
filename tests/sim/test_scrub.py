"""Whole clusters that scrub while clients write and OSDs die: nothing wrong is found, or made.

And clusters where copies rot: what is damaged at one OSD is found and mended.
"""

from __future__ import annotations

import asyncio

from spirula.osd.scrub import schedule
from spirula.sim.histories import histories
from spirula.store.objectstore import list_all
from spirula.types.hobject import NOSNAP
from spirula.types.pg import PGState
from spirula.types.transaction import Transaction
from tests.sim.cluster_world import World
from tests.sim.test_cluster import model_clients

OPTIONS = {
    "osd_scrub_chunk_min": "3",
    "osd_scrub_chunk_max": "6",
    "osd_scrub_load_threshold": "1000",
    "osd_max_scrubs": "3",
    "osd_deep_scrub_update_digest_min_age": "1",
    "osd_deep_scrub_keys": "4",
    "osd_deep_scrub_stride": "4096",
    "osd_scrub_interval_randomize_ratio": "0",
    "osd_pool_default_pg_num": "4",
}


def led(world):
    """All PGs at their primaries."""
    running = [machine.daemon.osd for machine in world.osds if machine.daemon is not None]
    return [pg for osd in running for pg in osd.pgs.by_id.values() if pg.is_primary]


def errors(world):
    return sum(pg.info.stats.stats.sum.num_scrub_errors for pg in led(world))


def is_clean(world):
    pgs = led(world)
    idle = all(pg.scrubber.run is None and not pg.scrubber.planned.must_scrub for pg in pgs)
    return pgs and idle and all(pg.state & PGState.CLEAN for pg in pgs)


async def scrub_all(world, *, repair=False):
    """Has all PGs scrubbed deeply, and waits for the end of it."""
    await world.sim.settled(lambda: is_clean(world))
    began = {pg.pgid: pg.info.history.last_deep_scrub_stamp for pg in led(world)}
    for pg in led(world):
        schedule.request(pg, deep=True, repair=repair)
    await world.sim.settled(
        lambda: (
            is_clean(world)
            and all(pg.info.history.last_deep_scrub_stamp != began[pg.pgid] for pg in led(world))
        )
    )


async def busy(world, locator, count):
    """Clients at work; what stops them."""
    clients = model_clients(world, locator, count)
    for client in clients:
        client.monitors = world.admin.monitors
    stop = asyncio.Event()

    async def work(client):
        while not stop.is_set():
            await client.step()
            await world.sim.sleep(0.1)

    working = [asyncio.create_task(work(client)) for client in clients]

    async def end():
        stop.set()
        await asyncio.gather(*working)
        for client in clients:
            await client.check()

    return end


@histories(seeds=2)
async def test_scrubs_beside_writes_and_crashes_find_nothing_wrong(sim):
    world = World(sim, mons=1, osds=4, options=OPTIONS)
    await world.start()
    locator = await world.make_pool("data")
    end = await busy(world, locator, 2)
    async with asyncio.timeout(2000):
        for turn in range(3):
            if turn == 1:  # counters are estimates from here on, until a scrub counts
                more = {"pool": "data", "var": "pg_num_actual", "val": "8"}
                await world.command("osd pool set", **more)
            for pg in led(world):
                if sim.rng.random() < 0.7:
                    deep, repair = sim.rng.random() < 0.6, sim.rng.random() < 0.3
                    schedule.request(pg, deep=deep, repair=repair)
            await sim.sleep(sim.rng.uniform(0.2, 6))
            victim = sim.rng.choice(world.osds)
            if sim.rng.random() < 0.6:
                victim.crash()
                await sim.sleep(sim.rng.uniform(0.1, 3))
                await victim.start()
            assert errors(world) == 0
        await end()
        await scrub_all(world)
    assert errors(world) == 0
    for machine in world.osds:
        slots = machine.daemon.osd.pgs.shared.scrubs
        assert (slots.local, slots.remote) == (0, 0)
    assert not world.stopped
    assert not world.bugs
    await world.admin.close()


@histories(seeds=3)
async def test_what_rots_at_one_osd_is_found_and_mended(sim):
    world = World(sim, mons=1, osds=3, options=OPTIONS)
    await world.start()
    locator = await world.make_pool("data")
    clients = model_clients(world, locator, 2)
    async with asyncio.timeout(2000):
        for client in clients:
            client.monitors = world.admin.monitors
            await client.run(60)
        await scrub_all(world)  # checksums are recorded
        assert errors(world) == 0
        damaged = sum(_rot(sim, world) for _ in range(6))
        assert damaged
        await scrub_all(world, repair=True)
        await scrub_all(world)
        assert errors(world) == 0
        for client in clients:
            await client.run(10)
            await client.check()
    assert not world.stopped
    assert not world.bugs
    await world.admin.close()


def _rot(sim, world):
    """Damages one object at one OSD, unless it was damaged already."""
    machine = sim.rng.choice(world.osds)
    store = machine.store
    pg = sim.rng.choice(list(machine.daemon.osd.pgs.by_id.values()))
    objects = [gh for gh in list_all(store, pg.coll) if gh.hobj.oid and not gh.hobj.is_temp]
    rotten = world.__dict__.setdefault("rotten", set())
    objects = [gh for gh in objects if gh.hobj.head() not in rotten]
    if not objects:
        return 0
    gh = sim.rng.choice(objects)
    rotten.add(gh.hobj.head())
    how = sim.rng.randrange(6)
    made = Transaction()
    if how == 0:
        store.inject_data_error(gh)
    elif how == 1:
        made.setattr(pg.coll, gh, "_rot", b"ROT")
    elif how == 2:
        made.omap_setkeys(pg.coll, gh, {"rot": b"ROT"})
    elif how == 3:
        made.write(pg.coll, gh, store.stat(pg.coll, gh).size, b"ROT")
    elif how == 4 and gh.hobj.snap != NOSNAP:
        made.remove(pg.coll, gh)
    else:
        made.rmattr(pg.coll, gh, "_")
    if made:
        store.queue_transactions(pg.coll, [made])
    for each in machine.daemon.osd.pgs.by_id.values():
        each.objects.forget(gh.hobj)
    return 1
