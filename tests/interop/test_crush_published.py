"""Upstream's own scripts for crushtool, run against ours.

SPIRULA_CRUSH_MAPS names the folder with them (`src/test/cli/crushtool` of Ceph 16). They are for
cram: commands behind `$`, what must follow them, and a status in brackets where it is not 0.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PUBLISHED = os.environ.get("SPIRULA_CRUSH_MAPS", "")
SCRIPTS = sorted(Path(PUBLISHED).glob("*.t")) if PUBLISHED else []
MARK = "--- crushtool test"
OTHER_WORDS = {
    # our own usage, and reasons behind refusals that upstream does not give
    "help.t",
    "check-invalid-map.t",
    "check-overlapped-rules.t",
    "compile-decompile-recompile.t",
}

pytestmark = pytest.mark.skipif(
    not SCRIPTS, reason="SPIRULA_CRUSH_MAPS names no folder of published scripts"
)


@dataclass
class Command:
    """A command of a script and the lines that it must print."""

    lines: list[str]
    expected: list[str] = field(default_factory=list)


def commands_of(script: str) -> list[Command]:
    found: list[Command] = []
    for line in script.split("\n"):
        if line.startswith("  $ "):
            found.append(Command([line[4:]]))
        elif line.startswith("  > "):
            found[-1].lines.append(line[4:])
        elif line.startswith("  "):
            found[-1].expected.append(line[2:])
    return found


def run(commands: list[Command], folder: Path) -> list[list[str]]:
    """What each command prints, and its status in brackets if that is not 0."""
    program = folder / "bin" / "crushtool"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m spirula crushtool "$@"\n')
    program.chmod(0o755)
    script = "".join("\n".join(command.lines) + f'\necho "{MARK} $?"\n' for command in commands)
    ended = subprocess.run(
        ["bash", "-"],
        input=script,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "TESTDIR": PUBLISHED},
        timeout=150,
        check=False,
    )
    printed: list[list[str]] = [[]]
    for line in ended.stdout.split("\n"):
        before, mark, status = line.partition(f"{MARK} ")
        if not mark:
            printed[-1].append(line)
            continue
        if before:
            printed[-1].append(f"{before} (no-eol)")
        if status != "0":
            printed[-1].append(f"[{status}]")
        printed.append([])
    return printed[: len(commands)]


def fits(expected: str, line: str) -> bool:
    if expected.endswith(" (esc)"):
        return expected[:-6].encode().decode("unicode_escape") == line
    if expected.endswith(" (re)"):
        return re.fullmatch(expected[:-5], line) is not None
    return expected == line


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_published_scripts(path: Path, tmp_path: Path) -> None:
    if path.name in OTHER_WORDS:
        pytest.skip("it is about words on stderr or the usage, which are ours")
    commands = commands_of(path.read_text())
    for command, printed in zip(commands, run(commands, tmp_path), strict=True):
        assert len(printed) == len(command.expected), command.lines
        for expected, line in zip(command.expected, printed, strict=True):
            assert fits(expected, line), command.lines
