"""Making what was queued durable: groups of entries, one after the other, each with one commit.

A group's data goes to its new space and is synced; then its changes go to the engine in one batch
and are synced; then the commit mark moves, and the log's blocks go to their places. A thread does
that for a store in use (`start`); without it `land` carries out one group, for tests and at the
end. What landed goes back through a queue, with one call for each group.

The log of a group stays in the engine until a later sync of the block file; a crash before it
brings the blocks to their places again. Blocks that are freed in the meantime are kept back: the
log must not overwrite the data of a new owner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event, Thread

from spirula.errors import CephError, InputOutput
from spirula.store.allocator import Extent
from spirula.store.disk.blockfile import BlockDevice
from spirula.store.disk.engine import Batch, Engine
from spirula.store.disk.freelist import FreeList
from spirula.store.disk.layout import decode_log, encode_log, log_key
from spirula.store.disk.mark import CommitMark
from spirula.store.disk.state import Entry, Options
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.transaction import Buffer

_GROUP_BYTES = 32 << 20
"""A group takes no more entries when it has this much data: its callbacks should come soon."""


@dataclass(slots=True)
class Landed:
    """What came of a group: durable, or (with an error) not for ever. `released`: free space."""

    entries: list[Entry]
    released: list[Extent]
    error: CephError | None = None


@dataclass(slots=True)
class _Wait:
    """Somebody waits for all that was queued before, and for all that it freed."""

    done: Event = field(default_factory=Event)


class Commits:
    """The commits of one mounted store. `on_landed` is called by whoever lands a group."""

    def __init__(
        self,
        engine: Engine,
        device: BlockDevice,
        free: FreeList,
        mark: CommitMark,
        options: Options,
        on_landed: Callable[[Landed], None],
    ) -> None:
        self._engine = engine
        self._device = device
        self._free = free
        self._mark = mark
        self._options = options
        self._on_landed = on_landed
        self._queue: SimpleQueue[Entry | _Wait | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._error: CephError | None = None
        self.groups = 0
        """How many groups have become durable."""
        # The log, by group: the oldest one that the engine still has is `_log[0]`.
        self._log: deque[tuple[int, int, list[int]]] = deque()
        self._log_bytes = 0
        self._logged: dict[int, int] = {}
        self._kept_back: list[Extent] = []
        self._applied = free.sequence
        self._synced = free.sequence

    # --- who queues ---

    def start(self) -> None:
        """Let a thread of its own land what is queued."""
        self._thread = Thread(target=self._run, name="store-commit", daemon=True)
        self._thread.start()

    def submit(self, entry: Entry) -> None:
        """Queue an entry."""
        self._queue.put(entry)

    def drain(self) -> None:
        """Return when all that was queued has landed, and nothing that it freed is kept back."""
        if self._thread is None:
            while self.land():
                pass
            self._trim_all()
            return
        wait = _Wait()
        self._queue.put(wait)
        wait.done.wait()

    def stop(self) -> None:
        """Land all that is queued, bring all in its place, and end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        else:
            while self.land():
                pass
        self._finish()

    # --- who lands ---

    def land(self, most: int = 1 << 30) -> bool:
        """Land a group of at most so many entries; False if nothing is queued."""
        entries: list[Entry] = []
        while not self._queue.empty() and len(entries) < most:
            entry = self._queue.get_nowait()
            if isinstance(entry, Entry):
                entries.append(entry)
        if entries:
            self._land(entries)
        return bool(entries)

    def _run(self) -> None:
        queue = self._queue
        while True:
            entry = queue.get()
            entries: list[Entry] = []
            size = 0
            while isinstance(entry, Entry):
                entries.append(entry)
                size += entry.size
                if size > _GROUP_BYTES or queue.empty():
                    entry = None
                    break
                entry = queue.get_nowait()
            else:
                if entries:
                    self._land(entries)
                if entry is None:
                    return
                self._trim_all()
                entry.done.set()
                continue
            self._land(entries)

    def _land(self, entries: list[Entry]) -> None:
        released: list[Extent] = []
        if self._error is None:
            try:
                released = self._commit(entries)
            except CephError as error:
                self._error = error
            except OSError as error:
                self._error = CephError.from_errno(error.errno or InputOutput.code, str(error))
        self._on_landed(Landed(entries, released if self._error is None else [], self._error))

    def _commit(self, entries: list[Entry]) -> list[Extent]:
        batch, log = Batch(), dict[int, bytes]()
        direct: list[tuple[int, list[Buffer]]] = []
        taken: list[Extent] = []
        given: list[Extent] = []
        for entry in entries:
            batch.merge(entry.batch)
            direct += entry.direct
            log.update(entry.log)
            taken += entry.allocated
            given += entry.freed
        if direct:
            self._write(direct)
        trimmed = self._trimmed(synced=bool(direct), at_least=self._options.log_bytes)
        if trimmed:
            batch.delete_range(log_key(self._log[0][0]), log_key(trimmed + 1))
        sequence = self._free.sequence + 1
        if log:
            record = encode_log(log)
            batch.put(log_key(sequence), record)
            self._log.append((sequence, len(record), list(log)))
            self._log_bytes += len(record)
        self._free.record(batch, taken, given)
        self._engine.write(batch)
        self._engine.sync()
        self._mark.write(sequence)
        self.groups += 1
        released = self._forget_log(trimmed) if trimmed else []
        if log:
            self._logged.update(dict.fromkeys(log, sequence))
            blocks = sorted(log)
            self._write([(block * BLOCK_SIZE, [log[block]]) for block in blocks], sync=False)
        self._applied = sequence
        released += self._not_logged(given)
        self._discard(released)
        return released

    def _write(self, pieces: list[tuple[int, list[Buffer]]], *, sync: bool = True) -> None:
        """Write pieces to the disk, in one go what is one behind the other."""
        start, buffers, end = pieces[0][0], list[Buffer](), pieces[0][0]
        for offset, parts in pieces:
            if offset != end:
                self._device.write(start, buffers)
                start, buffers = offset, []
            buffers += parts
            end = offset + sum([len(part) for part in parts])
        self._device.write(start, buffers)
        if sync:
            self._device.sync()

    # --- the log ---

    def _trimmed(self, *, synced: bool, at_least: int) -> int:
        """Up to which group the log can go with the next batch; 0 if none is to go yet.

        All that was applied is durable if the block file was just `synced`.
        """
        if synced:
            self._synced = self._applied
        if self._log_bytes < at_least or not self._log:
            return 0
        if self._synced < self._log[-1][0]:
            self._device.sync()
            self._synced = self._applied
        return self._synced

    def _forget_log(self, trimmed: int) -> list[Extent]:
        """The engine has no log of these groups any more; what can be released for that."""
        log, logged = self._log, self._logged
        while log and log[0][0] <= trimmed:
            sequence, size, blocks = log.popleft()
            self._log_bytes -= size
            for block in blocks:
                if logged.get(block) == sequence:
                    del logged[block]
        kept_back, self._kept_back = self._kept_back, []
        return self._not_logged(kept_back)

    def _not_logged(self, extents: list[Extent]) -> list[Extent]:
        """Of freed space what no log would overwrite; the rest is kept back."""
        logged = self._logged
        if not logged:
            return list(extents)
        free: list[Extent] = []
        for offset, length in extents:
            first = offset // BLOCK_SIZE
            at = first
            stop = first + length // BLOCK_SIZE
            for block in range(first, stop):
                if block in logged:
                    if block > at:
                        free.append((at * BLOCK_SIZE, (block - at) * BLOCK_SIZE))
                    self._kept_back.append((block * BLOCK_SIZE, BLOCK_SIZE))
                    at = block + 1
            if stop > at:
                free.append((at * BLOCK_SIZE, (stop - at) * BLOCK_SIZE))
        return free

    def _discard(self, extents: list[Extent]) -> None:
        for offset, length in extents:
            if length >= self._options.discard_from:
                self._device.discard(offset, length)

    def _trim_all(self) -> None:
        """Land an empty group that trims the log."""
        if self._error is not None or not self._log:
            return
        try:
            released = self._trim()
        except CephError as error:
            self._error = error
            return
        if released:
            self._on_landed(Landed([], released))

    def _trim(self, *, checkpoint: bool = False) -> list[Extent]:
        batch = Batch()
        trimmed = self._trimmed(synced=False, at_least=0)
        if trimmed:
            batch.delete_range(log_key(self._log[0][0]), log_key(trimmed + 1))
        sequence = self._free.record(batch, [], [], checkpoint=checkpoint)
        self._engine.write(batch)
        self._engine.sync()
        self._mark.write(sequence)
        self._applied = sequence
        released = self._forget_log(trimmed)
        self._discard(released)
        return released

    def _finish(self) -> None:
        """Leave a store that the next mount has no work with."""
        if self._error is not None:
            return
        try:
            self._trim(checkpoint=True)
            self._device.sync()
        except CephError as error:
            self._error = error


def replay(engine: Engine, device: BlockDevice, free: FreeList, mark: CommitMark) -> int:
    """At mount: bring what is logged to its place, and empty the log; how many blocks."""
    count, last = 0, None
    for key, value in engine.iterate(log_key(0), log_key((1 << 64) - 1)):
        for block, data in decode_log(value):
            device.write(block * BLOCK_SIZE, [data])
            count += 1
        last = key
    if last is not None:
        device.sync()
        batch = Batch()
        batch.delete_range(log_key(0), last + b"\0")
        sequence = free.record(batch, [], [])
        engine.write(batch)
        engine.sync()
        mark.write(sequence)
    return count
