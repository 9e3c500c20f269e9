"""The sub-commands of `spirula rados` about objects: data, attributes, omaps.

What each prints and complains is upstream's, word by word.
"""

from __future__ import annotations

import sys
from pathlib import Path

from spirula.cli.rados_context import Context, Failed, hexdump
from spirula.rados.aio import Ioctx, ReadOp, WriteOp
from spirula.rados.constants import LIBRADOS_ALL_NSPACES, LIBRADOS_CREATE_EXCLUSIVE
from spirula.types.base import UTime
from spirula.types.hobject import NOSNAP
from spirula.types.osd_op import Extent, OpCode, OSDOp
from spirula.types.osd_op_payload import MapExtReply, StatReply


async def ls(context: Context) -> None:
    """Names of the objects: with their keys, and with `--all` behind their namespaces."""
    ioctx = context.ioctx
    if context.args.all:
        ioctx.set_namespace(LIBRADOS_ALL_NSPACES)
    async for one in ioctx.list_objects():
        space = f"{one.nspace}\t" if context.args.all else ""
        context.say(f"{space}{one.oid}" + (f"\t{one.locator}" if one.locator else ""))


async def get(context: Context) -> None:
    """Fetch an object, part by part."""
    oid, path = context.take("object name", "output file")
    size = context.args.block_size
    with context.failing(f"error getting {context.pool}/{oid}"):
        data = await context.ioctx.read(oid, size)
        out = context.write_output(path)
        try:
            offset = 0
            while data:
                out.write(data)
                offset += len(data)
                if len(data) < size:
                    break
                data = await context.ioctx.read(oid, size, offset)
        finally:
            if path != "-":
                out.close()


async def put(context: Context) -> None:
    """Write an object, part by part; what it had goes, unless `--offset` says where to begin."""
    oid, path = context.take("object name", "input file")
    offset = context.args.offset
    with context.read_input(path) as source:
        data = source.read(context.args.block_size)
        with context.failing(f"error writing {context.pool}/{oid}"):
            if not offset:
                await context.ioctx.write_full(oid, data)
            elif data:
                await context.ioctx.write(oid, data, offset)
            while data:
                offset += len(data)
                data = source.read(context.args.block_size)
                if data:
                    await context.ioctx.write(oid, data, offset)


async def append(context: Context) -> None:
    """Write behind an object's end."""
    oid, path = context.take("object name", "input file")
    with context.read_input(path) as source:
        while data := source.read(context.args.block_size):
            with context.failing(f"error appending {context.pool}/{oid}"):
                await context.ioctx.append(oid, data)


async def truncate(context: Context) -> None:
    """Give an object another size."""
    oid, text = context.take("object name", "size")
    if not text.isdecimal():
        raise Failed(f"size {text!r} is no number")
    with context.failing(f"error truncating oid {oid} to {text}"):
        await context.ioctx.truncate(oid, int(text))


async def create(context: Context) -> None:
    """Make an empty object."""
    (oid,) = context.take("object name")
    op = WriteOp()
    op.new(LIBRADOS_CREATE_EXCLUSIVE)
    with context.failing(f"error creating {context.pool}/{oid}"):
        await context.ioctx.operate_write(oid, op)


async def rm(context: Context) -> None:
    """Remove objects."""
    context.take("object name")
    for oid in context.words:
        with context.failing(f"error removing {context.pool}>{oid}"):
            await context.ioctx.remove(oid)


async def cp(context: Context) -> None:
    """Copy an object, in its pool or to another."""
    (oid,) = context.take("object name")
    target: Ioctx = context.ioctx
    if context.args.target_pool and context.cluster is not None:
        name = context.args.target_pool
        with context.failing(f"error opening target pool {name}"):
            target = await context.cluster.open_ioctx(name)
        target.set_namespace(context.args.namespace)
    to = context.words[1] if len(context.words) > 1 else oid
    if to == oid and target.pool_id == context.ioctx.pool_id:
        raise Failed("cannot copy object into itself")
    op = WriteOp()
    op.copy_from(oid, context.ioctx.locator, NOSNAP)
    with context.failing(f"error copying {context.pool}/{oid} => {target.name}/{to}"):
        await target.operate_write(to, op)


async def touch(context: Context) -> None:
    """Set when an object changed; it is made where it is not there."""
    (oid,) = context.take("object name")
    op = WriteOp()
    op.new(0)
    mtime = float(context.words[1]) if len(context.words) > 1 else None
    with context.failing(f"error touching {context.pool}/{oid}"):
        await context.ioctx.operate_write(oid, op, mtime=mtime)


async def _stat(context: Context, *, to_the_second: bool) -> None:
    (oid,) = context.take("object name")
    op = OSDOp.make(OpCode.STAT)
    with context.failing(f" error stat-ing {context.pool}/{oid}"):
        outcome = await context.ioctx.request("stat", oid, [op], write=False)
    found = StatReply.decode(bytes(outcome.ops[0].outdata))
    moment = UTime(found.mtime.sec, 0) if to_the_second else found.mtime
    context.say(f"{context.pool}/{oid} mtime {moment}, size {found.size}")


async def stat(context: Context) -> None:
    """Size and time of change."""
    await _stat(context, to_the_second=True)


async def stat2(context: Context) -> None:
    """The same, with fractions of a second."""
    await _stat(context, to_the_second=False)


async def mapext(context: Context) -> None:
    """Where an object holds data: offset and length, in hexadecimal."""
    (oid,) = context.take("object name")
    op = OSDOp.make(OpCode.MAPEXT, Extent(0, (1 << 64) - 1))
    with context.failing(f"mapext error on {context.pool}/{oid}"):
        outcome = await context.ioctx.request("mapext", oid, [op], write=False)
    for offset, length in sorted(MapExtReply.decode(bytes(outcome.ops[0].outdata)).extents.items()):
        context.say(f"{offset:x}\t{length:x}")


async def set_alloc_hint(context: Context) -> None:
    """Say how large an object will be."""
    oid, size, write_size = context.take("object name", "object size", "write size")
    op = WriteOp()
    op.set_alloc_hint(int(size), int(write_size))
    with context.failing(f"error setting alloc-hint {context.pool}/{oid}"):
        await context.ioctx.operate_write(oid, op)


# ----------------------------------------------------------------------------------- attributes


async def listxattr(context: Context) -> None:
    """Names of attributes."""
    (oid,) = context.take("object name")
    with context.failing(f"error getting xattr set {context.pool}/{oid}"):
        found = await context.ioctx.get_xattrs(oid)
    for name in sorted(found):
        context.say(name)


async def getxattr(context: Context) -> None:
    """An attribute, as it is."""
    oid, name = context.take("object name", "attribute")
    with context.failing(f"error getting xattr {context.pool}/{oid}/{name}"):
        context.out.write(await context.ioctx.get_xattr(oid, name))


async def setxattr(context: Context) -> None:
    """Set an attribute; without a value, to what comes on standard input."""
    oid, name = context.take("object name", "attribute")
    given = context.words[2:]
    value = given[0].encode("utf-8", "surrogateescape") if given else sys.stdin.buffer.read()
    with context.failing(f"error setting xattr {context.pool}/{oid}/{name}"):
        await context.ioctx.set_xattr(oid, name, value)


async def rmxattr(context: Context) -> None:
    """Remove an attribute."""
    oid, name = context.take("object name", "attribute")
    with context.failing(f"error removing xattr {context.pool}/{oid}/{name}"):
        await context.ioctx.rm_xattr(oid, name)


async def listomapkeys(context: Context) -> None:
    """Keys of the omap."""
    (oid,) = context.take("object name")
    with context.failing(f"error getting omap key set {context.pool}/{oid}"):
        async for key, _ in context.ioctx.omap(oid):
            context.say(key)


async def listomapvals(context: Context) -> None:
    """Keys of the omap with their values."""
    (oid,) = context.take("object name")
    with context.failing(f"error getting omap keys {context.pool}/{oid}"):
        async for key, value in context.ioctx.omap(oid):
            context.say(f"{key}\nvalue ({len(value)} bytes) :\n{hexdump(value)}")


async def getomapval(context: Context) -> None:
    """One value of the omap, shown, or written to a file."""
    oid, key = context.take("object name", "key")
    op = ReadOp()
    step = op.omap_get_vals_by_keys([key])
    with context.failing(f"error getting omap value {context.pool}/{oid}/{key}"):
        await context.ioctx.operate_read(oid, op)
    found = step.value.get(key)
    if found is None:
        context.say(f"No such key: {context.pool}/{oid}/{key}")
        raise _Silent
    _show(context, "value", found, context.words[2:])


def _show(context: Context, what: str, data: bytes, path: list[str]) -> None:
    if path:
        context.complain(f"Writing to {path[0]}")
        Path(path[0]).write_bytes(data)
    else:
        context.say(f"{what} ({len(data)} bytes) :\n{hexdump(data)}")


async def setomapval(context: Context) -> None:
    """Set a value of the omap."""
    oid, key = context.take("object name", "key")
    given = context.words[2:]
    if given:
        value = given[0].encode("utf-8", "surrogateescape")
    else:
        with context.read_input(context.args.input_file or "-") as source:
            value = source.read()
    with context.failing(f"error setting omap value {context.pool}/{oid}/{key}"):
        await context.ioctx.omap_set(oid, {key: value})


async def rmomapkey(context: Context) -> None:
    """Remove an entry of the omap."""
    oid, key = context.take("object name", "key")
    op = WriteOp()
    op.omap_rm_keys([key])
    with context.failing(f"error removing omap key {context.pool}/{oid}/{key}"):
        await context.ioctx.operate_write(oid, op)


async def clearomap(context: Context) -> None:
    """Remove all entries of the omaps of objects."""
    context.take("object name")
    for oid in context.words:
        op = WriteOp()
        op.assert_exists()
        op.omap_clear()
        with context.failing(f"error clearing omap keys {context.pool}/{oid}/", between=""):
            await context.ioctx.operate_write(oid, op)


async def getomapheader(context: Context) -> None:
    """The omap's header, shown, or written to a file."""
    (oid,) = context.take("object name")
    op = ReadOp()
    step = op.omap_get_header()
    with context.failing(f"error getting omap header {context.pool}/{oid}"):
        await context.ioctx.operate_read(oid, op)
    _show(context, "header", step.value, context.words[1:])


async def setomapheader(context: Context) -> None:
    """Set the omap's header."""
    oid, value = context.take("object name", "value")
    op = WriteOp()
    op.omap_set_header(value.encode("utf-8", "surrogateescape"))
    with context.failing(f"error setting omap value {context.pool}/{oid}"):
        await context.ioctx.operate_write(oid, op)


class _Silent(Failed):
    """All was said."""
