"""A real manager has a pool lose PGs and get them back, on a real OSD and one of ours, under load.

Each of the two leads some of the PGs, so that both say when theirs are ready to be merged.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.interop.realcluster import ENVIRONMENT
from tests.interop.stopped import rados, reason_to_skip, states, wait
from tests.interop.test_osd_beside_real import OURS, Mixed

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(reason_to_skip() is not None, reason=str(reason_to_skip())),
]

OPTIONS = {
    "osd pool default size": "2",
    "osd pool default pg autoscale mode": "off",
    "mgr stats period": "1",
    "mgr tick period": "1",
    "mgr pool": "false",
    "osd max trimming pgs": "8",
}


@pytest.fixture
def cluster():
    with tempfile.TemporaryDirectory(prefix="spirula-", ignore_cleanup_errors=True) as folder:
        made = Mixed(Path(folder), osds=2, options=OPTIONS)
        try:
            made.start()
            yield made
        finally:
            made.stop()


def pool(cluster):
    return next(
        each for each in cluster.ceph_json("osd", "dump")["pools"] if each["pool_name"] == "rep"
    )


def settled(cluster, count):
    found = pool(cluster)
    numbers = {found[name] for name in ("pg_num", "pg_num_pending", "pg_placement_num")}
    return numbers == {count} and states(cluster) == {"active+clean"}


def test_pools_shrink_and_grow_under_load(cluster):
    # The manager makes a pool of its own. As the second pool ours always has its PGs where it had
    # them: some are led by this OSD, some by that.
    wait(cluster, lambda: cluster.ceph_json("osd", "lspools"))
    cluster.ceph("osd", "pool", "create", "rep", "8")
    wait(cluster, lambda: settled(cluster, 8))
    names = [f"object{number}" for number in range(16)]
    for name in names:
        rados(cluster, "-p", "rep", "put", name, "-", data=name.encode() * 500)
    rados(cluster, "-p", "rep", "mksnap", "before")
    for name in names[:4]:
        rados(cluster, "-p", "rep", "put", name, "-", data=b"newer")
    primaries = {row["acting_primary"] for row in cluster.ceph_json("pg", "ls")["pg_stats"]}
    assert primaries == {0, OURS}
    words = ("-p", "rep", "bench", "15", "write", "-b", "4096", "-t", "2", "--no-cleanup")
    load = subprocess.Popen(
        ["rados", *words, "--max-objects", "4000"],
        env=ENVIRONMENT | {"CEPH_CONF": str(cluster.conf)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    cluster.ceph("osd", "pool", "set", "rep", "pg_num", "7")
    wait(cluster, lambda: settled(cluster, 7), 180)
    assert pool(cluster)["last_pg_merge_meta"]["source_pgid"].endswith(".7")
    cluster.ceph("osd", "pool", "set", "rep", "pg_num", "8")
    cluster.ceph("osd", "pool", "set", "rep", "pgp_num", "8")
    wait(cluster, lambda: settled(cluster, 8), 180)
    output, _ = load.communicate(timeout=180)
    assert load.returncode == 0, output
    for name in names:
        expected = b"newer" if name in names[:4] else name.encode() * 500
        assert rados(cluster, "-p", "rep", "get", name, "-") == expected
    for name in names[:4]:
        old = rados(cluster, "-p", "rep", "-s", "before", "get", name, "-")
        assert old.endswith(name.encode() * 500)
    # each of the two is asked alone for what was written meanwhile
    for number in (0, OURS):
        for other in (0, OURS):
            cluster.ceph("osd", "primary-affinity", str(other), str(int(other == number)))
        wait(cluster, lambda: states(cluster) == {"active+clean"})
        assert b"Average IOPS" in rados(cluster, "-p", "rep", "bench", "1", "seq", "-t", "4")
