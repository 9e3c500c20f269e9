"""Metavariables: `$cluster`, `$id`, `${name}` and other options' names inside string values.

Pure: everything that a metavariable stands for comes in as an `Identity`. The rules, also the odd
ones, are those of upstream src/common/config.cc (`_expand_meta`) and are compared with the real
`ceph-conf` by tests. Called by `Config` whenever a string option is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from spirula.conf.values import to_text
from spirula.records import dataclass

_NAME = re.compile(r"[a-z_]*")
MAX_EXPANDED = 1 << 20
MAX_STEPS = 10_000
"""Bounds of one expansion: options that name one another twice double at each step."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who reads the configuration: what the metavariables stand for.

    `entity_type` is `mon`, `osd`, `mgr`, `mds` or `client`; `entity_id` what follows the dot.
    `host` is the short host name, `home` the home directory, `context_id` tells several clients
    in one process apart (`$cctid`), `data_dir_option` names the option behind `$data_dir`.
    """

    entity_type: str = "client"
    entity_id: str = "admin"
    cluster: str = "ceph"
    host: str = ""
    home: str = ""
    pid: int | str = 0
    context_id: int = 0
    data_dir_option: str = ""

    @property
    def name(self) -> str:
        """`type.id`."""
        return f"{self.entity_type}.{self.entity_id}"

    def sections(self) -> tuple[str, str, str]:
        """The sections of a configuration file that concern us, the strongest first."""
        return (self.name, self.entity_type, "global")

    def metavariables(self) -> dict[str, str]:
        """The fixed metavariables; `$home` is not among them, for it replaces what precedes it."""
        return {
            "type": self.entity_type,
            "cluster": self.cluster,
            "name": self.name,
            "host": self.host,
            "num": self.entity_id,
            "id": self.entity_id,
            "pid": str(self.pid),
            "cctid": str(self.context_id),
        }


RawValue = Callable[[str], "tuple[str, object] | None"]
"""Gives the option's normalized name and its value before expansion; None for no such option."""


class Expander:
    """One expansion: keeps the stack of options that are being expanded, to find loops.

    `complaints` collects a text per loop, as upstream prints it.
    """

    __slots__ = ("complaints", "data_dir_option", "home", "raw", "stack", "steps", "variables")

    def __init__(self, identity: Identity, raw: RawValue) -> None:
        self.variables: Mapping[str, str] = identity.metavariables()
        self.home = identity.home
        self.data_dir_option = identity.data_dir_option
        self.raw = raw
        self.stack: list[tuple[str, str]] = []
        self.complaints: list[str] = []
        self.steps = 0

    def expand(self, text: str, option: str = "") -> str:
        """`text` with its metavariables replaced; `option` is whose value it is, if anybody's."""
        pos = text.find("$")
        if pos < 0:
            return text
        if option:
            self.stack.append((option, text))
        out: list[str] = []
        size = 0
        last = 0
        while pos >= 0:
            out.append(text[last:pos])
            braces = text.startswith("{", pos + 1)
            start = pos + 1 + braces
            found = _NAME.match(text, start)
            end = start if found is None else found.end()
            variable = text[start:end]
            if braces:
                if text.startswith("}", end):
                    end += 1
                else:
                    variable = ""
            # An unfinished `${name` loses its name, as upstream does.
            last = end
            if not variable:
                piece = "$"
            elif variable == "home":
                out.clear()
                piece = self.home
            elif variable in self.variables:
                piece = self.variables[variable]
            else:
                if variable == "data_dir":
                    variable = self.data_dir_option
                target = self.raw(variable)
                if target is None:
                    piece = text[pos:end]
                else:
                    name, value = target
                    loop = next((item for item in self.stack if item[0] == name), None)
                    if loop is not None:
                        self._complain(variable, loop)
                        return f"${name}"
                    piece = self.expand(value, name) if isinstance(value, str) else _text(value)
            out.append(piece)
            size += len(piece)
            self.steps += 1
            if size > MAX_EXPANDED or self.steps > MAX_STEPS:
                self.complaints.append(f"expansion of {option or text[:40]!r} is too long\n")
                return text
            pos = text.find("$", last)
        out.append(text[last:])
        if option:
            self.stack.pop()
        return "".join(out)

    def _complain(self, variable: str, loop: tuple[str, str]) -> None:
        lines = [f"variable expansion loop at {variable}={loop[1]}\n", "expansion stack:\n"]
        lines.extend(f"{name}={text}\n" for name, text in reversed(self.stack))
        self.complaints.append("".join(lines))


def _text(value: object) -> str:
    return to_text(value) if isinstance(value, int | float | str) else str(value)
