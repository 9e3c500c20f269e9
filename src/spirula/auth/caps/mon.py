"""The caps language of the monitor: which services and commands a client may use.

    grants   := grant { (',' | ';') grant }
    grant    := 'allow' rwx [network] ['fsname' name]
              | ['allow'] 'profile' name [network]
              | 'allow' 'service' name rwx [network]
              | 'allow' 'command' name ['with' constraint { constraint }] [network]

Not here: which command needs which letters (the monitor's command table) and what a profile
stands for (`mon_profiles`). Called by the monitor for each message and command.
Format and meaning: upstream `src/mon/MonCap.{h,cc}`.

What 16.2 accepts although it looks wrong, and so do we: any profile name (unknown ones grant
nothing); a network that is none (the grant never applies); an invalid regex (never matches); the
same argument constrained twice (the first counts).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from spirula.auth.caps.constraint import allowed, parse_constraints
from spirula.auth.caps.grammar import (
    ANY,
    EXECUTE,
    READ,
    SPACES,
    WRITE,
    Scanner,
    parse_grants,
    rwx,
)
from spirula.auth.caps.mon_grant import MonGrant
from spirula.auth.caps.mon_profiles import profile_grants
from spirula.auth.caps.network import Address, network_of

__all__ = ["ALL", "ALLOW_ALL", "MonCaps", "MonGrant", "parse"]

ALL: Final = READ | WRITE | EXECUTE


@dataclass(frozen=True, slots=True)
class MonCaps:
    """What an entity may ask of a monitor.

    `text` is what was parsed; it does not take part in comparisons.
    """

    grants: tuple[MonGrant, ...] = ()
    text: str = field(default="", compare=False)

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
        name: str,
        service: str,
        command: str,
        arguments: Mapping[str, str],
        *,
        read: bool = False,
        write: bool = False,
        execute: bool = False,
        address: Address = None,
    ) -> bool:
        """Whether the entity may do it.

        `name` is the entity's (`osd.3`), for profiles that depend on it; `service` and `command`
        are empty where there is none; `arguments` come from `constraint.command_arguments`.
        `read`, `write` and `execute` say what the operation needs; grants add up until all of
        it is there. A request that needs nothing passes the first grant whose network fits.
        """
        needed = READ * read | WRITE * write | EXECUTE * execute
        got = 0
        for grant in self.grants:
            if grant.network is not None and not grant.network.contains(address):
                continue
            if grant.is_allow_all:
                return True
            got |= _allowed(grant, name, service, command, arguments)
            if got & needed == needed:
                return True
        return False

    def allowed_fs_names(self) -> tuple[str, ...]:
        """The file systems the entity is restricted to; empty when some grant has no `fsname`."""
        names = tuple(grant.fs_name for grant in self.grants)
        return names if all(names) else ()

    def fs_name_capable(self, name: str, fs_name: str, mask: int) -> bool:
        """Whether the entity may see (`READ`) or change (`WRITE`) this file system's map.

        One letter of `mask` is enough, and networks are not looked at, as upstream.
        """
        for grant in self.grants:
            if grant.is_allow_all:
                return True
            if grant.fs_name in ("", fs_name) and grant.allow & mask:
                return True
            for implied in profile_grants(grant.profile, name):
                if (
                    implied.service in ("fs", "mds")
                    and implied.fs_name in ("", fs_name)
                    and implied.allow & mask
                ):
                    return True
        return False


ALLOW_ALL: Final = MonCaps((MonGrant(allow=ANY),), "allow *")


def parse(text: str) -> MonCaps:
    """The caps that `text` says, or `InvalidCaps`."""
    return MonCaps(parse_grants("mon", text, _grant), text)


def _allowed(
    grant: MonGrant, name: str, service: str, command: str, arguments: Mapping[str, str]
) -> int:
    """The letters this grant gives for the request."""
    if grant.profile:
        got = 0
        for implied in profile_grants(grant.profile, name):
            got |= _allowed(implied, name, service, command, arguments)
        return got
    if grant.service:
        return grant.allow if grant.service == service else 0
    if grant.command:
        return ALL if grant.command == command and allowed(grant.arguments, arguments) else 0
    # Stored keys and secrets open to `allow *` alone, never to blanket letters (CVE-2018-14662).
    return 0 if service == "config-key" else grant.allow


def _grant(scanner: Scanner) -> MonGrant | None:
    start = scanner.pos
    scanner.skip(SPACES)
    at = scanner.pos
    for form in (_blanket, _profile, _service, _command):
        scanner.pos = at
        found = form(scanner)
        if found is not None:
            scanner.skip(SPACES)
            return found
    scanner.pos = start
    return None


def _blanket(scanner: Scanner) -> MonGrant | None:
    if not (scanner.literal("allow") and scanner.spaces()):
        return None
    allow = rwx(scanner)
    if allow is None:
        return None
    network = network_of(scanner.network())
    mark = scanner.pos
    fs_name = scanner.fs_name() if scanner.keyword("fsname", equals=True) else None
    if fs_name is None:
        scanner.pos = mark
    return MonGrant(allow=allow, network=network, fs_name=fs_name or "")


def _profile(scanner: Scanner) -> MonGrant | None:
    if scanner.literal("allow") and not scanner.spaces():
        return None
    if not (scanner.literal("profile") and (scanner.literal("=") or scanner.spaces())):
        return None
    profile = scanner.string("a profile")
    if profile is None:
        return None
    return MonGrant(profile=profile, network=network_of(scanner.network()))


def _service(scanner: Scanner) -> MonGrant | None:
    if not (scanner.literal("allow") and scanner.keyword("service", equals=True)):
        return None
    service = scanner.string("a service")
    if service is None or not scanner.spaces():
        return None
    allow = rwx(scanner)
    if allow is None:
        return None
    return MonGrant(service=service, allow=allow, network=network_of(scanner.network()))


def _command(scanner: Scanner) -> MonGrant | None:
    if not (scanner.literal("allow") and scanner.keyword("command", equals=True)):
        return None
    command = scanner.string("a command")
    if command is None:
        return None
    mark = scanner.pos
    arguments = parse_constraints(scanner, spaced_equals=False) if scanner.keyword("with") else None
    if arguments is None:
        scanner.pos = mark
    return MonGrant(
        command=command, arguments=arguments or (), network=network_of(scanner.network())
    )
