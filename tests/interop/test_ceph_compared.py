"""`spirula ceph` and Debian's `ceph`, told the same on one cluster: they do and say the same."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.interop.ceph_lines import CHANGES, QUESTIONS
from tests.interop.ceph_told import differences
from tests.interop.realcluster import RealCluster

QUESTIONS_AT_ONCE = 40
"""Of more than two hundred: all of them with `--scale 2`, or so many as chance has it."""

AGAIN, AGAIN_S = 3, 1
"""How often it is asked once more what was answered otherwise, and how much later."""


@pytest.fixture
def asked(real_cluster: RealCluster):
    real_cluster.run("ceph", "osd", "pool", "create", "asked", "8")
    yield real_cluster
    real_cluster.run("ceph", "osd", "pool", "rm", "asked", "asked", "--yes-i-really-really-mean-it")


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


@pytest.mark.slow
def test_questions_are_answered_as_debians_ceph_does(
    asked: RealCluster, tmp_path: Path, scale: int
) -> None:
    lines = lines_of(QUESTIONS)
    assert len(lines) > 200
    if scale == 1:
        lines = random.sample(lines, QUESTIONS_AT_ONCE)
    found = differences(asked, tmp_path, lines, at_once=True)
    for _ in range(AGAIN):
        if not found:
            break
        # The cluster goes on while it is asked: what differs by chance does so now and then.
        time.sleep(AGAIN_S)
        lines = [difference.partition("\n")[0] for difference in found]
        found = differences(asked, tmp_path, lines, at_once=True)
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_changes_are_made_and_told_as_debians_ceph_does(
    real_cluster: RealCluster, tmp_path: Path, scale: int
) -> None:
    lines = lines_of(CHANGES)
    if scale == 1:
        # Those that are quick, and leave nothing behind.
        begin = lines.index("config set osd debug_ms 1")
        lines = [line for line in lines[begin : begin + 30] if line.startswith("config")]
    found = differences(real_cluster, tmp_path, lines, at_once=False)
    assert not found, "\n".join(found)
