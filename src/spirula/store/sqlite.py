"""The durable key/value store of a monitor: SQLite in WAL mode, every commit synced.

Why SQLite: docs/adr/0002-monitor-store.md. One thread of its own writes, and puts commits
that wait together into one sync; reads happen on the caller's thread, from memory for what is not
yet written, and for small values: a monitor reads the same numbers after each commit, and SQLite
reads all pages anew when another connection has written.
This is an edge module: it opens files and starts a thread. Whoever builds a monitor makes one and
hands it in as a `store.keyvalue.KeyValueStore`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from spirula.errors import Busy, CephError, Exists, InputOutput, NoSpace, NotFound
from spirula.store.keyvalue import Change, Done, changes_of, key_bytes, key_text
from spirula.types.mon import StoreTransaction

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS kv"
    " (prefix BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (prefix, key))"
    " WITHOUT ROWID"
)
_PUT = (
    "INSERT INTO kv VALUES (?, ?, ?) ON CONFLICT (prefix, key) DO UPDATE SET value = excluded.value"
)
_ERASE = "DELETE FROM kv WHERE prefix = ? AND key = ?"
_GET = "SELECT value FROM kv WHERE prefix = ? AND key = ?"
_FROM = "SELECT key, value FROM kv WHERE prefix = ? AND key >= ? ORDER BY key LIMIT ?"
_PAGE = 256
_PAGE_BYTES = 4096
_KEPT_BYTES, _KEPT = 256, 4096
"""How large a value may be to be kept in memory, and how many are."""
_LOG_BYTES, _LONGEST_LOG_BYTES = 4 << 20, 16 << 20
"""After so much was written, SQLite's log is copied into the data file: in the next pause, at last
at once."""
_PAUSE_S = 0.25

_Commit = tuple[int, list[Change], bool, Done]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def _as_ceph_error(error: sqlite3.Error) -> CephError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return NoSpace(f"monitor store: {error}")
    return InputOutput(f"monitor store: {error}")


class SqliteKeyValueStore:
    """A monitor's store in the file `path`, which is made if it is not there.

    `notify` takes a function from the writing thread and calls it on the caller's
    (`loop.call_soon_threadsafe`). Raises Busy if another process has the store open, InputOutput
    if the file is no store.
    """

    def __init__(self, path: Path, notify: Callable[[Callable[[], None]], object]) -> None:
        self._notify = notify
        self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise Busy(f"{path} is in use by another process") from error
        try:
            self._writer = _connect(path)
            self._writer.execute(_SCHEMA)
            self._reader = _connect(path)
        except sqlite3.Error as error:
            os.close(self._lock)
            raise _as_ceph_error(error) from error
        self._path = path
        self._generation = 1
        self._overlay: dict[str, dict[bytes, tuple[int, bytes | None]]] = {}
        self._kept: dict[tuple[str, bytes], bytes | None] = {}
        self._staged: list[Change] = []
        self._compact = False
        self._log_bytes = 0
        self._vacuum = False
        self._commits: queue.SimpleQueue[_Commit | None] = queue.SimpleQueue()
        self._error: CephError | None = None
        self._thread = threading.Thread(target=self._write, name="mon-store", daemon=True)
        self._thread.start()

    # --- reading

    def get(self, prefix: str, key: str) -> bytes | None:
        raw = key_bytes(key)
        waiting = self._overlay.get(prefix)
        if waiting is not None and raw in waiting:
            return waiting[raw][1]
        if (prefix, raw) in self._kept:
            return self._kept[prefix, raw]
        row = self._reader.execute(_GET, (key_bytes(prefix), raw)).fetchone()
        value = None if row is None else bytes(row[0])
        self._keep(prefix, raw, value)
        return value

    def _keep(self, prefix: str, key: bytes, value: bytes | None) -> None:
        """This is what the database holds now."""
        if value is not None and len(value) > _KEPT_BYTES:
            self._kept.pop((prefix, key), None)
            return
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[prefix, key] = value

    def items(
        self, prefix: str, start: str = "", end: str | None = None
    ) -> Iterator[tuple[str, bytes]]:
        stop = None if end is None else key_bytes(end)
        for key, value in self._merged(prefix, key_bytes(start), stop):
            yield key_text(key), value

    def _merged(
        self, prefix: str, start: bytes, end: bytes | None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows and what waits to be written, page by page, so that no read is open for long."""
        while True:
            page = self._reader.execute(_FROM, (key_bytes(prefix), start, _PAGE)).fetchall()
            last = page[-1][0] if len(page) == _PAGE else None
            found: dict[bytes, bytes | None] = {bytes(key): bytes(value) for key, value in page}
            for key, (_, value) in self._overlay.get(prefix, {}).items():
                if key >= start and (last is None or key <= last):
                    found[key] = value
            for key in sorted(found):
                value = found[key]
                if end is not None and key >= end:
                    return
                if value is not None:
                    yield key, value
            if last is None:
                return
            start = bytes(last) + b"\0"

    # --- changing

    def keys_between(self, prefix: str, start: bytes, end: bytes | None) -> list[bytes]:
        return [key for key, _ in self._merged(prefix, start, end)]

    def change(self, prefix: str, key: bytes, value: bytes | None) -> None:
        self._overlay.setdefault(prefix, {})[key] = (self._generation, value)

    def stage(self, transaction: StoreTransaction) -> None:
        changes, compact = changes_of(self, transaction)
        self._staged += changes
        self._compact |= compact

    def commit(self, done: Done) -> None:
        self._commits.put((self._generation, self._staged, self._compact, done))
        self._staged = []
        self._compact = False
        self._generation += 1

    def _landed(self, commits: list[_Commit], error: CephError | None) -> None:
        if error is None:
            newest = commits[-1][0]
            for _, changes, _, _ in commits:
                for prefix, key, _ in changes:
                    waiting = self._overlay[prefix]
                    if key in waiting and waiting[key][0] <= newest:
                        self._keep(prefix, key, waiting.pop(key)[1])
        for _, _, _, done in commits:
            done(error)

    # --- the writing thread

    def _write(self) -> None:
        ending = False
        while not ending:
            commits: list[_Commit] = []
            entry = self._next()
            while True:
                if entry is None:
                    ending = True
                    break
                commits.append(entry)
                if self._commits.empty():
                    break
                entry = self._commits.get()
            if commits:
                error = self._error = self._error or self._write_batch(commits)
                self._notify(partial(self._landed, commits, error))
                if self._log_bytes > _LONGEST_LOG_BYTES:
                    self._tidy()

    def _next(self) -> _Commit | None:
        """What is to be written next; in a pause before it, do what nobody waits for."""
        if self._vacuum or self._log_bytes > _LOG_BYTES:
            try:
                return self._commits.get(timeout=_PAUSE_S)
            except queue.Empty:
                self._tidy()
        return self._commits.get()

    def _tidy(self) -> None:
        """Give back room, and copy the log into the data file.

        If that fails nothing is lost, and it is tried again; a full disk fails the next commit.
        """
        with contextlib.suppress(sqlite3.Error):
            if self._vacuum:
                self._writer.execute("PRAGMA incremental_vacuum")
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._vacuum = False
        self._log_bytes = 0

    def _write_batch(self, commits: list[_Commit]) -> CephError | None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for _, changes, compact, _ in commits:
                for prefix, key, value in changes:
                    if value is None:
                        self._writer.execute(_ERASE, (key_bytes(prefix), key))
                    else:
                        self._writer.execute(_PUT, (key_bytes(prefix), key, value))
                        self._log_bytes += len(value)
                    self._log_bytes += _PAGE_BYTES
                self._vacuum |= compact
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            return _as_ceph_error(error)
        return None

    # --- the whole

    def backup(self, path: Path) -> None:
        """Copy all that is durable into a new file: see `copy_store`."""
        copy_store(self._path, path)

    def close(self) -> None:
        """Finish the commits that were asked for, and let go of the file."""
        self._commits.put(None)
        self._thread.join()
        self._reader.close()
        self._writer.close()
        os.close(self._lock)


def copy_store(source: Path, target: Path) -> None:
    """Copy all that is durable in a store, which may be in use, into a new file: a store as well.

    Raises Exists if there is a file, NotFound if there is no store, InputOutput or NoSpace.
    """
    if not source.exists():
        raise NotFound(f"there is no monitor store at {source}")
    if target.exists():
        raise Exists(f"{target} is there already")
    reader = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    writer = sqlite3.connect(target)
    try:
        reader.backup(writer)
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise _as_ceph_error(error) from error
    finally:
        writer.close()
        reader.close()
