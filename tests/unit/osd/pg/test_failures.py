"""OSDs of a PG end, come back, and take over: what was acknowledged is there, once, everywhere."""

from __future__ import annotations

import copy

import pytest

from spirula.errors import InvariantBroken, NoSpace
from spirula.messages.osd_client import BackoffOp
from spirula.messages.osd_peering import MOSDPGRemove
from spirula.osd.ops import prepare
from spirula.store import pg_meta
from spirula.types.hobject import GHObject
from spirula.types.pg import Coll
from tests.unit.osd.pg.harness import (
    PGID,
    Client,
    Cluster,
    Node,
    append,
    delete,
    object_of,
    read,
    write_full,
)


@pytest.fixture
def client():
    return Client()


def started(osds, **options):
    cluster = Cluster(osds, **options)
    cluster.make_pg()
    return cluster


def contents(cluster, osd):
    """All objects of the PG on one OSD: data, attributes, omap."""
    store, cid = cluster.nodes[osd].store, Coll.of(PGID)
    objects, _ = store.collection_list(cid, limit=10_000)
    return {
        str(oid): (store.read(cid, oid), store.getattrs(cid, oid), store.omap_get(cid, oid))
        for oid in objects
        if not oid.is_pgmeta
    }


def check_alike(cluster):
    """All that serve the PG have the same objects and logs, and nobody lacks anything."""
    assert cluster.state == "active+clean"
    serving = cluster.maps.mapping[cluster.maps.newest].acting
    first = cluster.primary
    for osd in serving:
        pg = cluster.nodes[osd].pg
        assert not pg.missing.missing
        assert pg.info.last_update == first.info.last_update == pg.info.last_complete
        assert [str(e.version) for e in pg.log.entries] == [
            str(e.version) for e in first.log.entries
        ]
        assert contents(cluster, osd) == contents(cluster, serving[0])
        check_stored(cluster, osd)


def check_stored(cluster, osd):
    """What is on disk is what the PG has in memory: info, log, dups, what is missing."""
    node = cluster.nodes[osd]
    pg, stored = node.pg, pg_meta.read_info(node.store, PGID)
    found = pg_meta.read_log(node.store, PGID, stored.info)
    assert stored.info.last_update == pg.info.last_update
    assert stored.info.last_complete == pg.info.last_complete
    assert stored.info.log_tail == pg.log.tail
    assert stored.info.last_epoch_started == pg.info.last_epoch_started
    assert found.log.log == list(pg.log.entries)
    dups = {dup.version: dup.reqid for dup in pg.log.dups}
    assert {dup.version: dup.reqid for dup in found.log.dups} == dups
    assert found.missing.missing == pg.missing.missing
    sums = stored.info.stats.stats.sum
    assert sums.num_objects == pg.info.stats.stats.sum.num_objects
    assert sums.num_bytes == pg.info.stats.stats.sum.num_bytes


@pytest.mark.parametrize("osds", [1, 3])
def test_all_osds_start_again(osds, client):
    cluster = started(osds)
    for number in range(5):
        cluster.ask(client, f"o{number % 3}", append(b"%d" % number))
    request = cluster.request("o0", append(b"again"))
    cluster.send(client, request)
    cluster.settle()
    before = cluster.primary.log.head
    for node in cluster.nodes:
        node.crash()
    cluster.new_map()
    for node in cluster.nodes:
        node.restart()
    cluster.new_map()
    cluster.wait()
    check_alike(cluster)
    assert cluster.primary.log.head == before
    cluster.send(client, copy.copy(request))
    request.epoch = cluster.maps.newest
    cluster.send(client, copy.copy(request))
    cluster.settle()
    assert cluster.ask(client, "o0", read()).ops[0].outdata == b"03again"
    assert cluster.ask(client, "o1", append(b"x")).result == 0


def test_a_replica_takes_over_and_knows_the_requests(client):
    cluster = started(3)
    request = cluster.request("a", append(b"x"))
    cluster.send(client, request)
    cluster.settle()
    cluster.nodes[0].crash()
    cluster.new_map(up=[1, 2])
    cluster.wait()
    assert "active" in cluster.state
    assert "undersized" in cluster.state
    again = copy.copy(request)
    again.epoch = cluster.maps.newest
    cluster.send(client, again)
    cluster.settle()
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"x"


def test_who_was_away_gets_what_it_missed(client):
    cluster = started(3)
    for name in ("a", "b", "c"):
        cluster.ask(client, name, write_full(b"1"))
    cluster.nodes[2].crash()
    cluster.new_map(up=[0, 1])
    cluster.wait()
    cluster.ask(client, "a", write_full(b"2"))
    cluster.ask(client, "b", delete())
    cluster.ask(client, "d", write_full(b"new" * 5000))
    assert "degraded" in cluster.state
    cluster.nodes[2].restart()
    cluster.new_map(up=[0, 1, 2])
    cluster.settle()
    check_alike(cluster)
    assert cluster.stored(2, "a") == b"2"
    assert cluster.stored(2, "d") == b"new" * 5000


def test_a_primary_that_was_away_gets_what_it_missed_before_it_answers(client):
    cluster = started(3)
    cluster.ask(client, "a", write_full(b"1"))
    cluster.nodes[0].crash()
    cluster.new_map(up=[1, 2])
    cluster.wait()
    cluster.ask(client, "a", write_full(b"2"))
    cluster.ask(client, "b", write_full(b"3"))
    cluster.nodes[0].restart()
    cluster.new_map(up=[0, 1, 2])
    tid = cluster.send(client, cluster.request("a", read()))
    cluster.settle()
    assert client.reply(tid).ops[0].outdata == b"2"
    check_alike(cluster)


def test_what_only_the_old_primary_did_is_undone(client):
    cluster = started(3)
    cluster.ask(client, "a", write_full(b"1"))
    cluster.ask(client, "b", write_full(b"1"))
    tid = cluster.send(client, cluster.request("a", write_full(b"2")))
    cluster.send(client, cluster.request("new", write_full(b"2")))
    cluster.send(client, cluster.request("b", delete()))
    while cluster.nodes[0].disk:
        cluster.nodes[0].disk.popleft()()
    cluster.wires.clear()
    cluster.nodes[0].crash()
    cluster.new_map(up=[1, 2])
    cluster.wait()
    assert client.reply(tid) is None
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"1"
    cluster.ask(client, "c", write_full(b"3"))
    cluster.nodes[0].restart()
    cluster.new_map(up=[1, 2, 0])
    cluster.settle()
    check_alike(cluster)
    assert cluster.stored(0, "a") == b"1"
    assert cluster.stored(0, "b") == b"1"
    assert not cluster.nodes[0].store.exists(Coll.of(PGID), GHObject(object_of("new")))


def test_large_objects_come_in_parts(client):
    cluster = started(2)
    for node in cluster.nodes:
        node.shared.options.osd_recovery_max_chunk = 1000
    cluster.nodes[1].crash()
    cluster.new_map(up=[0])
    cluster.wait()
    cluster.ask(client, "a", write_full(bytes(range(256)) * 40))
    cluster.nodes[1].restart()
    cluster.nodes[1].shared.options.osd_recovery_max_chunk = 1000
    cluster.new_map(up=[0, 1])
    cluster.settle()
    check_alike(cluster)
    assert cluster.stored(1, "a") == bytes(range(256)) * 40


def test_nobody_serves_while_the_newest_writes_may_be_elsewhere(client):
    cluster = started(2)
    cluster.ask(client, "a", write_full(b"1"))
    cluster.nodes[1].crash()
    cluster.new_map(up=[0])
    cluster.wait()
    cluster.ask(client, "a", write_full(b"2"))
    cluster.nodes[0].crash()
    cluster.nodes[1].restart()
    cluster.new_map(up=[1])
    cluster.settle()
    assert cluster.state == "down"
    other = Client(num=5)
    tid = cluster.send(other, cluster.request("a", read()))
    assert [m.op for m in other.connection.sent] == [BackoffOp.BLOCK]
    assert other.reply(tid) is None
    cluster.nodes[0].restart()
    cluster.new_map(up=[1, 0])
    cluster.settle()
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"2"
    check_alike(cluster)


def test_a_store_that_fails_ends_the_osd_before_anything_is_answered(client):
    cluster = started(1)
    cluster.nodes[0].store.fail(NoSpace("the disk is gone"))
    tid = cluster.send(client, cluster.request("a", write_full(b"1")))
    cluster.settle()
    assert isinstance(cluster.nodes[0].failed, NoSpace)
    assert client.reply(tid) is None


def test_a_store_without_room_ends_the_osd_and_has_nothing_of_the_write(client):
    cluster = started(1)
    cluster.ask(client, "a", write_full(b"1"))
    node = cluster.nodes[0]
    node.store.limit(1)
    with pytest.raises(InvariantBroken):
        cluster.send(client, cluster.request("b", write_full(bytes(1 << 20))))
    assert isinstance(node.failed, NoSpace)
    assert client.reply(client.tid) is None
    node.crash()
    node.store.limit(1 << 40)
    cluster.new_map(up=[])
    node.restart()
    cluster.new_map(up=[0])
    cluster.wait()
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"1"
    assert cluster.ask(client, "b", write_full(b"2")).result == 0
    check_alike(cluster)


def test_a_bug_in_one_request_does_not_block_the_object(client, monkeypatch):
    cluster = started(1)
    monkeypatch.setattr(prepare, "prepare_transaction", lambda ctx: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        cluster.send(client, cluster.request("a", write_full(b"1")))
    monkeypatch.undo()
    assert cluster.ask(client, "a", write_full(b"2")).result == 0


def test_who_need_not_have_the_pg_any_more_is_told_to_remove_it(client):
    cluster = started(3, size=2)
    cluster.new_map(up=[0, 1])
    cluster.wait()
    cluster.ask(client, "a", write_full(b"1"))
    removed = []
    post = cluster.post

    def watched(sender, receiver, message):
        if isinstance(message, MOSDPGRemove):
            removed.append((sender, receiver, message.pg_list))
        post(sender, receiver, message)

    cluster.post = watched
    cluster.new_map(up=[0, 2])
    cluster.wait()
    assert cluster.state == "active+clean"
    assert cluster.stored(2, "a") == b"1"
    assert removed[-1] == (0, 1, [PGID])


def test_who_was_away_too_long_does_not_count_as_a_copy(client):
    cluster = started(3, min_size=2)
    for node in cluster.nodes:
        options = node.shared.options
        options.osd_min_pg_log_entries = options.osd_max_pg_log_entries = 10
        options.osd_pg_log_trim_min = 5
    cluster.ask(client, "a", write_full(b"1"))
    cluster.nodes[2].crash()
    cluster.new_map(up=[0, 1])
    cluster.wait()
    for number in range(40):
        cluster.ask(client, f"o{number % 4}", append(b"x"))
    cluster.nodes[2].restart()
    cluster.nodes[2].shared.is_backfill_full = lambda _: True  # so that it stays behind
    cluster.new_map(up=[0, 1, 2])
    cluster.wait()
    mapping = cluster.maps.mapping[cluster.maps.newest]
    assert (mapping.up, mapping.acting) == ([0, 1, 2], [0, 1])
    assert "active" in cluster.state
    assert "backfill_toofull" in cluster.state
    assert cluster.ask(client, "a", append(b"2")).result == 0
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"12"
    assert cluster.nodes[2].pg.info.last_update == cluster.primary.info.last_update
    cluster.nodes[0].crash()  # and the other copy that counts is not enough
    cluster.new_map(up=[1, 2])
    cluster.wait()
    assert "active" not in cluster.state


def test_who_was_down_for_one_of_several_maps_is_asked_anew(client):
    cluster = started(3)
    cluster.ask(client, "a", write_full(b"1"))
    cluster.new_map(up=[1, 2])
    cluster.nodes[0].crash()  # the question is lost with it
    cluster.wires[0, 1].clear()
    cluster.settle()
    assert cluster.state == "peering"
    cluster.new_map(up=[1, 2], told=False)
    cluster.nodes[0] = Node(0, cluster)  # on another disk: nothing to tell of itself
    cluster.new_map(up=[1, 2])
    cluster.settle()
    assert "active" in cluster.state


def test_a_replica_takes_no_write_behind_one_that_it_did_not_get(client):
    cluster = started(2)
    cluster.ask(client, "a", write_full(b"1"))
    lost = cluster.send(client, cluster.request("a", write_full(b"2")))
    cluster.wires[0, 1].clear()
    after = cluster.send(client, cluster.request("a", write_full(b"3")))
    damaged = cluster.wires[0, 1][0]
    cluster.settle()
    assert damaged.connection.down
    assert client.reply(lost) is None
    assert client.reply(after) is None
    assert cluster.nodes[1].pg.info.last_update.version == 1
    assert cluster.stored(1, "a") == b"1"


def test_a_bug_at_a_replica_ends_it(client, monkeypatch):
    cluster = started(2)
    cluster.send(client, cluster.request("a", write_full(b"1")))
    monkeypatch.setattr(cluster.nodes[1].pg.backend, "_on_repop", lambda message: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        cluster.settle()
    assert isinstance(cluster.nodes[1].failed, ZeroDivisionError)
