"""Power cuts for a real store: what its process wrote and had not synced when it was killed.

`WatchedMedium` notes beside the store what was in each piece of the block file and of the journal
that is written until it is synced, and what was in the engine's logs at each sync. `cut_power`
makes of it, once the process is gone, what a disk may have had: each sector old, new or torn. The
engine's tables and manifest it leaves alone: those RocksDB syncs before it goes on.
"""

from __future__ import annotations

import os
import shutil
import struct

from spirula.store.disk.medium import FolderMedium

SECTOR, PAGE = 512, 4096
PIECE = struct.Struct("<QI")


class WatchedMedium(FolderMedium):
    """A folder, and notes in another one."""

    def __init__(self, path, notes):
        super().__init__(
            path,
            wrap_device=lambda device: WatchedDevice(device, notes / "block"),
            wrap_journal=lambda device: WatchedDevice(device, notes / "journal"),
        )
        self.path, self.notes = path, notes

    def open(self, memory, *, read_only=False):
        self.notes.mkdir(exist_ok=True)
        opened = super().open(memory, read_only=read_only)
        # What it got from the journal it has synced by now, and nothing was written since.
        note_logs(self.path, self.notes)
        below = opened.engine._engine
        opened.engine._engine = WatchedEngine(below, self.path, self.notes)
        return opened


class WatchedDevice:
    """Notes what was there before, until the next sync."""

    def __init__(self, inner, notes):
        self._inner = inner
        self._journal = os.open(notes, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def _note(self, offset, length):
        start, end = offset // SECTOR * SECTOR, -(-(offset + length) // SECTOR) * SECTOR
        before = self._inner.read(start, end - start)
        os.write(self._journal, PIECE.pack(start, len(before)) + before)

    def write(self, offset, buffers):
        self._note(offset, sum(map(len, buffers)))
        self._inner.write(offset, buffers)

    def discard(self, offset, length):
        self._note(offset, length)
        return self._inner.discard(offset, length)

    def sync(self):
        self._inner.sync()
        os.ftruncate(self._journal, 0)


class WatchedEngine:
    """Notes what is in the logs, after each sync."""

    def __init__(self, inner, path, notes):
        self._inner, self._path, self._notes = inner, path, notes

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def sync(self):
        self._inner.sync()
        note_logs(self._path, self._notes)


def note_logs(path, notes):
    """Note what is in the logs, all or none."""
    new, old = notes / "logs.new", notes / "logs"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for log in (path / "db").glob("*.log"):
        try:
            (new / log.name).write_bytes(log.read_bytes())
        except FileNotFoundError:
            continue  # it went as we looked: nothing of it is needed
    gone = notes / "logs.old"
    shutil.rmtree(gone, ignore_errors=True)
    # Between the two there are no notes of this sync, nor of the one before: see `noted_logs`.
    if old.exists():
        old.rename(gone)
    new.rename(old)


def noted_logs(notes):
    """What the logs had at the last sync that was noted."""
    for name in ("logs", "logs.old"):
        if (notes / name).exists():
            return {log.name: log.read_bytes() for log in (notes / name).iterdir()}
    return {}


def cut_power(path, notes, rng):
    """Let some of what was not synced be lost; can be killed, and is then done again."""
    if not notes.exists():
        return
    for name in ("block", "journal"):
        if (notes / name).exists():
            cut_block(path / name, notes / name, rng)
    before = noted_logs(notes)
    for log in (path / "db").glob("*.log"):
        now = log.read_bytes()
        was = before.get(log.name, b"")
        left = log.with_name("left")
        left.write_bytes(b"".join(left_of(rng, was, now)))
        left.rename(log)
    note_logs(path, notes)
    for name in ("block", "journal"):
        if (notes / name).exists():
            os.truncate(notes / name, 0)


def cut_block(block, journal, rng):
    """Let sectors of the block file be what they were, or are, or both in part."""
    noted, at, versions = journal.read_bytes(), 0, {}
    while at + PIECE.size <= len(noted):
        offset, length = PIECE.unpack_from(noted, at)
        at += PIECE.size
        for start in range(0, length, SECTOR):
            sector = noted[at + start : at + start + SECTOR]
            if len(sector) == SECTOR:  # the note may be cut short: it was not written then
                versions.setdefault(offset + start, []).append(sector)
        at += length
    with block.open("r+b") as stream:
        for offset, contents in versions.items():
            stream.seek(offset)
            contents.append(stream.read(SECTOR))
            chosen = rng.choice(contents)
            if rng.random() < 0.1:
                cut = rng.randrange(SECTOR)
                chosen = chosen[:cut] + rng.choice(contents)[cut:]
            stream.seek(offset)
            stream.write(chosen)


def left_of(rng, was, now):
    """The pages of a log that had some content when it was synced, and has another now."""
    for at in range(0, len(now), PAGE):
        new = now[at : at + PAGE]
        old = was[at : at + PAGE].ljust(len(new), b"\0")
        if new == old:
            yield new
            continue
        # What was synced stays: a page differs from some byte on, where the log goes on.
        same = next(n for n, (x, y) in enumerate(zip(old, new, strict=True)) if x != y)
        cut = rng.choice([same, len(new), rng.randrange(same, len(new) + 1)])
        yield new[:cut] + old[cut:]
