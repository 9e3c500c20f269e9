"""Requests in special circumstances: full pools, limits, damage, copies in parts."""

from __future__ import annotations

import errno

import pytest

from spirula.errors import CephError
from spirula.osd.ops.context import OpSettings
from spirula.osd.ops.execute import handled
from spirula.types.base import EVersion
from spirula.types.hobject import GHObject, HObject
from spirula.types.listing import PGNLSResponse
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import (
    MODE_READ,
    MODE_WRITE,
    TYPE_MASK,
    TYPE_PG,
    CopyFromArgs,
    ListArgs,
    OpCode,
    OSDOp,
    RequestFlag,
)
from spirula.types.osd_op_payload import CopyFromInput
from spirula.types.pg_log import LogOp, PGMissingItem
from spirula.types.pool import PoolFlag
from spirula.types.snap import NOSNAP, SnapContext
from spirula.types.transaction import Transaction
from tests.unit.osd.ops.memory_pg import POOL, Client, MemoryPG
from tests.unit.osd.ops.scripts import (
    RETURNVEC,
    append,
    create,
    delete,
    failing,
    full,
    getxattr,
    looks,
    omap_header,
    omap_set,
    omap_vals,
    read,
    rollback,
    setxattr,
    stat,
    truncate,
    write,
)

_ABSENT = {
    *(OpCode.MASKTRUNC, OpCode.SETTRUNC),  # upstream has none of these either
    *(OpCode.SETXATTRS, OpCode.RESETXATTRS),
}


@pytest.fixture
def pg():
    return MemoryPG()


def test_every_operation_of_clients_is_handled():
    wanted = {
        code
        for code in OpCode
        if code & (MODE_READ | MODE_WRITE | 0x8000) and code & TYPE_MASK != TYPE_PG
    }
    assert wanted - handled() == _ABSENT


def test_a_rollback_waits_for_a_clone_that_is_missing_at_the_primary(pg):
    pg.ask("o", full(b"at 1"), snapc=SnapContext(1, [1]))
    pg.ask("o", full(b"later"), snapc=SnapContext(2, [2, 1]))
    (clone,) = (hoid for hoid in pg.contexts if hoid.snap == 2)
    pg.missing_here.add(clone)
    pg.unwritable[clone] = []
    waiting = pg.ask("o", rollback(2), snapc=SnapContext(2, [2, 1]))
    assert waiting.result == -errno.EINPROGRESS
    assert not waiting.dropped
    pg.missing_here.clear()
    (resume,) = pg.unwritable.pop(clone)
    resume()
    assert waiting.result == 0
    assert pg.ask("o", read()).ops[0].outdata == b"at 1"


# --- full pools ---


@pytest.mark.parametrize(
    ("flags", "pool", "result"),
    [
        (RequestFlag.FULL_TRY, 0, -errno.ENOSPC),
        (RequestFlag.FULL_TRY, PoolFlag.FULL_QUOTA, -errno.EDQUOT),
        (RequestFlag.FULL_FORCE, 0, 0),
    ],
)
def test_a_full_pool_refuses_what_adds(pg, flags, pool, result):
    pg.ask("a", full(b"12345"))
    pg.pool.flags |= PoolFlag.FULL | pool
    assert pg.ask("a", append(b"6"), flags=flags).result == result
    assert pg.ask("b", create(), flags=flags).result == result
    assert pg.ask("a", write(0, b"x"), flags=flags).result == 0
    assert pg.ask("a", truncate(1), flags=flags).result == 0
    assert pg.ask("a", read()).data == [b"x"]
    assert pg.ask("a", delete(), flags=flags).result == 0


def test_a_full_pool_drops_requests_of_clients_that_do_not_know(pg):
    pg.pool.flags |= PoolFlag.FULL
    assert pg.ask("a", create()).dropped
    assert pg.ask("a", stat()).result == -errno.ENOENT


# --- limits ---


def test_sizes_and_attributes_have_limits():
    pg = MemoryPG(OpSettings(max_object_size=1000, max_attr_size=10, max_attr_name_len=4))
    assert pg.ask("a", full(bytes(1000))).result == 0
    assert pg.ask("a", append(b"1")).result == -errno.EFBIG
    assert pg.ask("a", write(999, b"12")).result == -errno.EFBIG
    assert pg.ask("a", setxattr("name", b"x" * 10)).result == 0
    assert pg.ask("a", setxattr("name", b"x" * 11)).result == -errno.EFBIG
    assert pg.ask("a", setxattr("names", b"x")).result == -errno.ENAMETOOLONG


def test_omap_answers_are_cut_at_entries_and_bytes():
    pg = MemoryPG(OpSettings(max_omap_entries_per_request=3))
    entries = {f"k{n}": bytes(100) for n in range(8)}
    pg.ask("a", omap_set(entries))
    assert pg.ask("a", omap_vals()).data[0][:4] == b"\x03\0\0\0"
    pg.settings.max_omap_entries_per_request = 100
    pg.settings.max_omap_bytes_per_request = 250
    answer = pg.ask("a", omap_vals()).data[0]
    assert (answer[:4], answer[-1]) == (b"\x03\0\0\0", 1)


def test_a_write_may_answer_only_little(pg):
    pg.ask("a", full(b"x" * 100), setxattr("a", b"y" * 65))
    before = pg.info.last_update
    answer = pg.ask("a", getxattr("a"), append(b"z"), flags=RETURNVEC)
    assert (answer.result, answer.rvals) == (-errno.EOVERFLOW, [-errno.EOVERFLOW, 0])
    assert answer.data == [b"", b""]
    assert pg.ask("a", read()).data == [b"x" * 100]
    assert pg.info.last_update == before
    answer = pg.ask("a", read(0, 64), append(b"z"), flags=RETURNVEC)
    assert (answer.result, answer.data[0]) == (0, b"x" * 64)
    assert pg.log[-1].op_returns[0].bl == b"x" * 64


def test_snap_contexts_must_descend(pg):
    for snapc in (SnapContext(3, [2, 3]), SnapContext(2, [3]), SnapContext((1 << 64) - 1, [])):
        assert pg.ask("a", create(), snapc=snapc).result == -errno.EINVAL
    pg.ask("a", create(), snapc=SnapContext(5, [5]))
    ordered = int(RequestFlag.ORDERSNAP)
    old = pg.ask("a", append(b"x"), snapc=SnapContext(4, [4]), flags=ordered)
    assert old.result == -errno.ERESTART


# --- all or nothing ---


def test_a_refused_vector_changes_nothing(pg):
    pg.ask("a", full(b"data"), setxattr("a", b"1"))
    before = [pg.ask(step.name, *step.ops, snap=step.snap).data for step in looks("a")]
    answer = pg.ask("a", append(b"x"), setxattr("a", b"2"), omap_set({"k": b"v"}), getxattr("b"))
    assert (answer.result, answer.rvals) == (-errno.ENODATA, [0, 0, 0, -errno.ENODATA])
    after = [pg.ask(step.name, *step.ops, snap=step.snap).data for step in looks("a")]
    assert after == before
    assert pg.log[-1].op == LogOp.ERROR
    assert pg.ask("a", failing(getxattr("b")), append(b"x")).result == 0
    assert pg.ask("a", read()).data == [b"datax"]


def test_an_object_removed_twice_in_a_vector_is_gone(pg):
    pg.ask("a", full(b"data"), setxattr("a", b"1"))
    answer = pg.ask("a", delete(), create(), setxattr("b", b"2"), delete())
    assert (answer.result, answer.rvals) == (0, [0, 0, 0, 0])
    assert pg.ask("a", stat()).result == -errno.ENOENT
    assert not pg.store.exists(pg.coll, GHObject(pg.hobject("a")))
    assert pg.stats.num_objects == 0


def test_an_object_with_clones_is_there_again_when_replaced_by_nothing(pg):
    pg.ask("a", full(b"data"))
    under = SnapContext(1, [1])
    pg.ask("a", delete(), snapc=under)
    assert pg.ask("a", stat()).result == -errno.ENOENT
    pg.ask("a", full(b""), snapc=under)
    assert pg.ask("a", stat()).result == 0
    assert (pg.stats.num_whiteouts, pg.stats.num_objects) == (0, 2)


# --- damage ---


def test_data_that_does_not_match_its_checksum_is_not_given_out(pg):
    pg.ask("a", full(b"data"))
    damage = Transaction()
    damage.write(pg.coll, GHObject(pg.hobject("a")), 1, b"A")
    pg.store.queue_transactions(pg.coll, [damage])
    answer = pg.ask("a", read())
    assert (answer.result, answer.data) == (-errno.EIO, [b""])
    assert "full-object read crc" in pg.complaints[0]
    assert pg.ask("a", full(b"new")).result == 0
    assert pg.ask("a", read()).data == [b"new"]


# --- copies ---


def copy(source, version=0):
    data = CopyFromInput(source, ObjectLocator(POOL)).encode()
    return OSDOp.make(OpCode.COPY_FROM, CopyFromArgs(NOSNAP, version), data)


def test_large_objects_are_copied_in_parts():
    pg = MemoryPG(OpSettings(copyfrom_max_chunk=1000))
    entries = {f"key{n:04}": b"v" * 50 for n in range(200)}
    data = bytes(range(256)) * 40
    pg.ask("source", full(data), omap_set(entries), omap_header(b"head"), setxattr("a", b"1"))
    before = pg.tid
    assert pg.ask("copy", copy("source")).result == 0
    assert pg.tid - before > 15
    for theirs, mine in zip(looks("source"), looks("copy"), strict=True):
        told = [pg.ask(step.name, *step.ops, snap=step.snap).data for step in (theirs, mine)]
        assert told[0] == told[1]
    entry = pg.log[-1]
    assert [reqid.tid for reqid, _ in entry.extra_reqids] == [before]


def test_a_source_that_changes_in_between_is_not_mixed(pg):
    pg.settings.copyfrom_max_chunk = 100
    pg.ask("source", full(b"old" * 100))
    asked = pg.remote_op
    calls = []

    def interfere(target, ops, flags, done):
        calls.append(ops)
        if len(calls) == 2:
            pg.ask("source", full(b"new" * 100))
        return asked(target, ops, flags, done)

    pg.remote_op = interfere
    assert pg.ask("copy", copy("source")).result == -errno.ERANGE
    assert pg.ask("copy", stat()).result == -errno.ENOENT


def test_a_damaged_source_is_not_copied(pg):
    pg.settings.copyfrom_max_chunk = 3
    pg.ask("source", full(b"data"))
    damage = Transaction()
    damage.write(pg.coll, GHObject(pg.hobject("source")), 1, b"A")
    pg.store.queue_transactions(pg.coll, [damage])
    assert pg.ask("copy", copy("source")).result == -errno.EIO
    assert pg.complaints
    assert pg.ask("copy", stat()).result == -errno.ENOENT


# --- classes ---


def test_a_class_sees_who_asks_and_what_was_done_before(pg):
    client = Client(4711)
    pg.ask("a", full(b"hello"))
    answer = pg.ask("a", OSDOp.call("hello", "turn_it_to_11"), client=client)
    assert answer.result == 0
    assert pg.ask("a", read()).data == [b"HELLO"]
    assert pg.ask("a", getxattr("amplified_by")).data == [b"client.4711 127.0.0.1:0/4711"]
    assert pg.ask("a", OSDOp.call("hello", "bad_writer", b"x")).result == -errno.EIO
    assert pg.ask("a", read()).data == [b"HELLO"]


# --- listings ---


def test_objects_that_are_missing_are_listed_but_those_to_be_deleted_are_not(pg):
    for name in ("a", "b", "c"):
        pg.ask(name, create())
    need = EVersion(9, 9)
    pg.missing.missing[pg.hobject("d")] = PGMissingItem(need)
    pg.missing.missing[pg.hobject("a")] = PGMissingItem(need)
    pg.missing.missing[pg.hobject("b")] = PGMissingItem(need, is_delete=True)
    listing = OSDOp.make(OpCode.PGNLS, ListArgs(100, 0), HObject().encode())
    answer = pg.ask_pg(listing)
    assert answer.result == 1
    found = [each.oid for each in PGNLSResponse.decode(answer.data[0]).entries]
    assert sorted(found) == ["a", "c", "d"]
    seen, handle = [], HObject()
    while not handle.max:
        one = pg.ask_pg(OSDOp.make(OpCode.PGNLS, ListArgs(1, 0), handle.encode()))
        page = PGNLSResponse.decode(one.data[0])
        seen += [each.oid for each in page.entries]
        handle = page.handle
    assert seen == found


def test_a_snapshot_cannot_be_listed(pg):
    listing = OSDOp.make(OpCode.PGNLS, ListArgs(100, 0), HObject().encode())
    assert pg.ask_pg(listing, snap=3).result == -errno.EINVAL


def test_the_store_says_what_is_wrong(pg):
    pg.ask("a", full(b"data"))

    def broken(*args, **kwargs):
        raise CephError("the disk is gone", errno=errno.EIO)

    pg.store.read = broken
    assert pg.ask("a", read()).result == -errno.EIO
