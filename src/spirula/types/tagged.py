"""One of several types behind a number, in an envelope: upstream's encoded variants.

The bodies are declared with `external=True`, because how they are laid out depends on the version
in the variant's envelope. A number that is not known gives `Unknown`, which keeps the bytes. Called
by the types of RBD. Format: the visitors of upstream `src/librbd/journal/Types.cc`.
"""

from __future__ import annotations

import struct as _struct
from dataclasses import dataclass
from typing import Final

from spirula.denc import Struct
from spirula.errors import IncompatibleVersion, Truncated

_HEAD: Final = _struct.Struct("<BBII")
_NUMBER_SIZE: Final = 4


@dataclass(slots=True)
class Unknown:
    """A body of a kind that came in after us: its number and its bytes."""

    number: int
    content: bytes


Body = Struct | Unknown


def put(
    out: bytearray, features: int, version: int, numbers: dict[type[Struct], int], body: Body
) -> None:
    """Appends the envelope (compat 1), the number of `body` and `body`."""
    content = bytearray()
    if isinstance(body, Unknown):
        number = body.number
        content += body.content
    else:
        number = numbers[type(body)]
        body._enc(content, features, version)  # type: ignore[call-arg]  # external version
    out += _HEAD.pack(version, 1, _NUMBER_SIZE + len(content), number)
    out += content


def get(
    buf: bytes, pos: int, end: int, features: int, kinds: dict[int, type[Struct]]
) -> tuple[Body, int, int]:
    """Reads what `put` writes; returns the body, its struct version and the position after it."""
    if pos + _HEAD.size > end:
        raise Truncated("ends before the kind of value", offset=pos, limit=end)
    version, compat, length, number = _HEAD.unpack_from(buf, pos)
    if compat > 1:
        raise IncompatibleVersion(f"version {version} needs a reader of {compat}", offset=pos)
    after = pos + _HEAD.size - _NUMBER_SIZE + length
    start = pos + _HEAD.size
    if after > end or start > after:
        raise Truncated("length does not fit the value", offset=pos, limit=end)
    kind = kinds.get(number)
    if kind is None:
        return Unknown(number, buf[start:after]), version, after
    body, _ = kind._dec(buf, start, after, features, version)  # type: ignore[call-arg]  # external version
    return body, version, after


def plain(kind: str, body: Body) -> dict[str, object]:
    """As JSON can hold it: the name of the type under `kind`, and its fields."""
    if isinstance(body, Unknown):
        return {kind: body.number, "content": body.content.hex()}
    return {kind: type(body).__name__, **body.plain()}
