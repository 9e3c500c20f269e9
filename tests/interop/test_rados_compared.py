"""Debian's `rados`, told the same on a real cluster and on ours: the answers are the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spirula import rados
from tests.interop.rados_steps import FAMILIES, OTHER, POOL, differences, run_family
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


@pytest.mark.timeout(400)
@pytest.mark.parametrize("family", FAMILIES)
def test_rados_does_and_says_the_same(clusters, tmp_path: Path, family: str) -> None:
    def run_both() -> list[list[list[object]]]:
        answers = []
        for cluster in clusters:
            remake_pools(cluster.run)
            answers.append(run_family(cluster.conf, tmp_path, FAMILIES[family]))
        assert sum(answer[1] == 0 for answer in answers[0]) > len(answers[0]) / 2
        return answers

    different = differences(run_both, "a real cluster")
    assert not different, "\n".join(different)


def test_striped_objects_are_those_of_debians_striper(clusters, tmp_path: Path) -> None:
    """What one side stripes, appends to, cuts and removes is the same for the other."""
    content = random.Random(1).randbytes((8 << 20) + 77)
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(content)
    for cluster in clusters:
        remake_pools(cluster.run)

        def theirs(*words: object, cluster=cluster) -> str:
            return cluster.run("rados", "-p", POOL, "--striper", *map(str, words))

        with rados.Rados(conffile=str(cluster.conf)) as handle, handle.open_ioctx(POOL) as ioctx:
            striper = rados.Striper(ioctx)
            theirs("put", "film", there)
            assert striper.read("film", len(content) + 1) == content
            striper.append("film", b"credits")
            theirs("get", "film", back)
            assert back.read_bytes() == content + b"credits"
            theirs("rm", "film")

            striper.set_object_layout(64 << 10, 3, 192 << 10)
            striper.write("wide", content[:1_000_001])
            theirs("append", "wide", there)
            theirs("truncate", "wide", 1_200_003)
            expected = (content[:1_000_001] + content)[:1_200_003]
            assert striper.read("wide", 2 << 20) == expected
            striper.trunc("wide", 500_000)
            striper.aio_write("wide", b"end", 600_000).wait_for_complete()
            theirs("get", "wide", back)
            assert back.read_bytes() == content[:500_000] + bytes(100_000) + b"end"
            assert f"size {striper.stat('wide')[0]}" in theirs("stat", "wide")
            theirs("setxattr", "wide", "who", "they")
            assert striper.get_xattrs("wide") == {"who": b"they"}

            name = "wide.0000000000000000"
            ioctx.lock_shared(name, "striper.lock", "somebody", "Tag")
            with pytest.raises(rados.ObjectBusy):
                striper.remove("wide")
            ioctx.unlock(name, "striper.lock", "somebody")
            striper.remove("wide")
            theirs("rm", "wide")
            striper.remove("wide")
            assert not [each.key for each in ioctx.list_objects()]
            with pytest.raises(rados.ObjectNotFound):
                striper.read("wide", 1)
