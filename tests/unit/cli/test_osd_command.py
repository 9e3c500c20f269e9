"""`spirula osd` where it needs no cluster: making a store, showing whose it is, refusing."""

from __future__ import annotations

import asyncio
import os
import stat
import uuid

import pytest

from spirula.cli import osd, osd_store
from spirula.cli.host import interface_of, pick_address, system_metadata, turns
from spirula.cli.osd_store import DiskStore, MemoryStore, make_folder, open_store
from spirula.conf.config import Config
from spirula.conf.expand import Identity
from spirula.errors import InvalidArgument, NotFound
from spirula.osd.mkfs import make_store
from spirula.osd.superblock import open_superblock
from spirula.store.osd_meta import META
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonMap

FSID = "0f324d81-81e4-4945-97ef-e4a422eb508b"


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "ceph.conf"
    path.write_text(
        f"[global]\nfsid = {FSID}\nmon host = 127.0.0.1\n[osd]\n"
        f"osd data = {tmp_path}/osd.$id\nkeyring = $osd_data/keyring\n"
        "bluestore block size = 64M\n"
    )
    return path


def run(conf, *words):
    return osd.main(["-i", "3", "-c", str(conf), *words])


@pytest.mark.parametrize("kind", ["bluestore", "memstore"])
def test_a_store_is_made_once_and_says_whose_it_is(conf, tmp_path, kind, capsys):
    identity = str(uuid.uuid4())
    words = ("--osd-objectstore", kind)
    assert run(conf, "--mkfs", "--mkkey", "--osd-uuid", identity, *words) == 0
    folder = tmp_path / "osd.3"
    assert (folder / "ready").exists()
    assert stat.S_IMODE((folder / "keyring").stat().st_mode) == 0o600
    key = (folder / "keyring").read_text()
    assert "[osd.3]" in key
    capsys.readouterr()
    assert run(conf, "--get-osd-fsid", *words) == 0
    assert run(conf, "--get-cluster-fsid", *words) == 0
    assert capsys.readouterr().out.split() == [identity, FSID]
    # Once more is the same; another identity is not.
    assert run(conf, "--mkfs", "--mkkey", *words) == 0
    assert (folder / "keyring").read_text() == key
    with pytest.raises(InvalidArgument, match="was made for osd fsid"):
        run(conf, "--mkfs", "--osd-uuid", str(uuid.uuid4()), *words)


def test_a_store_on_disk_keeps_its_superblock(conf, tmp_path):
    assert run(conf, "--mkfs") == 0
    config = Config(Identity("osd", "3"), daemon=True)
    store = open_store(config, tmp_path / "osd.3", lambda call: call(), threaded=False)
    assert isinstance(store, DiskStore)
    store.mount()
    assert open_superblock(store, 3).whoami == 3
    with pytest.raises(InvalidArgument, match=r"that of osd\.3, not of osd\.4"):
        open_superblock(store, 4)
    store.umount()
    config.set("osd_objectstore", "memstore")
    config.apply_changes()
    with pytest.raises(InvalidArgument, match="of type spirula, not memstore"):
        open_store(config, tmp_path / "osd.3", lambda call: call())


def test_a_store_in_memory_begins_anew(tmp_path):
    store = MemoryStore(tmp_path, lambda call: call(), 1 << 20)
    fsid, identity = uuid.UUID(FSID), uuid.uuid4()
    make_store(store, cluster_fsid=fsid.bytes, osd_fsid=identity.bytes, whoami=3)
    again = MemoryStore(tmp_path, lambda call: call(), 1 << 20)
    again.mount_made({"ceph_fsid": FSID, "fsid": str(identity)}, 3)
    assert again.collection_exists(META)
    assert open_superblock(again, 3).osd_fsid == identity.bytes
    with pytest.raises(NotFound):
        again.read_meta("nothing")


def test_the_cluster_is_told_by_a_monitor_map(conf, tmp_path, capsys):
    monmap = tmp_path / "monmap"
    monmap.write_bytes(MonMap(fsid=uuid.UUID(int=7).bytes).encode())
    assert run(conf, "--mkfs", "--monmap", str(monmap)) == 0
    capsys.readouterr()
    run(conf, "--get-cluster-fsid")
    assert capsys.readouterr().out.strip() == str(uuid.UUID(int=7))


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        (["-i", "x"], InvalidArgument, "the osd number, not 'x'"),
        (["-i", "3", "--mkfs", "--nonsense"], InvalidArgument, "--nonsense"),
        (["-i", "3", "--mkfs", "--osd-objectstore", "filestore"], InvalidArgument, "filestore"),
        (["-i", "3", "--get-osd-fsid"], NotFound, "--mkfs"),
        (["-i", "3"], NotFound, "--mkfs"),
        (["-i", "3", "--mkfs", "--monmap", "/nowhere"], NotFound, "/nowhere"),
        (["-i", "3", "--mkfs", "--fsid", str(uuid.UUID(int=0))], InvalidArgument, "--monmap"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(conf, words, error, text):
    try:
        with pytest.raises(error, match=text):
            osd.main(["-c", str(conf), *words])
    finally:
        asyncio.set_event_loop(None)


def test_where_an_osd_listens():
    config = Config(Identity("osd", "3"), daemon=True)
    monitors = [EntityAddrVec.parse("v2:127.0.0.1:3300/0")]
    assert pick_address(config, "public", monitors).addrs[0].host == "127.0.0.1"
    config.set("public_addr", "10.1.2.3")
    config.set("cluster_network", "127.0.0.0/8")
    config.apply_changes()
    assert pick_address(config, "public", monitors).addrs[0].host == "10.1.2.3"
    assert pick_address(config, "cluster", monitors).addrs[0].host == "127.0.0.1"
    for wrong, text in (("240.1.2.0/24", "unable to find any IP"), ("here", "is not a network")):
        config.set("cluster_network", wrong)
        config.apply_changes()
        with pytest.raises(InvalidArgument, match=text):
            pick_address(config, "cluster", monitors)
    config.set("cluster_network", "")
    config.apply_changes()
    with pytest.raises(InvalidArgument, match="set cluster_addr"):
        pick_address(config, "cluster")
    assert interface_of(EntityAddrVec.parse("v2:127.0.0.1:0/0")) == "lo"
    assert interface_of(EntityAddrVec()) == ""
    assert system_metadata()["hostname"]


@pytest.mark.parametrize(("told", "turning"), [("1\n", True), ("0\n", False), (None, False)])
@pytest.mark.parametrize("is_partition", [False, True])
def test_a_disk_says_whether_it_turns(tmp_path, told, turning, is_partition):
    file = tmp_path / "block"
    file.touch()
    number = file.stat().st_dev
    disk = tmp_path / "devices" / "vda"
    device = disk / "vda1" if is_partition else disk
    (disk / "queue").mkdir(parents=True)
    device.mkdir(exist_ok=True)
    if told is not None:
        (disk / "queue" / "rotational").write_text(told)
    links = tmp_path / "links"
    links.mkdir()
    (links / f"{os.major(number)}:{os.minor(number)}").symlink_to(device)
    assert turns(file, links) == turning


def test_a_store_tells_of_its_disk(tmp_path, monkeypatch):
    config = Config(Identity("osd", "3"), daemon=True)
    make_folder(config, tmp_path / "osd", uuid.uuid4())
    monkeypatch.setattr(osd_store, "turns", lambda path: path.name == "block")
    found = open_store(config, tmp_path / "osd", lambda call: call()).metadata()
    assert found == {"rotational": "1", "journal_rotational": "0", "default_device_class": "hdd"}
