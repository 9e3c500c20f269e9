"""`spirula osd replace`: an OSD whose disk has died gets a new one, and is filled again."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.interop.realcluster import why_not
from tests.interop.spirulacluster import SPIRULA, our_cluster, wait_until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]


def pgs_are(cluster, state):
    found = cluster.ceph_json("pg", "stat")["pg_summary"]["num_pg_by_state"]
    return {entry["name"] for entry in found} == {state}


def test_an_osd_gets_a_new_store_under_its_number():
    with our_cluster(1, osds=3, mgrs=1) as cluster:
        cluster.ceph("osd", "pool", "create", "data", "8")
        for number in range(3):
            words = ("rados", "-p", "data", "put", f"o{number}", "-")
            cluster.run(*words, data=b"content %d" % number)

        def replace(*words):
            command = ("osd", "replace", "2", "-c", str(cluster.conf), *words)
            return subprocess.run(
                [*SPIRULA, *command], capture_output=True, text=True, timeout=120, check=False
            )

        def refused(*words):
            ended = replace(*words)
            assert ended.returncode
            return ended.stderr

        assert "EBUSY: osd.2 is up: stop it first" in refused("--force")
        before = cluster.ceph_json("osd", "tree")["nodes"]
        os.kill(int((cluster.folder / "run" / "osd.2.pid").read_text()), signal.SIGKILL)
        cluster.ceph("osd", "down", "2")
        assert "--wipe removes what is there" in refused("--force")
        old = cluster.ceph_json("osd", "dump")["osds"][2]["uuid"]
        ended = replace("--force", "--wipe")
        assert ended.returncode == 0, ended.stderr
        assert cluster.ceph_json("osd", "dump")["osds"][2]["uuid"] != old
        command = [*SPIRULA, "osd", "-i", "2", "-c", str(cluster.conf)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
            try:
                wait_until(lambda: cluster.ceph_json("osd", "stat")["num_up_osds"] == 3)
                wait_until(lambda: pgs_are(cluster, "active+clean"))
                assert cluster.ceph_json("osd", "tree")["nodes"] == before
                # all that it leads it serves from its own copy
                for number in range(3):
                    got = cluster.run("rados", "-p", "data", "get", f"o{number}", "-")
                    assert got == f"content {number}"
            finally:
                running.terminate()
