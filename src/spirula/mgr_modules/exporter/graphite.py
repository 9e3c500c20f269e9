"""Sends numbers to Graphite: a line for each, over TCP (its plain text protocol)."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable

from spirula.mgr_modules.exporter.points import Point

_BAD = re.compile(r"[^a-zA-Z0-9_+-]")


def lines(points: Iterable[Point], prefix: str, now: float) -> Iterable[str]:
    """`ceph.osd.3.osd.op_w 17 1700000000`: path, value, seconds since 1970."""
    for point in points:
        path = ".".join(_BAD.sub("_", part) for part in point.path if part)
        yield f"{prefix}.{path} {point.value} {int(now)}\n"


def send(points: Iterable[Point], host: str, port: int, prefix: str, now: float) -> int:
    """Sends numbers; gives how many. OSError where that fails."""
    texts = list(lines(points, prefix, now))
    with socket.create_connection((host, port), timeout=_PATIENCE_S) as connection:
        connection.sendall("".join(texts).encode())
    return len(texts)


_PATIENCE_S = 10
