"""Debian's `rados`, told the same on a real cluster and on ours: the answers are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.rados_steps import FAMILIES, OTHER, POOL, run_family
from tests.interop.realcluster import real_cluster_of, why_not
from tests.interop.spirulacluster import our_cluster

DELETABLE = {"mon_allow_pool_delete": "true"}
SURE = "--yes-i-really-really-mean-it"


@pytest.fixture(scope="module")
def clusters() -> Iterator[tuple]:
    """A real cluster and one of ours, both of three OSDs."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    real = real_cluster_of(managers=False, objectstore="bluestore", options=DELETABLE)
    with real as one, our_cluster(1, "--osds", "3", "-o", "mon_allow_pool_delete=true") as other:
        yield one, other


def remake_pools(run: Callable[..., str]) -> None:
    for pool in (POOL, OTHER):
        run("ceph", "osd", "pool", "rm", pool, pool, SURE, check=False)
        run("ceph", "osd", "pool", "create", pool, "8", "8")


@pytest.mark.parametrize("family", FAMILIES)
def test_rados_does_and_says_the_same(clusters, tmp_path: Path, family: str) -> None:
    answers = []
    for cluster in clusters:
        remake_pools(cluster.run)
        answers.append(run_family(cluster.conf, tmp_path, FAMILIES[family]))
    different = [
        f"{theirs[0]}\n  a real cluster: {theirs[1:]}\n  ours: {ours[1:]}"
        for theirs, ours in zip(*answers, strict=True)
        if theirs != ours
    ]
    assert not different, "\n".join(different)
    assert sum(answer[1] == 0 for answer in answers[0]) > len(answers[0]) / 2
