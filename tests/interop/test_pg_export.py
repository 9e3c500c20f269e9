"""PGs of a real OSD, exported by Ceph's tool or by ours, are the same to both, and to the OSD.

One real OSD on BlueStore is stopped with snapshots, omaps, shards of an erasure code, trimmed log
entries and missing objects. Its PGs go through our memory store and back, and it starts again.
"""

from __future__ import annotations

import io
import json
import random
from uuid import UUID

import pytest

from spirula.cli.main import main
from spirula.conf.formatter import render
from spirula.errors import Exists, InvalidArgument
from spirula.store.disk.medium import FolderMedium
from spirula.store.disk.store import DiskObjectStore
from spirula.store.osd_meta import META, SNAPMAPPER
from spirula.store.pg_meta import read_info, read_log
from spirula.store.tools.import_pg import import_pg
from spirula.store.tools.mend_pg import mark_complete, trim_log
from spirula.store.tools.show_pg import info_document, log_document
from spirula.types.hobject import NO_SHARD, NOSNAP
from spirula.types.pg import Coll, SPGId
from tests.interop.realcluster import real_cluster_of
from tests.interop.stopped import Stopped, exported, rados, reason_to_skip, states, wait

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(reason_to_skip() is not None, reason=str(reason_to_skip())),
]

OPTIONS = {
    "bluestore block size": str(1 << 30),
    "osd memory target": str(768 << 20),
    "osd min pg log entries": "8",
    "osd max pg log entries": "8",
    "osd pg log trim min": "1",
    "osd scrub load threshold": "100",
}
TEXT = {"snap": b"before the snapshot", "last": b"after all"}

ALL_DIRTY = "clean_offsets: [], clean_omap: 0, new_object: 1"
"""What exports make of the regions of missing objects."""


def fill(cluster):
    """Two pools with a bit of everything; then osd.0 misses some changes, and knows it."""
    rng = random.Random(7)
    cluster.ceph("osd", "pool", "create", "rep", "1")
    cluster.ceph(
        *("osd", "erasure-code-profile", "set", "two", "k=2", "m=1", "crush-failure-domain=osd")
    )
    cluster.ceph("osd", "pool", "create", "ec", "1", "1", "erasure", "two")
    for number in range(6):
        rados(cluster, "-p", "rep", "put", f"o{number}", "-", data=TEXT["snap"])
        rados(cluster, "-p", "ec", "put", f"o{number}", "-", data=rng.randbytes(9000))
    rados(cluster, "-p", "rep", "put", "big", "-", data=rng.randbytes(2_500_000))
    rados(cluster, "-p", "rep", "-N", "space", "put", "inside", "-", data=TEXT["last"])
    rados(cluster, "-p", "rep", "setxattr", "o1", "color", "red")
    rados(cluster, "-p", "rep", "setomapheader", "o1", "a header")
    for number in range(30):
        rados(cluster, "-p", "rep", "setomapval", "o1", f"k{number:02}", f"v{number}")
    rados(cluster, "-p", "rep", "mksnap", "before")
    rados(cluster, "-p", "rep", "put", "o2", "-", data=TEXT["last"])
    rados(cluster, "-p", "rep", "rm", "o3")
    rados(cluster, "-p", "ec", "rm", "o3")
    cluster.ceph("osd", "set", "norecover")
    cluster.kill("osd.0")
    cluster.ceph("osd", "down", "0")
    rados(cluster, "-p", "rep", "put", "o4", "-", data=TEXT["last"])
    rados(cluster, "-p", "rep", "put", "late", "-", data=TEXT["last"])
    rados(cluster, "-p", "rep", "rm", "o5")
    cluster.launch("osd.0")
    wait(cluster, lambda: is_degraded(states(cluster)))
    cluster.kill("osd.0")


def is_degraded(found):
    """All PGs are served by all their OSDs, and some have objects to recover."""
    text = " ".join(found)
    others = ("undersized", "peering", "activating", "stale", "unknown")
    return "degraded" in text and not any(other in text for other in others)


@pytest.fixture(scope="module")
def stopped():
    with real_cluster_of(osds=3, objectstore="bluestore", options=OPTIONS) as cluster:
        fill(cluster)
        yield Stopped(cluster)


@pytest.fixture(scope="module")
def shown(stopped, exports):
    """What Ceph's tool prints of the info and log of each PG, and has of clones."""
    found = {
        (op, pgid): stopped.tool("--op", op, "--pgid", pgid).decode().strip()
        for pgid in exports
        for op in ("info", "log")
    }
    return found | {SNAPMAPPER: stopped.omap("meta", SNAPMAPPER)}


@pytest.fixture(scope="module")
def exports(stopped):
    """What Ceph's tool exports, by PG."""
    pgs = stopped.tool("--op", "list-pgs").decode().split()
    return {SPGId.parse(pgid): stopped.export(pgid) for pgid in pgs}


def imported(stopped, exports, folder=None):
    store, pump = stopped.empty_store(folder)
    for pgid, raw in exports.items():
        assert import_pg(store, pump, io.BytesIO(raw)).pgid == pgid
    return store


def test_there_and_back(stopped, exports, shown, tmp_path, capsys):
    """In this order: at the end the OSD starts, and its PGs go on."""
    check_store(shown, exports, imported(stopped, exports))
    check_disk_store(stopped, exports, shown, tmp_path, capsys)
    check_refusals(stopped, exports)
    check_last_resorts(stopped, exports)
    check_real_osd(stopped, exports)


def check_disk_store(stopped, exports, shown, tmp_path, capsys):
    """Mounted anew for the comparison, then checked and exported by the store command."""
    folder = tmp_path / "osd"
    imported(stopped, exports, folder).umount()
    store = DiskObjectStore(FolderMedium(folder), lambda call: call)
    store.mount()
    check_store(shown, exports, store)
    store.umount()
    assert main(["store", "fsck", str(folder), "--deep"]) == 0
    for pgid, raw in exports.items():
        target = tmp_path / str(pgid)
        assert main(["store", "export", str(folder), str(pgid), str(target), "--read-only"]) == 0
        assert target.read_bytes() == raw
    assert " 0 errors, 0 left" in capsys.readouterr().out


def check_store(shown, exports, store):
    missing = dups = clones = 0
    for pgid, raw in exports.items():
        assert exported(store, pgid) == raw
        stored = read_info(store, pgid)
        kept = read_log(store, pgid, stored.info)
        missing += len(kept.missing.missing)
        dups += len(kept.log.dups)
        assert render(info_document(stored.info)).strip() == shown["info", pgid]
        log = json.loads(shown["log", pgid])
        for item in log["pg_missing_t"]["missing"]:
            item["clean_regions"] = ALL_DIRTY
        assert render(log_document(kept.log, kept.missing)) == render(log)
        objects, _ = store.collection_list(Coll.of(pgid), limit=1000)
        clones += sum(oid.hobj.snap != NOSNAP for oid in objects)
    assert missing, "osd.0 missed nothing"
    assert dups, "no log was trimmed"
    assert clones, "there is no clone"
    _, mapped = store.omap_get(META, SNAPMAPPER)
    assert mapped == shown[SNAPMAPPER]


def check_refusals(stopped, exports):
    """What does not fit is refused, as by the real tool."""
    pgid, raw = next(iter(exports.items()))
    store, pump = stopped.empty_store()
    import_pg(store, pump, io.BytesIO(raw))
    with pytest.raises(Exists, match="already exists"):
        import_pg(store, pump, io.BytesIO(raw))
    stopped.tool("--op", "import", data=raw, code=1)
    store, pump = stopped.empty_store()
    with pytest.raises(InvalidArgument, match=f"is of PG {pgid}, not of 99.7"):
        import_pg(store, pump, io.BytesIO(raw), pgid=SPGId.parse("99.7"))
    fsid = UUID(stopped.cluster.fsid).bytes
    assert raw.count(fsid) >= 1
    at = raw.index(fsid)
    other = raw[:at] + bytes(16 * [7]) + raw[at + 16 :]
    with pytest.raises(InvalidArgument, match="another cluster"):
        import_pg(store, pump, io.BytesIO(other))
    stopped.tool("--op", "import", data=other, code=1)


def check_last_resorts(stopped, exports):
    """Ours and the real tool's make the same of a PG, which is imported anew afterwards."""
    pgid = next(pgid for pgid in exports if (pgid.pool, pgid.shard) == (2, NO_SHARD))
    store, pump = stopped.empty_store()
    import_pg(store, pump, io.BytesIO(exports[pgid]))
    for op, ours in (
        (("trim-pg-log", "--osd-max-pg-log-entries=3"), lambda *args: trim_log(*args, 3)),
        (("mark-complete",), mark_complete),
    ):
        stopped.tool("--op", *op, "--pgid", pgid)
        ours(store, pump, pgid)
        keys = stopped.tool("--pgid", pgid, "", "list-omap").decode().splitlines()
        entries = store.omap_get(Coll.of(pgid), pgid.pgmeta())[1]
        # an import writes of rollbacks, and no fast info
        known = {"_fastinfo", "can_rollback_to", "rollback_info_trimmed_to"}
        assert [key for key in keys if key not in known] == sorted(entries.keys() - known)
        for key in ("_info", "_biginfo", "_epoch"):
            assert stopped.tool("--pgid", pgid, "", "get-omap", key) == entries[key]


def check_real_osd(stopped, exports):
    """All PGs are removed, imported by Ceph's tool from our files, and served by the OSD."""
    cluster = stopped.cluster
    store = imported(stopped, exports)
    for pgid, raw in exports.items():
        stopped.tool("--op", "remove", "--pgid", pgid, "--force")
        stopped.tool("--op", "import", data=exported(store, pgid))
        assert stopped.export(pgid) == raw
        entries = store.omap_get(Coll.of(pgid), pgid.pgmeta())[1]
        keys = stopped.tool("--pgid", pgid, "", "list-omap").decode().splitlines()
        assert keys == list(entries)
        for key in (
            keys if read_log(store, pgid, read_info(store, pgid).info).missing.missing else ()
        ):
            if not key.startswith(("0", "dup_")):  # those were among what was exported again
                assert stopped.tool("--pgid", pgid, "", "get-omap", key) == entries[key]
    _, mapped = store.omap_get(META, SNAPMAPPER)
    assert list(mapped) == stopped.on("meta", SNAPMAPPER, "list-omap").decode().splitlines()
    cluster.launch("osd.0")
    cluster.ceph("osd", "unset", "norecover")
    wait(cluster, lambda: cluster.ceph_json("osd", "stat")["num_up_osds"] == 3)
    wait(cluster, lambda: states(cluster) == {"active+clean"})
    check_served(cluster, exports)


def check_served(cluster, exports):
    for number in (1, 2):
        cluster.ceph("osd", "primary-affinity", str(number), "0")
    assert rados(cluster, "-p", "rep", "get", "o0", "-") == TEXT["snap"]
    assert rados(cluster, "-p", "rep", "get", "o2", "-") == TEXT["last"]
    assert rados(cluster, "-p", "rep", "get", "o4", "-") == TEXT["last"]
    assert rados(cluster, "-p", "rep", "get", "late", "-") == TEXT["last"]
    assert rados(cluster, "-p", "rep", "-s", "before", "get", "o3", "-").endswith(TEXT["snap"])
    assert rados(cluster, "-p", "rep", "-N", "space", "get", "inside", "-") == TEXT["last"]
    assert rados(cluster, "-p", "rep", "getomapval", "o1", "k07", "/dev/stdout").startswith(b"v7")
    assert len(rados(cluster, "-p", "ec", "get", "o1", "-")) == 9000
    before = deep_scrubs(cluster)
    for pgid in exports:
        if pgid.shard == NO_SHARD:
            cluster.ceph("pg", "deep-scrub", str(pgid))
    names = [str(pgid) for pgid in exports if pgid.shard == NO_SHARD]
    wait(cluster, lambda: all(deep_scrubs(cluster)[name] != before[name] for name in names))
    wait(cluster, lambda: states(cluster) == {"active+clean"})


def deep_scrubs(cluster):
    shown = cluster.ceph_json("pg", "dump", "pgs")["pg_stats"]
    return {each["pgid"]: each["last_deep_scrub_stamp"] for each in shown}
