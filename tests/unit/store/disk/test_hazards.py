"""What could go wrong between the block file, the log and the engine, one by one."""

from __future__ import annotations

import asyncio
import random
from queue import SimpleQueue
from types import SimpleNamespace

import pytest

from spirula.errors import InputOutput, InvalidArgument, InvariantBroken, NoSpace
from spirula.store.checksums import ChecksumType
from spirula.store.disk.behind import SyncBehind
from spirula.store.disk.engine import Batch
from spirula.store.disk.layout import FIRST_BLOCK, LOG, SHARD, SHARED
from spirula.store.disk.medium import FolderMedium, MemoryMedium
from spirula.store.disk.memory_block import MemoryBlockDevice
from spirula.store.disk.mkfs import mkfs
from spirula.store.disk.state import Options
from spirula.store.disk.store import DiskObjectStore
from spirula.types.osd_op import OpFlag
from spirula.types.pool import PoolOpt
from tests.unit.store.conformance import PG, POOL, obj, queue, txn
from tests.unit.store.disk.test_disk import DiskBench

BLOCK = 4096
A, B = obj("a"), obj("b")


def bench_of(blocks=1 << 14, **options):
    made = DiskBench(MemoryMedium((FIRST_BLOCK + blocks) * BLOCK), Options(**options))
    queue(made, ("create_collection", PG, 0))
    made.settle()
    return made


def records(bench, kind):
    return [key for key, _ in bench.medium.engine.iterate(kind, bytes([kind[0] + 1]))]


def lose_power(bench):
    """Nothing that was not synced is left, of the engine and of the disk."""
    bench._mount(bench.medium.after_crash())


def where(bench, oid):
    """The blocks of the disk that an object has."""
    onode = bench.store._find(PG, oid)
    return [address for shard in onode.shards.values() for address in shard.addresses]


# --- the log, and blocks that change hands ---


def test_a_logged_block_has_no_new_owner_before_the_log_is_trimmed():
    bench = bench_of(64)
    queue(bench, ("write", PG, A, 0, b"a" * 16 * BLOCK))
    bench.settle()
    queue(bench, ("write", PG, A, BLOCK, b"A" * BLOCK))
    bench.settle()
    logged = where(bench, A)[1]
    queue(bench, ("remove", PG, A))
    bench.settle()
    assert records(bench, LOG)
    queue(bench, ("write", PG, B, 0, b"b" * 63 * BLOCK))
    assert logged not in where(bench, B)
    assert bench.store.statfs().available == BLOCK
    # The last block is to be had, for the price of a trim.
    queue(bench, ("write", PG, B, 63 * BLOCK, b"c" * BLOCK))
    assert logged in where(bench, B)
    bench.settle()
    lose_power(bench)
    assert bench.store.read(PG, B) == b"b" * 63 * BLOCK + b"c" * BLOCK


def test_freed_space_has_no_new_owner_before_that_is_durable():
    bench = bench_of(48)
    queue(bench, ("write", PG, A, 0, b"a" * 16 * BLOCK))
    bench.settle()
    queue(bench, ("remove", PG, A))
    queue(bench, ("write", PG, B, 0, b"b" * 32 * BLOCK))
    assert bench.store.statfs().available == 16 * BLOCK
    lose_power(bench)
    assert bench.store.read(PG, A) == b"a" * 16 * BLOCK
    queue(bench, ("remove", PG, A))
    # More than is free now: it waits for what is on its way, once.
    queue(bench, ("write", PG, B, 0, b"b" * 40 * BLOCK))
    lose_power(bench)
    assert not bench.store.exists(PG, A)
    assert not bench.store.exists(PG, B)


def test_waiting_for_space_calls_nobody_back():
    bench = bench_of(32)
    told = []
    bench.store.queue_transactions(
        PG, [txn(("write", PG, A, 0, b"a" * 32 * BLOCK))], None, told.append
    )
    bench.store.queue_transactions(PG, [txn(("remove", PG, A))], None, told.append)
    queue(bench, ("write", PG, B, 0, b"b" * 32 * BLOCK))
    assert not told
    bench.settle()
    assert told == [None, None]


@pytest.mark.parametrize("applied", [False, True])
def test_the_log_is_replayed_as_often_as_it_takes(applied):
    bench = bench_of()
    queue(bench, ("write", PG, A, 0, b"a" * 16 * BLOCK))
    bench.settle()
    for number in range(5):
        queue(bench, ("write", PG, A, BLOCK * number + 100, b"%d" % number * BLOCK))
        bench.store.land(apply=applied)
    expected = bench.store.read(PG, A)
    for number in range(20):
        left = bench.medium.after_crash(random.Random(number), lambda left: 0)
        assert list(left.engine.iterate(LOG, b"e"))
        # A crash within the mount, and the mount after it.
        store = DiskObjectStore(left, lambda call: None, threaded=False)
        store.mount()
        assert store.read(PG, A) == expected
        bench._mount(left.after_crash(random.Random(number), lambda left: 0))
        assert bench.store.read(PG, A) == expected
        queue(bench, ("write", PG, A, 7, b"%d" % number))
        expected = bench.store.read(PG, A)
        bench.store.land(apply=applied)


def test_the_log_stays_short_and_goes_only_when_its_blocks_are_safe():
    bench = bench_of(log_bytes=100_000)
    data = bytearray(b"a" * 64 * BLOCK)
    queue(bench, ("write", PG, A, 0, bytes(data)))
    bench.settle()
    for number in range(300):
        at, piece = number % 64 * BLOCK, b"%4d" % number
        queue(bench, ("write", PG, A, at, piece))
        data[at : at + 4] = piece
        bench.store.land(apply=number % 3 == 0)
        assert len(records(bench, LOG)) <= 100_000 // BLOCK + 1
        if number % 29 == 28:
            lose_power(bench)
            assert bench.store.read(PG, A) == data
    bench.store.umount()
    assert not records(bench, LOG)


def test_the_log_is_trimmed_beside_the_commits():
    calls = SimpleQueue()
    medium = MemoryMedium(1 << 24)
    store = DiskObjectStore(medium, calls.put, Options(log_bytes=100 * BLOCK))
    store.mount()
    told = []

    def write(*step):
        store.queue_transactions(PG, [txn(step)], None, told.append)
        while len(told) < 1:
            calls.get(timeout=10)()
        assert told.pop() is None

    write("create_collection", PG, 0)
    data = bytearray(b"a" * 200 * BLOCK)
    write("write", PG, A, 0, bytes(data))
    syncs = medium.device.syncs
    for number in range(1000):
        at = number * 77 % 200 * BLOCK
        data[at : at + 4] = b"%4d" % number
        write("write", PG, A, at, b"%4d" % number)
        kept = len(list(medium.engine.iterate(LOG, b"e")))
        assert kept <= 101
    assert 10 <= medium.device.syncs - syncs <= 40
    # The thread goes on while the power is cut: what it writes then goes nowhere.
    left = MemoryMedium.after_crash(medium)
    with pytest.raises(InvariantBroken, match="closed"):
        store.read(PG, A)
    bench = DiskBench(left)
    assert bench.store.read(PG, A) == data


def test_a_sync_that_failed_beside_the_commits_fails_theirs():
    device = MemoryBlockDevice(1 << 20)
    behind = SyncBehind(device)
    behind.ask(3)  # there is no thread
    behind.start()
    behind.ask(5)
    behind.stop()
    assert (behind.synced, device.syncs) == (5, 1)
    behind.start()
    device.fail(InputOutput("the disk is gone"))
    behind.ask(7)
    behind.stop()
    device.fail(None)
    assert behind.synced == 5
    for _ in range(2):
        with pytest.raises(InputOutput, match="gone"):
            behind.sync()


def test_a_large_write_is_written_once():
    bench = bench_of()
    before = bench.medium.device.written
    queue(bench, ("write", PG, A, 0, b"a" * 1_000_000))
    bench.settle()
    bench.store.umount()
    marks = 3 * BLOCK
    assert bench.medium.device.written - before <= 1_000_000 + BLOCK + marks
    engine = bench.medium.engine.statistics()["content_bytes"]
    assert engine < 20_000


def test_freed_space_is_discarded():
    bench = bench_of(discard_together=1)
    queue(bench, ("write", PG, A, 0, b"a" * 100 * BLOCK))
    queue(bench, ("write", PG, B, 0, b"b" * 100 * BLOCK))
    bench.settle()
    queue(bench, ("remove", PG, A))
    bench.settle()
    bench.store._drain()
    assert bench.medium.device.discarded == 100 * BLOCK
    assert bench.store.read(PG, B) == b"b" * 100 * BLOCK


def test_small_pieces_of_freed_space_are_discarded_together():
    bench = bench_of(discard_together=30 * BLOCK)
    device, many = bench.medium.device, [obj(f"small{number}") for number in range(60)]
    queue(bench, *(("write", PG, oid, 0, b"a" * BLOCK) for oid in many))
    bench.settle()
    available = bench.store.statfs().available
    for count, oid in enumerate(many[:50]):
        queue(bench, ("remove", PG, oid))
        bench.settle()
        bench.store._drain()  # the log has to go first
        assert device.discarded == (0 if count < 29 else 30 * BLOCK)
        assert bench.store.statfs().available == available + (count + 1) * BLOCK
    # Of what is noted a part has a new owner.
    free = bench.store._mounted.state.allocator
    free.remove_free(next(iter(free))[0] + 30 * BLOCK, 2 * BLOCK)
    bench.store.umount()
    assert device.discarded == 48 * BLOCK
    bench.store.mount()
    for oid in many[50:]:
        assert bench.store.read(PG, oid) == b"a" * BLOCK


# --- records that come and go ---


def test_shards_move_between_the_record_of_the_object_and_their_own():
    bench = bench_of()
    limit = 64 * BLOCK
    queue(bench, ("write", PG, A, 0, b"a" * limit))
    bench.settle()
    assert not records(bench, SHARD)
    queue(bench, ("write", PG, A, limit, b"b"))
    bench.settle()
    assert len(records(bench, SHARD)) == 2
    bench.crash()
    assert bench.store.read(PG, A) == b"a" * limit + b"b"
    bench.crash()
    queue(bench, ("truncate", PG, A, limit - 1))
    bench.settle()
    assert not records(bench, SHARD)
    bench.crash()
    assert bench.store.read(PG, A) == b"a" * (limit - 1)
    queue(bench, ("truncate", PG, A, 2 * limit), ("write", PG, A, 2 * limit, b"c" * limit))
    bench.settle()
    queue(bench, ("remove", PG, A))
    bench.settle()
    assert not records(bench, SHARD)


def test_counts_of_sharers_go_with_the_last():
    bench = bench_of()
    size = 70 * BLOCK
    queue(bench, ("write", PG, A, 0, b"a" * size), ("clone", PG, A, B))
    bench.settle()
    assert records(bench, SHARED)
    bench.crash()
    queue(bench, ("write", PG, A, BLOCK, b"A" * BLOCK), ("truncate", PG, B, 3 * BLOCK))
    bench.settle()
    bench.crash()
    assert bench.store.read(PG, B) == b"a" * 3 * BLOCK
    assert bench.store.read(PG, A) == b"a" * BLOCK + b"A" * BLOCK + b"a" * (size - 2 * BLOCK)
    assert bench.store.statfs().allocated == size + BLOCK
    queue(bench, ("remove", PG, B))
    bench.settle()
    queue(bench, ("remove", PG, A))
    bench.settle()
    assert not records(bench, SHARED)
    assert bench.store.statfs().available == (1 << 14) * BLOCK


def test_counts_that_are_lost_are_an_error_and_free_nothing():
    bench = bench_of()
    queue(bench, ("write", PG, A, 0, b"a" * 20 * BLOCK), ("clone", PG, A, B))
    bench.settle()
    bench.store.umount()
    batch = Batch()
    for key in records(bench, SHARED):
        batch.delete(key)
    bench.medium.engine.write(batch)
    bench.store.mount()
    for step in (("remove", PG, A), ("write", PG, A, 0, b"A" * BLOCK), ("truncate", PG, B, 5)):
        with pytest.raises(InputOutput, match="shared blocks is damaged"):
            queue(bench, step)
    assert bench.store.read(PG, A) == bench.store.read(PG, B) == b"a" * 20 * BLOCK


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [("write", PG, A, BLOCK, b"C" * BLOCK), ("write", PG, A, 5, b"D")],
        [("truncate", PG, A, 0), ("write", PG, A, 0, b"E" * BLOCK)],
        [("remove", PG, A), ("write", PG, A, 0, b"F" * BLOCK), ("write", PG, A, 0, b"G" * BLOCK)],
        [("zero", PG, A, 0, 1 << 20), ("write", PG, A, BLOCK, b"H" * BLOCK)],
        [("clone", PG, A, obj("c")), ("write", PG, A, BLOCK, b"I" * BLOCK)],
    ],
)
@pytest.mark.parametrize("blocks", [2, 70])
def test_a_block_written_over_is_undone(steps, blocks):
    bench = bench_of()
    data = random.Random(1).randbytes(blocks * BLOCK)
    queue(bench, ("write", PG, A, 0, data))
    bench.settle()
    over = ("write", PG, A, BLOCK, b"B" * BLOCK)
    new = ("write", PG, B, 0, b"new")
    with pytest.raises(InvariantBroken, match="no object"):
        queue(bench, over, new, *steps, ("setattr", PG, obj("none"), "a", b""))
    assert bench.store.read(PG, A) == data
    assert not bench.store.exists(PG, B)
    queue(bench, over, new)
    bench.settle()
    bench.store.umount()
    bench.store.mount()
    data = data[:BLOCK] + b"B" * BLOCK + data[2 * BLOCK :]
    assert (bench.store.read(PG, A), bench.store.read(PG, B)) == (data, b"new")


def test_what_is_behind_the_end_stays_zero():
    bench = bench_of()
    queue(bench, ("write", PG, A, 0, b"a" * 20 * BLOCK))
    queue(bench, ("truncate", PG, A, 10 * BLOCK + 5))
    bench.settle()
    queue(bench, ("truncate", PG, A, 11 * BLOCK))
    bench.settle()
    bench.crash()
    assert bench.store.read(PG, A, 10 * BLOCK) == b"aaaaa" + bytes(BLOCK - 5)
    assert bench.store.statfs().data_stored == 11 * BLOCK


# --- damage ---


@pytest.mark.parametrize(
    "kind", [ChecksumType.CRC32C, ChecksumType.CRC32C_16, ChecksumType.XXHASH64]
)
def test_a_flipped_bit_is_never_returned(kind):
    bench = bench_of(checksums=kind)
    rng = random.Random(5)
    data = rng.randbytes(300 * BLOCK + 17)
    queue(bench, ("write", PG, A, 0, data))
    bench.settle()
    blocks = where(bench, A)
    for count in range(1, 20):
        number = rng.randrange(300)
        at, bit = blocks[number] * BLOCK + rng.randrange(BLOCK), rng.randrange(8)
        bench.medium.device.flip(at, bit)
        for offset, length in ((0, None), (number * BLOCK, BLOCK), (number * BLOCK + 9, 3)):
            with pytest.raises(InputOutput, match=f"offset {number * BLOCK:#x}: checksum is 0x"):
                bench.store.read(PG, A, offset, length)
        assert bench.store.counters["checksum_errors"] == 4 * count - 1
        with pytest.raises(InputOutput, match=str(A)):  # a part of it would be kept
            queue(bench, ("write", PG, A, number * BLOCK + 1, b"x"))
        bench.medium.device.flip(at, bit)
        assert bench.store.read(PG, A) == data
    bench.medium.device.flip(blocks[7] * BLOCK)
    queue(bench, ("write", PG, A, 7 * BLOCK, b"n" * BLOCK))
    bench.settle()
    assert bench.store.read(PG, A, 7 * BLOCK, BLOCK) == b"n" * BLOCK


def test_without_checksums_nothing_is_checked():
    bench = bench_of(checksums=ChecksumType.NONE)
    queue(bench, ("write", PG, A, 0, b"a" * 20 * BLOCK))
    bench.settle()
    bench.medium.device.flip(where(bench, A)[0] * BLOCK)
    assert bench.store.read(PG, A)[:2] == b"`a"


@pytest.mark.parametrize("before", ChecksumType)
@pytest.mark.parametrize("after", ChecksumType)
def test_kinds_of_checksums_may_change(before, after):
    bench = bench_of(checksums=before)
    queue(bench, ("write", PG, A, 0, b"a" * 20 * BLOCK), ("write", PG, B, 0, b"b" * 90 * BLOCK))
    bench.settle()
    bench.store.set_collection_opts(PG, {PoolOpt.CSUM_TYPE: int(after)})  # as a pool's
    queue(bench, ("write", PG, A, 0, b"c" * BLOCK), ("write", PG, B, BLOCK, b"c" * 30 * BLOCK))
    queue(bench, ("clone", PG, B, obj("c")), ("clone_range", PG, B, A, 0, 90 * BLOCK, 30 * BLOCK))
    queue(bench, ("clone_range", PG, B, obj("d"), 0, 9 * BLOCK, 0))
    bench.settle()
    free = bench.store.statfs().available
    bench.crash()
    assert bench.store.statfs().available == free
    expected = b"b" * BLOCK + b"c" * 30 * BLOCK + b"b" * 59 * BLOCK
    assert bench.store.read(PG, obj("c")) == expected
    before = b"c" * BLOCK + b"a" * 19 * BLOCK + bytes(10 * BLOCK)
    assert bench.store.read(PG, A) == before + expected
    assert bench.store.read(PG, obj("d")) == expected[: 9 * BLOCK]


def test_a_kind_of_checksums_that_is_none_is_refused():
    with pytest.raises(InvalidArgument, match="99 is no kind"):
        bench_of().store.set_collection_opts(PG, {PoolOpt.CSUM_TYPE: 99})


def test_a_disk_that_fails_fails_every_commit():
    bench = bench_of()
    told = []

    def write(name):
        step = txn(("write", PG, obj(name), 0, b"x" * 20 * BLOCK))
        bench.store.queue_transactions(PG, [step], None, told.append)

    write("before")
    bench.settle()
    error = InputOutput("the disk is gone")
    bench.medium.device.fail(error)
    write("during")
    bench.settle()
    bench.medium.device.fail(None)
    write("after")
    bench.settle()
    assert told == [None, error, error]
    assert bench.store.exists(PG, obj("after"))
    write("last")
    bench.store.umount()
    assert told == [None, error, error, error]
    bench.store.mount()
    assert bench.store.collection_list(PG)[0] == [obj("before")]
    write("anew")
    bench.settle()
    assert told[-1] is None
    bench.crash()
    assert bench.store.read(PG, obj("anew")) == b"x" * 20 * BLOCK


# --- space ---


def test_a_full_store_refuses_what_grows_and_changes_nothing():
    bench = bench_of(32)
    queue(bench, ("write", PG, A, 0, b"a" * 20 * BLOCK))
    bench.settle()
    before = bench.store.statfs()
    with pytest.raises(NoSpace, match="are free"):
        queue(
            bench,
            ("omap_setkeys", PG, A, {"k": b"v"}),
            ("truncate", PG, A, 5),
            ("write", PG, B, 0, b"b" * 20 * BLOCK),
        )
    assert bench.store.statfs() == before
    assert bench.store.read(PG, A) == b"a" * 20 * BLOCK
    assert not bench.store.exists(PG, B)
    queue(bench, ("write", PG, B, 0, b"b" * 12 * BLOCK))
    for step in (("write", PG, B, 50 * BLOCK, b"x"), ("write", PG, obj("c"), 0, b"x")):
        with pytest.raises(NoSpace):
            queue(bench, step)
    queue(bench, ("write", PG, A, 0, b"over what is there"), ("truncate", PG, B, BLOCK))
    queue(bench, ("write", PG, obj("c"), 0, b"x" * 11 * BLOCK))
    bench.settle()
    bench.crash()
    assert bench.store.statfs().available == 0
    queue(bench, ("remove", PG, A), ("remove", PG, B), ("remove", PG, obj("c")))
    bench.settle()
    assert bench.store.statfs().available == 32 * BLOCK


def test_the_metadata_keeps_a_reserve_of_the_file_system_below():
    bench = bench_of()
    queue(bench, ("write", PG, A, 0, b"a" * 20 * BLOCK))
    bench.medium.free = 1 << 20
    bench.store.umount()
    bench.store.mount()
    for step in (("write", PG, A, 20 * BLOCK, b"a"), ("omap_setkeys", PG, A, {"k": b"v"})):
        with pytest.raises(NoSpace, match="file system below has 1048576 bytes"):
            queue(bench, step)
    assert bench.store.read(PG, A) == b"a" * 20 * BLOCK
    assert bench.store.omap_get(PG, A) == (b"", {})
    queue(bench, ("omap_setkeys", PG, A, {"k": b"v"}), ("truncate", PG, A, 100))
    queue(bench, ("write", PG, A, 0, b"over what is there"))
    bench.medium.free = 1 << 30
    with pytest.raises(NoSpace):  # it did not look again yet
        queue(bench, ("omap_setkeys", PG, A, {"other": b"v"}))
    queue(bench, ("omap_setkeys", PG, A, {"other": b"v"}))
    assert bench.store.omap_get_keys(PG, A) == ["k", "other"]


def test_pools_take_what_their_objects_take():
    bench = bench_of()
    queue(bench, ("write", PG, A, 0, b"a" * 5000), ("omap_setkeys", PG, A, {"key": b"value"}))
    queue(bench, ("omap_setkeys", PG, A, {"key": b"v"}), ("omap_setheader", PG, A, b"head"))
    bench.settle()
    bench.crash()
    taken = bench.store.pool_statfs(POOL)
    assert (taken.allocated, taken.data_stored, taken.omap_allocated) == (8192, 5000, 8)
    assert bench.store.pool_statfs(POOL + 1).allocated == 0


# --- the rest ---


def test_what_is_not_wanted_again_leaves_the_cache():
    bench = bench_of()
    told = []
    bench.medium.device.advise = lambda *extent, needed: told.append((*extent, needed))
    made = txn(("write", PG, A, 5, b"a" * 200_000))
    bench.store.queue_transactions(PG, [made])
    bench.settle()
    assert bench.store.read(PG, A, 0, 100_000) == bytes(5) + b"a" * 99_995
    assert not told
    bench.store.read(PG, A, 0, 100_000, OpFlag.FADVISE_DONTNEED)
    assert told == [(where(bench, A)[0] * BLOCK, 102_400, False)]
    made = txn(("write", PG, B, 0, b"b" * 200_000))
    made.fadvise_flags = OpFlag.FADVISE_NOCACHE
    bench.store.queue_transactions(PG, [made])
    bench.settle()
    assert told[1:] == [(where(bench, B)[0] * BLOCK, 49 * BLOCK, False)]


def test_an_event_loop_is_called_back(tmp_path):
    mkfs(tmp_path / "store", size=1 << 24)

    async def write():
        loop = asyncio.get_running_loop()
        store = DiskObjectStore(FolderMedium(tmp_path / "store"), loop.call_soon_threadsafe)
        store.mount()
        steps = txn(("create_collection", PG, 0), ("write", PG, A, 0, b"data"))
        done = loop.create_future()
        store.queue_transactions(PG, [steps], None, done.set_result)
        assert store.read(PG, A) == b"data"
        assert await done is None
        unseen = loop.create_future()
        store.queue_transactions(PG, [txn(("touch", PG, B))], None, unseen.set_result)
        store.umount()
        assert unseen.result() is None
        await asyncio.sleep(0)  # what the thread has posted before has nothing left to do

    asyncio.run(write())


def test_only_a_mounted_store_lands():
    bench = bench_of()
    bench.store.umount()
    with pytest.raises(InvariantBroken, match="not mounted"):
        bench.store.land()


def test_memory_is_kept_within_the_target():
    bench = bench_of(1 << 15, memory_target=200_000)
    for number in range(300):
        queue(bench, ("write", PG, obj(f"{number}"), 0, b"x" * 3 * BLOCK))
        if number % 20 == 0:
            bench.settle()
    bench.settle()
    queue(bench, ("touch", PG, A))
    for number in range(300):
        assert bench.store.read(PG, obj(f"{number}")) == b"x" * 3 * BLOCK
        assert bench.store.counters["onode_bytes"] < 110_000
    assert bench.store.counters["onodes"] > 20


def test_injected_errors_last_until_the_object_is_removed():
    bench = bench_of()
    queue(bench, ("write", PG, A, 0, b"x"), ("setattr", PG, A, "a", b""))
    bench.store.inject_data_error(A)
    with pytest.raises(InputOutput, match="data of #5:00000000:::a:head#"):
        bench.store.read(PG, A)
    assert bench.store.stat(PG, A).size == 1
    bench.store.inject_metadata_error(A)
    for read in (bench.store.stat, bench.store.getattrs, lambda *a: bench.store.getattr(*a, "a")):
        with pytest.raises(InputOutput, match="metadata"):
            read(PG, A)
    with pytest.raises(InvariantBroken):  # undone with everything else
        queue(bench, ("remove", PG, A), ("clone", PG, A, B))
    with pytest.raises(InputOutput):
        bench.store.read(PG, A)
    queue(bench, ("remove", PG, A), ("write", PG, A, 0, b"y"))
    assert bench.store.read(PG, A) == b"y"
    assert bench.store.getattrs(PG, A) == {}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_commit_thread_leaves_nobody_waiting():
    calls = SimpleQueue()
    medium = MemoryMedium(1 << 20)
    store = DiskObjectStore(medium, calls.put)
    store.mount()
    told = []

    def broken(batch):
        raise TypeError("a bug")

    medium.engine.write = broken
    for _ in range(2):
        store.queue_transactions(
            PG, [txn(("create_collection", PG, 0), ("remove_collection", PG))], None, told.append
        )
    while len(told) < 2:
        calls.get(timeout=10)()
    store.queue_transactions(PG, [txn(("nop",))], None, told.append)
    calls.get(timeout=10)()
    with pytest.raises(NoSpace):
        queue(
            SimpleNamespace(store=store),
            ("create_collection", PG, 0),
            ("write", PG, A, 0, bytes(1 << 20)),
        )
    del medium.engine.write
    store.umount()
    assert [str(error) for error in told] == ["EIO: commits have ended with TypeError: a bug"] * 3


def test_what_others_have_of_the_disk_is_no_part_of_the_store(monkeypatch):
    bench = bench_of(64)
    whole = bench.store.statfs()
    left = (64 << 20) + 5 * BLOCK
    monkeypatch.setattr(type(bench.store._medium), "free_for_data", lambda _: left)
    told = bench.store.statfs()
    assert told.available == 5 * BLOCK
    assert told.total - told.available == whole.total - whole.available
