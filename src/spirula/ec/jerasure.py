"""Profiles of the plugin `jerasure`: seven techniques, their defaults and limits.

Upstream: `src/erasure-code/jerasure/ErasureCodeJerasure.{h,cc}`.
"""

from __future__ import annotations

from collections.abc import Callable

from spirula.ec.profile import ErasureCode, Profile, Reader, padded, padded_chunks
from spirula.errors import NotFound

_WORD = 16
"""Bytes of the largest vector register that is counted on."""
_INT = 4
_PACKET = 2048
# k, m and w where the profile does not say.
_DEFAULTS = {
    "reed_sol_van": (7, 3, 8),
    "reed_sol_r6_op": (7, 2, 8),
    "cauchy_orig": (7, 3, 8),
    "cauchy_good": (7, 3, 8),
    "liberation": (2, 2, 7),
    "blaum_roth": (2, 2, 7),
    "liber8tion": (2, 2, 8),
}
TECHNIQUES = tuple(_DEFAULTS)
"""Names of the techniques."""
_RAID6 = ("reed_sol_r6_op", "liber8tion")
_MATRIX_WIDTHS = (8, 16, 32)
_OLD_BLAUM_ROTH = 7


def read(profile: Profile) -> ErasureCode:
    """What a profile says. Raises NotFound for the technique, InvalidArgument."""
    technique = profile.get("technique", "")
    if technique not in _DEFAULTS:
        raise NotFound(
            f"technique={technique} is not a valid coding technique. "
            f" Choose one of the following: {', '.join(TECHNIQUES)}"
        )
    reader = Reader(profile)
    default_k, default_m, default_w = _DEFAULTS[technique]
    k, m = reader.data_and_coding(default_k, default_m)
    w = reader.number("w", default_w)
    mapping = profile.get("mapping", "")
    if mapping and len(mapping) != k + m:
        reader.complain(
            f"mapping {mapping} maps {len(mapping)} chunks instead of the expected {k + m}"
            " and will be ignored"
        )
    reader.check_chunks(k, m)
    chunk_size = _check_technique(reader, technique, k, m, w)
    reader.check()
    rule = reader.rule()
    return ErasureCode(profile, k, k + m, chunk_size, rule)


def _check_technique(
    reader: Reader, technique: str, k: int, m: int, w: int
) -> Callable[[int], int]:
    """Complains of what this technique cannot do; gives its chunk sizes."""
    if technique.startswith("reed_sol"):
        return _check_reed_solomon(reader, technique, k, m, w)
    if technique == "liber8tion":
        if m != 2:
            reader.complain(f"liber8tion: m={m} must be 2 for liber8tion: revert to 2")
        if w != 8:
            reader.complain(f"liber8tion: w={w} must be 8 for liber8tion: revert to 8")
    packet = reader.number("packetsize", _PACKET)
    if technique.startswith("cauchy"):
        per_chunk = reader.flag("jerasure-per-chunk-alignment")
        # Upstream divides by this number.
        if packet <= 0 or w <= 0:
            reader.complain(f"packetsize={packet} must be set")
            return padded(1, 1)
        if per_chunk:
            return padded_chunks(-(-w * packet // _WORD) * _WORD, max(k, 1))
        return padded(_alignment(k, w * packet), max(k, 1))
    _check_liberation(reader, technique, k, w, packet)
    return padded(_alignment(k, w * packet), max(k, 1))


def _check_reed_solomon(
    reader: Reader, technique: str, k: int, m: int, w: int
) -> Callable[[int], int]:
    if technique == "reed_sol_r6_op" and m != 2:
        reader.complain(f"ReedSolomonRAID6: m={m} must be 2 for RAID6: revert to 2")
    if w not in _MATRIX_WIDTHS:
        name = "RAID6" if technique == "reed_sol_r6_op" else "Vandermonde"
        revert = "8 " if technique == "reed_sol_r6_op" else "8"
        reader.complain(
            f"ReedSolomon{name}: w={w} must be one of {{8, 16, 32}} : revert to {revert}"
        )
        return padded(1, 1)
    if technique == "reed_sol_van" and reader.flag("jerasure-per-chunk-alignment"):
        return padded_chunks(w * _WORD, max(k, 1))
    return padded(_alignment(k, w), max(k, 1))


def _alignment(k: int, unit: int) -> int:
    """To what multiple objects are padded, where a chunk consists of units of so many words."""
    word = _INT if unit * _INT % _WORD == 0 else _WORD
    return max(k * unit * word, 1)


def _check_liberation(reader: Reader, technique: str, k: int, w: int, packet: int) -> None:
    if k > w:
        reader.complain(f"k={k} must be less than or equal to w={w}")
    if technique == "liberation" and not (w > 2 and _is_prime(w)):
        reader.complain(f"w={w} must be greater than two and be prime")
    if technique == "blaum_roth" and w != _OLD_BLAUM_ROTH and not (w > 2 and _is_prime(w + 1)):
        reader.complain(f"w={w} must be greater than two and w+1 must be prime")
    if packet == 0:
        reader.complain(f"packetsize={packet} must be set")
    elif packet % _INT and technique != "liber8tion":
        reader.complain(f"packetsize={packet} must be a multiple of sizeof(int) = 4")


def _is_prime(number: int) -> bool:
    """Primes up to 257, as upstream's table has them."""
    return 2 <= number <= 257 and all(number % factor for factor in range(2, number))
