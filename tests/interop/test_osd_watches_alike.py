"""Watches at a real OSD, at ours in memory and at ours as processes.

Requests have the same answers, clients are sent the same messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import spirula.client.session as sessions
from spirula.cli.credentials import find_key
from spirula.client.session import ClusterSession
from spirula.conf.load import load
from spirula.messages.base import Message
from spirula.messages.osd_client import MWatchNotify
from spirula.msgr.connection import Connection
from spirula.types.base import EVersion
from spirula.types.object_info import ListWatchersResponse, ObjectLocator
from spirula.types.osd_op import NotifyArgs, OpCode, OSDOp, WatchArgs, WatchOp
from spirula.types.osd_op_payload import NotifyAckInput, NotifyInput, NotifyReply
from tests.interop.realcluster import RealCluster
from tests.interop.spirulacluster import OurCluster, our_cluster
from tests.unit.osd.ops.memory_pg import Client, MemoryPG
from tests.unit.osd.ops.scripts import create, delete, full, rollback

POOL = "spirula-watches-alike"


@dataclass(slots=True, eq=False)
class WatchingSession(ClusterSession):
    """A session that keeps what it is told of watches."""

    told: list[MWatchNotify] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def ms_dispatch(self, connection: Connection, message: Message) -> None:
        """Messages of watches are kept, others go their way."""
        if isinstance(message, MWatchNotify):
            self.told.append(message)
            self.more.set()
        else:
            ClusterSession.ms_dispatch(self, connection, message)


class Sides:
    """Two clients of a real pool and of ours, who do the same things in turn."""

    def __init__(self, runner: asyncio.Runner, real: list[WatchingSession], pool: int) -> None:
        self.runner = runner
        self.real = real
        self.pool = pool
        self.ours = MemoryPG()
        self.clients = [Client(4100 + n) for n in range(len(real))]
        # both PGs go on from the same version
        first = runner.run(
            real[0].objecter.operate("first", ObjectLocator(pool), [full(os.urandom(8))])
        )
        self.ours.info.last_update = EVersion(first.version, 7)
        self.ours.info.last_user_version = first.version
        self.ids: tuple[dict[int, str], dict[int, str]] = {}, {}

    def do(self, who: int, name: str, op: OSDOp, theirs: OSDOp | None = None) -> int:
        """One request on both sides; its result."""
        mine = self.ours.ask(name, op, client=self.clients[who])
        told = self.runner.run(
            self.real[who].objecter.operate(
                name, ObjectLocator(self.pool), [theirs or op], timeout_s=60
            )
        )
        assert mine.result == told.result
        shown = (
            self._shown(0, op, bytes(mine.ops[0].outdata)),
            self._shown(1, op, bytes(told.ops[0].outdata)),
        )
        assert shown[0] == shown[1]
        return mine.result

    def _shown(self, side: int, op: OSDOp, data: bytes) -> object:
        if op.op == OpCode.NOTIFY and data:
            return self._named(side, int.from_bytes(data, "little"))
        if op.op == OpCode.LIST_WATCHERS and data:
            listed = ListWatchersResponse.decode(data).entries
            who = {self._gid(side, n): n for n in range(len(self.clients))}
            return [
                (each.cookie, who[each.name.num], each.timeout_seconds, each.addr.host)
                for each in listed
            ]
        return data

    def _gid(self, side: int, who: int) -> int:
        if side == 0:
            return self.clients[who].num
        return self.real[who].messenger.endpoint.name.num

    def _named(self, side: int, number: int) -> str:
        """Ids of notifications by their order, as both sides count by themselves."""
        known = self.ids[side]
        if number and number not in known:
            known[number] = f"notification {len(known)}"
        return known.get(number, "none")

    def notify_id(self, index: int) -> tuple[int, int]:
        """The ids of a notification on both sides."""
        name = f"notification {index}"
        mine, theirs = ({shown: number for number, shown in each.items()} for each in self.ids)
        return mine[name], theirs[name]

    def messages(self, who: int, count: int) -> list[Any]:
        """What a client was told on both sides, which must be `count` things."""
        mine = [self._message(0, each) for each in self.clients[who].sent]
        assert len(mine) == count, mine
        self.runner.run(self._wait(who, count))
        theirs = [self._message(1, each) for each in self.real[who].told]
        self.clients[who].sent.clear()
        self.real[who].told.clear()
        assert mine == theirs
        return mine

    async def _wait(self, who: int, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.real[who].told) < count:
                self.real[who].more.clear()
                await self.real[who].more.wait()
        await asyncio.sleep(0.1)  # for what should not come

    def _message(self, side: int, told: MWatchNotify) -> object:
        who = {self._gid(side, n): n for n in range(len(self.clients))}
        data: object = b""
        if told.data:
            reply = NotifyReply.decode(bytes(told.data))
            data = (
                [((who[gid], cookie), answer) for (gid, cookie), answer in reply.acks],
                sorted((who[gid], cookie) for gid, cookie in reply.missed),
            )
        return (
            *(told.opcode, told.cookie, told.version, self._named(side, told.notify_id)),
            *(bytes(told.payload), told.return_code, who.get(told.notifier_gid), data),
        )


@pytest.fixture(params=["real", "ours"])
def sides(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    """Clients of a real cluster, or of one of ours."""
    monkeypatch.setattr(sessions, "ClusterSession", WatchingSession)
    if request.param == "real":
        with _sides(request.getfixturevalue("real_cluster")) as made:
            yield made
    else:
        with our_cluster(1, osds=3) as cluster, _sides(cluster) as made:
            yield made


@contextlib.contextmanager
def _sides(cluster: RealCluster | OurCluster) -> Iterator[Sides]:
    if POOL not in json.loads(cluster.run("ceph", "osd", "pool", "ls", "-f", "json")):
        cluster.run("ceph", "osd", "pool", "create", POOL, "1")
        cluster.run("ceph", "osd", "pool", "application", "enable", POOL, "test")
    config = load(["-c", str(cluster.conf)]).config
    pools: Any = cluster.ceph_json("osd", "pool", "ls", "detail")
    (number,) = [each["pool_id"] for each in pools if each["pool_name"] == POOL]
    with asyncio.Runner() as runner:
        made = [
            runner.run(
                sessions.open_session(
                    config, find_key(config), clock=time.time, random_bytes=os.urandom, timeout_s=60
                )
            )
            for _ in range(2)
        ]
        try:
            yield Sides(runner, made, number)
        finally:
            for session in made:
                runner.run(session.close())


def watch(kind: WatchOp, cookie: int = 7, timeout: int = 90) -> OSDOp:
    return OSDOp.make(OpCode.WATCH, WatchArgs(cookie, 0, kind, 0, timeout))


def notify(payload: bytes, timeout: int = 60, cookie: int = 99) -> OSDOp:
    data = NotifyInput(1, timeout, payload).encode()
    return OSDOp.make(OpCode.NOTIFY, NotifyArgs(cookie), data)


def ack(sides: Sides, who: int, name: str, index: int, cookie: int, reply: bytes) -> None:
    mine, theirs = (
        OSDOp.make(OpCode.NOTIFY_ACK, None, NotifyAckInput(number, cookie, reply).encode())
        for number in sides.notify_id(index)
    )
    sides.do(who, name, mine, theirs)


LIST = OSDOp.make(OpCode.LIST_WATCHERS)


def test_watches_begin_end_and_are_told(sides: Sides) -> None:
    a, b, name = 0, 1, "watched"
    do = sides.do
    do(a, name, watch(WatchOp.WATCH))
    do(a, name, notify(b"nobody there"))
    do(a, name, create())
    do(b, name, notify(b"nobody listens"))
    assert len(sides.messages(b, 1)) == 1
    for kind in (WatchOp.PING, WatchOp.RECONNECT, WatchOp.UNWATCH, WatchOp.WATCH, WatchOp.WATCH):
        do(a, name, watch(kind))
        do(b, name, LIST)
    do(a, name, watch(WatchOp.PING))
    do(a, name, watch(WatchOp.PING, 8))
    do(b, name, watch(WatchOp.PING))
    do(b, name, watch(WatchOp.WATCH, 7, 0))
    do(b, name, watch(WatchOp.WATCH, 5, 100))
    do(a, name, LIST)
    do(b, name, notify(b"hello"))
    sides.messages(a, 1)
    sides.messages(b, 2)
    ack(sides, a, name, 1, 7, b"from a")
    ack(sides, a, name, 1, 7, b"once more")
    ack(sides, b, name, 1, 7, b"")
    ack(sides, b, name, 1, 1234, b"by nobody")
    ack(sides, b, name, 1, 5, b"from b")
    sides.messages(b, 1)
    # one of three answers in time, also where a request takes long
    do(a, name, notify(b"in short", timeout=3))
    sides.messages(a, 1)
    sides.messages(b, 2)
    ack(sides, b, name, 2, 5, b"soon")
    sides.ours.clock.advance(3.5)
    sides.messages(a, 1)
    do(b, name, watch(WatchOp.UNWATCH, 7))
    do(b, name, OSDOp.make(OpCode.NOTIFY, NotifyArgs(3), b"bad"))
    sides.messages(a, 1)
    sides.messages(b, 1)
    do(a, name, watch(WatchOp.UNWATCH))
    do(a, name, watch(WatchOp.UNWATCH))
    do(b, name, watch(WatchOp.UNWATCH, 5))
    sides.messages(b, 1)
    do(a, name, LIST)
    do(b, name, watch(WatchOp.LEGACY_WATCH, 11))
    do(a, name, rollback(3))
    do(a, name, delete())
    sides.messages(b, 1)
    do(b, name, LIST)


def test_a_watch_without_pings_ends(sides: Sides) -> None:
    name = "left alone"
    sides.do(0, name, full(b"data"))
    sides.do(0, name, watch(WatchOp.WATCH, 3, 2))
    sides.ours.clock.advance(2.5)
    sides.messages(0, 1)
    sides.do(1, name, LIST)
    sides.do(0, name, watch(WatchOp.PING, 3))
    sides.do(0, name, watch(WatchOp.RECONNECT, 3))
