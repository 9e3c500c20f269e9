"""Requests and replies: their data, their identity, what is refused."""

from __future__ import annotations

import struct

import pytest

from spirula.denc.features import PACIFIC
from spirula.errors import IncompatibleVersion, WireError
from spirula.messages.base import decode_message
from spirula.messages.osd_op import (
    CEPH_MSG_OSD_OP,
    CEPH_MSG_OSD_OPREPLY,
    MOSDOp,
    MOSDOpReply,
)
from spirula.types.base import EVersion, UTime
from spirula.types.entity import EntityName
from spirula.types.hobject import HObject
from spirula.types.object_info import ObjectLocator, OSDReqId, RequestRedirect
from spirula.types.osd_op import Extent, ListArgs, OpCode, OSDOp, RequestFlag
from spirula.types.pg import PGId, SPGId

WRITE = OSDOp.make(OpCode.WRITE, Extent(0, 5), b"12345")


def request(**changes) -> MOSDOp:
    fields = {
        "pgid": SPGId(PGId(3, 0x1F), 2),
        "hobj": HObject.of(3, "name", 0x5A5A001F, nspace="ns", key="key"),
        "ops": [OSDOp.make(OpCode.CREATE), WRITE, OSDOp.xattr(OpCode.SETXATTR, "a", b"bc")],
        "epoch": 42,
        "flags": RequestFlag.WRITE | RequestFlag.ONDISK,
        "client_inc": 1,
        "mtime": UTime(5, 6),
        "snap_seq": 9,
        "snaps": [9, 4],
        "retry_attempt": 0,
        "features": PACIFIC,
    }
    return MOSDOp(**{**fields, **changes})


def sent(message: MOSDOp | MOSDOpReply) -> MOSDOp | MOSDOpReply:
    """What the other side makes of it."""
    version, compat, front = message.encode_payload(PACIFIC)
    return decode_message(message.TYPE, version, compat, front, b"", message.data, PACIFIC)


def test_a_request_arrives_with_its_data_in_the_right_hands() -> None:
    asked = request()
    got = sent(asked)
    assert asked.data == b"12345abc"
    assert got == asked
    assert [bytes(op.indata) for op in got.ops] == [b"", b"12345", b"abc"]
    assert got.raw_pgid == PGId(3, 0x5A5A001F)


def test_data_of_one_operation_is_handed_on_as_it_came() -> None:
    asked = request(ops=[WRITE])
    version, compat, front = asked.encode_payload(PACIFIC)
    received = memoryview(b"12345")
    got = decode_message(CEPH_MSG_OSD_OP, version, compat, front, b"", received, PACIFIC)
    assert got.ops[0].indata is received
    assert asked.data is WRITE.indata


def test_operations_on_a_pg_have_the_hash_in_their_locator() -> None:
    listing = OSDOp.make(OpCode.PGNLS, ListArgs(100, 1))
    asked = request(hobj=HObject("", "", 0, 0x1F, False, "ns", 3), ops=[listing], snaps=[])
    got = sent(asked)
    assert got.hobj == asked.hobj
    assert ObjectLocator(3, "", "ns", 0x1F).encode() in asked.encode_payload(PACIFIC)[2]


def test_whose_request_it_is() -> None:
    client = EntityName(8, 4100)
    asked = request(reqid=OSDReqId(EntityName(0, 0), 0, 3))
    asked.tid = 17
    assert asked.request_id(client) == OSDReqId(client, 17, 3)
    passed_on = OSDReqId(EntityName(8, 9), 5, 0)
    assert request(reqid=passed_on).request_id(client) == passed_on


def test_too_little_data_is_refused() -> None:
    version, compat, front = request().encode_payload(PACIFIC)
    with pytest.raises(WireError, match="7 bytes"):
        decode_message(CEPH_MSG_OSD_OP, version, compat, front, b"", b"1234567", PACIFIC)


@pytest.mark.parametrize("message", [request(), MOSDOpReply.to(request(), -2, 42)])
def test_truncation_anywhere_is_refused(message: MOSDOp | MOSDOpReply) -> None:
    version, _, front = message.encode_payload(PACIFIC)
    for size in range(len(front)):
        with pytest.raises(WireError):
            type(message).decode_payload(front[:size], version, PACIFIC)


def test_absurd_counts_are_refused() -> None:
    _, _, front = request(snaps=[9]).encode_payload(PACIFIC)
    at = front.rindex(struct.pack("<QIQ", 9, 1, 9)) + 8
    with pytest.raises(WireError, match="count"):
        MOSDOp.decode_payload(front[:at] + b"\xff\xff\xff\xff" + front[at + 4 :], 8)
    reply = MOSDOpReply.to(request(), 0, 42).encode_payload(PACIFIC)[2]
    at = reply.index(struct.pack("<II", 42, 3)) + 4
    with pytest.raises(WireError, match="count"):
        MOSDOpReply.decode_payload(reply[:at] + b"\xff\xff\xff\xff" + reply[at + 4 :], 8)


def test_other_versions_are_refused() -> None:
    for kind in (MOSDOp, MOSDOpReply):
        with pytest.raises(IncompatibleVersion):
            kind.decode_payload(bytes(500), 7, PACIFIC)
    front = bytearray(request().encode_payload(PACIFIC)[2])
    front[2] = 19  # a PG that is one byte longer
    with pytest.raises(IncompatibleVersion):
        MOSDOp.decode_payload(bytes(front), 8, PACIFIC)


def test_a_reply_says_what_became_of_it() -> None:
    asked = request()
    asked.tid = 17
    for op, out in zip(asked.ops, (b"", b"", b"result"), strict=True):
        op.outdata, op.rval = out, len(out)
    reply = MOSDOpReply.to(asked, 0, 43)
    reply.set_versions(EVersion(7, 3), 6)
    got = sent(reply)
    assert reply.tid == 17
    assert got.data == b"result"
    assert [(bytes(op.outdata), op.rval) for op in got.ops] == [(b"", 0), (b"", 0), (b"result", 6)]
    assert (got.replay_version, got.user_version) == (EVersion(7, 3), 6)
    assert got.bad_replay_version == EVersion(6, 3)
    assert got.flags == RequestFlag.WRITE | RequestFlag.ONDISK
    for op in asked.ops:
        op.outdata, op.rval = b"", 0


def test_a_reply_to_a_read_tells_the_version_of_the_object() -> None:
    reply = MOSDOpReply.to(request(), -2, 43)
    reply.set_versions_without_write(EVersion(7, 3), 6)
    assert (reply.replay_version, reply.bad_replay_version) == (EVersion(), EVersion(7, 3))


def test_redirects() -> None:
    reply = MOSDOpReply("o", PGId(1, 2), redirect=RequestRedirect(ObjectLocator(5), "other"))
    got = sent(reply)
    assert got.redirect == reply.redirect
    assert sent(MOSDOpReply("o", PGId(1, 2))).redirect is None


def test_text_for_people() -> None:
    shown = request().plain()
    assert shown["pgid"] == "3.1fs2"
    assert [op["op"] for op in shown["ops"]] == ["create", "write", "setxattr"]
    assert shown["flags"] == ["ondisk", "write"]
    assert MOSDOpReply.to(request(), -2, 1).plain()["result"] == -2
    assert CEPH_MSG_OSD_OPREPLY == MOSDOpReply.TYPE
