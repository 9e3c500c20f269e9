"""Running a vector of operations: from codes to handlers, from return codes to an end.

The families (`reads`, `writes`, `omap` ...) register their handlers here; `prepare` runs a
request's vector, families run operations within an operation. Order and rules: upstream
`src/osd/PrimaryLogPG.cc` (do_osd_ops).
"""

from __future__ import annotations

import errno
import struct as _struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from spirula.errors import CephError, WireError
from spirula.types.osd_op import MODE_WRITE, OpCode, OpFlag

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext
    from spirula.types.osd_op import OSDOp

Handler = Callable[["OpContext", "OSDOp"], int]
"""Does an operation; its return code, negative ones being errnos (or raises CephError)."""

EXTENT: Final = _struct.Struct("<QQQI")
_NO_TRUNCATE: Final = 0xFFFF_FFFF_FFFF_FFFF
_FAILOK: Final = int(OpFlag.FAILOK)

_NOT_USER_VISIBLE: Final = frozenset(
    (
        OpCode.WATCH,
        OpCode.CACHE_EVICT,
        OpCode.CACHE_FLUSH,
        OpCode.CACHE_TRY_FLUSH,
        OpCode.UNDIRTY,
        OpCode.COPY_FROM,
        OpCode.COPY_FROM2,
        OpCode.CACHE_PIN,
        OpCode.CACHE_UNPIN,
        OpCode.SET_REDIRECT,
        OpCode.SET_CHUNK,
        OpCode.TIER_PROMOTE,
        OpCode.TIER_FLUSH,
        OpCode.TIER_EVICT,
    )
)
"""What changes an object without giving it a new version for its users."""

_HANDLERS: Final[dict[int, tuple[Handler, bool]]] = {}
"""By code: the handler, and whether users see the change."""


def handles(*codes: OpCode) -> Callable[[Handler], Handler]:
    """Declares a function to be the handler of operations."""

    def declare(handler: Handler) -> Handler:
        for code in codes:
            visible = bool(code & MODE_WRITE) and code not in _NOT_USER_VISIBLE
            _HANDLERS[int(code)] = handler, visible
        return handler

    return declare


def handled() -> frozenset[int]:
    """The codes that have a handler; others are answered EOPNOTSUPP."""
    return frozenset(_HANDLERS)


def run(ctx: OpContext, ops: list[OSDOp]) -> int:
    """Runs operations in order until one fails; sets the `rval` of each that ran.

    Returns the result of the last one. One with FAILOK may fail without ending the vector.
    """
    result = 0
    ctx.op_index = 0
    for op in ops:
        found = _HANDLERS.get(op.op)
        ctx.result = result
        if found is None:
            ctx.user_modify = ctx.user_modify or bool(op.op & MODE_WRITE)
            result = -errno.EOPNOTSUPP
        else:
            handler, user_visible = found
            if user_visible:
                ctx.user_modify = True
            try:
                result = handler(ctx, op)
            except CephError as error:
                result = -error.errno
            except WireError:
                result = -errno.EINVAL
        op.rval = result
        if result < 0:
            if not op.flags & _FAILOK or result in (-errno.EAGAIN, -errno.EINPROGRESS):
                return result
            result = 0
        ctx.op_index += 1
        ctx.processed += 1
    return result


def run_one(ctx: OpContext, op: OSDOp) -> int:
    """Runs an operation within another one, which goes on in its place afterwards."""
    index, result = ctx.op_index, ctx.result
    code = run(ctx, [op])
    ctx.op_index, ctx.result = index, result
    return code


def extent_of(op: OSDOp) -> tuple[int, int, int, int]:
    """Offset, length, truncate_size and truncate_seq of an operation on bytes.

    A truncation to -1, which some clients send for none, is none.
    """
    offset, length, truncate_size, truncate_seq = EXTENT.unpack(op.raw)
    if truncate_seq == 1 and truncate_size == _NO_TRUNCATE:
        op.raw = EXTENT.pack(offset, length, 0, 0)
        return offset, length, 0, 0
    return offset, length, truncate_size, truncate_seq


def kilobytes(size: int) -> int:
    """A size in KiB, rounded up, as the statistics count."""
    return (size + 1023) >> 10
