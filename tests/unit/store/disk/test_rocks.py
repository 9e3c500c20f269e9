"""RocksDB as an engine: the port, its errors, and what damage does to it."""

from __future__ import annotations

import errno
import subprocess
import sys
from random import Random

import pytest

from spirula.errors import Busy, CephError, InputOutput, InvariantBroken, NoSpace, NotFound
from spirula.store.disk.engine import Batch, MemoryEngine
from spirula.store.disk.rocks import RocksEngine

SMALL = 4 << 20


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "db"


@pytest.fixture
def engine(folder):
    made = RocksEngine(folder, memory=SMALL, create=True)
    yield made
    made.close()


def random_batch(rng):
    batch = Batch()
    for _ in range(rng.randrange(8)):
        key = b"%03d" % rng.randrange(300)
        kind = rng.random()
        if kind < 0.6:
            batch.put(key, rng.randbytes(rng.randrange(100)))
        elif kind < 0.9:
            batch.delete(key)
        else:
            batch.delete_range(key, b"%03d" % rng.randrange(300))
    return batch


def content(engine):
    return list(engine.iterate(b""))


@pytest.mark.parametrize("seed", range(3))
def test_it_does_as_the_engine_in_memory(engine, seed):
    rng, twin = Random(seed), MemoryEngine()
    for _ in range(300):
        batch = random_batch(rng)
        for one in (engine, twin):
            one.write(batch)
        if rng.random() < 0.1:
            engine.sync()
        if rng.random() < 0.02:
            engine.flush()
        key = b"%03d" % rng.randrange(300)
        assert engine.get(key) == twin.get(key)
        end = rng.choice([None, b"%03d" % rng.randrange(300)])
        reverse = rng.random() < 0.5
        walks = [one.iterate(key, end, reverse=reverse) for one in (engine, twin)]
        later = random_batch(rng)
        for one in (engine, twin):
            one.write(later)
        assert list(walks[0]) == list(walks[1])
    assert content(engine) == content(twin)
    engine.compact()
    assert content(engine) == content(twin)
    assert engine.statistics()["table_bytes"] > 0


def test_what_was_closed_is_there_again(engine, folder):
    engine.write(random_batch(Random(1)))
    before = content(engine)
    engine.close()
    engine.close()
    for call in (lambda: engine.get(b""), engine.sync, engine.statistics):
        with pytest.raises(InvariantBroken, match="closed"):
            call()
    for read_only in (True, False):
        again = RocksEngine(folder, memory=SMALL, read_only=read_only)
        assert content(again) == before
        again.close()


def test_an_iterator_does_not_keep_it_open(engine, folder):
    engine.write(random_batch(Random(1)))
    walk = engine.iterate(b"")
    next(walk)
    engine.close()
    assert list(walk) == []
    RocksEngine(folder, memory=SMALL).close()


def test_only_one_has_it_open(engine, folder):
    with pytest.raises(Busy, match="in use"):
        RocksEngine(folder, memory=SMALL)
    source = f"""
from pathlib import Path
from spirula.store.disk.rocks import RocksEngine
RocksEngine(Path({str(folder)!r}), memory={SMALL})
"""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False, timeout=60
    )
    assert "EBUSY" in done.stderr
    assert "another process has it open" in done.stderr


def test_reading_only(engine, folder):
    engine.write(random_batch(Random(1)))
    engine.sync()
    before = content(engine)
    names = sorted(folder.iterdir())
    reader = RocksEngine(folder, memory=SMALL, read_only=True)
    assert content(reader) == before
    for change in (reader.sync, reader.compact, lambda: reader.write(Batch())):
        with pytest.raises(CephError) as caught:
            change()
        assert caught.value.errno == errno.EROFS
    reader.close()
    assert sorted(folder.iterdir()) == names


def test_where_there_is_none(folder):
    for read_only in (False, True):
        with pytest.raises(NotFound, match="no RocksDB"):
            RocksEngine(folder, memory=SMALL, read_only=read_only)
    assert not folder.exists()


class Refusing:
    """A database on a machine that refuses everything, as rocksdict tells it."""

    def __init__(self, text):
        self.text = text

    def __getattr__(self, name):
        def refuse(*arguments, **options):
            raise Exception(self.text)  # noqa: TRY002 - rocksdict has no class of its own

        return refuse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IO error: No space left on device: While appending to file: 29.sst", NoSpace),
        ("IO error: Disk quota exceeded: While appending to file: 29.sst", NoSpace),
        ("IO error: Input/output error: While fdatasync: 29.log", InputOutput),
        ("Corruption: block checksum mismatch: stored = 1", InputOutput),
    ],
)
def test_what_the_machine_refuses_is_told_and_is_final(engine, text, expected):
    real, engine._db = engine._db, Refusing(text)
    try:
        with pytest.raises(expected, match="read b'a': "):
            engine.get(b"a")
        with pytest.raises(expected, match="sync: "):
            engine.sync()
    finally:
        engine._db = real
    for change in (lambda: engine.write(Batch()), engine.sync, engine.compact):
        with pytest.raises(expected, match="sync: "):  # what failed first
            change()
    assert engine.get(b"a") is None


def options_in_use(folder):
    """What RocksDB has written down of the options with which it was opened last."""
    newest = max(folder.glob("OPTIONS-*"), key=lambda path: path.name)
    lines = [line.strip().partition("=") for line in newest.read_text().splitlines()]
    return {name: value for name, _, value in lines}


def test_a_database_is_opened_again_with_filters_and_what_memory_it_is_given(folder):
    RocksEngine(folder, memory=SMALL, create=True).close()
    RocksEngine(folder, memory=32 << 20).close()
    found = options_in_use(folder)
    assert found["filter_policy"] == "bloomfilter"
    assert found["memtable_whole_key_filtering"] == "true"
    assert found["write_buffer_size"] == str(8 << 20)
