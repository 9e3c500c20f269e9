"""Objects that stand for others or have their bytes in chunks: one PG that serves all of them."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from spirula.osd.ops.trim import trim_object
from spirula.types.entity import EntityName, EntityType
from spirula.types.hobject import NOSNAP
from spirula.types.object_info import ObjectFlag, ObjectLocator
from spirula.types.osd_op import CopyFromArgs, OpCode, OpFlag, OSDOp, RequestFlag
from spirula.types.osd_op_payload import SetChunkInput, SetRedirectInput
from spirula.types.pg_log import LogOp
from tests.unit.osd.pg.harness import (
    POOL,
    Client,
    Cluster,
    append,
    delete,
    object_of,
    read,
    write,
    write_full,
)

FLUSH, EVICT = OSDOp.make(OpCode.TIER_FLUSH), OSDOp.make(OpCode.TIER_EVICT)
PROMOTE, UNSET = OSDOp.make(OpCode.TIER_PROMOTE), OSDOp.make(OpCode.UNSET_MANIFEST)
REFERRING = int(OpFlag.WITH_REFERENCE)


class OwnClient(Client):
    """An OSD as a client of OSDs."""

    @property
    def name(self) -> EntityName:
        return EntityName(EntityType.OSD, self.num)


class Looped(Cluster):
    """A cluster whose OSDs reach themselves, as clients of the one PG.

    What they ask arrives when the test settles; or when it calls `let_go`, after `hold`.
    """

    def __init__(self, osds: int) -> None:
        super().__init__(osds)
        self.client = Client(4711)
        self.osd = OwnClient(0)
        self.unanswered: list[tuple[int, Any]] = []
        self.held: list[Any] | None = None
        for node in self.nodes:
            node.shared.remote_op = self.remote_op
        self.make_pg()

    def remote_op(self, target, ops, flags, done, sent_as) -> Any:
        request = self.request(target.oid, *ops, flags=flags)
        if sent_as is not None:
            request.mtime = sent_as.mtime
            request.reqid = sent_as.reqid or request.reqid
            if sent_as.snapc is not None:
                request.flags |= RequestFlag.WRITE
                request.snap_seq, request.snaps = sent_as.snapc.seq, sent_as.snapc.snaps

        def ask() -> None:
            self.unanswered.append((self.send(self.osd, request), done))

        if self.held is None:
            self.clock.call_later(0, ask)
        else:
            self.held.append(ask)
        return lambda: None

    def hold(self) -> None:
        self.held = []

    def let_go(self) -> int:
        """How many were held."""
        asks, self.held = self.held or [], None
        for ask in asks:
            ask()
        self.settle()
        return len(asks)

    def settle(self) -> None:
        super().settle()
        while ready := [each for each in self.unanswered if self.osd.reply(each[0])]:
            for each in ready:
                self.unanswered.remove(each)
                reply = self.osd.reply(each[0])
                each[1](reply.result, reply.ops, reply.user_version)
            super().settle()

    def do(self, name: str, *ops: OSDOp, flags: int = 0) -> int:
        return self.ask(self.client, name, *ops, flags=flags).result

    def data(self, name: str) -> bytes | int:
        reply = self.ask(self.client, name, read())
        return reply.result if reply.result < 0 else bytes(reply.ops[0].outdata)

    def info(self, name: str) -> Any:
        return self.primary.get_object_context(object_of(name), can_create=True).info

    def count(self) -> int:
        return self.primary.info.stats.stats.sum.num_objects_manifest


@pytest.fixture(params=[1, 3])
def cluster(request) -> Looped:
    return Looped(request.param)


def locator(target: str) -> ObjectLocator:
    return ObjectLocator(POOL, hash=object_of(target).hash)


def redirect(target: str, flags: int = 0) -> OSDOp:
    indata = SetRedirectInput(target, locator(target)).encode()
    return OSDOp.make(OpCode.SET_REDIRECT, CopyFromArgs(NOSNAP, 0, 0, 0), indata, flags)


def chunk(start: int, length: int, target: str, at: int = 0, flags: int = REFERRING) -> OSDOp:
    indata = SetChunkInput(start, length, locator(target), target, at).encode()
    return OSDOp.make(OpCode.SET_CHUNK, None, indata, flags)


def chunked(cluster: Looped) -> None:
    """An object of two chunks, whose bytes are in them alone."""
    for name, data in (("a", b"--------"), ("one", b"ONE!"), ("two", b"..TWO!")):
        assert cluster.do(name, write_full(data)) == 0
    assert cluster.do("a", chunk(0, 4, "one")) == 0
    assert cluster.do("a", chunk(4, 4, "two", 2)) == 0
    assert cluster.do("a", EVICT) == 0
    assert cluster.stored(-1, "a") == bytes(8)


def test_requests_on_a_redirected_object_are_the_targets(cluster):
    cluster.do("a", write_full(b"mine"))
    cluster.do("b", write_full(b"its"))
    assert cluster.do("a", redirect("b")) == 0
    assert cluster.stored(-1, "a") == b""
    assert cluster.data("a") == b"its"
    assert cluster.do("a", append(b" own")) == 0
    assert cluster.data("b") == b"its own"
    assert cluster.do("a", append(b"x"), OSDOp.make(OpCode.WATCH)) == -errno.EOPNOTSUPP
    assert cluster.do("a", EVICT) == -errno.EINVAL
    assert cluster.do("a", FLUSH) == -errno.EBUSY
    assert cluster.do("a", delete()) == 0
    assert cluster.data("a") == cluster.data("b") == -errno.ENOENT
    assert cluster.do("a", PROMOTE) == -errno.ENOENT
    assert cluster.do("a", UNSET) == 0
    assert cluster.data("a") == b""
    assert cluster.do("a", UNSET) == -errno.EOPNOTSUPP


def test_a_write_that_is_sent_again_reaches_the_target_once(cluster):
    cluster.do("a", write_full(b""))
    cluster.do("b", write_full(b""))
    cluster.do("a", redirect("b"))
    client = Client()
    request = cluster.request("a", append(b"x"))
    cluster.hold()
    cluster.send(client, request)
    cluster.send(client, request)
    assert cluster.let_go() == 2
    assert [reply.result for reply in client.connection.sent] == [0, 0]
    assert cluster.data("b") == b"x"


def test_a_write_under_way_is_passed_on_again_in_a_new_interval(cluster):
    cluster.do("a", write_full(b""))
    cluster.do("b", write_full(b""))
    cluster.do("a", redirect("b"))
    cluster.hold()
    client = Client()
    tid = cluster.send(client, cluster.request("a", append(b"x")))
    cluster.new_map(up=[0], size=2, min_size=1)
    cluster.settle()
    assert cluster.let_go() == 2
    assert client.reply(tid).result == 0
    assert cluster.stored(0, "b") == b"x"


def test_objects_that_stand_for_each_other_are_an_error(cluster):
    for name in "abc":
        cluster.do(name, write_full(b"data"))
    assert cluster.do("a", redirect("a")) == -errno.EINVAL
    cluster.do("a", redirect("b"))
    cluster.do("b", redirect("c"))
    assert cluster.data("a") == b"data"
    cluster.do("c", redirect("a"))
    assert cluster.data("a") == -errno.ELOOP
    assert not cluster.primary.waiting.in_progress


def test_a_promoted_object_stands_for_itself(cluster):
    cluster.do("a", write_full(b"mine"))
    cluster.do("b", write_full(b"its"), OSDOp.xattr(OpCode.SETXATTR, "k", b"v"))
    assert cluster.do("a", redirect("b", REFERRING)) == 0
    assert cluster.info("a").flags & ObjectFlag.REDIRECT_HAS_REFERENCE
    assert cluster.do("a", redirect("c")) == -errno.EINVAL
    assert cluster.do("a", PROMOTE) == 0
    assert cluster.stored(-1, "a") == cluster.data("a") == b"its"
    assert not cluster.info("a").flags & ObjectFlag.MANIFEST
    assert cluster.data("b") == -errno.ENOENT  # nobody refers to it any more


def test_bytes_in_chunks_are_back_before_anything_is_done_with_them(cluster):
    chunked(cluster)
    first, second = Client(4101), Client(4102)
    cluster.hold()
    asked = cluster.send(first, cluster.request("a", read()))
    written = cluster.send(second, cluster.request("a", write(b"!", 7)))
    assert cluster.let_go() == 2
    assert first.reply(asked).ops[0].outdata == b"ONE!TWO!"
    assert second.reply(written).result == 0
    assert [e.op for e in cluster.primary.log.entries].count(LogOp.PROMOTE) == 1
    # what was changed is not in its chunk any more, which nobody else needed
    assert list(cluster.info("a").manifest.chunk_map) == [0]
    assert cluster.data("two") == -errno.ENOENT
    assert cluster.do("a", EVICT) == 0
    assert cluster.stored(-1, "a") == b"ONE!TWO!"


def test_a_chunk_that_is_gone_fails_requests_and_nothing_else(cluster):
    chunked(cluster)
    cluster.do("one", delete())
    assert cluster.data("a") == cluster.do("a", write_full(b"x")) == -errno.ENOENT
    cluster.do("one", write_full(b"ONE!"))
    assert cluster.data("a") == b"ONE!TWO!"


def test_bytes_come_back_in_a_new_interval(cluster):
    chunked(cluster)
    cluster.hold()
    client = Client()
    tid = cluster.send(client, cluster.request("a", read()))
    cluster.new_map(up=[0], size=2, min_size=1)
    cluster.settle()
    assert cluster.let_go() == 4
    assert client.reply(tid).ops[0].outdata == b"ONE!TWO!"


def test_an_object_without_its_manifest_keeps_its_bytes(cluster):
    chunked(cluster)
    assert cluster.do("a", UNSET) == 0
    assert cluster.data("a") == b"ONE!TWO!"
    assert cluster.data("one") == cluster.data("two") == -errno.ENOENT


def test_chunks_are_refused(cluster):
    cluster.do("a", write_full(b"12345678"))
    assert cluster.do("none", chunk(0, 1, "one")) == -errno.ENOENT
    assert cluster.do("a", chunk(0, 0, "one")) == -errno.EINVAL
    assert cluster.do("a", chunk(4, 5, "one")) == -errno.ERANGE
    assert cluster.do("a", chunk(0, 4, "one", flags=0)) == -errno.EOPNOTSUPP
    assert cluster.do("a", chunk(0, 4, "one")) == -errno.ENOENT
    assert cluster.do("a", write(b"x"), chunk(0, 4, "one")) == -errno.EINVAL
    cluster.do("one", write_full(b"1234"))
    assert cluster.do("a", chunk(0, 4, "one")) == 0
    assert cluster.do("a", chunk(3, 2, "one")) == -errno.EOPNOTSUPP
    assert cluster.do("a", FLUSH) == -errno.EINVAL
    assert cluster.do("a", EVICT) == 0
    assert cluster.stored(-1, "a") == b"12345678"  # not all of it is in chunks
    assert cluster.do("a", EVICT, delete()) == -errno.EINVAL
    assert cluster.do("a", delete()) == 0
    assert cluster.data("one") == -errno.ENOENT


def test_snapshots_show_what_the_object_stood_for(cluster):
    chunked(cluster)
    cluster.do("b", write_full(b"its"))
    cluster.do("c", write_full(b"old"))
    cluster.do("c", redirect("b", REFERRING))
    manifests = cluster.count()
    for name, op in (("a", write_full(b"new")), ("c", UNSET)):
        request = cluster.request(name, op)
        request.snap_seq, request.snaps = 5, [5]
        tid = cluster.send(cluster.client, request)
        cluster.settle()
        assert cluster.client.reply(tid).result == 0
    assert manifests == 2
    assert cluster.count() == 1  # the clone of the redirected one
    assert cluster.data("a") == b"new"
    assert cluster.data("c") == b""
    assert cluster.data("one") == -errno.ENOENT
    for name, expected in (("a", b"ONE!TWO!"), ("c", b"its")):
        request = cluster.request(name, read())
        request.hobj = request.hobj.at_snap(5)
        tid = cluster.send(cluster.client, request)
        cluster.settle()
        assert cluster.client.reply(tid).ops[0].outdata == expected
    pg = cluster.primary
    head, clone = (
        pg.get_object_context(each, can_create=True)
        for each in (object_of("c"), object_of("c").at_snap(5))
    )
    pg.simple_submit(trim_object(pg, clone, head, 5))
    cluster.settle()
    assert cluster.data("b") == -errno.ENOENT  # with the last that stood for it
