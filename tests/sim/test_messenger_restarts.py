"""One side's process dies and another takes its place at the same address.

The survivor has to be told, must not go on with a session that is no more, and must not deliver
what was meant for the dead. Monitors notice; OSD peers hand over what was not acknowledged.
"""

from __future__ import annotations

from spirula.msgr.policies import Policy, PolicySet
from spirula.sim.histories import histories
from spirula.types.entity import EntityType
from tests.sim.ledger import Ledger
from tests.sim.nodes import World, any_faults


def noticing_peers():
    return PolicySet(Policy.lossless_peer_reuse())


def peers():
    return PolicySet(Policy.lossless_peer())


async def restart_now_and_then(sim, entities, *, times):
    """Kill one of them, at times by pulling the plug, and start it again a while later."""
    rng = sim.loop.rng("restarts")
    for _ in range(times):
        await sim.sleep(rng.expovariate(8))
        victim = rng.choice(entities)
        if rng.random() < 0.5:
            victim.kill()
        else:
            victim.pull_the_plug()
        await sim.sleep(rng.choice((0, 0.01, rng.expovariate(1))))
        victim.host.power_on()
        await victim.start()


async def run(sim, world, *, restarting, times):
    for entity in world.entities:
        await entity.start()
    restarts = sim.loop.create_task(restart_now_and_then(sim, restarting, times=times))
    await world.chat_all(messages=20)
    await restarts
    await world.chat_all(messages=4)
    await world.heal()
    await world.close()


@histories(seeds=500, faults=any_faults)
async def test_the_survivor_is_told_and_begins_anew(sim):
    world = World(sim, Ledger(lossless=True))
    survivor, mortal = (world.entity(EntityType.MON, noticing_peers) for _ in range(2))
    await run(sim, world, restarting=[mortal], times=sim.rng.choice((1, 3)))
    # The new process may be told of a reset, too: when connections of both sides cross that broke
    # unnoticed, each may think the other's session lost. Upstream's peers do the same.
    assert survivor.incarnation == 1


@histories(seeds=300, faults=any_faults)
async def test_both_may_die(sim):
    world = World(sim, Ledger(lossless=True))
    both = [world.entity(EntityType.MON, noticing_peers) for _ in range(2)]
    await run(sim, world, restarting=both, times=4)


@histories(seeds=300, faults=any_faults)
async def test_peers_that_do_not_ask_get_what_was_not_acknowledged(sim):
    world = World(sim, Ledger(lossless=True, replays_to_restarted=True))
    _, mortal = (world.entity(EntityType.OSD, peers) for _ in range(2))
    await run(sim, world, restarting=[mortal], times=2)


@histories(seeds=100)
async def test_a_restart_on_a_quiet_network_is_reported_exactly_once(sim):
    world = World(sim, Ledger(lossless=True))
    survivor, mortal = (world.entity(EntityType.MON, noticing_peers) for _ in range(2))
    await survivor.start()
    await mortal.start()
    await world.chat_all(messages=5)
    await world.delivered()
    mortal.kill()
    await sim.sleep(sim.rng.random())
    await mortal.start()
    first, second = sim.rng.sample((survivor, mortal), 2)
    first.send(second, b"hello")
    await sim.sleep(5)
    second.send(first, b"hello")
    await world.heal()
    assert survivor.node.remote_resets == 1
    assert mortal.node.remote_resets == 0
    await world.close()
