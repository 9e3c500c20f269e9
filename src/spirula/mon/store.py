"""What stands where in a monitor's store, and transactions that put it there.

Prefixes, keys and encodings of values are upstream's: versions are decimal keys, numbers are eight
bytes, little-endian (`src/mon/MonitorDBStore.h`, `Paxos.cc`, `Monitor.cc`). The store itself is the
port `spirula.store.keyvalue`; `mon.quorum` and the services read and write through here.
"""

from __future__ import annotations

import struct
from typing import Self

from spirula.errors import InvariantBroken
from spirula.store.keyvalue import KeyValueStore
from spirula.types.mon import StoreOp, StoreOpType, StoreTransaction

PAXOS = "paxos"
"""Prefix of Paxos: `first_committed`, `last_committed`, `last_pn`, `accepted_pn`, `pending_v`,
`pending_pn`, and the encoded transaction of each version that is kept."""
MONITOR = "monitor"
"""Prefix of what a monitor knows of itself: `election_epoch`, `connectivity_scores`, `joined`."""
MON_SYNC = "mon_sync"
"""Prefix of the state of a synchronisation: `in_sync`, `force_sync`, `last_committed_floor`,
`latest_monmap`."""
MONMAP = "monmap"
"""Prefix of monitor maps: each by its epoch, `last_committed`."""

_U64 = struct.Struct("<Q")
_EMPTY_BYTES = 6 + 4 + 8 * 2
_OP_BYTES = 6 + 1 + 4 * 4


class Transaction:
    """A store transaction in the making; it counts keys and bytes as upstream's leader does."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = StoreTransaction([], _EMPTY_BYTES, 0)

    def __bool__(self) -> bool:
        return bool(self.value.ops)

    def _add(
        self, kind: StoreOpType, prefix: str, key: str, bl: bytes = b"", end: str = ""
    ) -> None:
        op = StoreOp(kind, prefix, key, bl, end)
        self.value.ops.append(op)
        if kind is not StoreOpType.COMPACT:
            self.value.keys += 1
            self.value.bytes += _OP_BYTES + len(prefix) + len(key) + len(end) + len(bl)

    def put(self, prefix: str, key: str | int, value: bytes | int) -> Self:
        """Set a key (a version becomes decimal) to bytes, or to a number of 64 bits."""
        bl = _U64.pack(value) if isinstance(value, int) else value
        self._add(StoreOpType.PUT, prefix, str(key), bl)
        return self

    def erase(self, prefix: str, key: str | int) -> Self:
        """Remove a key, if it is there."""
        self._add(StoreOpType.ERASE, prefix, str(key))
        return self

    def erase_range(self, prefix: str, start: str, end: str) -> Self:
        """Remove keys from `start` on and before `end`, in the order of their bytes."""
        self._add(StoreOpType.ERASE_RANGE, prefix, start, end=end)
        return self

    def compact(self, prefix: str, start: str = "", end: str = "") -> Self:
        """Ask the engine to give back the room of what was erased."""
        self._add(StoreOpType.COMPACT, prefix, start, end=end)
        return self

    def append(self, other: StoreTransaction) -> Self:
        """Add the operations of another one behind those here."""
        self.value.ops += other.ops
        self.value.keys += other.keys
        self.value.bytes += other.bytes
        return self

    def append_encoded(self, encoded: bytes) -> Self:
        """Add those of an encoded one. Raises WireError."""
        return self.append(StoreTransaction.decode(encoded))

    def encode(self) -> bytes:
        """Its bytes as Paxos agrees on them."""
        return self.value.encode()


def get_number(store: KeyValueStore, prefix: str, key: str) -> int:
    """A number of 64 bits; 0 if there is none, as upstream reads it.

    Raises InvariantBroken if something else stands there.
    """
    value = store.get(prefix, key)
    if value is None:
        return 0
    if len(value) != _U64.size:
        raise InvariantBroken(f"{prefix}/{key} in the store is no number: {len(value)} bytes")
    number: int = _U64.unpack(value)[0]
    return number


def get_version(store: KeyValueStore, prefix: str, version: int) -> bytes | None:
    """What stands under a version."""
    return store.get(prefix, str(version))
