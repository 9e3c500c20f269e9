"""Debian's crushtool for many files at a time, since it takes longer to start than to work.

Now and then it never comes back; the same call does the next time. Callers: tests of maps as text
and of edits.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

TIMEOUTS_S = (3, 3, 10)
"""Of one try after the other; a busy machine may need the last one."""
HUNG = 124


class Ran(NamedTuple):
    """What became of one file: crushtool's exit status and what it wrote, if anything."""

    status: int
    out: bytes


def batch(folder: Path, arguments: str, inputs: Iterable[bytes]) -> list[Ran]:
    """`crushtool ARGUMENTS` for each input, in two rows; IN and OUT stand for its files.

    What it prints is left in `N.log` for the input number N, counted from 1.
    """
    count = 0
    for count, content in enumerate(inputs, 1):
        (folder / f"{count}.in").write_bytes(content)
    command = arguments.replace("IN", "$n.in").replace("OUT", "$n.out")
    tries = " ".join(map(str, TIMEOUTS_S))
    once = f"timeout $t crushtool {command} >$n.log 2>$n.err"
    each = f"for t in {tries}; do {once}; s=$?; [ $s = {HUNG} ] || break; done"
    script = f"for n; do {each}; echo $s >$n.status; done"
    numbers = "\n".join(str(number) for number in range(1, count + 1))
    subprocess.run(
        ["xargs", "-P2", "-n25", "sh", "-c", script, "sh"],
        input=numbers,
        text=True,
        check=True,
        cwd=folder,
        env={"PATH": os.environ.get("PATH", "")},
    )
    ran = []
    for number in range(1, count + 1):
        out = folder / f"{number}.out"
        status = int((folder / f"{number}.status").read_text())
        ran.append(Ran(status, out.read_bytes() if out.exists() else b""))
    return ran


def crushtool(arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
    """One call where we are, in whose output and status all is shown."""
    for timeout_s in (10, 20, 60):
        try:
            return subprocess.run(
                ["crushtool", *arguments], capture_output=True, check=False, timeout=timeout_s
            )
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"crushtool {arguments} hangs each time")
