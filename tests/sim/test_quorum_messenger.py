"""Quorum members over the real messenger: its sessions, encodings and reconnections in between.

The same monitors, troubles and checks as in `quorum_world`, with messages that travel as bytes over
simulated connections which are delayed, cut and reset; crashes kill the host's process.
"""

from __future__ import annotations

import contextvars
import errno

from spirula.auth.handshake import ConnectionMode
from spirula.msgr.policies import Policy, PolicySet
from spirula.msgr.protocol.endpoint import Endpoint, Timings
from spirula.msgr.protocol.handshake import HandshakeConfig
from spirula.msgr.tcp import Messenger
from spirula.msgr.typed import decode_raw, encode_message
from spirula.sim import Faults
from spirula.sim.histories import histories
from spirula.types.entity import EntityAddrVec, EntityName, EntityType
from tests.sim.nodes import OpenClient, OpenServer
from tests.sim.quorum_world import PROGRESS_LIMIT_S, Node, Trouble, World, small_settings

HISTORIES = 200
SECONDS = 20.0


class MessengerNode(Node):
    """A monitor with a messenger on a simulated host."""

    messenger: Messenger | None = None
    incarnation = 0

    @property
    def host(self):
        number = self.world.monmap.rank_of(self.name) + 1
        return self.world.sim.host(self.name, f"10.0.0.{number}")

    def start(self):
        if self.member is None:
            self.host.call(self.open)
            self.host.start(self.messenger.bind(EntityAddrVec(self.addrs.addrs)))
            super().start()

    def open(self):
        endpoint = Endpoint(
            EntityName(EntityType.MON, self.world.monmap.rank_of(self.name)),
            PolicySet(Policy.lossless_peer_reuse()),
            random_bytes=self.host.random_bytes,
            auth_client=lambda peer_type, addrs: OpenClient(ConnectionMode.CRC),
            auth_server=lambda: OpenServer(self.host.random_bytes),
            config=HandshakeConfig(EntityType.MON),
            timings=Timings(),
            nonce=0,
            encode=encode_message,
        )
        self.messenger = Messenger(
            self.world.sim.loop, endpoint, self, decode=decode_raw, wall_clock=self.host.wall_clock
        )

    def crash(self):
        if self.member is not None:
            self.host.kill()
            self.messenger = None
            super().crash()

    def transmit(self, send):
        messenger = self.messenger
        self.host.call(lambda: messenger.send_to(send.message, EntityType.MON, send.to))

    def ms_dispatch(self, connection, message):
        life, peer = self.life, connection.peer_addrs
        known = next(n.addrs for n in self.world.nodes.values() if n.addrs == peer)
        self.world.at(0.0, lambda: self.receive(known, message) if life == self.life else None)

    def ms_handle_connect(self, connection):
        self.world.connects += 1

    def ms_handle_accept(self, connection):
        pass

    def ms_handle_reset(self, connection):
        pass

    def ms_handle_remote_reset(self, connection):
        pass

    def ms_handle_refused(self, connection, error):
        if error.errno == errno.ECONNREFUSED:
            addrs, life = connection.peer_addrs, self.life
            # What is queued would wait for a process that is no more; what is sent next, dials.
            connection.mark_down()
            self.world.refusals += 1
            self.world.at(0.0, lambda: self.refused(addrs) if life == self.life else None)


class MessengerWorld(World):
    """The world on a simulation's loop."""

    node_class = MessengerNode

    def __init__(self, sim, trouble, settings):
        self.sim = sim
        self.connects = self.refusals = 0
        self.root = contextvars.copy_context()
        super().__init__(sim.seed, 3, trouble, settings=settings)

    @property
    def now(self):
        return self.sim.time()

    @now.setter
    def now(self, value):
        """Time is the loop's."""

    def at(self, after, call):
        self.sim.loop.call_later(max(0.0, after), call, context=self.root.copy())


def drawn_faults(rng):
    return Faults(
        reset=rng.choice((0.0, 0.002)),
        loss=rng.choice((0.0, 0.02)),
        partition=rng.choice((0.0, 0.2)),
        clock_skew_s=2.0,
        split=0.1,
    )


@histories(seeds=HISTORIES, faults=drawn_faults, shards=2)
async def test_histories_over_the_real_messenger(sim):
    rng = sim.rng
    trouble = Trouble(
        crash_at_commit=rng.choice((0.0, 0.01)),
        crash_rate=rng.choice((0.0, 0.1)),
        skew_s=rng.choice((0.0, 2.0)),
    )
    world = MessengerWorld(sim, trouble, small_settings(rng, pings=False))
    world.begin(SECONDS)
    await sim.sleep(SECONDS)
    sim.network.calm()
    before = world.heal()
    start = sim.time()
    await sim.settled(lambda: world.whole(before) or sim.time() > start + PROGRESS_LIMIT_S)
    assert world.whole(before), "no progress after healing"
    await sim.settled(world.quiet_now, every_s=0.003)
    world.check_final()
    assert world.connects >= 3
    assert len(world.acknowledged) > 2
    for node in world.nodes.values():
        await node.host.start(node.messenger.shutdown())
