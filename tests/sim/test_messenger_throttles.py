"""Throttles: what a receiver holds stays bounded, senders wait, and everything arrives in order."""

from __future__ import annotations

from spirula.msgr.policies import Policy, PolicySet
from spirula.msgr.protocol.throttle import Throttle
from spirula.sim.histories import histories
from spirula.types.entity import EntityType
from tests.sim.ledger import Ledger
from tests.sim.nodes import Entity, Flavour, World, any_faults

LARGEST = 60_000


def peers():
    return PolicySet(Policy.lossless_peer_reuse())


class Slow(Entity):
    """Keeps what it gets for a while, and counts what it keeps."""

    bytes_limit = 50_000
    messages_limit = 4

    def __init__(self, *args):
        super().__init__(*args)
        self.bytes = Throttle(self.bytes_limit)
        self.messages = Throttle(self.messages_limit)
        self.policies = self.limited
        self.kept = 0
        self.kept_bytes = 0

    def limited(self):
        policies = PolicySet(Policy.lossless_peer_reuse())
        policies.throttle(EntityType.MON, self.bytes, self.messages)
        return policies

    def on_message(self, node, connection, lane, message):
        size = message.size_bytes
        self.kept += 1
        self.kept_bytes += size
        assert self.kept <= self.messages_limit
        assert self.kept_bytes <= max(self.bytes_limit, size)
        ticket = connection.keep_ticket()
        delay = self.sim.rng.choice((0.0, self.sim.rng.expovariate(50)))
        self.sim.loop.call_later(delay, self.done, ticket, size)

    def done(self, ticket, size):
        self.kept -= 1
        self.kept_bytes -= size
        ticket.release()


@histories(seeds=200, faults=any_faults)
async def test_what_is_held_stays_bounded(sim):
    # Throttles count what is on the wire, so contents go uncompressed.
    flavour = Flavour.drawn(sim.rng)
    flavour.compressed = False
    world = World(sim, Ledger(lossless=True), flavour)
    slow = world.entity(EntityType.MON, None, Slow)
    others = [world.entity(EntityType.MON, peers) for _ in range(2)]
    for entity in world.entities:
        await entity.start()
    for _ in range(15):
        for other in others:
            other.send(slow, bytes(sim.rng.randint(0, LARGEST)))
        slow.send(sim.rng.choice(others), b"meanwhile")
        await sim.sleep(sim.rng.choice((0, 0.01)))
    await world.heal()
    await sim.settled(lambda: slow.kept == 0)
    assert world.ledger.resets == 0
    await world.close()
    assert slow.bytes.current == 0
    assert slow.messages.current == 0
