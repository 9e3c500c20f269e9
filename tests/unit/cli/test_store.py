"""`spirula store`: verbs on a store on disk, what they print, and what they say on errors."""

from __future__ import annotations

import io
import json
import sys

import pytest

from spirula.cli.main import main
from spirula.cli.store import attributes
from spirula.store import osd_meta
from spirula.store.tools.export_pg import export_pg
from tests.unit.store.tools import pgs

PGID = pgs.spg("3.1")
NAME = "#-1:2823ec16:::greeting:0#"


class Tool:
    """The command on one store."""

    def __init__(self, folder, capture, patch):
        self.folder = folder
        self._capture, self._patch = capture, patch
        self.error = ""

    def __call__(self, verb, *words, data=b"", status=0):
        """What a verb prints; `error` is what it says beside that."""
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert main(["store", verb, str(self.folder), *map(str, words)]) == status
        out, err = self._capture.readouterr()
        self.error = err.decode()
        return out

    def json(self, verb, *words):
        return json.loads(self(verb, *words, "--json"))

    def fails(self, verb, *words, data=b"", status):
        """The one line that it says."""
        assert self(verb, *words, data=data, status=status) == b""
        assert self.error.startswith("spirula store: ")
        assert self.error.count("\n") == 1
        return self.error


@pytest.fixture
def tool(tmp_path, capsysbinary, monkeypatch):
    made = Tool(tmp_path / "osd", capsysbinary, monkeypatch)
    assert made("mkfs", "--size", "64M").startswith(b"store ")
    made("mkcoll", "meta")
    return made


@pytest.fixture
def osd(tool):
    """A store with what an OSD keeps of itself, but no PG."""
    source, _ = pgs.osd_store()
    for oid in (osd_meta.SUPERBLOCK, osd_meta.osdmap_object(pgs.EPOCH)):
        tool("put", "meta", oid, "-", data=source.read(osd_meta.META, oid))
    return tool


@pytest.fixture
def export(tmp_path):
    store, _ = pgs.full_store(PGID)
    path = tmp_path / "a.export"
    with path.open("wb") as stream:
        export_pg(store, PGID, stream)
    return path


# --- a store ---


def test_mkfs_leaves_alone_what_is_there(tool):
    fsid = tool.json("mkfs")["fsid"]
    assert tool("mkfs", "--fsid", fsid) == f"store {fsid} in {tool.folder}\n".encode()
    other = "11111111-1111-1111-1111-111111111111"
    assert fsid in tool.fails("mkfs", "--fsid", other, status=17)


def test_no_store(tool, tmp_path):
    tool.folder = tmp_path / "nowhere"
    assert "`spirula store mkfs` makes a store" in tool.fails("ls", status=2)
    assert "`spirula store mkfs` makes a store" in tool.fails("fsck", status=2)
    tool.folder.mkdir()
    assert "make it with mkfs" in tool.fails("ls", status=2)


def test_wrong_words(tool, capsysbinary):
    for words in (["store"], ["store", "nothing", "x"], ["store", "mkfs", "x", "--size", "much"]):
        assert main(words) == 2
    capsysbinary.readouterr()
    assert main(["store", "import", "--help"]) == 0
    assert b"marked for removal" in capsysbinary.readouterr().out


def test_statistics(osd):
    osd("mkcoll", "3.1", "--bits", "2")
    document = osd.json("stats")
    assert document["type"] == "spirula"
    assert (document["current_epoch"], document["pgs"], document["collections"]) == (20, 1, 2)
    assert document["statfs"]["total"] == 64 << 20
    assert document["free_extents"] >= 1 > document["fragmentation_score"]
    assert document["pools"]["3"]["data_stored"] == 0
    shown = osd("stats", "--read-only").decode()
    assert "current_epoch          20\n" in shown
    assert "of 64 MiB available" in shown


def test_fsck(osd, export):
    osd("import", export)
    report = osd.json("fsck", "--deep")
    assert report["errors"] == []
    assert report["objects"] == 2 + 1 + 1 + 6  # map and superblock, index of clones, PG, objects
    assert report["bytes_read"] > 20_000
    assert osd("fsck").decode().endswith(": 0 errors, 0 left\n")
    assert "forbids it" in osd.fails("fsck", "--repair", "--read-only", status=22)
    raw = bytearray((osd.folder / "block").read_bytes())
    raw[raw.index(b"newnew")] ^= 1
    (osd.folder / "block").write_bytes(bytes(raw))
    assert osd("fsck") == osd("fsck", "--read-only")
    lines = osd("fsck", "--deep", status=1).decode().splitlines()
    assert lines[0].startswith("error: ")
    assert lines[-1].endswith(": 1 errors, 1 left")
    name = pgs.names_of(PGID, 1)[0]
    heads = [line for line in osd("ls", "3.1").decode().split() if f":{name}:head#" in line]
    assert "checksum is 0x" in osd.fails("get", "3.1", heads[0], status=5)


def test_collections(tool):
    tool("mkcoll", "2.1f", "--bits", "5")
    tool("mkcoll", "2.2s1_head", "--bits", "3")
    assert sorted(tool("ls").split()) == [b"2.1f_head", b"2.2s1_head", b"meta"]
    assert "already a collection" in tool.fails("mkcoll", "2.1f", "--bits", "5", status=17)
    assert "cannot have 2 bits" in tool.fails("mkcoll", "2.1e", "--bits", "2", status=22)
    assert "is not a placement group" in tool.fails("mkcoll", "nonsense", status=22)
    tool("rmcoll", "2.1f")
    assert "no collection 2.1f_head" in tool.fails("rmcoll", "2.1f", status=2)
    tool("put", "meta", "a", "-")
    assert "has objects" in tool.fails("rmcoll", "meta", status=22)


# --- objects ---


def test_data(tool, tmp_path):
    data = bytes(range(256)) * 30_000
    (tmp_path / "in").write_bytes(data)
    assert tool.json("put", "meta", "greeting", tmp_path / "in") == {
        "object": NAME,
        "size": len(data),
    }
    tool("get", "meta", "greeting", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    tool("put", "meta", NAME, "-", data=b"hello")
    assert tool("get", "meta", NAME) == b"hello"
    assert tool("ls", "meta", "--long") == f"{5:>12} {NAME}\n".encode()
    shown = tool("ls", "meta", "--json").decode()
    assert tool("get", "meta", shown) == b"hello"
    assert tool.json("stat", "meta", NAME) == {
        "object": NAME,
        "size": 5,
        "blocks": 1,
        "extents": [[0, 5]],
        "attrs": {},
        "omap_header": "",
        "omap_entries": 0,
    }
    tool("rm", "meta", "greeting")
    assert tool("ls", "meta") == b""


def test_names(tool):
    tool("mkcoll", "3.1", "--bits", "2")
    first, second = pgs.names_of(PGID, 2)
    tool("put", "3.1", first, "-", data=b"1")
    assert tool("get", "3.1", first) == b"1"
    other = pgs.names_of(pgs.spg("3.2"), 1)[0]
    assert "would be of another PG than 3.1" in tool.fails("put", "3.1", other, "-", status=22)
    assert f"has the name '{second}'" in tool.fails("get", "3.1", second, status=2)
    whole = tool("ls", "3.1").decode().strip()
    tool("put", "3.1", whole.replace(":head#", ":4#"), "-", data=b"clone")
    assert "2 objects have the name" in tool.fails("get", "3.1", first, status=22)
    assert "is none of collection" in tool.fails("get", "meta", whole, status=22)
    assert "no object in 3.1_head has the name 'a#b'" in tool.fails("rm", "3.1", "a#b", status=2)
    assert "is not an object as" in tool.fails("get", "3.1", '{"oid": 1}', status=22)
    assert "the meta collection has none" in tool.fails("get", "meta", "", status=22)
    assert "no object #3:80000000::::head#" in tool.fails("rm", "3.1", "", status=2)


def test_a_file_that_cannot_be_written_or_read(tool, tmp_path):
    tool("put", "meta", "greeting", "-", data=b"hello")
    assert "EISDIR" in tool.fails("get", "meta", "greeting", tmp_path, status=21)
    assert "ENOENT" in tool.fails("put", "meta", "greeting", tmp_path / "none", status=2)
    assert tool("get", "meta", "greeting") == b"hello"
    target = tmp_path / "kept"
    target.write_bytes(b"before")
    tool.fails("export", "3.1", target, status=2)
    assert target.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "osd"]


def test_attributes(tool):
    tool("put", "meta", "greeting", "-")
    at = ("meta", "greeting")
    tool("set-attr", *at, "b", data=b"\xff\0")
    tool("set-attr", *at, "a")
    assert tool("list-attrs", *at) == b"a\nb\n"
    assert tool("get-attr", *at, "b") == b"\xff\0"
    tool("rm-attr", *at, "a")
    assert tool.json("list-attrs", *at) == ["b"]
    for verb in ("get-attr", "rm-attr"):
        assert "has no attribute a" in tool.fails(verb, *at, "a", status=61)
    assert "no object" in tool.fails("set-attr", "meta", NAME + "1", "a", status=2)


def test_omap(tool):
    tool("put", "meta", "greeting", "-")
    at = ("meta", "greeting")
    for key in ("k9", "k10", "k8"):
        tool("set-omap", *at, key, data=key.encode())
    tool("set-omaphdr", *at, data=b"header")
    assert tool("list-omap", *at) == b"k10\nk8\nk9\n"
    assert tool("get-omap", *at, "k10") == b"k10"
    tool("rm-omap", *at, "k8")
    assert tool.json("list-omap", *at) == ["k10", "k9"]
    assert tool("get-omaphdr", *at) == b"header"
    assert tool.json("stat", *at)["omap_entries"] == 2
    for verb in ("get-omap", "rm-omap"):
        assert "has no key 'k8'" in tool.fails(verb, *at, "k8", status=2)


def test_keys_are_printed_in_pages(tool, monkeypatch):
    monkeypatch.setattr(attributes, "_PAGE", 2)
    tool("put", "meta", "greeting", "-")
    for number in range(5):
        tool("set-omap", "meta", "greeting", f"k{number}")
    assert tool("list-omap", "meta", "greeting") == b"k0\nk1\nk2\nk3\nk4\n"


# --- PGs ---


def test_a_pg_in_and_out(osd, export, tmp_path):
    assert osd("import", export, "--dry-run") == b""
    assert "changed nothing for, PG 3.1: 6 objects" in osd.error
    assert osd("list-pgs") == b""
    summary = osd.json("import", export, "--pg", "3.1")
    assert summary == {
        "pgid": "3.1",
        "objects": 6,
        "bytes": export.stat().st_size,
        "skipped": 0,
    }
    assert osd("list-pgs") == b"3.1\n"
    assert osd("export", "3.1") == export.read_bytes()
    assert "exported PG 3.1: 6 objects" in osd.error
    assert osd.json("info", "3.1")["last_update"] == "20'9"
    assert osd.json("log", "3.1_head")["pg_log_t"]["head"] == "20'9"
    assert osd("info", "3.1", "--read-only").startswith(b'{\n    "pgid": "3.1",\n')
    assert b"_info" in osd("list-omap", "3.1", "").split()
    osd("export", "3.1", tmp_path / "again", "--remove")
    assert (tmp_path / "again").read_bytes() == export.read_bytes()
    assert osd("list-pgs") == b""
    osd("import", data=export.read_bytes())
    assert "imported PG 3.1: 6 objects" in osd.error
    osd("fsck", "--deep")


def test_removal(osd, export):
    osd("import", export)
    assert "`export --remove` keeps a copy" in osd.fails("remove", "3.1", status=22)
    osd("remove", "3.1", "--dry-run")
    assert "would be removed" in osd.error
    assert osd.json("remove", "3.1", "--force") == {"pgid": "3.1", "objects": 6}
    assert "PG 3.1 is not in this store" in osd.fails("remove", "3.1", "--force", status=2)


def test_last_resorts(osd, export):
    osd("import", export)
    for verb in ("mark-complete", "reset-last-complete"):
        assert "--force does it; `export` the PG first" in osd.fails(verb, "3.1", status=22)
    before = osd.json("info", "3.1")
    assert (before["last_update"], before["last_complete"]) == ("20'9", "20'8")
    osd("reset-last-complete", "3.1", "--force")
    assert osd.error == "PG 3.1 misses nothing: last_update 20'9, last_complete 20'9\n"
    assert osd.json("trim-log", "3.1", "--keep", "8") == {"pgid": "3.1", "entries": 0}
    osd("trim-log", "3.1", "--keep", "5")
    assert osd.error == "trimmed 3 entries off the log of PG 3.1\n"
    log = osd.json("log", "3.1")["pg_log_t"]
    assert log["tail"] == "20'4"
    assert [entry["version"] for entry in log["log"]] == ["20'5", "20'6"]
    assert "cannot keep -1" in osd.fails("trim-log", "3.1", "--keep", "-1", status=22)
    after = osd.json("mark-complete", "3.1", "--force")
    assert after == osd.json("info", "3.1")
    assert (after["last_update"], after["last_epoch_started"]) == ("20'10", 20)
    assert after["history"]["last_epoch_clean"] == 20


@pytest.mark.parametrize("verb", ["info", "log", "export"])
def test_no_such_pg(osd, verb):
    assert "`spirula store list-pgs` lists them" in osd.fails(verb, "3.1", status=2)
    osd("mkcoll", "3.1", "--bits", "2")
    assert "no object #3:80000000::::head# in 3.1_head" in osd.fails(verb, "3.1", status=2)


def test_an_import_that_fails(osd, export, tmp_path):
    cut = tmp_path / "cut"
    cut.write_bytes(export.read_bytes()[:-2000])
    text = osd.fails("import", cut, status=74)
    assert "the export is damaged or cut off, in the section at byte" in text
    assert osd("list-pgs") == b"3.1 (to be removed)\n"
    osd("import", export)
    assert "note: removed PG 3.1, which was left" in osd.error
    assert "already exists" in osd.fails("import", export, status=17)
    assert "is of PG 3.1, not of 3.2" in osd.fails("import", export, "--pg", "3.2", status=22)
