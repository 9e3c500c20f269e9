"""Every recorded message of a real cluster decodes, and encodes to the same bytes again.

The recordings and how they were made: `tests/golden/messages/README.md`.
"""

from __future__ import annotations

import pytest
from tests.golden.vectors import Vector, by_type, vectors

from spirula.messages.base import MESSAGES, decode_message, load_all

load_all()

# Types whose payload is declared with the metadata server.
UNDECLARED: frozenset[str] = frozenset()


def _types() -> list[pytest.param]:
    return [pytest.param(n, id=f"{found[0].name}") for n, found in by_type().items()]


def _describe(vector: Vector) -> str:
    return (
        f"{vector.name} v{vector.version}/{vector.compat_version} "
        f"{vector.source}>{vector.target} of {len(vector.front)} bytes, run {vector.run}"
    )


@pytest.mark.parametrize("number", _types())
def test_recorded_messages_reencode_byte_for_byte(number: int) -> None:
    for vector in by_type()[number]:
        decoded = decode_message(
            vector.type,
            vector.version,
            vector.compat_version,
            vector.front,
            vector.middle,
            vector.data,
            vector.features,
        )
        version, compat, front = decoded.encode_payload(vector.features)
        assert front == vector.front, _describe(vector)
        assert (version, compat) == (vector.version, vector.compat_version), _describe(vector)
        assert (decoded.middle, decoded.data) == (vector.middle, vector.data), _describe(vector)


def test_every_recorded_type_is_declared() -> None:
    missing = {v.name for v in vectors() if v.type not in MESSAGES}
    assert missing == UNDECLARED
