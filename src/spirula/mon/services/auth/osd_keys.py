"""The keys of OSDs that `osd new` makes and `osd destroy` and `osd purge` remove.

An OSD has a principal of its own, and one for its lockbox if it is encrypted: that one may read
the OSD's disk key and nothing else. Follows upstream `src/mon/AuthMonitor.cc` (validate_osd_new,
do_osd_new, validate_osd_destroy, do_osd_destroy). Called by the commands of the osdmap service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spirula.auth.crypto import key_from_text
from spirula.commands.reply import Retry
from spirula.errors import CephError, InvalidArgument
from spirula.mon.services.auth.bootstrap import encode_caps
from spirula.mon.services.auth.entities import exists_and_matches
from spirula.types.auth import CryptoKey, EntityAuth, PrincipalName
from spirula.types.entity import EntityType

if TYPE_CHECKING:
    from spirula.mon.services.auth.service import AuthService

_OSD_CAPS = {"osd": "allow *", "mon": "allow profile osd", "mgr": "allow profile osd"}


@dataclass(frozen=True, slots=True)
class OSDKeys:
    """What `validate_osd_new` found good: principals to add, none of which is there yet."""

    entities: dict[PrincipalName, EntityAuth]


def osd_name(number: int) -> PrincipalName:
    """`osd.3`."""
    return PrincipalName(EntityType.OSD, str(number))


def lockbox_name(uuid: str) -> PrincipalName:
    """The lockbox of the OSD with this uuid (in its usual text form)."""
    return PrincipalName(EntityType.CLIENT, f"osd-lockbox.{uuid}")


def validate_osd_new(
    service: AuthService, number: int, uuid: str, cephx_secret: str, lockbox_secret: str = ""
) -> OSDKeys:
    """Checks the keys of a new OSD, changing nothing. Secrets are base64; a lockbox may be missing.

    InvalidArgument for a key that cannot be read or for other caps than the ones wanted, Exists
    for another key; `Retry` where one of the principals is about to change.
    """
    wanted = [(osd_name(number), _key(cephx_secret, "cephx"), _OSD_CAPS)]
    if lockbox_secret:
        allowed = f'allow command "config-key get" with key="dm-crypt/osd/{uuid}/luks"'
        key = _key(lockbox_secret, "cephx lockbox")
        wanted.append((lockbox_name(uuid), key, {"mon": allowed}))
    if any(service.is_pending(name) for name, _, _ in wanted):
        raise Retry
    missing: dict[PrincipalName, EntityAuth] = {}
    for name, key, caps in wanted:
        encoded = encode_caps(caps)
        if not exists_and_matches(service, name, key, encoded):
            missing[name] = EntityAuth(key=key, caps=encoded)
    return OSDKeys(missing)


def _key(text: str, what: str) -> CryptoKey:
    try:
        if not text:
            raise InvalidArgument("empty")
        return key_from_text(text)
    except CephError:
        raise InvalidArgument(f"invalid {what} secret.") from None


def do_osd_new(service: AuthService, keys: OSDKeys) -> None:
    """Adds what `validate_osd_new` found missing, and proposes."""
    for name, auth in keys.entities.items():
        service.add_entity(name, auth)
    if keys.entities:
        service.propose()


def osd_has_keys(service: AuthService, number: int, uuid: str) -> bool:
    """Whether an OSD has a principal, or a lockbox."""
    secrets = service.key_server.data.secrets
    return osd_name(number) in secrets or lockbox_name(uuid) in secrets


def do_osd_destroy(service: AuthService, number: int, uuid: str) -> bool:
    """Removes an OSD's principals, and proposes; whether there were any."""
    removed = [service.remove_entity(osd_name(number)), service.remove_entity(lockbox_name(uuid))]
    if any(removed):
        service.propose()
    return any(removed)
