"""Both mappers against the real crushtool: thousands of random maps, the same each run."""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from spirula.crush.mapper import Mapper
from spirula.crush.vector import VectorMapper
from spirula.crush.wire import CrushWrapper
from tests.interop import newer
from tests.interop.crush_mappings import INPUTS, NEWER_TOOL, crushtool_mappings
from tests.unit.crush.random_maps import is_defined, random_map, random_msr_map, random_reweights

BLOCKS, MAPS_IN_BLOCK = 46, 50
FEW = 3  # inputs of each of the many maps: each may take all tries of its rules
MSR_MAPS = 30
VECTOR_EVERY = 25  # on so few inputs numpy is slow; that both mappers agree is a test of its own


def compare(
    crush: CrushWrapper,
    weights: list[int],
    count: int,
    theirs: dict[int, list[list[int]]],
    *,
    vector: bool,
) -> int:
    """How many mappings were compared."""
    args = crush.choose_args.get(-1, {})
    plain = Mapper(crush, args)
    for rule, mappings in theirs.items():
        ours = [plain.do_rule(rule, x, count, weights) for x in range(len(mappings))]
        assert ours == mappings, f"{rule=}"
        if vector:
            many = VectorMapper(crush, args).map_many(
                rule, np.arange(len(mappings)), count, np.array(weights)
            )
            rows = zip(many.values.tolist(), many.length.tolist(), strict=True)
            assert [row[:length] for row, length in rows] == mappings, f"{rule=}"
    return sum(map(len, theirs.values()))


@pytest.mark.skipif(shutil.which("crushtool") is None, reason="no crushtool (ceph-base)")
@pytest.mark.parametrize("block", range(BLOCKS))
def test_crushtool_maps_alike(block: int, tmp_path: Path) -> None:
    compared = 0
    maps = {
        seed: random_map(seed) for seed in range(block * MAPS_IN_BLOCK, (block + 1) * MAPS_IN_BLOCK)
    }
    maps = {seed: crush for seed, crush in maps.items() if is_defined(crush)}

    def ask(seed: int) -> dict[int, list[list[int]]]:
        weights = random_reweights(seed, maps[seed])
        path = tmp_path / str(seed)
        return crushtool_mappings(maps[seed], weights, replicas(seed), path, inputs=FEW)

    with ThreadPoolExecutor(1) as tool:  # it starts while we map
        for seed, theirs in zip(maps, tool.map(ask, maps), strict=True):
            crush, vector = maps[seed], seed % VECTOR_EVERY == 0
            weights = random_reweights(seed, crush)
            compared += compare(crush, weights, replicas(seed), theirs, vector=vector)
    assert compared > MAPS_IN_BLOCK * FEW / 2


def replicas(seed: int) -> int:
    """One to twelve."""
    return 1 + seed % 12


@pytest.mark.slow
@pytest.mark.skipif(newer.why_not() is not None, reason=newer.why_not() or "")
def test_crushtool_of_20_2_maps_msr_rules_alike(scale: int) -> None:
    compared = 0
    with tempfile.TemporaryDirectory(dir=Path(newer.ROOT, "tmp")) as folder:
        # from where the committed ones end (tests/golden/test_crush_msr.py)
        for seed in range(200, 200 + MSR_MAPS * scale):
            crush = random_msr_map(seed)
            if not is_defined(crush, msr=True):
                continue
            weights = random_reweights(seed, crush)
            count = 1 + seed % 12
            theirs = crushtool_mappings(crush, weights, count, Path(folder, "map"), NEWER_TOOL)
            compared += compare(crush, weights, count, theirs, vector=seed % 3 == 0)
    assert compared > MSR_MAPS * INPUTS / 2
