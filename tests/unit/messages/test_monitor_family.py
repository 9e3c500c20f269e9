"""Layouts that no recording shows: older versions, peers with few features, messages nobody sends
now.
"""

from __future__ import annotations

import struct

import pytest

from spirula.denc import features as feature_bits
from spirula.errors import IncompatibleVersion, Truncated, WireError
from spirula.messages.base import decode_message
from spirula.messages.carried import CarriedMessage
from spirula.messages.command import MPing
from spirula.messages.fsmap import MDS_STATE_BOOT, MMDSBeacon
from spirula.messages.mgr import MMgrConfigure, MMgrOpen
from spirula.messages.mon_client import (
    MConfig,
    MGetConfig,
    MMonCommand,
    MMonGetPurgedSnapsReply,
    MMonGetVersionReply,
    MMonSubscribe,
    MMonSubscribeAck,
    MPoolOp,
    OldSubscribeItem,
    SubscribeItem,
)
from spirula.messages.osd_mon import MRemoveSnaps
from spirula.messages.quorum import MMonHealth, MRoute
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityName
from spirula.types.interval_set import IntervalSet

PAXOS = struct.pack("<QhQ", 0, -1, 0)
FSID = bytes(range(16))


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def test_subscription_to_a_peer_that_knows_only_the_old_form() -> None:
    asked = MMonSubscribe(old_what={"osdmap": OldSubscribeItem(have=7, onetime=True)})
    old = feature_bits.PACIFIC & ~feature_bits.SUBSCRIBE2
    version, compat, front = asked.encode_payload(old)
    assert (version, compat) == (0, 1)
    assert front == struct.pack("<I", 1) + text("osdmap") + struct.pack("<QQB", 0, 7, 1)
    assert MMonSubscribe.decode_payload(front, 0).old_what["osdmap"].have == 7


def test_subscription_without_a_hostname_is_version_2() -> None:
    front = struct.pack("<I", 1) + text("monmap") + struct.pack("<QB", 3, 1)
    got = decode_message(15, 2, 1, front)
    assert isinstance(got, MMonSubscribe)
    assert got.what == {"monmap": SubscribeItem(start=3, flags=1)}
    assert got.hostname == ""


def test_a_command_is_headed_by_the_three_fields_of_all_service_messages() -> None:
    front = MMonCommand(fsid=FSID, cmd=['{"prefix":"status"}']).encode_payload()[2]
    assert front == PAXOS + FSID + struct.pack("<I", 1) + text('{"prefix":"status"}')


def test_the_name_of_a_pool_moved_in_version_2() -> None:
    head = PAXOS + FSID + struct.pack("<I", 5)
    old = head + text("p") + struct.pack("<IQQ", 1, 0, 0)
    new = head + struct.pack("<IQQ", 1, 0, 0) + text("p") + struct.pack("<Bh", 0, 4)
    assert MPoolOp.decode_payload(old, 1).old_name == "p"
    got = MPoolOp.decode_payload(new, 4)
    assert (got.name, got.crush_rule) == ("p", 4)
    assert MPoolOp.decode_payload(new[:-3], 2).crush_rule == -1
    assert got.encode_payload()[2] == new


@pytest.mark.parametrize(
    ("message", "front"),
    [
        (MMonSubscribeAck(interval=300, fsid=FSID), struct.pack("<I", 300) + FSID),
        (
            MGetConfig(name=PrincipalName(4, "3"), host="h", device_class="ssd"),
            struct.pack("<I", 4) + text("3") + text("h") + text("ssd"),
        ),
        (
            MRemoveSnaps(snaps={2: [5, 6]}),
            PAXOS + struct.pack("<IiIQQ", 1, 2, 2, 5, 6),
        ),
        (
            MMonGetPurgedSnapsReply(start=1, last=9, purged_snaps={4: {2: IntervalSet([(3, 2)])}}),
            PAXOS + struct.pack("<II", 1, 9) + struct.pack("<IIIqIQQ", 1, 4, 1, 2, 1, 3, 2),
        ),
    ],
)
def test_messages_that_no_daemon_of_16_sent_us(message, front: bytes) -> None:
    version, _, got = message.encode_payload()
    assert got == front
    assert type(message).decode_payload(front, version) == message


def test_monitor_health_of_old_round_trips() -> None:
    version, compat, front = MMonHealth(epoch=3, round=4, service_type=1).encode_payload()
    got = decode_message(0x601, version, compat, front)
    assert got == MMonHealth(epoch=3, round=4, service_type=1)


def test_a_session_with_the_manager_tells_status_only_for_services() -> None:
    quiet = MMgrOpen(daemon_name="0", daemon_metadata={"k": "v"}).encode_payload()[2]
    assert quiet == text("0") + text("") + b"\0" + text("") + text("")
    loud = MMgrOpen(daemon_name="0", service_daemon=True, daemon_metadata={"k": "v"})
    got = MMgrOpen.decode_payload(loud.encode_payload()[2], 3)
    assert got.daemon_metadata == {"k": "v"}
    assert MMgrOpen.decode_payload(text("0"), 1).daemon_name == "0"


def test_an_mds_shows_its_metadata_when_it_boots() -> None:
    for state, expected in ((MDS_STATE_BOOT, {"host": "h"}), (5, {})):
        beacon = MMDSBeacon(state=state, sys_info={"host": "h"}, fs="a")
        got = MMDSBeacon.decode_payload(beacon.encode_payload()[2], 8)
        assert (got.sys_info, got.fs) == (expected, "a")


def test_a_ping_has_no_payload_and_its_answer_names_no_oldest_reader() -> None:
    assert MPing().encode_payload() == (1, 1, b"")
    assert MPing("{}").encode_payload() == (1, 0, text("{}"))
    assert MPing.decode_payload(b"", 1).answer is None
    with pytest.raises(Truncated):
        MPing.decode_payload(b"\5\0\0\0ab", 1)
    with pytest.raises(WireError):
        MPing.decode_payload(b"\5", 1)


def test_a_message_is_carried_with_the_checksums_of_its_parts() -> None:
    command = MMonCommand(fsid=FSID, cmd=["x"])
    command.tid = 99
    command.data = b"input"
    carried = CarriedMessage.pack(command, EntityName(8, 4123))
    route = MRoute(session_mon_tid=1, msg=carried, send_osdmap_first=4)
    got = MRoute.decode_payload(route.encode_payload()[2], 3)
    assert got.msg == carried
    assert got.send_osdmap_first == 4
    inside = got.msg.unpack()
    assert (inside.tid, inside.data, inside.cmd) == (99, b"input", ["x"])
    # CRC-32C with seed 0 and no inversion of b"" is 0; of other bytes it is not.
    assert carried.middle_crc == 0
    assert carried.data_crc != 0
    assert MRoute.decode_payload(MRoute().encode_payload()[2], 3).msg is None


def test_what_is_cut_short_or_absurd_is_refused() -> None:
    front = MConfig(config={"a": "b", "c": "d"}).encode_payload()[2]
    for cut in range(len(front)):
        with pytest.raises(WireError):
            MConfig.decode_payload(front[:cut], 1)
    with pytest.raises(WireError):
        MConfig.decode_payload(b"\xff\xff\xff\xff" + front[4:], 1)
    with pytest.raises(IncompatibleVersion):
        decode_message(20, 9, 9, MMonGetVersionReply().encode_payload()[2])
    # A query's parts are counted in groups of seven bits, of which five are enough for anybody.
    query = struct.pack("<III", 5, 0, 1) + struct.pack("<BBI", 1, 1, 6) + b"\xff" * 6
    with pytest.raises(WireError):
        MMgrConfigure.decode_payload(query, 4)
