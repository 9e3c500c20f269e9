"""Clients write while OSDs crash at any moment: acknowledged writes survive, none is done twice.

One seed, one history: which message arrives, which disk is done, who crashes, when maps come. At
the end all OSDs are up, and everybody has the same.
"""

from __future__ import annotations

import random

import pytest

from spirula.maps.state import is_up
from spirula.messages.osd_op import MOSDOp
from tests.unit.osd.pg.harness import Client, Cluster, Node, append, crossed, read
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

    def act(self, cluster: Cluster, rng: random.Random) -> None:
        """Looks for an answer; begins the next write, or sends the last one again."""
        if self.pending is not None:
            reply = self.client.reply(self.pending.tid)
            if reply is not None:
                assert reply.result == 0
                self.done.append((self.name, self.token))
                self.pending = None
        if self.pending is None:
            self.count += 1
            self.token = f"<{self.client.num}.{self.count}>"
            self.name = rng.choice(_OBJECTS)
            self.pending = cluster.request(self.name, append(self.token.encode()))
            self.client.tid += 1
            self.pending.tid = self.client.tid
            self.sent_in = 0
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


def one_history(seed: int) -> None:
    rng = random.Random(seed)  # repeatable on purpose
    count = rng.choice([2, 3, 3, 3])
    cluster = Cluster(count, min_size=rng.choice([1, count // 2 + 1]))
    for node in cluster.nodes:
        node.shared.options.osd_min_pg_log_entries = 20
    cluster.make_pg()
    writers = [Writer(4000 + number) for number in range(3)]
    for _ in range(rng.randrange(200, 500)):
        chance = rng.random()
        if chance < 0.35:
            rng.choice(writers).act(cluster, rng)
        elif chance < 0.95:
            _something(cluster, rng)
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
            writer.act(cluster, rng)
            if len(writer.done) < writer.count:
                writer.sent_in = 0
        if cluster.state == "active+clean":
            break
    cluster.wait()
    check_alike(cluster)
    _check(cluster, writers)


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
    node.shared.options.osd_min_pg_log_entries = 20
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
