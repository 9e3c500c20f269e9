"""Loader of the recorded messages in `tests/golden/messages` (how they were made: the README
there).

For tests only. A container is an xz stream of records: one line of JSON, then the bytes of front,
middle and data, whose lengths the line tells.
"""

from __future__ import annotations

import json
import lzma
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).with_name("messages")


@dataclass(frozen=True, slots=True)
class Vector:
    """One message as real Ceph put it on the wire.

    `features`: those negotiated for the connection, which an encoding may depend on; `source` and
    `target`: kinds of entities ("mon", "osd", ...); `run`: the recorded cluster.
    """

    type: int
    name: str
    version: int
    compat_version: int
    seq: int
    tid: int
    priority: int
    data_off: int
    features: int
    source: str
    target: str
    run: str
    front: bytes
    middle: bytes
    data: bytes


@cache
def vectors() -> tuple[Vector, ...]:
    """All recorded messages, in the order of their containers."""
    out = []
    for path in sorted(FOLDER.glob("*.vectors.xz")):
        out += _read(lzma.decompress(path.read_bytes()))
    return tuple(out)


@cache
def by_type() -> dict[int, tuple[Vector, ...]]:
    """All recorded messages of each type number."""
    grouped: dict[int, list[Vector]] = {}
    for vector in vectors():
        grouped.setdefault(vector.type, []).append(vector)
    return {number: tuple(found) for number, found in sorted(grouped.items())}


def _read(raw: bytes) -> list[Vector]:
    out = []
    at = 0
    while at < len(raw):
        end = raw.index(b"\n", at)
        about = json.loads(raw[at:end])
        at = end + 1
        parts = []
        for length in about.pop("lengths"):
            parts.append(raw[at : at + length])
            at += length
        about["features"] = int(about["features"], 16)
        out.append(Vector(**about, front=parts[0], middle=parts[1], data=parts[2]))
    return out
