"""`spirula rados` and Debian's `rados`, told the same on one cluster: they do and say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.interop.rados_steps import FAMILIES, OTHER, POOL, run_family
from tests.interop.realcluster import RealCluster
from tests.interop.spirulacluster import SPIRULA

SURE = "--yes-i-really-really-mean-it"
ABSENT = re.compile(r"^--striper .*\n", re.MULTILINE)


def remake_pools(cluster: RealCluster) -> None:
    for pool in (POOL, OTHER):
        cluster.run("ceph", "osd", "pool", "rm", pool, pool, SURE, check=False)
        cluster.run("ceph", "osd", "pool", "create", pool, "8", "8")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["objects", "attributes", "snapshots", "locks"])
def test_it_does_and_says_what_rados_does(
    real_cluster: RealCluster, tmp_path: Path, family: str
) -> None:
    steps = ABSENT.sub("", FAMILIES[family].lstrip() + "\n")
    answers = []
    for program in (("rados",), (*SPIRULA, "rados")):
        remake_pools(real_cluster)
        answers.append(run_family(real_cluster.conf, tmp_path, steps, program))
    different = [
        f"{theirs[0]}\n  rados: {theirs[1:]}\n  ours: {ours[1:]}"
        for theirs, ours in zip(*answers, strict=True)
        if theirs != ours
    ]
    assert not different, "\n".join(different)
    assert len(answers[0]) > 25
