"""Operations that let a vector go on only if the object is as the client thinks.

`cmpext`, `cmpxattr`, `omap-cmp` and `assert-version`. Called by `execute`. Behaviour: upstream
`src/osd/PrimaryLogPG.cc` (do_extent_cmp, do_xattr_cmp_*, do_osd_ops).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from spirula.errors import CephError, WireError
from spirula.osd.ops.context import USER_ATTR_PREFIX
from spirula.osd.ops.execute import EXTENT, extent_of, handles, kilobytes, run_one
from spirula.types.object_info import ObjectFlag
from spirula.types.osd_op import CmpXattrMode, CmpXattrOp, Extent, OpCode, OSDOp
from spirula.types.osd_op_payload import OmapCmpInput

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext

_LAST_ERRNO: Final = 4095
"""Codes below this one's negative are no errnos: `cmpext` answers where data differs."""

_OMAP: Final = int(ObjectFlag.OMAP)
_WHITEOUT: Final = int(ObjectFlag.WHITEOUT)
_NUMBER: Final = re.compile(rb"[ \t\n\v\f\r]*([+-]?)([0-9]+)")
_U64_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF

_SIGNED: Final = bytes((byte + 128) & 255 for byte in range(256))
"""Bytes so that they sort as C's signed characters do, as which upstream compares omap values."""

_COMPARE: Final[dict[int, Callable[[Any, Any], bool]]] = {
    CmpXattrOp.EQ: lambda given, stored: given == stored,
    CmpXattrOp.NE: lambda given, stored: given != stored,
    CmpXattrOp.GT: lambda given, stored: given > stored,
    CmpXattrOp.GTE: lambda given, stored: given >= stored,
    CmpXattrOp.LT: lambda given, stored: given < stored,
    CmpXattrOp.LTE: lambda given, stored: given <= stored,
}


@handles(OpCode.CMPEXT)
def compare_extent(ctx: OpContext, op: OSDOp) -> int:
    """Compares the input with data; bytes that are not there count as zeros.

    -4095 - n where the n-th byte is the first that differs.
    """
    ctx.num_read += 1
    offset, length, truncate_size, truncate_seq = extent_of(op)
    size = ctx.info.size
    if truncate_seq > ctx.info.truncate_seq and offset + length > truncate_size:
        size = truncate_size
    if offset >= size:
        length = 0
    elif offset + length > size:
        length = size - offset
    op.raw = EXTENT.pack(offset, length, truncate_size, truncate_seq)
    data = b""
    if length and ctx.obc.exists and not ctx.obc.info.flags & _WHITEOUT:
        extent = Extent(offset, length, truncate_size, truncate_seq)
        nested = OSDOp.make(OpCode.SYNC_READ, extent)
        result = run_one(ctx, nested)
        if result < 0:
            return result
        data = bytes(nested.outdata)
    given = bytes(op.indata)
    stored = data[: len(given)].ljust(len(given), b"\0")
    if given == stored:
        return 0
    at = next(n for n, pair in enumerate(zip(given, stored, strict=True)) if pair[0] != pair[1])
    return -_LAST_ERRNO - at


@handles(OpCode.CMPXATTR)
def compare_xattr(ctx: OpContext, op: OSDOp) -> int:
    """1 if the given value OP the stored attribute holds, else ECANCELED.

    An attribute that is not there counts as empty.
    """
    ctx.num_read += 1
    name_len, value_len, cmp_op, cmp_mode = op.args
    given = bytes(op.indata)
    if name_len > len(given):
        return -errno.EINVAL
    name = str(given[:name_len], "utf-8", "surrogateescape")
    try:
        stored = ctx.store.getattr(ctx.coll, ctx.gh, USER_ATTR_PREFIX + name)
    except CephError as error:
        if error.errno != errno.ENODATA:
            raise
        stored = b""
    ctx.delta.num_rd += 1
    ctx.delta.num_rd_kb += kilobytes(len(stored))
    rest = given[name_len:]
    if cmp_mode == CmpXattrMode.STRING:
        if len(rest) < value_len:
            return -errno.EINVAL
        pair: tuple[Any, Any] = rest[:value_len], stored
    elif cmp_mode == CmpXattrMode.U64:
        if len(rest) < 8:
            return -errno.EINVAL
        pair = int.from_bytes(rest[:8], "little"), _as_number(stored)
    else:
        return -errno.EINVAL
    compare = _COMPARE.get(cmp_op)
    if compare is None:
        return -errno.EINVAL
    return 1 if compare(*pair) else -errno.ECANCELED


def _as_number(text: bytes) -> int:
    """What C's strtoull makes of a text: its leading digits, 0 without any."""
    found = _NUMBER.match(text.split(b"\0", 1)[0])
    if found is None:
        return 0
    value = int(found[2])
    if value > _U64_MAX:
        return _U64_MAX
    return -value & _U64_MAX if found[1] == b"-" else value


@handles(OpCode.OMAP_CMP)
def compare_omap(ctx: OpContext, op: OSDOp) -> int:
    """Whether stored omap values are equal to, less or greater than given ones, else ECANCELED.

    (Unlike in `cmpxattr` it is the stored value that is less.) A key that is not there counts as
    empty.
    """
    ctx.num_read += 1
    info = ctx.info
    if not ctx.exists or info.flags & _WHITEOUT:
        return -errno.ENOENT
    try:
        assertions = OmapCmpInput.decode(bytes(op.indata)).assertions
    except WireError:
        return -errno.EINVAL
    stored: dict[str, bytes] = {}
    if info.flags & _OMAP:
        stored = ctx.store.omap_get_values(ctx.coll, ctx.gh, assertions)
    ctx.delta.num_rd += 1
    for key in sorted(assertions, key=lambda text: text.encode("utf-8", "surrogateescape")):
        given, cmp_op = assertions[key]
        value = stored.get(key, b"")
        if cmp_op == CmpXattrOp.EQ:
            holds = value == given
        elif cmp_op == CmpXattrOp.LT:
            holds = value.translate(_SIGNED) < given.translate(_SIGNED)
        elif cmp_op == CmpXattrOp.GT:
            holds = value.translate(_SIGNED) > given.translate(_SIGNED)
        else:
            return -errno.EINVAL
        if not holds:
            return -errno.ECANCELED
    return ctx.result


@handles(OpCode.ASSERT_VER)
def assert_version(ctx: OpContext, op: OSDOp) -> int:
    """Whether users see the object at this version: ERANGE if it is newer, EOVERFLOW if older."""
    ctx.num_read += 1
    wanted = op.args.ver
    version = ctx.info.user_version
    if not wanted:
        return -errno.EINVAL
    if wanted < version:
        return -errno.ERANGE
    if wanted > version:
        return -errno.EOVERFLOW
    return ctx.result
