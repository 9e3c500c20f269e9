"""Clients write while OSDs crash at any moment: acknowledged writes survive, none is done twice.

One seed, one history: which message arrives, which disk is done, who crashes, when maps come. At
the end all OSDs are up, and everybody has the same. Writers append tokens to objects that they
share; painters change objects of their own in all ways that leave parts of them alone, under
snapshots, so that recovery has something to leave out.
"""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass, field

import pytest

from spirula.maps.state import is_up
from spirula.messages.osd_op import MOSDOp
from spirula.types.hobject import NOSNAP
from spirula.types.osd_op import Extent, OpCode, OSDOp
from spirula.types.osd_op_payload import OmapEntries
from tests.unit.osd.ops.scripts import omap_set, omap_vals
from tests.unit.osd.pg.harness import (
    Client,
    Cluster,
    Node,
    append,
    crossed,
    delete,
    read,
    write,
    write_full,
)
from tests.unit.osd.pg.test_failures import check_alike

_OBJECTS = ("a", "b", "c")


class Writer:
    """A client that appends tokens, sends again what is not answered, and one after another."""

    def __init__(self, num: int) -> None:
        self.client = Client(num=num)
        self.pending: MOSDOp | None = None
        self.done: list[tuple[str, str]] = []
        self.token = ""
        self.name = ""
        self.count = 0
        self.sent_in = 0

    def next_request(self, cluster: Cluster, rng: random.Random) -> MOSDOp:
        """What is written next."""
        self.token = f"<{self.client.num}.{self.count}>"
        self.name = rng.choice(_OBJECTS)
        return cluster.request(self.name, append(self.token.encode()))

    def on_done(self) -> None:
        """The write was acknowledged."""
        self.done.append((self.name, self.token))

    def act(self, cluster: Cluster, rng: random.Random) -> None:
        """Looks for an answer; begins the next write, or sends the last one again."""
        self.look()
        if self.pending is None:
            self.count += 1
            self.pending = self.next_request(cluster, rng)
            self.client.tid += 1
            self.pending.tid = self.client.tid
            self.sent_in = 0
        self.send(cluster)

    def look(self) -> None:
        """Takes the answer, if it is there."""
        reply = self.client.reply(self.pending.tid) if self.pending is not None else None
        if reply is not None:
            assert reply.result == 0
            self.on_done()
            self.pending = None

    def send(self, cluster: Cluster) -> None:
        """Sends the request to the present primary, once for each map."""
        newest = cluster.maps.newest
        if self.sent_in == newest:
            return
        mapping = cluster.maps.mapping[newest]
        node = cluster.nodes[mapping.acting_primary] if mapping.acting else None
        if node is None or not node.alive or node.pg is None:
            return
        self.sent_in = newest
        self.client.backoffs.clear()  # another connection, as far as this OSD knows
        again = crossed(self.pending)
        again.epoch, again.connection = newest, self.client.connection
        node.pg.dispatch(again)


@dataclass
class Picture:
    """What an object should be: None as data where there is none."""

    data: bytes | None = None
    omap: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> Picture:
        return Picture(self.data, dict(self.omap))


_SIZE = 40_000


class Painter(Writer):
    """A client that changes an object of its own, and takes snapshots of it."""

    def __init__(self, num: int) -> None:
        super().__init__(num)
        self.name = f"own{num}"
        self.now = Picture()
        self.after = Picture()
        self.snaps: dict[int, Picture] = {}
        self.finished = 0

    def next_request(self, cluster: Cluster, rng: random.Random) -> MOSDOp:
        """Changes some of it."""
        if rng.random() < 0.3:
            self.snaps[len(self.snaps) + 1] = self.now.copy()
        self.after = picture = self.now.copy()
        ops = [self._change(picture, rng) for _ in range(rng.choice([1, 1, 2]))]
        request = cluster.request(self.name, *ops)
        request.snap_seq = len(self.snaps)
        request.snaps = sorted(self.snaps, reverse=True)
        return request

    def _change(self, picture: Picture, rng: random.Random) -> OSDOp:
        offset, length = rng.randrange(_SIZE), rng.choice([100, 4096, 9000])
        data = picture.data or b""
        fresh = bytes([rng.randrange(1, 256)]) * length
        kind = rng.choice(["write", "write", "append", "full", "cut", "omap", "omap", "delete"])
        if kind == "append":
            offset = len(data)
        if kind in ("write", "append"):
            picture.data = data[:offset].ljust(offset, b"\0") + fresh + data[offset + length :]
            return write(fresh, offset)
        if kind == "full":
            picture.data = fresh
            return write_full(fresh)
        if picture.data is None or (kind == "omap" and rng.random() < 0.9):
            picture.data = data
            keys = {f"k{rng.randrange(30)}": fresh[: rng.randrange(1, 300)] for _ in range(9)}
            picture.omap.update(keys)
            return omap_set(keys)
        if kind == "cut":
            picture.data = data[:offset].ljust(offset, b"\0")
            return OSDOp.make(OpCode.TRUNCATE, Extent(offset, 0, offset))
        if kind == "omap":
            picture.omap.clear()
            return OSDOp.make(OpCode.OMAPCLEAR)
        picture.data = None
        picture.omap.clear()
        return delete()

    def on_done(self) -> None:
        """It is as it was to be."""
        self.now = self.after
        self.finished += 1

    def check(self, cluster: Cluster) -> None:
        """The object is as it should be, now and at all snapshots."""
        for snap, wanted in [*self.snaps.items(), (NOSNAP, self.now)]:
            request = cluster.request(self.name, read(), omap_vals())
            request.hobj = request.hobj.at_snap(snap)
            tid = cluster.send(self.client, request)
            cluster.settle()
            reply = self.client.reply(tid)
            assert reply is not None
            if wanted.data is None:
                assert reply.result == -errno.ENOENT
                continue
            assert reply.result == 0, f"{self.name}@{snap}: {reply.result}"
            assert bytes(reply.ops[0].outdata) == wanted.data, f"{self.name}@{snap}"
            entries = OmapEntries(dict(sorted(wanted.omap.items()))).encode()
            assert bytes(reply.ops[1].outdata).startswith(entries), f"{self.name}@{snap}"


def one_history(seed: int) -> None:
    rng = random.Random(seed)  # repeatable on purpose
    count = rng.choice([2, 3, 3, 3])
    cluster = Cluster(count, min_size=rng.choice([1, count // 2 + 1]))
    _set_options(cluster, rng)
    cluster.make_pg()
    painters = [Painter(4100 + number) for number in range(2)]
    writers = [*(Writer(4000 + number) for number in range(3)), *painters]
    for _ in range(rng.randrange(200, 500)):
        chance = rng.random()
        if chance < 0.35:
            rng.choice(writers).act(cluster, rng)
        elif chance < 0.95:
            _something(cluster, rng)
            if rng.random() < 0.3:
                cluster.clock.run_due()
        elif chance < 0.965:
            alive = [node for node in cluster.nodes if node.alive]
            rng.choice(alive or cluster.nodes).crash()
            if rng.random() < 0.9:
                _map_of_alive(cluster)
        elif chance < 0.99:
            for node in cluster.nodes:
                if not node.alive and rng.random() < 0.5:
                    _restart(cluster, node)
        else:
            cluster.clock.advance(rng.choice([1, 5, 30]))
    for node in cluster.nodes:
        if not node.alive:
            _restart(cluster, node)
    _map_of_alive(cluster)
    for _ in range(20):
        cluster.wait()
        for writer in writers:
            writer.look()
            if writer.pending is not None:
                writer.sent_in = 0
                writer.send(cluster)
        if cluster.state == "active+clean" and not any(writer.pending for writer in writers):
            break
    assert not any(writer.pending for writer in writers)
    check_alike(cluster)
    _check(cluster, writers[:3])
    for painter in painters:
        painter.check(cluster)


def _set_options(cluster: Cluster, rng: random.Random) -> None:
    """Short logs; objects travel in several parts in some histories."""
    chunk, entries = rng.choice([(8 << 20, 8096), (8 << 10, 7), (3000, 2)])
    config = cluster.config
    config.set("osd_recovery_max_chunk", str(chunk))
    config.set("osd_recovery_max_omap_entries_per_chunk", str(entries))
    config.set("osd_min_pg_log_entries", "20")


def _something(cluster: Cluster, rng: random.Random) -> None:
    """One message arrives or one disk finishes, whichever."""
    wires = [key for key, wire in cluster.wires.items() if wire]
    disks = [node for node in cluster.nodes if node.disk]
    if not wires and not disks:
        infos = cluster.maps.current.osd_info
        if any(infos[osd].up_thru < epoch for osd, epoch in cluster.up_thru.items()):
            cluster.new_map()
        return
    at = rng.randrange(len(wires) + len(disks))
    if at < len(wires):
        sender, receiver = wires[at]
        message = cluster.wires[wires[at]].popleft()
        if cluster.nodes[receiver].alive:
            cluster.nodes[receiver].receive(sender, message)
    else:
        disks[at - len(wires)].disk.popleft()()


def _map_of_alive(cluster: Cluster) -> None:
    up = [node.osd for node in cluster.nodes if node.alive]
    cluster.new_map(up=up)


def _restart(cluster: Cluster, node: Node) -> None:
    for key in cluster.wires:
        if node.osd in key:
            cluster.wires[key].clear()
    if is_up(cluster.maps.current, node.osd):
        _map_of_alive(cluster)  # monitors see that it is another process
    node.restart()
    _map_of_alive(cluster)


def _check(cluster: Cluster, writers: list[Writer]) -> None:
    reader = Client(num=9)
    text = {}
    for name in _OBJECTS:
        reply = cluster.ask(reader, name, read())
        text[name] = bytes(reply.ops[0].outdata).decode() if reply.result >= 0 else ""
    for writer in writers:
        for name, token in writer.done:
            assert text[name].count(token) == 1, f"{token} is {text[name].count(token)} times there"
        for name in _OBJECTS:
            mine = [token for where, token in writer.done if where == name]
            places = [text[name].index(token) for token in mine]
            assert places == sorted(places)
        for number in range(1, writer.count + 1):
            token = f"<{writer.client.num}.{number}>"
            assert sum(text[name].count(token) for name in _OBJECTS) <= 1


@pytest.mark.parametrize("block", range(4))
def test_acknowledged_writes_survive_crashes(block, scale):
    for seed in range(block * 10 * scale, (block + 1) * 10 * scale):
        try:
            one_history(seed)
        except BaseException:
            print(f"seed {seed}")
            raise
