"""What is said of heads and clones that do not fit together; words and bits as upstream's tests."""

from __future__ import annotations

from spirula.osd.scrub import snapsets
from spirula.types.hobject import NOSNAP, HObject
from spirula.types.inconsistency import SnapSetError
from spirula.types.interval_set import IntervalSet
from spirula.types.object_info import ObjectFlag, ObjectInfo
from spirula.types.scrub import ScrubObject
from spirula.types.snap import SnapSet

HASH = {"obj1": 0x10, "obj2": 0x20, "obj3": 0x30}


def name(oid, snap=NOSNAP):
    return HObject.of(1, oid, HASH[oid], snap=snap)


def stored(hoid, size=100, snapset=None, **more):
    info = ObjectInfo(hoid, size=size, flags=int(ObjectFlag.DIRTY))
    attrs = {"_": info.encode()}
    if snapset is not None:
        attrs["snapset"] = snapset.encode()
    return ScrubObject(size=size, attrs={**attrs, **more})


def snapset_of(*clones, size=50):
    return SnapSet(
        max(clones, default=0),
        clones=sorted(clones),
        clone_size=dict.fromkeys(clones, size),
        clone_overlap={clone: IntervalSet([(0, 10)]) for clone in clones},
        clone_snaps={clone: [clone] for clone in clones},
    )


def check(*objects):
    return snapsets.check("1.0", "scrub", dict(objects))


def found(report):
    """Bits by name and snapshot."""
    return {(each.object.name, each.object.snap): each.errors for each in report.snapsets}


def whole(oid, *clones):
    head = stored(name(oid), snapset=snapset_of(*clones))
    return [*((name(oid, c), stored(name(oid, c), 50)) for c in clones), (name(oid), head)]


def test_what_fits_is_counted():
    report = check(*whole("obj1", 2, 4), *whole("obj2"))
    assert report.errors == report.notes == report.snapsets == []
    total = report.counted
    assert (total.num_objects, total.num_object_clones, total.num_objects_dirty) == (4, 2, 4)
    assert total.num_bytes == 100 + 100 + 2 * (50 - 10)


def test_a_missing_clone_is_told_with_its_head():
    objects = [each for each in whole("obj1", 1, 2, 4) if each[0].snap not in (1, 4)]
    report = check(*objects, *whole("obj2", 3))
    head = name("obj1")
    assert report.errors == [
        f"scrub 1.0 {head} : expected clone {head.at_snap(4)} 1 missing",
        f"scrub 1.0 {head} : expected clone {head.at_snap(1)} 2 missing",
    ]
    assert report.notes == [f"scrub 1.0 {head} : 2 missing clone(s)"]
    assert found(report) == {("obj1", NOSNAP): SnapSetError.CLONE_MISSING}
    assert report.snapsets[0].missing == [4, 1]


def test_a_clone_that_nobody_knows_is_told_with_its_head():
    extra = name("obj1", 3)
    report = check(*whole("obj1", 2, 4), (extra, stored(extra, 50)))
    assert report.errors == [f"scrub 1.0 {extra} : is an unexpected clone"]
    assert found(report) == {
        ("obj1", 3): SnapSetError.HEADLESS_CLONE,
        ("obj1", NOSNAP): SnapSetError.EXTRA_CLONES,
    }
    assert report.counted.num_objects == 3


def test_clones_without_a_head_are_told():
    clone = name("obj2", 3)
    report = check((clone, stored(clone, 50)), *whole("obj1"))
    # The head that was looked at before is listed with it, as upstream does.
    assert found(report) == {
        ("obj2", 3): SnapSetError.HEADLESS_CLONE,
        ("obj1", NOSNAP): 0,
    }
    assert report.errors == [f"scrub 1.0 {clone} : is an unexpected clone"]


def test_attributes_that_are_gone_or_broken_are_told():
    head, clone = name("obj1"), name("obj1", 1)
    report = check((head, ScrubObject(size=100)), (clone, stored(clone, 50)))
    assert report.errors == [
        f"scrub 1.0 {head} : no '_' attr",
        f"scrub 1.0 {head} : no 'snapset' attr",
        f"scrub 1.0 {clone} : clone ignored due to missing snapset",
    ]
    broken = stored(head, snapset=None, snapset_="x")
    broken.attrs = {"_": b"\xff", "snapset": b"\xff"}
    report = check((head, broken))
    (one,) = report.snapsets
    wanted = SnapSetError.INFO_CORRUPTED | SnapSetError.INFO_MISSING
    assert one.errors == wanted | SnapSetError.SNAPSET_CORRUPTED
    assert report.shallow == 2


def test_sizes_must_agree():
    head, clone = name("obj1"), name("obj1", 1)
    snapset = snapset_of(1, 2, 3)
    snapset.clone_size[1] = 60
    del snapset.clone_size[2]
    snapset.clone_overlap[3] = IntervalSet([(0, 51)])
    clones = [(clone.at_snap(snap), stored(clone.at_snap(snap), 50)) for snap in (1, 2, 3)]
    wrong = stored(head, snapset=snapset)
    wrong.size = 7
    report = check((head, wrong), *clones)
    first = (
        f"scrub 1.0 {head} : on disk size (7) does not match object info size (100) "
        "adjusted for ondisk to (100)"
    )
    assert report.errors == [
        first,
        f"scrub 1.0 {head.at_snap(3)} : bad interval_set in clone_overlap",
        f"scrub 1.0 {head.at_snap(2)} : is missing in clone_size",
        f"scrub 1.0 {clone} : size 50 != clone_size 60",
    ]
    assert set(found(report).values()) == {SnapSetError.SIZE_MISMATCH}


def test_clones_without_a_sequence_are_told():
    snapset = snapset_of(1)
    snapset.seq = 0
    head = name("obj1")
    report = check((head, stored(head, snapset=snapset)), whole("obj1", 1)[0])
    assert report.errors == [f"scrub 1.0 {head} : snaps.seq not set"]
    assert found(report) == {("obj1", NOSNAP): SnapSetError.SNAP_ERROR}
