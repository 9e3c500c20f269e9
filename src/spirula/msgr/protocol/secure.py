"""Secure mode: AES-128-GCM over parts of a frame, with nonces that never repeat.

Each connection has its own key and two starting nonces, one for each direction, from the secret
that authentication made for this connection alone. A nonce is used once and counted up; a direction
that has come round to its start refuses to go on. That is the whole defence against CVE-2020-1759,
so it lives in one place. Layout: upstream `src/msg/async/crypto_onwire.cc`. Called by `frames` and
`reader`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from spirula.errors import ProtocolViolation, WireError
from spirula.msgr.protocol.frames import TAG_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.ciphers import AEADDecryptionContext

    from spirula.msgr.protocol.message import Bytes

KEY_SIZE = 16
NONCE_SIZE = 12
SECRET_SIZE = KEY_SIZE + 2 * NONCE_SIZE
"""How many bytes of the connection secret are used."""


class NonceSequence:
    """The nonces of one direction of one connection, each given out once.

    A nonce is a 32-bit fixed field and a 64-bit counter, both little endian. Revision 1 counts in
    the counter; revision 0 counts, by a mistake that became the format, in the fixed field.
    """

    __slots__ = ("_counter", "_fixed", "_left", "_prefix", "_revision1", "_suffix")

    def __init__(self, start: bytes, *, revision1: bool) -> None:
        self._fixed = int.from_bytes(start[:4], "little")
        self._counter = int.from_bytes(start[4:], "little")
        self._prefix = start[:4]
        self._suffix = start[4:]
        self._revision1 = revision1
        self._left = 1 << (64 if revision1 else 32)

    def next(self) -> bytes:
        """The next nonce. ProtocolViolation when all were used."""
        if not self._left:
            raise ProtocolViolation("secure.nonces-used-up", "the connection must be made anew")
        self._left -= 1
        if self._revision1:
            counter = self._counter
            self._counter = counter + 1 & 0xFFFFFFFFFFFFFFFF
            return self._prefix + counter.to_bytes(8, "little")
        fixed = self._fixed
        self._fixed = fixed + 1 & 0xFFFFFFFF
        return fixed.to_bytes(4, "little") + self._suffix


class Sealer:
    """The sending direction: plaintext in, ciphertext and tag out."""

    __slots__ = ("_gcm", "_key", "_nonces")

    def __init__(self, key: bytes, nonces: NonceSequence) -> None:
        self._key = key
        self._gcm = AESGCM(key)
        self._nonces = nonces

    def seal(self, plaintext: Bytes) -> bytes:
        """One sealed part: as long as `plaintext`, then 16 bytes of tag."""
        return self._gcm.encrypt(self._nonces.next(), plaintext, None)

    def seal_pieces(self, pieces: Sequence[Bytes]) -> bytearray:
        """One sealed part made of several pieces, none of which is copied before encryption."""
        size = sum(len(piece) for piece in pieces)
        sealed = bytearray(size + TAG_SIZE)
        view = memoryview(sealed)
        context = Cipher(AES(self._key), GCM(self._nonces.next())).encryptor()
        at = 0
        for piece in pieces:
            at += context.update_into(piece, view[at : at + len(piece)])
        context.finalize()
        view[size:] = context.tag
        return sealed


class Opener:
    """The receiving direction: ciphertext and tag in, plaintext out, or WireError."""

    __slots__ = ("_gcm", "_key", "_nonces")

    def __init__(self, key: bytes, nonces: NonceSequence) -> None:
        self._key = key
        self._gcm = AESGCM(key)
        self._nonces = nonces

    def open(self, sealed: Bytes) -> bytes:
        """The plaintext of one sealed part."""
        try:
            return self._gcm.decrypt(self._nonces.next(), sealed, None)
        except InvalidTag:
            raise WireError("authentication tag does not match", path="frame") from None

    def open_in_place(self, sealed: memoryview) -> memoryview:
        """The same for a part in memory of its own, which the plaintext then occupies."""
        plaintext = sealed[: len(sealed) - TAG_SIZE]
        try:
            self._gcm.decrypt_into(self._nonces.next(), sealed, None, plaintext)
        except InvalidTag:
            raise WireError("authentication tag does not match", path="frame") from None
        return plaintext

    def open_stream(self) -> AEADDecryptionContext:
        """A part whose length stands inside itself (revision 0 seals a whole frame at once)."""
        return Cipher(AES(self._key), GCM(self._nonces.next())).decryptor()

    def close_stream(self, stream: AEADDecryptionContext, tag: Bytes) -> None:
        """The end of such a part. WireError where the tag is another."""
        try:
            stream.finalize_with_tag(bytes(tag))
        except InvalidTag:
            raise WireError("authentication tag does not match", path="frame") from None


def session_keys(secret: bytes, *, client: bool, revision1: bool) -> tuple[Opener, Sealer]:
    """The two directions of a connection from the secret that both ends hold.

    The secret is the key, then the nonce of what the client receives, then of what it sends.
    ProtocolViolation for a secret that is short or whose directions would share a nonce.
    """
    if len(secret) < SECRET_SIZE:
        raise ProtocolViolation(
            "secure.connection-secret", f"{len(secret)} bytes, {SECRET_SIZE} needed"
        )
    key = secret[:KEY_SIZE]
    to_client = secret[KEY_SIZE : KEY_SIZE + NONCE_SIZE]
    to_server = secret[KEY_SIZE + NONCE_SIZE : SECRET_SIZE]
    if _would_meet(to_client, to_server, revision1=revision1):
        raise ProtocolViolation("secure.connection-secret", "both directions share their nonces")
    receive, send = (to_client, to_server) if client else (to_server, to_client)
    return (
        Opener(key, NonceSequence(receive, revision1=revision1)),
        Sealer(key, NonceSequence(send, revision1=revision1)),
    )


def _would_meet(one: bytes, other: bytes, *, revision1: bool) -> bool:
    """Whether two directions that start here could ever use the same nonce in practice.

    The halves that do not count must differ, or else the counters must lie so far apart that no
    connection lives to bridge the gap (2^48 parts in revision 1, 2^24 in revision 0).
    """
    counts, stays = (slice(4, 12), slice(0, 4)) if revision1 else (slice(0, 4), slice(4, 12))
    if one[stays] != other[stays]:
        return False
    size = 64 if revision1 else 32
    apart = int.from_bytes(one[counts], "little") - int.from_bytes(other[counts], "little")
    gap = min(apart % (1 << size), -apart % (1 << size))
    return gap < 1 << (48 if revision1 else 24)
