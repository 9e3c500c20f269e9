"""What a vector of operations may do, and whether a client's caps allow that.

`op_needs` reads a request's operations once; `osd.pg.pipeline` takes locks and paths by the answer
and has `allowed` compare it with the session's caps. The language of caps is in `auth.caps.osd`.
Rules: upstream `src/osd/osd_op_util.cc` (OpInfo) and `PG.cc` (op_has_sufficient_caps).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from spirula.auth.caps.osd import ClassCall
from spirula.classes.declare import MethodFlag
from spirula.errors import InvalidArgument, WireError
from spirula.types.osd_op import (
    MODE_CACHE,
    MODE_READ,
    MODE_WRITE,
    TYPE_MASK,
    TYPE_PG,
    OpCode,
    OSDOp,
    RequestFlag,
    WatchOp,
)

if TYPE_CHECKING:
    from spirula.auth.caps.osd import OsdCaps
    from spirula.classes.declare import ObjectClass
    from spirula.messages.osd_op import MOSDOp
    from spirula.types.entity import EntityAddr
    from spirula.types.pool import PGPool

READ: Final = 1 << 0
WRITE: Final = 1 << 1
CLASS_READ: Final = 1 << 2
CLASS_WRITE: Final = 1 << 3
PGOP: Final = 1 << 4
CACHE: Final = 1 << 5
RWORDERED: Final = 1 << 6
RETURNVEC: Final = 1 << 7
MAY_READ: Final = READ | CLASS_READ
MAY_WRITE: Final = WRITE | CLASS_WRITE

# plain numbers: the arithmetic of enumerations is slow
_WANT_RWORDERED: Final = int(RequestFlag.RWORDERED)
_WANT_RETURNVEC: Final = int(RequestFlag.RETURNVEC)
_ASKED: Final = _WANT_RWORDERED | _WANT_RETURNVEC


class OpNeeds:
    """What a vector does: reads, writes, as itself or in the methods of `classes` it calls.

    `may_write` says whether the request takes a write's path; `rwordered` whether it must keep its
    place among writes (see upstream's OpInfo).
    """

    __slots__ = ("classes", "flags", "may_read", "may_write", "rwordered")

    def __init__(self, flags: int, classes: tuple[ClassCall, ...] = ()) -> None:
        self.flags = flags
        self.classes = classes
        self.may_read = bool(flags & MAY_READ)
        self.may_write = bool(flags & MAY_WRITE)
        self.rwordered = bool(flags & (MAY_WRITE | CACHE | RWORDERED))

    @property
    def may_cache(self) -> bool:
        """Whether it flushes or evicts an object of a cache tier."""
        return bool(self.flags & CACHE)

    @property
    def is_pg_op(self) -> bool:
        """Whether it concerns a PG rather than an object."""
        return bool(self.flags & PGOP)

    @property
    def returns_vector(self) -> bool:
        """Whether a write may answer codes and data per operation."""
        return bool(self.flags & RETURNVEC)


_BY_FLAGS: Final[dict[int, OpNeeds]] = {}
"""Needs without class calls, made once."""


def _mode(code: int) -> int:
    flags = 0
    if code & MODE_WRITE:
        flags |= WRITE
    if code & MODE_READ and code != OpCode.CALL:
        flags |= READ
    if code & TYPE_MASK == TYPE_PG:
        flags |= PGOP
    if code & MODE_CACHE:
        flags |= CACHE
    if code == OpCode.WATCH:
        flags |= READ
    return flags


_MODES: Final = {int(code): _mode(code) for code in OpCode}


def op_needs(request: MOSDOp, open_class: Callable[[str], ObjectClass]) -> OpNeeds:
    """What the operations of a request need.

    `open_class` loads an object class by its name, as `ClassRegistry.open` does. Raises CephError
    as upstream answers: EINVAL for a vector that does nothing, EOPNOTSUPP for a class or method
    that there is not, EPERM for a class that may not be loaded, EIO for one that cannot be.
    """
    flags = 0
    classes: list[ClassCall] | None = None
    for op in request.ops:
        code = op.op
        mode = _MODES.get(code)
        if mode is None:
            mode = _mode(code)
        if code == OpCode.CALL:
            if classes is None:
                classes = []
            mode |= _class_call(op, open_class, classes)
        elif code == OpCode.WATCH and op.args.op == WatchOp.PING:
            # no write, but it keeps its place behind writes that came before
            mode = RWORDERED
        flags |= mode
    wanted = request.flags
    if wanted & _ASKED:
        if wanted & _WANT_RWORDERED:
            flags |= RWORDERED
        if wanted & _WANT_RETURNVEC:
            flags |= RETURNVEC
    if not flags:
        raise InvalidArgument("a request that neither reads nor writes")
    if classes is not None:
        return OpNeeds(flags, tuple(classes))
    known = _BY_FLAGS.get(flags)
    if known is None:
        known = _BY_FLAGS[flags] = OpNeeds(flags)
    return known


def _class_call(
    op: OSDOp, open_class: Callable[[str], ObjectClass], classes: list[ClassCall]
) -> int:
    """Adds the called method to `classes`; its flags."""
    try:
        name, method_name, _ = op.call_parts()
    except WireError as error:
        raise InvalidArgument(str(error)) from error
    found = open_class(name)
    method = found.method(method_name)
    flags = method.flags
    reads, writes = bool(flags & MethodFlag.READ), bool(flags & MethodFlag.WRITE)
    classes.append(ClassCall(name, method_name, reads, writes, found.allowed))
    return (CLASS_READ if reads else 0) | (CLASS_WRITE if writes else 0)


def allowed(
    caps: OsdCaps, needs: OpNeeds, request: MOSDOp, pool: PGPool, pool_name: str, addr: EntityAddr
) -> bool:
    """Whether a client with `caps` may send this from `addr`."""
    hobj = request.hobj
    return caps.is_capable(
        *(pool_name, hobj.nspace, pool.application_metadata, hobj.key or hobj.oid),
        *(bool(needs.flags & READ), bool(needs.flags & WRITE), needs.classes),
        addr,
    )
