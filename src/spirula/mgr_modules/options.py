"""Options of modules: declared once, told to the monitors, and set with `ceph config set mgr`.

The option `sleep_interval` of the module `balancer` is `mgr/balancer/sleep_interval` there.
Kinds and limits: upstream `src/mgr/PyModule.cc` (load_options).
"""

from __future__ import annotations

from dataclasses import dataclass

from spirula.types.mgr import ModuleOption

KINDS = ("uint", "int", "str", "float", "bool", "addr", "addrvec", "uuid", "size", "secs")
"""The kinds of options, in the order of their numbers on the wire."""
RUNTIME = 1
"""The flag of options that take effect at once; all of ours do."""

_WIDEST = {"int": (-(1 << 63), (1 << 63) - 1), "float": (-1e300, 1e300)}
_NOT_NEGATIVE = (0, (1 << 31) - 1)
"""What is told to the monitors where an option has one limit only: they keep to pairs."""

LEVELS = ("", "critical", "error", "warning", "info", "debug")
"""Words for levels of log lines."""

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Option:
    """An option.

    `kind` is one of KINDS, by the default's type where it is left out: `secs` are seconds, `size`
    bytes. `low` and `high` are limits, both included; `choices` the words that are accepted.
    """

    name: str
    default: Value
    help: str = ""
    kind: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def accept(self, found: object) -> Value:
        """What somebody has set, if it can be that; the default if not.

        The monitors refuse what does not fit, unless they are forced or know nothing of the module.
        """
        if isinstance(found, str) and not isinstance(self.default, str):
            found = _parsed(found, self.default)
        wanted = (int, float) if isinstance(self.default, float) else type(self.default)
        is_bool = isinstance(self.default, bool)
        if not isinstance(found, wanted) or isinstance(found, bool) is not is_bool:
            return self.default
        if self.choices and found not in self.choices:
            return self.default
        if isinstance(found, str | bool):
            return found
        least = found if self.low is None else max(found, self.low)
        return least if self.high is None else min(least, self.high)

    def declared(self) -> ModuleOption:
        """The option as beacons tell it to the monitors."""
        kind = self.kind or type(self.default).__name__
        least, most = _WIDEST.get(kind, _NOT_NEGATIVE)
        if self.low is None and self.high is None:
            told = ("", "")
        else:
            told = (
                str(least if self.low is None else self.low),
                str(most if self.high is None else self.high),
            )
        return ModuleOption(
            name=self.name,
            type=KINDS.index(kind),
            flags=RUNTIME,
            default_value=str(self.default),
            min=told[0],
            max=told[1],
            enum_allowed=set(self.choices),
            desc=self.help,
        )


def _parsed(text: str, default: Value) -> Value | None:
    """Text as what the default is; None if it is not that."""
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(text.lower())
    try:
        return type(default)(text)
    except ValueError:
        return None
