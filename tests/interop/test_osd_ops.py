"""Requests of ours that a real OSD carries out, and its replies.

What is written here is read back with Debian's `rados`.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import spirula.client.session as sessions
from spirula.cli.credentials import find_key
from spirula.client.session import ClusterSession
from spirula.conf.load import load
from spirula.messages.base import Message
from spirula.messages.osd_op import MOSDOp, MOSDOpReply
from spirula.msgr.connection import Connection
from spirula.types.base import UTime
from spirula.types.entity import EntityType
from spirula.types.hobject import NOSNAP, SNAPDIR, HObject
from spirula.types.listing import PGNLSResponse
from spirula.types.object_info import ListWatchersResponse, ObjectLocator
from spirula.types.osd_op import (
    AllocHintArgs,
    ChecksumArgs,
    ChecksumType,
    CmpXattrMode,
    CmpXattrOp,
    CopyFromArgs,
    Extent,
    ListArgs,
    OpCode,
    OSDOp,
    RequestFlag,
    WatchArgs,
    WatchOp,
    WriteSameArgs,
)
from spirula.types.osd_op_payload import (
    CopyFromInput,
    OmapCmpInput,
    OmapEntries,
    OmapGetKeysInput,
    OmapGetKeysReply,
    OmapGetValsInput,
    OmapGetValsReply,
    OmapKeys,
    OmapRmKeyRangeInput,
    SparseReadReply,
    StatReply,
)
from spirula.types.pg import PGId, SPGId
from spirula.types.snap import ListSnapsResponse
from tests.interop.realcluster import RealCluster

POOL, PG_NUM = "spirula-osd-ops", 8
READ = RequestFlag.READ | RequestFlag.KNOWN_IF_REDIRECTED
WRITE = RequestFlag.WRITE | RequestFlag.ONDISK | RequestFlag.KNOWN_IF_REDIRECTED | READ


@dataclass(slots=True, eq=False)
class OpsSession(ClusterSession):
    """A session that sends requests to OSDs as well."""

    replies: dict[int, asyncio.Future[MOSDOpReply]] = field(default_factory=dict)

    def ms_dispatch(self, connection: Connection, message: Message) -> None:
        """Replies go to who asked."""
        if isinstance(message, MOSDOpReply):
            self.replies.pop(message.tid).set_result(message)
        else:
            ClusterSession.ms_dispatch(self, connection, message)


@dataclass(slots=True)
class Objects:
    """Objects of one pool, through one session; where they are is asked of `ceph osd map`."""

    session: OpsSession
    cluster: RealCluster
    tid: int = 0

    async def ask(
        self, name: str, *ops: OSDOp, flags: int = WRITE, snap: int = NOSNAP
    ) -> MOSDOpReply:
        """Carries out operations on an object."""
        where: Any = self.cluster.ceph_json("osd", "map", POOL, name)
        raw, pgid = PGId.parse(where["raw_pgid"]), PGId.parse(where["pgid"])
        hobj = HObject.of(raw.pool, name, raw.seed, snap=snap)
        if ops[0].op == OpCode.PGNLS:
            hobj = HObject("", "", snap, pgid.seed, False, "", raw.pool)
        self.tid += 1
        request = MOSDOp(
            SPGId(pgid),
            hobj,
            list(ops),
            where["epoch"],
            flags,
            mtime=UTime.at(time.time()),
            retry_attempt=0,
        )
        request.tid = self.tid
        self.session.replies[self.tid] = future = asyncio.get_running_loop().create_future()
        addrs = await self.session._osd_addrs(str(where["acting_primary"]))
        connection = self.session.messenger.get_connection(EntityType.OSD, addrs)
        connection.send_message(request)
        async with asyncio.timeout(60):
            return await future

    async def read(self, name: str, op: OSDOp) -> bytes:
        """What a reading operation answers."""
        reply = await self.ask(name, op, flags=READ)
        assert reply.result >= 0, reply
        return bytes(reply.ops[0].outdata)


@pytest.fixture
def on_objects(
    real_cluster: RealCluster, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Objects], Awaitable[None]]], None]:
    """Runs a coroutine with the objects of a pool of our own."""
    monkeypatch.setattr(sessions, "ClusterSession", OpsSession)
    pools = json.loads(real_cluster.run("ceph", "osd", "pool", "ls", "-f", "json"))
    if POOL not in pools:
        real_cluster.run("ceph", "osd", "pool", "create", POOL, str(PG_NUM))
        real_cluster.run("ceph", "osd", "pool", "application", "enable", POOL, "test")

    def run(work: Callable[[Objects], Awaitable[None]]) -> None:
        async def inside() -> None:
            config = load(["-c", str(real_cluster.conf)]).config
            session = await sessions.open_session(
                config, find_key(config), clock=time.time, random_bytes=os.urandom, timeout_s=60
            )
            assert isinstance(session, OpsSession)
            try:
                await work(Objects(session, real_cluster))
            finally:
                await session.close()

        asyncio.run(inside())

    return run


def test_data_that_we_write_is_there_for_rados(
    on_objects: Callable[..., None], real_cluster: RealCluster
) -> None:
    text = "written by spirula\n"

    async def work(objects: Objects) -> None:
        hint = OSDOp.make(OpCode.SETALLOCHINT, AllocHintArgs(4 << 20, 4096, 0))
        full = OSDOp.make(OpCode.WRITEFULL, Extent(0, len(text)), text.encode())
        reply = await objects.ask("data", hint, full)
        assert reply.result == 0
        assert reply.oid == "data"
        assert reply.replay_version
        assert reply.user_version == reply.replay_version.version
        again = await objects.ask("data", OSDOp.make(OpCode.APPEND, Extent(0, 3), b"end"))
        assert again.user_version > reply.user_version

    on_objects(work)
    assert real_cluster.run("rados", "-p", POOL, "get", "data", "-") == text + "end"


def test_every_way_to_read_data(on_objects: Callable[..., None]) -> None:
    async def work(objects: Objects) -> None:
        payload = bytes(range(256)) * 512
        write = OSDOp.make(OpCode.WRITE, Extent(0, len(payload)), payload)
        assert (await objects.ask("big", write)).result == 0
        assert await objects.read("big", OSDOp.make(OpCode.READ, Extent(0, 1 << 20))) == payload
        assert await objects.read("big", OSDOp.make(OpCode.READ, Extent(5, 7))) == payload[5:12]
        stat = StatReply.decode(await objects.read("big", OSDOp.make(OpCode.STAT)), exact=True)
        assert stat.size == len(payload)
        assert abs(float(stat.mtime) - time.time()) < 60
        sparse = await objects.read("big", OSDOp.make(OpCode.SPARSE_READ, Extent(0, 1 << 20)))
        got = SparseReadReply.decode(sparse, exact=True)
        assert (got.extents, got.data) == ({0: len(payload)}, payload)
        checksum = ChecksumArgs(0, 4096, 0, ChecksumType.CRC32C)
        seed = b"\xff\xff\xff\xff"
        answer = await objects.read("big", OSDOp.make(OpCode.CHECKSUM, checksum, seed))
        assert int.from_bytes(answer[:4], "little") == 1
        both = await objects.ask(
            "big",
            OSDOp.make(OpCode.READ, Extent(0, 10)),
            OSDOp.make(OpCode.READ, Extent(20, 10)),
            flags=READ,
        )
        assert [bytes(op.outdata) for op in both.ops] == [payload[:10], payload[20:30]]
        same = OSDOp.make(OpCode.WRITESAME, WriteSameArgs(0, 8, 4), b"abcd")
        cut = OSDOp.make(OpCode.TRUNCATE, Extent(12))
        zero = OSDOp.make(OpCode.ZERO, Extent(4, 2))
        assert (await objects.ask("big", same, cut, zero)).result == 0
        left = await objects.read("big", OSDOp.make(OpCode.READ, Extent(0, 100)))
        assert left == b"abcd\0\0cd" + payload[8:12]
        missing = await objects.ask("none", OSDOp.make(OpCode.STAT), flags=READ)
        assert missing.result == -2

    on_objects(work)


def test_attributes_and_what_rados_sees_of_them(
    on_objects: Callable[..., None], real_cluster: RealCluster
) -> None:
    async def work(objects: Objects) -> None:
        make, paint = OSDOp.make(OpCode.CREATE), OSDOp.xattr(OpCode.SETXATTR, "color", b"blue")
        assert (await objects.ask("attrs", make, paint)).result == 0
        assert await objects.read("attrs", OSDOp.xattr(OpCode.GETXATTR, "color")) == b"blue"
        answer = await objects.read("attrs", OSDOp.make(OpCode.GETXATTRS))
        assert OmapEntries.decode(answer, exact=True).entries == {"color": b"blue"}
        equal = CmpXattrOp.EQ, CmpXattrMode.STRING
        same = OSDOp.xattr(OpCode.CMPXATTR, "color", b"blue", *equal)
        assert (await objects.ask("attrs", same, flags=READ)).result == 1
        other = OSDOp.xattr(OpCode.CMPXATTR, "color", b"red", *equal)
        assert (await objects.ask("attrs", other, flags=READ)).result < 0

    on_objects(work)
    assert real_cluster.run("rados", "-p", POOL, "getxattr", "attrs", "color") == "blue"


def test_omaps_and_what_rados_sees_of_them(
    on_objects: Callable[..., None], real_cluster: RealCluster
) -> None:
    entries = {f"key{n:02}": f"value{n}".encode() for n in range(10)}

    async def work(objects: Objects) -> None:
        fill = OSDOp.make(OpCode.OMAPSETVALS, None, OmapEntries(entries).encode())
        head = OSDOp.make(OpCode.OMAPSETHEADER, None, b"header")
        assert (await objects.ask("omap", fill, head)).result == 0
        ask = OmapGetKeysInput("key03", 3).encode()
        answer = await objects.read("omap", OSDOp.make(OpCode.OMAPGETKEYS, None, ask))
        keys = OmapGetKeysReply.decode(answer, exact=True)
        assert (keys.keys, keys.truncated) == ({"key04", "key05", "key06"}, True)
        ask = OmapGetValsInput("", 100, "key0").encode()
        answer = await objects.read("omap", OSDOp.make(OpCode.OMAPGETVALS, None, ask))
        vals = OmapGetValsReply.decode(answer, exact=True)
        assert (vals.entries, vals.truncated) == (entries, False)
        ask = OmapKeys({"key01", "absent"}).encode()
        answer = await objects.read("omap", OSDOp.make(OpCode.OMAPGETVALSBYKEYS, None, ask))
        assert OmapEntries.decode(answer, exact=True).entries == {"key01": b"value1"}
        assert await objects.read("omap", OSDOp.make(OpCode.OMAPGETHEADER)) == b"header"
        must = OmapCmpInput({"key01": (b"value1", CmpXattrOp.EQ)}).encode()
        assert (
            await objects.ask("omap", OSDOp.make(OpCode.OMAP_CMP, None, must), flags=READ)
        ).result == 0
        must = OmapCmpInput({"key01": (b"other", CmpXattrOp.EQ)}).encode()
        assert (
            await objects.ask("omap", OSDOp.make(OpCode.OMAP_CMP, None, must), flags=READ)
        ).result < 0
        drop = OSDOp.make(OpCode.OMAPRMKEYS, None, OmapKeys({"key00", "key01"}).encode())
        span = OmapRmKeyRangeInput("key05", "key09").encode()
        drop_range = OSDOp.make(OpCode.OMAPRMKEYRANGE, None, span)
        assert (await objects.ask("omap", drop, drop_range)).result == 0

    on_objects(work)
    left = real_cluster.run("rados", "-p", POOL, "listomapkeys", "omap").split()
    assert left == ["key02", "key03", "key04", "key09"]


def test_watches_classes_snapshots_copies_and_listings(
    on_objects: Callable[..., None], real_cluster: RealCluster
) -> None:
    async def work(objects: Objects) -> None:
        assert (await objects.ask("watched", OSDOp.make(OpCode.CREATE))).result == 0
        watch = OSDOp.make(OpCode.WATCH, WatchArgs(77, 0, WatchOp.WATCH, 0, 30))
        assert (await objects.ask("watched", watch)).result == 0
        answer = await objects.read("watched", OSDOp.make(OpCode.LIST_WATCHERS))
        (watcher,) = ListWatchersResponse.decode(answer, exact=True).entries
        assert (watcher.cookie, watcher.timeout_seconds) == (77, 30)
        assert watcher.name.num == objects.session.messenger.endpoint.name.num
        hello = OSDOp.call("hello", "say_hello", b"spirula")
        said = await objects.ask("watched", hello, flags=READ)
        assert bytes(said.data) == b"Hello, spirula!"
        answer = await objects.ask(
            "watched", OSDOp.make(OpCode.LIST_SNAPS), flags=READ, snap=SNAPDIR
        )
        (head,) = ListSnapsResponse.decode(bytes(answer.data), exact=True).clones
        assert (head.cloneid, head.size) == (NOSNAP, 0)
        pool = answer.pgid.pool
        source = CopyFromInput("watched", ObjectLocator(pool)).encode()
        copy = OSDOp.make(OpCode.COPY_FROM, CopyFromArgs(0xFFFFFFFFFFFFFFFE), source)
        assert (await objects.ask("copied", copy)).result == 0
        listing = OSDOp.make(OpCode.PGNLS, ListArgs(100, 0), HObject().encode())
        seen: set[str] = set()
        for name in ("watched", "copied"):
            reply = await objects.ask(name, listing, flags=READ | RequestFlag.PGOP)
            listed = PGNLSResponse.decode(bytes(reply.data), exact=True)
            assert listed.handle == reply.pgid.end_object(PG_NUM)
            seen |= {entry.oid for entry in listed.entries}
        assert seen >= {"watched", "copied"}

    on_objects(work)
    assert "copied" in real_cluster.run("rados", "-p", POOL, "ls").split()
