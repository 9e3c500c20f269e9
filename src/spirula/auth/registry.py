"""Which methods and connection modes are spoken with whom, and which key types are good enough.

Made from the configuration, asked by both ends of a handshake. Not here: the handshakes. Rules of
methods and modes follow upstream `src/auth/AuthRegistry.cc`; those of key types its
`doc/rados/configuration/auth-config-ref.rst` (20.2.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from spirula.auth.crypto import KeyType, key_type_named
from spirula.auth.handshake import AuthMethod, ConnectionMode
from spirula.errors import InvalidArgument
from spirula.records import dataclass
from spirula.types.entity import EntityType

CLUSTER = EntityType.MON | EntityType.OSD | EntityType.MDS | EntityType.MGR
"""The kinds of entities that are daemons."""
_MONITORS = EntityType.MON | EntityType.MGR
_METHODS = {"cephx": AuthMethod.CEPHX, "none": AuthMethod.NONE}
_MODES = {"crc": ConnectionMode.CRC, "secure": ConnectionMode.SECURE}
_SEPARATORS = re.compile(r"[;,= \t]+")

DEFAULTS = {
    "auth_supported": "",
    "auth_cluster_required": "cephx",
    "auth_service_required": "cephx",
    "auth_client_required": "cephx, none",
    "ms_cluster_mode": "crc secure",
    "ms_service_mode": "crc secure",
    "ms_client_mode": "crc secure",
    "ms_mon_cluster_mode": "secure crc",
    "ms_mon_service_mode": "secure crc",
    "ms_mon_client_mode": "secure crc",
}
"""The options that count here, and upstream's defaults."""


def _words(text: str) -> list[str]:
    return [word for word in _SEPARATORS.split(text) if word]


def parse_methods(text: str) -> list[int]:
    """`cephx, none` as numbers, in order; methods that we do not speak are left out."""
    return [_METHODS[word] for word in _words(text) if word in _METHODS]


def parse_modes(text: str) -> list[int]:
    """`secure crc` as numbers, best first; unknown words are left out."""
    return [_MODES[word] for word in _words(text) if word in _MODES]


@dataclass(slots=True)
class AuthRegistry:
    """What an entity of kind `entity_type` speaks, by the role of its peer."""

    entity_type: int
    cluster_methods: list[int] = field(default_factory=list)
    service_methods: list[int] = field(default_factory=list)
    client_methods: list[int] = field(default_factory=list)
    cluster_modes: list[int] = field(default_factory=list)
    service_modes: list[int] = field(default_factory=list)
    client_modes: list[int] = field(default_factory=list)
    mon_cluster_modes: list[int] = field(default_factory=list)
    mon_service_modes: list[int] = field(default_factory=list)
    mon_client_modes: list[int] = field(default_factory=list)

    @classmethod
    def from_options(
        cls, entity_type: int, options: Mapping[str, str] | None = None
    ) -> AuthRegistry:
        """From configuration values; those that are not given have their defaults."""
        values = {**DEFAULTS, **(options or {})}

        def methods(role: str) -> list[int]:
            return parse_methods(values["auth_supported"] or values[f"auth_{role}_required"])

        def modes(role: str) -> list[int]:
            return parse_modes(values[f"ms_{role}_mode"])

        return cls(
            entity_type,
            cluster_methods=methods("cluster"),
            service_methods=methods("service"),
            client_methods=methods("client"),
            cluster_modes=modes("cluster"),
            service_modes=modes("service"),
            client_modes=modes("client"),
            mon_cluster_modes=modes("mon_cluster"),
            mon_service_modes=modes("mon_service"),
            mon_client_modes=modes("mon_client"),
        )

    def methods(self, peer_type: int) -> list[int]:
        """Methods with a peer of that kind, best first."""
        if self.entity_type == EntityType.CLIENT:
            return self.client_methods
        if peer_type & _MONITORS:
            return self.cluster_methods
        if self.entity_type & _MONITORS:
            # For a monitor all that are not monitors or managers count as being served.
            return self.service_methods
        return self.cluster_methods if peer_type & CLUSTER else self.service_methods

    def methods_required(self, entity_type: int) -> list[int]:
        """Methods by which a principal of that kind may log in to a monitor."""
        return self.cluster_methods if entity_type & CLUSTER else self.service_methods

    def authorizer_methods(self, peer_type: int) -> list[int]:
        """Methods of authorizers that a peer of that kind may show to a service."""
        return self.cluster_methods if peer_type & CLUSTER else self.service_methods

    def modes(self, peer_type: int, method: int) -> list[int]:
        """Connection modes with such a peer, best first; `none` has no keys to be secure with."""
        modes = self._modes(peer_type)
        if method == AuthMethod.NONE:
            return [mode for mode in modes if mode == ConnectionMode.CRC]
        return modes

    def _modes(self, peer_type: int) -> list[int]:
        with_monitor = bool(peer_type & _MONITORS)
        if self.entity_type == EntityType.CLIENT:
            return self.mon_client_modes if with_monitor else self.client_modes
        if with_monitor:
            return self.mon_cluster_modes
        if self.entity_type & _MONITORS:
            return self.mon_service_modes
        return self.cluster_modes if peer_type & CLUSTER else self.service_modes

    def pick_mode(self, peer_type: int, method: int, preferred: list[int]) -> int:
        """The first of the peer's modes that we speak with it, or UNKNOWN."""
        ours = self.modes(peer_type, method)
        return next((mode for mode in preferred if mode in ours), ConnectionMode.UNKNOWN)


@dataclass(slots=True)
class KeyTypePolicy:
    """Key types of principals that may log in, that new keys get, and of service secrets.

    The defaults are those of a cluster that 20.2.4 creates: `aes` still serves old clients and
    is reported as insecure, but tickets, which it cannot protect, are not sealed with it.
    """

    allowed: frozenset[KeyType] = frozenset({KeyType.AES, KeyType.AES256K})
    preferred: KeyType = KeyType.AES256K
    service: KeyType = KeyType.AES256K

    @classmethod
    def from_options(cls, allowed: str, preferred: str, service: str) -> KeyTypePolicy:
        """From the values of auth_allowed_ciphers, auth_preferred_cipher and auth_service_cipher.

        InvalidArgument for a name that is no key type, for `none` and for an empty list.
        """
        kinds = frozenset(key_type_named(word) for word in _words(allowed))
        made = cls(kinds, key_type_named(preferred), key_type_named(service))
        if not kinds or KeyType.NONE in kinds | {made.preferred, made.service}:
            raise InvalidArgument("key types must be ones that protect something")
        return made
