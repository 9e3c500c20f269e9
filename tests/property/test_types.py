"""Properties that every declared type has: truncation and random bytes raise only documented
errors, in bounded memory; what decodes, encodes.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spirula.crush.wire
import spirula.maps.osdmap
from spirula.denc import REGISTRY
from spirula.errors import WireError
from spirula.messages.base import MESSAGES, load_all
from spirula.types import load_all as load_types

load_types()
load_all()
TYPES = sorted(REGISTRY)
NUMBERS = sorted(MESSAGES)
_ = (spirula.crush.wire, spirula.maps.osdmap)


@pytest.mark.parametrize("name", TYPES)
def test_zero_value_round_trips_and_truncation_is_an_error(name: str) -> None:
    kind = REGISTRY[name]
    data = kind().encode()
    again = kind.decode(data)
    assert again.encode() == data
    for size in range(len(data)):
        try:
            kind.decode(data[:size])
        except WireError:
            continue


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=15, deadline=None)
@given(noise=st.binary(max_size=200), at=st.integers(0, 10_000))
def test_noise_raises_only_wire_errors(name: str, noise: bytes, at: int) -> None:
    kind = REGISTRY[name]
    good = kind().encode()
    at %= len(good) + 1
    for data in (noise, good[:at] + noise + good[at:], good[:at] + noise[:4] + good[at + 4 :]):
        try:
            kind.decode(data)
        except WireError:
            continue


@pytest.mark.parametrize("number", NUMBERS)
@settings(max_examples=25, deadline=None)
@given(noise=st.binary(max_size=300), at=st.integers(0, 10_000), back=st.integers(0, 12))
def test_noise_in_messages_raises_only_wire_errors(
    number: int, noise: bytes, at: int, back: int
) -> None:
    kind = MESSAGES[number]
    version, _, good = kind().encode_payload()
    at %= len(good) + 1
    for data in (noise, good[:at] + noise + good[at:], good[:at]):
        for told in (version, max(0, version - back), version + 1):
            try:
                kind.decode_payload(data, told)
            except WireError:
                continue
