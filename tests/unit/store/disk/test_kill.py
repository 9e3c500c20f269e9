"""A store whose process is killed hundreds of times; what happens is in `killing`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
ROUNDS = 110


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", ["kills", "outages"])
def test_all_that_was_committed_is_there(tmp_path, what, scale):
    for number in range(scale):
        folder = tmp_path / f"store{number}"
        words = ["tests.unit.store.disk.killing", folder, ROUNDS, number + 1, what]
        done = subprocess.run(
            [sys.executable, "-m", *map(str, words)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=570,
        )
        assert done.returncode == 0, done.stderr[-5000:]
        told = json.loads(done.stdout)
        assert told["kills"] + told["while_mounting"] > ROUNDS * 3 // 4
        assert told["while_mounting"] > ROUNDS // 30
        assert told["committed"] > 5 * ROUNDS
        assert told["most_lost"] > 10  # many were in flight
