"""Declaring commands: the signature that clients are told and the handler are one thing.

    commands = Commands("osd")

    @commands.add("osd pool rename", srcpool=pool_name(), destpool=pool_name(), perm="rw",
                  help="give a pool another name")
    def rename(service: OSDMapService, request: Request, srcpool: str, destpool: str) -> Reply:

An argument whose name is a keyword of Python is written with a `_` behind it (`class_`). A service
lists its groups of commands in `COMMANDS`; `CommandTable` is the sum of them, which the monitor
asks. Formats: upstream `src/mon/MonCommand.h`, `src/common/cmdparse.cc`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, TypeVar

from spirula.commands.arguments import Argument
from spirula.commands.reply import Reply
from spirula.conf.admin_commands import parse_request
from spirula.errors import InvalidArgument, InvariantBroken, NotSupported
from spirula.types.mon import MonCommand, MonCommandList


class CommandFlag(IntFlag):
    """What clients and monitors are told of a command beside its signature."""

    NOFORWARD = 1
    """Answered by the monitor that was asked, never by the leader for it."""
    OBSOLETE = 2
    DEPRECATED = 4
    MGR = 8
    """The manager answers it."""
    POLL = 16
    """Harmless to repeat."""
    HIDDEN = 32
    """Not shown to people."""
    TELL = NOFORWARD | HIDDEN


Handler = Callable[..., Any]
"""Called with the service, the request and the arguments by name. Gives a Reply, or None where it
answers by itself; a manager's may be a coroutine.
"""
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `writes`: it is for the leader, when the service can be written."""

    prefix: str
    arguments: tuple[tuple[str, Argument], ...]
    help: str
    module: str
    perm: str
    flags: int
    writes: bool
    handler: Handler

    def describe(self) -> dict[str, object]:
        """The command as `get_command_descriptions` tells it."""
        signature: list[object] = [*self.prefix.split()]
        signature += [argument.describe(name) for name, argument in self.arguments]
        return {
            "sig": signature,
            "help": self.help,
            "module": self.module,
            "perm": self.perm,
            "flags": self.flags,
        }

    def signature(self) -> str:
        """The command as one line: how monitors tell one another of theirs (upstream cmdstring)."""
        words = [self.prefix]
        for name, argument in self.arguments:
            pairs = argument.describe(name)
            first = f"name={pairs.pop('name')},type={pairs.pop('type')}"
            words.append(",".join([first, *(f"{key}={value}" for key, value in pairs.items())]))
        return " ".join(words)

    def accept(self, given: Mapping[str, object]) -> dict[str, object]:
        """Keyword arguments for the handler. Raises InvalidArgument."""
        accepted: dict[str, object] = {}
        for name, argument in self.arguments:
            if name in given and not argument.is_no_choice(given[name]):
                accepted[_parameter(name)] = argument.accept(name, given[name])
            elif argument.repeated and not argument.required:
                accepted[_parameter(name)] = []
            elif argument.required:
                raise InvalidArgument(f"missing required parameter: '{name}'")
        return accepted


_KEYWORDS = {"class", "from", "in", "is", "not", "global", "import", "pass", "with", "yield"}


def _parameter(name: str) -> str:
    return f"{name}_" if name in _KEYWORDS else name


@dataclass(slots=True)
class Commands:
    """Commands that share a module (what caps call the service)."""

    module: str
    listed: list[Command] = field(default_factory=list)

    def add(
        self,
        prefix: str,
        *,
        perm: str,
        help: str,
        module: str = "",
        flags: int = 0,
        writes: bool | None = None,
        **arguments: Argument,
    ) -> Callable[[H], H]:
        """Declares the function below as the handler of `prefix`.

        `writes` is whether `perm` has a `w`, unless said otherwise; a command with the flag
        NOFORWARD is answered by the monitor that was asked.
        """
        local = bool(flags & CommandFlag.NOFORWARD)
        decided = ("w" in perm and not local) if writes is None else writes
        named = tuple((name.rstrip("_"), argument) for name, argument in arguments.items())

        def declare(handler: H) -> H:
            self.listed.append(
                Command(prefix, named, help, module or self.module, perm, flags, decided, handler)
            )
            return handler

        return declare


def obsolete(service: object, request: object, **arguments: object) -> Reply:
    """The handler of what is described for old clients only; the dispatch refuses it before."""
    raise NotSupported("command is obsolete; please check usage and/or man page")


class CommandTable:
    """All commands of a monitor, each with the object that its handler is called with."""

    def __init__(self) -> None:
        self._by_prefix: dict[str, list[tuple[Command, Any]]] = {}

    def register(self, owner: object, groups: Iterable[Commands]) -> None:
        """Takes the commands of a service. InvariantBroken where a signature is there already."""
        for group in groups:
            for command in group.listed:
                entries = self._by_prefix.setdefault(command.prefix, [])
                if any(one.signature() == command.signature() for one, _ in entries):
                    raise InvariantBroken(f"command {command.signature()!r} is declared twice")
                entries.append((command, owner))

    def find(
        self, prefix: str, given: Mapping[str, object]
    ) -> tuple[Command, Any, dict[str, object] | InvalidArgument] | None:
        """The command, its owner, and what its handler is to be called with, or what is wrong.

        None for a prefix that nobody declared. Of several signatures the first that fits counts.
        """
        entries = self._by_prefix.get(prefix)
        if not entries:
            return None
        wrong: InvalidArgument | None = None
        for command, owner in entries:
            try:
                return command, owner, command.accept(given)
            except InvalidArgument as error:
                wrong = wrong or error
        command, owner = entries[0]
        return command, owner, wrong or InvalidArgument(prefix)

    def for_monitors(self) -> MonCommandList:
        """All, as a leader tells them to its peons: what those do not find here they refuse."""
        return MonCommandList(
            [
                MonCommand(one.signature(), one.help, one.module, one.perm, flags=int(one.flags))
                for one in self.all()
            ]
        )

    def all(self) -> list[Command]:
        """All commands, in the order of their prefixes."""
        return [c for prefix in sorted(self._by_prefix) for c, _ in self._by_prefix[prefix]]


def parse_command(words: list[str]) -> dict[str, Any]:
    """The JSON of an MMonCommand. Raises InvalidArgument with upstream's words."""
    return dict(parse_request("".join(words)))
