"""Damaged encodings: what an attacker, a bad disk or another release may send.

`mutants` alters good encodings where formats are weakest: lengths and counts, versions, nesting,
pieces of other values. `Meter` runs a decoder on one of them and holds it to its bounds.
"""

from __future__ import annotations

import os
import random
import struct
import time
import tracemalloc
from dataclasses import dataclass

from spirula.errors import WireError

SLOWEST_S = 2.0
"""Only against what does not end: a busy machine takes its time."""

ABSURD = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def chance(name: str) -> random.Random:
    """Randomness for one test: the same at each run, or new at each run of `make fuzz`."""
    if os.environ.get("HYPOTHESIS_PROFILE") == "explore":
        name += os.urandom(8).hex()
    return random.Random(name)


def mutants(seeds: list[bytes], rng: random.Random, count: int):
    """`count` damaged encodings made of `seeds`."""
    for _ in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            rng.choice(DAMAGE)(data, seeds, rng)
        yield bytes(data)


def _at(data: bytearray, rng: random.Random) -> int:
    """A position, most often near the start, where headers and counts are."""
    if rng.random() < 0.4:
        return rng.randrange(min(len(data), 24) + 1)
    return rng.randrange(len(data) + 1)


def _flip(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 3, 8))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    at = _at(data, rng)
    data[at : at + 1] = bytes([rng.choice((0, 1, 2, 3, 4, 5, 8, 0x7F, 0x80, 0xFE, 0xFF))])


def _cut(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    del data[_at(data, rng) :]


def _add(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    at = _at(data, rng)
    data[at:at] = rng.choice(
        (rng.randbytes(rng.randrange(64)), bytes(rng.randrange(200)), b"\xff" * rng.randrange(64))
    )


def _length(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    """A length or count that is absurd, or just over what is left."""
    at = _at(data, rng)
    size = rng.choice((1, 2, 4, 4, 4, 8))
    left = max(0, len(data) - at - size)
    value = rng.choice((*ABSURD, left, left + 1, left - 1, left // 2, left // 4 + 1, left // 8 + 1))
    if size == 8 and rng.random() < 0.3:
        value = (1 << 64) - 1 - value
    data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _splice(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    other = rng.choice(seeds)
    at = rng.randrange(len(other) + 1)
    data[_at(data, rng) :] = other[at:]


def _double(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    """A piece of itself, many times over: items, envelopes within envelopes."""
    at = _at(data, rng)
    piece = bytes(data[at : at + rng.choice((1, 4, 6, 8, 16, 40))])
    data[at:at] = piece * min(rng.choice((1, 2, 10, 500)), 4000 // max(len(piece), 1))


def _drop(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    at = _at(data, rng)
    del data[at : at + rng.choice((1, 2, 4, 8, 20))]


def _many_empty(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    """A count, and as many items made of nothing but zeros or ones."""
    at = _at(data, rng)
    count = rng.choice((100, 1000))
    data[at : at + 4] = struct.pack("<I", count) + rng.choice((b"\0", b"\1")) * rng.choice(
        (count, 4 * count, 8 * count)
    )


DAMAGE = (_flip, _set, _cut, _add, _length, _length, _splice, _double, _drop, _many_empty)


@dataclass
class Meter:
    """Runs decoders under a bound on what they take at their peak.

    `per_byte` and `base` in bytes: a decoded value may take so many times its encoding's length.
    """

    per_byte: int = 64
    base: int = 1 << 20
    accepted: int = 0
    refused: int = 0

    def __enter__(self):
        self._was_tracing = tracemalloc.is_tracing()
        if not self._was_tracing:
            tracemalloc.start()
        return self

    def __exit__(self, *exc):
        if not self._was_tracing:
            tracemalloc.stop()

    def run(self, decode, data: bytes, what: str):
        """What `decode` makes of `data`, None where it refuses by a WireError. All else fails."""
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        begun = time.perf_counter()
        value = None
        try:
            value = decode(data)
        except WireError as error:
            assert str(error)
            self.refused += 1
        except BaseException as error:
            error.add_note(f"{what} from {data.hex()}")
            raise
        else:
            self.accepted += 1
        took = time.perf_counter() - begun
        peak = tracemalloc.get_traced_memory()[1] - before
        assert peak < self.per_byte * len(data) + self.base, (
            f"{what}: {peak} bytes of memory for {len(data)} from {data.hex()}"
        )
        assert took < SLOWEST_S, f"{what}: {took:.1f} s for {len(data)} bytes from {data.hex()}"
        return value
