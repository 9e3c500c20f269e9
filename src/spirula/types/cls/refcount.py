"""The object class `refcount`: an object that goes away when its last reference does.

Layouts of its methods' arguments and results, and of the attribute `refcount`.
Formats: upstream `src/cls/refcount/cls_refcount_ops.h`.
"""

from __future__ import annotations

from spirula.denc import Map, Set, Struct, Vec, boolean, since, string, struct


@struct(name="obj_refcount", version=2, compat=1)
class ObjRefcount(Struct):
    """An object's references by tag; those in `retired_refs` were put and must not count again."""

    refs: Map[string, boolean]
    retired_refs: Set[string] = since(2)


@struct(name="cls_refcount_get_op", version=1, compat=1)
class GetOp(Struct):
    """Add a reference. `implicit_ref`: an object without the attribute has one already."""

    tag: string
    implicit_ref: boolean


@struct(name="cls_refcount_put_op", version=1, compat=1)
class PutOp(Struct):
    """Drop a reference; the object is removed with the last one."""

    tag: string
    implicit_ref: boolean


@struct(name="cls_refcount_set_op", version=1, compat=1)
class SetOp(Struct):
    """Replace all references."""

    refs: Vec[string]


@struct(name="cls_refcount_read_op", version=1, compat=1)
class ReadOp(Struct):
    """Ask for the references."""

    implicit_ref: boolean


@struct(name="cls_refcount_read_ret", version=1, compat=1)
class ReadRet(Struct):
    """The references of an object."""

    refs: Vec[string]
