"""Lossy sessions: what a broken session had is gone, the user is told, and nothing comes twice."""

from __future__ import annotations

import pytest

from spirula.msgr.policies import Policy, PolicySet
from spirula.sim.histories import histories
from spirula.types.entity import EntityType
from tests.sim.ledger import Ledger
from tests.sim.nodes import Entity, World, any_faults, filler, message_of

PATIENCE_S = 40.0


def client_policies():
    return PolicySet(Policy.lossy_client())


SERVERS = {
    "monitor": lambda: PolicySet(Policy.stateless_server()),
    "osd": lambda: PolicySet(Policy.stateless_registered_server()),
}


class Server(Entity):
    """Answers every message on the connection that it came over."""

    def __init__(self, *args):
        super().__init__(*args)
        self.sessions = 0

    def on_message(self, node, connection, lane, message):
        if connection.priv is None:
            self.sessions += 1
            connection.priv = self.ledger.lane(node.process, lane.sender.entity, self.sessions)
        payload = self.ledger.send(connection.priv, message.front)
        connection.send_message(message_of(payload))


class Client(Entity):
    """Sends, and when a session ends or nothing is heard for a while, opens another."""

    def __init__(self, *args):
        super().__init__(*args)
        self.sessions = 0
        self.connection = None
        self.answers = 0
        self.heard_at = 0.0
        self.restarts = 0

    def open(self, server):
        self.sessions += 1
        self.heard_at = self.sim.time()
        self.connection = self.node.messenger.get_connection(server.kind, server.addrs())
        self.connection.priv = self.ledger.lane(self.node.process, server.number, self.sessions)

    def ask(self, server, content):
        if self.connection is not None and self.sim.time() - self.heard_at > PATIENCE_S:
            self.connection.mark_down()
            self.connection = None
        if self.connection is None:
            self.open(server)
        payload = self.ledger.send(self.connection.priv, content)
        self.connection.send_message(message_of(payload))

    def on_message(self, node, connection, lane, message):
        assert connection is self.connection, "an answer over a session that is over"
        self.answers += 1
        self.heard_at = self.sim.time()

    def on_reset(self, node, connection):
        assert connection is self.connection, "a reset of a session that is over"
        self.connection = None


async def run(sim, server_policies, *, clients=1, restarts=0):
    world = World(sim, Ledger(lossless=False))
    server = world.entity(EntityType.OSD, server_policies, Server)
    everybody = [world.entity(EntityType.CLIENT, client_policies, Client) for _ in range(clients)]
    await server.start()
    for client in everybody:
        await client.start(bind=False)
    for step in range(15):
        client = sim.rng.choice(everybody)
        client.host.call(client.ask, server, filler(sim.rng))
        await sim.sleep(sim.rng.choice((0, sim.rng.expovariate(20))))
        if restarts and step in (5, 10):
            server.kill()
            await sim.sleep(sim.rng.random())
            await server.start()
    await sim.sleep(sim.rng.random())
    sim.network.calm()
    for client in everybody:
        before = client.answers
        while client.answers == before:
            client.host.call(client.ask, server, b"anybody?")
            await sim.sleep(5.0)
    await world.close()
    return world


@pytest.mark.parametrize("kind", SERVERS)
@histories(seeds=400, faults=any_faults)
async def test_nothing_arrives_twice_and_healing_is_enough(sim, kind):
    await run(sim, SERVERS[kind])


@pytest.mark.parametrize("kind", SERVERS)
@histories(seeds=100, faults=any_faults)
async def test_several_clients_and_a_server_that_restarts(sim, kind):
    await run(sim, SERVERS[kind], clients=2, restarts=2)
