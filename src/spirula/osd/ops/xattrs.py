"""Operations on an object's attributes; `cmpxattr` is in `comparisons`.

A client's attributes have a prefix in the store, which keeps them apart from the OSD's own. Called
by `execute`. Behaviour: upstream `src/osd/PrimaryLogPG.cc` (do_osd_ops, getattrs_maybe_cache).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from spirula.errors import WireError
from spirula.osd.ops.context import USER_ATTR_PREFIX
from spirula.osd.ops.execute import handles, kilobytes
from spirula.osd.ops.writes import create_if_missing
from spirula.types.object_info import ObjectFlag
from spirula.types.osd_op import OpCode, OSDOp, XattrArgs
from spirula.types.osd_op_payload import OmapEntries

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext

_WHITEOUT: Final = int(ObjectFlag.WHITEOUT)
STORE_MAX_ATTR_NAME: Final = 256
"""Bytes of the longest name of an attribute that stores keep (upstream's BlueStore)."""


def user_attrs(ctx: OpContext) -> dict[str, bytes]:
    """The stored attributes of clients, by their own names. Raises NotFound without the object."""
    attrs = ctx.store.getattrs(ctx.coll, ctx.gh)
    return {
        name[1:]: value
        for name, value in attrs.items()
        if len(name) > 1 and name.startswith(USER_ATTR_PREFIX)
    }


def _name(op: OSDOp, length: int) -> str:
    if length > len(op.indata):
        raise WireError(f"name of {length} bytes in {len(op.indata)} bytes")
    return str(op.indata[:length], "utf-8", "surrogateescape")


@handles(OpCode.GETXATTR)
def get_xattr(ctx: OpContext, op: OSDOp) -> int:
    """An attribute's value; ENODATA if there is none of this name."""
    ctx.num_read += 1
    ctx.delta.num_rd += 1
    name_len, _, cmp_op, cmp_mode = op.args
    name = USER_ATTR_PREFIX + _name(op, name_len)
    value = ctx.store.getattr(ctx.coll, ctx.gh, name)
    op.outdata = value
    op.raw = OSDOp.make(op.op, XattrArgs(name_len, len(value), cmp_op, cmp_mode)).raw
    ctx.delta.num_rd_kb += kilobytes(len(value))
    return 0


@handles(OpCode.GETXATTRS)
def get_xattrs(ctx: OpContext, op: OSDOp) -> int:
    """All attributes."""
    ctx.num_read += 1
    ctx.delta.num_rd += 1
    result = 0
    attrs: dict[str, bytes] = {}
    if ctx.obc.exists:
        attrs = user_attrs(ctx)
    else:
        result = -errno.ENOENT
    out = OmapEntries(attrs).encode()
    ctx.delta.num_rd_kb += kilobytes(len(out))
    op.outdata = out
    return result


@handles(OpCode.SETXATTR)
def set_xattr(ctx: OpContext, op: OSDOp) -> int:
    """Sets an attribute; EFBIG or ENAMETOOLONG where it exceeds the OSD's limits."""
    ctx.num_write += 1
    name_len, value_len, _, _ = op.args
    settings = ctx.pg.settings
    if 0 < settings.max_attr_size < value_len:
        return -errno.EFBIG
    if name_len > min(STORE_MAX_ATTR_NAME, settings.max_attr_name_len):
        return -errno.ENAMETOOLONG
    name, value = op.xattr_parts()
    create_if_missing(ctx)
    ctx.transaction.setattr(ctx.coll, ctx.gh, USER_ATTR_PREFIX + name, value)
    ctx.delta.num_wr += 1
    return 0


@handles(OpCode.RMXATTR)
def remove_xattr(ctx: OpContext, op: OSDOp) -> int:
    """Removes an attribute; one that is not there is none to complain about."""
    ctx.num_write += 1
    name = _name(op, op.args.name_len)
    if not ctx.exists or ctx.info.flags & _WHITEOUT:
        return -errno.ENOENT
    ctx.transaction.rmattr(ctx.coll, ctx.gh, USER_ATTR_PREFIX + name)
    ctx.delta.num_wr += 1
    return 0
