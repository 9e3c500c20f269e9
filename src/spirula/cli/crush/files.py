"""The files that `spirula crush` reads: OSD maps, CRUSH maps, and CRUSH maps as text.

Called by the subcommands beside it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from spirula.crush.text import compile_map
from spirula.crush.wire import CrushWrapper
from spirula.errors import CephError, InvalidArgument, WireError
from spirula.maps.osdmap import OSDMap
from spirula.maps.plan import Sizes
from spirula.maps.state import check_sizes
from spirula.types.pg import PGId

_CRUSH_MAGIC = (0x00010000).to_bytes(4, "little")


class Hierarchy(NamedTuple):
    """What a file holds: a hierarchy and, if it is an OSD map, all of that."""

    crush: CrushWrapper
    osdmap: OSDMap | None


def read_bytes(path: str) -> bytes:
    """The content of a file, of standard input for `-`. Raises the CephError of the errno."""
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise CephError.from_errno(error.errno or 5, f"cannot read {path}") from error


def read_hierarchy(path: str) -> Hierarchy:
    """An OSD map, a CRUSH map or its text. InvalidArgument for anything else."""
    raw = read_bytes(path)
    if raw.startswith(_CRUSH_MAGIC):
        return Hierarchy(_decoded(CrushWrapper, raw, path), None)
    if b"\0" in raw[:64]:
        osdmap = read_osdmap(raw, path)
        return Hierarchy(osdmap.crush, osdmap)
    return Hierarchy(compile_map(raw.decode("utf-8", "surrogateescape"), path), None)


def read_osdmap(raw: bytes, path: str) -> OSDMap:
    """The OSD map in `raw`, which was read from `path`. Raises InvalidArgument."""
    osdmap = _decoded(OSDMap, raw, path)
    check_sizes(osdmap)
    return osdmap


_T = TypeVar("_T", CrushWrapper, OSDMap)


def _decoded(kind: type[_T], raw: bytes, path: str) -> _T:
    try:
        return kind.decode(raw)
    except WireError as error:
        what = "OSD map" if kind is OSDMap else "CRUSH map"
        raise InvalidArgument(f"{path} is no {what}: {error}") from error


def read_sizes(path: str) -> Sizes:
    """Bytes by pool or PG, of what `ceph df` or `ceph pg dump` print as JSON.

    Raises InvalidArgument where it holds neither.
    """
    try:
        document = json.loads(read_bytes(path))
        return _sizes(document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArgument(
            f"{path} is not what `ceph df -f json` or `ceph pg dump -f json` prints"
        ) from error


def _sizes(document: dict[str, Any]) -> Sizes:
    made = Sizes()
    for stat in document.get("pg_map", document).get("pg_stats", ()):
        made.pgs[PGId.parse(stat["pgid"])] = int(stat["stat_sum"]["num_bytes"])
    for pool in document.get("pools", ()):
        made.pools[int(pool["id"])] = int(pool["stats"]["stored"])
    if not made:
        raise KeyError("pg_stats")
    return made
