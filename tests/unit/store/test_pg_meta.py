"""What a PG keeps of itself: what is written is read, and only what changed is written."""

from __future__ import annotations

import random
from copy import deepcopy

import pytest

from spirula.errors import InputOutput, InvalidArgument, NotFound, WireError
from spirula.store import pg_meta
from spirula.store.memory import MemoryObjectStore
from spirula.store.pg_meta import EVERSION_MAX, LogChanges, MetaChanges
from spirula.types.base import EVersion, UTime
from spirula.types.hobject import HMAX, HObject
from spirula.types.interval_set import IntervalSet
from spirula.types.object_info import ObjectInfo
from spirula.types.past_intervals import PastIntervals, PGInterval
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
from spirula.types.transaction import Transaction

PGID = SPGId.parse("5.3s2")
CID = Coll.of(PGID)
FLAGS = {"dirty_big_info": False, "dirty_epoch": False, "try_fast_info": True}
EVERYTHING = {"dirty_big_info": True, "dirty_epoch": True, "try_fast_info": False}


@pytest.fixture
def store():
    made = MemoryObjectStore(lambda call: call)
    made.mount()
    txn = Transaction()
    pg_meta.create_collection(txn, PGID, 4)
    pg_meta.init_on_disk(txn, PGID)
    made.queue_transactions(CID, [txn])
    return made


def write(store, changes):
    txn = Transaction()
    changes.add_to(txn, PGID)
    store.queue_transactions(CID, [txn])


def keys(store):
    return store.omap_get_keys(CID, PGID.pgmeta())


def some_info(last=7):
    info = PGInfo(pgid=PGID.pgid, shard=PGID.shard, last_update=EVersion(last, 3))
    info.log_tail = EVersion(2, 3)
    info.purged_snaps = IntervalSet([(1, 4)])
    info.history.epoch_created = 2
    return info


def hobject(number):
    return HObject.of(5, f"name{number}", 3)


def entry(version, epoch=3, number=0):
    return PGLogEntry(LogOp.MODIFY, hobject(number), EVersion(version, epoch))


# --- info ---


def test_info_is_read_as_it_was_written(store):
    intervals = PastIntervals()
    intervals.add_interval(PGInterval(2, 9, [1], [1, 2, 3], True, 1, 1), erasure=True)
    info = some_info()
    changes, written = pg_meta.info_changes(12, info, PGInfo(), intervals, **EVERYTHING)
    assert written == info
    assert written is not info
    assert set(changes.set) == {"_epoch", "_info", "_biginfo"}
    assert not PGInfo.decode(changes.set["_info"]).purged_snaps  # they are with the past intervals
    write(store, changes)
    stored = pg_meta.read_info(store, PGID)
    assert (stored.struct_v, stored.epoch, stored.info) == (10, 12, info)
    assert stored.past_intervals == intervals


def test_fast_info_when_only_that_changed(store):
    info = some_info()
    changes, written = pg_meta.info_changes(12, info, PGInfo(), PastIntervals(), **EVERYTHING)
    write(store, changes)
    info.last_update = info.last_complete = EVersion(8, 3)
    info.last_user_version = 8
    info.stats.stats.sum.num_objects += 1
    before = deepcopy(written)
    changes, written = pg_meta.info_changes(12, info, written, PastIntervals(), **FLAGS)
    assert list(changes.set) == ["_fastinfo"]
    assert not changes.remove
    assert written == info
    vouched, _ = pg_meta.info_changes(
        12, info, before, PastIntervals(), **FLAGS, fast_is_enough=True
    )
    assert vouched == changes
    for number, name in enumerate(PGFastInfo().plain()):
        if hasattr(info.stats.stats.sum, name):
            setattr(info.stats.stats.sum, name, number)
    info.stats.last_peered, info.stats.log_size = UTime(8, 9), 77
    info.stats.version, info.stats.reported_seq = EVersion(6, 2), 55
    info.last_update = EVersion(9, 3)
    vouched, before = pg_meta.info_changes(
        12, info, before, PastIntervals(), **FLAGS, fast_is_enough=True
    )
    assert vouched.set == {"_fastinfo": PGFastInfo.of(info).encode()}
    assert before.last_update == info.last_update
    write(store, changes)
    write(store, vouched)
    info.stats.ondisk_log_size = 77
    assert pg_meta.read_info(store, PGID).info == info
    info.last_update = EVersion(10, 3)
    info.stats.up = [4]
    changes, written = pg_meta.info_changes(12, info, written, PastIntervals(), **FLAGS)
    assert list(changes.set) == ["_info"]
    write(store, changes)
    assert pg_meta.read_info(store, PGID).info == info
    assert "_fastinfo" in keys(store)


def test_fast_info_of_a_history_that_is_no_more_is_removed(store):
    info = some_info(20)
    written = PGInfo()
    changes, written = pg_meta.info_changes(12, info, written, PastIntervals(), **EVERYTHING)
    write(store, changes)
    info.last_update = EVersion(21, 3)
    changes, written = pg_meta.info_changes(12, info, written, PastIntervals(), **FLAGS)
    write(store, changes)
    assert "_fastinfo" in keys(store)
    info.last_update = EVersion(5, 3)
    changes, written = pg_meta.info_changes(12, info, written, PastIntervals(), **FLAGS)
    write(store, changes)
    assert "_fastinfo" not in keys(store)
    assert pg_meta.read_info(store, PGID).info.last_update == EVersion(5, 3)


def test_what_cannot_be_read(store):
    with pytest.raises(NotFound):
        pg_meta.read_info(store, SPGId.parse("5.1"))
    with pytest.raises(InputOutput, match="no _epoch and no _info and no _biginfo"):
        pg_meta.read_info(store, PGID)
    changes, _ = pg_meta.info_changes(1, some_info(), PGInfo(), PastIntervals(), **EVERYTHING)
    write(store, changes)
    write(store, MetaChanges(set={"_info": changes.set["_info"][:-30]}))
    with pytest.raises(InputOutput, match=r"info of PG 5\.3s2 is damaged: "):
        pg_meta.read_info(store, PGID)
    write(store, MetaChanges(set={"_infover": b"\x09"}))
    with pytest.raises(InvalidArgument, match="layout 9, 10 is the oldest"):
        pg_meta.read_info(store, PGID)


def test_removal_flag(store):
    assert not pg_meta.has_removal_flag(store, PGID)
    assert not pg_meta.has_removal_flag(store, SPGId.parse("5.1"))
    for mark, expected in ((pg_meta.removal_flag, True), (pg_meta.clear_removal_flag, False)):
        txn = Transaction()
        mark(PGID, txn)
        store.queue_transactions(CID, [txn])
        assert pg_meta.has_removal_flag(store, PGID) is expected


# --- log ---


def test_keys_are_upstreams():
    assert pg_meta.version_key(EVersion(82, 16)) == "0000000016.00000000000000000082"
    assert pg_meta.dup_key(EVERSION_MAX) == "dup_4294967295.18446744073709551615"
    hobj = HObject.of(2, "a.b_c%d", 0x1234ABCD, nspace="n.s", key="k")
    text = "missing/0000000000000002.DCBA4321.head.a%eb%uc%pd.k.n%es"
    assert pg_meta.missing_key(hobj) == text
    assert hobj.temp("t").key_text() == "FFFFFFFFFFFFFFFC.DCBA4321.head.t.."


def test_log_is_read_as_it_was_written(store):
    info = some_info(9)
    log = PGLog(EVersion(9, 3), EVersion(2, 3), [], EVersion(6, 3), EVersion(4, 3))
    log.log = [entry(version, number=version % 3) for version in range(3, 10)]
    log.dups = [PGLogDup(version=EVersion(version, 3)) for version in (1, 2)]
    missing = PGMissing({hobject(1): PGMissingItem(EVersion(7, 3), EVersion(4, 3), True)}, True)
    dirty = LogChanges.everything(missing)
    write(store, pg_meta.log_changes(log, missing, dirty, require_rollback=True))
    stored = pg_meta.read_log(store, PGID, info)
    assert (stored.log, stored.missing, stored.divergent_priors) == (log, missing, {})


def test_nothing_of_a_replicated_log_can_be_rolled_back(store):
    info = some_info(3)
    log = PGLog(EVersion(3, 3), EVersion(2, 3), [entry(3)], EVersion(3, 3))
    dirty = LogChanges(touch=True, writeout_from=EVersion(3, 3))
    write(store, pg_meta.log_changes(log, PGMissing(), dirty, require_rollback=False))
    assert keys(store) == ["0000000003.00000000000000000003", "_infover"]
    assert pg_meta.read_log(store, PGID, info).log == log


class Changing:
    """A log that changes as a PG's does, written as an OSD would."""

    def __init__(self, rng):
        self.rng = rng
        self.log = PGLog()
        self.missing = PGMissing({}, True)
        self.dirty = LogChanges.everything(self.missing)

    def append(self):
        head = self.log.head
        epoch = max(1, head.epoch) + (self.rng.random() < 0.2)
        each = entry(head.version + 1, epoch, self.rng.randrange(5))
        self.log.log.append(each)
        self.log.head = each.version
        self.dirty.writeout_from = min(self.dirty.writeout_from, each.version)

    def trim(self):
        if self.log.log:
            gone = self.log.log.pop(0)
            self.log.tail = gone.version
            self.dirty.trimmed.add(gone.version)
            self.log.dups.append(PGLogDup(version=gone.version))
            self.dirty.write_from_dups = min(self.dirty.write_from_dups, gone.version)

    def trim_dups(self):
        if self.log.dups:
            gone = self.log.dups.pop(0)
            self.dirty.trimmed_dups.add(pg_meta.dup_key(gone.version))

    def rewind(self):
        """The newest entry was divergent."""
        if self.log.log:
            gone = self.log.log.pop()
            self.log.head = self.log.log[-1].version if self.log.log else self.log.tail
            self.dirty.dirty_from = min(self.dirty.dirty_from, gone.version)

    def miss(self):
        hobj = hobject(self.rng.randrange(5))
        if hobj in self.missing.missing:
            del self.missing.missing[hobj]
        else:
            self.missing.missing[hobj] = PGMissingItem(self.log.head or EVersion(1, 1))
        self.dirty.missing.add(hobj)

    def replace(self):
        """Another OSD's log is taken over."""
        self.log.log = [entry(version, 9, version % 5) for version in (50, 51)]
        self.log.dups = [PGLogDup(version=EVersion(49, 9))]
        self.log.tail, self.log.head = EVersion(49, 9), EVersion(51, 9)
        self.dirty = LogChanges.everything(self.missing)
        self.dirty.missing |= {hobject(number) for number in range(5)}


@pytest.mark.parametrize("seed", range(8))
def test_changes_add_up_to_the_log(store, seed):
    rng = random.Random(seed)
    state = Changing(rng)
    steps = [state.append] * 6 + [state.trim] * 3 + [state.trim_dups, state.rewind, state.miss]
    for round_number in range(60):
        for _ in range(rng.randrange(1, 4)):
            rng.choice(steps)()
        if round_number == 30:
            state.replace()
        log, missing, dirty = state.log, state.missing, state.dirty
        # what came in and went again before a write is not there to be removed
        changes = pg_meta.log_changes(log, missing, dirty, require_rollback=True)
        write(store, changes)
        state.dirty = LogChanges()
        info = PGInfo(pgid=PGID.pgid, shard=PGID.shard, last_update=log.head, log_tail=log.tail)
        stored = pg_meta.read_log(store, PGID, info)
        assert stored.log == log
        assert stored.missing == missing


def test_only_what_is_new_is_encoded():
    log = PGLog(log=[entry(version) for version in range(1, 1000)])
    changes = pg_meta.log_changes(
        log, PGMissing(), LogChanges(writeout_from=EVersion(999, 3)), require_rollback=False
    )
    assert list(changes.set) == ["0000000003.00000000000000000999"]
    assert not changes.ranges


def test_a_damaged_entry_is_named(store):
    value = pg_meta.entry_value(entry(5))
    assert pg_meta.parse_entry(value) == entry(5)
    damaged = value[:20] + bytes([value[20] ^ 1]) + value[21:]
    with pytest.raises(WireError, match="has checksum 0x"):
        pg_meta.parse_entry(damaged)
    for cut in (value[:3], value[:-1]):
        with pytest.raises(WireError):
            pg_meta.parse_entry(cut)
    key = pg_meta.version_key(EVersion(5, 3))
    write(store, MetaChanges(set={key: damaged}))
    with pytest.raises(InputOutput, match=rf"{key} of the log of PG 5\.3s2 is damaged: log entry"):
        pg_meta.read_log(store, PGID, some_info())


@pytest.mark.parametrize("prefix", ["", "dup_"])
def test_entries_out_of_order_are_refused(store, prefix):
    dup = PGLogDup(version=EVersion(5, 3)).encode()
    value = dup if prefix else pg_meta.entry_value(entry(5))
    names = [prefix + pg_meta.version_key(EVersion(version, 3)) for version in (5, 6)]
    write(store, MetaChanges(set=dict.fromkeys(names, value)))
    with pytest.raises(InputOutput, match="version 3'5 comes behind 3'5"):
        pg_meta.read_log(store, PGID, some_info())


def test_missing_objects_are_found_out_from_divergent_priors(store):
    """As the logs of releases before 12.0 want it."""
    info = some_info(9)
    info.last_complete = EVersion(3, 3)
    info.last_backfill = HMAX
    log = PGLog(EVersion(9, 3), EVersion(2, 3), [entry(v, number=v) for v in range(4, 8)])
    log.log[1].op = LogOp.DELETE
    log.log[2].op = LogOp.ERROR
    priors = {EVersion(2, 3): hobject(20), EVersion(5, 3): hobject(21), EVersion(6, 3): hobject(4)}
    write(store, pg_meta.old_log_changes(log, priors))
    txn = Transaction()
    oid = PGID.pgmeta()
    named = type(oid)(hobject(7), oid.generation, PGID.shard)
    txn.touch(CID, named)
    have = EVersion(1, 3)
    raw = ObjectInfo(soid=hobject(7), version=have).encode()
    txn.setattr(CID, named, pg_meta.OBJECT_INFO_ATTR, raw)
    store.queue_transactions(CID, [txn])
    stored = pg_meta.read_log(store, PGID, info)
    assert stored.divergent_priors == priors
    dirty = ObjectCleanRegions.all_dirty()
    assert stored.missing.missing == {
        hobject(4): PGMissingItem(EVersion(4, 3), EVersion(), False, dirty),
        hobject(7): PGMissingItem(EVersion(7, 3), have, False, dirty),
        hobject(21): PGMissingItem(EVersion(5, 3), EVersion(), False, dirty),
    }
    clear = LogChanges(clear_divergent_priors=True)
    write(store, pg_meta.log_changes(stored.log, PGMissing(), clear, require_rollback=True))
    assert pg_meta.read_log(store, PGID, info).divergent_priors == {}
