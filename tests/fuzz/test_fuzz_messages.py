"""Fuzz target: every declared message, on damaged payloads of recorded and of zero messages.

Whatever header version the sender claims, only the WireError family comes out, within bounds of
memory; what decodes can be printed, and encodes or says that it cannot.
"""

from __future__ import annotations

import pytest

from spirula.denc.features import PACIFIC
from spirula.errors import WireError
from spirula.messages.base import MESSAGES, UnknownMessage, decode_message, load_all
from tests.fuzz.mutate import Meter, chance, mutants
from tests.fuzz.test_fuzz_types import afterwards
from tests.golden.vectors import by_type

load_all()

MUTANTS = 100
SEED_BYTES = 6000
NUMBERS = sorted(MESSAGES)


def good(number: int) -> tuple[list[bytes], list[int]]:
    """Payloads to start from, and header versions that were seen with them."""
    version, _, zero = MESSAGES[number]().encode_payload()
    fronts, versions = [zero], {version}
    for vector in by_type().get(number, ()):
        if len(vector.front) <= SEED_BYTES and len(fronts) < 25:
            fronts.append(vector.front)
            versions.add(vector.version)
    return fronts, sorted(versions)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: MESSAGES[number].__name__)
def test_damaged_payloads(number: int, scale: int) -> None:
    name = MESSAGES[number].__name__
    rng = chance(f"message {name}")
    fronts, versions = good(number)
    versions = [*versions * 6, *range(max(versions) + 3), 0xFFFF]
    with Meter() as meter:
        for front in mutants(fronts, rng, MUTANTS * scale):
            version = rng.choice(versions)
            compat = rng.choice((0, 1, 1, version))
            features = rng.choice((PACIFIC, PACIFIC, 0, (1 << 64) - 1))

            def decode(data, version=version, compat=compat, features=features):
                return decode_message(number, version, compat, data, features=features)

            value = meter.run(decode, front, f"{name} v{version} features {features:#x}")
            if value is not None:
                message_afterwards(value, front)


def message_afterwards(value, front: bytes) -> None:
    afterwards(value, front)
    try:
        value.encode_payload(PACIFIC)
    except WireError:
        return


def test_unknown_numbers() -> None:
    unknown = [number for number in range(0x10000) if number not in MESSAGES]
    for number in (unknown[0], unknown[-1], *chance("unknown").sample(unknown, 50)):
        with pytest.raises(UnknownMessage):
            decode_message(number, 1, 1, b"")
