"""The object class `cmpomap`: compares values of an omap with given ones, and sets or removes them.

Values are compared as bytes or as numbers, the given one on the left. Client: RGW (its data sync).
Behaviour: upstream `src/cls/cmpomap/server.cc`.
"""

from __future__ import annotations

import errno
import operator
import struct as _struct
from collections.abc import Callable
from typing import Any, Final

from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle
from spirula.errors import CephError, InputOutput, InvalidArgument
from spirula.types.cls.cmpomap import CmpRmKeysOp, CmpSetValsOp, CmpValsOp
from spirula.types.osd_op import CmpXattrMode, CmpXattrOp

_COMPARE: Final[dict[int, Callable[[Any, Any], bool]]] = {
    CmpXattrOp.EQ: operator.eq,
    CmpXattrOp.NE: operator.ne,
    CmpXattrOp.GT: operator.gt,
    CmpXattrOp.GTE: operator.ge,
    CmpXattrOp.LT: operator.lt,
    CmpXattrOp.LTE: operator.le,
}
_NUMBER: Final = _struct.Struct("<Q")

Request = CmpValsOp | CmpSetValsOp | CmpRmKeysOp


def _holds(request: Request, given: bytes, stored: bytes) -> bool:
    """Whether the comparison holds; InvalidArgument for a bad request, InputOutput if stored."""
    compare = _COMPARE.get(request.comparison)
    if request.mode == CmpXattrMode.STRING:
        if compare is None:
            raise InvalidArgument(f"there is no comparison {request.comparison}")
        return compare(given, stored)
    if request.mode != CmpXattrMode.U64 or len(given) < _NUMBER.size:
        raise InvalidArgument("what is given is not a number")
    if len(stored) < _NUMBER.size:
        raise InputOutput("what is stored is not a number")
    if compare is None:
        raise InvalidArgument(f"there is no comparison {request.comparison}")
    return compare(_NUMBER.unpack_from(given)[0], _NUMBER.unpack_from(stored)[0])


def _holds_if_number(request: Request, given: bytes, stored: bytes) -> bool:
    """Likewise; what is stored and no number fails the comparison."""
    try:
        return _holds(request, given, stored)
    except InputOutput:
        return False


@method("cmp_vals", read=True)
def cmp_vals(handle: ObjectHandle, request: CmpValsOp) -> None:
    """Fails (ECANCELED) unless the comparison holds for all values."""
    stored = handle.map_get_vals_by_keys(list(request.values))
    for key, given in request.values.items():
        value = stored.get(key, request.default_value)
        if value is None or not _holds(request, given, value):
            raise CephError.from_errno(errno.ECANCELED, f"the value of {key!r} is another one")


@method("cmp_set_vals", read=True, write=True)
def cmp_set_vals(handle: ObjectHandle, request: CmpSetValsOp) -> None:
    """Sets those values for which the comparison holds."""
    stored = handle.map_get_vals_by_keys(list(request.values))
    changed = {}
    for key, given in request.values.items():
        value = stored.get(key, request.default_value)
        if value is not None and _holds_if_number(request, given, value):
            changed[key] = given
    if changed:
        handle.map_set_vals(changed)


@method("cmp_rm_keys", read=True, write=True)
def cmp_rm_keys(handle: ObjectHandle, request: CmpRmKeysOp) -> None:
    """Removes those keys for whose values the comparison holds."""
    stored = handle.map_get_vals_by_keys(list(request.values))
    for key, given in request.values.items():
        if key in stored and _holds_if_number(request, given, stored[key]):
            handle.map_remove_key(key)
