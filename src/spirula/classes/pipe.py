"""The values that a daemon and the process of an isolated class exchange, and how they are framed.

A frame is a u32 length and one value: None, truth values, whole numbers, bytes, text, lists, dicts,
and the few declared types that handles give. Deliberately not pickle: what runs at the other end is
not trusted. Used by `isolated` (the daemon) and `worker` (the class).
"""

from __future__ import annotations

import struct as _struct
from typing import Any, Final, NamedTuple

from spirula.denc import Struct
from spirula.errors import LimitExceeded, Truncated, WireError
from spirula.types.base import UTime
from spirula.types.entity import EntityInst
from spirula.types.object_info import WatchItem

MAX_FRAME_BYTES: Final = 128 << 20
"""Bytes of one value: more than the largest operation that an OSD takes."""
MAX_NESTING: Final = 4

_LENGTH: Final = _struct.Struct("<I")
_NUMBER: Final = _struct.Struct("<q")
_NUMBER_BITS: Final = 63
_KINDS: Final[dict[str, type[Struct]]] = {
    kind.__name__: kind for kind in (UTime, EntityInst, WatchItem)
}


def frame(value: Any) -> bytes:
    """`value` as it goes through the pipe; LimitExceeded if it is too large."""
    out = bytearray(4)
    _put(out, value)
    if len(out) - 4 > MAX_FRAME_BYTES:
        raise LimitExceeded("a class moves too much at once", limit=MAX_FRAME_BYTES)
    out[:4] = _LENGTH.pack(len(out) - 4)
    return bytes(out)


def content_length(head: bytes) -> int:
    """How many bytes follow the first four of a frame; LimitExceeded if these are too many."""
    length: int = _LENGTH.unpack(head)[0]
    if length > MAX_FRAME_BYTES:
        raise LimitExceeded("a class moves too much at once", limit=MAX_FRAME_BYTES)
    return length


def value_of(content: bytes) -> Any:
    """The value of a frame without its length; raises WireErrors."""
    value, end = _get(content, 0, 0)
    if end != len(content):
        raise WireError("stray bytes after the value", offset=end)
    return value


def _put(out: bytearray, value: Any) -> None:
    if value is None:
        out += b"N"
    elif isinstance(value, bool):
        out += b"T" if value else b"F"
    elif isinstance(value, int):
        if value.bit_length() <= _NUMBER_BITS:
            out += b"i"
            out += _NUMBER.pack(value)
        else:
            _put_bytes(out, b"I", str(value).encode())
    elif isinstance(value, bytes | bytearray | memoryview):
        _put_bytes(out, b"B", bytes(value))
    elif isinstance(value, str):
        _put_bytes(out, b"S", value.encode("utf-8", "surrogateescape"))
    elif isinstance(value, dict):
        out += b"D"
        out += _LENGTH.pack(len(value))
        for key, item in value.items():
            _put(out, key)
            _put(out, item)
    elif isinstance(value, Struct):
        _put_bytes(out, b"X", type(value).__name__.encode())
        _put_bytes(out, b"", value.encode())
    elif isinstance(value, list | tuple | set | frozenset):
        out += b"L"
        out += _LENGTH.pack(len(value))
        for item in value:
            _put(out, item)
    else:
        raise WireError(f"a handle has no use for {type(value).__name__}")


def _put_bytes(out: bytearray, tag: bytes, data: bytes) -> None:
    out += tag
    out += _LENGTH.pack(len(data))
    out += data


class _Read(NamedTuple):
    value: Any
    end: int


def _get(content: bytes, pos: int, depth: int) -> _Read:
    if pos >= len(content):
        raise Truncated("ends inside the value", offset=pos)
    tag = content[pos : pos + 1]
    pos += 1
    if tag in _CONSTANTS:
        return _Read(_CONSTANTS[tag], pos)
    if tag == b"i":
        if pos + 8 > len(content):
            raise Truncated("ends inside a number", offset=pos)
        return _Read(_NUMBER.unpack_from(content, pos)[0], pos + 8)
    if tag in b"LD":
        return _get_items(content, pos, depth, tag)
    if tag not in b"IBSX":
        raise WireError(f"no value begins with {tag!r}", offset=pos)
    data, pos = _get_bytes(content, pos)
    if tag == b"B":
        return _Read(data, pos)
    text = data.decode("utf-8", "surrogateescape")
    if tag == b"S":
        return _Read(text, pos)
    if tag == b"I":
        try:
            return _Read(int(text[:40]), pos)
        except ValueError:
            raise WireError("that is not a number", offset=pos) from None
    if text not in _KINDS:
        raise WireError(f"unknown type {text!r}", offset=pos)
    data, pos = _get_bytes(content, pos)
    return _Read(_KINDS[text].decode(data), pos)


_CONSTANTS: Final = {b"N": None, b"T": True, b"F": False}


def _get_items(content: bytes, pos: int, depth: int, tag: bytes) -> _Read:
    if depth == MAX_NESTING:
        raise LimitExceeded("values are nested too deep", offset=pos, limit=MAX_NESTING)
    if pos + 4 > len(content):
        raise Truncated("ends inside a count", offset=pos)
    count = _LENGTH.unpack_from(content, pos)[0]
    pos += 4
    if count > len(content) - pos:
        raise LimitExceeded("count runs past the end", offset=pos, limit=len(content))
    if tag == b"L":
        items = []
        for _ in range(count):
            item, pos = _get(content, pos, depth + 1)
            items.append(item)
        return _Read(items, pos)
    entries: dict[Any, Any] = {}
    for _ in range(count):
        key, pos = _get(content, pos, depth + 1)
        if not isinstance(key, str | int):
            raise WireError("a key is text or a number", offset=pos)
        entries[key], pos = _get(content, pos, depth + 1)
    return _Read(entries, pos)


def _get_bytes(content: bytes, pos: int) -> tuple[bytes, int]:
    if pos + 4 > len(content):
        raise Truncated("ends inside a length", offset=pos)
    end = pos + 4 + _LENGTH.unpack_from(content, pos)[0]
    if end > len(content):
        raise Truncated("ends inside bytes", offset=pos)
    return content[pos + 4 : end], end
