"""Checks that each object's head, clones and SnapSet fit together, and counts what there is.

No input or output, as `compare`. Objects come chunk by chunk with all clones of their heads; in a
map clones stand before their head, so it is walked from its end. What counts as an error and its
words: upstream `src/osd/PrimaryLogScrub.cc` (scrub_snapshot_metadata).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spirula.errors import WireError
from spirula.osd.ops.context import INFO_ATTR, SNAPSET_ATTR
from spirula.types.hobject import HObject
from spirula.types.inconsistency import InconsistentSnapSet, ObjectId, SnapSetError
from spirula.types.object_info import ObjectFlag, ObjectInfo
from spirula.types.pg_stats import ObjectStatSum
from spirula.types.scrub import ScrubObject
from spirula.types.snap import SnapSet

if TYPE_CHECKING:
    from collections.abc import Callable

_COUNTED = (
    (ObjectFlag.DIRTY, "num_objects_dirty"),
    (ObjectFlag.WHITEOUT, "num_whiteouts"),
    (ObjectFlag.OMAP, "num_objects_omap"),
    (ObjectFlag.CACHE_PIN, "num_objects_pinned"),
    (ObjectFlag.MANIFEST, "num_objects_manifest"),
)


@dataclass(slots=True)
class Report:
    """What was found: lines for the cluster log (errors, and what is only told), counted errors."""

    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    snapsets: list[InconsistentSnapSet] = field(default_factory=list)
    counted: ObjectStatSum = field(default_factory=ObjectStatSum)
    shallow: int = 0

    def error(self, text: str) -> None:
        """One error more."""
        self.errors.append(text)
        self.shallow += 1


@dataclass(slots=True)
class _Head:
    """The head in hand: its clones that are still to come, newest first (None: no SnapSet)."""

    hoid: HObject
    error: InconsistentSnapSet
    snapset: SnapSet | None = None
    expected: list[int] = field(default_factory=list)
    missing: int = 0
    clone_errors: int = 0


def check(
    pgid: str,
    mode: str,
    objects: Mapping[HObject, ScrubObject],
    *,
    hit_set_nspace: str = ".ceph-internal",
    stored_size: Callable[[int], int] = lambda size: size,
) -> Report:
    """Checks the objects of a chunk."""
    report = Report()
    prefix = f"{mode} {pgid}"
    head: _Head | None = None
    for hoid in sorted(objects, reverse=True):
        found = objects[hoid]
        error = InconsistentSnapSet(object=ObjectId.of(hoid))
        stat = ObjectStatSum(num_objects=1)
        if hoid.nspace == hit_set_nspace:
            stat.num_objects_hit_set_archive = 1
        if hoid.is_snap:
            stat.num_object_clones = 1
        info = _read_info(report, prefix, hoid, found, error)
        if info is not None:
            size = stored_size(info.size)
            if size != found.size:
                report.error(
                    f"{prefix} {hoid} : on disk size ({found.size}) does not match object info "
                    f"size ({info.size}) adjusted for ondisk to ({size})"
                )
                error.errors |= SnapSetError.SIZE_MISMATCH
            _count(stat, hoid, info, hit_set_nspace)
        if head is not None and head.expected:
            same = hoid.is_snap and hoid.head() == head.hoid
            _note_missing(report, prefix, head, hoid.snap if same else None)
        if not _is_expected(hoid, head):
            _unexpected(report, prefix, hoid, head, error)
            continue
        if hoid.is_head:
            _close(report, prefix, head)
            head = _open(report, prefix, hoid, found, error)
        elif head is not None:
            _check_clone(report, prefix, hoid, head, info, error, stat)
        report.counted.add(stat)
    if head is not None:
        _note_missing(report, prefix, head, None)
        _close(report, prefix, head)
    return report


def _read_info(
    report: Report, prefix: str, hoid: HObject, found: ScrubObject, error: InconsistentSnapSet
) -> ObjectInfo | None:
    raw = found.attrs.get(INFO_ATTR)
    if raw is None:
        report.error(f"{prefix} {hoid} : no '{INFO_ATTR}' attr")
        error.errors |= SnapSetError.INFO_MISSING
        return None
    try:
        return ObjectInfo.decode(raw)
    except WireError as why:
        report.error(f"{prefix} {hoid} : can't decode '{INFO_ATTR}' attr {why}")
        error.errors |= SnapSetError.INFO_CORRUPTED | SnapSetError.INFO_MISSING
        return None


def _count(stat: ObjectStatSum, hoid: HObject, info: ObjectInfo, hit_set_nspace: str) -> None:
    if not hoid.is_snap:
        stat.num_bytes += info.size  # a clone's own bytes are known by its SnapSet
    if hoid.nspace == hit_set_nspace:
        stat.num_bytes_hit_set_archive += info.size
    for flag, name in _COUNTED:
        if info.flags & flag:
            setattr(stat, name, getattr(stat, name) + 1)


def _is_expected(hoid: HObject, head: _Head | None) -> bool:
    if head is not None and head.expected:
        return hoid.is_snap and hoid.head() == head.hoid and hoid.snap == head.expected[0]
    return hoid.is_head


def _unexpected(
    report: Report, prefix: str, hoid: HObject, head: _Head | None, error: InconsistentSnapSet
) -> None:
    """A clone that no SnapSet speaks of."""
    if head is not None and head.snapset is None:
        report.error(f"{prefix} {hoid} : clone ignored due to missing snapset")
    else:
        report.error(f"{prefix} {hoid} : is an unexpected clone")
    error.errors |= SnapSetError.HEADLESS_CLONE
    report.snapsets.append(error)
    if head is None:
        return
    head.clone_errors += 1
    if hoid.head() == head.hoid:
        head.error.errors |= SnapSetError.EXTRA_CLONES
        head.error.clones.append(hoid.snap)


def _note_missing(report: Report, prefix: str, head: _Head, until: int | None) -> None:
    """Clones newer than `until` (all, if that is None) were to come, and did not."""
    while head.expected and (until is None or head.expected[0] > until):
        clone = head.expected.pop(0)
        head.missing += 1
        name = head.hoid.at_snap(clone)
        report.error(f"{prefix} {head.hoid} : expected clone {name} {head.missing} missing")
        head.error.errors |= SnapSetError.CLONE_MISSING
        head.error.missing.append(clone)


def _open(
    report: Report, prefix: str, hoid: HObject, found: ScrubObject, error: InconsistentSnapSet
) -> _Head:
    """A new head: what its SnapSet promises."""
    made = _Head(hoid, error)
    raw = found.attrs.get(SNAPSET_ATTR)
    if raw is None:
        report.error(f"{prefix} {hoid} : no '{SNAPSET_ATTR}' attr")
        error.errors |= SnapSetError.SNAPSET_MISSING
        return made
    try:
        snapset = SnapSet.decode(raw)
    except WireError as why:
        report.error(f"{prefix} {hoid} : can't decode '{SNAPSET_ATTR}' attr {why}")
        error.errors |= SnapSetError.SNAPSET_CORRUPTED
        return made
    error.snapset = raw
    made.snapset, made.expected = snapset, sorted(snapset.clones, reverse=True)
    if snapset.clones and not snapset.seq:
        report.error(f"{prefix} {hoid} : snaps.seq not set")
        error.errors |= SnapSetError.SNAP_ERROR
    return made


def _close(report: Report, prefix: str, head: _Head | None) -> None:
    """A head and all its clones were looked at."""
    if head is None:
        return
    if head.missing:
        report.notes.append(f"{prefix} {head.hoid} : {head.missing} missing clone(s)")
    if head.error.errors or head.clone_errors:
        report.snapsets.append(head.error)


def _check_clone(
    report: Report,
    prefix: str,
    hoid: HObject,
    head: _Head,
    info: ObjectInfo | None,
    error: InconsistentSnapSet,
    stat: ObjectStatSum,
) -> None:
    """A clone that is there as it should be: its size, and what it shares with newer ones."""
    head.expected.pop(0)
    snapset, clone = head.snapset, hoid.snap
    if snapset is None:
        return

    def wrong(text: str) -> None:
        report.error(f"{prefix} {hoid} : {text}")
        error.errors |= SnapSetError.SIZE_MISMATCH

    size = snapset.clone_size.get(clone)
    if size is None:
        wrong("is missing in clone_size")
    else:
        if info is not None and info.size != size:
            wrong(f"size {info.size} != clone_size {size}")
        overlap = snapset.clone_overlap.get(clone)
        if overlap is None:
            wrong("is missing in clone_overlap")
        elif overlap.size > size:
            wrong("bad interval_set in clone_overlap")
        else:
            stat.num_bytes += snapset.clone_bytes(clone)
    if error.errors:
        report.snapsets.append(error)
        head.clone_errors += 1
