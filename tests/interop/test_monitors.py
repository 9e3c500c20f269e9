"""Our monitors, as Debian's own `ceph`, librados, ceph-osd and ceph-mgr find them.

Failures are real here: processes are killed with -9, stores vanish, disks are full. The same is
done thousands of times in simulation; here it is about the whole program.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
import uuid
from pathlib import Path

import pytest

from tests.interop.realcluster import ENVIRONMENT, free_ports, why_not
from tests.interop.spirulacluster import SPIRULA, our_cluster, settings, wait_until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

STREAM = r"""
import sys, json, time, rados
cluster = rados.Rados(conffile=sys.argv[1])
cluster.connect(timeout=60)
number = 0
while True:
    asked = {"prefix": "config-key set", "key": f"stream/{number:06}", "val": str(number)}
    began = time.monotonic()
    r, out, outs = cluster.mon_command(json.dumps(asked), b"", timeout=60)
    if r == 0:
        print(number, began, time.monotonic(), flush=True)
        number += 1
"""


class Stream:
    """A program that changes a key after the other; `acknowledged` are the numbers it got."""

    def __init__(self, cluster):
        self.acknowledged = []
        self.process = subprocess.Popen(
            # It ends with us, whatever ends us.
            ["setpriv", "--pdeathsig", "KILL", "/usr/bin/python3", "-c", STREAM, str(cluster.conf)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=ENVIRONMENT,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            number, began, ended = line.split()
            self.acknowledged.append((int(number), float(began), float(ended)))

    def wait_more(self, count):
        wanted = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= wanted)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(10)
        self.process.stdout.close()
        return [number for number, _, _ in self.acknowledged]

    def longest_wait(self):
        return max(ended - began for _, began, ended in self.acknowledged)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def keys_of(cluster):
    return set(cluster.ceph_json("config-key", "ls"))


@pytest.mark.parametrize("mons", [1, 3, 5])
def test_ceph_works_with_so_many_monitors(mons):
    with our_cluster(mons) as cluster:
        names = list("abcde"[:mons])
        wait_until(lambda: cluster.ceph_json("-s")["quorum_names"] == names)
        assert cluster.ceph_json("mon", "dump")["epoch"] == 1
        cluster.ceph("osd", "pool", "create", "p", "8")
        assert cluster.ceph_json("osd", "pool", "ls") == ["p"]
        for name in names:
            told = json.loads(cluster.ceph("tell", f"mon.{name}", "mon_status"))
            assert told["name"] == name
            asok = str(cluster.folder / "run" / f"mon.{name}.asok")
            assert json.loads(cluster.run("ceph", "daemon", asok, "mon_status"))["name"] == name
        assert "spirula" in cluster.ceph("versions")
        assert cluster.ceph_json("report")["osdmap"]["pools"][0]["pool_name"] == "p"
        watched = subprocess.Popen(
            ["ceph", "-w"],
            env={**ENVIRONMENT, "CEPH_CONF": str(cluster.conf)},
            stdout=subprocess.PIPE,
            text=True,
        )
        seen = threading.Event()
        reader = threading.Thread(
            target=lambda: any("a line to watch" in line for line in watched.stdout) and seen.set(),
            daemon=True,
        )
        reader.start()

        def heard():
            cluster.ceph("log", "a line to watch")
            return seen.wait(0.5)

        try:
            # It hears of what is logged from when it has subscribed.
            wait_until(heard)
        finally:
            watched.kill()
            watched.wait()
            reader.join(10)
            watched.stdout.close()


def crushtool(cluster, *words):
    """What the real one prints. Now and then it never comes back; it does the next time."""
    for _ in range(4):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return cluster.run("crushtool", *words, timeout_s=20)
    raise AssertionError("it hangs")


def test_maps_go_through_upstreams_tools_and_back():
    with our_cluster(1) as cluster:
        cluster.ceph("osd", "pool", "create", "p", "8")
        cluster.ceph("osd", "crush", "add-bucket", "r1", "rack")
        cluster.ceph("osd", "crush", "move", "r1", "root=default")
        osdmap, crush = cluster.folder / "osdmap", cluster.folder / "crush"
        cluster.ceph("osd", "getmap", "-o", str(osdmap))
        printed = cluster.run("osdmaptool", "--print", str(osdmap))
        assert "pool 1 'p' replicated" in printed
        assert cluster.ceph("osd", "dump").splitlines()[0] in printed
        cluster.ceph("osd", "getcrushmap", "-o", str(crush))
        text = crushtool(cluster, "-d", str(crush))
        assert "rack r1" in text
        source = cluster.folder / "crush.txt"
        source.write_text(text.replace("rack r1", "rack other").replace("item r1", "item other"))
        crushtool(cluster, "-c", str(source), "-o", str(crush))
        cluster.ceph("osd", "setcrushmap", "-i", str(crush))
        assert "other" in cluster.ceph("osd", "tree")
        assert cluster.ceph_json("osd", "crush", "dump")["buckets"][-1]["name"] == "other"
        monmap = cluster.folder / "monmap"
        cluster.ceph("mon", "getmap", "-o", str(monmap))
        assert "mon.a" in cluster.run("monmaptool", "--print", str(monmap))


def test_all_is_there_after_down_and_after_a_crash_of_all():
    with our_cluster(3) as cluster:
        cluster.ceph("osd", "pool", "create", "kept", "8")
        cluster.down()
        cluster.up()
        assert cluster.ceph_json("osd", "pool", "ls") == ["kept"]
        cluster.ceph("osd", "pool", "create", "kept2", "8")
        for name in "abc":
            cluster.kill(name)
        cluster.up()
        assert cluster.ceph_json("osd", "pool", "ls") == ["kept", "kept2"]


def test_what_was_acknowledged_survives_the_leader():
    with our_cluster(3) as cluster:
        stream = Stream(cluster)
        stream.wait_more(20)
        leader = cluster.ceph_json("quorum_status")["quorum_leader_name"]
        cluster.kill(leader)
        stream.wait_more(20)
        print(f"longest wait {stream.longest_wait():.2f} s")
        # A second where there is nothing else to do; a client that does not notice needs 30.
        assert stream.longest_wait() < 20
        cluster.up()
        wait_until(lambda: len(cluster.quorum()) == 3)
        stream.wait_more(5)
        acknowledged = stream.stop()
        assert {f"stream/{number:06}" for number in acknowledged} <= keys_of(cluster)


def test_without_a_majority_nothing_is_acknowledged():
    with our_cluster(3) as cluster:
        stream = Stream(cluster)
        stream.wait_more(10)
        for name in "ab":
            pid = cluster.pid(name)
            cluster.kill(name)
            wait_until(lambda pid=pid: not _alive(pid))
        dead = time.monotonic()
        time.sleep(8.0)
        # An answer that was on its way when they died may still have come.
        assert all(ended < dead + 2 for _, _, ended in stream.acknowledged)
        cluster.up()
        stream.wait_more(10)
        acknowledged = stream.stop()
        assert {f"stream/{number:06}" for number in acknowledged} <= keys_of(cluster)


def test_a_monitor_with_an_empty_store_catches_up():
    with our_cluster(3) as cluster:
        stream = Stream(cluster)
        stream.wait_more(10)
        leader = cluster.ceph_json("quorum_status")["quorum_leader_name"]
        victim = next(name for name in "abc" if name != leader)
        cluster.kill(victim)
        data = cluster.folder / f"mon.{victim}"
        monmap = cluster.folder / "monmap"
        cluster.ceph("mon", "getmap", "-o", str(monmap))
        ring = cluster.folder / "mon.keyring"
        shutil.copy(data / "keyring", ring)
        shutil.rmtree(data)
        cluster.spirula(
            *("mon", "-i", victim, "-c", str(cluster.conf), "--mkfs"),
            *("--monmap", str(monmap), "--keyring", str(ring)),
        )
        cluster.up()
        wait_until(lambda: victim in cluster.quorum())
        stream.wait_more(10)
        acknowledged = stream.stop()
        for name in "abc":
            if name != victim:
                cluster.kill(name)
        cluster.up()
        assert {f"stream/{number:06}" for number in acknowledged} <= keys_of(cluster)


def test_a_store_is_copied_while_it_is_used_and_restored():
    with our_cluster(1) as cluster:
        cluster.ceph("config-key", "set", "kept", "1")
        copy, data = cluster.folder / "copy", cluster.folder / "mon.a"
        named = ("mon", "-i", "a", "-c", str(cluster.conf))
        cluster.spirula(*named, "--backup", str(copy))
        cluster.ceph("config-key", "set", "later", "2")
        cluster.down()
        for path in data.glob("store.db*"):
            path.unlink()
        cluster.spirula(*named, "--restore", str(copy))
        cluster.up()
        assert cluster.ceph_json("config-key", "ls") == ["kept"]


def test_monitors_are_removed_and_added():
    with our_cluster(3) as cluster:
        leader = cluster.ceph_json("quorum_status")["quorum_leader_name"]
        victim = next(name for name in "cab" if name != leader)
        cluster.ceph("mon", "rm", victim)
        pid = cluster.pid(victim)
        wait_until(lambda: len(cluster.quorum()) == 2)
        wait_until(lambda: not _alive(pid))
        monmap, ring = cluster.folder / "monmap", cluster.folder / "mon.keyring"
        cluster.ceph("mon", "getmap", "-o", str(monmap))
        shutil.copy(cluster.folder / f"mon.{leader}" / "keyring", ring)
        address = f"127.0.0.1:{free_ports(1)[0]}"
        cluster.ceph("mon", "add", "d", address)
        cluster.ceph("mon", "getmap", "-o", str(monmap))
        cluster.spirula(
            *("mon", "-i", "d", "-c", str(cluster.conf), "--mkfs"),
            *("--monmap", str(monmap), "--keyring", str(ring)),
        )
        added = subprocess.Popen(
            [*SPIRULA, "mon", "-i", "d", "-c", str(cluster.conf)],
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: "d" in cluster.quorum())
            cluster.ceph("osd", "pool", "create", "after", "8")
        finally:
            added.terminate()
            ended = added.wait(60)
        assert ended == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_lets_one_monitor_step_aside():
    # A young cluster's missing monitors are no news for a minute.
    with our_cluster(3, *settings({"mon down mkfs grace": "0"})) as cluster:
        cluster.down()
        data = cluster.folder / "mon.c"
        kept = cluster.folder / "kept"
        data.rename(kept)
        data.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(data)], check=True)
        try:
            for path in kept.iterdir():
                shutil.copy(path, data)
            cluster.up()
            wait_until(lambda: len(cluster.quorum()) == 3)
            with pytest.raises(OSError):
                (data / "filler").write_bytes(bytes(64 << 20))
            stream = Stream(cluster)
            wait_until(lambda: "c" not in cluster.quorum())
            stream.wait_more(10)
            wait_until(lambda: "mon.c" in cluster.ceph("health", "detail"))
            wait_until(lambda: "ENOSPC" in cluster.log("c"))
            (data / "filler").unlink()
            wait_until(lambda: "c" in cluster.quorum())
            stream.wait_more(10)
            acknowledged = stream.stop()
            assert {f"stream/{number:06}" for number in acknowledged} <= keys_of(cluster)
        finally:
            cluster.down()
            subprocess.run(["umount", "-l", str(data)], check=True)


OSD_OPTIONS = {
    "osd objectstore": "memstore",
    "memstore device bytes": str(1 << 28),
    "osd data": "$run_dir/../osd.$id",
    "mgr data": "$run_dir/../mgr.$id",
    "mgr initial modules": "",
    "osd crush chooseleaf type": "0",
    "osd pool default pg autoscale mode": "off",
    "osd pool default size": "2",
    "osd pool default min size": "1",
}


class Daemons:
    """Real daemons on a cluster of ours."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.processes = []

    def start(self, kind, name, *caps):
        data = self.cluster.folder / f"{kind}.{name}"
        data.mkdir(exist_ok=True)
        ring = data / "keyring"
        ring.write_text(self.cluster.ceph("auth", "get-or-create", f"{kind}.{name}", *caps))
        common = ["-i", name, "--keyring", str(ring)]
        if kind == "osd":
            number = str(uuid.uuid4())
            assert self.cluster.ceph("osd", "new", number, name).strip() == name
            self.cluster.run("ceph-osd", *common, "--mkfs", "--osd-uuid", number)
        with (self.cluster.folder / "log" / f"{kind}.{name}.out").open("wb") as out:
            self.processes.append(
                subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", f"ceph-{kind}", "-f", *common],
                    env={**ENVIRONMENT, "CEPH_CONF": str(self.cluster.conf)},
                    stdout=out,
                    stderr=out,
                )
            )

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


def test_real_osds_and_a_real_manager_work_with_our_monitors():
    with our_cluster(3, *settings(OSD_OPTIONS)) as cluster:
        daemons = Daemons(cluster)
        try:
            daemons.start(
                *("mgr", "x"), "mon", "allow profile mgr", "osd", "allow *", "mds", "allow *"
            )
            for number in range(2):
                daemons.start(
                    *("osd", str(number)),
                    *("mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *"),
                )
            wait_until(lambda: cluster.ceph_json("-s")["mgrmap"]["available"], 60)
            wait_until(lambda: cluster.ceph_json("-s")["osdmap"]["num_up_osds"] == 2, 60)
            cluster.ceph("osd", "pool", "create", "data", "8")

            def clean():
                states = cluster.ceph_json("pg", "stat")["pg_summary"]["num_pg_by_state"]
                # The manager makes a pool of its own for the health of devices.
                return [s["name"] for s in states] == ["active+clean"] and states[0]["num"] >= 8

            wait_until(clean, 60)
            source = cluster.folder / "source"
            source.write_bytes(os.urandom(100_000))
            cluster.run("rados", "-p", "data", "put", "thing", str(source))
            cluster.run("rados", "-p", "data", "get", "thing", str(cluster.folder / "copy"))
            assert (cluster.folder / "copy").read_bytes() == source.read_bytes()
            leader = cluster.ceph_json("quorum_status")["quorum_leader_name"]
            cluster.kill(leader)
            cluster.run("rados", "-p", "data", "put", "other", str(source), timeout_s=60)
            cluster.up()

            def statuses():
                tree = cluster.ceph_json("osd", "tree")["nodes"]
                return [node["status"] for node in tree if node["type"] == "osd"]

            wait_until(lambda: statuses() == ["up", "up"])
            daemons.processes[-1].kill()
            wait_until(lambda: cluster.ceph_json("-s")["osdmap"]["num_up_osds"] == 1)
            wait_until(lambda: "OSD_DOWN" in cluster.ceph("health", "detail"))
            cluster.run("rados", "-p", "data", "get", "thing", str(cluster.folder / "copy"))
        finally:
            daemons.stop()
