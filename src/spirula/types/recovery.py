"""What OSDs send one another to bring copies of objects up to date, and what `copy-get` answers.

Formats: upstream `src/osd/osd_types.h`, `osd_types.cc` (ObjectRecoveryInfo, PushOp, PullOp,
object_copy_data_t). Sub-operations of erasure-coded pools are in `ec_sub`.
"""

from __future__ import annotations

from spirula.denc import (
    Map,
    Pair,
    Struct,
    Vec,
    blob,
    boolean,
    default,
    s32,
    since,
    string,
    struct,
    u32,
    u64,
)
from spirula.types.base import EVersion, UTime
from spirula.types.hobject import HObject
from spirula.types.interval_set import IntervalSet
from spirula.types.object_info import ObjectInfo, OSDReqId
from spirula.types.snap import SnapSet


@struct(name="ObjectRecoveryInfo", version=3, compat=1)
class ObjectRecoveryInfo(Struct):
    """What is to be recovered.

    `copy_subset` is sent, `clone_subset` is cloned from what is there.
    """

    soid: HObject
    version: EVersion
    size: u64
    oi: ObjectInfo
    ss: SnapSet
    copy_subset: IntervalSet
    clone_subset: Map[HObject, IntervalSet]
    object_exist: boolean = since(3, default=False)


@struct(name="ObjectRecoveryProgress", version=1, compat=1)
class ObjectRecoveryProgress(Struct):
    """How far the recovery of an object is."""

    first: boolean = default(True)
    data_complete: boolean
    data_recovered_to: u64
    omap_recovered_to: string
    omap_complete: boolean


@struct(name="PullOp", version=1, compat=1)
class PullOp(Struct):
    """Asks for the next part of an object."""

    soid: HObject
    recovery_info: ObjectRecoveryInfo
    recovery_progress: ObjectRecoveryProgress


@struct(name="PushOp", version=1, compat=1)
class PushOp(Struct):
    """A part of an object; `data` holds the ranges of `data_included` one after another."""

    soid: HObject
    version: EVersion
    data: blob
    data_included: IntervalSet
    omap_header: blob
    omap_entries: Map[string, blob]
    attrset: Map[string, blob]
    recovery_info: ObjectRecoveryInfo
    after_progress: ObjectRecoveryProgress
    before_progress: ObjectRecoveryProgress


@struct(name="PushReplyOp", version=1, compat=1)
class PushReplyOp(Struct):
    """The part was stored."""

    soid: HObject


@struct(name="object_copy_cursor_t", version=1, compat=1)
class ObjectCopyCursor(Struct):
    """How far a copy of an object is: attributes, then data, then omap."""

    attr_complete: boolean
    data_offset: u64
    data_complete: boolean
    omap_offset: string
    omap_complete: boolean


@struct(name="object_copy_data_t", version=8, compat=5)
class ObjectCopyData(Struct):
    """A part of an object as the `copy-get` operation answers it; `omap_data` is an encoded map.

    Digests count where `flags` say so (1: data, 2: omap).
    """

    size: u64 = default((1 << 64) - 1)
    mtime: UTime
    attrs: Map[string, blob]
    data: blob
    omap_data: blob
    cursor: ObjectCopyCursor
    omap_header: blob
    snaps: Vec[u64]
    snap_seq: u64
    flags: u32
    data_digest: u32 = default(0xFFFFFFFF)
    omap_digest: u32 = default(0xFFFFFFFF)
    reqids: Vec[Pair[OSDReqId, u64]] = since(6)
    truncate_seq: u64 = since(7)
    truncate_size: u64 = since(7)
    reqid_return_codes: Map[u32, s32] = since(8)
