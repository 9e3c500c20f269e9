"""Making a new object store on disk: its folder, block file, label, engine, and first free space.

The last thing written is the word `mkfs_done`: what a crash left before it is made anew by the next
call, what is done is left alone. Called by the store tool and by whoever sets up an OSD.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from uuid import UUID, uuid4

from spirula.errors import Exists, InvalidArgument, NotFound
from spirula.store.disk.blockfile import FileBlockDevice, machine_error
from spirula.store.disk.engine import Batch
from spirula.store.disk.folder import DATABASE, LOCK, Folder, sync_folder
from spirula.store.disk.freelist import rewrite
from spirula.store.disk.journal import journal_size
from spirula.store.disk.layout import FIRST_BLOCK
from spirula.store.disk.mark import Label, write_label
from spirula.store.disk.rocks import RocksEngine
from spirula.store.objectstore import BLOCK_SIZE

TYPE = "spirula"
"""The store's word `type`."""
DEFAULT_SIZE = 100 << 30
"""Bytes of a block file unless told (upstream bluestore_block_size); it takes what is written."""
SMALLEST_SIZE = 1 << 20
_PIECE = 1 << 20


def mkfs(
    path: Path,
    *,
    size: int = DEFAULT_SIZE,
    device: Path | None = None,
    fsid: UUID | None = None,
    preallocate: bool = False,
    force: bool = False,
) -> UUID:
    """Make a store in the folder `path`, which is made if need be; the store's fsid.

    `size`: bytes of the block file, not used with `device`, a block device to take instead.
    `preallocate` takes the block file's space at once. A store that is there already is left as it
    is. Raises Exists if something else is there (`force`: on the device, it does not matter) or
    the store has another fsid, InvalidArgument for a device that is none or a size too small, Busy
    if it is in use, NoSpace.
    """
    folder = Folder(path)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise machine_error(error, f"make {path}") from error
    lock = folder.lock()
    try:
        found = _done(folder)
        if found is not None:
            if fsid not in {None, found}:
                raise Exists(f"{path} has a store of fsid {found} already")
            return found
        _clear(folder)
        made = fsid or uuid4()
        folder.write_meta("type", TYPE)
        _make_block(folder, size, device, preallocate=preallocate)
        _fill(folder, made, check=device is not None and not force)
        folder.write_meta("fsid", str(made))
        folder.write_meta("kv_backend", "rocksdb")
        folder.write_meta("mkfs_done", "yes")
        return made
    finally:
        lock.release()


def _done(folder: Folder) -> UUID | None:
    """The fsid of the store that is there, None if it is not done."""
    try:
        kind = folder.read_meta("type")
    except NotFound:
        return None
    if kind != TYPE:
        raise Exists(f"{folder.path} has a store of type {kind}: choose another folder")
    try:
        folder.read_meta("mkfs_done")
    except NotFound:
        return None
    return UUID(folder.read_meta("fsid"))


def _clear(folder: Folder) -> None:
    """Remove what an earlier call left that did not come to its end."""
    # An OSD's key is there before its store.
    names = {entry.name for entry in folder.path.iterdir()} - {LOCK, ".type.new", "keyring"}
    if names and not (folder.path / "type").exists():
        raise Exists(f"{folder.path} is not empty ({min(names)}): choose another folder")
    try:
        if DATABASE in names:
            shutil.rmtree(folder.database)
        folder.block.unlink(missing_ok=True)
        folder.journal.unlink(missing_ok=True)
        folder.mark.unlink(missing_ok=True)
    except OSError as error:
        raise machine_error(error, f"clear {folder.path}") from error


def _make_block(folder: Folder, size: int, device: Path | None, *, preallocate: bool) -> None:
    try:
        if device is not None:
            if not stat.S_ISBLK(device.stat().st_mode):
                raise InvalidArgument(f"{device} is no block device: leave it out to make a file")
            folder.block.symlink_to(device.resolve())
            return
        if size < SMALLEST_SIZE:
            raise InvalidArgument(f"a store of {size} bytes is too small: {SMALLEST_SIZE} at least")
        with folder.block.open("xb") as stream:
            stream.truncate(size - size % BLOCK_SIZE)
            if preallocate:
                os.posix_fallocate(stream.fileno(), 0, size - size % BLOCK_SIZE)
    except OSError as error:
        raise machine_error(error, f"make {folder.block}") from error


def _fill(folder: Folder, fsid: UUID, *, check: bool) -> None:
    """Write the label, and the engine's first records."""
    block = FileBlockDevice(folder.block)
    try:
        head = block.read(0, FIRST_BLOCK * BLOCK_SIZE)
        if check and head.strip(b"\0"):
            raise Exists(f"{folder.block.resolve()} has something on it: clear it, or force this")
        size = block.size - block.size % BLOCK_SIZE
        write_label(block, Label(fsid, size))
        block.sync()
    finally:
        block.close()
    _make_journal(folder, journal_size(size))
    engine = RocksEngine(folder.database, create=True)
    try:
        batch, first = Batch(), FIRST_BLOCK * BLOCK_SIZE
        rewrite(batch, size, [(first, size - first)])
        engine.write(batch)
        engine.sync()
        engine.flush()
    finally:
        engine.close()
    sync_folder(folder.path)


def _make_journal(folder: Folder, size: int) -> None:
    """Zeros that are on the disk: a sync of what is written over them needs no journal below."""
    try:
        with folder.journal.open("xb") as stream:
            for _ in range(0, size, _PIECE):
                stream.write(bytes(_PIECE))
            stream.truncate(size)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise machine_error(error, f"make {folder.journal}") from error
