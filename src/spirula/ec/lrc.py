"""Profiles of the plugin `lrc` (locally repairable codes): by k, m and l, or layer by layer.

Upstream: `src/erasure-code/lrc/ErasureCodeLrc.{h,cc}`; its errors have numbers above all errnos.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from spirula.ec import clay, isa, jerasure, shec
from spirula.ec.profile import (
    MAX_CHUNKS,
    ErasureCode,
    Profile,
    Reader,
    RuleShape,
    show_profile,
)
from spirula.errors import CephError, InputOutput, InvalidArgument

_Steps = Sequence[tuple[str, str, int]]
_MAX_ERRNO = 4095
_UNSET = -1
_PLUGINS: dict[str, Callable[[Profile], ErasureCode]] = {
    "jerasure": jerasure.read,
    "isa": isa.read,
    "shec": shec.read,
    "clay": clay.read,
}
_DEFAULT_STEPS = (("chooseleaf", "host", 0),)
_GENERATED = ("mapping", "layers", "crush-steps")


class _Code(IntEnum):
    """What upstream adds to its largest errno."""

    ARRAY = 1
    STR = 4
    DESCRIPTION = 6
    PARSE_JSON = 7
    MAPPING = 8
    MAPPING_SIZE = 9
    CONFIG_OPTIONS = 12
    LAYERS_COUNT = 13
    RULE_OP = 14
    RULE_TYPE = 15
    RULE_N = 16
    ALL_OR_NOTHING = 17
    GENERATED = 18
    K_M_MODULO = 19
    K_MODULO = 20
    M_MODULO = 21


_STEP: tuple[tuple[type, str, _Code], ...] = (
    (str, "string", _Code.RULE_OP),
    (str, "string", _Code.RULE_TYPE),
    (int, "int", _Code.RULE_N),
)
"""What the elements of a step must be."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """Which chunks take part, `D` as data and `c` as coding, and the profile of its code."""

    chunks: str
    profile: Profile


def _error(code: _Code, text: str) -> CephError:
    return CephError(text, errno=_MAX_ERRNO + code)


def read(profile: Profile) -> ErasureCode:
    """What a profile says. Raises CephError with upstream's numbers, and what its layers raise."""
    reader = Reader(profile)
    k, m, l = (reader.number(name, _UNSET) for name in "kml")
    reader.check()
    by_numbers = (k, m, l) != (_UNSET,) * 3
    groups = _check_kml(profile, k, m, l) if by_numbers else 0
    root, device_class = reader.text("crush-root", "default"), reader.text("crush-device-class", "")
    if by_numbers:
        steps = _kml_steps(profile, groups, l)
        mapping, layers = _kml_layers(k, m, l, groups)
        codes = [_code_of(layer) for layer in layers]
    else:
        text = profile.get("crush-steps")
        steps = _DEFAULT_STEPS if text is None else _parse_steps(text)
        layers = _parse_layers(profile)
        codes = [_code_of(layer) for layer in layers]
        mapping = _given_mapping(profile)
    _check_layers(profile.get("layers", ""), layers, len(mapping))
    data = mapping.count("D")
    if not 0 < data <= len(mapping) <= MAX_CHUNKS:
        raise InvalidArgument(f"mapping {mapping[:300]} must have 1 to {MAX_CHUNKS} chunks")
    Reader(profile).rule()
    rule = RuleShape(root, "", device_class, tuple(steps))
    return ErasureCode(profile, data, len(mapping), codes[0].chunk_size, rule)


# ---------------------------------------------------------------------------------- by k, m and l


def _check_kml(profile: Profile, k: int, m: int, l: int) -> int:
    """The number of local groups."""
    shown = show_profile(profile)
    if _UNSET in (k, m, l):
        text = f"All of k, m, l must be set or none of them in {shown}"
        raise _error(_Code.ALL_OR_NOTHING, text)
    for name in _GENERATED:
        if name in profile:
            text = f"The {name} parameter cannot be set when k, m, l are set in {shown}"
            raise _error(_Code.GENERATED, text)
    if min(k, m) < 1 or k + m > MAX_CHUNKS:
        raise InvalidArgument(f"k and m must be positive and k+m at most {MAX_CHUNKS} in {shown}")
    if l <= 0 or (k + m) % l:
        raise _error(_Code.K_M_MODULO, f"k + m must be a multiple of l in {shown}")
    groups = (k + m) // l
    if k % groups:
        raise _error(_Code.K_MODULO, f"k must be a multiple of (k + m) / l in {shown}")
    if m % groups:
        raise _error(_Code.M_MODULO, f"m must be a multiple of (k + m) / l in {shown}")
    return groups


def _kml_layers(k: int, m: int, l: int, groups: int) -> tuple[str, list[_Layer]]:
    """The mapping, and one layer over all groups and one for each."""
    data, coding = k // groups, m // groups
    mapping = ("D" * data + "_" * coding + "_") * groups
    layers = [_Layer(("D" * data + "c" * coding + "_") * groups, {})]
    for own in range(groups):
        parts = ("D" * l + "c" if own == group else "_" * (l + 1) for group in range(groups))
        layers.append(_Layer("".join(parts), {}))
    return mapping, layers


def _kml_steps(profile: Profile, groups: int, l: int) -> _Steps:
    domain = profile.get("crush-failure-domain", "host")
    locality = profile.get("crush-locality", "")
    if locality:
        return (("choose", locality, groups), ("chooseleaf", domain, l + 1))
    return (("chooseleaf", domain or "host", 0),)


# ----------------------------------------------------------------------------------- layer by layer


def _given_mapping(profile: Profile) -> str:
    if "mapping" not in profile:
        text = f"the 'mapping' profile is missing from {show_profile(profile)}"
        raise _error(_Code.MAPPING, text)
    return profile["mapping"]


def _json_type(value: object) -> int:
    """The number of a value's type, as upstream's JSON library counts them."""
    kinds = ((dict, 0), (list, 1), (str, 2), (bool, 3), (int, 4), (float, 5))
    return next((number for kind, number in kinds if isinstance(value, kind)), 6)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _parse_array(name: str, text: str) -> list[Any]:
    """A JSON array, which may have a comma behind its last element."""
    try:
        found = json.loads(re.sub(r",(\s*\])", r"\1", text))
    except json.JSONDecodeError as error:
        where = f"at line {error.lineno}, column {error.colno} : {error.msg}"
        text = f"failed to parse {name}='{text}' {where}"
        raise _error(_Code.PARSE_JSON, text) from None
    except RecursionError:
        raise _error(_Code.PARSE_JSON, f"{name} is nested too deep") from None
    if not isinstance(found, list):
        text = f"{name}='{text}' must be a JSON array but is of type {_json_type(found)} instead"
        raise _error(_Code.ARRAY, text)
    return found


def _parse_layers(profile: Profile) -> list[_Layer]:
    if "layers" not in profile:
        raise _error(_Code.DESCRIPTION, f"could not find 'layers' in {show_profile(profile)}")
    text = profile["layers"]
    layers = []
    for position, entry in enumerate(_parse_array("layers", text)):
        if not isinstance(entry, list):
            raise _error(
                _Code.ARRAY,
                f"each element of the array {text} must be a JSON array but {json.dumps(entry)}"
                f" at position {position} is of type {_json_type(entry)} instead",
            )
        if not entry:
            continue
        if not isinstance(entry[0], str):
            raise _error(
                _Code.STR,
                f"the first element of the entry {json.dumps(entry[0])} (first is zero) {position}"
                f" in {text} is of type {_json_type(entry[0])} instead of string",
            )
        options = entry[1] if len(entry) > 1 else ""
        if not isinstance(options, str | dict):
            raise _error(
                _Code.CONFIG_OPTIONS,
                f"the second element of the entry {json.dumps(options)} (first is zero) {position}"
                f" in {text} is of type {_json_type(options)} instead of string or object",
            )
        layers.append(_Layer(entry[0], _layer_profile(options)))
    return layers


def _layer_profile(options: str | dict[str, object]) -> Profile:
    """A layer's own profile: a JSON object, or words `key=value`."""
    if isinstance(options, str) and options.lstrip().startswith("{"):
        try:
            options = json.loads(options)
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"failed to parse '{options}': {error}") from None
    if isinstance(options, dict):
        if not all(isinstance(value, str) for value in options.values()):
            raise InvalidArgument(f"the values of a layer's profile must be strings: {options}")
        return {key: str(value) for key, value in options.items()}
    pairs = (word.partition("=") for word in str(options).split())
    return {key: value for key, _, value in pairs}


def _code_of(layer: _Layer) -> ErasureCode:
    profile = layer.profile
    profile.setdefault("k", str(layer.chunks.count("D")))
    profile.setdefault("m", str(layer.chunks.count("c")))
    profile.setdefault("plugin", "jerasure")
    profile.setdefault("technique", "reed_sol_van")
    if profile["plugin"] not in _PLUGINS:
        raise InputOutput(f"there is no erasure code plugin '{profile['plugin']}'")
    return _PLUGINS[profile["plugin"]](profile)


def _check_layers(description: str, layers: Sequence[_Layer], size: int) -> None:
    if not layers:
        raise _error(
            _Code.LAYERS_COUNT,
            f"layers parameter has 0 which is less than the minimum of one. {description}",
        )
    for layer in layers:
        if len(layer.chunks) != size:
            raise _error(
                _Code.MAPPING_SIZE,
                "the first element of the array at position 0 (starting from zero)  is the string"
                f" '{layer.chunks} found in the layers parameter {description}. It is expected to"
                f" be {size} characters long but is {len(layer.chunks)} characters long instead ",
            )


def _parse_steps(text: str) -> _Steps:
    steps = []
    for position, entry in enumerate(_parse_array("crush-steps", text)):
        if not isinstance(entry, list):
            raise _error(
                _Code.ARRAY,
                f"element of the array {text} must be a JSON array but {json.dumps(entry)} at"
                f" position {position} is of type {_json_type(entry)} instead",
            )
        for at, (value, (kind, name, code)) in enumerate(zip(entry, _STEP, strict=False)):
            if not isinstance(value, kind) or isinstance(value, bool):
                raise _error(
                    code,
                    f"element {at} of the array {_compact(entry)} found in {text} must be a JSON"
                    f" {name} but is of type {_json_type(value)} instead",
                )
        given = [*entry, *("", "", 0)[len(entry) :]]
        steps.append((str(given[0]), str(given[1]), int(given[2])))
    return steps
