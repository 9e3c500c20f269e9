"""Data is compressed where it is wanted and worth it, and comes back; damage is found."""

from __future__ import annotations

import random

import pytest

from spirula.errors import InputOutput, InvalidArgument
from spirula.store.disk.compression import (
    Algorithm,
    Compression,
    Mode,
    parse_algorithm,
    parse_mode,
)
from spirula.store.disk.medium import MemoryMedium
from spirula.store.disk.state import Options
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.osd_op import AllocHintFlag
from spirula.types.pool import PoolOpt
from tests.unit.store.conformance import META, PG, POOL, Conformance, obj, queue, txn
from tests.unit.store.disk.test_disk import DiskBench
from tests.unit.store.disk.test_fsck import checked, found

TEXT = b"the same words again and again, and a few others. " * 20_000
FORCED = Options(compression=Compression(Mode.FORCE, Algorithm.LZ4), direct_from=16 << 10)


def made_bench(options=FORCED):
    bench = DiskBench(MemoryMedium(1 << 28), options)
    bench.store.queue_transactions(META, [txn(("create_collection", META, 0))])
    bench.store.queue_transactions(PG, [txn(("create_collection", PG, 0))])
    bench.settle()
    return bench


class TestStoreThatCompressesAll(Conformance):
    # Its numbers are of data that is stored as it is.
    test_clones_share_space_until_they_differ = None

    @pytest.fixture
    def bench(self):
        return DiskBench(MemoryMedium(1 << 28), FORCED)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_text_takes_less_space_and_comes_back(algorithm):
    bench = made_bench(Options(compression=Compression(Mode.FORCE, algorithm)))
    queue(bench, ("write", PG, obj("a"), 0, TEXT))
    queue(bench, ("clone", PG, obj("a"), obj("a", snap=4)))
    assert bench.store.read(PG, obj("a")) == TEXT  # before it is on disk
    bench.settle()
    assert bench.store.read(PG, obj("a"), 70_001, 200_000) == TEXT[70_001:270_001]
    assert bench.store.read(PG, obj("a"), 3 * BLOCK_SIZE, BLOCK_SIZE) == TEXT[12288:16384]
    space = bench.store.pool_statfs(POOL)
    assert space.allocated < len(TEXT) / 4
    assert space.data_stored == 2 * len(TEXT)
    assert 0 < space.data_compressed <= space.data_compressed_allocated <= space.allocated
    assert space.data_compressed_original >= len(TEXT) - 65536
    queue(bench, ("write", PG, obj("a"), 100_000, b"small"))
    expected = TEXT[:100_000] + b"small" + TEXT[100_005:]
    assert bench.store.read(PG, obj("a")) == expected
    bench.settle()
    assert bench.store.read(PG, obj("a", snap=4)) == TEXT
    queue(bench, ("remove", PG, obj("a")), ("remove", PG, obj("a", snap=4)))
    bench.settle()
    assert bench.store.pool_statfs(POOL).allocated == 0
    assert bench.store.pool_statfs(POOL).data_compressed == 0
    report = checked(bench, deep=True)
    assert report.is_clean, found(report)


def test_what_does_not_get_smaller_is_stored_as_it_is():
    bench = made_bench()
    data = random.Random(1).randbytes(500_000)
    queue(bench, ("write", PG, obj("a"), 0, data))
    bench.settle()
    space = bench.store.pool_statfs(POOL)
    assert space.data_compressed_allocated == 0
    assert space.allocated == -(-len(data) // BLOCK_SIZE) * BLOCK_SIZE
    assert bench.store.counters["compress_rejected_count"] > 0
    assert bench.store.read(PG, obj("a")) == data


COMPRESSIBLE, INCOMPRESSIBLE = AllocHintFlag.COMPRESSIBLE, AllocHintFlag.INCOMPRESSIBLE


@pytest.mark.parametrize(
    ("mode", "hint", "compressed"),
    [
        ("none", COMPRESSIBLE, False),
        ("passive", 0, False),
        ("passive", COMPRESSIBLE, True),
        ("aggressive", 0, True),
        ("aggressive", INCOMPRESSIBLE, False),
        ("force", INCOMPRESSIBLE, True),
    ],
)
def test_a_pool_s_options_and_an_object_s_hint_decide(mode, hint, compressed):
    bench = made_bench(Options())
    opts = {PoolOpt.COMPRESSION_MODE: mode, PoolOpt.COMPRESSION_ALGORITHM: "zstd"}
    bench.store.set_collection_opts(PG, opts)
    queue(bench, ("touch", PG, obj("a")), ("set_alloc_hint", PG, obj("a"), 0, 0, int(hint)))
    queue(bench, ("write", PG, obj("a"), 0, TEXT))
    assert (bench.store.pool_statfs(POOL).allocated < len(TEXT)) is compressed
    assert bench.store.read(PG, obj("a")) == TEXT


def test_a_part_that_is_cloned_stays_compressed():
    bench = made_bench()
    shards = 4 * 256 << 10
    queue(bench, ("write", PG, obj("a"), 0, TEXT[:900_000]))
    space = bench.store.pool_statfs(POOL)
    # Not from the beginning of a blob, nor to one, and over the ends of shards.
    steps = [(40_960, 500_000, 8192), (0, 300_000, shards), (700_000, 150_000, 700_000 + shards)]
    expected = bytearray(shards + 850_000)
    for start, length, to in steps:
        queue(bench, ("clone_range", PG, obj("a"), obj("b"), start, length, to))
        expected[to : to + length] = TEXT[start : start + length]
    assert bench.store.read(PG, obj("b")) == expected
    grown = bench.store.pool_statfs(POOL).allocated - space.allocated
    assert grown <= 6 * BLOCK_SIZE  # the ends that are no whole blocks
    queue(bench, ("clone_range", PG, obj("b"), obj("b"), 8192, 65536, 655_360))
    expected[655_360 : 655_360 + 65536] = expected[8192 : 8192 + 65536]
    bench.settle()
    bench.crash()
    assert bench.store.read(PG, obj("b")) == expected
    report = checked(bench, deep=True)
    assert report.is_clean, found(report)
    bench.store.mount()
    queue(bench, ("remove", PG, obj("a")))
    queue(bench, ("write", PG, obj("b"), 20_000, b"new"))
    expected[20_000:20_003] = b"new"
    bench.settle()
    assert bench.store.read(PG, obj("b")) == expected
    report = checked(bench, deep=True)
    assert report.is_clean, found(report)
    bench.store.mount()
    queue(bench, ("remove", PG, obj("b")))
    bench.settle()
    space = bench.store.pool_statfs(POOL)
    assert (space.allocated, space.data_compressed, space.data_compressed_original) == (0, 0, 0)


def test_what_a_pool_does_not_say_is_as_the_store_s_options_are_by_now():
    bench = made_bench(Options(compression=Compression(Mode.NONE, Algorithm.LZ4)))
    bench.store.set_collection_opts(PG, {PoolOpt.COMPRESSION_ALGORITHM: "zlib"})
    used = []
    for mode in (Mode.NONE, Mode.FORCE):
        bench.store.options.compression = Compression(mode, Algorithm.LZ4)
        before = bench.store.pool_statfs(POOL).allocated
        queue(bench, ("write", PG, obj(mode.name), 0, TEXT))
        used.append(bench.store.pool_statfs(POOL).allocated - before)
    assert used[1] < used[0] / 4
    bench.store.set_collection_opts(PG, {PoolOpt.COMPRESSION_MODE: "none"})
    queue(bench, ("write", PG, obj("c"), 0, TEXT))
    assert bench.store.pool_statfs(POOL).allocated == 2 * used[0] + used[1]


def test_options_that_are_none_are_refused():
    with pytest.raises(InvalidArgument, match="use none, passive"):
        parse_mode("always")
    with pytest.raises(InvalidArgument, match="use snappy, zlib"):
        parse_algorithm("rar")
    made = Compression().of_pool(
        {
            PoolOpt.COMPRESSION_REQUIRED_RATIO: 0.5,
            PoolOpt.COMPRESSION_MIN_BLOB_SIZE: 16384,
            PoolOpt.COMPRESSION_MAX_BLOB_SIZE: 1 << 20,
        }
    )
    assert made.required_ratio == 0.5
    along = AllocHintFlag.SEQUENTIAL_READ | AllocHintFlag.IMMUTABLE
    assert (made.blob_blocks(0), made.blob_blocks(along)) == (4, 16)
    assert made.attempt(TEXT[:16384]) is not None
    assert Compression(required_ratio=0.0001).attempt(TEXT[:65536]) is not None  # one block
    assert made.of_pool({PoolOpt.COMPRESSION_ALGORITHM: "none"}).mode is Mode.NONE


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_damage_is_an_error_that_says_where(algorithm):
    bench = made_bench(Options(compression=Compression(Mode.FORCE, algorithm)))
    queue(bench, ("write", PG, obj("a"), 0, TEXT[:65536]))
    bench.settle()
    device, rng = bench.medium.device, random.Random(3)
    blocks = bench.store.pool_statfs(POOL).data_compressed_allocated // BLOCK_SIZE
    stored = bench.store.pool_statfs(POOL).data_compressed
    start = 2 * BLOCK_SIZE
    whole = device.read(start, blocks * BLOCK_SIZE)
    for _ in range(50):
        at = rng.randrange(stored)
        device.write(start + at, [bytes([whole[at] ^ 1 << rng.randrange(8)])])
        with pytest.raises(InputOutput, match=r"offset 0x0: checksum is"):
            bench.store.read(PG, obj("a"))
        device.write(start, [whole])
    assert bench.store.read(PG, obj("a")) == TEXT[:65536]
