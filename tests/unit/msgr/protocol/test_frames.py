"""What frames look like on the wire, byte for byte, and which buffers they are made of."""

from __future__ import annotations

import pytest

from spirula.kernels.crc32c import crc32c
from spirula.msgr.protocol.frames import LARGE_SEGMENT, Tag, padded, preamble
from tests.unit.msgr.wires import CRC_0, CRC_1, SECURE_0, SECURE_1, all_formats, written

HEADER = bytes(range(41))


def crc(data: bytes) -> bytes:
    return crc32c(0xFFFFFFFF, data).to_bytes(4, "little")


def test_preamble_names_tag_segments_and_alignments():
    image = preamble(Tag.MESSAGE, [HEADER, b"front", b"", b"data"], 1)
    lengths = "29000000 0800 05000000 0800 00000000 0800 04000000 0010"
    assert image[:28] == bytes.fromhex(f"11 04 {lengths} 01 00")
    assert image[28:] == crc32c(0, image[:28]).to_bytes(4, "little")


def test_absent_segments_are_all_zero_in_the_preamble():
    assert preamble(Tag.HELLO, [b"12"], 0)[2:26] == bytes.fromhex("020000000800") + bytes(18)


def test_a_message_in_revision_1_with_checksums():
    writer, _ = CRC_1.ends()
    out = []
    writer.message(HEADER, b"front", b"", b"data", out)
    start = preamble(Tag.MESSAGE, [HEADER, b"front", b"", b"data"], 0)
    sums = crc(b"front") + crc(b"") + crc(b"data")
    assert b"".join(out) == start + HEADER + crc(HEADER) + b"frontdata" + b"\x0e" + sums


@all_formats
@pytest.mark.parametrize("size", [1, 15, 16, 150, LARGE_SEGMENT - 1, LARGE_SEGMENT])
def test_the_short_cut_for_small_messages_writes_the_same(form, size):
    short = []
    written_size = form.ends()[0].message(HEADER, bytes(size), b"", b"", short)
    assert b"".join(short) == written(form.ends()[0], Tag.MESSAGE, [HEADER, bytes(size)])
    assert written_size == sum(map(len, short))


def test_a_message_in_revision_0_with_checksums():
    writer, _ = CRC_0.ends()
    out = []
    writer.message(HEADER, b"", b"middle", b"", out)
    start = preamble(Tag.MESSAGE, [HEADER, b"", b"middle"], 0)
    sums = crc(HEADER) + crc(b"") + crc(b"middle") + bytes(4)
    assert b"".join(out) == start + HEADER + b"middle" + b"\x00" + sums


def test_one_segment_has_no_epilogue_in_revision_1():
    writer, _ = CRC_1.ends()
    assert written(writer, Tag.ACK, [b"12345678"])[32:] == b"12345678" + crc(b"12345678")
    assert len(written(writer, Tag.WAIT, [b""])) == 32


@pytest.mark.parametrize(
    ("segments", "size"),
    [
        ([b""], 32 + 48 + 16),
        ([bytes(48)], 32 + 48 + 16),
        ([bytes(49)], 32 + 48 + 16 + 16 + 16),
        ([HEADER, bytes(150)], 32 + 48 + 16 + 160 + 16 + 16),
        ([HEADER, b"", bytes(16)], 32 + 48 + 16 + 16 + 16 + 16),
    ],
)
def test_sizes_in_revision_1_encrypted(segments, size):
    writer, _ = SECURE_1.ends()
    assert len(written(writer, Tag.MESSAGE, segments)) == size


def test_sizes_in_revision_0_encrypted():
    writer, _ = SECURE_0.ends()
    assert len(written(writer, Tag.MESSAGE, [HEADER, bytes(150)])) == 32 + 48 + 160 + 16 + 16


def test_padding():
    assert [padded(size) for size in (0, 1, 16, 17)] == [0, 16, 16, 32]


@pytest.mark.parametrize("form", [CRC_0, CRC_1], ids=str)
def test_large_segments_go_out_from_where_they_lie(form):
    writer, _ = form.ends()
    data = bytearray(LARGE_SEGMENT)
    out = []
    writer.message(HEADER, b"front", b"", data, out)
    assert [len(piece) for piece in out if piece is not data] == [len(out[0]), len(out[2])]
    assert out[1] is data


def test_small_messages_are_one_buffer():
    writer, _ = CRC_1.ends()
    out = []
    writer.message(HEADER, b"front", b"middle", b"data", out)
    assert len(out) == 1


@all_formats
def test_views_are_as_good_as_bytes(form):
    segments = [HEADER, b"front", b"middle", bytes(LARGE_SEGMENT)]
    expected = written(form.ends()[0], Tag.MESSAGE, segments)
    views = [memoryview(bytearray(segment)) for segment in segments]
    assert written(form.ends()[0], Tag.MESSAGE, views) == expected


@all_formats
def test_trailing_empty_segments_are_left_out(form):
    one, two = [], []
    form.ends()[0].message(HEADER, b"front", b"", b"", one)
    form.ends()[0].frame(Tag.MESSAGE, [HEADER, b"front"], 0, two)
    assert b"".join(one) == b"".join(two)
