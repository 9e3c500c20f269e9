"""What a PG keeps in the omap of its nameless object: info, past intervals, log, missing objects.

Functions that read it from a store, and that say what to change when info or log change; the
caller puts the changes into the transaction of the write that they belong to. For the OSD, and for
tools on the store of a stopped one. Keys and encodings: upstream `src/osd/PGLog.h`, `PGLog.cc`,
`PG.cc` and `osd_types.cc` (prepare_info_keymap), as of 16.2.
"""

from __future__ import annotations

import struct as _struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from errno import ENODATA
from typing import TypeVar

from spirula.denc import Map, Struct, struct
from spirula.errors import CephError, InputOutput, InvalidArgument, NotFound, WireError
from spirula.kernels.crc32c import crc32c
from spirula.kernels.layouts import closed, number, opened, packer
from spirula.store.objectstore import ObjectStore
from spirula.types import usual
from spirula.types.base import EVersion
from spirula.types.hobject import NO_GEN, GHObject, HObject
from spirula.types.interval_set import IntervalSet
from spirula.types.object_info import ObjectInfo
from spirula.types.past_intervals import PastIntervals
from spirula.types.pg import Coll, SPGId
from spirula.types.pg_info import PGFastInfo, PGInfo
from spirula.types.pg_log import (
    LogOp,
    ObjectCleanRegions,
    PGLog,
    PGLogDup,
    PGLogEntry,
    PGMissing,
    PGMissingItem,
)
from spirula.types.pool import PGPool
from spirula.types.transaction import Transaction

INFOVER_KEY = "_infover"
INFO_KEY = "_info"
BIGINFO_KEY = "_biginfo"
EPOCH_KEY = "_epoch"
FASTINFO_KEY = "_fastinfo"
REMOVE_KEY = "_remove"
CAN_ROLLBACK_TO_KEY = "can_rollback_to"
ROLLBACK_INFO_TRIMMED_TO_KEY = "rollback_info_trimmed_to"
DIVERGENT_PRIORS_KEY = "divergent_priors"
MAY_INCLUDE_DELETES_KEY = "may_include_deletes_in_missing"
MISSING_PREFIX = "missing/"
DUP_PREFIX = "dup_"
OBJECT_INFO_ATTR = "_"
SNAPSET_ATTR = "snapset"

STRUCT_V = 10
"""Version of the layout that is described here, and the oldest that is read (since 13.2)."""
EVERSION_MIN = EVersion()
EVERSION_MAX = EVersion((1 << 64) - 1, (1 << 32) - 1)
_T = TypeVar("_T", PGLogEntry, PGLogDup)
_EPOCH = _struct.Struct("<I")
_HINT_EXPECTED_OBJECTS = 1
_HINT = _struct.Struct("<IQ")
_FAST = _struct.Struct("<BBIQIQIQQIQ14I9q")


def version_key(version: EVersion) -> str:
    """The key of the log entry of this version."""
    return f"{version.epoch:010d}.{version.version:020d}"


def dup_key(version: EVersion) -> str:
    """The key of what is kept of an entry of this version that was trimmed."""
    return DUP_PREFIX + version_key(version)


def missing_key(hobj: HObject) -> str:
    """The key under which an object is said to be missing."""
    return MISSING_PREFIX + hobj.key_text()


def entry_value(entry: PGLogEntry) -> bytes:
    """A log entry as it is kept: its length, itself, and the CRC-32C of it."""
    raw = entry.encode()
    return b"".join((_EPOCH.pack(len(raw)), raw, _EPOCH.pack(crc32c(0, raw))))


def parse_entry(value: bytes) -> PGLogEntry:
    """What `entry_value` made. Raises WireError, also when the checksum is another."""
    if len(value) < 8:
        raise WireError("log entry ends before its checksum")
    (size,) = _EPOCH.unpack_from(value)
    if size > len(value) - 8:
        raise WireError("log entry runs past its value", limit=len(value))
    raw = value[4 : 4 + size]
    (kept,) = _EPOCH.unpack_from(value, 4 + size)
    found = crc32c(0, raw)
    if found != kept:
        raise WireError(f"log entry has checksum {found:#010x}, not {kept:#010x} as when written")
    return PGLogEntry.decode(raw)


@struct
class _DivergentPriors(Struct):
    """Objects to look at, by the version that their divergent change stood on (before 12.0)."""

    items: Map[EVersion, HObject]


# --- reading ---


@dataclass(slots=True)
class StoredInfo:
    """How a PG is, as it was stored last; `epoch` is that of the map it had then."""

    struct_v: int
    epoch: int
    info: PGInfo
    past_intervals: PastIntervals


@dataclass(slots=True)
class StoredLog:
    """A PG's log, and what is missing.

    `divergent_priors` are from before 12.0: `missing` was made anew from the objects, and the next
    write of the log is to have `LogChanges.clear_divergent_priors` set.
    """

    log: PGLog
    missing: PGMissing
    divergent_priors: dict[EVersion, HObject]


def read_info(store: ObjectStore, pgid: SPGId) -> StoredInfo:
    """The info of a PG, with what fast info has that is newer.

    NotFound if there is no such PG, InvalidArgument if its layout is older than we read,
    InputOutput if parts are missing or damaged.
    """
    wanted = (INFOVER_KEY, EPOCH_KEY, INFO_KEY, BIGINFO_KEY, FASTINFO_KEY)
    found = store.omap_get_values(Coll.of(pgid), pgid.pgmeta(), wanted)
    lacking = [key for key in wanted[:-1] if key not in found]
    if lacking:
        raise InputOutput(
            f"PG {pgid} has no {' and no '.join(lacking)} in its omap: it was never completed"
        )
    try:
        struct_v = found[INFOVER_KEY][0]
        if struct_v < STRUCT_V:
            raise InvalidArgument(
                f"PG {pgid} has layout {struct_v}, {STRUCT_V} is the oldest that can be read: "
                "start its OSD once with Ceph 13.2 to 16.2"
            )
        info = PGInfo.decode(found[INFO_KEY])
        past_intervals, end = PastIntervals.decode_from(found[BIGINFO_KEY])
        info.purged_snaps, _ = IntervalSet.decode_from(found[BIGINFO_KEY], end)
        if found.get(FASTINFO_KEY):
            PGFastInfo.decode(found[FASTINFO_KEY]).apply_to(info)
        (epoch,) = _EPOCH.unpack_from(found[EPOCH_KEY])
    except (WireError, _struct.error, IndexError) as error:
        raise InputOutput(f"the info of PG {pgid} is damaged: {error}") from error
    return StoredInfo(struct_v, epoch, info, past_intervals)


def read_log(store: ObjectStore, pgid: SPGId, info: PGInfo) -> StoredLog:
    """The log of a PG whose info is `info`, and what is missing.

    NotFound if there is no such PG; InputOutput if an entry is damaged or out of order.
    """
    cid, oid = Coll.of(pgid), pgid.pgmeta()
    log = PGLog(info.last_update, info.log_tail, [], info.last_update)
    missing = PGMissing()
    priors: dict[EVersion, HObject] | None = None
    for key, value in _entries_behind_info(store, cid, oid):
        try:
            if key == DIVERGENT_PRIORS_KEY:
                priors = _DivergentPriors.decode(value).items
            else:
                _take(log, missing, key, value)
        except WireError as error:
            raise InputOutput(f"{key} of the log of PG {pgid} is damaged: {error}") from error
    if priors is not None:
        _rebuild_missing(store, cid, info, log, missing, priors)
    return StoredLog(log, missing, priors or {})


def _entries_behind_info(
    store: ObjectStore, cid: Coll, oid: GHObject
) -> Iterator[tuple[str, bytes]]:
    """All omap entries but those of the info and such, whose keys begin with `_`."""
    for key, value in store.omap_iterate(cid, oid):
        if key.startswith("_"):
            break
        yield key, value
    yield from store.omap_iterate(cid, oid, "`")  # the character that follows `_`


def _take(log: PGLog, missing: PGMissing, key: str, value: bytes) -> None:
    """Takes one entry into the log or the missing objects."""
    if key == CAN_ROLLBACK_TO_KEY:
        log.can_rollback_to = EVersion.decode(value)
    elif key == ROLLBACK_INFO_TRIMMED_TO_KEY:
        log.rollback_info_trimmed_to = EVersion.decode(value)
    elif key == MAY_INCLUDE_DELETES_KEY:
        missing.may_include_deletes = True
    elif key.startswith("missing"):
        hobj, end = HObject.decode_from(value)
        missing.missing[hobj], _ = PGMissingItem.decode_from(value, end)
    elif key.startswith(DUP_PREFIX):
        dup = PGLogDup.decode(value)
        if log.dups and log.dups[-1].version >= dup.version:
            raise WireError(f"version {dup.version} comes behind {log.dups[-1].version}")
        log.dups.append(dup)
    else:
        entry = parse_entry(value)
        if log.log:
            last = log.log[-1].version
            if last.version >= entry.version.version or last.epoch > entry.version.epoch:
                raise WireError(f"version {entry.version} comes behind {last}")
        log.log.append(entry)


def _rebuild_missing(
    store: ObjectStore,
    cid: Coll,
    info: PGInfo,
    log: PGLog,
    missing: PGMissing,
    priors: dict[EVersion, HObject],
) -> None:
    """Compares objects with the log, for stores that did not keep what is missing."""
    if info.last_complete >= info.last_update:
        return
    seen: set[HObject] = set()
    for entry in reversed(log.log):
        hobj = entry.soid
        if hobj > info.last_backfill or entry.op == LogOp.ERROR or hobj in seen:
            continue
        seen.add(hobj)
        if entry.is_delete and not missing.may_include_deletes:
            continue
        have = _version_of(store, cid, info, hobj)
        if have is None or have < entry.version:
            missing.missing[hobj] = _missing_item(entry.version, have, is_delete=entry.is_delete)
    for version in sorted(priors, reverse=True):
        hobj = priors[version]
        if version <= info.last_complete:
            break
        if hobj > info.last_backfill or hobj in seen:
            continue
        seen.add(hobj)
        if _version_of(store, cid, info, hobj) is None:
            missing.missing[hobj] = _missing_item(version, None, is_delete=False)


def _missing_item(need: EVersion, have: EVersion | None, *, is_delete: bool) -> PGMissingItem:
    regions = ObjectCleanRegions.all_dirty()
    return PGMissingItem(need, have or EVERSION_MIN, is_delete, regions)


def _version_of(store: ObjectStore, cid: Coll, info: PGInfo, hobj: HObject) -> EVersion | None:
    """The version of an object, None if it is not there."""
    try:
        raw = store.getattr(cid, GHObject(hobj, NO_GEN, info.shard), OBJECT_INFO_ATTR)
    except NotFound:
        return None
    except CephError as error:
        if error.errno != ENODATA:
            raise
        return None
    return ObjectInfo.decode(raw).version


def has_removal_flag(store: ObjectStore, pgid: SPGId) -> bool:
    """Whether the PG is to be removed: what there is of it is not to be used."""
    try:
        return bool(store.omap_check_keys(Coll.of(pgid), pgid.pgmeta(), [REMOVE_KEY]))
    except NotFound:
        return False


# --- changes ---


@dataclass(slots=True)
class MetaChanges:
    """What is to be done to a PG's nameless object: removals come before what is set."""

    touch: bool = False
    ranges: list[tuple[str, str]] = field(default_factory=list)
    remove: set[str] = field(default_factory=set)
    set: dict[str, bytes] = field(default_factory=dict)

    def add_to(self, txn: Transaction, pgid: SPGId) -> None:
        """Appends the changes to a transaction."""
        cid, oid = Coll.of(pgid), pgid.pgmeta()
        if self.touch:
            txn.touch(cid, oid)
        for first, end in self.ranges:
            txn.omap_rmkeyrange(cid, oid, first, end)
        if self.remove:
            txn.omap_rmkeys(cid, oid, self.remove)
        if self.set:
            txn.omap_setkeys(cid, oid, self.set)

    def update(self, other: MetaChanges) -> None:
        """Takes over other changes, of other keys."""
        self.touch |= other.touch
        self.ranges += other.ranges
        self.remove |= other.remove
        self.set |= other.set


def create_collection(txn: Transaction, pgid: SPGId, pg_num: int) -> None:
    """Makes the collection of a PG of a pool that has `pg_num` PGs."""
    txn.create_collection(Coll.of(pgid), pgid.pgid.split_bits(pg_num))


def init_on_disk(txn: Transaction, pgid: SPGId, pool: PGPool | None = None) -> None:
    """Makes the nameless object of a new PG. Info and log are still to be written."""
    cid = Coll.of(pgid)
    if pool is not None:
        hint = _HINT.pack(pool.pg_num, pool.expected_num_objects // pool.pg_num)
        txn.collection_hint(cid, _HINT_EXPECTED_OBJECTS, hint)
    MetaChanges(touch=True, set={INFOVER_KEY: bytes([STRUCT_V])}).add_to(txn, pgid)


def info_changes(
    epoch: int,
    info: PGInfo,
    last_written: PGInfo,
    past_intervals: PastIntervals,
    *,
    dirty_big_info: bool,
    dirty_epoch: bool,
    try_fast_info: bool,
    fast_is_enough: bool = False,
) -> tuple[MetaChanges, PGInfo]:
    """What to write when `info` changed, and what then is the info written last.

    `last_written` is what the call before gave; it is used up. `dirty_big_info`: past intervals
    or purged snapshots changed, too. With `try_fast_info` (option `osd_fast_info`), only the fast
    parts are written when nothing else changed; `fast_is_enough` is the caller's word for that,
    which saves a comparison of everything.
    """
    made = MetaChanges()
    if dirty_epoch:
        made.set[EPOCH_KEY] = _EPOCH.pack(epoch)
    if not dirty_big_info and try_fast_info and info.last_update > last_written.last_update:
        if fast_is_enough:
            # of what was written last, only this is looked at again, unless all is compared
            last_written.last_update = info.last_update
            made.set[FASTINFO_KEY] = fast_value(info)
            return made, last_written
        fast = PGFastInfo.of(info)
        fast.apply_to(last_written)
        if info == last_written:
            made.set[FASTINFO_KEY] = fast.encode()
            return made, last_written
    elif info.last_update <= last_written.last_update:
        made.remove.add(FASTINFO_KEY)  # it may be of a history that is no more
    purged, info.purged_snaps = info.purged_snaps, IntervalSet()
    made.set[INFO_KEY] = raw = info.encode()
    info.purged_snaps = purged
    if dirty_big_info:
        made.set[BIGINFO_KEY] = past_intervals.encode() + purged.encode()
    written = PGInfo.decode(raw)
    written.purged_snaps = IntervalSet(purged)
    return made, written


_PACK_FAST = packer(
    opened(1, 1),
    *usual.eversion("last_update"),
    *usual.eversion("last_complete"),
    number("Q", "last_user_version"),
    *usual.eversion("stats.version"),
    number("Q", "stats.reported_seq"),
    *usual.utime("stats.last_fresh"),
    *usual.utime("stats.last_active"),
    *usual.utime("stats.last_peered"),
    *usual.utime("stats.last_clean"),
    *usual.utime("stats.last_unstale"),
    *usual.utime("stats.last_undegraded"),
    *usual.utime("stats.last_fullsized"),
    number("q", "stats.log_size"),
    *(
        number("q", f"stats.stats.sum.{name}")
        for name in (
            *("num_bytes", "num_objects", "num_object_copies", "num_rd", "num_rd_kb"),
            *("num_wr", "num_wr_kb", "num_objects_dirty"),
        )
    ),
    closed(),
)


def fast_value(info: PGInfo) -> bytes:
    """What `PGFastInfo.of(info).encode()` gives, in a fifth of the time: each write has one."""
    packed = _PACK_FAST(info)
    if packed is not None:
        return packed
    stats, counters = info.stats, info.stats.stats.sum
    update, complete, version = info.last_update, info.last_complete, stats.version
    fresh, active, peered = stats.last_fresh, stats.last_active, stats.last_peered
    clean, unstale = stats.last_clean, stats.last_unstale
    undegraded, fullsized = stats.last_undegraded, stats.last_fullsized
    return _FAST.pack(
        *(1, 1, _FAST.size - 6),
        *(update.version, update.epoch, complete.version, complete.epoch, info.last_user_version),
        *(version.version, version.epoch, stats.reported_seq),
        *(fresh.sec, fresh.nsec, active.sec, active.nsec, peered.sec, peered.nsec),
        *(clean.sec, clean.nsec, unstale.sec, unstale.nsec),
        *(undegraded.sec, undegraded.nsec, fullsized.sec, fullsized.nsec, stats.log_size),
        *(counters.num_bytes, counters.num_objects, counters.num_object_copies),
        *(counters.num_rd, counters.num_rd_kb, counters.num_wr, counters.num_wr_kb),
        counters.num_objects_dirty,
    )


@dataclass(slots=True)
class LogChanges:
    """Which parts of a log are not yet written as they are (upstream PGLog's dirty_to and so on).

    Entries before `dirty_to`, from `dirty_from` on, are removed and written anew; from
    `writeout_from` on written; those of `trimmed` removed. Likewise for dups, `trimmed_dups` being
    keys. `missing` are objects that became missing, changed so or are missing no more.
    """

    touch: bool = False
    dirty_to: EVersion = EVERSION_MIN
    dirty_from: EVersion = EVERSION_MAX
    writeout_from: EVersion = EVERSION_MAX
    trimmed: set[EVersion] = field(default_factory=set)
    dirty_to_dups: EVersion = EVERSION_MIN
    dirty_from_dups: EVersion = EVERSION_MAX
    write_from_dups: EVersion = EVERSION_MAX
    trimmed_dups: set[str] = field(default_factory=set)
    missing: set[HObject] = field(default_factory=set)
    may_include_deletes: bool = False
    clear_divergent_priors: bool = False

    @classmethod
    def everything(cls, missing: PGMissing) -> LogChanges:
        """All of a log and of what is missing, in place of whatever is there."""
        return cls(
            touch=True,
            dirty_to=EVERSION_MAX,
            dirty_from=EVERSION_MIN,
            writeout_from=EVERSION_MIN,
            dirty_to_dups=EVERSION_MAX,
            dirty_from_dups=EVERSION_MIN,
            write_from_dups=EVERSION_MIN,
            missing=set(missing.missing),
            may_include_deletes=missing.may_include_deletes,
        )


def log_changes(
    log: PGLog, missing: PGMissing, dirty: LogChanges, *, require_rollback: bool
) -> MetaChanges:
    """What to write when the log, or what is missing, changed.

    `require_rollback`: the pool is erasure-coded; up to where changes can be undone is kept.
    """
    made = MetaChanges(dirty.touch)
    made.remove |= dirty.trimmed_dups
    made.remove |= {version_key(version) for version in dirty.trimmed}
    _clear(made, "", dirty.dirty_to, dirty.dirty_from)
    for entry in _to_write(log.log, dirty.dirty_to, dirty.dirty_from, dirty.writeout_from):
        made.set[entry.key_name] = entry_value(entry)
    _clear(made, DUP_PREFIX, dirty.dirty_to_dups, dirty.dirty_from_dups)
    for dup in _to_write(
        log.dups, dirty.dirty_to_dups, dirty.dirty_from_dups, dirty.write_from_dups
    ):
        made.set[dup_key(dup.version)] = dup.encode()
    if dirty.clear_divergent_priors:
        made.remove.add(DIVERGENT_PRIORS_KEY)
    if dirty.may_include_deletes:
        made.set[MAY_INCLUDE_DELETES_KEY] = b""
    for hobj in dirty.missing:
        item = missing.missing.get(hobj)
        if item is None:
            made.remove.add(missing_key(hobj))
        else:
            made.set[missing_key(hobj)] = hobj.encode() + item.encode()
    if require_rollback:
        made.set |= _rollback_entries(log)
    return made


def old_log_changes(log: PGLog, priors: dict[EVersion, HObject]) -> MetaChanges:
    """All of a log as it was kept before 12.0: divergent priors in place of what is missing."""
    made = log_changes(log, PGMissing(), LogChanges.everything(PGMissing()), require_rollback=True)
    made.set[DIVERGENT_PRIORS_KEY] = _DivergentPriors(priors).encode()
    return made


def _rollback_entries(log: PGLog) -> dict[str, bytes]:
    return {
        CAN_ROLLBACK_TO_KEY: log.can_rollback_to.encode(),
        ROLLBACK_INFO_TRIMMED_TO_KEY: log.rollback_info_trimmed_to.encode(),
    }


def _clear(made: MetaChanges, prefix: str, to: EVersion, since: EVersion) -> None:
    """The ranges before `to` and from `since` on."""
    if to:
        made.ranges.append((prefix + version_key(EVERSION_MIN), prefix + version_key(to)))
    if EVERSION_MAX not in (to, since):
        made.ranges.append((prefix + version_key(since), prefix + version_key(EVERSION_MAX)))


def _to_write(entries: list[_T], to: EVersion, since: EVersion, writeout: EVersion) -> Iterator[_T]:
    """Those up to `to`, and those from `since` or `writeout` on; asks only those and one more."""
    if to:
        for entry in entries:
            if entry.version > to:
                break
            yield entry
    first = min(since, writeout)
    for entry in reversed(entries):
        if entry.version < first or entry.version <= to:
            break
        yield entry


def removal_flag(pgid: SPGId, txn: Transaction) -> None:
    """Marks a PG as one that is to be removed: of use to nobody, should it be found later."""
    MetaChanges(set={REMOVE_KEY: b"\1"}).add_to(txn, pgid)


def clear_removal_flag(pgid: SPGId, txn: Transaction) -> None:
    """Takes the mark back."""
    MetaChanges(remove={REMOVE_KEY}).add_to(txn, pgid)


def trim_keys(versions: Iterable[EVersion]) -> set[str]:
    """The keys of these log entries."""
    return {version_key(version) for version in versions}
