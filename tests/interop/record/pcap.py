"""Classic pcap files of TCP over loopback, turned back into ordered byte streams.

For the recorder only: it knows Ethernet framing (what Linux gives for `lo`), IPv4 and TCP, and
drops a stream at the first byte the capture lost. It interprets nothing inside the streams.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_PCAP_MAGIC_MICROSECONDS = 0xA1B2C3D4
_PCAP_MAGIC_NANOSECONDS = 0xA1B23C4D
_LINKTYPE_ETHERNET = 1
_ETHERTYPE_IPV4 = 0x0800
_PROTOCOL_TCP = 6
_FIN, _SYN, _RST = 0x01, 0x02, 0x04
_SEQUENCE_SPACE = 1 << 32

# A gap this wide will not be filled by reordering on loopback any more: the capture lost a packet.
_MAX_PENDING_SEGMENTS = 512

Endpoint = tuple[str, int]


@dataclass(slots=True)
class Chunk:
    """The next in-order bytes of one direction of a TCP connection.

    `connection` numbers the connections of a capture from 0; `first`: from the side that opened.
    """

    connection: int
    source: Endpoint
    target: Endpoint
    first: bool
    opened: bool
    closed: bool
    lost: bool
    data: bytes


@dataclass(slots=True)
class _Direction:
    next_sequence: int | None = None
    pending: dict[int, bytes] = field(default_factory=dict)
    dead: bool = False


@dataclass(slots=True)
class _Connection:
    number: int
    client: Endpoint
    directions: dict[Endpoint, _Direction]


@dataclass(slots=True)
class _Segment:
    source: Endpoint
    target: Endpoint
    sequence: int
    flags: int
    data: bytes


def _segments(path: Path) -> Iterator[_Segment]:
    with path.open("rb") as f:
        head = f.read(24)
        (magic,) = struct.unpack_from("<I", head)
        if magic not in (_PCAP_MAGIC_MICROSECONDS, _PCAP_MAGIC_NANOSECONDS):
            raise ValueError(f"{path} is not a little-endian classic pcap file")
        (linktype,) = struct.unpack_from("<I", head, 20)
        if linktype != _LINKTYPE_ETHERNET:
            raise ValueError(f"{path}: link type {linktype}, expected Ethernet")
        while len(record := f.read(16)) == 16:
            _, _, captured, original = struct.unpack("<IIII", record)
            packet = f.read(captured)
            if len(packet) < captured:
                return
            if captured < original:
                raise ValueError(f"{path}: packets were captured cut short")
            segment = _tcp(packet)
            if segment is not None:
                yield segment


def _tcp(packet: bytes) -> _Segment | None:
    if len(packet) < 54 or struct.unpack_from(">H", packet, 12)[0] != _ETHERTYPE_IPV4:
        return None
    header_length = (packet[14] & 15) * 4
    # Loopback may hand over packets larger than the 16-bit length field can say; it is 0 then.
    total = struct.unpack_from(">H", packet, 16)[0] or len(packet) - 14
    if packet[23] != _PROTOCOL_TCP:
        return None
    source_ip = ".".join(map(str, packet[26:30]))
    target_ip = ".".join(map(str, packet[30:34]))
    at = 14 + header_length
    source_port, target_port, sequence = struct.unpack_from(">HHI", packet, at)
    data_at = at + (packet[at + 12] >> 4) * 4
    return _Segment(
        (source_ip, source_port),
        (target_ip, target_port),
        sequence,
        packet[at + 13],
        packet[data_at : 14 + total],
    )


def streams(path: Path) -> Iterator[Chunk]:
    """Yield the bytes of every connection whose SYN is in the capture, in order per direction."""
    open_now: dict[frozenset[Endpoint], _Connection] = {}
    count = 0
    for s in _segments(path):
        pair = frozenset((s.source, s.target))
        opened = False
        if s.flags & _SYN:
            known = open_now.get(pair)
            fresh = known is None or known.directions[s.source].next_sequence not in (
                None,
                (s.sequence + 1) % _SEQUENCE_SPACE,
            )
            if fresh and s.flags & 0x10 == 0:
                opened = True
                open_now[pair] = _Connection(
                    count, s.source, {s.source: _Direction(), s.target: _Direction()}
                )
                count += 1
        connection = open_now.get(pair)
        if connection is None:
            continue
        direction = connection.directions[s.source]
        if s.flags & _SYN:
            direction.next_sequence = (s.sequence + 1) % _SEQUENCE_SPACE
        data = b""
        if s.data and not direction.dead and direction.next_sequence is not None:
            direction.pending.setdefault(s.sequence, s.data)
            data = _in_order(direction)
        lost = not direction.dead and len(direction.pending) > _MAX_PENDING_SEGMENTS
        if lost:
            direction.dead = True
            direction.pending.clear()
        closed = bool(s.flags & (_FIN | _RST))
        if data or opened or closed or lost:
            first = connection.client == s.source
            yield Chunk(connection.number, s.source, s.target, first, opened, closed, lost, data)


def _in_order(direction: _Direction) -> bytes:
    out = []
    while direction.pending and direction.next_sequence is not None:
        data = direction.pending.pop(direction.next_sequence, None)
        if data is None:
            data = _overlapping(direction)
            if data is None:
                break
        out.append(data)
        direction.next_sequence = (direction.next_sequence + len(data)) % _SEQUENCE_SPACE
    return b"".join(out)


def _overlapping(direction: _Direction) -> bytes | None:
    """Bytes at next_sequence out of a retransmitted segment that begins before it."""
    expected = direction.next_sequence
    if expected is None:
        return None
    for sequence in list(direction.pending):
        behind = (expected - sequence) % _SEQUENCE_SPACE
        if behind < _SEQUENCE_SPACE // 2:
            data = direction.pending.pop(sequence)
            if behind < len(data):
                return data[behind:]
    return None
