"""`spirula rados bench` and `cleanup`: how fast a pool is, and taking away what that left.

Names and contents of objects, the record of a run and what is printed are upstream's
(`src/common/obj_bencher.cc`), so that either program reads and cleans up what the other wrote.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from errno import EINVAL, EIO, ENOENT

from spirula.cli.rados_bench_report import Figures, final_document, final_text, heading, row
from spirula.cli.rados_context import Context, Failed, Usage
from spirula.cli.rados_copy import remove_all
from spirula.rados.aio import Ioctx, WriteOp
from spirula.rados.constants import LIBRADOS_ALL_NSPACES
from spirula.rados.errors import Error, ObjectNotFound, make_error
from spirula.types.base import UTime
from spirula.types.osd_op import AllocHintFlag

PREFIX = "benchmark_data"
LAST_RUN = "benchmark_last_metadata"
_HINTS = int(
    AllocHintFlag.SEQUENTIAL_WRITE
    | AllocHintFlag.SEQUENTIAL_READ
    | AllocHintFlag.APPEND_ONLY
    | AllocHintFlag.IMMUTABLE
)
_RECORD = struct.Struct("<QiiQ")
_OLD_RECORD = struct.Struct("<Qii")
_HEAD_EVERY = 20


@dataclass(slots=True)
class Record:
    """What a write run leaves for later ones: sizes in bytes, operations, whose objects."""

    object_size: int
    operations: int
    pid: int
    op_size: int

    @property
    def per_object(self) -> int:
        """Operations on one object."""
        return max(self.object_size // self.op_size, 1) if self.op_size else 1

    @property
    def objects(self) -> int:
        """How many objects there are."""
        return -(-self.operations // self.per_object)

    def encode(self) -> bytes:
        """As it is kept in an object."""
        return _RECORD.pack(self.object_size, self.operations, self.pid, self.op_size)


async def read_record(ioctx: Ioctx, name: str) -> Record:
    """The record of a run. ObjectNotFound where there is none."""
    data = await ioctx.read(name, _RECORD.size)
    if len(data) >= _RECORD.size:
        return Record(*_RECORD.unpack_from(data))
    if len(data) < _OLD_RECORD.size:
        raise make_error(ENOENT, f"{name} is no record of a benchmark")
    object_size, operations, pid = _OLD_RECORD.unpack_from(data)
    return Record(object_size, operations, pid, object_size)


def object_name(pid: int, number: int) -> str:
    """An object of a run on this host."""
    return f"{PREFIX}_{_host()}_{pid}_object{number}"


def _host() -> str:
    return socket.gethostname()[:29]


def content(op_size: int, number: int) -> bytes:
    """What operation `number` writes."""
    text = f"I'm the {number:16d}th op!".encode()[: max(op_size - 1, 0)] + b"\0"
    return (text + b"z" * (op_size - len(text)))[:op_size]


@dataclass(slots=True)
class _Run:
    """One benchmark: `record` tells sizes and names, `figures` what was measured so far."""

    context: Context
    seconds: int
    record: Record
    figures: Figures
    next: int = 0
    errors: int = 0
    datas: list[object] = field(default_factory=list)

    @property
    def at_once(self) -> int:
        return int(self.context.args.concurrent_ios)

    def place(self, number: int) -> tuple[str, int]:
        """Object and offset of an operation."""
        per_object = self.record.per_object
        name = object_name(self.record.pid, number // per_object)
        return name, self.record.op_size * (number % per_object)


async def bench(context: Context) -> None:
    """Write, or read what was written, for some seconds."""
    seconds_text, verb = context.take("seconds", "write, seq or rand")
    args = context.args
    if not seconds_text.lstrip("-").isdecimal():
        raise Failed(f"Invalid value for seconds: '{seconds_text}'")
    if verb not in {"write", "seq", "rand"}:
        raise Usage(f"{verb!r} is none of write, seq, rand")
    destinations = [args.write_object, args.write_omap, args.write_xattr]
    if verb != "write":
        if args.block_size is not None or args.object_size is not None:
            raise Failed("-b|--block_size option can be used only with 'write' bench test")
        if any(destinations):
            raise Failed(
                "--write-object, --write-omap and --write-xattr options can "
                "only be used with the 'write' bench test"
            )
    if args.output and not args.format:
        raise Failed("-o|--output option can only be used with '--format' option")
    context.say(f"hints = {int(not args.no_hints)}")
    try:
        await _bench(context, int(seconds_text), verb)
    except Error as error:
        reason = context.reason(error)
        raise Failed(f"error during benchmark: {reason}\nerror {error.errno}: {reason}") from error


async def _bench(context: Context, seconds: int, verb: str) -> None:
    args = context.args
    if args.concurrent_ios <= 0:
        raise make_error(EINVAL, "--concurrent-ios is less than one")
    name = args.run_name or LAST_RUN
    op_size = context.op_size
    object_size = args.object_size or op_size
    record = Record(object_size, 0, os.getpid(), min(op_size, object_size))
    if verb != "write" or args.reuse_bench:
        try:
            record = await read_record(context.ioctx, name)
        except ObjectNotFound:
            what = "using reuse_bench for a write" if args.reuse_bench else "running a read"
            context.complain(f"Must write data before {what} benchmark!")
            raise
    run = _Run(context, seconds, record, Figures(record.op_size))
    document: dict[str, object] = {}
    if verb == "write":
        _announce(run, document)
    operations = {"write": _write, "seq": _read, "rand": _read}
    limits = {"write": _limit(run), "seq": record.operations, "rand": None}
    await _measure(run, operations[verb], limits[verb], scattered=verb == "rand")
    is_write = verb == "write"
    if args.format:
        document["datas"] = run.datas
        document |= final_document(run.figures, record.object_size, is_write=is_write)
        context.show("bench", document)
        context.say("")
    else:
        _tell(context, final_text(run.figures, record.object_size, is_write=is_write))
    if is_write:
        record.operations = run.figures.finished
        await context.ioctx.write_full(name, record.encode())
        if not args.no_cleanup:
            await _clean_after(context, record, name)
    if run.errors:
        raise make_error(EIO, f"{run.errors} objects were not as they were written")


def _announce(run: _Run, document: dict[str, object]) -> None:
    args, record = run.context.args, run.record
    prefix = f"{PREFIX}_{_host()}_{record.pid}"
    most = args.max_objects
    if args.format:
        document |= {
            "concurrent_ios": str(run.at_once),
            "object_size": str(record.object_size),
            "op_size": str(record.op_size),
            "seconds_to_run": str(run.seconds),
            "max_objects": str(most),
            "object_prefix": prefix,
        }
        return
    _tell(
        run.context,
        f"Maintaining {run.at_once} concurrent writes of {record.op_size} bytes to objects of size"
        f" {record.object_size} for up to {run.seconds} seconds or {most} objects",
    )
    _tell(run.context, f"Object prefix: {prefix}")


def _limit(run: _Run) -> int | None:
    most: int = run.context.args.max_objects
    if not most or not run.record.op_size:
        return None
    return -(-run.record.object_size * most // run.record.op_size)


def _tell(context: Context, text: str) -> None:
    """A line (or several), with the time before it if that was asked for, at once."""
    context.say(_stamp(context) + text)
    context.out.flush()


def _stamp(context: Context) -> str:
    return f"{_now()} " if context.args.show_time else ""


def _now() -> UTime:
    nanoseconds = time.time_ns()
    return UTime(nanoseconds // 10**9, nanoseconds % 10**9)


async def _measure(
    run: _Run,
    operate: Callable[[_Run, int], Awaitable[None]],
    limit: int | None,
    *,
    scattered: bool,
) -> None:
    """Keep as many operations under way as were asked for, until time or `limit` is over."""
    figures = run.figures
    figures.began = time.monotonic()
    stop = figures.began + run.seconds
    printer = asyncio.ensure_future(_print_status(run))

    async def work(number: int) -> None:
        while True:
            figures.started += 1
            began = time.monotonic()
            await operate(run, number)
            figures.add(time.monotonic() - began)
            if not run.seconds or time.monotonic() >= stop:
                return
            if limit is not None and run.next >= limit:
                return
            number = run.next
            run.next += 1
            if scattered:
                number = random.randrange(max(run.record.operations, 1))

    # Those that are started first are not more than there is to do (where upstream's fail).
    known = run.record.operations if scattered else limit
    slots = run.at_once if known is None else min(run.at_once, known)
    run.next = slots
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(slots):
                group.create_task(work(number))
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    finally:
        figures.ended = time.monotonic()
        printer.cancel()
        with suppress(asyncio.CancelledError):
            await printer
    figures.finish()


async def _print_status(run: _Run) -> None:
    context, figures = run.context, run.figures
    second = 0
    while True:
        line = figures.look(time.monotonic())
        if context.args.format:
            run.datas.append(line.document(second))
        else:
            if second % _HEAD_EVERY == 0:
                if second:
                    context.say(f"{_now()} {figures.latencies_text()}")
                _tell(context, heading())
            _tell(context, row(line, second))
        second += 1
        await asyncio.sleep(max(figures.began + second - time.monotonic(), 0))


async def _write(run: _Run, number: int) -> None:
    args, record = run.context.args, run.record
    name, offset = run.place(number)
    data = content(record.op_size, number)
    op = WriteOp()
    if args.write_object or not (args.write_omap or args.write_xattr):
        if not args.no_hints:
            op.set_alloc_hint(record.object_size, record.op_size, _HINTS)
        op.write(data, offset)
    if args.write_omap:
        op.omap_set({f"bench-omap-key-{offset}": data})
    if args.write_xattr:
        op.set_xattr(f"bench-xattr-key-{offset}", data)
    await run.context.ioctx.operate_write(name, op)


async def _read(run: _Run, number: int) -> None:
    name, offset = run.place(number)
    data = await run.context.ioctx.read(name, run.record.op_size, offset)
    if not run.context.args.no_verify and data != content(run.record.op_size, number):
        run.context.complain(f"{name} is not correct!")
        run.errors += 1


# ----------------------------------------------------------------------------------------- cleanup


async def _clean_after(context: Context, record: Record, name: str) -> None:
    began = time.monotonic()
    _tell(context, "Cleaning up (deleting benchmark objects)")
    await _remove_run(context, context.ioctx, record)
    took = time.monotonic() - began
    _tell(context, f"Clean up completed and total clean up time :{took:g}")
    await context.ioctx.remove(name)


async def _remove_run(context: Context, ioctx: Ioctx, record: Record) -> None:
    """Remove the objects of a run."""
    if not record.objects:
        return
    numbers = iter(range(record.objects))

    async def work() -> None:
        for number in numbers:
            with suppress(ObjectNotFound):
                await ioctx.remove(object_name(record.pid, number))

    slots = min(record.objects, context.args.concurrent_ios)
    await asyncio.gather(*(work() for _ in range(slots)))
    plural = "" if record.objects == 1 else "s"
    _tell(context, f"Removed {record.objects} object{plural}")


async def cleanup(context: Context) -> None:
    """Remove the objects of benchmarks."""
    args = context.args
    try:
        await _cleanup(context, args.prefix or f"{PREFIX}_{_host()}", args.run_name or LAST_RUN)
    except Error as error:
        reason = context.reason(error)
        raise Failed(f"error during cleanup: {reason}\nerror {error.errno}: {reason}") from error


async def _cleanup(context: Context, prefix: str, name: str) -> None:
    if not prefix.startswith(PREFIX):
        context.complain(f'Specified --prefix invalid, it must begin with "{PREFIX}"')
        raise make_error(EINVAL, "prefix")
    ioctx = context.ioctx.dup()
    if context.args.all:
        ioctx.set_namespace(LIBRADOS_ALL_NSPACES)
    recorded: set[str] = set()
    used: set[str] = set()
    async for listed in ioctx.list_objects():
        if listed.oid == name:
            recorded.add(listed.nspace)
        if listed.oid.startswith(prefix):
            used.add(listed.nspace)
    for nspace in sorted(used):
        ioctx.set_namespace(nspace)
        if nspace not in recorded:
            _tell(context, "Warning: using slow linear search")
            count = await remove_all(ioctx, context.args.concurrent_ios, prefix)
            _tell(context, f"Removed {count} object{'' if count == 1 else 's'}")
            continue
        await _remove_run(context, ioctx, await read_record(ioctx, name))
        await ioctx.remove(name)
