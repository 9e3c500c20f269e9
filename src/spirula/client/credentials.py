"""Whose key a client or daemon logs in with: found by its configuration, read from files.

Order as upstream's `KeyRing::from_ceph_context`: the first keyring that can be opened, then the
options `key` and `keyfile`. Called by whoever opens a session, with what reads a file.
"""

from __future__ import annotations

from collections.abc import Callable

from spirula.auth.crypto import key_from_text
from spirula.auth.keyring import KeyRing
from spirula.conf.config import Config
from spirula.conf.file import ConfFile, parse_conf
from spirula.conf.load import find_first, read_key_file
from spirula.errors import CephError, NotFound
from spirula.types.auth import CryptoKey, PrincipalName


class NotInKeyring(NotFound):
    """ENOENT: there is a keyring, and the name is not in it."""


def sections_of(conf: ConfFile) -> dict[str, dict[str, str]]:
    """The sections of a keyring in text form, setting by setting."""
    return {
        name: {setting: found.value for setting, found in settings.items()}
        for name, settings in conf.sections.items()
    }


def find_key(config: Config, read: Callable[[str], bytes]) -> CryptoKey | None:
    """The key of the configuration's entity; None where no method that needs one is allowed.

    Raises NotFound when there is none, with the places that were looked at; InvalidArgument for a
    key or keyring that cannot be read.
    """
    if config.get_str("key"):
        return key_from_text(config.get_str("key"))
    if config.get_str("keyfile"):
        return key_from_text(read_key_file(config.get_str("keyfile")))
    name = PrincipalName.parse(config.identity.name)
    places = config.get_str("keyring")
    try:
        path = find_first(places)
    except CephError:
        path = ""
    if path:
        ring = KeyRing.decode(read(path), lambda data: sections_of(parse_conf(data, path)))
        if name in ring.keys:
            return ring.keys[name].key
    if "cephx" not in config.get_str("auth_client_required"):
        return None
    if path:
        raise NotInKeyring(f"no key for {name}: {path} has no key of that name; {_ADVICE}")
    raise NotFound(f"no key for {name}: no keyring at {places}; {_ADVICE}")


_ADVICE = "name one with --keyring"
