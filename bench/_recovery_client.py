"""The client of `recovery.py`: run by the system's Python, with upstream's own librados.

`fill CONF POOL SIZE COUNT` writes objects. `watch CONF POOL SIZE COUNT` overwrites 4 KiB of some of
them all the while, says `ready`, waits for the line `killed`, and looks at the PGs until all are
clean again; then it prints what it saw as JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time

import rados  # type: ignore[import-not-found]  # the system's

WRITERS, WRITE = 4, 4096
POLL_S, LIMIT_S = 0.05, 3600.0


def connected(conf: str, pool: str):
    cluster = rados.Rados(conffile=conf)
    cluster.connect(timeout=60)
    return cluster, cluster.open_ioctx(pool)


def fill(conf: str, pool: str, size: int, count: int) -> None:
    """Objects of random bytes, some at a time."""
    cluster, ioctx = connected(conf, pool)
    data, under_way = os.urandom(size), []
    most = max((64 << 20) // size, 1)
    for number in range(count):
        under_way.append(ioctx.aio_write_full(f"object{number}", data))
        if len(under_way) >= min(most, 32):
            under_way.pop(0).wait_for_complete_and_cb()
    for each in under_way:
        each.wait_for_complete_and_cb()
    cluster.shutdown()


def pg_states(cluster) -> dict[str, int]:
    """How many PGs are in each state."""
    words = json.dumps({"prefix": "pg stat", "format": "json"})
    code, output, _ = cluster.mgr_command(words, b"")
    if code:
        return {}
    found = json.loads(output)
    found = found.get("pg_summary", found)
    return {row["name"]: row["num"] for row in found["num_pg_by_state"]}


def watch(conf: str, pool: str, size: int, count: int) -> None:
    """Writes go on; when are all PGs active, when clean, and how long did writes take?"""
    cluster, ioctx = connected(conf, pool)
    stop, took = threading.Event(), []

    def write(seed: int) -> None:
        draw, data = random.Random(seed), os.urandom(min(WRITE, size))
        while not stop.is_set():
            began = time.monotonic()
            ioctx.write(f"object{draw.randrange(count)}", data, 0)
            took.append((began, time.monotonic() - began))

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(WRITERS)]
    for each in writers:
        each.start()
    time.sleep(3)
    print("ready", flush=True)
    sys.stdin.readline()
    killed = time.monotonic()
    active = clean = 0.0
    troubled = False
    while time.monotonic() - killed < LIMIT_S:
        time.sleep(POLL_S)
        states, now = pg_states(cluster), time.monotonic() - killed
        if not states:
            continue
        # A PG whose OSD is gone is "stale+active+clean" until another leads it.
        serve = all("active" in name and "stale" not in name for name in states)
        if troubled and not active and serve:
            active = now
        troubled |= set(states) != {"active+clean"}
        if active and set(states) == {"active+clean"}:
            clean = now
            break
    stop.set()
    for each in writers:
        each.join()
    before = [taken for began, taken in took if began < killed]
    during = [taken for began, taken in took if began + taken >= killed]
    seen = {
        "active_s": active,
        "clean_s": clean,
        "stall_s": max(during, default=0.0),
        "p99_before_s": p99(before),
        "p99_during_s": p99(during),
        "writes_a_second": len(during) / max(clean, 1e-9),
    }
    print(json.dumps(seen), flush=True)
    cluster.shutdown()


def p99(values: list[float]) -> float:
    """What 99 of 100 are below."""
    values.sort()
    return values[len(values) * 99 // 100] if values else 0.0


if __name__ == "__main__":
    kind, conf, pool, size, count = sys.argv[1:6]
    {"fill": fill, "watch": watch}[kind](conf, pool, int(size), int(count))
