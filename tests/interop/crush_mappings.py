"""What `crushtool --test --show-mappings` says about a map, as numbers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from spirula.crush.wire import CrushWrapper
from tests.interop import newer

FULL = 0x10000
INPUTS = 8
NEWER_TOOL = ("chroot", newer.ROOT, "crushtool")
_LINE = re.compile(r"CRUSH rule (\d+) x (\d+) \[([\d,]*)\]")


def crushtool_mappings(
    crush: CrushWrapper,
    weights: list[int],
    count: int,
    path: Path,
    tool: tuple[str, ...] = ("crushtool",),
    inputs: int = INPUTS,
) -> dict[int, list[list[int]]]:
    """The devices of each input by rule. `path` is where the map may be written for the tool."""
    path.write_bytes(crush.encode())
    seen = newer.inside(str(path)) if tool is NEWER_TOOL else str(path)
    words = [*tool, "-i", seen, "--test", "--show-mappings", "--num-rep", str(count)]
    words += ["--min-x", "0", "--max-x", str(inputs - 1)]
    for device, weight in enumerate(weights):
        if weight != FULL and device in crush.item_names:
            words += ["--weight", str(device), repr(weight / FULL)]
    found: dict[int, list[list[int]]] = {}
    for match in map(_LINE.fullmatch, _run(words).splitlines()):
        if match is not None:
            assert int(match[2]) == len(found.setdefault(int(match[1]), []))
            found[int(match[1])].append([int(device) for device in match[3].split(",") if device])
    return found


def _run(words: list[str]) -> str:
    for _ in range(2):
        try:  # 16.2's crushtool sometimes never comes back; the same call does the next time
            return subprocess.run(
                words, capture_output=True, text=True, timeout=20, check=False
            ).stdout
        except subprocess.TimeoutExpired:
            continue
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False).stdout
