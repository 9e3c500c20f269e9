"""What a copy replaced is gone from all OSDs, also from those that were away meanwhile."""

from __future__ import annotations

import asyncio

from spirula.sim.histories import histories
from spirula.types.hobject import NOSNAP
from spirula.types.osd_op import CopyFromArgs, OpCode, OSDOp
from spirula.types.osd_op_payload import CopyFromInput, OmapEntries
from tests.sim.cluster_world import World
from tests.sim.thrash_checks import check_replicas, not_clean


@histories(seeds=1)
async def test_an_omap_that_a_copy_replaced_by_none_is_gone_from_who_was_away(sim):
    world = World(sim, mons=1, osds=3)
    await world.start()
    locator = await world.make_pool("data")
    operate = world.admin.objecter.operate
    entries = OmapEntries({"key": b"value"}).encode()
    (await operate("it", locator, [OSDOp.make(OpCode.OMAPSETVALS, None, entries)])).check()
    (await operate("plain", locator, [OSDOp.make(OpCode.CREATE)])).check()
    async with asyncio.timeout(100):
        await sim.settled(lambda: not not_clean(world, locator.pool))
        away = world.osds[0]
        away.crash()
        await world.up(2)
        told = CopyFromInput("plain", locator).encode()
        copy = OSDOp.make(OpCode.COPY_FROM, CopyFromArgs(NOSNAP), told)
        (await operate("it", locator, [copy])).check()
        await away.start()
        await world.up(3)
        await sim.settled(lambda: not not_clean(world, locator.pool))
    check_replicas(world, locator.pool)
    await world.admin.close()
