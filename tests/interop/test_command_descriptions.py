"""The commands that our monitor describes to clients beside those of 16.2."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.interop.test_ceph_command import spirula_ceph
from tests.unit.mon.harness import HarnessMonitor

REFERENCE = Path(
    os.environ.get("SPIRULA_REFERENCE", Path(__file__).parents[3] / "shared" / "reference")
)
COMMANDS = REFERENCE / "commands-16.2.json"

FILE_SYSTEMS = {
    *("fs add_data_pool", "fs authorize", "fs compat", "fs compat show", "fs dump", "fs fail"),
    *("fs feature ls", "fs flag set", "fs get", "fs ls", "fs mirror disable", "fs mirror enable"),
    *("fs mirror peer_add", "fs mirror peer_remove", "fs new", "fs required_client_features"),
    *("fs reset", "fs rm", "fs rm_data_pool", "fs set", "fs set-default", "fs set_default"),
    *("mds add_data_pool", "mds cluster_down", "mds cluster_up", "mds compat rm_compat"),
    *("mds compat rm_incompat", "mds compat show", "mds count-metadata", "mds deactivate"),
    *("mds dump", "mds fail", "mds freeze", "mds getmap", "mds newfs", "mds ok-to-stop"),
    *("mds remove_data_pool", "mds repaired", "mds rm", "mds rm_data_pool", "mds rmfailed"),
    *("mds set", "mds set_max_mds", "mds set_state", "mds stat", "mds stop", "mds tell"),
    "mds versions",
}
"""Left out on purpose: there are no file systems yet."""
MISSING: set[str] = set()
"""What is still to be done, of all others."""


@pytest.fixture(scope="module")
def ours() -> list[dict[str, object]]:
    return [command.describe() for command in HarnessMonitor().mon.commands.all()]


def prefix(command) -> str:
    words = []
    for word in command["sig"]:
        if not isinstance(word, str):
            break
        words.append(word)
    return " ".join(words)


@pytest.mark.skipif(not COMMANDS.is_file(), reason="no reference list of commands")
def test_every_command_is_described_as_in_the_reference(ours):
    """The reference holds one signature of each prefix, and leaves `goodchars` out."""
    listed = json.loads(COMMANDS.read_text())
    reference = {name: one for name, one in listed.items() if one["handled_by"] == "mon"}
    assert len(reference) == 297
    described: dict[str, list[dict[str, object]]] = {}
    for command in ours:
        arguments = [dict(word) for word in command["sig"] if isinstance(word, dict)]
        for argument in arguments:
            argument.pop("goodchars", None)
        shown = {
            "args": arguments,
            "flags": int(command["flags"]),
            "module": command["module"],
            "perm": command["perm"],
        }
        described.setdefault(prefix(command), []).append(shown)
    assert set(described) <= set(reference), "commands that nobody knows"
    assert set(reference) - set(described) == FILE_SYSTEMS | MISSING
    differing = {
        name: (found, reference[name])
        for name, found in described.items()
        if {key: value for key, value in reference[name].items() if key != "handled_by"}
        not in found
    }
    assert not differing


def test_every_command_is_described_as_by_a_real_monitor(ours, real_cluster):
    """To the last letter, but for the help, which is ours."""
    done = spirula_ceph(real_cluster, json.dumps({"prefix": "get_command_descriptions"}))
    told = json.loads(done.stdout)
    theirs = {canonical(command) for command in told.values() if not command["flags"] & 8}
    mine = {canonical(command) for command in ours}
    assert not mine - theirs
    lacking = {prefix({"sig": json.loads(one)["sig"]}) for one in theirs - mine}
    assert lacking <= FILE_SYSTEMS | MISSING


def canonical(command) -> str:
    shown = {key: command[key] for key in ("sig", "module", "perm")}
    return json.dumps({**shown, "flags": int(command["flags"])}, sort_keys=True)
