"""Profiles of the plugin `shec` (shingled codes). It says of wrong ones only that they are wrong.

Upstream: `src/erasure-code/shec/ErasureCodeShec.cc`.
"""

from __future__ import annotations

from spirula.ec.profile import ErasureCode, Profile, Reader, padded, parse_number
from spirula.errors import InvalidArgument, NotFound

_DEFAULTS = {"k": 4, "m": 3, "c": 2}
_WIDTHS = (8, 16, 32)
_MOST_DATA, _MOST_CHUNKS = 12, 20


def read(profile: Profile) -> ErasureCode:
    """What a profile says. Raises NotFound for the technique, InvalidArgument."""
    technique = profile.setdefault("technique", "multiple")
    if technique not in ("single", "multiple"):
        raise NotFound(
            f"technique={technique} is not a valid coding technique. "
            "Choose one of the following: single, multiple "
        )
    k, m, c = _numbers(profile)
    sound = k > 0 and m > 0 and c > 0 and c <= m <= k <= _MOST_DATA and k + m <= _MOST_CHUNKS
    if not sound:
        raise InvalidArgument("(22) Invalid argument")
    w, wrong = parse_number(profile.get("w", "8"))
    if wrong or w not in _WIDTHS:
        w = _WIDTHS[0]
    return ErasureCode(profile, k, k + m, padded(k * w * 4, k), Reader(profile).rule())


def _numbers(profile: Profile) -> tuple[int, int, int]:
    """k, m and c: all three, or none and the defaults hold, without being stored."""
    given = [profile.get(name) for name in _DEFAULTS]
    if given == [None] * 3:
        k, m, c = _DEFAULTS.values()
        return k, m, c
    numbers = [parse_number(text or "") for text in given]
    if any(wrong for _, wrong in numbers):
        raise InvalidArgument("(22) Invalid argument")
    (k, _), (m, _), (c, _) = numbers
    return k, m, c
