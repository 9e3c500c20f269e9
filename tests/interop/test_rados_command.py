"""`spirula rados` and Debian's `rados`, told the same on one cluster: they do and say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from spirula.cli.main import main
from tests.interop.rados_steps import (
    OF_COMMANDS,
    OTHER,
    POOL,
    differences,
    run_debians,
    run_family,
)
from tests.interop.realcluster import RealCluster

SURE = "--yes-i-really-really-mean-it"
LONG = ("snapshots", "manifests", "rest")


def remake_pools(cluster: RealCluster) -> None:
    for pool in (POOL, OTHER):
        cluster.run("ceph", "osd", "pool", "rm", pool, pool, SURE, check=False)
        cluster.run("ceph", "osd", "pool", "create", pool, "8", "8")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("family", OF_COMMANDS)
def test_it_does_and_says_what_rados_does(
    real_cluster: RealCluster, tmp_path: Path, family: str, capfdbinary, scale: int
) -> None:
    if family in LONG and scale == 1:
        pytest.skip("takes its time: with --scale 2 or more")

    def run_ours(words: list[str]) -> tuple[int, bytes, bytes]:
        code = main(["rados", *words])
        return code, *capfdbinary.readouterr()

    def run_both() -> list[list[list[object]]]:
        answers = []
        for run in (run_debians, run_ours):
            remake_pools(real_cluster)
            answers.append(run_family(real_cluster.conf, tmp_path, OF_COMMANDS[family], run))
        assert len(answers[0]) > 20
        return answers

    different = differences(run_both, "rados")
    assert not different, "\n".join(different)


def test_errors_are_one_line(real_cluster: RealCluster, capfd, monkeypatch) -> None:
    conf = ["-c", str(real_cluster.conf)]
    assert main(["rados", *conf, "-p", "none", "ls"]) == 1
    assert capfd.readouterr().err == "error opening pool none: (2) No such file or directory\n"
    assert main(["rados", *conf, "ls"]) == 1
    assert capfd.readouterr().err.startswith("ls: pool name was not specified")
    assert main(["rados", *conf, "-p", "none", "dance"]) == 1
    assert "unrecognized command dance" in capfd.readouterr().err
    silent = ["--mon-host", "v2:127.0.0.1:1", "--client-mount-timeout", "1"]
    assert main(["rados", *conf, *silent, "lspools"]) == 110
    (line,) = [each for each in capfd.readouterr().err.splitlines() if "ETIMEDOUT" in each]
    assert "check that the monitors" in line
