"""Constraints on the arguments of a command or module: `key=value`, `key prefix value`, `regex`.

Shared by the languages of mon and mgr. Also turns a command's JSON arguments into the strings that
constraints are compared with. Follows upstream `src/mon/MonCap.cc`, `src/mgr/MgrCap.cc` and
`Monitor::_generate_command_map`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from spirula.auth.caps import regex
from spirula.auth.caps.grammar import Scanner, print_string


class MatchType(enum.Enum):
    """How a constraint compares; the value is how it is written."""

    EQUAL = "="
    PREFIX = " prefix "
    REGEX = " regex "


@dataclass(frozen=True, slots=True)
class Constraint:
    """What one argument must be: equal to, beginning with, or wholly matched by `value`."""

    match_type: MatchType
    value: str

    def allows(self, argument: str) -> bool:
        """Whether `argument` satisfies the constraint; an invalid regex allows nothing."""
        if self.match_type is MatchType.EQUAL:
            return argument == self.value
        if self.match_type is MatchType.PREFIX:
            return argument.startswith(self.value)
        return regex.matches(self.value, argument)


Arguments = tuple[tuple[str, Constraint], ...]
"""Constraints by argument name, each name once, ordered by name."""


def ordered(found: list[tuple[str, Constraint]]) -> Arguments:
    """Constraints as upstream keeps them: sorted; of a name given twice, the first counts."""
    first: dict[str, Constraint] = {}
    for name, constraint in found:
        first.setdefault(name, constraint)
    return tuple(sorted(first.items(), key=lambda item: item[0].encode("utf-8", "surrogateescape")))


def allowed(constraints: Arguments, arguments: Mapping[str, str]) -> bool:
    """Whether every constrained argument is present and satisfies its constraint."""
    for name, constraint in constraints:
        argument = arguments.get(name)
        if argument is None or not constraint.allows(argument):
            return False
    return True


def parse_constraints(scanner: Scanner, *, spaced_equals: bool) -> Arguments | None:
    """One or more constraints with spaces between. The manager takes spaces around `=` as well."""
    first = _pair(scanner, spaced_equals)
    if first is None:
        return None
    found = [first]
    while True:
        mark = scanner.pos
        following = _pair(scanner, spaced_equals) if scanner.spaces() else None
        if following is None:
            scanner.pos = mark
            return ordered(found)
        found.append(following)


def _pair(scanner: Scanner, spaced_equals: bool) -> tuple[str, Constraint] | None:
    start = scanner.pos
    name = scanner.string("an argument's name")
    if name is None:
        return None
    mark = scanner.pos
    if spaced_equals:
        scanner.spaces()
    if scanner.literal("="):
        if spaced_equals:
            scanner.spaces()
        value = scanner.string("a value")
        if value is not None:
            return name, Constraint(MatchType.EQUAL, value)
    for match_type in (MatchType.PREFIX, MatchType.REGEX):
        scanner.pos = mark
        if scanner.keyword(match_type.value.strip()):
            value = scanner.string("a value")
            if value is not None:
                return name, Constraint(match_type, value)
    scanner.pos = start
    return None


def print_constraints(constraints: Arguments, quoted: Callable[[str], str] = print_string) -> str:
    """The constraints with one space before each."""
    return "".join(
        f" {quoted(name)}{constraint.match_type.value}{quoted(constraint.value)}"
        for name, constraint in constraints
    )


def command_arguments(command: Mapping[str, object]) -> dict[str, str]:
    """A command's arguments (parsed from its JSON) as the strings that constraints compare.

    The command's name (`prefix`) is left out; the list `caps` of `auth` commands, daemon type
    and text in turn, becomes `caps_mon`, `caps_osd` and so on. Numbers and lists print as
    upstream prints them.
    """
    arguments: dict[str, str] = {}
    for name, value in command.items():
        if name == "prefix":
            continue
        if name == "caps" and isinstance(value, (list, tuple)) and len(value) % 2 == 0:
            for at in range(0, len(value), 2):
                arguments[f"caps_{value[at]}"] = str(value[at + 1])
            continue
        arguments[name] = _printed(value)
    return arguments


def _printed(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_printed(item) for item in value) + "]"
    return str(value)
