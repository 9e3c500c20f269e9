"""Who has a key and abuses it: frames out of order, numbers from nowhere, floods, deaf ears."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import tracemalloc

import pytest

from spirula.denc.features import PACIFIC
from spirula.kernels.crc32c import crc32c
from spirula.messages.base import MESSAGES, load_all
from spirula.msgr import wire
from spirula.msgr.policies import Policy
from spirula.msgr.protocol.control import CONTROL_FRAMES
from spirula.msgr.protocol.endpoint import Timings
from spirula.msgr.protocol.frames import PREAMBLE, PREAMBLE_COVERED, Tag
from spirula.msgr.protocol.link import Phase
from spirula.msgr.protocol.message import HEADER, RawMessage
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityAddrVec
from tests.hostile.siege import QUICK, RAW, both_modes, siege

load_all()

LOSSLESS = Policy.stateful_server()
TAGS = [tag for tag in CONTROL_FRAMES if tag not in (Tag.ACK, Tag.KEEPALIVE2, Tag.KEEPALIVE2_ACK)]


@both_modes
@pytest.mark.parametrize("tag", TAGS, ids=lambda tag: Tag(tag).name)
@siege()
async def test_frames_of_the_handshake_in_an_open_session(fort, tag, secure):
    member = await fort.member()
    assert await member.login()
    member.link.channel.send(tag, CONTROL_FRAMES[tag]())
    await member.flush()
    assert await member.is_dropped()
    (line,) = fort.warnings.lines
    assert "client.mallory" in line or "client" in line
    assert "session.order" in line
    assert Tag(tag).name in line


@both_modes
@pytest.mark.parametrize("tag", CONTROL_FRAMES, ids=lambda tag: Tag(tag).name)
@siege(timings=QUICK)
async def test_frames_in_the_place_of_an_ident(fort, tag, secure):
    member = await fort.member()
    assert await member.login(Phase.IDENT)
    member.link.channel.send(tag, CONTROL_FRAMES[tag]())
    await member.flush()
    assert await member.is_dropped()
    assert len(fort.warnings.lines) == 1
    assert not fort.strangers_held


@pytest.mark.parametrize("tag", [t for t in Tag if t != Tag.HELLO], ids=lambda tag: tag.name)
@siege()
async def test_frames_in_the_place_of_a_hello(fort, tag):
    member = await fort.member()
    member.link.connected(0.0)
    await member.step()
    member.link.channel.drain()
    channel = member.link.channel
    if tag == Tag.MESSAGE:
        channel.send_message(RawMessage(RAW, b"early"), 1, 0)
    else:
        channel.send(tag, CONTROL_FRAMES[tag]())
    await member.flush()
    assert await member.is_dropped()
    (line,) = fort.warnings.lines
    assert "handshake.order" in line or "frame.message-early" in line


def ident(fort, member, **changes):
    fields = {
        "addrs": member.endpoint.addrs,
        "target_addr": fort.addr,
        "gid": 1,
        "global_seq": 1,
        "supported_features": PACIFIC,
        "required_features": 0,
        "flags": 1,
        "cookie": 5,
        **changes,
    }
    return list(fields.values())


SHORT = EntityAddr(2, 7, 2, b"\1")
WRONG_IDENTS = {
    "no addresses": {"addrs": EntityAddrVec([])},
    "a blank address": {"addrs": EntityAddrVec([EntityAddr()])},
    "for somebody else": {"target_addr": EntityAddr.of("10.0.0.1", 6789)},
    "for half an address": {"target_addr": SHORT},
    "for a strange family": {"target_addr": EntityAddr(2, 7, 77, b"abc")},
}


@pytest.mark.parametrize("what", WRONG_IDENTS)
@siege()
async def test_wrong_idents(fort, what):
    member = await fort.member()
    assert await member.login(Phase.IDENT)
    await member.send(Tag.CLIENT_IDENT, *ident(fort, member, **WRONG_IDENTS[what]))
    assert await member.is_dropped()
    (line,) = fort.warnings.lines
    assert "ident." in line


@siege(timings=QUICK)
async def test_an_ident_that_lacks_features_over_and_over(fort):
    member = await fort.member()
    assert await member.login(Phase.IDENT)
    for _ in range(50):
        await member.send(Tag.CLIENT_IDENT, *ident(fort, member, supported_features=0))
    assert await member.is_dropped()
    await fort.until(lambda: not fort.strangers_held)


@both_modes
@siege(policy=LOSSLESS, timings=QUICK)
async def test_a_foreign_cookie_opens_nothing(fort, secure):
    victim = await fort.member(policy=Policy.lossless_client(), nonce=8)
    assert await victim.login()
    await victim.message(b"1")
    session = fort.endpoint.lookup(victim.endpoint.addrs)
    thief = await fort.member()
    assert await thief.login(Phase.IDENT)
    for cookie in (0, 1, session.client_cookie ^ 1, 0xFFFFFFFFFFFFFFFF):
        await thief.send(
            Tag.SESSION_RECONNECT, victim.endpoint.addrs, cookie, session.server_cookie, 9, 9, 0
        )
    await fort.until(lambda: fort.hall.received["client.mallory"] == 1)
    await thief.is_dropped()
    assert fort.endpoint.lookup(victim.endpoint.addrs) is session
    await victim.message(b"2")
    await fort.until(lambda: fort.hall.received["client.mallory"] == 2)
    while len(victim.received()) < 2:
        assert await victim.step()


TOP = 0xFFFFFFFFFFFFFFFF


@both_modes
@siege(policy=LOSSLESS)
async def test_a_reconnect_with_numbers_from_nowhere(fort, secure):
    """What it claims to have received was never sent; its counters stand at their end."""
    numbers = [(TOP, 1, 9), (0, TOP, 9), (0, TOP, TOP), (5, 1, 9)]
    for nonce, (msg_seq, connect_seq, global_seq) in enumerate(numbers, 100):
        policy = Policy.lossless_client()
        first = await fort.member(policy=policy, nonce=nonce)
        assert await first.login()
        await first.message(b"1")
        assert await first.step()
        session = fort.endpoint.lookup(first.endpoint.addrs)
        first.reset()
        fort.attackers.remove(first)
        again = await fort.member()
        assert await again.login(Phase.IDENT)
        await again.send(
            Tag.SESSION_RECONNECT,
            first.endpoint.addrs,
            session.client_cookie,
            session.server_cookie,
            global_seq,
            connect_seq,
            msg_seq,
        )
        if session.user is not None and session.user.is_connected:
            session.user.send_message(RawMessage(RAW, b"after"))
        with contextlib.suppress(TimeoutError):
            for _ in range(4):
                if not await again.hear(0.3):
                    break
                if session.user.is_connected:
                    session.user.send_message(RawMessage(RAW, b"after"))
        before = len(fort.citizen.answers)
        await fort.until(lambda before=before: len(fort.citizen.answers) > before + 3)


@both_modes
@siege(policy=LOSSLESS)
async def test_sequence_numbers(fort, secure):
    """Old ones are duplicates, gaps are gaps, and the last one there is ends nothing."""
    member = await fort.member(policy=Policy.lossless_client())
    assert await member.login()
    for seq in (1, 1, 2, 1, 7, 3, 0, 8, TOP, TOP, 9):
        await member.message(b"%d" % seq, seq=seq, ack=TOP)
    await fort.until(lambda: fort.hall.received["client.mallory"] == 5)
    while len(member.received()) < 5:
        assert await member.step()
    assert fort.hall.fronts["client.mallory"] == [b"1", b"2", b"7", b"8", b"%d" % TOP]
    await member.send(Tag.ACK, TOP)
    await member.send(Tag.ACK, 0)
    await member.send(Tag.KEEPALIVE2, UTime(1, 2))
    while member.link.keepalive_acked != UTime(1, 2):
        assert await member.step()


@both_modes
@siege()
async def test_messages_that_are_none(fort, secure):
    """Every type with a front of rubbish, and types that nobody knows: the sender alone is out."""
    for kind in [*sorted(MESSAGES)[::6], 0, 0xFFFF]:
        member = await fort.member()
        assert await member.login()
        await member.message(b"\xff" * 40, kind=kind)
        await member.message(b"goodbye", kind=0xFFFF)
        assert await member.is_dropped()
        member.close()
        fort.attackers.remove(member)
    assert 1 <= len(fort.warnings.lines) <= 6


def absurd_message(*lengths):
    padded = [*lengths, 0, 0, 0, 0][:4]
    fields = [part for length in padded for part in (length, 8)]
    head = PREAMBLE.pack(Tag.MESSAGE, len(lengths), *fields, 0, 0, 0)[:PREAMBLE_COVERED]
    return head + struct.pack("<I", crc32c(0, head))


TOP32 = 0xFFFFFFFF


@pytest.mark.parametrize(
    "lengths",
    [
        (41, 0xFFFFFFFF),
        (41, 1, 0xFFFFFFFF),
        (41, 0, 0, 0xFFFFFFFF),
        (0xFFFFFFFF,),
        (42, 1),
        (40, 1),
    ],
    ids=str,
)
@siege()
async def test_messages_of_absurd_length(fort, lengths):
    member = await fort.member()
    assert await member.login()
    tracemalloc.start()
    try:
        await member.say(absurd_message(*lengths))
        await member.say(bytes(200))
        assert await member.is_dropped()
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert len(fort.warnings.lines) == 1


# ----------------------------------------------------------------------------------------- floods


@both_modes
@siege()
async def test_who_asks_and_never_listens(fort, secure, monkeypatch):
    """Keepalives without end, whose answers nobody takes: the memory for them is bounded."""
    monkeypatch.setattr(wire, "WRITE_HIGH_BYTES", 64 * 1024)
    monkeypatch.setattr(wire, "WRITE_LOW_BYTES", 16 * 1024)
    member = await fort.member()
    member.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    assert await member.login()
    said = 0
    while fort.server.connections and said < 64 << 20:
        for _ in range(500):
            member.link.send_keepalive(UTime(1, 2))
        data = b"".join(member.link.data_to_send())
        try:
            await asyncio.wait_for(fort.loop.sock_sendall(member.socket, data), 5)
        except (ConnectionError, TimeoutError):
            break
        said += len(data)
    else:
        raise AssertionError("it answers for ever")
    await fort.until(lambda: len(fort.server.connections) == 1)
    assert len(fort.warnings.matching("does not read")) == 1


@siege()
async def test_a_flood_waits_for_its_reader(fort):
    """What the dispatcher holds counts; when it is too much, the sender has to wait."""
    fort.endpoint.dispatch_throttle.limit = 1 << 20
    fort.hall.hold_from.add("client.mallory")
    member = await fort.member()
    assert await member.login()
    sent = 0

    async def flood():
        nonlocal sent
        while True:
            await member.message(bytes(100_000))
            sent += 1

    task = asyncio.ensure_future(flood())
    await fort.until(lambda: len(fort.hall.held) == 10)
    await asyncio.sleep(0.2)
    assert len(fort.hall.held) == 10
    assert fort.endpoint.dispatch_throttle.current <= 1 << 20
    for _ in range(3):
        fort.hall.held.pop().release()
    await fort.until(lambda: fort.hall.received["client.mallory"] == 13)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    member.reset()
    fort.attackers.remove(member)
    fort.hall.hold_from.clear()
    for ticket in fort.hall.held:
        ticket.release()
    await fort.until(lambda: fort.endpoint.dispatch_throttle.current == 0)


IMPATIENT = Timings(ready_timeout_s=15.0, stall_timeout_s=0.3)


@pytest.mark.parametrize("trickle", [False, True], ids=["silence", "a byte now and then"])
@siege(timings=IMPATIENT)
async def test_half_a_message_for_ever_stops_nobody(fort, trickle):
    """It takes all that there is for messages under way, and then does not come."""
    fort.endpoint.dispatch_throttle.limit = 99_990
    member = await fort.member()
    assert await member.login()
    out = []
    member.link.channel.writer.message(bytes(41), b"", b"", bytes(99_990), out)
    whole = b"".join(out)
    await member.say(whole[:50_000])
    await fort.until(lambda: fort.endpoint.dispatch_throttle.current > 99_000)
    at = 50_000
    while trickle and len(fort.server.connections) > 1:
        await member.say(whole[at : at + 1])
        at += 1
        await asyncio.sleep(0.02)
    assert await member.is_dropped()
    before = len(fort.citizen.answers)
    await fort.until(lambda: len(fort.citizen.answers) > before + 3)
    assert len(fort.warnings.matching("while others wait")) == 1


@siege(timings=IMPATIENT)
async def test_half_a_message_may_take_its_time_where_nobody_waits(fort):
    member = await fort.member()
    assert await member.login()
    out = []
    member.link.channel.writer.message(
        HEADER.pack(*[1, 0, RAW, 127, 1, 0, 0, 0, 3, 0, 0]), b"x", b"", bytes(99_990), out
    )
    whole = b"".join(out)
    await member.say(whole[:50_000])
    await asyncio.sleep(0.7)
    await member.say(whole[50_000:])
    while not member.received():
        assert await member.step()
