"""The caps language of the manager: which services, modules and commands a client may use.

    grants   := grant { (',' | ';') grant }
    grant    := 'allow' rwx [network]
              | ['allow'] 'profile' name [constraint { constraint }] [network]
              | 'allow' 'service' name rwx [network]
              | 'allow' 'module' name ['with' constraint { constraint }] rwx [network]
              | 'allow' 'command' name ['with' constraint { constraint }] [network]

Unlike the monitor, the manager refuses profiles it does not know and constraints that a profile
does not understand. Not here: which command needs which letters. Called by the manager, and by
the monitor to check what `auth` commands store.
Format and meaning: upstream `src/mgr/MgrCap.{h,cc}`.

Where 16.2 keeps the grants of a text it has refused for its profiles, here nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from spirula.auth.caps.constraint import (
    Arguments,
    allowed,
    parse_constraints,
    print_constraints,
)
from spirula.auth.caps.grammar import (
    ANY,
    EXECUTE,
    READ,
    SPACES,
    WRITE,
    InvalidCaps,
    Scanner,
    parse_grants,
    print_rwx,
    print_string,
    quote,
    rwx,
)
from spirula.auth.caps.network import Address, Network, network_of


@dataclass(frozen=True, slots=True)
class MgrGrant:
    """One grant: exactly one of a blanket `allow`, a service, a module, a command or a profile."""

    service: str = ""
    module: str = ""
    profile: str = ""
    command: str = ""
    arguments: Arguments = ()
    allow: int = 0
    network: Network | None = None

    @property
    def is_allow_all(self) -> bool:
        """Whether this is `allow *`, wherever the client may have to come from."""
        return self.allow == ANY and not (
            self.service or self.module or self.profile or self.command
        )

    def implied(self) -> tuple[MgrGrant, ...]:
        """What the profile of this grant stands for; InvalidCaps where upstream knows no such."""
        if self.profile in ("rbd", "rbd-read-only"):
            for name, _ in self.arguments:
                if name not in ("pool", "namespace"):
                    raise InvalidCaps(f"profile '{self.profile}' does not recognize key '{name}'")
            allow = READ | WRITE if self.profile == "rbd" else READ
            return (MgrGrant(module="rbd_support", arguments=self.arguments, allow=allow),)
        found = _PROFILES.get(self.profile)
        if found is None:
            raise InvalidCaps(f"unrecognized profile '{self.profile}'")
        return found

    def __str__(self) -> str:
        return self._text(print_string)

    def to_text(self) -> str:
        """The grant so that it reads back as itself, whatever characters it contains."""
        return self._text(quote)

    def _text(self, quoted: Callable[[str], str]) -> str:
        if self.profile:
            out = f"profile {quoted(self.profile)}"
        elif self.service:
            out = f"allow service {quoted(self.service)}"
        elif self.module:
            out = f"allow module {quoted(self.module)}"
        elif self.command:
            out = f"allow command {quoted(self.command)}"
        else:
            out = "allow"
        if self.arguments:
            out += "" if self.profile else " with"
            out += print_constraints(self.arguments, quoted)
        if self.allow:
            out += f" {print_rwx(self.allow)}"
        if self.network:
            out += f" network {self.network.text}"
        return out


_PROFILES: Final[dict[str, tuple[MgrGrant, ...]]] = {
    "read-only": (MgrGrant(allow=READ),),
    "read-write": (MgrGrant(allow=READ | WRITE),),
    "crash": (MgrGrant(command="crash post"),),
    "osd": (),
    "mds": (),
}


@dataclass(frozen=True, slots=True)
class MgrCaps:
    """What an entity may ask of a manager.

    `text` is what was parsed; it does not take part in comparisons.
    """

    grants: tuple[MgrGrant, ...] = ()
    text: str = field(default="", compare=False)
    _implied: tuple[tuple[MgrGrant, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        implied = tuple(grant.implied() if grant.profile else () for grant in self.grants)
        object.__setattr__(self, "_implied", implied)

    def __str__(self) -> str:
        return ", ".join(map(str, self.grants))

    def to_text(self) -> str:
        """The caps so that they read back as themselves."""
        return ", ".join(grant.to_text() for grant in self.grants)

    def is_allow_all(self) -> bool:
        """Whether some grant is `allow *` (a `network` clause does not matter here)."""
        return any(grant.is_allow_all for grant in self.grants)

    def is_capable(
        self,
        service: str,
        module: str,
        command: str,
        arguments: Mapping[str, str],
        *,
        read: bool = False,
        write: bool = False,
        execute: bool = False,
        address: Address = None,
    ) -> bool:
        """Whether the entity may do it.

        `service`, `module` and `command` are empty where there is none. `arguments` are the
        command's (`constraint.command_arguments`) or, with `module` and without `command`, what
        the module says that the request is about. Grants add up until all that is needed is there.
        """
        needed = READ * read | WRITE * write | EXECUTE * execute
        got = 0
        for grant, implied in zip(self.grants, self._implied, strict=True):
            if grant.network is not None and not grant.network.contains(address):
                continue
            if grant.is_allow_all:
                return True
            for plain in implied if grant.profile else (grant,):
                got |= _allowed(plain, service, module, command, arguments)
            if got & needed == needed:
                return True
        return False


ALLOW_ALL: Final = MgrCaps((MgrGrant(allow=ANY),), "allow *")


def parse(text: str) -> MgrCaps:
    """The caps that `text` says, or `InvalidCaps`."""
    grants = parse_grants("mgr", text, _grant)
    problems = ""
    for grant in grants:
        if grant.profile:
            try:
                grant.implied()
            except InvalidCaps as error:
                problems += error.reply
    if problems:
        raise InvalidCaps(
            f"mgr capability parse failed during profile evaluation: {problems}",
            text=text,
            stopped=len(text),
            position=len(text),
        )
    return MgrCaps(grants, text)


def _allowed(
    grant: MgrGrant, service: str, module: str, command: str, arguments: Mapping[str, str]
) -> int:
    """The letters this grant (no profile) gives for the request."""
    if grant.service:
        return grant.allow if grant.service == service else 0
    if grant.module:
        if grant.module != module:
            return 0
        # Commands of a module are not constrained by what the module says of its requests.
        return grant.allow if command or allowed(grant.arguments, arguments) else 0
    if grant.command:
        return ANY if grant.command == command and allowed(grant.arguments, arguments) else 0
    return grant.allow


def _grant(scanner: Scanner) -> MgrGrant | None:
    start = scanner.pos
    scanner.skip(SPACES)
    at = scanner.pos
    for form in (_blanket, _profile, _service, _module, _command):
        scanner.pos = at
        found = form(scanner)
        if found is not None:
            scanner.skip(SPACES)
            return found
    scanner.pos = start
    return None


def _blanket(scanner: Scanner) -> MgrGrant | None:
    if not (scanner.literal("allow") and scanner.spaces()):
        return None
    allow = rwx(scanner)
    if allow is None:
        return None
    return MgrGrant(allow=allow, network=network_of(scanner.network()))


def _profile(scanner: Scanner) -> MgrGrant | None:
    if scanner.literal("allow") and not scanner.spaces():
        return None
    if not (scanner.literal("profile") and (scanner.literal("=") or scanner.spaces())):
        return None
    profile = scanner.string("a profile")
    if profile is None:
        return None
    mark = scanner.pos
    arguments = parse_constraints(scanner, spaced_equals=True) if scanner.spaces() else None
    if arguments is None:
        scanner.pos = mark
    return MgrGrant(
        profile=profile, arguments=arguments or (), network=network_of(scanner.network())
    )


def _service(scanner: Scanner) -> MgrGrant | None:
    if not (scanner.literal("allow") and scanner.keyword("service", equals=True)):
        return None
    service = scanner.string("a service")
    if service is None or not scanner.spaces():
        return None
    allow = rwx(scanner)
    if allow is None:
        return None
    return MgrGrant(service=service, allow=allow, network=network_of(scanner.network()))


def _module(scanner: Scanner) -> MgrGrant | None:
    if not (scanner.literal("allow") and scanner.keyword("module", equals=True)):
        return None
    module = scanner.string("a module")
    if module is None:
        return None
    arguments = _with(scanner)
    allow = rwx(scanner) if scanner.spaces() else None
    if allow is None:
        return None
    return MgrGrant(
        module=module,
        arguments=arguments,
        allow=allow,
        network=network_of(scanner.network()),
    )


def _command(scanner: Scanner) -> MgrGrant | None:
    if not (scanner.literal("allow") and scanner.keyword("command", equals=True)):
        return None
    command = scanner.string("a command")
    if command is None:
        return None
    return MgrGrant(
        command=command, arguments=_with(scanner), network=network_of(scanner.network())
    )


def _with(scanner: Scanner) -> Arguments:
    """The optional clause ` with constraint { constraint }`."""
    mark = scanner.pos
    if scanner.keyword("with"):
        arguments = parse_constraints(scanner, spaced_equals=True)
        if arguments is not None:
            return arguments
    scanner.pos = mark
    return ()
