"""The map of file systems: empty, but there for those who wait for it."""

from __future__ import annotations

import pytest

from spirula.messages.fsmap import MFSMap, MFSMapUser
from spirula.types.fsmap import EmptyFSMap, FSMapUser
from tests.unit.mon.harness import HarnessMonitor


@pytest.fixture
def mon():
    return HarnessMonitor()


def test_subscribers_get_an_empty_map(mon):
    (full,) = mon.subscribe("fsmap")
    assert isinstance(full, MFSMap)
    read = EmptyFSMap.decode(full.fsmap.encode())
    assert (read.epoch, read.filesystems, read.legacy_client_fscid) == (1, 0, -1)
    assert read.compat.incompat.names[10] == "snaprealm v2"
    (user,) = mon.subscribe("fsmap.user")
    assert isinstance(user, MFSMapUser)
    assert FSMapUser.decode(user.fsmap.encode()).filesystems == []
    assert mon.subscribe("mdsmap") == []
    assert mon.subscribe("fsmap", 2, session=mon.session("client.x", "allow r")) == []


def test_it_takes_caps(mon):
    assert mon.subscribe("fsmap", session=mon.session("client.x", "allow service mon r")) == []


def test_it_outlives_a_restart(mon):
    assert mon.restart().ok("status", format="json")["fsmap"]["epoch"] == 1


def test_there_are_no_metadata_servers(mon):
    assert mon.ok("mds metadata") == "[]\n"
    answer = mon.command("mds metadata", who="a")
    assert (answer.r, answer.rs) == (-22, "MDS named 'a' does not exist, or is not up")
