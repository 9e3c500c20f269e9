"""Keyrings: principals with their keys and capabilities, as text.

Pure: reading and writing files is the caller's, and the grammar of the text is that of `ceph.conf`,
whose parser the caller brings along (`spirula.conf` stands beside this package, not below it).
Format and output follow upstream `src/auth/KeyRing.cc`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field

from spirula.auth.crypto import key_from_text, key_to_text
from spirula.denc import Map, Struct, struct
from spirula.errors import InvalidArgument, WireError
from spirula.records import dataclass
from spirula.types.auth import (
    CryptoKey,
    EntityAuth,
    ExpiringCryptoKey,
    PrincipalName,
    decode_string,
    encode_string,
)

Sections = Mapping[str, Mapping[str, str]]
"""Settings by section and by name, names in the normal form of `ceph.conf` (`caps_mon`)."""

MAX_KEYRING_BYTES = 16 << 20
"""Largest keyring that is read."""


@struct(version=1, bare_version="B")
class _BinaryKeyring(Struct):
    """The form in which very old releases stored keyrings; they are still read."""

    keys: Map[PrincipalName, EntityAuth]


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _order(name: PrincipalName) -> tuple[int, bytes]:
    return name.type, _bytes_of(name.id)


@dataclass(slots=True)
class KeyRing:
    """Keys and capabilities by principal; a KeyStore without rotating secrets."""

    keys: dict[PrincipalName, EntityAuth] = field(default_factory=dict)

    @classmethod
    def decode(cls, data: bytes, parse: Callable[[bytes], Sections]) -> KeyRing:
        """Reads the contents of a keyring file.

        `parse` gives the sections of a text or raises InvalidArgument (`ConfSyntaxError` is one);
        InvalidArgument is also raised for what is no keyring.
        """
        if len(data) > MAX_KEYRING_BYTES:
            raise InvalidArgument(f"a keyring of more than {MAX_KEYRING_BYTES} bytes")
        try:
            return cls(_BinaryKeyring.decode(data).keys)
        except WireError:
            return cls.from_sections(parse(data))

    @classmethod
    def from_sections(cls, sections: Sections) -> KeyRing:
        """A keyring of parsed text. InvalidArgument for unknown names, settings and keys."""
        ring = cls()
        for section in sorted(sections, key=_bytes_of):
            if section == "global":
                continue
            try:
                name = PrincipalName.parse(section)
            except ValueError:
                raise InvalidArgument(f"bad entity name in keyring: {section}") from None
            for setting in sorted(sections[section], key=_bytes_of):
                if setting:
                    ring._set(name, setting.replace("_", " "), sections[section][setting])
        return ring

    def _set(self, name: PrincipalName, setting: str, value: str) -> None:
        if setting == "key":
            self._entry(name).key = key_from_text(value)
        elif setting.startswith("caps ") and len(setting) > 5:
            self._entry(name).caps[setting[5:]] = encode_string(value)
        elif setting != "auid":  # a number that releases before 14.2 kept there
            raise InvalidArgument(f"[{name}] has no setting {setting!r}")

    def _entry(self, name: PrincipalName) -> EntityAuth:
        return self.keys.setdefault(name, EntityAuth())

    def names(self) -> list[PrincipalName]:
        """All principals in the order in which they are printed."""
        return sorted(self.keys, key=_order)

    def to_text(self) -> str:
        """The keyring as files hold it. WireError where capabilities are damaged."""
        out: list[str] = []
        for name in self.names():
            auth = self.keys[name]
            out.append(f"[{name}]\n\tkey = {key_to_text(auth.key)}\n")
            for service in sorted(auth.caps, key=_bytes_of):
                text = decode_string(auth.caps[service]).replace('"', '\\"')
                out.append(f'\tcaps {service} = "{text}"\n')
        return "".join(out)

    def add(self, name: PrincipalName, key: CryptoKey) -> None:
        """Takes a principal with this key and no capabilities, in the place of one of that name."""
        self.keys[name] = EntityAuth(key=key)

    def set_caps(self, name: PrincipalName, caps: Mapping[str, str]) -> None:
        """Replaces all capabilities of a principal."""
        self._entry(name).caps = {service: encode_string(text) for service, text in caps.items()}

    def merge(self, other: KeyRing) -> None:
        """Takes all principals of `other`, in the place of those of the same name."""
        self.keys.update(other.keys)

    def principal_key(self, name: PrincipalName) -> CryptoKey | None:
        """The key of a principal, or None."""
        auth = self.keys.get(name)
        return auth.key if auth else None

    def service_secret(self, service_id: int, secret_id: int) -> ExpiringCryptoKey | None:
        """None: a keyring has no rotating secrets."""
        return None
