"""The object class `cephfs`: what `cephfs-data-scan` gathers about files from their objects.

Layouts of its methods' arguments, and of the attribute that says how far a file goes.
Format: upstream `src/cls/cephfs/cls_cephfs.h`.
"""

from __future__ import annotations

from spirula.denc import Struct, s64, string, struct, u64


@struct(name="ObjCeiling", version=1, compat=1)
class ObjCeiling(Struct):
    """The highest object of a file that was seen, and its size in bytes."""

    id: u64
    size: u64


@struct(name="AccumulateArgs", version=1, compat=1)
class AccumulateArgs(Struct):
    """Note an object of a file in three attributes (named here) of the file's first object."""

    obj_xattr_name: string
    mtime_xattr_name: string
    obj_size_xattr_name: string
    obj_index: u64
    obj_size: u64
    mtime: s64


@struct(name="InodeTagFilterArgs", version=1, compat=1)
class InodeTagFilterArgs(Struct):
    """Pass over the inodes that a scrub has marked with this tag."""

    scrub_tag: string
