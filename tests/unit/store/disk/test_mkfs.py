"""Making and opening stores: the folder's words, its lock, and what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from spirula.errors import Busy, Exists, InputOutput, InvalidArgument, NoSpace, NotFound
from spirula.store.disk import mkfs as making
from spirula.store.disk.engine import Batch
from spirula.store.disk.folder import Folder, write_durably
from spirula.store.disk.freelist import FreeList, last_group
from spirula.store.disk.journaled import settle
from spirula.store.disk.mkfs import mkfs
from spirula.store.disk.opening import open_parts

SIZE = 4 << 20
FSID = UUID("01234567-89ab-cdef-0123-456789abcdef")


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "store")


@pytest.fixture
def made(folder):
    assert mkfs(folder.path, size=SIZE + 100, fsid=FSID) == FSID
    return folder


def commit(parts, count=1):
    """Groups without content, as a store commits them."""
    free = FreeList(parts.engine, parts.label.size)
    for _ in range(count):
        batch = Batch()
        sequence = free.record(batch, [], [])
        parts.engine.write(batch)
        parts.engine.sync()
        parts.mark.write(sequence)
    return free.sequence


# --- words ---


def test_words_are_kept(folder):
    folder.path.mkdir()
    with pytest.raises(NotFound, match="no whoami: make it with mkfs"):
        folder.read_meta("whoami")
    for word in ("3", "", "ceph osd volume v026", "é"):
        folder.write_meta("whoami", word)
        assert Folder(folder.path).read_meta("whoami") == word
    assert [path.name for path in folder.path.iterdir()] == ["whoami"]
    (folder.path / "ceph_fsid").write_text("by hand\n")
    assert folder.read_meta("ceph_fsid") == "by hand"


def test_a_flipped_bit_in_a_word_is_found(folder):
    folder.path.mkdir()
    folder.write_meta("whoami", "12")
    whole = (folder.path / "whoami").read_bytes()
    for bit in range(8 * len(whole)):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        (folder.path / "whoami").write_bytes(broken)
        with pytest.raises(InputOutput, match="damaged"):
            folder.read_meta("whoami")


def test_words_that_are_refused(folder):
    folder.path.mkdir()
    for key in ("block", "db", "lock", "../x", "", ".type.new", "A"):
        with pytest.raises(InvalidArgument, match="cannot be the name"):
            folder.write_meta(key, "x")
    for value in ("two\nlines", "crc32c 1"):
        with pytest.raises(InvalidArgument, match="one line"):
            folder.write_meta("whoami", value)


def test_a_full_disk_leaves_the_old_word(folder, monkeypatch):
    folder.path.mkdir()
    folder.write_meta("whoami", "1")

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(NoSpace, match="whoami"):
        folder.write_meta("whoami", "2")
    assert folder.read_meta("whoami") == "1"
    assert folder.free_bytes() > 0


# --- making ---


def test_a_new_store(made):
    assert made.read_meta("type") == "spirula"
    assert made.read_meta("fsid") == str(FSID)
    assert made.read_meta("mkfs_done") == "yes"
    assert made.block.stat().st_size == SIZE
    assert made.block.stat().st_blocks * 512 < SIZE // 4
    parts = open_parts(made)
    assert parts.label.store == FSID
    assert FreeList(parts.engine, parts.label.size).allocator.free == SIZE - 8192
    parts.close()


def test_a_store_that_is_there_is_left_alone(made):
    parts = open_parts(made)
    assert commit(parts, 3) == 3
    with pytest.raises(Busy):
        mkfs(made.path, size=SIZE)
    parts.close()
    assert mkfs(made.path, size=SIZE) == mkfs(made.path, fsid=FSID) == FSID
    with pytest.raises(Exists, match="fsid 0123"):
        mkfs(made.path, fsid=UUID(int=1))
    parts = open_parts(made)
    assert commit(parts) == 4
    parts.close()


@pytest.mark.parametrize("step", ["_make_block", "_fill", "write_label", "rewrite", "sync_folder"])
def test_what_was_not_done_is_made_anew(folder, monkeypatch, step):
    def crash(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(making, step, crash)
    with pytest.raises(KeyboardInterrupt):
        mkfs(folder.path, size=SIZE)
    with pytest.raises(NotFound, match="mkfs"):
        open_parts(folder)
    monkeypatch.undo()
    mkfs(folder.path, size=SIZE)
    open_parts(folder).close()


def test_other_things_are_not_overwritten(folder, tmp_path):
    folder.path.mkdir()
    (folder.path / "letters").write_text("dear")
    with pytest.raises(Exists, match="not empty"):
        mkfs(folder.path, size=SIZE)
    (folder.path / "type").write_text("bluestore\n")
    with pytest.raises(Exists, match="type bluestore"):
        mkfs(folder.path, size=SIZE)
    assert (folder.path / "letters").read_text() == "dear"
    with pytest.raises(InvalidArgument, match="type bluestore"):
        open_parts(folder)
    with pytest.raises(InvalidArgument, match="too small"):
        mkfs(tmp_path / "small", size=4096)
    with pytest.raises(InvalidArgument, match="no block device"):
        mkfs(tmp_path / "device", device=folder.path / "letters")


def test_a_block_file_with_its_space_taken(folder):
    mkfs(folder.path, size=SIZE, preallocate=True)
    assert folder.block.stat().st_blocks * 512 >= SIZE


# --- opening ---


def test_one_process_at_a_time(made):
    parts = open_parts(made)
    for read_only in (False, True):
        with pytest.raises(Busy, match="in use"):
            open_parts(made, read_only=read_only)
    parts.close()
    readers = [open_parts(made, read_only=True) for _ in range(2)]
    with pytest.raises(Busy, match="in use"):
        open_parts(made)
    for reader in readers:
        reader.close()
    open_parts(made).close()


def test_a_store_that_lost_groups_is_not_opened_and_not_changed(made, tmp_path):
    parts = open_parts(made)
    assert commit(parts, 9) == 9
    settle(parts.engine, idle=True)
    shutil.copytree(made.path, tmp_path / "killed")  # as a process that is killed leaves it
    parts.close()
    made = Folder(tmp_path / "killed")
    name = b"g" + (5).to_bytes(8, "big")
    [log] = [path for path in made.database.glob("*.log") if name in path.read_bytes()]
    for path in (log, made.journal):
        looked = open_parts(made, read_only=True)  # the journal makes good what the log has lost
        assert last_group(looked.engine) == 9
        looked.close()
        whole = bytearray(path.read_bytes())
        at = whole.index(name)
        whole[at] ^= 4
        path.write_bytes(whole)
    before = {path: path.read_bytes() for path in made.path.rglob("*") if path.is_file()}
    for read_only in (False, True):
        with pytest.raises(InputOutput, match=r"ends with group \d, but 9 was committed"):
            open_parts(made, read_only=read_only)
    parts = open_parts(made, read_only=True, damaged=True)
    assert FreeList(parts.engine, parts.label.size).sequence == 4
    parts.close()
    after = {path: path.read_bytes() for path in made.path.rglob("*") if path.is_file()}
    assert after == before
    whole[at] ^= 4
    made.journal.write_bytes(whole)
    parts = open_parts(made)
    assert commit(parts) == 10
    parts.close()


def test_a_block_file_of_another_store(made, tmp_path):
    other = Folder(tmp_path / "other")
    mkfs(other.path, size=SIZE)
    other.block.rename(made.block)
    with pytest.raises(InvalidArgument, match="belongs to the store"):
        open_parts(made)
    made.block.unlink()
    with pytest.raises(NotFound, match="block"):
        open_parts(made)
    with pytest.raises(NotFound, match="no type"):
        open_parts(Folder(Path(tmp_path)))


def test_durable_writes_replace_files_whole(tmp_path):
    path = tmp_path / "file"
    for data in (b"first", b"second one"):
        write_durably(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


# --- raw devices ---


@pytest.fixture
def loop_device(tmp_path):
    """A block device over a file; only root can make one, and not everywhere."""
    backing = tmp_path / "backing"
    with backing.open("wb") as stream:
        stream.truncate(SIZE)
    losetup = shutil.which("losetup")
    if losetup is None or os.geteuid() != 0:
        pytest.skip("loop devices need root and losetup")
    command = [losetup, "--find", "--show", backing]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr}")
    device = Path(made.stdout.strip())
    yield device
    subprocess.run([losetup, "--detach", device], check=True, timeout=20)


def test_a_raw_device(folder, loop_device, tmp_path):
    with loop_device.open("r+b") as stream:
        stream.write(b"somebody's file system")
    with pytest.raises(Exists, match="has something on it"):
        mkfs(folder.path, device=loop_device)
    mkfs(folder.path, device=loop_device, fsid=FSID, force=True)
    assert folder.block.resolve() == loop_device
    parts = open_parts(folder)
    assert parts.label.size == SIZE
    assert commit(parts) == 1
    with pytest.raises(Busy, match="in use"):
        mkfs(tmp_path / "other", device=loop_device, force=True)
    parts.device.write(1 << 20, [b"x" * 65536])
    parts.device.sync()
    parts.device.discard(1 << 20, 65536)
    parts.close()
    parts = open_parts(folder)
    assert commit(parts) == 2
    parts.close()
    # Made into the disk of another store, it is no longer this one's.
    mkfs(tmp_path / "third", device=loop_device, force=True)
    with pytest.raises(InvalidArgument, match="belongs to the store"):
        open_parts(folder)
