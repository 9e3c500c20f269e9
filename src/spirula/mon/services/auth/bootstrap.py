"""The principals that a cluster is born with: those of the mkfs keyring, and the well-known ones.

Names and caps follow upstream `src/mon/AuthMonitor.cc` (create_initial_keys). Called by `service`.
"""

from __future__ import annotations

from spirula.auth.crypto import KeyType, RandomBytes, generate_key
from spirula.auth.keyring import KeyRing
from spirula.auth.monitor import MON
from spirula.conf.file import parse_conf
from spirula.errors import InvalidArgument, WireError
from spirula.types.auth import EntityAuth, PrincipalName, decode_string, encode_string
from spirula.types.entity import TYPE_NAMES, EntityType

MKFS = "mkfs"
"""Prefix in the store of what `mkfs` left for the first quorum."""
KEYRING = "keyring"
"""Key under `mkfs` of the keyring, as text; gone once its principals are replicated."""

_EVERYTHING = "allow *"
_WELL_KNOWN: dict[str, dict[str, str]] = {
    "admin": dict.fromkeys(("mon", "osd", "mds", "mgr"), _EVERYTHING),
    **{
        f"bootstrap-{kind}": {"mon": f"allow profile bootstrap-{kind}"}
        for kind in ("osd", "rgw", "mds", "mgr", "rbd", "rbd-mirror")
    },
}


def encode_caps(caps: dict[str, str]) -> dict[str, bytes]:
    """Caps as `EntityAuth` holds them."""
    return {service: encode_string(text) for service, text in caps.items()}


def read_keyring(data: bytes) -> KeyRing:
    """A keyring as files and `auth import` hold it. Raises InvalidArgument.

    The old binary form could hold anything; only what can be shown again is taken.
    """

    def sections(text: bytes) -> dict[str, dict[str, str]]:
        parsed = parse_conf(text).sections
        return {
            name: {setting: found.value for setting, found in settings.items()}
            for name, settings in parsed.items()
        }

    ring = KeyRing.decode(data, sections)
    for name, auth in ring.keys.items():
        if name.type not in TYPE_NAMES:
            raise InvalidArgument(f"bad entity name in keyring: type {name.type}")
        try:
            for encoded in auth.caps.values():
                decode_string(encoded)
        except WireError as error:
            raise InvalidArgument(f"caps of {name} are damaged: {error}") from None
    return ring


def initial_keyring(mkfs: bytes | None, kind: KeyType, now: float, random: RandomBytes) -> KeyRing:
    """What the first quorum imports: the mkfs keyring, and the well-known ones that it lacks."""
    ring = read_keyring(mkfs) if mkfs else KeyRing()
    # Monitors share this one by a file of their own; it is not replicated.
    ring.keys.pop(MON, None)
    for id_, caps in _WELL_KNOWN.items():
        name = PrincipalName(EntityType.CLIENT, id_)
        if name not in ring.keys:
            ring.keys[name] = EntityAuth(
                key=generate_key(kind, now, random), caps=encode_caps(caps)
            )
    return ring
