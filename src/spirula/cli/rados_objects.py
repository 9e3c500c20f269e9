"""The sub-commands of `spirula rados` about objects: data, attributes, omaps.

What each prints and complains is upstream's, word by word.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

from spirula.cli.rados_context import Context, Failed, hexdump, printable
from spirula.cli.rados_parallel import Progress
from spirula.printing import Items
from spirula.rados.aio import Cursor, ListedObject, ReadOp, Striper, WriteOp, pools
from spirula.rados.constants import LIBRADOS_ALL_NSPACES, LIBRADOS_CREATE_EXCLUSIVE
from spirula.types.base import UTime
from spirula.types.hobject import NOSNAP
from spirula.types.osd_op import Extent, OpCode, OSDOp, RequestFlag
from spirula.types.osd_op_payload import MapExtReply, StatReply

_FIRST = ".0000000000000000"
"""What the first object of a striped one is called behind its name."""
_THOUGH_FULL = int(RequestFlag.FULL_FORCE | RequestFlag.FULL_TRY)


async def ls(context: Context) -> None:
    """Names of the objects: with their keys, and with `--all` behind their namespaces."""
    args = context.args
    if context.words not in ([], ["-"]) and not args.output:
        raise Failed("Please use --output to specify the output file name")
    ioctx = context.ioctx
    if context.is_wild:
        ioctx.set_namespace(LIBRADOS_ALL_NSPACES)
    if args.format:
        rows = [
            {
                "namespace": one.nspace,
                "name": one.oid,
                **({"locator": one.locator} if one.locator else {}),
            }
            async for one in _listed(context)
        ]
        context.show("objects", Items("object", rows))
        if args.pretty_format and not args.output:
            context.say("")
        return
    out = context.write_output(args.output) if args.output else context.out
    try:
        async for one in _listed(context):
            space = f"{one.nspace}\t" if context.is_wild else ""
            line = f"{space}{one.oid}" + (f"\t{one.locator}" if one.locator else "")
            out.write(f"{line}\n".encode("utf-8", "surrogateescape"))
    finally:
        if args.output:
            out.close()


async def _listed(context: Context) -> AsyncIterator[ListedObject]:
    """The objects to tell of: those of a PG, and with `--striper` those that stripes make up."""
    begin = end = None
    if context.pgid is not None:
        pg_num = pools.pool_of(context.connected, context.pgid.pool).pg_num
        begin = Cursor(context.pgid.first_object())
        end = Cursor(context.pgid.end_object(pg_num))
    async for one in context.ioctx.list_objects(begin, end):
        if not context.args.striper:
            yield one
        elif one.oid.endswith(_FIRST) and len(one.oid) > len(_FIRST):
            yield one._replace(oid=one.oid.removesuffix(_FIRST))


async def get(context: Context) -> None:
    """Fetch an object, part by part."""
    oid, path = context.take("object name", "output file")
    size = context.op_size
    objects = context.objects
    with context.failing(f"error getting {context.pool}/{oid}"):
        data = await objects.read(oid, size)
        out = context.write_output(path)
        progress = Progress("bytes")
        try:
            offset = 0
            while data:
                out.write(data)
                offset += len(data)
                progress.step(len(data))
                if len(data) < size:
                    break
                data = await objects.read(oid, size, offset)
        finally:
            progress.clear()
            if path != "-":
                out.close()


async def put(context: Context) -> None:
    """Write an object, part by part; what it had goes, unless `--offset` says where to begin."""
    oid, path = context.take("object name", "input file")
    begin = context.args.offset or 0
    objects, offset, size = context.objects, begin, context.op_size
    progress = Progress("bytes")
    with context.read_input(path) as source:
        data = source.read(size)
        with context.failing(f"error putting {context.pool}/{oid}"):
            if not data:
                await objects.write_full(oid, b"")
                if offset:
                    await objects.truncate(oid, offset)
            elif context.args.offset is None:
                await objects.write_full(oid, data)
            else:
                await objects.write(oid, data, offset)
            while data:
                offset += len(data)
                progress.step(len(data))
                data = source.read(size)
                if data:
                    await objects.write(oid, data, offset)
    progress.clear()


async def append(context: Context) -> None:
    """Write behind an object's end."""
    oid, path = context.take("object name", "input file")
    with context.read_input(path) as source:
        data = b"first"
        while data:
            data = source.read(context.op_size)
            with context.failing(f"error appending {context.pool}/{oid}"):
                await context.objects.append(oid, data)


async def truncate(context: Context) -> None:
    """Give an object another size."""
    oid, text = context.take("object name", "size")
    if not text.removeprefix("-").isdecimal():
        raise Failed(f"Invalid value for size: '{text}'")
    if text.startswith("-"):
        raise Failed("error, cannot truncate to negative value")
    with context.failing(f"error truncating oid {oid} to {int(text)}"):
        await context.objects.truncate(oid, int(text))


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
    space = f"{context.args.namespace}/" if context.args.namespace else ""
    op = OSDOp.make(OpCode.DELETE)
    for oid in context.words:
        with context.failing(f"error removing {context.pool}>{space}{oid}"):
            if context.args.force_full and not context.args.striper:
                await context.ioctx.request("rm", oid, [op], write=True, flags=_THOUGH_FULL)
            else:
                await context.objects.remove(oid)


async def cp(context: Context) -> None:
    """Copy an object, in its pool or to another."""
    (oid,) = context.take("object name")
    pool = context.args.target_pool or context.pool
    if len(context.words) < 2 and pool == context.pool:
        raise Failed("cannot copy object into itself")
    to = context.words[1] if len(context.words) > 1 else oid
    target = await context.other_pool(pool)
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
    with context.failing(f" error stat-ing {context.pool}/{oid}"):
        if context.args.striper:
            striped = await Striper(context.ioctx).stat(oid)
            nanoseconds = round(striped.mtime % 1 * 1e9)
            size, moment = striped.size, UTime(int(striped.mtime), nanoseconds)
        else:
            op = OSDOp.make(OpCode.STAT)
            outcome = await context.ioctx.request("stat", oid, [op], write=False)
            found = StatReply.decode(bytes(outcome.ops[0].outdata))
            size, moment = found.size, found.mtime
    if to_the_second:
        moment = UTime(moment.sec, 0)
    context.say(f"{context.pool}/{printable(oid)} mtime {moment}, size {size}")


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
        found = await context.objects.get_xattrs(oid)
    for name in sorted(found):
        context.say(name)


async def getxattr(context: Context) -> None:
    """An attribute, as it is."""
    oid, name = context.take("object name", "attribute")
    with context.failing(f"error getting xattr {context.pool}/{oid}/{name}"):
        context.out.write(await context.objects.get_xattr(oid, name))


async def setxattr(context: Context) -> None:
    """Set an attribute; without a value, to what comes on standard input."""
    oid, name = context.take("object name", "attribute")
    given = context.words[2:]
    value = given[0].encode("utf-8", "surrogateescape") if given else sys.stdin.buffer.read()
    with context.failing(f"error setting xattr {context.pool}/{oid}/{name}"):
        await context.objects.set_xattr(oid, name, value)


async def rmxattr(context: Context) -> None:
    """Remove an attribute."""
    oid, name = context.take("object name", "attribute")
    with context.failing(f"error removing xattr {context.pool}/{oid}/{name}"):
        await context.objects.rm_xattr(oid, name)


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


def _take_key(context: Context) -> tuple[str, str]:
    """Object and key; the key may be in a file (`--omap-key-file`)."""
    path = context.args.omap_key_file
    if path is not None:
        context.take("object name")
        with context.read_input(path) as source:
            context.words.insert(1, source.read().decode("utf-8", "surrogateescape"))
    oid, key = context.take("object name", "key")
    return oid, key


async def getomapval(context: Context) -> None:
    """One value of the omap, shown, or written to a file."""
    oid, key = _take_key(context)
    op = ReadOp()
    step = op.omap_get_vals_by_keys([key])
    with context.failing(f"error getting omap value {context.pool}/{oid}/{key}"):
        await context.ioctx.operate_read(oid, op)
    found = step.value.get(key)
    if found is None:
        context.say(f"No such key: {context.pool}/{printable(oid)}/{printable(key)}")
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
    oid, key = _take_key(context)
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
    oid, key = _take_key(context)
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
