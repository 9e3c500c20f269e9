"""An OSD makes only so many PGs; the others wait until some are gone."""

from __future__ import annotations

import asyncio

from spirula.sim.histories import histories
from spirula.types.pg import PGState
from tests.sim.cluster_world import World

OPTIONS = {
    "osd_pool_default_size": "2",
    "osd_pool_default_min_size": "1",
    "osd_pool_default_pg_num": "4",
    "osd_max_pg_per_osd_hard_ratio": "1",
}


def pools_of(groups):
    return sorted(pgid.pgid.pool for pgid in groups.by_id)


@histories(seeds=2)
async def test_pgs_beyond_the_bound_are_withheld_until_there_is_room(sim):
    world = World(sim, mons=1, osds=2, options=OPTIONS)
    await world.start()
    for osd in world.osds:  # the monitors would not make a second pool with that
        osd.daemon.osd.config.set("mon_max_pg_per_osd", "5")
    await world.make_pool("first")
    await world.make_pool("second")
    await sim.sleep(5)
    groups = [osd.daemon.osd.pgs for osd in world.osds]
    for each in groups:
        assert len(each.by_id) == 5
        assert each.pending_creates() > 0
    sure = {"pool2": "first", "yes_i_really_really_mean_it": True}
    await world.command("osd pool delete", pool="first", **sure)

    def all_serve():
        return all(
            pools_of(each) == [2] * 4
            and all(pg.state & PGState.CLEAN for pg in each.by_id.values() if pg.is_primary)
            for each in groups
        )

    async with asyncio.timeout(60):
        await sim.settled(all_serve)
    assert not any(each.pending_creates() for each in groups)
    assert not world.stopped
    assert not world.bugs
    await world.admin.close()
