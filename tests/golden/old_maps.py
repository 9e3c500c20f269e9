"""Loader of the maps that clients of earlier releases got: `old_maps.xz`, made by
`tests/interop/record_old_maps.py`.

For tests only. One monitor of 16.2; the same maps for clients with more and with fewer features.
"""

from __future__ import annotations

import lzma
import struct
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("old_maps.xz")
_HEAD = struct.Struct("<Q?II")


@cache
def recorded() -> dict[int, dict[tuple[bool, int], bytes]]:
    """By features: maps by whether they are whole ones, and epoch. The first are for everybody."""
    raw = lzma.decompress(FILE.read_bytes())
    found: dict[int, dict[tuple[bool, int], bytes]] = {}
    at = 0
    while at < len(raw):
        features, full, epoch, size = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        found.setdefault(features, {})[full, epoch] = raw[at : at + size]
        at += size
    return found
