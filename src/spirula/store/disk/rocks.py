"""RocksDB, through rocksdict, as the engine that holds the metadata of an object store.

Why it, and how it wants to be used: docs/adr/0005-object-store-engine.md. Groups are written
without a sync of their own, because that would hold Python's lock; `sync` makes them durable.
Recovery stops at the first damage in the log, so what is left are whole groups without a gap; that
none which was durable is missing is what `mark` and `freelist` find out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from errno import EROFS
from pathlib import Path
from weakref import WeakSet

import rocksdict
from rocksdict import AccessType, ReadOptions, WriteBatch

from spirula.errors import Busy, CephError, InputOutput, InvariantBroken, NoSpace, NotFound
from spirula.store.disk.engine import Batch
from spirula.store.disk.manifest import check_manifest

Walk = Generator[tuple[bytes, bytes], None, None]

DEFAULT_MEMORY = 32 << 20
_SMALLEST_BUFFER = 1 << 20
_LARGEST_BUFFER = 16 << 20
"""Larger ones made no commit quicker; `freelist.KEPT_BYTES` is four of these."""

# rocksdict raises plain Exceptions; RocksDB's status is how their text begins.
_ERRORS: tuple[tuple[str, type[CephError], str], ...] = (
    ("No space left on device", NoSpace, ""),
    ("Disk quota exceeded", NoSpace, ""),
    ("lock hold by current process", Busy, "; it is in use"),
    ("While lock file", Busy, "; another process has it open"),
    ("does not exist (create_if_missing is false)", NotFound, "; make the store with mkfs"),
)

_STATISTICS = {
    "memtable_bytes": "rocksdb.cur-size-all-mem-tables",
    "cache_bytes": "rocksdb.block-cache-usage",
    "reader_bytes": "rocksdb.estimate-table-readers-mem",
    "table_bytes": "rocksdb.total-sst-files-size",
    "keys": "rocksdb.estimate-num-keys",
    "compactions_running": "rocksdb.num-running-compactions",
    "compaction_pending_bytes": "rocksdb.estimate-pending-compaction-bytes",
}


class RocksEngine:
    """A RocksDB in the folder `path`, made if it is not there and `create` says so.

    `memory`: bytes that its buffers and its cache take in all. Raises as `Engine` says, and on
    opening Busy if another has it open, NotFound if there is none. Read-only, it can be opened
    beside a writer, takes its log into memory and changes no file that matters.
    """

    def __init__(
        self,
        path: Path,
        *,
        memory: int = DEFAULT_MEMORY,
        create: bool = False,
        read_only: bool = False,
    ) -> None:
        self._read_only = read_only
        self._error: CephError | None = None
        self._walks: WeakSet[Walk] = WeakSet()
        access = AccessType.read_only(False) if read_only else AccessType.read_write()
        options = _options(memory)
        options.create_if_missing(create)
        try:
            # Read-only, it would make the folder before it looks for a database.
            if (path / "CURRENT").exists():
                check_manifest(path)
            elif not create:
                raise NotFound(f"{path} has no CURRENT: it is no RocksDB, or is damaged")
            # Not naming the column family, it would open a database that is there with the options
            # of the last time, and those without the filters.
            self._db: rocksdict.Rdict | None = rocksdict.Rdict(
                str(path), options, column_families={"default": options}, access_type=access
            )
        except CephError:
            raise
        except Exception as error:
            raise _mapped(error, f"open {path}") from error

    def get(self, key: bytes) -> bytes | None:
        database = self._db
        if database is None:
            database = self._opened()
        try:
            found: bytes | None = database.get(key)
        except Exception as error:
            raise _mapped(error, f"read {key!r}") from error
        return found

    def iterate(
        self, start: bytes, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        options = ReadOptions()
        if end is not None:
            options.set_iterate_upper_bound(end)
        walk = self._opened().iter(options)
        if reverse:
            # A lower bound it does not take: what should set it sets the upper one.
            walk.seek_to_last()
            entries = _backward(walk, options, start)
        else:
            walk.seek(start)
            entries = _forward(walk, options)
        self._walks.add(entries)
        return entries

    def write(self, batch: Batch) -> None:
        made = WriteBatch(raw_mode=True)
        put, delete = made.put, made.delete
        for start, end in batch.ranges:
            made.delete_range(start, end)
        for key, value in batch.changes.items():
            if value is None:
                delete(key)
            else:
                put(key, value)
        self._change(lambda database: database.write(made), "write")

    def sync(self) -> None:
        self._change(lambda database: database.flush_wal(sync=True), "sync")

    def flush(self) -> None:
        """Bring all that was written from the log into tables, as closing does."""
        self._change(lambda database: database.flush(), "flush")

    def compact(self) -> None:
        self._change(lambda database: database.compact_range(None, None), "compact")

    def statistics(self) -> dict[str, int]:
        database = self._opened()
        return {
            name: database.property_int_value(property_) or 0
            for name, property_ in _STATISTICS.items()
        }

    def close(self) -> None:
        database, self._db = self._db, None
        if database is None:
            return
        for walk in list(self._walks):
            walk.close()  # an iterator keeps the database open, and locked
        try:
            database.close()
        except Exception as error:
            if self._error is None:  # else it has been told
                raise _mapped(error, "close") from error

    def _opened(self) -> rocksdict.Rdict:
        if self._db is None:
            raise InvariantBroken("the engine is closed")
        return self._db

    def _change(self, change: Callable[[rocksdict.Rdict], None], doing: str) -> None:
        database = self._opened()
        if self._read_only:
            raise CephError.from_errno(EROFS, f"{doing}: the store is open for reading only")
        if self._error is not None:
            raise self._error
        try:
            change(database)
        except Exception as error:
            self._error = _mapped(error, doing)
            raise self._error from error


def _forward(walk: rocksdict.RdictIter, _options: ReadOptions) -> Walk:
    """Entries from where an iterator stands to its end.

    `_options` has the bound that the iterator looks at and does not keep: it must outlive it.
    """
    # Not rocksdict's `items`: it ends at a damaged block as if there was nothing behind it.
    valid, key, value, following = walk.valid, walk.key, walk.value, walk.next
    try:
        while valid():
            yield key(), value()
            following()
        walk.status()
    except Exception as error:
        raise _mapped(error, "iterate") from error


def _backward(walk: rocksdict.RdictIter, _options: ReadOptions, start: bytes) -> Walk:
    """Entries from where an iterator stands down to `start`; `_options` as in `_forward`."""
    try:
        while walk.valid():
            found = walk.key()
            if found < start:
                return
            yield found, walk.value()
            walk.prev()
        walk.status()
    except Exception as error:
        raise _mapped(error, "iterate") from error


def _mapped(error: Exception, doing: str) -> CephError:
    """What an error of RocksDB is to callers of the store."""
    text = str(error)
    for part, kind, advice in _ERRORS:
        if part in text:
            return kind(f"{doing}: {text}{advice}")
    if text.startswith("Corruption"):
        return InputOutput(f"{doing}: {text}; the store's metadata is damaged: see fsck")
    return InputOutput(f"{doing}: {text}")


def _options(memory: int) -> rocksdict.Options:
    """Options for buffers and a cache of `memory` bytes together."""
    buffer = min(max(memory // 4, _SMALLEST_BUFFER), _LARGEST_BUFFER)
    options = rocksdict.Options(raw_mode=True)
    options.set_wal_recovery_mode(rocksdict.DBRecoveryMode.point_in_time())
    options.set_paranoid_checks(True)
    # Two buffers: one is filled while the other goes to the disk.
    options.set_write_buffer_size(buffer)
    options.set_max_write_buffer_number(2)
    # Most keys that are asked for are new: a filter of 2 % says so in a fifth of the time.
    options.set_memtable_prefix_bloom_ratio(0.02)
    options.set_memtable_whole_key_filtering(True)
    options.set_max_total_wal_size(4 * buffer)
    # A file that is written anew keeps its size, which spares a sync the file system's journal: a
    # third more commits per second. What is left in it of its former use is told by its number.
    options.set_recycle_log_file_num(2)
    options.set_max_bytes_for_level_base(8 * buffer)
    options.set_target_file_size_base(2 * buffer)
    options.set_level_compaction_dynamic_level_bytes(True)
    options.set_compression_type(rocksdict.DBCompressionType.none())
    options.set_max_background_jobs(2)
    options.set_max_open_files(512)
    options.set_max_file_opening_threads(1)
    options.set_manifest_preallocation_size(64 << 10)
    options.set_max_manifest_file_size(16 << 20)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(1 << 20)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    tables = rocksdict.BlockBasedOptions()
    tables.set_block_cache(rocksdict.Cache(max(memory // 2, _SMALLEST_BUFFER)))
    tables.set_cache_index_and_filter_blocks(True)
    tables.set_pin_l0_filter_and_index_blocks_in_cache(True)
    tables.set_bloom_filter(10, False)
    options.set_block_based_table_factory(tables)
    return options
