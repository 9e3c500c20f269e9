"""Both twins of the kernel for blocks."""

from __future__ import annotations

import errno
import os
import random
from array import array

import pytest

from spirula.kernels import blocks
from spirula.kernels.crc32c import crc32c

SUMS = [blocks.pure_sum_blocks, blocks.sum_blocks]
WRITES = [blocks.pure_write_pieces, blocks.write_pieces]
TOGETHER = [blocks.pure_write_with_record, blocks.write_with_record]


def test_the_compiled_twin_is_in_use():
    assert blocks.IMPLEMENTATION == "native"
    assert SUMS[0] is not SUMS[1]
    assert WRITES[0] is not WRITES[1]
    assert TOGETHER[0] is not TOGETHER[1]


@pytest.mark.parametrize("sum_blocks", SUMS)
def test_sums(sum_blocks):
    rng = random.Random(3)
    for block in (1, 7, 8, 13, 512, 4096):
        for count in range(10):
            data = rng.randbytes(block * count)
            sums = array("I", [9] * count)
            sum_blocks(memoryview(data), block, sums)
            pieces = [data[at : at + block] for at in range(0, len(data), block)]
            assert list(sums) == [crc32c(0xFFFFFFFF, piece) for piece in pieces]


@pytest.mark.parametrize("sum_blocks", SUMS)
@pytest.mark.parametrize(
    ("size", "block", "count", "kind"),
    [(10, 4, 2, "I"), (8, 4, 3, "I"), (8, 4, 1, "I"), (8, 4, 2, "Q"), (8, 0, 0, "I")],
)
def test_sums_that_do_not_fit(sum_blocks, size, block, count, kind):
    with pytest.raises(ValueError, match="whole blocks"):
        sum_blocks(bytes(size), block, array(kind, [0] * count))


@pytest.mark.parametrize("write_pieces", WRITES)
def test_writes(write_pieces, tmp_path):
    rng = random.Random(4)
    expected = bytearray(1 << 20)
    path = tmp_path / "file"
    path.write_bytes(expected)
    fd = os.open(path, os.O_RDWR)
    try:
        for _ in range(30):
            offsets, pieces, at = array("Q"), [], rng.randrange(5000)
            for _ in range(rng.randrange(200)):
                piece = rng.randbytes(rng.choice([0, 1, 100, 4096, 4096, 70_000]))
                if at + len(piece) > len(expected):
                    break
                offsets.append(at)
                pieces.append(rng.choice([bytes, bytearray, memoryview])(piece))
                expected[at : at + len(piece)] = piece
                at += len(piece) + rng.choice([0, 0, 0, 1000, 9000])
            write_pieces(fd, offsets, pieces)
            assert path.read_bytes() == expected
    finally:
        os.close(fd)


@pytest.mark.parametrize("write_pieces", WRITES)
def test_writes_that_fail(write_pieces, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Bad file descriptor") as told:
            write_pieces(fd, array("Q", [0]), [b"x"])
        assert told.value.errno == errno.EBADF
        with pytest.raises(ValueError, match="offset"):
            write_pieces(fd, array("Q", [0]), [])
        with pytest.raises(TypeError):
            write_pieces(fd, array("Q", [0]), ["x"])
    finally:
        os.close(fd)
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
        with pytest.raises(OSError, match="No space") as told:
            write_pieces(full.fileno(), array("Q", [0, 5]), [b"x", b"y"])
        assert told.value.errno == errno.ENOSPC


@pytest.mark.parametrize("write_with_record", TOGETHER)
def test_writes_with_a_record(write_with_record, tmp_path):
    data, journal = tmp_path / "data", tmp_path / "journal"
    data.write_bytes(bytes(3 << 20))
    journal.write_bytes(b"." * 30)
    content = random.Random(5).randbytes(2 << 20)
    pieces = [content[at : at + 65536] for at in range(0, len(content), 65536)]
    offsets = array("Q", [100_000 + at for at in range(0, len(content), 65536)])
    with data.open("r+b") as file, journal.open("r+b") as other:
        fds = file.fileno(), other.fileno()
        write_with_record(fds[0], offsets, pieces, fds[1], 10, b"recorded")
        write_with_record(fds[0], array("Q", [5]), [b"five"], fds[1], 0, memoryview(b"first"))
        for file_of, other_of in [(-1, fds[1]), (fds[0], -1)]:
            with pytest.raises(OSError, match="Bad file descriptor"):
                write_with_record(file_of, array("Q", [0]), [b"x"], other_of, 0, b"y")
        with pytest.raises(ValueError, match="offset"):
            write_with_record(fds[0], array("Q"), [b"x"], fds[1], 0, b"y")
        with pytest.raises(TypeError):
            write_with_record(fds[0], array("Q"), [], fds[1], 0, "y")
    there = data.read_bytes()
    assert there[100_000 : 100_000 + len(content)] == content
    assert there[1:9] == b"\0\0\0\0five"
    assert journal.read_bytes() == b"first.....recorded............"
