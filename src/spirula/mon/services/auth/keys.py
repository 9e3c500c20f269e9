"""Commands that show principals, their keys and their caps: `auth get`, `ls`, `export` ...

Outputs follow upstream `src/mon/AuthMonitor.cc` (preprocess_command), `src/auth/KeyRing.cc` and
`cephx/CephxKeyServer.cc` (encode_formatted). Called through the command table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.auth.crypto import key_to_text
from spirula.auth.keyring import KeyRing
from spirula.commands.arguments import text
from spirula.commands.reply import Reply, said
from spirula.commands.table import CommandFlag, Commands
from spirula.errors import InvalidArgument, NotFound
from spirula.printing import Items
from spirula.types.auth import CryptoKey, EntityAuth, PrincipalName, decode_string

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.auth.service import AuthService

commands = Commands("auth")

_ITEM = "auth_entities"


def principal(word: str, complaint: str) -> PrincipalName:
    """Reads `client.admin`; InvalidArgument with this complaint if it is no such name."""
    try:
        return PrincipalName.parse(word)
    except ValueError:
        raise InvalidArgument(complaint) from None


def _entity(word: str) -> PrincipalName:
    return principal(word, f"invalid entity_auth {word}")


def sorted_entities(entities: dict[PrincipalName, EntityAuth]) -> list[PrincipalName]:
    """Principals in the order in which they are shown."""
    return sorted(
        entities, key=lambda name: (name.type, name.id.encode("utf-8", "surrogateescape"))
    )


def _described(name: PrincipalName, auth: EntityAuth) -> dict[str, object]:
    caps = {service: decode_string(auth.caps[service]) for service in sorted(auth.caps)}
    return {"entity": str(name), "key": key_to_text(auth.key), "caps": caps}


def render_keyring(request: Request, entities: dict[PrincipalName, EntityAuth]) -> str:
    """A keyring: a file's text, or a document in the format that was asked for."""
    if request.is_plain:
        return KeyRing(entities).to_text()
    described = [_described(name, entities[name]) for name in sorted_entities(entities)]
    return request.render(Items(_ITEM, described), "auth")


def render_key(request: Request, key: CryptoKey) -> str:
    """A key alone."""
    if request.is_plain:
        return key_to_text(key)
    return request.render({"key": key_to_text(key)}, "auth")


@commands.add(
    "auth export",
    entity=text(required=False),
    perm="rx",
    help="print a keyring: of one entity, or of all",
)
def export(service: AuthService, request: Request, entity: str = "") -> Reply:
    """A principal's entry, or the whole database."""
    secrets = service.key_server.data.secrets
    if not entity:
        return said("exported master keyring", render_keyring(request, dict(secrets)))
    name = _entity(entity)
    auth = secrets.get(name)
    if auth is None:
        raise NotFound(f"no key for {_printed(CryptoKey())}")
    return said(f"export {_printed(auth.key)}", render_keyring(request, {name: auth}))


def _printed(key: CryptoKey) -> str:
    return f"auth(key={key_to_text(key)})"


@commands.add(
    "auth get", entity=text(), perm="rx", help="print an entity's key and caps as a keyring"
)
def get(service: AuthService, request: Request, entity: str) -> Reply:
    """A principal's entry. The entry of `mon.` is this monitor's own."""
    name = _entity(entity)
    auth = service.key_server.entity(name)
    if auth is None:
        raise NotFound(f"failed to find {entity} in keyring")
    return said(f"exported keyring for {entity}", render_keyring(request, {name: auth}))


@commands.add("auth get-key", entity=text(), perm="rx", help="print an entity's key")
@commands.add("auth print-key", entity=text(), perm="rx", help="print an entity's key")
@commands.add("auth print_key", entity=text(), perm="rx", help="print an entity's key")
def get_key(service: AuthService, request: Request, entity: str) -> Reply:
    """A principal's key."""
    name = _entity(entity)
    auth = service.key_server.entity(name)
    if auth is None:
        raise NotFound(f"don't have {name}")
    return said("", render_key(request, auth.key))


@commands.add(
    "auth list",
    perm="rx",
    flags=CommandFlag.DEPRECATED,
    help="list all entities, with keys and caps",
)
@commands.add("auth ls", perm="rx", help="list all entities, with keys and caps")
def list_all(service: AuthService, request: Request) -> Reply:
    """All principals that are replicated."""
    secrets = service.key_server.data.secrets
    names = sorted_entities(secrets)
    if not request.is_plain:
        described = [_described(name, secrets[name]) for name in names]
        document = {"auth_dump": Items(_ITEM, described)} if described else {}
        return said("", request.render(document, "auth"))
    lines: list[str] = []
    for name in names:
        lines += [f"{name}\n", f"\tkey: {key_to_text(secrets[name].key)}\n"]
        caps = secrets[name].caps
        lines += [f"\tcaps: [{kind}] {decode_string(caps[kind])}\n" for kind in sorted(caps)]
    outs = "installed auth entries:\n" if lines else "no installed auth entries!\n"
    return said(outs, "".join(lines))
