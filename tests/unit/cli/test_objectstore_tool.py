"""`spirula objectstore-tool`: what its ops leave behind, and what it says when it refuses."""

from __future__ import annotations

import io
import json
import sys

import pytest

from spirula.cli.main import main
from spirula.store import osd_meta
from spirula.store.tools.export_pg import export_pg
from spirula.types.object_info import ObjectFlag, ObjectInfo
from tests.unit.store.tools import pgs

PGID = pgs.spg("3.1")


class Tool:
    """The command on one store."""

    def __init__(self, folder, capture, patch):
        self.folder = folder
        self._capture, self._patch = capture, patch

    def run(self, *words, data=b"", status=0):
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        words = ("--data-path", str(self.folder), "--no-mon-config", *map(str, words))
        assert main(["objectstore-tool", *words]) == status
        return self._capture.readouterr()

    def __call__(self, *words, data=b""):
        return self.run(*words, data=data).out

    def fails(self, *words, data=b""):
        done = self.run(*words, data=data, status=1)
        assert done.out == b""
        return done.err.decode().splitlines()[0]

    def info(self):
        return json.loads(self("--op", "info", "--pgid", PGID))

    def objects(self):
        return [json.loads(line) for line in self("--op", "list").splitlines()]


@pytest.fixture
def tool(tmp_path, capsysbinary, monkeypatch):
    """A store with one PG, which came as an export."""
    folder = tmp_path / "osd"
    made = Tool(folder, capsysbinary, monkeypatch)
    assert main(["store", "mkfs", str(folder), "--size", "64M"]) == 0
    assert main(["store", "mkcoll", str(folder), "meta"]) == 0
    source, _ = pgs.osd_store()
    for oid in (osd_meta.SUPERBLOCK, osd_meta.osdmap_object(pgs.EPOCH)):
        path = tmp_path / "piece"
        path.write_bytes(source.read(osd_meta.META, oid))
        assert main(["store", "put", str(folder), "meta", str(oid), str(path)]) == 0
    store, _ = pgs.full_store(PGID)
    export = tmp_path / "a.export"
    with export.open("wb") as stream:
        export_pg(store, PGID, stream)
    capsysbinary.readouterr()
    assert made("--op", "import", "--file", export).endswith(b"Import successful\n")
    return made


def test_pgs_and_objects_are_listed(tool):
    assert tool("--op", "list-pgs") == b"3.1\n"
    found = tool.objects()
    assert found
    assert all(pgid == "3.1" for pgid, _ in found)
    with_coll = json.loads(tool("--op", "list", "--format", "json"))
    assert [[pgid, "3.1_head", oid] for pgid, oid in found] == with_coll
    name = found[0][1]["oid"]
    assert all(
        oid["oid"] == name for _, oid in map(json.loads, tool("--op", "list", name).splitlines())
    )
    assert b'"osd_superblock"' in tool("--op", "meta-list")


def test_a_pg_leaves_and_comes_back(tool, tmp_path):
    path = tmp_path / "b.export"
    before = tool.objects()
    assert tool.fails("--op", "remove", "--pgid", PGID).startswith("Please use export-remove")
    assert tool("--op", "remove", "--pgid", PGID, "--dry-run").endswith(b"Nothing changed\n")
    tool("--op", "export-remove", "--pgid", PGID, "--file", path)
    assert tool("--op", "list-pgs") == b""
    assert tool.fails("--op", "info", "--pgid", PGID) == "PG '3.1' not found"
    tool("--op", "import", "--pgid", PGID, data=path.read_bytes())
    assert tool.objects() == before
    shown = json.loads(tool("--op", "dump-export", "--file", path))
    assert [one["oid"]["oid"] for one in shown["objects"]] == [oid["oid"] for _, oid in before]
    cut = path.read_bytes()[:-20]
    done = tool.run("--op", "dump-export", data=cut, status=1)
    assert done.err.endswith(b"dump-export: (14) Bad address\n")


def test_last_resorts_for_a_pg(tool):
    tool("--op", "mark-complete", "--pgid", PGID)
    info = tool.info()
    assert info["last_backfill"] == "MAX"
    assert info["history"]["last_epoch_clean"] == pgs.EPOCH
    tool("--op", "reset-last-complete", "--pgid", PGID, "--force")
    assert tool.info()["last_complete"] == tool.info()["last_update"]
    assert tool.fails("--op", "reset-last-complete", "--pgid", PGID).startswith("WARNING: ")
    assert b"Removal succeeded" in tool("--op", "rm-past-intervals", "--pgid", PGID)
    assert b"Finished" in tool("--op", "trim-pg-log", "--pgid", PGID)
    assert b"Finished" in tool("--op", "trim-pg-log-dups", "--pgid", PGID)
    assert tool("--op", "fsck-deep") == b"fsck success\n"


def test_objects_are_changed(tool):
    head = next(json.dumps(each) for each in tool.objects() if each[1]["snapid"] == -2)
    tool(head, "set-bytes", data=b"new data")
    assert tool(head, "get-bytes") == b"new data"
    assert b"Setting size to 3, stat size 8" in tool(head, "set-size", "3")
    assert tool(head, "get-bytes") == b"new"
    assert tool(head, "set-size", "3") == b"Size of object is already 3\n"
    tool(head, "set-attr", "_color", data=b"red")
    assert tool(head, "get-attr", "_color") == b"red"
    assert b"_color\n" in tool(head, "list-attrs")
    tool(head, "rm-attr", "_color")
    assert tool.fails(head, "get-attr", "_color").startswith("get-attr: (61) No data available")
    tool(head, "set-omap", "key", data=b"value")
    assert tool(head, "get-omap", "key") == b"value"
    tool(head, "rm-omap", "key")
    assert tool.fails(head, "get-omap", "key") == "Key not found"
    tool(head, "set-omaphdr", data=b"header")
    assert tool(head, "get-omaphdr") == b"header"
    tool(head, "set-bytes", "--dry-run", data=b"other")
    assert tool(head, "get-bytes") == b"new"


def test_lost_objects_are_there_again(tool):
    head = next(json.dumps(each) for each in tool.objects() if each[1]["snapid"] == -2)
    info = ObjectInfo.decode(tool(head, "get-attr", "_"))
    info.flags |= ObjectFlag.LOST
    tool(head, "set-attr", "_", data=info.encode())
    assert json.loads(tool(head, "dump"))["info"]["lost"] == 1
    assert b"is lost, fixing" in tool("--op", "fix-lost")
    assert json.loads(tool(head, "dump"))["info"]["lost"] == 0
    assert tool("--op", "fix-lost") == b""


def test_a_store_is_copied_to_another(tool, tmp_path, capsysbinary):
    other = tmp_path / "other"
    assert main(["store", "mkfs", str(other), "--size", "64M"]) == 0
    capsysbinary.readouterr()
    tool("--op", "dup", "--target-data-path", other)
    before = tool("--op", "export", "--pgid", PGID)
    tool.folder = other
    assert tool("--op", "export", "--pgid", PGID) == before
    assert tool("--op", "fsck-deep") == b"fsck success\n"
    assert tool.fails("--op", "dup", "--target-data-path", other) != ""


REFUSED = [
    ((), "Must provide --op or object command..."),
    (("--op", "list", "--file", "x"), "--file option only applies to import, dump-export, "),
    (("--op", "info"), "Must provide pgid"),
    (("--op", "info", "--pgid", "x.y"), "Invalid pgid 'x.y' specified"),
    (("--op", "nothing"), "Must provide --op (info, log, remove, mkfs, fsck, "),
    (("name",), "Invalid syntax, missing command"),
    (("--op", "info", "name", "dump"), "Can't specify both --op and object command syntax"),
    (("nobody", "dump"), "No object id 'nobody' found or invalid JSON specified"),
    (
        ('{"oid": "x"}', "dump"),
        'Without --pgid the object \'{"oid": "x"}\' must be a JSON array',
    ),
    (('["3.1"]', "dump"), "Object '[\"3.1\"]' must be a JSON array with 2 elements"),
    (('["3.1", {"oid": "x"}]', "dump"), "Decode object JSON error: 'pool'"),
    (("--op", "get-osdmap", "--epoch", "999"), "Can't find OSDMap for pg epoch 999"),
    (("--op", "list", "--format", "yaml"), "unrecognized format: yaml"),
    (("--op", "import", "--file", "/nowhere"), "file: /nowhere: No such file or directory"),
    (("--op", "dup"), "Unable to open /type"),
]


def test_what_cannot_be_done_is_said_as_upstream_says_it(tool):
    for words, said in REFUSED:
        assert tool.fails(*words).startswith(said), words


def test_a_store_that_is_not_there(tmp_path, capsys):
    path = tmp_path / "none"
    assert main(["objectstore-tool", "--data-path", str(path), "--op", "list"]) == 1
    assert capsys.readouterr().err == f"data-path: {path}: No such file or directory\n"
    assert main(["objectstore-tool", "--op", "list"]) == 1
    assert capsys.readouterr().err.startswith("Must provide --data-path\n")
