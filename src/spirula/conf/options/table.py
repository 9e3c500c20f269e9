"""How the option tables are written down: `opt(...)`, one call per option, and short names for the
types, levels and flags that they use. Only the modules of this folder call it.
"""

from __future__ import annotations

from spirula.conf.option import Level, Option, OptionFlag, Validator
from spirula.conf.values import EMPTY, OptionType, Value, parse_addr, parse_uuid

BASIC, ADVANCED, DEV = Level.BASIC, Level.ADVANCED, Level.DEV
UINT, INT, STR, FLOAT, BOOL = (
    OptionType.UINT,
    OptionType.INT,
    OptionType.STR,
    OptionType.FLOAT,
    OptionType.BOOL,
)
ADDR, ADDRVEC, UUID = OptionType.ADDR, OptionType.ADDRVEC, OptionType.UUID
SIZE, SECS, MILLISECS = OptionType.SIZE, OptionType.SECS, OptionType.MILLISECS
NONE, RUNTIME, STARTUP = OptionFlag.NONE, OptionFlag.RUNTIME, OptionFlag.STARTUP
CREATE, CLUSTER_CREATE = OptionFlag.CREATE, OptionFlag.CLUSTER_CREATE
NO_MON_UPDATE, MINIMAL_CONF = OptionFlag.NO_MON_UPDATE, OptionFlag.MINIMAL_CONF

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def opt(
    name: str,
    kind: OptionType,
    default: str | float | bool | None = None,
    desc: str = "",
    *,
    level: Level = ADVANCED,
    daemon: str | float | bool | None = None,
    flags: OptionFlag = NONE,
    services: str = "",
    tags: str = "",
    see: str = "",
    enum: str = "",
    low: float | None = None,
    high: float | None = None,
    validator: Validator | None = None,
) -> Option:
    """One option; lists of words (`services`, `tags`, `see`) are parted by blanks, the words of
    `enum` by `|`. `low` and `high` are the inclusive bounds.
    """
    return Option(
        name=name,
        type=kind,
        level=level,
        default=_typed(kind, default),
        daemon_default=None if daemon is None else _typed(kind, daemon),
        desc=desc,
        flags=flags,
        services=tuple(services.split()),
        tags=tuple(tags.split()),
        see_also=tuple(see.split()),
        enum_values=tuple(enum.split("|")) if enum else (),
        min=low,
        max=high,
        validator=validator,
    )


def _typed(kind: OptionType, value: str | float | bool | None) -> Value:
    if value is None:
        return EMPTY[kind]
    if kind is FLOAT:
        return float(value)
    if kind is UUID:
        return parse_uuid(str(value))
    if kind is ADDR:
        return parse_addr(str(value))
    return value
