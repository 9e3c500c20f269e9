"""The session with the monitors, on virtual time."""

from __future__ import annotations

from spirula.client.mon_client import MonClient, MonTimings
from spirula.types.entity import EntityAddrVec
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

    def get_connection(self, peer_type, addrs, *, anonymous=False):
        connection = Connection()
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
