"""Exports come back as they went; what does not fit is refused before anything is changed."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc

import pytest

from spirula.errors import (
    CephError,
    Exists,
    InputOutput,
    InvalidArgument,
    NoSpace,
    NotFound,
    Truncated,
    WireError,
)
from spirula.store import osd_meta, pg_meta, snap_mapper
from spirula.store.osd_meta import META, SNAPMAPPER
from spirula.store.tools.dump_format import (
    DataSection,
    DumpReader,
    DumpWriter,
    ObjectBegin,
    PGBegin,
    SectionType,
)
from spirula.store.tools.export_pg import export_pg
from spirula.store.tools.import_pg import import_pg
from spirula.store.tools.remove_pg import finish_removals, remove_pg
from spirula.types.hobject import NO_GEN, GHObject, HObject
from spirula.types.mon import CompatSet, FeatureSet
from spirula.types.pg import Coll, PGId
from spirula.types.pg_stats import PGStat
from spirula.types.transaction import Transaction
from tests.unit.store.tools import pgs

PGS = ["3.1", "3.2s1"]


def exported(store, pgid):
    out = io.BytesIO()
    done = export_pg(store, pgid, out)
    assert done.size == len(out.getvalue())
    return out.getvalue()


def imported(store_and_pump, raw, **options):
    store, pump = store_and_pump
    return import_pg(store, pump, io.BytesIO(raw), **options)


@pytest.fixture(params=PGS)
def pgid(request):
    return pgs.spg(request.param)


@pytest.fixture
def raw(pgid):
    return exported(pgs.full_store(pgid)[0], pgid)


def test_all_comes_back(pgid, raw):
    before, _ = pgs.full_store(pgid)
    after, pump = pgs.osd_store()
    seen = []
    done = import_pg(after, pump, io.BytesIO(raw), progress=lambda each: seen.append(each.objects))
    assert (done.pgid, done.objects, done.skipped, done.notes) == (pgid, 6, 0, [])
    assert seen == [1, 2, 3, 4, 5, 6]
    assert done.size == len(raw)
    expected = pgs.content(before, Coll.of(pgid))
    left_out = {oid for oid in expected if oid.hobj.is_temp or oid.generation != NO_GEN}
    assert len(left_out) == 2
    for oid in left_out:
        del expected[oid]
    found = pgs.content(after, Coll.of(pgid))
    assert found == expected
    assert after.omap_get(META, SNAPMAPPER) == before.omap_get(META, SNAPMAPPER)
    assert exported(after, pgid) == raw


def test_small_reads_of_the_stream_do_not_matter(raw):
    class Trickle(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 13))

    store, pump = pgs.osd_store()
    assert import_pg(store, pump, Trickle(raw)).objects == 6


def test_dry_run_changes_nothing(pgid, raw):
    target = pgs.osd_store()
    assert imported(target, raw, dry_run=True).objects == 6
    assert target[0].list_collections() == [META]


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        ({"fsid": bytes(16)}, InvalidArgument, "came from another cluster, with fsid 00010203-"),
        ({"pool": 8}, NotFound, "pool 3 no longer exists in this OSD's map of epoch 20"),
        ({"epoch": 19}, InvalidArgument, "of epoch 20, this OSD knows maps up to 19"),
        ({"oldest": 21}, InvalidArgument, "map 20 is older than this OSD's oldest, 21: force it"),
        (
            {"features": osd_meta.without_feature(osd_meta.known_features(), 16)},
            InvalidArgument,
            r"has not: compat={},rocompat={},incompat={16=deletes in missing set}: use another",
        ),
    ],
)
def test_refused(raw, target, error, text):
    store, pump = pgs.osd_store(**target)
    with pytest.raises(error, match=text):
        import_pg(store, pump, io.BytesIO(raw))
    assert store.list_collections() == [META]


@pytest.mark.parametrize(
    "target",
    [
        {"oldest": 21},
        {"features": CompatSet(FeatureSet.of({}), FeatureSet.of({}), FeatureSet.of({}))},
    ],
)
def test_forced(raw, target):
    done = imported(pgs.osd_store(**target), raw, force=True)
    assert len(done.notes) == 1
    assert done.notes[0].endswith("; forced")
    assert done.objects == 6


def test_twice_and_as_another_pg(pgid, raw):
    target = pgs.osd_store()
    with pytest.raises(InvalidArgument, match=f"of PG {pgid}, not of 3.0"):
        imported(target, raw, pgid=pgs.spg("3.0"))
    imported(target, raw, pgid=pgid)
    with pytest.raises(Exists, match=f"PG {pgid} already exists in this store"):
        imported(target, raw)


@pytest.mark.parametrize(
    ("history", "relative", "how"),
    [
        ({25: 8}, "3.5", "split into"),
        ({21: 8, 23: 16}, "3.9", "split into"),
        ({25: 1}, "3.0", "merged into"),
        ({10: 8, 26: 8}, "3.5", "split into"),
    ],
)
def test_relatives_of_the_pg_must_not_be_here(history, relative, how):
    source = pgs.spg("3.1")
    raw = exported(pgs.full_store(source)[0], source)
    store, pump = pgs.osd_store(30, history=history, pg_num=16)
    add_pg(store, relative)
    with pytest.raises(Exists, match=f"since it was {how} {relative}, which exists"):
        import_pg(store, pump, io.BytesIO(raw))
    remove_pg(store, pump, pgs.spg(relative))
    assert import_pg(store, pump, io.BytesIO(raw)).objects == 6


def add_pg(store, pgid, pg_num=16):
    txn = Transaction()
    pg_meta.create_collection(txn, pgs.spg(pgid), pg_num)
    pg_meta.init_on_disk(txn, pgs.spg(pgid))
    store.queue_transactions(META, [txn])


def test_objects_that_a_split_took_away_are_skipped():
    """The file has a map with more PGs than its objects were placed by."""
    source = pgs.spg("3.1")
    whole, _ = pgs.full_store(source, pg_num=2, objects=12)
    split = pgs.osdmap(pg_num=4)
    txn = Transaction()
    txn.truncate(META, osd_meta.osdmap_object(pgs.EPOCH), 0)
    txn.write(META, osd_meta.osdmap_object(pgs.EPOCH), 0, split.encode())
    whole.queue_transactions(META, [txn])
    target = pgs.osd_store()
    done = imported(target, exported(whole, source))
    store = target[0]
    kept = set(pgs.content(store, Coll.of(source)))
    bits = source.pgid.split_bits(4)
    assert done.skipped
    assert done.objects == len(kept) - 1
    assert all(source.pgid.contains(bits, oid.hobj) for oid in kept)
    stored = pg_meta.read_info(store, source)
    assert stored.info.stats.stats_invalid
    log = pg_meta.read_log(store, source, stored.info).log
    assert log.log
    assert all(source.pgid.contains(bits, entry.soid) for entry in log.log)


# --- damage ---


def test_cut_off_anywhere(raw):
    """Nothing that an OSD would use is left, and the next import clears away what is."""
    step = max(1, len(raw) // 60)
    target = pgs.osd_store()
    for size in [*range(60), *range(60, len(raw), step), len(raw) - 1]:
        with pytest.raises(WireError, match="cut off"):
            imported(target, raw[:size])
        pgids = [cid.pgid for cid in target[0].list_collections() if not cid.is_meta]
        assert all(pg_meta.has_removal_flag(target[0], left) for left in pgids)
    done = imported(target, raw)
    assert done.notes == [f"removed PG {done.pgid}, which was left"]
    assert done.objects == 6


def test_damaged_anywhere(raw):
    """Flipped bits are found or change only what no checksum covers; nothing else is raised."""
    found = 0
    for at in range(0, len(raw), max(1, len(raw) // 300)):
        damaged = bytearray(raw)
        damaged[at] ^= 0x81
        try:
            imported(pgs.osd_store(), bytes(damaged))
        except (WireError, CephError):
            found += 1
    assert found > 20


def sections(raw):
    reader = DumpReader(io.BytesIO(raw))
    reader.start()
    return list(reader.sections(SectionType.PG_END))


def rewritten(parts):
    out = io.BytesIO()
    writer = DumpWriter(out)
    writer.start()
    for kind, body in [*parts, (SectionType.PG_END, b"")]:
        if body:
            writer.section(kind, body)
        else:
            writer.mark(kind)
    return out.getvalue()


def test_rewriting_is_exact(raw):
    assert rewritten(sections(raw)) == raw


def test_unknown_sections_are_skipped(raw):
    parts = sections(raw)
    parts.insert(2, (77, b"later"))
    parts.insert(4, (78, b"later"))
    done = imported(pgs.osd_store(), rewritten(parts))
    assert done.objects == 6
    first, second = done.notes
    assert first == "skipped a section of type 77, which is not known"
    assert re.fullmatch(r"skipped a section of type 78 of .*#.*, which is not known", second)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda parts: parts[:1], "no metadata"),
        (lambda parts: parts[1:], "first section is of type 9"),
        (lambda parts: [parts[0], *parts[2:]], "object comes before the metadata"),
        (lambda parts: [*parts[:2], *parts[1:]], "second section of metadata"),
        (lambda parts: [*parts[:2], (SectionType.DATA, b"1")], "type 5 does not belong here"),
        (lambda parts: [*parts[:3], parts[0]], "type 1 does not belong into"),
        (lambda parts: [*parts[:3], (SectionType.DATA, b"\1\1\1\0\0\0\1")], "DataSection"),
    ],
)
def test_sections_out_of_place(raw, change, text):
    with pytest.raises(WireError, match=f"damaged or cut off, in the section at byte .*{text}"):
        imported(pgs.osd_store(), rewritten(change(sections(raw))))


def test_a_pg_that_cannot_be(raw):
    parts = sections(raw)
    begin = PGBegin.decode(parts[0][1])
    begin.pgid = PGId(begin.pgid.pool, 4)
    with pytest.raises(WireError, match=r"pool 3 has 4 PGs, and no 3\.4"):
        imported(pgs.osd_store(), rewritten([(SectionType.PG_BEGIN, begin.encode()), *parts[1:]]))


def test_objects_that_cannot_be(raw):
    """Names with a hash that is not theirs, and data behind the largest end of an object."""
    parts = sections(raw)
    at = next(n for n, (kind, _) in enumerate(parts) if kind == SectionType.OBJECT_BEGIN)
    begin = ObjectBegin.decode(parts[at][1])
    begin.hobj = HObject.of(3, begin.hobj.oid, begin.hobj.hash ^ 1, snap=begin.hobj.snap)
    moved = [*parts[:at], (SectionType.OBJECT_BEGIN, begin.encode()), *parts[at + 1 :]]
    far = DataSection(0xFFFFFFF0, 100, bytes(100)).encode()
    behind = [*parts[: at + 1], (SectionType.DATA, far), *parts[at + 1 :]]
    for changed, text in ((moved, "another hash than its name"), (behind, "no object reaches")):
        for dry_run in (False, True):
            with pytest.raises(WireError, match=text):
                imported(pgs.osd_store(), rewritten(changed), dry_run=dry_run)


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"not what an export begins with", "not a file of an exported PG"),
        (struct.pack("<IIII", 0xFFCEFFCE, 3, 18, 10), "export of version 3, 2 is the newest"),
        (struct.pack("<IIII", 0xFFCEFFCE, 2, 2, 10), "heads of 2"),
        (struct.pack("<IIII", 0xFFCEFFCE, 2, 18, 10) + bytes(18), "no section begins"),
        (b"", "ends"),
    ],
)
def test_other_files(head, text):
    with pytest.raises(WireError, match=text):
        imported(pgs.osd_store(), head)


def test_a_pool_is_no_pg():
    raw = rewritten([(SectionType.POOL_BEGIN, b"x")])
    with pytest.raises(InvalidArgument, match="export of a pool"):
        imported(pgs.osd_store(), raw)


def test_a_huge_size_takes_no_memory():
    head = struct.pack("<IIII", 0xFFCEFFCE, 2, 18, 10)
    section = struct.pack("<BBIIq", 1, 1, 12, 0x0101FFCE, 900 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(Truncated, match="ends 943718"):
            imported(pgs.osd_store(), head + section + b"few")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    large = struct.pack("<BBIIq", 1, 1, 12, 0x0101FFCE, 1 << 40)
    with pytest.raises(WireError, match="limit 1073741824"):
        imported(pgs.osd_store(), head + large)


# --- the source ---


def test_what_cannot_be_exported(pgid):
    store, _ = pgs.full_store(pgid)
    with pytest.raises(NotFound, match=r"no collection 3\.3_head"):
        exported(store, pgs.spg("3.3"))
    hobj = pgs.hobject(*pgs.names_of(pgid, 1))
    oid = GHObject(hobj, NO_GEN, pgid.shard)
    store.inject_data_error(oid)
    with pytest.raises(InputOutput, match=re.escape(str(hobj))):
        exported(store, pgid)
    txn = Transaction()
    txn.rmattr(Coll.of(pgid), oid, pg_meta.OBJECT_INFO_ATTR)
    store.queue_transactions(Coll.of(pgid), [txn])
    with pytest.raises(InputOutput, match="has no object info: remove it"):
        exported(store, pgid)


def test_no_superblock(raw):
    store, pump = pgs.osd_store()
    txn = Transaction()
    txn.remove(META, osd_meta.SUPERBLOCK)
    store.queue_transactions(META, [txn])
    with pytest.raises(NotFound, match="no superblock of an OSD"):
        import_pg(store, pump, io.BytesIO(raw))


def test_a_full_store(pgid, raw):
    target = pgs.osd_store()
    target[0].limit(target[0].statfs().allocated + 20_000)
    with pytest.raises(NoSpace):
        imported(target, raw)
    assert pg_meta.has_removal_flag(target[0], pgid)


def test_a_failing_disk(raw):
    target = pgs.osd_store()
    target[0].fail(InputOutput("the disk is gone"))
    with pytest.raises(InputOutput, match="the disk is gone"):
        imported(target, raw)


def test_memory_does_not_grow_with_the_object():
    """An object of 24 MiB and one with 20,000 omap entries go through in pieces."""
    pgid = pgs.spg("3.1")
    store, _ = pgs.full_store(pgid)
    big, many = (pgs.hobject(name) for name in pgs.names_of(pgid, 2))
    cid = Coll.of(pgid)
    txn = Transaction()
    for piece in range(24):
        data = bytes([piece + 1]) * (1 << 20)
        txn.write(cid, GHObject(big, NO_GEN, -1), piece << 20, data)
    entries = {f"{number:06}": bytes(100) for number in range(20_000)}
    txn.omap_setkeys(cid, GHObject(many, NO_GEN, -1), entries)
    store.queue_transactions(cid, [txn])

    class Count:
        size = 0

        def write(self, data):
            self.size += len(data)

    sink = Count()
    tracemalloc.start()
    try:
        export_pg(store, pgid, sink)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sink.size > 26 << 20
    assert peak < 6 << 20
    raw = exported(store, pgid)
    target, pump = pgs.osd_store()
    largest = 0
    queue = target.queue_transactions

    def watch(cid, transactions, on_applied=None, on_commit=None):
        nonlocal largest
        largest = max(largest, *(len(each.encode()) for each in transactions))
        queue(cid, transactions, on_applied, on_commit)

    target.queue_transactions = watch
    import_pg(target, pump, io.BytesIO(raw))
    assert largest < 6 << 20
    assert exported(target, pgid) == raw


# --- removal ---


def test_remove(pgid):
    store, pump = pgs.full_store(pgid)
    add_pg(store, "3.3", 4)
    assert snap_mapper.snaps_of(store, pgs.hobject(*pgs.names_of(pgid, 1), snap=4), pgid.shard)
    assert remove_pg(store, pump, pgid) == 8
    assert store.list_collections() == [META, Coll.of(pgs.spg("3.3"))]
    assert store.omap_get_keys(META, SNAPMAPPER) == []
    with pytest.raises(NotFound, match="is not in this store"):
        remove_pg(store, pump, pgid)
    assert finish_removals(store, pump) == []


def test_stats_stay_valid_when_nothing_was_skipped(pgid, raw):
    target = pgs.osd_store()
    imported(target, raw)
    info = pg_meta.read_info(target[0], pgid).info
    assert info.stats == PGStat()
