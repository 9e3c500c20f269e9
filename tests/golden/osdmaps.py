"""Loader of the recorded OSD maps: `osdmaps.xz`, made by `tests/interop/record_osdmaps.py`.

For tests only. One cluster of 16.2 from its first epoch on: every incremental, some full maps.
"""

from __future__ import annotations

import lzma
import struct
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("osdmaps.xz")
_HEAD = struct.Struct("<?II")


@cache
def recorded() -> tuple[dict[int, bytes], dict[int, bytes]]:
    """Incrementals and full maps, each by epoch."""
    raw = lzma.decompress(FILE.read_bytes())
    incrementals: dict[int, bytes] = {}
    fulls: dict[int, bytes] = {}
    at = 0
    while at < len(raw):
        full, epoch, size = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        (fulls if full else incrementals)[epoch] = raw[at : at + size]
        at += size
    return incrementals, fulls
