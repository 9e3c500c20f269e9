"""Validators of block image options: they rewrite the text of a value before it is read.

Rules: upstream src/librbd/Features.cc and the rbd part of src/common/options.cc. Only the table in
`spirula.conf.options.rbd` uses them.
"""

from __future__ import annotations

import re

from spirula.conf.values import BadValue, parse_si

FEATURES = {
    "layering": 1,
    "striping": 2,
    "exclusive-lock": 4,
    "object-map": 8,
    "fast-diff": 16,
    "deep-flatten": 32,
    "journaling": 64,
    "data-pool": 128,
    "operations": 256,
    "migrating": 512,
    "non-primary": 1024,
}
DEFAULT_FEATURES = 1 | 4 | 8 | 16 | 32
_SETTABLE = 255
_KNOWN = (1 << 11) - 1


def pool_or_rbd(text: str) -> str:
    """A name that cannot be a pool's becomes `rbd`."""
    return text if re.fullmatch(r"[^@/]+", text) else "rbd"


def data_pool_or_none(text: str) -> str:
    """A name that cannot be a pool's becomes none."""
    return text if re.fullmatch(r"[^@/]*", text) else ""


def power_of_two(text: str) -> str:
    """Refuses what is not a power of two."""
    value = parse_si(text, signed=False)
    if value & (value - 1):
        raise BadValue("value must be a power of two")
    return text


def features_as_number(text: str) -> str:
    """Feature names parted by commas, or their bit mask, as the decimal mask."""
    stripped = text.strip(" \t\n\v\f\r")
    if not stripped:
        return str(DEFAULT_FEATURES)
    if re.fullmatch(r"\+?[0-9]{1,19}", stripped):
        mask = int(stripped)
        if mask & ~_KNOWN:
            raise BadValue(f"ignoring unknown feature mask 0x{mask & ~_KNOWN:x}")
        if mask & ~_SETTABLE:
            raise BadValue(f"ignoring feature mask 0x{mask & ~_SETTABLE:x}")
        return str(mask)
    total = 0
    unknown: list[str] = []
    for part in stripped.split(","):
        feature = part.strip(" \t\n\v\f\r")
        if feature in FEATURES:
            total += FEATURES[feature]
        else:
            unknown.append(feature)
    if unknown:
        raise BadValue(", ".join(f"ignoring unknown feature {name}" for name in unknown))
    return str(total)
