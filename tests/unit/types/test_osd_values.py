"""What PGs, their logs and statistics mean beyond their bytes."""

from __future__ import annotations

import pytest

from spirula.denc.features import OS_PERF_STAT_NS, PACIFIC, SERVER_OCTOPUS
from spirula.errors import IncompatibleVersion, WireError
from spirula.types.base import EVersion, UTime
from spirula.types.entity import EntityName
from spirula.types.hit_set import BloomFilter, HitSet
from spirula.types.hobject import HObject
from spirula.types.interval_set import IntervalSet
from spirula.types.object_info import (
    ObjectFlag,
    ObjectInfo,
    ObjectLocator,
    ObjectManifest,
    OSDReqId,
    WatchInfo,
)
from spirula.types.osd_stats import ObjectstorePerfStat, OSDStat, Pow2Hist
from spirula.types.osd_superblock import PoolPGNumHistory
from spirula.types.past_intervals import PastIntervals, PGInterval
from spirula.types.pg import PGShard
from spirula.types.pg_info import PGFastInfo, PGHistory, PGInfo
from spirula.types.pg_log import (
    LogOp,
    ModCode,
    ModStep,
    ObjectCleanRegions,
    ObjectModDesc,
    PGLogEntry,
    PGMissingItem,
)
from spirula.types.pg_stats import PGStat, StoreStatfs
from spirula.types.scrub import ScrubObject
from spirula.types.snap import SnapContext, SnapSet
from spirula.types.wrappers import FileLayout, Timespan

HEAD = HObject.of(1, "o", 5)


def test_a_locator_with_a_hash_is_for_readers_that_know_hashes() -> None:
    assert ObjectLocator(1, "key").encode()[1] == 3
    placed = ObjectLocator(1, nspace="n", hash=7)
    assert placed.encode()[1] == 6
    assert ObjectLocator.decode(placed.encode(), exact=True) == placed
    both = bytearray(ObjectLocator(1, "key").encode())
    both[-8:] = bytes(8)
    with pytest.raises(WireError, match="both key and hash"):
        ObjectLocator.decode(bytes(both))


def test_object_info_keeps_all_but_the_relics() -> None:
    who = EntityName(8, 4100)
    info = ObjectInfo(
        HEAD,
        EVersion(7, 3),
        EVersion(6, 3),
        OSDReqId(who, 12, 1),
        4096,
        UTime(5, 6),
        user_version=7,
        watchers={(9, who): WatchInfo(9, 30), (2, who): WatchInfo(2, 30)},
    )
    info.flags = ObjectFlag.DIRTY | ObjectFlag.MANIFEST | ObjectFlag.USES_TMAP | ObjectFlag.LOST
    info.set_data_digest(0xABCD)
    info.manifest = ObjectManifest(1, HEAD)
    got = ObjectInfo.decode(info.encode(), exact=True)
    assert got == info
    assert got.encode() == info.encode()
    got.clear_digests()
    assert not got.test(ObjectFlag.DATA_DIGEST)
    assert info.plain()["flags"] == ["lost", "dirty", "data_digest", "manifest", "uses_tmap"]


def test_object_info_of_a_clone_and_of_old_versions() -> None:
    clone = ObjectInfo(HEAD.at_snap(4), size=1)
    assert ObjectInfo.decode(clone.encode(), exact=True) == clone
    with pytest.raises(IncompatibleVersion):
        ObjectInfo.decode(b"\x07" + clone.encode()[6:])


def test_reverting_entries_have_two_versions_in_exchange() -> None:
    entry = PGLogEntry(
        LogOp.LOST_REVERT, HEAD, EVersion(9, 2), EVersion(8, 2), reverting_to=EVersion(5, 1)
    )
    got = PGLogEntry.decode(entry.encode(), exact=True)
    assert (got.prior_version, got.reverting_to) == (EVersion(8, 2), EVersion(5, 1))
    plain = entry.encode()
    entry.op = LogOp.MODIFY
    assert len(entry.encode()) == len(plain) - 12


@pytest.mark.parametrize("op", [LogOp.MODIFY, LogOp.ERROR])
def test_results_of_log_entries(op: LogOp) -> None:
    reqid = OSDReqId(EntityName(8, 1), 5, 0)
    entry = PGLogEntry(op, HEAD, return_code=-2, extra_reqids=[(reqid, 4)])
    entry.extra_reqid_return_codes = {0: -17}
    assert PGLogEntry.decode(entry.encode(), exact=True) == entry


def test_log_keys_sort_by_time() -> None:
    entries = [PGLogEntry(version=EVersion(v, e)) for v, e in ((9, 1), (10, 1), (2, 10))]
    assert entries[0].key_name == "0000000001.00000000000000000009"
    assert sorted(entry.key_name for entry in entries) == [entry.key_name for entry in entries]


def test_rollback_steps_come_back_in_order() -> None:
    desc = ObjectModDesc()
    steps = [
        ModStep(ModCode.APPEND, 4096),
        ModStep(ModCode.SETATTRS, attrs={"_": b"old", "new": None}),
        ModStep(ModCode.UPDATE_SNAPS, snaps={3, 1}),
        ModStep(ModCode.ROLLBACK_EXTENTS, 12, extents=[(0, 4096)]),
        ModStep(ModCode.DELETE, 11),
    ]
    assert all(desc.add(step) for step in steps)
    assert not desc.add(ModStep(ModCode.APPEND, 1))  # after a deletion nothing is needed
    got = ObjectModDesc.decode(desc.encode(), exact=True)
    assert got.steps() == steps
    assert got.max_required_version == 2
    got.mark_unrollbackable()
    assert not got.add(steps[0])
    with pytest.raises(WireError, match="not known"):
        ObjectModDesc(steps_raw=b"\x01\x01\x01\0\0\0\x63").steps()


def test_missing_items_for_peers_before_octopus() -> None:
    item = PGMissingItem(EVersion(5, 1), EVersion(4, 1), is_delete=True)
    old = item.encode(PACIFIC & ~SERVER_OCTOPUS)
    got = PGMissingItem.decode(old, exact=True)
    assert (got.need, got.have, got.is_delete) == (item.need, item.have, True)
    assert got.clean_regions == ObjectCleanRegions.all_dirty()
    assert PGMissingItem.decode(item.encode(), exact=True) == item


def test_clean_regions_keep_the_longest() -> None:
    regions = ObjectCleanRegions()
    for block in range(20):
        regions.mark_data_dirty(block * 100, 10)
    assert len(regions.clean_offsets) == 10
    assert regions.dirty_regions().covers(0, 10)
    other = ObjectCleanRegions(IntervalSet([(0, 50)]), clean_omap=False)
    regions.merge(other)
    assert not regions.clean_omap
    assert regions.clean_offsets <= other.clean_offsets
    assert ObjectCleanRegions().clean_offsets != regions.clean_offsets  # a default is not shared


def test_past_intervals_drop_what_a_later_one_makes_needless() -> None:
    past = PastIntervals()
    assert past.is_empty
    for first, last, acting, rw in ((10, 20, [0, 1], True), (21, 30, [1, 2], True)):
        past.add_interval(PGInterval(first, last, acting, acting, rw), erasure=False)
    past.add_interval(PGInterval(31, 40, [5], [5], False), erasure=False)
    past.add_interval(PGInterval(41, 50, [1], [1], True), erasure=False)
    assert [i.first for i in past.intervals] == [41]
    assert past.all_participants == {PGShard(n) for n in (0, 1, 2, 5)}
    assert past.bounds == (10, 51)
    assert [i.last for i in past.may_have_writes_since(50)] == [50]
    assert list(past.may_have_writes_since(51)) == []
    with pytest.raises(ValueError, match="not after 50"):
        past.add_interval(PGInterval(41, 50), erasure=False)
    assert PastIntervals.decode(past.encode(), exact=True) == past


def test_past_intervals_of_erasure_coded_pools_know_shards() -> None:
    past = PastIntervals()
    past.add_interval(PGInterval(1, 2, [], [4, 0x7FFFFFFF, 6], True), erasure=True)
    assert past.all_participants == {PGShard(4, 0), PGShard(6, 2)}


def test_histories_take_over_what_is_newer() -> None:
    mine = PGHistory.created(5, UTime(1, 0))
    theirs = PGHistory(epoch_created=5, last_epoch_started=9, last_interval_started=8)
    theirs.prior_readable_until_ub = Timespan.of(2.5)
    assert mine.merge(theirs)
    assert (mine.last_epoch_started, float(mine.prior_readable_until_ub)) == (9, 2.5)
    assert mine.last_scrub_stamp == UTime(1, 0)
    assert not mine.merge(theirs)
    theirs.prior_readable_until_ub = Timespan.of(1)
    assert mine.merge(theirs)


def test_fast_infos_bring_infos_up_to_date() -> None:
    newer = PGInfo(last_update=EVersion(9, 2), last_user_version=9)
    newer.stats.stats.sum.num_objects = 4
    newer.stats.log_size = 3
    older = PGInfo(last_update=EVersion(8, 2))
    fast = PGFastInfo.decode(PGFastInfo.of(newer).encode(), exact=True)
    assert fast.apply_to(older)
    assert (older.last_user_version, older.stats.stats.sum.num_objects) == (9, 4)
    assert older.stats.ondisk_log_size == 3
    assert not fast.apply_to(older)


def test_statistics_add_up() -> None:
    one, two = PGStat(log_size=3, snaptrimq_len=1 << 30), PGStat(log_size=4, snaptrimq_len=1 << 31)
    one.stats.sum.num_bytes, two.stats.sum.num_bytes = 10, 5
    two.omap_stats_invalid = True
    one.add(two)
    assert (one.log_size, one.stats.sum.num_bytes, one.snaptrimq_len) == (7, 15, 1 << 31)
    assert one.omap_stats_invalid
    one.sub(two)
    assert one.stats.sum.num_bytes == 10
    one.stats.sum.num_wr = -4
    one.stats.sum.floor(0)
    assert one.stats.sum.num_wr == 0


def test_states_of_more_than_32_bits() -> None:
    stat = PGStat()
    stat.state = 1 << 34 | 3
    assert PGStat.decode(stat.encode()).state == 1 << 34 | 3


def test_space_is_told_in_bytes_and_in_kib() -> None:
    stat = OSDStat()
    stat.set_statfs(StoreStatfs(total=10 << 20, available=4 << 20, internally_reserved=1 << 20))
    assert (stat.kb, stat.kb_used, stat.kb_avail) == (10240, 6144, 4096)
    assert stat.statfs.used == 5 << 20
    assert OSDStat.decode(stat.encode(), exact=True) == stat


def test_latencies_in_the_peers_unit() -> None:
    stat = ObjectstorePerfStat(5_000_000, 7_500_000)
    assert ObjectstorePerfStat.decode(stat.encode(PACIFIC | OS_PERF_STAT_NS)) == stat
    coarse = ObjectstorePerfStat.decode(stat.encode(PACIFIC & ~(1 << 17)))
    assert coarse == ObjectstorePerfStat(5_000_000, 7_000_000)


def test_histograms() -> None:
    one, two = Pow2Hist(), Pow2Hist()
    for value in (0, 1, 5, 5):
        one.add_value(value)
    two.add(one)
    assert two.h == [1, 1, 0, 2]
    assert two.upper_bound == 16
    two.sub(one)
    assert two.h == []
    one.decay()
    assert one.h == [0, 0, 0, 1]


def test_pg_num_histories_forget_what_nobody_can_ask_for() -> None:
    history = PoolPGNumHistory(9, {1: {2: 8, 5: 16, 9: 32}, 2: {1: 4}}, {(3, 2), (8, 7)})
    history.prune(6)
    assert history.pg_nums == {1: {5: 16, 9: 32}}
    assert history.deleted_pools == {(8, 7)}


def test_snapshot_contexts_must_descend() -> None:
    assert SnapContext(9, [9, 4]).is_valid()
    assert SnapContext(9, []).is_valid()
    for seq, snaps in ((3, [4]), (9, [4, 4]), (9, [4, 5]), ((1 << 64) - 1, [])):
        assert not SnapContext(seq, snaps).is_valid()


def test_clones_count_what_they_do_not_share() -> None:
    snaps = SnapSet(5, True, [5], [3], {3: IntervalSet([(0, 1000)])}, {3: 4096}, {3: [3]})
    assert snaps.clone_bytes(3) == 3096
    assert snaps.context() == SnapContext(5, [5])


def test_scrub_errors_of_any_kind_are_told_to_peers_that_know_one() -> None:
    found = ScrubObject()
    found.mark_read_error(hash_mismatch=True)
    assert (found.any_read_error, found.read_error, found.ec_hash_mismatch) == (True, False, True)
    assert ScrubObject.decode(found.encode(), exact=True) == found
    assert ScrubObject(any_read_error=True).read_error


def test_unknown_kinds_are_refused() -> None:
    hits = bytearray(HitSet().encode())
    hits[7] = 9
    with pytest.raises(WireError, match="type 9"):
        HitSet.decode(bytes(hits))
    past = bytearray(PastIntervals().encode())
    past[6] = 1
    with pytest.raises(WireError, match="type 1"):
        PastIntervals.decode(bytes(past))
    with pytest.raises(WireError, match="type 7"):
        ObjectManifest(7)


def test_density_of_bloom_filters() -> None:
    assert BloomFilter().density() == 0.0
    assert BloomFilter(bit_table=b"\x0f\xff").density() == 0.75


@pytest.mark.parametrize("seconds", [0.0, 1.5, -1.5, 2.000000001])
def test_spans(seconds: float) -> None:
    assert float(Timespan.of(seconds)) == pytest.approx(seconds)


def test_layouts_for_clients_of_old() -> None:
    layout = FileLayout(1 << 16, 4, 1 << 22, 3, "ns")
    assert FileLayout.decode(layout.encode(), exact=True) == layout
    old = FileLayout.decode(layout.encode(0), exact=True)
    assert old == FileLayout(1 << 16, 4, 1 << 22, 3)
    assert FileLayout.decode(FileLayout().encode(0), exact=True) == FileLayout()
    assert layout.is_valid()
    assert layout.period == 4 << 22
    assert not FileLayout(4096, 1, 1 << 22).is_valid()
