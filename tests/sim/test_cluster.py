"""Whole clusters in simulation."""

from __future__ import annotations

from spirula.sim.histories import histories
from tests.sim.cluster_world import World


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
