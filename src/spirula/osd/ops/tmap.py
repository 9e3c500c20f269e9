"""Operations on trivial maps: a header and sorted keys with values, encoded in an object's data.

What omaps replaced; clients of old may still send them. Called by `execute`. Format and behaviour:
upstream `src/osd/PrimaryLogPG.cc` (do_tmapup, do_tmapup_slow, do_tmap2omap, do_osd_ops), numbers in
`src/include/rados.h`.
"""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import TYPE_CHECKING

from spirula.denc import Map, Struct, blob, string, struct
from spirula.errors import Exists, InvalidArgument, NotFound, Truncated, WireError
from spirula.osd.ops.execute import handles, run, run_one
from spirula.types.osd_op import Extent, OpCode, OSDOp
from spirula.types.pool import PoolType

if TYPE_CHECKING:
    from spirula.osd.ops.context import OpContext

_NULL_OK = 1


class TmapCommand(IntEnum):
    """A step of an update."""

    HEADER = ord("h")
    SET = ord("s")
    CREATE = ord("c")
    REMOVE = ord("r")
    REMOVE_SLOPPY = ord("R")


@struct
class TrivialMap(Struct):
    """The whole of a map; entries sorted by their keys."""

    header: blob
    entries: Map[string, blob]


class _Reader:
    """Commands of an update, one piece after another."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0

    def __bool__(self) -> bool:
        return self.pos < len(self.data)

    def byte(self) -> int:
        self.pos += 1
        return self.data[self.pos - 1]

    def blob(self) -> bytes:
        size = int.from_bytes(self.data[self.pos : self.pos + 4], "little")
        start = self.pos + 4
        self.pos = start + size
        if self.pos > len(self.data):
            raise Truncated("ends inside an update", offset=start, limit=len(self.data))
        return self.data[start : self.pos]

    def key(self) -> str:
        return str(self.blob(), "utf-8", "surrogateescape")


def _stored(ctx: OpContext) -> bytes:
    nested = OSDOp.make(OpCode.SYNC_READ, Extent())
    code = run_one(ctx, nested)
    return bytes(nested.outdata) if code >= 0 else b""


def _write(ctx: OpContext, value: TrivialMap) -> int:
    data = value.encode()
    return run_one(ctx, OSDOp.make(OpCode.WRITEFULL, Extent(0, len(data)), data))


@handles(OpCode.TMAPGET)
def get(ctx: OpContext, op: OSDOp) -> int:
    """The map, which is all of the object's data."""
    if ctx.pg.pool.type == PoolType.ERASURE:
        return -errno.EOPNOTSUPP
    nested = OSDOp.make(OpCode.SYNC_READ, Extent())
    code = run_one(ctx, nested)
    op.outdata = nested.outdata
    return code


@handles(OpCode.TMAPPUT)
def put(ctx: OpContext, op: OSDOp) -> int:
    """Replaces the map; entries out of order are sorted."""
    if ctx.pg.pool.type == PoolType.ERASURE:
        return -errno.EOPNOTSUPP
    return _write(ctx, _in_order(TrivialMap.decode(bytes(op.indata))))


def _in_order(value: TrivialMap) -> TrivialMap:
    keys = sorted(value.entries, key=lambda key: key.encode("utf-8", "surrogateescape"))
    return TrivialMap(value.header, {key: value.entries[key] for key in keys})


@handles(OpCode.TMAPUP)
def update(ctx: OpContext, op: OSDOp) -> int:
    """Changes header and entries by a list of commands.

    EEXIST for an entry to be made that is there, ENOENT for one to be removed that is not.
    """
    if ctx.pg.pool.type == PoolType.ERASURE:
        return -errno.EOPNOTSUPP
    ctx.num_write += 1
    commands = _Reader(bytes(op.indata))
    if not commands:
        return 0
    stored = _stored(ctx)
    value = TrivialMap.decode(stored) if stored else TrivialMap(b"", {})
    entries = value.entries
    while commands:
        command = commands.byte()
        if command == TmapCommand.HEADER:
            value.header = commands.blob()
            continue
        key = commands.key()
        if command in (TmapCommand.SET, TmapCommand.CREATE):
            if command == TmapCommand.CREATE and key in entries:
                raise Exists(f"there is a key {key!r}")
            entries[key] = commands.blob()
        elif command == TmapCommand.REMOVE and key not in entries:
            raise NotFound(f"there is no key {key!r}")
        elif command in (TmapCommand.REMOVE, TmapCommand.REMOVE_SLOPPY):
            entries.pop(key, None)
        else:
            raise InvalidArgument(f"unknown command {command} for a trivial map")
    _write(ctx, _in_order(value))
    return 0


@handles(OpCode.TMAP2OMAP)
def to_omap(ctx: OpContext, op: OSDOp) -> int:
    """Makes an omap of the map; ENODATA for an object without data, unless that is all right."""
    ctx.num_write += 1
    if not ctx.info.size:
        return 0 if op.args.flags & _NULL_OK else -errno.ENODATA
    data = _stored(ctx)
    try:
        value = TrivialMap.decode(data)
    except WireError:
        return -errno.EINVAL
    index = ctx.op_index
    code = run(
        ctx,
        [
            OSDOp.make(OpCode.TRUNCATE, Extent()),
            OSDOp(OpCode.OMAPSETHEADER, indata=value.header),
            OSDOp(OpCode.OMAPSETVALS, indata=data[4 + len(value.header) :]),
        ],
    )
    ctx.op_index = index
    return code
