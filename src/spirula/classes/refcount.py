"""The object class `refcount`: an object that lives as long as somebody refers to it.

References are tags, kept in the attribute `refcount`. Clients: RGW, for the data that copies of an
object share. Behaviour: upstream `src/cls/refcount/cls_refcount.cc`.
"""

from __future__ import annotations

from typing import Final

from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle, decoded, getxattr_if_set
from spirula.errors import InvalidArgument
from spirula.types.cls.refcount import GetOp, ObjRefcount, PutOp, ReadOp, ReadRet, SetOp

ATTRIBUTE: Final = "refcount"
WILDCARD: Final = ""
"""The tag of the reference that an object has before anybody counted."""


def _read(handle: ObjectHandle, *, implicit_ref: bool) -> ObjRefcount:
    stored = getxattr_if_set(handle, ATTRIBUTE)
    if stored is None:
        return ObjRefcount(refs={WILDCARD: True} if implicit_ref else {})
    return decoded(handle, ObjRefcount, stored, ATTRIBUTE)


@method("get", read=True, write=True)
def get(handle: ObjectHandle, request: GetOp) -> None:
    """Adds a reference."""
    counted = _read(handle, implicit_ref=request.implicit_ref)
    counted.refs[request.tag] = True
    handle.setxattr(ATTRIBUTE, counted.encode())


@method("put", read=True, write=True)
def put(handle: ObjectHandle, request: PutOp) -> None:
    """Drops a reference, and with the last one the object; done before, or unknown: nothing."""
    counted = _read(handle, implicit_ref=request.implicit_ref)
    if not counted.refs:
        raise InvalidArgument("the object has no references")
    tag = request.tag
    if tag not in counted.refs and request.implicit_ref:
        tag = WILDCARD
    if tag not in counted.refs or request.tag in counted.retired_refs:
        return
    counted.retired_refs.add(request.tag)
    del counted.refs[tag]
    if counted.refs:
        handle.setxattr(ATTRIBUTE, counted.encode())
    else:
        handle.remove()


@method("set", read=True, write=True)
def set_refs(handle: ObjectHandle, request: SetOp) -> None:
    """Replaces all references; with none, removes the object."""
    if not request.refs:
        handle.remove()
        return
    counted = ObjRefcount(refs=dict.fromkeys(request.refs, True))
    handle.setxattr(ATTRIBUTE, counted.encode())


@method("read", read=True)
def read(handle: ObjectHandle, request: ReadOp) -> ReadRet:
    """The references."""
    return ReadRet(list(_read(handle, implicit_ref=request.implicit_ref).refs))
