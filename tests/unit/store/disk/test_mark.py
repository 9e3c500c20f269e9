from __future__ import annotations

from random import Random
from uuid import UUID

import pytest

from spirula.errors import InputOutput, InvalidArgument
from spirula.store.disk.mark import CommitMark, Label, check_recovered, read_label, write_label
from spirula.store.disk.memory_block import MemoryBlockDevice

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
    mark = CommitMark(device, LABEL.store)
    for sequence in (1, 2, 3):
        mark.write(sequence)
    for offset in range(8192):
        bit = offset % 8
        device.flip(offset, bit)
        try:
            assert read_label(device) == LABEL  # what stands behind it does not matter
        except InputOutput as error:
            assert "damaged" in str(error)
        assert mark.read() in {2, 3}
        device.flip(offset, bit)
    assert mark.read() == 3


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
        mark = CommitMark(device, LABEL.store)
        for _ in range(rng.randrange(5)):
            last += 1
            mark.write(last)
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
