"""Profiles of the plugin `clay`: coupled layers over another plugin's code.

Upstream: `src/erasure-code/clay/ErasureCodeClay.cc`.
"""

from __future__ import annotations

from collections.abc import Callable

from spirula.ec import isa, jerasure, shec
from spirula.ec.profile import ErasureCode, Profile, Reader, padded
from spirula.errors import InvalidArgument

_SCALAR: dict[str, Callable[[Profile], ErasureCode]] = {
    "jerasure": jerasure.read,
    "isa": isa.read,
    "shec": shec.read,
}
_TECHNIQUES = {
    "jerasure": ("reed_sol_van", "reed_sol_r6_op", "cauchy_orig", "cauchy_good", "liber8tion"),
    "isa": ("reed_sol_van", "cauchy"),
    "shec": ("single", "multiple"),
}
_CHOICE = {
    "jerasure": " reed_sol_van', 'reed_sol_r6_op','cauchy_orig','cauchy_good','liber8tion'",
    "isa": "'reed_sol_van','cauchy'",
    "shec": "'single','multiple'",
}
_MOST_CHUNKS = 254


def read(profile: Profile) -> ErasureCode:
    """What a profile says. Raises NotFound for a technique, InvalidArgument."""
    reader = Reader(profile)
    k, m = reader.data_and_coding(4, 2)
    reader.check_chunks(k, m)
    d = reader.number("d", k + m - 1)
    plugin = profile.get("scalar_mds") or "jerasure"
    if plugin not in _SCALAR:
        reader.complain(
            "scalar_mds is not currently supported, use one of 'jerasure', 'isa', 'shec'"
        )
        plugin = "jerasure"
    technique = profile.get("technique") or _TECHNIQUES[plugin][0]
    if technique not in _TECHNIQUES[plugin]:
        reader.complain(
            f"technique {technique}is not currently supported, use one of{_CHOICE[plugin]}"
        )
    if not k <= d <= k + m - 1:
        reader.complain(f"value of d {d} must be within [ {k},{k + m - 1}]")
    reader.check()
    q = d - k + 1
    extra = -(k + m) % q
    if k + m + extra > _MOST_CHUNKS:
        raise InvalidArgument("(22) Invalid argument")
    rule = reader.rule()
    scalar = {"plugin": plugin, "technique": technique, "w": "8"}
    if plugin == "shec":
        scalar["c"] = "2"
    _SCALAR[plugin]({**scalar, "k": str(k + extra), "m": str(m)})
    pair = _SCALAR[plugin]({**scalar, "k": "2", "m": "2"})
    layers: int = q ** ((k + m + extra) // q)
    return ErasureCode(profile, k, k + m, padded(layers * k * pair.chunk_size(1), k), rule)
