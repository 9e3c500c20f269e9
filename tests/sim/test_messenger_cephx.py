"""The messenger with cephx: monitors that know one another, and clients that log in, under faults.

A handshake that breaks anywhere is begun anew with another challenge; nobody is refused for it.
"""

from __future__ import annotations

from spirula.auth.handshake import ConnectionMode
from spirula.auth.monitor import MonitorAuthClient
from spirula.auth.registry import AuthRegistry
from spirula.msgr.policies import client_policies, monitor_policies
from spirula.sim.histories import histories
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityType
from tests.sim.ledger import Ledger
from tests.sim.nodes import Entity, World, any_faults, filler, message_of
from tests.unit.auth.world import World as Cluster


class Monitor(Entity):
    """Shows and checks authorizers among monitors, and logs clients in."""

    cluster: Cluster

    def auth_client(self, peer_type):
        name = PrincipalName(EntityType.MON, str(self.number))
        keys = self.cluster.key_server
        registry = AuthRegistry.from_options(EntityType.MON, {})
        clock, random = self.host.wall_clock, self.host.random_bytes
        return MonitorAuthClient(name, registry, keys, keys, clock, random).handshake(peer_type)

    def auth_server(self):
        clock, random = self.host.wall_clock, self.host.random_bytes
        return self.cluster.mon_server(clock=clock, random=random).handshake()

    def on_message(self, node, connection, lane, message):
        if connection.peer_type == EntityType.CLIENT:
            assert connection.auth.entity == "client.admin"
            assert connection.auth.caps["mon"] == "allow *"
            if connection.priv is None:
                connection.priv = self.ledger.lane(node.process, lane.sender.entity, lane.serial)
            connection.send_message(message_of(self.ledger.send(connection.priv, b"answer")))


class Client(Entity):
    """Logs in as client.admin, and sends until each of its messages is answered."""

    cluster: Cluster

    def __init__(self, *args):
        super().__init__(*args)
        self.login = None
        self.sessions = self.answers = 0
        self.connection = None

    def auth_client(self, peer_type):
        if self.login is None:
            self.login = self.cluster.client()
        return self.login.handshake(peer_type)

    def ask(self, server, content):
        if self.connection is None:
            self.sessions += 1
            self.connection = self.node.messenger.get_connection(server.kind, server.addrs())
            self.connection.priv = self.ledger.lane(self.node.process, server.number, self.sessions)
        self.connection.send_message(message_of(self.ledger.send(self.connection.priv, content)))

    def on_message(self, node, connection, lane, message):
        self.answers += 1

    def on_reset(self, node, connection):
        self.connection = None

    def start_over(self):
        if self.connection is not None:
            self.connection.mark_down()
            self.connection = None


@histories(seeds=150, faults=any_faults)
async def test_monitors_with_authorizers_lose_and_repeat_nothing(sim):
    world = World(sim, Ledger(lossless=True))
    cluster = Cluster(seed=sim.seed)
    for _ in range(2):
        world.entity(EntityType.MON, monitor_policies, Monitor).cluster = cluster
    for entity in world.entities:
        await entity.start()
    await world.chat_all()
    await world.heal()
    assert world.ledger.resets == 0
    for entity in world.entities:
        assert entity.node.denials == 0
        assert all(c.auth.mode == ConnectionMode.SECURE for c in entity.node.messenger.connections)
    await world.close()


@histories(seeds=150, faults=any_faults)
async def test_a_client_logs_in_again_after_every_loss(sim):
    world = World(sim, Ledger(lossless=False))
    cluster = Cluster(seed=sim.seed)
    monitor = world.entity(EntityType.MON, monitor_policies, Monitor)
    client = world.entity(EntityType.CLIENT, client_policies, Client)
    monitor.cluster = client.cluster = cluster
    await monitor.start()
    await client.start(bind=False)
    for _ in range(10):
        client.host.call(client.ask, monitor, filler(sim.rng))
        await sim.sleep(sim.rng.choice((0, sim.rng.expovariate(20))))
    await sim.sleep(sim.rng.random())
    sim.network.calm()
    before = client.answers
    while client.answers == before:
        client.host.call(client.ask, monitor, b"anybody?")
        await sim.sleep(20.0)
        if client.answers == before:
            client.host.call(client.start_over)
    assert client.node.denials == 0
    await world.close()
