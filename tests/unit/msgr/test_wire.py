"""The messenger over real sockets, on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest
import uvloop

from spirula.errors import NotConnected
from spirula.msgr.plain import plain_messenger
from spirula.msgr.policies import Policy
from spirula.msgr.protocol.message import RawMessage
from spirula.msgr.protocol.outqueue import OutQueue
from spirula.msgr.wire import failure_rule
from spirula.types.entity import EntityAddrVec, EntityName, EntityType

runners = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
LOOPBACK = EntityAddrVec.parse("v2:127.0.0.1:0")


class Side:
    def __init__(self):
        self.got = asyncio.Queue()
        self.told = []

    def ms_dispatch(self, connection, message):
        self.got.put_nowait((connection, message))

    def ms_handle_connect(self, connection):
        self.told.append("connect")

    def ms_handle_accept(self, connection):
        self.told.append("accept")

    def ms_handle_reset(self, connection):
        self.told.append("reset")
        self.got.put_nowait((connection, None))

    def ms_handle_remote_reset(self, connection):
        self.told.append("remote reset")

    def ms_handle_refused(self, connection, error):
        self.told.append("refused")
        self.got.put_nowait((connection, error))


async def messengers(one, other):
    loop = asyncio.get_running_loop()
    sides = []
    for number, policy in enumerate((one, other)):
        side = Side()
        side.messenger = plain_messenger(
            loop, EntityName(EntityType.OSD, number), policy, side, nonce=number
        )
        await side.messenger.bind(LOOPBACK, range(0))
        sides.append(side)
    return sides


async def ended(*sides):
    for side in sides:
        await side.messenger.shutdown()


@runners
@pytest.mark.parametrize("size", [0, 100, 65_536, 5_000_000])
def test_messages_of_any_size(run, size):
    async def body():
        a, b = await messengers(Policy.lossless_peer(), Policy.lossless_peer())
        connection = a.messenger.get_connection(EntityType.OSD, b.messenger.addrs)
        data = bytes(range(256)) * (size // 256 + 1)
        for number in range(3):
            connection.send_message(RawMessage(1, b"%d" % number, data=data[:size]))
        for number in range(3):
            back, message = await b.got.get()
            assert message.front == b"%d" % number
            assert message.data == data[:size]
            back.send_message(RawMessage(2, message.front, data=message.data))
        for number in range(3):
            _, message = await a.got.get()
            assert message.front == b"%d" % number
            assert message.data == data[:size]
        await ended(a, b)

    run(body())


@runners
def test_nobody_listens(run):
    async def body():
        a, b = await messengers(Policy.lossy_client(), Policy.stateless_server())
        addrs = b.messenger.addrs
        await ended(b)
        (addr,) = addrs.addrs
        with socket.socket() as nobody:
            # So that no other program has the port meanwhile; it does not listen.
            nobody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            nobody.bind((addr.host, addr.port))
            connection = a.messenger.get_connection(EntityType.OSD, addrs)
            _, error = await a.got.get()
            assert error.errno == errno.ECONNREFUSED
            connection.mark_down()
        await ended(a)

    run(body())


@runners
def test_the_end_of_a_peer_is_a_reset(run):
    async def body():
        a, b = await messengers(Policy.lossy_client(), Policy.stateless_server())
        connection = a.messenger.get_connection(EntityType.OSD, b.messenger.addrs)
        connection.send_message(RawMessage(1, b"x"))
        await b.got.get()
        await ended(b)
        assert await a.got.get() == (connection, None)
        assert a.told == ["connect", "reset"]
        await ended(a)

    run(body())


@runners
def test_broken_transports_of_peers_are_replaced(run):
    async def body():
        a, b = await messengers(Policy.lossless_peer(), Policy.lossless_peer())
        connection = a.messenger.get_connection(EntityType.OSD, b.messenger.addrs)
        for number in range(5):
            connection.send_message(RawMessage(1, b"%d" % number))
            back, message = await b.got.get()
            assert message.front == b"%d" % number
            (connection if number % 2 else back).wire.transport.abort()
        await ended(a, b)

    run(body())


@runners
def test_who_only_receives_acknowledges_after_a_while(run, monkeypatch):
    acknowledged = OutQueue.acknowledged

    async def body():
        told = asyncio.Event()

        def noted(queue, seq):
            acknowledged(queue, seq)
            if seq:
                told.set()

        monkeypatch.setattr(OutQueue, "acknowledged", noted)
        a, b = await messengers(Policy.lossless_peer(), Policy.lossless_peer())
        connection = a.messenger.get_connection(EntityType.OSD, b.messenger.addrs)
        connection.send_message(RawMessage(1, b"x"))
        await b.got.get()
        assert connection.session.queue.unacknowledged == 1
        await told.wait()
        assert connection.session.queue.unacknowledged == 0
        await ended(a, b)

    run(body())


def test_failures_of_a_kind_are_told_by_their_rule():
    assert failure_rule(NotConnected("whatever")) == "NotConnected"
