"""The object class `version`: a number and a tag on an object, checked and raised atomically.

Layouts of its methods' arguments and results, and of the attribute that holds the version.
Formats: upstream `src/cls/version/cls_version_types.h`, `cls_version_ops.h`.
"""

from __future__ import annotations

from enum import IntEnum

from spirula.denc import Struct, Vec, string, struct, u32, u64


class VersionCond(IntEnum):
    """How an object's version must compare to a given one."""

    NONE = 0
    EQ = 1
    GT = 2
    GE = 3
    LT = 4
    LE = 5
    TAG_EQ = 6
    TAG_NE = 7


@struct(name="obj_version", version=1, compat=1)
class ObjVersion(Struct):
    """A version: the number counts within one tag; an empty tag is no version at all."""

    ver: u64
    tag: string


@struct(name="obj_version_cond", version=1, compat=1)
class ObjVersionCond(Struct):
    """A condition on an object's version (`cond` is a VersionCond)."""

    ver: ObjVersion
    cond: u32


@struct(name="cls_version_set_op", version=1, compat=1)
class SetOp(Struct):
    """Set the version."""

    objv: ObjVersion


@struct(name="cls_version_inc_op", version=1, compat=1)
class IncOp(Struct):
    """Raise the version by one if all conditions hold."""

    objv: ObjVersion
    conds: Vec[ObjVersionCond]


@struct(name="cls_version_check_op", version=1, compat=1)
class CheckOp(Struct):
    """Fail (ECANCELED) unless all conditions hold."""

    objv: ObjVersion
    conds: Vec[ObjVersionCond]


@struct(name="cls_version_read_ret", version=1, compat=1)
class ReadRet(Struct):
    """The version of an object."""

    objv: ObjVersion
