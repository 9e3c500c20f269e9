from __future__ import annotations

from random import Random
from uuid import UUID

import pytest

from spirula.errors import InputOutput, InvalidArgument
from spirula.store.disk import mark
from spirula.store.disk.blockfile import FileBlockDevice
from spirula.store.disk.mark import (
    CommitMark,
    Label,
    check_recovered,
    open_mark_file,
    read_label,
    write_label,
)
from spirula.store.disk.memory_block import MemoryBlockDevice
from spirula.store.disk.read_only import OverlaidDevice

SIZE = 1 << 20
LABEL = Label(UUID("01234567-89ab-cdef-0123-456789abcdef"), SIZE)


@pytest.fixture
def device():
    made = MemoryBlockDevice(SIZE)
    write_label(made, LABEL)
    made.sync()
    return made


def test_the_label_is_read_as_it_was_written(device):
    assert read_label(device) == LABEL
    assert CommitMark(device, LABEL.store).read() == 0


def test_a_disk_of_somebody_else_is_no_store():
    for content in (b"", b"LABELONE", b"\xff" * 8192):
        device = MemoryBlockDevice(SIZE)
        device.write(0, [content])
        with pytest.raises(InvalidArgument, match="mkfs"):
            read_label(device)


def test_a_flipped_bit_in_the_label_or_the_mark_never_lies(device):
    moved = CommitMark(device, LABEL.store)
    for sequence in (1, 2, 3):
        moved.write(sequence)
    for offset in range(8192):
        bit = offset % 8
        device.flip(offset, bit)
        try:
            assert read_label(device) == LABEL  # what stands behind it does not matter
        except InputOutput as error:
            assert "damaged" in str(error)
        assert moved.read() in {2, 3}
        device.flip(offset, bit)
    assert moved.read() == 3


def test_a_smaller_device_is_refused(device):
    less = MemoryBlockDevice(SIZE - 4096)
    less.write(0, [device.read(0, 8192)])
    with pytest.raises(InputOutput, match="was made with"):
        read_label(less)


def test_a_mark_of_another_store_does_not_count(device):
    CommitMark(device, UUID(int=7)).write(3)
    assert CommitMark(device, LABEL.store).read() == 0
    CommitMark(device, UUID(int=7)).write(2)
    with pytest.raises(InputOutput, match="commit mark"):
        CommitMark(device, LABEL.store).read()


def test_a_power_cut_leaves_a_mark_between_the_last_sync_and_the_last_write(device):
    rng = Random(1)
    durable = last = 0
    for _ in range(200):
        moved = CommitMark(device, LABEL.store)
        for _ in range(rng.randrange(5)):
            last += 1
            moved.write(last)
            if rng.random() < 0.2:
                device.sync()
                durable = last
        device = device.after_crash(rng)
        found = CommitMark(device, LABEL.store).read()
        assert durable - 1 <= found <= last  # a torn slot leaves the one before
        durable = last = found


def test_groups_that_are_missing():
    check_recovered(7, 7)
    check_recovered(8, 7)
    with pytest.raises(InputOutput, match="ends with group 6, but 7 was committed"):
        check_recovered(6, 7)


# --- the mark's file ---


@pytest.fixture
def block(tmp_path, monkeypatch):
    monkeypatch.setattr(mark, "file_system_of", lambda path: "ext4")  # wherever tests run
    path = tmp_path / "block"
    path.write_bytes(bytes(SIZE))
    made = FileBlockDevice(path)
    write_label(made, LABEL)
    yield made
    made.close()


def opened(block, tmp_path, *, read_only=False):
    file = open_mark_file(tmp_path / "mark", block, LABEL.store, read_only=read_only)
    return CommitMark(block, LABEL.store, file)


def test_the_mark_moves_in_its_file_and_is_there_when_the_process_is_gone(block, tmp_path):
    before = block.read(0, 8192)
    moved = opened(block, tmp_path)
    for sequence in (1, 2, 3):
        moved.write(sequence)
    assert block.read(0, 8192) == before
    assert CommitMark(block, LABEL.store).read() == 0
    for read_only in (True, False):  # while the one that wrote it has not let go
        assert opened(block, tmp_path, read_only=read_only).read() == 3
    moved.settle()
    (tmp_path / "mark").unlink()
    assert opened(block, tmp_path).read() == 3


def test_a_store_that_has_no_file_gets_one_with_its_mark(block, tmp_path):
    CommitMark(block, LABEL.store).write(5)
    assert opened(block, tmp_path, read_only=True).read() == 5
    assert not (tmp_path / "mark").exists()
    moved = opened(block, tmp_path)
    assert moved.read() == 5
    moved.write(6)
    assert opened(block, tmp_path).read() == 6


def test_the_larger_mark_counts_where_a_program_without_the_file_had_the_store(block, tmp_path):
    opened(block, tmp_path).write(6)
    CommitMark(block, LABEL.store).write(9)
    moved = opened(block, tmp_path)
    assert moved.read() == 9
    moved.write(10)
    assert moved.read() == 10


def test_what_wants_to_see_each_write_sees_the_mark_too(block, tmp_path):
    opened(block, tmp_path).write(6)
    layer = OverlaidDevice(block)
    moved = opened(layer, tmp_path)
    assert moved.read() == 6
    moved.write(7)
    assert moved.read() == 7
    assert opened(block, tmp_path).read() == 6


@pytest.mark.parametrize("content", [b"", bytes(8192), b"\xff" * 4096])
def test_a_damaged_file_is_refused_and_not_taken_for_none(block, tmp_path, content):
    opened(block, tmp_path).write(6)
    (tmp_path / "mark").write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(InputOutput, match="damaged"):
            opened(block, tmp_path, read_only=read_only).read()


def test_a_file_is_not_mapped_where_a_full_disk_would_end_the_process(block, tmp_path, monkeypatch):
    opened(block, tmp_path).write(6)
    monkeypatch.setattr(mark, "file_system_of", lambda path: "btrfs")
    moved = opened(block, tmp_path)
    moved.write(7)
    assert CommitMark(block, LABEL.store).read() == moved.read() == 7


def test_a_flipped_bit_in_the_file_never_lies(block, tmp_path):
    moved = opened(block, tmp_path)
    for sequence in (1, 2, 3):
        moved.write(sequence)
    path = tmp_path / "mark"
    whole = path.read_bytes()
    for offset in range(4096, 8192, 3):
        flipped = bytearray(whole)
        flipped[offset] ^= 1 << offset % 8
        path.write_bytes(flipped)
        assert opened(block, tmp_path, read_only=True).read() in {2, 3}
