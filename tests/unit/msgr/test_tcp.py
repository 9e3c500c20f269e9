"""The messenger on simulated hosts: what its users see, whatever the network does."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from spirula.errors import NotConnected, TimedOut, WireError
from spirula.msgr.plain import plain_messenger
from spirula.msgr.policies import Policy, PolicySet
from spirula.msgr.protocol.endpoint import Timings
from spirula.msgr.protocol.frames import FrameLimits
from spirula.msgr.protocol.handshake import BANNER_PREFIX, HandshakeConfig
from spirula.msgr.protocol.message import RawMessage
from spirula.msgr.protocol.throttle import Throttle
from spirula.msgr.tcp import MessengerLimits
from spirula.sim import Faults, run_history
from spirula.types.entity import EntityAddrVec, EntityName, EntityType

PEER = Policy.lossless_peer()
CLIENT, SERVER = Policy.lossy_client(), Policy.stateless_server()
BANNER = BANNER_PREFIX + b"\x10\x00" + bytes([3, *bytes(15)])


class Log:
    """A dispatcher that writes down what it is told."""

    def __init__(self):
        self.lines = []
        self.messages = []
        self.connections = []
        self.errors = []
        self.answer = False
        self.on_message = lambda connection, message: None

    def ms_dispatch(self, connection, message):
        self.messages.append(bytes(message.front))
        if self.answer:
            connection.send_message(RawMessage(2, b"re:" + bytes(message.front)))
        self.on_message(connection, message)

    def ms_handle_connect(self, connection):
        self.lines.append("connect")

    def ms_handle_accept(self, connection):
        self.lines.append("accept")
        self.connections.append(connection)

    def ms_handle_reset(self, connection):
        self.lines.append("reset")

    def ms_handle_remote_reset(self, connection):
        self.lines.append("remote reset")

    def ms_handle_refused(self, connection, error):
        self.lines.append("refused")
        self.errors.append(error)


class Node:
    """A messenger on a host of its own."""

    def __init__(self, sim, number, policy=PEER, **options):
        self.host = sim.host(f"node{number}")
        self.log = Log()
        self.messenger = self.host.call(
            lambda: plain_messenger(
                sim.loop,
                EntityName(EntityType.OSD, number),
                policy,
                self.log,
                random_bytes=self.host.random_bytes,
                wall_clock=self.host.wall_clock,
                nonce=number + 1,
                **options,
            )
        )

    async def bind(self, port=0, ports=range(6800, 6810)):
        addrs = EntityAddrVec.parse(f"v2:{self.host.address}:{port}")
        return await self.host.start(self.messenger.bind(addrs, ports))

    def connect(self, other):
        return self.host.call(self.messenger.get_connection, EntityType.OSD, other.messenger.addrs)

    def send(self, other, *fronts, **fields):
        connection = self.connect(other)
        for front in fronts:
            self.host.call(connection.send_message, RawMessage(1, front, **fields))
        return connection

    async def shutdown(self):
        await self.host.start(self.messenger.shutdown())


def history(body=None, *, faults=None, seed=0, **options):
    """Turns a coroutine over a simulation into a test."""

    def decorate(coroutine):
        def test():
            run_history(coroutine, seed, faults=faults, **options)

        test.__name__ = coroutine.__name__
        test.__doc__ = coroutine.__doc__
        return test

    return decorate(body) if body is not None else decorate


async def two(sim, one=PEER, other=PEER, **options):
    a, b = Node(sim, 0, one, **options), Node(sim, 1, other, **options)
    await a.bind()
    await b.bind()
    return a, b


# ------------------------------------------------------------------------- there and back


@history
async def test_messages_and_answers(sim):
    a, b = await two(sim)
    b.log.answer = True
    connection = a.send(b, b"1", b"2", data=bytes(300_000))
    await sim.settled(lambda: len(a.log.messages) == 2)
    assert b.log.messages == [b"1", b"2"]
    assert a.log.messages == [b"re:1", b"re:2"]
    assert (a.log.lines, b.log.lines) == (["connect"], ["accept"])
    assert connection.is_connected
    assert str(connection.peer_name) == "osd.1"
    assert connection.peer_addrs == b.messenger.addrs
    assert connection.features == PEER.features_supported
    assert connection.peer_type == EntityType.OSD
    assert b.log.connections[0].auth.entity == "osd.0"


@history
async def test_one_connection_for_one_peer(sim):
    a, b = await two(sim)
    assert a.connect(b) is a.connect(b)
    assert a.messenger.find_connection(b.messenger.addrs) is a.connect(b)
    anonymous = a.messenger.get_connection(EntityType.OSD, b.messenger.addrs, anonymous=True)
    assert anonymous is not a.connect(b)


@history
async def test_both_ends_connect_at_once(sim):
    a, b = await two(sim)
    a.send(b, b"from a")
    b.send(a, b"from b")
    await sim.settled(lambda: a.log.messages and b.log.messages)
    await sim.sleep(60)
    assert a.log.messages == [b"from b"]
    assert b.log.messages == [b"from a"]
    assert len(a.messenger.connections) == len(b.messenger.connections) == 1
    assert a.connect(b).wire.transport is not None


@history
async def test_to_oneself(sim):
    a, b = await two(sim)
    connection = a.connect(a)
    connection.send_message(RawMessage(1, b"note"))
    assert a.log.messages == []
    await sim.sleep(0)
    assert a.log.messages == [b"note"]
    assert connection.is_connected
    assert b.connect(a) is not connection
    await a.shutdown()
    assert connection.is_down


@history
async def test_messages_of_one_turn_go_out_in_one_write(sim):
    a, b = await two(sim)
    a.connect(b)
    await sim.settled(lambda: a.connect(b).is_connected)
    writes = []
    transport = a.connect(b).wire.transport
    write, transport.write = transport.write, lambda data: (writes.append(len(data)), write(data))
    a.send(b, *[b"x" * 100] * 50)
    await sim.settled(lambda: len(b.log.messages) == 50)
    assert len(writes) == 1


@history
async def test_keepalives_come_back(sim):
    a, b = await two(sim)
    connection = a.connect(b)
    connection.send_keepalive()  # at once, or as soon as there is a session
    await sim.settled(lambda: connection.last_keepalive_ack is not None)
    first = float(connection.last_keepalive_ack)
    await sim.sleep(5)
    a.host.call(connection.send_keepalive)
    await sim.settled(lambda: float(connection.last_keepalive_ack) > first)
    assert float(connection.last_keepalive_ack) - first == pytest.approx(5, abs=0.1)
    assert sim.time() - connection.idle_since < 1


# ----------------------------------------------------------------------------- broken transports


@history
async def test_nothing_is_lost_or_doubled_by_resets(sim):
    a, b = await two(sim)
    for n in range(200):
        a.send(b, b"%d" % n)
        b.send(a, b"%d" % n)
        await sim.sleep(sim.rng.random() * 0.01)
        if n % 10 == 0 and a.connect(b).wire is not None and a.connect(b).wire.transport:
            a.connect(b).wire.transport.abort()
    await sim.settled(lambda: len(a.log.messages) == len(b.log.messages) == 200)
    expected = [b"%d" % n for n in range(200)]
    assert a.log.messages == expected
    assert b.log.messages == expected


@history(faults=Faults(reset=0.05, split=0.3, coalesce=0.3, loss=0.05, partition=0.1))
async def test_nothing_is_lost_or_doubled_by_a_bad_network(sim):
    a, b = await two(sim)
    for n in range(300):
        a.send(b, b"%d" % n, data=bytes(sim.rng.choice([0, 100, 70_000])))
        await sim.sleep(sim.rng.random() * 0.05)
    sim.network.calm()
    await sim.settled(lambda: len(b.log.messages) >= 300)
    assert b.log.messages == [b"%d" % n for n in range(300)]


@history
async def test_a_lossy_session_ends_and_says_so(sim):
    a, b = await two(sim, CLIENT, SERVER)
    connection = a.send(b, b"1")
    await sim.settled(lambda: b.log.messages)
    b.host.kill()
    await sim.settled(lambda: "reset" in a.log.lines)
    assert a.log.lines == ["connect", "reset"]
    assert connection.is_down
    assert a.messenger.connections == {}
    assert a.connect(b) is not connection


@history
async def test_nobody_listens_yet(sim):
    a = Node(sim, 0)
    b = Node(sim, 1)
    await a.bind()
    b.messenger.endpoint.addrs = EntityAddrVec.parse(f"v2:{b.host.address}:6800/2")
    a.send(b, b"1")
    await sim.sleep(1)
    assert set(a.log.lines) == {"refused"}
    assert {error.errno for error in a.log.errors} == {errno.ECONNREFUSED}
    assert len(a.log.lines) == 3  # 0 s, 0.2 s, 0.6 s
    await b.bind()
    await sim.settled(lambda: b.log.messages == [b"1"])


@history
async def test_a_peer_that_never_answers(sim):
    a = Node(sim, 0)
    silent = sim.host("silent")
    await silent.start(sim.loop.create_server(asyncio.Protocol, silent.address, 6800))
    addrs = EntityAddrVec.parse(f"v2:{silent.address}:6800/1")
    connection = a.host.call(a.messenger.get_connection, EntityType.OSD, addrs)
    a.host.call(connection.send_message, RawMessage(1, b"anybody?"))
    await sim.sleep(10.1)
    assert a.log.lines == ["refused"]
    assert isinstance(a.log.errors[0], TimedOut)
    await sim.sleep(11)
    assert len(a.log.lines) == 2


@history
async def test_an_idle_session_is_given_up_after_its_timeout(sim):
    timings = Timings(idle_timeout_s=50)
    a, b = await two(sim, CLIENT, SERVER, timings=timings)
    a.connect(b)
    await sim.sleep(49)
    assert a.log.lines == ["connect"]
    await sim.sleep(2)
    assert a.log.lines == ["connect", "reset"]


# ------------------------------------------------------------------------- ending


@history
async def test_marking_down_is_silent_here_and_a_reset_there(sim):
    a, b = await two(sim, CLIENT, SERVER)
    connection = a.send(b, b"1")
    await sim.settled(lambda: b.log.messages)
    a.host.call(connection.mark_down)
    assert connection.is_down
    a.host.call(connection.send_message, RawMessage(1, b"2"))
    await sim.sleep(100)
    assert a.log.lines == ["connect"]
    assert b.log.lines == ["accept", "reset"]
    assert b.log.messages == [b"1"]


@history
async def test_marking_down_by_address_says_so(sim):
    a, b = await two(sim)
    a.connect(b)
    await sim.settled(lambda: a.log.lines)
    a.host.call(a.messenger.mark_down_addrs, b.messenger.addrs)
    a.host.call(a.messenger.mark_down_addrs, b.messenger.addrs)
    assert a.log.lines == ["connect", "reset"]


@history
async def test_marking_down_while_connecting(sim):
    a, b = await two(sim)
    connection = a.send(b, b"1")
    await sim.sleep(0)
    a.host.call(connection.mark_down)
    await sim.sleep(60)
    assert b.log.messages == []
    assert a.log.lines == []


@history
async def test_marking_down_while_messages_are_dispatched(sim):
    a, b = await two(sim, CLIENT, SERVER)
    b.log.on_message = lambda connection, message: connection.mark_down()
    a.send(b, b"1", b"2", b"3")
    await sim.sleep(10)
    assert b.log.messages == [b"1"]


@history
async def test_shutdown_leaves_nothing_behind(sim):
    a, b = await two(sim)
    a.send(b, b"1")
    await sim.settled(lambda: b.log.messages)
    for node in (a, b):
        await node.shutdown()
        assert node.messenger.connections == {}
        with pytest.raises(NotConnected):
            node.connect(a)
    before = sim.loop.steps
    await sim.sleep(10_000)
    assert sim.loop.steps - before < 20


# ------------------------------------------------------------------------- binding


@history
async def test_each_takes_the_first_free_port(sim):
    one, other = Node(sim, 0), Node(sim, 0)
    assert (await one.bind()).addrs[0].port == 6800
    assert (await other.bind()).addrs[0].port == 6801
    with pytest.raises(OSError, match="use"):
        await Node(sim, 0).bind(ports=range(6800, 6802))
    with pytest.raises(OSError, match="use"):
        await Node(sim, 0).bind(port=6800)


class _Closed:
    """A server as uvloop leaves one that lost the race for a port: closed, without an error."""

    sockets = (None,)

    def close(self):
        pass


@history
async def test_a_port_that_somebody_else_took_meanwhile_is_left_to_them(sim):
    node = Node(sim, 0)
    loop, asked = node.messenger.loop, []

    class Losing:
        def __getattr__(self, name):
            return getattr(loop, name)

        async def create_server(self, factory, host, port, **more):
            asked.append(port)
            if len(asked) == 1:
                return _Closed()
            return await loop.create_server(factory, host, port, **more)

    node.messenger.loop = Losing()
    assert (await node.bind()).addrs[0].port == 6801
    assert asked == [6800, 6801]


@history
async def test_rebinding_is_like_a_new_process(sim):
    a, b = await two(sim, CLIENT, SERVER)
    old = b.messenger.addrs
    connection = a.connect(b)
    await sim.settled(lambda: connection.is_connected)
    new = await b.host.start(b.messenger.rebind(frozenset({6801}), range(6800, 6810)))
    assert (old.addrs[0].port, new.addrs[0].port) == (6800, 6802)
    assert new.addrs[0].nonce == old.addrs[0].nonce + 1_000_000
    await sim.settled(lambda: connection.is_down)
    a.send(b, b"there you are")
    await sim.settled(lambda: b.log.messages)
    assert (b.host.address, 6800) not in b.host.servers
    with pytest.raises(OSError, match="no port"):
        await b.host.start(b.messenger.rebind(frozenset(), range(6802, 6803)))


@history
async def test_msgr1_addresses_are_announced_and_not_listened_at(sim):
    a = Node(sim, 0)
    host = a.host.address
    addrs = EntityAddrVec.parse(f"[v2:{host}:6800/0,v1:{host}:6801/0]")
    bound = await a.host.start(a.messenger.bind(addrs))
    assert str(bound) == f"[v2:{host}:6800/1,v1:{host}:6801/1]"
    assert (host, 6801) not in a.host.servers


@history
async def test_a_peer_without_msgr2_cannot_be_connected_to(sim):
    a, _ = await two(sim)
    with pytest.raises(ValueError, match="msgr2"):
        a.messenger.get_connection(EntityType.OSD, EntityAddrVec.parse("v1:10.0.0.9:6789"))


# -------------------------------------------------------------------------------- typed messages


@history
async def test_decoding_is_the_users(sim):
    a, b = await two(sim)
    b.messenger.decode = lambda connection, raw: RawMessage(raw.type, b"<" + raw.front + b">")
    a.send(b, b"1")
    await sim.settled(lambda: b.log.messages)
    assert b.log.messages == [b"<1>"]


def test_what_cannot_be_decoded_ends_the_transport(caplog):
    def decode(connection, raw):
        if raw.front == b"bad":
            raise WireError("not a message")
        return raw

    @history
    async def body(sim):
        a, b = await two(sim, CLIENT, SERVER)
        b.messenger.decode = decode
        a.send(b, b"good", b"bad", b"good again")
        await sim.settled(lambda: "reset" in a.log.lines)
        assert b.log.messages == [b"good"]
        assert b.log.lines == ["accept", "reset"]

    body()
    assert "not a message" in caplog.text


# ------------------------------------------------------------------------- throttles


@history
async def test_a_receiver_that_holds_messages_slows_the_sender_down(sim):
    limit = Throttle(1_000_000)
    policies = PolicySet(SERVER)
    policies.throttle(EntityType.OSD, limit, Throttle(100))
    a, b = await two(sim, CLIENT, policies)
    tickets = []
    b.log.on_message = lambda connection, message: tickets.append(connection.keep_ticket())
    a.send(b, *[b"%d" % n for n in range(100)], data=bytes(100_000))
    await sim.sleep(20)
    assert len(b.log.messages) == 9
    assert limit.current == pytest.approx(900_000, abs=100)
    while len(b.log.messages) < 100:
        b.host.call(tickets.pop(0).release)
        await sim.sleep(0.1)
    assert b.log.messages == [b"%d" % n for n in range(100)]
    for ticket in tickets:
        ticket.release()
    assert limit.current == 0


@history
async def test_what_is_not_held_is_given_back_after_the_call(sim):
    policies = PolicySet(SERVER)
    limit = Throttle(1000)
    policies.throttle(EntityType.OSD, limit)
    a, b = await two(sim, CLIENT, policies)
    a.send(b, *[b"x" * 400] * 100)
    await sim.settled(lambda: len(b.log.messages) == 100)
    assert limit.current == 0


@history
async def test_one_throttle_for_all_peers_of_a_type(sim):
    policies = PolicySet(SERVER)
    policies.throttle(EntityType.OSD, Throttle(1000))
    a, b = await two(sim, CLIENT, policies)
    c = Node(sim, 2, CLIENT)
    tickets = []
    b.log.on_message = lambda connection, message: tickets.append(connection.keep_ticket())
    a.send(b, b"a" * 800)
    await sim.settled(lambda: b.log.messages)
    c.send(b, b"c" * 800)
    await sim.sleep(5)
    assert len(b.log.messages) == 1
    b.host.call(tickets[0].release)
    await sim.settled(lambda: len(b.log.messages) == 2)


# ------------------------------------------------------------------------- strangers


class Stranger(asyncio.Protocol):
    """Connects and says what it was told to say."""

    def __init__(self, words=b""):
        self.words = words
        self.heard = b""
        self.gone = False

    def connection_made(self, transport):
        transport.write(self.words)

    def data_received(self, data):
        self.heard += data

    def connection_lost(self, exc):
        self.gone = True


async def strangers(sim, node, count, words=b""):
    host = sim.host("strangers")
    made = []
    for _ in range(count):
        (addr,) = node.messenger.addrs.addrs
        _, protocol = await host.start(
            sim.loop.create_connection(lambda: Stranger(words), addr.host, addr.port)
        )
        made.append(protocol)
    return made


def test_half_a_frame_for_ever_ends_at_the_deadline_and_is_logged_once(caplog):
    @history
    async def body(sim):
        a, _ = await two(sim)
        made = await strangers(sim, a, 20, BANNER + b"\x01\x01")
        await sim.sleep(9)
        assert not any(stranger.gone for stranger in made)
        await sim.sleep(2)
        assert all(stranger.gone for stranger in made)
        assert a.log.lines == []

    with caplog.at_level(logging.WARNING, "spirula.ms"):
        body()
    (record,) = caplog.records
    assert "not ready after 10 s, in hello" in record.getMessage()


@history
async def test_the_log_is_a_port(sim):
    lines = []
    a, _ = await two(sim, log=lambda level, line: lines.append((level, line)))
    await strangers(sim, a, 3, b"GET / HTTP/1.0\r\n\r\n")
    await sim.sleep(1)
    assert [level for level, _ in lines] == [0, 5, 5]
    assert "banner" in lines[0][1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", "banner"),
        (b"ceph v027" + bytes(200), "msgr1"),
        (BANNER + bytes(200), "segments"),
        (BANNER + b"\xff" * 200, "checksum"),
    ],
)
def test_who_speaks_something_else_is_refused_at_once(caplog, words, reason):
    @history
    async def body(sim):
        a, _ = await two(sim)
        (stranger,) = await strangers(sim, a, 1, words)
        await sim.sleep(1)
        assert stranger.gone

    body()
    assert len(caplog.records) == 1
    assert reason in caplog.text


def test_five_thousand_silent_connections_keep_nobody_out(caplog):
    @history
    async def body(sim):
        a, b = await two(sim)
        made = await strangers(sim, a, 5000)
        assert len(a.messenger._early) <= MessengerLimits().unauthenticated
        b.send(a, b"here I am")
        await sim.settled(lambda: a.log.messages)
        await sim.sleep(11)
        assert all(stranger.gone for stranger in made)
        assert a.messenger._early == {}

    body()
    assert len(caplog.records) <= 2


@history
async def test_a_message_over_the_limit_ends_the_session_of_its_sender_only(sim):
    config = HandshakeConfig(EntityType.OSD, limits=FrameLimits(front=1000))
    a, b = await two(sim, CLIENT, SERVER, config=config)
    c = Node(sim, 2, CLIENT)
    c.connect(b)
    a.send(b, bytes(1001))
    await sim.settled(lambda: "reset" in a.log.lines)
    c.send(b, bytes(1000))
    await sim.settled(lambda: b.log.messages)
    assert "reset" not in c.log.lines
