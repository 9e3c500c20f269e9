"""The recorder reads what it should: streams out of captured packets, messages out of streams."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import pytest

from tests.interop.record.frames import Conversation, FrameError, Sessions, crc32c
from tests.interop.record.pcap import streams

CLIENT, SERVER = ("127.0.0.1", 50000), ("127.0.0.1", 6800)
SYN, ACK, FIN = 2, 16, 1


def packet(source, target, sequence: int, flags: int, data: bytes = b"") -> bytes:
    addresses = [bytes(map(int, ip.split("."))) for ip, _ in (source, target)]
    tcp = struct.pack(
        ">HHIIBBHHH", source[1], target[1], sequence % 2**32, 0, 5 << 4, flags, 0, 0, 0
    )
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(data), 0, 0, 64, 6, 0) + b"".join(addresses)
    return bytes(12) + b"\x08\x00" + ip + tcp + data


def capture(path: Path, packets: list[bytes]) -> Path:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    rows = (struct.pack("<IIII", 0, 0, len(p), len(p)) + p for p in packets)
    path.write_bytes(head + b"".join(rows))
    return path


@pytest.mark.parametrize("start", [1000, 2**32 - 4])
def test_segments_are_put_in_order_whatever_order_they_came_in(tmp_path: Path, start: int) -> None:
    parts = [b"abcd", b"efgh", b"ij", b"klmnop"]
    offsets = [0, 4, 8, 10]
    segments = [
        packet(CLIENT, SERVER, start + 1 + at, ACK, part)
        for at, part in zip(offsets, parts, strict=True)
    ]
    again = packet(CLIENT, SERVER, start + 1 + 2, ACK, b"cdefghij")
    opening = packet(CLIENT, SERVER, start, SYN)
    answer = packet(SERVER, CLIENT, 7, SYN | ACK)
    for order in itertools.permutations([*segments, again]):
        path = capture(tmp_path / "x.pcap", [opening, answer, *order])
        chunks = list(streams(path))
        assert b"".join(c.data for c in chunks) == b"abcdefghijklmnop"
        assert all(c.first for c in chunks if c.data)


def test_a_reused_port_is_another_connection(tmp_path: Path) -> None:
    packets = []
    for start, data in ((100, b"first"), (900_000, b"second")):
        packets += [
            packet(CLIENT, SERVER, start, SYN),
            packet(SERVER, CLIENT, start + 5, SYN | ACK),
            packet(CLIENT, SERVER, start + 1, ACK, data),
            packet(CLIENT, SERVER, start + 1 + len(data), FIN | ACK),
        ]
    found = [(c.connection, c.data) for c in streams(capture(tmp_path / "x.pcap", packets))]
    assert [row for row in found if row[1]] == [(0, b"first"), (1, b"second")]


def frame(tag: int, *segments: bytes) -> bytes:
    lengths = [x for s in segments for x in (len(s), 8)] + [0, 0] * (4 - len(segments))
    head = struct.pack("<BB" + "IH" * 4 + "BB", tag, len(segments), *lengths, 0, 0)
    out = head + struct.pack("<I", crc32c(0, head)) + segments[0]
    crcs = [crc32c(0xFFFFFFFF, s) for s in segments]
    if segments[0]:
        out += struct.pack("<I", crcs[0])
    if len(segments) > 1:
        rest = crcs[1:] + [0] * (4 - len(segments))
        out += b"".join(segments[1:]) + b"\x0e" + struct.pack("<III", *rest)
    return out


ADDRESS = b"\1\1\1" + struct.pack("<IIII", 28, 2, 0, 16) + bytes(16)
ADDRESSES = b"\2" + struct.pack("<I", 1) + ADDRESS
BANNER = b"ceph v2\n" + struct.pack("<HQQ", 16, 1, 0)


def side(kind: int, gid: int, features: int, cookie: int, *, client: bool) -> bytes:
    ident = ADDRESSES + (ADDRESS if client else b"")
    ident += struct.pack("<qQQQQQ", gid, 1, features, 0, 0, cookie)
    hello = frame(1, bytes([kind]) + ADDRESS)
    return BANNER + hello + frame(8 if client else 9, ident)


def message(*parts: bytes) -> bytes:
    header = struct.pack("<QQHHHIHQBHH", 5, 6, 50, 127, 1, 0, 0, 0, 3, 1, 0)
    return frame(17, header, *parts)


def test_messages_come_with_both_ends_however_the_bytes_are_cut() -> None:
    for step in (1, 7, 10_000):
        talk = Conversation(Sessions())
        asked = side(8, 4123, 0b111, 1, client=True)
        answered = side(1, 0, 0b011, 2, client=False)
        for data, first in ((asked, True), (answered, False)):
            for at in range(0, len(data), step):
                assert talk.feed(data[at : at + step], from_client=first) == []
        stream = message(b"front", b"", b"data") + message(b"only front")
        got = [
            m
            for at in range(0, len(stream), step)
            for m in talk.feed(stream[at : at + step], from_client=True)
        ]
        assert [(m.front, m.middle, m.data) for m in got] == [
            (b"front", b"", b"data"),
            (b"only front", b"", b""),
        ]
        assert (got[0].header.type, got[0].header.tid, got[0].source.gid) == (50, 6, 4123)
        assert got[0].source.features & got[0].target.features == 0b011


def test_a_session_that_is_resumed_keeps_the_features_of_its_idents() -> None:
    sessions = Sessions()
    before = Conversation(sessions)
    before.feed(side(4, 1, 0b110, 11, client=True), from_client=True)
    before.feed(side(4, 2, 0b011, 22, client=False), from_client=False)
    after = Conversation(sessions)
    resumed = BANNER + frame(1, b"\4" + ADDRESS)
    resumed += frame(11, ADDRESSES + struct.pack("<QQQQQ", 11, 22, 3, 1, 9))
    after.feed(resumed, from_client=True)
    after.feed(BANNER + frame(1, b"\4" + ADDRESS), from_client=False)
    after.feed(frame(15, struct.pack("<Q", 4)), from_client=False)
    (got,) = after.feed(message(b"x"), from_client=False)
    assert (got.source.gid, got.target.gid) == (2, 1)
    assert got.source.features & got.target.features == 0b010


@pytest.mark.parametrize("at", [12, 40, 60, -20])
def test_damage_is_noticed(at: int) -> None:
    talk = Conversation(Sessions())
    talk.feed(BANNER, from_client=True)
    damaged = bytearray(message(b"front" * 10, b"", b"data"))
    damaged[at] ^= 4
    with pytest.raises(FrameError):
        talk.feed(bytes(damaged), from_client=True)
