"""The object class `cephfs`: what `cephfs-data-scan` gathers when it rebuilds a file system.

For each file, the first object learns about the others; the filter finds first objects. Behaviour:
upstream `src/cls/cephfs/cls_cephfs.cc`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from spirula.classes.declare import ObjectFilter, method, object_filter
from spirula.classes.handle import ObjectHandle, getxattr_if_set
from spirula.denc import Struct, s64, string, struct, u64
from spirula.errors import NotFound, WireError
from spirula.types.cls.cephfs import AccumulateArgs, InodeTagFilterArgs, ObjCeiling

FIRST_OBJECT: Final = ".00000000"
"""What the name of a file's first object ends with."""
SCRUB_TAG: Final = "_scrub_tag"
"""The attribute `scrub_tag`, as stores name it."""

_S = TypeVar("_S", bound=Struct)


@struct
class _Size(Struct):
    value: u64


@struct
class _Time(Struct):
    value: s64


@struct
class _Tag(Struct):
    value: string


def _set_if_greater(
    handle: ObjectHandle, name: str, value: _S, measure: Callable[[_S], int]
) -> None:
    """Sets an attribute unless it holds something as large already; damaged ones are replaced."""
    try:
        stored = getxattr_if_set(handle, name)
    except NotFound:
        stored = None
    if stored:
        try:
            if measure(type(value).decode(stored, exact=True)) >= measure(value):
                return
        except WireError as error:
            handle.log(5, f"replacing the damaged attribute {name!r}: {error}")
    handle.setxattr(name, value.encode())


@method("accumulate_inode_metadata", read=True, write=True)
def accumulate_inode_metadata(handle: ObjectHandle, request: AccumulateArgs) -> None:
    """Notes one object of a file: the highest number, the newest time, the largest size."""
    ceiling = ObjCeiling(request.obj_index, request.obj_size)
    _set_if_greater(handle, request.obj_xattr_name, ceiling, lambda held: held.id)
    _set_if_greater(handle, request.mtime_xattr_name, _Time(request.mtime), lambda held: held.value)
    _set_if_greater(
        handle, request.obj_size_xattr_name, _Size(request.obj_size), lambda held: held.value
    )


@object_filter("inode_tag")
def inode_tag(params: bytes) -> ObjectFilter:
    """First objects of files, but for those that a scrub has marked with a tag."""
    unwanted = InodeTagFilterArgs.decode(params).scrub_tag

    def accepts(name: str, data: bytes) -> bool:
        if not name.endswith(FIRST_OBJECT):
            return False
        if not unwanted or not data:
            return True
        try:
            return bool(_Tag.decode(data).value != unwanted)
        except WireError:
            return True

    return ObjectFilter(SCRUB_TAG if unwanted else "", accepts, reject_empty=False)
