"""One grant of the monitor's caps: the value, and how it prints.

Apart from `mon` because profiles (`mon_profiles`) are made of grants and grants of profiles.
Called by those two alone. Format: upstream `src/mon/MonCap.{h,cc}`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spirula.auth.caps.constraint import Arguments, print_constraints
from spirula.auth.caps.grammar import ANY, print_rwx, print_string, quote
from spirula.auth.caps.network import Network


@dataclass(frozen=True, slots=True)
class MonGrant:
    """One grant: exactly one of a blanket `allow`, a service, a command or a profile.

    `allow` holds the letters of a blanket or service grant. `fs_name` restricts a blanket grant
    to one file system; it is looked at by `MonCaps.fs_name_capable` alone.
    """

    service: str = ""
    profile: str = ""
    command: str = ""
    arguments: Arguments = ()
    allow: int = 0
    network: Network | None = None
    fs_name: str = ""

    @property
    def is_allow_all(self) -> bool:
        """Whether this is `allow *`, wherever the client may have to come from."""
        return self.allow == ANY and not (
            self.service or self.profile or self.command or self.fs_name
        )

    def __str__(self) -> str:
        return self._text(print_string)

    def to_text(self) -> str:
        """The grant so that it reads back as itself; `str` omits `fsname`, as upstream does."""
        fs_name = f" fsname={self.fs_name}" if self.fs_name else ""
        return self._text(quote) + fs_name

    def _text(self, quoted: Callable[[str], str]) -> str:
        out = "allow"
        if self.service:
            out += f" service {quoted(self.service)}"
        if self.command:
            out += f" command {quoted(self.command)}"
            if self.arguments:
                out += " with" + print_constraints(self.arguments, quoted)
        if self.profile:
            out += f" profile {quoted(self.profile)}"
        if self.allow:
            out += f" {print_rwx(self.allow)}"
        if self.network:
            out += f" network {self.network.text}"
        return out
