"""The same commands about keys, options and config-key on a real monitor and on ours, compared."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from tests.interop.command_steps import Answer, comparable
from tests.interop.commands_auth import CONFIG_KEYS, KEYS
from tests.interop.commands_config import OPTIONS
from tests.interop.realcluster import ENVIRONMENT
from tests.unit.mon.harness import FSID, HarnessMonitor

PEER = Path(__file__).parent / "command_peer.py"
MGR = b"""\
[mgr.x]
\tkey = AQBKbxhfAAAAABAAPqlu8jXYhKkHfMMaAcKYyA==
\tcaps mds = "allow *"
\tcaps mon = "allow profile mgr"
\tcaps osd = "allow *"
"""


@pytest.fixture(scope="module")
def peer(real_ceph):
    with real_ceph(osds=0) as cluster:
        yield cluster


def theirs(peer, steps):
    """The answers of a real monitor."""
    asked = [
        [command, base64.b64encode(step.data).decode()]
        for step in steps
        for command in step.commands()
    ]
    ended = subprocess.run(
        ["/usr/bin/python3", str(PEER), str(peer.conf)],
        env=ENVIRONMENT,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [
        Answer(rc, outs, base64.b64decode(output)) for rc, outs, output in json.loads(ended.stdout)
    ]


def ours(steps):
    """The answers of one of ours, that has the same principals."""
    mon = HarnessMonitor()
    own = mon.keyring.names()[0]
    mon.mon.auth.key_server.extra[own] = mon.keyring.keys[own]
    mon.ok("auth import", MGR)
    answers = []
    for step in steps:
        for command in step.commands():
            ack = mon.command(data=step.data, **command)
            answers.append(Answer(ack.r, ack.rs, bytes(ack.data)))
    return answers


@pytest.mark.parametrize(
    "steps", [OPTIONS, KEYS, CONFIG_KEYS], ids=["options", "keys", "config-keys"]
)
def test_answers_are_those_of_a_real_monitor(peer, steps):
    asked = [(step, command) for step in steps for command in step.commands()]
    both = zip(asked, ours(steps), theirs(peer, steps), strict=True)
    different = []
    for (step, command), mine, real in both:
        left = comparable(step, command, mine, str(FSID))
        right = comparable(step, command, real, peer.fsid)
        if left != right:
            different.append((command, left, right))
    assert different == []
