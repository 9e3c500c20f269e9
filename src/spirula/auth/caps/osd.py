"""The caps language of the OSD: which pools, namespaces, objects and methods a client may use.

    grants   := grant { (',' | ';') grant }
    grant    := 'allow' spec match [network] | 'allow' match spec [network]
              | 'profile' name [pool] [namespace] [network]
    spec     := '*' | 'all' | [rwx] ['class-read'] ['class-write'] | 'class' name [method]
    match    := [namespace] tag | [pool] [namespace] ['object_prefix' prefix]
    pool     := 'pool' name
    namespace:= 'namespace' name ['*']
    tag      := 'tag' application key '=' value          (key and value may be '*')

Not here: what an operation needs (`osd.ops`). Called by the OSD for each client operation, and
by the monitor to check what `auth` commands store.
Format and meaning: upstream `src/osd/OSDCap.{h,cc}`.

What 16.2 accepts although it looks wrong, and so do we: any profile name (unknown ones grant
nothing); a network that is none (the grant never applies); `class NAME` swallows the word after it
as a method, so `allow class rbd pool x` is refused while `allow pool x class rbd` is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from spirula.auth.caps.grammar import (
    ANY,
    ASCII_SPACES,
    READ,
    WRITE,
    Scanner,
    parse_grants,
)
from spirula.auth.caps.network import Address, Network, network_of
from spirula.auth.caps.osd_grant import (
    CLASS_READ,
    CLASS_WRITE,
    EXECUTE,
    OsdGrant,
    PoolApplications,
    PoolTag,
)

__all__ = [
    "ALLOW_ALL",
    "CLASS_READ",
    "CLASS_WRITE",
    "EXECUTE",
    "ClassCall",
    "OsdCaps",
    "OsdGrant",
    "PoolApplications",
    "PoolTag",
    "parse",
]

_BLANKS: Final = re.compile(r"[ \t]*")


class ClassCall(NamedTuple):
    """A method that an operation calls.

    `read` and `write` say what the method is declared to do, `allowed` whether
    `osd_class_default_list` names its class (upstream OpInfo::ClassInfo).
    """

    class_name: str
    method_name: str
    read: bool
    write: bool
    allowed: bool


class _Rule(NamedTuple):
    """A plain grant as `is_capable` reads it: nothing to look up, nothing to compute."""

    network: Network | None
    pool: str
    namespace: str | None
    namespace_prefix: str | None
    tag: PoolTag | None
    object_prefix: str
    allow: int
    class_name: str
    method_name: str


def _rule(grant: OsdGrant) -> _Rule:
    prefix = None
    if grant.namespace is not None and grant.namespace.endswith("*"):
        prefix = grant.namespace[:-1]
    return _Rule(
        grant.network,
        grant.pool,
        grant.namespace,
        prefix,
        grant.tag,
        grant.object_prefix,
        grant.allow,
        grant.class_name,
        grant.method_name,
    )


@dataclass(frozen=True, slots=True)
class OsdCaps:
    """What an entity may do on an OSD.

    `text` is what was parsed; it does not take part in comparisons.
    """

    grants: tuple[OsdGrant, ...] = ()
    text: str = field(default="", compare=False)
    _rules: tuple[_Rule, ...] = field(init=False, repr=False, compare=False)
    _everything: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plain = [implied for grant in self.grants for implied in grant.implied()]
        object.__setattr__(self, "_rules", tuple(map(_rule, plain)))
        everything = any(grant.is_allow_all and grant.network is None for grant in plain)
        object.__setattr__(self, "_everything", everything)

    def __str__(self) -> str:
        return f"osdcap[{','.join(map(str, self.grants))}]"

    def to_text(self) -> str:
        """The caps in their language, so that they read back as themselves."""
        return ", ".join(grant.to_text() for grant in self.grants)

    @property
    def allow_everything(self) -> bool:
        """Whether whatever is asked is allowed."""
        return self._everything

    def is_allow_all(self) -> bool:
        """Whether some grant is `allow *` (a `network` clause does not matter here)."""
        return any(grant.is_allow_all for grant in self.grants)

    def is_capable(
        self,
        pool_name: str,
        namespace: str,
        applications: PoolApplications,
        object_name: str,
        may_read: bool,
        may_write: bool,
        classes: Sequence[ClassCall] = (),
        address: Address = None,
    ) -> bool:
        """Whether the operation is allowed.

        `may_read` and `may_write` say what it may do apart from class methods; `classes` are the
        methods it calls. Reading and writing must come from one grant; methods may be allowed
        by different grants, each of which must by itself allow the reading and writing.
        """
        if self._everything:
            return True
        called = bytearray(len(classes))
        for (
            network,
            pool,
            exact,
            prefix,
            tag,
            object_prefix,
            allow,
            class_name,
            method_name,
        ) in self._rules:
            if pool and pool != pool_name:
                continue
            if (
                exact is not None
                and exact != namespace
                and (prefix is None or not namespace.startswith(prefix))
            ):
                continue
            if (
                (may_read and not allow & READ)
                or (may_write and not allow & WRITE)
                or (object_prefix and not object_name.startswith(object_prefix))
                or (tag is not None and not tag.matches(applications))
                or (network is not None and not network.contains(address))
            ):
                continue
            if not classes or allow == ANY:
                return True
            for at, call in enumerate(classes):
                if (
                    class_name
                    and call.class_name == class_name
                    and (not method_name or call.method_name == method_name)
                ):
                    called[at] = True
                    continue
                if (
                    call.allowed
                    and (allow & CLASS_READ or not call.read)
                    and (allow & CLASS_WRITE or not call.write)
                ):
                    called[at] = True
            if all(called):
                return True
        return False


ALLOW_ALL: Final = OsdCaps((OsdGrant(allow=ANY),), "allow *")


def parse(text: str) -> OsdCaps:
    """The caps that `text` says, or `InvalidCaps`."""
    grants = parse_grants("osd", text, _grant, between=_separator, around=ASCII_SPACES)
    return OsdCaps(grants, text)


def _separator(scanner: Scanner) -> bool:
    """`,` or `;`; the blanks around it belong to the grants."""
    return scanner.literal(";") or scanner.literal(",")


def _grant(scanner: Scanner) -> OsdGrant | None:
    start = scanner.pos
    scanner.skip(_BLANKS)
    at = scanner.pos
    for form in (_spec_first, _match_first, _profile):
        scanner.pos = at
        found = form(scanner)
        if found is not None:
            scanner.skip(_BLANKS)
            return found
    scanner.pos = start
    return None


def _spec_first(scanner: Scanner) -> OsdGrant | None:
    if not scanner.literal("allow"):
        return None
    spec = _spec(scanner)
    return None if spec is None else _with(scanner, _match(scanner), spec)


def _match_first(scanner: Scanner) -> OsdGrant | None:
    if not scanner.literal("allow"):
        return None
    match = _match(scanner)
    spec = _spec(scanner)
    return None if spec is None else _with(scanner, match, spec)


def _with(scanner: Scanner, match: OsdGrant, spec: OsdGrant) -> OsdGrant:
    """One grant of the two halves and the optional network."""
    return replace(
        match,
        allow=spec.allow,
        class_name=spec.class_name,
        method_name=spec.method_name,
        network=network_of(scanner.network(ASCII_SPACES)),
    )


def _profile(scanner: Scanner) -> OsdGrant | None:
    if not (scanner.literal("profile") and (scanner.literal("=") or scanner.spaces(ASCII_SPACES))):
        return None
    profile = scanner.string("a profile")
    if profile is None:
        return None
    pool = _pool(scanner)
    namespace = _namespace(scanner)
    network = network_of(scanner.network(ASCII_SPACES))
    return OsdGrant(pool, namespace, profile=profile, network=network)


def _spec(scanner: Scanner) -> OsdGrant | None:
    """What is allowed, as the half of a grant that says it."""
    allow = _letters(scanner)
    if allow is not None:
        return OsdGrant(allow=allow)
    start = scanner.pos
    if scanner.keyword("class", ASCII_SPACES):
        class_name = scanner.string("a class")
        if class_name is not None:
            return OsdGrant(class_name=class_name, method_name=_word(scanner, "a method"))
    scanner.pos = start
    return None


def _letters(scanner: Scanner) -> int | None:
    start = scanner.pos
    allow = 0
    if scanner.spaces(ASCII_SPACES):
        if scanner.literal("*") or scanner.literal("all"):
            return ANY
        for letter, bit in (("r", READ), ("w", WRITE), ("x", EXECUTE)):
            if scanner.literal(letter):
                allow |= bit
        if not allow:
            scanner.pos = start
    for word, bit in (("class-read", CLASS_READ), ("class-write", CLASS_WRITE)):
        mark = scanner.pos
        if scanner.spaces(ASCII_SPACES) and scanner.literal(word):
            allow |= bit
        else:
            scanner.pos = mark
    return allow or None


def _match(scanner: Scanner) -> OsdGrant:
    """Where a grant applies, as the half of a grant that says it; nothing at all is everywhere."""
    start = scanner.pos
    tag = _tag(scanner)
    if tag is not None:
        return OsdGrant(tag=tag)
    namespace = _namespace(scanner)
    if namespace is not None:
        tag = _tag(scanner)
        if tag is not None:
            return OsdGrant(namespace=namespace, tag=tag)
    scanner.pos = start
    pool = _pool(scanner)
    namespace = _namespace(scanner)
    object_prefix = ""
    mark = scanner.pos
    if scanner.keyword("object_prefix", ASCII_SPACES):
        found = scanner.string("an object's prefix")
        if found is None:
            scanner.pos = mark
        else:
            object_prefix = found
    return OsdGrant(pool, namespace, object_prefix=object_prefix)


def _pool(scanner: Scanner) -> str:
    start = scanner.pos
    if scanner.keyword("pool", ASCII_SPACES, equals=True):
        pool = scanner.string("a pool")
        if pool is not None:
            return pool
    scanner.pos = start
    return ""


def _namespace(scanner: Scanner) -> str | None:
    start = scanner.pos
    if scanner.keyword("namespace", ASCII_SPACES, equals=True):
        namespace = scanner.string("a namespace", may_be_empty=True)
        if namespace is not None:
            return namespace + "*" if scanner.literal("*") else namespace
    scanner.pos = start
    return None


def _tag(scanner: Scanner) -> PoolTag | None:
    start = scanner.pos
    if scanner.keyword("tag", ASCII_SPACES):
        application = scanner.string("an application")
        if application is not None and scanner.spaces(ASCII_SPACES):
            key = _wildcard_or_string(scanner, "a key")
            scanner.skip(ASCII_SPACES)
            if key is not None and scanner.literal("="):
                scanner.skip(ASCII_SPACES)
                value = _wildcard_or_string(scanner, "a value")
                if value is not None:
                    return PoolTag(application, key, value)
    scanner.pos = start
    return None


def _wildcard_or_string(scanner: Scanner, what: str) -> str | None:
    if scanner.literal("*") or scanner.literal("all"):
        return "*"
    return scanner.string(what)


def _word(scanner: Scanner, what: str) -> str:
    """Spaces and a string where there is one, else nothing."""
    mark = scanner.pos
    if scanner.spaces(ASCII_SPACES):
        found = scanner.string(what)
        if found is not None:
            return found
    scanner.pos = mark
    return ""
