"""Two or more endpoints without any IO: their links joined by byte pipes that tests cut at will.

A `World` moves bytes in pieces as small as asked for, dials what is due, advances the time to the
next thing that is due, and writes down what each endpoint was told.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from spirula.auth.handshake import AuthDone, AuthMethod, AuthOutcome, AuthRequest, ConnectionMode
from spirula.msgr.auth_none import NoneClient, NoneServer
from spirula.msgr.policies import PolicySet
from spirula.msgr.protocol.endpoint import Endpoint, Timings
from spirula.msgr.protocol.events import Due, Ended, Failed, Opened, PeerReset
from spirula.msgr.protocol.message import RawMessage
from spirula.msgr.protocol.session import SessionState
from spirula.types.entity import EntityAddr, EntityAddrVec, EntityName, EntityType

TIMINGS = Timings(
    ready_timeout_s=10,
    idle_timeout_s=900,
    ack_delay_s=0,
    initial_backoff_s=0.2,
    max_backoff_s=15,
)


class SecureAuth:
    """Both sides of an authentication that gives every connection a new secret."""

    def __init__(self, secrets):
        self.secrets = secrets

    def request(self):
        return AuthRequest(AuthMethod.NONE, [ConnectionMode.SECURE], b"")

    def on_done(self, global_id, mode, payload):
        return AuthOutcome(global_id, mode, payload[:16], payload)

    def on_request(self, peer_type, request):
        secret = self.secrets()
        return AuthDone(secret, AuthOutcome(1, ConnectionMode.SECURE, secret[:16], secret))


@dataclass(eq=False)
class Wire:
    """A transport: two links and what each has sent the other and is not received yet."""

    client: object
    server: object
    names: tuple[str, str]
    pipes: dict = field(default_factory=lambda: {0: bytearray(), 1: bytearray()})
    alive: bool = True

    @property
    def links(self):
        return (self.client, self.server)


class World:
    def __init__(self, seed=0, *, secure=False):
        self.random = random.Random(seed)
        self.now = 1000.0
        self.secure = secure
        self.endpoints = {}
        self.wires = []
        self.told = {}
        self.sent_bytes = []
        self.refuse = set()
        self.on_message = lambda name, message, session: None

    def add(self, name, policy, *, kind=EntityType.OSD, port=0, config=None, timings=TIMINGS):
        number = len(self.endpoints)
        policies = policy if isinstance(policy, PolicySet) else PolicySet(policy)
        if self.secure:
            auth = SecureAuth(lambda: self.random.randbytes(64))
            client, server = (lambda kind, addrs: auth), (lambda: auth)
        else:
            client, server = (lambda peer, addrs: NoneClient(peer, kind, str(number))), NoneServer
        endpoint = Endpoint(
            EntityName(kind, number),
            policies,
            random_bytes=self.random.randbytes,
            auth_client=client,
            auth_server=server,
            config=config,
            timings=timings,
            nonce=number + 1,
        )
        if port is not None:
            endpoint.addrs = EntityAddrVec(
                [EntityAddr.of("10.0.0.1", port or 6800 + number, nonce=number + 1)]
            )
            endpoint.bound = True
        self.endpoints[name] = endpoint
        self.told[name] = []
        return endpoint

    # ---------------------------------------------------------------------------------- sessions

    def session(self, name, to):
        peer = self.endpoints[to]
        return self.endpoints[name].connect(peer.name.type, peer.addrs, self.now)

    def send(self, name, to, *fronts, priority=127, data=b""):
        session = self.session(name, to)
        for front in fronts:
            message = RawMessage(1, front, data=data, priority=priority)
            self.endpoints[name].send(session, priority, message, self.now)
        return session

    def messages(self, name):
        return [bytes(what.front) for what in self.told[name] if type(what) is RawMessage]

    def events(self, name):
        return [what for what in self.told[name] if type(what) is not RawMessage]

    def kinds(self, name):
        return [type(what).__name__ for what in self.events(name)]

    # -------------------------------------------------------------------------------- transports

    def all_sessions(self):
        for name, endpoint in self.endpoints.items():
            for session in list(endpoint.sessions.values()):
                yield name, session

    def dial_due(self):
        dialed = False
        for name, session in self.all_sessions():
            if session.retry_at is not None and session.retry_at <= self.now:
                dialed = self.dial(name, session) is not None or dialed
        return dialed

    def dial(self, name, session):
        endpoint = self.endpoints[name]
        link = endpoint.dial(session, self.now)
        if link is None:
            return None
        for other, peer in self.endpoints.items():
            if link.peer_addr in peer.addrs.addrs and other not in self.refuse:
                accepted = peer.accept(EntityAddr.of("10.0.0.1", 40000 + len(self.wires)), self.now)
                wire = Wire(link, accepted, (name, other))
                self.wires.append(wire)
                accepted.connected(self.now)
                link.connected(self.now)
                return wire
        self.lose(name, link)
        return None

    def lose(self, name, link):
        event = self.endpoints[name].lost(link, self.now)
        if event is not None:
            self.told[name].append(event)

    def cut(self, wire):
        """The transport breaks for both, and what is on its way is lost."""
        if wire.alive:
            wire.alive = False
            for name, link in zip(wire.names, wire.links, strict=True):
                self.lose(name, link)

    def collect(self, wire):
        """Moves what both links want to write into the pipes."""
        for side, link in enumerate(wire.links):
            while wire.alive and (pieces := link.data_to_send()):
                for piece in pieces:
                    self.sent_bytes.append((wire, side, bytes(piece)))
                    wire.pipes[side] += piece

    def deliver(self, wire, side, count):
        """Up to `count` bytes of what `side` sent arrive at the other side."""
        pipe = wire.pipes[side]
        chunk, pipe[:count] = bytes(pipe[:count]), b""
        link, name = wire.links[1 - side], wire.names[1 - side]
        link.reader.feed(chunk)
        self.act(wire, link, name)

    def act(self, wire, link, name):
        while (event := link.next_event(self.now)) is not None:
            self.told[name].append(event)
            if isinstance(event, Failed):
                self.cut(wire)
            elif isinstance(event, Opened):
                if event.replaced is not None:
                    self.close_wire_of(event.replaced)
            elif isinstance(event, RawMessage):
                if event.ticket is not None:
                    event.ticket.release()
                self.on_message(name, event, link.session)
            else:
                assert isinstance(event, PeerReset | Ended | Due)

    def close_wire_of(self, link):
        for wire in self.wires:
            if wire.alive and link in wire.links:
                self.cut(wire)

    # ------------------------------------------------------------------------------------ running

    def step(self, chunk=None):
        """One round: dials, writes, and deliveries on every transport. False when all is quiet."""
        busy = self.dial_due()
        for wire in self.wires:
            if not wire.alive:
                continue
            self.collect(wire)
            for side in (0, 1):
                if wire.alive and wire.pipes[side]:
                    busy = True
                    self.deliver(wire, side, chunk or len(wire.pipes[side]))
        return busy

    def run(self, chunk=None, rounds=100_000):
        for _ in range(rounds):
            if not self.step(chunk):
                return self
        raise AssertionError("it does not come to rest")

    def settle(self, chunk=None, limit_s=3600.0):
        """Runs, and lets time pass until nobody has anything due."""
        end = self.now + limit_s
        while True:
            self.run(chunk)
            due = [s.retry_at for _, s in self.all_sessions() if s.retry_at is not None]
            if not due:
                return self
            self.now = max(self.now, min(due))
            assert self.now < end, "it does not come to rest"

    @property
    def alive(self):
        return [wire for wire in self.wires if wire.alive]

    def is_open(self, name, to):
        session = self.endpoints[name].lookup(self.endpoints[to].addrs)
        return session is not None and session.state is SessionState.OPEN
