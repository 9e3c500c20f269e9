"""PGs move from a real OSD to ours and back: each fills the other, while clients write."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

import pytest

from tests.interop.realcluster import why_not
from tests.interop.spirulacluster import wait_until
from tests.interop.test_osd_beside_real import OURS, Mixed, clean

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

REAL = 0
SMALL = 12


@pytest.fixture(scope="module")
def cluster():
    options = {
        "osd heartbeat interval": "1",
        "osd pool default size": "1",
        "osd pool default pg autoscale mode": "off",
        "mon allow pool size one": "true",
        "mon warn on pool no redundancy": "false",
        "mgr stats period": "1",
        "mgr pool": "false",
        # logs so short that who has not got an object has to be filled
        "osd min pg log entries": "3",
        "osd max pg log entries": "3",
        "osd pg log trim min": "1",
        "osd backfill scan min": "4",
        "osd backfill scan max": "8",
    }
    with tempfile.TemporaryDirectory(prefix="spirula-", ignore_cleanup_errors=True) as folder:
        made = Mixed(Path(folder), osds=2, options=options)
        try:
            made.start()
            yield made
        finally:
            made.stop()


class Writer(threading.Thread):
    """Appends to objects until told to stop, so that some of them are moved just then."""

    def __init__(self, cluster, folder):
        super().__init__(daemon=True)
        self.cluster, self.source = cluster, folder / "more"
        self.source.write_bytes(b"more")
        self.wanted = {}
        self.stop = threading.Event()
        self.start()

    def run(self):
        count = 0
        while not self.stop.is_set():
            name = f"small{count * 7 % (SMALL + 5)}"
            rados(self.cluster, "append", name, str(self.source))
            self.wanted[name] = self.wanted.get(name, b"") + b"more"
            count += 1

    def finish(self):
        self.stop.set()
        self.join(120)
        assert not self.is_alive()
        return self.wanted


def rados(cluster, *words):
    return cluster.run("rados", "-p", "moved", *words, timeout_s=120)


def get(cluster, name, folder, *flags):
    back = folder / "back"
    rados(cluster, *flags, "get", name, str(back))
    return back.read_bytes()


def holders(cluster):
    rows = cluster.ceph_json("pg", "ls-by-pool", "moved")["pg_stats"]
    return {tuple(row["acting"]) for row in rows}


def counted(cluster, name):
    rows = cluster.ceph_json("pg", "ls-by-pool", "moved")["pg_stats"]
    return sum(row["stat_sum"][name] for row in rows)


def move_to(cluster, there, away):
    cluster.ceph("osd", "in", str(there))
    cluster.ceph("osd", "out", str(away))
    wait_until(lambda: holders(cluster) == {(there,)} and clean(cluster), timeout_s=180)


def test_each_fills_the_other_and_the_real_one_finds_nothing_wrong(cluster, tmp_path):
    cluster.ceph("osd", "pool", "create", "moved", "4")
    cluster.ceph("osd", "pool", "set", "moved", "size", "1", "--yes-i-really-mean-it")
    wait_until(lambda: clean(cluster))
    contents = {f"small{number}": os.urandom(500 + number) for number in range(SMALL)}
    contents["large"] = os.urandom(9_000_000)
    source = tmp_path / "source"
    for name, data in contents.items():
        source.write_bytes(data)
        rados(cluster, "put", name, str(source))
    rados(cluster, "mksnap", "before")
    old = {name: contents[name] for name in ("small3", "large")}
    for name in old:
        source.write_bytes(b"new start")
        rados(cluster, "put", name, str(source))
        contents[name] = b"new start"
    rados(cluster, "setxattr", "small5", "attr", "value")
    for number in range(20):
        rados(cluster, "setomapval", "small5", f"key{number:02}", f"value{number}")

    first, cloned = set(contents), {*old, "small5"}

    for there, away in ((OURS, REAL), (REAL, OURS)):
        writer = Writer(cluster, tmp_path)
        move_to(cluster, there, away)
        for name, more in writer.finish().items():
            contents[name] = contents.get(name, b"") + more
            if name in first:
                cloned.add(name)  # by the first change after the snapshot
        assert sorted(rados(cluster, "ls").split()) == sorted(contents)
        for name, data in contents.items():
            assert get(cluster, name, tmp_path) == data, (name, there)
        for name, data in old.items():
            assert get(cluster, name, tmp_path, "-s", "before") == data, (name, there)
        assert rados(cluster, "getxattr", "small5", "attr") == "value"
        assert rados(cluster, "listomapkeys", "small5").split()[-1] == "key19"
        wanted = len(contents) + len(cloned)
        wait_until(lambda wanted=wanted: counted(cluster, "num_objects") == wanted)
        wait_until(lambda: not counted(cluster, "num_objects_misplaced"))
        wait_until(lambda: not counted(cluster, "num_objects_degraded"))

    cluster.ceph("osd", "primary-affinity", str(OURS), "0")
    cluster.ceph("osd", "pool", "set", "moved", "size", "2")
    cluster.ceph("osd", "in", str(OURS))
    wait_until(lambda: holders(cluster) == {(REAL, OURS)} and clean(cluster), timeout_s=180)
    scrubbed_by_the_real_one(cluster)


def scrubbed_by_the_real_one(cluster):
    rows = cluster.ceph_json("pg", "ls-by-pool", "moved")["pg_stats"]
    before = {row["pgid"]: row["last_deep_scrub_stamp"] for row in rows}
    for pgid in before:
        cluster.ceph("pg", "deep-scrub", pgid)

    def done():
        rows = cluster.ceph_json("pg", "ls-by-pool", "moved")["pg_stats"]
        scrubbed = all(row["last_deep_scrub_stamp"] > before[row["pgid"]] for row in rows)
        return scrubbed and not any("scrubbing" in row["state"] for row in rows) and rows

    for row in wait_until(done, timeout_s=180):
        assert row["stat_sum"]["num_scrub_errors"] == 0
        assert row["state"] == "active+clean"
