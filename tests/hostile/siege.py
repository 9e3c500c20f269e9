"""A messenger under attack, over real TCP: the server, a good client, and whoever attacks.

    @siege(secure=True)
    async def test_something(fort):
        stranger = await fort.stranger()
        ...

The good client exchanges messages with the server all the time. When the test is over, each of its
messages must have been answered, in order and without delay, no exception may have reached the
event loop, and every warning in the log must be there once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import os
import socket
import struct
import time
from collections import Counter

import pytest
import uvloop

from spirula.msgr.policies import Policy, PolicySet
from spirula.msgr.protocol.control import CONTROL_FRAMES
from spirula.msgr.protocol.endpoint import Endpoint, Timings
from spirula.msgr.protocol.events import Failed
from spirula.msgr.protocol.handshake import HandshakeConfig
from spirula.msgr.protocol.link import Phase
from spirula.msgr.protocol.message import RawMessage
from spirula.msgr.tcp import Messenger, MessengerLimits
from spirula.msgr.typed import decode_raw
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityAddr, EntityAddrVec, EntityName, EntityType
from tests.unit.auth.world import World

RAW = 900
MALLORY = PrincipalName.parse("client.mallory")
RESET = struct.pack("ii", 1, 0)
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
NEVER_S = 60.0
"""Only against what does not end: a busy machine takes its time."""


class Warnings(logging.Handler):
    """Keeps what the messenger logs for people."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())

    def matching(self, *words):
        return [line for line in self.lines if all(word in line for word in words)]


class Hall:
    """The server's dispatcher: answers raw messages, and counts."""

    def __init__(self):
        self.received = Counter()
        self.fronts = {}
        self.accepted = []
        self.resets = 0
        self.answer = True
        self.held = []
        self.hold_from = set()

    def ms_dispatch(self, connection, message):
        who = connection.auth.entity
        self.received[who] += 1
        self.fronts.setdefault(who, []).append(bytes(getattr(message, "front", b"")[:64]))
        if who in self.hold_from:
            self.held.append(connection.keep_ticket())
        elif self.answer and type(message) is RawMessage:
            connection.send_message(RawMessage(RAW, bytes(message.front)))

    def ms_handle_accept(self, connection):
        self.accepted.append(connection)

    def ms_handle_connect(self, connection):
        pass

    def ms_handle_reset(self, connection):
        self.resets += 1

    def ms_handle_remote_reset(self, connection):
        pass

    def ms_handle_refused(self, connection, error):
        pass


class Citizen(Hall):
    """The good client: one message after another, each answered before the next."""

    def __init__(self):
        super().__init__()
        self.answers = []
        self.sent = 0
        self.slowest_s = 0.0
        self._answered = asyncio.Event()

    def ms_dispatch(self, connection, message):
        self.answers.append(int(bytes(message.front)))
        self._answered.set()

    async def live(self, connection):
        while True:
            begun = time.perf_counter()
            self._answered.clear()
            self.sent += 1
            connection.send_message(RawMessage(RAW, b"%d" % self.sent))
            await self._answered.wait()
            self.slowest_s = max(self.slowest_s, time.perf_counter() - begun)
            await asyncio.sleep(0.002)


def decode(connection, raw):
    return raw if raw.type == RAW else decode_raw(connection, raw)


class Fort:
    """The server, with all that a test wants to know of it."""

    def __init__(self, *, secure, policy, timings, limits, config, options):
        self.loop = asyncio.get_running_loop()
        self.secure = secure
        mode = "secure" if secure else "crc"
        modes = {f"ms_mon_{role}_mode": mode for role in ("cluster", "service", "client")}
        self.world = World(options={**modes, **(options or {})})
        self.world.add(MALLORY, mon="allow r")
        self.warnings = Warnings()
        self.hall = Hall()
        self.citizen = Citizen()
        self.exceptions = []
        self.attackers = []
        self._handshakes = self.world.mon_server()
        self.endpoint = Endpoint(
            EntityName(EntityType.MON, 0),
            PolicySet(policy),
            random_bytes=os.urandom,
            auth_client=lambda kind, addrs: self.world.client().handshake(kind),
            auth_server=self._handshakes.handshake,
            timings=timings,
            config=config,
            nonce=1,
        )
        self.server = Messenger(self.loop, self.endpoint, self.hall, decode=decode, limits=limits)

    async def open(self):
        self.loop.set_exception_handler(lambda loop, context: self.exceptions.append(context))
        self._log = logging.getLogger("spirula.ms")
        self._level = self._log.level
        self._log.setLevel(logging.WARNING)
        self._log.addHandler(self.warnings)
        addrs = await self.server.bind(EntityAddrVec.parse("v2:127.0.0.1:0"), range(0))
        self.addr = addrs.addrs[0]
        self._client = self.client_of(self.world.client())
        self._messenger = Messenger(self.loop, self._client, self.citizen)
        connection = self._messenger.get_connection(EntityType.MON, self.server.addrs)
        self._living = self.loop.create_task(self.citizen.live(connection))
        await self.until(lambda: self.citizen.answers)

    async def close(self):
        before = len(self.citizen.answers)
        await self.until(lambda: len(self.citizen.answers) > before)
        self._living.cancel()
        for attacker in self.attackers:
            attacker.close()
        await self._messenger.shutdown()
        await self.server.shutdown()
        await asyncio.sleep(0.01)
        self._log.removeHandler(self.warnings)
        self._log.setLevel(self._level)

    def judge(self):
        """What must hold after every attack."""
        assert not self.exceptions
        assert self.citizen.answers == list(range(1, len(self.citizen.answers) + 1))
        assert len(self.citizen.answers) >= self.citizen.sent - 1
        assert self.citizen.slowest_s < NEVER_S / 4
        rules = Counter(line.split(" failed: ")[-1] for line in self.warnings.lines)
        assert [rule for rule, count in rules.items() if count > 1] == []
        throttle = self.endpoint.dispatch_throttle
        assert throttle.current == 0

    def client_of(self, auth, policy=None, num=-1, nonce=0):
        """An endpoint that connects with the given credentials."""
        return Endpoint(
            EntityName(EntityType.CLIENT, num),
            PolicySet(policy or Policy.lossy_client()),
            random_bytes=os.urandom,
            auth_client=lambda kind, addrs: auth.handshake(kind),
            nonce=nonce,
        )

    async def until(self, condition, limit_s=NEVER_S):
        """Waits until something is so."""
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, "it does not happen"
            await asyncio.sleep(0.005)

    async def stranger(self, *words):
        """A TCP connection that says some bytes."""
        stranger = Stranger(self)
        await stranger.connect()
        for word in words:
            await stranger.say(word)
        return stranger

    async def member(self, auth=None, **options):
        """Somebody who speaks the protocol, with mallory's key unless told otherwise."""
        member = Member(self, auth or self.world.client(MALLORY), **options)
        await member.connect()
        return member

    @property
    def strangers_held(self):
        """Transports that the server holds and that have no session."""
        return len(self.server._early)


class Stranger:
    """One TCP connection to the server, without any manners."""

    def __init__(self, fort):
        self.fort = fort
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.heard = bytearray()
        fort.attackers.append(self)

    async def connect(self):
        await self.fort.loop.sock_connect(self.socket, (self.fort.addr.host, self.fort.addr.port))

    async def say(self, data):
        with contextlib.suppress(ConnectionError):
            await self.fort.loop.sock_sendall(self.socket, data)

    async def hear(self, limit_s=NEVER_S):
        """What comes next; empty when the server closed."""
        try:
            data = await asyncio.wait_for(self.fort.loop.sock_recv(self.socket, 65536), limit_s)
        except ConnectionError:
            return b""
        self.heard += data
        return data

    async def is_dropped(self, limit_s=NEVER_S):
        """Waits until the server closes; what it says before that is kept."""
        while await self.hear(limit_s):
            pass
        return True

    def reset(self):
        """Goes away by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def close(self):
        self.socket.close()


class Member(Stranger):
    """Speaks the protocol by our own core, and lets the test see and change every byte.

    `outgoing` and `incoming` get each piece with its offset in the stream and return what goes on.
    """

    def __init__(self, fort, auth, *, policy=None, outgoing=None, incoming=None, nonce=7, kind=0):
        super().__init__(fort)
        self.endpoint = fort.client_of(auth, policy, nonce=nonce)
        if kind:
            self.endpoint.name = EntityName(kind, 0)
            self.endpoint.config = HandshakeConfig(kind)
        self.endpoint.addrs = EntityAddrVec([EntityAddr.of("127.0.0.1", 0, nonce=nonce)])
        target = EntityAddrVec([fort.addr])
        self.session = self.endpoint.connect(EntityType.MON, target, 0.0)
        self.link = self.endpoint.dial(self.session, 0.0)
        self.said = bytearray()
        self.told = []
        self._outgoing = outgoing or (lambda offset, data: data)
        self._incoming = incoming or (lambda offset, data: data)

    async def flush(self):
        while pieces := self.link.data_to_send():
            data = b"".join(pieces)
            changed = self._outgoing(len(self.said), data)
            self.said += data
            await self.say(changed)

    async def step(self, limit_s=NEVER_S):
        """One exchange; False when the connection is over."""
        await self.flush()
        if self.link.phase is Phase.CLOSED:
            return False
        offset = len(self.heard)
        data = await self.hear(limit_s)
        if not data:
            return False
        self.link.reader.feed(self._incoming(offset, data))
        self._take()
        return True

    def _take(self):
        while (event := self.link.next_event(0.0)) is not None:
            self.told.append(event)

    async def login(self, until=Phase.OPEN, limit_s=NEVER_S):
        """Up to a phase; before its first frame. False where that is not reached.

        In phase IDENT no ident is sent: the test does that.
        """
        if until is Phase.IDENT:
            self.link.client = False  # what makes it send one
            self.link.session = self.session
        self.link.client = until is not Phase.IDENT
        self._connected()
        while self.link.phase is not until:
            if not await self.step(limit_s):
                return False
        self.link.client = True
        await self.flush()
        return True

    def _connected(self):
        self.link.connected(0.0)
        if not self.link.client:
            self.link.phase = Phase.HANDSHAKE

    async def send(self, tag, *fields):
        """A control frame."""
        self.link.channel.send(tag, CONTROL_FRAMES[tag](*fields))
        await self.flush()

    async def message(self, front=b"x", *, seq=None, kind=RAW, ack=0, data=b""):
        """A message, with whatever number."""
        if seq is None:
            self.session.queue.seq += 1
            seq = self.session.queue.seq
        self.link.channel.send_message(RawMessage(kind, front, data=data), seq, ack)
        await self.flush()

    @property
    def failures(self):
        return [event.error for event in self.told if isinstance(event, Failed)]

    def received(self):
        return [bytes(event.front) for event in self.told if type(event) is RawMessage]


QUICK = Timings(ready_timeout_s=1.5, idle_timeout_s=900.0)
"""Where the server has to end it. On a busy machine no time for a login: elsewhere be PATIENT."""
PATIENT = Timings(ready_timeout_s=15.0, idle_timeout_s=900.0)


def siege(
    *,
    secure=False,
    policy=None,
    timings=PATIENT,
    limits=None,
    config=None,
    options=None,
    loop="uvloop",
):
    """Turns a coroutine over a `Fort` into a test."""

    def decorate(coroutine):
        async def run(**arguments):
            fort = Fort(
                secure=arguments.get("secure", secure),
                policy=policy or Policy.stateless_server(),
                timings=timings,
                limits=limits or MessengerLimits(),
                config=config,
                options=options,
            )
            await fort.open()
            try:
                await coroutine(fort, **arguments)
            finally:
                await fort.close()
            fort.judge()

        @functools.wraps(coroutine)
        def test(**arguments):
            with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
                runner.run(run(**arguments))

        # pytest asks for the test's arguments and is to see those without the fort
        _, *names = inspect.signature(coroutine).parameters.values()
        test.__signature__ = inspect.Signature(
            [name.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name in names]
        )
        return test

    return decorate


both_modes = pytest.mark.parametrize("secure", [False, True], ids=["crc", "secure"])
