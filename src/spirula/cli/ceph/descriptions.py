"""A daemon's commands as it describes them (`get_command_descriptions`): signatures and help texts.

Read from the cluster each time, so that commands of other releases and of managers' modules are
known as well. Called by the command line, `matching` and `helping`; format: upstream
`src/mon/MonCommands.h`, `src/common/cmdparse.cc`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntFlag

from spirula.cli.ceph.kinds import Kind, make_kind, make_prefix
from spirula.errors import InvalidArgument


class Flag(IntFlag):
    """What is special about a command."""

    NOFORWARD = 1
    OBSOLETE = 2
    DEPRECATED = 4
    MGR = 8
    POLL = 16
    HIDDEN = 32


NOTHING = Flag(0)
"""Nothing special."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a command, or a word of its name.

    `count` words are wanted; `repeated` ones take at least one, and as many as there are.
    """

    name: str
    kind: Kind
    count: int = 1
    repeated: bool = False
    required: bool = True

    @property
    def shown(self) -> str:
        """As complaints name it: `size(<int[0-]>)`."""
        if self.kind.is_prefix or (self.kind.type == "CephChoices" and len(self.kind.words) == 1):
            return self._optional(self.kind.shown)
        return self._optional(f"{self.name}({self.kind.shown}){'...' if self.repeated else ''}")

    @property
    def concise(self) -> str:
        """As help shows it: `<size:int>`."""
        return self._optional(self._short() + ("..." if self.repeated else ""))

    def _short(self) -> str:
        kind = self.kind.type
        if kind == "CephBool":
            return f"--{self.name.replace('_', '-')}"
        if kind == "CephChoices" and self.name == "format":
            return f"--format {{{self.kind.shown}}}"
        if self.kind.is_prefix or kind == "CephChoices":
            return self.kind.shown
        suffixes = {"CephInt": ":int", "CephFloat": ":float"}
        whole = {"CephOsdName": "<id|osd.id>", "CephName": "<type.id>"}
        return whole.get(kind, f"<{self.name}{suffixes.get(kind, '')}>")

    def _optional(self, text: str) -> str:
        return text if self.required else f"[{text}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """A command: its words and arguments, in order. `tag` is what the daemon numbers it by."""

    tag: str
    parameters: tuple[Parameter, ...]
    help: str = ""
    flags: Flag = NOTHING

    @property
    def concise(self) -> str:
        """The command in one line: `osd pool get <pool> size|min_size|...`."""
        return " ".join(parameter.concise for parameter in self.parameters)

    @property
    def required(self) -> int:
        """How many parameters have to be there."""
        return sum(parameter.required for parameter in self.parameters)


def parse_descriptions(data: bytes) -> list[Signature]:
    """The commands in a daemon's answer, in its order. Raises InvalidArgument for nonsense."""
    try:
        described = json.loads(data)
        return [
            Signature(
                tag,
                tuple(_parameter(part) for part in one["sig"]),
                one.get("help", ""),
                Flag(one.get("flags", 0)),
            )
            for tag, one in described.items()
            if "cli" in one.get("avail", "cli")
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArgument(f"these are no descriptions of commands: {error!r}") from error


def _parameter(part: str | dict[str, str]) -> Parameter:
    if isinstance(part, str):
        return Parameter("prefix", make_prefix(part))
    count = str(part.get("n", 1))
    repeated = count in {"n", "N"}
    return Parameter(
        part.get("name", ""),
        make_kind(part["type"], part),
        1 if repeated else int(count),
        repeated,
        str(part.get("req", True)).lower() == "true",
    )
