"""What an option is: name, type, defaults, bounds and flags; reading and checking a value for it.

The options themselves are tables in `spirula.conf.options`; which value is in force is
`spirula.conf.config`. Format of `as_dict`: upstream src/common/options.cc (`Option::dump`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, Flag

from spirula.conf.values import EMPTY, BadValue, OptionType, Value, parse_value, to_text
from spirula.records import dataclass


class Level(Enum):
    """Whom an option is for."""

    BASIC = "basic"
    ADVANCED = "advanced"
    DEV = "dev"


class OptionFlag(Flag):
    """When a change of the option takes effect, and who may make it."""

    NONE = 0
    RUNTIME = 1
    NO_MON_UPDATE = 2
    STARTUP = 4
    CLUSTER_CREATE = 8
    CREATE = 16
    MGR = 32
    MINIMAL_CONF = 64


_PRINTED_FLAGS = (
    (OptionFlag.RUNTIME, "runtime"),
    (OptionFlag.NO_MON_UPDATE, "no_mon_update"),
    (OptionFlag.STARTUP, "startup"),
    (OptionFlag.CLUSTER_CREATE, "cluster_create"),
    (OptionFlag.CREATE, "create"),
)
_NOT_AT_RUNTIME = OptionFlag.STARTUP | OptionFlag.CLUSTER_CREATE | OptionFlag.CREATE
_TEXTUAL = frozenset({OptionType.STR, OptionType.ADDR, OptionType.ADDRVEC, OptionType.UUID})

Validator = Callable[[str], str]
"""Takes the text of a value and gives the text to read instead; raises BadValue."""


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One option. `default` None means the type's empty value; `daemon_default` None means that
    daemons use `default` too. `desc` is empty where only the name and the type are told.
    """

    name: str
    type: OptionType
    level: Level = Level.ADVANCED
    default: Value | None = None
    daemon_default: Value | None = None
    desc: str = ""
    long_desc: str = ""
    flags: OptionFlag = OptionFlag.NONE
    services: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    see_also: tuple[str, ...] = ()
    enum_values: tuple[str, ...] = ()
    min: int | float | None = None
    max: int | float | None = None
    subsystem: str = ""
    validator: Validator | None = None

    @property
    def can_update_at_runtime(self) -> bool:
        """Whether a running daemon takes a new value without anybody watching for it."""
        if self.flags & _NOT_AT_RUNTIME:
            return False
        if self.flags & OptionFlag.RUNTIME:
            return True
        return not self.flags & OptionFlag.MGR and self.type not in _TEXTUAL

    def default_for(self, *, daemon: bool) -> Value:
        """The compiled-in default of a daemon or of a client."""
        if daemon and self.daemon_default is not None:
            return self.daemon_default
        return EMPTY[self.type] if self.default is None else self.default

    def parse(self, text: str) -> Value:
        """`text` as a value of this option; raises BadValue with upstream's reason."""
        if self.validator is not None:
            text = self.validator(text)
        value = parse_value(self.type, text)
        if isinstance(value, int | float):
            if self.min is not None and value < self.min:
                raise BadValue(f"Value '{to_text(value)}' is below minimum {to_text(self.min)}")
            if self.max is not None and value > self.max:
                raise BadValue(f"Value '{to_text(value)}' exceeds maximum {to_text(self.max)}")
        if self.enum_values and self.type is OptionType.STR and value not in self.enum_values:
            allowed = ", ".join(self.enum_values)
            raise BadValue(f"'{value}' is not one of the permitted values: {allowed}")
        return value

    def dumped(self, value: Value | None) -> str | int | float | bool:
        """A value as `config help` puts it into JSON: sizes, times and addresses are texts."""
        if value is None:
            return ""
        if self.type in (OptionType.INT, OptionType.UINT, OptionType.FLOAT, OptionType.BOOL):
            return value if isinstance(value, int | float) else to_text(value)
        return to_text(value)

    def as_dict(self) -> dict[str, object]:
        """The description as `config help` prints it."""
        out: dict[str, object] = {
            "name": self.name,
            "type": self.type.value,
            "level": self.level.value,
            "desc": self.desc,
            "long_desc": self.long_desc,
            "default": self.dumped(self.default_for(daemon=False)),
            "daemon_default": self.dumped(self.daemon_default),
            "tags": list(self.tags),
            "services": list(self.services),
            "see_also": list(self.see_also),
        }
        if self.type is OptionType.STR:
            out["enum_values"] = list(self.enum_values)
        out["min"] = self.dumped(self.min)
        out["max"] = self.dumped(self.max)
        out["can_update_at_runtime"] = self.can_update_at_runtime
        out["flags"] = [name for flag, name in _PRINTED_FLAGS if flag in self.flags]
        return out
