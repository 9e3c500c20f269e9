"""Mapping many inputs, ours beside `crushtool --test`, in turn on the same machine.

Run: `python bench/crush_mapper.py`. Two maps: 10,000 OSDs in three levels of straw2 buckets with
100,000 inputs (budget: half of crushtool's time), and 12 OSDs in one bucket with 1,000,000 inputs
(budget: crushtool's time); 3 replicas each. Of crushtool's time what it takes for one input, its
start, is taken off. Without crushtool only our times are printed, with both twins of the kernel.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spirula.crush.map import Bucket, BucketAlg, Rule, RuleOp, Step, Tunables
from spirula.crush.vector import VectorMapper, choose
from spirula.crush.wire import CrushWrapper
from spirula.kernels.straw2 import IMPLEMENTATION, pure_choose_straw2

ROUNDS = 5
REPLICAS = 3
WEIGHT = 0x10000


def tree(osds: int, fanouts: tuple[int, ...], leaf: RuleOp) -> CrushWrapper:
    """Levels of straw2 buckets from below, and a rule that spreads over the lowest of them."""
    tunables = Tunables(0, 0, 50, 1, 1, 1, 54, 1)
    crush = CrushWrapper(tunables=tunables, max_devices=osds)
    crush.item_names = {osd: f"osd.{osd}" for osd in range(osds)}
    level = [(osd, WEIGHT) for osd in range(osds)]
    for kind, fanout in enumerate(fanouts, 1):
        above = []
        for at in range(0, len(level), fanout):
            items, weights = zip(*level[at : at + fanout], strict=True)
            number = -1 - len(crush.buckets)
            made = Bucket(number, kind, BucketAlg.STRAW2, 0, sum(weights), [*items], [*weights])
            crush.buckets.append(made)
            crush.item_names[number] = f"bucket{-number}"
            above.append((number, sum(weights)))
        level = above
    spread = Step(leaf, 0, 1 if leaf == RuleOp.CHOOSELEAF_FIRSTN else 0)
    steps = [Step(RuleOp.TAKE, level[0][0]), spread, Step(RuleOp.EMIT)]
    crush.rules.append(Rule(steps, 0, 1, 1, 10))
    crush.rule_names[0] = "rule"
    crush.type_names = {0: "osd"} | {kind: f"level{kind}" for kind in range(1, len(fanouts) + 1)}
    return crush


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def crushtool(path: Path, inputs: int) -> None:
    words = ["crushtool", "-i", path, "--test", "--rule", "0", "--num-rep", REPLICAS]
    words += ["--min-x", 0, "--max-x", inputs - 1]
    for _ in range(3):
        try:  # it sometimes never comes back
            subprocess.run(map(str, words), check=True, capture_output=True, timeout=30)
        except subprocess.TimeoutExpired:
            continue
        return
    raise SystemExit("crushtool does not come back")


def compare(name: str, crush: CrushWrapper, inputs: int, budget: float) -> bool:
    """True when the budget is kept, or there is nothing to compare with."""
    mapper = VectorMapper(crush)
    xs, weights = np.arange(inputs), np.full(crush.max_devices, WEIGHT)
    theirs = shutil.which("crushtool") is not None
    ours_s, pure_s, theirs_s = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "map")
        path.write_bytes(crush.encode())
        for _ in range(ROUNDS):
            ours_s.append(seconds(lambda: mapper.map_many(0, xs, REPLICAS, weights)))
            if theirs:
                start = seconds(lambda: crushtool(path, 1))
                theirs_s.append(seconds(lambda: crushtool(path, inputs)) - start)
    kept, choose.choose_straw2 = choose.choose_straw2, pure_choose_straw2
    pure_s = [seconds(lambda: mapper.map_many(0, xs, REPLICAS, weights)) for _ in range(2)]
    choose.choose_straw2 = kept
    print(f"{name}: {inputs} inputs")
    print(f"  ours ({IMPLEMENTATION:6})   {statistics.median(ours_s):7.3f} s")
    print(f"  ours (pure)     {min(pure_s):7.3f} s")
    if not theirs:
        return True
    ratio = statistics.median(a / b for a, b in zip(ours_s, theirs_s, strict=True))
    print(f"  crushtool       {statistics.median(theirs_s):7.3f} s")
    print(f"  ours / theirs   {ratio:7.2f}   (budget {budget})")
    return ratio <= budget


def main() -> int:
    """Prints the numbers; 1 when a budget is exceeded."""
    large = tree(10_000, (20, 20, 10_000), RuleOp.CHOOSELEAF_FIRSTN)
    flat = tree(12, (12,), RuleOp.CHOOSE_FIRSTN)
    kept = [
        compare("10,000 OSDs in three levels", large, 100_000, 0.5),
        compare("12 OSDs in one bucket", flat, 1_000_000, 1.0),
    ]
    return int(not all(kept))


if __name__ == "__main__":
    sys.exit(main())
