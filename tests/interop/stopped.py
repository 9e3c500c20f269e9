"""A stopped osd.0 of a real cluster and its store, through Ceph's tool; clients beside it.

For the tests that compare stores of real OSDs with ours.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import time

from spirula.store import osd_meta
from spirula.store.disk.medium import FolderMedium
from spirula.store.disk.mkfs import mkfs
from spirula.store.disk.store import DiskObjectStore
from spirula.store.memory import MemoryObjectStore
from spirula.store.osd_meta import META
from spirula.store.tools.export_pg import export_pg
from spirula.store.tools.queueing import Pump
from spirula.types.osd_superblock import OSDSuperblock
from spirula.types.transaction import Transaction
from tests.interop.realcluster import ENVIRONMENT, why_not


def reason_to_skip():
    """Why a real OSD and its tool cannot be used here, or None."""
    if shutil.which("ceph-objectstore-tool", path=ENVIRONMENT["PATH"]) is None:
        return "no ceph-objectstore-tool: install ceph-osd"
    return why_not()


class Stopped:
    """osd.0 of a cluster, which does not run, through Ceph's tool."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.folder = cluster.folder / "osd.0"

    def tool(self, *words, data=b"", code=0):
        start = ("ceph-objectstore-tool", "--data-path", self.folder, "--no-mon-config")
        done = subprocess.run(
            [str(word) for word in (*start, *words)],
            env=ENVIRONMENT | {"CEPH_CONF": str(self.cluster.conf)},
            input=data,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stderr.decode()
        return done.stdout

    def on(self, coll, oid, *words):
        return self.tool(json.dumps([coll, oid.plain()]), *words)

    def omap(self, coll, oid):
        keys = self.on(coll, oid, "list-omap").decode().splitlines()
        return {key: self.on(coll, oid, "get-omap", key) for key in keys}

    def export(self, pgid):
        return self.tool("--op", "export", "--pgid", pgid)

    def empty_store(self, folder=None):
        """A store of ours for the same OSD, without PGs: in memory, or in a folder."""
        pump = Pump()
        if folder is None:
            store = MemoryObjectStore(pump.defer)
        else:
            mkfs(folder, size=1 << 30)
            store = DiskObjectStore(FolderMedium(folder), pump.defer)
        store.mount()
        superblock = self.on("meta", osd_meta.SUPERBLOCK, "get-bytes")
        epoch = OSDSuperblock.decode(superblock).current_epoch
        txn = Transaction()
        txn.create_collection(META, 0)
        txn.write(META, osd_meta.SUPERBLOCK, 0, superblock)
        for oid in (osd_meta.osdmap_object(epoch), osd_meta.PG_NUM_HISTORY):
            txn.write(META, oid, 0, self.on("meta", oid, "get-bytes"))
        store.queue_transactions(META, [txn])
        return store, pump


def rados(cluster, *words, data=b""):
    done = subprocess.run(
        ["rados", *words],
        env=ENVIRONMENT | {"CEPH_CONF": str(cluster.conf)},
        input=data,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def states(cluster):
    """The states that PGs are in."""
    return {
        entry["name"] for entry in cluster.ceph_json("pg", "stat")["pg_summary"]["num_pg_by_state"]
    }


def wait(cluster, condition, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, cluster.ceph("-s")
        time.sleep(0.3)


def exported(store, pgid):
    out = io.BytesIO()
    export_pg(store, pgid, out)
    return out.getvalue()
