"""Clusters that are thrashed while clients work: no answer is wrong, and in the end all is well.

What happens to them is `thrash_actions`, what has to be true `thrash_history` and `thrash_checks`.
`python -m tests.sim.replay SEED` shows what happened in the history of a seed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS, SHARDS = 512, 8
"""A shard is of one kind of cluster, as their number is a multiple of that of kinds."""
SHOWN = 3


def run(*seeds, hash_seed="random"):
    """Run seeds in a process of their own; the results."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim.replay", "--json", *seeds],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert results, done.stderr
    return results


@pytest.mark.timeout(900)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_thrashed_clusters(shard, scale):
    results = run(f"{shard}-{SEEDS * scale - 1}/{SHARDS}")
    assert len(results) == SEEDS * scale // SHARDS
    wrong = [each for each in results if each["error"]]
    for result in wrong[:SHOWN]:
        print("\n".join(result.get("notes", [])))
        print(result["text"], f"python -m tests.sim.replay {result['seed']}")
    seconds = sum(result["cpu_s"] for result in results)
    calls = sum(result["calls"] + result["model_steps"] for result in results)
    print(f"{len(results)} histories of {calls} calls in {seconds:.0f} s")
    assert not wrong, {result["seed"]: result["error"] for result in wrong}
    assert calls > 20 * len(results), "clients hardly did anything"


@pytest.mark.timeout(120)
def test_a_seed_is_the_same_in_every_process():
    seeds = ("1", "2", "6")
    first, second = run(*seeds, hash_seed="1"), run(*reversed(seeds), hash_seed="2")
    told = ("seed", "digest", "steps", "virtual_s", "notes", "calls")
    assert [[result[key] for key in told] for result in first] == [
        [result[key] for key in told] for result in sorted(second, key=lambda each: each["seed"])
    ]


@pytest.mark.timeout(120)
def test_an_osd_marked_up_and_down_in_maps_that_come_together_boots_again():
    (result,) = run("30365")
    assert not result["error"], result["text"]
