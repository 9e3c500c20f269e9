"""Caps as a real monitor judges them: which texts it stores, and which commands it lets through."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from spirula.auth.caps import InvalidCaps, mon, parse
from spirula.auth.caps.constraint import command_arguments
from spirula.types.entity import EntityAddr
from tests.interop.realcluster import ENVIRONMENT, RealCluster

PEER = Path(__file__).with_name("caps_peer.py")
VERDICTS = Path(__file__).parents[1] / "unit" / "auth" / "caps" / "verdicts.json"

WORDS = [
    *("allow", "profile", "service", "module", "command", "with", "prefix", "regex", "network"),
    *("fsname", "pool", "namespace", "object_prefix", "tag", "class", "class-read", "path", "uid"),
    *("gids", "root_squash", "*", "all", "r", "rw", "rwx", "rwf", "rwps", "x", "rbd", "crash"),
    *("10.0.0.0/8", "1", "2,3", '""', "'a b'", '"open', "é", "k=v", "k = v", ",", ";", "="),
]
GAPS = [" ", " ", " ", "", "  ", "\t", "\n", "\v", "\r", ", ", " ; ", "="]


def ask(cluster: RealCluster, request: dict[str, Any]) -> dict[str, Any]:
    ended = subprocess.run(
        ["/usr/bin/python3", str(PEER), str(cluster.conf)],
        input=json.dumps({"texts": [], "caps": [], "commands": []} | request),
        env=ENVIRONMENT,
        cwd=cluster.folder,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    if "No module named 'rados'" in ended.stderr:
        pytest.skip("no python3-rados here: install what requirements/debian.txt lists")
    assert ended.returncode == 0, ended.stderr
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


def ours(service: str, text: str) -> str | None:
    try:
        parse(service, text)
    except InvalidCaps as refused:
        return refused.reply
    return None


def mutated(rng: random.Random, seeds: list[tuple[str, str]]) -> tuple[str, str]:
    """Words in any order, or a text somewhat damaged."""
    service, text = rng.choice(seeds)
    if rng.random() < 0.25:
        return service, "".join(
            rng.choice(WORDS) + rng.choice(GAPS) for _ in range(rng.randrange(1, 9))
        )
    for _ in range(rng.randrange(1, 3)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice([*WORDS, *GAPS, ""]) + text[at + rng.randrange(3) :]
    return service, text


def test_the_same_texts_are_caps(real_cluster: RealCluster) -> None:
    verdicts = json.loads(VERDICTS.read_text())["verdicts"]
    table = [(service, text) for service, text, _ in verdicts]
    good = [(service, text) for service, text, reply in verdicts if reply is None]
    rng = random.Random(16)
    texts = table + [mutated(rng, good) for _ in range(6000)]
    theirs = ask(real_cluster, {"texts": texts})["refusals"]
    different = [
        (service, text, reply, ours(service, text))
        for (service, text), reply in zip(texts, theirs, strict=True)
        if ours(service, text) != reply
    ]
    assert different == []
    assert theirs.count(None) > 500
    assert len(theirs) - theirs.count(None) > 500


CAPS = [
    "allow *",
    "allow r",
    "allow rw",
    "allow rwx",
    "allow x",
    "profile read-only",
    "profile read-write",
    "profile rbd",
    "profile rbd-mirror",
    "profile rbd-mirror-peer",
    "profile simple-rados-client",
    "profile simple-rados-client-with-blocklist",
    "profile crash",
    "profile role-definer",
    "profile mgr",
    "profile osd",
    "profile mds",
    "profile bootstrap-osd",
    "profile fs-client",
    "profile cephfs-mirror",
    "profile unheard-of",
    "allow service osd rw, allow service mon r",
    "allow r, allow command 'config-key get' with key=a",
    "allow r, allow command 'config-key get' with key prefix rbd/mirror/",
    "allow r, allow command 'config-key get' with key regex '^[ab]{1,3}$'",
    "allow r network 127.0.0.0/8, allow w network 10.0.0.0/8",
    "allow r network [127.0.0.0]/8, allow service osd r",
]
COMMANDS = [
    {"prefix": "status"},
    {"prefix": "osd dump"},
    {"prefix": "pg stat"},
    {"prefix": "fs dump"},
    {"prefix": "auth ls"},
    {"prefix": "config dump"},
    {"prefix": "config-key get", "key": "a"},
    {"prefix": "config-key get", "key": "abb"},
    {"prefix": "config-key get", "key": "rbd/mirror/x"},
    {"prefix": "config-key get", "key": "rbd/mirror/peer/1"},
    {"prefix": "config-key get", "key": "cephfs/mirror/peer/1"},
    {"prefix": "config-key exists", "key": "daemon-private/client.caps-peer/x"},
    {"prefix": "config-key dump"},
    {"prefix": "osd blocklist", "blocklistop": "rm", "addr": "127.0.0.1:0/1"},
    {"prefix": "osd pool rm", "pool": "nothing-of-this-name"},
    {"prefix": "log last", "num": "1"},
    {"prefix": "mon getmap"},
]


def test_the_same_commands_are_let_through(real_cluster: RealCluster) -> None:
    answer = ask(real_cluster, {"caps": CAPS, "commands": COMMANDS})
    different = []
    for text, verdicts in zip(CAPS, answer["verdicts"], strict=True):
        caps = mon.parse(text)
        for command, (service, letters), verdict in zip(
            COMMANDS, answer["known"], verdicts, strict=True
        ):
            mine = caps.is_capable(
                "client.caps-peer",
                service,
                command["prefix"],
                command_arguments(command),
                read="r" in letters,
                write="w" in letters,
                execute="x" in letters,
                address=EntityAddr.of("127.0.0.1", 0),
            )
            if mine != verdict:
                different.append((text, command, service, letters, verdict, mine))
    assert different == []
