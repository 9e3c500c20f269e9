"""What of a PG's info and log is not on disk yet, and how it gets into a write's transaction.

Every write carries its log entry and the changed parts of the info, so that the store never has
one without the other. Keys and encodings are `store.pg_meta`'s. Called by `replicated` for each
write and by `peering` for everything else.
"""

from __future__ import annotations

import struct as _struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.kernels.crc32c import crc32c
from spirula.store import pg_meta
from spirula.store.pg_meta import LogChanges, MetaChanges
from spirula.types.hobject import HObject
from spirula.types.pg_info import PGInfo
from spirula.types.pg_log import PGLogDup, PGLogEntry
from spirula.types.transaction import Transaction

if TYPE_CHECKING:
    from spirula.osd.pg.log import Trimmed
    from spirula.osd.pg.state import PG

_LENGTH = _struct.Struct("<I")


@dataclass(slots=True, eq=False)
class Meta:
    """What is to be written with the next transaction of a PG.

    `written` is the info as it was written last. `dirty_info`: more of it changed than what every
    write changes; `dirty_big_info`: past intervals or purged snapshots, too. `rewrite_log`: the
    log is not what the store has with entries added or trimmed. `missing`: objects that are
    missing, or missing no more, since the last write.
    """

    written: PGInfo
    dirty_info: bool = True
    dirty_big_info: bool = False
    dirty_epoch: bool = False
    rewrite_log: bool = False
    missing: set[HObject] = field(default_factory=set)
    _removed: set[str] = field(default_factory=set)
    _set: dict[str, bytes] = field(default_factory=dict)

    @property
    def is_dirty(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.needs_more or self._removed or self._set)

    @property
    def needs_more(self) -> bool:
        """Whether more is to be written than log entries and the fast part of the info."""
        return bool(
            self.dirty_info
            or self.dirty_big_info
            or self.dirty_epoch
            or self.rewrite_log
            or self.missing
        )

    def add_entries(self, entries: Sequence[PGLogEntry], raw: Sequence[bytes]) -> None:
        """Has new log entries written, encoded already."""
        for entry, one in zip(entries, raw, strict=True):
            key = entry.key_name
            self._removed.discard(key)
            self._set[key] = b"".join((_LENGTH.pack(len(one)), one, _LENGTH.pack(crc32c(0, one))))

    def add_dups(self, dups: Sequence[PGLogDup]) -> None:
        """Has requests written whose entries are gone."""
        for dup in dups:
            key = pg_meta.dup_key(dup.version)
            self._removed.discard(key)
            self._set[key] = dup.encode()

    def trimmed(self, gone: Trimmed) -> None:
        """Has a trim of the log written."""
        for entry in gone.entries:
            key = entry.key_name
            if self._set.pop(key, None) is None:
                self._removed.add(key)
        self.add_dups(gone.new_dups)
        for dup in gone.old_dups:
            key = pg_meta.dup_key(dup.version)
            self._set.pop(key, None)
            self._removed.add(key)
        if gone.entries:
            self.dirty_info = True

    def removed(self, entries: Sequence[PGLogEntry]) -> None:
        """Has entries that were rewound taken off the store."""
        for entry in entries:
            self._set.pop(entry.key_name, None)
            self._removed.add(entry.key_name)


def write(pg: PG, transaction: Transaction) -> None:
    """Adds all that is to be written to the end of a transaction, if there is anything."""
    meta, info = pg.meta, pg.info
    if not meta.needs_more:
        if info.last_update > meta.written.last_update:
            _write_entries(pg, transaction)
            return
        if not meta.is_dirty and info.last_update == meta.written.last_update:
            return
    changes = MetaChanges()
    if meta.rewrite_log:
        wire = pg.log.wire()
        everything = LogChanges.everything(pg.missing)
        everything.missing |= meta.missing
        changes = pg_meta.log_changes(
            wire, pg.missing, everything, require_rollback=pg.pool.is_erasure
        )
    else:
        if meta.missing:
            dirty = LogChanges(missing=meta.missing)
            changes = pg_meta.log_changes(
                pg.log.wire(pg.log.head), pg.missing, dirty, require_rollback=False
            )
        changes.remove |= meta._removed
        changes.set |= meta._set
    about_info, meta.written = pg_meta.info_changes(
        pg.osdmap.epoch,
        info,
        meta.written,
        pg.past_intervals,
        dirty_big_info=meta.dirty_big_info,
        dirty_epoch=meta.dirty_epoch,
        try_fast_info=not meta.dirty_info,
        fast_is_enough=True,
    )
    changes.update(about_info)
    changes.add_to(transaction, pg.pgid)
    meta.dirty_info = meta.dirty_big_info = meta.dirty_epoch = meta.rewrite_log = False
    meta.missing = set()
    meta._removed, meta._set = set(), {}


def _write_entries(pg: PG, transaction: Transaction) -> None:
    """What nearly every write has, and nothing else: log entries and the fast part of the info."""
    meta, info, coll, pgmeta = pg.meta, pg.info, pg.coll, pg.pgmeta
    if meta._removed:
        transaction.omap_rmkeys(coll, pgmeta, meta._removed)
        meta._removed = set()
    entries, meta._set = meta._set, {}
    entries[pg_meta.FASTINFO_KEY] = pg_meta.fast_value(info)
    transaction.omap_setkeys(coll, pgmeta, entries)
    meta.written.last_update = info.last_update  # as `info_changes` does
