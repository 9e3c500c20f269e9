"""Both mappers against the real crushtool: thousands of random maps, the same each run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from spirula.crush.mapper import Mapper
from spirula.crush.vector import VectorMapper
from spirula.crush.wire import CrushWrapper
from tests.unit.crush.random_maps import is_defined, random_map, random_reweights

FULL = 0x10000
BLOCKS, MAPS_IN_BLOCK, INPUTS = 44, 50, 8
VECTOR_EVERY = 10  # on so few inputs numpy is slow; that both mappers agree is a test of its own
LINE = re.compile(r"CRUSH rule (\d+) x (\d+) \[([\d,]*)\]")

pytestmark = pytest.mark.skipif(
    shutil.which("crushtool") is None, reason="no crushtool (ceph-base)"
)


def crushtool_maps(crush: CrushWrapper, weights: list[int], count: int, path: Path) -> list[str]:
    path.write_bytes(crush.encode())
    words = ["-i", str(path), "--test", "--show-mappings", "--num-rep", str(count)]
    words += ["--min-x", "0", "--max-x", str(INPUTS - 1)]
    for device, weight in enumerate(weights):
        if weight != FULL and device in crush.item_names:
            words += ["--weight", str(device), repr(weight / FULL)]
    for attempt in range(3):
        try:
            done = subprocess.run(
                ["crushtool", *words], capture_output=True, text=True, timeout=20, check=False
            )
        except subprocess.TimeoutExpired:
            # 16.2's crushtool sometimes never comes back; the same call does the next time
            if attempt == 2:
                raise
        else:
            return done.stdout.splitlines()
    return []


@pytest.mark.parametrize("block", range(BLOCKS))
def test_crushtool_maps_alike(block: int, tmp_path: Path) -> None:
    compared = 0
    for seed in range(block * MAPS_IN_BLOCK, (block + 1) * MAPS_IN_BLOCK):
        crush = random_map(seed)
        if not is_defined(crush):
            continue
        weights = random_reweights(seed, crush)
        count = 1 + seed % 12
        args = crush.choose_args.get(-1, {})
        vector = VectorMapper(crush, args)
        plain = Mapper(crush, args)
        many = {}
        for line in crushtool_maps(crush, weights, count, tmp_path / "map"):
            match = LINE.fullmatch(line)
            if match is None:
                continue
            rule, x = int(match[1]), int(match[2])
            theirs = [int(device) for device in match[3].split(",") if device]
            assert plain.do_rule(rule, x, count, weights) == theirs, f"map {seed}, {rule=}, {x=}"
            if seed % VECTOR_EVERY == 0:
                if rule not in many:
                    many[rule] = vector.map_many(rule, np.arange(INPUTS), count, np.array(weights))
                ours = many[rule].values[x][: many[rule].length[x]].tolist()
                assert ours == theirs, f"map {seed}, {rule=}, {x=}"
            compared += 1
    assert compared > MAPS_IN_BLOCK * INPUTS / 2
