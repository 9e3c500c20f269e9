"""A real BlueStore and ours, given the same changes, hold the same objects in the same order.

`ceph-osd --mkfs` makes the store; `ceph-objectstore-tool` changes and reads it, a process for each
step, so that everything here also survived closing the store.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from urllib.parse import unquote_to_bytes

import pytest

from spirula.store.allocator import Allocator
from spirula.store.checksums import ChecksumType, checksum
from spirula.store.keys import object_key
from spirula.store.memory import MemoryObjectStore
from spirula.store.objectstore import list_all
from spirula.types.hobject import NOSNAP
from spirula.types.pg import Coll
from tests.interop.realcluster import ENVIRONMENT
from tests.unit.store.conformance import obj, txn

META = Coll()
PROGRAMS = ("ceph-osd", "ceph-objectstore-tool", "ceph-bluestore-tool", "ceph-kvstore-tool")
MISSING = [name for name in PROGRAMS if shutil.which(name, path=ENVIRONMENT["PATH"]) is None]

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no {' and '.join(MISSING)}: install ceph-osd"),
]


class Real:
    """A BlueStore of 1 GiB in a sparse file, without an OSD."""

    def __init__(self, folder):
        self.folder = folder
        self.empty_conf = folder.parent / "empty.conf"
        self.empty_conf.write_text("")
        self.run(
            *("ceph-osd", "-i", "0", "--mkfs", "--osd-objectstore", "bluestore"),
            *("--osd-data", folder, "--no-mon-config", "--auth-supported", "none"),
            *("--osd-uuid", "11111111-1111-1111-1111-111111111111"),
            *("--fsid", "22222222-2222-2222-2222-222222222222"),
            *("--bluestore-block-size", str(1 << 30)),
        )

    def run(self, *words, data=b"", code=0):
        done = subprocess.run(
            [str(word) for word in words],
            env=ENVIRONMENT | {"CEPH_CONF": str(self.empty_conf)},
            input=data,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stderr.decode()
        return done.stdout

    def tool(self, *words, data=b""):
        start = ("ceph-objectstore-tool", "--data-path", self.folder, "--no-mon-config")
        return self.run(*start, *words, data=data)

    def on(self, oid, *words, data=b""):
        return self.tool(json.dumps(["meta", oid.plain()]), *words, data=data)

    def dumped(self, oid):
        """All that it knows of an object, but what an OSD would have attached."""
        start = ("ceph-objectstore-tool", "--data-path", self.folder, "--no-mon-config")
        return json.loads(self.run(*start, json.dumps(["meta", oid.plain()]), "dump", code=1))

    def listed(self):
        shown = [json.loads(line)[1] for line in self.tool("--op", "meta-list").splitlines()]
        return [from_json(entry) for entry in shown if entry["oid"] != "osd_superblock"]

    def keys(self):
        shown = self.run("ceph-kvstore-tool", "bluestore-kv", self.folder, "list", "O")
        lines = [line.split(b"\t") for line in shown.splitlines() if line.startswith(b"O\t")]
        return {unquote_to_bytes(key) for _, key in lines}


def from_json(entry):
    return obj(
        entry["oid"],
        entry["hash"],
        entry["pool"],
        snap=entry["snapid"] % (1 << 64),
        nspace=entry["namespace"],
        key=entry["key"],
        gen=entry.get("generation"),
        shard=entry.get("shard_id", -1),
    )


@pytest.fixture
def real(tmp_path):
    folder = tmp_path / "osd"
    folder.mkdir()
    return Real(folder)


@pytest.fixture
def ours():
    store = MemoryObjectStore(lambda call: call)
    store.mount()
    store.queue_transactions(META, [txn(("create_collection", META, 0))])
    return store


def change(store, *steps):
    store.queue_transactions(META, [txn(*steps)])


def test_order_of_objects(real, ours):
    rng = random.Random(5)
    common = {"name": "b", "hash": 0x30, "pool": -1, "snap": 4}
    odd = [
        {"name": "a"},
        {"key": "a"},
        {"nspace": "n"},
        {"snap": NOSNAP},
        {"gen": 7},
        {"hash": 0x80000000},
        {"hash": 0xFFFFFFFF},
        {"hash": 1},
        {"name": "b%\x01~"},
        {"nspace": "ä", "key": "#"},
    ]
    oids = [obj(**(common | change)) for change in [{}, *odd]]
    rng.shuffle(oids)
    for oid in oids:
        real.on(oid, "set-bytes", data=b"x")
        change(ours, ("write", META, oid, 0, b"x"))
    expected = list(list_all(ours, META))
    assert len(expected) == len(oids)
    assert real.listed() == expected
    plain = [oid for oid in oids if not oid.hobj.key and oid.hobj.oid.isascii()]
    assert len(plain) > 5
    assert {object_key(oid) for oid in plain} <= real.keys()


def test_what_objects_hold(real, ours):
    oid = obj("held", 5, -1)
    change(ours, ("touch", META, oid))
    data = random.Random(1).randbytes(150_000)
    for size in (150_000, 70_000):
        real.on(oid, "set-bytes", data=data[:size])
        change(ours, ("truncate", META, oid, 0), ("write", META, oid, 0, data[:size]))
    assert real.on(oid, "get-bytes") == ours.read(META, oid) == data[:70_000]
    check_checksums(real.dumped(oid), data)
    for kind in ("xxhash32", "xxhash64", "crc32c_16"):
        real.empty_conf.write_text(f"[global]\nbluestore_csum_type = {kind}\n")
        summed = obj(kind, 5, -1)
        real.on(summed, "set-bytes", data=data)
        check_checksums(real.dumped(summed), data, ChecksumType.parse(kind))
    for name, value in (("_b", b"1"), ("_a", b"")):
        real.on(oid, "set-attr", name, data=value)
        change(ours, ("setattr", META, oid, name, value))
    assert real.on(oid, "list-attrs").decode().split() == list(ours.getattrs(META, oid))
    assert real.on(oid, "get-attr", "_a") == ours.getattr(META, oid, "_a") == b""
    for key in ("k~", "k10", "k9"):
        real.on(oid, "set-omap", key, data=key.encode())
        change(ours, ("omap_setkeys", META, oid, {key: key.encode()}))
    real.on(oid, "set-omaphdr", data=b"header")
    change(ours, ("omap_setheader", META, oid, b"header"))
    real.on(oid, "rm-omap", "k9")
    change(ours, ("omap_rmkeys", META, oid, ["k9"]))
    assert real.on(oid, "list-omap").decode().split() == ours.omap_get_keys(META, oid)
    assert real.on(oid, "get-omaphdr") == ours.omap_get_header(META, oid)


def check_checksums(dumped, data, wanted=ChecksumType.CRC32C):
    """Those of the real store's blocks are what we make of the same data."""
    checked = 0
    for extent in dumped["onode"]["extents"]:
        blob, first = extent["blob"], extent["logical_offset"]
        block = 1 << blob["csum_chunk_order"]
        start = extent["blob_offset"] // block
        for number in range(extent["length"] // block):
            part = data[first + number * block :][:block]
            kind = ChecksumType(blob["csum_type"])
            assert kind == wanted
            assert checksum(kind, part) == blob["csum_data"][start + number]
            checked += 1
    assert checked > 10


def test_fragmentation_of_free_space(real):
    def shown(command):
        start = ("ceph-bluestore-tool", command, "--path", real.folder, "--allocator", "block")
        return json.loads(real.run(*start).split(b"\n", 1)[1])

    dumped = shown("free-dump")
    ours = Allocator(dumped["capacity"], dumped["alloc_unit"])
    ours.add_free([(int(e["offset"], 16), int(e["length"], 16)) for e in dumped["extents"]])
    assert len(ours) > 2
    rating = shown("free-score")["fragmentation_rating"]
    assert ours.fragmentation_score() == pytest.approx(rating, rel=1e-9)
