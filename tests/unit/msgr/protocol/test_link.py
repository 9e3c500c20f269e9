"""An open session over one transport: messages, acknowledgements, keepalives, limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spirula.errors import LimitExceeded, ProtocolViolation, TimedOut, WireError
from spirula.msgr.policies import Policy
from spirula.msgr.protocol import control
from spirula.msgr.protocol.events import Failed
from spirula.msgr.protocol.frames import FrameLimits, Tag
from spirula.msgr.protocol.handshake import HandshakeConfig
from spirula.msgr.protocol.link import (
    ACK_AFTER_BYTES,
    ACK_AFTER_MESSAGES,
    WRITE_BUDGET_BYTES,
)
from spirula.msgr.protocol.message import RawMessage
from spirula.msgr.protocol.throttle import Throttle
from spirula.types.base import UTime
from spirula.types.entity import EntityType
from tests.unit.msgr.world import TIMINGS, World

PEER = Policy.lossless_peer()
modes = pytest.mark.parametrize("secure", [False, True], ids=["crc", "secure"])


def opened(policy=PEER, other=None, *, secure=False, config=None, throttle=None, timings=TIMINGS):
    world = World(secure=secure)
    world.add("a", policy)
    receiver = world.add("b", other or policy, config=config, timings=timings)
    receiver.policies.throttle(EntityType.OSD, throttle)
    world.session("a", "b")
    world.run()
    (wire,) = world.wires
    return world, wire


def inject(world, wire, tag, payload):
    """A frame that the client's core would not send."""
    channel = wire.client.channel
    out = []
    channel.writer.frame(tag, [payload], 0, out)
    wire.pipes[0] += b"".join(out)
    world.deliver(wire, 0, len(wire.pipes[0]))


def failure(world, name="b"):
    return next(event.error for event in world.told[name] if isinstance(event, Failed))


@modes
def test_every_field_of_a_message_arrives(secure):
    world, _ = opened(secure=secure)
    sent = RawMessage(
        42,
        b"front",
        b"middle",
        b"data",
        tid=1 << 60,
        priority=200,
        version=7,
        compat_version=3,
        data_off=4095,
        flags=1,
        reserved=9,
    )
    world.endpoints["a"].send(world.session("a", "b"), 200, sent, world.now)
    world.run()
    (got,) = [event for event in world.told["b"] if type(event) is RawMessage]
    for name in [
        "type",
        "front",
        "middle",
        "data",
        "tid",
        "priority",
        "version",
        "compat_version",
        "data_off",
        "flags",
        "reserved",
    ]:
        assert getattr(got, name) == getattr(sent, name)
    assert got.seq == 1


@modes
@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 1_000_000])
def test_data_of_any_size_arrives(secure, size):
    world, _ = opened(secure=secure)
    data = bytes(range(256)) * (size // 256 + 1)
    world.send("a", "b", b"front", data=data[:size])
    world.run(chunk=50_000)
    (got,) = [event for event in world.told["b"] if type(event) is RawMessage]
    assert got.data == data[:size]


def test_messages_keep_their_order_within_a_priority():
    world, _ = opened()
    world.send("a", "b", *[b"%d" % n for n in range(100)])
    world.send("a", "b", b"urgent", priority=255)
    world.run()
    assert world.messages("b") == [b"urgent"] + [b"%d" % n for n in range(100)]


def test_many_small_messages_are_written_together():
    world, _ = opened()
    before = len(world.sent_bytes)
    world.send("a", "b", *[b"x" * 100] * 50)
    link = world.session("a", "b").link
    assert len(link.data_to_send()) == 50
    assert link.data_to_send() == []
    assert len(world.sent_bytes) == before


def test_writing_stops_at_its_budget():
    world, _ = opened()
    world.send("a", "b", *[b"x"] * 10, data=bytes(WRITE_BUDGET_BYTES // 2))
    link = world.session("a", "b").link
    sizes = []
    while pieces := link.data_to_send():
        sizes.append(sum(map(len, pieces)))
    assert len(sizes) == 5
    assert max(sizes) < 1.01 * WRITE_BUDGET_BYTES


# ---------------------------------------------------------------------------- acknowledgements


def test_lossless_messages_are_kept_until_acknowledged():
    world, wire = opened()
    session = world.send("a", "b", b"1", b"2")
    world.collect(wire)
    assert session.queue.unacknowledged == 2
    world.run()
    assert session.queue.unacknowledged == 0


def test_one_acknowledgement_for_all_that_came_together():
    world, wire = opened()
    world.send("a", "b", b"1", b"2", b"3")
    world.collect(wire)
    world.deliver(wire, 0, len(wire.pipes[0]))
    start = len(world.sent_bytes)
    world.collect(wire)
    assert len(world.sent_bytes) - start == 1


def test_a_message_acknowledges_by_itself():
    world, wire = opened()
    world.on_message = lambda name, message, session: (
        world.endpoints["b"].send(session, 127, RawMessage(2, b"answer"), world.now)
        if name == "b"
        else None
    )
    world.send("a", "b", b"question")
    world.collect(wire)
    world.deliver(wire, 0, len(wire.pipes[0]))
    start = len(world.sent_bytes)
    world.collect(wire)
    assert len(world.sent_bytes) - start == 1
    world.deliver(wire, 1, len(wire.pipes[1]))
    assert world.session("a", "b").queue.unacknowledged == 0


LATER = replace(TIMINGS, ack_delay_s=0.02)


def test_a_peer_may_have_to_wait_for_an_acknowledgement_until_it_is_due():
    world, _ = opened(timings=LATER)
    session = world.send("a", "b", b"1", b"2")
    world.run()
    assert session.queue.unacknowledged == 2
    link = world.session("b", "a").link
    assert link.owes_ack
    link.acknowledge()
    world.run()
    assert session.queue.unacknowledged == 0
    assert not link.owes_ack


@pytest.mark.parametrize(
    ("count", "size"), [(ACK_AFTER_MESSAGES, 1), (4, ACK_AFTER_BYTES // 4)], ids=["many", "large"]
)
def test_a_peer_that_keeps_much_is_told_at_once(count, size):
    world, _ = opened(timings=LATER)
    session = world.send("a", "b", *[b"x"] * (count - 1), data=bytes(size))
    world.run()
    assert session.queue.unacknowledged == count - 1
    world.send("a", "b", b"x", data=bytes(size))
    world.run()
    assert session.queue.unacknowledged == 0


def test_lossy_sessions_acknowledge_nothing():
    world, wire = opened(Policy.lossy_client(), Policy.stateless_server())
    session = world.send("a", "b", b"1")
    world.collect(wire)
    assert session.queue.unacknowledged == 0
    world.deliver(wire, 0, len(wire.pipes[0]))
    assert not wire.server.wants_to_write


def test_the_accepting_side_decides_whether_messages_may_be_lost():
    world, _ = opened(Policy.lossless_client(), Policy.stateless_server())
    assert world.session("a", "b").lossy


# ---------------------------------------------------------------------------------- keepalives


@modes
def test_a_keepalive_comes_back_with_its_stamp(secure):
    world, wire = opened(secure=secure)
    wire.client.send_keepalive(UTime(5, 6))
    assert wire.client.keepalive_acked is None
    world.run()
    assert wire.client.keepalive_acked == UTime(5, 6)
    assert world.messages("b") == []


def test_what_is_received_moves_the_deadline_and_silence_ends_the_link():
    world, wire = opened()
    link = wire.server
    assert link.deadline == link.last_active + 900
    link.last_active = world.now + 100
    assert link.on_deadline(world.now + 950) is None
    failed = link.on_deadline(world.now + 1000)
    assert isinstance(failed.error, TimedOut)
    assert link.next_event(world.now) is None
    assert link.data_to_send() == []


# ------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    "tag",
    [tag for tag in Tag if tag not in {Tag.MESSAGE, Tag.ACK, Tag.KEEPALIVE2, Tag.KEEPALIVE2_ACK}],
)
def test_nothing_of_the_handshake_is_taken_in_an_open_session(tag):
    world, wire = opened()
    inject(world, wire, tag, control.CONTROL_FRAMES[tag]().encode())
    assert isinstance(failure(world), ProtocolViolation)
    assert failure(world).rule == "session.order"


@pytest.mark.parametrize("size", [0, 40, 42, 150])
def test_a_message_without_a_header_of_the_right_size(size):
    world, wire = opened()
    inject(world, wire, Tag.MESSAGE, bytes(size))
    assert isinstance(failure(world), WireError)


def test_a_message_that_came_before_is_dropped():
    world, wire = opened()
    world.send("a", "b", b"1")
    world.collect(wire)
    again = bytes(wire.pipes[0])
    world.run()
    wire.pipes[0] += again
    world.run()
    assert world.messages("b") == [b"1"]
    assert world.kinds("b") == ["Opened"]


def test_a_gap_in_the_numbers_is_no_error():
    """Clients may take messages back from their queue, see upstream's comment on received seqs."""
    world, _ = opened()
    world.session("a", "b").queue.seq = 10
    world.send("a", "b", b"1")
    world.run()
    assert world.messages("b") == [b"1"]


def test_limits_are_those_of_the_configuration():
    limits = FrameLimits(front=100)
    world, _ = opened(config=HandshakeConfig(EntityType.OSD, limits=limits))
    world.send("a", "b", bytes(101))
    world.run()
    assert isinstance(failure(world), LimitExceeded)
    assert world.messages("b") == []


@modes
def test_a_flipped_bit_in_a_session_ends_the_transport_and_loses_nothing(secure):
    world = World(secure=secure)
    world.add("a", PEER)
    world.add("b", PEER)
    world.session("a", "b")
    world.run()
    expected = []
    for at in range(0, 150, 3):
        world.send("a", "b", b"%d" % at)
        expected.append(b"%d" % at)
        (wire,) = world.alive
        world.collect(wire)
        wire.pipes[0][at % len(wire.pipes[0])] ^= 0x10
        world.settle()
    assert world.messages("b") == expected


def test_nothing_comes_from_a_link_that_was_closed_while_its_messages_were_dispatched():
    world, _ = opened(Policy.lossy_client(), Policy.stateless_server())
    world.on_message = lambda name, message, session: world.endpoints[name].close(session)
    world.send("a", "b", b"1", b"2", b"3")
    world.run()
    assert world.messages("b") == [b"1"]


# ------------------------------------------------------------------------------------ throttles


def test_a_full_throttle_stops_reading_until_there_is_room():
    size = Throttle(1000)
    world, wire = opened(throttle=size)
    held = []
    link = wire.server
    world.send("a", "b", *[b"x" * 400] * 5)
    world.collect(wire)
    link.reader.feed(bytes(wire.pipes[0]))
    wire.pipes[0].clear()
    while (event := link.next_event(world.now)) is not None:
        held.append(event)
    assert len(held) == 2
    assert link.blocked_on.full is size
    held[0].ticket.release()
    assert type(link.next_event(world.now)) is RawMessage
    assert link.next_event(world.now) is None


def test_what_a_lost_link_held_is_given_back():
    size = Throttle(1000)
    world, wire = opened(throttle=size)
    world.send("a", "b", b"x" * 400)
    world.collect(wire)
    world.deliver(wire, 0, 100)
    assert size.current == 400
    world.cut(wire)
    assert size.current == 0


def test_a_message_that_was_there_before_gives_its_room_back():
    size = Throttle(1000)
    world, wire = opened(throttle=size)
    wire.server.session.in_seq = 5
    world.send("a", "b", b"x" * 400)
    world.run()
    assert world.messages("b") == []
    assert size.current == 0
