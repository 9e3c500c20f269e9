"""Real clients log in to three of our monitors: what they may do, and options they are sent."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.interop.realcluster import ENVIRONMENT, why_not

PEER = Path(__file__).parent / "keys_peer.py"
SPIRULA = (sys.executable, "-m", "spirula")


@pytest.fixture(scope="module")
def folder():
    if reason := why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="spirula-", ignore_cleanup_errors=True) as name:
        place = Path(name) / "c"
        subprocess.run(
            [*SPIRULA, "up", "--dir", place, "--mons", "3"], check=True, capture_output=True
        )
        try:
            yield place
        finally:
            subprocess.run([*SPIRULA, "down", "--dir", place], check=True, capture_output=True)


def run(folder, *words):
    environment = {**ENVIRONMENT, "CEPH_CONF": str(folder / "ceph.conf")}
    return subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.mark.slow
def test_each_monitor_lets_clients_do_what_they_may(folder):
    mons = json.loads(run(folder, "ceph", "mon", "dump", "-f", "json"))["mons"]
    ids = []
    for mon in mons:
        addrs = ",".join(f"{one['type']}:{one['addr']}/0" for one in mon["public_addrs"]["addrvec"])
        conf = str(folder / "ceph.conf")
        found = json.loads(run(folder, "/usr/bin/python3", str(PEER), conf, f"[{addrs}]"))
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
def test_keyrings_go_to_and_fro_between_the_tools(folder):
    made = folder / "made.keyring"
    run(folder, "ceph-authtool", "-C", str(made), "-g", "-n", "client.t", "--cap", "mon", "allow r")
    run(folder, "ceph", "auth", "import", "-i", str(made))
    got = folder / "got.keyring"
    run(folder, "ceph", "auth", "get", "client.t", "-o", str(got))
    assert got.read_text() == made.read_text()
    listed = run(folder, "ceph-authtool", "-l", str(got))
    assert "client.t" in listed
    status = run(folder, "ceph", "-n", "client.t", "--keyring", str(got), "-s", "-f", "json")
    assert len(json.loads(status)["quorum"]) == 3
