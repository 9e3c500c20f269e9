"""Both twins of the kernel for messages."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.kernels import frames

HEADER = bytes(range(41))
BELOW = 5000
joins = pytest.mark.parametrize(
    "join", [frames.pure_join_message, frames.join_message], ids=["pure", "native"]
)
splits = pytest.mark.parametrize(
    "split", [frames.pure_split_message, frames.split_message], ids=["pure", "native"]
)


def frame(front, data):
    """A whole frame, in one piece or not."""
    joined = frames.pure_join_message(HEADER, front, data, BELOW)
    return joined if isinstance(joined, bytes) else joined[0] + data + joined[1]


def test_the_compiled_twin_is_in_use():
    assert frames.IMPLEMENTATION == "native"
    assert frames.split_message is not frames.pure_split_message


@joins
@splits
@pytest.mark.parametrize("size", [0, 1, 8, 4096, BELOW - 1, BELOW, 3 * BELOW])
def test_what_was_joined_is_split(join, split, size):
    front, data = b"front" * 20, random.Random(size).randbytes(size)
    joined = join(HEADER, memoryview(front), memoryview(data), BELOW)
    if size >= BELOW:
        joined = joined[0] + data + joined[1]
    assert joined == frame(front, data)
    segments = [HEADER, front, b"", data] if data else [HEADER, front]
    around = bytearray(b"before" + joined + b"behind")
    assert split(around, 6, len(around), 1 << 20) == (len(joined), segments)
    for there in (32, 33, 90, len(joined) - 1):
        assert split(around, 6, 6 + there, 1 << 20) == (len(joined), [])
    assert split(around, 6, 6 + 31, 1 << 20) is None
    assert split(around, 6, len(around), len(front) + size) is None


@splits
def test_what_is_damaged_is_left_to_others(split):
    whole = frame(b"front", b"data" * 50)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        assert split(damaged, 0, len(damaged), 1 << 20) is None


@given(st.binary(max_size=150), st.integers(-3, 160), st.integers(-3, 200), st.integers(0, 300))
def test_the_twins_agree_on_anything(data, pos, end, below):
    found = frames.split_message(data, pos, end, below)
    assert found == frames.pure_split_message(data, pos, end, below)


@given(st.data())
def test_the_twins_agree_on_preambles_that_are_nearly_right(data):
    lengths = data.draw(st.tuples(*[st.sampled_from([0, 1, 41, 100, 2**32 - 1])] * 3))
    count = data.draw(st.integers(0, 5))
    sizes = (data.draw(st.sampled_from([41, 40])), *lengths)
    start = bytes([17, count])
    start += b"".join(size.to_bytes(4, "little") + b"\x08\0" for size in sizes) + bytes(2)
    crc = frames.crc32c(0, start).to_bytes(4, "little")
    whole = start + crc + bytes(data.draw(st.integers(0, 300)))
    found = frames.split_message(whole, 0, len(whole), 1 << 40)
    assert found == frames.pure_split_message(whole, 0, len(whole), 1 << 40)


@joins
def test_what_is_no_message_is_refused(join):
    with pytest.raises(ValueError, match="not a header and a front"):
        join(HEADER[:-1], b"front", b"", BELOW)
    with pytest.raises(ValueError, match="not a header and a front"):
        join(HEADER, b"", b"data", BELOW)


@pytest.mark.parametrize("unwritten", [frames.pure_unwritten, frames.unwritten])
def test_memory_to_fill(unwritten):
    for size in (0, 1, 5, 300_000):
        memory = unwritten(size)
        data = random.Random(size).randbytes(size)
        memory[:] = data
        received = memory.toreadonly()
        assert memory.nbytes == size
        assert received == data == frames.as_bytes(received)
        with pytest.raises(TypeError):
            received[:1] = b"x"
    with pytest.raises(ValueError, match=r"\w"):
        unwritten(-1)
    with pytest.raises(TypeError):
        unwritten("1")


def test_what_was_received_is_handed_out_without_a_copy():
    memory = frames.unwritten(5)
    memory[:] = b"01234"
    whole = frames.as_bytes(memory.toreadonly())
    assert whole is memory.obj
    assert whole == b"01234"
    assert frames.as_bytes(memory[1:]) == b"1234"
    assert frames.as_bytes(memory[::-1]) == b"43210"
    assert frames.as_bytes(memory[::2]) == b"024"
    assert frames.as_bytes(bytearray(b"x")) == b"x"
