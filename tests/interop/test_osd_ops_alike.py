"""The same requests to a real OSD, to ours in memory and to ours as processes.

All give the same answers, and have the same objects afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import spirula.client.session as sessions
from spirula.cli.credentials import find_key
from spirula.conf.load import load
from spirula.types.hobject import HObject
from spirula.types.listing import PGLSResponse, PGNLSResponse
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import ListArgs, OpCode, OSDOp
from spirula.types.osd_op_payload import ScrubListInput, SparseReadReply
from spirula.types.snap import SnapContext
from tests.interop.realcluster import RealCluster
from tests.interop.spirulacluster import OurCluster, our_cluster
from tests.unit.osd.ops.memory_pg import POOL as OURS
from tests.unit.osd.ops.memory_pg import Answer, MemoryPG
from tests.unit.osd.ops.scripts import Script, Step, create, delete, drawn, setxattr, written

POOL = "spirula-ops-alike"
MTIME = 1_600_000_000.5
WRITTEN = written(OURS)


@dataclass
class RealPool:
    """A pool of a real cluster, through one session."""

    session: sessions.ClusterSession
    runner: asyncio.Runner
    pool: int

    def ask(self, step: Step) -> Answer:
        """Has the OSD carry out a request."""
        return self.runner.run(self._ask(step))

    def ask_pg(self, op: OSDOp, nspace: str) -> Answer:
        """Has the OSD carry out a request on the pool's PG."""
        told = self.runner.run(
            self.session.objecter.operate_pg(self.pool, 0, [op], nspace=nspace, timeout_s=60)
        )
        return Answer(told.result, told.ops, told.version)

    async def _ask(self, step: Step) -> Answer:
        outcome = await self.session.objecter.operate(
            step.name,
            ObjectLocator(self.pool),
            [OSDOp(op.op, op.flags, op.raw, op.payload_len, op.indata) for op in step.ops],
            flags=step.flags,
            snap=step.snap,
            snapc=step.snapc,
            mtime=MTIME,
            timeout_s=60,
        )
        return Answer(outcome.result, outcome.ops, outcome.version)


@contextlib.contextmanager
def pool_of(cluster: RealCluster | OurCluster) -> Iterator[RealPool]:
    """A pool of our own with one PG, so that versions go up by one PG's writes."""
    if POOL not in json.loads(cluster.run("ceph", "osd", "pool", "ls", "-f", "json")):
        cluster.run("ceph", "osd", "pool", "create", POOL, "1")
        cluster.run("ceph", "osd", "pool", "application", "enable", POOL, "test")
    config = load(["-c", str(cluster.conf)]).config
    pools: Any = cluster.ceph_json("osd", "pool", "ls", "detail")
    (number,) = [each["pool_id"] for each in pools if each["pool_name"] == POOL]
    with asyncio.Runner() as runner:
        session = runner.run(
            sessions.open_session(
                config, find_key(config), clock=time.time, random_bytes=os.urandom, timeout_s=60
            )
        )
        try:
            yield RealPool(session, runner, number)
        finally:
            runner.run(session.close())


@pytest.fixture(scope="module")
def real_pool(real_cluster: RealCluster) -> Iterator[RealPool]:
    """A pool of a real cluster."""
    with pool_of(real_cluster) as pool:
        yield pool


def _shown(step: Step, answer: Answer) -> list[object]:
    """What of an answer must be alike."""
    shown: list[object] = [("result", answer.result, "version", answer.user_version)]
    for op, asked in zip(answer.ops, step.ops, strict=True):
        data: object = bytes(op.outdata)
        if asked.op == OpCode.SPARSE_READ and op.outdata:
            data = _filled(bytes(op.outdata))
            shown.append((str(asked), op.rval, data))
            continue
        shown.append((str(asked), op.rval, data, op.op, op.raw))
    return shown


def _filled(encoded: bytes) -> dict[int, int]:
    """The bytes of a sparse read that are not zero, by where they are; stores differ in holes."""
    reply = SparseReadReply.decode(encoded, exact=True)
    found, at = {}, 0
    for start, length in sorted(reply.extents.items()):
        piece = reply.data[at : at + length]
        found |= {start + n: byte for n, byte in enumerate(piece) if byte}
        at += length
    return found


def compare(real: RealPool, ours: MemoryPG, script: Script, theirs: Script) -> None:
    """Runs a script on both sides; names the first step that differs."""
    for number, (step, same) in enumerate(zip(script, theirs, strict=True)):
        told = real.ask(same)
        mine = ours.ask(
            step.name,
            *step.ops,
            flags=step.flags,
            snap=step.snap,
            snapc=step.snapc,
            mtime=MTIME,
        )
        assert _shown(step, mine) == _shown(step, told), f"step {number}: {step}"
        if number % 7 == 3:
            ours.forget()


@pytest.fixture(scope="module")
def ours() -> MemoryPG:
    """One PG for all scripts, as the real pool has one: versions must stay the same."""
    return MemoryPG()


def test_scripts_by_hand(real_pool: RealPool, ours: MemoryPG) -> None:
    theirs = written(real_pool.pool)
    for name, script in WRITTEN.items():
        compare(real_pool, ours, script, theirs[name])


def test_random_scripts(real_pool: RealPool, ours: MemoryPG, scale: int) -> None:
    for seed in range(8 * scale):
        script = drawn(seed)
        compare(real_pool, ours, script, script)


def _listing(code: OpCode, handle: HObject, limit: int, chosen: bytes = b"") -> OSDOp:
    data = handle.encode()
    if code in (OpCode.PGNLS_FILTER, OpCode.PGLS_FILTER):
        data = b"\x02\0\0\0pg\x06\0\0\0filter" + chosen + data
    return OSDOp.make(code, ListArgs(limit, 0), data)


def _text(*words: str) -> bytes:
    return b"".join(len(word).to_bytes(4, "little") + word.encode() for word in words)


FILTERS = (
    _text("plain", "_color", "red"),
    _text("plain", "_nothing", ""),
    _text("hello.hello", "_color", "blue"),
    _text("hello.none", "_color"),
    _text("none.none", "x"),
    _text("journal.none", "x"),
    _text("hello."),
    _text("plain", "_color"),
)


def test_listings(real_pool: RealPool, ours: MemoryPG) -> None:
    for number in range(30):
        nspace, name = ("", "one", "two")[number % 3], f"listed {number}"
        paint = setxattr("color", ("red", "blue")[number % 2].encode())
        snapc = SnapContext(1, [1]) if number % 5 == 0 else None
        for op, under in ((paint, None), (delete() if number % 7 == 0 else create(), snapc)):
            locator = ObjectLocator(real_pool.pool, "", nspace)
            told = real_pool.runner.run(
                real_pool.session.objecter.operate(name, locator, [op], snapc=under)
            )
            assert told.result == ours.ask(name, op, snapc=under, nspace=nspace).result
    for nspace in ("", "one", "none", "\x01"):
        for code in (OpCode.PGNLS, OpCode.PGLS):
            _compare_listing(real_pool, ours, code, nspace, b"")
    for chosen in FILTERS:
        for code in (OpCode.PGNLS_FILTER, OpCode.PGLS_FILTER):
            _compare_listing(real_pool, ours, code, "two", chosen)
    for op in (
        OSDOp(OpCode.PG_HITSET_LS),
        OSDOp(OpCode.PG_HITSET_GET),
        OSDOp(OpCode.SCRUBLS, indata=b"bad"),
        OSDOp(OpCode.SCRUBLS, indata=ScrubListInput(0, 0, "", "", 0, 10).encode()),
        OSDOp(0x1599),
        OSDOp(OpCode.PGNLS, indata=b"bad"),
        OSDOp(OpCode.PGNLS_FILTER, indata=b"bad"),
    ):
        mine = ours.ask_pg(op)
        told = real_pool.ask_pg(op, "")
        assert (mine.result, mine.data) == (told.result, told.data), op


def _compare_listing(
    real: RealPool, ours: MemoryPG, code: OpCode, nspace: str, chosen: bytes
) -> None:
    """Walks the PG on both sides, some objects at a time."""
    kind = PGNLSResponse if code in (OpCode.PGNLS, OpCode.PGNLS_FILTER) else PGLSResponse
    handles = HObject(), HObject()
    for limit in (7, 3, 50, 0, 11, 2000, 2000):
        mine = ours.ask_pg(_listing(code, handles[0], limit, chosen), nspace=nspace)
        told = real.ask_pg(_listing(code, handles[1], limit, chosen), nspace)
        assert (mine.result, mine.user_version) == (told.result, told.user_version)
        if mine.result < 0:
            return
        pages = kind.decode(mine.data[0], exact=True), kind.decode(told.data[0], exact=True)
        handles = pages[0].handle, pages[1].handle
        assert pages[0].entries == pages[1].entries
        assert str(handles[0]).split(":")[1:] == str(handles[1]).split(":")[1:]
        if mine.result == 1:
            return
    raise AssertionError("the listing does not end")


def test_our_osds_as_ours_in_memory(scale: int) -> None:
    with our_cluster(1, osds=3) as cluster, pool_of(cluster) as pool:
        ours, theirs = MemoryPG(), written(pool.pool)
        for name, script in WRITTEN.items():
            compare(pool, ours, script, theirs[name])
        for seed in range(100, 100 + 3 * scale):
            script = drawn(seed)
            compare(pool, ours, script, script)
