"""The object store on disk beside what the same disk and the same engine do bare.

Run: `python bench/object_store.py [--folder DIR] [--seconds N] [--profile] [--objects N] [--json]`.
Each subject is a process of its own, in which store and bare run in turns, because disks vary.
`bare` of small writes is RocksDB, handed the very batches that the store made of 16 writes each,
with keys that are as new to it as they were to the store;
`bare` of the large ones is a file, written in order, with an fdatasync for each. CPU is that of all
threads. Python looks for cycles as seldom as in an OSD. `--objects` makes a store of so many small
objects and tells what listing, memory and starting cost, after a clean stop and after kill -9;
`--profile` tells where the time goes, with the commits in the same thread.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import os
import pstats
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from queue import SimpleQueue

from spirula.store.disk.engine import Batch
from spirula.store.disk.freelist import GROUP
from spirula.store.disk.idle import IDLE_S
from spirula.store.disk.layout import LOG, OBJECT
from spirula.store.disk.medium import FolderMedium
from spirula.store.disk.mkfs import mkfs
from spirula.store.disk.rocks import RocksEngine
from spirula.store.disk.store import DiskObjectStore
from spirula.store.objectstore import list_all
from spirula.types.hobject import GHMIN, NOSNAP, GHObject, HObject
from spirula.types.pg import Coll, PGId, SPGId
from spirula.types.transaction import Transaction

POOL = 5
PG = Coll.of(SPGId(PGId(POOL, 0)))
SMALL, LARGE = 4096, 4 << 20
PIECE = 256 << 10
WRITERS = 16
TURNS = 4
PROFILED_PER_S = 60_000
"""More small writes than there can be in a second of one thread."""
SETTLE_S = 20.0
"""So long is waited at most for what an engine does in the background."""
READY = 1024
"""Small writes that are made ready together, while the clock stands still."""
COLLECT_AFTER = (10_000, 20, 50)
"""When Python looks for cycles: as in an OSD (`cli.osd`), for the store and the bare engine."""
PER_TRANSACTION = 20
"""Objects made by one transaction, where many are to be made."""
rng = random.Random(1)


def name(number: int) -> GHObject:
    """An object as a disk image has them."""
    spread = number * 2654435761 & 0xFFFFFFFF
    oid = HObject.of(POOL, f"rbd_data.ab54a98ceb1f0ad2.{number:016x}", spread, snap=NOSNAP)
    return GHObject(oid, GHMIN.generation, -1)


def transaction(*steps: tuple) -> Transaction:
    """One of (method, arguments...)."""
    made = Transaction()
    for method, *arguments in steps:
        getattr(made, method)(*arguments)
    return made


class Bench:
    """A store over a folder, and a pump for its callbacks."""

    def __init__(self, folder: Path, *, threaded: bool = True) -> None:
        self.folder = folder
        if not folder.exists():
            mkfs(folder, size=64 << 30)
        self.calls: SimpleQueue = SimpleQueue()
        self.threaded = threaded
        self.store = DiskObjectStore(FolderMedium(folder), self.calls.put, threaded=threaded)
        begin = time.perf_counter()
        self.store.mount()
        self.mount_s = time.perf_counter() - begin
        self.waiting = 0
        self.latencies = array("d")  # as objects they would keep Python's memory in pieces
        if not self.store.collection_exists(PG):
            self.queue(("create_collection", PG, 0))

    def queue(self, *steps: tuple) -> None:
        self.submit(transaction(*steps))

    def submit(self, made: Transaction) -> None:
        begin = time.perf_counter()

        def done(error: Exception | None) -> None:
            assert error is None, error
            self.waiting -= 1
            self.latencies.append(time.perf_counter() - begin)

        self.waiting += 1
        self.store.queue_transactions(PG, [made], None, done)

    def pump(self, most: int = 0) -> None:
        """Call back until no more than `most` wait."""
        if not self.threaded:
            while self.waiting > most and self.store.land(WRITERS):
                while not self.calls.empty():
                    self.calls.get()()
            return
        while self.waiting > most:
            self.calls.get()()


class Meter:
    """What was done, in which time, with how much CPU."""

    def __init__(self) -> None:
        self.count = self.seconds = self.cpu = 0.0

    def run(self, action, seconds: float) -> None:
        """Do it over and over; it says how many operations it did, 0 if it cannot go on."""
        begin, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - begin < seconds and (count := action()):
            self.count += count
        self.seconds += time.perf_counter() - begin
        self.cpu += time.process_time() - cpu

    def settle(self) -> None:
        """Wait for what goes on in the background, as compactions: its CPU belongs to this."""
        begin, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - begin < SETTLE_S:
            before = time.process_time()
            time.sleep(0.02)
            if time.process_time() - before < 0.002:
                break
        self.cpu += time.process_time() - cpu

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu / self.count * 1e6


def percentile(values: array[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100] * 1e3 if values else 0.0


# --- subjects ---


def small_writes(folder: Path, seconds: float) -> list[dict]:
    """Overwrites of 4 KiB in objects of 4 MiB, and new objects of 4 KiB, by 16 writers."""
    found = []
    for what in ("overwrite", "new object"):
        bench = Bench(folder / what.replace(" ", "_"))
        make = small_write(bench, what)
        batches = recorded_batches(bench, make)
        bare_folder = folder / f"bare_{what.replace(' ', '_')}"
        bare_folder.mkdir()
        bare = RocksEngine(bare_folder, create=True)
        ours, theirs = Meter(), Meter()
        for _ in range(TURNS):
            until = theirs.seconds + seconds / TURNS
            while theirs.seconds < until:
                batches = [renewed(batch, len(batches)) for batch in batches]
                waiting = iter(batches)

                def group(bare=bare, waiting=waiting) -> int:
                    batch = next(waiting, None)
                    if batch is None:
                        return 0
                    bare.write(batch)
                    bare.sync()
                    return WRITERS

                theirs.run(group, until - theirs.seconds)
            theirs.settle()
            del bench.latencies[:]
            until = ours.seconds + seconds / TURNS
            while ours.seconds < until:
                # As the engine gets its batches, the store gets its transactions: they are there.
                ready = [make() for _ in range(READY)]

                def write(bench=bench, ready=ready) -> int:
                    if not ready:
                        return 0
                    bench.submit(ready.pop())
                    bench.pump(WRITERS - 1 if ready else 0)
                    return 1

                ours.run(write, until - ours.seconds)
                ours.run(lambda bench=bench: bench.pump() or 0, 1.0)
            ours.settle()
        found.append(row(f"4 KiB {what}s, {WRITERS} in flight", "op/s", ours, theirs, 0.6))
        found[-1]["p50_ms"] = percentile(bench.latencies, 50)
        found[-1]["p99_ms"] = percentile(bench.latencies, 99)
        found[-1]["bytes_per_op"] = sum(map(batch_bytes, batches)) / len(batches) / WRITERS
        bench.store.umount()
        bare.close()
    return found


def small_write(bench: Bench, what: str):
    """A function that gives a transaction of one small write."""
    data = [rng.randbytes(SMALL) for _ in range(16)]
    if what == "new object":
        numbers = iter(range(1000, 1 << 60))
        return lambda: transaction(("write", PG, name(next(numbers)), 0, rng.choice(data)))
    objects = [name(number) for number in range(32)]
    for oid in objects:
        bench.queue(("write", PG, oid, 0, rng.randbytes(LARGE)))
        bench.pump(2)
    bench.pump()

    def overwrite() -> Transaction:
        offset = rng.randrange(LARGE // SMALL) * SMALL
        return transaction(("write", PG, rng.choice(objects), offset, rng.choice(data)))

    return overwrite


def recorded_batches(bench: Bench, make) -> list[Batch]:
    """What the store hands to its engine for groups of 16 writes."""
    engine = bench.store._mounted.opened.engine
    batches: list[Batch] = []
    write = engine.write
    commits = bench.store._mounted.commits
    commits.stop()  # groups of 16 exactly, landed here

    def record(batch: Batch) -> None:
        batches.append(Batch(dict(batch.changes), list(batch.ranges)))
        write(batch)

    engine.write = record
    bench.threaded = False
    for _ in range(200):
        for _ in range(WRITERS):
            bench.submit(make())
        bench.pump()
    del engine.write
    commits.start()
    bench.threaded = True
    return batches


def renewed(batch: Batch, groups: int) -> Batch:
    """The same as so many groups later: with other new objects, log and groups."""

    def key_then(key: bytes) -> bytes:
        if key[:1] in (LOG, GROUP) and len(key) == 9:
            return key[:1] + (int.from_bytes(key[1:], "big") + groups).to_bytes(8, "big")
        if key[:1] == OBJECT:  # what differs is the hash
            number = int.from_bytes(key[10:14], "big") + 1
            return key[:10] + (number & 0xFFFFFFFF).to_bytes(4, "big") + key[14:]
        return key

    changes = {key_then(key): value for key, value in batch.changes.items()}
    return Batch(changes, [(key_then(start), key_then(end)) for start, end in batch.ranges])


def batch_bytes(batch: Batch) -> int:
    return sum(len(key) + len(value or b"") for key, value in batch.changes.items())


def large_writes(folder: Path, seconds: float) -> list[dict]:
    """New objects of 4 MiB, one and four at a time, beside a file."""
    found = []
    data = [rng.randbytes(LARGE) for _ in range(4)]
    for depth in (1, 4):
        bench = Bench(folder / f"large{depth}")
        path = folder / f"plain{depth}"
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
        os.truncate(path, 64 << 30)  # as the store's is: quicker than one that grows
        ours, theirs = Meter(), Meter()
        numbers = iter(range(1 << 60))

        def plain(descriptor=descriptor) -> int:
            view = memoryview(rng.choice(data))
            for at in range(0, LARGE, PIECE):  # quicker than all of it in one call
                os.write(descriptor, view[at : at + PIECE])
            os.fdatasync(descriptor)
            return LARGE

        def write(bench=bench, numbers=numbers, depth=depth) -> int:
            bench.queue(("write", PG, name(next(numbers)), 0, rng.choice(data)))
            bench.pump(depth - 1)
            return LARGE

        for _ in range(TURNS):
            theirs.run(plain, seconds / TURNS)
            ours.run(write, seconds / TURNS)
            bench.pump()
        found.append(row(f"4 MiB writes, {depth} in flight", "B/s", ours, theirs, 0.8))
        bench.store.umount()
        os.close(descriptor)
        path.unlink()
        shutil.rmtree(folder / f"large{depth}")
    return found


def reads(folder: Path, seconds: float) -> list[dict]:
    """Cached reads of 4 KiB and of 4 MiB, with checksums."""
    bench = Bench(folder / "reads")
    objects = [name(number) for number in range(32)]
    for oid in objects:
        bench.queue(("write", PG, oid, 0, rng.randbytes(LARGE)))
        bench.pump(1)
    bench.pump()
    store = bench.store
    places = [(rng.choice(objects), rng.randrange(LARGE // SMALL) * SMALL) for _ in range(10_000)]

    def small() -> int:
        for oid, offset in places:
            store.read(PG, oid, offset, SMALL)
        return len(places)

    def large() -> int:
        return sum(len(store.read(PG, oid)) for oid in objects)

    ours, theirs = Meter(), Meter()
    small()
    ours.run(small, seconds)
    theirs.run(large, seconds)
    store.umount()
    return [
        row("4 KiB cached reads", "op/s", ours, None, 60_000),
        row("4 MiB cached reads, checked", "B/s", theirs, None, 1.5e9),
    ]


def row(what: str, unit: str, ours: Meter, theirs: Meter | None, wanted: float) -> dict:
    """What is printed of a subject."""
    reached = ours.rate / theirs.rate if theirs else ours.rate
    return {
        "what": what,
        "unit": unit,
        "store": ours.rate,
        "bare": theirs.rate if theirs else None,
        "reached": reached,
        "wanted": wanted,
        "good": reached >= wanted,
        "cpu_us": ours.cpu_us * (1 if unit == "op/s" else LARGE),
        "bare_cpu_us": theirs.cpu_us * (1 if unit == "op/s" else LARGE) if theirs else None,
    }


# --- many objects ---


def many_objects(folder: Path, count: int) -> list[dict]:
    """A store of many small objects: making, listing, memory, and starting anew."""
    path = folder / "many"
    told = in_process("--fill", str(path), "--objects", str(count))
    told |= {f"clean_{key}": value for key, value in in_process("--start", str(path)).items()}
    killed = subprocess.Popen([sys.executable, __file__, "--kill", str(path)])
    killed.wait(timeout=600)
    assert killed.returncode == -signal.SIGKILL, killed.returncode
    told |= {f"killed_{key}": value for key, value in in_process("--start", str(path)).items()}
    wanted = {"clean_mount_s": 2.0, "killed_mount_s": 10.0}
    return [
        {"what": f"{count} objects: {key}", "value": value, "wanted": wanted.get(key)}
        for key, value in told.items()
    ]


def fill(path: Path, count: int) -> dict:
    bench = Bench(path)
    begin, cpu = time.perf_counter(), time.process_time()
    data = rng.randbytes(100)
    for first in range(0, count, PER_TRANSACTION):
        oids = [name(number) for number in range(first, min(first + PER_TRANSACTION, count))]
        steps = [("write", PG, oid, 0, data) for oid in oids]
        bench.queue(*steps, *(("setattr", PG, oid, "_", data) for oid in oids))
        bench.pump(WRITERS)
    bench.pump()
    passed = time.perf_counter() - begin
    told = {
        "made_per_s": count / passed,
        "made_cpu_us": (time.process_time() - cpu) / count * 1e6,
        "rss_after_making_mb": rss(),
    }
    told |= listing(bench, count)
    time.sleep(IDLE_S + 1)  # idle, it gives back what it has left over
    told["rss_idle_mb"] = rss()
    begin = time.perf_counter()
    bench.store.umount()
    told["umount_s"] = time.perf_counter() - begin
    told["db_mb"] = sum(part.stat().st_size for part in (path / "db").iterdir()) / 1e6
    return told


def start(path: Path) -> dict:
    before = rss()
    bench = Bench(path)
    told = {"mount_s": bench.mount_s, "rss_before_mount_mb": before, "rss_mounted_mb": rss()}
    told |= listing(bench, None)
    begin = time.perf_counter()
    bench.store.umount()
    return told | {"umount_s": time.perf_counter() - begin}


def listing(bench: Bench, expected: int | None) -> dict:
    """List the whole PG as backfill and scrub do; time, and memory on the way."""
    before, most, seen = rss(), 0.0, 0
    begin = time.perf_counter()
    for _ in list_all(bench.store, PG):
        seen += 1
        if seen % 50_000 == 1:
            most = max(most, rss())
    passed = time.perf_counter() - begin
    assert expected in {None, seen}, seen
    return {"listed": seen, "listed_per_s": seen / passed, "rss_listing_mb": most - before}


def write_until_killed(path: Path) -> None:
    bench = Bench(path)
    data = rng.randbytes(100)
    for number in range(20_000):
        oid = name((1 << 40) + number)
        bench.queue(("write", PG, oid, 0, data), ("setattr", PG, oid, "_", data))
        bench.pump(WRITERS)
    os.kill(os.getpid(), signal.SIGKILL)


def rss() -> float:
    """Megabytes that this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


# --- the program ---


def profile(folder: Path, seconds: float) -> None:
    """Where the time of small writes and reads goes, in one thread."""
    for what in ("overwrite", "new object"):
        bench = Bench(folder / f"profile {what}", threaded=False)
        make = small_write(bench, what)
        ready = [make() for _ in range(int(PROFILED_PER_S * seconds * 2))]

        def group(bench=bench, ready=ready) -> int:
            if len(ready) < WRITERS:
                return 0
            for _ in range(WRITERS):
                bench.submit(ready.pop())
            bench.pump()
            return WRITERS

        meter, profiler = Meter(), cProfile.Profile()
        meter.run(group, seconds)
        profiler.runcall(Meter().run, group, seconds)
        print(f"\n4 KiB {what}s in one thread: {meter.cpu_us:.1f} us of CPU each, unprofiled")
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
        bench.store.umount()


SUBJECTS = {"small": small_writes, "large": large_writes, "reads": reads}


def in_process(*words: str) -> dict | list:
    """Run this program; what it printed, as JSON."""
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, timeout=3600
    )
    return json.loads(done.stdout)


def show(rows: list[dict]) -> None:
    for one in rows:
        if "value" in one:
            wanted = f"  (wanted: at most {one['wanted']})" if one["wanted"] else ""
            print(f"{one['what']}: {one['value']:,.2f}{wanted}")
            continue
        scale, unit = (1e6, "MB/s") if one["unit"] == "B/s" else (1, "/s")
        bare = f", bare {one['bare'] / scale:,.0f} {unit}" if one["bare"] else ""
        if one["bare"]:
            aim = f"{one['reached'] * 100:.0f} % of bare (wanted: {one['wanted'] * 100:.0f} %)"
        else:
            aim = f"wanted: {one['wanted'] / scale:,.0f} {unit}"
        line = f"{one['what']}: {one['store'] / scale:,.0f} {unit}{bare}; {aim}"
        line += f"; {one['cpu_us']:.1f} us of CPU each"
        if one["bare_cpu_us"]:
            line += f" (bare {one['bare_cpu_us']:.1f})"
        if "p50_ms" in one:
            line += f"; latency {one['p50_ms']:.2f} ms, 99th percentile {one['p99_ms']:.2f} ms"
            line += f"; {one['bytes_per_op']:.0f} bytes to the engine each"
        print(line)


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--folder", help="where to make the stores")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    parser.add_argument("--objects", type=int, default=0, help="measure with so many objects")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    for hidden in ("--one", "--fill", "--start", "--kill"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    gc.freeze()  # as an OSD does
    gc.set_threshold(*COLLECT_AFTER)
    if chosen.one:
        print(json.dumps(SUBJECTS[chosen.one](Path(chosen.folder), chosen.seconds)))
    elif chosen.fill:
        print(json.dumps(fill(Path(chosen.fill), chosen.objects)))
    elif chosen.start:
        print(json.dumps(start(Path(chosen.start))))
    elif chosen.kill:
        write_until_killed(Path(chosen.kill))
    else:
        return measure(parser, chosen)
    return 0


def measure(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> int:
    if unknown := set(chosen.subjects) - set(SUBJECTS):
        parser.error(f"{min(unknown)} is none of {', '.join(SUBJECTS)}")
    rows: list[dict] = []
    folder = Path(tempfile.mkdtemp(dir=chosen.folder))
    try:
        if chosen.profile:
            profile(folder, chosen.seconds)
            return 0
        asked = chosen.subjects or ([] if chosen.objects else list(SUBJECTS))
        for subject in asked:
            (folder / subject).mkdir()
            words = ["--folder", str(folder / subject), "--seconds", str(chosen.seconds)]
            found = in_process("--one", subject, *words)
            rows += found
            if not chosen.json:
                show(found)
            shutil.rmtree(folder / subject)
        if chosen.objects:
            found = many_objects(folder, chosen.objects)
            rows += found
            if not chosen.json:
                show(found)
    finally:
        shutil.rmtree(folder)
    if chosen.json:
        print(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
