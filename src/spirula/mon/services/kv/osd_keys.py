"""What the config-key store holds for OSDs: disk keys, and what each daemon keeps for itself.

Follows upstream `src/mon/KVMonitor.cc` (validate_osd_new, do_osd_new, validate_osd_destroy,
do_osd_destroy). Called by the commands of the osdmap service.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from spirula.errors import Exists

if TYPE_CHECKING:
    from spirula.mon.services.kv.service import KVService


def _disk_keys(uuid: str) -> str:
    return f"dm-crypt/osd/{uuid}/"


def _private(number: int) -> str:
    return f"daemon-private/osd.{number}/"


def validate_osd_new(service: KVService, uuid: str, dmcrypt_key: str) -> bool:
    """Whether an OSD's disk key (by its uuid as text) is there already, and this one.

    Raises Exists for another one.
    """
    known = service.read(_disk_keys(uuid) + "luks")
    if known is None:
        return False
    if not hmac.compare_digest(known, dmcrypt_key.encode("utf-8", "surrogateescape")):
        raise Exists("dm-crypt key already exists and does not match")
    return True


def do_osd_new(service: KVService, uuid: str, dmcrypt_key: str) -> None:
    """Keeps an OSD's disk key, and proposes."""
    service.put(_disk_keys(uuid) + "luks", dmcrypt_key.encode("utf-8", "surrogateescape"))
    service.propose()


def osd_has_keys(service: KVService, number: int, uuid: str) -> bool:
    """Whether there is anything of this OSD."""
    return any(any(True for _ in service.items(prefix)) for prefix in _all(number, uuid))


def do_osd_destroy(service: KVService, number: int, uuid: str) -> bool:
    """Removes everything of this OSD, and proposes; whether there was anything."""
    found = [key for prefix in _all(number, uuid) for key, _ in service.items(prefix)]
    for key in found:
        service.remove(key)
    if found:
        service.propose()
    return bool(found)


def _all(number: int, uuid: str) -> tuple[str, str]:
    return _disk_keys(uuid), _private(number)
