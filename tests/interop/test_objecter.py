"""The objecter against real OSDs: requests, and what becomes of them when OSDs and maps change."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from errno import EBUSY, ENOENT

import pytest

from spirula.cli.credentials import find_key
from spirula.client.session import ClusterSession, open_session
from spirula.conf.load import load
from spirula.errors import CephError, TimedOut
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import Extent, OpCode, OSDOp
from tests.interop.realcluster import RealCluster, real_cluster_of, why_not

Work = Callable[[ClusterSession, ObjectLocator], Awaitable[None]]


def write_full(data: bytes) -> OSDOp:
    return OSDOp.make(OpCode.WRITEFULL, Extent(0, len(data)), data)


def read(length: int = 1 << 20) -> OSDOp:
    return OSDOp.make(OpCode.READ, Extent(0, length))


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with real_cluster_of(managers=False) as made:
        made.run("ceph", "osd", "pool", "create", "objects", "8", "8")
        yield made


@pytest.fixture
def on_cluster(cluster: RealCluster) -> Callable[[Work], None]:
    """Runs work with a session, and the locator of a pool."""

    def run(work: Work) -> None:
        async def inside() -> None:
            config = load(["-c", str(cluster.conf)]).config
            session = await open_session(
                config, find_key(config), clock=time.time, random_bytes=os.urandom, timeout_s=60
            )
            try:
                async with asyncio.timeout(150):
                    await session.objecter.newest_map()
                    pools = session.objecter.maps.osdmap.pool_name
                    number = next(key for key, name in pools.items() if name == "objects")
                    await work(session, ObjectLocator(number))
            finally:
                await session.close()

        asyncio.run(inside())

    return run


def test_many_requests_at_once_keep_their_order(on_cluster) -> None:
    async def work(session: ClusterSession, locator: ObjectLocator) -> None:
        operate = session.objecter.operate
        names = [f"object {n}" for n in range(50)]
        writes = [operate(name, locator, [write_full(name.encode())]) for name in names]
        appends = [
            operate(name, locator, [OSDOp.make(OpCode.APPEND, Extent(0, 1), b"%d" % n)])
            for name in names
            for n in range(5)
        ]
        for outcome in await asyncio.gather(*writes, *appends):
            outcome.check()
        for name in names:
            outcome = await operate(name, locator, [read()])
            assert bytes(outcome.check().ops[0].outdata) == name.encode() + b"01234"

    on_cluster(work)


def test_what_is_not_there(on_cluster) -> None:
    async def work(session: ClusterSession, locator: ObjectLocator) -> None:
        assert (await session.objecter.operate("nothing", locator, [read()])).result == -ENOENT
        outcome = await session.objecter.operate("any", ObjectLocator(4711), [read()])
        assert outcome.result == -ENOENT

    on_cluster(work)


def test_a_killed_osd_delays_writes_and_loses_none(on_cluster, cluster: RealCluster) -> None:
    async def work(session: ClusterSession, locator: ObjectLocator) -> None:
        operate = session.objecter.operate
        acknowledged: dict[str, int] = {}

        async def write(name: str) -> None:
            for n in range(60):
                outcome = await operate(name, locator, [write_full(b"%d" % n)], timeout_s=100)
                outcome.check()
                acknowledged[name] = n
                await asyncio.sleep(0.02)

        writers = [asyncio.create_task(write(f"writer {n}")) for n in range(8)]
        await asyncio.sleep(0.3)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, cluster.kill, "osd.1")
        try:
            await asyncio.sleep(1)
            await loop.run_in_executor(None, cluster.run, "ceph", "osd", "down", "1")
            await asyncio.gather(*writers)
        finally:
            cluster.launch("osd.1")
        for name, last in acknowledged.items():
            outcome = await operate(name, locator, [read()])
            assert bytes(outcome.check().ops[0].outdata) == b"%d" % last

    on_cluster(work)
    cluster.wait_ready()


def test_a_pause_holds_writes_back(on_cluster, cluster: RealCluster) -> None:
    async def work(session: ClusterSession, locator: ObjectLocator) -> None:
        operate = session.objecter.operate
        await session.command({"prefix": "osd set", "key": "pause"})
        try:
            await session.objecter.newest_map()
            with pytest.raises(TimedOut, match="not sent"):
                await operate("paused", locator, [write_full(b"1")], timeout_s=0.5)
            waiting = asyncio.create_task(operate("paused", locator, [write_full(b"2")]))
            await asyncio.sleep(0.3)
            assert not waiting.done()
        finally:
            await session.command({"prefix": "osd unset", "key": "pause"})
        (await waiting).check()

    on_cluster(work)


def test_requests_follow_their_pg_when_it_splits(on_cluster, cluster: RealCluster) -> None:
    async def work(session: ClusterSession, locator: ObjectLocator) -> None:
        operate = session.objecter.operate
        writes = [operate(f"split {n}", locator, [write_full(b"%d" % n)]) for n in range(100)]
        writing = asyncio.gather(*writes)
        # What the manager does step by step after `pg_num` was set.
        change = {"prefix": "osd pool set", "pool": "objects", "var": "pg_num_actual", "val": "16"}
        for _ in range(400):
            if (await session.command(change)).result != -EBUSY:
                break
            await asyncio.sleep(0.2)  # its first PGs are still being created
        await session.objecter.newest_map()
        assert session.objecter.maps.osdmap.pools[locator.pool].pg_num == 16
        for outcome in await writing:
            outcome.check()
        for n in range(100):
            outcome = await operate(f"split {n}", locator, [read()])
            assert bytes(outcome.check().ops[0].outdata) == b"%d" % n

    on_cluster(work)


def test_watchers_are_told_and_stay_watchers_when_osds_change(
    on_cluster, cluster: RealCluster
) -> None:
    async def work(session: ClusterSession, locator: ObjectLocator) -> None:
        lingers = session.lingers
        (await session.objecter.operate("watched", locator, [write_full(b"")])).check()
        heard: list[bytes] = []
        errors: list[CephError] = []
        replies: set[asyncio.Task[None]] = set()

        def on_notify(notify_id: int, _gid: int, payload: bytes) -> None:
            heard.append(payload)
            answer = lingers.acknowledge(watch, notify_id, b"got it")
            replies.add(asyncio.create_task(answer))

        watch = await lingers.watch("watched", locator, on_notify, errors.append)
        reply = await lingers.notify("watched", locator, b"hello", timeout_s=30)
        assert heard == [b"hello"]
        assert [answer for _, answer in reply.acks] == [b"got it"]
        assert not reply.missed
        primary = watch.target.osd
        await session.command({"prefix": "osd down", "ids": [str(primary)]})
        await session.objecter.newest_map()
        reply = await lingers.notify("watched", locator, b"again", timeout_s=30)
        assert heard[-1] == b"again"
        assert not errors
        await lingers.unwatch(watch)
        reply = await lingers.notify("watched", locator, b"nobody", timeout_s=30)
        assert not reply.acks

    on_cluster(work)
    cluster.wait_ready()
