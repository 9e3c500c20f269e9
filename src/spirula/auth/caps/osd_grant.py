"""One grant of the OSD's caps: where it applies, what it allows, and how it prints.

Apart from `osd`, which reads the language and evaluates it, for size alone. Called by that module
alone. Format and profiles: upstream `src/osd/OSDCap.{h,cc}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from spirula.auth.caps.grammar import ANY, READ, WORD, WRITE, quote
from spirula.auth.caps.network import Network

CLASS_READ: Final = 1 << 3
CLASS_WRITE: Final = 1 << 4
EXECUTE: Final = CLASS_READ | CLASS_WRITE
"""`x`: methods that read and methods that write. (The values differ from mon's and mgr's `x`.)"""

PoolApplications = Mapping[str, Mapping[str, str]]
"""A pool's application metadata: by application, the values by key."""


@dataclass(frozen=True, slots=True)
class PoolTag:
    """Pools that carry an application's tag. `*` as key or value stands for any."""

    application: str
    key: str
    value: str

    def matches(self, applications: PoolApplications) -> bool:
        """Whether a pool with this metadata carries the tag."""
        values = applications.get(self.application)
        if values is None:
            return False
        if self.key == "*":
            return self.value == "*" or self.value in values.values()
        value = values.get(self.key)
        return value is not None and self.value in ("*", value)


@dataclass(frozen=True, slots=True)
class OsdGrant:
    """One grant: where it applies, and either letters (`allow`), a class or a profile.

    An empty `pool` or `object_prefix` stands for any; so does `namespace` None, while an empty
    `namespace` is the default one. A `namespace` that ends in `*` is a prefix.
    """

    pool: str = ""
    namespace: str | None = None
    tag: PoolTag | None = None
    object_prefix: str = ""
    allow: int = 0
    class_name: str = ""
    method_name: str = ""
    profile: str = ""
    network: Network | None = None

    @property
    def is_match_all(self) -> bool:
        """Whether the grant applies to every object of every pool."""
        return (
            not self.pool and self.namespace is None and self.tag is None and not self.object_prefix
        )

    @property
    def is_allow_all(self) -> bool:
        """Whether this is `allow *`, wherever the client may have to come from."""
        return not self.profile and self.allow == ANY and self.is_match_all

    def implied(self) -> tuple[OsdGrant, ...]:
        """The plain grants this one stands for: itself, or what its profile says."""
        if not self.profile:
            return (self,)
        pool, namespace, network = self.pool, self.namespace, self.network
        if self.profile == "read-only":
            return (OsdGrant(pool, namespace, allow=READ, network=network),)
        if self.profile == "read-write":
            return (OsdGrant(pool, namespace, allow=READ | WRITE, network=network),)
        if self.profile == "rbd":
            return (
                OsdGrant(object_prefix="rbd_info", allow=READ, network=network),
                OsdGrant(object_prefix="rbd_children", allow=CLASS_READ, network=network),
                OsdGrant(object_prefix="rbd_mirroring", allow=CLASS_READ, network=network),
                OsdGrant(pool, class_name="rbd", method_name="metadata_list", network=network),
                OsdGrant(pool, namespace, allow=READ | WRITE | EXECUTE, network=network),
            )
        if self.profile == "rbd-read-only":
            return (
                OsdGrant(pool, namespace, allow=READ | CLASS_READ, network=network),
                *(
                    OsdGrant(
                        pool,
                        namespace,
                        object_prefix="rbd_header.",
                        class_name="rbd",
                        method_name=method,
                        network=network,
                    )
                    for method in ("child_attach", "child_detach")
                ),
            )
        return ()

    def __str__(self) -> str:
        return self._print(with_network=True)

    def _print(self, *, with_network: bool) -> str:
        where = f"pool {self.pool} " if self.pool else ""
        if self.namespace is not None:
            where += "namespace " + (self.namespace or '""') + " "
        out = "grant("
        if self.profile:
            # Upstream leaves no space between the profile's name and its pool.
            implied = ",".join(grant._print(with_network=False) for grant in self.implied())
            out += f"profile {self.profile}{where} [{implied}]"
        else:
            out += where
            if self.tag is not None:
                out += f"app {self.tag.application} key {self.tag.key} val {self.tag.value} "
            if self.object_prefix:
                out += f"object_prefix {self.object_prefix} "
            if self.allow:
                out += print_allow(self.allow)
            elif self.class_name:
                out += f"class '{self.class_name}'"
                if self.method_name:
                    out += f" '{self.method_name}'"
        if with_network and self.network:
            out += f" network {self.network.text}"
        return out + ")"

    def to_text(self) -> str:
        """The grant in the caps language, so that it reads back as itself."""
        where = f" pool {quote(self.pool)}" if self.pool else ""
        if self.namespace is not None:
            name = self.namespace
            where += " namespace " + (name if _bare_namespace(name) else quote(name))
        network = f" network {self.network.text}" if self.network else ""
        if self.profile:
            return f"profile {quote(self.profile)}{where}{network}"
        if self.tag is not None:
            where += (
                f" tag {quote(self.tag.application)}"
                f" {_quote_wild(self.tag.key)}={_quote_wild(self.tag.value)}"
            )
        if self.object_prefix:
            where += f" object_prefix {quote(self.object_prefix)}"
        if self.allow:
            letters = print_allow(self.allow)
            return f"allow{letters if letters[0] == ' ' else ' ' + letters}{where}{network}"
        method = f" {quote(self.method_name)}" if self.method_name else ""
        return f"allow{where} class {quote(self.class_name)}{method}{network}"


def print_allow(allow: int) -> str:
    """The letters of `allow`; `class-read` and `class-write` bring a space before them."""
    if allow == ANY:
        return "*"
    out = ("r" if allow & READ else "") + ("w" if allow & WRITE else "")
    if allow & EXECUTE == EXECUTE:
        return out + "x"
    if allow & CLASS_READ:
        out += " class-read"
    if allow & CLASS_WRITE:
        out += " class-write"
    return out


def _bare_namespace(name: str) -> bool:
    """Whether a namespace needs no quotes: a word, with or without a `*` after it."""
    return WORD.fullmatch(name.removesuffix("*")) is not None


def _quote_wild(value: str) -> str:
    """A tag's key or value. Quotes keep `all...` from being read as the wildcard `all`."""
    if value == "*":
        return value
    return f'"{value}"' if value.startswith("all") and WORD.fullmatch(value) else quote(value)
