"""Scrubs of a PG that two real OSDs and ours keep: both kinds of primary find the same.

Our OSD is stopped, its copies are damaged on disk, and it comes back. A real primary scrubs first,
with ours as replica, then ours: clients are told the same of both, and ours has everything mended.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from spirula.store.disk.medium import FolderMedium
from spirula.store.disk.state import Options
from spirula.store.disk.store import DiskObjectStore
from spirula.store.objectstore import list_all
from spirula.types.hobject import NOSNAP
from spirula.types.pg import CollType
from spirula.types.transaction import Transaction
from tests.interop.realcluster import ENVIRONMENT, why_not
from tests.interop.spirulacluster import wait_until
from tests.interop.test_osd_beside_real import OURS, Mixed, clean, up

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

OPTIONS = {
    "osd heartbeat interval": "1",
    "osd heartbeat grace": "20",  # nobody is to be taken for dead while the machine is busy
    "mon osd min down reporters": "1",
    "mon osd adjust heartbeat grace": "false",
    "mon osd min up ratio": "0.1",
    "osd pool default size": "3",
    "osd pool default min size": "1",
    "osd pool default pg autoscale mode": "off",
    "osd pool default read lease ratio": "0.2",
    "osd scrub backoff ratio": "0",
    "osd scrub load threshold": "1000",
    "mgr stats period": "1",
    "mgr pool": "false",
}
_PATTERN = b"data that is nowhere else" * 300


@pytest.fixture(scope="module")
def cluster():
    with tempfile.TemporaryDirectory(prefix="spirula-", ignore_cleanup_errors=True) as folder:
        made = Mixed(Path(folder), osds=3, options=OPTIONS)
        try:
            made.start()
            yield made
        finally:
            made.stop()


def rados(cluster, *words, data=b""):
    """What the real `rados` prints, of bytes that need not be text."""
    done = subprocess.run(
        ["rados", "-p", "p", *words],
        env={**ENVIRONMENT, "CEPH_CONF": str(cluster.conf)},
        input=data,
        capture_output=True,
        timeout=90,
        check=True,
    )
    return done.stdout.decode("utf-8", "replace")


def damage(folder, pgid):
    """Changes our OSD's copies behind its back; its data also under the store's checksums."""
    store = DiskObjectStore(FolderMedium(folder), lambda call: call(), Options(), threaded=False)
    store.mount()
    colls = [coll for coll in store.list_collections() if coll.type == CollType.PG]
    (cid,) = [coll for coll in colls if str(coll.pgid.pgid) == pgid]
    objects = {(gh.hobj.oid, gh.hobj.snap): gh for gh in list_all(store, cid)}
    heads = {name: gh for (name, snap), gh in objects.items() if snap == NOSNAP}
    made = Transaction()
    made.write(cid, heads["data"], 0, b"ROT")
    made.truncate(cid, heads["short"], 1)
    made.setattr(cid, heads["attr"], "_user", b"ROT")
    made.omap_setkeys(cid, heads["omap"], {"key": b"ROT"})
    made.omap_setheader(cid, heads["header"], b"ROT")
    made.remove(cid, heads["gone"])
    made.rmattr(cid, heads["info"], "_")
    made.setattr(cid, heads["snapset"], "snapset", b"\xff")
    made.remove(cid, next(gh for (name, snap), gh in objects.items() if snap != NOSNAP))
    store.queue_transactions(cid, [made])
    store.umount()
    with (folder / "block").open("r+b") as block:
        block.seek(find(block, _PATTERN[:500]) + 100)
        block.write(b"X")


def find(file, wanted):
    """Where bytes are in a file that is mostly holes."""
    start, end = 0, file.seek(0, os.SEEK_END)
    while start < end:
        start = file.seek(start, os.SEEK_DATA)
        hole = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        at = os.pread(file.fileno(), hole - start, start).find(wanted)
        if at >= 0:
            return start + at
        start = hole
    raise AssertionError("the bytes are not there")


def lead(cluster, number, before):
    """Has one OSD lead the PG instead of another."""
    cluster.ceph("osd", "primary-affinity", str(number), "1")
    cluster.ceph("osd", "primary-affinity", str(before), "0")
    wait_until(lambda: is_led_by(cluster, number), timeout_s=90)


def is_led_by(cluster, number):
    """Whether all OSDs serve the PG under this one, by what was told since the last came up."""
    now, osds = pg_of(cluster), cluster.ceph_json("osd", "dump")["osds"]
    return (
        now["acting_primary"] == number
        and len(now["acting"]) == 3
        and now["state"].startswith("active+clean")
        and int(now["reported_epoch"]) >= max(osd["up_from"] for osd in osds)
    )


def pg_of(cluster):
    return cluster.ceph_json("pg", "ls-by-pool", "p")["pg_stats"][0]


def scrub(cluster, primary, kind):
    """Scrubs as the manager is asked to; the lines that the primary wrote to the cluster log."""
    pgid = pg_of(cluster)["pgid"]
    before = set(lines(cluster))  # monitors keep the last fifty
    cluster.ceph("pg", kind, pgid)

    def written():
        return [each for each in lines(cluster) if each not in before and f"osd.{primary} " in each]

    def is_over():
        return any(
            f" {kind} " in line and re.search("ok$|errors|fixed", line) for line in written()
        )

    wait_until(is_over, timeout_s=120)
    return [line.partition(" : cluster ")[2] for line in written()]


def lines(cluster):
    log = cluster.run("ceph", "log", "last", "10000", "debug", "cluster")
    return [line for line in log.splitlines() if " (osd." in line]


def listed(cluster):
    """What clients are told: without who was the primary, and the interval it was in."""
    pgid = pg_of(cluster)["pgid"]
    objects = json.loads(rados(cluster, "list-inconsistent-obj", pgid))["inconsistents"]
    snapsets = json.loads(rados(cluster, "list-inconsistent-snapset", pgid))["inconsistents"]
    for each in objects:
        for shard in each["shards"]:
            del shard["primary"]
    return objects, snapsets


def test_both_find_the_same_and_ours_is_mended(cluster):
    cluster.ceph("osd", "pool", "create", "p", "1", "1")
    for osd in (OURS, 2):
        cluster.ceph("osd", "primary-affinity", str(osd), "0")
    for name in ("data", "short", "attr", "omap", "header", "gone", "info", "snapset"):
        rados(cluster, "put", name, "-", data=name.encode() * 1000)
    rados(cluster, "put", "rotten", "-", data=_PATTERN)
    rados(cluster, "setomapval", "omap", "key", "value")
    rados(cluster, "put", "cloned", "-", data=b"before")
    rados(cluster, "mksnap", "snap")
    rados(cluster, "put", "cloned", "-", data=b"after")
    cluster.ceph("osd", "set", "noout")
    wait_until(lambda: clean(cluster) and is_led_by(cluster, 0))
    pgid = pg_of(cluster)["pgid"]  # its pool is the first or the second: the manager makes one, too
    cluster.kill(f"osd.{OURS}")
    damage(cluster.folder / f"osd.{OURS}", pgid)
    cluster.launch(f"osd.{OURS}")
    wait_until(lambda: all(up(cluster).values()))
    wait_until(lambda: is_led_by(cluster, 0), timeout_s=90)
    said = scrub(cluster, 0, "deep-scrub")
    objects, snapsets = listed(cluster)
    assert len(objects) == 10
    assert said[-1] == f"[ERR] {pgid} deep-scrub 12 errors"

    lead(cluster, OURS, 0)
    ours = scrub(cluster, OURS, "deep-scrub")
    assert listed(cluster) == (objects, snapsets)
    # The manager hears of it with the next statistics.
    wait_until(lambda: json.loads(rados(cluster, "list-inconsistent-pg", "p")) == [pgid])
    assert ours[-1] == said[-1]
    # A client's read takes another copy of what is under a wrong checksum.
    assert rados(cluster, "get", "rotten", "-") == _PATTERN.decode()
    assert any(line.endswith(" fixed") for line in scrub(cluster, OURS, "repair"))
    wait_until(lambda: pg_of(cluster)["state"] == "active+clean")

    lead(cluster, 0, OURS)
    assert scrub(cluster, 0, "deep-scrub")[-1] == f"[DBG] {pgid} deep-scrub ok"
    assert listed(cluster) == ([], [])
    assert rados(cluster, "-s", "snap", "get", "cloned", "-").endswith("before")
