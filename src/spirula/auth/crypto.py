"""Key types and what they encrypt: `none`, `aes` and `aes256k`, and cephx's sealed values.

For `spirula.auth` and tools that make keys; randomness and time are arguments. Not here: who
encrypts what when (`auth.cephx`). Formats follow upstream `src/auth/Crypto.cc` and
`cephx/CephxProtocol.h`; `aes256k` is AES256-CTS-HMAC-SHA384-192 of RFC 8009 with cephx's own key
usage numbers.
"""

from __future__ import annotations

import binascii
import hmac
import string
import struct as _struct
from collections.abc import Callable
from enum import IntEnum
from typing import TypeVar

from spirula.denc import Struct
from spirula.errors import InvalidArgument, NotSupported, PermissionDenied, WireError
from spirula.types.auth import CryptoKey
from spirula.types.base import UTime

RandomBytes = Callable[[int], bytes]
"""Gives that many unpredictable bytes; the edge passes `os.urandom`, a simulation a seeded one."""

_T = TypeVar("_T", bound=Struct)

BLOCK = 16
AES_IV = b"cephsageyudagreg"
AUTH_ENC_MAGIC = 0xFF009CAD8826AA55
_SEAL = _struct.pack("<BQ", 1, AUTH_ENC_MAGIC)
_HMAC_192 = 24
_ZERO_IV = bytes(BLOCK)
MAX_SEALED = 1 << 20
"""Largest ciphertext that is opened; tickets and rotating secrets are a few hundred bytes."""


class KeyType(IntEnum):
    """Key types by their number on the wire (upstream CEPH_CRYPTO_*)."""

    NONE = 0
    AES = 1
    AES256K = 2

    @property
    def label(self) -> str:
        """The name that commands and keyrings use: `aes256k`."""
        return self.name.lower()

    @property
    def insecure(self) -> bool:
        """True where ciphertexts can be altered unnoticed (CVE-2025-30156)."""
        return self is not KeyType.AES256K


class KeyUsage(IntEnum):
    """What a ciphertext is for; `aes256k` derives other keys for each, `aes` takes no notice."""

    DEFAULT = 0x00
    AUTH_CONNECTION_SECRET = 0x03
    TICKET_SESSION_KEY = 0x04
    TICKET_BLOB = 0x05
    AUTHORIZE = 0x10
    AUTHORIZE_CHALLENGE = 0x11
    AUTHORIZE_REPLY = 0x12
    ROTATING_SECRET = 0x20
    TICKET_INFO = 0x30


KEY_BYTES = {KeyType.NONE: 0, KeyType.AES: 16, KeyType.AES256K: 32}


class DecryptFailed(PermissionDenied):
    """A ciphertext is not what this key made: altered, or of another key. Which, is not told."""


def key_type_named(label: str) -> KeyType:
    """The key type of a name such as `aes256k`, in any case. InvalidArgument for others."""
    for kind in KeyType:
        if kind.label == label.lower():
            return kind
    raise InvalidArgument(f"no key type is called {label!r}")


def generate_key(kind: int, now: float, random: RandomBytes) -> CryptoKey:
    """A fresh key. NotSupported for a type that does not exist."""
    if kind not in KEY_BYTES:
        raise NotSupported(f"key type {kind}")
    return CryptoKey(kind, UTime.at(now), random(KEY_BYTES[KeyType(kind)]))


def check_key(key: CryptoKey) -> KeyType:
    """The key's type, after making sure that it can be used.

    NotSupported for an unknown type, InvalidArgument for a secret that is missing or too short.
    """
    try:
        kind = KeyType(key.type)
    except ValueError:
        raise NotSupported(f"key type {key.type}") from None
    if kind is not KeyType.NONE and len(key.secret) < KEY_BYTES[kind]:
        raise InvalidArgument(f"a key of type {kind.label} needs {KEY_BYTES[kind]} bytes")
    return kind


def check_sealing_key(key: CryptoKey) -> KeyType:
    """Like `check_key`, for keys that must protect something: `none` is an InvalidArgument, too."""
    kind = check_key(key)
    if kind is KeyType.NONE:
        raise InvalidArgument("a key of type none protects nothing")
    return kind


def key_to_text(key: CryptoKey) -> str:
    """The base64 form that keyrings and `auth get-key` show."""
    return binascii.b2a_base64(key.encode(), newline=False).decode()


def key_from_text(text: str) -> CryptoKey:
    """Reads that form, with upstream's latitude: bytes after the key do not matter.

    InvalidArgument where it is not base64 or not a key of a known type.
    """
    try:
        key = CryptoKey.decode(_unarmor(text.encode("utf-8", "surrogateescape")))
        if key.secret:
            check_key(key)
    except (WireError, NotSupported) as error:
        raise InvalidArgument(f"not a key: {error}") from None
    return key


_SEXTETS = {ord(c): n for n, c in enumerate(string.ascii_uppercase + string.ascii_lowercase)}
_SEXTETS.update({ord(c): 52 + n for n, c in enumerate(string.digits)})
_SEXTETS.update({ord("+"): 62, ord("-"): 62, ord("/"): 63, ord("_"): 63, ord("="): 0})


def _unarmor(text: bytes) -> bytes:
    """Base64 by the rules of upstream's `common/armor.c`, which no library has.

    Both alphabets, line breaks between groups of four, the end where a third or fourth `=` stands.
    """
    out = bytearray()
    pos = 0
    while pos < len(text):
        if text[pos] == 0x0A:
            pos += 1
            continue
        group = text[pos : pos + 4]
        if len(group) < 4 or any(c not in _SEXTETS for c in group):
            raise InvalidArgument("not a key: not base64")
        a, b, c, d = (_SEXTETS[c] for c in group)
        out.append((a << 2 | b >> 4) & 0xFF)
        if group[2] == 0x3D:
            break
        out.append((b << 4 | c >> 2) & 0xFF)
        if group[3] == 0x3D:
            break
        out.append((c << 6 | d) & 0xFF)
        pos += 4
    return bytes(out)


def hmac_sha256(key: CryptoKey, data: bytes) -> bytes:
    """The MAC under a key's whole secret, whatever its type."""
    return hmac.digest(key.secret, data, "sha256")


def encrypt(key: CryptoKey, usage: int, plain: bytes, random: RandomBytes) -> bytes:
    """`plain` under `key`. `random` gives the confounder of `aes256k`; `aes` has none."""
    kind = check_key(key)
    if kind is KeyType.AES:
        pad = BLOCK - len(plain) % BLOCK
        return _cbc(key.secret[:16], AES_IV, plain + bytes([pad]) * pad, decrypting=False)
    if kind is KeyType.AES256K:
        ke, ki = _derive(key.secret, usage)
        body = _cts_encrypt(ke, random(BLOCK) + plain)
        return body + hmac.digest(ki, _ZERO_IV + body, "sha384")[:_HMAC_192]
    return plain


def decrypt(key: CryptoKey, usage: int, data: bytes) -> bytes:
    """What `encrypt` was given. DecryptFailed for whatever it cannot have made.

    `aes` notices next to nothing, by its nature; what is sealed with it has a magic number inside.
    """
    kind = check_key(key)
    if len(data) > MAX_SEALED:
        raise DecryptFailed("ciphertext is too long")
    if kind is KeyType.AES:
        if len(data) < BLOCK or len(data) % BLOCK:
            raise DecryptFailed("cannot be decrypted")
        padded = _cbc(key.secret[:16], AES_IV, data, decrypting=True)
        # Bad padding must look like any other failure, so it is cut off rather than checked.
        return padded[: len(padded) - min(padded[-1], BLOCK)]
    if kind is KeyType.AES256K:
        if len(data) < BLOCK + _HMAC_192:
            raise DecryptFailed("cannot be decrypted")
        ke, ki = _derive(key.secret, usage)
        body, tag = data[:-_HMAC_192], data[-_HMAC_192:]
        expected = hmac.digest(ki, _ZERO_IV + body, "sha384")[:_HMAC_192]
        if not hmac.compare_digest(tag, expected):
            raise DecryptFailed("cannot be decrypted")
        return _cts_decrypt(ke, body)[BLOCK:]
    return data


def seal(key: CryptoKey, usage: int, plain: bytes, random: RandomBytes) -> bytes:
    """An encoded value behind version and magic, encrypted: every ciphertext of cephx is one."""
    return encrypt(key, usage, _SEAL + plain, random)


def unseal(key: CryptoKey, usage: int, data: bytes) -> bytes:
    """The encoded value inside. DecryptFailed where the magic is not found."""
    plain = decrypt(key, usage, data)
    # The version before the magic is not looked at, as upstream.
    if len(plain) < len(_SEAL) or not hmac.compare_digest(plain[1:9], _SEAL[1:]):
        raise DecryptFailed("cannot be decrypted")
    return plain[len(_SEAL) :]


def unseal_as(kind: type[_T], key: CryptoKey, usage: int, data: bytes) -> _T:
    """A declared value out of its seal. DecryptFailed, too, where no such value is inside."""
    plain = unseal(key, usage, data)
    try:
        return kind.decode(plain)
    except WireError as error:
        raise DecryptFailed(f"no {kind.__name__} inside: {error}") from None


def same_number(a: int, b: int) -> bool:
    """Whether two u64 are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(_struct.pack("<Q", a), _struct.pack("<Q", b))


def _cbc(key: bytes, iv: bytes, data: bytes, *, decrypting: bool) -> bytes:
    # Not before the first key is used: they are a twentieth of what an import would take.
    from cryptography.hazmat.primitives.ciphers import Cipher  # noqa: PLC0415  # said above
    from cryptography.hazmat.primitives.ciphers.algorithms import AES  # noqa: PLC0415  # said above
    from cryptography.hazmat.primitives.ciphers.modes import CBC  # noqa: PLC0415  # said above

    cipher = Cipher(AES(key), CBC(iv))
    worker = cipher.decryptor() if decrypting else cipher.encryptor()
    return worker.update(data) + worker.finalize()


def _derive(secret: bytes, usage: int) -> tuple[bytes, bytes]:
    """The keys for encryption and integrity: RFC 8009, section 5 (KDF-HMAC-SHA2)."""

    def kdf(purpose: int, bits: int) -> bytes:
        label = _struct.pack(">IIBBI", 1, usage, purpose, 0, bits)
        return hmac.digest(secret, label, "sha384")[: bits // 8]

    return kdf(0xAA, 256), kdf(0x55, 192)


def _cts_encrypt(key: bytes, data: bytes) -> bytes:
    """CBC with ciphertext stealing, the last two blocks always swapped (RFC 3962, section 5)."""
    short = -len(data) % BLOCK
    blocks = _cbc(key, _ZERO_IV, data + bytes(short), decrypting=False)
    if len(blocks) == BLOCK:
        return blocks
    tail = blocks[-2 * BLOCK : -BLOCK]
    return blocks[: -2 * BLOCK] + blocks[-BLOCK:] + tail[: BLOCK - short]


def _cts_decrypt(key: bytes, data: bytes) -> bytes:
    if len(data) <= BLOCK:
        return _cbc(key, _ZERO_IV, data, decrypting=True)
    last = (len(data) - 1) % BLOCK + 1  # bytes in the short, final block
    head, swapped, stolen = data[: -BLOCK - last], data[-BLOCK - last : -last], data[-last:]
    # Decrypted alone, the swapped block gives the stolen one xor the padded last plaintext.
    mixed = _cbc(key, _ZERO_IV, swapped, decrypting=True)
    full = stolen + mixed[last:]
    plain = _cbc(key, _ZERO_IV, head + full, decrypting=True)
    return plain + bytes(a ^ b for a, b in zip(mixed, full, strict=True))[:last]
