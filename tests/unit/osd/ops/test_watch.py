"""Watches over time: pings, lost connections, new intervals, objects that cannot be written.

Answers and messages are compared with a real OSD in tests/interop/test_osd_watches_alike.py.
"""

from __future__ import annotations

import errno

import pytest

from spirula.messages.osd_client import WatchEvent
from spirula.osd.ops import watch
from spirula.types.object_info import ListWatchersResponse
from spirula.types.osd_op import NotifyArgs, OpCode, OSDOp, WatchArgs, WatchOp
from spirula.types.osd_op_payload import NotifyAckInput, NotifyInput, NotifyReply
from tests.unit.osd.ops.memory_pg import Client, MemoryPG
from tests.unit.osd.ops.scripts import create, delete, stat, write

LIST = OSDOp.make(OpCode.LIST_WATCHERS)
NAME = "watched"


@pytest.fixture
def pg():
    made = MemoryPG()
    made.ask(NAME, create())
    return made


@pytest.fixture
def client():
    return Client()


def op(kind, cookie=7, timeout=30):
    return OSDOp.make(OpCode.WATCH, WatchArgs(cookie, 0, kind, 0, timeout))


def notify(timeout=10):
    data = NotifyInput(1, timeout, b"news").encode()
    return OSDOp.make(OpCode.NOTIFY, NotifyArgs(99), data)


def acknowledge(pg, client, number, reply=b"", cookie=7):
    data = NotifyAckInput(number, cookie, reply).encode()
    return pg.ask(NAME, OSDOp.make(OpCode.NOTIFY_ACK, None, data), client=client).result


def watchers(pg):
    listed = ListWatchersResponse.decode(pg.ask(NAME, LIST).data[0])
    return [(each.name.num, each.cookie) for each in listed.entries]


def events(client):
    told, client.sent = client.sent, []
    return [WatchEvent(each.opcode) for each in told]


def test_a_watch_lives_as_long_as_it_is_pinged(pg, client):
    pg.ask(NAME, op(WatchOp.WATCH), client=client)
    for _ in range(5):
        pg.clock.advance(20)
        assert pg.ask(NAME, op(WatchOp.PING), client=client).result == 0
    assert watchers(pg) == [(client.num, 7)]
    pg.clock.advance(31)
    assert watchers(pg) == []
    assert events(client) == [WatchEvent.DISCONNECT]
    assert pg.ask(NAME, op(WatchOp.PING), client=client).result == -errno.ENOTCONN


def test_a_lost_connection_can_be_taken_up(pg, client):
    pg.ask(NAME, op(WatchOp.WATCH), client=client)
    watch.on_reset(client)
    assert pg.ask(NAME, op(WatchOp.PING), client=client).result == -errno.ETIMEDOUT
    number = int.from_bytes(pg.ask(NAME, notify(), client=Client(5)).data[0], "little")
    assert events(client) == []
    again = Client()
    assert pg.ask(NAME, op(WatchOp.RECONNECT), client=again).result == 0
    assert [each.notify_id for each in again.sent] == [number]
    assert watchers(pg) == [(client.num, 7)]


def test_a_watch_of_old_is_timed_from_its_connections_end(pg, client):
    pg.ask(NAME, op(WatchOp.LEGACY_WATCH), client=client)
    pg.clock.advance(1000)
    assert watchers(pg) == [(client.num, 7)]
    watch.on_reset(client)
    pg.clock.advance(29)
    assert watchers(pg) == [(client.num, 7)]
    pg.clock.advance(2)
    assert watchers(pg) == []


def test_watches_outlive_an_interval(pg, client):
    pg.ask(NAME, op(WatchOp.WATCH), client=client)
    pg.ask(NAME, notify(), client=Client(5))
    events(client)
    pg.forget()
    assert not client.watches
    assert watchers(pg) == [(client.num, 7)]
    assert pg.ask(NAME, op(WatchOp.PING), client=client).result == -errno.ETIMEDOUT
    assert pg.ask(NAME, op(WatchOp.RECONNECT), client=client).result == 0
    assert pg.ask(NAME, op(WatchOp.PING), client=client).result == 0
    assert events(client) == []


def test_a_watch_nobody_takes_up_ends_in_the_next_interval(pg, client):
    pg.ask(NAME, op(WatchOp.WATCH), client=client)
    pg.forget()
    pg.ask(NAME, stat())
    pg.clock.advance(31)
    assert watchers(pg) == []


def test_the_end_of_a_watch_waits_until_its_object_can_be_written(pg, client):
    pg.ask(NAME, op(WatchOp.WATCH), client=client)
    hoid = pg.hobject(NAME)
    pg.unwritable[hoid] = []
    pg.clock.advance(31)
    assert watchers(pg) == [(client.num, 7)]
    (resume,) = pg.unwritable.pop(hoid)
    resume()
    assert watchers(pg) == []


def test_watches_of_blocklisted_clients_end(pg, client):
    other = Client(4200)
    pg.ask(NAME, op(WatchOp.WATCH), client=client)
    pg.ask(NAME, op(WatchOp.WATCH), client=other)
    pg.blocklisted.add(client.addr)
    watch.drop_blocklisted(pg, pg.contexts[pg.hobject(NAME)])
    assert watchers(pg) == [(other.num, 7)]
    assert events(client) == [WatchEvent.DISCONNECT]


def test_a_notification_tells_who_did_not_answer(pg, client):
    other, notifier = Client(4200), Client(5)
    pg.ask(NAME, op(WatchOp.WATCH), client=client)
    pg.ask(NAME, op(WatchOp.WATCH), client=other)
    number = int.from_bytes(pg.ask(NAME, notify(3), client=notifier).data[0], "little")
    acknowledge(pg, client, number, b"here")
    pg.clock.advance(3.5)
    (told,) = notifier.sent
    reply = NotifyReply.decode(bytes(told.data))
    assert told.return_code == -errno.ETIMEDOUT
    assert reply.acks == [((client.num, 7), b"here")]
    assert reply.missed == [(other.num, 7)]
    acknowledge(pg, other, number, b"late")
    assert len(notifier.sent) == 1


def test_a_watch_that_ends_is_not_waited_for(pg, client):
    notifier = Client(5)
    pg.ask(NAME, op(WatchOp.WATCH), client=client)
    pg.ask(NAME, notify(), client=notifier)
    pg.ask(NAME, op(WatchOp.UNWATCH), client=client)
    (told,) = notifier.sent
    assert told.return_code == 0
    assert NotifyReply.decode(bytes(told.data)) == NotifyReply([], [])


def test_a_refused_request_neither_begins_nor_ends_a_watch(pg, client):
    guard = OSDOp.make(OpCode.ASSERT_VER)
    assert pg.ask(NAME, op(WatchOp.WATCH), guard, client=client).result == -errno.EINVAL
    assert watchers(pg) == []
    assert not client.watches
    pg.ask(NAME, op(WatchOp.WATCH), client=client)
    assert pg.ask(NAME, delete(), guard).result == -errno.EINVAL
    assert watchers(pg) == [(client.num, 7)]
    assert events(client) == []


def test_writes_keep_watches(pg, client):
    pg.ask(NAME, op(WatchOp.WATCH), client=client)
    pg.ask(NAME, write(0, b"data"))
    pg.forget()
    assert watchers(pg) == [(client.num, 7)]
