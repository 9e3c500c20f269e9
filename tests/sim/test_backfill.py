"""PGs move between OSDs of whole clusters while clients write: by weights, by hand, by loss.

Logs are so short that nothing is brought up to date by them alone.
"""

from __future__ import annotations

import asyncio

from spirula.sim.histories import histories
from spirula.store.objectstore import list_all
from spirula.types.pg import PGState, pg_state_text
from tests.sim.cluster_world import World, model_clients

SHORT_LOGS = {
    "osd_min_pg_log_entries": "4",
    "osd_max_pg_log_entries": "4",
    "osd_pg_log_trim_min": "1",
    "osd_backfill_scan_min": "3",
    "osd_backfill_scan_max": "5",
    "mon_osd_down_out_interval": "100000",
}
_CLEAN = int(PGState.ACTIVE | PGState.CLEAN)


def pgs_of(world, osd):
    return osd.daemon.osd.pgs.by_id if osd.is_running else {}


def leaders(world):
    found = {}
    for osd in world.osds:
        found |= {pgid: pg for pgid, pg in pgs_of(world, osd).items() if pg.is_primary}
    return found


def all_clean(world, count):
    found = leaders(world)
    return len(found) == count and all(
        pg.state & _CLEAN == _CLEAN and pg.up == pg.acting for pg in found.values()
    )


def contents(osd, pg):
    """All that a store has of a PG's objects."""
    found = {}
    for gh in list_all(osd.store, pg.coll):
        if not gh.is_pgmeta:
            store, cid = osd.store, pg.coll
            found[str(gh)] = (
                store.read(cid, gh),
                dict(store.getattrs(cid, gh)),
                store.omap_get(cid, gh),
            )
    return found


def check_copies(world):
    """All copies are alike and counted exactly, and nobody has what is not his."""
    for pgid, leader in leaders(world).items():
        holders = {osd.number for osd in world.osds if pgid in pgs_of(world, osd)}
        assert holders == set(leader.acting), f"{pgid} is on {holders}, not {leader.acting}"
        first = contents(world.osds[leader.whoami.osd], leader)
        total = leader.info.stats.stats.sum
        assert total.num_objects == len(first)
        assert total.num_objects_misplaced == total.num_objects_degraded == 0
        for number in leader.acting:
            osd = world.osds[number]
            copy = pgs_of(world, osd)[pgid]
            assert contents(osd, copy) == first, f"{pgid} differs on {osd.name}"
            assert copy.info.last_backfill.max
            assert copy.info.last_update == leader.info.last_update == copy.info.last_complete


def pushes(world):
    return sum(osd.daemon.osd.counters.moved.push.value for osd in world.osds)


class Load:
    """Clients with a model of what they wrote, at work until told to stop."""

    def __init__(self, world, locator, count):
        self.sim = world.sim
        self.stop = asyncio.Event()
        self.clients = model_clients(world, locator, count)
        self.working = [asyncio.create_task(self._work(client)) for client in self.clients]

    async def _work(self, client):
        while not self.stop.is_set():
            await client.step()
            await self.sim.sleep(0.3)

    async def end(self):
        self.stop.set()
        await asyncio.gather(*self.working)

    async def check(self):
        for client in self.clients:
            await client.check()


async def settle(world, count):
    """Wait until all PGs are clean where the map wants them."""
    end = world.sim.time() + 300
    while not all_clean(world, count):
        assert world.sim.time() < end, "\n".join(map(shown, leaders(world).values()))
        await world.sim.sleep(1)
    await world.sim.sleep(5)  # strays go


def shown(pg):
    filled = {each.osd: str(pg.peering.peer_info[each].last_backfill) for each in pg.replicas}
    lacks = {each.osd: len(found.missing) for each, found in pg.peering.peer_missing.items()}
    return (
        f"{pg} {pg_state_text(pg.state)} {pg.peering.state} up {pg.up} acting {pg.acting} "
        f"lacks {len(pg.missing.missing)} {lacks} filled {filled} "
        f"ops {pg.recovery.ops_active} queued {pg.recovery.queued} unfound {pg.recovery.unfound}"
    )


async def move_something(world, rng):
    """One of the ways in which the map moves PGs."""
    number = str(rng.randrange(len(world.osds)))
    kind = rng.choice(("out", "in", "reweight", "crush", "upmap"))
    if kind in ("out", "in"):
        await world.command(f"osd {kind}", ids=[number])
    elif kind == "reweight":
        await world.command("osd reweight", id=int(number), weight=rng.choice((0.3, 0.7, 1.0)))
    elif kind == "crush":
        weight = rng.choice((0.5, 1.0, 2.0))
        await world.command("osd crush reweight", name=f"osd.{number}", weight=weight)
    else:
        pgid, leader = rng.choice(sorted(leaders(world).items(), key=lambda each: str(each[0])))
        others = [osd.number for osd in world.osds if osd.number not in leader.up]
        if others and leader.up:
            moved = [str(rng.choice(leader.up)), str(rng.choice(others))]
            await world.command("osd pg-upmap-items", pgid=str(pgid.pgid), id=moved)


@histories(seeds=2)
async def test_pgs_move_while_clients_write(sim):
    world = World(sim, mons=1, osds=5, options=SHORT_LOGS)
    await world.start()
    await world.command("osd set-require-min-compat-client", version="luminous")
    locator = await world.make_pool("data")
    load = Load(world, locator, 3)
    await sim.sleep(10)
    for _ in range(sim.rng.randrange(2, 5)):
        await move_something(world, sim.rng)
        await sim.sleep(sim.rng.choice((0.2, 2, 15)))
    for number in range(5):
        await world.command("osd in", ids=[str(number)])
    await load.end()
    await settle(world, 8)
    async with asyncio.timeout(600):
        await load.check()
    check_copies(world)
    assert not world.stopped
    await world.admin.close()


@histories(seeds=2)
async def test_osds_that_are_filled_or_serve_meanwhile_die_and_come_back(sim):
    world = World(sim, mons=1, osds=4, options=SHORT_LOGS)
    await world.start()
    locator = await world.make_pool("data")
    load = Load(world, locator, 3)
    await sim.sleep(5)
    for _ in range(3):
        await world.command("osd out", ids=[str(sim.rng.randrange(4))])
        await sim.sleep(sim.rng.uniform(0, 3))
        osd = sim.rng.choice(world.osds)
        osd.crash()
        await sim.sleep(sim.rng.choice((1, 10)))
        await osd.start()
        await sim.sleep(sim.rng.uniform(0, 3))
        for number in range(4):
            await world.command("osd in", ids=[str(number)])
    await load.end()
    await settle(world, 8)
    async with asyncio.timeout(600):
        await load.check()
    check_copies(world)
    assert not world.stopped
    await world.admin.close()


@histories(seeds=2)
async def test_a_new_osd_gets_its_share_and_no_more_is_moved(sim):
    options = {**SHORT_LOGS, "osd_pool_default_size": "2"}
    world = World(sim, mons=1, osds=3, spare=1, options=options)
    await world.start()
    locator = await world.make_pool("data", pg_num=16)
    load = Load(world, locator, 2)
    await sim.sleep(20)
    await load.end()
    await settle(world, 16)
    before = {pgid: set(pg.up) for pgid, pg in leaders(world).items()}
    pushed = -pushes(world)
    await (await world.add_osd()).start()
    await world.up(4)
    await sim.sleep(5)
    await settle(world, 16)
    after = leaders(world)
    wanted = sum(
        len(set(pg.up) - before[pgid]) * pg.info.stats.stats.sum.num_objects
        for pgid, pg in after.items()
    )
    pushed += pushes(world)
    assert wanted <= pushed <= wanted * 1.05
    await load.check()
    check_copies(world)
    await world.admin.close()
