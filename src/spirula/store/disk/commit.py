"""Making what was queued durable: groups of entries, one after the other, each with one commit.

A group's data goes to its new space, and its changes to the engine in one batch; when both are
durable, the commit mark moves, and those who wait are called. The log's blocks go to their places
when there is nothing better to do. A thread does all that for a store in use
(`start`); without it `land` carries out one group, for tests and at the end.

The log of a group stays in the engine until its blocks are in their places and the block file is
synced; a crash before that brings them there again. Blocks that are freed in the meantime are kept
back: the log must not overwrite the data of a new owner.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import sleep

from spirula.errors import CephError, InputOutput
from spirula.kernels.crc32c import crc32c
from spirula.store.allocator import Extent
from spirula.store.disk.behind import NewData, SyncBehind
from spirula.store.disk.blockfile import BlockDevice, write_scattered
from spirula.store.disk.engine import Batch, Engine
from spirula.store.disk.freelist import FreeList
from spirula.store.disk.idle import IDLE_S, give_back_memory
from spirula.store.disk.journaled import make_durable, settle
from spirula.store.disk.layout import DATA, decode_log, encode_log, encode_pieces, log_key
from spirula.store.disk.mark import CommitMark
from spirula.store.disk.state import Entry, Options
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.transaction import Buffer

_UNAPPLIED_BYTES = 4 << 20
"""So much of the log waits to be brought to its place while groups follow one another."""
_YIELDS = 40
"""How often in a row a group gives way to those who seem to be about to queue entries for it."""
_GROUP_BYTES = 32 << 20
"""A group takes no more entries when it has this much data: its callbacks should come soon."""


@dataclass(slots=True)
class Landed:
    """What came of a group: durable, or (with an error) not for ever.

    Since the one before, `released` has become free space, and `applied` are blocks of the log that
    have come to their places.
    """

    entries: list[Entry]
    released: list[Extent]
    applied: list[dict[int, bytes]]
    error: CephError | None = None
    discarded: list[Extent] = field(default_factory=list)
    """Free space, too: what was to be discarded."""
    idle: bool = False
    """Nothing has been queued for a while."""


@dataclass(slots=True)
class _Discard:
    """Free space that nobody has, to be discarded and released."""

    extents: list[Extent]


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
        self._queue: SimpleQueue[Entry | _Wait | _Discard | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._error: CephError | None = None
        self._landing: list[Entry] = []
        self._writers = 1
        self._dead = False
        self.groups = 0
        """How many groups have become durable."""
        # The log, by group: the oldest one that the engine still has is `_log[0]`.
        self._log: deque[tuple[int, int, list[int]]] = deque()
        self._log_bytes = 0
        # By block of the disk, the last group in whose log it is.
        self._logged: dict[int, int] = {}
        self._unapplied: dict[int, bytes] = {}
        self._applied = free.sequence
        self._synced = free.sequence
        self._behind = SyncBehind(device)
        # Freed space: what is to be looked at, blocks that a log may overwrite, what is released.
        self._kept_back: list[Extent] = []
        self._freed_logged: set[int] = set()
        self._released: list[Extent] = []
        self._to_report: list[dict[int, bytes]] = []

    # --- who queues ---

    def start(self) -> None:
        """Let a thread of its own land what is queued."""
        self._behind.start()
        self._thread = Thread(target=self._run, name="store-commit", daemon=True)
        self._thread.start()

    def submit(self, entry: Entry) -> None:
        """Queue an entry."""
        self._queue.put(entry)
        if self._dead:
            self._refuse_all()

    def discard(self, extents: list[Extent]) -> None:
        """Queue the discard of free space that the allocator does not have; it is released then."""
        self._queue.put(_Discard(extents))

    def drain(self) -> None:
        """Return when all that was queued has landed, and nothing that it freed is kept back."""
        if self._thread is None:
            while self.land():
                pass
            self._attempt(self._trim)
            self._report()
            return
        wait = _Wait()
        self._queue.put(wait)
        if self._dead:
            self._refuse_all()
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
        self._behind.stop()
        self._attempt(lambda: self._trim(checkpoint=True))
        self._attempt(self._mark.settle)
        self._attempt(self._sync)
        self._report()

    # --- who lands ---

    def land(self, most: int = 1 << 30, *, apply: bool = True) -> bool:
        """Land a group of at most so many entries; False if nothing is queued.

        `apply` brings the log to its place, too.
        """
        entries: list[Entry] = []
        while not self._queue.empty() and len(entries) < most:
            entry = self._queue.get_nowait()
            if isinstance(entry, Entry):
                entries.append(entry)
            elif isinstance(entry, _Discard):
                self._discard(entry.extents)
        if entries:
            self._land(entries)
            if apply:
                self._attempt(lambda: settle(self._engine))
                self._attempt(self._tidy)
                if self._released:
                    self._report()
        return bool(entries)

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            # A bug. Whoever waits is told; what it was is for the thread's own hook to say.
            self._error = InputOutput(f"commits have ended with {type(error).__name__}: {error}")
            self._dead = True
            self._report(self._landing)
            self._refuse_all()
            raise

    def _refuse_all(self) -> None:
        """Nobody lands what is queued any more."""
        while not self._queue.empty():
            try:
                entry = self._queue.get_nowait()
            except Empty:
                return
            if isinstance(entry, Entry):
                self._report([entry])
            elif isinstance(entry, _Wait):
                entry.done.set()

    def _discard(self, extents: list[Extent]) -> None:
        for extent in extents if self._error is None else ():
            self._device.discard(*extent)
        self._on_landed(Landed([], [], [], self._error, discarded=extents))

    def _next(self) -> Entry | _Wait | _Discard | None:
        """What is queued next; memory is given back if that takes long, space if very long."""
        try:
            return self._queue.get(timeout=IDLE_S)
        except Empty:
            self._attempt(lambda: settle(self._engine, idle=True))
            self._attempt(self._mark.settle)
            give_back_memory()
        try:
            return self._queue.get(timeout=self._options.discard_after_s)
        except Empty:
            self._on_landed(Landed([], [], [], self._error, idle=True))
            return self._queue.get()

    def _serve(self) -> None:
        queue = self._queue
        while True:
            entry = self._next()
            if self._options.waits_for_writers and queue.qsize() + 1 < self._writers:
                self._wait_for_writers()
            entries: list[Entry] = []
            size = 0
            while isinstance(entry, Entry):
                entries.append(entry)
                size += entry.size if entry.direct else len(entry.log) * BLOCK_SIZE
                if size > _GROUP_BYTES or queue.empty():
                    break
                entry = queue.get_nowait()
            if entries:
                self._land(entries)
                self._writers = len(entries) + queue.qsize()
            if entry is None:
                return
            if isinstance(entry, _Wait):
                self._attempt(self._trim)
                self._report()
                entry.done.set()
                continue
            if isinstance(entry, _Discard):
                self._discard(entry.extents)
            if queue.empty() or len(self._unapplied) * BLOCK_SIZE > _UNAPPLIED_BYTES:
                # Those who were called back are waking up: what needs Python's lock goes first.
                self._attempt(lambda: settle(self._engine))
                self._attempt(self._tidy)
                if self._released:
                    self._report()

    def _wait_for_writers(self) -> None:
        """Let those who were just called back queue what comes next.

        A commit costs about the same for one entry as for all that are on their way, and this
        thread may have got Python's lock in the middle of their work.
        """
        seen = 0
        for _ in range(_YIELDS):
            sleep(0)
            queued = self._queue.qsize()
            if queued == seen or queued + 1 >= self._writers:
                return
            seen = queued

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do something unless all has failed already; if it fails, all has."""
        if self._error is None:
            try:
                action()
            except CephError as error:
                self._error = error
            except OSError as error:
                self._error = CephError.from_errno(error.errno or InputOutput.code, str(error))

    def _land(self, entries: list[Entry]) -> None:
        self._landing = entries
        self._attempt(lambda: self._commit(entries))
        self._landing = []
        self._report(entries)

    def _report(self, entries: list[Entry] | None = None) -> None:
        """Say what has happened since the last report."""
        if entries or self._released or self._to_report:
            landed = Landed(entries or [], self._released, self._to_report, self._error)
            self._released, self._to_report = [], []
            self._on_landed(landed)

    def _commit(self, entries: list[Entry]) -> None:
        batch, log = Batch(), dict[int, bytes]()
        direct: list[tuple[int, list[Buffer]]] = []
        sums: dict[int, array[int]] = {}
        taken: list[Extent] = []
        given: list[Extent] = []
        unneeded: list[tuple[int, list[Buffer]]] = []
        change, note = batch.changes.update, log.update
        for entry in entries:
            if entry.batch.ranges:
                batch.merge(entry.batch)
            else:
                change(entry.batch.changes)
            note(entry.log)
            if entry.allocated:
                _append(taken, entry.allocated)
            if entry.direct:
                direct += entry.direct
                sums.update(entry.sums)
            if entry.freed:
                given += entry.freed
            if entry.unneeded:
                unneeded += entry.unneeded
        data = None
        if direct:
            data = NewData(self._device, self._behind, direct)
            batch.put(DATA, encode_pieces(_summed(sums, log, given)))
        trimmed = self._trimmed_behind()
        if trimmed:
            batch.delete_range(log_key(self._log[0][0]), log_key(trimmed + 1))
        if log:
            sequence, record = self._free.sequence + 1, encode_log(log)
            batch.put(log_key(sequence), record)
            self._log.append((sequence, len(record), list(log)))
            self._log_bytes += len(record)
            self._logged.update(dict.fromkeys(log, sequence))
        self._make_durable(batch, taken, given, data=data)
        for offset, parts in unneeded:
            length = sum([len(part) for part in parts])
            self._device.advise(offset, length, needed=False)
        self._unapplied.update(log)
        self._kept_back += given
        if trimmed:
            self._forget_log(trimmed)

    def _make_durable(
        self,
        batch: Batch,
        taken: list[Extent],
        given: list[Extent],
        *,
        checkpoint: bool = False,
        data: NewData | None = None,
    ) -> None:
        """Make a group durable, with its data, if it has some."""
        sequence = self._free.record(batch, taken, given, checkpoint=checkpoint)
        if data is None:
            self._engine.write(batch)
            self._engine.sync()
        else:
            make_durable(self._engine, batch, data)
            self._synced = max(self._synced, self._applied)
        self._mark.write(sequence)
        self.groups += 1

    def _sync(self) -> None:
        self._behind.sync()
        self._synced = self._applied

    # --- the log, and space ---

    def _tidy(self) -> None:
        """Bring the log to its place, and give back what was freed."""
        blocks = self._unapplied
        if blocks:
            pieces = [(block * BLOCK_SIZE, blocks[block]) for block in sorted(blocks)]
            write_scattered(self._device, pieces)
            self._to_report.append(blocks)
            self._unapplied = {}
        self._applied = self._free.sequence
        if self._kept_back:
            kept_back, self._kept_back = self._kept_back, []
            self._released += self._not_logged(kept_back)

    def _trimmed_behind(self) -> int:
        """Up to which group the log can go with the next batch, as a rule without waiting.

        When it has half of its bytes, a sync is asked for; when that is done, this half goes.
        """
        if not self._log or self._log_bytes < self._options.log_bytes // 2:
            return 0
        self._synced = max(self._synced, self._behind.synced)
        if self._log[len(self._log) // 2][0] <= self._synced:
            return self._synced
        if self._log_bytes >= self._options.log_bytes:
            return self._trimmed()
        self._tidy()
        self._behind.ask(self._applied)
        return 0

    def _trimmed(self) -> int:
        """Up to which group the log can go with the next batch; 0 if there is none."""
        if not self._log:
            return 0
        if self._synced < self._log[-1][0]:
            self._tidy()
            self._sync()
        return self._synced

    def _trim(self, *, checkpoint: bool = False) -> None:
        """Land an empty group after which there is no log, and nothing is kept back."""
        batch = Batch()
        trimmed = self._trimmed()
        if trimmed:
            batch.delete_range(log_key(self._log[0][0]), log_key(trimmed + 1))
        if trimmed or checkpoint:
            self._make_durable(batch, [], [], checkpoint=checkpoint)
            self._forget_log(trimmed)
        self._tidy()

    def _forget_log(self, trimmed: int) -> None:
        """The engine has no log of these groups any more."""
        log, logged, freed = self._log, self._logged, self._freed_logged
        while log and log[0][0] <= trimmed:
            sequence, size, blocks = log.popleft()
            self._log_bytes -= size
            for block in blocks:
                if logged.get(block) == sequence:
                    del logged[block]
                    if block in freed:
                        freed.remove(block)
                        self._kept_back.append((block * BLOCK_SIZE, BLOCK_SIZE))

    def _not_logged(self, extents: list[Extent]) -> list[Extent]:
        """Of freed space what no log would overwrite; the rest waits for its log to go."""
        logged = self._logged
        if not logged:
            return extents
        free: list[Extent] = []
        for offset, length in extents:
            at = first = offset // BLOCK_SIZE
            stop = first + length // BLOCK_SIZE
            for block in range(first, stop):
                if block in logged:
                    if block > at:
                        free.append((at * BLOCK_SIZE, (block - at) * BLOCK_SIZE))
                    self._freed_logged.add(block)
                    at = block + 1
            if stop > at:
                free.append((at * BLOCK_SIZE, (stop - at) * BLOCK_SIZE))
        return free


def _append(extents: list[Extent], more: list[Extent]) -> None:
    """Put extents behind others; the first joins the last of those if it is behind it."""
    if extents:
        first, length = more[0]
        start, before = extents[-1]
        if start + before == first:
            extents[-1] = start, before + length
            more = more[1:]
    extents += more


def _summed(
    sums: dict[int, array[int]], log: Iterable[int], given: list[Extent]
) -> Iterator[tuple[int, int, int]]:
    """New data of a group as `encode_pieces` takes it, without what may soon be something else.

    That are blocks which the group has in its log, too, or gives back. `sums`: of each block of
    the extents that begin at these offsets.
    """
    changing = sorted([*given, *((block * BLOCK_SIZE, BLOCK_SIZE) for block in log)])
    first = 0
    for offset in sorted(sums):
        found = sums[offset]
        at, end = offset, offset + len(found) * BLOCK_SIZE
        while first < len(changing) and sum(changing[first]) <= offset:
            first += 1
        for start, length in chain(islice(changing, first, None), [(end, 0)]):
            stop = min(start, end)
            if stop > at:
                some = found[(at - offset) // BLOCK_SIZE : (stop - offset) // BLOCK_SIZE]
                yield at, stop - at, crc32c(0xFFFFFFFF, some)
            at = max(at, start + length)
            if at >= end:
                break


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
