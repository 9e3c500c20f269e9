"""Our OSD in a real cluster: real monitors, a real manager, and real OSDs as its peers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.interop.realcluster import NotReady, RealCluster, why_not
from tests.interop.spirulacluster import wait_until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

OURS = 1
SPIRULA = [sys.executable, "-m", "spirula"]


class Mixed(RealCluster):
    """A real cluster of two OSDs, one of them ours, on disk."""

    def _make_osd(self, number):
        if number != OURS:
            super()._make_osd(number)
            return
        ident = (self.folder / f"osd.{number}" / "uuid").read_text()
        words = ["osd", "-i", str(number), "-c", str(self.conf), "--mkfs", "--osd-uuid", ident]
        (self.folder / f"osd.{number}" / "uuid").unlink()
        ended = subprocess.run([*SPIRULA, *words], capture_output=True, text=True, check=False)
        if ended.returncode:
            raise NotReady(ended.stderr)

    def launch(self, name):
        if name != f"osd.{OURS}":
            super().launch(name)
            return
        words = ["osd", "-i", str(OURS), "-c", str(self.conf), "--osd-objectstore", "spirula"]
        with (self.folder / "log" / f"{name}.out").open("ab") as output:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *SPIRULA, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def _configuration(self):
        text = super()._configuration()
        return text + f"[osd.{OURS}]\nosd objectstore = spirula\nbluestore block size = 4G\n"


@pytest.fixture(scope="module")
def cluster():
    options = {
        "osd heartbeat interval": "1",
        "osd heartbeat grace": "5",
        "mon osd min down reporters": "1",
        "mon osd adjust heartbeat grace": "false",
        "mon osd min up ratio": "0.1",
        "osd pool default size": "2",
        "mgr stats period": "1",
        "mgr pool": "false",
    }
    with tempfile.TemporaryDirectory(prefix="spirula-", ignore_cleanup_errors=True) as folder:
        made = Mixed(Path(folder), osds=2, options=options)
        try:
            made.start()
            yield made
        finally:
            made.stop()


def up(cluster):
    tree = cluster.ceph_json("osd", "tree")["nodes"]
    return {node["id"]: node["status"] == "up" for node in tree if node["type"] == "osd"}


def daemon(cluster, number, *words):
    socket = str(cluster.folder / "run" / f"osd.{number}.asok")
    return json.loads(cluster.run("ceph", "daemon", socket, *words))


def clean(cluster):
    found = cluster.ceph_json("pg", "stat")["pg_summary"]
    states = found["num_pg_by_state"]
    return bool(states) and all(state["name"] == "active+clean" for state in states)


def told(cluster):
    """The lines of the cluster log; monitors keep the last ones."""
    return cluster.run("ceph", "log", "last", "1000", "debug", "cluster").splitlines()


def test_the_real_manager_and_monitors_know_it(cluster):
    wait_until(lambda: up(cluster) == {0: True, 1: True})
    metadata = cluster.ceph_json("osd", "metadata", str(OURS))
    assert metadata["ceph_version_short"] == "16.2.15"
    assert metadata["front_addr"].startswith("v2:127.0.0.1:")
    assert metadata["osd_objectstore"] == "spirula"
    rows = wait_until(
        lambda: (
            (found := cluster.ceph_json("osd", "df")["nodes"])
            and all(row["kb"] > 0 for row in found)
            and found
        )
    )
    assert {row["id"] for row in rows} == {0, 1}
    assert rows[1]["kb"] == 4 << 20


def test_it_answers_commands_as_a_real_one_does(cluster):
    ours, real = f"osd.{OURS}", "osd.0"
    wait_until(lambda: all(up(cluster).values()))
    assert cluster.ceph_json("tell", ours, "version") == cluster.ceph_json("tell", real, "version")
    shown = cluster.ceph_json("tell", ours, "config", "show")
    theirs = cluster.ceph_json("tell", real, "config", "show")
    # Two are about stores that are not ours.
    assert {name for name in theirs if name.startswith("osd_")} - shown.keys() == {
        "osd_objectstore_fuse",
        "osd_rocksdb_iterator_bounds_enabled",
    }
    for prefix in ("status", "dump_historic_ops", "dump_ops_in_flight", "dump_historic_slow_ops"):
        assert (
            cluster.ceph_json("tell", ours, prefix).keys()
            == cluster.ceph_json("tell", real, prefix).keys()
        )
    bench = cluster.ceph_json("tell", ours, "bench", str(4 << 20), str(1 << 20))
    assert bench.keys() == cluster.ceph_json("tell", real, "bench", "65536", "65536").keys()
    assert bench["bytes_written"] == 4 << 20
    with pytest.raises(NotReady) as ours_said:
        cluster.ceph("tell", ours, "bench", str(1 << 40), "4096")
    with pytest.raises(NotReady) as real_said:
        cluster.ceph("tell", real, "bench", str(1 << 40), "4096")
    words = [str(said.value).partition(": ")[2].split() for said in (ours_said, real_said)]
    assert words[0] == words[1]
    # Who has just come up is "booting" until it has the map that says so.
    wait_until(lambda: {daemon(cluster, osd, "status")["state"] for osd in (0, OURS)} == {"active"})
    status, real_status = daemon(cluster, OURS, "status"), daemon(cluster, 0, "status")
    assert status["cluster_fsid"] == real_status["cluster_fsid"] == cluster.fsid
    counters = daemon(cluster, OURS, "perf", "dump", "osd")["osd"]
    assert set(counters) <= set(daemon(cluster, 0, "perf", "dump", "osd")["osd"])


def test_data_is_replicated_both_ways(cluster, tmp_path):
    cluster.ceph("osd", "pool", "create", "both", "8")
    wait_until(lambda: clean(cluster))
    text = tmp_path / "text"
    text.write_bytes(b"what was written" * 1000)
    for leader, other in ((0, OURS), (OURS, 0)):
        cluster.ceph("osd", "primary-affinity", str(leader), "1")
        cluster.ceph("osd", "primary-affinity", str(other), "0")
        wait_until(
            lambda want=leader: (
                {
                    row["acting_primary"]
                    for row in cluster.ceph_json("pg", "dump", "pgs_brief")["pg_stats"]
                }
                == {want}
            )
        )
        wait_until(lambda: clean(cluster))
        cluster.run("rados", "-p", "both", "put", f"from-{leader}", str(text))
        for name in ("from-0", f"from-{OURS}"):
            if name == f"from-{OURS}" and leader == 0:
                continue
            back = tmp_path / "back"
            cluster.run("rados", "-p", "both", "get", name, str(back))
            assert back.read_bytes() == text.read_bytes()
    wait_until(lambda: cluster.ceph_json("pg", "stat")["pg_summary"]["num_bytes"] == 32000)
    listed = cluster.ceph_json("pg", "ls-by-osd", f"osd.{OURS}")["pg_stats"]
    assert len(listed) >= 8
    query = wait_until(
        lambda: (
            (found := cluster.ceph_json("tell", listed[0]["pgid"], "query"))["state"]
            == "active+clean"
            and found
        )
    )
    assert sorted(query["acting"]) == [0, OURS]


@pytest.mark.parametrize("frozen", [0, OURS])
def test_each_reports_the_other_when_it_is_frozen(cluster, frozen):
    wait_until(lambda: all(up(cluster).values()))
    time.sleep(3)  # real time: they must have pinged one another
    before = set(told(cluster))

    def reported():
        report = f"osd.{frozen} reported failed by osd.{1 - frozen}"
        return any(report in line for line in told(cluster) if line not in before)

    cluster.daemons[f"osd.{frozen}"].send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: not up(cluster)[frozen], timeout_s=90)
    finally:
        cluster.daemons[f"osd.{frozen}"].send_signal(signal.SIGCONT)
    wait_until(reported)
    # It lives, and says so: it comes back by itself.
    wait_until(lambda: up(cluster)[frozen], timeout_s=90)
    wait_until(lambda: clean(cluster), timeout_s=90)


def test_it_ends_cleanly(cluster):
    wait_until(lambda: all(up(cluster).values()))
    before = set(told(cluster))
    farewell = f"osd.{OURS} marked itself down and dead"

    def said():
        return any(farewell in line for line in told(cluster) if line not in before)

    cluster.kill(f"osd.{OURS}")
    try:
        wait_until(lambda: not up(cluster)[OURS])
        wait_until(said)
    finally:
        cluster.launch(f"osd.{OURS}")
    wait_until(lambda: up(cluster)[OURS])
    wait_until(lambda: clean(cluster), timeout_s=90)
