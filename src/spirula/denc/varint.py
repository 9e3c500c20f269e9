"""Numbers in as few bytes as they need: the codecs of BlueStore's types.

Each byte but the last has its high bit set; the first bits of some say how many zeros were cut off
the end. Declarations use `varint`, `varint_lowz` and `lba`. Formats: upstream
`src/include/denc.h`.
"""

from __future__ import annotations

import struct as _struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from spirula.denc.codecs import Codec
from spirula.errors import WireError

if TYPE_CHECKING:
    from spirula.denc.emitter import Emitter

_MAX_SHIFT = 63
_ALL_BITS = (1 << 64) - 1


def put_varint(out: bytearray, value: int) -> None:
    """Appends a number of at most 64 bits, seven per byte, the lowest first."""
    if not 0 <= value <= _ALL_BITS:
        raise ValueError(f"{value} does not fit 64 bits")
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def get_varint(buf: bytes, pos: int) -> tuple[int, int]:
    """The number at `pos`, and the position after it. Raises WireError for more than 64 bits."""
    value = shift = 0
    while True:
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            if value > _ALL_BITS:
                raise WireError("number of more than 64 bits", offset=pos)
            return value, pos
        shift += 7
        if shift > _MAX_SHIFT:
            raise WireError("number of more than 64 bits", offset=pos)


def put_varint_lowz(out: bytearray, value: int) -> None:
    """Appends a number less up to three zero nibbles at its end; two bits say how many."""
    nibbles = min(_low_zero_nibbles(value), 3)
    put_varint(out, (value >> 4 * nibbles) << 2 | nibbles)


def get_varint_lowz(buf: bytes, pos: int) -> tuple[int, int]:
    """What `put_varint_lowz` appended at `pos`, and the position after it."""
    raw, pos = get_varint(buf, pos)
    return (raw >> 2 << 4 * (raw & 3)) & _ALL_BITS, pos


def put_lba(out: bytearray, value: int) -> None:
    """Appends an address on a device.

    Four bytes, or more, less 12, 16, 20 or no zeros at its end.
    """
    if not 0 <= value <= _ALL_BITS:
        raise ValueError(f"{value} does not fit 64 bits")
    cut = min(_low_zero_nibbles(value), 5) - 3
    if cut < 0:
        word, used = 7, 3
    else:
        value >>= 4 * (cut + 3)
        word, used = (1 << cut) - 1, cut + 1
    word |= value << used & 0x7FFFFFFF
    value >>= 31 - used
    if value:
        word |= 0x80000000
    out += word.to_bytes(4, "little")
    if value:
        put_varint(out, value)


def get_lba(buf: bytes, pos: int) -> tuple[int, int]:
    """What `put_lba` appended at `pos`, and the position after it."""
    (word,) = _struct.unpack_from("<I", buf, pos)
    pos += 4
    if not word & 1:
        zeros, used = 12, 1
    elif not word & 2:
        zeros, used = 16, 2
    elif not word & 4:
        zeros, used = 20, 3
    else:
        zeros, used = 0, 3
    value = (word & 0x7FFFFFFF) >> used
    if word & 0x80000000:
        rest, pos = get_varint(buf, pos)
        value |= rest << 31 - used
    value <<= zeros
    if value > _ALL_BITS:
        raise WireError("address of more than 64 bits", offset=pos)
    return value, pos


def _low_zero_nibbles(value: int) -> int:
    return ((value & -value).bit_length() - 1) // 4 if value else 0


class Short(Codec):
    """A number of one of these kinds."""

    def __init__(
        self,
        put: Callable[[bytearray, int], None],
        get: Callable[[bytes, int], tuple[int, int]],
        min_size: int = 1,
    ) -> None:
        self._put, self._get, self.min_size = put, get, min_size

    def zero(self) -> int:
        return 0

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        emit.flush_out()
        emit.line(f"{emit.const(self._put)}(out, {expr})")

    def emit_decode(self, target: str, emit: Emitter) -> None:
        emit.flush_in()
        emit.line(f"{target}, pos = {emit.const(self._get)}(buf, pos)")


varint = Annotated[int, Short(put_varint, get_varint)]
varint_lowz = Annotated[int, Short(put_varint_lowz, get_varint_lowz)]
lba = Annotated[int, Short(put_lba, get_lba, min_size=4)]
