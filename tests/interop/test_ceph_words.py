"""Words typed behind `ceph`: what Debian's makes of them, and what we do, on many lines.

Lines are made of our monitor's own descriptions: right ones, and those with words left out, added,
misspelt, out of range, by name and in another order. No cluster is needed.
"""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from spirula.cli.ceph.descriptions import Signature, parse_descriptions
from spirula.cli.ceph.matching import NoSuchCommand, find_command
from tests.unit.mon.harness import HarnessMonitor

PYTHON = "/usr/bin/python3"
PEER = Path(__file__).with_name("argparse_peer.py")
VALUES = {
    "CephInt": ["0", "3", "-1", "0x10", "101", "99999999999", "3.5"],
    "CephFloat": ["0.5", "1", "-2", "abc", "7"],
    "CephString": ["word", "a=b", "größe", "[]", "--force", "a,b"],
    "CephPoolname": ["pool", ""],
    "CephObjectname": ["thing"],
    "CephBool": ["true", "0", "yes", "False"],
    "CephPgid": ["1.0", "1.xz", "1", "-1.0", "a.0"],
    "CephName": ["osd.1", "mon.a", "osd.x", "*", "nobody.1", "osd"],
    "CephOsdName": ["osd.1", "1", "*", "osd.x", "mon.1", "-1"],
    "CephUUID": ["a2c9f0e5-9e4c-4c0a-9d39-36a43b3b8f6f", "a2c9"],
    "CephIPAddr": ["1.2.3.4", "1.2.3.4:99", "1.2.3", "v1:1.2.3.4:6789", "::1"],
    "CephEntityAddr": ["1.2.3.4:0/3", "1.2.3.4/x", "1.2.3.4"],
    "CephFilepath": ["/etc/hostname", "/nowhere/at/all"],
    "CephFragment": ["0x1/2", "1/2"],
    "CephSocketpath": [],
}


@pytest.fixture(scope="module")
def descriptions() -> dict[str, object]:
    if not Path(PYTHON).exists():
        pytest.skip("there is no Python of the system")
    asked = [PYTHON, "-c", "import ceph_argparse"]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("Debian's ceph_argparse is not installed")
    commands = HarnessMonitor().mon.commands.all()
    return {f"cmd{number:03}": each.describe() for number, each in enumerate(commands)}


def words_for(signature: Signature, chance: random.Random) -> list[str]:
    """A line that may be right."""
    words: list[str] = []
    for parameter in signature.parameters:
        kind = parameter.kind
        if not parameter.required and chance.random() < 0.5:
            continue
        if kind.is_prefix:
            words.append(kind.shown)
            continue
        known = list(kind.words) or VALUES[kind.type]
        if not known:
            continue
        for _ in range(chance.choice([1, 1, 2]) if parameter.repeated else parameter.count):
            value = known[0] if chance.random() < 0.7 else chance.choice(known)
            name = chance.choice([parameter.name, parameter.name.replace("_", "-")])
            form = chance.random()
            if form < 0.7:
                words.append(value)
            elif form < 0.85:
                words.append(f"--{name}={value}")
            elif kind.type == "CephBool":
                words.append(f"--{name}")
            else:
                words += [f"--{name}", value]
    return words


def spoiled(words: list[str], chance: random.Random) -> list[str]:
    """The line with something wrong."""
    words = list(words)
    place = chance.randrange(len(words) + 1)
    match chance.randrange(6):
        case 0 if words:
            del words[place % len(words)]
        case 1:
            words.insert(place, chance.choice(["more", "--more", "--more=1", "7", ""]))
        case 2 if words:
            words[place % len(words)] = words[place % len(words)][:-1]
        case 3:
            words = words[:place]
        case 4:
            chance.shuffle(words)
        case _:
            words.append("--yes-i-really-mean-it")
    return words


def ours(signatures: list[Signature], words: list[str]) -> tuple[object, str]:
    try:
        return json.loads(json.dumps(find_command(signatures, words))), ""
    except NoSuchCommand as error:
        return {}, f"{error}\n"


def plain(complaint: str) -> str:
    """Without the order of characters, which sets give."""
    if "invalid chars" in complaint:
        return complaint.split("invalid chars", maxsplit=1)[0]
    return complaint


def test_words_become_the_same_commands(descriptions, scale: int) -> None:
    chance = random.Random(20 + scale)
    signatures = parse_descriptions(json.dumps(descriptions).encode())
    lines = []
    for signature in chance.sample(signatures, min(25 * scale, len(signatures))):
        right = words_for(signature, chance)
        lines += [right, spoiled(right, chance)]
    told = subprocess.run(
        [PYTHON, str(PEER)],
        input=json.dumps({"descriptions": descriptions, "lines": lines}),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    different, commands = [], 0
    for words, theirs in zip(lines, json.loads(told.stdout), strict=True):
        if theirs is None:
            continue
        found = ours(signatures, words)
        commands += bool(theirs[0])
        if (theirs[0], plain(theirs[1])) != (found[0], plain(found[1])):
            different.append(f"{words}\n  Debian's: {theirs}\n  ours:     {found}")
    assert not different, "\n".join(different)
    assert len(lines) / 5 < commands < len(lines)
