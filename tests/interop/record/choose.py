"""Chooses, out of captures, the messages worth keeping, and writes them as golden vectors.

Keeps a few messages for each type, encoding version, pair of peer kinds and structural shape. The
choice is by hash of the content: the same captures always give the same vectors, and no position
in a run is favoured.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import lzma
import re
import struct
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.interop.record.frames import Conversation, FrameError, Message, Sessions
from tests.interop.record.message_names import MDS_TYPES, NAMES
from tests.interop.record.pcap import streams

VECTORS = Path(__file__).parents[2] / "golden" / "messages"

_ENTITIES = {1: "mon", 2: "mds", 4: "osd", 8: "client", 16: "mgr"}
_PER_SHAPE = 8
_PER_GROUP = 24
_PER_GROUP_OF = {
    24: 40,
    26: 40,
    41: 32,
    42: 160,
    43: 80,
    50: 160,
    51: 32,
    66: 36,
    97: 40,
    0x709: 40,
}
_SMALL_DATA = 4096
_SMALL_MESSAGE = 24 << 10

# What 16.2 announces. Of a later release's run only what it says to peers of 16.2 is of use.
_FEATURES_OF_16 = 0x3F01CFBDFFFDFFFF

_KERNEL = b"6.1.0-recorded-release-of-a-kernel-of-some-length"
_WITH_CHECKSUMS = (46, 47)  # MForward and MRoute carry messages with their checksums

_OSD_OP_BYTES = 38
_PREFIX = re.compile(rb'"prefix": ?"([^"]*)"')
# Where a small number tells what kind of this message it is: struct format, offset in the front.
_KIND_AT = {
    0x40: ("<I", 0),  # MMonScrub: op
    0x41: ("<i", 16),  # MMonElection: op after fsid
    0x42: ("<i", 4),  # MMonPaxos: op after epoch
    0x43: ("<i", 16),  # MMonProbe: op after fsid
    0x45: ("<I", 0),  # MMonSync: op
    0x46: ("<B", 20),  # MOSDPing: op after fsid and epoch
    0x2C: ("<B", 0),  # MWatchNotify: opcode
    0x3D: ("<B", 28),  # MOSDBackoff: op after spg_t and epoch
    0x5C: ("<i", 28),  # MOSDScrubReserve: type after spg_t and epoch
    0x5E: ("<I", 0),  # MOSDPGScan: op
    0x5F: ("<I", 0),  # MOSDPGBackfill: op
    0x16: ("<I", 0),  # MClientSession: op
}


@dataclass(slots=True)
class _Group:
    seen: int = 0
    shapes: dict[object, list[tuple[bytes, int, Message]]] = field(
        default_factory=lambda: defaultdict(list)
    )


def messages(path: Path) -> Iterator[Message]:
    """Every message of a capture; a connection that is damaged or not in CRC mode ends early."""
    sessions = Sessions()
    conversations: dict[int, Conversation | None] = {}
    for chunk in streams(path):
        conversation = conversations.setdefault(chunk.connection, Conversation(sessions))
        if conversation is None:
            continue
        try:
            yield from conversation.feed(chunk.data, from_client=chunk.first)
        except FrameError as e:
            print(f"{path.name}: connection {chunk.connection} {chunk.source}: {e}")
            conversations[chunk.connection] = None


def _osd_ops(message: Message) -> object:
    """The op codes of an MOSDOp of version 8 or an MOSDOpReply of version 8."""
    front = message.front
    if message.header.type == 42:
        at = 24 + 4 + 4 + 4  # spg_t, hash, epoch, flags
        at += 6 + struct.unpack_from("<I", front, at + 2)[0]  # reqid
        at += 24 + 4 + 8  # trace, client_inc, mtime
        at += 6 + struct.unpack_from("<I", front, at + 2)[0]  # object locator
        at += 4 + struct.unpack_from("<I", front, at)[0]
        (count,) = struct.unpack_from("<H", front, at)
        at += 2
    else:
        at = 4 + struct.unpack_from("<I", front)[0]
        at += 17 + 8 + 4 + 12 + 4  # pg, flags, result, bad_replay_version, epoch
        (count,) = struct.unpack_from("<I", front, at)
        at += 4
    return tuple(struct.unpack_from("<H", front, at + i * _OSD_OP_BYTES)[0] for i in range(count))


def _shape(message: Message) -> object:
    front = message.front
    kind: object = None
    number = message.header.type
    if number in (42, 43) and message.header.version == 8:
        kind = _osd_ops(message)
        if number == 43:
            return kind, len(message.data).bit_length() // 4
        return kind, len(message.data) > 0, b"rbd" in front
    if number in (50, 97, 0x709) or number == 46:
        found = _PREFIX.search(front)
        kind = found[1] if found else None
        if kind is not None:
            return kind
    if number in _KIND_AT:
        layout, at = _KIND_AT[number]
        if len(front) >= at + struct.calcsize(layout):
            (kind,) = struct.unpack_from(layout, front, at)
    return (
        kind,
        len(front).bit_length(),
        len(message.middle).bit_length(),
        len(message.data).bit_length(),
    )


def _offer(group: _Group, message: Message) -> None:
    group.seen += 1
    size = len(message.front) + len(message.middle) + len(message.data)
    # Small ones first, then by hash.
    rank = (
        0 if size <= _SMALL_MESSAGE and len(message.data) <= _SMALL_DATA else 1 + size.bit_length()
    )
    digest = hashlib.sha256(message.front + message.middle + message.data).digest()
    held = group.shapes[_shape(message)]
    key = bytes([255 - rank]) + bytes(255 - b for b in digest)
    if any(k == key for k, _, _ in held):
        return
    item = (key, group.seen, message)
    if len(held) < _PER_SHAPE:
        heapq.heappush(held, item)
    elif held[0][0] < key:
        heapq.heapreplace(held, item)


def _picked(group: _Group, limit: int) -> list[Message]:
    rows = [sorted(held, reverse=True) for held in group.shapes.values()]
    # Shapes in the order of their first choice, so that a limit drops big ones.
    rows.sort(key=lambda row: row[0][0], reverse=True)
    out: list[Message] = []
    for depth in range(_PER_SHAPE):
        for row in rows:
            if depth < len(row) and len(out) < limit:
                big = row[depth][0][0] < 255
                if not big or not out or (depth == 0 and row[0][0][0] > 255 - 18):
                    out.append(row[depth][2])
    return out


Key = tuple[str, int, int, int, int, int]


def _collect(paths: list[Path], kernel: bytes = b"") -> dict[Key, _Group]:
    """Groups of what was captured; the machine's `kernel` release is overwritten in it."""
    groups: dict[Key, _Group] = defaultdict(_Group)
    for path in paths:
        release = path.name.split("-")[0]
        for m in messages(path):
            h = m.header
            if release == "newer" and m.source.features & m.target.features & ~_FEATURES_OF_16:
                continue
            if kernel and kernel in m.front + m.data:
                if h.type in _WITH_CHECKSUMS:
                    continue
                m.front = m.front.replace(kernel, _KERNEL[: len(kernel)])
                m.data = m.data.replace(kernel, _KERNEL[: len(kernel)])
            key = (
                release,
                h.type,
                h.version,
                h.compat_version,
                m.source.entity_type,
                m.target.entity_type,
            )
            _offer(groups[key], m)
    return groups


def family(number: int) -> str:
    """The container a message type is kept in."""
    if number in MDS_TYPES:
        return "mds"
    if number in (42, 43, 44, 61):
        return "osd-client"
    if number in (41, 6):
        return "osdmap"
    if 0x40 <= number <= 0x45 or number in (46, 47, 60, 140) or 0x600 <= number < 0x700:
        return "quorum"
    if number >= 0x700:
        return "mgr"
    if number in (62, 63, 54, 97, 98, 76, 77) or number < 64 or number in (100, 103):
        return "mon"
    return "osd-peer"


def print_seen(paths: list[Path]) -> None:
    """Counts per type and version, then the types of 16.2 that never appeared."""
    seen: Counter[tuple[int, int, int, str]] = Counter()
    for (_, number, version, compat, source, target), group in _collect(paths).items():
        who = f"{_ENTITIES.get(source, source)}>{_ENTITIES.get(target, target)}"
        seen[number, version, compat, who] += group.seen
    for (number, version, compat, who), count in sorted(seen.items()):
        print(f"{number:5} {NAMES.get(number, '?'):28} v{version}/{compat} {who:14} {count}")
    never = [name for n, name in NAMES.items() if n not in {k[0] for k in seen}]
    print("never:", ", ".join(never))


def write_vectors(paths: list[Path], kernel: Path) -> None:
    """Write one container per family, and the counts per type as a table for the README."""
    release = kernel.read_bytes()
    containers: dict[str, list[bytes]] = defaultdict(list)
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for key, group in sorted(_collect(paths, release).items()):
        run, number, _, _, source, target = key
        chosen = _picked(group, _PER_GROUP_OF.get(number, _PER_GROUP))
        counts[number][0] += group.seen
        counts[number][1] += len(chosen)
        for m in chosen:
            containers[family(number)].append(_record(m, run, source, target))
    for name, records in containers.items():
        packed = lzma.compress(b"".join(records), preset=9 | lzma.PRESET_EXTREME)
        (VECTORS / f"{name}.vectors.xz").write_bytes(packed)
        print(f"{name}: {len(records)} messages, {len(packed)} bytes")
    table = ["| type | number | seen | kept |", "|---|---|---|---|"]
    table += [
        f"| {NAMES.get(n, '?')} | {n:#x} | {s} | {k} |" for n, (s, k) in sorted(counts.items())
    ]
    (VECTORS / "COUNTS.md").write_text("\n".join(table) + "\n")


def _record(m: Message, run: str, source: int, target: int) -> bytes:
    """A line of JSON, then the bytes of front, middle and data one after another."""
    h = m.header
    about = {
        "type": h.type,
        "name": NAMES.get(h.type, ""),
        "version": h.version,
        "compat_version": h.compat_version,
        "seq": h.seq,
        "tid": h.tid,
        "priority": h.priority,
        "data_off": h.data_off,
        "features": f"{m.source.features & m.target.features:#x}",
        "source": f"{_ENTITIES.get(source, source)}",
        "target": f"{_ENTITIES.get(target, target)}",
        "run": run,
        "lengths": [len(m.front), len(m.middle), len(m.data)],
    }
    return json.dumps(about, separators=(",", ":")).encode() + b"\n" + m.front + m.middle + m.data
