"""Profiles of the plugin `isa`. Upstream: `src/erasure-code/isa/ErasureCodeIsa.cc`."""

from __future__ import annotations

from spirula.ec.profile import ErasureCode, Profile, Reader, padded_chunks
from spirula.errors import NotFound

_ALIGNMENT = 32
_MOST_DATA, _MOST_CODING, _MOST_DATA_WITH_FOUR = 32, 4, 21


def read(profile: Profile) -> ErasureCode:
    """What a profile says. Raises NotFound for the technique, InvalidArgument."""
    technique = profile.setdefault("technique", "reed_sol_van")
    if technique not in ("reed_sol_van", "cauchy"):
        raise NotFound(
            f"technique={technique} is not a valid coding technique. "
            " Choose one of the following: reed_sol_van,cauchy"
        )
    reader = Reader(profile)
    k, m = reader.data_and_coding(7, 3)
    reader.check_chunks(k, m)
    if technique == "reed_sol_van":
        _check_vandermonde(reader, k, m)
    reader.check()
    return ErasureCode(profile, k, k + m, padded_chunks(_ALIGNMENT, k), reader.rule())


def _check_vandermonde(reader: Reader, k: int, m: int) -> None:
    """With more chunks such a matrix is not sure to repair all losses."""
    if k > _MOST_DATA:
        reader.complain(f"Vandermonde: m={m} should be less/equal than 32 : revert to k=32")
    elif m > _MOST_CODING:
        reader.complain(
            f"Vandermonde: m={m} should be less than 5 to guarantee an MDS codec: revert to m=4"
        )
    elif m == _MOST_CODING and k > _MOST_DATA_WITH_FOUR:
        reader.complain(
            f"Vandermonde: k={k} should be less than 22 to guarantee an MDS codec with m=4:"
            " revert to k=21"
        )
