"""Opening what a store on disk consists of, and finding out whether it is whole.

The engine is first looked at without changing it: were its log damaged, then opening it would cut
the log there for good. Used by the store at mount, and by its tools.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import UUID

from spirula.errors import CephError, InputOutput, InvalidArgument
from spirula.store.disk.blockfile import BlockDevice, FileBlockDevice
from spirula.store.disk.engine import Engine
from spirula.store.disk.folder import Folder
from spirula.store.disk.freelist import last_group, last_group_of
from spirula.store.disk.journal import Journal, journal_size
from spirula.store.disk.journaled import IsWhole, JournaledEngine, batches, data_is_there
from spirula.store.disk.mark import (
    CommitMark,
    Label,
    check_recovered,
    open_mark_file,
    read_label,
)
from spirula.store.disk.mkfs import TYPE
from spirula.store.disk.overlaid import OverlaidEngine
from spirula.store.disk.rocks import DEFAULT_MEMORY, RocksEngine


@dataclass(slots=True)
class Parts:
    """An opened store: nothing of it is open twice, and `close` lets go of all of it."""

    folder: Folder
    label: Label
    device: BlockDevice
    engine: Engine
    mark: CommitMark
    _resources: ExitStack

    def close(self) -> None:
        """Let go of the engine, the block file and the lock."""
        self._resources.close()


def open_parts(
    folder: Folder,
    *,
    memory: int = DEFAULT_MEMORY,
    read_only: bool = False,
    damaged: bool = False,
    wrap_device: Callable[[BlockDevice], BlockDevice] = lambda device: device,
    wrap_journal: Callable[[BlockDevice], BlockDevice] = lambda device: device,
) -> Parts:
    """Open a store that mkfs has made.

    `memory`: bytes for the engine. `damaged`: do not refuse a store that has lost groups; such a
    one can be opened only for reading. `wrap_device` and `wrap_journal` put layers around the block
    file and the journal, for tests.
    Raises NotFound if there is no store, Busy if it is in use, InvalidArgument if it is another's,
    InputOutput if it is damaged.
    """
    with ExitStack() as resources:
        _check_words(folder)
        lock = folder.lock(shared=read_only)
        resources.callback(lock.release)
        device = wrap_device(FileBlockDevice(folder.block, read_only=read_only))
        resources.callback(device.close)
        label = read_label(device)
        fsid = folder.read_meta("fsid")
        if fsid != str(label.store):
            raise InvalidArgument(
                f"{folder.block} belongs to the store {label.store}, and {folder.path} to {fsid}"
            )
        file = open_mark_file(folder.mark, device, label.store, read_only=read_only)
        if file is not None:
            resources.callback(file.close)
        mark = CommitMark(device, label.store, file)
        journal = _open_journal(folder, label, resources, wrap_journal, read_only=read_only)
        below = RocksEngine(folder.database, memory=memory, read_only=True)
        engine: Engine = below
        try:
            is_whole = data_is_there(device, 0 if read_only and damaged else mark.read())
            if not (read_only and damaged):
                check_recovered(_last_group(below, journal, is_whole), mark.read())
        except BaseException:
            below.close()
            raise
        if read_only:
            engine = _looked_at(below, journal, is_whole, damaged=damaged)
        else:
            below.close()
            engine = JournaledEngine(RocksEngine(folder.database, memory=memory), journal, is_whole)
        resources.callback(engine.close)
        return Parts(folder, label, device, engine, mark, resources.pop_all())


def _open_journal(
    folder: Folder,
    label: Label,
    resources: ExitStack,
    wrap: Callable[[BlockDevice], BlockDevice],
    *,
    read_only: bool,
) -> Journal:
    wanted = journal_size(label.size)
    device = wrap(FileBlockDevice(folder.journal, read_only=read_only, at_once=wanted))
    resources.callback(device.close)
    if device.size != wanted:
        raise InputOutput(f"{folder.journal} has {device.size} bytes, and was made with {wanted}")
    return Journal(device, label.store)


def _last_group(engine: Engine, journal: Journal, is_whole: IsWhole) -> int:
    """The number of the last group that the engine has, or gets from the journal."""
    brought = [last_group_of(batch) for batch in batches(engine, journal, is_whole)]
    return max(last_group(engine), *brought, 0)


def _looked_at(engine: Engine, journal: Journal, is_whole: IsWhole, *, damaged: bool) -> Engine:
    """An engine that is open for reading, with what the journal has for it."""
    over = OverlaidEngine(engine)
    try:
        for batch in batches(engine, journal, is_whole):
            over.write(batch)
    except InputOutput:
        if not damaged:
            engine.close()
            raise
    return over


def _check_words(folder: Folder) -> None:
    kind = folder.read_meta("type")
    if kind != TYPE:
        raise InvalidArgument(f"{folder.path} has a store of type {kind}, not of {TYPE}")
    if folder.read_meta("mkfs_done") != "yes":
        raise InvalidArgument(f"the store in {folder.path} is not done: run mkfs again")
    try:
        UUID(folder.read_meta("fsid"))
    except CephError:
        raise
    except ValueError as error:
        raise InputOutput(f"{folder.path / 'fsid'} is no UUID") from error
