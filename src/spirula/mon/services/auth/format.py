"""How the auth service's versions and full states stand in the store.

Formats follow upstream `src/mon/AuthMonitor.cc` (encode_pending, encode_full). Called by `service`.
"""

from __future__ import annotations

from collections.abc import Iterable

from spirula.denc import Struct, struct, u64
from spirula.errors import IncompatibleVersion
from spirula.types.auth import AuthMonitorIncremental, KeyServerData

_VERSION = 1


@struct(version=1, bare_version="B")
class FullAuth(Struct):
    """The whole state as of a version."""

    max_global_id: u64
    key_server: KeyServerData


def encode_changes(changes: Iterable[AuthMonitorIncremental]) -> bytes:
    """A version: the changes one behind the other, after a byte."""
    return bytes([_VERSION]) + b"".join(change.encode() for change in changes)


def decode_changes(data: bytes) -> list[AuthMonitorIncremental]:
    """The changes of a version. Raises WireError."""
    if data[:1] != bytes([_VERSION]):
        raise IncompatibleVersion(f"a version of auth begins with {data[:1]!r}")
    changes = []
    pos = 1
    while pos < len(data):
        change, pos = AuthMonitorIncremental.decode_from(data, pos)
        changes.append(change)
    return changes
