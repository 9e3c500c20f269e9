"""What requests need, and whom caps let do it."""

from __future__ import annotations

import errno

import pytest

from spirula.auth.caps import osd as osd_caps
from spirula.errors import CephError
from spirula.messages.osd_op import MOSDOp
from spirula.osd.ops.caps import CLASS_READ, CLASS_WRITE, READ, WRITE, allowed, op_needs
from spirula.types.entity import EntityAddr
from spirula.types.osd_op import OpCode, OSDOp, RequestFlag, WatchArgs, WatchOp
from spirula.types.pool import PGPool
from tests.unit.osd.ops.memory_pg import MemoryPG, default_classes
from tests.unit.osd.ops.scripts import create, omap_keys, read, setxattr, stat, write

CLASSES = default_classes()


def needs_of(*ops, flags=0):
    return op_needs(MOSDOp(ops=list(ops), flags=flags), CLASSES.open)


@pytest.mark.parametrize(
    ("ops", "flags", "may_write", "rwordered"),
    [
        ([read()], READ, False, False),
        ([stat(), omap_keys()], READ, False, False),
        ([write(0, b"x")], WRITE, True, True),
        ([stat(), setxattr("a", b"1")], READ | WRITE, True, True),
        ([OSDOp.call("hello", "say_hello")], CLASS_READ, False, False),
        ([OSDOp.call("hello", "record_hello"), read()], READ | CLASS_WRITE, True, True),
    ],
)
def test_vectors_need_what_their_operations_do(ops, flags, may_write, rwordered):
    needs = needs_of(*ops)
    assert needs.flags == flags
    assert (needs.may_write, needs.rwordered) == (may_write, rwordered)


def test_a_watch_reads_and_writes_but_its_ping_does_neither():
    begin = OSDOp.make(OpCode.WATCH, WatchArgs(1, 0, WatchOp.WATCH))
    ping = OSDOp.make(OpCode.WATCH, WatchArgs(1, 0, WatchOp.PING))
    assert needs_of(begin).flags == READ | WRITE
    needs = needs_of(ping)
    assert not needs.may_read
    assert not needs.may_write
    assert needs.rwordered


def test_a_request_can_ask_for_order_and_for_what_its_operations_return():
    needs = needs_of(read(), flags=RequestFlag.RWORDERED | RequestFlag.RETURNVEC)
    assert needs.rwordered
    assert needs.returns_vector
    assert not needs.may_write


@pytest.mark.parametrize(
    ("ops", "code"),
    [
        ([], errno.EINVAL),
        ([OSDOp(OpCode.PULL)], errno.EINVAL),
        ([OSDOp.call("nowhere", "x")], errno.EPERM),
        ([OSDOp.call("hello", "nothing")], errno.EOPNOTSUPP),
        ([OSDOp(OpCode.CALL, raw=b"\xff" * 28)], errno.EINVAL),
    ],
)
def test_vectors_that_make_no_sense_are_refused(ops, code):
    with pytest.raises(CephError) as refused:
        needs_of(*ops)
    assert refused.value.errno == code


@pytest.mark.parametrize(
    ("caps", "ops", "permitted"),
    [
        ("allow r", [read()], True),
        ("allow r", [create()], False),
        ("allow w", [read()], False),
        ("allow rw pool pool", [read(), create()], True),
        ("allow rw pool other", [read()], False),
        ("allow rw namespace space", [read()], True),
        ("allow rw namespace none", [read()], False),
        ("allow rw object_prefix ob", [create()], True),
        ("allow rw object_prefix x", [create()], False),
        ("allow rw tag app key=value", [create()], True),
        ("allow rw tag app key=other", [create()], False),
        ("allow rw", [OSDOp.call("hello", "say_hello")], False),
        ("allow class-read", [OSDOp.call("hello", "say_hello")], True),
        ("allow class-read", [OSDOp.call("hello", "record_hello")], False),
        ("allow rwx", [OSDOp.call("hello", "record_hello"), read()], True),
        ("allow class hello say_hello", [OSDOp.call("hello", "say_hello")], True),
        ("allow class hello say_hello", [OSDOp.call("hello", "record_hello")], False),
        ("profile read-only", [read()], True),
        ("profile read-only", [create()], False),
        ("", [read()], False),
    ],
)
def test_caps_allow_what_they_say(caps, ops, permitted):
    pg = MemoryPG()
    request = MOSDOp(ops=ops, hobj=pg.hobject("object", nspace="space"))
    pool = PGPool(application_metadata={"app": {"key": "value"}})
    needs = op_needs(request, CLASSES.open)
    granted = osd_caps.parse(caps) if caps else osd_caps.OsdCaps()
    assert allowed(granted, needs, request, pool, "pool", EntityAddr()) is permitted
