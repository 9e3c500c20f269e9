"""`bench`: how fast the OSD's store takes objects, past PGs and network.

Options bound how long that can take. Limits, texts and result: upstream `src/osd/OSD.cc`.
"""

from __future__ import annotations

from asyncio import Future

from spirula.conf.admin_commands import Call, CommandTable, Reply, Section
from spirula.errors import CephError, InvalidArgument
from spirula.osd.state import OSD
from spirula.store.osd_meta import META, meta_object
from spirula.types.hobject import GHObject
from spirula.types.transaction import Transaction

_MIB = 1 << 20
_UNITS = (" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB")


def register(table: CommandTable, osd: OSD) -> None:
    """Adds the command."""
    table.register(
        "bench name=count,type=CephInt,req=false name=size,type=CephInt,req=false "
        "name=object_size,type=CephInt,req=false name=object_num,type=CephInt,req=false",
        lambda call: _bench(osd, call),
        "write <count> bytes (1G) in objects of <size> bytes (4M), or into <object_num> objects "
        "of <object_size> bytes",
    )


def _sized(value: int) -> str:
    unit = 0
    number = float(value)
    while number >= 1024 and unit < len(_UNITS) - 1:
        number /= 1024
        unit += 1
    text = f"{number:.0f}" if number == int(number) else f"{number:.3g}"
    return text + _UNITS[unit]


def _check(osd: OSD, count: int, size: int) -> None:
    """Refuse what would keep the OSD busy for too long."""
    config = osd.config
    largest = config.get_int("osd_bench_max_block_size")
    duration = config.get_int("osd_bench_duration")
    if size <= 0 or count < 0:
        raise InvalidArgument("'size' must be positive, and 'count' not negative")
    if size > largest:
        raise InvalidArgument(
            f"block 'size' values are capped at {_sized(largest)}. If you wish to use a higher "
            "value, please adjust 'osd_bench_max_block_size'"
        )
    if size < _MIB:
        iops = config.get_int("osd_bench_small_size_max_iops")
        most, rate, option = size * duration * iops, f"{iops} IOPS", "small_size_max_iops"
    else:
        speed = config.get_int("osd_bench_large_size_max_throughput")
        most, rate = speed * duration, f"{_sized(speed)}/s"
        option = "large_size_max_throughput"
    if count > most:
        raise InvalidArgument(
            f"'count' values greater than {most} for a block size of {_sized(size)}, assuming "
            f"{rate}, for {duration} seconds, can cause ill effects on osd.  "
            f"Please adjust 'osd_bench_{option}' with a higher value if you wish to use a higher "
            "'count'."
        )


async def _bench(osd: OSD, call: Call) -> Reply:
    count = call.number("count", 1 << 30)
    size = call.number("size", 4 << 20)
    object_size, object_num = call.number("object_size"), call.number("object_num")
    _check(osd, count, size)
    if object_size:
        size = min(size, object_size)
    into = object_num if object_size else 0
    written: set[GHObject] = set()
    if into:
        whole = bytes(object_size)
        for number in range(into):
            _write(osd, written, str(number), 0, whole)
        await _flushed(osd)
    block = bytes(size)
    began = osd.now()
    pending = 0
    for position in range(0, count, size):
        if into:
            number = int.from_bytes(osd.ports.random_bytes(4), "little")
            offset = number % max(object_size // size, 1) * size
            _write(osd, written, str(number % into), offset, block)
        else:
            _write(osd, written, str(position), 0, block)
        pending += size
        if pending >= 16 * _MIB:
            # Others are to get their turn, and memory is to stay small.
            await _flushed(osd)
            pending = 0
    await _flushed(osd)
    elapsed = max(osd.now() - began, 1e-9)
    for oid in written:
        cleanup = Transaction()
        cleanup.remove(META, oid)
        osd.store.queue_transactions(META, [cleanup])
    await _flushed(osd)
    return Section(
        "osd_bench_results",
        {
            "bytes_written": count,
            "blocksize": size,
            "elapsed_sec": elapsed,
            "bytes_per_sec": count / elapsed,
            "iops": count / elapsed / size,
        },
    )


def _write(osd: OSD, written: set[GHObject], name: str, offset: int, data: bytes) -> None:
    oid = meta_object(f"disk_bw_test_{name}")
    transaction = Transaction()
    transaction.write(META, oid, offset, data)
    osd.store.queue_transactions(META, [transaction])
    written.add(oid)


async def _flushed(osd: OSD) -> None:
    """Wait until all is durable. Raises the store's error."""
    done: Future[CephError | None] = osd.ports.loop.create_future()

    def on_commit(error: CephError | None) -> None:
        if not done.done():
            done.set_result(error)

    if not osd.store.flush_commit(META, on_commit):
        error = await done
        if error is not None:
            raise error
