"""Signs of life: keepalives come back while the peer lives, and transports without any end."""

from __future__ import annotations

import math

from spirula.auth.handshake import ConnectionMode
from spirula.msgr.policies import Policy, PolicySet
from spirula.msgr.protocol.endpoint import Timings
from spirula.sim import Faults
from spirula.sim.histories import histories
from spirula.types.entity import EntityType
from tests.sim.ledger import Ledger
from tests.sim.nodes import Flavour, World, any_faults

IDLE_S = 20.0
MODES = (ConnectionMode.CRC, ConnectionMode.SECURE)


def peers():
    return PolicySet(Policy.lossless_peer_reuse())


async def two_that_talked(sim):
    flavour = Flavour(sim.rng.choice(MODES), timings=Timings(idle_timeout_s=IDLE_S))
    world = World(sim, Ledger(lossless=True), flavour)
    one, other = (world.entity(EntityType.MON, peers) for _ in range(2))
    await one.start()
    await other.start()
    one.send(other, b"hello")
    await world.heal()
    return world, one, other


@histories(seeds=100, faults=Faults(split=0.3, jitter_s=0.003))
async def test_keepalives_keep_a_quiet_session_and_stop_with_the_peer(sim):
    world, one, other = await two_that_talked(sim)
    connection = one.node.messenger.get_connection(other.kind, other.addrs())
    asked_at = math.nan
    for _ in range(10):
        asked_at = one.host.wall_clock()
        one.host.call(connection.send_keepalive)
        await sim.sleep(IDLE_S / 2)
    assert abs(float(connection.last_keepalive_ack) - asked_at) < 1e-3
    assert sim.network.connections_made == 1
    assert connection.is_connected
    sim.network.isolate(other.host)
    one.host.call(connection.send_keepalive)
    await sim.sleep(IDLE_S / 4)
    assert abs(float(connection.last_keepalive_ack) - asked_at) < 1e-3
    await world.heal()
    await world.close()


@histories(seeds=100, faults=any_faults)
async def test_a_transport_that_died_unnoticed_ends_at_both_sides(sim):
    """Nobody has anything to send, and no reset ever comes; the session itself goes on."""
    world, one, other = await two_that_talked(sim)
    sim.network.isolate(one.host)
    await sim.sleep(3 * IDLE_S)
    for entity in (one, other):
        assert not any(c.is_connected for c in entity.node.messenger.connections)
    sim.network.heal()
    other.send(one, b"still there?")
    await world.delivered()
    assert world.ledger.resets == 0
    await world.close()
