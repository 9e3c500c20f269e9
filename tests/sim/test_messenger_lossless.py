"""Lossless sessions: each message arrives once and in order, whatever happens to transports."""

from __future__ import annotations

from spirula.msgr.policies import Policy, PolicySet
from spirula.sim.histories import histories
from spirula.types.entity import EntityType
from tests.sim.ledger import Ledger
from tests.sim.nodes import Entity, World, any_faults, filler, message_of


def peers():
    return PolicySet(Policy.lossless_peer_reuse())


def clients_and_servers():
    return PolicySet(Policy.lossless_client(), {EntityType.CLIENT: Policy.stateful_server()})


@histories(seeds=1200, faults=any_faults)
async def test_two_peers_lose_and_repeat_nothing(sim):
    world = World(sim, Ledger(lossless=True))
    for _ in range(2):
        world.entity(EntityType.MON, peers)
    for entity in world.entities:
        await entity.start()
    await world.chat_all()
    await world.heal()
    assert world.ledger.resets == 0
    await world.close()


@histories(seeds=300, faults=any_faults)
async def test_three_peers_lose_and_repeat_nothing(sim):
    world = World(sim, Ledger(lossless=True))
    for _ in range(3):
        world.entity(EntityType.MON, peers)
    for entity in world.entities:
        await entity.start()
    await world.chat_all(messages=16)
    await world.heal()
    assert world.ledger.resets == 0
    await world.close()


@histories(seeds=300, faults=any_faults)
async def test_long_silences_and_bursts(sim):
    """Sessions stand by, transports die unnoticed, and the next message still arrives."""
    world = World(sim, Ledger(lossless=True))
    for _ in range(2):
        world.entity(EntityType.MON, peers)
    for entity in world.entities:
        await entity.start()
    for _ in range(4):
        await world.chat_all(messages=3, gap_s=0.01)
        await sim.sleep(sim.rng.choice((1, 100, 1000)))
    await world.heal()
    assert world.ledger.resets == 0
    await world.close()


class Answering(Entity):
    """A server that answers on the connection that asked."""

    def on_message(self, node, connection, lane, message):
        payload = self.ledger.send(self.ledger.lane(node.process, lane.sender.entity), b"answer")
        connection.send_message(message_of(payload))


@histories(seeds=300, faults=any_faults)
async def test_a_lossless_client_that_nobody_can_connect_to(sim):
    """As CephFS clients and metadata servers: only one side connects, neither loses anything."""
    world = World(sim, Ledger(lossless=True))
    server = world.entity(EntityType.MDS, clients_and_servers, Answering)
    client = world.entity(EntityType.CLIENT, clients_and_servers)
    await server.start()
    await client.start(bind=False)
    for _ in range(12):
        client.send(server, filler(sim.rng))
        await sim.sleep(sim.rng.choice((0, sim.rng.expovariate(20))))
    await world.heal()
    assert world.ledger.resets == 0
    await world.close()
