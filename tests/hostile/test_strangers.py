"""Who has no key: silence, halves, rubbish and absurd numbers. Refused or bounded, logged once."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import struct
import tracemalloc
from pathlib import Path

import pytest

from spirula.kernels.crc32c import crc32c
from spirula.msgr.protocol.frames import PREAMBLE, PREAMBLE_COVERED, Tag
from spirula.msgr.protocol.handshake import BANNER_PREFIX
from spirula.msgr.protocol.link import Phase
from spirula.msgr.tcp import MessengerLimits
from tests.hostile.siege import QUICK, RESET, both_modes, siege

BANNER = BANNER_PREFIX + b"\x10\x00" + struct.pack("<QQ", 3, 0)


def preamble(tag, *lengths, count=None, crc=0):
    padded = [*lengths, 0, 0, 0, 0][:4]
    fields = [part for length in padded for part in (length, 8)]
    head = PREAMBLE.pack(tag, len(lengths) if count is None else count, *fields, 0, 0, 0)
    return head[:PREAMBLE_COVERED] + struct.pack("<I", crc32c(0, head[:PREAMBLE_COVERED]) ^ crc)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def as_many_as_files_allow(wanted):
    """Each attacker has a descriptor at both ends here, in one process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = 2 * wanted + 500
    if soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(need, hard), hard))
    return min(wanted, (min(max(soft, need), hard) - 500) // 2)


SILENCES = {
    "nothing": (5000, b""),
    "banner": (5000, BANNER),
    "half a frame": (1000, BANNER + preamble(Tag.HELLO, 30)[:20]),
}


@pytest.mark.slow
@pytest.mark.parametrize("silence", SILENCES)
@siege(timings=QUICK, limits=MessengerLimits(unauthenticated=256))
async def test_thousands_who_say_no_more(fort, silence):
    wanted, words = SILENCES[silence]
    count = as_many_as_files_allow(wanted)
    files = open_files()
    most = 0
    for begin in range(0, count, 100):
        await asyncio.gather(*(fort.stranger(words) for _ in range(min(100, count - begin))))
        most = max(most, fort.strangers_held)
    assert most <= 256
    await fort.until(lambda: not fort.strangers_held)
    for stranger in fort.attackers:
        stranger.close()
    fort.attackers.clear()
    await fort.until(lambda: open_files() <= files)
    assert len(fort.warnings.matching("over 256 without a session")) == 1
    assert len(fort.warnings.lines) <= 2
    if count < wanted:
        pytest.skip(f"held against {count} only: the system allows no more descriptors")


@pytest.mark.slow
@siege(timings=QUICK, limits=MessengerLimits(unauthenticated=64))
async def test_what_strangers_took_is_given_back(fort):
    async def wave(words):
        await asyncio.gather(*(fort.stranger(words) for _ in range(200)))
        await fort.until(lambda: not fort.strangers_held)
        for stranger in fort.attackers:
            stranger.close()
        fort.attackers.clear()

    half = BANNER + preamble(Tag.HELLO, 65536) + bytes(60_000)
    await wave(half)
    gc.collect()
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        for words in (b"", BANNER, half, half):
            await wave(words)
        gc.collect()
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now - base < 1 << 20
    assert peak - base < 200 * len(half) * 4


HTTP = b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"
SPEECHES = {
    "http": (HTTP, "banner"),
    "msgr1": (b"ceph v027" + bytes(280), "msgr1"),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40), "banner"),
    "rubbish": (bytes(range(256)) * 4, "banner"),
    "short features": (BANNER_PREFIX + b"\x08\x00" + bytes(8), "banner"),
    "required feature": (BANNER_PREFIX + b"\x10\x00" + b"\xff" * 16, "banner.features"),
    "five segments": (BANNER + preamble(Tag.HELLO, 1, 1, 1, 1, count=5), "segments"),
    "no segments": (BANNER + preamble(Tag.HELLO, count=0), "segments"),
    "many segments": (BANNER + preamble(Tag.HELLO, 1, count=255), "segments"),
    "two segments": (BANNER + preamble(Tag.HELLO, 20, 20), "segments"),
    "huge hello": (BANNER + preamble(Tag.HELLO, 0xFFFFFFFF), "payload of 4294967295"),
    "hello over the limit": (BANNER + preamble(Tag.HELLO, 65537), "payload of 65537"),
    "huge message": (BANNER + preamble(Tag.MESSAGE, 41, *[0xFFFFFFFF] * 3), "message-early"),
    "small message": (BANNER + preamble(Tag.MESSAGE, 41, 1), "message-early"),
    "unknown tag": (BANNER + preamble(99, 4), "unknown-tag"),
    "wrong checksum": (BANNER + preamble(Tag.HELLO, 4, crc=1), "checksum"),
    "zeros": (BANNER + bytes(64), "segments"),
}


@pytest.mark.parametrize("what", SPEECHES)
@siege()
async def test_nonsense_is_refused_at_once(fort, what):
    words, reason = SPEECHES[what]
    for _ in range(5):
        stranger = await fort.stranger(words)
        assert await stranger.is_dropped()
    assert len(fort.warnings.matching(reason)) == 1
    assert len(fort.warnings.lines) == 1
    assert not fort.strangers_held


@siege()
async def test_nonsense_one_byte_at_a_time(fort):
    for words, _ in SPEECHES.values():
        stranger = await fort.stranger()
        for at in range(min(len(words), 80)):
            await stranger.say(words[at : at + 1])
        await stranger.say(words[80:])
        assert await stranger.is_dropped()
    assert not fort.strangers_held


@siege(timings=QUICK)
async def test_half_of_anything_for_ever(fort):
    member = await fort.member()
    await member.login()
    whole = bytes(member.said)
    await asyncio.gather(
        *(fort.stranger(whole[:size]) for size in range(0, len(BANNER) + 120, 3)),
    )
    await fort.until(lambda: not fort.strangers_held)
    for stranger in fort.attackers[1:]:
        assert await stranger.is_dropped()
    assert len(fort.warnings.matching("not ready after")) == 1


@siege()
async def test_gone_before_they_are_accepted(fort):
    """A reset that overtakes the accept: there is nobody's address to ask for."""
    target = (fort.addr.host, fort.addr.port)
    for _ in range(20):
        for _ in range(20):
            with socket.create_connection(target) as stranger:
                stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await asyncio.sleep(0)
    await fort.until(lambda: not fort.strangers_held)


@both_modes
@siege()
async def test_gone_at_every_step(fort, secure):
    for steps in range(1, 7):
        for _ in range(5):
            member = await fort.member()
            member._connected()
            for _ in range(steps):
                if not await member.step():
                    break
                if member.link.phase is Phase.OPEN:
                    break
            member.reset()
            fort.attackers.remove(member)
    await fort.until(lambda: len(fort.server.connections) <= 1)
    assert not fort.strangers_held
