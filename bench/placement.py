"""What it costs to know where things are: one object, all PGs, the next epoch.

Run: `python bench/placement.py [--pgs N]`. The cluster: 10,000 OSDs in racks of 20 nodes of 20,
one pool of N PGs (1,000,000 unless told) with 3 replicas. Budgets: 60 s and 2 GiB for all PGs; a
tenth of that for an OSD that goes out; 5 us for one object from a warm map.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import timeit
from itertools import cycle

from spirula.crush.map import Bucket, BucketAlg, Rule, RuleOp, Step, Tunables
from spirula.crush.wire import CrushWrapper
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.by_osd import count_by_osd, moved_pgs, pgs_of_osd
from spirula.maps.mapping import PGMappings
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import OSDState
from spirula.types.pool import PGPool, PoolFlag

BUDGET_US = 5.0
BUDGET_S, BUDGET_MIB = 60, 2048
ROUNDS, PER_ROUND = 100, 1_000  # short ones: some are not disturbed
OSDS, FANOUT = 10_000, 20
WEIGHT = 0x10000


def tree() -> CrushWrapper:
    """Nodes, racks and a root, all straw2, and a rule that spreads over nodes."""
    crush = CrushWrapper(tunables=Tunables(0, 0, 50, 1, 1, 1, 54, 1), max_devices=OSDS)
    level = [(osd, WEIGHT) for osd in range(OSDS)]
    for kind, fanout in ((1, FANOUT), (2, FANOUT), (3, OSDS)):
        above = []
        for at in range(0, len(level), fanout):
            items, weights = zip(*level[at : at + fanout], strict=True)
            number = -1 - len(crush.buckets)
            made = Bucket(number, kind, BucketAlg.STRAW2, 0, sum(weights), [*items], [*weights])
            crush.buckets.append(made)
            above.append((number, sum(weights)))
        level = above
    steps = [Step(RuleOp.TAKE, level[0][0]), Step(RuleOp.CHOOSELEAF_FIRSTN, 0, 1)]
    crush.rules.append(Rule([*steps, Step(RuleOp.EMIT)], 0, 1, 1, 10))
    crush.type_names = {0: "osd", 1: "node", 2: "rack", 3: "root"}
    return crush


def cluster(pgs: int) -> OSDMap:
    """The map: everything up and in."""
    inc = pending_incremental(OSDMap())
    inc.new_max_osd = OSDS
    inc.crush = tree().encode()
    inc.new_state = dict.fromkeys(range(OSDS), int(OSDState.UP))
    inc.new_weight = dict.fromkeys(range(OSDS), WEIGHT)
    flags = int(PoolFlag.HASHPSPOOL)
    inc.new_pools[1] = PGPool(
        type=1, size=3, min_size=2, object_hash=2, pg_num=pgs, pgp_num=pgs, flags=flags
    )
    return apply_incremental(OSDMap(), inc)


def one_object_us(mappings: PGMappings) -> dict[str, float]:
    """The best of several rounds for names of usual lengths, each time another name."""
    found = {}
    for pattern in (
        "object{:06}",
        "rbd_data.10226b8b4567.{:016x}",
        "benchmark_data_host_1_object{}",
    ):
        names = cycle([pattern.format(number) for number in range(1000)])
        locate = mappings.locate
        timer = timeit.Timer(lambda: locate(1, next(names)))  # noqa: B023 -- used at once
        found[pattern.format(7)] = min(timer.repeat(ROUNDS, PER_ROUND)) / PER_ROUND * 1e6
    return found


def main() -> int:
    """Prints the numbers; 1 when a budget is exceeded."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pgs", type=int, default=1_000_000)
    pgs = parser.parse_args().pgs
    osdmap = cluster(pgs)
    start = time.perf_counter()
    mappings = PGMappings(osdmap)
    whole = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"all {pgs} PGs on {OSDS} OSDs   {whole:8.2f} s (peak {peak:.0f} MiB)")
    inc = pending_incremental(osdmap)
    inc.new_weight[17] = 0
    after = apply_incremental(osdmap, inc)
    start = time.perf_counter()
    advanced = mappings.advance(after)
    out = time.perf_counter() - start
    print(f"one OSD goes out             {out:8.2f} s ({advanced.asked} PGs asked for)")
    inc = pending_incremental(after)
    inc.new_state[18] = int(OSDState.UP)
    after = apply_incremental(after, inc)
    start = time.perf_counter()
    advanced = advanced.advance(after)
    print(f"one OSD goes down            {time.perf_counter() - start:8.2f} s")
    start = time.perf_counter()
    counted = int(count_by_osd(advanced).acting.sum())
    print(f"PGs counted by OSD           {time.perf_counter() - start:8.3f} s ({counted} places)")
    start = time.perf_counter()
    held = len(pgs_of_osd(advanced, 19))
    print(f"PGs of one OSD               {time.perf_counter() - start:8.3f} s ({held} PGs)")
    start = time.perf_counter()
    moved = len(moved_pgs(mappings, advanced))
    print(f"what the epochs moved        {time.perf_counter() - start:8.3f} s ({moved} PGs)")
    slowest = 0.0
    for name, cost in one_object_us(mappings).items():
        print(f"{name:37} {cost:5.2f} us (budget {BUDGET_US:.0f})")
        slowest = max(slowest, cost)
    over = slowest > BUDGET_US or out > whole / 10 or whole > BUDGET_S or peak > BUDGET_MIB
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
