"""Entities for messenger histories: the real messenger on a simulated host, and the ledger.

A `Node` is a process: a messenger with its dispatcher, which writes everything down in the ledger.
`Entity` restarts them. Authentication is a stand-in that proves nothing and hands out keys, so that
histories are about sessions; cephx has histories of its own.
"""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass, field
from typing import Any

from spirula.auth.handshake import (
    AuthBadMethod,
    AuthDone,
    AuthMethod,
    AuthOutcome,
    AuthRequest,
    ConnectionMode,
)
from spirula.errors import LimitExceeded, PermissionDenied, WireError
from spirula.msgr.protocol.compression import CompressionConfig, CompressionMethod
from spirula.msgr.protocol.endpoint import Endpoint, Timings
from spirula.msgr.protocol.handshake import REVISION_1, SUPPORTED, HandshakeConfig
from spirula.msgr.protocol.message import RawMessage
from spirula.msgr.protocol.secure import SECRET_SIZE
from spirula.msgr.tcp import Messenger
from spirula.sim import Faults, Host, Simulation
from spirula.types.entity import AddrType, EntityAddr, EntityAddrVec, EntityName
from tests.sim.ledger import Lane, Ledger, Process

PORT = 3300
MESSAGE_TYPE = 900


class OpenClient:
    """The connecting side of an authentication that lets everybody in."""

    def __init__(self, mode):
        self.mode = mode

    def request(self):
        return AuthRequest(AuthMethod.NONE, [self.mode], b"open")

    def on_bad_method(self, refusal):
        raise AssertionError(f"refused: {refusal}")

    def on_more(self, payload):
        raise AssertionError("nothing more to say")

    def on_done(self, global_id, mode, payload):
        return AuthOutcome(global_id, mode, payload[:16], payload[16:])


class OpenServer:
    """Its accepting side; draws fresh keys for every connection."""

    def __init__(self, random_bytes):
        self.random_bytes = random_bytes

    def on_request(self, peer_type, request):
        if request.payload != b"open":
            return AuthBadMethod(request.method, 13, [], [])
        keys = self.random_bytes(16 + SECRET_SIZE)
        mode = request.preferred_modes[0]
        return AuthDone(keys, AuthOutcome(4000, mode, keys[:16], keys[16:], "client.open"))

    def on_more(self, payload):
        raise AssertionError("nothing more to say")


class Zlib:
    """A codec, for histories with compression."""

    def compress(self, data):
        return zlib.compress(data, 1)

    def decompress(self, data, limit):
        engine = zlib.decompressobj()
        try:
            plain = engine.decompress(data, limit)
        except zlib.error as error:
            raise WireError(str(error)) from error
        if engine.unconsumed_tail:
            raise LimitExceeded("too long", limit=limit)
        return plain


@dataclass
class Flavour:
    """How all entities of a history speak."""

    mode: int = ConnectionMode.CRC
    compressed: bool = False
    revision0: bool = False
    timings: Timings = field(default_factory=Timings)

    @classmethod
    def drawn(cls, rng):
        return cls(
            mode=rng.choice((ConnectionMode.CRC, ConnectionMode.CRC, ConnectionMode.SECURE)),
            compressed=rng.random() < 0.2,
            revision0=rng.random() < 0.15,
            timings=Timings(idle_timeout_s=rng.choice((20.0, 900.0))),
        )

    def config(self, entity_type):
        supported = SUPPORTED & ~REVISION_1 if self.revision0 else SUPPORTED
        compression = CompressionConfig()
        if self.compressed:
            compression = CompressionConfig(
                0xFF, {CompressionMethod.ZLIB: Zlib()}, min_size=100, secure=True
            )
        return HandshakeConfig(entity_type, supported, compression=compression)


class Node:
    """One process with a messenger. `on_message(connection, lane, payload)` is the test's."""

    def __init__(self, entity: Entity, incarnation: int) -> None:
        self.entity = entity
        self.process = Process(entity.number, incarnation)
        self.ledger = entity.ledger
        host, flavour = entity.host, entity.flavour
        self.host = host
        self.loop = entity.sim.loop
        self.endpoint = Endpoint(
            EntityName(entity.kind, entity.number),
            entity.policies(),
            random_bytes=host.random_bytes,
            auth_client=lambda peer_type, addrs: entity.auth_client(peer_type),
            auth_server=entity.auth_server,
            config=flavour.config(entity.kind),
            timings=flavour.timings,
            nonce=entity.nonce(incarnation),
        )
        self.messenger = Messenger(self.loop, self.endpoint, self, wall_clock=host.wall_clock)
        self.connects = self.accepts = self.resets = self.remote_resets = self.refusals = 0
        self.denials = 0

    async def bind(self):
        addr = EntityAddr.of(self.host.address, PORT, type=AddrType.MSGR2)
        await self.messenger.bind(EntityAddrVec([addr]))
        return self

    # --- sending

    def lane_to(self, other: Entity) -> Lane:
        return self.ledger.lane(self.process, other.number)

    def send(self, other: Entity, filler: bytes = b"", *, priority: int = 127) -> None:
        """Send over the (lossless) session with another entity."""
        payload = self.ledger.send(self.lane_to(other), filler)
        connection = self.messenger.get_connection(other.kind, other.addrs())
        connection.send_message(message_of(payload, priority))

    # --- ms_dispatch and its neighbours

    def ms_dispatch(self, connection, message):
        payload = bytes(message.front) + bytes(message.data)
        lane = self.ledger.arrive(self.process, payload)
        self.entity.on_message(self, connection, lane, message)

    def ms_handle_connect(self, connection):
        self.connects += 1

    def ms_handle_accept(self, connection):
        self.accepts += 1

    def ms_handle_reset(self, connection):
        self.resets += 1
        self.entity.on_reset(self, connection)

    def ms_handle_remote_reset(self, connection):
        self.remote_resets += 1
        self.ledger.reset(self.process, self.entity.world.number_at(connection.peer_addrs))

    def ms_handle_refused(self, connection, error):
        self.refusals += 1
        self.denials += isinstance(error, PermissionDenied)


def message_of(payload: bytes, priority: int = 127) -> RawMessage:
    """A message of that payload, split over the front and the data segment."""
    return RawMessage(MESSAGE_TYPE, payload[:40], b"", payload[40:], priority=priority)


class Entity:
    """Somebody with an address, whose process may be killed and started again."""

    def __init__(self, world: World, number: int, kind: int, policies: Any) -> None:
        self.world = world
        self.sim = world.sim
        self.ledger = world.ledger
        self.flavour = world.flavour
        self.number = number
        self.kind = kind
        self.policies = policies
        self.host: Host = world.sim.host(f"{kind}.{number}")
        self.keeps_nonce = True
        self.incarnation = 0
        self.node: Node | None = None

    def nonce(self, incarnation: int) -> int:
        return 0 if self.keeps_nonce else self.number * 1000 + incarnation

    def auth_client(self, peer_type: int) -> Any:
        return OpenClient(self.flavour.mode)

    def auth_server(self) -> Any:
        return OpenServer(self.host.random_bytes)

    def addrs(self) -> EntityAddrVec:
        addr = EntityAddr.of(self.host.address, PORT, type=AddrType.MSGR2)
        return EntityAddrVec([addr.with_nonce(self.nonce(self.incarnation))])

    def send(self, other: Entity, content: bytes = b"", *, priority: int = 127) -> None:
        """Have the present process send, if there is one."""
        if self.node is not None:
            self.host.call(lambda: self.node.send(other, content, priority=priority))

    async def start(self, *, bind: bool = True) -> Node:
        self.incarnation += 1
        node = self.host.call(Node, self, self.incarnation)
        if bind:
            await self.host.start(node.bind())
        self.node = node
        return node

    def kill(self) -> None:
        self.host.kill()
        self.node = None

    def pull_the_plug(self) -> None:
        self.host.power_off()
        self.node = None

    def on_message(self, node: Node, connection: Any, lane: Lane, message: RawMessage) -> None:
        """What the entity does with a message; nothing, unless a test says otherwise."""

    def on_reset(self, node: Node, connection: Any) -> None:
        """What the entity does when a lossy session ends; nothing, unless a test says otherwise."""


class World:
    """The entities of one history."""

    def __init__(self, sim: Simulation, ledger: Ledger, flavour: Flavour | None = None) -> None:
        self.sim = sim
        self.ledger = ledger
        self.flavour = flavour or Flavour.drawn(sim.rng)
        self.entities: list[Entity] = []

    def entity(self, kind: int, policies: Any, cls: type[Entity] = Entity) -> Entity:
        made = cls(self, len(self.entities), kind, policies)
        self.entities.append(made)
        return made

    def number_at(self, addrs: EntityAddrVec) -> int:
        return next(e.number for e in self.entities if e.host.address == addrs.addrs[0].host)

    def alive(self) -> dict[int, Process]:
        return {e.number: e.node.process for e in self.entities if e.node is not None}

    async def delivered(self) -> None:
        """Wait until nothing is missing any more."""
        await self.sim.settled(lambda: not self.ledger.missing(self.alive()), every_s=0.5)

    async def chat(self, entity: Entity, *, messages: int, gap_s: float) -> None:
        """Have an entity send at random moments to random others."""
        rng = self.sim.loop.rng(f"chat/{entity.number}")
        others = [other for other in self.entities if other is not entity]
        await self.sim.sleep(rng.choice((0, 0, rng.random() * 0.003)))
        for _ in range(messages):
            entity.send(rng.choice(others), filler(rng))
            await self.sim.sleep(rng.choice((0, rng.expovariate(1 / gap_s))))

    async def chat_all(self, *, messages: int = 12, gap_s: float = 0.05) -> None:
        """Have all entities do so at once."""
        async with asyncio.TaskGroup() as group:
            for entity in self.entities:
                group.create_task(self.chat(entity, messages=messages, gap_s=gap_s))

    async def heal(self) -> None:
        """End all trouble after a moment, and wait until nothing is missing."""
        await self.sim.sleep(self.sim.rng.random())
        self.sim.network.calm()
        await self.delivered()

    async def close(self) -> None:
        """Shut all messengers down; nothing of theirs may be left."""
        for entity in self.entities:
            if entity.node is not None:
                await entity.host.start(entity.node.messenger.shutdown())
        await self.sim.settled(lambda: not self.sim.network.connections)
        assert not self.sim.network.connections
        tasks = self.sim.loop.pending_tasks()
        assert len(tasks) == 1, tasks
        self.sim.note(f"{self.ledger.deliveries} deliveries {self.ledger.resets} resets")


def any_faults(rng) -> Faults:
    """Each kind of trouble in some histories, all of them in a few, none in a few."""
    return Faults(
        jitter_s=rng.choice((0.0002, 0.002, 0.02)),
        split=rng.choice((0, 0.3, 0.8)),
        coalesce=rng.choice((0, 0.5)),
        loss=rng.choice((0, 0, 0.03)),
        reset=rng.choice((0, 0, 0.01, 0.04)),
        reset_at_write=rng.choice((0, 0.02, 0.1)),
        blackhole=rng.choice((0, 0, 0.003)),
        refuse=rng.choice((0, 0, 0.3)),
        partition=rng.choice((0, 0, 0.5, 2.0)),
        partition_s=rng.choice((0.5, 15)),
        slow_host=0.1,
        clock_skew_s=5,
    )


def filler(rng) -> bytes:
    """Contents: mostly small, at times larger than a segment of the network or of the reader."""
    roll = rng.random()
    if roll < 0.8:
        size = rng.randint(0, 200)
    elif roll < 0.97:
        size = rng.randint(200, 20_000)
    else:
        size = rng.randint(60_000, 300_000)
    return rng.randbytes(8) * (size // 8)
