"""Compressors in the framings that upstream gives them, over well-kept native libraries.

What one end compresses, any Ceph decompresses: on the wire (`spirula.msgr`), later in stored blobs.
Framings: upstream `src/compressor/{zlib,snappy,zstd,lz4}`. Every `decompress` is told how much may
come out and takes no more memory than that. A library is loaded by the first compressor that wants
it: they are large, and most processes compress nothing.
"""

from __future__ import annotations

import importlib
import struct
import zlib
from typing import TYPE_CHECKING

from spirula.errors import LimitExceeded, WireError

if TYPE_CHECKING:
    from collections.abc import Callable

    Bytes = bytes | bytearray | memoryview

_RAW_DEFLATE_WINDOW = -15
_ZLIB_LEVEL = 5
_ZSTD_LEVEL = 1
_ZSTD_WINDOW_LIMIT = 1 << 23  # what level 19 and below need, and every decoder must offer
_U32 = struct.Struct("<I")
_PAIR = struct.Struct("<II")


def _checked(size: int, limit: int) -> int:
    if size > limit:
        raise LimitExceeded(f"{size} bytes when decompressed", limit=limit)
    return size


class Zlib:
    """Raw deflate behind one byte that tells which library made it."""

    def compress(self, data: Bytes) -> bytes:
        """Any data, never empty."""
        packer = zlib.compressobj(_ZLIB_LEVEL, zlib.DEFLATED, _RAW_DEFLATE_WINDOW)
        return b"\0" + packer.compress(data) + packer.flush()

    def decompress(self, data: Bytes, limit: int) -> bytes:
        """What `compress` made. LimitExceeded for more than `limit` bytes, WireError for damage."""
        unpacker = zlib.decompressobj(_RAW_DEFLATE_WINDOW)
        try:
            plain = unpacker.decompress(memoryview(data)[1:], limit + 1)
        except zlib.error as error:
            raise WireError(f"zlib: {error}") from error
        _checked(len(plain), limit)
        if not unpacker.eof:
            raise WireError("zlib: ends inside the stream")
        return plain


class Snappy:
    """Snappy without framing: the length as a varint, then the elements."""

    def __init__(self) -> None:
        self._library = importlib.import_module("cramjam")

    def compress(self, data: Bytes) -> bytes:
        """Any data, never empty."""
        return bytes(self._library.snappy.compress_raw(data))

    def decompress(self, data: Bytes, limit: int) -> bytes:
        """What `compress` made. LimitExceeded for more than `limit` bytes, WireError for damage."""
        _checked(_varint(data), limit)
        try:
            return bytes(self._library.snappy.decompress_raw(data))
        except self._library.DecompressionError as error:
            raise WireError(f"snappy: {error}") from error


def _varint(data: Bytes) -> int:
    """The number at the start of `data`, seven bits a byte, the low ones first."""
    number = 0
    for index, byte in enumerate(data[:5]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number
    raise WireError("snappy: no length")


class Zstd:
    """A zstd frame behind the u32 length of what it holds."""

    def __init__(self) -> None:
        self._library = importlib.import_module("zstandard")

    def compress(self, data: Bytes) -> bytes:
        """Any data, never empty."""
        frame: bytes = self._library.ZstdCompressor(level=_ZSTD_LEVEL).compress(data)
        return _U32.pack(len(data)) + frame

    def decompress(self, data: Bytes, limit: int) -> bytes:
        """What `compress` made. LimitExceeded for more than `limit` bytes, WireError for damage."""
        if len(data) < _U32.size:
            raise WireError("zstd: no length")
        size = _checked(_U32.unpack_from(data)[0], limit)
        unpacker = self._library.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_LIMIT)
        try:
            with unpacker.stream_reader(memoryview(data)[_U32.size :]) as stream:
                plain: bytes = stream.read(size + 1)
        except self._library.ZstdError as error:
            raise WireError(f"zstd: {error}") from error
        if len(plain) != size:
            raise WireError(f"zstd: {len(plain)} bytes where {size} were promised")
        return plain


class Lz4:
    """LZ4 blocks behind their count and, for each, the plain and the compressed size.

    A block may refer to what the blocks before it hold.
    """

    def __init__(self) -> None:
        self._library = importlib.import_module("lz4.block")

    def compress(self, data: Bytes) -> bytes:
        """Any data, never empty."""
        block: bytes = self._library.compress(data, store_size=False)
        return _U32.pack(1) + _PAIR.pack(len(data), len(block)) + block

    def decompress(self, data: Bytes, limit: int) -> bytes:
        """What `compress` made. LimitExceeded for more than `limit` bytes, WireError for damage."""
        view = memoryview(data)
        if len(view) < _U32.size:
            raise WireError("lz4: no count")
        (count,) = _U32.unpack_from(view)
        at = _U32.size + count * _PAIR.size
        if at > len(view):
            raise LimitExceeded(f"lz4: {count} blocks", limit=len(view) // _PAIR.size)
        sizes = list(_PAIR.iter_unpack(view[_U32.size : at]))
        _checked(sum(plain_size for plain_size, _ in sizes), limit)
        out = bytearray()
        for plain_size, packed_size in sizes:
            try:
                block = self._library.decompress(
                    bytes(view[at : at + packed_size]),
                    uncompressed_size=plain_size,
                    dict=bytes(out[-65536:]),
                )
            except (self._library.LZ4BlockError, ValueError) as error:
                raise WireError(f"lz4: {error}") from error
            if len(block) != plain_size or at + packed_size > len(view):
                raise WireError(f"lz4: {len(block)} bytes where {plain_size} were promised")
            out += block
            at += packed_size
        return bytes(out)


Compressor = Zlib | Snappy | Zstd | Lz4

BY_NAME: dict[str, Callable[[], Compressor]] = {
    "snappy": Snappy,
    "zlib": Zlib,
    "zstd": Zstd,
    "lz4": Lz4,
}
"""Compressors by the names that options give them."""
