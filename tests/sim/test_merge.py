"""Pools get fewer PGs, and more again, under load, while OSDs crash."""

from __future__ import annotations

import asyncio

from spirula.sim.histories import histories
from spirula.types.pg import PGState, pg_state_text
from tests.sim.cluster_world import World, model_clients


class _Load:
    """Clients at work, until `end` has them stop and look whether all is as it should be."""

    def __init__(self, world, locator):
        self.clients = model_clients(world, locator, 3)
        self._stop = asyncio.Event()
        self._working = [asyncio.create_task(self._work(world, client)) for client in self.clients]

    async def _work(self, world, client):
        while not self._stop.is_set():
            await client.step()
            await world.sim.sleep(0.1)

    @property
    def done(self):
        return sum(client.done for client in self.clients)

    async def end(self, world):
        self._stop.set()
        try:
            async with asyncio.timeout(300):
                await asyncio.gather(*self._working)
                for client in self.clients:
                    await client.check()
        except TimeoutError:
            raise AssertionError(f"clients do not end: {_unclean(world)}") from None


async def _pool(world):
    answer = await world.command("osd dump")
    return answer["pools"][0]


async def _set(world, var, value):
    """A step that a manager takes; it may be refused while PGs are being made."""
    for _ in range(100):
        answer = await world.admin.command(
            {"prefix": "osd pool set", "pool": "data", "var": var, "val": str(value)}
        )
        if answer.result == 0:
            return
        await world.sim.sleep(0.5)
    answer.check()


async def _shrink(world, to, *, give_up_s=300):
    """What a manager does, one PG after the other; it tries again what the monitors gave up."""
    await _set(world, "pgp_num_actual", to)
    async with asyncio.timeout(give_up_s):
        while (count := (await _pool(world))["pg_num"]) > to:
            await _set(world, "pg_num_actual", count - 1)
            for _ in range(40):
                pool = await _pool(world)
                if pool["pg_num"] < count or pool["pg_num_pending"] == pool["pg_num"]:
                    break
                await world.sim.sleep(0.5)


def _groups(world):
    """Of each OSD that runs, its PGs and what is in them by the store."""
    return {osd.number: osd.daemon.osd.pgs for osd in world.osds if osd.is_running}


async def _all_clean(world):
    def clean():
        return all(
            pg.state & PGState.CLEAN
            for groups in _groups(world).values()
            for pg in groups.by_id.values()
            if pg.is_primary
        )

    try:
        async with asyncio.timeout(60):
            await world.sim.settled(clean)
    except TimeoutError:
        raise AssertionError(f"not clean: {_unclean(world)}") from None


def _unclean(world):
    return [
        (osd, str(pg.pgid), pg_state_text(pg.state), str(pg.peering.state), pg.acting)
        for osd, groups in _groups(world).items()
        for pg in groups.by_id.values()
        if pg.is_primary and not pg.state & PGState.CLEAN
    ]


def _same_everywhere(world):
    """Every OSD has the same objects in each PG, and in none what is not of it."""
    seen = {}
    for groups in _groups(world).values():
        for pgid, pg in groups.by_id.items():
            assert pg.pgid.pgid.seed < pg.pool.pg_num
            listed, _ = pg.store.collection_list(pg.coll, limit=1 << 20)
            objects = [each for each in listed if each.hobj.pool >= 0 and each != pg.pgmeta]
            assert all(each.hobj.matches(pg.bits, pgid.pgid.seed) for each in objects)
            names = {str(each) for each in objects}
            if pg.role < 0:
                continue  # it is about to be removed
            found = seen.setdefault(pgid, (names, pg.info.last_update))
            assert found == (names, pg.info.last_update), pgid
    return seen


@histories(seeds=1)
async def test_a_pool_shrinks_and_grows_under_load(sim):
    world = World(sim, mons=1, osds=3)
    await world.start()
    load = _Load(world, await world.make_pool("data"))
    await sim.sleep(2)
    await _shrink(world, 5)
    assert (await _pool(world))["last_pg_merge_meta"]["source_pgid"] == "1.5"
    before = load.done
    await _set(world, "pg_num_actual", 16)
    await _set(world, "pgp_num_actual", 16)
    await sim.sleep(2)
    await _shrink(world, 9)
    await sim.settled(lambda: load.done > before + 50)
    await load.end(world)
    await _all_clean(world)
    assert len(_same_everywhere(world)) == 9
    assert not world.stopped
    assert not world.bugs
    await world.admin.close()


@histories(seeds=1)
async def test_pgs_move_before_they_are_merged(sim):
    """With more OSDs than copies, those of the two that are to be merged lie elsewhere at first."""
    world = World(sim, mons=1, osds=5, options={"osd_pool_default_size": "2"})
    await world.start()
    load = _Load(world, await world.make_pool("data"))
    await sim.sleep(2)
    await _shrink(world, 5)
    await _set(world, "pg_num_actual", 8)
    await _set(world, "pgp_num_actual", 8)
    await sim.sleep(sim.rng.uniform(0, 5))
    await _shrink(world, 6)
    await load.end(world)
    await _all_clean(world)
    assert len(_same_everywhere(world)) == 6
    assert not world.stopped
    assert not world.bugs
    await world.admin.close()


@histories(seeds=2)
async def test_osds_crash_while_pgs_are_merged(sim):
    """Killed anywhere in a merge, with some of what they were writing on disk."""
    world = World(sim, mons=1, osds=3)
    await world.start()
    load = _Load(world, await world.make_pool("data"))
    await sim.sleep(1)
    shrinking = asyncio.create_task(_shrink(world, 3, give_up_s=900))
    rng = sim.rng
    while not shrinking.done():
        await sim.sleep(rng.uniform(0.1, 6))
        victims = rng.sample(world.osds, rng.choice((1, 1, 3)))
        for osd in victims:
            osd.crash(reached=rng.randrange(3))
        await sim.sleep(rng.choice((0.1, 2, 25)))
        for osd in victims:
            await osd.start()
        await world.up(3)
        await sim.sleep(rng.uniform(2, 8))
    await shrinking
    await load.end(world)
    await _all_clean(world)
    assert len(_same_everywhere(world)) == 3
    assert not world.stopped
    assert not world.bugs
    await world.admin.close()


@histories(seeds=1)
async def test_a_merge_is_given_up_when_a_member_is_lost_and_done_later(sim):
    world = World(sim, mons=1, osds=3)
    await world.start()
    load = _Load(world, await world.make_pool("data"))
    await sim.sleep(1)
    await _set(world, "pgp_num_actual", 7)
    world.osds[2].crash()
    await world.up(2)
    await _set(world, "pg_num_actual", 7)
    await sim.sleep(5)
    pool = await _pool(world)
    assert (pool["pg_num"], pool["pg_num_pending"]) == (8, 8)
    before = load.done
    await sim.settled(lambda: load.done > before + 20)
    await world.osds[2].start()
    await world.up(3)
    await _all_clean(world)
    await _shrink(world, 7)
    await load.end(world)
    await _all_clean(world)
    assert len(_same_everywhere(world)) == 7
    assert not world.stopped
    assert not world.bugs
    await world.admin.close()
