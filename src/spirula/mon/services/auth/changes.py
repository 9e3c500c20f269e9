"""Commands that change principals: `auth add`, `get-or-create`, `import`, `caps`, `rm`.

What they check, and their status lines, follow upstream `src/mon/AuthMonitor.cc`
(prepare_command). Called through the command table; `entities` has the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.auth.crypto import generate_key
from spirula.commands.arguments import text
from spirula.commands.reply import Reply, Retry, committed, said
from spirula.commands.table import CommandFlag, Commands
from spirula.conf.file import ConfSyntaxError
from spirula.errors import InvalidArgument, NotFound
from spirula.mon.services.auth.bootstrap import encode_caps, read_keyring
from spirula.mon.services.auth.entities import exists_and_matches, parse_pairs
from spirula.mon.services.auth.keys import principal, render_key, render_keyring
from spirula.types.auth import EntityAuth

if TYPE_CHECKING:
    from spirula.auth.keyring import KeyRing
    from spirula.mon.request import Request
    from spirula.mon.services.auth.service import AuthService
    from spirula.types.auth import CryptoKey, PrincipalName

commands = Commands("auth")

_BAD_NAME = "bad entity name"


@commands.add("auth import", perm="rwx", help="add the entities of a keyring, given with -i")
def import_keyring(service: AuthService, request: Request) -> Reply:
    """Adds or replaces all principals of a keyring; each must have caps."""
    if not request.data:
        raise InvalidArgument("auth import: no data supplied")
    try:
        ring = _keyring(request.data)
    except InvalidArgument as error:
        raise InvalidArgument(f"error decoding keyring {error.message}") from None
    for name in ring.names():
        if not ring.keys[name].caps:
            raise InvalidArgument("auth import: no caps supplied")
    for name in ring.names():
        service.add_entity(name, ring.keys[name])
    service.propose()
    return committed("imported keyring")


def _keyring(data: bytes) -> KeyRing:
    try:
        return read_keyring(data)
    except ConfSyntaxError:
        raise InvalidArgument("cannot parse buffer: Malformed input") from None
    except InvalidArgument as error:
        raise InvalidArgument(f"{error.message}: Malformed input") from None


@commands.add(
    "auth add",
    entity=text(),
    caps=text(required=False, repeated=True),
    perm="rwx",
    help="add an entity, with caps as arguments, and a new key unless a keyring is given with -i",
)
def add(service: AuthService, request: Request, entity: str, caps: list[str]) -> Reply:
    """Adds a principal. Nothing happens if it is there already, just so; else that is an error."""
    wanted, name = _wanted(service, entity, caps)
    try:
        ring = _keyring(request.data) if request.data else None
    except InvalidArgument:
        raise InvalidArgument("error decoding keyring") from None
    _wait_if_pending(service, name)
    given = EntityAuth()
    if ring is not None:
        if name not in ring.keys:
            raise InvalidArgument(f"key for {name} not found in provided keyring")
        given = ring.keys[name]
        if wanted and given.caps:
            raise InvalidArgument("caps cannot be specified both in keyring and in command")
        wanted = wanted or given.caps
    if exists_and_matches(service, name, given.key if ring is not None else None, wanted):
        return said()
    key = given.key if ring is not None else _new_key(service)
    service.add_entity(name, EntityAuth(key=key, caps=wanted))
    service.propose()
    return committed(f"added key for {name}")


def _new_key(service: AuthService) -> CryptoKey:
    monitor = service.monitor
    return generate_key(service.key_server.policy.preferred, monitor.wall(), monitor.random_bytes)


def _wanted(
    service: AuthService, entity: str, caps: list[str]
) -> tuple[dict[str, bytes], PrincipalName]:
    """The caps that arguments say, checked, and whom they are for."""
    if len(caps) % 2:
        raise InvalidArgument("bad capabilities request; odd number of arguments")
    name = principal(entity, _BAD_NAME)
    return encode_caps(parse_pairs(service, caps)), name


def _wait_if_pending(service: AuthService, name: PrincipalName) -> None:
    if service.is_pending(name):
        raise Retry


@commands.add(
    "auth get-or-create",
    entity=text(),
    caps=text(required=False, repeated=True),
    perm="rwx",
    help="print an entity's keyring; an entity that is not there is added with these caps",
)
def get_or_create(service: AuthService, request: Request, entity: str, caps: list[str]) -> Reply:
    """A principal's keyring. In plain output, its caps are not told."""
    name, auth, created = _get_or_create(service, entity, caps)
    shown = EntityAuth(key=auth.key, caps={} if request.is_plain else auth.caps)
    output = render_keyring(request, {name: shown})
    return committed("", output) if created else said("", output)


@commands.add(
    "auth get-or-create-key",
    entity=text(),
    caps=text(required=False, repeated=True),
    perm="rwx",
    help="print an entity's key; an entity that is not there is added with these caps",
)
def get_or_create_key(
    service: AuthService, request: Request, entity: str, caps: list[str]
) -> Reply:
    """A principal's key."""
    _, auth, created = _get_or_create(service, entity, caps)
    output = render_key(request, auth.key) + ("\n" if request.is_plain else "")
    return committed("", output) if created else said("", output)


def _get_or_create(
    service: AuthService, entity: str, caps: list[str]
) -> tuple[PrincipalName, EntityAuth, bool]:
    wanted, name = _wanted(service, entity, caps)
    auth = service.key_server.entity(name)
    if auth is not None:
        for kind in sorted(wanted):
            if auth.caps.get(kind) != wanted[kind]:
                raise InvalidArgument(f"key for {name} exists but cap {kind} does not match")
        return name, auth, False
    _wait_if_pending(service, name)
    auth = EntityAuth(key=_new_key(service), caps=wanted)
    service.add_entity(name, auth)
    service.propose()
    return name, auth, True


@commands.add(
    "auth caps",
    entity=text(),
    caps=text(repeated=True),
    perm="rwx",
    help="replace an entity's caps",
)
def set_caps(service: AuthService, request: Request, entity: str, caps: list[str]) -> Reply:
    """Replaces all caps of a principal; sessions have them from their next login on."""
    if len(caps) % 2:
        raise InvalidArgument("bad capabilities request; odd number of arguments")
    name = principal(entity, _BAD_NAME)
    auth = service.key_server.entity(name)
    if auth is None:
        raise NotFound(f"couldn't find entry {name}")
    _wait_if_pending(service, name)
    wanted = encode_caps(parse_pairs(service, caps))
    changed = EntityAuth(auid=auth.auid, key=auth.key, caps=wanted, pending_key=auth.pending_key)
    service.add_entity(name, changed)
    service.propose()
    return committed(f"updated caps for {name}")


@commands.add(
    "auth del",
    entity=text(),
    perm="rwx",
    flags=CommandFlag.DEPRECATED,
    help="remove an entity and its caps",
)
@commands.add("auth rm", entity=text(), perm="rwx", help="remove an entity and its caps")
def remove(service: AuthService, request: Request, entity: str) -> Reply:
    """Removes a principal; one that is not there is no error."""
    name = principal(entity, _BAD_NAME)
    _wait_if_pending(service, name)
    if not service.remove_entity(name):
        return said(f"entity {name} does not exist")
    service.propose()
    return committed("updated")
