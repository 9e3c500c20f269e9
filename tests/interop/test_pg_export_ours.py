"""PGs change places between an OSD of ours and a real one, and both go on with what they got."""

from __future__ import annotations

import io
import json
import subprocess
import tempfile
from pathlib import Path

import pytest

from spirula.cli.main import main
from spirula.maps.osdmap import OSDMap
from spirula.store.tools.dump_format import DumpReader, SectionType
from tests.interop.realcluster import ENVIRONMENT
from tests.interop.stopped import Stopped, rados, reason_to_skip, states, wait
from tests.interop.test_osd_beside_real import OURS, Mixed

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(reason_to_skip() is not None, reason=str(reason_to_skip())),
]

OPTIONS = {
    "bluestore block size": str(1 << 30),
    "osd pool default size": "2",
    "osd memory target": str(768 << 20),
    "mgr pool": "false",
}
OLD, NEW = b"before the snapshot" * 500, b"after it"


@pytest.fixture
def cluster():
    with tempfile.TemporaryDirectory(prefix="spirula-", ignore_cleanup_errors=True) as folder:
        made = Mixed(Path(folder), osds=2, objectstore="bluestore", options=OPTIONS)
        try:
            made.start()
            fill(made)
            yield made
        finally:
            made.stop()


def fill(cluster):
    cluster.ceph("osd", "pool", "create", "rep", "2")
    for number in range(8):
        rados(cluster, "-p", "rep", "put", f"o{number}", "-", data=OLD)
    rados(cluster, "-p", "rep", "setxattr", "o1", "color", "red")
    for number in range(5):
        rados(cluster, "-p", "rep", "setomapval", "o1", f"k{number}", f"v{number}")
    rados(cluster, "-p", "rep", "mksnap", "before")
    for number in range(4):
        rados(cluster, "-p", "rep", "put", f"o{number}", "-", data=NEW)
    rados(cluster, "-p", "rep", "rm", "o5")
    wait(cluster, lambda: states(cluster) == {"active+clean"})


def test_pgs_change_places(cluster, capsysbinary):
    def tool(verb, *words):
        assert main(["store", verb, ours, *map(str, words)]) == 0
        return capsysbinary.readouterr().out

    cluster.ceph("osd", "set", "nodown")  # so that both have the same maps when they end
    epoch = cluster.ceph_json("osd", "dump")["epoch"]
    wait(cluster, lambda: all(newest_map(cluster, number) >= epoch for number in (0, OURS)))
    cluster.kill(f"osd.{OURS}")
    cluster.kill("osd.0")
    real, ours = Stopped(cluster), str(cluster.folder / f"osd.{OURS}")
    pgids = sorted(tool("list-pgs").decode().split())
    assert pgids == sorted(real.tool("--op", "list-pgs").decode().split())
    compare_tools(real, ours, capsysbinary)
    for pgid in pgids:
        for op in ("info", "log"):
            shown = [json.loads(tool(op, pgid)), json.loads(real.tool("--op", op, "--pgid", pgid))]
            for document in shown:
                document.pop("stats", None)  # each has kept those it heard of last
            assert shown[0] == shown[1]
        theirs = cluster.folder / f"{pgid}.real"
        theirs.write_bytes(real.export(pgid))
        export = tool("export", pgid, "--remove")
        real.tool("--op", "remove", "--pgid", pgid, "--force")
        real.tool("--op", "import", data=export)
        assert without_superblock(real.export(pgid)) == without_superblock(export)
        tool("import", theirs)
        again = without_superblock(tool("export", pgid))
        assert again == without_superblock(theirs.read_bytes())
    assert b": 0 errors, 0 left" in tool("fsck", "--deep")
    cluster.launch("osd.0")
    cluster.launch(f"osd.{OURS}")
    cluster.ceph("osd", "unset", "nodown")
    for primary in (0, OURS):
        for number in (0, OURS):
            cluster.ceph("osd", "primary-affinity", str(number), str(int(number == primary)))
        wait(cluster, lambda want=primary: primaries(cluster) == {want})
        wait(cluster, lambda: states(cluster) == {"active+clean"})
        check_served(cluster)


def compare_tools(real, ours, capsysbinary):
    """`spirula objectstore-tool` says of our copies what ceph-objectstore-tool says of its own."""

    def ours_says(*words, code=0):
        words = ("--data-path", ours, "--no-mon-config", *map(str, words))
        assert main(["objectstore-tool", *words]) == code
        done = capsysbinary.readouterr()
        return done.err if code else done.out

    def documents(*words):
        return json.loads(ours_says(*words)), json.loads(real.tool(*words))

    listed = ours_says("--op", "list")
    lines = real.tool("--op", "list").splitlines()  # they say `max` twice
    assert by_text(map(json.loads, listed.splitlines())) == by_text(map(json.loads, lines))
    mine, theirs = documents("--op", "list", "--format", "json", "--head")
    assert by_text(mine) == by_text(theirs)
    mine, theirs = documents("--head", "o1", "dump")
    theirs.pop("onode")  # how BlueStore keeps it
    for document in (mine, theirs):
        document["stat"].pop("blocks")
    assert mine == theirs
    for command in ("list-attrs", "list-omap", "get-bytes", "get-omaphdr"):
        assert ours_says("--head", "o1", command) == real.tool("--head", "o1", command)
    for words in (("get-attr", "_color"), ("get-attr", "snapset"), ("get-omap", "k3")):
        assert ours_says("--head", "o1", *words) == real.tool("--head", "o1", *words)
    for words in (("o1", "dump"), ("nobody", "dump"), ("--op", "info")):
        said = ours_says(*words, code=1).splitlines()
        done = run(real, *words)
        assert (done.returncode, done.stderr.splitlines()[0]) == (1, said[0])
    mine = json.loads(ours_says("--op", "dump-super"))
    theirs = json.loads(run(real, "--op", "dump-super").stdout)  # its status is a length
    assert mine.keys() >= theirs.keys()
    assert mine["cluster_fsid"] == theirs["cluster_fsid"]
    mine, theirs = documents("--op", "statfs")
    assert mine.keys() == theirs.keys()
    for tool in (ours_says, real.tool):
        said = tool("--op", "get-osdmap", "--epoch", "9", "--file", real.cluster.folder / "map")
        assert said == b"osdmap#9 exported.\n"
        assert OSDMap.decode((real.cluster.folder / "map").read_bytes()).epoch == 9
    where = next(pgid for pgid, oid in map(json.loads, lines) if oid["oid"] == "o1")
    path = real.cluster.folder / "dumped"
    path.write_bytes(real.export(where))
    mine, theirs = documents("--op", "dump-export", "--file", path)
    for document in (mine, theirs):
        for one in document["objects"]:
            one.pop("data_block", None)
    assert mine == theirs
    # what is changed is changed as there
    for words in (("set-size", "77"), ("clear-data-digest",), ("rm-attr", "_none")):
        assert ours_says("--head", "o2", *words) == real.tool("--head", "o2", *words)
    clone = next(json.dumps(at) for at in map(json.loads, lines) if is_clone(at[1], "o2"))
    for words in (
        (clone, "set-size", "5"),
        ("--head", "o2", "remove-clone-metadata", "1"),
        (clone, "remove"),
        ("--op", "fix-lost", "--dry-run"),
    ):
        assert ours_says(*words) == real.tool(*words)
    mine, theirs = documents("--head", "o2", "dump")
    theirs.pop("onode")
    assert mine == theirs


def is_clone(oid, name):
    return oid["oid"] == name and oid["snapid"] != -2


def by_text(documents):
    return sorted(map(json.dumps, documents))


def run(real, *words):
    start = ("ceph-objectstore-tool", "--data-path", real.folder, "--no-mon-config")
    return subprocess.run(
        [str(word) for word in (*start, *words)],
        env=ENVIRONMENT | {"CEPH_CONF": str(real.cluster.conf)},
        capture_output=True,
        check=False,
        timeout=120,
    )


def without_superblock(export):
    """The sections of a file behind the one that says which OSD wrote it."""
    reader = DumpReader(io.BytesIO(export))
    reader.start()
    reader.section()
    return list(reader.sections(SectionType.PG_END))


def primaries(cluster):
    rows = cluster.ceph_json("pg", "ls-by-pool", "rep")["pg_stats"]
    return {row["acting_primary"] for row in rows}


def newest_map(cluster, number):
    return cluster.ceph_json("tell", f"osd.{number}", "status")["newest_map"]


def check_served(cluster):
    for number in (0, 3):
        assert rados(cluster, "-p", "rep", "get", f"o{number}", "-") == NEW
    for number in (4, 7):
        assert rados(cluster, "-p", "rep", "get", f"o{number}", "-") == OLD
    for number in (1, 5):
        old = rados(cluster, "-p", "rep", "-s", "before", "get", f"o{number}", "-")
        assert old.endswith(OLD)
    assert rados(cluster, "-p", "rep", "getxattr", "o1", "color") == b"red"
    assert len(rados(cluster, "-p", "rep", "listomapkeys", "o1").split()) == 5
