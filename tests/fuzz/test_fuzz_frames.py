"""Bad bytes into the messenger: only documented errors come out, and memory stays bounded.

Random bytes, altered streams of frames in every format, and altered conversations between two ends,
from the first byte of the banner on. An error is WireError or ProtocolViolation, and a link turns
it into a `Failed`; nothing else may escape.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.errors import ProtocolViolation, SpirulaError, WireError
from spirula.kernels.crc32c import crc32c
from spirula.msgr.policies import Policy
from spirula.msgr.protocol import control
from spirula.msgr.protocol.events import Failed
from spirula.msgr.protocol.frames import (
    CRC,
    LARGE_SEGMENT,
    PREAMBLE_SIZE,
    FrameLimits,
    Tag,
)
from spirula.msgr.protocol.reader import OFFER_MAX
from spirula.types.entity import EntityAddr
from tests.unit.msgr.wires import FORMATS, all_formats, written
from tests.unit.msgr.world import World

LIMITS = FrameLimits(front=200_000, middle=200_000, data=200_000)
MEMORY_BYTES = 2 * OFFER_MAX + 3 * 200_000 + 1000
HEADER = bytes(range(41))
STREAM = [
    (Tag.HELLO, [control.Hello(8, EntityAddr.parse("v2:127.0.0.1:3300/7")).encode()]),
    (Tag.MESSAGE, [HEADER, b"front" * 30]),
    (Tag.ACK, [bytes(8)]),
    (Tag.MESSAGE, [HEADER, b"front", b"middle", b"data" * 30]),
    (Tag.WAIT, [b""]),
    (Tag.MESSAGE, [HEADER, b"front", b"", bytes(LARGE_SEGMENT + 10)]),
    (Tag.KEEPALIVE2, [bytes(8)]),
]


def held(reader):
    own = len(reader._own) if reader._own is not None else 0
    return len(reader._buf) + own + sum(map(len, reader._parts))


def swallow(reader, stream, rng):
    """Feeds a stream in pieces until it is used up or refused; how many frames came of it."""
    frames = 0
    stream = memoryview(bytes(stream))
    try:
        while stream:
            count = rng.choice([1, 20, 500, 20_000, 100_000])
            reader.feed(stream[:count])
            stream = stream[count:]
            while reader.next_frame() is not None:
                frames += 1
            assert held(reader) <= MEMORY_BYTES
    except (WireError, ProtocolViolation):
        assert held(reader) <= MEMORY_BYTES
    return frames


def altered(stream, rng):
    """A stream with a few things wrong: bits, bytes, cuts, repeats, true sums of wrong things."""
    stream = bytearray(stream)
    for _ in range(rng.choice([1, 1, 2, 5])):
        if not stream:
            break
        at = rng.randrange(len(stream))
        what = rng.randrange(6)
        if what == 0:
            stream[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            stream[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif what == 2:
            del stream[at : at + rng.choice([1, 4, 16, 100])]
        elif what == 3:
            stream[at:at] = rng.randbytes(rng.choice([1, 4, 16, 100]))
        elif what == 4:
            stream[at:at] = stream[at : at + rng.choice([4, 32, 200])]
        else:
            stream[at : at + 4] = rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF]).to_bytes(4, "little")
    if rng.random() < 0.5 and len(stream) >= PREAMBLE_SIZE:
        # a preamble that is wrong and sums up, so that what comes after the sum is reached
        stream[28:32] = CRC.pack(crc32c(0, bytes(stream[:28])))
    return bytes(stream)


@all_formats
@given(data=st.binary(max_size=2000), seed=st.integers(0, 1 << 32))
def test_random_bytes(form, data, seed):
    _, reader = form.ends(LIMITS)
    assert swallow(reader, data, random.Random(seed)) == 0


@all_formats
@given(seed=st.integers(0, 1 << 32))
def test_altered_streams(form, seed):
    rng = random.Random(seed)
    writer, reader = form.ends(LIMITS)
    frames = rng.choices(STREAM, k=rng.randint(1, 4))
    stream = b"".join(written(writer, tag, segments) for tag, segments in frames)
    swallow(reader, altered(stream, rng), rng)


@given(st.sampled_from(FORMATS), st.integers(0, 1 << 32))
def test_preambles_that_sum_up(form, seed):
    """Any tag, any number of segments, any lengths, and a true checksum."""
    rng = random.Random(seed)
    writer, reader = form.ends(LIMITS)
    fields = (
        rng.randbytes(28) if rng.random() < 0.3 else bytes([rng.randrange(25), rng.randrange(6)])
    )
    while len(fields) < 26:
        length = rng.choice([0, 1, 41, 48, 49, 65_536, 200_000, 200_001, 0xFFFFFFFF])
        fields += length.to_bytes(4, "little") + b"\x08\x00"
    start = fields[:26].ljust(28, b"\0")
    start += CRC.pack(crc32c(0, start))
    if form.secure and form.revision1:
        start = writer._sealer.seal(start + bytes(48))
    swallow(reader, start + rng.randbytes(rng.choice([0, 100, 300_000])), rng)


def conversation(secure):
    """What two ends say to one another, from the banner to a few messages."""
    world = World(secure=secure)
    world.add("a", Policy.lossless_peer())
    world.add("b", Policy.lossless_peer())
    world.send("a", "b", b"1", b"2", data=bytes(1000))
    world.run()
    world.send("b", "a", b"3")
    world.run()
    return [b"".join(piece for _, sender, piece in world.sent_bytes if sender == s) for s in (0, 1)]


SAID = {secure: conversation(secure) for secure in (False, True)}


@pytest.mark.parametrize("secure", [False, True], ids=["crc", "secure"])
@pytest.mark.parametrize("side", [0, 1], ids=["to the server", "to the client"])
@given(seed=st.integers(0, 1 << 32))
def test_altered_conversations(secure, side, seed):
    rng = random.Random(seed)
    world = World(secure=secure)
    world.add("a", Policy.lossless_peer())
    world.add("b", Policy.lossless_peer())
    wire = world.dial("a", world.session("a", "b"))
    link = wire.links[1 - side]
    stream = altered(SAID[secure][side], rng)
    while stream:
        count = rng.choice([1, 50, 5000])
        link.reader.feed(stream[:count])
        stream = stream[count:]
        while (event := link.next_event(world.now)) is not None:
            if isinstance(event, Failed):
                assert isinstance(event.error, SpirulaError)
                assert link.next_event(world.now) is None
                assert link.data_to_send() == []
                return
        link.data_to_send()
        assert held(link.reader) <= MEMORY_BYTES


@given(st.sampled_from(sorted(control.CONTROL_FRAMES)), st.binary(max_size=300))
def test_payloads_of_control_frames(tag, payload):
    declared = control.CONTROL_FRAMES[tag]
    try:
        frame = declared.decode(payload)
    except WireError:
        return
    assert isinstance(frame, declared)
