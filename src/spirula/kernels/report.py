"""Which twin of each kernel is in use; daemons log it at start."""

from __future__ import annotations

from spirula.kernels import blocks, crc32c, frames, hash32, layouts, names, records, transactions


def implementations() -> dict[str, str]:
    """By kernel whether its twin is "native" or "pure" here."""
    return {
        "blocks": blocks.IMPLEMENTATION,
        "crc32c": crc32c.IMPLEMENTATION,
        "frames": frames.IMPLEMENTATION,
        "hash32": hash32.IMPLEMENTATION,
        "layouts": layouts.IMPLEMENTATION,
        "names": names.IMPLEMENTATION,
        "records": records.IMPLEMENTATION,
        # Compiled together with the one before; its own module would import numpy.
        "straw2": names.IMPLEMENTATION,
        "transactions": transactions.IMPLEMENTATION,
    }
