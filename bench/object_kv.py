"""Engines for the metadata of the object store, on what a store would ask of them.

Run: `python bench/object_kv.py [--folder DIR] [--seconds N] [ENGINE...]`; rocksdict and lmdb are
measured where they are installed (they are no dependencies of spirula). Each engine is a process of
its own. One transaction is what an OSD does for a small overwrite: the object's metadata, its data
until it is applied, an entry of the PG's log and the PG's info, and away with the data of an older
write and the oldest log entry. What came of it: docs/adr/0005-object-store-engine.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from importlib import import_module
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

OBJECTS = 100_000
LOG_LENGTH = 2000
RANGE = 10_000
ENGINES = ("rocksdict", "lmdb", "sqlite")

Change = tuple[bytes, bytes | None]
rng = random.Random(1)


class Rocks:
    """RocksDB through rocksdict, tuned as little as possible."""

    def __init__(self, folder: Path):
        rocksdict = import_module("rocksdict")
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        self.db = rocksdict.Rdict(str(folder), options)
        self.batch = rocksdict.WriteBatch

    def write(self, changes: list[Change], sync: bool) -> None:
        batch = self.batch(raw_mode=True)
        for key, value in changes:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self.db.write(batch)
        if sync:  # on its own it lets other threads run, as part of the write it does not
            self.db.flush_wal(sync=True)

    def get(self, key: bytes) -> bytes | None:
        return self.db.get(key)

    def scan(self, start: bytes, end: bytes) -> int:
        count = 0
        for key in self.db.keys(from_key=start):
            if key >= end:
                break
            count += 1
        return count

    def delete_range(self, start: bytes, end: bytes) -> None:
        batch = self.batch(raw_mode=True)
        batch.delete_range(start, end)
        self.db.write(batch)
        self.db.flush_wal(sync=True)

    def close(self) -> None:
        self.db.close()


class Lmdb:
    """LMDB with its defaults: copy on write, two syncs for each commit."""

    def __init__(self, folder: Path):
        self.env = import_module("lmdb").open(str(folder), map_size=16 << 30)

    def write(self, changes: list[Change], sync: bool) -> None:
        with self.env.begin(write=True) as txn:
            for key, value in changes:
                if value is None:
                    txn.delete(key)
                else:
                    txn.put(key, value)

    def get(self, key: bytes) -> bytes | None:
        with self.env.begin() as txn:
            return txn.get(key)

    def scan(self, start: bytes, end: bytes) -> int:
        with self.env.begin() as txn:
            return len(self.keys(txn, start, end))

    def keys(self, txn: object, start: bytes, end: bytes) -> list[bytes]:
        with txn.cursor() as cursor:
            if not cursor.set_range(start):
                return []
            walk = cursor.iternext(keys=True, values=False)
            return list(takewhile(lambda key: key < end, walk))

    def delete_range(self, start: bytes, end: bytes) -> None:
        with self.env.begin(write=True) as txn:
            for key in self.keys(txn, start, end):
                txn.delete(key)

    def close(self) -> None:
        self.env.close()


class Sqlite:
    """SQLite as the monitors have it: WAL, a sync for each commit."""

    def __init__(self, folder: Path):
        path = folder / "db"
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA cache_size = -65536")
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID"
        )

    def write(self, changes: list[Change], sync: bool) -> None:
        self.db.execute("PRAGMA synchronous = " + ("FULL" if sync else "OFF"))
        self.db.execute("BEGIN")
        for key, value in changes:
            if value is None:
                self.db.execute("DELETE FROM kv WHERE k = ?", (key,))
            else:
                self.db.execute("REPLACE INTO kv VALUES (?, ?)", (key, value))
        self.db.execute("COMMIT")

    def get(self, key: bytes) -> bytes | None:
        row = self.db.execute("SELECT v FROM kv WHERE k = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def scan(self, start: bytes, end: bytes) -> int:
        rows = self.db.execute("SELECT k FROM kv WHERE k >= ? AND k < ? ORDER BY k", (start, end))
        return sum(1 for _ in rows)

    def delete_range(self, start: bytes, end: bytes) -> None:
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("DELETE FROM kv WHERE k >= ? AND k < ?", (start, end))

    def close(self) -> None:
        self.db.close()


MADE = {"rocksdict": Rocks, "lmdb": Lmdb, "sqlite": Sqlite}


def object_key(number: int) -> bytes:
    """Like the key of an object: pool, reversed hash, names; 70 bytes."""
    spread = number * 2654435761 & 0xFFFFFFFF
    return b"O" + (5).to_bytes(8, "big") + spread.to_bytes(4, "big") + b"rbd_data.%048d" % number


class Load:
    """Transactions without end; `number` is the next."""

    def __init__(self) -> None:
        self.number = 0
        self.data = rng.randbytes(4096 + 4096)

    def transaction(self) -> list[Change]:
        n = self.number
        self.number += 1
        cut = n % 4096
        return [
            (object_key(rng.randrange(OBJECTS)), self.data[cut : cut + rng.randrange(64, 600)]),
            (b"L%016x" % n, self.data[cut : cut + 4096]),
            (b"L%016x" % (n - 64), None),
            (b"M\0\0\1%020d.%020d" % (5, n), self.data[cut : cut + 180]),
            (b"M\0\0\1%020d.%020d" % (5, n - LOG_LENGTH), None),
            (b"M\0\0\1_fastinfo", self.data[cut : cut + 186]),
        ]

    def group(self, size: int) -> list[Change]:
        return [change for _ in range(size) for change in self.transaction()]


def used() -> tuple[float, int]:
    """Seconds of CPU, and bytes sent to the disk, of this process so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return time.process_time(), int(dict(line.split(": ") for line in lines)["write_bytes"])


def rate(engine: object, load: Load, size: int, seconds: float, sync: bool) -> dict[str, float]:
    """Transactions per second, CPU and disk of each, and the commits' 99th percentile in ms."""
    cpu, written = used()
    begin, count, took = time.perf_counter(), 0, []
    while (start := time.perf_counter()) - begin < seconds:
        engine.write(load.group(size), sync)
        took.append(time.perf_counter() - start)
        count += size
    passed = time.perf_counter() - begin
    after_cpu, after_written = used()
    return {
        "per_s": count / passed,
        "cpu_us": (after_cpu - cpu) / count * 1e6,
        "disk_bytes": (after_written - written) / count,
        "p99_ms": sorted(took)[len(took) * 99 // 100] * 1e3,
    }


def longest_pauses(engine: object, load: Load, seconds: float) -> dict[str, float]:
    """How long a second thread is kept from running while the first commits, in ms."""
    stop = threading.Event()

    def commit() -> None:
        while not stop.is_set():
            engine.write(load.group(16), True)

    thread = threading.Thread(target=commit)
    thread.start()
    gaps, begin = [], time.perf_counter()
    while (start := time.perf_counter()) - begin < seconds:
        time.sleep(0.0005)
        gaps.append((time.perf_counter() - start - 0.0005) * 1e3)
    stop.set()
    thread.join()
    gaps.sort()
    return {"p50_ms": gaps[len(gaps) // 2], "p99_ms": gaps[len(gaps) * 99 // 100]}


def measure(name: str, folder: Path, seconds: float) -> dict[str, object]:
    """All numbers of one engine."""
    engine, load, found = MADE[name](folder), Load(), {}
    for first in range(0, OBJECTS, 1000):
        numbers = range(first, first + 1000)
        engine.write(
            [(object_key(n), rng.randbytes(rng.randrange(64, 600))) for n in numbers], False
        )
    if name != "lmdb":  # which cannot leave out the sync of one commit
        found["unsynced, groups of 16"] = rate(engine, load, 16, seconds, False)
    found["synced, alone"] = rate(engine, load, 1, seconds, True)
    bare = [plain_appends(folder.parent, seconds / 4)]
    grouped = found["synced, groups of 16"] = rate(engine, load, 16, seconds, True)
    bare.append(plain_appends(folder.parent, seconds / 4))
    found["appends of the same bytes, synced"] = {
        "per_s": sum(bare) / 2,
        "percent_reached": grouped["per_s"] / (sum(bare) / 2) * 100,
    }
    found["another thread's pauses"] = longest_pauses(engine, load, seconds)
    keys = [object_key(rng.randrange(OBJECTS)) for _ in range(20_000)]
    begin = time.perf_counter()
    for key in keys:
        assert engine.get(key)
    found["gets"] = {"per_s": len(keys) / (time.perf_counter() - begin)}
    begin = time.perf_counter()
    count = engine.scan(b"O", b"P")
    assert count == OBJECTS, count
    found["ordered keys"] = {"per_s": count / (time.perf_counter() - begin)}
    engine.write([(b"R%08d" % n, b"x" * 100) for n in range(RANGE)], True)
    begin = time.perf_counter()
    engine.delete_range(b"R", b"S")
    found[f"away with a range of {RANGE}"] = {"ms": (time.perf_counter() - begin) * 1e3}
    assert engine.scan(b"R", b"S") == 0
    engine.close()
    begin = time.perf_counter()
    MADE[name](folder).close()
    found["opened and closed"] = {"ms": (time.perf_counter() - begin) * 1e3}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    found["a flipped bit"] = {"wrong values": wrong_after_a_flipped_bit(name, folder)}
    size = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
    found["at the end"] = {
        "disk_mb": size / 1e6,
        "peak_rss_mb": peak,
    }
    return found


def wrong_after_a_flipped_bit(name: str, folder: Path) -> bool:
    """Whether a value comes back other than it was put, when a bit of it changes on the disk."""
    value = rng.randbytes(100)
    engine = MADE[name](folder)
    engine.write([(b"Z", value)], True)
    if name == "rocksdict":
        engine.db.flush()  # out of the log
    engine.close()
    flipped = 0
    for path in folder.rglob("*"):
        data = bytearray(path.read_bytes())
        at = data.find(value)
        if at >= 0:
            data[at + 50] ^= 1
            path.write_bytes(data)
            flipped += 1
    assert flipped
    engine = MADE[name](folder)
    try:
        return engine.get(b"Z") != value
    except Exception as error:  # noqa: BLE001 - each engine has its own
        assert "checksum" in str(error)
        return False
    finally:
        engine.close()


def plain_appends(folder: Path, seconds: float) -> float:
    """Appends of a group's bytes per second, each synced: what the disk can do at all."""
    descriptor = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    data = rng.randbytes(16 * 4900)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        os.write(descriptor, data)
        os.fdatasync(descriptor)
        count += 16
    os.close(descriptor)
    return count / (time.perf_counter() - begin)


def main() -> int:
    """Print the numbers of each engine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=", ".join(ENGINES))
    parser.add_argument("--folder", default=None, help="where to make the stores")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(measure(chosen.one, Path(chosen.folder), chosen.seconds)))
        return 0
    for name in chosen.engines or ENGINES:
        if name not in MADE:
            parser.error(f"{name} is none of {', '.join(ENGINES)}")
        if name != "sqlite" and find_spec(name) is None:
            print(f"{name}: not installed (pip install {name})")
            continue
        folder = Path(tempfile.mkdtemp(dir=chosen.folder))
        (folder / "store").mkdir()
        words = ["--one", name, "--folder", str(folder / "store"), "--seconds", str(chosen.seconds)]
        try:
            done = subprocess.run(
                [sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, timeout=600
            )
        finally:
            shutil.rmtree(folder)
        print(name)
        for what, numbers in json.loads(done.stdout).items():
            shown = ", ".join(f"{value:,.1f} {unit}" for unit, value in numbers.items())
            print(f"  {what}: {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
