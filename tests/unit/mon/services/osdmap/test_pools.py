"""Pools on a monitor in virtual time: what interop scripts, which ask one by one, do not reach.

Commands that come while others are pending, PG numbers step by step as the manager takes them,
messages of clients, and what is left of a pool when it goes.
"""

from __future__ import annotations

import errno
import json
import struct

import pytest

from spirula.messages import mon_client
from spirula.messages.mon_client import MMonCommand, MMonCommandAck, MPoolOp, MPoolOpReply
from spirula.mon.request import Request
from spirula.types.pg import PGId
from spirula.types.pool import PoolFlag
from tests.unit.mon.harness import FSID, HarnessMonitor

OPTIONS = {"mon_allow_pool_delete": "true", "osd_pool_default_pg_num": "8"}


@pytest.fixture
def mon():
    return HarnessMonitor(OPTIONS)


def pool_of(mon, name):
    osdmap = mon.mon.osdmap.osdmap
    return next(osdmap.pools[number] for number, known in osdmap.pool_name.items() if known == name)


def at_once(mon, *commands):
    """Commands that come in one turn of the event loop; (rc, status line) of each."""
    messages = []
    for words in commands:
        message = MMonCommand(version=0, fsid=FSID.bytes, cmd=[json.dumps(words)])
        message.tid = 1000 + len(messages)
        messages.append(message)
        mon.mon.dispatch(Request(mon.mon, message, mon.admin, mon.wall()))
    mon.advance(2.0)
    acks = {m.tid: m for m in mon.admin.connection.sent if isinstance(m, MMonCommandAck)}
    return [(acks[message.tid].r, acks[message.tid].rs) for message in messages]


def pool_op(mon, op, *, pool=0, name="", snapid=0, session=None, fsid=FSID.bytes, rule=-1):
    """A client's operation on a pool; the reply."""
    message = MPoolOp(
        version=0, fsid=fsid, pool=pool, op=op, snapid=snapid, name=name, crush_rule=rule
    )
    message.tid = mon.rng.getrandbits(32)
    session = session or mon.admin
    mon.mon.dispatch(Request(mon.mon, message, session, mon.wall()))
    mon.advance(1.0)
    return next(
        one
        for one in session.connection.sent
        if isinstance(one, MPoolOpReply) and one.tid == message.tid
    )


# ------------------------------------------------------------------- commands on what is pending


def test_commands_of_one_turn_build_on_one_another(mon):
    mon.ok("osd pool create", pool="p")
    answers = at_once(
        mon,
        {"prefix": "osd pool set", "pool": "p", "var": "size", "val": "2"},
        {"prefix": "osd pool set", "pool": "p", "var": "noscrub", "val": "1"},
        {"prefix": "osd pool application enable", "pool": "p", "app": "rbd"},
        {"prefix": "osd pool set-quota", "pool": "p", "field": "max_objects", "val": "5"},
        {"prefix": "osd pool mksnap", "pool": "p", "snap": "s"},
    )
    assert [rc for rc, _ in answers] == [0] * 5
    pool = pool_of(mon, "p")
    assert (pool.size, pool.quota_max_objects, pool.application_metadata) == (2, 5, {"rbd": {}})
    assert pool.has_flag(PoolFlag.NOSCRUB)
    assert [snap.name for snap in pool.snaps.values()] == ["s"]


def test_two_clients_create_the_same_pool(mon):
    create = {"prefix": "osd pool create", "pool": "same"}
    assert [rc for rc, _ in at_once(mon, create, create)] == [0, 0]
    assert mon.ok("osd pool ls") == "same\n"


def test_a_pool_that_goes_is_not_changed_any_more(mon):
    mon.ok("osd pool create", pool="p")
    remove = {"prefix": "osd pool rm", "pool": "p", "pool2": "p"}
    answers = at_once(
        mon,
        {**remove, "yes_i_really_really_mean_it": True},
        {"prefix": "osd pool set", "pool": "p", "var": "size", "val": "2"},
        {"prefix": "osd pool rename", "srcpool": "p", "destpool": "q"},
    )
    assert answers[0] == (0, "pool 'p' removed")
    assert answers[1] == (-errno.ENOENT, "unrecognized pool 'p'")
    assert answers[2][0] == -errno.ENOENT
    assert mon.ok("osd pool ls") == ""


def test_names_that_are_given_at_the_same_time(mon):
    mon.ok("osd pool create", pool="a")
    mon.ok("osd pool create", pool="b")
    answers = at_once(
        mon,
        {"prefix": "osd pool rename", "srcpool": "a", "destpool": "c"},
        {"prefix": "osd pool rename", "srcpool": "b", "destpool": "c"},
    )
    text = "failed to rename pool 'b' to 'c': (17) File exists"
    assert answers == [(0, "pool 'a' renamed to 'c'"), (-errno.EEXIST, text)]


def test_an_erasure_pool_waits_for_its_rule_and_profile(mon):
    create = {"prefix": "osd pool create", "pool_type": "erasure", "erasure_code_profile": "k2"}
    answers = at_once(
        mon,
        {"prefix": "osd erasure-code-profile set", "name": "k2", "profile": ["k=2", "m=1"]},
        {**create, "pool": "e"},
    )
    assert [rc for rc, _ in answers] == [0, 0]
    pool = pool_of(mon, "e")
    assert (pool.size, pool.min_size, pool.erasure_code_profile) == (3, 2, "k2")
    assert mon.ok("osd crush rule ls").split() == ["replicated_rule", "e"]
    answers = at_once(
        mon,
        {**create, "pool": "f", "rule": "e"},
        {"prefix": "osd erasure-code-profile rm", "name": "k2"},
    )
    text = "e f pool(s) are using the erasure code profile 'k2'"
    assert answers == [(0, "pool 'f' created"), (-errno.EBUSY, text)]


def test_a_tier_is_not_added_twice(mon):
    for name in ("base", "other", "hot"):
        mon.ok("osd pool create", pool=name)
    joined = mon.mon.joined
    assert joined is not None
    answers = at_once(
        mon,
        {"prefix": "osd tier add", "pool": "base", "tierpool": "hot"},
        {"prefix": "osd tier add", "pool": "other", "tierpool": "hot"},
    )
    text = "tier pool 'hot' is already a tier of 'base'"
    assert answers[1] == (-errno.EINVAL, text)
    assert pool_of(mon, "hot").tier_of == 1


# ------------------------------------------------------------------------- numbers of PGs in steps


def finish_creating(mon, name):
    """As the OSDs' reports do: all PGs of the pool are there."""
    service = mon.mon.osdmap
    number = next(n for n, known in service.osdmap.pool_name.items() if known == name)
    pool = service.pending_pool(number)
    pool.flags &= ~int(PoolFlag.CREATING)
    service.propose()
    mon.advance(1.0)
    return number


def set_value(mon, var, val):
    answer = mon.command("osd pool set", pool="p", var=var, val=str(val))
    return answer.r, answer.rs


def test_the_manager_takes_the_steps_to_another_pg_num(mon):
    mon.ok("osd pool create", pool="p", pg_num=8)
    busy = (-errno.EBUSY, "cannot adjust pg_num while initial PGs are being created")
    assert set_value(mon, "pg_num_actual", 16) == busy
    finish_creating(mon, "p")
    assert set_value(mon, "pg_num", 16)[0] == 0
    pool = pool_of(mon, "p")
    assert (pool.pg_num, pool.pg_num_target, pool.pgp_num, pool.pgp_num_target) == (8, 16, 8, 16)
    assert set_value(mon, "pg_num_actual", 16)[0] == 0
    pool = pool_of(mon, "p")
    assert (pool.pg_num, pool.pg_num_pending, pool.pgp_num) == (16, 16, 8)
    assert pool.last_force_op_resend_preluminous == mon.mon.osdmap.epoch
    assert set_value(mon, "pgp_num_actual", 16)[0] == 0
    assert pool_of(mon, "p").pgp_num == 16


def test_merging_goes_by_single_pgs_after_pgp_num(mon):
    mon.ok("osd pool create", pool="p", pg_num=8)
    finish_creating(mon, "p")
    assert set_value(mon, "pg_num", 4)[0] == 0
    assert set_value(mon, "pg_num_actual", 7) == (
        -errno.EINVAL,
        "specified pg_num 7 < pgp_num 8",
    )
    assert set_value(mon, "pgp_num_actual", 4)[0] == 0
    assert set_value(mon, "pg_num_actual", 6)[1] == (
        "specified pg_num 6 < pg_num (8) - 1; only single pg decrease is currently supported"
    )
    assert set_value(mon, "pg_num_actual", 7)[0] == 0
    pool = pool_of(mon, "p")
    assert (pool.pg_num, pool.pg_num_pending) == (8, 7)
    assert pool.last_force_op_resend_prenautilus == mon.mon.osdmap.epoch
    text = "specified pgp_num 8 > pg_num_pending 7"
    assert set_value(mon, "pgp_num_actual", 8) == (-errno.EINVAL, text)


def test_large_pools_begin_small():
    mon = HarnessMonitor({**OPTIONS, "mon_osd_max_initial_pgs": "16"})
    mon.ok("osd pool create", pool="p", pg_num=128)
    pool = pool_of(mon, "p")
    assert (pool.pg_num, pool.pg_num_target, pool.pgp_num_target) == (16, 128, 128)


def test_flags_and_defaults_come_from_the_configuration():
    options = {
        f"osd_pool_default_flag_{name}": "true"
        for name in ("nodelete", "nopgchange", "nosizechange", "bulk")
    }
    mon = HarnessMonitor({**options, "osd_pool_default_flag_hashpspool": "false"})
    mon.ok("osd pool create", pool="p")
    flags = "nodelete,nopgchange,nosizechange,creating,bulk"
    assert mon.ok("osd pool ls", detail="detail", format="json")[0]["flags_names"] == flags


def test_one_copy_is_for_those_who_insist():
    mon = HarnessMonitor({"mon_allow_pool_size_one": "true"})
    mon.ok("osd pool create", pool="p")
    code, text = mon.refused("osd pool set", pool="p", var="size", val="1")
    assert (code, text.split(":")[0]) == (errno.EPERM, "WARNING")
    mon.ok("osd pool set", pool="p", var="size", val="1", yes_i_really_mean_it=True)
    assert pool_of(mon, "p").size == 1


# ------------------------------------------------------------------------------------------ removal


def test_all_that_the_map_says_of_a_pool_goes_with_it(mon):
    mon.ok("osd pool create", pool="p")
    service = mon.mon.osdmap
    pg = PGId(1, 0)
    pending = service.pending
    pending.new_pg_temp[pg], pending.new_primary_temp[pg] = [0, 1], 1
    pending.new_pg_upmap[pg], pending.new_pg_upmap_items[pg] = [0, 1, 2], [(0, 1)]
    service.propose()
    mon.advance(1.0)
    mon.ok("osd set-require-min-compat-client", version="luminous")
    mon.ok("osd crush weight-set create", pool="p", mode="flat")
    mon.ok("osd pool rm", pool="p", pool2="p", yes_i_really_really_mean_it=True)
    osdmap = service.osdmap
    for table in (osdmap.pg_temp, osdmap.primary_temp, osdmap.pg_upmap, osdmap.pg_upmap_items):
        assert not table
    assert not osdmap.crush.choose_args
    mon.ok("osd pool create", pool="p")
    assert list(service.osdmap.pools) == [2]


def test_removal_is_guarded():
    mon = HarnessMonitor()
    mon.ok("osd pool create", pool="p")
    sure = {"pool": "p", "pool2": "p", "yes_i_really_really_mean_it": True}
    code, text = mon.refused("osd pool rm", **sure)
    assert (code, "mon_allow_pool_delete" in text) == (errno.EPERM, True)
    mon.config.set("mon_allow_pool_delete", "true")
    mon.config.apply_changes()
    mon.ok("osd pool set", pool="p", var="nodelete", val="1")
    assert mon.refused("osd pool rm", **sure) == (
        errno.EPERM,
        "pool deletion is disabled; you must unset nodelete flag for the pool first",
    )


def test_removal_may_be_faked():
    mon = HarnessMonitor({**OPTIONS, "mon_fake_pool_delete": "true"})
    mon.ok("osd pool create", pool="p")
    unfaked = {"pool": "p", "pool2": "p", "yes_i_really_really_mean_it_not_faking": True}
    mon.ok("osd pool rm", **unfaked)
    assert mon.ok("osd pool ls") == "p.1.DELETED\n"


# ----------------------------------------------------------------------------------------- messages


def test_clients_make_pools_and_take_ids_for_snapshots(mon):
    assert pool_op(mon, mon_client.POOL_OP_CREATE, name="p").reply_code == 0
    assert pool_op(mon, mon_client.POOL_OP_CREATE, name="p").reply_code == 0
    ids = []
    for _ in range(2):
        reply = pool_op(mon, mon_client.POOL_OP_CREATE_UNMANAGED_SNAP, pool=1)
        ids += struct.unpack("<Q", reply.response_data)
        assert reply.epoch == mon.mon.osdmap.epoch
    assert ids == [2, 3]
    remove = mon_client.POOL_OP_DELETE_UNMANAGED_SNAP
    assert pool_op(mon, remove, pool=1, snapid=2).reply_code == 0
    assert pool_op(mon, remove, pool=1, snapid=2).reply_code == 0
    assert pool_op(mon, remove, pool=1, snapid=9).reply_code == -errno.ENOENT
    osdmap = mon.mon.osdmap.osdmap
    assert list(osdmap.removed_snaps_queue[1]) == [(2, 1)]
    assert osdmap.pools[1].snap_seq == 4
    made = pool_op(mon, mon_client.POOL_OP_CREATE_SNAP, pool=1, name="s")
    assert made.reply_code == -errno.EINVAL
    assert pool_op(mon, mon_client.POOL_OP_DELETE, pool=1).reply_code == 0
    assert pool_op(mon, mon_client.POOL_OP_DELETE, pool=1).reply_code == 0


@pytest.mark.parametrize(
    ("fields", "rc"),
    [
        ({"op": mon_client.POOL_OP_CREATE, "name": "q", "rule": 99}, -errno.ENOENT),
        ({"op": mon_client.POOL_OP_CREATE, "name": ""}, -errno.EINVAL),
        ({"op": mon_client.POOL_OP_CREATE, "name": "q", "fsid": bytes(16)}, -errno.EINVAL),
        ({"op": mon_client.POOL_OP_AUID_CHANGE, "pool": 1}, -errno.EOPNOTSUPP),
        ({"op": 0x77, "pool": 1}, -errno.EINVAL),
        ({"op": mon_client.POOL_OP_CREATE_SNAP, "pool": 5, "name": "s"}, -errno.ENOENT),
        ({"op": mon_client.POOL_OP_DELETE_SNAP, "pool": 1, "name": "s"}, 0),
        ({"op": mon_client.POOL_OP_DELETE_UNMANAGED_SNAP, "pool": 1}, -errno.EOPNOTSUPP),
    ],
    ids=str,
)
def test_operations_that_cannot_be(mon, fields, rc):
    mon.ok("osd pool create", pool="p")
    assert pool_op(mon, **fields).reply_code == rc
    assert mon.ok("osd pool ls") == "p\n"


def test_who_may_not_write_gets_no_ids(mon):
    """CVE-2018-10861: a client's caps for OSDs decide, and its caps for monitors."""
    mon.ok("osd pool create", pool="p")
    caps = ["mon", "allow r", "osd", "allow rw pool=p"]
    mon.ok("auth get-or-create", entity="client.writer", caps=caps)
    mon.ok("auth get-or-create", entity="client.other", caps=[*caps[:3], "allow rw pool=q"])
    take = mon_client.POOL_OP_CREATE_UNMANAGED_SNAP
    writer = mon.session("client.writer", "allow r")
    assert pool_op(mon, take, pool=1, session=writer).reply_code == 0
    assert pool_op(mon, take, pool=9, session=writer).reply_code == -errno.EPERM
    made = pool_op(mon, mon_client.POOL_OP_CREATE, name="mine", session=writer)
    assert made.reply_code == -errno.EPERM
    for entity in ("client.other", "client.unknown"):
        session = mon.session(entity, "allow r")
        assert pool_op(mon, take, pool=1, session=session).reply_code == -errno.EPERM
    operator = mon.session("client.unknown", "allow rw")
    assert pool_op(mon, take, pool=1, session=operator).reply_code == 0
    assert mon.ok("osd pool ls") == "p\n"
