"""A PG that a real OSD and ours keep together, while each of them dies and comes back in turn.

Whoever is left has everything that clients were told is written, with attributes and omap; whoever
comes back gets what it missed, from a primary of the other kind.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from tests.interop.realcluster import why_not
from tests.interop.spirulacluster import wait_until
from tests.interop.test_osd_beside_real import OURS, Mixed, clean, up

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

NAMES = [f"thing{number}" for number in range(12)]


@pytest.fixture(scope="module")
def cluster():
    options = {
        "osd heartbeat interval": "1",
        "osd heartbeat grace": "20",  # nobody is to be taken for dead while the machine is busy
        "mon osd min down reporters": "1",
        "mon osd adjust heartbeat grace": "false",
        "mon osd min up ratio": "0.1",
        "osd pool default size": "2",
        "osd pool default min size": "1",
        "osd pool default pg autoscale mode": "off",
        "osd pool default read lease ratio": "0.2",
        "osd recovery max chunk": "1048576",
        "osd recovery max omap entries per chunk": "2",
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


class Contents:
    """What was written to the pool, and what of it can be read."""

    def __init__(self, cluster, folder):
        self.cluster, self.folder = cluster, folder
        self.data, self.attrs, self.omaps, self.snapshots = {}, {}, {}, {}
        self.removed, self.keys = set(), []

    def rados(self, *words):
        return self.cluster.run("rados", "-p", "both", *words, timeout_s=120)

    def put(self, name, data):
        source = self.folder / "source"
        source.write_bytes(data)
        self.rados("put", name, str(source))
        self.data[name] = data

    def overwrite(self, name, offset, data):
        """Writes over a part of an object that is there."""
        source = self.folder / "source"
        source.write_bytes(data)
        self.rados("put", name, str(source), "--offset", str(offset))
        old = self.data[name]
        self.data[name] = old[:offset] + data + old[offset + len(data) :]

    def snapshot(self, snap, name):
        """Keeps one object as it is now."""
        self.rados("mksnap", snap)
        self.snapshots[snap] = name, self.data[name]

    def append(self, name, data):
        source = self.folder / "source"
        source.write_bytes(data)
        self.rados("append", name, str(source))
        self.data[name] = self.data.get(name, b"") + data

    def set(self, name, value):
        self.rados("setxattr", name, "attr", value)
        self.rados("setomapval", name, "key", value)
        self.attrs[name] = self.omaps[name] = value

    def remove(self, name):
        self.rados("rm", name)
        self.removed.add(name)
        for known in (self.data, self.attrs, self.omaps):
            known.pop(name, None)

    def check(self):
        """Everything is as it was written, and nothing else is there (but what snapshots keep)."""
        listed = set(self.rados("ls").split())
        assert set(self.data) <= listed <= set(self.data) | self.removed
        for name in self.removed:
            assert not self.cluster.run("rados", "-p", "both", "stat", name, check=False)
        for name, data in self.data.items():
            back = self.folder / "back"
            self.rados("get", name, str(back))
            assert back.read_bytes() == data, name
        for snap, (name, data) in self.snapshots.items():
            back = self.folder / "back"
            self.rados("-s", snap, "get", name, str(back))
            assert back.read_bytes() == data, snap
        for name, value in self.attrs.items():
            assert self.rados("getxattr", name, "attr") == value
            assert value in self.rados("listomapvals", name).replace("\n", "")
        if self.data.get("large"):
            assert sorted(self.rados("listomapkeys", "large").split()) == self.keys


def alone(cluster, dead):
    """Kills one of the two OSDs and waits until the other serves by itself."""
    cluster.kill(f"osd.{dead}")
    wait_until(lambda: not up(cluster)[dead], timeout_s=90)


def together(cluster, back):
    cluster.launch(f"osd.{back}")
    wait_until(lambda: all(up(cluster).values()), timeout_s=90)
    wait_until(lambda: clean(cluster), timeout_s=180)


def clean_query(cluster, pgid):
    """What a PG tells of itself, once it says that it is clean: the manager may be ahead of it."""
    found = json.loads(cluster.ceph("tell", pgid, "query"))
    return found if found["state"] == "active+clean" else None


def paths(document, before=""):
    """The names of all fields of a document, those of list items without their place."""
    if isinstance(document, dict):
        return {path for key in document for path in paths(document[key], f"{before}/{key}")}
    if isinstance(document, list):
        return {f"{before}[]"} | {path for each in document for path in paths(each, f"{before}[]")}
    return {before}


def test_each_takes_over_from_the_other_and_brings_it_up_to_date(cluster, tmp_path):
    # The manager makes a pool of its own. As the second pool ours always has its PGs where it had
    # them: some are led by this OSD, some by that.
    wait_until(lambda: cluster.ceph_json("osd", "lspools"))
    cluster.ceph("osd", "pool", "create", "both", "8")
    wait_until(lambda: clean(cluster))
    told = Contents(cluster, tmp_path)
    pools = cluster.ceph_json("osd", "lspools")
    pool = next(each["poolnum"] for each in pools if each["poolname"] == "both")
    for number, name in enumerate(NAMES):
        told.put(name, os.urandom(1000 * (number + 1)))
    for name in NAMES[:6]:
        told.set(name, f"of-{name}")
    told.remove(NAMES[-1])
    told.put("large", os.urandom(3_000_000))
    for dead in (0, OURS, 0):
        told.snapshot(f"before-{len(told.snapshots)}", "large")
        if dead == OURS:
            told.overwrite("large", 500_000, os.urandom(100_000))
        alone(cluster, dead)
        told.check()
        told.put(NAMES[0], os.urandom(20_000))
        told.put(f"new-{dead}-{len(told.data)}", os.urandom(5_000_000))
        # upstream's memstore cuts an object off where a clone that it shares as a whole ends
        told.overwrite(NAMES[1], 10, b"different")
        told.append(NAMES[1], b"more" * dead + b"!")
        told.set(NAMES[2], f"without-{dead}")
        told.overwrite("large", 1_000_000 * len(told.snapshots) - 50_000, os.urandom(100_000))
        for _ in range(3):
            told.keys.append(f"key{len(told.keys):02}")
            told.rados("setomapval", "large", told.keys[-1], "value")
        told.remove(next(name for name in NAMES[6:] if name in told.data))
        together(cluster, dead)
    queries = {}
    for number in range(8):
        found = wait_until(lambda pgid=f"{pool}.{number}": clean_query(cluster, pgid))
        queries[found["acting"][0]] = found
    differing = paths(queries[OURS]) ^ paths(queries[0])
    # who was asked for something differs by what was written, and where
    differing = {path for path in differing if "/might_have_unfound[]/" not in path}
    assert not differing, " ".join(sorted(differing))
    alone(cluster, OURS)
    told.check()
