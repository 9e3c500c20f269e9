"""Keys and records of the store on disk, and of its journal, each made in one call.

Every small write makes some of them, which is why they have compiled twins; what they mean is told
where they are used: `store.keys`, `store.disk.onode`, `store.disk.journal`. `IMPLEMENTATION` says
which twins are in use.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Callable
from itertools import chain
from types import ModuleType
from typing import TYPE_CHECKING

_native: ModuleType | None
try:
    from spirula.kernels import _records

    _native = _records
except ImportError:  # no compiler when it was installed: slower, but everything works
    _native = None

if TYPE_CHECKING:
    from typing_extensions import Buffer

IMPLEMENTATION = "pure" if _native is None else "native"

ESCAPED_BELOW, ESCAPED_ABOVE = 0x24, 0x7D
"""Bytes of a name that stand in a key as they are: from the first to the second one."""

_PLAIN = re.compile(rb"[$-}]*")
_ESCAPES = [
    bytes([byte])
    if ESCAPED_BELOW <= byte <= ESCAPED_ABOVE
    else (b"#%02x" if byte < ESCAPED_BELOW else b"~%02x") % byte
    for byte in range(256)
]
_KEY_HEAD = struct.Struct(">BQI")  # shard + 128, pool + 2**63, hash with its bits reversed
_KEY_TAIL = struct.Struct(">QQc")  # snapshot, generation, what the key is of
_ONODE = struct.Struct("<BBQQQQQQQIHIH")
_ATTR = struct.Struct("<HI")
_SHARD = struct.Struct("<BBBBB")
_RUN = struct.Struct("<QB")
_STORED = {0: "", 1: "B", 2: "H", 4: "I", 8: "Q"}
_VERSION = 1
_DELETED = 0xFFFFFFFF


def pure_object_key(
    prefix: bytes,
    shard: int,
    pool: int,
    hash: int,
    nspace: str,
    key: str,
    name: str,
    snap: int,
    generation: int,
) -> bytes:
    """The twin in Python."""
    if hash >> 32:
        raise OverflowError("a hash has 32 bits")
    bits = int(f"{hash:032b}"[::-1], 2)
    head = prefix + _KEY_HEAD.pack(shard + 128, pool + (1 << 63), bits)
    raw = _raw(name)
    placed_by = _raw(key) or raw
    names = _escaped(placed_by)
    if placed_by == raw:
        names += b"="
    else:
        names += (b"<" if raw < placed_by else b">") + _escaped(raw)
    return head + _escaped(_raw(nspace)) + names + _KEY_TAIL.pack(snap, generation, b"o")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _escaped(raw: bytes) -> bytes:
    if _PLAIN.fullmatch(raw):
        return raw + b"!"
    return b"".join([_ESCAPES[byte] for byte in raw]) + b"!"


def pure_onode_record(
    flags: int,
    nid: int,
    size: int,
    stored: int,
    omap_id: int,
    omap_bytes: int,
    hint: tuple[int, int, int],
    present: bytes,
    header: bytes,
    attrs: dict[str, bytes],
    shard: bytes,
) -> bytes:
    """The twin in Python."""
    numbers = nid, size, stored, omap_id, omap_bytes, *hint
    lengths = len(present), len(header), len(attrs)
    parts = [_ONODE.pack(_VERSION, flags, *numbers, *lengths), present, header]
    for name, value in attrs.items():
        raw = _raw(name)
        parts += (_ATTR.pack(len(raw), len(value)), raw, value)
    parts.append(shard)
    return b"".join(parts)


def pure_shard_record(
    kind: int, width: int, blobs: int, addresses: array[int], sums: array[int]
) -> bytes:
    """The twin in Python."""
    pieces: list[bytes] = []
    first = following = count = 0
    for address in addresses:
        if count and address == following:
            count += 1
        else:
            if count:
                pieces.append(_RUN.pack(first, count))
            first, count = address, 1
        following = address + 1 if address else 0
    if first:
        pieces.append(_RUN.pack(first, count))
    head = _SHARD.pack(_VERSION, kind, len(addresses), len(pieces), blobs)
    stored = array(_STORED[width], sums).tobytes() if width else b""
    return b"".join([head, *pieces, stored])


def pure_pack_changes(
    changes: dict[bytes, bytes | None], ranges: list[tuple[bytes, bytes]], into: Buffer, at: int
) -> int:
    """The twin in Python, with a copy more."""
    bounds = list(chain.from_iterable(ranges))
    sizes = [_DELETED if value is None else len(value) for value in changes.values()]
    lengths = array("I", [*map(len, changes), *sizes, *map(len, bounds)])
    packed = b"".join([lengths.tobytes(), *changes, *filter(None, changes.values()), *bounds])
    view = memoryview(into)
    if 0 <= at <= at + len(packed) <= view.nbytes:
        view[at : at + len(packed)] = packed
    return len(packed)


object_key: Callable[[bytes, int, int, int, str, str, str, int, int], bytes] = (
    pure_object_key if _native is None else _native.object_key
)
"""A prefix and the key of an object, from: shard, pool, hash, namespace, locator key, name,
snapshot, generation.
"""
onode_record: Callable[
    [int, int, int, int, int, int, tuple[int, int, int], bytes, bytes, dict[str, bytes], bytes],
    bytes,
] = pure_onode_record if _native is None else _native.onode_record
"""The record of an object, from: flags, id, size, bytes stored, id and bytes of the omap, hint,
bits of its shards, header of the omap, attributes, what stands behind them.
"""
shard_record: Callable[[int, int, int, array[int], array[int]], bytes] = (
    pure_shard_record if _native is None else _native.shard_record
)
"""The record of a shard as far as its blobs, from: kind of checksums and bytes that each takes,
number of blobs, addresses (of 64 bits), checksums (of 32 or 64 bits) of as many blocks.
"""
pack_changes: Callable[[dict[bytes, bytes | None], list[tuple[bytes, bytes]], Buffer, int], int] = (
    pure_pack_changes if _native is None else _native.pack_changes
)
"""Put changes of keys and ranges into a buffer of bytes from `at` on as a record of the journal
has them; how many bytes that takes. If there are fewer, nothing is put there.
"""
