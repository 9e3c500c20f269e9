"""A cluster's directory: made, refused, found again."""

from __future__ import annotations

import json
import socket
import stat

import pytest

from spirula.cluster.create import create, free_ports
from spirula.cluster.layout import Layout
from spirula.conf.file import parse_conf
from spirula.errors import Exists, InvalidArgument, NotFound
from spirula.mon.mkfs import find_monmap, is_made
from spirula.store.sqlite import SqliteKeyValueStore


def test_a_cluster_is_found_again(tmp_path):
    made = create(tmp_path / "c", 3, {"mon allow pool delete": "true"})
    found = Layout.load(tmp_path / "c")
    assert found == made
    assert found.daemons() == ["mon.a", "mon.b", "mon.c"]
    conf = parse_conf(found.conf.read_bytes(), "ceph.conf")
    settings = conf.sections["global"]
    assert settings["mon_allow_pool_delete"].value == "true"
    assert settings["keyring"].value == str(found.admin_keyring)
    assert stat.S_IMODE(found.admin_keyring.stat().st_mode) == 0o600


def test_osds_have_keys_that_the_monitors_know(tmp_path):
    made = create(tmp_path / "c", 1, osds=3)
    found = Layout.load(tmp_path / "c")
    assert found == made
    assert found.daemons() == ["mon.a", "osd.0", "osd.1", "osd.2"]
    assert len({place.uuid for place in found.osds}) == 3
    for number in range(3):
        keyring = tmp_path / "c" / f"osd.{number}" / "keyring"
        assert stat.S_IMODE(keyring.stat().st_mode) == 0o600
        assert f"[osd.{number}]" in keyring.read_text()
    conf = parse_conf(found.conf.read_bytes(), "ceph.conf")
    assert conf.sections["global"]["osd_crush_chooseleaf_type"].value == "0"
    assert conf.sections["global"]["osd_pool_default_size"].value == "3"
    alone = parse_conf(create(tmp_path / "d", 1, osds=1).conf.read_bytes(), "ceph.conf")
    assert alone.sections["global"]["osd_pool_default_size"].value == "1"
    with pytest.raises(InvalidArgument, match="up to 100"):
        create(tmp_path / "e", 1, osds=101)


def test_a_directory_from_before_there_were_osds_has_none(tmp_path):
    made = create(tmp_path / "c", 1)
    path = made.directory / "cluster.json"
    document = json.loads(path.read_text())
    del document["osds"]
    path.write_text(json.dumps(document))
    assert Layout.load(made.directory) == made


def test_stores_hold_the_same_first_map(tmp_path):
    layout = create(tmp_path / "c", 3)
    fsids = set()
    for name in "abc":
        store = SqliteKeyValueStore(layout.directory / f"mon.{name}" / "store.db", lambda f: f())
        assert is_made(store)
        monmap = find_monmap(store)
        store.close()
        assert monmap.ranks == ["a", "b", "c"]
        assert monmap.epoch == 0
        fsids.add(bytes(monmap.fsid))
    assert len(fsids) == 1


def test_no_two_clusters_are_the_same(tmp_path):
    one, other = create(tmp_path / "one", 1), create(tmp_path / "other", 1)
    assert one.fsid != other.fsid
    assert one.admin_keyring.read_text() != other.admin_keyring.read_text()


@pytest.mark.parametrize("mons", [0, -1, 16])
def test_so_many_monitors_cannot_be(tmp_path, mons):
    with pytest.raises(InvalidArgument, match="from 1 to 15"):
        create(tmp_path / "c", mons)
    assert not (tmp_path / "c").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(Exists, match=r"thesis\.tex"):
        create(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_is_half_made_is_made_anew(tmp_path):
    layout = create(tmp_path / "c", 2)
    (tmp_path / "c" / "cluster.json").unlink()
    with pytest.raises(NotFound, match="spirula up"):
        Layout.load(tmp_path / "c")
    again = create(tmp_path / "c", 2)
    assert again.fsid != layout.fsid


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fsid": "x", "mons": [1]}', "nonsense"])
def test_a_damaged_description_is_named(tmp_path, text):
    (tmp_path / "cluster.json").write_text(text)
    with pytest.raises(InvalidArgument, match=r"cluster\.json is damaged"):
        Layout.load(tmp_path)


def test_the_description_is_plain_json(tmp_path):
    create(tmp_path / "c", 1)
    found = json.loads((tmp_path / "c" / "cluster.json").read_text())
    assert set(found) == {"fsid", "mons", "osds", "mgrs"}


def test_nobody_else_is_given_a_port_before_a_daemon_listens_there():
    ports = free_ports(6)
    assert len({*ports, *free_ports(6)}) == 12
    for port in ports:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port)) as daemon:
            assert daemon.getsockname()[1] == port
