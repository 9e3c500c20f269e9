from __future__ import annotations

import errno
import os
from mmap import mmap
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from spirula.errors import (
    CephError,
    InputOutput,
    InvalidArgument,
    InvariantBroken,
    NoSpace,
    NotFound,
)
from spirula.store.disk import blockfile
from spirula.store.disk.blockfile import FileBlockDevice
from spirula.store.disk.memory_block import SECTOR, MemoryBlockDevice

SIZE = 1 << 20


def file_device(tmp_path):
    path = tmp_path / "block"
    with path.open("wb") as stream:
        stream.truncate(SIZE)
    return FileBlockDevice(path)


@pytest.fixture(params=["file", "memory"])
def device(request, tmp_path):
    made = file_device(tmp_path) if request.param == "file" else MemoryBlockDevice(SIZE)
    yield made
    made.close()


def test_reads_see_what_was_written(device):
    assert device.size == SIZE
    model, rng = bytearray(SIZE), Random(1)
    for _ in range(200):
        length = rng.choice([0, 1, 100, 4096, 70_000])
        offset = rng.randrange(SIZE - length)
        parts = [rng.randbytes(length // 3), rng.randbytes(length - length // 3)]
        device.write(offset, [memoryview(parts[0]), bytearray(parts[1])])
        model[offset : offset + length] = b"".join(parts)
        if rng.random() < 0.2:
            device.sync()
        offset, length = rng.randrange(SIZE // 2), rng.randrange(SIZE // 2)
        device.advise(offset, length, needed=rng.random() < 0.5)
        assert device.read(offset, length) == model[offset : offset + length]
        buffer = bytearray(length)
        device.read_into(offset, memoryview(buffer))
        assert buffer == model[offset : offset + length]
    assert device.read(0, SIZE) == model


def test_many_buffers_at_once(device):
    parts = [b"%05d" % n for n in range(3000)]
    device.write(7, parts)
    assert device.read(7, 15000) == b"".join(parts)


def test_what_lies_outside_is_refused(device):
    for offset in (SIZE - 1, SIZE, -1):
        with pytest.raises(InvalidArgument):
            device.write(offset, [b"xy"])
    with pytest.raises(InputOutput, match="ends"):
        device.read(SIZE - 1, 2)
    assert device.read(SIZE - 4, 4) == bytes(4)


def test_discarded_space_reads_as_zeros_or_as_before(device):
    device.write(0, [b"x" * 65536])
    device.sync()
    if device.discard(4096, 8192):
        assert device.read(4096, 8192) == bytes(8192)
    assert device.read(0, 4096) + device.read(12288, 4096) == b"x" * 8192


# --- the file ---


def test_writes_of_many_pieces(tmp_path):
    with (tmp_path / "block").open("wb") as stream:
        stream.truncate(8 * SIZE)
    device, rng = FileBlockDevice(tmp_path / "block"), Random(3)
    parts = [rng.randbytes(rng.choice([4096, 70_000, 3 << 20])) for _ in range(5)]
    device.write(4096, parts)
    device.sync()
    whole = b"".join(parts)
    assert device.read(4096, len(whole)) == whole
    device.close()


def test_discarding_gives_space_back_to_the_file_system(tmp_path):
    device = file_device(tmp_path)
    device.write(0, [b"x" * SIZE])
    device.sync()
    before = (tmp_path / "block").stat().st_blocks
    if not device.discard(0, SIZE // 2):
        pytest.skip("the file system of the tests cannot punch holes")
    assert (tmp_path / "block").stat().st_blocks <= before - SIZE // 2 // 512
    assert (tmp_path / "block").stat().st_size == SIZE
    device.close()


def test_what_is_no_device_is_refused(tmp_path):
    with pytest.raises(NotFound, match="block"):
        FileBlockDevice(tmp_path / "block")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(InvalidArgument, match="neither a file nor a block device"):
        FileBlockDevice(fifo)


def test_writing_past_the_cache(tmp_path):
    (tmp_path / "block").write_bytes(bytes(64 << 10))
    device, memory = FileBlockDevice(tmp_path / "block"), memoryview(mmap(-1, 16 << 10))
    if not device.writes_through():
        pytest.skip("the file system has no direct writes")
    assert device.read(0, 4096) == bytes(4096)  # which the kernel keeps, and forgets again
    memory[:] = Random(8).randbytes(len(memory))
    device.write_through(0, memory)
    device.write_through(32 << 10, memory[:8192])
    assert device.read(0, 16 << 10) == memory
    assert device.read(28 << 10, 16 << 10) == bytes(4096) + memory[:8192] + bytes(4096)
    device.write_through(100, memory[1:99])  # no disk takes that: as any other write
    assert device.read(100, 98) == memory[1:99]
    device.close()
    with pytest.raises(CephError, match=r"write .*block"):
        device.write_through(0, memory)


def test_data_and_its_record_in_one_go(tmp_path):
    for name in ("block", "journal"):
        (tmp_path / name).write_bytes(bytes(4 << 20))
    device, journal = FileBlockDevice(tmp_path / "block"), FileBlockDevice(tmp_path / "journal")
    if not device.writes_with(journal):
        pytest.skip("the file system does not flush all files together")
    record = memoryview(mmap(-1, 8192))
    record[:] = Random(9).randbytes(len(record))
    data = Random(10).randbytes(1 << 20)
    device.write_with_record([(4096, data), (2 << 20, b"more")], journal, 4096, record)
    assert device.read(4096, len(data)) == data
    assert device.read(2 << 20, 5) == b"more\0"
    assert journal.read(0, 3 * 4096) == bytes(4096) + record
    device.write_with_record([(0, b"x")], journal, 100, record[1:99])  # no disk takes that
    assert (device.read(0, 2), journal.read(100, 98)) == (b"x\0", record[1:99])
    with pytest.raises(InvalidArgument, match="not within"):
        device.write_with_record([(4 << 20, b"x")], journal, 0, record)
    journal.close()
    for _ in range(2):  # and all that comes after
        with pytest.raises(CephError, match=r"write .*block"):
            device.write_with_record([(0, b"y")], journal, 0, record)
    with pytest.raises(CephError, match=r"write .*block"):
        device.sync()
    device.close()


def test_data_is_not_lost_where_the_disk_refuses_it_together_with_its_record(tmp_path, monkeypatch):
    for name in ("block", "journal"):
        (tmp_path / name).write_bytes(bytes(64 << 10))
    device, journal = FileBlockDevice(tmp_path / "block"), FileBlockDevice(tmp_path / "journal")
    if not device.writes_with(journal):
        pytest.skip("the file system does not flush all files together")

    def refused(*_):
        raise OSError(errno.EINVAL, "refused")

    monkeypatch.setattr("spirula.store.disk.blockfile.write_with_record", refused)
    record = memoryview(mmap(-1, 4096))
    record[:] = Random(11).randbytes(4096)
    device.write_with_record([(4096, b"data")], journal, 0, record)
    assert (device.read(4096, 4), journal.read(0, 4096)) == (b"data", record)
    for each in (device, journal):
        each.close()


def test_files_that_are_not_flushed_together(tmp_path):
    device = file_device(tmp_path)
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:
        (Path(elsewhere) / "journal").write_bytes(bytes(8192))
        journal = FileBlockDevice(Path(elsewhere) / "journal")
        assert not device.writes_with(journal)
        journal.close()
    assert not device.writes_with(MemoryBlockDevice(8192))
    device.close()


def test_read_only(tmp_path):
    file_device(tmp_path).close()
    device = FileBlockDevice(tmp_path / "block", read_only=True)
    assert not device.writes_through()
    assert device.read(0, 4) == bytes(4)
    with pytest.raises(CephError) as caught:
        device.write(0, [b"x"])
    assert caught.value.errno == errno.EBADF
    assert not device.discard(0, SIZE)
    device.close()


def test_a_file_that_became_shorter(tmp_path):
    device = file_device(tmp_path)
    os.truncate(tmp_path / "block", 5000)
    with pytest.raises(InputOutput, match="ends"):
        device.read(4096, 4096)
    with pytest.raises(InputOutput, match="ends"):
        device.read_into(4096, bytearray(4096))
    device.close()


def test_the_kernel_may_write_and_read_less_than_it_is_told(tmp_path, monkeypatch):
    device, data = file_device(tmp_path), Random(2).randbytes(5000)
    pread, preadv, pwrite, pwritev = os.pread, os.preadv, os.pwrite, os.pwritev
    monkeypatch.setattr(os, "pread", lambda fd, n, at: pread(fd, min(n, 700), at))
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: preadv(fd, [views[0][:700]], at))
    monkeypatch.setattr(os, "pwrite", lambda fd, rest, at: pwrite(fd, rest[:700], at))
    monkeypatch.setattr(os, "pwritev", lambda fd, parts, at: pwritev(fd, [parts[0][:300]], at))
    device.write(10, [data[:2000], data[2000:]])
    assert device.read(10, 5000) == data
    buffer = bytearray(5000)
    device.read_into(10, buffer)
    assert buffer == data
    device.close()


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EIO, InputOutput)],
)
def test_errors_of_the_machine(tmp_path, monkeypatch, number, expected):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    device = file_device(tmp_path)
    for name in ("pread", "preadv", "pwritev", "fdatasync"):
        monkeypatch.setattr(os, name, refuse)
    calls = (
        lambda: device.read(0, 1),
        lambda: device.read_into(0, bytearray(1)),
        lambda: device.write(0, [b"x"]),
        device.sync,
    )
    for call in calls:
        with pytest.raises(expected, match=r"block.*: "):
            call()
    monkeypatch.undo()
    assert device.read(0, 1) == b"\0"
    for call in (lambda: device.write(0, [b"x"]), device.sync):  # a failed sync is for good
        with pytest.raises(expected):
            call()
    device.close()


# --- the one that loses power ---


def test_a_crash_leaves_of_each_sector_something_that_was_written():
    device = MemoryBlockDevice(SIZE)
    device.write(0, [b"a" * SECTOR * 300])
    device.sync()
    for letter in b"bc":
        device.write(0, [bytes([letter]) * SECTOR * 200])
    seen = device.after_crash(Random(1)).read(0, SECTOR * 300)
    sectors = [seen[at : at + SECTOR] for at in range(0, len(seen), SECTOR)]
    assert all(set(sector) == {ord("a")} for sector in sectors[200:])
    assert {bytes(sorted(set(sector))) for sector in sectors[:200]} > {b"a", b"b", b"c", b"ac"}
    with pytest.raises(InvariantBroken):
        device.read(0, 1)


def test_without_choices_a_crash_leaves_what_was_synced():
    device = MemoryBlockDevice(SIZE)
    device.write(1000, [b"kept"])
    device.sync()
    device.write(998, [b"overwritten"])
    device.discard(4096, 4096)
    left = device.after_crash()
    assert left.read(996, 12) == b"\0\0\0\0kept\0\0\0\0"
    left.flip(1000, 1)
    assert left.read(1000, 1) == b"i"
    left.fail(InputOutput("gone"))
    for change in (left.sync, lambda: left.write(0, [b"x"])):
        with pytest.raises(InputOutput, match="gone"):
            change()


def test_whether_two_files_are_flushed_together_is_found_out_once(tmp_path, monkeypatch):
    asked, real = [], blockfile._file_system_of
    monkeypatch.setattr(blockfile, "_file_system_of", lambda disk: asked.append(disk) or real(disk))
    for name in ("block", "journal", "other"):
        (tmp_path / name).write_bytes(bytes(8192))
    devices = [FileBlockDevice(tmp_path / name) for name in ("block", "journal", "other")]
    device, *journals = devices
    for journal in journals:
        first = device.writes_with(journal)
        before = len(asked)
        assert device.writes_with(journal) == first
        assert len(asked) == before
    for each in devices:
        each.close()
