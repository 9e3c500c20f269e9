"""Removing snapshots: clones go, or serve fewer snapshots, on every OSD; counters stay right."""

from __future__ import annotations

import random

import pytest

from spirula.osd.ops.context import INFO_ATTR, SNAPSET_ATTR
from spirula.osd.pg import snap_trim
from spirula.osd.pg.peering import intervals
from spirula.osd.pg.snap_trim import key_prefixes
from spirula.store import snap_mapper
from spirula.store.objectstore import list_all
from spirula.types.hobject import NOSNAP, SNAPDIR, GHObject, HObject
from spirula.types.interval_set import IntervalSet
from spirula.types.object_info import ObjectFlag, ObjectInfo
from spirula.types.osd_op import OpCode, OSDOp
from spirula.types.pg import Coll, PGState
from spirula.types.snap import ListSnapsResponse, SnapSet
from spirula.types.transaction import Transaction
from tests.unit.osd.pg.harness import PGID, POOL, Client, Cluster, append, delete, read, write_full

_COLL = Coll.of(PGID)


@pytest.fixture
def cluster():
    made = Cluster(3)
    made.make_pg()
    return made


@pytest.fixture
def client():
    return Client()


def put(cluster, client, name, *ops, seq=0, snaps=()):
    request = cluster.request(name, *ops)
    request.snap_seq, request.snaps = seq, list(snaps)
    tid = cluster.send(client, request)
    cluster.settle()
    assert client.reply(tid).result == 0


def get(cluster, client, name, snap=NOSNAP):
    request = cluster.request(name, read())
    request.hobj = request.hobj.at_snap(snap)
    tid = cluster.send(client, request)
    cluster.settle()
    reply = client.reply(tid)
    return bytes(reply.ops[0].outdata) if reply.result == 0 else reply.result


def clones(cluster, client, name):
    request = cluster.request(name, OSDOp.make(OpCode.LIST_SNAPS))
    request.hobj = request.hobj.at_snap(SNAPDIR)
    tid = cluster.send(client, request)
    cluster.settle()
    reply = client.reply(tid)
    if reply.result:
        return reply.result
    listed = ListSnapsResponse.decode(bytes(reply.ops[0].outdata))
    return {each.cloneid: list(each.snaps) for each in listed.clones if each.cloneid != NOSNAP}


def remove(cluster, *snaps):
    """A map by which these snapshots are removed."""
    before = cluster.maps.current
    added = IntervalSet([(snap, 1) for snap in snaps])
    queue = before.removed_snaps_queue.get(POOL, IntervalSet()) | added
    before.removed_snaps_queue = {POOL: queue}
    before.new_removed_snaps = {POOL: added}
    cluster.new_map()
    cluster.maps.current.new_removed_snaps = {}
    finish(cluster)


def finish(cluster):
    for _ in range(20):
        cluster.settle()
        cluster.clock.advance(0.1)


def check(cluster):
    """All OSDs have the same objects, the index fits them, and the counters count them."""
    contents = []
    for node in cluster.nodes:
        store, found = node.store, {}
        for gh in list_all(store, _COLL):
            if gh.hobj.oid:
                attrs = store.getattrs(_COLL, gh)
                found[str(gh)] = attrs, store.read(_COLL, gh), store.omap_get(_COLL, gh)
                index = snap_mapper.snaps_of(store, gh.hobj)
                if gh.hobj.is_snap:
                    snapset = _snapset(store, gh.hobj.head())
                    assert index == set(snapset.clone_snaps[gh.hobj.snap])
                else:
                    assert index is None
        contents.append(found)
    assert contents[1:] == contents[:-1]
    total, store = cluster.primary.info.stats.stats.sum, cluster.nodes[0].store
    count = copies = held = whiteouts = 0
    for gh in list_all(store, _COLL):
        if not gh.hobj.oid:
            continue
        count += 1
        copies += gh.hobj.is_snap
        info = ObjectInfo.decode(store.getattr(_COLL, gh, INFO_ATTR))
        whiteouts += bool(info.flags & ObjectFlag.WHITEOUT)
        if gh.hobj.is_snap:
            held += _snapset(store, gh.hobj.head()).clone_bytes(gh.hobj.snap)
        else:
            held += info.size
    counted = (total.num_objects, total.num_object_clones, total.num_bytes, total.num_whiteouts)
    assert counted == (count, copies, held, whiteouts)


def _snapset(store, head: HObject) -> SnapSet:
    return SnapSet.decode(store.getattr(_COLL, GHObject(head), SNAPSET_ATTR))


def test_a_clone_goes_with_its_last_snapshot(cluster, client):
    put(cluster, client, "a", write_full(b"first"))
    put(cluster, client, "a", append(b" second"), seq=2, snaps=[2, 1])
    put(cluster, client, "a", append(b" third"), seq=3, snaps=[3, 2, 1])
    assert clones(cluster, client, "a") == {2: [1, 2], 3: [3]}
    check(cluster)
    remove(cluster, 1)
    assert clones(cluster, client, "a") == {2: [2], 3: [3]}
    assert get(cluster, client, "a", 2) == b"first"
    remove(cluster, 2)
    assert clones(cluster, client, "a") == {3: [3]}
    assert get(cluster, client, "a", 2) == -2
    assert get(cluster, client, "a", 3) == b"first second"
    assert get(cluster, client, "a") == b"first second third"
    check(cluster)
    for node in cluster.nodes:
        assert node.pg.info.purged_snaps == IntervalSet([(1, 2)])
    assert cluster.state == "active+clean"


def test_a_deleted_object_goes_with_its_last_clone(cluster, client):
    put(cluster, client, "a", write_full(b"data"))
    put(cluster, client, "a", delete(), seq=5, snaps=[5])
    assert get(cluster, client, "a") == -2
    assert get(cluster, client, "a", 5) == b"data"
    check(cluster)
    remove(cluster, 5)
    assert get(cluster, client, "a", 5) == -2
    assert clones(cluster, client, "a") == -2
    check(cluster)
    assert cluster.primary.info.stats.stats.sum.num_objects == 0


def test_nothing_is_trimmed_while_the_map_forbids_it(cluster, client):
    put(cluster, client, "a", write_full(b"data"))
    put(cluster, client, "a", write_full(b"more"), seq=1, snaps=[1])
    cluster.maps.current.flags |= 1 << 21  # nosnaptrim
    remove(cluster, 1)
    assert clones(cluster, client, "a") == {1: [1]}
    cluster.maps.current.flags &= ~(1 << 21)
    cluster.new_map()
    finish(cluster)
    assert clones(cluster, client, "a") == {}
    check(cluster)


def test_the_next_primary_goes_on(cluster, client):
    for n in range(10):
        put(cluster, client, f"o{n}", write_full(b"data"))
        put(cluster, client, f"o{n}", write_full(b"more"), seq=1, snaps=[1])
    before = cluster.maps.current
    before.removed_snaps_queue = before.new_removed_snaps = {POOL: IntervalSet([(1, 1)])}
    cluster.new_map()
    cluster.maps.current.new_removed_snaps = {}
    cluster.clock.advance(0)
    for _ in range(3):
        cluster.step()
    cluster.new_map(up=[1, 2, 0])
    cluster.wait()
    finish(cluster)
    for n in range(10):
        assert clones(cluster, client, f"o{n}") == {}
    check(cluster)
    assert not cluster.primary.state & (PGState.SNAPTRIM | PGState.SNAPTRIM_WAIT)


def test_random_histories_keep_index_and_counters(cluster, client):
    draw = random.Random(4)
    names, seq, snaps = ["a", "b", "c", "d"], 0, []
    for _ in range(120):
        kind = draw.random()
        if kind < 0.15:
            seq += 1
            snaps.insert(0, seq)
        elif kind < 0.25 and snaps:
            snap = draw.choice(snaps)
            snaps.remove(snap)
            remove(cluster, snap)
            check(cluster)
        else:
            op = draw.choice(
                (
                    write_full(draw.randbytes(draw.randint(1, 99))),
                    append(b"x" * draw.randint(1, 50)),
                    delete(),
                    OSDOp.make(OpCode.CREATE),
                )
            )
            request = cluster.request(draw.choice(names), op)
            request.snap_seq, request.snaps = seq, list(snaps)
            cluster.send(client, request)
            cluster.settle()
    for snap in snaps:
        remove(cluster, snap)
    check(cluster)
    assert cluster.primary.info.stats.stats.sum.num_object_clones == 0


def test_prefixes_of_keys_are_those_of_a_pgs_objects():
    draw = random.Random(1)
    for _ in range(300):
        bits, hash = draw.randint(0, 12), draw.getrandbits(32)
        name = HObject.of(3, "x", hash, snap=4)
        for seed in (hash & ((1 << bits) - 1), draw.getrandbits(bits) if bits else 0):
            inside = any(name.key_text().startswith(each) for each in key_prefixes(3, seed, bits))
            assert inside == name.matches(bits, seed)


def test_a_pg_that_is_removed_is_not_trimmed_any_more(cluster, client):
    for n in range(5):
        put(cluster, client, f"o{n}", write_full(b"data"))
        put(cluster, client, f"o{n}", write_full(b"more"), seq=1, snaps=[1])
    before = cluster.maps.current
    before.removed_snaps_queue = before.new_removed_snaps = {POOL: IntervalSet([(1, 1)])}
    cluster.new_map()
    pg = cluster.primary
    assert pg.trimmer.wanted
    pg.deleted = True
    intervals.reset(pg)
    snap_trim.on_map(pg, cluster.maps.current)
    snap_trim.kick(pg)
    transaction = Transaction()
    for gh in list(list_all(pg.store, _COLL)):
        transaction.remove(_COLL, gh)
    transaction.remove_collection(_COLL)
    pg.store.queue_transactions(_COLL, [transaction])
    cluster.clock.advance(5)
    assert not pg.trimmer.wanted
    assert not pg.shared.trim_turns.active
