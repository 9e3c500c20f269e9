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

    def declared(self) -> ModuleOption:
        """The option as beacons tell it to the monitors."""
        kind = self.kind or type(self.default).__name__
        return ModuleOption(
            name=self.name,
            type=KINDS.index(kind),
            flags=RUNTIME,
            default_value=str(self.default),
            min="" if self.low is None else str(self.low),
            max="" if self.high is None else str(self.high),
            enum_allowed=set(self.choices),
            desc=self.help,
        )
