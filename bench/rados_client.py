"""Our `rados` beside Debian's python3-rados: the same work on the same cluster, in turns.

    python bench/rados_client.py CONF [--rounds N]

CONF is a cluster's ceph.conf, best a real one's; a pool `bench-client` is made and removed. Tells
operations per second of 4 KiB with 16 in flight, MB/s of 4 MiB with 4 in flight, and what a client
costs: import and connect in ms, memory in MiB once it has connected and is idle.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

PYTHON = {"rados": "/usr/bin/python3", "spirula.rados": sys.executable}
POOL = "bench-client"
SMALL, LARGE = 4096, 4 << 20


def memory_mib() -> float:
    """Memory that is this process's own, and its share of what it shares."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def rate(count, depth, begin):
    """Operations per second with so many in flight."""
    under_way = deque()
    began = time.perf_counter()
    for number in range(count + depth):
        if number >= depth:
            done = under_way.popleft()
            done.wait_for_complete()
            assert done.get_return_value() >= 0, done.get_return_value()
        if number < count:
            under_way.append(begin(number))
    return count / (time.perf_counter() - began)


def ignore(*_: object) -> None:
    """Debian's aio_read wants a callback."""


def work(module: str, conf: str, count: int) -> dict[str, float]:
    """One round, in a process of its own."""
    before = memory_mib()
    began = time.perf_counter()
    rados = importlib.import_module(module)
    imported = time.perf_counter()
    handle = rados.Rados(conffile=conf)
    handle.connect()
    connected = time.perf_counter()
    found = {
        "import ms": (imported - began) * 1e3,
        "connect ms": (connected - imported) * 1e3,
        "memory MiB": memory_mib(),
        "memory before MiB": before,
    }
    ioctx = handle.open_ioctx(POOL)
    small, large = os.urandom(SMALL), os.urandom(LARGE)
    rate(64, 16, lambda n: ioctx.aio_write_full(f"small{n % 64}", small))
    rate(8, 4, lambda n: ioctx.aio_write_full(f"large{n % 8}", large))
    found["4 KiB writes/s"] = rate(
        count, 16, lambda n: ioctx.aio_write_full(f"small{n % 64}", small)
    )
    found["4 KiB reads/s"] = rate(
        2 * count, 16, lambda n: ioctx.aio_read(f"small{n % 64}", SMALL, 0, ignore)
    )
    found["4 MiB writes, MB/s"] = 4 * rate(
        count // 40, 4, lambda n: ioctx.aio_write_full(f"large{n % 8}", large)
    )
    found["4 MiB reads, MB/s"] = 4 * rate(
        count // 20, 4, lambda n: ioctx.aio_read(f"large{n % 8}", LARGE, 0, ignore)
    )
    began = time.perf_counter()
    for _ in range(200):
        ioctx.read("small1", SMALL)
    found["read, us"] = (time.perf_counter() - began) / 200 * 1e6
    handle.shutdown()
    return found


def pool(conf: str, verb: str) -> None:
    """Make or remove the pool."""
    words = ["create", POOL, "32"] if verb == "create" else ["rm", POOL, POOL]
    sure = [] if verb == "create" else ["--yes-i-really-really-mean-it"]
    command = ["ceph", "-c", conf, "osd", "pool", *words, *sure]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    subprocess.run(command, check=True, capture_output=True, env=environment)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("conf")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=2000, help="small writes of a round")
    parser.add_argument("--module", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.module:
        print(json.dumps(work(args.module, args.conf, args.count)))
        return
    pool(args.conf, "create")
    found: dict[str, list[dict[str, float]]] = {module: [] for module in PYTHON}
    try:
        for _ in range(args.rounds):
            for module, python in PYTHON.items():
                command = [python, __file__, args.conf, "--module", module]
                command += ["--count", str(args.count)]
                ended = subprocess.run(command, check=True, capture_output=True, text=True)
                found[module].append(json.loads(ended.stdout))
    finally:
        pool(args.conf, "rm")
    print(f"{'':22}{'librados':>12}{'spirula':>12}{'ratio':>8}   (medians of {args.rounds})")
    for what in found["rados"][0]:
        theirs, ours = (
            statistics.median(each[what] for each in found[module]) for module in PYTHON
        )
        print(f"{what:22}{theirs:12.1f}{ours:12.1f}{ours / theirs:8.2f}")


if __name__ == "__main__":
    main()
