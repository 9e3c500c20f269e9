"""Commands a second through the real librados, of two clusters in turn. Run by `monitors.py`.

`/usr/bin/python3 _monitors_librados.py SECONDS CONF,ADDR,ADDR... CONF,ADDR,ADDR...`: clusters by
their configuration and the addresses of their monitors. A handle is connected to each monitor, and
every load is put on both clusters in the same seconds, round after round. Prints JSON: for each
load the best round of each cluster, in commands a second. Needs Debian's python3-rados only.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time

import rados

ROUNDS = 3
READS = {
    "fsid": {"prefix": "fsid"},
    "osd pool ls": {"prefix": "osd pool ls"},
    "status": {"prefix": "status", "format": "json"},
    "osd dump -f json": {"prefix": "osd dump", "format": "json"},
}
ALONE, TOGETHER = 1, 12
POOL, MOST_PGS = "bench", 64


class Cluster:
    """A handle for each of the monitors."""

    def __init__(self, conf: str, *addresses: str) -> None:
        # Left alone, handles would choose: all of them the monitor that answers first.
        self.handles = [
            rados.Rados(conffile=conf, conf={"mon_host_override": address}) for address in addresses
        ]
        for handle in self.handles:
            handle.connect(timeout=30)
        create = {"prefix": "osd pool create", "pool": POOL, "pg_num": MOST_PGS}
        ask(self.handles[0], json.dumps(create))


def ask(handle: rados.Rados, command: str) -> None:
    """One command. Whatever goes wrong ends the measurement."""
    code, _, status = handle.mon_command(command, b"", timeout=60)
    if code:
        raise SystemExit(f"{command}: {code} {status}")


def rate(cluster: Cluster, commands: list[str], threads: int, seconds: float) -> float:
    """Commands a second by so many threads, spread over the monitors."""
    done = [0] * threads
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        handles = cluster.handles[number % len(cluster.handles) :] + cluster.handles
        chosen = itertools.cycle(handles[:1] if threads > 1 else cluster.handles)
        words = itertools.cycle(commands[number:] + commands[:number])
        while time.monotonic() < end:
            ask(next(chosen), next(words))
            done[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done) / (time.monotonic() - began)


def main() -> None:
    seconds = float(sys.argv[1])
    clusters = [Cluster(*words.split(",")) for words in sys.argv[2:]]
    changes = [
        json.dumps({"prefix": "osd pool set", "pool": POOL, "var": "pg_num_min", "val": str(count)})
        for count in range(1, MOST_PGS)
    ]
    loads = {name: [json.dumps(command)] * TOGETHER for name, command in READS.items()}
    loads["osd pool set"] = changes
    found: dict[str, list[float]] = {}
    for name, commands in loads.items():
        for threads in (ALONE, TOGETHER):
            rounds = [
                [rate(cluster, commands, threads, seconds) for cluster in clusters]
                for _ in range(ROUNDS)
            ]
            best = [max(column) for column in zip(*rounds, strict=True)]
            found[f"{name}, {threads} at a time"] = best
    print(json.dumps(found))


if __name__ == "__main__":
    main()
