"""Watches outlive what happens to OSDs and links, as long as the client is there."""

from __future__ import annotations

import asyncio

from spirula.sim.histories import histories
from spirula.types.osd_op import OpCode, OSDOp
from tests.sim.cluster_world import World


async def watched(sim, **options):
    """A cluster, a client that watches an object, and another that notifies."""
    world = World(sim, mons=1, osds=3, options=options)
    await world.start()
    locator = await world.make_pool("data")
    client = await world.client()
    made = await client.objecter.operate("it", locator, [OSDOp.make(OpCode.CREATE)])
    made.check()
    heard, lost = [], []

    def on_notify(notify_id, notifier, payload):
        heard.append(payload)
        asyncio.ensure_future(client.lingers.acknowledge(watch, notify_id))  # noqa: RUF006

    watch = await client.lingers.watch("it", locator, on_notify, lost.append, timeout_s=60)

    async def check(payload):
        reply = await world.admin.lingers.notify("it", locator, payload)
        assert not lost
        assert heard[-1:] == [payload]
        assert len(reply.acks) == 1

    await check(b"in peace")
    return world, client, watch, check


@histories(seeds=2)
async def test_a_watch_whose_osd_is_marked_down_and_up_unseen_by_its_client(sim):
    """Both maps come to the client at once: it must not overlook the first."""
    world, client, watch, check = await watched(sim)
    primary = str(watch.target.osd)
    one, other = sim.host("a"), sim.host("client2")
    sim.network.partition(one, other)
    await world.command("osd down", ids=[primary])
    await sim.sleep(3)
    await world.up(3)
    sim.network.heal()
    await client.objecter.newest_map()
    await check(b"after the change")
    await client.close()
    await world.admin.close()


@histories(seeds=2)
async def test_a_watch_whose_osd_is_out_of_reach_for_longer_than_pings_may_take(sim):
    world, client, watch, check = await watched(sim)
    one, other = sim.host(f"osd.{watch.target.osd}"), sim.host("client2")
    sim.network.partition(one, other)
    await sim.sleep(sim.rng.uniform(25, 45))
    sim.network.heal()
    await sim.sleep(20)
    await check(b"after the cut")
    await client.close()
    await world.admin.close()


@histories(seeds=2)
async def test_a_watch_whose_session_breaks_before_the_answer(sim):
    """The OSD knows that it did the request, and the watch is to be with the new session."""
    world, client, watch, _ = await watched(sim)
    await client.lingers.unwatch(watch)
    heard, lost = [], []
    primary, mine = sim.host(f"osd.{watch.target.osd}"), sim.host("client2")
    slow = world.osds[watch.target.osd]
    slow.disk_s = 1.0
    watching = asyncio.ensure_future(
        client.lingers.watch(
            "it", watch.locator, lambda *told: heard.append(told), lost.append, timeout_s=60
        )
    )
    await sim.sleep(0.5)  # it is done but not answered
    for connection in list(sim.network.connections.values()):
        ends = {connection.to_server.source_host, connection.to_server.sink_host}
        if ends == {primary, mine}:
            connection.reset()
    await watching
    slow.disk_s = 0.001
    await sim.sleep(30)
    assert not lost
    await world.admin.lingers.notify("it", watch.locator, b"?", timeout_s=5)
    assert len(heard) == 1
    await client.close()
    await world.admin.close()
