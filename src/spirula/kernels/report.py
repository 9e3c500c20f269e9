"""Which twin of each kernel is in use; daemons log it at start."""

from __future__ import annotations

from spirula.kernels import crc32c, names, straw2


def implementations() -> dict[str, str]:
    """By kernel whether its twin is "native" or "pure" here."""
    return {
        "crc32c": crc32c.IMPLEMENTATION,
        "names": names.IMPLEMENTATION,
        "straw2": straw2.IMPLEMENTATION,
    }
