"""`spirula up`, `down`, `status` and `logs` as people use them, and what they say when misused."""

from __future__ import annotations

import json
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


def spirula(*words, timeout_s=150):
    return subprocess.run(
        [*SPIRULA, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def test_a_cluster_is_shown_ended_and_started_again():
    with our_cluster(3) as cluster:
        directory = str(cluster.folder)

        def status():
            return json.loads(cluster.spirula("status", "--dir", directory, "-f", "json"))

        # They may elect once more.
        states = {"leader", "peon"}
        wait_until(lambda: {one["state"] for one in status()["daemons"]} == states, told=status)
        shown = status()
        assert [one["name"] for one in shown["daemons"]] == ["mon.a", "mon.b", "mon.c"]
        assert all(one["resident_kib"] > 10_000 for one in shown["daemons"])
        plain = cluster.spirula("status", "--dir", directory)
        assert shown["fsid"] in plain
        assert "mon: 3 daemons" in plain

        again = spirula("up", "--dir", directory)
        assert again.returncode == 0
        assert "runs" in again.stdout
        os.kill(cluster.pid("b"), signal.SIGKILL)
        partly = spirula("status", "--dir", directory, "-f", "json")
        assert partly.returncode == 1
        assert json.loads(partly.stdout)["daemons"][1]["state"] == "not running"
        assert "1 of 3 daemons started" in spirula("up", "--dir", directory).stdout

        assert "3 daemons ended" in cluster.spirula("down", "--dir", directory)
        assert "nothing ran" in cluster.spirula("down", "--dir", directory)
        stopped = spirula("status", "--dir", directory)
        assert stopped.returncode == 1
        assert "not running" in stopped.stdout


def test_osds_are_started_with_it_and_keep_their_data():
    with our_cluster(1, osds=3) as cluster:
        directory = str(cluster.folder)
        shown = json.loads(cluster.spirula("status", "--dir", directory, "-f", "json"))
        states = {one["name"]: one["state"] for one in shown["daemons"]}
        assert states == {"mon.a": "leader", **dict.fromkeys(("osd.0", "osd.1", "osd.2"), "active")}
        assert all(one["resident_kib"] < 100 << 10 for one in shown["daemons"])
        cluster.ceph("osd", "pool", "create", "data")
        (cluster.folder / "text").write_text("to be kept")
        cluster.run("rados", "-p", "data", "put", "name", "text")
        assert cluster.run("rados", "-p", "data", "get", "name", "-") == "to be kept"
        told = cluster.spirula("logs", "--dir", directory, "osd.1", "-n", "1000")
        assert "booting -> active" in told

        os.kill(int((cluster.folder / "run" / "osd.1.pid").read_text()), signal.SIGKILL)
        assert "1 of 4 daemons started" in spirula("up", "--dir", directory).stdout
        ended = spirula("down", "--dir", directory, "--timeout", "60")
        assert "4 daemons ended" in ended.stdout
        assert not ended.stderr  # none had to be killed after that time
        assert spirula("up", "--dir", directory).returncode == 0
        assert cluster.run("rados", "-p", "data", "get", "name", "-") == "to be kept"
        other = spirula("up", "--dir", directory, "--osds", "2")
        assert other.returncode == 22
        assert "has 3 OSDs, not 2" in other.stderr


def test_one_osd_is_enough():
    with our_cluster(1, osds=1) as cluster:
        cluster.ceph("osd", "pool", "create", "data")
        (cluster.folder / "text").write_text("alone")
        cluster.run("rados", "-p", "data", "put", "name", "text")
        assert cluster.run("rados", "-p", "data", "get", "name", "-") == "alone"

        def states():
            tree = cluster.ceph_json("osd", "tree")["nodes"]
            return [node["status"] for node in tree if node["type"] == "osd"]

        wait_until(lambda: states() == ["up"], told=states)


def test_logs_are_shown_and_followed():
    with our_cluster(1) as cluster:
        directory = str(cluster.folder)
        assert "leads ['a']" in cluster.spirula("logs", "--dir", directory, "-n", "100")
        cluster.ceph("log", "something to read")
        wait_until(
            lambda: (
                "something to read"
                in cluster.spirula("logs", "--dir", directory, "cluster", "-n", "5")
            )
        )
        following = subprocess.Popen(
            [*SPIRULA, "logs", "--dir", directory, "cluster", "-n", "1", "-f"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            # It follows once it has shown what there was.
            assert following.stdout.readline()
            cluster.ceph("log", "and more")
            while "and more" not in (line := following.stdout.readline()):
                assert line
        finally:
            following.send_signal(signal.SIGINT)
            following.wait(60)
            following.stdout.close()
        assert following.returncode == 130


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["down", "--dir", "nowhere"], 2, "there is no cluster in"),
        (["status", "--dir", "nowhere"], 2, "there is no cluster in"),
        (["logs", "--dir", "nowhere"], 2, "there is no cluster in"),
        (["up", "--dir", "c", "--mons", "0"], 22, "from 1 to 15"),
        (["up", "--dir", "c", "--osds", "101"], 22, "up to 100 OSDs"),
        (["up", "--dir", "c", "-o", "nonsense"], 22, "OPTION=VALUE"),
        (["up", "--mons", "many"], 2, "invalid int value"),
    ],
)
def test_misuse_is_one_line(tmp_path, words, status, reason):
    words = [str(tmp_path / word) if word in ("nowhere", "c") else word for word in words]
    ended = spirula(*words)
    assert ended.returncode == status
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr


def test_another_number_of_monitors_needs_other_commands():
    with our_cluster(1) as cluster:
        ended = spirula("up", "--dir", cluster.folder, "--mons", "3")
        assert ended.returncode == 22
        assert "ceph mon add" in ended.stderr


def test_a_monitor_that_cannot_start_is_shown_with_its_reason():
    with our_cluster(1) as cluster:
        cluster.down()
        keyring = cluster.folder / "mon.a" / "store.db"
        kept = keyring.read_bytes()
        keyring.write_bytes(b"no store " * 1000)
        for path in (cluster.folder / "mon.a").glob("store.db-*"):
            path.unlink()
        # Nobody waits for it until the time is over.
        ended = spirula("up", "--dir", cluster.folder, "--timeout", "1000")
        assert ended.returncode != 0
        assert "mon.a has ended" in ended.stderr
        assert "file is not a database" in ended.stderr
        keyring.write_bytes(kept)
