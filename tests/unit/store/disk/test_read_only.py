"""Looking at a store changes none of its files, and works where a mount refuses."""

from __future__ import annotations

import hashlib
import random

import pytest

from spirula.errors import Busy, InputOutput, NotPermitted
from spirula.store.disk.engine import Batch, MemoryEngine
from spirula.store.disk.medium import FolderMedium
from spirula.store.disk.memory_block import MemoryBlockDevice
from spirula.store.disk.mkfs import mkfs
from spirula.store.disk.read_only import OverlaidDevice, OverlaidEngine, ReadOnlyMedium
from spirula.store.disk.store import DiskObjectStore
from spirula.store.tools.queueing import Changes, Pump
from spirula.types.pg import Coll
from spirula.types.transaction import Transaction
from tests.unit.store.conformance import obj

META = Coll()
OID = obj("kept", 7, -1)


@pytest.mark.parametrize("seed", range(5))
def test_a_device_with_writes_over_it(seed):
    rng = random.Random(seed)
    size = 20 * 4096
    below = MemoryBlockDevice(size)
    content = rng.randbytes(size)
    below.write(0, [content])
    expected = bytearray(content)
    device = OverlaidDevice(below)
    for _ in range(40):
        offset, length = rng.randrange(size), rng.randrange(9000)
        data = rng.randbytes(min(length, size - offset))
        device.write(offset, [data[:100], data[100:]])
        expected[offset : offset + len(data)] = data
        offset = rng.randrange(size)
        length = min(rng.randrange(9000), size - offset)
        assert device.read(offset, length) == expected[offset : offset + length]
        buffer = bytearray(length)
        device.read_into(offset, buffer)
        assert buffer == expected[offset : offset + length]
    assert below.read(0, size) == content
    assert not device.discard(0, 4096)


@pytest.mark.parametrize("seed", range(5))
def test_an_engine_with_changes_over_it(seed):
    rng = random.Random(seed)
    below, alike = MemoryEngine(), MemoryEngine()
    first = Batch()
    for number in range(0, 100, 3):
        first.put(b"%02d" % number, b"below")
    for engine in (below, alike):
        engine.write(first)
    over = OverlaidEngine(below)
    for _ in range(20):
        batch = Batch()
        start = rng.randrange(90)
        batch.delete_range(b"%02d" % start, b"%02d" % (start + rng.randrange(12)))
        for _ in range(4):
            batch.put(b"%02d" % rng.randrange(100), rng.choice([b"", b"over"]))
            batch.delete(b"%02d" % rng.randrange(100))
        for engine in (over, alike):
            engine.write(batch)
        low, high = (b"%02d" % rng.randrange(100) for _ in range(2))
        for reverse in (False, True):
            for bounds in ((b"", None), (low, high)):
                found = list(over.iterate(*bounds, reverse=reverse))
                assert found == list(alike.iterate(*bounds, reverse=reverse))
        assert over.get(low) == alike.get(low)
    assert list(below.iterate(b"")) == sorted(first.changes.items())


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "store"
    mkfs(path, size=64 << 20)
    pump = Pump()
    store = DiskObjectStore(FolderMedium(path), pump.defer)
    store.mount()
    changes = Changes(store, pump, META)
    txn = Transaction()
    txn.create_collection(META, 0)
    txn.write(META, OID, 0, b"a" * 10_000)
    changes.queue(txn)
    changes.finish()
    txn = Transaction()
    txn.write(META, OID, 5000, b"b" * 100)  # goes through the log
    txn.omap_setkeys(META, OID, {"key": b"value"})
    changes.queue(txn)
    changes.finish()
    kept = path.with_name("crashed")
    copy(path, kept)
    store.umount()
    return kept


def copy(source, target):
    """The files as a crash leaves them."""
    for path in sorted(source.rglob("*")):
        to = target / path.relative_to(source)
        if path.is_file():
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(path.read_bytes())


def fingerprints(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).digest()
        for path in folder.rglob("*")
        # RocksDB writes about itself whenever it is opened
        if path.is_file() and not path.name.startswith(("LOG", "lock", "LOCK"))
    }


def check(folder):
    store = DiskObjectStore(ReadOnlyMedium(folder), lambda call: call)
    store.mount()
    assert store.read(META, OID) == b"a" * 5000 + b"b" * 100 + b"a" * 4900
    assert store.omap_get(META, OID) == (b"", {"key": b"value"})
    assert store.read_meta("type") == "spirula"
    with pytest.raises(NotPermitted):
        store.write_meta("word", "value")
    return store


def test_after_a_crash_nothing_is_changed(folder):
    before = fingerprints(folder)
    first, second = check(folder), check(folder)
    with pytest.raises(Busy):
        DiskObjectStore(FolderMedium(folder), lambda call: call).mount()
    first.umount()
    second.umount()
    assert fingerprints(folder) == before
    store = DiskObjectStore(FolderMedium(folder), lambda call: call)
    store.mount()
    assert store.read(META, OID, 5000, 100) == b"b" * 100
    store.umount()


def test_what_is_left_of_a_store_that_lost_its_log(folder):
    """The engine's log and the journal are damaged: a mount refuses, and to look is possible."""
    for log in [folder / "journal", *(folder / "db").glob("*.log")]:
        raw = bytearray(log.read_bytes())
        if any(raw):
            at = raw.rindex(b"value")
            raw[at] ^= 1
            log.write_bytes(bytes(raw))
    store = DiskObjectStore(FolderMedium(folder), lambda call: call)
    with pytest.raises(InputOutput, match="what was acknowledged since is lost"):
        store.mount()
    before = fingerprints(folder)
    store = DiskObjectStore(ReadOnlyMedium(folder), lambda call: call)
    store.mount()
    assert store.list_collections() == [META]
    assert store.read(META, OID) == b"a" * 10_000
    assert store.omap_get_keys(META, OID) == []
    store.umount()
    assert fingerprints(folder) == before
