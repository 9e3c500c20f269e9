"""Fuzz target: every declared type and every hand-written decoder, on damaged encodings.

The good ones are objects that real Ceph encoded, where the archive is there, and zero values. Only
the WireError family comes out, within bounds of memory; what decodes can be printed, and encodes or
says that it cannot.
"""

from __future__ import annotations

import json
import struct

import pytest

import spirula.crush.wire
import spirula.maps.osdmap
from spirula.denc import REGISTRY
from spirula.denc.features import PACIFIC
from spirula.errors import WireError
from spirula.msgr.protocol.control import CONTROL_FRAMES
from spirula.types import load_all
from tests.fuzz.mutate import Meter, chance, mutants
from tests.golden.test_corpus import ARCHIVE, corpus

load_all()
_ = (spirula.crush.wire, spirula.maps.osdmap)

MUTANTS = 30
SEED_BYTES = 6000
"""Longer objects are left out: damage would hit the same few kinds of fields again and again."""

FRAMES = {kind.__name__: kind for kind in CONTROL_FRAMES.values()}
KINDS = {**REGISTRY, **{f"frame {name}": kind for name, kind in FRAMES.items()}}


def good(name: str) -> list[bytes]:
    """Encodings to start from: the zero value and, of every release, the first few objects."""
    found = [KINDS[name]().encode()]
    if ARCHIVE.is_file():
        for (_, of), objects in sorted(corpus().items()):
            if of == name:
                found += [o for _, o in sorted(objects.items()) if len(o) <= SEED_BYTES][:6]
    return found


@pytest.mark.parametrize("name", sorted(KINDS))
def test_damaged_encodings(name: str, scale: int) -> None:
    kind = KINDS[name]
    rng = chance(f"type {name}")
    seeds = good(name)
    with Meter() as meter:
        for data in mutants(seeds, rng, MUTANTS * scale):
            value = meter.run(kind.decode, data, name)
            if value is not None:
                afterwards(value, data)
        for data in seeds:
            meter.run(lambda data: kind.decode(data, 0), data, f"{name} without features")


def afterwards(value, data: bytes) -> None:
    """What came in from outside is shown in logs and by tools, and may be sent on."""
    try:
        json.dumps(value.plain())
        repr((value, str(value)))
        value.encode(PACIFIC)
    except WireError:
        return
    except BaseException as error:
        error.add_note(f"{type(value).__name__} from {data.hex()}")
        raise


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_length_and_count_in_a_zero_value(name: str) -> None:
    """At each offset an absurd u32, and one that is just more than what is left."""
    kind = KINDS[name]
    data = kind().encode()[:600]
    with Meter() as meter:
        for at in range(max(0, len(data) - 3)):
            for value in (0xFFFFFFFF, 0x7FFFFFFF, len(data) - at - 3):
                damaged = data[:at] + struct.pack("<I", value) + data[at + 4 :]
                meter.run(kind.decode, damaged, name)


LONG = 48 * 1024
RUBBISH = [b"\0", b"\1", b"\xff", b"\1\0\0\0", b"\1\1\0\0\0\0", b"\1\1\4\0\0\0\0\0\0\0"]


@pytest.mark.parametrize("name", sorted(KINDS))
def test_long_rubbish_takes_time_and_memory_in_proportion(name: str) -> None:
    """Envelopes and counts that fit, with as many items behind them as there is room for."""
    kind = KINDS[name]
    zero = kind().encode()
    with Meter() as meter:
        for unit in RUBBISH:
            body = unit * (LONG // len(unit))
            counted = struct.pack("<I", LONG // 16) + body
            for start in (b"", zero[:1], zero[:2], zero[:6], zero):
                meter.run(kind.decode, start + counted, name)
            for version in {1, 2, zero[0] if zero else 1}:
                head = struct.pack("<BBI", version, 1, len(counted))
                meter.run(kind.decode, head + counted, name)
