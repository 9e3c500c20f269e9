"""The session with the monitors, on virtual time."""

from __future__ import annotations

from spirula.client.mon_client import MonClient, MonTimings
from spirula.messages.auth import MAuth, MAuthReply
from spirula.types.entity import EntityAddrVec, EntityType
from tests.unit.auth.world import START, World
from tests.unit.mon.harness import FakeConnection, VirtualLoop

MONITORS = [EntityAddrVec.parse(f"v2:127.0.0.1:{port}/0") for port in (3300, 3301, 3302)]


class Connection(FakeConnection):
    def send_keepalive(self):
        self.sent.append("keepalive")


class Auth:
    """Has nothing to renew."""

    rotating = None

    def clock(self):
        return 0.0

    def next_deadline(self):
        return None

    def renewal(self):
        return None

    rotating_renewal = renewal


class Messenger:
    """Each session opens at once; when it was asked for is in `dialed`."""

    def __init__(self, loop):
        self.loop = loop
        self.dialed = []
        self.client = None
        self.make = Connection

    def get_connection(self, peer_type, addrs, *, anonymous=False):
        connection = self.make()
        self.dialed.append(self.loop.time())
        self.loop.call_soon(lambda: self.client.on_connect(connection))
        return connection


def connected(**timings):
    loop = VirtualLoop()
    messenger = Messenger(loop)
    client = MonClient(
        loop, messenger, Auth(), MONITORS, shuffle=lambda addrs: None, timings=MonTimings(**timings)
    )
    messenger.client = client
    client._hunt()
    loop.run_until(loop.now)
    assert client.connection is not None
    return loop, messenger, client


def test_a_session_that_broke_is_followed_by_another_at_once():
    loop, messenger, client = connected()
    for _ in range(5):
        loop.run_until(loop.now + 60.0)
        before = len(messenger.dialed)
        client.on_reset(client.connection)
        loop.run_until(loop.now)
        assert len(messenger.dialed) == before + 1


def test_sessions_that_break_when_they_open_are_not_tried_in_a_tight_loop():
    loop, messenger, client = connected(hunt_interval_s=3.0)
    began = loop.now
    while loop.now < began + 60.0:
        if client.connection is not None:
            client.on_reset(client.connection)
        loop.run_until(loop.now + 0.01)
    pauses = [b - a for a, b in zip(messenger.dialed, messenger.dialed[1:], strict=False)]
    assert pauses[0] == 0.0, "once may be by chance"
    assert len(messenger.dialed) < 30
    assert 2.9 < max(pauses) < 3.1
    # Whoever holds again, begins anew.
    loop.run_until(loop.now + 60.0)
    before = len(messenger.dialed)
    client.on_reset(client.connection)
    loop.run_until(loop.now)
    assert len(messenger.dialed) == before + 1


class SlowMonitor:
    """Answers requests for tickets `delay_s` later, each as it was when it came."""

    def __init__(self, loop, messenger, world, delay_s):
        self.loop, self.messenger, self.world, self.delay_s = loop, messenger, world, delay_s
        self.under_way, self.most, self.asked = 0, 0, 0

    def log_in(self, auth):
        """A connection over which MAuth is answered, as long as it is up."""
        server = self.world.login(auth)
        connection = Connection()
        connection.send_message = lambda message: self.take(server, connection, message)
        return connection

    def take(self, server, connection, message):
        """What the client sends."""
        if isinstance(message, MAuth):
            self.under_way, self.asked = self.under_way + 1, self.asked + 1
            self.most = max(self.most, self.under_way)
            payload = server.session.on_request(message.auth_payload, None).payload
            self.loop.call_later(self.delay_s, self.answer, connection, payload)

    def answer(self, connection, payload):
        """What the client gets."""
        self.under_way -= 1
        if not connection.is_down:
            self.messenger.client.on_message(connection, MAuthReply(result_bl=payload))


def test_tickets_that_are_renewed_slower_than_they_fall_due_end_no_session():
    loop = VirtualLoop()
    world = World(options={}, now=START)
    world.key_server.mon_ticket_ttl_s = world.key_server.service_ticket_ttl_s = 8.0
    auth = world.client()
    began = loop.now

    def clock():
        world.now = START + loop.now - began
        world.rotate()
        return world.now

    auth.clock = clock
    messenger = Messenger(loop)
    monitor = SlowMonitor(loop, messenger, world, delay_s=2.5)
    messenger.make = lambda: monitor.log_in(auth)
    client = MonClient(loop, messenger, auth, MONITORS, shuffle=lambda addrs: None)
    messenger.client = client
    client._hunt()
    for second in range(120):
        loop.run_until(began + second)
        clock()
    assert len(messenger.dialed) == 1, client._last_refusal
    assert monitor.most == 1
    assert monitor.asked > 10
    assert set(auth.tickets.tickets) >= {EntityType.MON, EntityType.OSD, EntityType.AUTH}


def test_a_request_for_tickets_that_nobody_answers_is_made_again():
    loop = VirtualLoop()
    world = World()
    auth = world.client()
    messenger = Messenger(loop)
    monitor = SlowMonitor(loop, messenger, world, delay_s=1e9)
    messenger.make = lambda: monitor.log_in(auth)
    client = MonClient(loop, messenger, auth, MONITORS, shuffle=lambda addrs: None)
    messenger.client = client
    client._hunt()
    loop.run_until(loop.now + 1)
    world.now = START + 2700
    client._renew()
    loop.run_until(loop.now + client.timings.ping_timeout_s - 2)
    assert monitor.asked == 1
    loop.run_until(loop.now + 5)
    assert monitor.asked == 2
