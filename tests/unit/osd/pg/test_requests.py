"""Requests of clients to a PG: answered when everything is on disk, once, in order."""

from __future__ import annotations

import copy
import errno
import gc
import weakref

import pytest

from spirula.auth.caps import osd as osd_caps
from spirula.messages.osd_client import BackoffOp, MOSDBackoff
from spirula.messages.osd_op import MOSDOpReply
from spirula.messages.osd_replication import MOSDRepOp
from spirula.types.base import EVersion, UTime
from spirula.types.hobject import NOSNAP, HObject
from spirula.types.osd_op import CmpXattrOp, OpCode, OSDOp, RequestFlag
from spirula.types.osd_op_payload import OmapEntries, OmapRmKeyRangeInput
from spirula.types.pg_log import LogOp
from spirula.types.pool import PoolFlag
from spirula.types.transaction import TxnOpCode
from tests.unit.osd.pg.harness import (
    Client,
    Cluster,
    append,
    delete,
    read,
    write,
    write_full,
)


@pytest.fixture(params=[1, 3])
def cluster(request):
    made = Cluster(request.param)
    made.make_pg()
    return made


@pytest.fixture
def client():
    return Client()


def test_a_new_pg_becomes_active_and_clean(cluster):
    assert cluster.state == "active+clean"
    assert all(node.pg.info.history.last_epoch_clean for node in cluster.nodes)


def test_what_was_written_is_read_on_every_osd(cluster, client):
    assert cluster.ask(client, "a", write_full(b"hello")).result == 0
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"hello"
    for osd in range(len(cluster.nodes)):
        assert cluster.stored(osd, "a") == b"hello"


def test_a_write_is_answered_only_when_all_have_it_on_disk(cluster, client):
    tid = cluster.send(client, cluster.request("a", write_full(b"hello")))
    while cluster.step(disks=False):
        pass
    for node in reversed(cluster.nodes):
        assert client.reply(tid) is None
        while node.disk:
            node.disk.popleft()()
        while cluster.step(disks=False):
            pass
    reply = client.reply(tid)
    assert reply.result == 0
    assert reply.flags & RequestFlag.ONDISK
    assert reply.replay_version == EVersion(1, cluster.maps.newest)
    assert reply.user_version == 1


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)], ids=str)
def test_a_write_is_forgotten_when_all_have_it_whoever_was_last(cluster, client, order):
    tid = cluster.send(client, cluster.request("a", write(b"data")))
    while cluster.step(disks=False):
        pass
    kept = weakref.ref(cluster.primary.repops[0].request)
    for osd in order if len(cluster.nodes) == 3 else (0,):
        cluster.nodes[osd].disk.popleft()()
        while cluster.step(disks=False):
            pass
    cluster.settle()
    assert client.reply(tid).result == 0
    gc.collect()
    assert kept() is None


def test_a_request_that_comes_again_is_not_carried_out_again(cluster, client):
    request = cluster.request("a", append(b"x"))
    first = cluster.send(client, request)
    again = copy.copy(request)
    cluster.send(client, again)  # while the first is under way
    cluster.settle()
    cluster.send(client, again)  # and when it is done
    replies = [m for m in client.connection.sent if isinstance(m, MOSDOpReply)]
    assert [reply.tid for reply in replies] == [first] * 3
    assert len({(reply.replay_version, reply.user_version) for reply in replies}) == 1
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"x"


def test_a_failed_write_fails_again_although_now_it_could_succeed(cluster, client):
    compare = OSDOp.xattr(OpCode.CMPXATTR, "k", b"1", CmpXattrOp.EQ, 1)
    request = cluster.request("a", compare, write_full(b"x"))
    cluster.send(client, request)
    cluster.settle()
    assert client.reply(request.tid).result < 0
    cluster.ask(client, "a", OSDOp.xattr(OpCode.SETXATTR, "k", b"1"))
    cluster.send(client, copy.copy(request))
    replies = [m for m in client.connection.sent if m.tid == request.tid]
    assert replies[0].result == replies[1].result
    assert cluster.ask(client, "a", read()).ops[0].outdata == b""
    entries = [entry.op for entry in cluster.nodes[-1].pg.log.entries]
    assert LogOp.ERROR in entries


def test_reads_wait_for_writes_that_are_not_on_disk(cluster, client):
    cluster.ask(client, "a", write_full(b"old"))
    written = cluster.send(client, cluster.request("a", write_full(b"new")))
    asked = cluster.send(client, cluster.request("a", read()))
    elsewhere = cluster.send(client, cluster.request("b", read()))
    assert client.reply(asked) is None
    assert client.reply(elsewhere).result == -errno.ENOENT
    cluster.settle()
    tids = [m.tid for m in client.connection.sent]
    assert tids.index(written) < tids.index(asked)
    assert client.reply(asked).ops[0].outdata == b"new"


def test_writes_to_one_object_do_not_wait_for_one_another(cluster, client):
    for number in range(10):
        cluster.send(client, cluster.request("a", append(b"%d" % number)))
    assert len(cluster.primary.repops) == 10
    cluster.settle()
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"0123456789"
    replies = [m.tid for m in client.connection.sent]
    assert replies == sorted(replies)


def test_a_request_that_reads_and_writes_has_the_object_for_itself(cluster, client):
    cluster.ask(client, "a", write_full(b"1"))
    for number in range(5):
        both = cluster.request("a", read(), append(b"%d" % number), flags=RequestFlag.RETURNVEC)
        cluster.send(client, both)
    cluster.settle()
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"101234"
    assert not cluster.primary.objects.find(cluster.request("a").hobj, can_create=False).lock.kind


def test_versions_that_readers_see_are_those_of_the_last_write(cluster, client):
    cluster.ask(client, "a", write_full(b"1"))
    cluster.ask(client, "b", write_full(b"1"))
    written = cluster.ask(client, "a", write_full(b"2"))
    assert cluster.ask(client, "a", read()).user_version == written.user_version == 3
    missing = cluster.ask(client, "none", read())
    assert (missing.result, missing.user_version) == (-errno.ENOENT, 0)


def test_deleted_objects_are_gone_everywhere(cluster, client):
    cluster.ask(client, "a", write_full(b"1"))
    assert cluster.ask(client, "a", delete()).result == 0
    assert cluster.ask(client, "a", read()).result == -errno.ENOENT
    assert cluster.ask(client, "a", delete()).result == -errno.ENOENT
    assert cluster.primary.info.stats.stats.sum.num_objects == 0
    assert len(cluster.primary.log) == 3


def test_statistics_are_counted_and_kept_by_all(cluster, client):
    for name in "abc":
        cluster.ask(client, name, write_full(b"x" * 1000))
    for node in cluster.nodes:
        total = node.pg.info.stats.stats.sum
        assert (total.num_objects, total.num_bytes, total.num_wr) == (3, 3000, 3)


@pytest.mark.parametrize(
    ("hobj", "expected"),
    [
        (HObject.of(1, "x" * 3000, 0), errno.ENAMETOOLONG),
        (HObject.of(1, "x", 0, key="y" * 3000), errno.ENAMETOOLONG),
        (HObject.of(1, "x", 0, nspace="n" * 300), errno.ENAMETOOLONG),
        (HObject.of(1, "", 0), errno.EINVAL),
        (HObject.of(1, "x", 0, snap=4), errno.EINVAL),
    ],
)
def test_names_that_no_object_can_have_are_refused(cluster, client, hobj, expected):
    request = cluster.request("a", write_full(b"x"))
    request.hobj = hobj
    tid = cluster.send(client, request)
    cluster.settle()
    assert client.reply(tid).result == -expected
    assert not cluster.primary.log


def test_clients_without_caps_get_eperm(cluster):
    reader = Client(num=5, caps=osd_caps.parse("allow r"))
    assert cluster.ask(reader, "a", write_full(b"x")).result == -errno.EPERM
    assert cluster.ask(reader, "a", read()).result == -errno.ENOENT


def test_blocklisted_clients_are_told_so(cluster, client):
    cluster.maps.current.blocklist = {client.addr.with_type(3): UTime(1 << 31, 0)}
    cluster.new_map()
    cluster.settle()
    assert cluster.ask(client, "a", write_full(b"x")).result == -errno.ESHUTDOWN


def test_a_write_with_too_much_data_is_refused(cluster, client):
    cluster.primary.options.osd_max_write_size = 1000
    assert cluster.ask(client, "a", write_full(bytes(2000))).result == -errno.EMSGSIZE


def test_requests_of_a_newer_map_wait_for_it_in_their_order(cluster, client):
    request = cluster.request("a", append(b"1"))
    request.epoch += 1
    first = cluster.send(client, request)
    second = cluster.send(client, cluster.request("a", append(b"2")))
    cluster.settle()
    assert client.reply(first) is None
    assert client.reply(second) is None
    cluster.new_map()
    cluster.settle()
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"12"


def test_a_full_pool_takes_deletes_and_refuses_more_data(cluster, client):
    cluster.ask(client, "a", write_full(b"old"))
    cluster.new_map(flags=int(PoolFlag.FULL | PoolFlag.FULL_QUOTA))
    cluster.settle()
    tried = cluster.ask(client, "b", write_full(b"x"), flags=RequestFlag.FULL_TRY)
    assert tried.result == -errno.EDQUOT
    forced = cluster.ask(client, "b", write_full(b"x"), flags=RequestFlag.FULL_FORCE)
    assert forced.result == 0
    dropped = cluster.send(client, cluster.request("c", write_full(b"x")))
    cluster.settle()
    assert client.reply(dropped) is None
    assert cluster.ask(client, "a", delete(), flags=RequestFlag.FULL_TRY).result == 0
    assert cluster.ask(client, "b", read()).ops[0].outdata == b"x"


def test_writes_sent_before_the_pool_was_full_are_dropped(cluster, client):
    early = cluster.request("a", write_full(b"x"))
    cluster.new_map(flags=int(PoolFlag.FULL))
    cluster.settle()
    tid = cluster.send(client, early)
    cluster.settle()
    assert client.reply(tid) is None
    assert not cluster.primary.log


def test_the_log_is_trimmed_and_still_knows_requests(cluster, client):
    options = [node.shared.options for node in cluster.nodes]
    for each in options:
        each.osd_min_pg_log_entries = each.osd_max_pg_log_entries = 10
        each.osd_pg_log_trim_min, each.osd_pg_log_dups_tracked = 5, 40
    requests = []
    for _ in range(60):
        request = cluster.request("a", append(b"x"))
        cluster.send(client, request)
        cluster.settle()
        requests.append(request)
    for node in cluster.nodes:
        assert len(node.pg.log) < 20
        assert node.pg.log.tail == node.pg.info.log_tail
    cluster.send(client, copy.copy(requests[-30]))  # trimmed, but remembered
    cluster.settle()
    assert cluster.ask(client, "a", read()).ops[0].outdata == b"x" * 60


def test_a_replica_that_is_not_asked_for_balanced_reads_is_silent():
    cluster = Cluster(3)
    cluster.make_pg()
    client = Client()
    cluster.ask(client, "a", write_full(b"hello"))
    replica = cluster.nodes[1].pg
    request = cluster.request("a", read())
    request.tid, request.connection = 99, client.connection
    replica.dispatch(request)
    assert client.reply(99) is None
    request.flags |= RequestFlag.BALANCE_READS
    replica.dispatch(request)
    assert client.reply(99).result == -errno.EAGAIN  # it does not know what all have on disk
    for name in "bcd":
        cluster.ask(client, name, write_full(b"hello"))
    request.tid = 100
    replica.dispatch(request)
    assert client.reply(100).result == -errno.EAGAIN  # nor has it a lease by its own clock
    cluster.nodes[1].shared.clock_delta = lambda osd: (0.0, 0.0)
    cluster.clock.advance(10)
    cluster.settle()
    replica.dispatch(request)
    assert client.reply(100).ops[0].outdata == b"hello"


def test_too_few_osds_hold_clients_back():
    cluster = Cluster(3, min_size=2)
    cluster.make_pg()
    client = Client()
    cluster.ask(client, "a", write_full(b"x"))
    for osd in (1, 2):
        cluster.nodes[osd].crash()
    cluster.new_map(up=[0])
    cluster.settle()
    assert "wait" in cluster.state  # those who are gone may still answer reads
    cluster.clock.advance(20)
    assert cluster.state == "undersized+degraded+peered"
    tid = cluster.send(client, cluster.request("a", write_full(b"y")))
    cluster.settle()
    assert client.reply(tid) is None
    asked = [m for m in client.connection.sent if isinstance(m, MOSDBackoff)]
    assert [m.op for m in asked] == [BackoffOp.BLOCK]
    cluster.nodes[1].restart()
    cluster.new_map(up=[0, 1])
    cluster.settle()
    asked = [m for m in client.connection.sent if isinstance(m, MOSDBackoff)]
    assert [m.op for m in asked] == [BackoffOp.BLOCK, BackoffOp.UNBLOCK]
    ack = MOSDBackoff(asked[0].pgid, 0, BackoffOp.ACK_BLOCK, asked[0].id, *_range(asked[0]))
    ack.connection = client.connection
    cluster.primary.dispatch(ack)
    assert not client.backoffs
    assert cluster.ask(client, "a", write_full(b"y")).result == 0


def _range(message):
    return message.begin, message.end


def test_a_lease_that_is_over_stops_reads_until_it_is_renewed():
    cluster = Cluster(3)
    cluster.make_pg()
    client = Client()
    cluster.ask(client, "a", write_full(b"x"))
    cluster.clock.advance(100)  # renewed, but no answers have come
    while cluster.step(disks=False):
        pass
    tid = cluster.send(client, cluster.request("a", read()))
    cluster.settle()
    assert client.reply(tid).ops[0].outdata == b"x"
    cluster.wires.clear()
    cluster.clock.advance(100)
    tid = cluster.send(client, cluster.request("a", read()))
    assert client.reply(tid) is None
    assert "laggy" in cluster.state
    cluster.settle()
    assert client.reply(tid).ops[0].outdata == b"x"
    assert "laggy" not in cluster.state


def test_sub_operations_say_what_upstreams_do():
    cluster = Cluster(2)
    cluster.make_pg()
    client = Client()
    cluster.ask(client, "a", write(b"old"))
    cluster.send(client, cluster.request("a", write(b"new")))
    (message,) = cluster.wires[0, 1]
    assert isinstance(message, MOSDRepOp)
    assert message.poid == cluster.request("a").hobj
    assert message.acks_wanted == RequestFlag.ACK | RequestFlag.ONDISK
    assert message.version.version == 2
    assert message.min_epoch == cluster.primary.last_peering_reset
    assert message.reqid.name == client.name
    assert message.poid.snap == NOSNAP
    assert any(op.oid.hobj == message.poid for op in message.transaction().ops)
    assert not any(op.oid.is_pgmeta for op in message.transaction().ops)


@pytest.mark.parametrize("how", ["clear", "range"])
def test_what_a_request_sets_and_removes_again_is_removed_by_name(client, how):
    # BlueStore removes of a range only what it had before the transaction.
    cluster = Cluster(2)
    cluster.make_pg()
    sent = []
    post = cluster.post

    def noting(sender, receiver, message):
        if isinstance(message, MOSDRepOp):
            sent.append(message.transaction())
        post(sender, receiver, message)

    cluster.post = noting
    put = OSDOp.make(OpCode.OMAPSETVALS, None, OmapEntries({"b": b"", "c": b"", "d": b""}).encode())
    ops = {
        "clear": (OSDOp.make(OpCode.OMAPCLEAR), ["b", "c", "d"]),
        "range": (
            OSDOp.make(OpCode.OMAPRMKEYRANGE, None, OmapRmKeyRangeInput("a", "d").encode()),
            ["b", "c"],
        ),
    }
    op, gone = ops[how]
    header = OSDOp.make(OpCode.OMAPSETHEADER, None, b"header")
    assert cluster.ask(client, "o", put, header, op, put).result == 0
    headers = [each.data for each in sent[0].ops if each.op == TxnOpCode.OMAP_SETHEADER]
    assert headers == ([b"header", b""] if how == "clear" else [b"header"])
    removed = [each.keys for each in sent[0].ops if each.op == TxnOpCode.OMAP_RMKEYS]
    assert removed == [gone]
