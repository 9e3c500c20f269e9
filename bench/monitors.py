"""Three monitors: start, what they take when idle, commands a second, publishing of a large map.

Run: `python bench/monitors.py [PART ...]`. Commands go through the real librados, to our monitors
and to three real ones in turn; without a real Ceph that part is left out. Budgets are for a quiet
machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from spirula.cli.credentials import find_key
from spirula.client.session import open_session
from spirula.cluster.create import create
from spirula.cluster.layout import Layout
from spirula.conf.load import load
from spirula.maps.osdmap import OSDMap
from spirula.mon.mkfs import MKFS
from spirula.mon.store import Transaction
from spirula.store.sqlite import SqliteKeyValueStore
from spirula.types.entity import EntityAddrVec
from tests.interop import realcluster
from tests.interop.realcluster import ENVIRONMENT, RealCluster
from tests.interop.spirulacluster import OurCluster
from tests.unit.maps.balance.lopsided import lopsided_map

MONS = 3
START_BUDGET_S, STARTS = 1.5, 5
IDLE_S, SETTLE_S, RESIDENT_BUDGET_MIB, CPU_BUDGET_PERCENT = 30.0, 8.0, 60.0, 1.0
ROUND_S, RATIO_BUDGET = 1.5, 1.0
RACKS, HOSTS, OSDS_PER_HOST, POOLS = 10, 10, 10, 100
PROCESSES, SUBSCRIBERS = 3, 300
CHANGES, PUBLISH_BUDGET_MS = 10, 100.0
HERE = Path(__file__).parent


def say(what: str, value: str, budget: str, *, missed: bool) -> None:
    """One row of the table."""
    print(f"{what:<44} {value:>28}   {budget}{'   MISSED' if missed else ''}", flush=True)


@contextmanager
def cluster(osdmap: OSDMap | None = None) -> Iterator[OurCluster]:
    """Monitors of ours that run, with a first OSD map."""
    with tempfile.TemporaryDirectory(prefix="spirula-") as folder:
        ours = OurCluster(Path(folder) / "c", MONS)
        if osdmap is not None:
            begin_with(create(ours.folder, MONS), osdmap.encode())
        ours.up("--mons", str(MONS), "--osds", "0")
        try:
            yield ours
        finally:
            ours.down()


def begin_with(layout: Layout, osdmap: bytes) -> None:
    """What `spirula mon --mkfs --osdmap` does, in stores that are made already."""
    for place in layout.mons:
        path = layout.directory / f"mon.{place.name}" / "store.db"
        store = SqliteKeyValueStore(path, lambda call: call())
        store.stage(Transaction().put(MKFS, "osdmap", osdmap).value)
        store.commit(lambda error: None)
        store.close()


# ---------------------------------------------------------------------------------- start and rest


def start() -> None:
    """From the command to its end, which is when the cluster has answered."""
    took = []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(prefix="spirula-") as folder:
            ours = OurCluster(Path(folder) / "c", MONS)
            began = time.perf_counter()
            ours.up("--mons", str(MONS), "--osds", "0")
            took.append(time.perf_counter() - began)
            ours.down()
    best = min(took)
    shown = f"{best:.2f} s (median {statistics.median(took):.2f})"
    what = f"`spirula up --mons {MONS} --osds 0`"
    say(what, shown, f"{START_BUDGET_S} s", missed=best > START_BUDGET_S)


def resident_mib(pid: int) -> float:
    """Memory of a process, shared pages included."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def cpu_s(pid: int) -> float:
    """Processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle() -> None:
    """Nobody asks anything of three monitors."""
    with cluster() as ours:
        time.sleep(SETTLE_S)
        names = "abc"[:MONS]
        before = {name: cpu_s(ours.pid(name)) for name in names}
        time.sleep(IDLE_S)
        for name in names:
            memory = resident_mib(ours.pid(name))
            share = (cpu_s(ours.pid(name)) - before[name]) / IDLE_S * 100
            missed = memory > RESIDENT_BUDGET_MIB or share > CPU_BUDGET_PERCENT
            budget = f"{RESIDENT_BUDGET_MIB:.0f} MiB, {CPU_BUDGET_PERCENT:.0f} %"
            say(f"idle mon.{name}", f"{memory:.1f} MiB, {share:.2f} %", budget, missed=missed)


# ---------------------------------------------------------------------------------------- commands


def our_addresses(layout: Layout) -> list[str]:
    """Where our monitors listen."""
    return [f"v2:127.0.0.1:{place.port}/0" for place in layout.mons]


def commands() -> None:
    """Commands a second, of ours and of real monitors."""
    reason = realcluster.why_not()
    if reason:
        print(f"commands: not measured: {reason}")
        return
    options = {"mon warn on pool no redundancy": "false"}
    with (
        cluster() as ours,
        realcluster.real_cluster_of(mons=MONS, osds=0, managers=False, options=options) as real,
    ):
        mine = [str(ours.conf), *our_addresses(Layout.load(ours.folder))]
        theirs = [str(real.conf), *real_addresses(real)]
        script = str(HERE / "_monitors_librados.py")
        ended = subprocess.run(
            ["/usr/bin/python3", script, str(ROUND_S), ",".join(mine), ",".join(theirs)],
            env=ENVIRONMENT,
            check=True,
            stdout=subprocess.PIPE,
            timeout=600,
        )
    for name, (our_rate, their_rate) in json.loads(ended.stdout).items():
        ratio = our_rate / their_rate
        shown = f"{our_rate:.0f}/s : {their_rate:.0f}/s = {ratio:.2f}"
        say(name, shown, f"{RATIO_BUDGET:.1f}", missed=ratio < RATIO_BUDGET)


def real_addresses(real: RealCluster) -> list[str]:
    """Where real monitors listen."""
    return [f"v2:{host}:{port}/0" for host, port in real.mon_addresses]


# -------------------------------------------------------------------------------------- publishing


def large_map() -> OSDMap:
    """About 1,000 OSDs that are up, in 100 hosts, and 100 pools."""
    osdmap = lopsided_map(
        random.Random(1), racks=RACKS, hosts=HOSTS, osds=OSDS_PER_HOST, pg_num=256
    )
    model = osdmap.pools[1]
    osdmap.pools = dict.fromkeys(range(1, POOLS + 1), model)
    osdmap.pool_name = {number: f"pool{number}" for number in osdmap.pools}
    osdmap.pool_max = POOLS
    for osd in range(osdmap.max_osd):
        addrs = EntityAddrVec.parse(f"[v2:10.0.{osd // 250}.{osd % 250 + 1}:6800/1]")
        osdmap.client_addrs[osd] = osdmap.cluster_addrs[osd] = addrs
        osdmap.hb_back_addrs[osd] = osdmap.hb_front_addrs[osd] = addrs
    return osdmap


def publish() -> None:
    """From `osd out` and `osd down` to the last of 300 subscribers having the new epoch."""
    osdmap = large_map()
    with cluster(osdmap) as ours:
        took = publishing(ours.conf)
    shown = f"{min(took):.0f} ms (median {statistics.median(took):.0f})"
    what = f"{osdmap.max_osd} OSDs, {POOLS} pools, {SUBSCRIBERS} subscribers"
    say(what, shown, f"{PUBLISH_BUDGET_MS:.0f} ms", missed=min(took) > PUBLISH_BUDGET_MS)


def publishing(conf: Path) -> list[float]:
    """Milliseconds that each change took."""
    script = str(HERE / "_monitors_subscribers.py")
    size = SUBSCRIBERS // PROCESSES
    crowds = [
        subprocess.Popen(
            [sys.executable, script, str(conf), str(size)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(PROCESSES)
    ]
    try:
        for crowd in crowds:
            if line(crowd) != ["ready"]:
                raise SystemExit("subscribers: unexpected output")
        return [change(conf, crowds, number) for number in range(CHANGES)]
    finally:
        for crowd in crowds:
            crowd.kill()
            crowd.communicate()


def line(crowd: subprocess.Popen[str]) -> list[str]:
    """The next words of a process."""
    if crowd.stdout is None:
        raise SystemExit("a process without output")
    words = crowd.stdout.readline().split()
    if not words:
        raise SystemExit("subscribers have ended")
    return words


def change(conf: Path, crowds: list[subprocess.Popen[str]], number: int) -> float:
    """Milliseconds from the command to the last subscriber."""
    time.sleep(1.0)
    prefix = ("osd out", "osd down")[number % 2]
    began = asyncio.run(command(conf, {"prefix": prefix, "ids": [str(number * 7)]}))
    heard = [line(crowd) for crowd in crowds]
    if len({epoch for epoch, _ in heard}) != 1:
        raise SystemExit(f"subscribers have heard of other epochs: {heard}")
    return (max(float(at) for _, at in heard) - began) * 1000


async def command(conf: Path, words: dict[str, object]) -> float:
    """Send a command, as a client that is logged in already; when, by the monotonic clock."""
    config = load(["-c", str(conf), "--name", "client.admin"]).config
    session = await open_session(
        config, find_key(config), clock=time.time, random_bytes=os.urandom, timeout_s=30
    )
    try:
        began = time.monotonic()
        (await session.command(words, timeout_s=30)).check()
    finally:
        await session.close()
    return began


PARTS = {"start": start, "idle": idle, "commands": commands, "publish": publish}


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=", ".join(PARTS))
    for part in parser.parse_args().parts or PARTS:
        PARTS[part]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
