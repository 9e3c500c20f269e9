"""`spirula rados load-gen`: reads and writes at random places of objects of its own, for a while.

What is printed is upstream's (`src/tools/rados/rados.cc`, LoadGen).
"""

from __future__ import annotations

import asyncio
import random
import string
import time
from dataclasses import dataclass, field

from spirula.cli.rados_context import Context, Failed
from spirula.rados.aio import Ioctx
from spirula.rados.errors import Error

_LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
_MIB = 1 << 20


@dataclass(slots=True)
class _Load:
    """One run: `objects` with their sizes, counters in bytes."""

    context: Context
    ioctx: Ioctx
    objects: list[tuple[str, int]] = field(default_factory=list)
    pending: set[asyncio.Task[None]] = field(default_factory=set)
    began: float = 0.0
    sent: int = 0
    completed: int = 0
    operations: int = 0

    def rate(self) -> str:
        """What is completed in a second, in MiB."""
        seconds = max(time.monotonic() - self.began, 1e-9)
        return f"{self.completed / seconds / _MIB:.3g}"


async def load_gen(context: Context) -> None:
    """Make load."""
    args = context.args
    load = _Load(context, context.ioctx)
    context.say(f"run length {args.run_length or 0} seconds")
    context.say(f"preparing {args.num_objects or 200} objects")
    try:
        await _prepare(load)
    except Error as error:
        raise Failed(
            f"aio_write failed: {context.reason(error)}\nload-gen bootstrap failed"
        ) from error
    context.say(f"load-gen will run {args.run_length or 60} seconds")
    context.out.flush()
    try:
        await _run(load)
    finally:
        context.say("waiting for all operations to complete")
        context.out.flush()
        await asyncio.gather(*load.pending)
        await _clean(load)


async def _prepare(load: _Load) -> None:
    args = load.context.args
    low = args.min_object_size or 1024
    high = max(args.max_object_size or 5 << 30, low)
    limit = asyncio.Semaphore(args.max_ops or 16)

    async def make(name: str, size: int) -> None:
        async with limit:
            await load.ioctx.write(name, b"\0", size - 1)

    for _ in range(args.num_objects or 200):
        name = "obj-" + "".join(random.choices(_LETTERS, k=15))
        load.objects.append((name, random.randint(low, high)))
    await asyncio.gather(*(make(name, size) for name, size in load.objects))


async def _run(load: _Load) -> None:
    args = load.context.args
    target = args.target_throughput or 5 << 20
    backlog = args.max_backlog or 2 * target
    load.began = time.monotonic()
    end = load.began + (args.run_length or 60)
    told, second = load.began, 0
    while time.monotonic() <= end:
        now = time.monotonic()
        if now - told >= 1:
            second += 1
            told = now
            pending = load.sent - load.completed
            load.context.say(f"{second:>5}: throughput={load.rate()}MB/sec pending data={pending}")
            load.context.out.flush()
        expected = int(target * (now - load.began))
        while (
            load.sent < expected
            and load.sent - load.completed < backlog
            and len(load.pending) < (args.max_ops or 16)
        ):
            _start(load)
        if load.pending:
            await asyncio.wait(
                load.pending, timeout=min(1, end - now), return_when=asyncio.FIRST_COMPLETED
            )
        else:
            await asyncio.sleep(0.05)


def _start(load: _Load) -> None:
    """Begin an operation at a random place."""
    args = load.context.args
    name, size = random.choice(load.objects)
    low = args.min_op_len or 1024
    length = min(random.randint(low, max(args.max_op_len or 2 << 20, low)), size)
    offset = min(random.randint(0, size), size - length)
    if args.offset_align:
        offset -= offset % args.offset_align
    reads = 80 if args.read_percent is None else args.read_percent
    is_read = random.randint(1, 100) <= reads
    verb = "READ" if is_read else "WRITE"
    load.context.say(f"{verb} : oid={name} off={offset} len={length}")
    number = load.operations
    load.operations += 1
    load.sent += length

    async def operate() -> None:
        try:
            if is_read:
                await load.ioctx.read(name, length, offset)
            else:
                await load.ioctx.write(name, bytes(length), offset)
        except Error as error:
            load.context.complain(f"op {number} on {name}: {load.context.reason(error)}")
        load.completed += length
        load.context.say(f"op {number} completed, throughput={load.rate()}MB/sec")

    task = asyncio.ensure_future(operate())
    load.pending.add(task)
    task.add_done_callback(load.pending.discard)


async def _clean(load: _Load) -> None:
    load.context.say("cleaning up objects")
    for name, _ in load.objects:
        try:
            await load.ioctx.remove(name)
        except Error as error:
            load.context.complain(f"couldn't remove obj: {name} ret={-(error.errno or 0)}")
