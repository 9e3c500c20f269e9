"""The objecter over connections that keep what they are given: which OSD is asked, and when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from errno import ETIMEDOUT

import pytest

from spirula.client.objecter.objecter import Objecter, Outcome
from spirula.client.objecter.target import Target
from spirula.errors import Indeterminate, TimedOut
from spirula.maps.apply import resize
from spirula.maps.osdmap import OSDMap
from spirula.maps.simple import Defaults, simple_crush
from spirula.messages.osd_op import MOSDOp, MOSDOpReply
from spirula.types.entity import EntityAddrVec, EntityName, EntityType
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import Extent, OpCode, OSDOp, RequestFlag
from spirula.types.pool import PGPool, PoolType

POOL = 1
UP_IN = 3


def make_map(epoch: int = 1) -> OSDMap:
    """Three OSDs on hosts of their own, and a pool of three copies."""
    osdmap = OSDMap(epoch=epoch)
    places = {n: {"host": f"host{n}", "root": "default"} for n in range(3)}
    osdmap.crush = simple_crush(places, Defaults())
    resize(osdmap, 3)
    for osd in range(3):
        osdmap.osd_state[osd] = UP_IN
        osdmap.osd_weight[osd] = 0x10000
        osdmap.client_addrs[osd] = EntityAddrVec.parse(f"v2:127.0.0.1:{6800 + osd}/{osd + 1}")
    osdmap.pools[POOL] = PGPool(
        type=PoolType.REPLICATED, size=3, min_size=2, pg_num=8, pgp_num=8, object_hash=2, flags=1
    )
    osdmap.pool_name[POOL] = "pool"
    return osdmap


@dataclass(eq=False)
class Line:
    """A connection that goes nowhere."""

    osd: int
    sent: list[MOSDOp] = field(default_factory=list)
    priv: object = None

    def send_message(self, message: MOSDOp) -> None:
        self.sent.append(message)

    def send_keepalive(self) -> None:
        pass

    def mark_down(self) -> None:
        pass


class World:
    """What the objecter is lent."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.lines: dict[int, Line] = {}
        self.wanted: list[int] = []
        self.objecter = Objecter(self)
        self.objecter.maps.use(make_map())

    def wall(self) -> float:
        return 1.0

    def draw(self, count: int) -> int:
        return count - 1

    def connect(self, osd: int, addrs: EntityAddrVec) -> Line:
        return self.lines.setdefault(osd, Line(osd))

    def want_map(self, start: int) -> None:
        self.wanted.append(start)

    def ask_newest_epoch(self, answer) -> None:
        answer(self.objecter.maps.epoch)

    def sent(self) -> list[tuple[int, MOSDOp]]:
        return [(osd, message) for osd, line in self.lines.items() for message in line.sent]

    def answer(self, message: MOSDOp, result: int = 0) -> None:
        line = next(line for line in self.lines.values() if message in line.sent)
        line.sent.remove(message)
        reply = MOSDOpReply.to(message, result, 1)
        reply.tid = message.tid
        self.objecter.on_reply(line, reply)


def read() -> OSDOp:
    return OSDOp.make(OpCode.READ, Extent(0, 10))


def write(size: int) -> OSDOp:
    return OSDOp.make(OpCode.WRITEFULL, Extent(0, size), bytes(size))


def submit(world: World, oid: str, op: OSDOp, flags: int, done: list[str]):
    def finish(outcome: Outcome) -> None:
        done.append(oid)

    return world.objecter.submit(Target(oid, ObjectLocator(POOL), flags), [op], finish)


@pytest.fixture
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def world(loop: asyncio.AbstractEventLoop):
    made = World(loop)
    yield made
    made.objecter.stop()


@pytest.mark.parametrize("host", [0, 1, 2])
def test_localised_reads_go_to_the_nearest_copy(world: World, host: int) -> None:
    world.objecter.maps.location = [("host", f"host{host}"), ("root", "default")]
    flags = RequestFlag.READ | RequestFlag.LOCALIZE_READS
    for n in range(20):
        submit(world, f"object{n}", read(), flags, [])
    assert {osd for osd, _ in world.sent()} == {host}
    assert all(message.flags & RequestFlag.LOCALIZE_READS for _, message in world.sent())


def test_localised_reads_from_nowhere_and_writes_go_to_the_primary(world: World) -> None:
    maps = world.objecter.maps
    maps.location = [("host", "elsewhere")]
    for n in range(20):
        for flags in (RequestFlag.READ, RequestFlag.WRITE):
            op = read() if flags == RequestFlag.READ else write(1)
            submit(world, f"object{n}", op, flags | RequestFlag.LOCALIZE_READS, [])
    for osd, message in world.sent():
        assert osd == maps.places(message.pgid.pgid).acting_primary


def test_a_balanced_read_leaves_a_copy_that_went_down(world: World) -> None:
    flags = RequestFlag.READ | RequestFlag.BALANCE_READS
    submit(world, "object", read(), flags, [])
    ((first, message),) = world.sent()
    assert first != world.objecter.maps.places(message.pgid.pgid).acting_primary
    down = make_map(epoch=2)
    down.osd_state[first] = 1
    world.objecter.maps.use(down)
    world.objecter.map_changed()
    world.lines.pop(first)
    ((second, again),) = world.sent()
    assert second != first
    assert again.tid == message.tid


def test_no_more_is_under_way_than_may_be(world: World) -> None:
    world.objecter.most_ops = 3
    done: list[str] = []
    for n in range(8):
        submit(world, f"o{n}", write(1), RequestFlag.WRITE, done)
    assert len(world.sent()) == 3
    while world.sent():
        oldest = min((message for _, message in world.sent()), key=lambda each: each.tid)
        world.answer(oldest)
        assert len(world.sent()) <= 3
    assert done == [f"o{n}" for n in range(8)]


def test_bytes_under_way_are_bounded_and_what_is_larger_goes_alone(world: World) -> None:
    world.objecter.most_bytes = 100
    done: list[str] = []
    sizes = [60, 40, 1, 500, 10]
    for n, size in enumerate(sizes):
        submit(world, f"o{n}", write(size), RequestFlag.WRITE, done)
    seen = []
    while sent := [message for _, message in world.sent()]:
        seen.append(sorted(sum(len(op.indata) for op in each.ops) for each in sent))
        world.answer(min(sent, key=lambda each: each.tid))
    assert seen == [[40, 60], [1, 40], [1], [500], [10]]
    assert done == [f"o{n}" for n in range(5)]


def test_one_that_is_given_up_makes_room(world: World) -> None:
    world.objecter.most_ops = 1
    done: list[str] = []
    first = submit(world, "a", write(1), RequestFlag.WRITE, done)
    second = submit(world, "b", write(1), RequestFlag.WRITE, done)
    submit(world, "c", write(1), RequestFlag.WRITE, done)
    world.objecter.cancel(second)
    assert not second.was_sent
    world.objecter.cancel(first)
    ((_, message),) = world.sent()[1:] or [(0, None)]
    assert message is not None
    assert message.hobj.oid == "c"
    world.answer(message)
    assert done == ["c"]


def test_a_timeout_tells_whether_it_was_sent(world: World, loop) -> None:
    objecter = world.objecter

    async def both() -> None:
        objecter.most_ops = 1
        with pytest.raises(Indeterminate):
            await objecter.operate("sent", ObjectLocator(POOL), [write(1)], timeout_s=0.01)
        blocking = submit(world, "a", write(1), RequestFlag.WRITE, [])
        with pytest.raises(TimedOut):
            await objecter.operate("waits", ObjectLocator(POOL), [write(1)], timeout_s=0.01)
        objecter.cancel(blocking)

    loop.run_until_complete(both())
    outcomes: list[int] = []
    target = Target("timed", ObjectLocator(POOL), RequestFlag.WRITE)
    request = objecter.submit(
        target, [write(1)], lambda outcome: outcomes.append(outcome.result), timeout_s=0.01
    )
    loop.run_until_complete(asyncio.sleep(0.05))
    assert outcomes == [-ETIMEDOUT]
    assert request.was_sent


def test_what_was_sent_keeps_the_name_that_it_was_sent_by(world: World) -> None:
    """After a login under another name OSDs recognise what they have carried out already."""
    append = OSDOp.make(OpCode.APPEND, Extent(0, 1), b"x")
    submit(world, "sent", append, RequestFlag.WRITE, [])
    assert len(world.sent()) == 1
    world.objecter.keep_identity(EntityName(EntityType.CLIENT, 4100))
    submit(world, "later", append, RequestFlag.WRITE, [])
    for osd, line in world.lines.items():
        line.sent.clear()
        world.objecter.on_reset(world.objecter.sessions[osd].connection)
    world.loop.run_until_complete(asyncio.sleep(0))
    names = {message.hobj.oid: str(message.reqid.name) for _, message in world.sent()}
    assert names["sent"] == "client.4100"
    assert names["later"] != "client.4100"
