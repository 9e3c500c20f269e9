"""Reading frames: any split, any damage, any length, and where the bytes land."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.errors import InvariantBroken, LimitExceeded, ProtocolViolation, WireError
from spirula.kernels.crc32c import crc32c
from spirula.msgr.protocol.frames import (
    CRC,
    EPILOGUE_CRC_0,
    EPILOGUE_CRC_1,
    LARGE_SEGMENT,
    PREAMBLE_START,
    FrameLimits,
    Tag,
)
from spirula.msgr.protocol.reader import OFFER_MAX, OFFER_MIN, FrameReader
from spirula.msgr.protocol.throttle import Gate, Throttle
from tests.unit.msgr.wires import (
    CRC_0,
    CRC_1,
    FORMATS,
    SECURE_0,
    SECURE_1,
    all_formats,
    written,
    written_message,
)

HEADER = bytes(range(41))
SHAPES = {
    "empty": [b""],
    "control": [b"a control payload"],
    "longer than inlined": [bytes(range(256))],
    "message": [HEADER, b"front" * 30],
    "middle": [HEADER, b"", b"middle"],
    "data": [HEADER, b"front", b"", b"data" * 100],
    "all": [HEADER, b"front", b"middle", b"data"],
}
shapes = pytest.mark.parametrize("segments", SHAPES.values(), ids=SHAPES.keys())


def tag_of(segments):
    return Tag.MESSAGE if segments[0] == HEADER else Tag.HELLO


def drained(reader):
    frames = []
    while (frame := reader.next_frame()) is not None:
        frames.append((reader.tag, [bytes(segment) for segment in frame]))
    return frames


@all_formats
@shapes
def test_what_was_written_is_read(form, segments):
    writer, reader = form.ends()
    reader.feed(written(writer, tag_of(segments), segments))
    assert drained(reader) == [(tag_of(segments), segments)]
    assert reader.unread == 0


@all_formats
def test_a_split_at_every_offset_changes_nothing(form):
    writer, _ = form.ends()
    frames = [(tag_of(segments), segments) for segments in SHAPES.values()]
    stream = b"".join(written(writer, tag, segments) for tag, segments in frames)
    for at in range(len(stream) + 1):
        _, reader = form.ends()
        reader.feed(stream[:at])
        read = drained(reader)
        reader.feed(stream[at:])
        assert read + drained(reader) == frames


@all_formats
def test_byte_by_byte(form):
    writer, reader = form.ends()
    frames = [(tag_of(segments), segments) for segments in SHAPES.values()]
    read = []
    for byte in b"".join(written(writer, tag, segments) for tag, segments in frames):
        reader.feed(bytes([byte]))
        read += drained(reader)
    assert read == frames


@given(st.sampled_from(FORMATS), st.data())
def test_any_frames_in_any_pieces(form, data):
    sizes = st.sampled_from([0, 1, 15, 16, 17, 47, 48, 49, 4096, LARGE_SEGMENT, LARGE_SEGMENT + 1])
    writer, reader = form.ends()
    frames = []
    for _ in range(data.draw(st.integers(1, 4))):
        segments = [HEADER, *(b"s" * data.draw(sizes) for _ in range(data.draw(st.integers(0, 3))))]
        while len(segments) > 1 and not segments[-1]:
            segments.pop()
        frames.append((Tag.MESSAGE, segments))
    stream = memoryview(b"".join(written(writer, tag, segments) for tag, segments in frames))
    read = []
    while stream:
        count = data.draw(st.sampled_from([1, 31, 32, 100, 5000, 70000, len(stream)]))
        reader.feed(stream[:count])
        stream = stream[count:]
        read += drained(reader)
    assert read == frames


# -------------------------------------------------------------------------------------- memory


def receive(reader, stream, frames, chunk):
    """As a transport does it, which fills what it is given with what has come."""
    source = memoryview(stream)
    offers = []
    while source:
        room = reader.get_buffer()
        count = min(len(room), len(source), chunk)
        room[:count] = source[:count]
        offers.append((room.obj, count))
        reader.buffer_updated(count)
        source = source[count:]
        while (frame := reader.next_frame()) is not None:
            frames.append(frame)
    return offers


@pytest.mark.parametrize("form", [CRC_1, CRC_0], ids=str)
def test_large_segments_are_received_where_they_stay(form):
    size = 1024 * 1024
    writer, reader = form.ends()
    stream = written(writer, Tag.MESSAGE, [HEADER, b"front", b"", b"d" * size]) * 3
    frames = []
    offers = receive(reader, stream, frames, 300_000)
    for frame in frames:
        own = frame[3].obj
        assert frame[3] == b"d" * size
        straight = sum(count for memory, count in offers if memory is own)
        assert straight >= size - OFFER_MIN
        assert frame[3].readonly


def test_large_encrypted_segments_are_decrypted_where_they_were_received():
    size = 1024 * 1024
    writer, reader = SECURE_1.ends()
    stream = written(writer, Tag.MESSAGE, [HEADER, b"front", b"", b"d" * size])
    frames = []
    offers = receive(reader, stream, frames, 300_000)
    own = frames[0][3].obj
    assert frames[0][3] == b"d" * size
    assert sum(count for memory, count in offers if memory is own) >= size - OFFER_MIN


def test_small_segments_do_not_hold_the_receive_buffer():
    writer, reader = CRC_1.ends()
    frames = []
    receive(reader, written_message(writer, HEADER, b"front"), frames, 4096)
    assert [type(segment) for segment in frames[0]] == [bytes, bytes]


def test_the_buffer_grows_with_what_comes_and_shrinks_again():
    writer, reader = CRC_1.ends()
    small = written_message(writer, HEADER, b"front" * 20)
    assert len(reader.get_buffer()) == OFFER_MIN
    receive(reader, small * 40_000, [], OFFER_MAX)
    assert len(reader.get_buffer()) >= OFFER_MAX // 2
    for _ in range(40):  # it waits for the next long one, for a while
        receive(reader, small, [], OFFER_MAX)
    assert len(reader.get_buffer()) == OFFER_MIN


def test_there_is_always_room_for_at_least_one_byte():
    writer, reader = CRC_1.ends()
    stream = written_message(writer, HEADER, b"f" * 5000, b"", b"d" * LARGE_SEGMENT) * 2
    for byte in range(0, len(stream), 7):
        assert len(reader.get_buffer()) > 0
        reader.feed(stream[byte : byte + 7])
        drained(reader)


# -------------------------------------------------------------------------------------- damage


EPILOGUES = {CRC_1: EPILOGUE_CRC_1.size, CRC_0: EPILOGUE_CRC_0.size, SECURE_1: 0, SECURE_0: 0}


@all_formats
@shapes
def test_a_flipped_bit_is_never_delivered(form, segments):
    writer, _ = form.ends()
    sent = (tag_of(segments), segments)
    frame = written(writer, *sent)
    for bit in range(8 * len(frame)):
        at = bit // 8
        damaged = bytearray(frame)
        damaged[at] ^= 1 << bit % 8
        _, reader = form.ends()
        reader.feed(damaged)
        try:
            read = drained(reader)
        except (WireError, ProtocolViolation):
            continue
        # What no checksum covers is at the end: flags, and sums of segments that are not there.
        assert at >= len(frame) - EPILOGUES[form]
        assert read in ([sent], [])


@pytest.mark.parametrize("form", [SECURE_1, SECURE_0], ids=str)
def test_an_encrypted_frame_cannot_be_replayed(form):
    writer, reader = form.ends()
    frame = written(writer, Tag.ACK, [bytes(8)])
    reader.feed(frame + frame)
    assert reader.next_frame() is not None
    with pytest.raises(WireError):
        reader.next_frame()


@pytest.mark.parametrize("form", [SECURE_1, SECURE_0], ids=str)
def test_encrypted_frames_cannot_change_places(form):
    writer, reader = form.ends()
    first, second = (written(writer, Tag.ACK, [bytes([n] * 8)]) for n in (1, 2))
    reader.feed(second + first)
    with pytest.raises(WireError):
        reader.next_frame()


# ------------------------------------------------------------------------------------- lengths


def crc_frame_start(tag, count, *lengths):
    fields = []
    for length in (*lengths, 0, 0, 0, 0)[:4]:
        fields += (length, 8)
    start = PREAMBLE_START.pack(tag, count, *fields, 0, 0)
    return start + CRC.pack(crc32c(0, start))


@pytest.mark.parametrize(
    ("start", "error"),
    [
        (crc_frame_start(Tag.HELLO, 0), WireError),
        (crc_frame_start(Tag.HELLO, 5, 1, 1, 1, 1), WireError),
        (crc_frame_start(Tag.HELLO, 2, 1, 1), WireError),
        (crc_frame_start(Tag.MESSAGE, 2, 41, 0), WireError),
        (crc_frame_start(Tag.HELLO, 1, 0xFFFFFFFF), LimitExceeded),
        (crc_frame_start(Tag.HELLO, 1, 64 * 1024 + 1), LimitExceeded),
        (crc_frame_start(Tag.MESSAGE, 1, 0xFFFFFFFF), LimitExceeded),
        (crc_frame_start(Tag.MESSAGE, 4, 41, 1, 1, 0xFFFFFFFF), LimitExceeded),
        (crc_frame_start(0, 1, 1), ProtocolViolation),
        (crc_frame_start(23, 1, 1), ProtocolViolation),
        (crc_frame_start(255, 1, 1), ProtocolViolation),
    ],
)
def test_absurd_preambles_are_refused_before_memory_is_taken(start, error):
    _, reader = CRC_1.ends()
    reader.feed(start)
    with pytest.raises(error):
        reader.next_frame()


def test_limits_are_what_was_asked_for():
    limits = FrameLimits(control=10, front=20, middle=30, data=40)
    writer, reader = CRC_1.ends(limits)
    good = written_message(writer, HEADER, bytes(20), bytes(30), bytes(40))
    reader.feed(good + written(writer, Tag.HELLO, [bytes(10)]))
    assert len(drained(reader)) == 2
    for bad in (
        written_message(writer, HEADER, bytes(21)),
        written_message(writer, HEADER, b"", bytes(31)),
        written_message(writer, HEADER, b"", b"", bytes(41)),
        written(writer, Tag.HELLO, [bytes(11)]),
    ):
        _, reader = CRC_1.ends(limits)
        reader.feed(bad)
        with pytest.raises(LimitExceeded):
            reader.next_frame()


def test_half_a_frame_stays_half_a_frame():
    writer, reader = CRC_1.ends()
    frame = written_message(writer, HEADER, b"front")
    reader.feed(frame[:-1])
    assert reader.next_frame() is None
    assert reader.next_frame() is None
    assert reader.unread < len(frame)


# ---------------------------------------------------------------------------------- given up


def test_frames_that_their_sender_gave_up_are_skipped_in_revision_1():
    writer, reader = CRC_1.ends()
    frame = bytearray(written_message(writer, HEADER, b"front"))
    frame[-EPILOGUE_CRC_1.size] = 0x01
    reader.feed(bytes(frame) + written(writer, Tag.ACK, [b"after it"]))
    assert drained(reader) == [(Tag.ACK, [b"after it"])]


def test_frames_that_their_sender_gave_up_are_skipped_in_revision_0():
    writer, reader = CRC_0.ends()
    frame = bytearray(written_message(writer, HEADER, b"front"))
    frame[-EPILOGUE_CRC_0.size] = 0x01
    reader.feed(bytes(frame) + written(writer, Tag.ACK, [b"after it"]))
    assert drained(reader) == [(Tag.ACK, [b"after it"])]


def test_a_status_that_is_neither_is_refused():
    writer, reader = CRC_1.ends()
    frame = bytearray(written_message(writer, HEADER, b"front"))
    frame[-EPILOGUE_CRC_1.size] = 0x0F
    reader.feed(frame)
    with pytest.raises(WireError, match="status"):
        reader.next_frame()


# ------------------------------------------------------------------------------------ throttles


def gated(form, limit):
    writer, reader = form.ends()
    throttle = Throttle(limit)
    reader.gate = Gate([throttle], None)
    return writer, reader, throttle


@all_formats
def test_no_memory_for_a_message_while_the_throttle_is_full(form):
    writer, reader, throttle = gated(form, 100)
    throttle.take(100)
    reader.feed(written_message(writer, HEADER, bytes(50)))
    assert reader.next_frame() is None
    assert reader.blocked
    throttle.put(100)
    assert reader.next_frame() == [HEADER, bytes(50)]
    assert throttle.current == 50
    reader.ticket.release()
    assert throttle.current == 0


def test_other_frames_need_no_room():
    writer, reader, throttle = gated(CRC_1, 100)
    throttle.take(100)
    reader.feed(written(writer, Tag.ACK, [bytes(8)]))
    assert reader.next_frame() == [bytes(8)]


def test_a_message_that_is_given_up_gives_its_room_back():
    writer, reader, throttle = gated(CRC_1, 100)
    frame = bytearray(written_message(writer, HEADER, bytes(50)))
    frame[-EPILOGUE_CRC_1.size] = 0x01
    reader.feed(frame)
    assert reader.next_frame() is None
    assert throttle.current == 0


def test_a_message_cut_off_gives_its_room_back():
    writer, reader, throttle = gated(CRC_1, 100)
    reader.feed(written_message(writer, HEADER, bytes(50))[:-20])
    assert reader.next_frame() is None
    assert throttle.current == 50
    reader.abandon()
    assert throttle.current == 0


# ---------------------------------------------------------------------------------------- rest


def test_the_format_does_not_change_inside_a_frame():
    writer, reader = CRC_1.ends()
    reader.feed(written_message(writer, HEADER, b"front")[:40])
    assert reader.next_frame() is None
    with pytest.raises(InvariantBroken):
        reader.use(None, revision1=False)


def test_bytes_outside_of_frames():
    reader = FrameReader()
    reader.feed(b"ceph v2")
    assert reader.take(8) is None
    reader.feed(b"\nrest")
    assert reader.take(8) == b"ceph v2\n"
    assert reader.take(4) == b"rest"


def test_the_transcript_is_what_was_consumed_and_no_more():
    writer, reader = CRC_1.ends()
    reader.transcript = bytearray()
    first, second = (written(writer, Tag.ACK, [bytes([n] * 8)]) for n in (1, 2))
    reader.feed(first + second)
    reader.next_frame()
    assert reader.transcript == first
