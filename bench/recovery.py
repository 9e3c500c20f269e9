"""One of four OSDs is killed: when does all serve again, when is it whole, what do clients notice?

Run: `python bench/recovery.py [--small 10000] [--large 512] [--join 3000] [--rounds 1]
[--only ours,real]`. The same on our cluster and on a real one, in turn, with upstream's client:
`--small` objects of 4 KiB, then `--large` objects of 4 MiB, three copies of each, while four
writers overwrite 4 KiB at random places. The killed OSD is marked out after some seconds, and its
copies are made anew on the others. With `--rounds` the medians are compared.
`--join`: a fourth OSD comes to three with so many objects; no more is moved than the map says.
Budgets: all PGs active as soon as on the real one, clean within 1.5 times its time. For a quiet
machine, with about twelve times the data free on disk; where that turns, or says so, both rest
after each object, and 10,000 objects take twenty minutes on each cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.interop.realcluster import RealCluster, why_not
from tests.interop.spirulacluster import OurCluster, settings, wait_until

OSDS, PGS, KILLED = 4, 32, 3
ACTIVE_BUDGET, CLEAN_BUDGET, JOIN_BUDGET = 1.0, 1.5, 1.05
CLIENT = Path(__file__).with_name("_recovery_client.py")
OPTIONS = {
    "osd_pool_default_size": "3",
    "osd_pool_default_pg_autoscale_mode": "off",
    "osd_crush_chooseleaf_type": "0",
    "osd_heartbeat_interval": "1",
    "mon_osd_min_down_reporters": "1",
    "mon_osd_down_out_interval": "5",
    "mgr_stats_period": "1",
    "osd_recovery_sleep_hdd": "0.1",  # the default, which `spirula up` changes
}


@contextmanager
def ours(folder: Path) -> Iterator[tuple[Any, Path]]:
    made = OurCluster(folder / "ours", 1)
    words = ["--mons", "1", "--osds", str(OSDS), "--timeout", "120"]
    made.spirula("up", "--dir", str(made.folder), *words, *settings(OPTIONS), timeout_s=150)
    try:
        yield made, made.conf
    finally:
        made.down()


@contextmanager
def real(folder: Path) -> Iterator[tuple[Any, Path]]:
    options = {name.replace("_", " "): value for name, value in OPTIONS.items()}
    options["mgr pool"] = "false"
    made = RealCluster(folder / "real", osds=OSDS, objectstore="bluestore", options=options)
    made.folder.mkdir()
    try:
        made.start()
        yield made, made.conf
    finally:
        made.stop()


def kill(cluster: Any) -> None:
    """Ends one OSD at once."""
    if isinstance(cluster, OurCluster):
        pid = int((cluster.folder / "run" / f"osd.{KILLED}.pid").read_text())
        os.kill(pid, signal.SIGKILL)
    else:
        cluster.kill(f"osd.{KILLED}", how=signal.SIGKILL)


def all_clean(cluster: Any) -> bool:
    found = cluster.ceph_json("pg", "stat")
    states = found.get("pg_summary", found)["num_pg_by_state"]
    return [state["name"] for state in states] == ["active+clean"]


def client(kind: str, conf: Path, size: int, count: int) -> subprocess.Popen[str]:
    words = ["/usr/bin/python3", str(CLIENT), kind, str(conf), "moved", str(size), str(count)]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=env, cwd=conf.parent)


def measured(cluster: Any, conf: Path, size: int, count: int) -> dict[str, float]:
    """What the client saw of one death."""
    cluster.ceph("osd", "pool", "create", "moved", str(PGS))
    wait_until(lambda: all_clean(cluster), timeout_s=120)
    filling = client("fill", conf, size, count)
    if filling.wait(timeout=1800):
        raise SystemExit("the cluster cannot be filled")
    watching = client("watch", conf, size, count)
    if watching.stdout is None or watching.stdin is None:
        raise SystemExit("no pipes")
    watching.stdout.readline()
    kill(cluster)
    watching.stdin.write("killed\n")
    watching.stdin.flush()
    found: dict[str, float] = json.loads(watching.stdout.readline())
    watching.wait(timeout=60)
    return found


def up_sets(cluster: Any) -> dict[str, tuple[list[int], int]]:
    """Where the map wants each PG, and how many objects it has."""
    rows = cluster.ceph_json("pg", "ls-by-pool", "moved")["pg_stats"]
    return {row["pgid"]: (row["up"], row["stat_sum"]["num_objects"]) for row in rows}


def pushes(cluster: Any) -> int:
    """How many objects have been sent from OSD to OSD so far."""
    dumps = [cluster.ceph_json("tell", f"osd.{osd}", "perf", "dump") for osd in range(OSDS)]
    return sum(int(dump["osd"]["push"]) for dump in dumps)


def joined(cluster: Any, conf: Path, count: int) -> dict[str, float]:
    """The last OSD comes to three that have all data."""
    cluster.ceph("osd", "out", str(KILLED))
    cluster.ceph("osd", "pool", "create", "moved", str(PGS))
    wait_until(lambda: all_clean(cluster), timeout_s=120)
    if client("fill", conf, 4096, count).wait(timeout=1800):
        raise SystemExit("the cluster cannot be filled")
    wait_until(lambda: sum(each[1] for each in up_sets(cluster).values()) == count)
    before, pushed, began = up_sets(cluster), -pushes(cluster), time.monotonic()
    cluster.ceph("osd", "in", str(KILLED))

    def is_done() -> bool:
        return any(KILLED in up for up, _ in up_sets(cluster).values()) and all_clean(cluster)

    wait_until(is_done, timeout_s=900, every_s=0.5)
    took = time.monotonic() - began
    wanted = sum(
        len(set(up) - set(before[pgid][0])) * objects
        for pgid, (up, objects) in up_sets(cluster).items()
    )
    pushed += pushes(cluster)
    return {"wanted": wanted, "moved": pushed, "ratio": pushed / max(wanted, 1), "clean_s": took}


def join(count: int, which: list[str]) -> None:
    """How much is moved to a new OSD, against what the map says must be."""
    print(f"--- an OSD joins three with {count} objects of 4096 bytes", flush=True)
    for name in which:
        with (
            tempfile.TemporaryDirectory(prefix="spirula-", ignore_cleanup_errors=True) as folder,
            {"ours": ours, "real": real}[name](Path(folder)) as (cluster, conf),
        ):
            seen = joined(cluster, conf, count)
        missed = "   MISSED" if name == "ours" and not 1 <= seen["ratio"] <= JOIN_BUDGET else ""
        shown = "  ".join(f"{what} {value:.3f}" for what, value in seen.items())
        print(f"{name:<6}{shown}   (<= {JOIN_BUDGET}){missed}", flush=True)


def compare(size: int, count: int, which: list[str], rounds: int) -> None:
    """The same deaths on each cluster, in turn, and the medians of both against the budgets."""
    print(f"--- {count} objects of {size} bytes", flush=True)
    all_seen: dict[str, list[dict[str, float]]] = {name: [] for name in which}
    for name in which * rounds:
        begin = {"ours": ours, "real": real}[name]
        with (
            tempfile.TemporaryDirectory(prefix="spirula-", ignore_cleanup_errors=True) as folder,
            begin(Path(folder)) as (cluster, conf),
        ):
            all_seen[name].append(measured(cluster, conf, size, count))
        shown = "  ".join(f"{what} {value:.3f}" for what, value in all_seen[name][-1].items())
        print(f"{name:<6}{shown}", flush=True)
    seen = {
        name: {what: median(each[what] for each in runs) for what in runs[0]}
        for name, runs in all_seen.items()
    }
    if len(seen) == 2:
        for what, budget in (("active_s", ACTIVE_BUDGET), ("clean_s", CLEAN_BUDGET)):
            ratio = seen["ours"][what] / max(seen["real"][what], 1e-9)
            missed = "   MISSED" if ratio > budget else ""
            print(f"{what:<10} ours / real {ratio:.2f}   (<= {budget}){missed}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--small", type=int, default=10_000, help="objects of 4 KiB (0: none)")
    parser.add_argument("--large", type=int, default=512, help="objects of 4 MiB (0: none)")
    parser.add_argument("--join", type=int, default=3_000, help="objects when one joins (0: none)")
    parser.add_argument("--rounds", type=int, default=1, help="deaths on each; medians are judged")
    parser.add_argument("--only", default="ours,real", help="which clusters")
    chosen = parser.parse_args()
    which = chosen.only.split(",")
    why = why_not()
    if why is not None:
        print(f"without a real cluster: {why}")
        which = [name for name in which if name != "real"]
    for size, count in ((4096, chosen.small), (4 << 20, chosen.large)):
        if count:
            compare(size, count, which, chosen.rounds)
    if chosen.join:
        join(chosen.join, which)


if __name__ == "__main__":
    main()
