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

TIMEOUT_S = 3
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
    once = f"timeout {TIMEOUT_S} crushtool {command} >$n.log 2>$n.err"
    again = f"if [ $s = {HUNG} ]; then {once}; s=$?; fi"
    script = f"for n; do {once}; s=$?; {again}; echo $s >$n.status; done"
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
