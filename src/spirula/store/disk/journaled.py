"""An engine whose batches become durable in a journal: one write and one sync for each group.

The engine below gets some batches together later (`settle`), without a sync; what a crash takes
from it the journal brings back. The log of `commit` (blocks of data that are not in their places
yet) does not go to the engine at all, unless it is still needed when its part of the journal is.
`opening` makes one over RocksDB.

Two numbers in the engine say from which record on the journal is needed (`JOURNAL`: all before is
in the engine for good), and up to which the engine has it (`JOURNALED`). Carrying out again what
the engine has already changes nothing in the end, as all that comes after is carried out again.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from threading import Lock

from spirula.errors import CephError, InvariantBroken
from spirula.kernels.blocks import sum_blocks
from spirula.kernels.crc32c import crc32c
from spirula.store.disk.behind import NewData
from spirula.store.disk.blockfile import BlockDevice
from spirula.store.disk.engine import Batch, Engine
from spirula.store.disk.freelist import last_group_of
from spirula.store.disk.journal import SEGMENTS, Journal, Place
from spirula.store.disk.layout import (
    DATA,
    JOURNAL,
    JOURNALED,
    LOG,
    damaged,
    decode_number,
    decode_pieces,
    encode_number,
)
from spirula.store.objectstore import BLOCK_SIZE

_LOG_KIND = LOG[0]
_SEED = 0xFFFFFFFF

_SETTLED_KEYS = 512
_SETTLED_BYTES = 1 << 20
"""The engine below gets what has become durable when it is so much: a call costs as much as some
keys, and what is written again and again (the space of pools, the info of PGs, where the data of a
busy part of an object is) goes there once. More would keep readers waiting: 512 keys take 1 ms.
"""
_UNSETTLED_BYTES = 4 << 20
"""So much is in memory at most, whoever waits."""


IsWhole = Callable[[Batch], bool]
"""Whether all is there that the last batch of a journal names."""


def data_is_there(device: BlockDevice, marked: int) -> IsWhole:
    """Tells whether the data of a group is on the disk: it is synced beside the journal.

    Nothing is checked of a group that was acknowledged (up to `marked`): it was on the disk.
    """

    def is_whole(batch: Batch) -> bool:
        value = batch.changes.get(DATA)
        if value is None or last_group_of(batch) <= marked:
            return True
        for offset, length, crc in decode_pieces(value):
            sums = array("I", bytes(length // BLOCK_SIZE * 4))
            sum_blocks(device.read(offset, length), BLOCK_SIZE, sums)
            if crc32c(_SEED, sums) != crc:
                return False
        return True

    return is_whole


def needed(engine: Engine, journal: Journal, is_whole: IsWhole) -> tuple[list[Place], int]:
    """Records that the engine may lack, oldest first, and the number of the next new one.

    The last one is left out if its data is not there: nobody was told that it is durable.
    InputOutput if some of them are missing.
    """
    first = _number(engine, JOURNAL, 1)
    places = journal.places(first)
    last = places[-1].number if places else first - 1
    has = _number(engine, JOURNALED, last)
    if has > last:  # carrying out the older ones would take back what it has
        raise damaged("the journal", f"it ends with record {last}, and the engine has {has}")
    if places and _number(engine, JOURNALED, 0) < last and not is_whole(journal.read(places[-1])):
        places.pop()
    return places, last + 1


def batches(engine: Engine, journal: Journal, is_whole: IsWhole) -> Iterator[Batch]:
    """What an engine may lack, as `needed` says."""
    return (journal.read(place) for place in needed(engine, journal, is_whole)[0])


def make_durable(engine: Engine, batch: Batch, data: NewData) -> None:
    """Write a batch and the data that it names, and sync.

    A journal tells what is missing of the data after a crash: its sync and that of the data go side
    by side, or are one. Another engine must not have the batch before the data is durable.
    """
    if isinstance(engine, JournaledEngine):
        engine.write(batch, data)
        engine.sync(data)
    else:
        data.wait()
        engine.write(batch)
        engine.sync()


def settle(engine: Engine, *, idle: bool = False) -> None:
    """Do what an engine has put off: for a moment in which nobody waits. `idle`: all of it."""
    if isinstance(engine, JournaledEngine):
        engine.settle(idle=idle)


def _number(engine: Engine, key: bytes, otherwise: int) -> int:
    value = engine.get(key)
    return otherwise if value is None else decode_number(value)


class JournaledEngine:
    """An `Engine` over another one; what is written is visible when it is synced.

    When it is made, the engine below gets what it lacks. Later it gets that with `settle`, or when
    somebody iterates; reads by key find in `_unsettled` what it has not got yet. One thread writes,
    and others may read meanwhile: a key that a batch changes is theirs to know until its sync.
    """

    def __init__(
        self, engine: Engine, journal: Journal, is_whole: IsWhole = lambda batch: True
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._error: CephError | None = None
        self._pending: list[Batch] = []
        self._written = False
        # What is durable and not in the engine below, and about how many bytes of the journal that
        # was. Whoever changes it, or writes to the engine, has the lock.
        self._unsettled = Batch()
        self._unsettled_bytes = 0
        self._settling = Lock()
        # By key of the log, where the journal has it.
        self._logs: dict[bytes, Place] = {}
        # By segment, the number of its first record; 0: it has none that is needed.
        self._firsts = [0] * SEGMENTS
        self._segment = self._used = 0
        self._number = self._recover(is_whole)

    def _recover(self, is_whole: IsWhole) -> int:
        """Bring the engine what it lacks; the number of the next record."""
        engine = self._engine
        places, following = needed(engine, self._journal, is_whole)
        for place in places:
            engine.write(self._journal.read(place))
        if following > _number(engine, JOURNAL, 1):
            self._let_go(following)
        return following

    def get(self, key: bytes) -> bytes | None:
        unsettled = self._unsettled
        if key in unsettled.changes:
            return unsettled.changes.get(key)
        if unsettled.ranges and any(low <= key < high for low, high in unsettled.ranges):
            return None
        return self._engine.get(key)

    def iterate(
        self, start: bytes, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        self.settle(idle=True)
        return self._engine.iterate(start, end, reverse=reverse)

    def write(self, batch: Batch, data: NewData | None = None) -> None:
        """As `Engine.write`; `data` that it names is written, too."""
        self._check()
        try:
            self._write(batch, data)
        except CephError as error:
            self._error = error
            raise

    def sync(self, data: NewData | None = None) -> None:
        """As `Engine.sync`; before the engine gets what was written, the data is durable."""
        self._check()
        try:
            self._sync(data)
        except CephError as error:
            self._error = error
            raise

    def settle(self, *, idle: bool = False) -> None:
        """Let the engine below have what is durable, if that is much, or nobody minds (`idle`)."""
        unsettled = self._unsettled
        many = len(unsettled.changes) >= _SETTLED_KEYS or self._unsettled_bytes >= _SETTLED_BYTES
        if not unsettled or not (idle or many):
            return
        with self._settling:
            self._check()
            try:
                self._engine.write(self._unsettled)
            except CephError as error:
                self._error = error
                raise
            self._unsettled, self._unsettled_bytes = Batch(), 0

    def compact(self) -> None:
        self.settle(idle=True)
        self._engine.compact()

    def statistics(self) -> dict[str, int]:
        return self._engine.statistics()

    def close(self) -> None:
        try:
            if self._error is None:
                self.sync()
                self._free_all()
        finally:
            self._engine.close()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _write(self, batch: Batch, data: NewData | None) -> None:
        self._sync()  # a record that a crash cuts short has to be the last one
        record = self._journal.encode(self._number, batch)
        size = len(record)
        if size > self._journal.segment_size:
            if data is not None:
                data.wait()
            self._write_around(batch)
            return
        if self._used + size > self._journal.segment_size:
            self._enter_next_segment()
        offset = self._segment * self._journal.segment_size + self._used
        if not self._used:
            self._firsts[self._segment] = self._number
        self._journal.write(offset, record, data)
        self._written = True
        self._pending.append(self._without_log(batch, Place(self._number, offset, size)))
        self._used += size
        self._number += 1
        self._unsettled_bytes += size

    def _without_log(self, batch: Batch, place: Place) -> Batch:
        """What the engine gets of a batch; where its log is, is noted."""
        logs = self._logs
        for start, end in batch.ranges:
            if start[0] == _LOG_KIND:
                for key in [key for key in logs if start <= key < end]:
                    del logs[key]
        changes = batch.changes.copy()
        for key in [key for key in changes if key[0] == _LOG_KIND]:
            value = changes.pop(key)
            if value is None:
                logs.pop(key, None)
                changes[key] = None
            else:
                logs[key] = place
                self._unsettled_bytes -= len(value)
        changes[JOURNALED] = encode_number(place.number)
        return Batch(changes, batch.ranges.copy())

    def _sync(self, data: NewData | None = None) -> None:
        if self._written:
            self._journal.sync()
            self._written = False
        if data is not None:
            data.wait()
        pending, self._pending = self._pending, []
        for batch in pending:
            with self._settling:
                if self._unsettled:
                    self._unsettled.merge(batch)
                else:
                    self._unsettled = batch
        if self._unsettled_bytes >= _UNSETTLED_BYTES:
            self.settle()

    def _write_around(self, batch: Batch) -> None:
        """A batch that is too large for the journal goes to the engine at once."""
        self._free_all()
        self.settle(idle=True)
        self._engine.write(batch)
        self._engine.sync()

    def _free_all(self) -> None:
        """Let nothing of the journal be needed any more."""
        if any(self._firsts):
            self._let_go(self._number)
            self._firsts = [0] * SEGMENTS
            self._enter_next_segment()

    def _enter_next_segment(self) -> None:
        self._segment = (self._segment + 1) % SEGMENTS
        self._used = 0
        if self._firsts[self._segment]:
            after = self._firsts[(self._segment + 1) % SEGMENTS]
            self._let_go(after or self._number)
        self._firsts[self._segment] = 0

    def _let_go(self, number: int) -> None:
        """Let the records before this one be in the engine for good."""
        self.settle(idle=True)
        batch = Batch()
        for key, place in list(self._logs.items()):
            if place.number < number:
                value = self._journal.read(place).changes[key]
                if value is None:
                    raise InvariantBroken("a log that is deleted is none")
                batch.put(key, value)
                del self._logs[key]
        # What a crash leaves of the engine is everything before some batch: this one is the last.
        batch.put(JOURNAL, encode_number(number))
        self._engine.write(batch)
        self._engine.sync()
