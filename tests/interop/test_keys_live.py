"""Real clients log in to three of our monitors: what they may do, and options they are sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.interop.realcluster import why_not
from tests.interop.spirulacluster import our_cluster, wait_until

PEER = Path(__file__).parent / "keys_peer.py"


@pytest.fixture(scope="module")
def cluster():
    if reason := why_not():
        pytest.skip(reason)
    with our_cluster(3) as made:
        yield made


@pytest.mark.slow
def test_each_monitor_lets_clients_do_what_they_may(cluster):
    mons = cluster.ceph_json("mon", "dump")["mons"]
    ids = []
    for mon in mons:
        addrs = ",".join(f"{one['type']}:{one['addr']}/0" for one in mon["public_addrs"]["addrvec"])
        peer = ("/usr/bin/python3", str(PEER), str(cluster.conf), f"[{addrs}]")
        found = json.loads(cluster.run(*peer, timeout_s=150))
        ids += found.pop("ids")
        assert found == {
            "reader": {
                "osd dump": 0,
                "config-key get": -13,
                "config-key dump": -13,
                "auth get": -13,
                "config set": -13,
            },
            "lockbox": {"its own": [0, "secret"], "another": -13},
            "told": ["67108864", "false"],
            "told back": "true",
            "promoted": [0, "secret"],
            "removed": "PermissionDeniedError",
            "wrong key": "PermissionDeniedError",
        }
    assert len(set(ids)) == len(ids)


@pytest.mark.slow
def test_keyrings_go_to_and_fro_between_the_tools(cluster):
    made = cluster.folder / "made.keyring"
    cluster.run("ceph-authtool", "-C", str(made), "-g", "-n", "client.t", "--cap", "mon", "allow r")
    cluster.run("ceph", "auth", "import", "-i", str(made))
    got = cluster.folder / "got.keyring"
    cluster.run("ceph", "auth", "get", "client.t", "-o", str(got))
    assert got.read_text() == made.read_text()
    listed = cluster.run("ceph-authtool", "-l", str(got))
    assert "client.t" in listed
    words = ("ceph", "-n", "client.t", "--keyring", str(got), "-s", "-f", "json")
    wait_until(lambda: len(json.loads(cluster.run(*words))["quorum"]) == 3)
