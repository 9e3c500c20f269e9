"""A look at RocksDB's manifest before RocksDB reads it, for flipped bits.

RocksDB 9.8 never comes back from a record whose type is not one of a manifest, and takes a record
that seems to reach beyond the file's end for one that a crash cut short, with which it forgets a
flush whose log is gone. `rocks` calls this at each opening. The format is that of RocksDB's logs
(its wiki, "Write Ahead Log File Format").
"""

from __future__ import annotations

import struct
from pathlib import Path

from spirula.errors import InputOutput
from spirula.kernels.crc32c import crc32c

_BLOCK = 32768
_HEADER = struct.Struct("<IHB")
"""Masked checksum of what follows the length, length of the payload, type."""
_TYPES = range(1, 5)
"""Whole records, and the first, middle and last piece of one."""


def check_manifest(folder: Path) -> None:
    """Raise InputOutput if the manifest of the RocksDB in `folder` is damaged.

    A record that was being written when the power went is not.
    """
    try:
        name = (folder / "CURRENT").read_bytes()
        if not name.startswith(b"MANIFEST-") or not name.endswith(b"\n") or b"/" in name:
            raise InputOutput(f"{folder / 'CURRENT'} is damaged: it names no manifest")
        path = folder / name[:-1].decode("ascii", "replace")
        data = path.read_bytes()
    except OSError as error:
        # One of the names is wrong: the file is there when nothing is damaged.
        raise InputOutput(f"{folder} is damaged: its manifest cannot be read: {error}") from error
    except ValueError as error:  # a NUL in the name
        raise InputOutput(f"{folder / 'CURRENT'} is damaged: {error}") from error
    for start in range(0, len(data), _BLOCK):
        wrong = _wrong_in(data[start : start + _BLOCK])
        if wrong is not None:
            raise InputOutput(f"{path} is damaged at byte {start + wrong}: see fsck")


def _wrong_in(block: bytes) -> int | None:
    """Where in a block of the file a record is damaged; None if all are whole, or cut short."""
    at = 0
    while at + _HEADER.size <= len(block):
        crc, length, kind = _HEADER.unpack_from(block, at)
        if not any(block[at:]):
            return None  # space taken ahead
        end = at + _HEADER.size + length
        if end > len(block):
            # Cut short, unless it would be whole with another length.
            ends = (at + _HEADER.size + (length ^ 1 << bit) for bit in range(16))
            wrong = any(end <= len(block) and _masked_crc(block, at, end) == crc for end in ends)
            return at if wrong or len(block) == _BLOCK else None
        if kind not in _TYPES or _masked_crc(block, at, end) != crc:
            return at
        at = end
    return None


def _masked_crc(block: bytes, at: int, end: int) -> int:
    """The checksum of type and payload, turned and moved as RocksDB stores it."""
    crc = crc32c(0xFFFFFFFF, block[at + _HEADER.size - 1 : end]) ^ 0xFFFFFFFF
    return ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF
