"""An engine whose batches become durable in a journal: one write and one sync for each group.

The engine below gets a batch after that, without a sync; what a crash takes from it the journal
brings back. The log of `commit` (blocks of data that are not in their places yet) does not go to
the engine at all, unless it is still needed when its part of the journal is. `opening` makes one
over RocksDB.

Two numbers in the engine say from which record on the journal is needed (`JOURNAL`: all before is
in the engine for good), and up to which the engine has it (`JOURNALED`). Carrying out again what
the engine has already changes nothing in the end, as all that comes after is carried out again.
"""

from __future__ import annotations

from collections.abc import Iterator

from spirula.errors import CephError, InvariantBroken
from spirula.store.disk.engine import Batch, Engine
from spirula.store.disk.journal import SEGMENTS, Journal, Place
from spirula.store.disk.layout import (
    JOURNAL,
    JOURNALED,
    LOG,
    damaged,
    decode_number,
    encode_number,
)

_LOG_KIND = LOG[0]


def needed(engine: Engine, journal: Journal) -> list[Place]:
    """Records that the engine may lack, oldest first. InputOutput if some of them are missing."""
    first = _number(engine, JOURNAL, 1)
    places = journal.places(first)
    last = places[-1].number if places else first - 1
    has = _number(engine, JOURNALED, last)
    if has > last:  # carrying out the older ones would take back what it has
        raise damaged("the journal", f"it ends with record {last}, and the engine has {has}")
    return places


def batches(engine: Engine, journal: Journal) -> Iterator[Batch]:
    """What an engine may lack, as `needed` says."""
    return (journal.read(place) for place in needed(engine, journal))


def _number(engine: Engine, key: bytes, otherwise: int) -> int:
    value = engine.get(key)
    return otherwise if value is None else decode_number(value)


class JournaledEngine:
    """An `Engine` over another one; what is written is visible when it is synced.

    When it is made, the engine below gets what it lacks.
    """

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal
        self._error: CephError | None = None
        self._pending: list[Batch] = []
        self._written = False
        # By key of the log, where the journal has it.
        self._logs: dict[bytes, Place] = {}
        # By segment, the number of its first record; 0: it has none that is needed.
        self._firsts = [0] * SEGMENTS
        self._segment = self._used = 0
        self._number = self._recover()

    def _recover(self) -> int:
        """Bring the engine what it lacks; the number of the next record."""
        engine = self._engine
        following = _number(engine, JOURNAL, 1)
        places = needed(engine, self._journal)
        for place in places:
            engine.write(self._journal.read(place))
        if places:
            following = places[-1].number + 1
            self._let_go(following)
            # The last one may be of a write that was under way, and its segment comes last again.
            self._segment = (self._journal.segment_of(places[-1]) + 1) % SEGMENTS
        return following

    def get(self, key: bytes) -> bytes | None:
        return self._engine.get(key)

    def iterate(
        self, start: bytes, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._engine.iterate(start, end, reverse=reverse)

    def write(self, batch: Batch) -> None:
        self._check()
        try:
            self._write(batch)
        except CephError as error:
            self._error = error
            raise

    def sync(self) -> None:
        self._check()
        try:
            self._sync()
        except CephError as error:
            self._error = error
            raise

    def compact(self) -> None:
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

    def _write(self, batch: Batch) -> None:
        record = self._journal.encode(self._number, batch)
        size = len(record)
        if size > self._journal.segment_size:
            self._write_around(batch)
            return
        if self._used + size > self._journal.segment_size:
            self._enter_next_segment()
        offset = self._segment * self._journal.segment_size + self._used
        if not self._used:
            self._firsts[self._segment] = self._number
        self._journal.write(offset, record)
        self._written = True
        self._pending.append(self._without_log(batch, Place(self._number, offset, size)))
        self._used += size
        self._number += 1

    def _without_log(self, batch: Batch, place: Place) -> Batch:
        """What the engine gets of a batch; where its log is, is noted."""
        logs = self._logs
        for start, end in batch.ranges:
            if start[0] == _LOG_KIND:
                for key in [key for key in logs if start <= key < end]:
                    del logs[key]
        changes = batch.changes.copy()
        for key in [key for key in changes if key[0] == _LOG_KIND]:
            if changes.pop(key) is None:
                logs.pop(key, None)
                changes[key] = None
            else:
                logs[key] = place
        changes[JOURNALED] = encode_number(place.number)
        return Batch(changes, batch.ranges.copy())

    def _sync(self) -> None:
        if self._written:
            self._journal.sync()
            self._written = False
        pending, self._pending = self._pending, []
        for batch in pending:
            self._engine.write(batch)

    def _write_around(self, batch: Batch) -> None:
        """A batch that is too large for the journal goes to the engine at once."""
        self._sync()
        self._free_all()
        self._engine.write(batch)
        self._engine.sync()

    def _free_all(self) -> None:
        """Let nothing of the journal be needed any more."""
        if any(self._firsts):
            self._let_go(self._number)
            self._firsts = [0] * SEGMENTS
            self._enter_next_segment()

    def _enter_next_segment(self) -> None:
        # A record that was cut short must be the last one: those in other segments are found.
        self._sync()
        self._segment = (self._segment + 1) % SEGMENTS
        self._used = 0
        if self._firsts[self._segment]:
            after = self._firsts[(self._segment + 1) % SEGMENTS]
            self._let_go(after or self._number)
        self._firsts[self._segment] = 0

    def _let_go(self, number: int) -> None:
        """Let the records before this one be in the engine for good; it must have them all."""
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
