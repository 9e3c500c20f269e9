"""On-wire compression as the messenger sees it: what a codec can do, and who wants what.

Codecs are handed in by the driver's configuration; this module only knows how two ends agree.
Upstream (17.2 on): `src/msg/compressor_registry.cc`, `compression_onwire.cc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from spirula.records import dataclass

if TYPE_CHECKING:
    from spirula.msgr.protocol.message import Bytes


class CompressionMethod(IntEnum):
    """Codecs by their number on the wire (upstream `Compressor::COMP_ALG_*`)."""

    NONE = 0
    SNAPPY = 1
    ZLIB = 2
    ZSTD = 3
    LZ4 = 4
    BROTLI = 5


class Compressor(Protocol):
    """A codec in the format that upstream's compressor of that name writes."""

    def compress(self, data: Bytes) -> bytes:
        """Any data, never empty."""
        ...

    def decompress(self, data: Bytes, limit: int) -> bytes:
        """What `compress` made. LimitExceeded where it is longer than `limit`, else WireError."""
        ...


@dataclass(slots=True, frozen=True)
class CompressionConfig:
    """Whether and how this entity compresses frames.

    `peers` is the set of entity types (as bits) with which it does at all, `methods` the codecs
    best first, `min_size` the smallest message that is worth it, in bytes, and `secure` allows it
    together with encryption, which tells lengths of plaintexts to who listens.
    """

    peers: int = 0
    methods: Mapping[int, Compressor] = field(default_factory=dict)
    min_size: int = 1024
    secure: bool = False

    def wanted(self, peer_type: int, *, encrypted: bool) -> list[int]:
        """The methods to ask a peer for, or to accept from it; empty for none."""
        if not self.peers & peer_type or (encrypted and not self.secure):
            return []
        return list(self.methods)

    def choose(self, peer_type: int, asked: list[int], *, encrypted: bool) -> int:
        """The accepting side's choice among what the peer asked for, in our order; 0 for none."""
        for method in self.wanted(peer_type, encrypted=encrypted):
            if method in asked:
                return method
        return CompressionMethod.NONE
