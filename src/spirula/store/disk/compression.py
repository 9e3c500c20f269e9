"""Compressing data of objects: when it is tried, and when it was worth it.

Large writes are cut into blobs, each compressed by itself and stored compressed if that saves
enough blocks. Modes, hints and ratios are BlueStore's (upstream `BlueStore::_choose_write_options`
and `_do_alloc_write`). For `writing` and `reading`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache
from typing import TypeVar

from spirula.errors import InvalidArgument, WireError
from spirula.kernels.compressors import BY_NAME, Compressor
from spirula.store.objectstore import BLOCK_SIZE
from spirula.types.osd_op import AllocHintFlag
from spirula.types.pool import PoolOpt
from spirula.types.transaction import Buffer

E = TypeVar("E", bound=IntEnum)


class Mode(IntEnum):
    """When data is compressed."""

    NONE = 0
    PASSIVE = 1
    """If a hint says that it can be."""
    AGGRESSIVE = 2
    """Unless a hint says that it cannot be."""
    FORCE = 3


class Algorithm(IntEnum):
    """How data is compressed; the numbers are stored (upstream Compressor::COMP_ALG_*)."""

    SNAPPY = 1
    ZLIB = 2
    ZSTD = 3
    LZ4 = 4


@cache
def _compressor(algorithm: Algorithm) -> Compressor:
    """Made when it is first used: stores that compress nothing do not load its library."""
    return BY_NAME[algorithm.name.lower()]()


MAX_BLOB_SIZE = 64 << 10
"""Bytes that are compressed together at most: whoever reads one of them decompresses all."""
_READS_ALONG = AllocHintFlag.IMMUTABLE | AllocHintFlag.APPEND_ONLY


@dataclass(slots=True, frozen=True)
class Compression:
    """What a pool, or the whole store, wants. Blob sizes in bytes; data is cut by `min_blob`.

    Objects that are said to be read in sequence and not changed are cut by `max_blob`. (BlueStore
    has 8 KiB as the smaller one on flash: of a blob of two blocks one is saved or nothing.)
    """

    mode: Mode = Mode.NONE
    algorithm: Algorithm = Algorithm.SNAPPY
    required_ratio: float = 0.875
    """Of the original size, what the compressed data may take."""
    min_blob: int = MAX_BLOB_SIZE
    max_blob: int = MAX_BLOB_SIZE

    def is_wanted(self, hints: int) -> bool:
        """Whether data of an object with these hints (AllocHintFlag) is to be compressed."""
        if self.mode is Mode.NONE:
            return False
        match self.mode:
            case Mode.FORCE:
                return True
            case Mode.AGGRESSIVE:
                return not hints & AllocHintFlag.INCOMPRESSIBLE
            case Mode.PASSIVE:
                return bool(hints & AllocHintFlag.COMPRESSIBLE)
        return False

    def blob_blocks(self, hints: int) -> int:
        """How many blocks of such an object are compressed together."""
        in_sequence = (
            hints & AllocHintFlag.SEQUENTIAL_READ
            and not hints & AllocHintFlag.RANDOM_READ
            and hints & _READS_ALONG
            and not hints & AllocHintFlag.RANDOM_WRITE
        )
        return self.blocks(self.max_blob if in_sequence else self.min_blob)

    @staticmethod
    def blocks(size: int) -> int:
        """A size of blobs as a power of two of blocks, 2 to 16."""
        wanted = min(max(size, 2 * BLOCK_SIZE), MAX_BLOB_SIZE) // BLOCK_SIZE
        return 1 << wanted.bit_length() - 1

    def attempt(self, data: Buffer) -> bytes | None:
        """The data compressed, None if it is not worth it."""
        size = len(data)
        if size <= BLOCK_SIZE:
            return None
        packed = _compressor(self.algorithm).compress(data)
        wanted = -(-int(size * self.required_ratio) // BLOCK_SIZE)
        taken = -(-len(packed) // BLOCK_SIZE)
        return packed if taken <= wanted and taken * BLOCK_SIZE < size else None

    def of_pool(self, opts: Mapping[int, str | int | float]) -> Compression:
        """This, with what a pool's own options say instead (PoolOpts.opts)."""
        made = self
        if PoolOpt.COMPRESSION_MODE in opts:
            made = replace(made, mode=parse_mode(str(opts[PoolOpt.COMPRESSION_MODE])))
        if PoolOpt.COMPRESSION_ALGORITHM in opts:
            algorithm = str(opts[PoolOpt.COMPRESSION_ALGORITHM])
            if algorithm in {"", "none"}:
                made = replace(made, mode=Mode.NONE)
            else:
                made = replace(made, algorithm=parse_algorithm(algorithm))
        if PoolOpt.COMPRESSION_REQUIRED_RATIO in opts:
            ratio = float(opts[PoolOpt.COMPRESSION_REQUIRED_RATIO])
            made = replace(made, required_ratio=ratio)
        if PoolOpt.COMPRESSION_MIN_BLOB_SIZE in opts:
            made = replace(made, min_blob=int(opts[PoolOpt.COMPRESSION_MIN_BLOB_SIZE]))
        if PoolOpt.COMPRESSION_MAX_BLOB_SIZE in opts:
            made = replace(made, max_blob=int(opts[PoolOpt.COMPRESSION_MAX_BLOB_SIZE]))
        return made


def parse_mode(text: str) -> Mode:
    """The mode that an option names. InvalidArgument otherwise."""
    return _named(Mode, text, "mode of compression")


def parse_algorithm(text: str) -> Algorithm:
    """The algorithm that an option names. InvalidArgument otherwise."""
    return _named(Algorithm, text, "way to compress")


def _named(kind: type[E], text: str, what: str) -> E:
    try:
        return kind[text.upper()]
    except KeyError:
        names = ", ".join(each.name.lower() for each in kind)
        raise InvalidArgument(f"{text!r} is no {what}: use {names}") from None


def decompress(algorithm: int, data: Buffer, size: int) -> bytes:
    """The `size` bytes that were compressed.

    Raises WireError if the data is damaged, or holds another number of bytes.
    """
    if algorithm not in list(Algorithm):
        raise WireError(f"no way to compress has the number {algorithm}")
    made = _compressor(Algorithm(algorithm)).decompress(data, size)
    if len(made) != size:
        raise WireError(f"{len(made)} bytes were compressed, {size} expected")
    return made
