"""The object class `version`: a version of an object that its writers count themselves.

It is kept in the attribute `ceph.objclass.version`. Clients: RGW, for its metadata. Behaviour:
upstream `src/cls/version/cls_version.cc`.
"""

from __future__ import annotations

import base64
import errno
from collections.abc import Callable, Iterable
from typing import Final

from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle, decoded, getxattr_if_set
from spirula.errors import CephError, NotFound
from spirula.types.cls.version import (
    CheckOp,
    IncOp,
    ObjVersion,
    ObjVersionCond,
    ReadRet,
    SetOp,
    VersionCond,
)

ATTRIBUTE: Final = "ceph.objclass.version"
_TAG_BYTES: Final = 18
"""Random bytes of a tag: 24 letters of base64."""
_LAST: Final = 0xFFFFFFFFFFFFFFFF

_HOLDS: Final[dict[int, Callable[[ObjVersion, ObjVersion], bool]]] = {
    VersionCond.EQ: lambda ours, other: ours == other,
    VersionCond.GT: lambda ours, other: ours.ver > other.ver,
    VersionCond.GE: lambda ours, other: ours.ver >= other.ver,
    VersionCond.LT: lambda ours, other: ours.ver < other.ver,
    VersionCond.LE: lambda ours, other: ours.ver <= other.ver,
    VersionCond.TAG_EQ: lambda ours, other: ours.tag == other.tag,
    VersionCond.TAG_NE: lambda ours, other: ours.tag != other.tag,
}


def _read(handle: ObjectHandle) -> ObjVersion | None:
    """The version, None if the object has none."""
    try:
        stored = getxattr_if_set(handle, ATTRIBUTE)
    except NotFound:
        return None
    return None if stored is None else decoded(handle, ObjVersion, stored, ATTRIBUTE)


def _check(version: ObjVersion, conditions: Iterable[ObjVersionCond]) -> None:
    """ECANCELED unless all conditions hold; those of unknown kinds do."""
    for condition in conditions:
        holds = _HOLDS.get(condition.cond)
        if holds is not None and not holds(version, condition.ver):
            raise CephError.from_errno(errno.ECANCELED, "the object has another version")


@method("set", read=True, write=True)
def set_version(handle: ObjectHandle, request: SetOp) -> None:
    """Sets the version."""
    handle.setxattr(ATTRIBUTE, request.objv.encode())


# The second name is what clients call who have conditions.
@method("inc", read=True, write=True)
@method("inc_conds", read=True, write=True)
def inc(handle: ObjectHandle, request: IncOp) -> None:
    """Raises the version by one; an object without one first gets a new tag and version 1."""
    version = _read(handle)
    if version is None:
        tag = base64.b64encode(handle.gen_random_bytes(_TAG_BYTES)).decode()
        version = ObjVersion(1, tag)
        handle.setxattr(ATTRIBUTE, version.encode())
    _check(version, request.conds)
    version.ver = (version.ver + 1) & _LAST
    handle.setxattr(ATTRIBUTE, version.encode())


@method("read", read=True)
def read(handle: ObjectHandle) -> ReadRet:
    """The version."""
    return ReadRet(_read(handle) or ObjVersion())


@method("check_conds", read=True)
def check_conds(handle: ObjectHandle, request: CheckOp) -> None:
    """Fails unless the version meets all conditions."""
    _check(_read(handle) or ObjVersion(), request.conds)
