"""The options that a pool overrides, kept by key beside its fields: their types and their checks.

Called by `set` with a value that was given, and for names by `pools_show`. Upstream:
`src/osd/osd_types.cc` (pool_opts_t), `src/mon/OSDMonitor.cc` (prepare_command_pool_set).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.errors import InvalidArgument, NotFound, NotSupported
from spirula.maps.query import find_pool
from spirula.types.pool import PoolOpt

if TYPE_CHECKING:
    from spirula.mon.services.osdmap.pools.values import Setting

OPTIONS = {option.name.lower(): int(option) for option in PoolOpt}
"""Keys by the names of the options."""

_TEXTS = ("compression_mode", "compression_algorithm", "fingerprint_algorithm")
_FLOATS = (
    "scrub_min_interval",
    "scrub_max_interval",
    "deep_scrub_interval",
    "compression_required_ratio",
    "target_size_ratio",
    "pg_autoscale_bias",
    "read_lease_interval",
)
OPTION_TYPES: dict[str, type] = {
    name: str if name in (*_TEXTS, "dedup_chunk_algorithm") else float if name in _FLOATS else int
    for name in OPTIONS
}
"""The type of each option's value."""

CSUM_TYPES = {
    "none": 1,
    "xxhash32": 2,
    "xxhash64": 3,
    "crc32c": 4,
    "crc32c_16": 5,
    "crc32c_8": 6,
}
"""How checksums are kept, by name."""

_COMPRESSION_MODES = ("none", "passive", "aggressive", "force")
_COMPRESSION_ALGORITHMS = ("none", "snappy", "zlib", "zstd", "lz4")
_SIZES = (
    "compression_max_blob_size",
    "compression_min_blob_size",
    "csum_max_block",
    "csum_min_block",
    "dedup_cdc_chunk_size",
)
_PRIORITY = 10
_MOST_BIAS = 1000.0


def set_option(setting: Setting) -> None:
    """Check a value and set it; `unset`, or a zero, takes the option away.

    Raises InvalidArgument, NotFound for a pool, NotSupported.
    """
    name, text = setting.var, setting.text
    number = _check_by_name(setting)
    kind = OPTION_TYPES[name]
    value: str | int | float
    if kind is str:
        value = "" if text == "unset" else text
    elif kind is int:
        value = setting.integer() if number is None else number
    else:
        value = setting.floating("floating point value")
    options = setting.pool.opts.opts
    if value:
        options[OPTIONS[name]] = value
    else:
        options.pop(OPTIONS[name], None)


def _check_by_name(setting: Setting) -> int | None:
    """What this option asks of its value; for some, the number that a name stands for."""
    name, text = setting.var, setting.text
    if name == "csum_type":
        if text != "unset" and text not in CSUM_TYPES:
            raise InvalidArgument(f"unrecognized csum_type '{text}'")
        return CSUM_TYPES.get(text, 0)
    if name == "dedup_tier":
        return _dedup_tier(setting)
    if name in ("compression_mode", "compression_algorithm"):
        known = _COMPRESSION_MODES if name == "compression_mode" else _COMPRESSION_ALGORITHMS
        if text not in (*known, "unset"):
            shown = "compression mode" if name == "compression_mode" else name
            raise InvalidArgument(f"unrecognized {shown} '{text}'")
    elif name in _SIZES:
        setting.integer("int value")
    elif name == "target_size_bytes":
        setting.integer("unit value")
    elif name in ("pg_num_min", "pg_num_max"):
        _check_bound(setting)
    elif name == "recovery_priority":
        if not -_PRIORITY <= setting.integer("int value") <= _PRIORITY:
            raise InvalidArgument(
                f"pool recovery_priority must be between -{_PRIORITY} and {_PRIORITY}"
            )
    elif OPTION_TYPES[name] is float:
        _check_float(setting)
    return None


def _check_float(setting: Setting) -> None:
    name, text = setting.var, setting.text
    if name == "compression_required_ratio":
        if not 0 <= setting.floating("float value") <= 1:
            raise InvalidArgument(f"compression_required_ratio is out of range (0-1): '{text}'")
        return
    value = setting.floating("floating point value")
    if name == "target_size_ratio" and value < 0:
        raise InvalidArgument("target_size_ratio cannot be negative")
    if name == "pg_autoscale_bias" and not 0 <= value <= _MOST_BIAS:
        raise InvalidArgument("pg_autoscale_bias must be between 0 and 1000")


def _check_bound(setting: Setting) -> None:
    bound, there = setting.integer("int value"), setting.pool.pg_num_target
    if setting.var == "pg_num_min" and bound > there:
        raise InvalidArgument(f"specified pg_num_min {bound} > pg_num {there}")
    if setting.var == "pg_num_max" and bound and bound < there:
        raise InvalidArgument(f"specified pg_num_max {bound} < pg_num {there}")


def _dedup_tier(setting: Setting) -> int:
    """The number of the pool that chunks go to, by its name."""
    if setting.is_integer():
        raise InvalidArgument("expecting value 'pool name'")
    if setting.pool.is_erasure:
        raise NotSupported(f"pool '{setting.name}' is an ec pool, which cannot be a base tier")
    number = find_pool(setting.service.osdmap, setting.text)
    if number is None:
        raise NotFound(f"unrecognized pool '{setting.text}'")
    return number
